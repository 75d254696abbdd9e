use kube::core::WatchEvent;
use proptest::{collection::vec, prelude::*};
use serde_json::{Map, Number, Value, json};

use super::*;
use crate::cache::{ConfigMapView, PodView, SecretMeta, StatefulSetView};

/// The whole kept object.
fn whole<V: View>(packed: &Packed<V>) -> Value {
    packed.decode(false).unwrap()
}

fn without_managed_fields(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    object
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|float| Number::from_f64(float).map_or(Value::Null, Value::Number)),
        ".{0,24}".prop_map(Value::from),
        "[\\x00-\\x1f\"\\\\/\u{7f}\u{2028}\u{10ffff}]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((".{0,12}", inner), 0..6).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn fields() -> impl Strategy<Value = Map<String, Value>> {
    vec(("[a-z\"\u{e9}]{1,10}", value()), 0..8).prop_map(|fields| {
        fields
            .into_iter()
            // Of these the projection demands a type.
            .filter(|(key, _)| !matches!(key.as_str(), "metadata" | "spec" | "status"))
            .collect()
    })
}

proptest! {
    #[test]
    fn an_object_comes_back_as_it_was_received(fields in fields(), unknown in value(), entry in any::<bool>()) {
        let mut object = fields;
        object.insert("metadata".into(), json!({
            "name": "a", "unknown": unknown, "annotations": {"team.example.com/x": "\u{1F511}\n\""},
            "managedFields": [{"manager": if entry { MANAGER } else { "other" }, "operation": "Update",
                               "fieldsV1": {"f:spec": {".": {}}}}],
        }));
        let object = Value::Object(object);
        let text = object.to_string();
        let packed: Packed<PodView> = serde_json::from_str(&text).unwrap();
        // What the text says, as this process reads it elsewhere.
        let received: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(whole(&packed), without_managed_fields(&received));
        prop_assert_eq!(packed.meta().update_entry(), entry);
        // The same through a decoder that buffers what it reads.
        let event = format!(r#"{{"object":{text},"type":"ADDED"}}"#);
        let WatchEvent::Added(buffered) = serde_json::from_str::<WatchEvent<Packed<PodView>>>(&event).unwrap() else {
            panic!("another event");
        };
        prop_assert_eq!(whole(&buffered), without_managed_fields(&received));
        prop_assert_eq!(buffered.meta(), packed.meta());
    }
}

#[test]
fn numbers_keep_their_value() {
    let text = r#"{"metadata":{"name":"a"},"n":[18446744073709551615,-9223372036854775808,0,-0.0,1.5e300,
        0.1,1e2,123456789012345678901234567890,5e-324]}"#;
    let packed: Packed<PodView> = serde_json::from_str(text).unwrap();
    assert_eq!(whole(&packed), serde_json::from_str::<Value>(text).unwrap());
}

fn stateful_set() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {
            "namespace": "n", "name": "c-server", "uid": "u", "resourceVersion": "9", "generation": 2,
            "labels": {"neo4j.com/cluster": "c"},
            "annotations": {"neo4j.neo4j.com/applied-hash": "abc", "other": "x"},
            "finalizers": ["f"],
            "managedFields": [{"manager": MANAGER, "operation": "Update", "fieldsV1": {}}],
        },
        "spec": {"replicas": 3}, "status": {"readyReplicas": 2},
    })
}

#[test]
fn the_projection_is_the_one_that_is_decoded_from_the_object_itself() {
    let mut object = stateful_set();
    for entry in [true, false] {
        let packed: Packed<StatefulSetView> = serde_json::from_value(object.clone()).unwrap();
        let direct: StatefulSetView = serde_json::from_value(object.clone()).unwrap();
        assert_eq!(direct.metadata.update_entry(), entry);
        assert_eq!(packed.unpack().unwrap(), direct);
        object["metadata"]["managedFields"] = Value::Null;
    }
    // With nothing beside it, the entry has to stand alone.
    let bare = json!({"metadata": {"managedFields": [{"manager": MANAGER, "operation": "Update"}]}});
    let packed: Packed<StatefulSetView> = serde_json::from_value(bare).unwrap();
    assert!(packed.unpack().unwrap().metadata.update_entry());
}

#[test]
fn beside_the_text_only_what_triggers_need_is_kept() {
    let packed: Packed<StatefulSetView> = serde_json::from_value(stateful_set()).unwrap();
    let meta = packed.meta();
    assert!(meta.labels().has("neo4j.com/cluster", "c") && meta.version() == Some(9) && meta.generation() == Some(2));
    assert!(
        meta.annotations().iter().next().is_none() && meta.finalizers().is_empty() && meta.applied_hash().is_none()
    );
}

#[test]
fn an_object_without_metadata_is_refused() {
    assert!(serde_json::from_str::<Packed<PodView>>(r#"{"spec": {}}"#).is_err());
    assert!(serde_json::from_str::<Packed<PodView>>(r#"["metadata"]"#).is_err());
    assert!(serde_json::from_str::<Packed<PodView>>(r#"{"metadata": {"name": "a"}, "spec": {"#).is_err());
    // And leaves nothing behind for the next one.
    let packed: Packed<PodView> = serde_json::from_str(r#"{"metadata": {"name": "a"}}"#).unwrap();
    assert_eq!(whole(&packed), json!({"metadata": {"name": "a"}}));
}

#[test]
fn a_large_object_passes_and_its_buffer_is_given_back() {
    let object = json!({"metadata": {"name": "a"}, "data": {"k": "\u{1}x".repeat(LARGEST_BUFFER)}});
    let packed: Packed<ConfigMapView> = serde_json::from_str(&object.to_string()).unwrap();
    assert!(packed.length() > 7 * LARGEST_BUFFER);
    assert_eq!(whole(&packed), object);
    BENCH.with_borrow(|bench| assert!(bench.text.capacity().max(bench.packed.capacity()) <= LARGEST_BUFFER));
}

#[test]
fn of_a_secret_nothing_but_metadata_is_kept() {
    let object = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {
            "namespace": "n", "name": "s", "resourceVersion": "7", "labels": {"a": "b"},
            "annotations": {"neo4j.neo4j.com/applied-hash": "abc",
                            "kubectl.kubernetes.io/last-applied-configuration": "{\"data\":{\"k\":\"aHVudGVyMg==\"}}"},
            "managedFields": [{"manager": "m", "operation": "Apply", "fieldsV1": {"f:data": {"f:k": {}}}}],
        },
        "data": {"k": "aHVudGVyMg=="}, "stringData": {"k": "hunter2"},
    });
    const { assert!(<Packed<SecretMeta> as View>::METADATA_ONLY && !<Packed<ConfigMapView> as View>::METADATA_ONLY) };
    let packed: Packed<SecretMeta> = serde_json::from_value(object.clone()).unwrap();
    let kept = whole(&packed);
    assert_eq!(
        kept,
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {
                "namespace": "n", "name": "s", "resourceVersion": "7", "labels": {"a": "b"},
                "annotations": {"neo4j.neo4j.com/applied-hash": "abc"},
            },
        })
    );
    assert_eq!(packed.unpack().unwrap(), serde_json::from_value(object).unwrap());
}
