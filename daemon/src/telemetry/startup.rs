//! The phases of the start, in order, each with its length.

use std::sync::{Mutex, PoisonError};

use neo4j_operator_shared::status::StartupPhase;
use tokio::time::Instant;

/// A phase of the start; the label `phase` of `neo4j_operator_startup_duration_seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Startup {
    /// Settings read, listeners open.
    Config,
    /// Client of the API server built.
    Client,
    /// Asked what the API server serves.
    Discovery,
    /// Watches started.
    Informers,
    /// The custom resources listed.
    Sync,
    /// Workers running.
    Controllers,
    /// From the start of the process until it can reconcile.
    Ready,
    /// From the start of the process until every store of the strategy is complete.
    FullSync,
}

impl Startup {
    /// Every phase in order.
    pub const ALL: [Self; 8] = [
        Self::Config,
        Self::Client,
        Self::Discovery,
        Self::Informers,
        Self::Sync,
        Self::Controllers,
        Self::Ready,
        Self::FullSync,
    ];

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Client => "client",
            Self::Discovery => "discovery",
            Self::Informers => "informers",
            Self::Sync => "sync",
            Self::Controllers => "controllers",
            Self::Ready => "ready",
            Self::FullSync => "full_sync",
        }
    }
}

/// Takes the times of the start.
pub struct StartupTimes {
    started: Instant,
    state: Mutex<State>,
}

struct State {
    last: Instant,
    seconds: [Option<f64>; Startup::ALL.len()],
}

impl StartupTimes {
    /// Begins with the start of the process.
    pub fn new(started: Instant) -> Self {
        Self {
            started,
            state: Mutex::new(State {
                last: started,
                seconds: [None; Startup::ALL.len()],
            }),
        }
    }

    /// A phase has ended now. `Ready` and `FullSync` count from the start, the others from the phase before.
    pub fn ended(&self, phase: Startup) {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let from = match phase {
            Startup::Ready | Startup::FullSync => self.started,
            _ => state.last,
        };
        state.seconds[phase as usize].get_or_insert(now.saturating_duration_since(from).as_secs_f64());
        state.last = now;
    }

    /// Length of a phase, seconds; nothing while it has not ended.
    pub fn seconds(&self, phase: Startup) -> Option<f64> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).seconds[phase as usize]
    }

    /// All phases for `GET /v1/status`.
    pub fn phases(&self) -> Vec<StartupPhase> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Startup::ALL
            .iter()
            .map(|phase| StartupPhase {
                phase: phase.as_str().to_owned(),
                seconds: state.seconds[*phase as usize],
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn phases_follow_each_other_and_ready_counts_from_the_start() {
        let times = StartupTimes::new(Instant::now());
        tokio::time::advance(Duration::from_secs(1)).await;
        times.ended(Startup::Config);
        tokio::time::advance(Duration::from_secs(2)).await;
        times.ended(Startup::Client);
        times.ended(Startup::Ready);
        assert_eq!(times.seconds(Startup::Client), Some(2.0));
        assert_eq!(times.seconds(Startup::Ready), Some(3.0));
        assert_eq!(times.seconds(Startup::FullSync), None);
        tokio::time::advance(Duration::from_secs(9)).await;
        times.ended(Startup::Ready);
        assert_eq!(times.seconds(Startup::Ready), Some(3.0), "the first time counts");
    }
}
