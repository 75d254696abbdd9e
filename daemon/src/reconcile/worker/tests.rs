use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::{sync::mpsc, time::Instant};

use super::*;
use crate::{
    cache::Router,
    neo4j::{EndpointResolver, Limits, Neo4rsDriver, Registry},
    queue::Priority,
    reconcile::{Board, Events, Executor, Key, StatusWriter, executor, testing},
};

/// What the scripted reconciler does with a key, by the key's name.
struct Scripted {
    runs: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Reconciler for Scripted {
    fn kind(&self) -> Kind {
        Kind::Neo4jDatabase
    }

    fn reconcile<'a>(&'a self, _: &'a Context, key: &'a Key, _: &'a mut Run) -> BoxFuture<'a, Result<Done, Failure>> {
        Box::pin(async move {
            self.runs.fetch_add(1, Ordering::SeqCst);
            let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_at_once.fetch_max(now, Ordering::SeqCst);
            let ended = match &*key.name {
                "panics" => panic!("out of cheese"),
                "hangs" => std::future::pending().await,
                "fails" => Err(Failure::new(ErrorType::Conflict, "no")),
                "terminal" => Err(Failure::terminal(ErrorType::Validation, "never")),
                "gone" => Ok(Done::gone()),
                "slow" => {
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    Ok(Done::waiting(Duration::from_secs(30)))
                }
                _ => Ok(Done::idle(Outcome::Converged)),
            };
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            ended
        })
    }
}

#[derive(Default)]
struct Records {
    sender: Mutex<Option<mpsc::UnboundedSender<(Instant, Reconcile)>>>,
    panics: AtomicUsize,
}

impl RunObserver for Records {
    fn finished(&self, record: &Reconcile) {
        if let Some(sender) = &*self.sender.lock().unwrap() {
            let _ = sender.send((Instant::now(), record.clone()));
        }
    }
    fn skipped(&self, _: Kind, _: &'static str) {}
    fn panicked(&self, _: Kind) {
        self.panics.fetch_add(1, Ordering::SeqCst);
    }
}

struct World {
    queue: Queue,
    workers: Workers,
    reconciler: Arc<Scripted>,
    observer: Arc<Records>,
    records: mpsc::UnboundedReceiver<(Instant, Reconcile)>,
}

impl World {
    fn new(workers: usize) -> Self {
        let client = testing::client(&testing::Scripted::default());
        let executor = Executor::new(client.clone(), executor::Options::default());
        let clock: super::super::Clock = Arc::new(|| Timestamp::UNIX_EPOCH);
        let (events, _) = Events::new(executor.clone(), clock.clone());
        let resolver = EndpointResolver::Dns {
            cluster_domain: "cluster.local".into(),
        };
        let context = Context {
            cache: Router::direct(client.clone()),
            client,
            status: StatusWriter::new(executor.clone()),
            executor,
            events,
            board: Board::new(Vec::new()),
            neo4j: Registry::new(Arc::new(Neo4rsDriver), resolver, Limits::default()),
            clock,
        };
        let queue = Queue::default();
        let reconciler = Arc::new(Scripted {
            runs: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
        });
        let (sender, records) = mpsc::unbounded_channel();
        let observer = Arc::new(Records {
            sender: Mutex::new(Some(sender)),
            panics: AtomicUsize::new(0),
        });
        let workers = Workers::start(
            queue.clone(),
            context,
            [Arc::clone(&reconciler) as Arc<dyn Reconciler>],
            observer.clone(),
            Settings {
                workers,
                ..Settings::default()
            },
        );
        Self {
            queue,
            workers,
            reconciler,
            observer,
            records,
        }
    }

    fn add(&self, name: &str) {
        let key = Key {
            kind: Kind::Neo4jDatabase,
            namespace: "n".into(),
            name: name.into(),
        };
        self.queue.add(key, Priority::Changed, "test");
    }

    async fn record(&mut self) -> (Instant, Reconcile) {
        let record = tokio::time::timeout(Duration::from_secs(3600), self.records.recv()).await;
        record.expect("a record within an hour").unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_its_own_key_a_failure_and_nothing_else() {
    let mut world = World::new(1);
    world.add("panics");
    let (_, record) = world.record().await;
    assert_eq!(record.outcome, Outcome::Failed);
    assert_eq!(record.error.as_deref(), Some("the reconciler panicked: out of cheese"));
    assert_eq!(world.observer.panics.load(Ordering::SeqCst), 1);
    world.add("well");
    let (_, record) = world.record().await;
    assert_eq!((record.name.as_str(), record.outcome), ("well", Outcome::Converged));
    let (_, record) = world.record().await;
    assert_eq!((record.name.as_str(), record.trigger.as_str()), ("panics", "retry"));
}

#[tokio::test(start_paused = true)]
async fn a_reconcile_that_hangs_is_cut_off_and_tried_again() {
    let mut world = World::new(1);
    let began = Instant::now();
    world.add("hangs");
    let (at, record) = world.record().await;
    assert_eq!(at - began, Duration::from_secs(60));
    assert_eq!(record.error_type.as_deref(), Some("timeout"));
    world.record().await;
}

#[tokio::test(start_paused = true)]
async fn failures_wait_longer_and_longer() {
    let mut world = World::new(1);
    world.add("fails");
    let mut times = Vec::new();
    for _ in 0..14 {
        times.push(world.record().await.0);
    }
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(longest > Duration::from_secs(5), "{longest:?}");
    assert!(
        times
            .windows(2)
            .all(|pair| pair[1] - pair[0] >= Duration::from_millis(100))
    );
}

#[tokio::test(start_paused = true)]
async fn what_rests_is_looked_at_again_within_the_resync_period() {
    let mut world = World::new(1);
    world.add("well");
    let (first, record) = world.record().await;
    let (second, _) = world.record().await;
    let rested = second - first;
    assert!(
        rested >= Duration::from_secs(540) && rested <= Duration::from_secs(660),
        "{rested:?}"
    );
    assert!(record.next_run.is_some(), "and the record says when");
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_or_failed_for_good_is_left_alone() {
    let mut world = World::new(1);
    world.add("gone");
    world.add("terminal");
    world.record().await;
    world.record().await;
    tokio::time::sleep(Duration::from_secs(7200)).await;
    assert_eq!(world.reconciler.runs.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn workers_bound_what_runs_and_one_key_never_runs_twice_at_a_time() {
    let mut world = World::new(2);
    world.add("slow");
    world.add("well");
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.add("slow");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.reconciler.runs.load(Ordering::SeqCst), 2, "it is still running");
    for _ in 0..3 {
        world.record().await;
    }
    assert_eq!(world.reconciler.runs.load(Ordering::SeqCst), 3, "and ran once more");
    assert!(world.reconciler.most_at_once.load(Ordering::SeqCst) <= 2);
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_what_runs_and_takes_nothing_new() {
    let world = World::new(1);
    world.add("slow");
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.add("well");
    assert!(world.workers.stop(Duration::from_secs(20)).await);
    assert_eq!(world.reconciler.runs.load(Ordering::SeqCst), 1);
}
