//! The form that decoding into the Go type and encoding it again gives an object: fields that must be there, nothing empty, quantities
//! and times in their one notation, texts folded into data.

use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::{object_at, quantity::Quantity, text_at};
use crate::apiserver::smd::{
    TypeSchema,
    types::{Form, MapType, Scalar, Schema, TypeId},
};

/// Fields whose values are quantities, by name: alone, or in a map by resource.
const QUANTITIES: [&str; 12] = [
    "limits",
    "requests",
    "capacity",
    "allocatable",
    "allocatedResources",
    "overhead",
    "sizeLimit",
    "divisor",
    "hard",
    "used",
    "maximumVolumeSize",
    "allocatedResourceStatuses",
];
/// Times of second precision.
const TIMES: [&str; 19] = [
    "creationTimestamp",
    "deletionTimestamp",
    "time",
    "lastTransitionTime",
    "lastProbeTime",
    "lastUpdateTime",
    "lastHeartbeatTime",
    "startTime",
    "completionTime",
    "lastScheduleTime",
    "lastSuccessfulTime",
    "firstTimestamp",
    "lastTimestamp",
    "deprecatedFirstTimestamp",
    "deprecatedLastTimestamp",
    "startedAt",
    "finishedAt",
    "timeAdded",
    "disruptedPods",
];
/// Times of microsecond precision.
const MICRO_TIMES: [&str; 4] = ["acquireTime", "renewTime", "eventTime", "lastObservedTime"];

/// Fields that are written only where they are true.
const TRUE_OR_ABSENT: [&str; 8] = [
    "publishNotReadyAddresses",
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "stdin",
    "stdinOnce",
    "tty",
    "readOnly",
];

fn drop_false(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, below| *below != json!(false) || !TRUE_OR_ABSENT.contains(&name.as_str()));
            fields.values_mut().for_each(drop_false);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_false),
        _ => {}
    }
}

/// See [`super::canonicalize`].
pub(super) fn canonicalize(types: &TypeSchema, kind: &str, object: &mut Value) {
    if let (true, Value::Object(map)) = (kind == "Secret", &mut *object) {
        fold_string_data(map);
    }
    drop_false(object);
    types.canonicalize(object);
    walk(&types.schema, types.root, object);
}

fn fold_string_data(secret: &mut Map<String, Value>) {
    if let Some(Value::Object(texts)) = secret.shift_remove("stringData") {
        let data = object_at(secret, "data");
        for (key, text) in texts {
            if let Value::String(text) = text {
                data.insert(key, json!(base64::engine::general_purpose::STANDARD.encode(text)));
            }
        }
    }
}

fn walk(schema: &Schema, ty: TypeId, value: &mut Value) {
    match (schema.atom(ty).form(value), value) {
        (Form::Map(map), Value::Object(object)) => {
            if is_pod_spec(map) {
                mirror_service_account(object);
            }
            for (key, below) in object.iter_mut() {
                let Some(ty) = map.type_of(key) else { continue };
                match notation(key).filter(|_| is_scalars(schema, ty)) {
                    Some(notation) => rewrite(notation, below),
                    None => walk(schema, ty, below),
                }
            }
        }
        (Form::List(list), Value::Array(items)) => {
            for item in items {
                walk(schema, list.item, item);
            }
        }
        _ => {}
    }
}

/// An untyped scalar, or a map of such.
fn is_scalars(schema: &Schema, ty: TypeId) -> bool {
    let atom = schema.atom(ty);
    let element = atom
        .map
        .as_ref()
        .filter(|map| map.fields.is_empty())
        .and_then(|map| map.element);
    match (atom.scalar, element) {
        (Some(Scalar::Untyped), None) => true,
        (None, Some(element)) => {
            let element = schema.atom(element);
            element.scalar == Some(Scalar::Untyped) && element.map.is_none()
        }
        _ => false,
    }
}

fn is_pod_spec(map: &MapType) -> bool {
    map.fields.contains_key("serviceAccount") && map.fields.contains_key("serviceAccountName")
}

/// The old name of the field is kept in step with the new one.
fn mirror_service_account(spec: &mut Map<String, Value>) {
    let name = match text_at(spec, "serviceAccountName") {
        "" => text_at(spec, "serviceAccount").to_owned(),
        name => name.to_owned(),
    };
    if !name.is_empty() {
        spec.insert("serviceAccountName".into(), json!(name));
        spec.insert("serviceAccount".into(), json!(name));
    }
}

#[derive(Clone, Copy)]
enum Notation {
    Quantity,
    Time,
    MicroTime,
}

fn notation(key: &str) -> Option<Notation> {
    if QUANTITIES.contains(&key) {
        Some(Notation::Quantity)
    } else if TIMES.contains(&key) {
        Some(Notation::Time)
    } else if MICRO_TIMES.contains(&key) {
        Some(Notation::MicroTime)
    } else {
        None
    }
}

/// What cannot be read stays as it is: validation names it.
fn rewrite(notation: Notation, value: &mut Value) {
    match value {
        Value::Object(map) => map.values_mut().for_each(|value| rewrite(notation, value)),
        Value::String(text) => {
            let canonical = match notation {
                Notation::Quantity => Quantity::parse(text).map(Quantity::canonical),
                Notation::Time => time(text, "%Y-%m-%dT%H:%M:%SZ"),
                Notation::MicroTime => time(text, "%Y-%m-%dT%H:%M:%S.%6fZ"),
            };
            if let Some(canonical) = canonical {
                *text = canonical;
            }
        }
        Value::Number(number) if matches!(notation, Notation::Quantity) => {
            if let Some(quantity) = Quantity::parse(&number.to_string()) {
                *value = json!(quantity.canonical());
            }
        }
        _ => {}
    }
}

fn time(text: &str, format: &str) -> Option<String> {
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    Some(timestamp.strftime(format).to_string())
}
