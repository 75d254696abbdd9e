//! How reads of one kind were answered: since the start, and over the last five minutes.
//!
//! Counters only, no lock: a read pays for one or two atomic additions.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use neo4j_operator_shared::cache::{MissReason as Miss, Reads};
use tokio::time::Instant;

/// Buckets of the sliding window, and the length of each.
const BUCKETS: usize = 30;
const BUCKET: Duration = Duration::from_secs(10);

/// Counters of one kind.
#[derive(Debug)]
pub(super) struct Counts {
    started: Instant,
    hits: AtomicU64,
    misses: [AtomicU64; Miss::ALL.len()],
    bypasses: AtomicU64,
    window: [Bucket; BUCKETS],
}

/// Hits and all cacheable reads of one span of ten seconds; `round` says which span it counts now.
#[derive(Debug, Default)]
struct Bucket {
    round: AtomicU64,
    hits: AtomicU64,
    reads: AtomicU64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            hits: AtomicU64::new(0),
            misses: std::array::from_fn(|_| AtomicU64::new(0)),
            bypasses: AtomicU64::new(0),
            window: std::array::from_fn(|_| Bucket::default()),
        }
    }
}

impl Counts {
    fn round(&self) -> u64 {
        // The first round is one, so that an untouched bucket belongs to none.
        (self.started.elapsed().as_millis() / BUCKET.as_millis()) as u64 + 1
    }

    fn note(&self, hit: bool) {
        let round = self.round();
        let bucket = &self.window[round as usize % BUCKETS];
        let known = bucket.round.load(Ordering::Acquire);
        // Whoever turns the bucket over empties it; a read counted in the same instant may be lost, no more.
        if known != round
            && bucket
                .round
                .compare_exchange(known, round, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
        {
            bucket.hits.store(0, Ordering::Relaxed);
            bucket.reads.store(0, Ordering::Relaxed);
        }
        bucket.hits.fetch_add(u64::from(hit), Ordering::Relaxed);
        bucket.reads.fetch_add(1, Ordering::Relaxed);
    }

    /// The store answered.
    pub(super) fn hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
        self.note(true);
    }

    /// The server was asked instead.
    pub(super) fn miss(&self, reason: Miss) {
        self.misses[reason as usize].fetch_add(1, Ordering::Relaxed);
        self.note(false);
    }

    /// The read is never answered from a cache.
    pub(super) fn bypass(&self) {
        self.bypasses.fetch_add(1, Ordering::Relaxed);
    }

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
        let round = self.round();
        self.window
            .iter()
            .filter(|bucket| {
                let known = bucket.round.load(Ordering::Acquire);
                known > 0 && known + BUCKETS as u64 > round
            })
            .fold((0, 0), |(hits, reads), bucket| {
                (
                    hits + bucket.hits.load(Ordering::Relaxed),
                    reads + bucket.reads.load(Ordering::Relaxed),
                )
            })
    }
}

/// Hits ÷ reads, if there were any.
pub(super) fn rate((hits, reads): (u64, u64)) -> Option<f64> {
    (reads > 0).then(|| hits as f64 / reads as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_hit_rate_is_that_of_the_last_five_minutes_and_absent_without_reads() {
        let counts = Counts::default();
        assert_eq!(rate(counts.recent()), None);
        counts.miss(Miss::Cold);
        counts.bypass();
        tokio::time::advance(Duration::from_secs(200)).await;
        counts.hit();
        assert_eq!(rate(counts.recent()), Some(0.5));
        tokio::time::advance(Duration::from_secs(150)).await;
        assert_eq!(rate(counts.recent()), Some(1.0));
        tokio::time::advance(Duration::from_secs(300)).await;
        assert_eq!(rate(counts.recent()), None);
        assert_eq!(
            counts.reads(),
            Reads {
                hit: 1,
                miss: 1,
                fallback: 0,
                bypass: 1
            }
        );
    }

    #[test]
    fn every_miss_has_one_reason_and_filtered_ones_are_the_fallbacks() {
        let counts = Counts::default();
        for miss in Miss::ALL {
            counts.miss(miss);
        }
        let reads = counts.reads();
        assert_eq!((reads.miss, reads.fallback), (4, 1));
        assert!(counts.misses().values().all(|count| *count == 1));
        assert_eq!(counts.misses().len(), Miss::ALL.len());
    }
}
