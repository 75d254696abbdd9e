//! An answer, and where it comes from.

use std::time::Duration;

/// Who answered a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReadSource {
    /// The store.
    Cache,
    /// The server, for the store could not.
    Live,
    /// The server, for the store holds a selection and has no such object (CA3).
    Fallback,
    /// The server, as it was asked for: a guard, or data that is never kept.
    Bypass,
}

impl ReadSource {
    /// As in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Live => "live",
            Self::Fallback => "fallback",
            Self::Bypass => "bypass",
        }
    }
}

/// How fresh an answer is (CA12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// Who answered.
    pub source: ReadSource,
    /// How long ago the store last heard of the server; nothing if the server answered itself.
    pub age: Option<Duration>,
    /// resourceVersion of the object, or of the list; absent where there is no object, and of a list that
    /// comes from a store.
    pub resource_version: Option<String>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    /// What was asked for.
    pub value: T,
    /// How fresh it is.
    pub freshness: Freshness,
}
