//! `format` and `pattern`: texts that must have a form.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
};

use base64::Engine as _;
use regex::Regex;

use super::node::Type;

/// A format that the server checks; it ignores all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int32,
    Int64,
    Float,
    Double,
    DateTime,
    Date,
    Duration,
    Byte,
    Ipv4,
    Ipv6,
    Cidr,
    Mac,
    Uuid,
    Uri,
    Email,
    Hostname,
    ShortName,
    LongName,
}

/// A supported format and the name that the schema gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) kind: Kind,
    pub(super) name: String,
}

static DATE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("^[0-9]{4}-[0-9]{2}-[0-9]{2}$").ok());
static TIME: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)^([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]+)?(z|[+-][0-9]{2}:[0-9]{2})$").ok());
static DURATION: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new("^[-+]?(0|([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|µs|ms|s|m|h)( ?([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(ns|us|µs|ms|s|m|h))*|[0-9]+ ?(ns|us|ms|s|m|h|d|w|nanos?|micros?|millis?|secs?|seconds?|mins?|minutes?|hrs?|hours?|days?|wks?|weeks?))$").ok()
});
static MAC: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new("^([0-9A-Fa-f]{2}[:-]){5}([0-9A-Fa-f]{2}[:-]){0,2}[0-9A-Fa-f]{2}$").ok());
static UUID: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new("(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$").ok());
static HOSTNAME: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new("^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*\\.?$")
        .ok()
});

impl Kind {
    /// Whether it bounds numbers rather than texts.
    pub(super) fn is_numeric(self) -> bool {
        matches!(self, Self::Int32 | Self::Int64 | Self::Float | Self::Double)
    }
}

impl Format {
    /// The format, where the server checks it for values of this type.
    pub(super) fn supported(name: &str, ty: Option<Type>) -> Option<Self> {
        let normal = name.replace('-', "");
        let kind = match (ty, normal.as_str()) {
            (Some(Type::Integer), "int32") => Kind::Int32,
            (Some(Type::Integer), "int64") => Kind::Int64,
            (Some(Type::Number), "float") => Kind::Float,
            (Some(Type::Number), "double") => Kind::Double,
            (Some(Type::String) | None, normal) => match normal {
                "datetime" => Kind::DateTime,
                "date" => Kind::Date,
                "duration" => Kind::Duration,
                "byte" => Kind::Byte,
                "ipv4" => Kind::Ipv4,
                "ipv6" => Kind::Ipv6,
                "cidr" => Kind::Cidr,
                "mac" => Kind::Mac,
                "uuid" => Kind::Uuid,
                "uri" => Kind::Uri,
                "email" => Kind::Email,
                "hostname" => Kind::Hostname,
                "k8sshortname" => Kind::ShortName,
                "k8slongname" => Kind::LongName,
                _ => return None,
            },
            _ => return None,
        };
        Some(Self {
            kind,
            name: name.to_owned(),
        })
    }

    /// Whether the text has the form.
    pub(super) fn matches(&self, text: &str) -> bool {
        let form = |regex: &LazyLock<Option<Regex>>| regex.as_ref().is_some_and(|r| r.is_match(text));
        match self.kind {
            Kind::Int32 | Kind::Int64 | Kind::Float | Kind::Double => true,
            Kind::DateTime => is_date_time(text),
            Kind::Date => is_date(text),
            Kind::Duration => form(&DURATION),
            Kind::Byte => base64::engine::general_purpose::STANDARD.decode(text).is_ok(),
            Kind::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
            Kind::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
            Kind::Cidr => is_cidr(text),
            Kind::Mac => form(&MAC),
            Kind::Uuid => form(&UUID),
            Kind::Uri => is_uri(text),
            Kind::Email => is_email(text),
            Kind::Hostname => text.len() <= 255 && form(&HOSTNAME),
            Kind::ShortName => text.len() <= 63 && is_short_name(text),
            Kind::LongName => text.len() <= 253 && text.split('.').all(is_short_name),
        }
    }
}

fn is_date(text: &str) -> bool {
    DATE.as_ref().is_some_and(|r| r.is_match(text)) && text.parse::<jiff::civil::Date>().is_ok()
}

fn is_date_time(text: &str) -> bool {
    let Some((date, time)) = text.split_once(['T', 't']) else {
        return false;
    };
    let Some(parts) = TIME.as_ref().and_then(|r| r.captures(time)) else {
        return false;
    };
    let below = |group: usize, bound: u32| {
        parts
            .get(group)
            .and_then(|m| m.as_str().parse::<u32>().ok())
            .is_some_and(|n| n < bound)
    };
    is_date(date) && below(1, 24) && below(2, 60) && below(3, 60)
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let bits = bits
        .parse::<u8>()
        .ok()
        .filter(|_| bits.bytes().all(|b| b.is_ascii_digit()));
    match (address.parse::<IpAddr>(), bits) {
        (Ok(IpAddr::V4(_)), Some(bits)) => bits <= 32,
        (Ok(IpAddr::V6(_)), Some(bits)) => bits <= 128,
        _ => false,
    }
}

/// A request URI: an absolute path, or a scheme and what follows it.
fn is_uri(text: &str) -> bool {
    if text.is_empty() || text.chars().any(|c| c.is_control() || c == ' ') {
        return false;
    }
    if text.starts_with('/') {
        return true;
    }
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let mut chars = scheme.chars();
    let scheme_is_sound = chars.next().is_some_and(|c| c.is_ascii_alphabetic())
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    scheme_is_sound && !rest.is_empty()
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let sound = |part: &str| !part.is_empty() && !part.chars().any(|c| c.is_whitespace() || c.is_control());
    sound(local) && sound(domain) && !local.contains('@')
}

fn is_short_name(text: &str) -> bool {
    let sound = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().copied().is_some_and(sound)
        && bytes.last().copied().is_some_and(sound)
        && bytes.iter().all(|c| sound(*c) || *c == b'-')
}

/// A pattern in Go's notation, compiled.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    /// As the schema has it: error messages quote it.
    pub(super) source: String,
    regex: Regex,
}

impl Pattern {
    /// Compiles a pattern; the error is the reason without the pattern.
    pub(super) fn compile(source: &str) -> Result<Self, String> {
        // A bound on the compiled size, as a pattern comes from whoever may write a CRD.
        let regex = regex::RegexBuilder::new(&from_go(source))
            .size_limit(1 << 20)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => "expression nests too deeply".to_owned(),
                other => other.to_string().lines().last().unwrap_or_default().to_owned(),
            })?;
        Ok(Self {
            source: source.to_owned(),
            regex,
        })
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

/// Translates the two places where Go's notation means something else: `\d`, `\w`, `\s` and `\b` are ASCII, and a class has no set
/// operations, so `[`, `&&`, `--` and `~~` in it are plain characters.
fn from_go(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut chars = source.chars().peekable();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('d') => out.push_str("[0-9]"),
                Some('D') => out.push_str("[^0-9]"),
                Some('w') => out.push_str("[0-9A-Za-z_]"),
                Some('W') => out.push_str("[^0-9A-Za-z_]"),
                Some('s') => out.push_str(r"[\t\n\f\r ]"),
                Some('S') => out.push_str(r"[^\t\n\f\r ]"),
                Some('b') if !in_class => out.push_str(r"(?-u:\b)"),
                Some('B') if !in_class => out.push_str(r"(?-u:\B)"),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            '[' if !in_class => {
                in_class = true;
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                // A bracket right at the start is a member.
                if chars.next_if_eq(&']').is_some() {
                    out.push_str(r"\]");
                }
            }
            '[' if chars.peek() == Some(&':') => {
                // A named class runs to its own bracket.
                out.push('[');
                for c in chars.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            '[' => out.push_str(r"\["),
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => out.extend(['\\', c]),
            '-' if in_class && chars.next_if_eq(&'-').is_some() => out.push_str(r"-\-"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_in_go() {
        let cases = [
            (r"^\d+$", "12", true),
            (r"^\d+$", "\u{0663}", false), // an Arabic digit
            (r"^[[a]+$", "[a", true),
            (r"^[a&&b]+$", "&", true),
            (r"^[\w.-]+$", "a_b-c.d", true),
            (r"^[[:alpha:]]+$", "ab", true),
            (r"^[]a]+$", "]", true),
            ("^[a-z]+$", "X", false),
        ];
        for (pattern, text, expected) in cases {
            let compiled = Pattern::compile(pattern).unwrap();
            assert_eq!(compiled.is_match(text), expected, "{pattern} on {text:?}");
        }
        assert!(Pattern::compile("(").is_err());
    }

    #[test]
    fn formats_are_checked_as_the_server_checks_them() {
        let cases = [
            ("date-time", "2026-01-02T03:04:05Z", true),
            ("date-time", "2026-01-02T03:04:05.123+01:00", true),
            ("date-time", "2026-01-02 03:04:05Z", false),
            ("date-time", "2026-02-30T03:04:05Z", false),
            ("date-time", "2026-01-02T25:04:05Z", false),
            ("duration", "1h30m", true),
            ("duration", "3 days", true),
            ("duration", "later", false),
            ("byte", "aGk=", true),
            ("byte", "a$", false),
            ("cidr", "10.0.0.0/8", true),
            ("cidr", "10.0.0.0/33", false),
            ("uri", "s3://bucket/path", true),
            ("uri", "no uri", false),
            ("hostname", "a.b-c.d", true),
            ("hostname", "-a", false),
        ];
        for (name, text, expected) in cases {
            let format = Format::supported(name, Some(Type::String)).unwrap();
            assert_eq!(format.matches(text), expected, "{name} of {text:?}");
        }
        assert!(Format::supported("int32", Some(Type::String)).is_none());
        assert!(Format::supported("made-up", Some(Type::String)).is_none());
    }
}
