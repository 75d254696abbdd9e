//! How long reads take: a histogram of fixed buckets, two to each doubling.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// Buckets: the first one is below the base, the last one open.
const BUCKETS: usize = 32;

/// A histogram; `BASE` is the upper bound of the first bucket in nanoseconds.
#[derive(Debug)]
pub(super) struct Histogram<const BASE: u64> {
    buckets: [AtomicU32; BUCKETS],
}

impl<const BASE: u64> Default for Histogram<BASE> {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU32::new(0)),
        }
    }
}

impl<const BASE: u64> Histogram<BASE> {
    pub(super) fn note(&self, elapsed: Duration) {
        let times = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX) / BASE;
        let place = if times == 0 {
            0
        } else {
            let octave = times.ilog2();
            // The bit below the highest one: whether it is above one and a half times the power of two.
            let half = if octave == 0 {
                // Whole multiples are too coarse here.
                u64::from(elapsed.as_nanos() as u64 >= BASE + BASE / 2)
            } else {
                (times >> (octave - 1)) & 1
            };
            1 + 2 * octave as usize + half as usize
        };
        self.buckets[place.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn empty(&self) {
        for bucket in &self.buckets {
            bucket.store(0, Ordering::Relaxed);
        }
    }

    /// Sums histograms and reads off what a forecast needs.
    pub(super) fn sum<'a>(parts: impl Iterator<Item = &'a Self>) -> Latency {
        let mut counts = [0_u64; BUCKETS];
        for part in parts {
            for (sum, bucket) in counts.iter_mut().zip(&part.buckets) {
                *sum += u64::from(bucket.load(Ordering::Relaxed));
            }
        }
        Latency {
            count: counts.iter().sum(),
            median: quantile(&counts, BASE, 0.5),
            p99: quantile(&counts, BASE, 0.99),
        }
    }
}

/// Seconds at which a bucket begins.
fn edge(base: u64, bucket: usize) -> f64 {
    let Some(steps) = bucket.checked_sub(1) else { return 0.0 };
    let half = if steps % 2 == 1 { 1.5 } else { 1.0 };
    base as f64 * 1e-9 * 2_f64.powi(steps as i32 / 2) * half
}

/// The value below which a share of all lies, as if each bucket were filled evenly.
fn quantile(counts: &[u64; BUCKETS], base: u64, share: f64) -> f64 {
    let wanted = counts.iter().sum::<u64>() as f64 * share;
    let mut below = 0.0;
    for (bucket, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let count = *count as f64;
        if below + count >= wanted {
            let (from, to) = (edge(base, bucket), edge(base, bucket + 1));
            return from + (to - from) * ((wanted - below) / count).clamp(0.0, 1.0);
        }
        below += count;
    }
    0.0
}

/// How long some reads took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::cache) struct Latency {
    /// How many.
    pub count: u64,
    /// Seconds; zero if there were none.
    pub median: f64,
    /// Seconds; zero if there were none.
    pub p99: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn the_median_is_within_a_quarter_of_the_truth_over_the_whole_range() {
        for micros in [1_100_u64, 1_700, 2_600, 5_000, 9_999, 47_000, 480_000] {
            let histogram = Histogram::<MS>::default();
            for _ in 0..9 {
                histogram.note(Duration::from_micros(micros));
            }
            let found = Histogram::sum(std::iter::once(&histogram));
            let truth = micros as f64 * 1e-6;
            assert!((found.median - truth).abs() / truth < 0.25, "{micros} µs: {found:?}");
            assert!(found.p99 >= found.median);
        }
    }

    #[test]
    fn what_is_very_short_or_very_long_is_counted_at_the_ends() {
        let histogram = Histogram::<MS>::default();
        histogram.note(Duration::ZERO);
        histogram.note(Duration::from_secs(100_000));
        let found = Histogram::sum(std::iter::once(&histogram));
        assert_eq!(found.count, 2);
        assert!(found.median <= 0.001, "{found:?}");
        histogram.empty();
        assert_eq!(Histogram::sum(std::iter::once(&histogram)), Latency::default());
    }

    #[test]
    fn a_value_lies_between_the_edges_of_its_bucket() {
        for nanos in (0..64).map(|step| MS / 2 + step * MS / 3) {
            let histogram = Histogram::<MS>::default();
            histogram.note(Duration::from_nanos(nanos));
            let place = histogram
                .buckets
                .iter()
                .position(|one| one.load(Ordering::Relaxed) == 1);
            let place = place.unwrap();
            let value = nanos as f64 * 1e-9;
            assert!(
                edge(MS, place) <= value + 1e-12 && value < edge(MS, place + 1),
                "{nanos}"
            );
        }
    }
}
