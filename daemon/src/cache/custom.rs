//! Custom resources as they are kept: the decoded object, or why it cannot be decoded.
//!
//! An object that somebody stored under an older schema may not decode (K22, K84). It must not stop the
//! watch of its kind, and its owner has to be told: so the error is a value, beside metadata and raw spec.

use std::sync::Arc;

use neo4j_operator_crds::{Neo4jBackup, Neo4jDatabase, Neo4jEnterpriseCluster};
use neo4j_operator_shared::Kind;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

use super::{meta::Meta, views::View};

/// A custom resource type of the operator.
pub trait CustomKind: DeserializeOwned + Clone + Send + Sync + 'static {
    /// Its kind.
    const KIND: Kind;
}

impl CustomKind for Neo4jEnterpriseCluster {
    const KIND: Kind = Kind::Neo4jEnterpriseCluster;
}

impl CustomKind for Neo4jDatabase {
    const KIND: Kind = Kind::Neo4jDatabase;
}

impl CustomKind for Neo4jBackup {
    const KIND: Kind = Kind::Neo4jBackup;
}

/// A custom resource.
#[derive(Clone, Debug)]
pub struct Custom<K> {
    /// Metadata.
    pub meta: Meta,
    /// The spec as it is stored.
    pub spec: Arc<Value>,
    /// `status.phase`, which tells others that refer to it whether to look again.
    pub phase: Option<Box<str>>,
    /// The decoded object, or what is wrong with it.
    pub object: Result<Arc<K>, String>,
    bytes: usize,
}

impl<'de, K: CustomKind> Deserialize<'de> for Custom<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut raw = Value::deserialize(deserializer)?;
        let meta = Meta::deserialize(&raw["metadata"]).map_err(serde::de::Error::custom)?;
        if let Some(metadata) = raw["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        let spec = Arc::new(raw["spec"].clone());
        let phase = raw["status"]["phase"].as_str().map(Box::from);
        let status = heap(&raw["status"]);
        let object = K::deserialize(raw).map(Arc::new).map_err(|error| error.to_string());
        // The decoded object holds what the raw one holds, in fields instead of maps.
        let bytes = meta.bytes() + size_of::<K>() + 2 * heap(&spec) + status;
        Ok(Self {
            meta,
            spec,
            phase,
            object,
            bytes,
        })
    }
}

/// Bytes on the heap of a JSON value.
fn heap(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| size_of::<Value>() + heap(item)).sum(),
        Value::Object(map) => map
            .iter()
            // Slot of the index map with its hash, and the key's own text.
            .map(|(key, value)| size_of::<(usize, String, Value)>() + 8 + key.len() + heap(value))
            .sum(),
        _ => 0,
    }
}

impl<K: CustomKind> View for Custom<K> {
    const KIND: Kind = K::KIND;
    fn meta(&self) -> &Meta {
        &self.meta
    }
    fn bytes(&self) -> usize {
        self.bytes
    }
    /// What its own reconciler has to look at (K18). A status that we wrote ourselves is nothing new, while
    /// finalizers, labels, annotations and the deletion time do not move the generation.
    fn differs(&self, before: &Self) -> bool {
        let (now, then) = (&self.meta, &before.meta);
        now.uid() != then.uid()
            || now.generation() != then.generation()
            || now.deleting() != then.deleting()
            || now.finalizers() != then.finalizers()
            || now.labels() != then.labels()
            || now.annotations() != then.annotations()
    }
    /// What others that refer to it look at: its spec, whether it is going, and its phase.
    fn differs_for_others(&self, before: &Self) -> bool {
        let (now, then) = (&self.meta, &before.meta);
        now.uid() != then.uid()
            || now.generation() != then.generation()
            || now.deleting() != then.deleting()
            || self.phase != before.phase
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Clone, Debug, Deserialize)]
    struct Sample {
        spec: SampleSpec,
    }
    #[derive(Clone, Debug, Deserialize)]
    struct SampleSpec {
        size: u32,
    }
    impl CustomKind for Sample {
        const KIND: Kind = Kind::Neo4jDatabase;
    }

    fn sample(spec: &Value) -> Custom<Sample> {
        let text = json!({"metadata": {"name": "d", "generation": 1}, "spec": spec, "status": {"phase": "Ready"}});
        serde_json::from_str(&text.to_string()).unwrap()
    }

    #[test]
    fn an_object_that_does_not_decode_keeps_its_metadata_and_the_reason() {
        assert_eq!(sample(&json!({"size": 3})).object.unwrap().spec.size, 3);
        let broken = sample(&json!({"size": "many"}));
        assert_eq!(broken.meta.name(), "d");
        assert_eq!(broken.spec["size"], "many");
        assert!(broken.object.unwrap_err().contains("many"));
    }

    #[test]
    fn a_change_of_status_alone_is_no_reason_to_look_again() {
        let state = |version: &str, finalizers: &[&str], phase: &str| -> Custom<Sample> {
            let metadata = json!({"name": "d", "generation": 1, "resourceVersion": version, "finalizers": finalizers});
            let text = json!({"metadata": metadata, "spec": {"size": 3}, "status": {"phase": phase}});
            serde_json::from_str(&text.to_string()).unwrap()
        };
        let before = state("8", &[], "Ready");
        assert!(!state("9", &[], "Degraded").differs(&before));
        assert!(state("9", &["f"], "Degraded").differs(&before));
    }
}
