//! What every object's metadata must be, on create and on update.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::names;
use crate::apiserver::schema::{
    FieldError,
    errors::{child, index, quote},
};

/// The bytes that all annotations may take together.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// Which names a kind allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRule {
    /// One DNS label, at most 63 characters.
    Label,
    /// DNS labels with dots, at most 253 characters.
    Subdomain,
    /// Anything that can stand in a path.
    PathSegment,
}

impl NameRule {
    /// The rule of a kind; custom resources have names like most kinds.
    pub fn of(kind: &str) -> Self {
        match kind {
            "Namespace" | "Service" | "StatefulSet" => Self::Label,
            "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding" => Self::PathSegment,
            _ => Self::Subdomain,
        }
    }

    /// What is wrong with a name.
    pub fn check(self, name: &str) -> Vec<String> {
        match self {
            Self::Label => names::label(name),
            Self::Subdomain => names::subdomain(name),
            Self::PathSegment => names::path_segment(name),
        }
    }
}

/// Checks the metadata of a new object, after its name was generated.
pub fn validate_metadata(object: &Value, namespaced: bool, rule: NameRule) -> Vec<FieldError> {
    let mut out = Vec::new();
    let meta = metadata(object);
    let text = |key: &str| meta.get(key).and_then(Value::as_str).unwrap_or_default();
    let generate = text("generateName");
    if !generate.is_empty() {
        // What is generated follows it, so a hyphen at its end is fine.
        let base = generate.trim_end_matches('-');
        for message in rule.check(base) {
            out.push(FieldError::invalid("metadata.generateName", &json!(generate), &message));
        }
    }
    match text("name") {
        "" => out.push(FieldError::required(
            "metadata.name",
            "name or generateName is required",
        )),
        name => {
            for message in rule.check(name) {
                out.push(FieldError::invalid("metadata.name", &json!(name), &message));
            }
        }
    }
    match (namespaced, text("namespace")) {
        (true, "") => out.push(FieldError::required("metadata.namespace", "")),
        (true, namespace) => {
            for message in names::label(namespace) {
                out.push(FieldError::invalid("metadata.namespace", &json!(namespace), &message));
            }
        }
        (false, "") => {}
        (false, _) => out.push(FieldError::forbidden("metadata.namespace", "not allowed on this type")),
    }
    check_common(&meta, &mut out);
    let finalizers = strings(&meta, "finalizers");
    for finalizer in &finalizers {
        for message in names::label_key(finalizer) {
            out.push(FieldError::invalid("metadata.finalizers", &json!(finalizer), &message));
        }
    }
    let both = ["orphan", "foregroundDeletion"];
    if both.iter().all(|name| finalizers.iter().any(|f| f == name)) {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        out.push(FieldError::invalid("metadata.finalizers", &json!(finalizers), detail));
    }
    out
}

/// Checks what an update does to the metadata. The resource version is the caller's to check.
///
/// The real server makes this check twice for built-in kinds, so that its causes come twice there.
pub fn validate_metadata_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let mut out = Vec::new();
    let (before, meta) = (metadata(old), metadata(new));
    if before.get("deletionTimestamp").is_some_and(|t| !t.is_null()) {
        let known: BTreeSet<String> = strings(&before, "finalizers").into_iter().collect();
        let added: BTreeSet<String> = strings(&meta, "finalizers")
            .into_iter()
            .filter(|f| !known.contains(f))
            .collect();
        if !added.is_empty() {
            let added: Vec<String> = added.iter().map(|f| quote(f)).collect();
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            );
            out.push(FieldError::forbidden("metadata.finalizers", &detail));
        }
    }
    let generation = |meta: &Map<String, Value>| meta.get("generation").and_then(Value::as_i64).unwrap_or(0);
    if generation(&meta) < generation(&before) {
        let value = json!(generation(&meta));
        out.push(FieldError::invalid(
            "metadata.generation",
            &value,
            "must not be decremented",
        ));
    }
    for field in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        let there = |meta: &Map<String, Value>| meta.get(field).filter(|v| !v.is_null() && *v != "").cloned();
        if there(&before) != there(&meta) {
            let value = there(&meta).unwrap_or(Value::Null);
            out.push(FieldError::invalid(
                &child("metadata", field),
                &value,
                "field is immutable",
            ));
        }
    }
    check_common(&meta, &mut out);
    out
}

fn check_common(meta: &Map<String, Value>, out: &mut Vec<FieldError>) {
    check_labels(meta.get("labels"), "metadata.labels", out);
    check_annotations(meta.get("annotations"), "metadata.annotations", out);
    check_owners(meta.get("ownerReferences"), out);
}

fn metadata(object: &Value) -> Map<String, Value> {
    object
        .get("metadata")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
}

fn strings(map: &Map<String, Value>, field: &str) -> Vec<String> {
    let list = map.get(field).and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// Checks a map of labels.
pub(super) fn check_labels(labels: Option<&Value>, path: &str, out: &mut Vec<FieldError>) {
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        for message in names::label_key(key) {
            out.push(FieldError::invalid(path, &json!(key), &message));
        }
        for message in names::label_value(value.as_str().unwrap_or_default()) {
            out.push(FieldError::invalid(path, value, &message));
        }
    }
}

pub(super) fn check_annotations(annotations: Option<&Value>, path: &str, out: &mut Vec<FieldError>) {
    let mut size = 0;
    for (key, value) in annotations.and_then(Value::as_object).into_iter().flatten() {
        for message in names::label_key(&key.to_lowercase()) {
            out.push(FieldError::invalid(path, &json!(key), &message));
        }
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > MAX_ANNOTATIONS {
        out.push(FieldError::too_long(path, MAX_ANNOTATIONS as u64));
    }
}

fn check_owners(owners: Option<&Value>, out: &mut Vec<FieldError>) {
    let path = "metadata.ownerReferences";
    let mut controller: Option<String> = None;
    for owner in owners.and_then(Value::as_array).into_iter().flatten() {
        let text = |key: &str| owner.get(key).and_then(Value::as_str).unwrap_or_default();
        for (field, detail) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if text(field).is_empty() {
                out.push(FieldError::invalid(&child(path, field), &json!(""), detail));
            }
        }
        if text("apiVersion") == "v1" && text("kind") == "Event" {
            let detail = "/v1, Kind=Event is disallowed from being an owner";
            out.push(FieldError::invalid(path, owner, detail));
        }
        if owner.get("controller") == Some(&json!(true)) {
            let name = format!("{}/{}", text("kind"), text("name"));
            match &controller {
                Some(first) => {
                    let detail = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}"
                    );
                    out.push(FieldError::invalid(path, owners.unwrap_or(&Value::Null), &detail));
                }
                None => controller = Some(name),
            }
        }
    }
}

/// Checks a label selector.
pub(super) fn check_selector(selector: &Value, path: &str, out: &mut Vec<FieldError>) {
    check_labels(selector.get("matchLabels"), &child(path, "matchLabels"), out);
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    for (i, expression) in expressions.into_iter().flatten().enumerate() {
        let here = index(&child(path, "matchExpressions"), i);
        let values = expression
            .get("values")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let operator = expression.get("operator").and_then(Value::as_str).unwrap_or_default();
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                out.push(FieldError::required(&child(&here, "values"), detail));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                out.push(FieldError::forbidden(&child(&here, "values"), detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => {
                let detail = "not a valid selector operator";
                out.push(FieldError::invalid(&child(&here, "operator"), &json!(operator), detail));
            }
        }
        let key = expression.get("key").and_then(Value::as_str).unwrap_or_default();
        for message in names::label_key(key) {
            out.push(FieldError::invalid(&child(&here, "key"), &json!(key), &message));
        }
        for (n, value) in values.iter().enumerate() {
            for message in names::label_value(value.as_str().unwrap_or_default()) {
                out.push(FieldError::invalid(&index(&child(&here, "values"), n), value, &message));
            }
        }
    }
}

/// Whether a label selector selects an object with these labels.
pub(super) fn selects(selector: &Value, labels: Option<&Value>) -> bool {
    let label = |key: &str| labels.and_then(|labels| labels.get(key));
    let pairs = selector.get("matchLabels").and_then(Value::as_object);
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    pairs
        .into_iter()
        .flatten()
        .all(|(key, value)| label(key) == Some(value))
        && expressions.into_iter().flatten().all(|expression| {
            let here = label(expression.get("key").and_then(Value::as_str).unwrap_or_default());
            let is_in = || {
                let values = expression.get("values").and_then(Value::as_array);
                here.is_some_and(|here| values.is_some_and(|values| values.contains(here)))
            };
            match expression.get("operator").and_then(Value::as_str) {
                Some("In") => is_in(),
                Some("NotIn") => !is_in(),
                Some("Exists") => here.is_some(),
                Some("DoesNotExist") => here.is_none(),
                _ => false,
            }
        })
}
