//! One store of Events, two versions: core/v1 is what is stored, events.k8s.io/v1 has other names for the same fields.

use serde_json::{Map, Value, json};

/// (core/v1, events.k8s.io/v1); fields not listed have the same name in both.
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// The events.k8s.io/v1 form of a stored Event.
pub(super) fn from_core(value: Value) -> Value {
    rename(value, "events.k8s.io/v1", |name| {
        NAMES.iter().find(|(core, _)| *core == name).map(|(_, new)| *new)
    })
}

/// The stored form of an events.k8s.io/v1 Event.
pub(super) fn to_core(value: Value) -> Value {
    rename(value, "v1", |name| {
        NAMES.iter().find(|(_, new)| *new == name).map(|(core, _)| *core)
    })
}

fn rename(value: Value, api_version: &str, to: impl Fn(&str) -> Option<&'static str>) -> Value {
    let Value::Object(fields) = value else { return value };
    let mut out = Map::new();
    for (name, field) in fields {
        let name = to(&name).map_or(name, str::to_owned);
        out.insert(name, field);
    }
    out.insert("apiVersion".into(), json!(api_version));
    Value::Object(out)
}
