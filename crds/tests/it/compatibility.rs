//! Old and foreign objects stay readable.

use neo4j_operator_crds::{
    Neo4jBackup, Neo4jDatabase, Neo4jEnterpriseCluster,
    cluster::{status::ClusterPhase, storage::PullPolicy, validate},
};
use serde_json::{Value, json};

use crate::world::{backup, cluster, database};

#[test]
fn a_field_of_a_status_that_has_another_shape_is_dropped_alone() {
    let mut object = cluster(json!({}));
    object["status"] = json!({
        "phase": "Ready",
        "replicas": "three",
        "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "R", "message": ""},
            {"type": "Old", "status": "True", "lastTransitionTime": "yesterday"}
        ],
        "observedGeneration": "7",
        "fieldOfAnother": {"a": 1},
        "diagnostics": {"servers": [{"name": "s", "hostingDatabases": 2}], "users": {}}
    });
    let read: Neo4jEnterpriseCluster = serde_json::from_value(object).unwrap();
    let status = read.status.unwrap();
    assert_eq!(status.phase, Some(ClusterPhase::Ready));
    assert_eq!(status.replicas, None);
    assert_eq!(status.observed_generation, None);
    assert_eq!(status.conditions.len(), 1);
    assert_eq!(status.conditions[0].type_, "Ready");
    let diagnostics = status.diagnostics.unwrap();
    assert_eq!(diagnostics.servers[0].hosting_databases, Some(2));
    assert!(diagnostics.users.is_empty());
}

#[test]
fn a_null_in_a_spec_is_an_absent_field() {
    let read: Neo4jEnterpriseCluster = serde_json::from_value({
        let mut object = cluster(json!({}));
        object["spec"]["env"] = Value::Null;
        object["spec"]["config"] = Value::Null;
        object["spec"]["tls"] = Value::Null;
        object["spec"]["storage"]["className"] = Value::Null;
        object
    })
    .unwrap();
    assert!(read.spec.env.is_empty() && read.spec.config.is_empty() && read.spec.tls.is_none());
}

#[test]
fn a_word_of_an_older_schema_is_read_and_reported_by_its_field() {
    let object = cluster(json!({"image": {"pullPolicy": "Sometimes"}}));
    let read: Neo4jEnterpriseCluster = serde_json::from_value(object).unwrap();
    assert_eq!(
        read.spec.image.pull_policy,
        Some(PullPolicy::Unknown("Sometimes".to_owned()))
    );
    let problems = validate(&read);
    assert_eq!(problems.len(), 1);
    assert_eq!(
        problems[0].to_string(),
        "spec.image.pullPolicy: must be one of Always, IfNotPresent, Never"
    );
}

#[test]
fn an_empty_status_declares_nothing() {
    assert_eq!(
        json!(neo4j_operator_crds::Neo4jEnterpriseClusterStatus::default()),
        json!({})
    );
    assert_eq!(json!(neo4j_operator_crds::Neo4jDatabaseStatus::default()), json!({}));
    assert_eq!(json!(neo4j_operator_crds::Neo4jBackupStatus::default()), json!({}));
}

#[test]
fn specs_read_and_write_back_unchanged() {
    fn round_trip<K: serde::Serialize + serde::de::DeserializeOwned>(object: Value) {
        let read: K = serde_json::from_value(object.clone()).unwrap();
        assert_eq!(json!(read)["spec"], object["spec"]);
    }
    round_trip::<Neo4jEnterpriseCluster>(cluster(json!({
        "mcp": {"enabled": false, "any": [1, null]},
        "propertySharding": {"enabled": false},
        "tls": {"mode": "disabled", "strictPeerValidation": false},
        "resources": {"limits": {"cpu": "2"}}
    })));
    round_trip::<Neo4jDatabase>(database(
        json!({"wait": false, "ifNotExists": false, "access": "readOnly"}),
    ));
    round_trip::<Neo4jBackup>(backup(json!({"suspend": false, "options": {"compress": false}})));
}
