//! The examples and the rules of the custom resources, judged by the embedded API server's own schemas.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

use std::{
    path::{Path, PathBuf},
    sync::LazyLock,
};

use neo4j_devcluster::apiserver::schema::Structural;
use neo4j_operator_crds::{
    definition::{manifests, schema},
    examples::{accepted, refused},
};
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/examples")
}

/// Kinds and their compiled schemas.
static SCHEMAS: LazyLock<Vec<(Value, Structural)>> = LazyLock::new(|| {
    let compile = |definition: Value| {
        let compiled = Structural::compile(schema(&definition)).expect("our schemas are structural");
        (definition["spec"]["names"]["kind"].clone(), compiled)
    };
    manifests().into_iter().map(compile).collect()
});

/// The compiled schema of an object's kind; `None` when the kind is not ours.
fn schema_of(object: &Value) -> Option<&'static Structural> {
    SCHEMAS
        .iter()
        .find(|(kind, _)| object["kind"] == *kind)
        .map(|(_, compiled)| compiled)
}

/// What a strict request with this object would be refused for.
fn refusals(object: &Value, old: Option<&Value>) -> Vec<String> {
    let Some(schema) = schema_of(object) else {
        return Vec::new();
    };
    let with_defaults = |object: &Value| {
        let mut object = object.clone();
        schema.apply_defaults(&mut object);
        object
    };
    let unknown = schema
        .unknown_fields(object)
        .into_iter()
        .map(|field| format!("{field}: unknown field"));
    let errors = schema.validate(&with_defaults(object), old.map(with_defaults).as_ref());
    unknown
        .chain(
            errors
                .into_iter()
                .map(|error| format!("{}: {}", error.field, error.message)),
        )
        .collect()
}

#[test]
fn the_embedded_server_finds_nothing_wrong_with_the_schemas() {
    for definition in manifests() {
        assert_eq!(
            Structural::problems(schema(&definition)),
            Vec::new(),
            "{}",
            definition["metadata"]["name"]
        );
    }
}

#[test]
fn the_embedded_server_takes_every_example() {
    for example in accepted(&folder()).unwrap() {
        for object in &example.objects {
            assert_eq!(refusals(object, None), Vec::<String>::new(), "{}", example.file);
        }
    }
}

#[test]
fn the_embedded_server_refuses_every_invalid_example_by_its_field() {
    for example in refused(&folder().join("invalid")).unwrap() {
        let causes = refusals(&example.object, None);
        assert!(
            causes.iter().any(|cause| cause.contains(&example.field)),
            "{}: {causes:?}",
            example.file
        );
    }
}

#[test]
fn a_field_that_is_none_is_named_and_pruned() {
    let example = accepted(&folder())
        .unwrap()
        .into_iter()
        .find(|example| example.file == "minimal.yaml")
        .unwrap();
    let mut object = example
        .objects
        .into_iter()
        .find(|object| object["kind"] == "Neo4jEnterpriseCluster")
        .unwrap();
    object["spec"]["topology"]["serverz"] = json!(3);
    object["spec"]["mcp"] = json!({"anything": {"goes": [1, "two"]}});
    let schema = schema_of(&object).unwrap();
    assert_eq!(schema.unknown_fields(&object), ["spec.topology.serverz"]);
    schema.prune(&mut object);
    assert_eq!(object["spec"]["topology"], json!({"servers": 3}));
    assert_eq!(object["spec"]["mcp"], json!({"anything": {"goes": [1, "two"]}}));
}

#[test]
fn a_null_and_an_absent_field_are_the_same_and_defaults_are_filled_in() {
    let example = accepted(&folder())
        .unwrap()
        .into_iter()
        .find(|example| example.file == "database.yaml")
        .unwrap();
    let mut object = example.objects.into_iter().next().unwrap();
    object["spec"]["deletionPolicy"] = Value::Null;
    object["spec"]["wait"] = Value::Null;
    object["spec"]["state"] = Value::Null;
    schema_of(&object).unwrap().apply_defaults(&mut object);
    assert_eq!(object["spec"]["deletionPolicy"], "Delete");
    assert_eq!(object["spec"]["wait"], true);
    assert!(object["spec"].get("state").is_none());
}
