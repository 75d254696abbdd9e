//! Whether memory leaks: the floor of each minute, a straight line through the floors, and what explains its
//! slope. Pure; sizes are bytes, slopes are bytes per minute.
//!
//! The floor of a minute is what is left when everything short-lived is gone; a peak says nothing about leaks.

use std::collections::VecDeque;

use tokio::time::{Duration, Instant};

/// Minutes that are kept: six hours.
const KEPT: usize = 360;
/// Fewer minutes say nothing.
pub const ENOUGH: usize = 10;
/// Growth over the time watched below which there is no signal, bytes.
const LEAST: f64 = 1e6;
/// The same as a share of what is in use.
const LEAST_SHARE: f64 = 0.02;
/// A line that explains less of the floors than this is no trend.
const LEAST_FIT: f64 = 0.5;

const MINUTE: Duration = Duration::from_secs(60);

/// Sizes at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sizes {
    /// In use by the program; resident where the daemon's allocator does not say.
    pub in_use: f64,
    /// Of the cache's stores.
    pub cache: f64,
}

/// The floors of the minutes of one daemon, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Floors {
    minutes: VecDeque<(Instant, Sizes)>,
}

/// What the floors say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Check {
    /// Whole minutes watched.
    pub minutes: usize,
    /// The oldest floor.
    pub first: f64,
    /// The newest floor.
    pub last: f64,
    /// Of the line through the floors.
    pub slope: f64,
    /// How much of the floors the line explains, 0..1.
    pub fit: f64,
    /// Of the line through what the cache took at those moments.
    pub cache_slope: f64,
    /// What it means.
    pub verdict: Verdict,
}

/// What a check means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Too few minutes.
    TooShort,
    /// Flat, falling, or up and down.
    None,
    /// It grows, and the cache with it: more is kept.
    Cache,
    /// It grows, and the cache does not.
    Leak,
}

// === impl Floors ===

impl Floors {
    /// Takes the sizes of a sample.
    pub fn push(&mut self, at: Instant, sizes: Sizes) {
        match self.minutes.back_mut() {
            Some((began, floor)) if at.saturating_duration_since(*began) < MINUTE => {
                if sizes.in_use < floor.in_use {
                    *floor = sizes;
                }
            }
            _ => self.minutes.push_back((at, sizes)),
        }
        while self.minutes.len() > KEPT + 1 {
            self.minutes.pop_front();
        }
    }

    /// Forgets everything: of another process these floors say nothing.
    pub fn clear(&mut self) {
        self.minutes.clear();
    }

    /// What the whole minutes say; the minute that is not over yet does not count.
    pub fn check(&self) -> Check {
        let whole = self.minutes.len().saturating_sub(1);
        let Some((start, first)) = self.minutes.front().filter(|_| whole > 0) else {
            return Check {
                minutes: 0,
                first: 0.0,
                last: 0.0,
                slope: 0.0,
                fit: 0.0,
                cache_slope: 0.0,
                verdict: Verdict::TooShort,
            };
        };
        let at = |moment: Instant| moment.saturating_duration_since(*start).as_secs_f64() / 60.0;
        let points = || self.minutes.iter().take(whole);
        let (slope, fit) = line(points().map(|(moment, sizes)| (at(*moment), sizes.in_use)));
        let (cache_slope, _) = line(points().map(|(moment, sizes)| (at(*moment), sizes.cache)));
        let last = self.minutes[whole - 1].1.in_use;
        let growth = slope * at(self.minutes[whole - 1].0);
        let verdict = if whole < ENOUGH {
            Verdict::TooShort
        } else if growth < LEAST.max(last * LEAST_SHARE) || fit < LEAST_FIT {
            Verdict::None
        } else if cache_slope * 2.0 >= slope {
            Verdict::Cache
        } else {
            Verdict::Leak
        };
        Check {
            minutes: whole,
            first: first.in_use,
            last,
            slope,
            fit,
            cache_slope,
            verdict,
        }
    }
}

// === impl Check ===

impl Check {
    /// How long until the line reaches a size, where it grows and is not there yet.
    pub fn reaches(&self, size: f64) -> Option<Duration> {
        let grows = matches!(self.verdict, Verdict::Cache | Verdict::Leak);
        let minutes = (size - self.last) / self.slope;
        Duration::try_from_secs_f64(minutes * 60.0)
            .ok()
            .filter(|_| grows && self.slope > 0.0)
    }
}

/// Slope of the line of least squares, and the share of the spread that it explains.
fn line(points: impl Iterator<Item = (f64, f64)> + Clone) -> (f64, f64) {
    let n = points.clone().count().max(1) as f64;
    let (mut mean_x, mut mean_y) = (0.0, 0.0);
    for (x, y) in points.clone() {
        mean_x += x / n;
        mean_y += y / n;
    }
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in points {
        xx += (x - mean_x).powi(2);
        xy += (x - mean_x) * (y - mean_y);
        yy += (y - mean_y).powi(2);
    }
    let slope = if xx > 0.0 { xy / xx } else { 0.0 };
    let fit = if xx > 0.0 && yy > 0.0 { xy * xy / (xx * yy) } else { 0.0 };
    (slope, fit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Floors of so many minutes and the sample that begins the next; peaks lie between the floors.
    fn floors(minutes: u32, in_use: impl Fn(f64) -> f64, cache: impl Fn(f64) -> f64) -> Floors {
        let start = Instant::now();
        let mut floors = Floors::default();
        for minute in 0..=minutes {
            let m = f64::from(minute);
            let sizes = Sizes {
                in_use: in_use(m),
                cache: cache(m),
            };
            let peak = Sizes {
                in_use: sizes.in_use + 30e6,
                ..sizes
            };
            floors.push(start + MINUTE * minute, peak);
            floors.push(start + MINUTE * minute + MINUTE / 2, sizes);
        }
        floors
    }

    fn saw(m: f64) -> f64 {
        (m % 3.0) * 4e5
    }

    #[tokio::test(start_paused = true)]
    async fn a_steady_rise_without_the_cache_is_a_leak_and_says_when_a_size_is_reached() {
        let check = floors(20, |m| 20e6 + m * 2e5 + saw(m), |_| 5e6).check();
        assert_eq!((check.minutes, check.verdict), (20, Verdict::Leak));
        assert!((check.slope - 2e5).abs() < 4e4, "{check:?}");
        let hours = check.reaches(100e6).unwrap().as_secs_f64() / 3_600.0;
        assert!((5.0..8.0).contains(&hours), "{hours}");
        assert_eq!(check.reaches(1e6), None, "what was passed is not ahead");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rise_with_the_cache_is_no_leak() {
        let check = floors(20, |m| 20e6 + m * 2e5, |m| 5e6 + m * 1.8e5).check();
        assert_eq!(check.verdict, Verdict::Cache);
    }

    #[tokio::test(start_paused = true)]
    async fn up_and_down_or_a_little_more_is_no_signal() {
        assert_eq!(floors(30, |m| 20e6 + saw(m), |_| 5e6).check().verdict, Verdict::None);
        let little = floors(30, |m| 20e6 + m * 1e4, |_| 5e6).check();
        assert_eq!((little.verdict, little.reaches(100e6)), (Verdict::None, None));
        assert_eq!(floors(30, |m| 40e6 - m * 3e5, |_| 5e6).check().verdict, Verdict::None);
    }

    #[tokio::test(start_paused = true)]
    async fn nine_minutes_say_nothing_and_six_hours_are_kept() {
        let young = floors(9, |m| 20e6 + m * 1e6, |_| 5e6);
        assert_eq!((young.check().minutes, young.check().verdict), (9, Verdict::TooShort));
        assert_eq!(floors(500, |_| 20e6, |_| 5e6).check().minutes, KEPT);
        let mut cleared = young;
        cleared.clear();
        assert_eq!(cleared.check().minutes, 0);
    }
}
