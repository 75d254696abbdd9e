//! Every example is what it says it is.

use std::{collections::BTreeSet, path::Path};

use neo4j_operator_crds::{
    Neo4jBackup, Neo4jDatabase, Neo4jEnterpriseCluster, Problem, backup, classes, cluster, database,
    examples::{EndState, accepted, refused},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::admission::refusals;

const KINDS: [&str; 3] = ["Neo4jEnterpriseCluster", "Neo4jDatabase", "Neo4jBackup"];

fn examples() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// What the operator itself finds wrong with an object.
fn problems(object: &Value) -> Vec<Problem> {
    fn of<K: DeserializeOwned>(object: &Value, validate: fn(&K) -> Vec<Problem>) -> Vec<Problem> {
        validate(&serde_json::from_value(object.clone()).unwrap())
    }
    match object["kind"].as_str().unwrap() {
        "Neo4jEnterpriseCluster" => of::<Neo4jEnterpriseCluster>(object, cluster::validate),
        "Neo4jDatabase" => of::<Neo4jDatabase>(object, database::validate),
        "Neo4jBackup" => of::<Neo4jBackup>(object, backup::validate),
        other => panic!("{other}"),
    }
}

fn ours(objects: &[Value]) -> impl Iterator<Item = &Value> {
    objects
        .iter()
        .filter(|object| KINDS.contains(&object["kind"].as_str().unwrap_or_default()))
}

#[test]
fn there_are_examples_of_every_kind_and_all_are_valid() {
    let examples = accepted(&examples()).unwrap();
    assert!(examples.len() >= 10);
    for kind in KINDS {
        assert!(
            examples.iter().any(|example| example.kind == kind),
            "no example of {kind}"
        );
    }
    for example in &examples {
        for object in ours(&example.objects) {
            assert_eq!(refusals(object, None), Vec::<String>::new(), "{}", example.file);
            assert_eq!(problems(object), Vec::new(), "{}", example.file);
        }
    }
}

#[test]
fn an_example_fails_as_unsupported_exactly_when_it_asks_for_what_is_refused() {
    for example in accepted(&examples()).unwrap() {
        let object = ours(&example.objects)
            .find(|object| object["kind"] == example.kind.as_str())
            .unwrap();
        let classes = classes::ALL
            .into_iter()
            .find(|classes| classes.kind == example.kind)
            .unwrap();
        let unsupported = classes.unsupported(&object["spec"]);
        let said =
            matches!(&example.end, EndState::Phase { reason: Some(reason), .. } if reason == "UnsupportedFeature");
        assert_eq!(!unsupported.is_empty(), said, "{}: {unsupported:?}", example.file);
        let ignored = classes.ignored(&object["spec"]);
        let expected: &[&str] = if example.file == "autoscaling.yaml" {
            &["spec.autoScaling"]
        } else {
            &[]
        };
        assert_eq!(ignored, expected, "{}", example.file);
    }
}

#[test]
fn examples_share_no_object_and_bring_or_name_what_they_refer_to() {
    let examples = accepted(&examples()).unwrap();
    let mut seen = BTreeSet::new();
    for example in &examples {
        let needed = example
            .needs
            .iter()
            .flat_map(|needs| &examples.iter().find(|e| e.file == *needs).unwrap().objects);
        let at_hand: Vec<_> = example.objects.iter().chain(needed).collect();
        let has = |kind: &str, name: &str| {
            at_hand
                .iter()
                .any(|o| o["kind"] == kind && o["metadata"]["name"] == name)
        };
        for object in &example.objects {
            let identity = format!("{}/{}", object["kind"], object["metadata"]["name"]);
            assert!(
                object["metadata"]["namespace"].is_null(),
                "{}: {identity} has a namespace",
                example.file
            );
            assert!(
                seen.insert(identity.clone()),
                "{}: {identity} is in another example too",
                example.file
            );
        }
        for object in ours(&example.objects) {
            let spec = &object["spec"];
            for cluster in [&spec["clusterRef"], &spec["instanceRef"]]
                .into_iter()
                .filter_map(Value::as_str)
            {
                assert!(
                    has("Neo4jEnterpriseCluster", cluster),
                    "{}: needs the cluster {cluster}",
                    example.file
                );
            }
            let secrets = [
                &spec["auth"]["adminSecret"],
                &spec["tls"]["certificateSecret"],
                &spec["seedCredentials"]["secretRef"],
                &spec["storage"]["cloud"]["credentialsSecretRef"],
            ];
            for secret in secrets.into_iter().filter_map(Value::as_str) {
                assert!(has("Secret", secret), "{}: needs the Secret {secret}", example.file);
            }
            if object["kind"] == KINDS[0] && spec["auth"]["adminSecret"].is_null() {
                assert!(
                    has("Secret", "neo4j-admin-secret"),
                    "{}: needs the Secret of the default name",
                    example.file
                );
            }
        }
    }
}

#[test]
fn every_refused_example_is_refused_by_the_field_that_it_names() {
    let refused = refused(&examples().join("invalid")).unwrap();
    assert!(refused.len() >= 10);
    for example in refused {
        let causes = refusals(&example.object, None);
        assert!(
            causes.iter().any(|cause| cause.contains(&example.field)),
            "{}: {causes:?}",
            example.file
        );
        // One rule, so that the example teaches one thing.
        assert_eq!(causes.len(), 1, "{}: {causes:?}", example.file);
    }
}
