//! What is particular to single kinds, beyond the tables of [`builtin`](super::super::builtin): what the server fills in that needs the
//! store, what generation counts, and what an object waits for before it goes.

use serde_json::{Value, json};

use super::{
    super::{builtin, crd, kinds::Resource, schema::FieldError, status::Failure},
    Call, Registry, meta, validity,
};

const CRD: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// The canonical form of a built-in kind with its defaults.
pub(super) fn normalize(resource: &Resource, value: &mut Value) {
    let api_version = resource.api_version();
    builtin::canonicalize(&api_version, &resource.kind, value);
    builtin::default(&api_version, &resource.kind, value);
    if resource.is(CRD) {
        crd::default(value);
    }
}

/// What is wrong with an object, as it comes to be or in place of `old`.
///
/// On update the rules of each kind include those of metadata, which all objects share: the real server finds such errors twice.
pub(super) fn validate(resource: &Resource, old: Option<&Value>, new: &Value) -> Vec<FieldError> {
    let mut errors = match old {
        None => validity::check_new(resource, new),
        Some(old) => {
            let once = validity::check_change(old, new);
            [once.clone(), once].concat()
        }
    };
    let api_version = resource.api_version();
    errors.extend(match (&resource.custom, old) {
        (Some(custom), old) => custom.schema.validate(new, old),
        (None, old) if resource.is(CRD) => crd::validate(old, new),
        (None, None) => builtin::validate_create(&api_version, &resource.kind, new),
        (None, Some(old)) => builtin::validate_update(&api_version, &resource.kind, old, new),
    });
    errors
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
        if resource.custom.is_some() {
            if resource.status
                && let Value::Object(fields) = new
            {
                fields.shift_remove("status");
            }
            meta::set(new, "generation", json!(1));
            return Ok(());
        }
        builtin::prepare_create(&resource.api_version(), &resource.kind, new);
        match &*resource.id {
            "namespaces" => {
                let name = meta::text(new, "name").to_owned();
                new["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(name);
            }
            "services" => self.allocate(new)?,
            "persistentvolumeclaims" => {
                if new["spec"]["storageClassName"].is_null()
                    && let Some(class) = self.default_storage_class()
                {
                    new["spec"]["storageClassName"] = json!(class);
                }
            }
            "pods" => {
                if new["spec"]["serviceAccountName"].is_null() {
                    new["spec"]["serviceAccountName"] = json!("default");
                    new["spec"]["serviceAccount"] = json!("default");
                }
                new["status"]["qosClass"] = json!(quality(new));
            }
            CRD => {
                meta::set(new, "generation", json!(1));
                begin_definition(resource, new);
            }
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

/// A new definition has no names yet; what it stores is known.
fn begin_definition(resource: &Resource, new: &mut Value) {
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

/// What an update through the main endpoint may not change is put back without a word; generation counts what did change.
pub(super) fn prepare_update(resource: &Resource, old: &Value, new: &mut Value) {
    if resource.status {
        copy_field(old, new, "status");
    }
    if resource.custom.is_none() {
        builtin::prepare_update(&resource.api_version(), &resource.kind, old, new);
    }
    let counted = resource.custom.is_some() || resource.is(CRD);
    if counted && counted_part(resource, old) != counted_part(resource, new) {
        meta::set(new, "generation", json!(meta::generation(old) + 1));
    }
}

/// The part of an object that `metadata.generation` counts.
fn counted_part(resource: &Resource, object: &Value) -> Value {
    let mut object = object.clone();
    if let Value::Object(fields) = &mut object {
        fields.shift_remove("metadata");
        if resource.status {
            fields.shift_remove("status");
        }
    }
    object
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
