//! What a write does to an object before it is checked: unknown fields go, nulls that may not be go, defaults come.

use serde_json::{Map, Value};

use super::node::{Additional, Node};

const META_FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// A walk that removes unknown fields and keeps their names.
#[derive(Default)]
struct Pruner {
    unknown: Vec<String>,
}

/// Removes the fields that the schema does not declare.
pub(super) fn prune(root: &Node, object: &mut Value) {
    let mut pruner = Pruner::default();
    pruner.walk(object, Some(root), true, "");
}

/// Names the fields that [`prune`] would remove, sorted.
pub(super) fn unknown_fields(root: &Node, object: &Value) -> Vec<String> {
    let mut pruner = Pruner::default();
    pruner.walk(&mut object.clone(), Some(root), true, "");
    pruner.unknown.sort();
    pruner.unknown
}

impl Pruner {
    fn walk(&mut self, value: &mut Value, node: Option<&Node>, is_root: bool, path: &str) {
        if let Some(node) = node.filter(|n| n.preserve_unknown) {
            self.walk_preserved(value, node, is_root, path);
            return;
        }
        match value {
            Value::Object(map) => self.walk_map(map, node, is_root, path),
            Value::Array(items) => {
                for (i, item) in items.iter_mut().enumerate() {
                    let below = node.and_then(|n| n.items.as_deref());
                    self.walk(item, below, false, &format!("{path}[{i}]"));
                }
            }
            _ => {}
        }
    }

    fn walk_map(&mut self, map: &mut Map<String, Value>, node: Option<&Node>, is_root: bool, path: &str) {
        let has_meta = is_root || node.is_some_and(|n| n.embedded);
        let mut gone = Vec::new();
        for (key, value) in map.iter_mut() {
            if has_meta && META_FIELDS.contains(&key.as_str()) {
                continue;
            }
            let here = super::errors::child(path, key);
            match node {
                Some(node) if node.properties.contains_key(key) => {
                    self.walk(value, node.properties.get(key), false, &here);
                }
                Some(Node {
                    additional: Additional::Schema(below),
                    ..
                }) => self.walk(value, Some(below), false, &here),
                // Keys without a schema are kept, what is in them is not.
                Some(Node {
                    additional: Additional::Any,
                    ..
                }) => self.walk(value, None, false, &here),
                _ => {
                    self.unknown.push(here);
                    gone.push(key.clone());
                }
            }
        }
        for key in gone {
            map.shift_remove(&key);
        }
    }

    /// Below `x-kubernetes-preserve-unknown-fields`: only declared fields are pruned again.
    fn walk_preserved(&mut self, value: &mut Value, node: &Node, is_root: bool, path: &str) {
        match value {
            Value::Object(map) => {
                for (key, value) in map.iter_mut() {
                    if (is_root || node.embedded) && META_FIELDS.contains(&key.as_str()) {
                        continue;
                    }
                    if let Some(below) = node.below(key) {
                        self.walk(value, Some(below), false, &super::errors::child(path, key));
                    }
                }
            }
            Value::Array(items) => {
                for (i, item) in items.iter_mut().enumerate() {
                    if let Some(below) = node.items.as_deref() {
                        self.walk_preserved(item, below, false, &format!("{path}[{i}]"));
                    }
                }
            }
            _ => {}
        }
    }
}

/// Removes nulls that may not be and have no default; those with one are left to [`fill`].
pub(super) fn prune_nulls(node: Option<&Node>, value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, value| {
                let below = node.and_then(|n| n.below(key));
                let goes = value.is_null() && below.is_some_and(|n| !n.nullable && n.default.is_none());
                if !goes {
                    prune_nulls(below, value);
                }
                !goes
            });
        }
        Value::Array(items) => {
            for item in items {
                prune_nulls(node.and_then(|n| n.items.as_deref()), item);
            }
        }
        _ => {}
    }
}

/// Fills in defaults where a field is absent, or null where it may not be.
pub(super) fn fill(node: &Node, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, property) in &node.properties {
                let Some(default) = &property.default else { continue };
                match map.get_mut(name) {
                    None => {
                        map.insert(name.clone(), default.clone());
                    }
                    Some(there) => replace_null(property, there),
                }
            }
            for (key, value) in map.iter_mut() {
                if let Some(below) = node.below(key) {
                    replace_null(below, value);
                    fill(below, value);
                }
            }
        }
        Value::Array(items) => {
            let Some(below) = &node.items else { return };
            for item in items {
                replace_null(below, item);
                fill(below, item);
            }
        }
        _ => {}
    }
}

fn replace_null(node: &Node, value: &mut Value) {
    if value.is_null()
        && !node.nullable
        && let Some(default) = &node.default
    {
        *value = default.clone();
    }
}
