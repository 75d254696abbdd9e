//! What decoding into a built-in kind's type refuses: values of the wrong sort.

use base64::{Engine as _, engine::general_purpose::STANDARD};
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
    if let Some(what) = unreadable(resource, object) {
        return Err(Failure::bad_request(format!(
            "{kind} in version {:?} cannot be handled as a {kind}: {what}",
            resource.version,
            kind = resource.kind,
        )));
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

/// Texts that stand for bytes or for times with microseconds.
fn unreadable(resource: &Resource, object: &Value) -> Option<String> {
    if resource.is("secrets") {
        let texts = object.get("data")?.as_object()?.values().filter_map(Value::as_str);
        return texts.into_iter().find_map(|text| {
            STANDARD.decode(text).err()?;
            let odd = |b: u8| !(b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='));
            let at = text.bytes().position(odd).unwrap_or(text.len() / 4 * 4);
            Some(format!("illegal base64 data at input byte {at}"))
        });
    }
    if resource.is("leases.coordination.k8s.io") {
        let times = ["acquireTime", "renewTime"];
        return times.iter().find_map(|field| {
            let text = object.get("spec")?.get(field)?.as_str()?;
            let seconds = text.get(..19)?;
            let rest = &text[19..];
            let micros = rest.strip_prefix('.').map(|r| r.bytes().take_while(u8::is_ascii_digit).count());
            let read = format!("{seconds}Z").parse::<jiff::Timestamp>().is_ok();
            (read && micros != Some(6)).then(|| {
                format!(
                    "parsing time {text:?} as \"2006-01-02T15:04:05.000000Z07:00\": cannot parse {rest:?} as \".000000\""
                )
            })
        });
    }
    None
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
