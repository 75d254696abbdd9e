//! Which kind of cluster the suites run on.

use std::ffi::OsString;

/// The environment variable that says it.
const VARIABLE: &str = "TARGET";

/// What answers the Kubernetes API in a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// devcluster: API server and controllers of our own.
    Embedded,
    /// etcd, kube-apiserver and kube-controller-manager, with devcluster's node.
    Real,
}

/// The variable says something else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{VARIABLE}={0:?} is no target: embedded (also without {VARIABLE}) or real (what `make test-e2e` sets)")]
pub struct UnknownTarget(String);

impl Target {
    /// The target that `TARGET` names; embedded without it.
    ///
    /// # Errors
    /// If it names none.
    pub fn from_env() -> Result<Self, UnknownTarget> {
        Self::parse(std::env::var_os(VARIABLE))
    }

    fn parse(value: Option<OsString>) -> Result<Self, UnknownTarget> {
        let value = value.unwrap_or_default().to_string_lossy().into_owned();
        match value.as_str() {
            "" | "embedded" => Ok(Self::Embedded),
            "real" => Ok(Self::Real),
            _ => Err(UnknownTarget(value)),
        }
    }

    /// Whether it is ours.
    pub const fn is_embedded(self) -> bool {
        matches!(self, Self::Embedded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_named_exactly_or_not_at_all() {
        let parse = |text: &str| Target::parse(Some(text.into()));
        assert_eq!(Target::parse(None), Ok(Target::Embedded));
        assert_eq!(parse("embedded"), Ok(Target::Embedded));
        assert_eq!(parse("real"), Ok(Target::Real));
        for text in ["Real", "kind", "1"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("real"), "{error}");
        }
    }
}
