//! Rules over several fields, each written twice side by side.
//!
//! The CEL text goes into the schema, where the API server applies it; the Rust function is what the
//! reconciler applies to objects that were stored under an older schema. A test holds both to the
//! same verdicts. Rules that CEL cannot say (the third kind) exist in Rust only.

use std::fmt;

/// A field that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The rule, such as `V1`; `R` for one that only the operator checks.
    pub rule: &'static str,
    /// The field, such as `spec.topology.servers`.
    pub field: String,
    /// What is wrong and what to do. It holds no value of the resource but names and numbers.
    pub message: String,
}

/// A rule that the schema carries as CEL.
#[derive(Debug)]
pub struct Rule<K: 'static> {
    /// Its number, such as `V1`.
    pub id: &'static str,
    /// The place of the rule in the schema, such as `spec.topology`; `` is the root, `[]` an item.
    pub at: &'static str,
    /// The field below that place which an error names, such as `servers`; `` is the place itself.
    pub field: &'static str,
    /// The text of the rule.
    pub cel: &'static str,
    /// What is wrong and what to do.
    pub message: &'static str,
    /// The same in Rust.
    pub check: Check<K>,
}

/// The Rust form of a rule.
pub enum Check<K: 'static> {
    /// Over one object: whether it breaks the rule.
    Breaks(fn(&K) -> bool),
    /// Over one object: which items of the list at the rule's place break it.
    Items(fn(&K) -> Vec<usize>),
    /// Over the object before and after: whether the change breaks the rule.
    Change(fn(&K, &K) -> bool),
}

impl<K> fmt::Debug for Check<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Breaks(_) => "Breaks",
            Self::Items(_) => "Items",
            Self::Change(_) => "Change",
        })
    }
}

// === impl Problem ===

impl Problem {
    /// A problem that only the operator finds.
    pub(crate) fn of_reconciler(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            rule: "R",
            field: field.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

// === impl Rule ===

impl<K> Rule<K> {
    /// Whether the rule compares an object with its former self.
    pub fn is_transition(&self) -> bool {
        matches!(self.check, Check::Change(_))
    }

    fn problem(&self, place: &str) -> Problem {
        let field = match (place, self.field) {
            (place, "") => place.to_owned(),
            ("", field) => field.to_owned(),
            (place, field) => format!("{place}.{field}"),
        };
        Problem {
            rule: self.id,
            field,
            message: self.message.to_owned(),
        }
    }
}

/// The problems of an object, by rules that need no former state.
pub(crate) fn broken<K>(rules: &[Rule<K>], object: &K) -> Vec<Problem> {
    let mut problems = Vec::new();
    for rule in rules {
        match rule.check {
            Check::Breaks(breaks) if breaks(object) => problems.push(rule.problem(rule.at)),
            Check::Items(items) => {
                let list = rule.at.trim_end_matches("[]");
                problems.extend(
                    items(object)
                        .into_iter()
                        .map(|index| rule.problem(&format!("{list}[{index}]"))),
                );
            }
            Check::Breaks(_) | Check::Change(_) => {}
        }
    }
    problems
}

/// The problems of a change.
pub(crate) fn broken_by_change<K>(rules: &[Rule<K>], old: &K, new: &K) -> Vec<Problem> {
    rules
        .iter()
        .filter(|rule| matches!(rule.check, Check::Change(breaks) if breaks(old, new)))
        .map(|rule| rule.problem(rule.at))
        .collect()
}

/// Whether an optional text says something.
pub(crate) fn given(text: Option<&String>) -> bool {
    text.is_some_and(|text| !text.is_empty())
}

/// A fixed field of the spec: whether it changed.
pub(crate) fn changed<T: PartialEq>(old: &T, new: &T) -> bool {
    old != new
}
