//! Rules across the fields of pods, their containers, volumes and claims.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    crossfield::{Object, Out, is_set, items, unique},
    labels, names,
    quantity::Quantity,
    rules, text_at,
};
use crate::apiserver::schema::{
    FieldError,
    errors::{child, index},
};

pub(super) fn template_metadata(template: &Object, path: &str, out: &mut Out) {
    let of = |field: &str| template.get("metadata").and_then(|meta| meta.get(field));
    labels::check_labels(of("labels"), &child(path, "metadata.labels"), out);
    labels::check_annotations(of("annotations"), &child(path, "metadata.annotations"), out);
}

pub(super) fn pod_spec(spec: &Object, path: &str, out: &mut Out) {
    unique(spec, "volumes", path, out);
    unique(spec, "containers", path, out);
    unique(spec, "initContainers", path, out);
    let taken: BTreeSet<&str> = items(spec, "containers").map(|(_, c)| text_at(c, "name")).collect();
    for (i, container) in items(spec, "initContainers") {
        let name = text_at(container, "name");
        if !name.is_empty() && taken.contains(name) {
            let here = child(&index(&child(path, "initContainers"), i), "name");
            out.push(FieldError::duplicate(&here, Some(&json!(name))));
        }
    }
    if !is_set(spec, "terminationGracePeriodSeconds") {
        out.push(FieldError::required(&child(path, "terminationGracePeriodSeconds"), ""));
    }
    let servers = spec
        .get("dnsConfig")
        .and_then(|c| c.get("nameservers"))
        .and_then(Value::as_array);
    if text_at(spec, "dnsPolicy") == "None" && servers.is_none_or(Vec::is_empty) {
        let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        out.push(FieldError::required(&child(path, "dnsConfig.nameservers"), detail));
    }
}

pub(super) fn mounts(container: &Object, path: &str, out: &mut Out) {
    let mut paths = BTreeSet::new();
    for (i, mount) in items(container, "volumeMounts") {
        let here = index(&child(path, "volumeMounts"), i);
        let at = text_at(mount, "mountPath");
        if !paths.insert(at) {
            out.push(FieldError::invalid(
                &child(&here, "mountPath"),
                &json!(at),
                "must be unique",
            ));
        }
        for field in ["subPath", "subPathExpr"] {
            let sub = text_at(mount, field);
            let list = child(&child(path, "volumeMounts"), field);
            if sub.starts_with('/') {
                out.push(FieldError::invalid(&list, &json!(sub), "must be a relative path"));
            }
            if sub.split('/').any(|part| part == "..") {
                out.push(FieldError::invalid(&list, &json!(sub), "must not contain '..'"));
            }
        }
    }
    let mut ports = BTreeSet::new();
    for (i, port) in items(container, "ports") {
        let name = text_at(port, "name");
        if !name.is_empty() && !ports.insert(name) {
            let here = child(&index(&child(path, "ports"), i), "name");
            out.push(FieldError::duplicate(&here, Some(&json!(name))));
        }
    }
}

const ENV_SOURCES: [&str; 5] = [
    "fieldRef",
    "resourceFieldRef",
    "configMapKeyRef",
    "secretKeyRef",
    "fileKeyRef",
];

pub(super) fn env(variable: &Object, path: &str, out: &mut Out) {
    let Some(from) = variable.get("valueFrom").and_then(Value::as_object) else {
        return;
    };
    let here = child(path, "valueFrom");
    let sources = ENV_SOURCES.iter().filter(|source| is_set(from, source)).count();
    if sources == 0 {
        let detail =
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        out.push(FieldError::invalid(&here, &json!(""), detail));
    } else if !text_at(variable, "value").is_empty() {
        out.push(FieldError::invalid(
            &here,
            &json!(""),
            "may not be specified when `value` is not empty",
        ));
    } else if sources > 1 {
        out.push(FieldError::invalid(
            &here,
            &json!(""),
            "may not have more than one field specified at a time",
        ));
    }
}

pub(super) fn env_from(source: &Object, path: &str, out: &mut Out) {
    let sources = ["configMapRef", "secretRef"]
        .iter()
        .filter(|s| is_set(source, s))
        .count();
    if sources == 0 {
        let detail = "must specify one of: `configMapRef` or `secretRef`";
        out.push(FieldError::invalid(path, &json!(""), detail));
    } else if sources > 1 {
        out.push(FieldError::invalid(
            path,
            &json!(""),
            "may not have more than one field specified at a time",
        ));
    }
    for reference in ["configMapRef", "secretRef"] {
        if let Some(target) = source.get(reference).and_then(Value::as_object)
            && text_at(target, "name").is_empty()
        {
            out.push(FieldError::required(&child(&child(path, reference), "name"), ""));
        }
    }
}

pub(super) fn volume(volume: &Object, path: &str, out: &mut Out) {
    let mut sources = volume.iter().filter(|(key, value)| *key != "name" && !value.is_null());
    if sources.next().is_none() {
        out.push(FieldError::required(path, "must specify a volume type"));
    }
    for (source, _) in sources {
        out.push(FieldError::forbidden(
            &child(path, source),
            "may not specify more than 1 volume type",
        ));
    }
}

pub(super) fn handler(probe: &Object, path: &str, out: &mut Out) {
    let kinds = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"];
    let mut handlers = kinds.iter().filter(|kind| is_set(probe, kind));
    if handlers.next().is_none() {
        out.push(FieldError::required(path, "must specify a handler type"));
    }
    for kind in handlers {
        out.push(FieldError::forbidden(
            &child(path, kind),
            "may not specify more than 1 handler type",
        ));
    }
}

pub(super) fn resources(resources: &Object, path: &str, out: &mut Out) {
    let list = |field: &str| {
        resources
            .get(field)
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    };
    let limits = list("limits");
    for field in ["limits", "requests"] {
        for (name, value) in list(field) {
            let here = index(&child(path, field), &name);
            for message in rules::quantity(&value) {
                out.push(FieldError::invalid(&here, &value, &message));
            }
            let is_standard =
                matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
            if !is_standard && !name.contains('/') {
                let detail = "must be a standard resource type or fully qualified";
                out.push(FieldError::invalid(&here, &json!(name), detail));
            }
        }
    }
    for (name, value) in list("requests") {
        let number = |value: Option<&Value>| value.and_then(Value::as_str).and_then(Quantity::parse);
        if let (Some(request), Some(limit)) = (number(Some(&value)), number(limits.get(&name)))
            && request > limit
        {
            let detail = format!("must be less than or equal to {name} limit of {}", limit.canonical());
            out.push(FieldError::invalid(&child(path, "requests"), &value, &detail));
        }
    }
}

pub(super) fn toleration(toleration: &Object, path: &str, out: &mut Out) {
    let (key, operator, value) = (
        text_at(toleration, "key"),
        text_at(toleration, "operator"),
        text_at(toleration, "value"),
    );
    let here = child(path, "operator");
    if key.is_empty() && operator != "Exists" {
        let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        out.push(FieldError::invalid(&here, &json!(operator), detail));
    }
    if is_set(toleration, "tolerationSeconds") && text_at(toleration, "effect") != "NoExecute" {
        let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        out.push(FieldError::invalid(
            &child(path, "effect"),
            &json!(text_at(toleration, "effect")),
            detail,
        ));
    }
    match operator {
        "" | "Equal" => {
            let messages = names::label_value(value);
            if !messages.is_empty() {
                out.push(FieldError::invalid(&here, &json!(value), &messages.join(";")));
            }
        }
        "Exists" if !value.is_empty() => {
            out.push(FieldError::invalid(
                &here,
                &json!(value),
                "value must be empty when `operator` is 'Exists'",
            ));
        }
        "Exists" => {}
        other => out.push(FieldError::not_supported(&here, &json!(other), &["Equal", "Exists"])),
    }
}

pub(super) fn weight(term: &Object, path: &str, out: &mut Out) {
    if let Some(weight) = term
        .get("weight")
        .filter(|w| !(1..=100).contains(&w.as_i64().unwrap_or(0)))
    {
        out.push(FieldError::invalid(
            &child(path, "weight"),
            weight,
            "must be in the range 1-100",
        ));
    }
}

const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

pub(super) fn claim(spec: &Object, path: &str, out: &mut Out) {
    let modes = spec
        .get("accessModes")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let here = child(path, "accessModes");
    if modes.is_empty() {
        out.push(FieldError::required(&here, "at least 1 access mode is required"));
    }
    for mode in &modes {
        if !ACCESS_MODES.iter().any(|m| mode == m) {
            out.push(FieldError::not_supported(&here, mode, &ACCESS_MODES));
        }
    }
    if modes.len() > 1 && modes.iter().any(|m| m == "ReadWriteOncePod") {
        out.push(FieldError::forbidden(
            &here,
            "may not use ReadWriteOncePod with other access modes",
        ));
    }
    let storage = spec
        .get("resources")
        .and_then(|r| r.get("requests"))
        .and_then(|r| r.get("storage"));
    let here = index(&child(path, "resources"), "storage");
    match storage {
        None => out.push(FieldError::required(&here, "")),
        Some(value) => {
            let quantity = value.as_str().and_then(Quantity::parse);
            if quantity.is_some_and(|q| !q.is_positive()) {
                out.push(FieldError::invalid(&here, value, "must be greater than zero"));
            } else if quantity.is_none() {
                out.extend(
                    rules::quantity(value)
                        .iter()
                        .map(|m| FieldError::invalid(&here, value, m)),
                );
            }
        }
    }
}

pub(super) fn volume_capacity(spec: &Object, path: &str, out: &mut Out) {
    let here = child(path, "capacity");
    let capacity = spec
        .get("capacity")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    match capacity.get("storage") {
        None if capacity.is_empty() => out.push(FieldError::required(&here, "")),
        None => out.push(FieldError::not_supported(&here, &json!(capacity), &["storage"])),
        Some(value) => {
            if value
                .as_str()
                .and_then(Quantity::parse)
                .is_some_and(|q| !q.is_positive())
            {
                out.push(FieldError::invalid(
                    &index(&here, "storage"),
                    value,
                    "must be greater than zero",
                ));
            }
        }
    }
    let modes = spec.get("accessModes").and_then(Value::as_array);
    for mode in modes.into_iter().flatten() {
        if !ACCESS_MODES.iter().any(|m| mode == m) {
            out.push(FieldError::not_supported(
                &child(path, "accessModes"),
                mode,
                &ACCESS_MODES,
            ));
        }
    }
}
