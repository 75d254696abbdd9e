//! Versions of Neo4j as image tags say them.

use std::{fmt, str::FromStr};

/// `5.26.3` or a calendar version such as `2025.08.0`; what follows a `-` in a tag is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// 5, or the year.
    pub major: u16,
    /// 26, or the month.
    pub minor: u16,
    /// The patch; 0 when the tag has none.
    pub patch: u16,
}

/// Why a tag is no version that the operator runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionError {
    /// It does not begin with numbers.
    NoVersion,
    /// It is a version, but an older or unknown one.
    Unsupported,
}

// === impl Version ===

impl Version {
    /// A version from its parts.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }

    /// Whether the year is the major number, as from 2025.01 on.
    pub const fn is_calendar(self) -> bool {
        self.major >= 2025
    }

    /// Reads a tag and checks that the operator runs its version.
    ///
    /// # Errors
    /// The tag holds no version, or one that is neither 5.26 nor a calendar version.
    pub fn from_tag(tag: &str) -> Result<Self, VersionError> {
        let version: Self = tag.parse()?;
        let long_term = version.major == 5 && version.minor == 26;
        let calendar = version.is_calendar() && (1..=12).contains(&version.minor);
        if long_term || calendar {
            Ok(version)
        } else {
            Err(VersionError::Unsupported)
        }
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(tag: &str) -> Result<Self, Self::Err> {
        let numbers = tag.split('-').next().unwrap_or_default();
        let mut parts = numbers.split('.').map(|part| {
            let plain = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            if plain {
                part.parse::<u16>().map_err(|_| VersionError::NoVersion)
            } else {
                Err(VersionError::NoVersion)
            }
        });
        let major = parts.next().ok_or(VersionError::NoVersion)??;
        let minor = parts.next().ok_or(VersionError::NoVersion)??;
        let patch = parts.next().transpose()?.unwrap_or(0);
        match parts.next() {
            None => Ok(Self { major, minor, patch }),
            Some(_) => Err(VersionError::NoVersion),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_calendar() {
            write!(f, "{}.{:02}.{}", self.major, self.minor, self.patch)
        } else {
            write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_that_run_are_read_and_others_refused() {
        let cases = [
            ("5.26.0-enterprise", Ok(Version::new(5, 26, 0))),
            ("5.26-enterprise", Ok(Version::new(5, 26, 0))),
            ("2025.01.0-enterprise", Ok(Version::new(2025, 1, 0))),
            ("2026.04.1-enterprise-ubi9", Ok(Version::new(2026, 4, 1))),
            ("5.25.1-enterprise", Err(VersionError::Unsupported)),
            ("4.4.40-enterprise", Err(VersionError::Unsupported)),
            ("2024.12.0", Err(VersionError::Unsupported)),
            ("2025.13.0", Err(VersionError::Unsupported)),
            ("enterprise", Err(VersionError::NoVersion)),
            ("latest", Err(VersionError::NoVersion)),
            ("5", Err(VersionError::NoVersion)),
            ("5.26.0.1", Err(VersionError::NoVersion)),
            ("+5.26.0", Err(VersionError::NoVersion)),
            ("", Err(VersionError::NoVersion)),
        ];
        for (tag, expected) in cases {
            assert_eq!(Version::from_tag(tag), expected, "{tag}");
        }
    }

    #[test]
    fn later_versions_compare_greater_across_both_schemes() {
        assert!(Version::new(5, 26, 9) < Version::new(2025, 1, 0));
        assert!(Version::new(2025, 4, 0) < Version::new(2025, 11, 0));
        assert_eq!(Version::new(2025, 4, 0).to_string(), "2025.04.0");
    }
}
