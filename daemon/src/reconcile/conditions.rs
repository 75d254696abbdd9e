//! Conditions of a custom resource: a set by type that knows when a status really changed.
//!
//! A reconcile starts from the conditions that the resource has, states what it found, and takes the list
//! back. What it did not state stays as it was, with the generation that it was said about. The time of
//! transition moves only when the status of a condition changes (STA3), and `observedGeneration` goes with the
//! conditions that were stated for it (STA2).

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// A condition's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It could not be found out.
    Unknown,
}

impl Status {
    /// As the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Status {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// Longest message that the API's schema takes.
const MESSAGE_LIMIT: usize = 32_768;

/// The conditions of one resource while it is reconciled.
#[derive(Clone, Debug)]
pub struct Conditions {
    list: Vec<Condition>,
    generation: i64,
    now: Timestamp,
}

impl Conditions {
    /// Starts from what the resource has. What is set from now on is said about `generation`.
    pub fn from(previous: &[Condition], generation: i64, now: Timestamp) -> Self {
        Self {
            list: previous.to_vec(),
            generation,
            now,
        }
    }

    /// States a condition.
    pub fn set(&mut self, kind: &str, status: Status, reason: &str, message: impl Into<String>) {
        let mut message = message.into();
        if message.len() > MESSAGE_LIMIT {
            message.truncate(message.floor_char_boundary(MESSAGE_LIMIT));
        }
        let fresh = Condition {
            type_: kind.to_owned(),
            status: status.as_str().to_owned(),
            reason: reason.to_owned(),
            message,
            // A condition that was stated for a newer generation keeps it: a late answer of an older view
            // must not turn it back.
            observed_generation: Some(
                self.get(kind)
                    .and_then(|before| before.observed_generation)
                    .map_or(self.generation, |before| before.max(self.generation)),
            ),
            last_transition_time: match self.get(kind) {
                Some(before) if before.status == status.as_str() => before.last_transition_time.clone(),
                _ => Time(self.now),
            },
        };
        match self.list.iter_mut().find(|condition| condition.type_ == kind) {
            Some(before) => *before = fresh,
            None => self.list.push(fresh),
        }
    }

    /// Removes a condition that no longer says anything.
    pub fn remove(&mut self, kind: &str) {
        self.list.retain(|condition| condition.type_ != kind);
    }

    /// The condition of this type, if it was ever stated.
    pub fn get(&self, kind: &str) -> Option<&Condition> {
        self.list.iter().find(|condition| condition.type_ == kind)
    }

    /// Whether the condition of this type is true.
    pub fn is_true(&self, kind: &str) -> bool {
        self.get(kind)
            .is_some_and(|condition| condition.status == Status::True.as_str())
    }

    /// The list, by type, so that equal sets give equal bytes.
    pub fn into_list(mut self) -> Vec<Condition> {
        self.list.sort_by(|one, other| one.type_.cmp(&other.type_));
        self.list
    }
}

/// Whether `after` says something else than `before` about a type: another status or another reason. This is
/// what an event is worth; a changed message alone is not.
pub fn changed(before: &[Condition], after: &[Condition], kind: &str) -> bool {
    let of = |list: &[Condition]| {
        list.iter()
            .find(|condition| condition.type_ == kind)
            .map(|condition| (condition.status.clone(), condition.reason.clone()))
    };
    of(before) != of(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let mut first = Conditions::from(&[], 1, at(10));
        first.set("Ready", Status::False, "Pending", "waits");
        let mut second = Conditions::from(&first.into_list(), 2, at(20));
        second.set("Ready", Status::False, "ClusterForming", "forms");
        let ready = second.get("Ready").unwrap();
        assert_eq!(ready.last_transition_time.0, at(10));
        assert_eq!(ready.reason, "ClusterForming");
        assert_eq!(ready.observed_generation, Some(2));
        second.set("Ready", Status::True, "ClusterReady", "");
        assert_eq!(second.get("Ready").unwrap().last_transition_time.0, at(20));
    }

    #[test]
    fn what_is_not_stated_keeps_the_generation_it_was_said_about() {
        let mut first = Conditions::from(&[], 1, at(1));
        first.set("LicenseValid", Status::True, "Accepted", "");
        let mut second = Conditions::from(&first.into_list(), 5, at(2));
        second.set("Ready", Status::Unknown, "BoltUnavailable", "");
        let list = second.into_list();
        assert_eq!(list[0].type_, "LicenseValid");
        assert_eq!(list[0].observed_generation, Some(1));
        assert_eq!(list[1].observed_generation, Some(5));
    }

    #[test]
    fn the_observed_generation_never_falls() {
        let mut newer = Conditions::from(&[], 7, at(1));
        newer.set("Ready", Status::True, "ClusterReady", "");
        let mut stale = Conditions::from(&newer.into_list(), 6, at(2));
        stale.set("Ready", Status::True, "ClusterReady", "");
        assert_eq!(stale.get("Ready").unwrap().observed_generation, Some(7));
    }

    #[test]
    fn only_another_status_or_reason_is_a_change() {
        let list = |reason: &str, message: &str| {
            let mut conditions = Conditions::from(&[], 1, at(1));
            conditions.set("Ready", Status::False, reason, message);
            conditions.into_list()
        };
        assert!(!changed(
            &list("Pending", "1 of 3"),
            &list("Pending", "2 of 3"),
            "Ready"
        ));
        assert!(changed(&list("Pending", ""), &list("ClusterForming", ""), "Ready"));
        assert!(changed(&[], &list("Pending", ""), "Ready"));
    }
}
