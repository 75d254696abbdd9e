//! What was counted, as plain figures.

use std::time::Duration;

use neo4j_operator_shared::cache::MissReason as Miss;

use super::latency::Latency;

/// What a read asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) enum Op {
    /// One object.
    Get,
    /// The chosen objects of a namespace.
    List,
}

/// How a read was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) enum Outcome {
    /// By the store.
    Hit,
    /// By the server, though a cache could have.
    Miss(Miss),
    /// By the server, as it must be.
    Bypass,
}

/// The reads of one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cache) struct Ended {
    /// Answered by the store.
    pub hits: u64,
    /// Answered by the server, in the order of [`Miss::ALL`].
    pub misses: [u64; Miss::ALL.len()],
    /// Never answerable by a store.
    pub bypasses: u64,
    /// Of the hits and misses: those that a store of the selection answers.
    pub covered: u64,
    /// Requests beyond the first one of a read: further pages, objects read one by one.
    pub more: u64,
}

impl Ended {
    /// Misses for one reason.
    pub fn missed(&self, reason: Miss) -> u64 {
        self.misses[reason as usize]
    }

    /// Reads that were answered by the server though a cache could have.
    pub fn live(&self) -> u64 {
        self.misses.iter().sum()
    }

    /// Reads that a cache can answer.
    pub fn reads(&self) -> u64 {
        self.hits + self.live()
    }

    /// Requests that a live read takes.
    pub fn requests_each(&self) -> f64 {
        match self.live() + self.bypasses {
            0 => 1.0,
            live => 1.0 + self.more as f64 / live as f64,
        }
    }
}

/// The reads of one kind over some time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::cache) struct Observed {
    /// How much time the counts cover; less than asked for when the process is younger.
    pub span: Duration,
    /// Reads of one object.
    pub gets: Ended,
    /// Reads of many.
    pub lists: Ended,
    /// How long the server took for one object.
    pub live_get: Latency,
    /// How long the server took for a list.
    pub live_list: Latency,
    /// How long the store took.
    pub cached: Latency,
    /// How long ago it was last read, of all time; `None` if never.
    pub unread: Option<Duration>,
}

impl Observed {
    /// Reads that a cache can answer.
    pub fn reads(&self) -> u64 {
        self.gets.reads() + self.lists.reads()
    }

    /// Misses for one reason.
    pub fn missed(&self, reason: Miss) -> u64 {
        self.gets.missed(reason) + self.lists.missed(reason)
    }

    /// Hits ÷ cacheable reads.
    pub fn hit_rate(&self) -> Option<f64> {
        let reads = self.reads();
        (reads > 0).then(|| (self.gets.hits + self.lists.hits) as f64 / reads as f64)
    }

    /// So many per second.
    pub fn rate(&self, count: f64) -> f64 {
        let seconds = self.span.as_secs_f64();
        if seconds > 0.0 { count / seconds } else { 0.0 }
    }
}
