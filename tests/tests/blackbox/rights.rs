//! The operator needs the rights that are shipped with it, all of them, and no other.

use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::{PolicyRule, Role};
use kube::{Api, api::PostParams};
use neo4j_operator_crds::BACKUP_FINALIZER;
use neo4j_operator_tests::{
    controlplane::Minor,
    harness::TestCluster,
    rights,
    usage::{Right, granted, refused, used},
};
use serde_json::{Value, json};

use crate::{
    scene::{CLUSTER, Scene, Watched, admin_secret, cluster, fail, has, is_ready, target, text},
    spine::every_example_comes_to_its_end,
};

/// Rights that no request shows, with the reason for each.
fn unseen() -> [(Right, &'static str); 2] {
    let asked_inside = "asked for inside the server when an object is written whose owner it blocks, where the admission plugin \
                        OwnerReferencesPermissionEnforcement is on, as it is on our real control plane";
    let right = |resource| Right::new("neo4j.neo4j.com", resource, "update");
    ["neo4jenterpriseclusters/finalizers", "neo4jbackups/finalizers"].map(|resource| (right(resource), asked_inside))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_of_a_namespace_uses_all_rights_of_its_role_and_lacks_none() {
    let mut scene = Scene::start(&[]).await;
    every_example_comes_to_its_end(&scene).await;
    does_the_rest(&mut scene).await;
    uses_exactly(&scene, &rights::shipped_role().unwrap_or_else(fail));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_of_everything_uses_all_rights_of_its_cluster_role_and_lacks_none() {
    let mut scene = if target().is_embedded() {
        Scene::alone(Watched::Everything).await
    } else {
        as_minor(Minor::NEWEST).await
    };
    scene.start_operator().await;
    every_example_comes_to_its_end(&scene).await;
    does_the_rest(&mut scene).await;
    uses_exactly(&scene, &rights::shipped_cluster_role().unwrap_or_else(fail));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_comes_to_its_end_on_the_oldest_minor() {
    if target().is_embedded() {
        return; // there are no minors to choose from
    }
    let mut scene = as_minor(Minor::OLDEST).await;
    scene.start_operator().await;
    every_example_comes_to_its_end(&scene).await;
    let requests = scene.cluster.requests().unwrap_or_else(fail);
    assert_eq!(refused(&requests, &scene.operator_user()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_on_finalizers_no_object_may_block_its_owner() {
    if target().is_embedded() {
        return; // devcluster has no admission plugins
    }
    let mut scene = Scene::without_operator(&[]).await;
    scene.identity().await;
    let roles: Api<Role> = Api::namespaced(scene.client(), &scene.namespace);
    let mut role = roles.get("neo4j-operator").await.unwrap();
    role.rules.as_mut().unwrap().retain(|rule| {
        let mut resources = rule.resources.iter().flatten();
        !resources.any(|resource| resource.ends_with("/finalizers"))
    });
    roles
        .replace("neo4j-operator", &PostParams::default(), &role)
        .await
        .unwrap();
    scene.start_operator().await;
    scene.apply(&admin_secret()).await;
    scene.apply(&cluster("graph")).await;
    let user = scene.operator_user();
    scene
        .wait_for("a refused creation", async || {
            let requests = scene.cluster.requests().unwrap_or_else(fail);
            let refused = refused(&requests, &user);
            refused
                .iter()
                .any(|request| request.starts_with("create configmaps"))
                .then_some(())
        })
        .await;
}

/// A real control plane of this minor for the scene alone, with an operator of everything.
async fn as_minor(minor: Minor) -> Scene {
    let cluster = TestCluster::emulated(minor).await.unwrap_or_else(fail);
    Scene::on(cluster, tempfile::tempdir().unwrap(), Watched::Everything, &[]).await
}

/// What the examples do not need: reads without a cache, objects that others change, things that are switched off.
async fn does_the_rest(scene: &mut Scene) {
    scene.daemon.as_mut().unwrap().process.stop();
    scene
        .start_operator_with(vec!["--cache-strategy=none".to_owned()])
        .await;
    scene.ready_cluster("rest").await;
    every_object_is_put_right(scene).await;
    the_same_is_said_twice(scene).await;
    a_budget_is_switched_off(scene).await;
    a_schedule_is_taken_back(scene).await;
    a_cluster_that_cannot_start_gets_another_template(scene).await;
}

/// The annotation by which the operator knows what it wrote last.
const MARK: &str = "neo4j.neo4j.com/applied-hash";

/// Somebody takes the mark away and changes something of `spec` that is not the operator's to want: a change of metadata alone
/// is seen at the next drift check where the kind counts its generations.
async fn is_put_right(scene: &Scene, kind: &str, name: &str, spec: Value) {
    let marked = |object: &Value| object["metadata"]["annotations"][MARK].is_string();
    scene.wait(kind, name, "the mark of the operator", marked).await;
    let mut change = json!({"metadata": {"annotations": {MARK: null}}});
    if spec.is_object() {
        change["spec"] = spec;
    }
    scene.merge(kind, name, change).await;
    scene.wait(kind, name, "the mark of the operator again", marked).await;
}

async fn every_object_is_put_right(scene: &Scene) {
    for (kind, name, spec) in [
        ("ConfigMap", "rest-config", Value::Null),
        ("Service", "rest-client", Value::Null),
        ("ServiceAccount", "rest", Value::Null),
        ("StatefulSet", "rest-server", json!({"revisionHistoryLimit": 9})),
        (
            "PodDisruptionBudget",
            "rest-pdb",
            json!({"unhealthyPodEvictionPolicy": "AlwaysAllow"}),
        ),
    ] {
        is_put_right(scene, kind, name, spec).await;
    }
    scene.wait_ready(CLUSTER, "rest").await;
}

async fn the_same_is_said_twice(scene: &Scene) {
    for times in 1..=2 {
        for (servers, held) in [(2, true), (3, false)] {
            let change = json!({"spec": {"topology": {"servers": servers}}});
            scene.merge(CLUSTER, "rest", change).await;
            scene
                .wait(CLUSTER, "rest", "a word on the held change", |cluster| {
                    has(cluster, "Progressing", "False", "ChangeHeld") == held && is_ready(cluster)
                })
                .await;
        }
        scene
            .wait_for("a counted event", async || {
                let events = scene.list("Event").await;
                let about = events.iter().filter(|event| {
                    event["involvedObject"]["name"] == "rest" && event["reason"] == "UnsupportedFeature"
                });
                let counts = about.filter_map(|event| event["count"].as_i64());
                (counts.max() == Some(times)).then_some(())
            })
            .await;
    }
}

async fn a_budget_is_switched_off(scene: &Scene) {
    let off = json!({"spec": {"podDisruptionBudget": {"enabled": false}}});
    scene.merge(CLUSTER, "rest", off).await;
    scene.wait_gone("PodDisruptionBudget", "rest-pdb").await;
}

async fn a_schedule_is_taken_back(scene: &Scene) {
    let backup = json!({
        "apiVersion": "neo4j.neo4j.com/v1beta1", "kind": "Neo4jBackup", "metadata": {"name": "nights"},
        "spec": {
            "instanceRef": "rest", "allDatabases": true, "schedule": "0 2 * * *",
            "storage": {"type": "pvc", "pvc": {"name": "nights", "size": "1Gi"}},
        },
    });
    scene.apply(&backup).await;
    is_put_right(
        scene,
        "CronJob",
        "nights-backup-cron",
        json!({"failedJobsHistoryLimit": 9}),
    )
    .await;
    let once = json!({"spec": {"schedule": null}, "metadata": {"finalizers": [BACKUP_FINALIZER]}});
    scene.merge("Neo4jBackup", "nights", once).await;
    scene.wait_gone("CronJob", "nights-backup-cron").await;
    // The finalizer is another operator's, which is not there any more.
    scene.delete("Neo4jBackup", "nights").await;
    scene.wait_gone("Neo4jBackup", "nights").await;
}

async fn a_cluster_that_cannot_start_gets_another_template(scene: &Scene) {
    let mut stuck = cluster("stuck");
    stuck["spec"]["storage"]["className"] = json!("there-is-none");
    scene.apply(&stuck).await;
    let image = |pod: &Value| text(pod, "/spec/containers/0/image").to_owned();
    let before = scene.wait("Pod", "stuck-server-0", "a pod that waits", |_| true).await;
    stuck["spec"]["image"]["tag"] = json!("5.26.13-enterprise");
    scene.apply(&stuck).await;
    scene
        .wait("Pod", "stuck-server-0", "a pod of the new template", |pod| {
            image(pod) != image(&before) && pod["metadata"]["uid"] != before["metadata"]["uid"]
        })
        .await;
}

/// No request was refused, and every rule was needed.
fn uses_exactly(scene: &Scene, rules: &[PolicyRule]) {
    let requests = scene.cluster.requests().unwrap_or_else(fail);
    let user = scene.operator_user();
    assert_eq!(refused(&requests, &user), Vec::<String>::new(), "answered 403");
    let (granted, used) = (granted(rules), used(&requests, &user));
    let unseen: BTreeSet<Right> = unseen().into_iter().map(|(right, _)| right).collect();
    let unused: Vec<_> = granted
        .difference(&used)
        .filter(|right| !unseen.contains(right))
        .collect();
    let text: Vec<_> = unused.iter().map(ToString::to_string).collect();
    assert!(unused.is_empty(), "granted and never used: {text:#?}");
    let listed: Vec<_> = unseen
        .iter()
        .filter(|right| used.contains(right) || !granted.contains(right))
        .collect();
    assert!(listed.is_empty(), "no longer unseen: {listed:?}");
}
