//! An object of somebody else, of a name that the operator wants, is not touched and is reported.

use serde_json::{Value, json};

use crate::scene::{CLUSTER, Scene, admin_secret, cluster, condition, has, text};

/// One object of each kind that a cluster is made of, each in the way of a cluster of its own.
fn foreign() -> Vec<(&'static str, Value)> {
    let labels = json!({"app": "somebody-elses"});
    let object = |version: &str, kind: &str, name: &str, rest: Value| {
        let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels}});
        for (key, value) in rest.as_object().unwrap() {
            object[key] = value.clone();
        }
        object
    };
    let set = json!({"spec": {
        "serviceName": "other", "replicas": 0, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    }});
    let service = json!({"spec": {"selector": labels, "ports": [{"port": 80}]}});
    let budget = json!({"spec": {"minAvailable": 1, "selector": {"matchLabels": labels}}});
    vec![
        ("a", object("v1", "Service", "a-client", service)),
        ("b", object("v1", "ConfigMap", "b-config", json!({"data": {"k": "v"}}))),
        ("c", object("apps/v1", "StatefulSet", "c-server", set)),
        ("d", object("policy/v1", "PodDisruptionBudget", "d-pdb", budget)),
        ("e", object("v1", "ServiceAccount", "e", json!({}))),
        (
            "f",
            object("v1", "Secret", "f-operator-auth", json!({"stringData": {"k": "v"}})),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_object_of_each_kind_is_not_touched_and_is_reported() {
    let mut scene = Scene::without_operator(&[]).await;
    scene.apply(&admin_secret()).await;
    let mut stored = Vec::new();
    for (name, object) in foreign() {
        scene.apply(&object).await;
        stored.push((
            name,
            text(&object, "/kind").to_owned(),
            text(&object, "/metadata/name").to_owned(),
        ));
    }
    // Controllers write the status of these two; then nobody has a reason to write.
    for (kind, name) in [("StatefulSet", "c-server"), ("PodDisruptionBudget", "d-pdb")] {
        scene
            .wait(kind, name, "a status", |object| {
                object["status"]["observedGeneration"] == 1
            })
            .await;
    }
    let mut before = Vec::new();
    for (_, kind, name) in &stored {
        before.push(scene.get(kind, name).await.unwrap());
    }
    scene.start_operator().await;
    for (name, ..) in &stored {
        scene.apply(&cluster(name)).await;
    }
    for ((name, kind, object), before) in stored.iter().zip(&before) {
        let refused = scene
            .wait(CLUSTER, name, &format!("a report of the foreign {kind}"), |cluster| {
                has(cluster, "Ready", "False", "NameConflict")
            })
            .await;
        let message = text(condition(&refused, "Ready").unwrap(), "/message");
        assert!(message.contains(&**object), "{message:?} does not name {object}");
        scene.wait_event(name, "NameConflict", object).await;
        let after = scene.get(kind, object).await.unwrap();
        assert_eq!(
            after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"],
            "{kind} {object} was written"
        );
    }
}
