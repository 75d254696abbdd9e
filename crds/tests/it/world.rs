//! The smallest valid object of each kind, changed by merge patches.

use serde_json::{Value, json};

/// A three-server cluster with a patch merged into its spec.
pub fn cluster(patch: Value) -> Value {
    object(
        "Neo4jEnterpriseCluster",
        json!({
            "image": {"repo": "neo4j", "tag": "5.26.0-enterprise"},
            "acceptLicenseAgreement": "eval",
            "topology": {"servers": 3},
            "storage": {"size": "10Gi"}
        }),
        patch,
    )
}

/// A cluster with two pools with a patch merged into its spec.
pub fn pools(patch: Value) -> Value {
    let mut spec = cluster(json!({"topology": {"servers": null, "primaries": 3, "secondaries": 1}}));
    json_patch::merge(&mut spec["spec"], &patch);
    spec
}

/// A database with a patch merged into its spec.
pub fn database(patch: Value) -> Value {
    object(
        "Neo4jDatabase",
        json!({"clusterRef": "minimal", "name": "orders"}),
        patch,
    )
}

/// A backup with a patch merged into its spec.
pub fn backup(patch: Value) -> Value {
    let storage = json!({"type": "pvc", "pvc": {"name": "backups"}});
    object(
        "Neo4jBackup",
        json!({"instanceRef": "minimal", "allDatabases": true, "storage": storage}),
        patch,
    )
}

fn object(kind: &str, mut spec: Value, patch: Value) -> Value {
    json_patch::merge(&mut spec, &patch);
    json!({"apiVersion": "neo4j.neo4j.com/v1beta1", "kind": kind, "metadata": {"name": "minimal"}, "spec": spec})
}
