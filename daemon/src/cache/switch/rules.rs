//! What changes of strategy have to keep to, and why one is refused.

use std::time::Duration;

use super::record;

/// Why a change is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Another one is under way.
    #[error("the change {0} is under way: wait for it, or cancel it")]
    Running(String),
    /// The last one began a moment ago.
    #[error("the last change began less than {} s ago: try again in {} s", .pause.as_secs(), .wait.as_secs() + 1)]
    TooSoon {
        /// Time between two changes.
        pause: Duration,
        /// What is left of it.
        wait: Duration,
    },
    /// The request makes no sense.
    #[error("{0}")]
    Unfit(String),
    /// It would take more memory than there is.
    #[error("{0}")]
    TooLarge(String),
    /// There is no such change.
    #[error("there is no change {0} that could be cancelled")]
    Unknown(String),
    /// It is over.
    #[error("the change {id} can no longer be cancelled: {state}")]
    Over {
        /// Its id.
        id: String,
        /// What became of it.
        state: &'static str,
    },
}

/// Bounds of changes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long one kind may take to get ready.
    pub deadline: Duration,
    /// Time between the beginnings of two requested changes.
    pub pause: Duration,
    /// Kinds that are filled at a time.
    pub workers: usize,
    /// Time after the swap until what came is compared with what was forecast.
    pub compare_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(60),
            pause: Duration::from_secs(10),
            workers: 2,
            compare_after: record::AFTER,
        }
    }
}
