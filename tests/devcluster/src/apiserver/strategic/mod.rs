//! Strategic merge patch for the built-in kinds: a merge that knows which lists are merged, by which key, and obeys the directives
//! that a patch may carry.
//!
//! The rules and the order of merged lists are those of apimachinery's `strategicpatch` as the server calls it; the strategies come from
//! the same table as the types of server-side apply. Decoding the result is left to the caller.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::smd::{
    TypeSchema,
    types::{Patch, Schema, TypeId},
};

#[cfg(test)]
mod tests;

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList";
const ORDER: &str = "$setElementOrder";

/// Why a patch was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StrategicError {
    /// 400: the patch does not have the form that its directives ask for.
    #[error("{0}")]
    BadPatch(String),
    /// 415: the kind has no patch table (custom resources).
    #[error("strategic merge patch is not supported for {0}")]
    Unsupported(String),
}

type Result<T> = std::result::Result<T, StrategicError>;

/// Merges `patch` into `original`, an object of the built-in kind.
pub fn merge(api_version: &str, kind: &str, original: &Value, patch: &Value) -> Result<Value> {
    let Some(types) = TypeSchema::builtin(api_version, kind) else {
        return Err(StrategicError::Unsupported(kind.to_owned()));
    };
    let (Value::Object(original), Value::Object(patch)) = (original, patch) else {
        return bad("invalid JSON document");
    };
    let merger = Merger { schema: &types.schema };
    merger
        .map(original.clone(), patch.clone(), Some(types.root))
        .map(Value::Object)
}

fn bad<T>(detail: impl Into<String>) -> Result<T> {
    Err(StrategicError::BadPatch(detail.into()))
}

/// The walk over an object and its patch, with the type of the place; none where the table does not reach.
struct Merger<'a> {
    schema: &'a Schema,
}

impl<'a> Merger<'a> {
    /// The type and the strategy of a field.
    fn field(&self, ty: Option<TypeId>, key: &str) -> (Option<TypeId>, &'a Patch) {
        static NONE: Patch = Patch {
            merge: false,
            replace: false,
            retain_keys: false,
            key: None,
        };
        let map = ty.and_then(|ty| self.schema.atom(ty).map.as_ref());
        match map.and_then(|map| map.fields.get(key)) {
            Some(field) => (Some(field.ty), &field.patch),
            None => (map.and_then(|map| map.element), &NONE),
        }
    }

    fn item(&self, ty: Option<TypeId>) -> Option<TypeId> {
        ty.and_then(|ty| self.schema.atom(ty).list.as_ref())
            .map(|list| list.item)
    }

    fn map(
        &self,
        mut original: Map<String, Value>,
        mut patch: Map<String, Value>,
        ty: Option<TypeId>,
    ) -> Result<Map<String, Value>> {
        if let Some(directive) = patch.shift_remove(PATCH) {
            return match directive.as_str() {
                Some("replace") => Ok(patch),
                Some("delete") => Ok(Map::new()),
                _ => {
                    let shown = go_print(&Value::Object(patch));
                    bad(format!("unknown patch type: {} in map: {shown}", go_print(&directive)))
                }
            };
        }
        retain_keys(&mut original, &mut patch)?;
        self.ordered_lists(&mut original, &mut patch, ty)?;
        for (key, mut value) in patch {
            if let Some(field) = key.strip_prefix(DELETE_FROM) {
                let Some(field) = field.strip_prefix('/') else {
                    return bad("invalid patch format of primitive list");
                };
                delete_from(&mut original, field, &value)?;
                continue;
            }
            if value.is_null() {
                original.shift_remove(&key);
                continue;
            }
            let merged = match (original.get_mut(&key).map(Value::take), value) {
                (Some(Value::Object(there)), Value::Object(value)) => {
                    let (below, strategy) = self.field(ty, &key);
                    let merged = if strategy.replace {
                        value
                    } else {
                        self.map(there, value, below)?
                    };
                    Some(Value::Object(merged))
                }
                (Some(Value::Array(there)), Value::Array(value)) => {
                    let (below, strategy) = self.field(ty, &key);
                    Some(Value::Array(self.list(there, value, below, strategy)?))
                }
                (_, fresh) => {
                    value = fresh;
                    discard_nulls(&mut value);
                    without_directives(value)
                }
            };
            match merged {
                Some(merged) => original.insert(key, merged),
                None => original.shift_remove(&key),
            };
        }
        Ok(original)
    }

    fn list(
        &self,
        original: Vec<Value>,
        patch: Vec<Value>,
        ty: Option<TypeId>,
        strategy: &Patch,
    ) -> Result<Vec<Value>> {
        if !strategy.merge {
            return Ok(patch);
        }
        if original.is_empty() && patch.is_empty() {
            return Ok(original);
        }
        if !are_maps(&original, &patch)? {
            let mut merged: Vec<Value> = Vec::new();
            for item in original.iter().chain(&patch) {
                if !merged.contains(item) {
                    merged.push(item.clone());
                }
            }
            return Ok(in_order(merged, &patch, &original, None));
        }
        let Some(key) = strategy.key.as_deref() else {
            return bad("cannot merge lists without merge key");
        };
        let (original, patch) = obey_item_directives(original, patch, key)?;
        let mut merged = original.clone();
        for item in &patch {
            let wanted = merge_key(item, key)?;
            match merged.iter_mut().find(|there| there.get(key) == Some(wanted)) {
                Some(there) => {
                    if let (Value::Object(old), Value::Object(new)) = (&*there, item) {
                        *there = Value::Object(self.map(old.clone(), new.clone(), self.item(ty))?);
                    }
                }
                None => merged.push(item.clone()),
            }
        }
        for item in &merged {
            merge_key(item, key)?;
        }
        Ok(in_order(merged, &patch, &original, Some(key)))
    }

    /// Merges the lists whose order the patch gives (`$setElementOrder/containers`), and takes them out of the patch.
    fn ordered_lists(
        &self,
        original: &mut Map<String, Value>,
        patch: &mut Map<String, Value>,
        ty: Option<TypeId>,
    ) -> Result<()> {
        let directives: Vec<String> = patch.keys().filter(|key| key.starts_with(ORDER)).cloned().collect();
        for directive in directives {
            let Some(Value::Array(order)) = patch.shift_remove(&directive) else {
                return bad("invalid patch format of setElementOrder list");
            };
            let Some(field) = directive.strip_prefix(ORDER).and_then(|rest| rest.strip_prefix('/')) else {
                return bad("invalid patch format of setElementOrder list");
            };
            let (below, strategy) = self.field(ty, field);
            let key = strategy.key.as_deref();
            let live = list_at(original, field)?;
            let patched = list_at(patch, field)?;
            if let Some(patched) = &patched {
                check_order(patched, &order, key)?;
            }
            let merged = match (live.clone(), patched) {
                (None, None) => continue,
                (Some(live), None) => live,
                (None, Some(patched)) => patched.into_iter().filter_map(without_directives).collect(),
                (Some(live), Some(patched)) => self.list(live, patched, below, strategy)?,
            };
            if let Some(key) = key {
                for item in merged.iter().chain(&order) {
                    merge_key(item, key)?;
                }
            }
            let live = live.unwrap_or_default();
            original.insert(field.to_owned(), Value::Array(in_order(merged, &order, &live, key)));
            patch.shift_remove(field);
        }
        Ok(())
    }
}

/// `$retainKeys`: what it does not name goes from the original, and may not be in the patch.
fn retain_keys(original: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<()> {
    let Some(retained) = patch.shift_remove(RETAIN_KEYS) else {
        return Ok(());
    };
    let Value::Array(retained) = retained else {
        return bad("invalid patch format of retainKeys");
    };
    let retained: BTreeSet<&str> = retained.iter().filter_map(Value::as_str).collect();
    for (key, value) in patch.iter() {
        let is_directive = key.starts_with(DELETE_FROM) || key.starts_with(ORDER);
        if !value.is_null() && !is_directive && !retained.contains(key.as_str()) {
            return bad("invalid patch format of retainKeys");
        }
    }
    original.retain(|key, _| retained.contains(key.as_str()));
    Ok(())
}

/// `$deleteFromPrimitiveList/finalizers`: takes scalars out of a list.
fn delete_from(original: &mut Map<String, Value>, field: &str, gone: &Value) -> Result<()> {
    let Some(there) = original.get_mut(field) else {
        return Ok(());
    };
    match (there, gone) {
        (Value::Array(there), Value::Array(gone)) => {
            if !there.is_empty() || !gone.is_empty() {
                are_maps(there, gone)?;
            }
            there.retain(|item| !gone.contains(item));
            Ok(())
        }
        (_, Value::Null) => {
            original.shift_remove(field);
            Ok(())
        }
        _ => bad("invalid patch format of primitive list"),
    }
}

/// Whether the items are maps; all must be of one type, which is no list.
fn are_maps(original: &[Value], patch: &[Value]) -> Result<bool> {
    let mut kinds = original.iter().chain(patch).map(kind);
    let Some(first) = kinds.next() else { return Ok(false) };
    if let Some(other) = kinds.find(|kind| *kind != first) {
        return bad(format!("list element types are not identical: {first}, {other}"));
    }
    if first == "list" {
        return bad("lists of lists are not supported");
    }
    Ok(first == "map")
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "map",
    }
}

/// `$patch` in items: `delete` takes the item with the same key out, `replace` empties the list first.
fn obey_item_directives(mut original: Vec<Value>, patch: Vec<Value>, key: &str) -> Result<(Vec<Value>, Vec<Value>)> {
    let mut plain = Vec::with_capacity(patch.len());
    let mut replace = false;
    for item in patch {
        match item.get(PATCH).map(Value::as_str) {
            None => plain.push(item),
            Some(Some("delete")) => {
                let gone = merge_key(&item, key)?;
                original.retain(|there| there.get(key) != Some(gone));
            }
            Some(Some("replace")) => replace = true,
            Some(Some("merge")) => return bad("merging lists cannot yet be specified in the patch"),
            Some(_) => {
                let directive = item.get(PATCH).map(go_print).unwrap_or_default();
                return bad(format!("unknown patch type: {directive} in map: {}", go_print(&item)));
            }
        }
    }
    if replace {
        original.clear();
    }
    Ok((original, plain))
}

fn merge_key<'v>(item: &'v Value, key: &str) -> Result<&'v Value> {
    match item.get(key) {
        Some(value) => Ok(value),
        None => bad(format!(
            "map: {} does not contain declared merge key: {key}",
            go_print(item)
        )),
    }
}

/// The list of a field, none where the field is absent.
fn list_at(map: &Map<String, Value>, field: &str) -> Result<Option<Vec<Value>>> {
    match map.get(field) {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items.clone())),
        Some(other) => bad(format!("expected a list, but received a {}", kind(other))),
    }
}

/// What an item is found by: its key, or itself.
fn identity<'v>(item: &'v Value, key: Option<&str>) -> Option<&'v Value> {
    match key {
        Some(key) => item.get(key),
        None => Some(item),
    }
}

fn position(items: &[Value], wanted: &Value, key: Option<&str>) -> Option<usize> {
    let wanted = identity(wanted, key)?;
    items.iter().position(|item| identity(item, key) == Some(wanted))
}

/// Sorts a merged list: the items of the patch in its order, the others in the live order; where both are known to the live list they
/// interleave as there, and an item of the patch that is new goes first.
fn in_order(merged: Vec<Value>, order: &[Value], live: &[Value], key: Option<&str>) -> Vec<Value> {
    let (mut patched, mut others): (Vec<Value>, Vec<Value>) = merged
        .into_iter()
        .partition(|item| position(order, item, key).is_some());
    patched.sort_by_key(|item| position(order, item, key));
    others.sort_by_key(|item| position(live, item, key));
    let mut out = Vec::with_capacity(patched.len() + others.len());
    let (mut patched, mut others) = (patched.into_iter().peekable(), others.into_iter().peekable());
    loop {
        let other_first = match (others.peek(), patched.peek()) {
            (None, None) => return out,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(other), Some(item)) => match (position(live, other, key), position(live, item, key)) {
                (Some(other), Some(item)) => other < item,
                _ => false,
            },
        };
        out.extend(if other_first { others.next() } else { patched.next() });
    }
}

/// The items of the patch must stand in the order that `$setElementOrder` gives.
fn check_order(patched: &[Value], order: &[Value], key: Option<&str>) -> Result<()> {
    if patched.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut wanted = order.iter();
    for item in patched.iter().filter(|item| item.get(PATCH).is_none()) {
        if let Some(key) = key {
            merge_key(item, key)?;
        }
        if !wanted.any(|place| identity(place, key) == identity(item, key)) {
            let (patched, order) = (Value::from(patched), Value::from(order));
            return bad(format!(
                "The order in patch list:\n{}\n doesn't match {ORDER} list:\n{}\n",
                go_print(&patched),
                go_print(&order)
            ));
        }
    }
    Ok(())
}

/// What of a fresh value is kept: directives have nothing to act on.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) if map.contains_key(PATCH) => None,
        Value::Object(map) => Some(Value::Object(
            map.into_iter()
                .filter_map(|(key, value)| Some((key, without_directives(value)?)))
                .collect(),
        )),
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(without_directives).collect())),
        scalar => Some(scalar),
    }
}

fn discard_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(discard_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(discard_nulls),
        _ => {}
    }
}

/// Go's `%v`.
fn go_print(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_print).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let mut entries: Vec<String> = map.iter().map(|(k, v)| format!("{k}:{}", go_print(v))).collect();
            entries.sort();
            format!("map[{}]", entries.join(" "))
        }
        scalar => scalar.to_string(),
    }
}
