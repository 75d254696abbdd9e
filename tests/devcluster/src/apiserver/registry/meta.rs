//! Reading and writing `metadata`.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::clock::{Chance, seconds};

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

/// Takes from a new object what a client cannot give.
pub(super) fn disown(object: &mut Value) {
    for field in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "resourceVersion",
    ] {
        set(object, field, Value::Null);
    }
}

/// Gives a new object what only the server may give.
pub(super) fn identify(object: &mut Value, chance: &Chance, now: Timestamp) {
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
