//! What travels in Bolt and what statements compute with: one small value type for both.

use std::collections::BTreeMap;

/// A map of the wire; ordered, so that answers are the same in every run.
pub type ValueMap = BTreeMap<String, Value>;

/// A PackStream value. Nodes, relationships and temporal values are all structures.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// A double.
    Float(f64),
    /// Text.
    String(String),
    /// Raw bytes.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Value>),
    /// A map.
    Map(ValueMap),
    /// A structure with its tag.
    Struct(u8, Vec<Value>),
}

impl Value {
    /// Tag of a `DateTime` in Bolt 4: seconds in local time, nanoseconds, offset in seconds.
    const LEGACY_DATE_TIME: u8 = 0x46;

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number of an integer.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(n) => Some(*n),
            _ => None,
        }
    }

    /// The truth of a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(b) => Some(*b),
            _ => None,
        }
    }

    /// A list of strings.
    pub fn strings<S: Into<String>>(items: impl IntoIterator<Item = S>) -> Self {
        Self::List(items.into_iter().map(|item| Self::String(item.into())).collect())
    }

    /// A point in time as Bolt 4 sends it, in UTC.
    pub fn date_time(at: jiff::Timestamp) -> Self {
        let nanos = i64::from(at.subsec_nanosecond());
        Self::Struct(
            Self::LEGACY_DATE_TIME,
            vec![Self::Int(at.as_second()), Self::Int(nanos), Self::Int(0)],
        )
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Int(n)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
