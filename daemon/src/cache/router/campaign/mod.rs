//! The campaign: strategies are changed while others write and the watches are in trouble, and nothing is lost,
//! nothing goes back in time, and the end is what the server has (L12).
//!
//! Everything runs on one thread and in paused time from one seed, so that a failure comes back with its seed:
//! `CAMPAIGN_SEED=7 cargo test -p neo4j-operator --lib campaign`. The bounded form is a test; `make campaign`
//! runs the long one over many seeds (`CAMPAIGN_SEEDS`, `CAMPAIGN_WRITES`).

mod storm;
mod truth;

use std::{cell::RefCell, rc::Rc, sync::atomic::Ordering};

use kube::{
    Api,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use neo4j_devcluster::apiserver::{Options, Server};
use neo4j_operator_shared::switch::{OperationState, Wanted};
use serde_json::{Value, json};
use tokio::time::Instant;

use self::{
    storm::{Dice, Storm},
    truth::{Object, Truth, cluster},
};
use super::*;
use crate::{cache::backing::api_resource, queue::Verdict, reconcile::Requests};

const KINDS: [Kind; 3] = [Kind::ConfigMap, Kind::Secret, Kind::Service];
const NAMESPACES: [&str; 2] = ["default", "other"];
const NAMES: u64 = 8;
const WRITERS: u64 = 4;
const READERS: u64 = 4;

/// What a campaign does.
#[derive(Clone, Copy, Debug)]
struct Plan {
    seed: u64,
    writes: u64,
    /// Leaves events out without a word.
    skips: bool,
}

/// What came of it.
#[derive(Debug, Default)]
struct Report {
    writes: u64,
    reads: u64,
    runs: u64,
    switches: u64,
    turned_back: u64,
    longest_read: Duration,
    violations: Vec<String>,
    /// Owners that did not run after the last change of what they own.
    asleep: Vec<String>,
}

struct Field {
    plan: Plan,
    client: Client,
    router: Router,
    queue: Queue,
    storm: Arc<Storm>,
    truth: Rc<RefCell<Truth>>,
    report: Rc<RefCell<Report>>,
    /// Writers go on until then; then readers stop too.
    over: CancellationToken,
}

fn selector() -> Select {
    Select::Labels(vec![("app.kubernetes.io/managed-by".into(), "neo4j-operator".into())])
}

impl Field {
    fn api(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &api_resource(kind))
    }

    fn body(object: &Object, own: bool, dice: &mut Dice) -> Value {
        let (kind, _, name) = object;
        // A label that is taken away has to be named in a merge patch.
        let label = |value: String| if own { json!(value) } else { Value::Null };
        let mut body = json!({"metadata": {"name": name, "labels": {
            "app.kubernetes.io/managed-by": label("neo4j-operator".into()),
            "neo4j.com/cluster": label(cluster(object)),
            "turn": format!("t{}", dice.below(1_000_000)),
        }}});
        match kind {
            Kind::Service => body["spec"] = json!({"ports": [{"port": 1 + dice.below(60_000)}]}),
            Kind::Secret => body["data"] = json!({"k": "Y2FuYXJ5"}),
            _ => body["data"] = json!({"k": format!("{}", dice.below(1_000_000))}),
        }
        body
    }

    /// Writes to the objects of one writer until the writes are used up.
    async fn write(&self, writer: u64, writes: u64) {
        let mut dice = Dice::new(self.plan.seed ^ (writer << 32) ^ writes);
        for _ in 0..writes / WRITERS {
            let kind = KINDS[dice.below(3) as usize];
            let namespace = NAMESPACES[dice.below(2) as usize];
            let name = format!("o{}", dice.below(NAMES) * WRITERS + writer);
            let object: Object = (kind, namespace, name);
            self.one_write(&object, &mut dice).await;
            tokio::time::sleep(Duration::from_millis(dice.below(60))).await;
        }
    }

    async fn one_write(&self, object: &Object, dice: &mut Dice) {
        let (kind, namespace, name) = object;
        let api = self.api(*kind, namespace);
        let before = self.truth.borrow().last(object);
        let own = dice.chance(70);
        let began = self.truth.borrow_mut().begin_write(object);
        let outcome = match before {
            Some((version, _)) if dice.chance(30) => {
                let gone = api.delete(name, &DeleteParams::default()).await;
                gone.is_ok().then_some((version, false, false))
            }
            known => {
                let body = Self::body(object, own, dice);
                let written = if known.is_some() {
                    api.patch(name, &PatchParams::default(), &Patch::Merge(&body)).await
                } else {
                    let mut body = body;
                    if !own {
                        body["metadata"]["labels"] = json!({"turn": "0"});
                    }
                    let object = serde_json::from_value(body).unwrap();
                    api.create(&PostParams::default(), &object).await
                };
                let version = written.ok().and_then(|object| object.metadata.resource_version);
                version.map(|version| (version.parse().unwrap(), true, own))
            }
        };
        let was_own = before.is_some_and(|(_, own)| own);
        {
            let mut truth = self.truth.borrow_mut();
            truth.end_write(object, outcome);
            self.report.borrow_mut().writes += 1;
            let Some((version, there, own)) = outcome else { return };
            // Some of it we wrote ourselves: that wakes nobody, and is read at once.
            let ours = there && own && (was_own || before.is_none()) && dice.chance(30);
            if !ours && (own || was_own) {
                truth.changed(object, began, there && own);
            }
            if ours {
                self.router.wrote(*kind, namespace, name, &version.to_string());
                truth.wrote(object, version);
            }
            if !ours {
                return;
            }
        }
        self.read(object, false).await;
    }

    async fn version_of<V: View>(&self, object: &Object, past_caches: bool) -> Option<(ReadSource, Option<u64>)> {
        let (_, namespace, name) = object;
        let requests = Requests::default();
        let version = |found: &Option<Arc<V>>| found.as_ref().map(|object| object.meta().version().unwrap() as u64);
        if past_caches {
            let found = self.router.live::<V>(namespace, name, &requests).await.ok()?;
            return Some((ReadSource::Bypass, version(&found)));
        }
        let answer = self.router.read::<V>(namespace, name, &requests).await.ok()?;
        Some((answer.freshness.source, version(&answer.value)))
    }

    async fn read(&self, object: &Object, past_caches: bool) {
        let began = self.truth.borrow_mut().begin_read(object);
        let since = Instant::now();
        let answer = match object.0 {
            Kind::ConfigMap => self.version_of::<ConfigMapView>(object, past_caches).await,
            Kind::Secret => self.version_of::<SecretMeta>(object, past_caches).await,
            _ => self.version_of::<ServiceView>(object, past_caches).await,
        };
        let mut report = self.report.borrow_mut();
        report.reads += 1;
        report.longest_read = report.longest_read.max(since.elapsed());
        // A read that failed says nothing.
        if let Some((source, version)) = answer {
            self.truth.borrow_mut().end_read(object, began, source, version);
        }
    }

    async fn listed<V: View>(&self, namespace: &str, select: &Select) -> Option<(ReadSource, Vec<(String, u64)>)> {
        let requests = Requests::default();
        let answer = self.router.read_list::<V>(namespace, select, &requests).await.ok()?;
        let pair = |object: &Arc<V>| {
            (
                object.meta().name().to_string(),
                object.meta().version().unwrap() as u64,
            )
        };
        Some((answer.freshness.source, answer.value.iter().map(pair).collect()))
    }

    async fn list(&self, kind: Kind, namespace: &str, select: &Select) -> Option<(ReadSource, Vec<(String, u64)>)> {
        match kind {
            Kind::ConfigMap => self.listed::<ConfigMapView>(namespace, select).await,
            Kind::Secret => self.listed::<SecretMeta>(namespace, select).await,
            _ => self.listed::<ServiceView>(namespace, select).await,
        }
    }

    async fn read_list(&self, kind: Kind, namespace: &'static str) {
        let known = self.truth.borrow().known();
        let here: Vec<Object> = known
            .into_iter()
            .filter(|(of, at, _)| *of == kind && *at == namespace)
            .collect();
        let begans: Vec<_> = here
            .iter()
            .map(|object| self.truth.borrow_mut().begin_read(object))
            .collect();
        let Some((source, found)) = self.list(kind, namespace, &selector()).await else {
            return;
        };
        self.report.borrow_mut().reads += 1;
        let mut truth = self.truth.borrow_mut();
        for (object, began) in here.iter().zip(begans) {
            match found.iter().find(|(name, _)| *name == object.2) {
                // A list of the server takes several pages: what it says is only compared with what was told.
                Some((_, version)) => {
                    let source = if source == ReadSource::Cache {
                        source
                    } else {
                        ReadSource::Cache
                    };
                    truth.end_read(object, began, source, Some(*version));
                }
                None => truth.not_listed(object, began),
            }
        }
    }

    async fn keep_reading(&self, reader: u64) {
        let mut dice = Dice::new(self.plan.seed ^ (reader << 40) ^ 0x99);
        while !self.over.is_cancelled() {
            let kind = KINDS[dice.below(3) as usize];
            let namespace = NAMESPACES[dice.below(2) as usize];
            if dice.chance(15) {
                self.read_list(kind, namespace).await;
            } else {
                let name = format!("o{}", dice.below(NAMES * WRITERS));
                self.read(&(kind, namespace, name), dice.chance(10)).await;
            }
            tokio::time::sleep(Duration::from_millis(dice.below(40))).await;
        }
    }

    /// Runs keys as workers do, until nothing is left to run.
    async fn work(&self) {
        while let Some(job) = self.queue.next().await {
            let namespace = NAMESPACES.into_iter().find(|known| **known == *job.key.namespace);
            if let Some(namespace) = namespace {
                self.truth.borrow_mut().runs(namespace, job.key.name.to_string());
                self.report.borrow_mut().runs += 1;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.queue.finish(&job.key, Verdict::Done(None));
        }
    }

    fn request(strategy: Strategy, kinds: Option<Vec<Kind>>) -> SwitchRequest {
        SwitchRequest {
            strategy: Wanted::Strategy(strategy),
            kinds,
            dry_run: false,
            rollback_after: None,
        }
    }

    /// Asks until it may begin, and waits until it is over.
    async fn change(&self, request: &SwitchRequest, trouble: u16, cancel: bool) -> OperationState {
        let operation = loop {
            match self.router.switch(request, By::User).await {
                Ok(operation) => break operation,
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        };
        self.storm.lists.store(trouble, Ordering::SeqCst);
        if cancel {
            tokio::time::sleep(Duration::from_millis(20)).await;
            // It may have been quicker.
            let _ = self.router.cancel(&operation.id);
        }
        let state = loop {
            let history = self.router.history();
            let ended = history.iter().find(|known| known.id == operation.id);
            if let Some(ended) = ended {
                break ended.state;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        };
        self.storm.lists.store(0, Ordering::SeqCst);
        let mut report = self.report.borrow_mut();
        report.switches += 1;
        report.turned_back += u64::from(state != OperationState::Done);
        state
    }

    /// All ordered pairs, whole and for one kind, in an order of the seed.
    async fn change_all(&self) {
        let mut dice = Dice::new(self.plan.seed ^ 0x5a);
        let mut pairs: Vec<(Strategy, Strategy, bool)> = Vec::new();
        for from in Strategy::ALL {
            for to in Strategy::ALL {
                pairs.extend([(from, to, true), (from, to, false)]);
            }
        }
        for place in (1..pairs.len()).rev() {
            pairs.swap(place, dice.below(place as u64 + 1) as usize);
        }
        for (from, to, whole) in pairs {
            let kinds = (!whole).then(|| vec![KINDS[dice.below(3) as usize]]);
            self.change(&Self::request(from, kinds.clone()), 0, false).await;
            let (trouble, cancel) = match dice.below(10) {
                0 => (403, false),
                1 => (500, false),
                2 => (0, true),
                _ => (0, false),
            };
            let request = Self::request(to, kinds);
            if self.change(&request, trouble, cancel).await != OperationState::Done {
                self.change(&request, 0, false).await;
            }
            tokio::time::sleep(Duration::from_millis(dice.below(400))).await;
        }
    }

    /// The end: what the cache says is what the server has.
    async fn compare(&self) {
        for kind in KINDS {
            for namespace in NAMESPACES {
                let there = self
                    .api(kind, namespace)
                    .list(&kube::api::ListParams::default())
                    .await
                    .unwrap();
                for (select, ours) in [(Select::All, false), (selector(), true)] {
                    let has = |object: &&DynamicObject| {
                        let labels = object.metadata.labels.as_ref();
                        !ours || labels.is_some_and(|labels| labels.contains_key("app.kubernetes.io/managed-by"))
                    };
                    let pair = |object: &DynamicObject| {
                        let version = object.metadata.resource_version.as_ref().unwrap();
                        (object.metadata.name.clone().unwrap(), version.parse().unwrap())
                    };
                    let mut expected: Vec<(String, u64)> = there.items.iter().filter(has).map(pair).collect();
                    expected.sort();
                    let found = self.list(kind, namespace, &select).await;
                    let (source, mut found) = found.unwrap();
                    found.sort();
                    if found != expected {
                        let line = format!("{kind} in {namespace} by {source:?}: {found:?}, not {expected:?}");
                        self.truth.borrow_mut().violations.push(line);
                    }
                }
            }
        }
    }
}

async fn quiet() {
    tokio::time::sleep(Duration::from_secs(120)).await;
}

async fn run(plan: Plan) -> Report {
    let storm = Arc::new(Storm::new(plan.seed, plan.skips));
    let server = Server::new(Options {
        hooks: storm.clone(),
        seed: plan.seed,
        // A watch that was cut for long gets 410 and lists anew.
        history: 64,
        ..Options::default()
    });
    let client = server.client("default");
    let names: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
    let other = serde_json::from_value(json!({"metadata": {"name": "other"}})).unwrap();
    names.create(&PostParams::default(), &other).await.unwrap();
    let queue = Queue::hasty();
    let settings = Settings {
        limits: Limits {
            pause: Duration::ZERO,
            ..Limits::default()
        },
        ..Settings::default()
    };
    let router = Router::start(client.clone(), &settings, queue.clone(), Arc::new(()));
    let field = Rc::new(Field {
        plan,
        client,
        router,
        queue: queue.clone(),
        storm: Arc::clone(&storm),
        truth: Rc::default(),
        report: Rc::default(),
        over: CancellationToken::new(),
    });
    let local = tokio::task::LocalSet::new();
    let main = Rc::clone(&field);
    local
        .run_until(async move {
            let field = main;
            quiet().await;
            storm.on.store(true, Ordering::SeqCst);
            let spawn = |work: std::pin::Pin<Box<dyn Future<Output = ()>>>| tokio::task::spawn_local(work);
            let mut tasks = Vec::new();
            for number in 0..READERS {
                let field = Rc::clone(&field);
                tasks.push(spawn(Box::pin(async move { field.keep_reading(number).await })));
            }
            let worker = Rc::clone(&field);
            spawn(Box::pin(async move { worker.work().await }));
            let mut writers = Vec::new();
            for number in 0..WRITERS {
                let field = Rc::clone(&field);
                let writes = field.plan.writes;
                writers.push(spawn(Box::pin(async move { field.write(number, writes).await })));
            }
            field.change_all().await;
            for writer in writers {
                writer.await.unwrap();
            }
            // Once more without a change, whose lists would heal what the watches lost.
            futures::future::join_all((0..WRITERS).map(|number| field.write(number, 400))).await;
            field.over.cancel();
            for task in tasks {
                task.await.unwrap();
            }
            storm.on.store(false, Ordering::SeqCst);
            quiet().await;
            field.compare().await;
            field.report.borrow_mut().asleep = field.truth.borrow().lost();
            for strategy in [Strategy::Selective, Strategy::Full, Strategy::None] {
                for kinds in [None, Some(KINDS.to_vec())] {
                    let done = field.change(&Field::request(strategy, kinds), 0, false).await;
                    assert_eq!(done, OperationState::Done);
                }
                field.compare().await;
            }
            field.router.stop().await;
        })
        .await;
    let mut report = field.report.take();
    report.violations.clone_from(&field.truth.borrow().violations);
    report
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_and_nothing_goes_back_in_time_while_strategies_change() {
    let first = number("CAMPAIGN_SEED", 1);
    let writes = number("CAMPAIGN_WRITES", 2_000);
    for seed in first..first + number("CAMPAIGN_SEEDS", 1) {
        let began = std::time::Instant::now();
        let plan = Plan {
            seed,
            writes,
            skips: false,
        };
        let report = run(plan).await;
        println!(
            "seed {seed}: {} writes, {} reads, {} runs, {} changes of which {} turned back, longest read {:?} of paused \
             time, {} violations, {} owners not woken, {:.1} s",
            report.writes,
            report.reads,
            report.runs,
            report.switches,
            report.turned_back,
            report.longest_read,
            report.violations.len(),
            report.asleep.len(),
            began.elapsed().as_secs_f64(),
        );
        let shown = &report.violations[..report.violations.len().min(20)];
        assert!(shown.is_empty(), "CAMPAIGN_SEED={seed}: {shown:#?}");
        assert!(report.asleep.is_empty(), "CAMPAIGN_SEED={seed}: {:#?}", report.asleep);
        assert!(report.switches >= 100 && report.turned_back > 0, "{report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_left_out_without_a_word_is_found() {
    let plan = Plan {
        seed: 1,
        writes: 600,
        skips: true,
    };
    let report = run(plan).await;
    let found = report.violations.len() + report.asleep.len();
    assert!(found > 0, "the campaign would not see a lost event");
}
