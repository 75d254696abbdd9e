//! Memory given back, in a process that runs on the operator's allocator with the operator's settings. Each test
//! measures the whole process: they are one test, one after the other.
#![cfg(all(feature = "jemalloc", target_os = "linux"))]
#![allow(clippy::unwrap_used)]

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use neo4j_operator::{
    memory::{
        Manager,
        allocator::{self, Decay, Settings},
        host::{Host, Process},
        manager::{self, Brakes},
    },
    telemetry::Telemetry,
};
use neo4j_operator_shared::memory::{Action, Sizes};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[allow(unsafe_code)] // as in the operator
#[unsafe(export_name = "_rjem_malloc_conf")]
static START_CONFIGURATION: &[u8; allocator::START_CONFIGURATION.len()] = &allocator::START_CONFIGURATION;

const MB: u64 = 1 << 20;

/// Works on a thread of its own: what a thread keeps for itself for later counts as in use until it ends.
fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::spawn(work).join().unwrap()
}

/// Objects as a cache holds them: many small texts.
fn hold(mebibytes: u64) -> Vec<Vec<u8>> {
    let mut held = Vec::new();
    let mut bytes = 0;
    while bytes < mebibytes * MB {
        let object = vec![1_u8; 200 + held.len() % 1_800];
        bytes += object.len() as u64;
        held.push(object);
    }
    black_box(held)
}

fn sizes() -> Sizes {
    Process::default().sizes()
}

/// Waits for a condition that another thread brings about.
fn within(limit: Duration, condition: impl Fn() -> bool) -> Option<Duration> {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if condition() {
            return Some(begun.elapsed());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

struct NoBrakes;

impl Brakes for NoBrakes {
    fn halve(&self, _: bool) {}
    fn hold_back(&self, _: bool) {}
    fn idle(&self) -> bool {
        false
    }
}

#[test]
fn a_peak_of_a_gigabyte_is_given_back() {
    settings_are_in_force();
    purging_returns_what_was_freed();
    an_idle_process_returns_its_peak_by_itself();
    a_forced_reclaim_returns_what_is_free_now();
}

fn settings_are_in_force() {
    let settings = Settings {
        background_thread: true,
        dirty_decay_ms: 1000,
        muzzy_decay_ms: 0,
        arenas: 2,
    };
    assert_eq!(allocator::settings(), Some(settings));
    allocator::set_decay(Decay::AtOnce).unwrap();
    assert_eq!(allocator::settings().map(|settings| settings.dirty_decay_ms), Some(0));
    allocator::set_decay(Decay::Usual).unwrap();
    assert_eq!(allocator::settings(), Some(settings));
}

/// With the background thread held off, so that it is the purge that returns.
fn purging_returns_what_was_freed() {
    tikv_jemalloc_ctl::background_thread::write(false).unwrap();
    elsewhere(|| drop(hold(1)));
    let before = sizes().allocated.unwrap();
    let held = elsewhere(|| hold(1024));
    let full = sizes();
    assert!(full.allocated.unwrap() - before >= 1024 * MB);
    elsewhere(|| drop(held));
    let dropped = sizes();
    let left = dropped.allocated.unwrap().abs_diff(before);
    println!("in use: {before} before, {:?} after", dropped.allocated);
    assert!(left < 4 << 10, "{left} bytes more or less are in use than before");
    let freed = full.allocated.unwrap() - dropped.allocated.unwrap();
    allocator::purge().unwrap();
    let purged = sizes();
    for (what, dropped, purged) in [
        ("by the operating system", dropped.rss, purged.rss),
        ("by the allocator", dropped.resident, purged.resident),
    ] {
        let returned = full.rss.unwrap().saturating_sub(purged.unwrap());
        println!("{what}: {dropped:?} resident when freed, {purged:?} after the purge");
        assert!(
            returned as f64 > 0.8 * freed as f64,
            "{what}: {returned} of {freed} returned"
        );
    }
    tikv_jemalloc_ctl::background_thread::write(true).unwrap();
}

fn an_idle_process_returns_its_peak_by_itself() {
    let held = hold(1024);
    let full = sizes().rss.unwrap();
    drop(held);
    let took = within(Duration::from_secs(60), || {
        full - sizes().rss.unwrap().min(full) > 800 * MB
    });
    println!("a peak of 1 GiB went by itself after {took:?}");
    assert!(took.is_some(), "{:?} of {full} are left", sizes());
}

fn a_forced_reclaim_returns_what_is_free_now() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let telemetry = Telemetry::new(tokio::time::Instant::now(), jiff::Timestamp::now()).unwrap();
        let (manager, task) = Manager::new(
            manager::Settings::default(),
            Arc::new(Process::default()),
            Arc::new(telemetry),
        );
        tokio::spawn(task.run(Arc::new(NoBrakes), tokio_util::sync::CancellationToken::new()));
        drop(hold(256));
        let done = manager.reclaim().await.unwrap();
        println!("{}", serde_json::to_string(&done).unwrap());
        let purge = done.actions.iter().find(|step| step.action == Action::Purge).unwrap();
        assert!(purge.bytes > 200 * MB, "{done:?}");
        assert!(
            done.message.ends_with("returned to the operating system"),
            "{}",
            done.message
        );
    });
}
