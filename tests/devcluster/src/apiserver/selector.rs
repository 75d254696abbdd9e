//! Label and field selectors.

use serde_json::Value;

use super::status::Failure;

/// A label selector: all requirements hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Labels(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    /// Also holds where the label is absent.
    NotIn(Vec<String>),
    Above(i64),
    Below(i64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Symbol(&'static str),
    End,
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Self::Word(word) => word,
            Self::Symbol(symbol) => symbol,
            Self::End => "",
        }
    }
}

const SYMBOLS: [&str; 9] = ["==", "!=", "=", "!", ",", "(", ")", "<", ">"];

fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(symbol) = SYMBOLS.into_iter().find(|s| rest.starts_with(s)) {
            out.push(Token::Symbol(symbol));
            rest = rest[symbol.len()..].trim_start();
        } else {
            let end = rest
                .find(|c: char| c.is_whitespace() || "=!,()<>".contains(c))
                .unwrap_or(rest.len());
            out.push(Token::Word(rest[..end].to_owned()));
            rest = rest[end..].trim_start();
        }
    }
    out.push(Token::End);
    out
}

struct Parser {
    tokens: std::vec::IntoIter<Token>,
    ahead: Token,
}

impl Parser {
    fn new(text: &str) -> Self {
        let mut tokens = tokens(text).into_iter();
        let ahead = tokens.next().unwrap_or(Token::End);
        Self { tokens, ahead }
    }

    fn next(&mut self) -> Token {
        let next = self.tokens.next().unwrap_or(Token::End);
        std::mem::replace(&mut self.ahead, next)
    }

    fn unexpected(token: &Token, expected: &str) -> Failure {
        let comma = if expected == "'('" { "" } else { "," };
        Failure::bad_request(format!("found '{}'{comma} expected: {expected}", token.text()))
    }

    fn requirement(&mut self) -> Result<Requirement, Failure> {
        match self.next() {
            Token::Symbol("!") => match self.next() {
                Token::Word(key) => Requirement::new(key, Test::Absent),
                other => Err(Self::unexpected(&other, "identifier")),
            },
            Token::Word(key) => {
                let requirement = self.test().and_then(|test| Requirement::new(key, test));
                requirement.map_err(|failure| {
                    Failure::bad_request(format!("unable to parse requirement: {}", failure.message))
                })
            }
            other => Err(Self::unexpected(&other, "!, identifier, or 'end of string'")),
        }
    }

    fn test(&mut self) -> Result<Test, Failure> {
        match self.ahead.clone() {
            Token::End | Token::Symbol(",") => Ok(Test::Exists),
            Token::Symbol("=" | "==") => {
                self.next();
                Ok(Test::In(vec![self.value()]))
            }
            Token::Symbol("!=") => {
                self.next();
                Ok(Test::NotIn(vec![self.value()]))
            }
            Token::Symbol(sign @ ("<" | ">")) => {
                self.next();
                let value = self.value();
                let bound: i64 = value.parse().map_err(|_| {
                    Failure::bad_request(format!(
                        "values[0][]: Invalid value: \"{value}\": for 'Gt', 'Lt' operators, the value must be an integer"
                    ))
                })?;
                Ok(if sign == ">" {
                    Test::Above(bound)
                } else {
                    Test::Below(bound)
                })
            }
            Token::Word(word) if word == "in" => {
                self.next();
                Ok(Test::In(self.set()?))
            }
            Token::Word(word) if word == "notin" => {
                self.next();
                Ok(Test::NotIn(self.set()?))
            }
            other => Err(Self::unexpected(&other, "in, notin, =, ==, !=, gt, lt")),
        }
    }

    fn value(&mut self) -> String {
        match &self.ahead {
            Token::Word(_) => self.next().text().to_owned(),
            _ => String::new(),
        }
    }

    fn set(&mut self) -> Result<Vec<String>, Failure> {
        match self.next() {
            Token::Symbol("(") => {}
            other => return Err(Self::unexpected(&other, "'('")),
        }
        let mut values = Vec::new();
        loop {
            values.push(self.value());
            match self.next() {
                Token::Symbol(",") => {}
                Token::Symbol(")") => return Ok(values),
                other => return Err(Self::unexpected(&other, "',' or ')'")),
            }
        }
    }
}

impl Requirement {
    fn new(key: String, test: Test) -> Result<Self, Failure> {
        let problem = |what: &str| Err(Failure::bad_request(format!("key: Invalid value: \"{key}\": {what}")));
        let name = key.rsplit_once('/').map_or(key.as_str(), |(_, name)| name);
        if name.is_empty() || name.len() > 63 || key.matches('/').count() > 1 {
            return problem("a valid label key must have a name part of at most 63 characters");
        }
        if !key.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c)) {
            return problem("a valid label key must consist of alphanumeric characters, '-', '_' or '.'");
        }
        Ok(Self { key, test })
    }

    fn matches(&self, labels: Option<&Value>) -> bool {
        let value = labels.and_then(|l| l.get(&self.key)).and_then(Value::as_str);
        match (&self.test, value) {
            (Test::Exists, value) => value.is_some(),
            (Test::Absent, value) => value.is_none(),
            (Test::In(values), Some(value)) => values.iter().any(|v| v == value),
            (Test::NotIn(values), Some(value)) => !values.iter().any(|v| v == value),
            (Test::NotIn(_), None) => true,
            (Test::Above(bound), Some(value)) => value.parse::<i64>().is_ok_and(|v| v > *bound),
            (Test::Below(bound), Some(value)) => value.parse::<i64>().is_ok_and(|v| v < *bound),
            (Test::In(_) | Test::Above(_) | Test::Below(_), None) => false,
        }
    }
}

impl Labels {
    /// Reads a `LabelSelector` object: an empty one selects everything, none at all nothing.
    pub(super) fn of_selector(selector: &Value) -> Option<Self> {
        let selector = selector.as_object()?;
        let exact = selector.get("matchLabels").and_then(Value::as_object);
        let mut requirements: Vec<Requirement> = exact
            .into_iter()
            .flatten()
            .map(|(key, value)| Requirement {
                key: key.clone(),
                test: Test::In(vec![value.as_str().unwrap_or_default().to_owned()]),
            })
            .collect();
        let listed = selector.get("matchExpressions").and_then(Value::as_array);
        for expression in listed.into_iter().flatten() {
            let values = expression["values"].as_array().into_iter().flatten();
            let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
            let test = match expression["operator"].as_str()? {
                "In" => Test::In(values),
                "NotIn" => Test::NotIn(values),
                "Exists" => Test::Exists,
                "DoesNotExist" => Test::Absent,
                _ => return None,
            };
            let key = expression["key"].as_str()?.to_owned();
            requirements.push(Requirement { key, test });
        }
        Some(Self(requirements))
    }

    /// Reads the `labelSelector` parameter.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let mut parser = Parser::new(text);
        let mut requirements = Vec::new();
        if parser.ahead == Token::End {
            return Ok(Self::default());
        }
        loop {
            requirements.push(parser.requirement()?);
            match parser.next() {
                Token::End => return Ok(Self(requirements)),
                Token::Symbol(",") => {}
                other => return Err(Parser::unexpected(&other, "',' or 'end of string'")),
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels");
        self.0.iter().all(|r| r.matches(labels))
    }
}

/// A field selector: pairs of field and value, each with whether they must be equal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fields(Vec<(String, bool, String)>);

impl Fields {
    /// Reads the `fieldSelector` parameter. `fields` are the resource's own, besides name and namespace.
    /// What is said of others depends on whether the kind has any, or is `custom`.
    pub(super) fn parse(text: &str, fields: &[&str], custom: bool) -> Result<Self, Failure> {
        let mut out = Vec::new();
        for term in terms(text) {
            let (field, equal, value) = if let Some((field, value)) = split(&term, "!=") {
                (field, false, value)
            } else if let Some((field, value)) = split(&term, "==").or_else(|| split(&term, "=")) {
                (field, true, value)
            } else {
                return Err(Failure::bad_request(format!(
                    "invalid selector: '{term}'; can't understand '{term}'"
                )));
            };
            if !matches!(field, "metadata.name" | "metadata.namespace") && !fields.contains(&field) {
                return Err(Failure::bad_request(if fields.is_empty() && !custom {
                    format!("{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
                } else {
                    format!("field label not supported: {field}")
                }));
            }
            out.push((field.to_owned(), equal, unescape(value)));
        }
        Ok(Self(out))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        self.0
            .iter()
            .all(|(field, equal, value)| (field_text(object, field) == *value) == *equal)
    }
}

/// The value of a field as selectors see it: absent is empty.
fn field_text(object: &Value, field: &str) -> String {
    let value = field
        .split('.')
        .try_fold(object, |value, step| value.get(step))
        .unwrap_or(&Value::Null);
    match value {
        Value::Null => match field {
            "spec.unschedulable" | "spec.hostNetwork" => "false".into(),
            "status.successful" => "0".into(),
            _ => String::new(),
        },
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn terms(text: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        match (c, out.last_mut()) {
            (',', _) if !escaped => out.push(String::new()),
            (c, Some(last)) => last.push(c),
            (_, None) => {}
        }
        escaped = c == '\\' && !escaped;
    }
    out.retain(|term| !term.is_empty());
    out
}

fn split<'a>(term: &'a str, sign: &str) -> Option<(&'a str, &'a str)> {
    let at = term.find(sign)?;
    (at > 0).then(|| (&term[..at], &term[at + sign.len()..]))
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn label_selectors_match_as_kubernetes_reads_them() {
        let object = json!({"metadata": {"labels": {"app": "neo4j", "tier": "2"}}});
        for (selector, expected) in [
            ("", true),
            ("app", true),
            ("!app", false),
            ("!other", true),
            ("app=neo4j", true),
            ("app == neo4j , tier=2", true),
            ("app!=neo4j", false),
            ("other!=x", true),
            ("app in (a, neo4j)", true),
            ("app notin (a,neo4j)", false),
            ("other notin (a)", true),
            ("tier>1,tier<3", true),
            ("tier>2", false),
        ] {
            let labels = Labels::parse(selector).unwrap();
            assert_eq!(labels.matches(&object), expected, "{selector}");
        }
    }

    #[test]
    fn a_selector_that_cannot_be_read_is_refused_with_what_was_found() {
        for (selector, found) in [
            ("==", "found '=='"),
            ("a in b", "found 'b' expected: '('"),
            ("a=b c", "found 'c'"),
            ("a in (b", "found ''"),
            ("a>x", "must be an integer"),
            ("a/b/c", "name part"),
        ] {
            let failure = Labels::parse(selector).unwrap_err();
            assert_eq!(failure.code, 400);
            assert!(failure.message.contains(found), "{selector}: {}", failure.message);
        }
    }

    #[test]
    fn field_selectors_know_the_fields_of_their_resource_only() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n,1"}});
        assert!(Fields::parse("metadata.name=p", &[], false).unwrap().matches(&pod));
        assert!(
            Fields::parse("spec.nodeName=n\\,1,metadata.name!=q", &["spec.nodeName"], false)
                .unwrap()
                .matches(&pod)
        );
        assert_eq!(
            Fields::parse("spec.n=1", &["spec.m"], false).unwrap_err().message,
            "field label not supported: spec.n"
        );
        assert_eq!(Fields::parse("nonsense", &[], false).unwrap_err().code, 400);
    }
}
