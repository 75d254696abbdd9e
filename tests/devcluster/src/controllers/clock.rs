//! The time that controllers see.
//!
//! It advances with tokio's clock, so that a test with paused time moves the schedules, back-offs and timestamps of a whole cluster, and
//! so that a deadline computed from it and a `tokio::time::sleep` until it agree.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::time::Instant;

/// A wall clock on top of tokio's.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    epoch: Timestamp,
    started: Instant,
}

impl Clock {
    /// The system's time from now on.
    pub fn system() -> Self {
        Self::at(Timestamp::now())
    }

    /// A clock that shows `epoch` now.
    pub fn at(epoch: Timestamp) -> Self {
        Self {
            epoch,
            started: Instant::now(),
        }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.started.elapsed().as_nanos()).unwrap_or(i64::MAX);
        self.epoch
            .checked_add(jiff::SignedDuration::from_nanos(elapsed))
            .unwrap_or(self.epoch)
    }

    /// The time now as an object carries it: whole seconds.
    pub fn stamp(&self) -> Time {
        stamp(self.now())
    }
}

/// A time as an object carries it: whole seconds.
pub fn stamp(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// How long from `now` until `at`; zero if that has passed.
pub fn until(now: Timestamp, at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO)
}

/// `at` plus `by`, or `at` where that cannot be said.
pub fn later(at: Timestamp, by: Duration) -> Timestamp {
    jiff::SignedDuration::try_from(by)
        .ok()
        .and_then(|by| at.checked_add(by).ok())
        .unwrap_or(at)
}
