//! What the server itself puts into an object on its way to the store: status belongs to the status endpoint, generation counts changes
//! of the spec, jobs get their selector, services keep their addresses, some kinds get a finalizer.

use serde_json::{Map, Value, json};

use super::{object_at, text_at};
use crate::apiserver::smd::TypeSchema;

type Object = Map<String, Value>;

/// Kinds whose status is written only through its own endpoint.
const WITH_STATUS: [&str; 11] = [
    "Namespace",
    "Pod",
    "Service",
    "PersistentVolumeClaim",
    "PersistentVolume",
    "StatefulSet",
    "Deployment",
    "Job",
    "CronJob",
    "PodDisruptionBudget",
    "Ingress",
];
/// Kinds that count the changes of their spec.
const WITH_GENERATION: [&str; 9] = [
    "Pod",
    "StatefulSet",
    "Deployment",
    "Job",
    "CronJob",
    "PodDisruptionBudget",
    "NetworkPolicy",
    "Ingress",
    "EndpointSlice",
];

/// Completes a new object, canonical and defaulted, that has its name and uid.
pub fn prepare_create(api_version: &str, kind: &str, object: &mut Value) {
    let Some(types) = TypeSchema::builtin(api_version, kind) else {
        return;
    };
    if let Value::Object(map) = object {
        if WITH_STATUS.contains(&kind) {
            map.shift_remove("status");
        }
        if WITH_GENERATION.contains(&kind) {
            object_at(map, "metadata").insert("generation".into(), json!(1));
        }
        match kind {
            "Namespace" => add_namespace_finalizer(map),
            "PersistentVolumeClaim" => add_finalizer(map, "kubernetes.io/pvc-protection"),
            "PersistentVolume" => add_finalizer(map, "kubernetes.io/pv-protection"),
            "Job" => select_by_uid(map),
            "Pod" => admit_pod(map),
            "Service" => complete_addresses(object_at(map, "spec")),
            _ => {}
        }
        let phase = match kind {
            "Namespace" => "Active",
            "Pod" | "PersistentVolumeClaim" | "PersistentVolume" => "Pending",
            _ => "",
        };
        if !phase.is_empty() {
            object_at(map, "status").insert("phase".into(), json!(phase));
        }
    }
    types.canonicalize(object);
}

/// Completes the new state of an object that is written through its main endpoint.
pub fn prepare_update(api_version: &str, kind: &str, old: &Value, new: &mut Value) {
    let Some(types) = TypeSchema::builtin(api_version, kind) else {
        return;
    };
    if let (Some(old), Value::Object(map)) = (old.as_object(), &mut *new) {
        if WITH_STATUS.contains(&kind) || kind == "CustomResourceDefinition" {
            match old.get("status") {
                Some(status) => map.insert("status".into(), status.clone()),
                None => map.shift_remove("status"),
            };
        }
        let spec_of = |object: &Object| {
            object
                .get("spec")
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default()
        };
        match kind {
            "Namespace" => {
                let kept = spec_of(old).get("finalizers").cloned().unwrap_or(Value::Null);
                object_at(map, "spec").insert("finalizers".into(), kept);
            }
            "Service" => keep_addresses(&spec_of(old), object_at(map, "spec")),
            _ => {}
        }
    }
    types.canonicalize(new);
    if WITH_GENERATION.contains(&kind) {
        count_change(old, new);
    }
}

fn count_change(old: &Value, new: &mut Value) {
    let before = old.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0);
    let changed = old.get("spec") != new.get("spec");
    if let Some(meta) = new.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.insert("generation".into(), json!(before + i64::from(changed)));
    }
}

fn add_namespace_finalizer(namespace: &mut Object) {
    let finalizers = object_at(namespace, "spec")
        .entry("finalizers")
        .or_insert_with(|| json!([]));
    if let Value::Array(finalizers) = finalizers
        && !finalizers.contains(&json!("kubernetes"))
    {
        finalizers.push(json!("kubernetes"));
    }
}

fn add_finalizer(object: &mut Object, name: &str) {
    let finalizers = object_at(object, "metadata")
        .entry("finalizers")
        .or_insert_with(|| json!([]));
    if let Value::Array(finalizers) = finalizers
        && !finalizers.contains(&json!(name))
    {
        finalizers.push(json!(name));
    }
}

/// A job selects its pods by its uid, unless its author selects them.
fn select_by_uid(job: &mut Object) {
    let meta = object_at(job, "metadata");
    let (name, uid) = (text_at(meta, "name").to_owned(), text_at(meta, "uid").to_owned());
    let spec = object_at(job, "spec");
    if spec.get("manualSelector") == Some(&json!(true)) {
        return;
    }
    let labels = object_at(object_at(object_at(spec, "template"), "metadata"), "labels");
    for (label, value) in [
        ("controller-uid", &uid),
        ("batch.kubernetes.io/controller-uid", &uid),
        ("job-name", &name),
        ("batch.kubernetes.io/job-name", &name),
    ] {
        labels.entry(label).or_insert_with(|| json!(value));
    }
    object_at(object_at(spec, "selector"), "matchLabels")
        .entry("batch.kubernetes.io/controller-uid")
        .or_insert_with(|| json!(uid));
}

/// What admission adds to a pod: priority, and how long it bears a node that is not ready or unreachable.
fn admit_pod(pod: &mut Object) {
    let spec = object_at(pod, "spec");
    spec.entry("priority").or_insert_with(|| json!(0));
    spec.entry("preemptionPolicy")
        .or_insert_with(|| json!("PreemptLowerPriority"));
    let tolerations = spec.entry("tolerations").or_insert_with(|| json!([]));
    if let Value::Array(tolerations) = tolerations {
        for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
            let tolerates =
                |t: &Value| t.get("key").is_none_or(|k| k == key) && t.get("effect").is_none_or(|e| e == "NoExecute");
            if !tolerations.iter().any(tolerates) {
                tolerations
                    .push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}));
            }
        }
    }
}

fn is_empty_list(spec: &Object, field: &str) -> bool {
    spec.get(field).and_then(Value::as_array).is_none_or(Vec::is_empty)
}

/// The address families of a service; its address too where the client or `None` gives it, else the caller allocates one.
fn complete_addresses(spec: &mut Object) {
    if text_at(spec, "type") == "ExternalName" {
        return;
    }
    let address = text_at(spec, "clusterIP").to_owned();
    if !address.is_empty() && is_empty_list(spec, "clusterIPs") {
        spec.insert("clusterIPs".into(), json!([address]));
    }
    let has_selector = spec
        .get("selector")
        .and_then(Value::as_object)
        .is_some_and(|s| !s.is_empty());
    let both = address == "None" && !has_selector;
    if text_at(spec, "ipFamilyPolicy").is_empty() {
        let policy = if both { "RequireDualStack" } else { "SingleStack" };
        spec.insert("ipFamilyPolicy".into(), json!(policy));
    }
    if is_empty_list(spec, "ipFamilies") {
        let families = if both { json!(["IPv4", "IPv6"]) } else { json!(["IPv4"]) };
        spec.insert("ipFamilies".into(), families);
    }
}

/// An update that leaves out what was allocated keeps it.
fn keep_addresses(old: &Object, spec: &mut Object) {
    let has_address = |spec: &Object| text_at(spec, "type") != "ExternalName";
    if has_address(old) && has_address(spec) {
        if text_at(spec, "clusterIP").is_empty() && !text_at(old, "clusterIP").is_empty() {
            spec.insert("clusterIP".into(), json!(text_at(old, "clusterIP")));
        }
        let same_list = spec.get("clusterIPs") == old.get("clusterIPs");
        if is_empty_list(spec, "clusterIPs") || same_list && text_at(spec, "clusterIP") != text_at(old, "clusterIP") {
            let address = text_at(spec, "clusterIP").to_owned();
            let kept = if address == text_at(old, "clusterIP") {
                old.get("clusterIPs").cloned()
            } else {
                None
            };
            spec.insert("clusterIPs".into(), kept.unwrap_or_else(|| json!([address])));
        }
        for field in ["ipFamilies", "ipFamilyPolicy"] {
            if let (None, Some(kept)) = (spec.get(field), old.get(field)) {
                spec.insert(field.into(), kept.clone());
            }
        }
    }
    let has_node_ports = |spec: &Object| matches!(text_at(spec, "type"), "NodePort" | "LoadBalancer");
    if has_node_ports(old) && has_node_ports(spec) {
        keep_node_ports(old, spec);
    }
}

fn keep_node_ports(old: &Object, spec: &mut Object) {
    let before = old.get("ports").and_then(Value::as_array);
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
        let known = before
            .into_iter()
            .flatten()
            .find(|there| there.get("port") == port.get("port") && there.get("protocol") == port.get("protocol"));
        let is_unset = port.get("nodePort").and_then(Value::as_i64).unwrap_or(0) == 0;
        if let (true, Some(allocated)) = (is_unset, known.and_then(|there| there.get("nodePort"))) {
            port.insert("nodePort".into(), allocated.clone());
        }
    }
}
