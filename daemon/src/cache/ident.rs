//! Uid and resourceVersion of an object: texts that are nearly always a number, and are kept as one.
//!
//! An API server gives every object a UUID and a decimal number. Whatever else stands there is kept as text, so
//! that each comes out again exactly as it came in.

use std::{fmt, sync::Arc};

use serde::{Serialize, Serializer};
use uuid::Uuid;

/// Uid of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Uid {
    /// A UUID, written with hyphens in lower case.
    Uuid(Uuid),
    /// Any other text.
    Text(Arc<str>),
}

/// resourceVersion of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// A decimal number without sign and leading zeros.
    Number(u64),
    /// Any other text.
    Text(Arc<str>),
}

/// The UUID that is written as `text`, if it is written as API servers do.
pub(super) fn uuid(text: &str) -> Option<Uuid> {
    let uuid = Uuid::try_parse(text).ok()?;
    (*uuid.hyphenated().encode_lower(&mut [0; 36]) == *text).then_some(uuid)
}

/// The number that is written as `text`, if it is written as API servers do.
pub(super) fn number(text: &str) -> Option<u64> {
    let plain = text == "0" || text.starts_with(|first: char| matches!(first, '1'..='9'));
    text.parse().ok().filter(|_| plain)
}

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        uuid(text).map_or_else(|| Self::Text(text.into()), Self::Uuid)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(uuid) => uuid.hyphenated().fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Serialize for Uid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl From<&str> for Version {
    fn from(text: &str) -> Self {
        number(text).map_or_else(|| Self::Text(text.into()), Self::Number)
    }
}

impl Version {
    /// As a number; `None` means that it cannot be compared (K51).
    pub fn number(&self) -> Option<u128> {
        match self {
            Self::Number(number) => Some((*number).into()),
            Self::Text(text) => text.parse().ok(),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_out_as_it_came_in() {
        let usual = "0d9a1f3e-7c42-4b7e-9a55-1f2e3d4c5b6a";
        assert!(matches!(Uid::from(usual), Uid::Uuid(_)));
        let braced = format!("{{{usual}}}");
        for text in ["", "u1", usual, &usual.to_uppercase(), &usual.replace('-', ""), &braced] {
            assert_eq!(Uid::from(text).to_string(), text);
        }
        for text in [
            "",
            "0",
            "7",
            "18446744073709551615",
            "18446744073709551616",
            "007",
            "+7",
            "-7",
            "x7",
        ] {
            assert_eq!(Version::from(text).to_string(), text);
        }
    }

    #[test]
    fn a_version_beyond_64_bits_is_compared_and_no_number_is_not() {
        let wide = Version::from("18446744073709551616").number();
        assert!(wide > Version::from("18446744073709551615").number());
        assert_eq!(Version::from("007").number(), Some(7));
        assert_eq!(Version::from("x7").number(), None);
    }
}
