use serde_json::{Value, json};

use super::*;

fn sample() -> Value {
    json!({
        "namespace": "n", "name": "c-server", "uid": "u1", "resourceVersion": "42", "generation": 3,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "deletionTimestamp": "2026-01-02T00:00:00Z",
        "labels": {"b": "2", "a": "1"},
        "annotations": {"neo4j.com/x": "y", "kubectl.kubernetes.io/last-applied-configuration": "{}",
                        "neo4j.neo4j.com/applied-hash": "abc"},
        "ownerReferences": [
            {"kind": "Other", "name": "o", "uid": "u0"},
            {"kind": "Neo4jEnterpriseCluster", "name": "c", "uid": "u2", "controller": true},
        ],
        "finalizers": ["f"],
        "managedFields": [
            {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {}}},
            {"manager": "neo4j-operator", "operation": "Update", "fieldsV1": {"f:spec": {}}},
        ],
    })
}

fn read(value: &Value) -> Meta {
    serde_json::from_str(&value.to_string()).unwrap()
}

#[test]
fn what_is_read_is_kept_and_nothing_else() {
    let meta = read(&sample());
    assert_eq!((&**meta.namespace(), meta.name()), ("n", "c-server"));
    assert_eq!(meta.labels().iter().collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
    assert_eq!(meta.annotations().iter().collect::<Vec<_>>(), [("neo4j.com/x", "y")]);
    assert_eq!(meta.applied_hash(), Some("abc"));
    let owner = meta.owner().unwrap();
    assert_eq!((owner.kind, owner.name), ("Neo4jEnterpriseCluster", "c"));
    assert_eq!(owner.uid, Uid::from("u2"));
    assert!(meta.update_entry());
    assert_eq!((meta.version(), meta.generation()), (Some(42), Some(3)));
    assert_eq!(meta.created(), Some("2026-01-01T00:00:00Z".parse().unwrap()));
    assert_eq!(meta.deleting(), Some("2026-01-02T00:00:00Z".parse().unwrap()));
    assert_eq!(meta.finalizers(), [Arc::from("f")]);
    assert_eq!(meta.live(), Live::of(&json!({ "metadata": sample() })));
    assert_eq!(meta, serde_json::from_value(sample()).unwrap());
}

#[test]
fn uids_and_versions_may_be_anything() {
    let uuid = "0d9a1f3e-7c42-4b7e-9a55-1f2e3d4c5b6a";
    for (uid, version, owner) in [
        (uuid, "7", "u2"),
        ("", "", uuid),
        ("u1", "x", "u2"),
        (uuid, "x", uuid),
        ("u1", "7", uuid),
    ] {
        let mut value = sample();
        (value["uid"], value["resourceVersion"]) = (uid.into(), version.into());
        value["ownerReferences"][1]["uid"] = owner.into();
        let meta = read(&value);
        assert_eq!(
            (meta.uid().to_string(), meta.resource_version().to_string()),
            (uid.into(), version.into())
        );
        assert_eq!(meta.owner().unwrap().uid.to_string(), owner);
        assert_eq!((meta.owner().unwrap().name, meta.labels().get("b")), ("c", Some("2")));
        assert_eq!(meta.annotations().get("neo4j.com/x"), Some("y"));
        value.as_object_mut().unwrap().remove("ownerReferences");
        let meta = read(&value);
        assert_eq!(meta.owner(), None);
        assert_eq!(
            (meta.uid().to_string(), meta.resource_version().to_string()),
            (uid.into(), version.into())
        );
        assert_eq!(meta.labels().get("a"), Some("1"));
    }
}

#[test]
fn what_does_not_tell_objects_apart_is_shared() {
    let pod = |cluster: &str, index: &str| {
        let name = format!("{cluster}-server-{index}");
        read(&json!({"name": name, "labels": {
            "apps.kubernetes.io/pod-index": index, "app.kubernetes.io/name": "neo4j", "neo4j.com/cluster": cluster,
            "statefulset.kubernetes.io/pod-name": name, "z": "y",
        }}))
    };
    let (first, second) = (pod("c", "0"), pod("d", "1"));
    assert!(Arc::ptr_eq(&first.shape, &second.shape));
    assert_ne!(first.labels(), second.labels());
    assert_eq!(first.labels(), pod("c", "0").labels());
    assert_eq!(second.labels().get("apps.kubernetes.io/pod-index"), Some("1"));
    assert_eq!(
        second.labels().get("statefulset.kubernetes.io/pod-name"),
        Some(second.name())
    );
    assert!(second.labels().has("app.kubernetes.io/name", "neo4j") && !second.labels().has("neo4j.com/cluster", "c"));
    let keys: Vec<&str> = first.labels().iter().map(|(key, _)| key).collect();
    assert!(keys.is_sorted() && keys.len() == 5, "{keys:?}");
}

#[test]
fn absent_and_null_fields_are_the_same() {
    let meta = read(&json!({
        "name": "x", "labels": null, "annotations": null, "managedFields": null, "ownerReferences": null,
        "finalizers": null, "uid": null, "generation": null, "creationTimestamp": null, "deletionTimestamp": null,
    }));
    assert_eq!(meta, read(&json!({"name": "x"})));
    assert_eq!(
        (meta.owner(), meta.generation(), meta.created(), meta.deleting()),
        (None, None, None, None)
    );
    assert_eq!(Meta::default(), read(&json!({})));
}

#[test]
fn a_deletion_time_that_cannot_be_read_still_means_deleting() {
    assert!(
        read(&json!({"name": "x", "deletionTimestamp": "soon"}))
            .deleting()
            .is_some()
    );
}

#[test]
fn triggers_need_neither_annotations_nor_finalizers() {
    let text = sample().to_string();
    let meta = serde_json::from_str::<RawMeta<'_>>(&text)
        .unwrap()
        .keep(Extent::Triggers);
    assert_eq!((meta.annotations().iter().count(), meta.finalizers().len()), (0, 0));
    assert_eq!(
        (meta.applied_hash(), meta.labels().get("b"), meta.update_entry()),
        (None, Some("2"), true)
    );
}

#[test]
fn an_empty_uid_is_one_like_any_other() {
    assert_eq!(read(&json!({"name": "x"})).uid(), Uid::from(""));
}
