//! The syntax of names, labels, keys and ports. Each check answers what is wrong, in the server's words.

use std::sync::LazyLock;

use regex::Regex;

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const LABEL_KEY: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
const CONFIG_KEY: &str = "[-._a-zA-Z0-9]+";

/// A syntax: its expression, compiled to match the whole text.
struct Syntax(LazyLock<Option<Regex>>);

impl Syntax {
    fn matches(&self, text: &str) -> bool {
        self.0.as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

static LABELS: Syntax = Syntax(LazyLock::new(|| Regex::new(&format!("^(?:{LABEL})$")).ok()));
static SUBDOMAINS: Syntax = Syntax(LazyLock::new(|| Regex::new(&format!("^(?:{SUBDOMAIN})$")).ok()));
static LABEL_KEYS: Syntax = Syntax(LazyLock::new(|| Regex::new(&format!("^(?:{LABEL_KEY})$")).ok()));
static LABEL_VALUES: Syntax = Syntax(LazyLock::new(|| Regex::new(&format!("^(?:{LABEL_VALUE})$")).ok()));
static CONFIG_KEYS: Syntax = Syntax(LazyLock::new(|| Regex::new(&format!("^(?:{CONFIG_KEY})$")).ok()));
static PORT_NAMES: Syntax = Syntax(LazyLock::new(|| Regex::new("^[-a-z0-9]+$").ok()));

/// `message (e.g. 'a',  or 'b', regex used for validation is '…')`
fn expression(message: &str, syntax: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!(
        "{message} (e.g. {}regex used for validation is '{syntax}')",
        examples.join(" or ")
    )
}

fn too_long(max: usize) -> String {
    format!("must be no more than {max} characters")
}

/// A name that is one DNS label.
pub(in crate::apiserver) fn label(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    if text.len() > 63 {
        out.push(too_long(63));
    }
    if !LABELS.matches(text) {
        out.push(if SUBDOMAINS.matches(text) {
            "must not contain dots".to_owned()
        } else {
            let message = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
            expression(message, LABEL, &["my-name", "123-abc"])
        });
    }
    out
}

/// A name of DNS labels.
pub(in crate::apiserver) fn subdomain(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    if text.len() > 253 {
        out.push(too_long(253));
    }
    if !SUBDOMAINS.matches(text) {
        let message = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
        out.push(expression(message, SUBDOMAIN, &["example.com"]));
    }
    out
}

/// A name that is only a segment of a path.
pub(in crate::apiserver) fn path_segment(text: &str) -> Vec<String> {
    if text == "." || text == ".." {
        return vec![format!("may not be '{text}'")];
    }
    ["/", "%"]
        .iter()
        .filter(|part| text.contains(**part))
        .map(|part| format!("may not contain '{part}'"))
        .collect()
}

/// The key of a label: an optional prefix and a name.
pub(in crate::apiserver) fn label_key(text: &str) -> Vec<String> {
    let message = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
    let form = expression(message, LABEL_KEY, &["MyName", "my.name", "123-abc"]);
    let mut out = Vec::new();
    let name = match text.split('/').collect::<Vec<_>>().as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                out.push("prefix part must be non-empty".to_owned());
            } else {
                out.extend(subdomain(prefix).into_iter().map(|m| format!("prefix part {m}")));
            }
            *name
        }
        _ => {
            return vec![format!(
                "a valid label key {form} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        out.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        out.push(format!("name part {}", too_long(63)));
    }
    if !LABEL_KEYS.matches(name) {
        out.push(format!("name part {form}"));
    }
    out
}

/// The value of a label.
pub(in crate::apiserver) fn label_value(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    if text.len() > 63 {
        out.push(too_long(63));
    }
    if !LABEL_VALUES.matches(text) {
        let message = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
        out.push(expression(message, LABEL_VALUE, &["MyValue", "my_value", "12345"]));
    }
    out
}

/// A key in the data of a ConfigMap or Secret.
pub(in crate::apiserver) fn config_key(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    if text.len() > 253 {
        out.push(too_long(253));
    }
    if !CONFIG_KEYS.matches(text) {
        let message = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        out.push(expression(message, CONFIG_KEY, &["key.name", "KEY_NAME", "key-name"]));
    }
    match text {
        "." | ".." => out.push(format!("must not be '{text}'")),
        text if text.starts_with("..") => out.push("must not start with '..'".to_owned()),
        _ => {}
    }
    out
}

/// The name of an environment variable.
pub(in crate::apiserver) fn env_name(text: &str) -> Vec<String> {
    if text.chars().any(|c| !(c.is_ascii_graphic() || c == ' ') || c == '=') {
        return vec![
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
                .to_owned(),
        ];
    }
    Vec::new()
}

/// The name of a port.
pub(in crate::apiserver) fn port_name(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    if text.len() > 15 {
        out.push(too_long(15));
    }
    if !PORT_NAMES.matches(text) {
        out.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !text.bytes().any(|b| b.is_ascii_lowercase()) {
        out.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        out.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        out.push("must not begin or end with a hyphen".to_owned());
    }
    out
}

/// The number of a port.
pub(in crate::apiserver) fn port_number(number: i64) -> Vec<String> {
    if (1..=65535).contains(&number) {
        Vec::new()
    } else {
        vec!["must be between 1 and 65535, inclusive".to_owned()]
    }
}
