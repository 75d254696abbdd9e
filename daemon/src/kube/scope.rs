//! The namespaces that the operator looks after.

use std::{collections::BTreeSet, str::FromStr, sync::Arc};

/// Namespaces in scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Every namespace.
    #[default]
    All,
    /// These, at least one.
    Namespaces(BTreeSet<Arc<str>>),
}

/// Why a text is no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// Looks like a pattern, which is not supported yet.
    #[error("{0:?} is a pattern: namespaces by pattern or label are not supported yet, list them by name")]
    Pattern(String),
    /// Not a name that a namespace can have.
    #[error(
        "{0:?} is not a namespace name: use lower-case letters, digits and hyphens, at most 63, beginning and ending with a letter or digit"
    )]
    Name(String),
}

impl FromStr for Scope {
    type Err = ScopeError;

    /// A comma-separated list; an empty one means every namespace.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut names = BTreeSet::new();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let shown = || name.chars().take(64).collect();
            if name.contains(['*', '?', '[', '^', '$', '(', '=', '/', '!']) {
                return Err(ScopeError::Pattern(shown()));
            }
            let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            let fits = name.len() <= 63
                && name.bytes().all(|byte| inner(byte) || byte == b'-')
                && !name.starts_with('-')
                && !name.ends_with('-');
            if !fits {
                return Err(ScopeError::Name(shown()));
            }
            names.insert(Arc::from(name));
        }
        Ok(if names.is_empty() {
            Self::All
        } else {
            Self::Namespaces(names)
        })
    }
}

impl Scope {
    /// What each kind has to be watched in: once for all, or once per namespace.
    pub fn watched(&self) -> Vec<Option<Arc<str>>> {
        match self {
            Self::All => vec![None],
            Self::Namespaces(names) => names.iter().cloned().map(Some).collect(),
        }
    }

    /// Whether a namespace belongs to it.
    pub fn contains(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Namespaces(names) => names.contains(namespace),
        }
    }

    /// The names; none means every namespace.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::All => Vec::new(),
            Self::Namespaces(names) => names.iter().map(ToString::to_string).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_names_is_taken_and_nothing_means_all() {
        assert_eq!("".parse(), Ok(Scope::All));
        let scope: Scope = "a, team-b,a".parse().unwrap();
        assert_eq!(scope.names(), ["a", "team-b"]);
        assert!(scope.contains("a") && !scope.contains("c"));
        assert_eq!(scope.watched().len(), 2);
    }

    #[test]
    fn patterns_and_bad_names_are_refused_with_the_reason() {
        let message = |text: &str| text.parse::<Scope>().unwrap_err().to_string();
        for pattern in ["team-*", "/team-.*/", "env=prod"] {
            assert!(message(pattern).contains("not supported yet"), "{pattern}");
        }
        for name in ["Team", "-a", "a_b", &"x".repeat(64)] {
            assert!(message(name).contains("not a namespace name"), "{name}");
        }
    }
}
