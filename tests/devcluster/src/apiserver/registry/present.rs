//! A stored object and what a version of the API shows of it.

use serde_json::{Value, json};

use super::{
    super::{builtin, kinds::Resource, store::Object},
    events, meta, rules,
};

/// The stored object as this resource's version shows it.
///
/// A custom resource that was stored under an older schema is pruned and completed by the present one; nothing stored changes.
pub(in crate::apiserver) fn shown(resource: &Resource, object: &Object) -> Value {
    let mut value = object.value.clone();
    if resource.is("events") {
        if resource.group == "events.k8s.io" {
            value = events::from_core(value);
        }
        builtin::canonicalize(&resource.api_version(), &resource.kind, &mut value);
    } else if let Some(custom) = &resource.custom {
        if object.resource_version < custom.since {
            custom.schema.prune(&mut value);
            custom.schema.apply_defaults(&mut value);
        }
        value["apiVersion"] = json!(resource.api_version());
    }
    value
}

/// What is stored of an object in this resource's version.
pub(super) fn stored(resource: &Resource, value: Value) -> Value {
    if resource.is("events") && resource.group == "events.k8s.io" {
        events::to_core(value)
    } else {
        value
    }
}

/// Gives an object of a request its canonical form with all defaults.
pub(super) fn normalize(resource: &Resource, value: &mut Value) {
    if let Some(custom) = &resource.custom {
        custom.schema.prune(value);
        custom.schema.apply_defaults(value);
        meta::canonicalize(value);
    } else {
        // An empty list of managedFields says "forget"; it must survive until ownership is tracked.
        let forget = value.pointer("/metadata/managedFields") == Some(&json!([]));
        rules::normalize(resource, value);
        if forget {
            meta::set(value, "managedFields", json!([]));
        }
    }
    if let Value::Object(fields) = value {
        fields.insert("apiVersion".into(), json!(resource.api_version()));
        fields.insert("kind".into(), json!(resource.kind));
    }
}
