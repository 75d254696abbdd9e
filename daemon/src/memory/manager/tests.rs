//! The manager over a process of its own: order, bytes, triggers, events.

use std::sync::Mutex;

use neo4j_operator_shared::memory::LimitSource;

use super::*;
use crate::memory::testing::{FakeHost, FakePart};

const MB: u64 = 1_000_000;

#[derive(Default)]
struct FakeBrakes {
    log: Mutex<Vec<String>>,
    idle: std::sync::atomic::AtomicBool,
}

impl Brakes for FakeBrakes {
    fn halve(&self, half: bool) {
        self.log.lock().unwrap().push(format!("half {half}"));
    }

    fn hold_back(&self, held: bool) {
        self.log.lock().unwrap().push(format!("held {held}"));
    }

    fn idle(&self) -> bool {
        self.idle.load(std::sync::atomic::Ordering::SeqCst)
    }
}

struct World {
    manager: Manager,
    host: Arc<FakeHost>,
    brakes: Arc<FakeBrakes>,
    telemetry: Arc<Telemetry>,
    _stop: tokio_util::sync::DropGuard,
}

fn world(settings: Settings) -> World {
    let host = FakeHost::new();
    let telemetry = Arc::new(Telemetry::new(Instant::now(), Timestamp::now()).unwrap());
    let (manager, task) = Manager::new(settings, host.clone(), Arc::clone(&telemetry));
    let brakes = Arc::new(FakeBrakes::default());
    let stop = CancellationToken::new();
    tokio::spawn(task.run(brakes.clone(), stop.clone()));
    World {
        manager,
        host,
        brakes,
        telemetry,
        _stop: stop.drop_guard(),
    }
}

impl World {
    fn part(&self, name: &'static str, held: [u64; 3]) -> Arc<FakePart> {
        let part = FakePart::new(name, &self.host, held);
        self.manager.register(part.clone());
        part
    }

    fn past(&self) -> Vec<Reclaim> {
        self.manager.memory().reclaims
    }

    async fn messages(&self) -> Vec<String> {
        let id = self.telemetry.stream.id(0);
        let mut reader = self.telemetry.stream.reader(Some(&id)).unwrap();
        let batch = tokio::time::timeout(Duration::from_millis(1), reader.next()).await;
        let events = batch.map(|batch| batch.events).unwrap_or_default();
        events.iter().map(|stored| stored.event.message.clone()).collect()
    }

    fn metrics(&self) -> String {
        prometheus::TextEncoder::new()
            .encode_to_string(&self.telemetry.registry.gather())
            .unwrap()
    }
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_forced_reclaim_drops_compacts_purges_and_says_what_each_brought() {
    let world = world(Settings::default());
    world.part("decoded", [0, 20, 0]);
    world.part("cache:pods", [1, 0, 5]);
    let memory = world.manager.memory();
    assert_eq!(
        (memory.expected.least, memory.limit_source),
        (21 * MB, LimitSource::Default)
    );
    assert_eq!(memory.owners[0].name, "decoded");
    let done = world.manager.reclaim().await.unwrap();
    assert_eq!(
        world.host.log(),
        [
            "trim decoded",
            "trim cache:pods",
            "evict decoded",
            "evict cache:pods",
            "compact decoded",
            "compact cache:pods",
            "purge"
        ]
    );
    let actions: Vec<_> = done
        .actions
        .iter()
        .map(|step| (step.action, step.part.as_str(), step.bytes / MB))
        .collect();
    assert_eq!(
        actions,
        [
            (Action::Trim, "cache:pods", 1),
            (Action::Evict, "decoded", 20),
            (Action::Compact, "cache:pods", 5),
            (Action::Purge, "allocator", 26)
        ]
    );
    assert_eq!(
        (done.before.allocated, done.after.allocated),
        (Some(36 * MB), Some(10 * MB))
    );
    assert_eq!(done.message, "26.0 MB freed, 26.0 MB returned to the operating system");
    assert_eq!(world.past(), [done]);
    assert_eq!(
        world.messages().await,
        ["memory (forced): 26.0 MB freed, 26.0 MB returned to the operating system"]
    );
    let metrics = world.metrics();
    for line in [
        "neo4j_operator_memory_reclaims_total{action=\"purge\",trigger=\"forced\"} 1",
        "neo4j_operator_memory_reclaimed_bytes_total{action=\"evict\"} 20000000",
        "neo4j_operator_memory_reclaim_duration_seconds_count{action=\"compact\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_nothing_to_free_it_says_so_and_too_soon_it_is_refused() {
    let world = world(Settings::default());
    let done = world.manager.reclaim().await.unwrap();
    assert_eq!(
        done.message,
        "there was nothing to free: 10.0 MB in use, 10.0 MB resident"
    );
    let Err(Denied::TooSoon { wait, .. }) = world.manager.reclaim().await else {
        panic!("two at once");
    };
    assert!(
        wait > Duration::from_secs(9) && wait <= Duration::from_secs(10),
        "{wait:?}"
    );
    tokio::time::sleep(wait).await;
    assert_eq!(world.manager.reclaim().await.unwrap().id, 2);
}

#[tokio::test(start_paused = true)]
async fn without_an_allocator_that_obeys_it_is_said_what_was_not_done() {
    let world = world(Settings::default());
    world.host.foreign();
    world.part("decoded", [0, 3, 0]);
    let done = world.manager.reclaim().await.unwrap();
    assert_eq!(
        done.message,
        "3.0 MB freed, 0 B returned to the operating system; the allocator could not be told to return free pages"
    );
    assert_eq!(world.manager.memory().expected, Expected::default());
}

#[tokio::test(start_paused = true)]
async fn pressure_trims_first_then_evicts_and_slows_down_and_all_of_it_ends() {
    let settings = Settings {
        limit: Some(100 * MB),
        ..Settings::default()
    };
    let world = world(settings);
    world.part("bolt_pool", [5, 0, 0]);
    world.part("cache:pods", [0, 30, 30]);
    let mut levels = world.manager.level();
    // 75 MB: trimmed to 70, which is not below the level.
    seconds(6).await;
    assert_eq!(*levels.borrow_and_update(), 1);
    let past = world.past();
    assert_eq!((past.len(), past[0].trigger, past[0].level), (1, Trigger::Pressure, 1));
    assert_eq!(world.host.log(), ["trim bolt_pool", "trim cache:pods", "purge"]);
    // 95 MB: everything that can be.
    world.host.allocate(25);
    seconds(30).await;
    assert_eq!(*levels.borrow_and_update(), 3);
    let log = world.host.log();
    assert_eq!(log[0], "decay AtOnce");
    assert_eq!(log.last().unwrap(), "purge");
    assert!(log.contains(&"compact cache:pods".to_owned()), "{log:?}");
    seconds(10).await;
    assert_eq!(*levels.borrow_and_update(), 0);
    assert_eq!(world.host.log(), ["decay Usual"]);
    assert_eq!(
        *world.brakes.log.lock().unwrap(),
        ["half true", "held true", "half false", "held false"]
    );
    let messages = world.messages().await;
    assert_eq!(messages[0], "memory level 0 -> 1 at 75 % of the limit");
    assert_eq!(
        messages[2],
        "memory level 1 -> 3 at 95 % of the limit; the cache of pods is the largest with 60.0 MB: choose a smaller \
         strategy for it"
    );
    assert_eq!(messages.last().unwrap(), "memory level 3 -> 0 at 35 % of the limit");
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_the_control_group_counts_from_the_moment_it_is_set() {
    let world = world(Settings::default());
    seconds(6).await;
    assert_eq!(world.manager.memory().level, 0);
    world.host.confine(Cgroup {
        max: 15 * MB,
        ..Cgroup::default()
    });
    seconds(5).await;
    let memory = world.manager.memory();
    assert_eq!((memory.level, memory.limit_source), (1, LimitSource::Cgroup));
    assert_eq!(world.manager.room(), Some(12_150_000 - 10_000_000));
}

#[tokio::test(start_paused = true)]
async fn housekeeping_is_no_news_unless_it_brings_something() {
    let world = world(Settings::default());
    seconds(61).await;
    assert!(world.past().is_empty());
    world.part("texts", [2, 2, 2]);
    seconds(60).await;
    let past = world.past();
    assert_eq!((past.len(), past[0].trigger), (1, Trigger::Tick));
    assert_eq!(world.host.log(), ["trim texts"], "free pages return by themselves");
}

#[tokio::test(start_paused = true)]
async fn after_a_switch_and_while_idle_free_pages_are_returned() {
    let world = world(Settings::default());
    world.part("cache:pods", [0, 9, 9]);
    world.host.allocate(100);
    world.host.free(100);
    world.manager.after_switch();
    seconds(1).await;
    assert_eq!(world.past()[0].trigger, Trigger::Switch);
    assert_eq!(world.host.log(), ["trim cache:pods", "compact cache:pods", "purge"]);
    world.host.allocate(100);
    world.host.free(100);
    seconds(20).await;
    assert_eq!(world.past().len(), 1, "busy");
    world.brakes.idle.store(true, std::sync::atomic::Ordering::SeqCst);
    seconds(15).await;
    assert_eq!(world.past()[0].trigger, Trigger::Idle);
    assert_eq!(
        world.past()[0].message,
        "0 B freed, 100.0 MB returned to the operating system"
    );
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_is_off_only_looks_and_does_what_it_is_told() {
    let settings = Settings {
        limit: Some(20 * MB),
        enabled: false,
        ..Settings::default()
    };
    let world = world(settings);
    world.part("decoded", [5, 5, 0]);
    world.manager.after_switch();
    seconds(120).await;
    assert!(world.host.log().is_empty());
    assert_eq!(world.manager.memory().level, 3);
    assert_eq!(world.manager.reclaim().await.unwrap().trigger, Trigger::Forced);
}

#[tokio::test(start_paused = true)]
async fn the_last_64_are_kept() {
    let settings = Settings {
        forced_pause: Duration::ZERO,
        ..Settings::default()
    };
    let world = world(settings);
    for _ in 0..70 {
        world.manager.reclaim().await.unwrap();
    }
    let past = world.past();
    assert_eq!((past.len(), past[0].id, past[63].id), (64, 70, 7));
}

struct Broken;

impl Reclaimable for Broken {
    fn name(&self) -> String {
        "broken".to_owned()
    }

    fn trim(&self) -> u64 {
        panic!("on purpose")
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_that_panics_costs_its_reclaim_and_nothing_else() {
    let world = world(Settings::default());
    world.manager.register(Arc::new(Broken));
    assert_eq!(world.manager.reclaim().await, Err(Denied::Failed));
    seconds(10).await;
    assert_eq!(
        world.manager.reclaim().await,
        Err(Denied::Failed),
        "the task still runs"
    );
}
