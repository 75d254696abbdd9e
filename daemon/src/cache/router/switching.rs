//! Changes of strategy, against the embedded API server.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use neo4j_devcluster::apiserver::{Options, Server};
use neo4j_operator_shared::{
    cache::{Form, WarmupResult},
    switch::{OperationState, Wanted},
};
use serde_json::json;

use super::*;
use crate::cache::{ConfigMapView, Over};
use crate::queue::Verdict;

/// Notes what it is told.
#[derive(Default)]
pub(super) struct Notes {
    lines: Mutex<Vec<String>>,
    pub(super) room: Mutex<Option<u64>>,
    pub(super) requests: AtomicU64,
}

impl CacheObserver for Notes {
    fn switched(&self, operation: &Operation, kind: Option<Kind>) {
        if kind.is_none() {
            let line = format!("{} {} -> {}", operation.state.as_str(), operation.from, operation.to);
            self.lines.lock().unwrap().push(line);
        }
    }
    fn warmed(&self, kind: Kind, result: WarmupResult, objects: u64, _took: Duration) {
        self.lines
            .lock()
            .unwrap()
            .push(format!("{kind} {} {objects}", result.as_str()));
    }
    fn over_budget(&self, over: &Over) {
        self.lines.lock().unwrap().push(over.advice());
    }
    fn room(&self) -> Option<u64> {
        *self.room.lock().unwrap()
    }
    fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
    fn evicted(&self, kind: Kind, reason: &'static str) {
        self.lines.lock().unwrap().push(format!("{kind} {reason}"));
    }
}

impl Notes {
    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    pub(super) fn times_told(&self, line: &str) -> usize {
        self.lines().iter().filter(|told| *told == line).count()
    }
}

pub(super) struct World {
    pub(super) server: Server,
    maps: Api<ConfigMap>,
    pub(super) router: Router,
    queue: Queue,
    pub(super) notes: Arc<Notes>,
}

fn map(name: &str, ours: bool) -> ConfigMap {
    let labels = if ours {
        json!({"neo4j.com/cluster": "c", "app.kubernetes.io/managed-by": "neo4j-operator"})
    } else {
        json!({})
    };
    serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}, "data": {"a": "b"}})).unwrap()
}

impl World {
    pub(super) async fn new(strategy: Strategy) -> Self {
        Self::with(Settings {
            strategy,
            ..Settings::default()
        })
        .await
    }

    pub(super) async fn with(settings: Settings) -> Self {
        Self::on(Server::new(Options::default()), settings).await
    }

    pub(super) async fn on(server: Server, settings: Settings) -> Self {
        let client = server.client("default");
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
        for (name, ours) in [("own", true), ("foreign", false)] {
            maps.create(&PostParams::default(), &map(name, ours)).await.unwrap();
        }
        let queue = Queue::hasty();
        let notes = Arc::new(Notes::default());
        let settings = Settings {
            limits: Limits {
                pause: Duration::ZERO,
                ..Limits::default()
            },
            ..settings
        };
        let router = Router::start(client, &settings, queue.clone(), notes.clone());
        for (kind, source) in &router.inner.sources {
            // Custom resources are not installed here, and stay in trouble.
            if !Kind::PRIMARY.contains(kind) {
                synced(&source.feeds()).await;
            }
        }
        Self {
            server,
            maps,
            router,
            queue,
            notes,
        }
    }

    pub(super) fn request(strategy: Strategy, kinds: Option<&[Kind]>) -> SwitchRequest {
        SwitchRequest {
            strategy: Wanted::Strategy(strategy),
            kinds: kinds.map(<[Kind]>::to_vec),
            dry_run: false,
            rollback_after: None,
        }
    }

    pub(super) async fn create(&self, name: &str, ours: bool) {
        self.maps
            .create(&PostParams::default(), &map(name, ours))
            .await
            .unwrap();
    }

    async fn over(&self) -> Operation {
        loop {
            if let Some(last) = self.router.history().into_iter().next()
                && self.router.snapshot().operation.is_none()
            {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(super) async fn switch(&self, strategy: Strategy, kinds: Option<&[Kind]>) -> Operation {
        self.router
            .switch(&Self::request(strategy, kinds), By::User)
            .await
            .unwrap();
        self.over().await
    }

    pub(super) async fn get(&self, name: &str) -> Answer<Option<Arc<ConfigMapView>>> {
        self.router.read("default", name, &Requests::default()).await.unwrap()
    }

    pub(super) fn row(&self) -> KindCache {
        let rows = self.router.snapshot().kinds;
        rows.into_iter().find(|row| row.kind == Kind::ConfigMap).unwrap()
    }

    async fn woken(&self) -> Vec<String> {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut keys = Vec::new();
        while let Some(Some(job)) = futures::FutureExt::now_or_never(self.queue.next()) {
            self.queue.finish(&job.key, Verdict::Done(None));
            keys.push(job.trigger.to_string());
        }
        keys
    }
}

#[tokio::test(start_paused = true)]
async fn after_every_change_reads_and_triggers_are_those_of_the_new_strategy() {
    for from in Strategy::ALL {
        for to in Strategy::ALL {
            let world = World::new(from).await;
            world.woken().await;
            let done = world.switch(to, None).await;
            assert_eq!(done.state, OperationState::Done, "{from} -> {to}: {done:?}");
            assert_eq!(world.router.snapshot().strategy, to);
            // Swapping wakes nobody for what has not changed.
            assert_eq!(world.woken().await, Vec::<String>::new(), "{from} -> {to}");
            let row = world.row();
            let (form, source, objects) = match to {
                Strategy::None | Strategy::Lazy => (Form::Metadata, ReadSource::Live, 1),
                Strategy::Full => (Form::Full, ReadSource::Cache, 2),
                _ => (Form::Metadata, ReadSource::Cache, 1),
            };
            assert_eq!((row.form, row.objects), (form, objects), "{from} -> {to}");
            assert_eq!(world.get("own").await.freshness.source, source, "{from} -> {to}");
            let foreign = world.get("foreign").await;
            assert!(foreign.value.is_some());
            assert_eq!(
                foreign.freshness.source == ReadSource::Cache,
                to == Strategy::Full,
                "{from} -> {to}"
            );
            let label = Patch::Merge(json!({"metadata": {"labels": {"touched": "yes"}}}));
            world.maps.patch("own", &PatchParams::default(), &label).await.unwrap();
            assert_eq!(world.woken().await, ["configmaps changed"], "{from} -> {to}");
            world.maps.delete("own", &DeleteParams::default()).await.unwrap();
            assert_eq!(world.woken().await, ["configmaps gone"], "{from} -> {to}");
            assert!(world.get("own").await.value.is_none(), "{from} -> {to}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_kind_of_its_own_keeps_its_strategy_when_the_others_change() {
    let world = World::new(Strategy::Selective).await;
    world.switch(Strategy::Full, Some(&[Kind::ConfigMap])).await;
    assert_eq!((world.row().strategy, world.row().pinned), (Strategy::Full, true));
    let done = world.switch(Strategy::None, None).await;
    assert!(done.progress.iter().all(|row| row.kind != Kind::ConfigMap));
    assert_eq!(world.row().form, Form::Full);
    let cleared = SwitchRequest {
        strategy: Wanted::Default,
        ..World::request(Strategy::None, Some(&[Kind::ConfigMap]))
    };
    world.router.switch(&cleared, By::User).await.unwrap();
    world.over().await;
    assert_eq!((world.row().strategy, world.row().pinned), (Strategy::None, false));
}

#[tokio::test(start_paused = true)]
async fn lazy_keeps_a_kind_from_its_first_read_until_nobody_reads_it() {
    let world = World::new(Strategy::Lazy).await;
    assert_eq!(world.get("own").await.freshness.source, ReadSource::Live);
    while world.get("own").await.freshness.source != ReadSource::Cache {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_secs(660)).await;
    assert_eq!(world.get("own").await.freshness.source, ReadSource::Live);
    assert!(
        world
            .row()
            .misses
            .contains_key(&neo4j_operator_shared::cache::MissReason::Evicted)
    );
    let notes = world.notes.lines.lock().unwrap().clone();
    assert_eq!(notes[..2], ["configmaps ok 1", "configmaps idle"]);
}

#[tokio::test(start_paused = true)]
async fn a_change_takes_in_what_was_being_let_go_when_it_began() {
    let world = World::new(Strategy::Lazy).await;
    while world.get("own").await.freshness.source != ReadSource::Cache {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let source = world.router.any(Kind::ConfigMap).unwrap();
    let gate = Arc::clone(source.gate()).acquire_owned().await.unwrap();
    let request = World::request(Strategy::Selective, None);
    world.router.switch(&request, By::User).await.unwrap();
    // As the warmer does with a kind that nobody reads.
    source.prepare(Keep::Keys);
    synced(&source.prepared().unwrap().0).await;
    drop(source.swap());
    drop(gate);
    assert_eq!(world.over().await.state, OperationState::Done);
    assert_eq!(world.get("own").await.freshness.source, ReadSource::Cache);
}

#[tokio::test(start_paused = true)]
async fn one_change_at_a_time_and_it_can_be_cancelled_before_the_swap() {
    let world = World::new(Strategy::Selective).await;
    let began = world
        .router
        .switch(&World::request(Strategy::Full, None), By::User)
        .await
        .unwrap();
    let refused = world
        .router
        .switch(&World::request(Strategy::None, None), By::User)
        .await;
    assert_eq!(refused.unwrap_err(), Refused::Running(began.id.clone()));
    world.router.cancel(&began.id).unwrap();
    let done = world.over().await;
    assert_eq!(done.state, OperationState::Cancelled);
    assert_eq!(
        (world.row().form, world.router.snapshot().strategy),
        (Form::Metadata, Strategy::Selective)
    );
    assert_eq!(world.get("own").await.freshness.source, ReadSource::Cache);
    assert!(matches!(world.router.cancel(&began.id), Err(Refused::Over { .. })));
    assert!(matches!(world.router.cancel("sw-99"), Err(Refused::Unknown(_))));
    assert!(
        world
            .server
            .requests()
            .iter()
            .all(|request| !request.is_write() || request.resource == "configmaps")
    );
}

#[tokio::test(start_paused = true)]
async fn a_broken_goal_brings_the_old_strategy_back_if_asked_to() {
    let world = World::new(Strategy::Selective).await;
    // So many that the hit rate over the last minutes stays above the goal whatever comes after the change.
    for _ in 0..1_000 {
        world.get("own").await;
    }
    let request = SwitchRequest {
        rollback_after: Some(neo4j_operator_shared::Span(Duration::from_secs(60))),
        ..World::request(Strategy::None, None)
    };
    world.router.switch(&request, By::User).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(
        world.router.snapshot().operation.unwrap().state,
        OperationState::Watching
    );
    for _ in 0..150 {
        world.get("own").await;
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.router.snapshot().strategy, Strategy::Selective);
    let history = world.router.history();
    assert_eq!((history[0].by, history[0].state), (By::Rollback, OperationState::Done));
    assert!(
        history[1].reason.as_deref().unwrap().contains("hit rate"),
        "{history:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_is_newly_broken_brings_the_old_strategy_back() {
    let world = World::with(Settings {
        strategy: Strategy::Selective,
        budgets: Budgets {
            total: Some(1),
            kinds: [(Kind::ConfigMap, 10_000), (Kind::Service, 300)].into(),
        },
        ..Settings::default()
    })
    .await;
    for number in 0..100 {
        world.create(&format!("foreign-{number}"), false).await;
    }
    let back_from = async |strategy| {
        let request = SwitchRequest {
            rollback_after: Some(neo4j_operator_shared::Span(Duration::from_secs(60))),
            ..World::request(strategy, None)
        };
        world.router.switch(&request, By::User).await.unwrap();
        tokio::time::sleep(Duration::from_secs(70)).await;
        let history = world.router.history();
        let reason = history.iter().find_map(|operation| operation.reason.clone());
        (world.router.snapshot().strategy, reason)
    };
    // That all together take too much is no news.
    assert_eq!(back_from(Strategy::Lazy).await, (Strategy::Lazy, None));
    // Nor that another kind has grown beyond its bound meanwhile.
    let pods = World::request(Strategy::Full, Some(&[Kind::Pod]));
    let pods = SwitchRequest {
        rollback_after: Some(neo4j_operator_shared::Span(Duration::from_secs(60))),
        ..pods
    };
    world.router.switch(&pods, By::User).await.unwrap();
    let services: Api<Service> = Api::namespaced(world.server.client("default"), "default");
    for name in ["a", "b", "c"] {
        let labels = json!({"app.kubernetes.io/managed-by": "neo4j-operator"});
        let service = json!({"metadata": {"name": name, "labels": labels}, "spec": {"ports": [{"port": 1}]}});
        let service = serde_json::from_value(service).unwrap();
        services.create(&PostParams::default(), &service).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(70)).await;
    let over = world.router.snapshot().kinds;
    assert!(
        over.iter().any(|row| row.kind == Kind::Service && row.bytes > 300),
        "{over:?}"
    );
    assert_eq!(world.router.history()[0].reason, None);
    let (strategy, reason) = back_from(Strategy::Full).await;
    assert_eq!(strategy, Strategy::Lazy);
    let reason = reason.unwrap();
    assert!(reason.starts_with("goes back: configmaps take "), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_selector_narrows_what_is_kept_and_not_what_wakes() {
    let world = World::with(Settings {
        selectors: [(Kind::ConfigMap, "team=a".parse().unwrap())].into(),
        ..Settings::default()
    })
    .await;
    world.woken().await;
    assert_eq!(world.row().objects, 0);
    assert_eq!(world.get("own").await.freshness.source, ReadSource::Fallback);
    let label = Patch::Merge(json!({"metadata": {"labels": {"touched": "yes"}}}));
    world.maps.patch("own", &PatchParams::default(), &label).await.unwrap();
    assert_eq!(world.woken().await, ["configmaps changed"]);
    let label = Patch::Merge(json!({"metadata": {"labels": {"team": "a"}}}));
    world.maps.patch("own", &PatchParams::default(), &label).await.unwrap();
    assert_eq!(world.woken().await, ["configmaps changed"]);
    assert_eq!(world.get("own").await.freshness.source, ReadSource::Cache);
}
