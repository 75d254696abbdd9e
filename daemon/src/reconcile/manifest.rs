//! Rendered objects: a body that declares exactly our fields, its kind, and a hash of it.
//!
//! The hash travels in an annotation of the object itself. Equal hash and right owner mean that there is
//! nothing to write: the live object is never compared field by field, for the server adds defaults to it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::ApiResource;
use neo4j_operator_shared::Kind;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Annotation with the hash of the body that we wrote last.
pub const APPLIED_HASH: &str = "neo4j.neo4j.com/applied-hash";

/// Where the API server serves a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resource {
    /// The kind, for labels and messages.
    pub kind: Kind,
    /// API group; empty for core.
    pub group: &'static str,
    /// Version in the group.
    pub version: &'static str,
}

impl From<Resource> for ApiResource {
    /// As kube names it.
    fn from(resource: Resource) -> Self {
        Self {
            group: resource.group.to_owned(),
            version: resource.version.to_owned(),
            api_version: resource.api_version(),
            kind: resource.kind.kind().to_owned(),
            plural: resource.kind.plural().to_owned(),
        }
    }
}

impl Resource {
    /// The resource of a kind that the operator writes.
    pub const fn of(kind: Kind) -> Self {
        let (group, version) = match kind {
            Kind::Neo4jEnterpriseCluster | Kind::Neo4jDatabase | Kind::Neo4jBackup => ("neo4j.neo4j.com", "v1beta1"),
            Kind::StatefulSet => ("apps", "v1"),
            Kind::PodDisruptionBudget => ("policy", "v1"),
            Kind::Job | Kind::CronJob => ("batch", "v1"),
            Kind::Service
            | Kind::ConfigMap
            | Kind::Secret
            | Kind::ServiceAccount
            | Kind::PersistentVolumeClaim
            | Kind::Pod
            | Kind::Event => ("", "v1"),
        };
        Self { kind, group, version }
    }

    /// `v1` or `group/version`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Path of the collection in a namespace.
    pub fn collection(&self, namespace: &str) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        format!(
            "{root}/{}/namespaces/{namespace}/{}",
            self.api_version(),
            self.kind.plural()
        )
    }
}

/// What makes an existing object of that name ours. Never its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Its controller owner has this uid.
    Owner(String),
    /// It has no owner and carries these labels: for the few objects that outlive their resource.
    Labels(BTreeMap<String, String>),
}

/// An object as we want it.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Its kind.
    pub resource: Resource,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What makes an existing object ours.
    pub claim: Claim,
    /// The hash, also in the annotation [`APPLIED_HASH`] of the body.
    pub hash: String,
    /// The whole body.
    pub body: Value,
}

impl Manifest {
    /// Completes a rendered body with apiVersion, kind, namespace, name, controller owner and hash. Without
    /// an owner the object outlives its resource, and its labels are what makes it ours.
    pub fn new(
        kind: Kind,
        namespace: &str,
        name: &str,
        owner: Option<&OwnerReference>,
        body: &impl Serialize,
    ) -> Result<Self, serde_json::Error> {
        let resource = Resource::of(kind);
        let mut object = match serde_json::to_value(body)? {
            Value::Object(object) => object,
            _ => Map::new(),
        };
        object.insert("apiVersion".into(), resource.api_version().into());
        object.insert("kind".into(), kind.kind().into());
        set(&mut object, &["metadata", "namespace"], namespace.into());
        set(&mut object, &["metadata", "name"], name.into());
        let claim = if let Some(owner) = owner {
            set(&mut object, &["metadata", "ownerReferences"], json!([owner]));
            Claim::Owner(owner.uid.clone())
        } else {
            let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
            Claim::Labels(
                labels
                    .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
                    .collect(),
            )
        };
        let hash = hash(&Value::Object(object.clone()));
        set(
            &mut object,
            &["metadata", "annotations", APPLIED_HASH],
            hash.clone().into(),
        );
        Ok(Self {
            resource,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            claim,
            hash,
            body: Value::Object(object),
        })
    }

    /// `kind namespace/name` for messages.
    pub fn label(&self) -> String {
        format!("{} {}/{}", self.resource.kind.kind(), self.namespace, self.name)
    }
}

/// Sets a value under a path; objects on the way are made where they are missing.
fn set(object: &mut Map<String, Value>, path: &[&str], value: Value) {
    match path {
        [] => {}
        [last] => {
            object.insert((*last).to_owned(), value);
        }
        [first, rest @ ..] => {
            let inner = object.entry(*first).or_insert_with(|| Value::Object(Map::new()));
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            if let Value::Object(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}

/// Hash of a value that does not depend on the order of keys.
pub fn hash(value: &Value) -> String {
    let mut digest = Sha256::new();
    feed(value, &mut digest);
    hex(&digest.finalize()[..10])
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Feeds a value so that no two different values give the same bytes.
fn feed(value: &Value, digest: &mut Sha256) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.iter().collect();
            keys.sort_unstable_by_key(|(key, _)| *key);
            digest.update([b'{']);
            digest.update(keys.len().to_le_bytes());
            for (key, value) in keys {
                digest.update(key.len().to_le_bytes());
                digest.update(key);
                feed(value, digest);
            }
        }
        Value::Array(items) => {
            digest.update([b'[']);
            digest.update(items.len().to_le_bytes());
            for item in items {
                feed(item, digest);
            }
        }
        scalar => {
            let text = scalar.to_string();
            digest.update([b's']);
            digest.update(text.len().to_le_bytes());
            digest.update(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_does_not_depend_on_the_order_of_keys_but_on_every_value() {
        let one = json!({"a": 1, "b": ["x", {"c": null}]});
        let same = json!({"b": ["x", {"c": null}], "a": 1});
        let other = json!({"b": ["x", {"c": ""}], "a": 1});
        assert_eq!(hash(&one), hash(&same));
        assert_ne!(hash(&one), hash(&other));
    }

    #[test]
    fn a_manifest_names_its_kind_and_carries_its_hash() {
        let body = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"x": 1}});
        let manifest = Manifest::new(Kind::PodDisruptionBudget, "n", "c-pdb", None, &body).unwrap();
        assert_eq!(manifest.body["apiVersion"], "policy/v1");
        assert_eq!(
            manifest.body["metadata"]["annotations"][APPLIED_HASH],
            manifest.hash.as_str()
        );
        assert_eq!(
            manifest.resource.collection("n"),
            "/apis/policy/v1/namespaces/n/poddisruptionbudgets"
        );
        let moved = Manifest::new(Kind::PodDisruptionBudget, "m", "c-pdb", None, &body).unwrap();
        assert_ne!(manifest.hash, moved.hash);
    }
}
