use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn statefulset(pod: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "l"}, "spec": {"template": {"spec": pod}}})
}

fn merge_pod(live: Value, patch: Value) -> Result<Value> {
    let merged = merge(
        "apps/v1",
        "StatefulSet",
        &statefulset(live),
        &json!({"spec": {"template": {"spec": patch}}}),
    )?;
    Ok(merged["spec"]["template"]["spec"].clone())
}

#[test]
fn the_recorded_patch_gives_the_recorded_object() {
    let lines: Vec<Value> = include_str!("../../../transcripts/kube-apiserver-1.36.3.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let line = |n: u64| lines.iter().find(|line| line["n"] == n).unwrap();
    let merged = merge("apps/v1", "StatefulSet", &line(120)["response"], &line(121)["body"]).unwrap();
    assert_eq!(merged["spec"], line(121)["response"]["spec"]);
}

#[test]
fn lists_merge_by_their_keys_and_new_items_go_first() {
    let live = json!({"containers": [
        {"name": "c", "image": "x", "ports": [{"containerPort": 1, "name": "a"}], "args": ["1", "2"],
         "volumeMounts": [{"mountPath": "/data", "name": "d"}]},
        {"name": "side", "image": "y"}], "tolerations": [{"key": "k"}], "volumes": [{"name": "d", "emptyDir": {}}]});
    let patch = json!({"containers": [
        {"name": "new", "image": "z"},
        {"name": "c", "args": ["3"], "ports": [{"containerPort": 1, "name": "b"}, {"containerPort": 2}],
         "volumeMounts": [{"mountPath": "/logs", "name": "l"}]}],
        "tolerations": [{"key": "other"}]});
    let expected = json!({"containers": [
        {"name": "new", "image": "z"},
        {"name": "c", "image": "x", "ports": [{"containerPort": 1, "name": "b"}, {"containerPort": 2}], "args": ["3"],
         "volumeMounts": [{"mountPath": "/logs", "name": "l"}, {"mountPath": "/data", "name": "d"}]},
        {"name": "side", "image": "y"}], "tolerations": [{"key": "other"}], "volumes": [{"name": "d", "emptyDir": {}}]});
    assert_eq!(merge_pod(live, patch).unwrap(), expected);
}

#[test]
fn directives_delete_replace_retain_and_order() {
    let live = || {
        json!({"containers": [{"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]}, {"name": "b"}],
            "nodeSelector": {"x": "1"}, "securityContext": {"fsGroup": 1, "runAsUser": 2},
            "volumes": [{"name": "v", "emptyDir": {}}]})
    };
    let cases = [
        (
            json!({"containers": [{"name": "b", "$patch": "delete"}]}),
            "/containers",
            json!([live()["containers"][0]]),
        ),
        (
            json!({"containers": [{"$patch": "replace"}, {"name": "z"}]}),
            "/containers",
            json!([{"name": "z"}]),
        ),
        (
            json!({"nodeSelector": {"$patch": "replace", "y": "2"}}),
            "/nodeSelector",
            json!({"y": "2"}),
        ),
        (
            json!({"nodeSelector": {"$patch": "delete"}}),
            "/nodeSelector",
            json!({}),
        ),
        (
            json!({"securityContext": {"fsGroup": null}}),
            "/securityContext",
            json!({"runAsUser": 2}),
        ),
        (
            json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}),
            "/containers/0/name",
            json!("b"),
        ),
        (
            json!({"volumes": [{"name": "v", "$retainKeys": ["name", "secret"], "secret": {"secretName": "s"}}]}),
            "/volumes",
            json!([{"name": "v", "secret": {"secretName": "s"}}]),
        ),
        (
            json!({"containers": [{"name": "a", "$setElementOrder/env": [{"name": "Y"}, {"name": "N"}, {"name": "X"}],
            "env": [{"name": "N", "value": "3"}]}]}),
            "/containers/0/env",
            json!([{"name": "Y", "value": "2"}, {"name": "N", "value": "3"}, {"name": "X", "value": "1"}]),
        ),
    ];
    for (patch, pointer, expected) in cases {
        let merged = merge_pod(live(), patch.clone()).unwrap();
        assert_eq!(merged.pointer(pointer), Some(&expected), "{patch}");
    }
    let live = json!({"metadata": {"finalizers": ["a", "b"], "labels": {"l": "1"},
        "ownerReferences": [{"uid": "1", "name": "x"}]}});
    let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"], "labels": {"m": "2"},
        "ownerReferences": [{"uid": "1", "controller": true}]}});
    let expected = json!({"metadata": {"finalizers": ["c", "b"], "labels": {"l": "1", "m": "2"},
        "ownerReferences": [{"uid": "1", "name": "x", "controller": true}]}});
    let merged = merge("v1", "Pod", &live, &patch).unwrap();
    let sorted = |value: &Value| {
        let mut list: Vec<String> = value["metadata"]["finalizers"]
            .as_array()
            .unwrap()
            .iter()
            .map(Value::to_string)
            .collect();
        list.sort();
        list
    };
    assert_eq!(sorted(&merged), sorted(&expected));
    assert_eq!(
        merged["metadata"]["ownerReferences"],
        expected["metadata"]["ownerReferences"]
    );
    assert_eq!(merged["metadata"]["labels"], expected["metadata"]["labels"]);
}

#[test]
fn a_selector_of_a_disruption_budget_is_replaced_whole() {
    let live = json!({"spec": {"selector": {"matchLabels": {"a": "1"}}}});
    let merged = merge(
        "policy/v1",
        "PodDisruptionBudget",
        &live,
        &json!({"spec": {"selector": {"matchLabels": {"b": "2"}}}}),
    );
    assert_eq!(merged.unwrap()["spec"]["selector"], json!({"matchLabels": {"b": "2"}}));
}

#[test]
fn bad_directives_are_refused_with_what_is_wrong() {
    let live = json!({"containers": [{"name": "a"}]});
    let cases = [
        (
            json!({"containers": [{"image": "x"}]}),
            "map: map[image:x] does not contain declared merge key: name",
        ),
        (
            json!({"containers": [{"name": "a", "$patch": "drop"}]}),
            "unknown patch type: drop in map: map[$patch:drop name:a]",
        ),
        (
            json!({"containers": [{"$patch": "merge"}]}),
            "merging lists cannot yet be specified in the patch",
        ),
        (
            json!({"$setElementOrder/containers": "a"}),
            "invalid patch format of setElementOrder list",
        ),
        (
            json!({"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "a"}]}),
            "The order in patch list:\n[map[name:a]]\n doesn't match $setElementOrder list:\n[map[name:b]]\n",
        ),
        (
            json!({"$deleteFromPrimitiveList": ["x"]}),
            "invalid patch format of primitive list",
        ),
        (
            json!({"$retainKeys": ["x"], "containers": []}),
            "invalid patch format of retainKeys",
        ),
        (
            json!({"containers": [["a"]]}),
            "list element types are not identical: map, list",
        ),
        (json!({"$patch": 1}), "unknown patch type: 1 in map: map[]"),
    ];
    for (patch, expected) in cases {
        let error = merge_pod(live.clone(), patch.clone()).unwrap_err();
        assert_eq!(error, StrategicError::BadPatch(expected.into()), "{patch}");
    }
    let error = merge("example.com/v1", "Widget", &json!({}), &json!({})).unwrap_err();
    assert_eq!(error, StrategicError::Unsupported("Widget".into()));
}

fn any_patch() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i8>().prop_map(Value::from),
        prop_oneof![Just("a"), Just("b"), Just("delete"), Just("replace")].prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("spec"),
        Just("template"),
        Just("containers"),
        Just("name"),
        Just("env"),
        Just("ports"),
        Just("containerPort"),
        Just("volumes"),
        Just("metadata"),
        Just("finalizers"),
        Just("labels"),
        Just("$patch"),
        Just("$retainKeys"),
        Just("$setElementOrder/containers"),
        Just("$deleteFromPrimitiveList/finalizers"),
        Just("$setElementOrder"),
    ]
    .prop_map(str::to_owned);
    leaf.prop_recursive(6, 48, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::vec((key.clone(), inner), 0..5)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// A patch without directives and nulls, well typed.
fn plain_patch() -> impl Strategy<Value = Value> {
    let env = proptest::collection::btree_map("[A-D]", "[0-9]", 0..4).prop_map(|map| {
        map.into_iter()
            .map(|(k, v)| json!({"name": k, "value": v}))
            .collect::<Vec<_>>()
    });
    let containers = proptest::collection::btree_map("[a-d]", (env, proptest::collection::vec("[x-z]", 0..3)), 0..4)
        .prop_map(|map| {
            map.into_iter()
                .map(|(name, (env, args))| json!({"name": name, "env": env, "args": args}))
                .collect::<Vec<_>>()
        });
    (containers, proptest::collection::btree_map("[a-c]", "[0-9]", 0..3))
        .prop_map(|(containers, labels)| json!({"metadata": {"labels": labels}, "spec": {"containers": containers}}))
}

proptest! {
    #[test]
    fn no_patch_panics(live in any_patch(), patch in any_patch()) {
        let _ = merge("v1", "Pod", &live, &patch);
        let _ = merge("apps/v1", "StatefulSet", &live, &patch);
    }

    #[test]
    fn merging_a_patch_twice_changes_nothing_more(live in plain_patch(), patch in plain_patch()) {
        let once = merge("v1", "Pod", &live, &patch).unwrap();
        prop_assert_eq!(&merge("v1", "Pod", &once, &patch).unwrap(), &once);
    }
}
