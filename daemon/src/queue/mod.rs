//! The keyed work queue between triggers and workers (K38–K45).
//!
//! [`state::State`] is the queue as a pure machine: it takes the time as an argument and does no I/O, and is
//! tested against a naive model. [`Queue`] is the thin shell that workers wait on. A key is never lost, never
//! runs twice at a time, and is in the queue at most once: adds of the same key collapse.

use std::{borrow::Cow, time::Duration};

use neo4j_operator_shared::Kind;

mod shell;
pub mod state;

pub use shell::Queue;

use crate::reconcile::Key;

/// Why a key is worth looking at; lower comes first (K39).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Somebody changed the resource.
    Changed,
    /// Something that the resource depends on, or owns, changed.
    Owned,
    /// Time has come: requeue, retry, resync.
    Requeued,
    /// Seen in an initial list or a relist.
    Listed,
}

impl Priority {
    /// Every level, first first.
    pub const ALL: [Self; 4] = [Self::Changed, Self::Owned, Self::Requeued, Self::Listed];

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Owned => "owned",
            Self::Requeued => "requeued",
            Self::Listed => "listed",
        }
    }
}

/// What put a key into the queue, for the flight recorder.
pub type Trigger = Cow<'static, str>;

/// Bounds and pauses of the queue.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Pause after the first failure of a key; doubles with each further one.
    pub backoff_first: Duration,
    /// Longest pause.
    pub backoff_longest: Duration,
    /// A key that waited this long is taken before those of a higher level that waited less (no starvation).
    pub aging: Duration,
    /// For this long after a run, changes of what the key owns are gathered into one further run.
    pub gather: Duration,
    /// A key that is held back runs nevertheless once it has waited this long: memory may stay short for ever.
    pub held_longest: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            backoff_first: Duration::from_millis(100),
            backoff_longest: Duration::from_secs(5 * 60),
            aging: Duration::from_secs(10),
            // A StatefulSet makes its pods and claims within some tens of milliseconds.
            gather: Duration::from_millis(100),
            held_longest: Duration::from_secs(60),
        }
    }
}

/// A key that a worker has to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The key.
    pub key: Key,
    /// What put it into the queue.
    pub trigger: Trigger,
    /// How long it was due before a worker took it.
    pub waited: Duration,
    /// Failures in a row before this run.
    pub failures: u32,
}

/// How a run of a key ended, for the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It went well: forget its failures, and run again after the delay, if there is one.
    Done(Option<Duration>),
    /// It failed: run again after the backoff, or after the delay if one is given.
    Failed(Option<Duration>),
    /// It failed for good, until something changes.
    Terminal,
}

/// Figures of the keys of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct KindFigures {
    /// The kind, which is the label `controller`.
    pub kind: Kind,
    /// Keys that are due, per level.
    pub depth: [usize; Priority::ALL.len()],
    /// Keys that become due later.
    pub delayed: usize,
    /// Keys that are in backoff after a failure.
    pub backoff: usize,
    /// Keys that run.
    pub running: usize,
    /// How long the oldest due key has waited.
    pub oldest: Option<Duration>,
    /// How long the longest run has taken so far.
    pub longest_running: Option<Duration>,
    /// Sum over the running keys of how long they have run.
    pub unfinished: Duration,
    /// Adds since the start, collapsed ones too.
    pub adds: u64,
    /// Retries since the start.
    pub retries: u64,
}

/// Figures of the queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// One row per kind that was ever added.
    pub kinds: Vec<KindFigures>,
    /// Whether it gives out nothing for now.
    pub paused: bool,
    /// The most keys that run at a time, where there is less than the workers could do.
    pub limit: Option<usize>,
    /// The first of the levels that are held back for now.
    pub held: Option<Priority>,
}

impl Figures {
    /// Keys that are due.
    pub fn depth(&self) -> usize {
        self.kinds.iter().map(|kind| kind.depth.iter().sum::<usize>()).sum()
    }
}
