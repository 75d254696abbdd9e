//! The rules of the built-in kinds: their canonical form, defaults, checks on create and update, and what the server itself fills in.
//!
//! Facts stand in tables that are read along the types of server-side apply (`smd/builtin.txt`): [`defaults`] in `defaults.txt`, [`rules`]
//! in `rules.txt`, with [`crossfield`] and [`kinds`] for what concerns several fields or the whole object.
//! The order of a write is decode, [`canonicalize`], [`default`], (ownership,) [`prepare_create`] or [`prepare_update`], [`validate_create`] or
//! [`validate_update`]. Allocating addresses, uids, times and versions is the caller's.

use serde_json::{Map, Value};

use super::{schema::FieldError, smd::TypeSchema};

mod canonical;
mod crossfield;
mod defaults;
mod kinds;
mod labels;
pub(in crate::apiserver) mod names;
mod podrules;
mod prepare;
mod quantity;
mod rules;
#[cfg(test)]
mod tests;

pub use prepare::{prepare_create, prepare_update};
pub use quantity::Quantity;

/// Gives an object the form that the server's decoder and encoder give it: nulls, empty lists and empty maps go, structs that are always
/// written come, quantities (`1000m` is `1`) and times have one notation, a Secret's `stringData` is folded into `data`.
/// An object of any other kind stays as it is.
pub fn canonicalize(api_version: &str, kind: &str, object: &mut Value) {
    if let Some(types) = TypeSchema::builtin(api_version, kind) {
        canonical::canonicalize(&types, kind, object);
    }
}

/// Fills in what a client may leave out.
pub fn default(api_version: &str, kind: &str, object: &mut Value) {
    if let Some(types) = TypeSchema::builtin(api_version, kind) {
        defaults::fill(&types, object);
    }
}

/// The fields that the kind does not have, as strict decoding names them (`spec.ports[0].nope`).
///
/// The names are those of the table of server-side apply, which came from the Go types.
pub fn unknown_fields(api_version: &str, kind: &str, object: &Value) -> Vec<String> {
    TypeSchema::builtin(api_version, kind).map_or_else(Vec::new, |types| types.unknown_fields(object))
}

/// Checks a new object, canonical, defaulted and prepared; its metadata is the registry's to check.
pub fn validate_create(api_version: &str, kind: &str, object: &Value) -> Vec<FieldError> {
    TypeSchema::builtin(api_version, kind)
        .map_or_else(Vec::new, |types| kinds::create(&types, api_version, kind, object))
}

/// Checks what an update does: fields that may not change, and the new state as on create. Both objects are canonical and defaulted;
/// their metadata is the registry's to check.
pub fn validate_update(api_version: &str, kind: &str, old: &Value, new: &Value) -> Vec<FieldError> {
    TypeSchema::builtin(api_version, kind)
        .map_or_else(Vec::new, |types| kinds::update(&types, api_version, kind, old, new))
}

/// The map of a field, made where there is none (decoding has refused another type before).
fn object_at<'a>(object: &'a mut Map<String, Value>, field: &str) -> &'a mut Map<String, Value> {
    let value = object.entry(field).or_insert(Value::Null);
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("it was made a map"),
    }
}

/// The text of a field, empty where there is none.
fn text_at<'a>(object: &'a Map<String, Value>, field: &str) -> &'a str {
    object.get(field).and_then(Value::as_str).unwrap_or_default()
}
