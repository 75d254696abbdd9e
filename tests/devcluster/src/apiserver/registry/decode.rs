//! What decoding into a built-in kind's type refuses: values of the wrong sort.

use serde_json::Value;

use super::super::{
    kinds::Resource,
    smd::types::{Scalar, Schema, TypeId},
    status::Failure,
};

/// Refuses an object that no decoder of the kind could read. Custom resources have their schema for that.
pub(super) fn check(resource: &Resource, object: &Value) -> Result<(), Failure> {
    if resource.custom.is_some() {
        return Ok(());
    }
    match mismatch(&resource.types.schema, resource.types.root, object, "") {
        None => Ok(()),
        Some((path, expected, found)) => Err(Failure::bad_request(format!(
            "{kind} in version {:?} cannot be handled as a {kind}: json: cannot unmarshal {found} into Go struct field {kind}.{path} of type {expected}",
            resource.version,
            kind = resource.kind,
        ))),
    }
}

/// The first value of the wrong sort: where it is, what should be there and what is.
fn mismatch(schema: &Schema, id: TypeId, value: &Value, path: &str) -> Option<(String, &'static str, &'static str)> {
    let atom = schema.atom(id);
    let expected = match (&atom.map, &atom.list, atom.scalar) {
        (Some(_), None, None) => "struct",
        (None, Some(_), None) => "slice",
        (None, None, Some(Scalar::Numeric)) => "int32",
        (None, None, Some(Scalar::Boolean)) => "bool",
        (None, None, Some(Scalar::String)) => "string",
        // Several forms: anything goes.
        _ => return None,
    };
    let found = match value {
        Value::Null => return None,
        Value::Object(fields) => {
            let Some(map) = &atom.map else {
                return Some((path.to_owned(), expected, "object"));
            };
            return fields.iter().find_map(|(key, below)| {
                let dot = if path.is_empty() { "" } else { "." };
                let below_type = map.type_of(key)?;
                mismatch(schema, below_type, below, &format!("{path}{dot}{key}"))
            });
        }
        Value::Array(items) => {
            let Some(list) = &atom.list else {
                return Some((path.to_owned(), expected, "array"));
            };
            return items.iter().find_map(|item| mismatch(schema, list.item, item, path));
        }
        Value::String(_) if expected == "string" => return None,
        Value::Number(_) if expected == "int32" => return None,
        Value::Bool(_) if expected == "bool" => return None,
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
    };
    Some((path.to_owned(), expected, found))
}
