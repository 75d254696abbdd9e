//! Finds, for a place in a new object, its place in the old one: what ratcheting and transition rules compare with.

use std::collections::BTreeMap;

use serde_json::Value;

use super::node::{ListType, Node};

/// The old value of a place, with the schema of that place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Old<'a> {
    node: &'a Node,
    pub(super) value: &'a Value,
}

impl<'a> Old<'a> {
    pub(super) fn root(node: &'a Node, old: Option<&'a Value>) -> Option<Self> {
        old.map(|value| Self { node, value })
    }

    /// The old value of a key; none where the schema does not say what is there.
    pub(super) fn key(self, key: &str, _new: &Value) -> Option<Self> {
        let value = self.value.as_object()?.get(key)?;
        let node = self.node.below(key)?;
        Some(Self { node, value })
    }

    /// The old value of an item of a list map: the one with the same keys. Items of other lists have no identity.
    pub(super) fn item(self, new: &Value) -> Option<Self> {
        let ListType::Map(keys) = &self.node.list else {
            return None;
        };
        let node = self.node.items.as_deref()?;
        let wanted = key_of(keys, new)?;
        let old = self.value.as_array()?.iter();
        let value = old
            .into_iter()
            .find(|item| key_of(keys, item).as_ref() == Some(&wanted))?;
        Some(Self { node, value })
    }

    /// Whether the new value equals the old one; the order of list maps does not count.
    pub(super) fn equals(self, new: &Value) -> bool {
        match (self.value, new) {
            (Value::Array(old), Value::Array(items)) if matches!(self.node.list, ListType::Map(_)) => {
                old.len() == items.len()
                    && items
                        .iter()
                        .all(|item| self.item(item).is_some_and(|old| old.equals(item)))
            }
            (Value::Object(old), Value::Object(map)) => {
                old.len() == map.len()
                    && map.iter().all(|(key, value)| match self.key(key, value) {
                        Some(old) => old.equals(value),
                        None => old.get(key) == Some(value),
                    })
            }
            (old, new) => old == new,
        }
    }
}

/// The values of an item's keys, absent ones left out.
fn key_of<'a>(keys: &'a [String], item: &'a Value) -> Option<BTreeMap<&'a str, &'a Value>> {
    let item = item.as_object()?;
    Some(
        keys.iter()
            .filter_map(|key| Some((key.as_str(), item.get(key)?)))
            .collect(),
    )
}
