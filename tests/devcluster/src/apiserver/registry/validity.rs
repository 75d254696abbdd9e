//! What `metadata` must be, for all kinds alike.

use serde_json::{Map, Value, json};

use super::{
    super::{builtin::names, kinds::Resource, schema::FieldError},
    meta,
};

/// The bytes that all annotations may take together.
const MAX_ANNOTATIONS: usize = 256 * 1024;
const OWNERS: &str = "metadata.ownerReferences";
const FINALIZERS: &str = "metadata.finalizers";

/// What is wrong with a name. Roles are named freely; what becomes a DNS name is one label.
fn name_problems(resource: &Resource, name: &str) -> Vec<String> {
    match (resource.group.as_str(), &*resource.id) {
        ("rbac.authorization.k8s.io", _) => names::path_segment(name),
        (_, "namespaces" | "services" | "statefulsets.apps") => names::label(name),
        _ => names::subdomain(name),
    }
}

/// Checks the metadata of a new object that has its name.
pub(super) fn check_new(resource: &Resource, object: &Value) -> Vec<FieldError> {
    let mut out = Vec::new();
    // What a name is made from is checked as the beginning of one.
    let base = meta::text(object, "generateName");
    if !base.is_empty() {
        let begun = base
            .strip_suffix('-')
            .map_or_else(|| base.to_owned(), |cut| format!("{cut}a"));
        out.extend(
            name_problems(resource, &begun)
                .iter()
                .map(|what| FieldError::invalid("metadata.generateName", &json!(base), what)),
        );
    }
    match meta::text(object, "name") {
        "" => out.push(FieldError::required(
            "metadata.name",
            "name or generateName is required",
        )),
        name => {
            let problems = name_problems(resource, name);
            out.extend(
                problems
                    .iter()
                    .map(|what| FieldError::invalid("metadata.name", &json!(name), what)),
            );
        }
    }
    check_always(object, &mut out);
    let finalizers = meta::finalizers(object);
    for finalizer in &finalizers {
        for what in names::label_key(finalizer) {
            out.push(FieldError::invalid(FINALIZERS, &json!(finalizer), &what));
        }
    }
    out
}

/// Checks what an update does to metadata; versions are checked before.
pub(super) fn check_change(old: &Value, new: &Value) -> Vec<FieldError> {
    let mut out = Vec::new();
    if meta::is_terminating(old) {
        let known = meta::finalizers(old);
        let added: Vec<String> = meta::finalizers(new)
            .into_iter()
            .filter(|f| !known.contains(f))
            .map(|f| format!("{f:?}"))
            .collect();
        if !added.is_empty() {
            let what = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            );
            out.push(FieldError::forbidden(FINALIZERS, &what));
        }
    }
    for field in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        let given = &new["metadata"][field];
        if *given != old["metadata"][field] {
            out.push(FieldError::invalid(
                &format!("metadata.{field}"),
                given,
                "field is immutable",
            ));
        }
    }
    check_always(new, &mut out);
    out
}

fn map<'a>(object: &'a Value, field: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let found = object
        .get("metadata")
        .and_then(|m| m.get(field))
        .and_then(Value::as_object);
    found.into_iter().flat_map(Map::iter)
}

fn check_always(object: &Value, out: &mut Vec<FieldError>) {
    for (key, value) in map(object, "labels") {
        for what in names::label_key(key) {
            out.push(FieldError::invalid("metadata.labels", &json!(key), &what));
        }
        for what in names::label_value(value.as_str().unwrap_or_default()) {
            out.push(FieldError::invalid("metadata.labels", value, &what));
        }
    }
    let mut size = 0;
    for (key, value) in map(object, "annotations") {
        for what in names::label_key(&key.to_lowercase()) {
            out.push(FieldError::invalid("metadata.annotations", &json!(key), &what));
        }
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > MAX_ANNOTATIONS {
        out.push(FieldError::too_long("metadata.annotations", MAX_ANNOTATIONS as u64));
    }
    check_owners(object, out);
}

fn check_owners(object: &Value, out: &mut Vec<FieldError>) {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let mut controller: Option<String> = None;
    for owner in owners.into_iter().flatten() {
        let part = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
        for (field, what) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if part(field).is_empty() {
                out.push(FieldError::invalid(&format!("{OWNERS}.{field}"), &json!(""), what));
            }
        }
        if owner.get("controller") == Some(&json!(true)) {
            let name = format!("{}/{}", part("kind"), part("name"));
            match &controller {
                None => controller = Some(name),
                Some(first) => {
                    let what = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}"
                    );
                    out.push(FieldError::invalid(OWNERS, &json!(owners), &what));
                }
            }
        }
    }
}
