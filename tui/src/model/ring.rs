//! A bounded series of values in time, with explicit breaks where nothing was measured.

use std::collections::VecDeque;

use tokio::time::{Duration, Instant};

use super::axis::Window;

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

    /// When the oldest value was taken.
    pub fn first(&self) -> Option<Instant> {
        self.points.front().map(|(at, _)| *at)
    }

    /// The largest value inside a window.
    pub fn max_in(&self, window: Window) -> Option<f64> {
        self.within(window).filter_map(|(_, value)| *value).reduce(f64::max)
    }

    /// The smallest and the largest value per column, for columns as those of [`Self::columns`].
    pub fn spans(&self, window: Window, columns: usize) -> Vec<Option<(f64, f64)>> {
        let mut out: Vec<Option<(f64, f64)>> = vec![None; columns];
        for (at, value) in self.within(window) {
            if let (Some(column), Some(value)) = (window.column(*at, columns), *value) {
                let (low, high) = out[column].unwrap_or((value, value));
                out[column] = Some((low.min(value), high.max(value)));
            }
        }
        out
    }

    /// One value per column, oldest first. A column with several values shows the largest: a spike must not
    /// vanish. A column with none is a break.
    pub fn columns(&self, window: Window, columns: usize) -> Vec<Option<f64>> {
        let spans = self.spans(window, columns);
        spans.into_iter().map(|span| span.map(|(_, high)| high)).collect()
    }

    /// The value that was known at a moment: the newest one up to it, unless that is a break or older than
    /// `patience`.
    pub fn at(&self, moment: Instant, patience: Duration) -> Option<f64> {
        let after = self.points.partition_point(|(at, _)| *at <= moment);
        let (at, value) = self.points.get(after.checked_sub(1)?)?;
        value.filter(|_| moment.saturating_duration_since(*at) <= patience)
    }

    /// The first moment after another at which a value was at least this large.
    pub fn first_reach(&self, after: Instant, value: f64) -> Option<Instant> {
        let from = self.points.partition_point(|(at, _)| *at <= after);
        let reaches = |point: &&(Instant, Option<f64>)| point.1.is_some_and(|have| have >= value);
        self.points.range(from..).find(reaches).map(|(at, _)| *at)
    }

    /// Points are in order of time, so that what lies outside is never looked at.
    fn within(&self, window: Window) -> impl Iterator<Item = &(Instant, Option<f64>)> {
        let start = window.start();
        let from = start.map_or(0, |start| self.points.partition_point(|(at, _)| *at <= start));
        let to = self.points.partition_point(|(at, _)| *at <= window.end);
        self.points.range(from.min(to)..to)
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
        let window = Window {
            end: start + Duration::from_secs(119),
            range: Duration::from_secs(60),
        };
        let spans = ring.spans(window, 6);
        assert_eq!((spans[4], spans[5]), (Some((1.0, 9.0)), Some((1.0, 1.0))));
        assert_eq!(
            ring.columns(window, 6),
            [Some(1.0), Some(1.0), Some(1.0), Some(1.0), Some(9.0), Some(1.0)]
        );
        let earlier = Window {
            end: start + Duration::from_secs(99),
            ..window
        };
        assert_eq!((ring.max_in(earlier), ring.max_in(window)), (Some(1.0), Some(9.0)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_break_is_a_break_and_no_zero() {
        let start = Instant::now();
        let mut ring = Ring::new(Duration::from_secs(60));
        ring.push(start, Some(f64::NAN));
        assert_eq!(ring.last(), None);
        let window = Window {
            end: start,
            range: Duration::from_secs(3),
        };
        assert_eq!(ring.columns(window, 3), [None, None, None]);
        assert_eq!(ring.at(start, Duration::from_secs(9)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_moment_between_two_values_shows_the_older_one_until_it_is_too_old() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut ring = Ring::new(60 * second);
        ring.push(start, Some(4.0));
        ring.push(start + 10 * second, Some(7.0));
        assert_eq!(ring.at(start + 2 * second, 3 * second), Some(4.0));
        assert_eq!(ring.at(start + 5 * second, 3 * second), None);
        assert_eq!(ring.at(start + 10 * second, 3 * second), Some(7.0));
        assert_eq!(ring.first_reach(start, 5.0), Some(start + 10 * second));
        assert_eq!(ring.first_reach(start, 8.0), None);
    }
}
