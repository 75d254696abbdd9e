//! Field errors as the server words them: the class of the error, the bad value in Go's notation, and the detail.

use serde_json::Value;

/// The field of an error that belongs to the whole object.
pub const WHOLE_OBJECT: &str = "<nil>";

/// The `reason` of a cause in a 422.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// `FieldValueInvalid`
    Invalid,
    /// `FieldValueTypeInvalid`
    TypeInvalid,
    /// `FieldValueRequired`
    Required,
    /// `FieldValueNotSupported`
    NotSupported,
    /// `FieldValueDuplicate`
    Duplicate,
    /// `FieldValueNotFound`
    NotFound,
    /// `FieldValueTooLong`
    TooLong,
    /// `FieldValueTooMany`
    TooMany,
    /// `FieldValueForbidden`
    Forbidden,
    /// `InternalError`
    Internal,
}

impl Reason {
    /// The word in `details.causes[].reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "FieldValueInvalid",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::Required => "FieldValueRequired",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
            Self::NotFound => "FieldValueNotFound",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Forbidden => "FieldValueForbidden",
            Self::Internal => "InternalError",
        }
    }

    /// How a message of this class begins.
    fn title(self) -> &'static str {
        match self {
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::Required => "Required value",
            Self::NotSupported => "Unsupported value",
            Self::Duplicate => "Duplicate value",
            Self::NotFound => "Not found",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Forbidden => "Forbidden",
            Self::Internal => "Internal error",
        }
    }
}

/// One cause of a 422.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// `spec.items[0].name`
    pub field: String,
    /// Its class.
    pub reason: Reason,
    /// The cause's message without the field: `Invalid value: "X": …`.
    pub message: String,
}

impl FieldError {
    fn new(field: &str, reason: Reason, value: Option<&Value>, detail: &str) -> Self {
        let mut message = reason.title().to_owned();
        if let Some(value) = value {
            message.push_str(": ");
            message.push_str(&shown(value));
        }
        if !detail.is_empty() {
            message.push_str(": ");
            message.push_str(detail);
        }
        let field = if field.is_empty() { WHOLE_OBJECT } else { field };
        Self {
            field: field.to_owned(),
            reason,
            message,
        }
    }

    /// A value that is malformed or out of bounds.
    pub fn invalid(field: &str, value: &Value, detail: &str) -> Self {
        Self::new(field, Reason::Invalid, Some(value), detail)
    }

    /// A value that is malformed, and too big to be shown.
    pub fn invalid_unshown(field: &str, detail: &str) -> Self {
        Self::new(field, Reason::Invalid, None, detail)
    }

    /// A value of the wrong type.
    pub fn type_invalid(field: &str, value: &Value, detail: &str) -> Self {
        Self::new(field, Reason::TypeInvalid, Some(value), detail)
    }

    /// A value that must be there.
    pub fn required(field: &str, detail: &str) -> Self {
        Self::new(field, Reason::Required, None, detail)
    }

    /// A value outside of an enumeration.
    pub fn not_supported<S: AsRef<str>>(field: &str, value: &Value, supported: &[S]) -> Self {
        let supported: Vec<String> = supported.iter().map(|s| quote(s.as_ref())).collect();
        let detail = format!("supported values: {}", supported.join(", "));
        Self::new(field, Reason::NotSupported, Some(value), &detail)
    }

    /// A value that must be unique and is not.
    pub fn duplicate(field: &str, value: Option<&Value>) -> Self {
        Self::new(field, Reason::Duplicate, value, "")
    }

    /// A value that refers to something that is not there.
    pub fn not_found(field: &str, value: &Value) -> Self {
        Self::new(field, Reason::NotFound, Some(value), "")
    }

    /// A text of more than `max` bytes.
    pub fn too_long(field: &str, max: u64) -> Self {
        let unit = if max == 1 { "byte" } else { "bytes" };
        Self::new(
            field,
            Reason::TooLong,
            None,
            &format!("may not be more than {max} {unit}"),
        )
    }

    /// A list or map of `actual` entries where `max` are allowed.
    pub fn too_many(field: &str, actual: u64, max: u64) -> Self {
        let unit = if max == 1 { "item" } else { "items" };
        let detail = format!("must have at most {max} {unit}");
        Self::new(field, Reason::TooMany, Some(&Value::from(actual)), &detail)
    }

    /// A value that may not be there.
    pub fn forbidden(field: &str, detail: &str) -> Self {
        Self::new(field, Reason::Forbidden, None, detail)
    }

    /// A failure of the server, not of the object.
    pub fn internal(field: &str, detail: &str) -> Self {
        Self::new(field, Reason::Internal, None, detail)
    }

    /// The same error with `prefix` before its field.
    #[must_use]
    pub fn below(mut self, prefix: &str) -> Self {
        self.field = match self.field.as_str() {
            WHOLE_OBJECT => prefix.to_owned(),
            field if field.starts_with('[') => format!("{prefix}{field}"),
            field => format!("{prefix}.{field}"),
        };
        self
    }
}

/// The path of a property.
pub(in crate::apiserver) fn child(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// The path of an item of a list or of an entry of a map.
pub(in crate::apiserver) fn index(path: &str, key: impl std::fmt::Display) -> String {
    format!("{path}[{key}]")
}

/// A bad value as the server prints it: text quoted, scalars plain, the rest as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Bool(_) | Value::Null => value.to_string(),
        Value::Number(number) => go_number(number),
        _ => go_json(value),
    }
}

/// Go's `%q`.
pub(in crate::apiserver) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0b' => out.push_str("\\v"),
            '\x0c' => out.push_str("\\f"),
            c if c.is_ascii_control() => out.extend(format!("\\x{:02x}", u32::from(c)).chars()),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Go's `%v` of a JSON number.
pub(in crate::apiserver) fn go_number(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(float) if !number.is_i64() && !number.is_u64() => go_float(float),
        _ => number.to_string(),
    }
}

/// Go's `%v` of a float: the shortest text, with an exponent from 21 digits on.
pub(in crate::apiserver) fn go_float(float: f64) -> String {
    if float != 0.0 && !(1e-4..1e21).contains(&float.abs()) {
        let text = format!("{float:e}");
        if let Some((mantissa, exponent)) = text.split_once('e') {
            let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |d| ('-', d));
            return format!("{mantissa}e{sign}{digits:0>2}");
        }
        return text;
    }
    format!("{float}")
}

/// Go's `json.Marshal`: keys sorted, `<`, `>` and `&` escaped.
pub(in crate::apiserver) fn go_json(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.iter().collect();
            keys.sort_by_key(|(key, _)| *key);
            let parts: Vec<String> = keys
                .into_iter()
                .map(|(key, value)| format!("{}:{}", go_json(&Value::from(key.as_str())), go_json(value)))
                .collect();
            format!("{{{}}}", parts.join(","))
        }
        Value::Array(items) => {
            let parts: Vec<String> = items.iter().map(go_json).collect();
            format!("[{}]", parts.join(","))
        }
        Value::String(_) => value
            .to_string()
            .replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026"),
        _ => value.to_string(),
    }
}
