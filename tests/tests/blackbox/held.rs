//! What is not safe yet is refused, not attempted: the change is named, and the cluster stays as it is.

use serde_json::{Value, json};

use crate::scene::{CLUSTER, Scene, cluster, condition, has, is_ready, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unsafe_change_of_a_formed_cluster_is_held_and_named_until_it_is_set_back() {
    let scene = Scene::start(&[]).await;
    scene.ready_cluster("graph").await;
    let spec = cluster("graph")["spec"].clone();
    for (change, field) in [
        (json!({"topology": {"servers": 2}}), "spec.topology.servers"),
        (json!({"image": {"tag": "5.26.13-enterprise"}}), "spec.image"),
        (json!({"storage": {"size": "20Gi"}}), "spec.storage.size"),
    ] {
        let before = sets_and_claims(&scene).await;
        scene.merge(CLUSTER, "graph", json!({"spec": change})).await;
        is_held(&scene, field).await;
        assert_eq!(sets_and_claims(&scene).await, before, "{field}: something was written");
        // A size that was asked for once cannot be taken back: volumes never shrink. It is the last one here.
        if field != "spec.storage.size" {
            scene.merge(CLUSTER, "graph", json!({"spec": spec})).await;
            is_let_go(&scene, field).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_password_is_held_until_it_is_set_back() {
    let scene = Scene::start(&[]).await;
    scene.ready_cluster("graph").await;
    let known = scene.get("Secret", "graph-operator-auth").await.unwrap();
    let password = |text: &str| json!({"stringData": {"password": text}});
    scene
        .merge("Secret", "neo4j-admin-secret", password("quite-another-one"))
        .await;
    is_held(&scene, "the password in Secret neo4j-admin-secret").await;
    let now = scene.get("Secret", "graph-operator-auth").await.unwrap();
    assert_eq!(now["data"], known["data"], "the credential that works was replaced");
    let told = scene.events("graph").await;
    assert!(
        told.iter().all(|(_, message)| !message.contains("quite-another-one")),
        "{told:?}"
    );
    scene
        .merge("Secret", "neo4j-admin-secret", password("for-the-tests-only"))
        .await;
    is_let_go(&scene, "the password").await;
}

async fn is_held(scene: &Scene, field: &str) {
    let held = scene
        .wait(CLUSTER, "graph", &format!("a held change of {field}"), |cluster| {
            has(cluster, "Progressing", "False", "ChangeHeld") && is_ready(cluster)
        })
        .await;
    let message = text(condition(&held, "Progressing").unwrap(), "/message");
    assert!(message.contains(field), "{message:?} does not name {field}");
    assert_eq!(held["status"]["phase"], "Ready", "{:#}", held["status"]);
    scene.wait_event("graph", "UnsupportedFeature", field).await;
}

async fn is_let_go(scene: &Scene, field: &str) {
    scene
        .wait(CLUSTER, "graph", &format!("nothing held after {field}"), |cluster| {
            !has(cluster, "Progressing", "False", "ChangeHeld") && is_ready(cluster)
        })
        .await;
}

/// What a held change must not touch.
async fn sets_and_claims(scene: &Scene) -> Vec<Value> {
    let mut found = scene.list("StatefulSet").await;
    found.extend(scene.list("PersistentVolumeClaim").await);
    found
        .into_iter()
        .map(|object| json!([object["metadata"]["uid"], object["spec"]]))
        .collect()
}
