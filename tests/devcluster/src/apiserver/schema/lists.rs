//! What a schema promises beyond values: items of sets and list maps are unique, embedded resources say what they are.

use serde_json::{Map, Value, json};

use super::{
    errors::{FieldError, child, index},
    node::{Additional, ListType, Node},
};

/// Checks `x-kubernetes-list-type`.
pub(super) fn check_uniqueness(node: &Node, value: &Value, path: &str, out: &mut Vec<FieldError>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if let Some(below) = node.properties.get(key) {
                    check_uniqueness(below, value, &child(path, key), out);
                } else if let Additional::Schema(below) = &node.additional {
                    check_uniqueness(below, value, &index(path, key), out);
                }
            }
        }
        Value::Array(items) => {
            match &node.list {
                ListType::Atomic => {}
                ListType::Set => {
                    for i in repeated(&items.iter().collect::<Vec<_>>()) {
                        out.push(FieldError::duplicate(&index(path, i), items.get(i)));
                    }
                }
                ListType::Map(keys) => check_keys(keys, items, path, out),
            }
            if let Some(below) = &node.items {
                for (i, item) in items.iter().enumerate() {
                    check_uniqueness(below, item, &index(path, i), out);
                }
            }
        }
        _ => {}
    }
}

fn check_keys(keys: &[String], items: &[Value], path: &str, out: &mut Vec<FieldError>) {
    if let Some((i, item)) = items
        .iter()
        .enumerate()
        .find(|(_, item)| !item.is_null() && !item.is_object())
    {
        let detail = "must be an object for an array of list-type map";
        out.push(FieldError::invalid(&index(path, i), item, detail));
        return;
    }
    let identities: Vec<Value> = items
        .iter()
        .map(|item| {
            let identity: Map<String, Value> = keys
                .iter()
                .filter_map(|key| Some((key.clone(), item.get(key)?.clone())))
                .collect();
            Value::Object(identity)
        })
        .collect();
    for i in repeated(&identities.iter().collect::<Vec<_>>()) {
        out.push(FieldError::duplicate(&index(path, i), identities.get(i)));
    }
}

/// The indices of the first repetition of each repeated value.
fn repeated(values: &[&Value]) -> Vec<usize> {
    let mut seen: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    let mut out = Vec::new();
    for (i, value) in values.iter().enumerate() {
        let times = seen.entry(super::errors::go_json(value)).or_default();
        *times += 1;
        if *times == 2 {
            out.push(i);
        }
    }
    out
}

/// Checks that embedded resources have a version, a kind and a sound name.
pub(super) fn check_embedded(node: &Node, value: &Value, path: &str, out: &mut Vec<FieldError>) {
    match value {
        Value::Object(map) => {
            if node.embedded {
                check_resource(map, path, out);
            }
            for (key, value) in map {
                if let Some(below) = node.properties.get(key) {
                    check_embedded(below, value, &child(path, key), out);
                } else if let Additional::Schema(below) = &node.additional {
                    check_embedded(below, value, &index(path, key), out);
                }
            }
        }
        Value::Array(items) => {
            if let Some(below) = &node.items {
                for (i, item) in items.iter().enumerate() {
                    check_embedded(below, item, &index(path, i), out);
                }
            }
        }
        _ => {}
    }
}

fn check_resource(map: &Map<String, Value>, path: &str, out: &mut Vec<FieldError>) {
    for name in ["apiVersion", "kind"] {
        let here = child(path, name);
        match map.get(name) {
            None => out.push(FieldError::required(&here, "")),
            Some(Value::String(text)) if text.is_empty() => {
                out.push(FieldError::invalid(&here, &json!(""), "must not be empty"));
            }
            Some(Value::String(_)) => {}
            Some(other) => out.push(FieldError::invalid(&here, other, "must be a string")),
        }
    }
    if let Some(meta) = map.get("metadata").filter(|meta| !meta.is_object()) {
        out.push(FieldError::invalid(&child(path, "metadata"), meta, "must be an object"));
    }
}
