//! What only one page shows: the newest answer, its age, and why there is none or no newer one.

use std::sync::Arc;

use neo4j_operator_shared::{memory::Memory, switch::Strategies};
use tokio::time::{Duration, Instant};

use super::text::clean;
use crate::source::page::{Fetched, PageItem};

/// The newest answer to one question.
#[derive(Clone, Debug)]
pub struct Held<T> {
    newest: Option<(Instant, Arc<T>)>,
    trouble: Option<Trouble>,
}

/// Why the last question brought nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The daemon does not know the question.
    NotOffered,
    /// It failed.
    Failed(String),
}

/// Answers that only one page shows.
#[derive(Clone, Debug, Default)]
pub struct Pages {
    /// The forecasts.
    pub strategies: Held<Strategies>,
    /// The memory report.
    pub memory: Held<Memory>,
    /// The first memory report of this daemon, and when it came: what grew is told against it.
    pub first_memory: Option<(Instant, Arc<Memory>)>,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self {
            newest: None,
            trouble: None,
        }
    }
}

// === impl Held ===

impl<T> Held<T> {
    /// Takes how a question ended. What was known before stays when a later question fails.
    pub fn take(&mut self, at: Instant, fetched: Fetched<T>) {
        match fetched {
            Fetched::Got(answer) => {
                self.newest = Some((at, answer));
                self.trouble = None;
            }
            Fetched::NotOffered => *self = Self::without(Trouble::NotOffered),
            Fetched::Failed(reason) => self.trouble = Some(Trouble::Failed(clean(&reason))),
        }
    }

    fn without(trouble: Trouble) -> Self {
        Self {
            newest: None,
            trouble: Some(trouble),
        }
    }

    /// The newest answer.
    pub fn get(&self) -> Option<&T> {
        self.newest.as_ref().map(|(_, answer)| answer.as_ref())
    }

    /// Why there is no newer one.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// How old the newest answer is.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        self.newest.as_ref().map(|(at, _)| now.saturating_duration_since(*at))
    }
}

// === impl Pages ===

impl Pages {
    /// Takes an answer.
    pub fn take(&mut self, item: PageItem) {
        match item {
            PageItem::Strategies(at, fetched) => self.strategies.take(at, fetched),
            PageItem::Memory(at, fetched) => {
                if let (None, Fetched::Got(report)) = (&self.first_memory, &fetched) {
                    self.first_memory = Some((at, Arc::clone(report)));
                }
                self.memory.take(at, fetched);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failed_question_keeps_the_old_answer_and_says_why_it_is_old() {
        let start = Instant::now();
        let mut held = Held::default();
        held.take(start, Fetched::Got(Arc::new(7)));
        held.take(start + Duration::from_secs(5), Fetched::Failed("gone\u{1b}".into()));
        assert_eq!(held.get(), Some(&7));
        assert_eq!(held.trouble(), Some(&Trouble::Failed("gone·".into())));
        assert_eq!(held.age(start + Duration::from_secs(9)), Some(Duration::from_secs(9)));
        held.take(start, Fetched::NotOffered);
        assert_eq!((held.get(), held.trouble()), (None, Some(&Trouble::NotOffered)));
    }
}
