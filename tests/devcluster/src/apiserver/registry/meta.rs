//! The rules of `metadata`: identity, names, labels, finalizers, owners.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::{
    clock::{Chance, seconds},
    kinds::{Names, Resource},
    schema::{FieldError, Reason},
    status::field_error,
};

/// The total size of all annotations.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// A text field of `metadata`; empty where it is absent.
pub(in crate::apiserver) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object
        .get("metadata")
        .and_then(|m| m.get(field))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The `metadata` map, made where it is missing.
pub(super) fn of(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let fields = as_map(object);
    let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
    if !metadata.is_object() {
        *metadata = json!({});
    }
    as_map(metadata)
}

/// A value known to be a map; the callers above made it one.
fn as_map(value: &mut Value) -> &mut Map<String, Value> {
    match value {
        Value::Object(map) => map,
        #[allow(clippy::unreachable, reason = "both callers assign a map right before")]
        _ => unreachable!("made a map by the caller"),
    }
}

/// Sets or, with null, removes a field of `metadata`.
pub(super) fn set(object: &mut Value, field: &str, value: Value) {
    let metadata = of(object);
    if value.is_null() {
        metadata.shift_remove(field);
    } else {
        metadata.insert(field.to_owned(), value);
    }
}

/// Copies a field of `metadata` from another object, absence included.
pub(super) fn copy(from: &Value, to: &mut Value, field: &str) {
    let value = from
        .get("metadata")
        .and_then(|m| m.get(field))
        .cloned()
        .unwrap_or_default();
    set(to, field, value);
}

/// Whether the object is being deleted.
pub(in crate::apiserver) fn is_terminating(object: &Value) -> bool {
    !text(object, "deletionTimestamp").is_empty()
}

pub(super) fn finalizers(object: &Value) -> Vec<&str> {
    object
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

pub(super) fn generation(object: &Value) -> i64 {
    object
        .pointer("/metadata/generation")
        .and_then(Value::as_i64)
        .unwrap_or(0)
}

/// Gives a new object what only the server may give.
pub(super) fn identify(object: &mut Value, chance: &Chance, now: Timestamp) {
    for field in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "resourceVersion",
        "generation",
    ] {
        set(object, field, Value::Null);
    }
    set(object, "uid", json!(chance.uid()));
    set(object, "creationTimestamp", json!(seconds(now)));
}

/// What decoding into the metadata type does to a custom resource: nulls and empty collections go, unknown fields too.
pub(super) fn canonicalize(object: &mut Value) {
    const KNOWN: [&str; 15] = [
        "name",
        "generateName",
        "namespace",
        "selfLink",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "labels",
        "annotations",
        "ownerReferences",
        "finalizers",
        "managedFields",
    ];
    // An empty list of managedFields says "forget"; it must survive until ownership is tracked.
    of(object).retain(|name, value| {
        let empty = match value {
            Value::Null => true,
            Value::Object(map) => map.is_empty(),
            Value::Array(items) => items.is_empty() && name != "managedFields",
            Value::String(text) => text.is_empty(),
            _ => false,
        };
        !empty && KNOWN.contains(&name.as_str())
    });
}

fn invalid(field: &str, value: &Value, what: &str) -> FieldError {
    field_error(field, Reason::Invalid, format!("Invalid value: {value}: {what}"))
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SERVICE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

fn is_label(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    edge(text.chars().next())
        && edge(text.chars().last())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn is_word(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    edge(text.chars().next())
        && edge(text.chars().last())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// What is wrong with a name.
fn name_problems(names: Names, name: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut longer = |limit: usize| {
        if name.len() > limit {
            out.push(format!("must be no more than {limit} characters"));
        }
    };
    match names {
        Names::Subdomain => {
            longer(253);
            if !name.split('.').all(is_label) {
                out.push(SUBDOMAIN.into());
            }
        }
        Names::Label => {
            longer(63);
            if !is_label(name) {
                out.push(LABEL.into());
            }
        }
        Names::Service => {
            longer(63);
            if !is_label(name) || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
                out.push(SERVICE.into());
            }
        }
        Names::Segment => {
            if name == "." || name == ".." {
                out.push(format!("may not be '{name}'"));
            }
            for forbidden in ["/", "%"] {
                if name.contains(forbidden) {
                    out.push(format!("may not contain '{forbidden}'"));
                }
            }
        }
    }
    out
}

/// Whether a key of labels or annotations, or a finalizer, is a qualified name.
fn key_problem(key: &str) -> Option<&'static str> {
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(p, n)| (Some(p), n));
    if name.is_empty() {
        Some("name part must be non-empty")
    } else if name.len() > 63 {
        Some("name part must be no more than 63 characters")
    } else if !is_word(name) {
        Some(QUALIFIED)
    } else if prefix.is_some_and(|p| p.is_empty() || p.len() > 253 || !p.split('.').all(is_label)) {
        Some(
            "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'",
        )
    } else {
        None
    }
}

/// What is wrong with the metadata of a new object.
pub(super) fn validate(resource: &Resource, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = text(object, "name");
    if name.is_empty() {
        errors.push(field_error(
            "metadata.name",
            Reason::Required,
            "Required value: name or generateName is required",
        ));
    } else {
        errors.extend(
            name_problems(resource.names, name)
                .iter()
                .map(|what| invalid("metadata.name", &json!(name), what)),
        );
    }
    errors.extend(validate_lists(object));
    errors
}

/// The rules that hold on every write.
fn validate_lists(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let map = |field: &str| {
        object
            .pointer(&format!("/metadata/{field}"))
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
    };
    for (key, value) in map("labels") {
        if let Some(what) = key_problem(key) {
            errors.push(invalid("metadata.labels", &json!(key), what));
        }
        let text = value.as_str().unwrap_or_default();
        if text.len() > 63 {
            errors.push(invalid("metadata.labels", value, "must be no more than 63 bytes"));
        } else if !text.is_empty() && !is_word(text) {
            errors.push(invalid("metadata.labels", value, LABEL_VALUE));
        }
    }
    let mut size = 0;
    for (key, value) in map("annotations") {
        if let Some(what) = key_problem(&key.to_lowercase()) {
            errors.push(invalid("metadata.annotations", &json!(key), what));
        }
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > MAX_ANNOTATIONS {
        errors.push(field_error(
            "metadata.annotations",
            Reason::TooLong,
            format!("Too long: may not be more than {MAX_ANNOTATIONS} bytes"),
        ));
    }
    for (i, finalizer) in finalizers(object).into_iter().enumerate() {
        if let Some(what) = key_problem(finalizer) {
            errors.push(invalid(&format!("metadata.finalizers[{i}]"), &json!(finalizer), what));
        }
    }
    errors.extend(validate_owners(object));
    errors
}

fn validate_owners(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut controller: Option<String> = None;
    let owners = object
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    for (i, owner) in owners.enumerate() {
        let part = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
        for (field, what) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if part(field).is_empty() {
                let path = format!("metadata.ownerReferences[{i}].{field}");
                errors.push(invalid(&path, &json!(""), what));
            }
        }
        if owner.get("controller") == Some(&Value::Bool(true)) {
            let name = format!("{}/{}", part("kind"), part("name"));
            match &controller {
                None => controller = Some(name),
                Some(first) => errors.push(invalid(
                    "metadata.ownerReferences",
                    owner,
                    &format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}"
                    ),
                )),
            }
        }
    }
    errors
}

/// What is wrong with the metadata of an object that comes in place of `old`.
pub(super) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if is_terminating(new) {
        let before = finalizers(old);
        let added: Vec<String> = finalizers(new)
            .into_iter()
            .filter(|f| !before.contains(f))
            .map(|f| format!("{f:?}"))
            .collect();
        if !added.is_empty() {
            errors.push(field_error(
                "metadata.finalizers",
                Reason::Forbidden,
                format!(
                    "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                    added.join(", ")
                ),
            ));
        }
    }
    for field in ["uid", "creationTimestamp"] {
        if text(old, field) != text(new, field) {
            errors.push(invalid(
                &format!("metadata.{field}"),
                &json!(text(new, field)),
                "field is immutable",
            ));
        }
    }
    errors.extend(validate_lists(new));
    errors
}
