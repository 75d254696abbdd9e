//! The scale subresource: a view of replicas, on StatefulSets and on custom resources whose definition says where they are.

use serde_json::{Value, json};

use super::{
    super::{
        crd::Scale,
        kinds::Resource,
        schema::Reason,
        status::{Failure, field_error},
    },
    Input, meta, patch,
};

/// Where the numbers are.
fn paths(resource: &Resource) -> Option<Scale> {
    match &resource.custom {
        Some(custom) => custom.scale.clone(),
        None if resource.is("statefulsets.apps") => Some(Scale {
            spec_replicas: ".spec.replicas".into(),
            status_replicas: ".status.replicas".into(),
            label_selector: None,
        }),
        None => None,
    }
}

/// Whether the resource has the subresource.
pub(in crate::apiserver) fn exists(resource: &Resource) -> bool {
    resource.is("statefulsets.apps") || resource.custom.as_ref().is_some_and(|c| c.scale.is_some())
}

fn pointer(path: &str) -> String {
    path.replace('.', "/")
}

/// The Scale of an object; `null` where the resource has none.
pub(in crate::apiserver) fn view(resource: &Resource, object: &Value) -> Value {
    let Some(paths) = paths(resource) else {
        return Value::Null;
    };
    let number = |path: &str| object.pointer(&pointer(path)).and_then(Value::as_i64);
    let mut metadata = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        metadata[field] = json!(meta::text(object, field));
    }
    let mut spec = json!({});
    if let Some(replicas) = number(&paths.spec_replicas).filter(|n| *n != 0) {
        spec["replicas"] = json!(replicas);
    }
    let mut status = json!({"replicas": number(&paths.status_replicas).unwrap_or(0)});
    let selector = match &paths.label_selector {
        Some(path) => object
            .pointer(&pointer(path))
            .and_then(Value::as_str)
            .map(str::to_owned),
        None => selector_text(&object["spec"]["selector"]),
    };
    if let Some(selector) = selector {
        status["selector"] = json!(selector);
    }
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status})
}

/// A label selector as text.
fn selector_text(selector: &Value) -> Option<String> {
    let mut terms: Vec<String> = selector
        .get("matchLabels")?
        .as_object()?
        .iter()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    terms.sort();
    Some(terms.join(","))
}

/// The object with the replicas that a write of its Scale asks for, and the version that the write names.
pub(super) fn write(resource: &Resource, old: &Value, input: &Input) -> Result<Value, Failure> {
    let paths = paths(resource).ok_or_else(Failure::unknown_resource)?;
    let before = view(resource, old);
    let scale = match input {
        Input::Put(body) => body.value.clone(),
        Input::Patch(patch::Patch::Strategic(body)) => {
            // Scale has no lists: here strategic merge is merge.
            patch::apply(resource, &before, &patch::Patch::Merge(body.clone()))?
        }
        Input::Patch(patch) => patch::apply(resource, &before, patch)?,
        Input::Apply(body) => patch::apply(resource, &before, &patch::Patch::Merge(body.clone()))?,
    };
    let kind = scale["kind"].as_str().unwrap_or("Scale");
    if kind != "Scale" {
        return Err(Failure::bad_request(format!("expected a Scale, got a {kind}")));
    }
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
    if replicas < 0 {
        let error = field_error(
            "spec.replicas",
            Reason::Invalid,
            format!("Invalid value: {replicas}: must be greater than or equal to 0"),
        );
        return Err(Failure::invalid(
            "autoscaling",
            "Scale",
            meta::text(old, "name"),
            &[error],
        ));
    }
    let mut new = old.clone();
    set_path(&mut new, &paths.spec_replicas, json!(replicas));
    meta::set(
        &mut new,
        "resourceVersion",
        scale["metadata"]["resourceVersion"].clone(),
    );
    Ok(new)
}

fn set_path(object: &mut Value, path: &str, value: Value) {
    let steps: Vec<&str> = path.split('.').filter(|s| !s.is_empty()).collect();
    let mut at = object;
    for step in steps {
        if !at.is_object() {
            *at = json!({});
        }
        at = &mut at[step];
    }
    *at = value;
}
