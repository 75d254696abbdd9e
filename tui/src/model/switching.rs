//! The change of the cache strategy that is under way or ended last, put together from what tells of it:
//! the answer to our own request, `/v1/cache` each second, events, and the record of past changes.

use neo4j_operator_shared::switch::{Operation, OperationState, SwitchRecord};
use tokio::time::Instant;

/// A change and when it was last heard of.
#[derive(Clone, Debug, PartialEq)]
pub struct Switching {
    /// The change.
    pub operation: Operation,
    /// When a daemon's answer last showed it, by our clock.
    pub heard: Instant,
    /// Whether the daemon no longer lists it although nothing told how it ended.
    pub gone: bool,
}

/// Whether a change is over.
pub const fn ended(state: OperationState) -> bool {
    !matches!(state, OperationState::Preparing | OperationState::Watching)
}

/// What a state means, for people.
pub const fn meaning(state: OperationState) -> &'static str {
    match state {
        OperationState::Preparing => "the new stores are filled beside the old ones",
        OperationState::Watching => "in force; goes back by itself if a goal breaks",
        OperationState::Done => "in force for good",
        OperationState::Cancelled => "cancelled before the swap; nothing has changed",
        OperationState::RolledBack => "went back; the old stores are in force",
        OperationState::TimedOut => "not ready in time; nothing has changed",
    }
}

/// The word for a state.
pub const fn word(state: OperationState) -> &'static str {
    match state {
        OperationState::Preparing => "PREPARING",
        OperationState::Watching => "WATCHING",
        OperationState::Done => "DONE",
        OperationState::Cancelled => "CANCELLED",
        OperationState::RolledBack => "ROLLED BACK",
        OperationState::TimedOut => "TIMED OUT",
    }
}

/// Takes what an answer says is under way. An end that is known is not undone by an answer that was
/// written before it.
pub fn take(known: &mut Option<Switching>, at: Instant, operation: Option<&Operation>) {
    match (operation, known.as_mut()) {
        (Some(operation), Some(known)) if known.operation.id == operation.id => {
            if !ended(known.operation.state) || ended(operation.state) {
                *known = Switching::new(operation.clone(), at);
            }
        }
        (Some(operation), _) => *known = Some(Switching::new(operation.clone(), at)),
        (None, Some(known)) if !ended(known.operation.state) && at > known.heard => known.gone = true,
        (None, _) => {}
    }
}

/// Takes an event of a change.
pub fn event(known: &mut Option<Switching>, id: &str, state: OperationState, message: &str) {
    if let Some(known) = known.as_mut().filter(|known| known.operation.id == id) {
        if ended(known.operation.state) {
            return;
        }
        known.operation.state = state;
        known.gone = false;
        if ended(state) && known.operation.reason.is_none() && state != OperationState::Done {
            known.operation.reason = Some(message.to_owned());
        }
    }
}

/// Takes how past changes ended.
pub fn record(known: &mut Option<Switching>, record: &[SwitchRecord]) {
    if let Some(known) = known.as_mut()
        && let Some(past) = record.iter().find(|past| past.operation.id == known.operation.id)
        && ended(past.operation.state)
    {
        known.operation = past.operation.clone();
        known.gone = false;
    }
}

impl Switching {
    fn new(operation: Operation, heard: Instant) -> Self {
        Self {
            operation,
            heard,
            gone: false,
        }
    }

    /// Whether it can still be cancelled.
    pub fn cancellable(&self) -> bool {
        self.operation.state == OperationState::Preparing && !self.gone
    }

    /// Whether it is in force, so that what was before can be asked for.
    pub fn returnable(&self) -> bool {
        self.operation.state.swapped() && !self.gone
    }

    /// Kinds that are ready, and kinds that change.
    pub fn ready(&self) -> (usize, usize) {
        let progress = &self.operation.progress;
        (progress.iter().filter(|kind| kind.synced).count(), progress.len())
    }

    /// One line: what it is and how far.
    pub fn line(&self) -> String {
        let operation = &self.operation;
        let what = format!("{} {} → {}", operation.id, operation.from, operation.to);
        if self.gone {
            return format!("{what}: no longer listed; H shows how it ended");
        }
        let (ready, all) = self.ready();
        let far = match operation.state {
            OperationState::Preparing => format!(" ({ready} of {all} kinds ready)"),
            _ => String::new(),
        };
        let why = operation
            .reason
            .as_deref()
            .map_or_else(String::new, |reason| format!(": {reason}"));
        format!(
            "{what}: {}{far}, {}{why}",
            word(operation.state),
            meaning(operation.state)
        )
    }
}

#[cfg(test)]
mod tests {
    use neo4j_operator_shared::golden;
    use tokio::time::Duration;

    use super::*;

    fn operation(state: OperationState) -> Operation {
        let golden: Operation = serde_json::from_str(golden::OPERATION).unwrap();
        Operation { state, ..golden }
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_an_event_told_is_not_undone_by_an_older_answer() {
        let start = Instant::now();
        let mut known = None;
        take(&mut known, start, Some(&operation(OperationState::Preparing)));
        event(&mut known, "sw-7", OperationState::TimedOut, "pods: not synced in 2m");
        take(&mut known, start, Some(&operation(OperationState::Preparing)));
        take(&mut known, start + Duration::from_secs(1), None);
        let known = known.unwrap();
        assert_eq!(known.operation.state, OperationState::TimedOut);
        assert!(known.line().contains("pods: not synced in 2m"), "{}", known.line());
        assert!(!known.gone && !known.cancellable());
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_that_vanished_says_so_until_the_record_tells_its_end() {
        let start = Instant::now();
        let mut known = None;
        take(&mut known, start, Some(&operation(OperationState::Watching)));
        take(&mut known, start, None);
        assert!(!known.as_ref().unwrap().gone, "an answer that is as old says nothing");
        take(&mut known, start + Duration::from_secs(1), None);
        assert!(known.as_ref().unwrap().gone);
        let past = SwitchRecord {
            operation: operation(OperationState::Done),
            before: neo4j_operator_shared::switch::Measured::default(),
            outcomes: vec![],
        };
        record(&mut known, &[past]);
        assert_eq!(known.unwrap().operation.state, OperationState::Done);
    }
}
