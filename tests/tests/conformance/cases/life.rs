//! D13–D18, D21–D23: metadata and the life of an object.

use serde_json::{Value, json};

use super::cases;
use crate::session::Session;

cases![
    d13_generation_with_status,
    d13_generation_without_status,
    d13_generation_of_a_statefulset,
    d13_deletion_bumps_generation,
    d14_status_is_ignored_on_the_main_path,
    d14_spec_and_labels_are_ignored_on_status,
    d15_last_finalizer_removed,
    d15_no_new_finalizer_while_terminating,
    d15_spec_may_change_while_terminating,
    d15_second_delete_changes_nothing,
    d16_times_and_uid_of_clients,
    d16_wrong_uid,
    d17_preconditions_of_delete,
    d18_recreation_has_a_new_uid,
    d21_generated_names,
    d22_names_by_kind,
    d23_dry_run_stores_nothing,
];

fn widget(name: &str, spec: Value) -> Value {
    json!({"metadata": {"name": name}, "spec": spec})
}

async fn d13_generation_with_status(s: &mut Session) {
    s.post("widgets", widget("w", json!({"n": 1}))).await.is(201);
    let labelled = s
        .merge("widgets/w", json!({"metadata": {"labels": {"a": "b"}}}))
        .await
        .is(200);
    assert_eq!(labelled.generation(), 1);
    let status = s
        .merge("widgets/w/status", json!({"status": {"phase": "x"}}))
        .await
        .is(200);
    assert_eq!(status.generation(), 1);
    let spec = s.merge("widgets/w", json!({"spec": {"n": 2}})).await.is(200);
    assert_eq!(spec.generation(), 2);
    assert_eq!(s.merge("widgets/w", json!({"spec": {"n": 2}})).await.rv(), spec.rv());
}

async fn d13_generation_without_status(s: &mut Session) {
    s.post("plains", widget("p", json!({"n": 1}))).await.is(201);
    let status = s.merge("plains/p", json!({"status": {"n": 1}})).await.is(200);
    assert_eq!(status.generation(), 2);
    let labelled = s
        .merge("plains/p", json!({"metadata": {"labels": {"a": "b"}}}))
        .await
        .is(200);
    assert_eq!(labelled.generation(), 2);
}

pub fn set(name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "serviceName": "s",
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        },
    })
}

async fn d13_generation_of_a_statefulset(s: &mut Session) {
    s.post("statefulsets", set("s")).await.is(201);
    let scaled = s
        .merge("statefulsets/s", json!({"spec": {"replicas": 2}}))
        .await
        .is(200);
    assert_eq!(scaled.generation(), 2);
    let status = s
        .merge(
            "statefulsets/s/status",
            json!({"status": {"replicas": 1, "observedGeneration": 2}}),
        )
        .await;
    assert_eq!(status.is(200).generation(), 2);
}

async fn d13_deletion_bumps_generation(s: &mut Session) {
    let mut object = widget("w", json!({"n": 1}));
    object["metadata"]["finalizers"] = json!(["t.example.com/f"]);
    s.post("widgets", object).await.is(201);
    let deleted = s.delete("widgets/w", Value::Null).await.is(200);
    assert_eq!(deleted.generation(), 2);
    let map = json!({"metadata": {"name": "c", "finalizers": ["t.example.com/f"]}});
    s.post("configmaps", map).await.is(201);
    s.delete("configmaps/c", Value::Null).await.is(200);
}

async fn d14_status_is_ignored_on_the_main_path(s: &mut Session) {
    let mut object = widget("w", json!({"n": 1}));
    object["status"] = json!({"phase": "given"});
    let created = s.post("widgets", object).await.is(201);
    assert!(created.body.get("status").is_none());
    let merged = s
        .merge("widgets/w", json!({"status": {"phase": "given"}}))
        .await
        .is(200);
    assert_eq!(merged.rv(), created.rv());
    let mut whole = created.body.clone();
    whole["status"] = json!({"phase": "given"});
    s.put("widgets/w", whole).await.is(200);
}

async fn d14_spec_and_labels_are_ignored_on_status(s: &mut Session) {
    let mut object = s.post("widgets", widget("w", json!({"n": 1}))).await.is(201).body;
    object["spec"]["n"] = json!(7);
    object["metadata"]["labels"] = json!({"a": "b"});
    object["status"] = json!({"phase": "set"});
    let updated = s.put("widgets/w/status", object).await.is(200);
    assert_eq!(updated.body["spec"]["n"], 1);
    s.merge(
        "widgets/w/status",
        json!({"spec": {"n": 9}, "status": {"phase": "again"}}),
    )
    .await
    .is(200);
    s.get("widgets/w/status").await.is(200);
}

async fn d15_last_finalizer_removed(s: &mut Session) {
    let object = json!({"metadata": {"name": "c", "finalizers": ["t.example.com/a", "t.example.com/b"]}});
    let created = s.post("configmaps", object).await.is(201);
    let watch = s.watch(&format!("configmaps?resourceVersion={}", created.rv())).await;
    s.delete("configmaps/c", Value::Null).await.is(200);
    s.merge("configmaps/c", json!({"metadata": {"finalizers": ["t.example.com/b"]}}))
        .await
        .is(200);
    s.merge("configmaps/c", json!({"metadata": {"finalizers": null}}))
        .await
        .is(200);
    s.get("configmaps/c").await.refused(404, "NotFound");
    s.events_to(watch, "DELETED", "c").await;
}

async fn d15_no_new_finalizer_while_terminating(s: &mut Session) {
    for kind in ["configmaps", "widgets"] {
        s.post(
            kind,
            json!({"metadata": {"name": "o", "finalizers": ["t.example.com/a"]}}),
        )
        .await
        .is(201);
        let object = format!("{kind}/o");
        s.delete(&object, Value::Null).await.is(200);
        let more = json!({"metadata": {"finalizers": ["t.example.com/a", "t.example.com/b"]}});
        s.merge(&object, more).await.refused(422, "Invalid");
    }
}

async fn d15_spec_may_change_while_terminating(s: &mut Session) {
    let mut object = widget("w", json!({"n": 1}));
    object["metadata"]["finalizers"] = json!(["t.example.com/a"]);
    s.post("widgets", object).await.is(201);
    s.delete("widgets/w", Value::Null).await.is(200);
    s.merge("widgets/w", json!({"spec": {"n": 2}})).await.is(200);
    s.merge("widgets/w", json!({"metadata": {"deletionTimestamp": null}}))
        .await
        .is(200);
    s.merge("widgets/w/status", json!({"status": {"phase": "x"}}))
        .await
        .is(200);
}

async fn d15_second_delete_changes_nothing(s: &mut Session) {
    s.post(
        "configmaps",
        json!({"metadata": {"name": "c", "finalizers": ["t.example.com/a"]}}),
    )
    .await
    .is(201);
    let first = s.delete("configmaps/c", Value::Null).await.is(200);
    let second = s.delete("configmaps/c", Value::Null).await.is(200);
    assert_eq!(first.rv(), second.rv());
}

async fn d16_times_and_uid_of_clients(s: &mut Session) {
    let object = json!({"metadata": {
        "name": "c", "uid": "00000000-0000-4000-8000-000000000000", "creationTimestamp": "2001-01-01T00:00:00Z",
        "deletionTimestamp": "2001-01-01T00:00:00Z", "deletionGracePeriodSeconds": 5, "generation": 9, "selfLink": "/x",
    }});
    let created = s.post("configmaps", object).await.is(201);
    let change = json!({"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z", "generation": 4}});
    s.merge("configmaps/c", change).await;
    s.merge(
        "configmaps/c",
        json!({"metadata": {"deletionTimestamp": "2001-01-01T00:00:00Z"}}),
    )
    .await;
    let mut whole = created.body.clone();
    whole["metadata"]["creationTimestamp"] = Value::Null;
    whole["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    s.put("configmaps/c", whole).await;
    s.post("widgets", json!({"metadata": {"name": "w", "generation": 9}}))
        .await
        .is(201);
}

async fn d16_wrong_uid(s: &mut Session) {
    let wrong = "00000000-0000-4000-8000-000000000000";
    for kind in ["configmaps", "widgets"] {
        let mut object = s.post(kind, json!({"metadata": {"name": "o"}})).await.is(201).body;
        let path = format!("{kind}/o");
        object["metadata"]["uid"] = json!(wrong);
        s.put(&path, object).await.refused(409, "Conflict");
        s.merge(&path, json!({"metadata": {"uid": wrong}})).await;
        let apply = json!({"metadata": {"name": "o", "uid": wrong}});
        s.apply(&format!("{path}?fieldManager=m"), apply)
            .await
            .refused(422, "Invalid");
    }
}

async fn d17_preconditions_of_delete(s: &mut Session) {
    let created = s.post("configmaps", json!({"metadata": {"name": "c"}})).await.is(201);
    let wrong = json!({"preconditions": {"uid": "00000000-0000-4000-8000-000000000000"}});
    s.delete("configmaps/c", wrong).await.refused(409, "Conflict");
    let moved = s.merge("configmaps/c", json!({"data": {"a": "b"}})).await.is(200);
    s.delete(
        "configmaps/c",
        json!({"preconditions": {"resourceVersion": created.rv()}}),
    )
    .await
    .refused(409, "Conflict");
    let right = json!({"preconditions": {"uid": created.uid(), "resourceVersion": moved.rv()}});
    s.delete("configmaps/c", right.clone()).await.is(200);
    s.delete("configmaps/c", right).await.refused(404, "NotFound");
}

async fn d18_recreation_has_a_new_uid(s: &mut Session) {
    let object = json!({"metadata": {"name": "c"}});
    let first = s.post("configmaps", object.clone()).await.is(201);
    s.post("configmaps", object.clone()).await.refused(409, "AlreadyExists");
    s.delete("configmaps/c", Value::Null).await.is(200);
    let second = s.post("configmaps", object).await.is(201);
    assert_ne!(first.uid(), second.uid());
}

async fn d21_generated_names(s: &mut Session) {
    let made = s
        .post("configmaps", json!({"metadata": {"generateName": "g-"}}))
        .await
        .is(201);
    let name = made.text("/metadata/name").to_owned();
    let alphabet = "bcdfghjklmnpqrstvwxz2456789";
    assert!(
        name["g-".len()..].chars().all(|c| alphabet.contains(c)) && name.len() == 7,
        "{name}"
    );
    let long = format!("{}-", "a".repeat(70));
    let cut = s
        .post("configmaps", json!({"metadata": {"generateName": long}}))
        .await
        .is(201);
    assert_eq!(cut.text("/metadata/name").len(), 63);
    let service = json!({"metadata": {"generateName": long}, "spec": {"clusterIP": "None"}});
    s.post("services", service).await;
    s.post(
        "configmaps",
        json!({"metadata": {"name": "given", "generateName": "g-"}}),
    )
    .await
    .is(201);
    s.post("configmaps", json!({"metadata": {}}))
        .await
        .refused(422, "Invalid");
    s.post("configmaps", json!({"metadata": {"generateName": "Bad_"}}))
        .await
        .refused(422, "Invalid");
}

async fn d22_names_by_kind(s: &mut Session) {
    let service = |name: &str| json!({"metadata": {"name": name}, "spec": {"clusterIP": "None"}});
    for name in ["1st", "a.b", "Upper", &"a".repeat(64)] {
        s.post("services", service(name)).await;
    }
    for name in ["1st", "a.b", "Upper", "under_score", "a/b", "-a", &"a".repeat(254)] {
        s.post("configmaps", json!({"metadata": {"name": name}})).await;
        s.post("widgets", json!({"metadata": {"name": name}})).await;
    }
    s.post("statefulsets", set("a.b")).await;
    s.post("serviceaccounts", json!({"metadata": {"name": "Upper"}}))
        .await
        .refused(422, "Invalid");
    s.post("configmaps", json!({"metadata": {"name": "c", "namespace": "other"}}))
        .await
        .refused(400, "BadRequest");
    s.post(
        "configmaps",
        json!({"metadata": {"name": "c", "labels": {"bad key": "x", "a": "bad value!"}}}),
    )
    .await;
    s.post(
        "configmaps",
        json!({"metadata": {"name": "c", "annotations": {"bad key": "any value!"}}}),
    )
    .await;
}

async fn d23_dry_run_stores_nothing(s: &mut Session) {
    s.post("configmaps?dryRun=All", json!({"metadata": {"name": "dry"}}))
        .await
        .is(201);
    s.get("configmaps/dry").await.refused(404, "NotFound");
    let created = s
        .post("configmaps", json!({"metadata": {"name": "c"}, "data": {"a": "1"}}))
        .await
        .is(201);
    let watch = s.watch(&format!("configmaps?resourceVersion={}", created.rv())).await;
    s.merge("configmaps/c?dryRun=All", json!({"data": {"a": "2"}}))
        .await
        .is(200);
    let apply = json!({"metadata": {"name": "c"}, "data": {"b": "2"}});
    s.apply("configmaps/c?dryRun=All&fieldManager=m", apply).await.is(200);
    s.delete("configmaps/c?dryRun=All", Value::Null).await.is(200);
    s.delete("configmaps/c", json!({"dryRun": ["All"]})).await.is(200);
    s.post("configmaps?dryRun=Some", json!({"metadata": {"name": "dry"}}))
        .await;
    s.merge("configmaps/c", json!({"data": {"a": "3"}})).await.is(200);
    let events = s.events_to(watch, "MODIFIED", "c").await;
    assert_eq!(events.len(), 1);
}
