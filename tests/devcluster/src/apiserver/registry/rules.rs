//! What is particular to single kinds, beyond defaults and validation: what the server fills in, keeps, resets and waits for.

use serde_json::{Value, json};

use super::{
    super::{crd, kinds::Resource, schema::FieldError, status::Failure},
    Call, Registry, meta,
};

const CRD: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// Canonical quantities, `stringData` folded into `data`.
pub(super) fn canonicalize(api_version: &str, kind: &str, value: &mut Value) {
    let _ = (api_version, kind, value);
}

/// The defaults of a built-in kind.
pub(super) fn default(api_version: &str, kind: &str, value: &mut Value) {
    if kind == "CustomResourceDefinition" {
        crd::default(value);
    }
    let _ = api_version;
}

/// What is wrong with an object of a built-in kind.
pub(super) fn validate(api_version: &str, kind: &str, old: Option<&Value>, new: &Value) -> Vec<FieldError> {
    let _ = (api_version, kind, old, new);
    Vec::new()
}

/// Copies a top-level field, absence included.
pub(super) fn copy_field(from: &Value, to: &mut Value, field: &str) {
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return;
    };
    match from.get(field) {
        Some(value) => {
            to.insert(field.to_owned(), value.clone());
        }
        None => {
            to.shift_remove(field);
        }
    }
}

impl Registry {
    /// What the server fills into a new object.
    pub(super) fn prepare_create(&self, call: &Call, new: &mut Value) -> Result<(), Failure> {
        let resource = &call.resource;
        if resource.status && !resource.is("nodes") {
            reset_status(resource, new);
        }
        if resource.generation {
            meta::set(new, "generation", json!(1));
        }
        match &*resource.id {
            "namespaces" => {
                let name = meta::text(new, "name").to_owned();
                new["spec"]["finalizers"] = json!(["kubernetes"]);
                new["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(name);
            }
            "services" => self.allocate(new)?,
            "persistentvolumeclaims" => {
                add_finalizer(new, "kubernetes.io/pvc-protection");
                if new["spec"]["storageClassName"].is_null()
                    && let Some(class) = self.default_storage_class()
                {
                    new["spec"]["storageClassName"] = json!(class);
                }
            }
            "persistentvolumes" => add_finalizer(new, "kubernetes.io/pv-protection"),
            "pods" => {
                if new["spec"]["serviceAccountName"].is_null() {
                    new["spec"]["serviceAccountName"] = json!("default");
                    new["spec"]["serviceAccount"] = json!("default");
                }
                new["status"]["qosClass"] = json!(quality(new));
            }
            "jobs.batch" => select_by_uid(new),
            _ => {}
        }
        Ok(())
    }

    fn default_storage_class(&self) -> Option<String> {
        let classes = self.store.list(&"storageclasses.storage.k8s.io".into(), None);
        classes
            .objects
            .iter()
            .find(|class| {
                class
                    .value
                    .pointer("/metadata/annotations/storageclass.kubernetes.io~1is-default-class")
                    .is_some_and(|v| v == "true")
            })
            .map(|class| class.key.name.clone())
    }
}

/// A new object has the status that its kind begins with, whatever the client sent.
fn reset_status(resource: &Resource, new: &mut Value) {
    if let Value::Object(fields) = new {
        fields.shift_remove("status");
    }
    match &*resource.id {
        "namespaces" => new["status"] = json!({"phase": "Active"}),
        "pods" | "persistentvolumeclaims" | "persistentvolumes" => new["status"] = json!({"phase": "Pending"}),
        CRD => {
            let stored: Vec<&Value> = new["spec"]["versions"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|v| v["storage"] == true)
                .map(|v| &v["name"])
                .collect();
            new["status"] = json!({"storedVersions": stored});
            resource.types.canonicalize(new);
        }
        // What the kind's type writes for an empty status.
        _ => resource.types.canonicalize(new),
    }
}

fn add_finalizer(object: &mut Value, finalizer: &str) {
    let mut all: Vec<String> = meta::finalizers(object).into_iter().map(str::to_owned).collect();
    if !all.iter().any(|f| f == finalizer) {
        all.push(finalizer.to_owned());
        meta::set(object, "finalizers", json!(all));
    }
}

/// A Job that does not bring its own selector selects its pods by its uid.
fn select_by_uid(job: &mut Value) {
    if job["spec"]["manualSelector"] == true {
        return;
    }
    let (name, uid) = (meta::text(job, "name").to_owned(), meta::text(job, "uid").to_owned());
    let labels = [
        ("batch.kubernetes.io/controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
        ("controller-uid", &uid),
        ("job-name", &name),
    ];
    for (label, value) in labels {
        job["spec"]["template"]["metadata"]["labels"][label] = json!(value);
    }
    job["spec"]["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"] = json!(uid);
}

/// The quality of service class of a pod.
fn quality(pod: &Value) -> &'static str {
    let containers = ["containers", "initContainers"]
        .into_iter()
        .filter_map(|list| pod["spec"][list].as_array())
        .flatten();
    let (mut any, mut all) = (false, true);
    for container in containers {
        for resource in ["cpu", "memory"] {
            let limit = &container["resources"]["limits"][resource];
            let request = &container["resources"]["requests"][resource];
            any |= !limit.is_null() || !request.is_null();
            all &= !limit.is_null() && (request.is_null() || request == limit);
        }
    }
    match (any, all) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// What the server allocated stays where a client leaves it out.
pub(super) fn keep_allocated(resource: &Resource, old: &Value, new: &mut Value) {
    match &*resource.id {
        "services" => {
            let external = new["spec"]["type"] == "ExternalName" || old["spec"]["type"] == "ExternalName";
            for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                if !external && new["spec"][field].is_null() && !old["spec"][field].is_null() {
                    new["spec"][field] = old["spec"][field].clone();
                }
            }
            let node_ports = matches!(new["spec"]["type"].as_str(), Some("NodePort" | "LoadBalancer"));
            let known = old["spec"]["ports"].as_array().cloned().unwrap_or_default();
            let ports = new.pointer_mut("/spec/ports").and_then(Value::as_array_mut);
            for port in ports.into_iter().flatten().filter(|_| node_ports) {
                let same = known
                    .iter()
                    .find(|k| k["port"] == port["port"] && k["protocol"] == port["protocol"]);
                if let Some(known) = same
                    && port.get("nodePort").is_none()
                    && !known["nodePort"].is_null()
                {
                    port["nodePort"] = known["nodePort"].clone();
                }
            }
        }
        "jobs.batch" => {
            if new["spec"]["selector"].is_null() {
                new["spec"]["selector"] = old["spec"]["selector"].clone();
            }
        }
        _ => {}
    }
}

/// What an update through the main endpoint may not change, and is put back without a word.
pub(super) fn prepare_update(resource: &Resource, old: &Value, new: &mut Value) {
    if resource.is("namespaces") {
        new["spec"]["finalizers"] = old["spec"]["finalizers"].clone();
    }
}

/// Whether the change is one that `metadata.generation` counts.
pub(super) fn moves_generation(resource: &Resource, old: &Value, new: &Value) -> bool {
    if resource.custom.is_none() {
        return old.get("spec") != new.get("spec");
    }
    let counted = |object: &Value| {
        let mut object = object.clone();
        if let Value::Object(fields) = &mut object {
            fields.shift_remove("metadata");
            if resource.status {
                fields.shift_remove("status");
            }
        }
        object
    };
    counted(old) != counted(new)
}

/// Whether an object that is being deleted has nothing left to wait for.
pub(super) fn may_go(resource: &Resource, object: &Value) -> bool {
    let grace = object
        .pointer("/metadata/deletionGracePeriodSeconds")
        .and_then(Value::as_i64)
        .unwrap_or(0);
    let namespace_waits = resource.is("namespaces")
        && object
            .pointer("/spec/finalizers")
            .and_then(Value::as_array)
            .is_some_and(|f| !f.is_empty());
    meta::is_terminating(object) && meta::finalizers(object).is_empty() && grace == 0 && !namespace_waits
}

/// How long an object may go on after its deletion: pods only, and only those that a node runs.
pub(super) fn grace_seconds(resource: &Resource, object: &Value, asked: Option<i64>) -> i64 {
    if !resource.is("pods") {
        return 0;
    }
    let ended = matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    let assigned = object["spec"]["nodeName"].as_str().is_some_and(|n| !n.is_empty());
    let grace = asked
        .or_else(|| object["spec"]["terminationGracePeriodSeconds"].as_i64())
        .unwrap_or(30);
    match grace {
        _ if ended || !assigned => 0,
        negative if negative < 0 => 1,
        grace => grace,
    }
}
