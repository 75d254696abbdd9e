//! Names of the cache strategies.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// How the daemon keeps what it reads. Triggers do not depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strategy {
    /// Nothing is kept: every read asks the API server.
    None,
    /// A kind is raised at its first read.
    Lazy,
    /// Own objects only, projected to what is read.
    #[default]
    Selective,
    /// Every object of the kinds in scope, whole.
    Full,
    /// One of the four, chosen per kind by the daemon.
    Adaptive,
}

/// A text that names no strategy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownStrategy(String);

impl Strategy {
    /// Every strategy, in the order of growing cost.
    pub const ALL: [Self; 5] = [Self::None, Self::Lazy, Self::Selective, Self::Full, Self::Adaptive];

    /// The canonical name, as in flags, metric labels and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lazy => "lazy",
            Self::Selective => "selective",
            Self::Full => "full",
            Self::Adaptive => "adaptive",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for UnknownStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown cache strategy {:?}; choose one of none, lazy, selective, full, adaptive",
            self.0
        )
    }
}

impl std::error::Error for UnknownStrategy {}

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    /// Takes the canonical names and the aliases of earlier documents, without regard to case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "none" | "ultra-fast" | "nocache" => Ok(Self::None),
            "lazy" | "lazyinformers" => Ok(Self::Lazy),
            "selective" | "selectivewatch" => Ok(Self::Selective),
            "full" | "aggressivecache" => Ok(Self::Full),
            "adaptive" => Ok(Self::Adaptive),
            _ => Err(UnknownStrategy(text.chars().take(64).collect())),
        }
    }
}

impl Serialize for Strategy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Strategy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_aliases_are_taken_in_any_case() {
        for strategy in Strategy::ALL {
            assert_eq!(strategy.as_str().to_uppercase().parse(), Ok(strategy));
        }
        assert_eq!("SelectiveWatch".parse(), Ok(Strategy::Selective));
        assert_eq!("ultra-fast".parse(), Ok(Strategy::None));
    }

    #[test]
    fn an_unknown_strategy_is_refused_with_the_list() {
        let error = "eager".parse::<Strategy>().expect_err("no strategy");
        assert!(
            error.to_string().contains("none, lazy, selective, full, adaptive"),
            "{error}"
        );
    }
}
