//! Checks that belong to a whole object of one kind: on create, and what an update may not change.

use serde_json::{Map, Value, json};

use super::{names, quantity::Quantity, rules};
use crate::apiserver::{
    schema::{
        FieldError,
        errors::{child, index},
    },
    smd::TypeSchema,
};

type Out = Vec<FieldError>;

/// Bytes of data that a Secret or ConfigMap may hold.
const MAX_DATA: usize = 1024 * 1024;
/// See [`super::validate_create`].
pub(super) fn create(types: &TypeSchema, api_version: &str, kind: &str, object: &Value) -> Out {
    let mut out = Vec::new();
    rules::check(types, object, &mut out);
    whole(api_version, kind, object, &mut out);
    match kind {
        "CronJob" => {
            let name = text(object, "/metadata/name");
            if name.len() > 52 {
                let detail = "must be no more than 52 characters";
                out.push(FieldError::invalid("metadata.name", &json!(name), detail));
            }
        }
        "Job" if object.pointer("/spec/selector").is_none_or(Value::is_null) => {
            out.push(FieldError::required("spec.selector", ""));
        }
        _ => {}
    }
    out
}

/// See [`super::validate_update`].
pub(super) fn update(types: &TypeSchema, api_version: &str, kind: &str, old: &Value, new: &Value) -> Out {
    let mut out = Vec::new();
    immutable(kind, old, new, &mut out);
    let mut invalid = Vec::new();
    rules::check(types, new, &mut invalid);
    whole(api_version, kind, new, &mut invalid);
    if invalid.is_empty() {
        return out;
    }
    // What was stored invalid (by an older server) does not hinder other changes.
    let mut before = Vec::new();
    rules::check(types, old, &mut before);
    whole(api_version, kind, old, &mut before);
    out.extend(invalid.into_iter().filter(|error| !before.contains(error)));
    out
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn whole(api_version: &str, kind: &str, object: &Value, out: &mut Out) {
    match kind {
        "Pod" => mounts(object, "/spec", &[], out),
        "Job" | "Deployment" => mounts(object, "/spec/template/spec", &[], out),
        "CronJob" => mounts(object, "/spec/jobTemplate/spec/template/spec", &[], out),
        "StatefulSet" => {
            let templates = object.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array);
            let claims: Vec<&str> = templates
                .into_iter()
                .flatten()
                .map(|t| text(t, "/metadata/name"))
                .collect();
            mounts(object, "/spec/template/spec", &claims, out);
        }
        "Secret" => secret(object, out),
        "ConfigMap" => config_map(object, out),
        "Event" => event(api_version, object, out),
        "Role" => namespaced_rules(object, out),
        "RoleBinding" => binding(object, true, out),
        "ClusterRoleBinding" => binding(object, false, out),
        _ => {}
    }
}

/// Every mount names a volume of the pod, or a claim of the set.
fn mounts(object: &Value, pointer: &str, claims: &[&str], out: &mut Out) {
    let Some(spec) = object.pointer(pointer) else { return };
    let path = pointer.trim_start_matches('/').replace('/', ".");
    let names = |value: Option<&Value>| -> Vec<String> {
        let list = value.and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .map(|item| text(item, "/name").to_owned())
            .collect()
    };
    let volumes = names(spec.get("volumes"));
    for list in ["initContainers", "containers"] {
        let containers = spec.get(list).and_then(Value::as_array);
        for (i, container) in containers.into_iter().flatten().enumerate() {
            for (n, name) in names(container.get("volumeMounts")).into_iter().enumerate() {
                if !volumes.contains(&name) && !claims.contains(&name.as_str()) {
                    let container = index(&child(&path, list), i);
                    let here = child(&index(&child(&container, "volumeMounts"), n), "name");
                    out.push(FieldError::not_found(&here, &json!(name)));
                }
            }
        }
    }
}

fn entries<'a>(object: &'a Value, field: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    object.get(field).and_then(Value::as_object).into_iter().flatten()
}

fn data_keys(object: &Value, field: &str, out: &mut Out) -> usize {
    let mut size = 0;
    for (key, value) in entries(object, field) {
        for message in names::config_key(key) {
            out.push(FieldError::invalid(&index(field, key), &json!(key), &message));
        }
        let length = value.as_str().map_or(0, str::len);
        // Encoded, three bytes take four characters.
        size += if field == "data" && object.get("kind") == Some(&json!("ConfigMap")) {
            length
        } else {
            length / 4 * 3
        };
    }
    size
}

fn secret(object: &Value, out: &mut Out) {
    if data_keys(object, "data", out) > MAX_DATA {
        out.push(FieldError::too_long("data", MAX_DATA as u64));
    }
    let needed: &[&str] = match text(object, "/type") {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/basic-auth" => {
            let has = |key: &str| entries(object, "data").any(|(k, _)| k == key);
            if has("username") || has("password") {
                &[]
            } else {
                &["username", "password"]
            }
        }
        "kubernetes.io/service-account-token" => {
            let account = "kubernetes.io/service-account.name";
            if object
                .pointer("/metadata/annotations")
                .and_then(|a| a.get(account))
                .is_none()
            {
                out.push(FieldError::required(&index("metadata.annotations", account), ""));
            }
            &[]
        }
        _ => &[],
    };
    for key in needed {
        if !entries(object, "data").any(|(k, _)| k == key) {
            out.push(FieldError::required(&index("data", key), ""));
        }
    }
}

fn config_map(object: &Value, out: &mut Out) {
    let size = data_keys(object, "data", out) + data_keys(object, "binaryData", out);
    for (key, _) in entries(object, "binaryData") {
        if entries(object, "data").any(|(k, _)| k == key) {
            let detail = "duplicate of key present in binaryData";
            out.push(FieldError::invalid(&index("data", key), &json!(key), detail));
        }
    }
    if size > MAX_DATA {
        out.push(FieldError::too_long("", MAX_DATA as u64));
    }
}

/// Events of both versions; the errors name the fields of the one that is stored.
fn event(api_version: &str, object: &Value, out: &mut Out) {
    let is_new = api_version != "v1";
    let (about, reporter) = if is_new {
        ("regarding", "reportingController")
    } else {
        ("involvedObject", "reportingComponent")
    };
    let namespace = text(object, "/metadata/namespace");
    let its = object.get(about).map(|o| text(o, "/namespace")).unwrap_or_default();
    let has_time = object.get("eventTime").is_some_and(|t| !t.is_null());
    let agrees = match (has_time, its) {
        (false, "") => matches!(namespace, "" | "default"),
        (true, "") => matches!(namespace, "default" | "kube-system"),
        (_, its) => its == namespace,
    };
    if !agrees {
        let detail = "does not match event.namespace";
        out.push(FieldError::invalid("involvedObject.namespace", &json!(its), detail));
    }
    if has_time {
        for field in [reporter, "reportingInstance", "action", "reason"] {
            if object.get(field).and_then(Value::as_str).unwrap_or_default().is_empty() {
                out.push(FieldError::required(field, ""));
            }
        }
    }
    if !is_new {
        return;
    }
    if !has_time {
        out.push(FieldError::required("eventTime", ""));
    }
    let ty = text(object, "/type");
    if !matches!(ty, "Normal" | "Warning") {
        let detail = format!("has invalid value: {ty}");
        out.push(FieldError::invalid("type", &json!(""), &detail));
    }
    for (ours, theirs) in [
        ("deprecatedFirstTimestamp", "firstTimestamp"),
        ("deprecatedLastTimestamp", "lastTimestamp"),
        ("deprecatedCount", "count"),
        ("deprecatedSource", "source"),
    ] {
        let is_set = match object.get(ours) {
            Some(Value::Object(map)) => !map.is_empty(),
            Some(Value::Number(number)) => number.as_i64() != Some(0),
            other => other.is_some_and(|v| !v.is_null()),
        };
        if is_set {
            out.push(FieldError::invalid(theirs, &json!(""), "needs to be unset"));
        }
    }
}

fn namespaced_rules(object: &Value, out: &mut Out) {
    let rules = object.get("rules").and_then(Value::as_array);
    for (i, rule) in rules.into_iter().flatten().enumerate() {
        if let Some(urls) = rule
            .get("nonResourceURLs")
            .filter(|urls| urls.as_array().is_some_and(|u| !u.is_empty()))
        {
            let detail = "namespaced rules cannot apply to non-resource URLs";
            out.push(FieldError::invalid(
                &child(&index("rules", i), "nonResourceURLs"),
                urls,
                detail,
            ));
        }
    }
}

fn binding(object: &Value, namespaced: bool, out: &mut Out) {
    let role = object
        .get("roleRef")
        .and_then(|r| r.get("kind"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !namespaced && role == "Role" {
        out.push(FieldError::not_supported(
            "roleRef.kind",
            &json!(role),
            &["ClusterRole"],
        ));
    }
    if role.is_empty() {
        let kinds: &[&str] = if namespaced {
            &["Role", "ClusterRole"]
        } else {
            &["ClusterRole"]
        };
        out.push(FieldError::not_supported("roleRef.kind", &json!(""), kinds));
    }
    let group = "rbac.authorization.k8s.io";
    let subjects = object.get("subjects").and_then(Value::as_array);
    for (i, subject) in subjects.into_iter().flatten().enumerate() {
        let here = index("subjects", i);
        let api_group = text(subject, "/apiGroup");
        match text(subject, "/kind") {
            "ServiceAccount" => {
                if !api_group.is_empty() {
                    out.push(FieldError::not_supported(
                        &child(&here, "apiGroup"),
                        &json!(api_group),
                        &[""],
                    ));
                }
                if !namespaced && text(subject, "/namespace").is_empty() {
                    out.push(FieldError::required(&child(&here, "namespace"), ""));
                }
            }
            "User" | "Group" if api_group != group => {
                out.push(FieldError::not_supported(
                    &child(&here, "apiGroup"),
                    &json!(api_group),
                    &[group],
                ));
            }
            _ => {}
        }
    }
}

/// What may not change once it is there.
fn immutable(kind: &str, old: &Value, new: &Value, out: &mut Out) {
    match kind {
        "StatefulSet" => {
            let mutable = [
                "replicas",
                "template",
                "updateStrategy",
                "minReadySeconds",
                "ordinals",
                "revisionHistoryLimit",
                "persistentVolumeClaimRetentionPolicy",
            ];
            if without(old, &mutable) != without(new, &mutable) {
                let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
                out.push(FieldError::forbidden("spec", detail));
            }
        }
        "Job" => job(old, new, out),
        "Pod" => pod(old, new, out),
        "PersistentVolumeClaim" => claim(old, new, out),
        "PersistentVolume" => {
            let source = |object: &Value| {
                without(
                    object,
                    &[
                        "capacity",
                        "accessModes",
                        "claimRef",
                        "persistentVolumeReclaimPolicy",
                        "storageClassName",
                        "mountOptions",
                        "volumeMode",
                        "nodeAffinity",
                        "volumeAttributesClassName",
                    ],
                )
            };
            if source(old) != source(new) {
                out.push(FieldError::forbidden(
                    "spec.persistentvolumesource",
                    "spec.persistentvolumesource is immutable after creation",
                ));
            }
            same(old, new, "/spec/volumeMode", "volumeMode", out);
        }
        "Service" => service(old, new, out),
        "Secret" => {
            same(old, new, "/type", "type", out);
            frozen(old, new, &["data"], out);
        }
        "ConfigMap" => frozen(old, new, &["data", "binaryData"], out),
        "RoleBinding" | "ClusterRoleBinding" if old.get("roleRef") != new.get("roleRef") => {
            let role = new.get("roleRef").unwrap_or(&Value::Null);
            out.push(FieldError::invalid("roleRef", role, "cannot change roleRef"));
        }
        "StorageClass" => {
            for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
                same(old, new, &format!("/{field}"), field, out);
            }
        }
        "ControllerRevision" => same(old, new, "/data", "data", out),
        "Deployment" => same(old, new, "/spec/selector", "spec.selector", out),
        _ => {}
    }
}

fn same(old: &Value, new: &Value, pointer: &str, path: &str, out: &mut Out) {
    if old.pointer(pointer) != new.pointer(pointer) {
        let value = new.pointer(pointer).unwrap_or(&Value::Null);
        out.push(FieldError::invalid(path, value, "field is immutable"));
    }
}

/// The spec without some fields.
fn without(object: &Value, fields: &[&str]) -> Map<String, Value> {
    let mut spec = object
        .get("spec")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    spec.retain(|key, _| !fields.contains(&key.as_str()));
    spec
}

fn frozen(old: &Value, new: &Value, fields: &[&str], out: &mut Out) {
    if old.get("immutable") != Some(&json!(true)) {
        return;
    }
    let detail = "field is immutable when `immutable` is set";
    if new.get("immutable") != Some(&json!(true)) {
        out.push(FieldError::forbidden("immutable", detail));
    }
    for field in fields {
        if old.get(field) != new.get(field) {
            out.push(FieldError::forbidden(field, detail));
        }
    }
}

fn job(old: &Value, new: &Value, out: &mut Out) {
    let suspended = old.pointer("/spec/suspend") == Some(&json!(true));
    let indexed = text(old, "/spec/completionMode") == "Indexed";
    if !indexed {
        same(old, new, "/spec/completions", "spec.completions", out);
    }
    same(old, new, "/spec/selector", "spec.selector", out);
    let never_ran = suspended && old.pointer("/status/startTime").is_none_or(Value::is_null);
    if !never_ran {
        same(old, new, "/spec/template", "spec.template", out);
    }
    for field in [
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "managedBy",
        "successPolicy",
    ] {
        same(old, new, &format!("/spec/{field}"), &format!("spec.{field}"), out);
    }
}

fn pod(old: &Value, new: &Value, out: &mut Out) {
    let comparable = |object: &Value| {
        let mut spec = without(
            object,
            &[
                "activeDeadlineSeconds",
                "tolerations",
                "schedulingGates",
                "ephemeralContainers",
                "nodeName",
            ],
        );
        for list in ["containers", "initContainers"] {
            let containers = spec.get_mut(list).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
                container.shift_remove("image");
            }
        }
        spec
    };
    if comparable(old) != comparable(new) {
        let detail = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        out.push(FieldError::forbidden("spec", detail));
    }
    let tolerations = |object: &Value| {
        object
            .pointer("/spec/tolerations")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let kept = tolerations(new);
    if tolerations(old).iter().any(|toleration| !kept.contains(toleration)) {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        out.push(FieldError::forbidden("spec.tolerations", detail));
    }
    let before = text(old, "/spec/nodeName");
    if !before.is_empty() {
        same(old, new, "/spec/nodeName", "spec.nodeName", out);
    }
}

fn claim(old: &Value, new: &Value, out: &mut Out) {
    let bound = text(new, "/status/phase") == "Bound" || text(old, "/status/phase") == "Bound";
    let unnamed = text(old, "/spec/volumeName").is_empty();
    let unclassed = old.pointer("/spec/storageClassName").is_none_or(Value::is_null);
    let comparable = |object: &Value| {
        let mut spec = without(object, &[]);
        if unnamed {
            spec.shift_remove("volumeName");
        }
        if unclassed {
            spec.shift_remove("storageClassName");
        }
        if bound {
            spec.shift_remove("volumeAttributesClassName");
            let requests = spec
                .get_mut("resources")
                .and_then(|r| r.get_mut("requests"))
                .and_then(Value::as_object_mut);
            if let Some(requests) = requests {
                requests.shift_remove("storage");
            }
        }
        spec
    };
    if comparable(old) != comparable(new) {
        let detail =
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        out.push(FieldError::forbidden("spec", detail));
    }
    let size = |object: &Value, pointer: &str| Quantity::parse(text(object, pointer));
    let request = "/spec/resources/requests/storage";
    if let (Some(before), Some(after)) = (size(old, request), size(new, request))
        && after < before
    {
        // It may shrink back to above what it has, to undo a growth that failed.
        let has = size(old, "/status/capacity/storage");
        if has.is_some_and(|has| after <= has) {
            let detail = "field can not be less than status.capacity";
            out.push(FieldError::forbidden("spec.resources.requests.storage", detail));
        }
    }
    same(old, new, "/spec/volumeMode", "volumeMode", out);
}

fn service(old: &Value, new: &Value, out: &mut Out) {
    let is_external = |object: &Value| text(object, "/spec/type") == "ExternalName";
    let is_headless = |object: &Value| text(object, "/spec/clusterIP") == "None";
    if is_external(old) || is_external(new) || is_headless(old) && is_headless(new) {
        return;
    }
    let list = |object: &Value, field: &str| -> Vec<Value> {
        let list = object.pointer(&format!("/spec/{field}")).and_then(Value::as_array);
        list.cloned().unwrap_or_default()
    };
    let (before, after) = (list(old, "clusterIPs"), list(new, "clusterIPs"));
    if let Some(first) = before.first() {
        if after.is_empty() {
            let detail = "primary clusterIP can not be unset";
            out.push(FieldError::invalid("spec.clusterIPs[0]", &json!(after), detail));
        } else if after.first() != Some(first) {
            out.push(FieldError::invalid(
                "spec.clusterIPs[0]",
                &json!(after),
                "may not change once set",
            ));
        }
    }
    let (before, after) = (list(old, "ipFamilies"), list(new, "ipFamilies"));
    if let (Some(first), Some(now)) = (before.first(), after.first())
        && first != now
    {
        out.push(FieldError::invalid(
            "spec.ipFamilies[0]",
            &json!(after),
            "may not change once set",
        ));
    }
}
