//! What goes wrong with a watch, and how long it waits before it tries again (K6, K48). Pure but for the clock.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use kube::runtime::watcher;
use tokio::time::Instant;

/// First and longest pause after an error.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(800), Duration::from_secs(30));
/// A watch without an error for this long begins with the first pause again.
const CALM: Duration = Duration::from_secs(120);
/// So many failures within this time open the circuit: from then on one attempt per longest pause (K48), but for the
/// list that a server which is back asks for.
const CIRCUIT: (usize, Duration) = (10, Duration::from_secs(300));

/// Failures of one watch and the pauses between its attempts.
#[derive(Default)]
pub(super) struct Trouble {
    /// Failures without an event between them.
    pub(super) in_a_row: u32,
    step: u32,
    last: Option<Instant>,
    recent: VecDeque<Instant>,
    /// When a list that was begun without a pause began, or ended.
    relisted: Option<Instant>,
    seed: RandomState,
}

impl Trouble {
    /// Notes a failure; the answer is how long to wait.
    pub(super) fn pause(&mut self) -> Duration {
        let now = Instant::now();
        self.in_a_row += 1;
        let calm = self.last.is_none_or(|last| now.saturating_duration_since(last) > CALM);
        self.step = if calm { 0 } else { self.step + 1 };
        self.last = Some(now);
        self.recent.push_back(now);
        while self
            .recent
            .front()
            .is_some_and(|first| self.recent.len() > CIRCUIT.0 || now.saturating_duration_since(*first) > CIRCUIT.1)
        {
            self.recent.pop_front();
        }
        if self.recent.len() >= CIRCUIT.0 {
            return self.spread(BACKOFF.1);
        }
        let pause = BACKOFF.0.saturating_mul(2_u32.saturating_pow(self.step.min(16)));
        self.spread(pause.min(BACKOFF.1))
    }

    /// Notes that the resourceVersion of a complete list is too old. The server answers, and has said what helps: a
    /// new list at once, also where the circuit is open (W11). A server that says so again before it was [`CALM`] for
    /// a while is given the usual pauses.
    pub(super) fn relist(&mut self) -> Duration {
        let (now, pause) = (Instant::now(), self.pause());
        let again = self
            .relisted
            .is_some_and(|last| now.saturating_duration_since(last) < CALM);
        if again {
            return pause;
        }
        self.relisted = Some(now);
        Duration::ZERO
    }

    /// Notes that a list is complete, however long it took.
    pub(super) fn listed(&mut self) {
        self.relisted = self.relisted.map(|_| Instant::now());
    }

    /// `period` ± 10 %.
    pub(super) fn spread(&self, period: Duration) -> Duration {
        let unit = (self.seed.hash_one(Instant::now()) % 2001) as f64 / 10_000.0;
        period.mul_f64(0.9 + unit)
    }
}

/// What kind of trouble an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The resourceVersion is no longer known: only a new list helps.
    Gone,
    /// No right to list or watch.
    Forbidden,
    /// The server does not know the kind.
    Missing,
    /// An event could not be read, so its change is lost: only a new list helps.
    Unreadable,
    /// Anything else.
    Other,
}

impl Cause {
    pub(super) fn of(error: &watcher::Error) -> Self {
        let api = |error: &kube::Error| match error {
            kube::Error::Api(status) => Self::of_code(status.code),
            kube::Error::SerdeError(_) => Self::Unreadable,
            _ => Self::Other,
        };
        match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => api(error),
            watcher::Error::WatchError(status) => Self::of_code(status.code),
            watcher::Error::NoResourceVersion => Self::Other,
        }
    }

    fn of_code(code: u16) -> Self {
        match code {
            410 => Self::Gone,
            403 => Self::Forbidden,
            404 => Self::Missing,
            // kube reads a line that is no event as a Status; of such a line nothing is left but defaults.
            0 => Self::Unreadable,
            _ => Self::Other,
        }
    }

    pub(super) fn reason(self, error: &watcher::Error) -> String {
        match self {
            Self::Gone => "the resourceVersion is too old".to_owned(),
            Self::Forbidden => "forbidden".to_owned(),
            Self::Missing => "the API server does not know this kind".to_owned(),
            Self::Unreadable => "an object could not be read".to_owned(),
            Self::Other => error.to_string().chars().take(256).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn however_long_a_list_takes_the_next_one_waits_and_a_calm_watch_does_not() {
        let mut trouble = Trouble::default();
        assert_eq!(trouble.relist(), Duration::ZERO);
        tokio::time::sleep(CALM + CALM).await;
        trouble.listed();
        assert!(trouble.relist() > Duration::ZERO, "the list has only just ended");
        tokio::time::sleep(CALM).await;
        assert_eq!(trouble.relist(), Duration::ZERO);
        for _ in 0..CIRCUIT.0 {
            trouble.pause();
        }
        tokio::time::sleep(CALM).await;
        assert_eq!(
            trouble.relist(),
            Duration::ZERO,
            "a server that was away for long is back"
        );
    }
}
