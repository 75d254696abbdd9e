//! Times of one run beside criterion's own, so that the summary can say them as ratios to the floor of that run.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Times per iteration, one of each sample.
#[derive(Debug, Default)]
pub struct Samples(Mutex<Vec<Duration>>);

impl Samples {
    /// Notes a sample of `iterations` and hands its time on to criterion.
    pub fn note(&self, iterations: u64, whole: Duration) -> Duration {
        let each = whole.div_f64(iterations.max(1) as f64);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(each);
        whole
    }

    /// The median; none where the bench was filtered out.
    pub fn median(&self) -> Option<Duration> {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        quantile(&mut times, 0.5)
    }

    /// One line of the summary: the median, and how many times the floor that is.
    pub fn line(&self, what: &str, floor: &Self) -> Option<String> {
        let (median, floor) = (self.median()?, floor.median()?);
        let ratio = median.as_secs_f64() / floor.as_secs_f64();
        Some(format!("{what}: {median:.1?}, {ratio:.2} × one create call"))
    }
}

/// The value below which the share `of` of the times lies.
pub fn quantile(times: &mut [Duration], of: f64) -> Option<Duration> {
    times.sort_unstable();
    let last = times.len().checked_sub(1)?;
    times.get((last as f64 * of).round() as usize).copied()
}
