//! Sliding windows of five minutes, in thirty buckets of ten seconds: a rate, and a quantile of durations.
//! Memory is fixed; the clock is an argument.

use std::time::Duration;

use tokio::time::Instant;

use super::catalogue::reconcile_bounds;

const BUCKETS: usize = 30;
const BUCKET: Duration = Duration::from_secs(10);
const BOUNDS: usize = 22; // 21 bounds and the rest

/// Counts of the last five minutes.
#[derive(Debug)]
pub struct Rate(Ring<u64>);

/// Durations of the last five minutes, as a histogram.
#[derive(Debug)]
pub struct Durations {
    ring: Ring<[u32; BOUNDS]>,
    bounds: Vec<f64>,
}

#[derive(Debug)]
struct Ring<T> {
    start: Instant,
    newest: u64,
    slots: [T; BUCKETS],
}

impl<T: Default + Copy> Ring<T> {
    fn new(start: Instant) -> Self {
        Self {
            start,
            newest: 0,
            slots: [T::default(); BUCKETS],
        }
    }

    /// The slot of `now`; those in between, which nothing fell into, are emptied.
    fn at(&mut self, now: Instant) -> &mut T {
        let index = (now.saturating_duration_since(self.start).as_millis() / BUCKET.as_millis()) as u64;
        if index > self.newest {
            for passed in (self.newest + 1..=index).rev().take(BUCKETS) {
                self.slots[passed as usize % BUCKETS] = T::default();
            }
            self.newest = index;
        }
        &mut self.slots[self.newest as usize % BUCKETS]
    }

    /// How long the window is at `now`: shorter than five minutes after the start.
    fn length(&self, now: Instant) -> Duration {
        let age = now.saturating_duration_since(self.start);
        let in_newest = Duration::from_millis((age.as_millis() % BUCKET.as_millis()) as u64);
        age.min(BUCKET * (BUCKETS as u32 - 1) + in_newest)
    }
}

impl Rate {
    /// An empty window.
    pub fn new(start: Instant) -> Self {
        Self(Ring::new(start))
    }

    /// Counts one.
    pub fn count(&mut self, now: Instant) {
        *self.0.at(now) += 1;
    }

    /// Mean per second; nothing in the first ten seconds, which say little.
    pub fn per_second(&mut self, now: Instant) -> Option<f64> {
        self.0.at(now);
        let length = self.0.length(now);
        (length >= BUCKET).then(|| self.0.slots.iter().sum::<u64>() as f64 / length.as_secs_f64())
    }
}

impl Durations {
    /// An empty window.
    pub fn new(start: Instant) -> Self {
        Self {
            ring: Ring::new(start),
            bounds: reconcile_bounds(),
        }
    }

    /// Takes one duration.
    pub fn observe(&mut self, now: Instant, seconds: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < seconds);
        self.ring.at(now)[bucket.min(BOUNDS - 1)] += 1;
    }

    /// The upper bound of the bucket that holds the quantile; nothing without observations.
    pub fn quantile(&mut self, now: Instant, quantile: f64) -> Option<f64> {
        self.ring.at(now);
        let mut sums = [0_u64; BOUNDS];
        for slot in &self.ring.slots {
            for (sum, count) in sums.iter_mut().zip(slot) {
                *sum += u64::from(*count);
            }
        }
        let total: u64 = sums.iter().sum();
        if total == 0 {
            return None;
        }
        let rank = (quantile * total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let bucket = sums.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        // Beyond the last bound nothing is known but that it is more.
        Some(self.bounds.get(bucket).copied().unwrap_or(f64::INFINITY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_forgets_what_is_older_than_five_minutes() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        for second in 0..10 {
            rate.count(start + Duration::from_secs(second));
        }
        assert_eq!(rate.per_second(start + Duration::from_secs(5)), None, "too early");
        assert_eq!(rate.per_second(start + Duration::from_secs(10)), Some(1.0));
        assert_eq!(rate.per_second(start + Duration::from_secs(100)), Some(0.1));
        assert_eq!(rate.per_second(start + Duration::from_secs(400)), Some(0.0));
        assert_eq!(rate.per_second(start + Duration::from_secs(40_000)), Some(0.0));
    }

    #[test]
    fn a_quantile_is_the_bound_above_it_and_absent_without_data() {
        let start = Instant::now();
        let mut durations = Durations::new(start);
        assert_eq!(durations.bounds.len() + 1, BOUNDS);
        assert_eq!(durations.quantile(start, 0.95), None);
        for _ in 0..95 {
            durations.observe(start, 0.003);
        }
        for _ in 0..5 {
            durations.observe(start, 7.0);
        }
        assert_eq!(durations.quantile(start, 0.95), Some(0.004));
        assert_eq!(durations.quantile(start, 0.96), Some(8.192));
        assert_eq!(durations.quantile(start + Duration::from_secs(310), 0.5), None);
        durations.observe(start + Duration::from_secs(311), 1000.0);
        assert_eq!(
            durations.quantile(start + Duration::from_secs(311), 0.5),
            Some(f64::INFINITY)
        );
    }
}
