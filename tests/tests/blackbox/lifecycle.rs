//! Starts and ends of the operator, and what it does to a cluster that needs nothing.

use std::{os::unix::process::ExitStatusExt as _, time::Duration};

use neo4j_operator_tests::usage::written;
use serde_json::json;

use crate::scene::{CLUSTER, PATIENCE, Scene, admin_secret, cluster, fail};

/// How long the operator may take to end.
const STOP: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_the_operator_with_0_and_takes_its_token_away() {
    let mut scene = Scene::start(&[]).await;
    let daemon = scene.daemon.as_mut().unwrap();
    assert!(daemon.token_file.is_file());
    daemon.process.signal(libc::SIGTERM);
    let ended = daemon.process.wait(STOP).expect("it ends in time");
    assert_eq!(ended.code(), Some(0), "{}", daemon.process.tail());
    assert!(!daemon.token_file.exists(), "the token file is still there");
    let Some(cluster) = scene.cluster.devcluster() else {
        return; // programs of others, which end as they like
    };
    cluster.process.signal(libc::SIGTERM);
    let ended = cluster.process.wait(STOP).expect("it ends in time");
    assert_eq!(
        (ended.code(), ended.signal()),
        (Some(0), None),
        "{}",
        cluster.process.tail()
    );
    assert!(!cluster.kubeconfig.exists(), "the kubeconfig is still there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_that_is_killed_while_a_cluster_forms_goes_on_when_it_is_started_again() {
    let mut scene = Scene::start(&[]).await;
    scene.apply(&admin_secret()).await;
    scene.apply(&cluster("graph")).await;
    scene
        .wait("StatefulSet", "graph-server", "a StatefulSet", |_| true)
        .await;
    scene.kill_operator();
    scene.start_operator().await;
    scene.wait_ready(CLUSTER, "graph").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_over_a_converged_cluster_writes_nothing_and_deleted_objects_come_back() {
    let mut scene = Scene::start(&[]).await;
    scene.ready_cluster("graph").await;
    // The last events may still be on their way: nothing is counted before the operator is gone.
    let daemon = scene.daemon.as_mut().unwrap();
    daemon.process.signal(libc::SIGTERM);
    assert!(daemon.process.wait(PATIENCE).is_some());
    let before = scene.cluster.requests().unwrap_or_else(fail).len();
    scene.start_operator().await;
    scene.wait_for_a_pass("graph").await;
    let requests = scene.cluster.requests().unwrap_or_else(fail).split_off(before);
    let user = scene.operator_user();
    assert!(
        requests.iter().any(|request| request.user == user),
        "no request of {user}"
    );
    assert_eq!(
        written(&requests, &user),
        Vec::<String>::new(),
        "written in a pass without a change"
    );

    let service = scene.get("Service", "graph-client").await.unwrap();
    scene.delete("Service", "graph-client").await;
    scene
        .wait("Service", "graph-client", "another Service", |found| {
            found["metadata"]["uid"] != service["metadata"]["uid"]
        })
        .await;
    scene.wait_ready(CLUSTER, "graph").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_is_no_longer_wanted_disappears_and_foreign_fields_stay() {
    let scene = Scene::start(&[]).await;
    scene.apply(&admin_secret()).await;
    let mut wanted = cluster("graph");
    wanted["spec"]["service"] = json!({"annotations": {"example.com/one": "1", "example.com/two": "2"}});
    scene.apply(&wanted).await;
    scene.wait_ready(CLUSTER, "graph").await;
    let foreign = json!({"metadata": {"annotations": {"example.com/foreign": "stays"}}});
    scene.merge("Service", "graph-client", foreign).await;
    wanted["spec"]["service"]["annotations"] = json!({"example.com/two": "2"});
    scene.apply(&wanted).await;
    let service = scene
        .wait("Service", "graph-client", "one annotation less", |service| {
            service["metadata"]["annotations"].get("example.com/one").is_none()
        })
        .await;
    let annotations = &service["metadata"]["annotations"];
    assert_eq!(annotations["example.com/two"], "2");
    assert_eq!(annotations["example.com/foreign"], "stays");
}
