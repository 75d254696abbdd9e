//! How reads of one kind were answered: since the start, over the last five minutes, and over the last hours
//! for what forecasts rest on.
//!
//! Counters only, no lock: a read pays for about ten atomic additions, most of them to lines that no other
//! kind touches.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use neo4j_operator_shared::cache::{MissReason as Miss, Reads};
use tokio::time::Instant;

mod latency;
mod observed;
mod ring;

use self::{
    latency::Histogram,
    ring::{Ring, Slot},
};
pub(in crate::cache) use self::{
    latency::Latency,
    observed::{Ended, Observed, Op, Outcome},
};

/// The window of the hit rate, and the longest that is counted in fine steps.
pub(super) const RECENT: Duration = Duration::from_secs(300);
const FINE: Duration = Duration::from_secs(10);
const FINE_SLOTS: usize = 30;
/// The windows of forecasts.
const COARSE: Duration = Duration::from_secs(1800);
const COARSE_SLOTS: usize = 12;
/// Upper bound of the first bucket of what the store, and the server, takes. Nanoseconds.
const CACHED_BASE: u64 = 250;
const LIVE_BASE: u64 = 128_000;

/// Counters of one kind.
#[derive(Debug)]
pub(super) struct Counts {
    started: Instant,
    hits: AtomicU64,
    misses: [AtomicU64; Miss::ALL.len()],
    bypasses: AtomicU64,
    /// Milliseconds from the start to the last read, plus one; zero if there was none.
    last: AtomicU64,
    fine: Ring<Tallies, FINE_SLOTS>,
    coarse: Ring<Hours, COARSE_SLOTS>,
}

/// The reads of one operation within one slot.
#[derive(Debug, Default)]
struct Tally {
    hits: AtomicU32,
    misses: [AtomicU32; Miss::ALL.len()],
    bypasses: AtomicU32,
    covered: AtomicU32,
    more: AtomicU32,
}

/// The reads of both operations.
#[derive(Debug, Default)]
struct Tallies {
    gets: Tally,
    lists: Tally,
}

/// What a long slot counts besides.
#[derive(Debug, Default)]
struct Hours {
    tallies: Tallies,
    live_get: Histogram<LIVE_BASE>,
    live_list: Histogram<LIVE_BASE>,
    cached: Histogram<CACHED_BASE>,
}

impl Tally {
    fn note(&self, outcome: Outcome, covered: bool) {
        let add = |counter: &AtomicU32| counter.fetch_add(1, Ordering::Relaxed);
        match outcome {
            Outcome::Hit => add(&self.hits),
            Outcome::Miss(reason) => add(&self.misses[reason as usize]),
            Outcome::Bypass => add(&self.bypasses),
        };
        if covered && outcome != Outcome::Bypass {
            add(&self.covered);
        }
    }

    fn empty(&self) {
        let counters = [&self.hits, &self.bypasses, &self.covered, &self.more];
        for counter in counters.into_iter().chain(&self.misses) {
            counter.store(0, Ordering::Relaxed);
        }
    }

    fn add_to(&self, sum: &mut Ended) {
        let of = |counter: &AtomicU32| u64::from(counter.load(Ordering::Relaxed));
        sum.hits += of(&self.hits);
        sum.bypasses += of(&self.bypasses);
        sum.covered += of(&self.covered);
        sum.more += of(&self.more);
        for (sum, counter) in sum.misses.iter_mut().zip(&self.misses) {
            *sum += of(counter);
        }
    }
}

impl Tallies {
    fn of(&self, op: Op) -> &Tally {
        match op {
            Op::Get => &self.gets,
            Op::List => &self.lists,
        }
    }
}

impl Slot for Tallies {
    fn empty(&self) {
        self.gets.empty();
        self.lists.empty();
    }
}

impl Slot for Hours {
    fn empty(&self) {
        self.tallies.empty();
        self.live_get.empty();
        self.live_list.empty();
        self.cached.empty();
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            hits: AtomicU64::new(0),
            misses: std::array::from_fn(|_| AtomicU64::new(0)),
            bypasses: AtomicU64::new(0),
            last: AtomicU64::new(0),
            fine: Ring::new(FINE),
            coarse: Ring::new(COARSE),
        }
    }
}

// === impl Counts: counting ===

impl Counts {
    /// Counts a read. `covered`: whether a store of what the kind's selector selects would have answered it,
    /// whatever strategy is in force. `elapsed`: how long it took, if that was measured.
    pub(super) fn read(&self, op: Op, outcome: Outcome, covered: bool, elapsed: impl Into<Option<Duration>>) {
        let now = self.started.elapsed();
        match outcome {
            Outcome::Hit => self.hits.fetch_add(1, Ordering::Relaxed),
            Outcome::Miss(reason) => self.misses[reason as usize].fetch_add(1, Ordering::Relaxed),
            Outcome::Bypass => self.bypasses.fetch_add(1, Ordering::Relaxed),
        };
        self.fine.at(now).of(op).note(outcome, covered);
        let hours = self.coarse.at(now);
        hours.tallies.of(op).note(outcome, covered);
        if let Some(elapsed) = elapsed.into() {
            match (outcome, op) {
                (Outcome::Hit, _) => hours.cached.note(elapsed),
                (_, Op::Get) => hours.live_get.note(elapsed),
                (_, Op::List) => hours.live_list.note(elapsed),
            }
        }
        // A guard read says nothing about whether keeping the kind pays.
        if outcome != Outcome::Bypass {
            let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX - 1);
            self.last.fetch_max(millis + 1, Ordering::Relaxed);
        }
    }

    /// A live read took so many requests beyond the first one.
    pub(super) fn more_requests(&self, op: Op, requests: u32) {
        let now = self.started.elapsed();
        let add = |tally: &Tally| tally.more.fetch_add(requests, Ordering::Relaxed);
        add(self.fine.at(now).of(op));
        add(self.coarse.at(now).tallies.of(op));
    }

    /// From now on it counts as in use.
    pub(super) fn touch(&self) {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.last.fetch_max(millis + 1, Ordering::Relaxed);
    }
}

// === impl Counts: figures ===

impl Counts {
    /// Reads by result since the start.
    pub(super) fn reads(&self) -> Reads {
        let of = |miss: Miss| self.misses[miss as usize].load(Ordering::Relaxed);
        let fallback = of(Miss::Filtered);
        Reads {
            hit: self.hits.load(Ordering::Relaxed),
            miss: Miss::ALL.into_iter().map(of).sum::<u64>() - fallback,
            fallback,
            bypass: self.bypasses.load(Ordering::Relaxed),
        }
    }

    /// Misses and fallbacks by reason since the start.
    pub(super) fn misses(&self) -> BTreeMap<Miss, u64> {
        let of = |miss: Miss| (miss, self.misses[miss as usize].load(Ordering::Relaxed));
        Miss::ALL.into_iter().map(of).filter(|(_, count)| *count > 0).collect()
    }

    /// Hits and cacheable reads of the last five minutes.
    pub(super) fn recent(&self) -> (u64, u64) {
        let (gets, lists) = self.sum_recent(RECENT);
        (gets.hits + lists.hits, gets.reads() + lists.reads())
    }

    fn sum_recent(&self, window: Duration) -> (Ended, Ended) {
        let slots = self.fine.within(self.started.elapsed(), window);
        sum(slots)
    }

    /// How long ago it was last read, guard reads aside; `None` if never.
    pub(super) fn unread(&self) -> Option<Duration> {
        let last = self.last.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.started.elapsed().saturating_sub(Duration::from_millis(last)))
    }

    /// The reads of the last `window`: up to five minutes in steps of ten seconds, beyond, up to six hours, in
    /// steps of half an hour. Latencies are always those of whole half hours.
    pub(super) fn observed(&self, window: Duration) -> Observed {
        let now = self.started.elapsed();
        let ((gets, lists), span) = if window <= RECENT {
            (self.sum_recent(window), self.fine.covered(now, window))
        } else {
            let slots = self.coarse.within(now, window).map(|hours| &hours.tallies);
            (sum(slots), self.coarse.covered(now, window))
        };
        let hours = || self.coarse.within(now, window.max(2 * COARSE));
        Observed {
            span,
            gets,
            lists,
            live_get: Histogram::sum(hours().map(|hours| &hours.live_get)),
            live_list: Histogram::sum(hours().map(|hours| &hours.live_list)),
            cached: Histogram::sum(hours().map(|hours| &hours.cached)),
            unread: self.unread(),
        }
    }
}

fn sum<'a>(slots: impl Iterator<Item = &'a Tallies>) -> (Ended, Ended) {
    slots.fold(Default::default(), |(mut gets, mut lists), slot| {
        slot.gets.add_to(&mut gets);
        slot.lists.add_to(&mut lists);
        (gets, lists)
    })
}

/// Hits ÷ reads, if there were any.
pub(super) fn rate((hits, reads): (u64, u64)) -> Option<f64> {
    (reads > 0).then(|| hits as f64 / reads as f64)
}

#[cfg(test)]
mod tests;
