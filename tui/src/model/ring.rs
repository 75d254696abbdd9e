//! A bounded series of values in time, with explicit breaks where nothing was measured.

use std::collections::VecDeque;

use tokio::time::{Duration, Instant};

/// Values in the order of their times; `None` is a break, never a zero.
#[derive(Clone, Debug)]
pub struct Ring {
    points: VecDeque<(Instant, Option<f64>)>,
    keep: Duration,
}

impl Ring {
    /// A series that keeps as much time.
    pub fn new(keep: Duration) -> Self {
        Self {
            points: VecDeque::new(),
            keep,
        }
    }

    /// Adds a value; one that is not finite is a break.
    pub fn push(&mut self, at: Instant, value: Option<f64>) {
        self.points.push_back((at, value.filter(|value| value.is_finite())));
        while self
            .points
            .front()
            .is_some_and(|(first, _)| at.saturating_duration_since(*first) > self.keep)
        {
            self.points.pop_front();
        }
    }

    /// The newest value, unless the series ends in a break.
    pub fn last(&self) -> Option<f64> {
        self.points.back().and_then(|(_, value)| *value)
    }

    /// The largest value kept.
    pub fn max(&self) -> Option<f64> {
        self.points.iter().filter_map(|(_, value)| *value).reduce(f64::max)
    }

    /// The smallest and the largest value per column, for columns as those of [`Self::columns`].
    pub fn spans(&self, now: Instant, width: Duration, columns: usize) -> Vec<Option<(f64, f64)>> {
        let mut out: Vec<Option<(f64, f64)>> = vec![None; columns];
        for (at, value) in &self.points {
            let Some(value) = *value else { continue };
            let age = now.saturating_duration_since(*at).as_secs_f64() / width.as_secs_f64().max(1e-9);
            let age = age as usize;
            if age < columns {
                let slot = &mut out[columns - 1 - age];
                let (low, high) = slot.unwrap_or((value, value));
                *slot = Some((low.min(value), high.max(value)));
            }
        }
        out
    }

    /// One value per column for `columns` columns that end at `now` and are `width` long each. A column with
    /// several values shows the largest: a spike must not vanish. A column with none is a break.
    pub fn columns(&self, now: Instant, width: Duration, columns: usize) -> Vec<Option<f64>> {
        let mut out = vec![None; columns];
        for (at, value) in &self.points {
            let age = now.saturating_duration_since(*at).as_secs_f64() / width.as_secs_f64().max(1e-9);
            let age = age as usize;
            if age < columns {
                let slot = &mut out[columns - 1 - age];
                *slot = match (*slot, *value) {
                    (Some(have), Some(value)) => Some(f64::max(have, value)),
                    (have, value) => have.or(value),
                };
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn old_values_leave_and_a_spike_stays_visible() {
        let start = Instant::now();
        let mut ring = Ring::new(Duration::from_secs(60));
        for second in 0..120 {
            let value = if second == 100 { 9.0 } else { 1.0 };
            ring.push(start + Duration::from_secs(second), Some(value));
        }
        assert_eq!(ring.points.len(), 61);
        let spans = ring.spans(start + Duration::from_secs(119), Duration::from_secs(10), 6);
        assert_eq!((spans[4], spans[5]), (Some((1.0, 9.0)), Some((1.0, 1.0))));
        let columns = ring.columns(start + Duration::from_secs(119), Duration::from_secs(10), 6);
        assert_eq!(
            columns,
            [Some(1.0), Some(1.0), Some(1.0), Some(1.0), Some(9.0), Some(1.0)]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_break_is_a_break_and_no_zero() {
        let start = Instant::now();
        let mut ring = Ring::new(Duration::from_secs(60));
        ring.push(start, Some(f64::NAN));
        assert_eq!(ring.last(), None);
        assert_eq!(ring.columns(start, Duration::from_secs(1), 3), [None, None, None]);
    }
}
