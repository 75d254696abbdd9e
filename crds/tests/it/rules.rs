//! Each rule is said twice, in CEL and in Rust. Here both judge the same objects.

use std::collections::BTreeSet;

use neo4j_operator_crds::{
    Neo4jBackup, Neo4jDatabase, Neo4jEnterpriseCluster, Problem, Version, backup as backups, cluster as clusters,
    database as databases, rules::Rule,
};
use serde_json::{Value, json};

use crate::{
    admission::refusals,
    world::{backup, cluster, database, pools},
};

/// The problems that Rust finds, as `field: message`, apart from those that only the operator checks.
fn rust(object: &Value, old: Option<&Value>) -> BTreeSet<String> {
    fn read<K: serde::de::DeserializeOwned>(object: &Value) -> K {
        serde_json::from_value(object.clone()).unwrap()
    }
    fn judge<K: serde::de::DeserializeOwned>(
        object: &Value,
        old: Option<&Value>,
        validate: fn(&K) -> Vec<Problem>,
        validate_change: fn(&K, &K) -> Vec<Problem>,
    ) -> Vec<Problem> {
        let new = read(object);
        let mut problems = validate(&new);
        problems.extend(old.map_or_else(Vec::new, |old| validate_change(&read(old), &new)));
        problems
    }
    let problems = match object["kind"].as_str().unwrap() {
        "Neo4jEnterpriseCluster" => judge(object, old, clusters::validate, clusters::validate_change),
        "Neo4jDatabase" => judge::<Neo4jDatabase>(object, old, databases::validate, databases::validate_change),
        _ => judge::<Neo4jBackup>(object, old, backups::validate, backups::validate_change),
    };
    problems
        .into_iter()
        .filter(|problem| problem.rule != "R")
        .map(|problem| problem.message)
        .collect()
}

/// The messages of CEL.
fn cel(object: &Value, old: Option<&Value>) -> BTreeSet<String> {
    let message = |cause: String| cause.split_once(": ").unwrap().1.to_owned();
    refusals(object, old).into_iter().map(message).collect()
}

fn scaling(block: Value) -> Value {
    pools(json!({ "autoScaling": block }))
}

/// Objects that break the rule of this number, and no other.
fn broken() -> Vec<(&'static str, Value)> {
    let named = |mut object: Value, length: usize| {
        object["metadata"]["name"] = json!("n".repeat(length));
        object
    };
    let metric = |kind: &str, target: &str| json!({"secondaries": {"metrics": [{"type": kind, "target": target}]}});
    let role = |index: i32, mode: &str| json!({"serverIndex": index, "modeConstraint": mode});
    vec![
        ("V1", cluster(json!({"topology": {"servers": null}}))),
        ("V1", cluster(json!({"topology": {"primaries": 3}}))),
        ("V2", cluster(json!({"topology": {"secondaries": 0}}))),
        ("V3", named(cluster(json!({})), 46)),
        ("V3", named(pools(json!({})), 43)),
        ("V5", cluster(json!({"topology": {"minSystemPrimaries": 4}}))),
        ("V5", pools(json!({"topology": {"minSystemPrimaries": 4}}))),
        ("V6", pools(json!({"topology": {"serverModeConstraint": "PRIMARY"}}))),
        (
            "V6",
            cluster(json!({"topology": {"serverModeConstraint": "SECONDARY"}})),
        ),
        ("V7", pools(json!({"topology": {"serverRoles": [role(0, "PRIMARY")]}}))),
        (
            "V7",
            cluster(json!({"topology": {"serverRoles": [role(3, "PRIMARY")]}})),
        ),
        (
            "V7",
            cluster(
                json!({"topology": {"serverRoles": [role(0, "SECONDARY"), role(1, "SECONDARY"), role(2, "SECONDARY")]}}),
            ),
        ),
        ("V8", cluster(json!({"storage": {"size": "ten"}}))),
        ("V8", cluster(json!({"storage": {"size": "0"}}))),
        ("V10", cluster(json!({"tls": {}}))),
        (
            "V10",
            cluster(json!({"tls": {"mode": "cert-manager", "certificateSecret": ""}})),
        ),
        (
            "V11",
            cluster(json!({"tls": {"certificateSecret": "c", "usages": ["server auth"]}})),
        ),
        ("V21", scaling(metric("cpu", "0"))),
        ("V21", scaling(metric("cpu", "101%"))),
        ("V21", scaling(metric("memory", "half"))),
        ("V21", scaling(metric("query_latency", "100"))),
        ("V21", scaling(metric("query_latency", "0ms"))),
        ("V21", scaling(metric("connection_count", "0"))),
        ("V21", scaling(metric("throughput", "-5"))),
        (
            "V21",
            scaling(
                json!({"primaries": {"metrics": [{"type": "cpu", "target": "70"}, {"type": "memory", "target": "x"}]}}),
            ),
        ),
        ("V23", scaling(json!({"primaries": {"minReplicas": 9}}))),
        ("V23", scaling(json!({"primaries": {"minReplicas": 4}}))),
        (
            "V23",
            scaling(json!({"secondaries": {"minReplicas": 5, "maxReplicas": 4}})),
        ),
        ("V24", cluster(json!({"autoScaling": {"mode": "Auto"}}))),
        ("V24", cluster(json!({"autoScaling": {"secondaries": {}}}))),
        (
            "V24",
            pools(json!({"topology": {"secondaries": null}, "autoScaling": {"mode": "Auto"}})),
        ),
        (
            "V25",
            scaling(json!({"behavior": {"scaleUp": {"stabilizationWindow": "61m"}}})),
        ),
        (
            "V25",
            scaling(json!({"behavior": {"scaleDown": {"stabilizationWindow": "1h1s"}}})),
        ),
        (
            "V25",
            scaling(json!({"behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "period": "10s"}]}}})),
        ),
        (
            "V25",
            scaling(json!({"behavior": {"scaleDown": {"policies": [{"type": "Pods", "value": 1, "period": "31m"}]}}})),
        ),
        (
            "D5",
            database(json!({"seedURI": "s3://b/o.backup", "initialData": {"cypherStatements": ["RETURN 1"]}})),
        ),
        ("B2", backup(json!({"allDatabases": null}))),
        ("B2", backup(json!({"allDatabases": false, "database": ""}))),
        ("B2", backup(json!({"database": "orders"}))),
        ("B3", backup(json!({"storage": {"pvc": null}}))),
        ("B4", backup(json!({"storage": {"type": "s3"}}))),
        ("B5", backup(json!({"chainFromBackup": "minimal"}))),
    ]
}

/// Changes that break the rule of this number, and no other: before and after.
fn broken_changes() -> Vec<(&'static str, Value, Value)> {
    let primaries = |count: i32| pools(json!({"topology": {"primaries": count}}));
    let size = |size: &str| cluster(json!({"storage": {"size": size}}));
    let class = |class: Value| cluster(json!({"storage": {"className": class}}));
    let copies = |count: i32| database(json!({"topology": {"primaries": count}}));
    vec![
        ("V1", cluster(json!({})), pools(json!({}))),
        ("V1", pools(json!({})), cluster(json!({}))),
        ("V4", primaries(1), primaries(3)),
        ("V4", primaries(3), primaries(1)),
        ("V8", size("10Gi"), size("9Gi")),
        ("V8", size("1Gi"), size("1G")),
        ("V9", class(json!("fast")), class(json!("slow"))),
        ("V9", class(json!("fast")), class(json!(null))),
        ("D1", database(json!({})), database(json!({"clusterRef": "other"}))),
        ("D2", database(json!({})), database(json!({"name": "other"}))),
        (
            "D3",
            database(json!({})),
            database(json!({"defaultCypherLanguage": "25"})),
        ),
        (
            "D3",
            database(json!({"defaultCypherLanguage": "5"})),
            database(json!({"defaultCypherLanguage": "25"})),
        ),
        ("D4", copies(3), copies(1)),
        ("B1", backup(json!({})), backup(json!({"instanceRef": "other"}))),
        ("B1", backup(json!({})), backup(json!({"instanceRef": null}))),
    ]
}

/// Objects and changes that both take.
fn taken() -> Vec<(Option<Value>, Value)> {
    let role = |index: i32, mode: &str| json!({"serverIndex": index, "modeConstraint": mode});
    let mut longest = cluster(json!({}));
    longest["metadata"]["name"] = json!("n".repeat(45));
    let metrics = json!([
        {"type": "cpu", "target": "70%"}, {"type": "memory", "target": "100"}, {"type": "query_latency", "target": "1s500ms"},
        {"type": "connection_count", "target": "200"}, {"type": "throughput", "target": "0.5", "weight": "2.5"}
    ]);
    let mode = json!({"serverModeConstraint": "SECONDARY", "serverRoles": [role(0, "PRIMARY")]});
    vec![
        (None, longest),
        (None, cluster(json!({ "topology": mode }))),
        (
            None,
            cluster(json!({"topology": {"servers": 2, "minSystemPrimaries": 1}})),
        ),
        (
            None,
            pools(json!({"topology": {"serverModeConstraint": "NONE", "serverRoles": []}})),
        ),
        (None, cluster(json!({"tls": {"mode": "disabled"}}))),
        (
            None,
            cluster(json!({"tls": {"issuerRef": {"name": "ca"}, "usages": ["client auth", "server auth"]}})),
        ),
        (
            None,
            scaling(
                json!({"mode": "Auto", "primaries": {"minReplicas": 3, "maxReplicas": 5}, "secondaries": {"metrics": metrics},
            "behavior": {"scaleUp": {"stabilizationWindow": "1h", "policies": [{"type": "Percent", "value": 50, "period": "15s"}]}}}),
            ),
        ),
        (None, cluster(json!({"autoScaling": {"mode": "Recommend"}}))),
        (
            Some(pools(json!({"topology": {"primaries": 3}}))),
            pools(json!({"topology": {"primaries": 5, "secondaries": 0}})),
        ),
        (
            Some(cluster(json!({}))),
            cluster(json!({"storage": {"size": "10240Mi", "className": "fast"}, "topology": {"servers": 5}})),
        ),
        (
            Some(database(json!({}))),
            database(json!({"topology": {"primaries": 1, "secondaries": 2}})),
        ),
        (
            Some(database(json!({"topology": {"primaries": 1}}))),
            database(json!({"topology": {"primaries": 3}})),
        ),
        (Some(backup(json!({"instanceRef": null}))), backup(json!({}))),
        (
            None,
            backup(json!({"allDatabases": false, "database": "orders", "chainFromBackup": "other"})),
        ),
    ]
}

#[test]
fn cel_and_rust_refuse_the_same_objects_with_the_same_message() {
    let mut seen = BTreeSet::new();
    let states = broken().into_iter().map(|(id, object)| (id, None, object));
    let changes = broken_changes().into_iter().map(|(id, old, new)| (id, Some(old), new));
    for (id, old, new) in states.chain(changes) {
        let (rust, cel) = (rust(&new, old.as_ref()), cel(&new, old.as_ref()));
        let case = format!(
            "{id}: {} after {}",
            new["spec"],
            old.map_or(Value::Null, |old| old["spec"].clone())
        );
        assert_eq!(rust, cel, "{case}");
        assert_eq!(rust.len(), 1, "{case}");
        seen.insert((id, rust.into_iter().next().unwrap()));
    }
    let rules = all_rules();
    let missing: Vec<_> = rules
        .iter()
        .filter(|(id, message)| !seen.contains(&(*id, (*message).to_owned())))
        .collect();
    assert!(missing.is_empty(), "no case breaks {missing:?}");
}

/// Number and message of every rule of every kind.
fn all_rules() -> Vec<(&'static str, &'static str)> {
    fn list<K>(rules: &'static [Rule<K>]) -> impl Iterator<Item = (&'static str, &'static str)> {
        rules.iter().map(|rule| (rule.id, rule.message))
    }
    list(clusters::rules::RULES)
        .chain(list(databases::rules::RULES))
        .chain(list(backups::rules::RULES))
        .collect()
}

#[test]
fn cel_and_rust_take_the_same_objects() {
    for (old, new) in taken() {
        assert_eq!(cel(&new, old.as_ref()), BTreeSet::new(), "{new}");
        assert_eq!(rust(&new, old.as_ref()), BTreeSet::new(), "{new}");
    }
}

#[test]
fn every_message_names_its_field() {
    fn check<K>(rules: &'static [Rule<K>]) {
        for rule in rules {
            let last = rule.field.rsplit('.').next().unwrap();
            assert!(rule.message.contains(last), "{}: {}", rule.id, rule.message);
        }
    }
    check(clusters::rules::RULES);
    check(databases::rules::RULES);
    check(backups::rules::RULES);
}

#[test]
fn the_types_bound_what_a_single_field_may_be() {
    for (field, object) in [
        ("spec.topology.servers", cluster(json!({"topology": {"servers": 1}}))),
        ("spec.topology.servers", cluster(json!({"topology": {"servers": 101}}))),
        ("spec.topology.primaries", pools(json!({"topology": {"primaries": 13}}))),
        (
            "spec.topology.secondaries",
            pools(json!({"topology": {"secondaries": 21}})),
        ),
        ("spec.image.tag", cluster(json!({"image": {"tag": null}}))),
        ("spec.storage.size", cluster(json!({"storage": {"size": null}}))),
        (
            "spec.storage.retentionPolicy",
            cluster(json!({"storage": {"retentionPolicy": "Keep"}})),
        ),
        (
            "spec.acceptLicenseAgreement",
            cluster(json!({"acceptLicenseAgreement": "no"})),
        ),
        (
            "spec.service.type",
            cluster(json!({"service": {"type": "ExternalName"}})),
        ),
        (
            "spec.upgradeStrategy.upgradeTimeout",
            cluster(json!({"upgradeStrategy": {"upgradeTimeout": "soon"}})),
        ),
        (
            "spec.trustedCASecrets[1]",
            cluster(json!({"trustedCASecrets": [{"name": "a"}, {"name": "a"}]})),
        ),
        ("spec.clusterRef", database(json!({"clusterRef": null}))),
        ("spec.name", database(json!({"name": "n".repeat(64)}))),
        (
            "spec.topology.primaries",
            database(json!({"topology": {"primaries": 0}})),
        ),
        ("spec.state", database(json!({"state": "sleeping"}))),
        ("spec.storage.type", backup(json!({"storage": {"type": "tape"}}))),
        (
            "spec.retention.maxAge",
            backup(json!({"retention": {"maxAge": "a week"}})),
        ),
        (
            "spec.options.backupType",
            backup(json!({"options": {"backupType": "INCREMENTAL"}})),
        ),
    ] {
        let causes = refusals(&object, None);
        assert!(
            causes.iter().any(|cause| cause.starts_with(&format!("{field}: "))),
            "{field}: {causes:?}"
        );
    }
}

#[test]
fn only_the_operator_sees_versions_reserved_settings_and_names() {
    let fields = |problems: Vec<Problem>| problems.into_iter().map(|problem| problem.field).collect::<Vec<_>>();
    for (field, object) in [
        (
            "spec.image.tag",
            cluster(json!({"image": {"tag": "4.4.40-enterprise"}})),
        ),
        ("spec.image.tag", cluster(json!({"image": {"tag": "5.26.0-community"}}))),
        ("spec.image.tag", cluster(json!({"image": {"tag": "enterprise"}}))),
        (
            "spec.config[server.directories.data]",
            cluster(json!({"config": {"server.directories.data": "/tmp"}})),
        ),
        (
            "spec.env[EXTENDED_CONF]",
            cluster(json!({"env": [{"name": "EXTENDED_CONF", "value": "yes"}]})),
        ),
        (
            "spec.extraVolumeMounts[0].mountPath",
            cluster(json!({"extraVolumeMounts": [{"name": "v", "mountPath": "/data/"}]})),
        ),
        (
            "spec.podDisruptionBudget.minAvailable",
            cluster(json!({"podDisruptionBudget": {"minAvailable": 3}})),
        ),
        (
            "spec.podDisruptionBudget.minAvailable",
            cluster(json!({"podDisruptionBudget": {"minAvailable": "100%"}})),
        ),
    ] {
        let read: Neo4jEnterpriseCluster = serde_json::from_value(object.clone()).unwrap();
        assert_eq!(fields(clusters::validate(&read)), [field], "{object}");
        assert!(refusals(&object, None).is_empty(), "{object}");
    }
    for name in [
        "ab",
        "system-copy",
        "System",
        "orders.",
        "orders-",
        "bestellungen ü",
        "-orders",
        "a`b",
    ] {
        let read: Neo4jDatabase = serde_json::from_value(database(json!({ "name": name }))).unwrap();
        assert_eq!(fields(databases::validate(&read)), ["spec.name"], "{name}");
    }
    for name in ["orders", "Orders-2024.eu_1", "neo4j", "1st"] {
        let read: Neo4jDatabase = serde_json::from_value(database(json!({ "name": name }))).unwrap();
        assert!(databases::validate(&read).is_empty(), "{name}");
    }
    let digit: Neo4jDatabase = serde_json::from_value(database(json!({"name": "1st"}))).unwrap();
    assert_eq!(
        fields(databases::validate_on(&digit, Version::new(5, 26, 0))),
        ["spec.name"]
    );
    assert!(databases::validate_on(&digit, Version::new(2025, 1, 0)).is_empty());
    let seeded: Neo4jDatabase = serde_json::from_value(database(json!({"options": {"seedURI": "s3://b"}}))).unwrap();
    assert_eq!(fields(databases::validate(&seeded)), ["spec.options[seedURI]"]);
}

#[test]
fn only_the_operator_sees_paths_arguments_and_options_of_later_versions() {
    let fields = |object: Value| {
        let read: Neo4jBackup = serde_json::from_value(object).unwrap();
        let fields = |problems: Vec<Problem>| problems.into_iter().map(|problem| problem.field).collect::<Vec<_>>();
        (
            fields(backups::validate(&read)),
            fields(backups::validate_on(&read, Version::new(5, 26, 3))),
        )
    };
    assert_eq!(fields(backup(json!({"instanceRef": null}))).0, ["spec.instanceRef"]);
    assert_eq!(
        fields(backup(json!({"storage": {"path": "a/../b"}}))).0,
        ["spec.storage.path"]
    );
    assert_eq!(
        fields(backup(json!({"storage": {"path": "-rf"}}))).0,
        ["spec.storage.path"]
    );
    assert!(fields(backup(json!({"storage": {"path": "a..b/c"}}))).0.is_empty());
    let arguments = json!({"options": {"additionalArgs": ["--verbose", "--to-path=/elsewhere"]}});
    assert_eq!(fields(backup(arguments)).0, ["spec.options.additionalArgs[1]"]);
    let later = json!({"options": {"skipRecovery": true, "preferDiffAsParent": true, "parallelDownload": false}});
    assert_eq!(
        fields(backup(later)).1,
        ["spec.options.preferDiffAsParent", "spec.options.skipRecovery"]
    );
}
