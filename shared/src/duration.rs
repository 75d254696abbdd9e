//! Durations as people write them: `250ms`, `5s`, `1h30m`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A length of time that is written as in the custom resources: whole numbers with the units
/// `h`, `m`, `s`, `ms`, `us` in falling order, at least one part, each unit once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSpan(String);

impl fmt::Display for InvalidSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a duration; write whole numbers with units in falling order, such as 5s, 1h30m or 250ms",
            self.0
        )
    }
}

impl std::error::Error for InvalidSpan {}

/// Units in the order in which they may appear, with their length in microseconds.
const UNITS: [(&str, u64); 5] = [
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

// === impl Span ===

impl FromStr for Span {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The echo of bad input is bounded: it ends up in status and logs.
        let invalid = || InvalidSpan(text.chars().take(64).collect());
        let mut rest = text;
        let mut micros = 0_u64;
        let mut allowed_from = 0;
        if rest.is_empty() {
            return Err(invalid());
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: u64 = rest[..digits].parse().map_err(|_| invalid())?;
            rest = &rest[digits..];
            let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
            let unit = &rest[..letters];
            rest = &rest[letters..];
            let position = UNITS
                .iter()
                .position(|(name, _)| *name == unit)
                .filter(|position| *position >= allowed_from)
                .ok_or_else(invalid)?;
            allowed_from = position + 1;
            micros = number
                .checked_mul(UNITS[position].1)
                .and_then(|part| micros.checked_add(part))
                .ok_or_else(invalid)?;
        }
        Ok(Self(Duration::from_micros(micros)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut micros = u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX);
        if micros == 0 {
            return f.write_str("0s");
        }
        for (name, length) in UNITS {
            let count = micros / length;
            micros %= length;
            if count > 0 {
                write!(f, "{count}{name}")?;
            }
        }
        Ok(())
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_duration_reads_back_as_itself() {
        for text in ["0s", "5s", "1h30m", "250ms", "2h3m4s5ms6us", "90us"] {
            let span: Span = text.parse().expect(text);
            assert_eq!(span.to_string(), text);
        }
        assert_eq!("90s".parse::<Span>().expect("90s").to_string(), "1m30s");
    }

    #[test]
    fn bad_durations_are_refused_with_what_to_write() {
        for text in [
            "",
            "5",
            "s",
            "-1s",
            "1s1h",
            "1s1s",
            "5 s",
            "1.5s",
            "1d",
            "99999999999999999999s",
            "1e9h",
            "9999999999999h",
        ] {
            let error = text.parse::<Span>().expect_err(text);
            assert!(error.to_string().contains("1h30m"), "{error}");
        }
    }
}
