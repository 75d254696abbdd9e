//! The campaign: strategies are changed while others write and the watches are in trouble, and nothing is lost, nothing
//! goes back in time, and the end is what the server has (L12).
//!
//! ```text
//! field    who writes: others, and now and then ourselves; whose keys run
//! readers  who reads, from the caches and past them
//! changes  all ordered pairs of strategies, for all kinds and for one
//! storm    trouble between the server and the cache
//! truth    what really happened, and which answers can be true
//! story    how it came about
//! compare  the end, under every strategy
//! target   the embedded API server in paused time, or a real one
//! ```
//!
//! | run | does |
//! |---|---|
//! | `make test` | on the embedded server, all pairs of one seed |
//! | `TARGET=real` | the same on a real API server, within its time |
//! | `make campaign` | `SCOPE=full`: 20,000 writes and more for each of `SEEDS` seeds, from `SEED` on; `SCOPE=quick`: as `make test` |
//!
//! One seed is one plan: what each writer writes, what each reader reads, which change comes after which, and what
//! happens to the how many-th request and event of each kind. How these fall together is not, even in paused time: the
//! jitter of backoffs and the order within the cache's hash tables differ from process to process, and `select!` chooses
//! freely between what is ready at the same moment; on a real server there is its own time besides. So a seed that fails
//! may have to be run again to fail, and a violation comes with the story of its object ([`story`]).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod changes;
mod compare;
mod dice;
mod field;
mod readers;
mod storm;
mod story;
mod target;
mod truth;

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use neo4j_operator::{
    cache::{Limits, ReadSource, Router, Settings},
    queue::{self, Queue},
};
use neo4j_operator_tests::harness::target::Target;
use tokio_util::sync::CancellationToken;

use crate::{
    changes::PAIRS,
    field::{Field, WRITERS, Writer},
    storm::{Planted, Rates, Storm},
    story::Story,
    target::Place,
    truth::Truth,
};

/// Who reads at a time.
const READERS: u64 = 4;

/// What a campaign does.
#[derive(Clone, Copy, Debug)]
struct Plan {
    target: Target,
    seed: u64,
    /// At least.
    writes: u64,
    /// At most.
    changes: u64,
    /// How long one kind may take to get ready.
    deadline: Duration,
    /// A list that only just gets ready, and one that does not.
    slow: (Duration, Duration),
    rates: Rates,
    planted: Planted,
}

/// What came of it.
#[derive(Debug, Default)]
struct Report {
    writes: u64,
    reads: BTreeMap<&'static str, u64>,
    runs: u64,
    changes: u64,
    turned_back: u64,
    /// Ordered pairs of strategies, for all kinds and for one.
    pairs: (usize, usize),
    longest_read: Duration,
    longest_change: Duration,
    violations: Vec<String>,
    /// Owners that did not run after the last change of what they own.
    asleep: Vec<String>,
}

impl Report {
    fn read(&mut self, source: ReadSource, took: Duration) {
        *self.reads.entry(source.as_str()).or_default() += 1;
        self.longest_read = self.longest_read.max(took);
    }
}

impl Plan {
    fn new(target: Target, seed: u64) -> Self {
        let seconds = |(deadline, slow, too_slow)| {
            let seconds = Duration::from_secs;
            (seconds(deadline), (seconds(slow), seconds(too_slow)))
        };
        let full = std::env::var("SCOPE").is_ok_and(|scope| scope == "full");
        // A request for a list may take 30 s, and a kind 60 s to get ready; shorter where time is short.
        let (deadline, slow) = seconds(match target {
            Target::Real => (4, 2, 6),
            Target::Embedded if full => (60, 25, 65),
            Target::Embedded => (8, 5, 10),
        });
        Self {
            target,
            seed,
            writes: match (target, full) {
                (Target::Real, _) => 1_000,
                (_, false) => 2_000,
                (_, true) => 20_000,
            },
            changes: u64::MAX,
            deadline,
            slow,
            rates: target::rates(target),
            planted: Planted::Nothing,
        }
    }
}

async fn begin(plan: Plan, place: &Place) -> Rc<Field> {
    let story = Story::begin();
    let storm = Storm::new(plan.seed, plan.rates, plan.planted, &story);
    let queue = Queue::new(queue::Settings {
        gather: Duration::ZERO,
        ..queue::Settings::default()
    });
    let settings = Settings {
        limits: Limits {
            pause: Duration::ZERO,
            deadline: plan.deadline,
            ..Limits::default()
        },
        ..Settings::default()
    };
    let client = storm.through(&place.client);
    let router = Router::start(client.clone(), &settings, queue.clone(), Arc::new(()));
    router.synced().await;
    Rc::new(Field {
        plan,
        client: place.client.clone(),
        router,
        untold: Router::direct(client),
        queue,
        storm,
        truth: RefCell::new(Truth::new(&story)),
        report: RefCell::default(),
        written: CancellationToken::new(),
        over: CancellationToken::new(),
    })
}

async fn play(plan: Plan) -> Report {
    let place = Place::start(plan.target, plan.seed).await;
    let field = begin(plan, &place).await;
    let mut writers: Vec<Writer> = (0..WRITERS).map(|number| Writer::new(&field, number)).collect();
    let readers = (0..READERS).map(|number| {
        let field = Rc::clone(&field);
        tokio::task::spawn_local(async move { field.keep_reading(number).await })
    });
    let readers: Vec<_> = readers.collect();
    let worker = Rc::clone(&field);
    tokio::task::spawn_local(async move { worker.work().await });

    field.storm.blow(true);
    futures::future::join(
        futures::future::join_all(writers.iter_mut().map(Writer::write_on)),
        async {
            field.change_all().await;
            field.written.cancel();
        },
    )
    .await;
    // Once more without a change, whose lists would heal what the watches lost.
    futures::future::join_all(writers.iter_mut().map(|writer| writer.write(50))).await;
    field.over.cancel();
    futures::future::join_all(readers).await;
    field.storm.blow(false);

    field.settle().await;
    field.compare().await;
    let asleep = field.truth.borrow().lost();
    field.compare_each().await;
    field.router.stop().await;
    let mut report = field.report.take();
    report.asleep = asleep;
    report.violations.clone_from(&field.truth.borrow().violations);
    report
}

/// On one thread, and on the embedded server in paused time.
fn run(plan: Plan) -> Report {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(plan.target.is_embedded());
    tokio::task::LocalSet::new().block_on(&runtime.build().unwrap(), play(plan))
}

fn number(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name).unwrap_or_default();
    if text.is_empty() {
        otherwise
    } else {
        text.parse().unwrap()
    }
}

#[test]
fn nothing_is_lost_and_nothing_goes_back_in_time_while_strategies_change() {
    let target = Target::from_env().unwrap();
    let first = number("SEED", 1);
    for seed in first..first + number("SEEDS", 1) {
        let began = std::time::Instant::now();
        let report = run(Plan::new(target, seed));
        println!(
            "seed {seed}: {} writes, reads {:?}, {} runs of keys, {} changes of which {} turned back, longest read {:?}, \
             longest change {:?}, {} violations, {} owners not woken, {:.1} s",
            report.writes,
            report.reads,
            report.runs,
            report.changes,
            report.turned_back,
            report.longest_read,
            report.longest_change,
            report.violations.len(),
            report.asleep.len(),
            began.elapsed().as_secs_f64(),
        );
        let found: Vec<String> = report
            .violations
            .iter()
            .chain(&report.asleep)
            .take(10)
            .cloned()
            .collect();
        assert!(found.is_empty(), "SEED={seed}:\n{}", found.join("\n"));
        assert_eq!(report.pairs, (PAIRS, PAIRS), "SEED={seed}");
        assert!(report.turned_back >= 4, "SEED={seed}: {report:?}");
    }
}

/// In a calm storm, so that nothing heals what is planted, and nothing else is found.
fn planted(planted: Planted) -> Report {
    let calm = Rates {
        ends: 0,
        cut: 0,
        gone: 0,
        failed: 0,
        twice: 0,
        pieces: 0,
    };
    run(Plan {
        writes: 0,
        changes: 12,
        rates: calm,
        planted,
        ..Plan::new(Target::Embedded, 1)
    })
}

#[test]
fn without_a_planted_fault_nothing_is_found() {
    let report = planted(Planted::Nothing);
    assert_eq!((report.violations, report.asleep), (Vec::new(), Vec::new()));
}

#[test]
fn an_event_or_a_deletion_that_is_lost_without_a_word_is_found() {
    for fault in [Planted::EventsLost, Planted::DeletesLost] {
        let report = planted(fault);
        assert!(!report.violations.is_empty(), "{fault:?} is not seen in what is read");
        assert!(!report.asleep.is_empty(), "{fault:?} is not seen in what runs");
    }
}

#[test]
fn a_store_that_is_read_before_it_is_complete_is_found() {
    assert!(!planted(Planted::TornLists).violations.is_empty());
}

#[test]
fn a_read_that_goes_back_in_time_is_found() {
    for fault in [Planted::FloorsForgotten, Planted::OwnWritesForgotten] {
        assert!(!planted(fault).violations.is_empty(), "{fault:?}");
    }
}

#[test]
fn a_key_that_is_not_run_is_found() {
    assert!(!planted(Planted::KeysLost).asleep.is_empty());
}
