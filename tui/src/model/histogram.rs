//! Latency from cumulative histograms: differences between scrapes, quantiles over a window.

use std::collections::VecDeque;

use tokio::time::{Duration, Instant};

use crate::source::prom::Histogram;

/// Histograms of the last minutes, by scrape.
#[derive(Clone, Debug)]
pub struct Window {
    scrapes: VecDeque<(Instant, Histogram)>,
    keep: Duration,
}

/// Quantiles of a window, seconds. A quantile beyond the last finite bound is that bound: it is at least so long.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quantiles {
    /// Observations in the window.
    pub count: f64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
}

// === impl Window ===

impl Window {
    /// A window of this length.
    pub fn new(keep: Duration) -> Self {
        Self {
            scrapes: VecDeque::new(),
            keep,
        }
    }

    /// Adds a scrape. A counter that fell means that the daemon restarted: what was before does not count.
    pub fn push(&mut self, at: Instant, histogram: Histogram) {
        let reset = self.scrapes.back().is_some_and(|(_, last)| fell(last, &histogram));
        if reset {
            self.scrapes.clear();
        }
        self.scrapes.push_back((at, histogram));
        // One scrape older than the window stays: differences are taken against it.
        while self.scrapes.len() > 2 && at.saturating_duration_since(self.scrapes[1].0) >= self.keep {
            self.scrapes.pop_front();
        }
    }

    /// Whether nothing was pushed since the start or the last [`Self::clear`].
    pub fn is_empty(&self) -> bool {
        self.scrapes.is_empty()
    }

    /// Forgets everything, after a gap that must not look like calm.
    pub fn clear(&mut self) {
        self.scrapes.clear();
    }

    /// Quantiles of what was observed in the last `span`; absent if nothing was.
    pub fn quantiles(&self, span: Duration) -> Option<Quantiles> {
        let (now, newest) = self.scrapes.back()?;
        let base = self
            .scrapes
            .iter()
            .rev()
            .find(|(at, _)| now.saturating_duration_since(*at) >= span);
        let base = base.or_else(|| self.scrapes.front()).map(|(_, histogram)| histogram)?;
        quantiles(&difference(base, newest))
    }
}

fn fell(before: &Histogram, after: &Histogram) -> bool {
    before
        .buckets
        .iter()
        .any(|(bound, count)| count_at(after, *bound).is_none_or(|now| now < *count))
}

fn count_at(histogram: &Histogram, bound: f64) -> Option<f64> {
    histogram
        .buckets
        .iter()
        .find(|(have, _)| have.total_cmp(&bound).is_eq())
        .map(|(_, count)| *count)
}

/// Cumulative counts that came between two scrapes, by upper bound.
fn difference(before: &Histogram, after: &Histogram) -> Vec<(f64, f64)> {
    after
        .buckets
        .iter()
        .map(|(bound, count)| (*bound, (count - count_at(before, *bound).unwrap_or(0.0)).max(0.0)))
        .collect()
}

/// Quantiles of cumulative counts, linear inside a bucket, as Prometheus computes them.
fn quantiles(buckets: &[(f64, f64)]) -> Option<Quantiles> {
    let count = buckets.last()?.1;
    if count <= 0.0 {
        return None;
    }
    let quantile = |q: f64| {
        let rank = q * count;
        let mut lower = (0.0, 0.0);
        for &(bound, cumulative) in buckets {
            if cumulative >= rank {
                if bound.is_infinite() {
                    return lower.0;
                }
                let inside = cumulative - lower.1;
                let share = if inside > 0.0 { (rank - lower.1) / inside } else { 1.0 };
                return lower.0 + (bound - lower.0) * share;
            }
            lower = (bound, cumulative);
        }
        lower.0
    };
    Some(Quantiles {
        count,
        p50: quantile(0.5),
        p95: quantile(0.95),
        p99: quantile(0.99),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(counts: [f64; 3]) -> Histogram {
        let bounds = [1.0, 2.0, f64::INFINITY];
        Histogram {
            buckets: bounds.into_iter().zip(counts).collect(),
            sum: None,
            count: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_came_in_the_window_counts() {
        let start = Instant::now();
        let mut window = Window::new(Duration::from_secs(300));
        window.push(start, histogram([100.0, 100.0, 100.0]));
        window.push(start + Duration::from_secs(1), histogram([100.0, 110.0, 110.0]));
        let got = window.quantiles(Duration::from_secs(60)).unwrap();
        assert_eq!(
            got,
            Quantiles {
                count: 10.0,
                p50: 1.5,
                p95: 1.95,
                p99: 1.99
            }
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_restarted_daemon_gives_no_negative_counts() {
        let start = Instant::now();
        let mut window = Window::new(Duration::from_secs(300));
        window.push(start, histogram([100.0, 100.0, 100.0]));
        window.push(start + Duration::from_secs(1), histogram([1.0, 1.0, 1.0]));
        assert_eq!(window.quantiles(Duration::from_secs(60)), None);
        window.push(start + Duration::from_secs(2), histogram([1.0, 2.0, 2.0]));
        assert_eq!(window.quantiles(Duration::from_secs(60)).map(|q| q.count), Some(1.0));
    }

    #[test]
    fn a_quantile_beyond_the_last_bound_is_that_bound() {
        let got = quantiles(&[(1.0, 0.0), (2.0, 0.0), (f64::INFINITY, 4.0)]).unwrap();
        assert!((got.p99 - 2.0).abs() < 1e-9);
        assert_eq!(quantiles(&[]), None);
    }
}
