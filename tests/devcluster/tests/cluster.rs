//! The API server and the controllers together, in process and in virtual time: what a database operator builds on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Namespace, PersistentVolume, PersistentVolumeClaim, Pod},
    policy::v1::PodDisruptionBudget,
    rbac::v1::ClusterRole,
};
use kube::{
    Api, Client,
    api::{DeleteParams, EvictParams, ListParams, Patch, PatchParams, PostParams},
};
use neo4j_devcluster::{
    apiserver::{Options, Server},
    controllers::{Controllers, clock::Clock, plain::PlainRuntime},
};
use serde_json::json;

/// How long anything may take, in virtual time.
const DEADLINE: Duration = Duration::from_secs(600);

/// Waits until the condition holds.
async fn until<F, T>(what: &str, mut condition: F)
where
    F: FnMut() -> T,
    T: Future<Output = bool>,
{
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    assert!(
        tokio::time::timeout(DEADLINE, wait).await.is_ok(),
        "never came true: {what}"
    );
}

async fn in_namespace(client: &Client, name: &str) {
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    Api::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
}

fn stateful_set(replicas: i32) -> StatefulSet {
    serde_json::from_value(json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"},
        "spec": {
            "serviceName": "db", "replicas": replicas, "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": "db"}},
            "template": {
                "metadata": {"labels": {"app": "db"}},
                "spec": {"containers": [{
                    "name": "neo4j", "image": "neo4j", "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                }]},
            },
            "volumeClaimTemplates": [{
                "metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            }],
        },
    }))
    .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_stateful_set_becomes_ready_scales_and_goes_with_its_namespace() {
    let server = Server::new(Options::default());
    let client = server.client("n");
    let runtime = Arc::new(PlainRuntime::default());
    let controllers = Controllers::start(server.client("n"), Clock::system(), runtime);
    in_namespace(&client, "n").await;

    let sets: Api<StatefulSet> = Api::default_namespaced(client.clone());
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let claims: Api<PersistentVolumeClaim> = Api::default_namespaced(client.clone());
    let apply = PatchParams::apply("test").force();
    sets.patch("db", &apply, &Patch::Apply(stateful_set(2))).await.unwrap();
    let ready = async |wanted: i32| {
        let set = sets.get("db").await.unwrap();
        let status = set.status.unwrap_or_default();
        status.ready_replicas.unwrap_or(0) == wanted && status.observed_generation == set.metadata.generation
    };
    until("two pods are ready", || ready(2)).await;
    let bound = claims.list(&ListParams::default()).await.unwrap();
    assert!(
        bound
            .iter()
            .all(|c| c.status.as_ref().unwrap().phase.as_deref() == Some("Bound"))
    );

    sets.patch("db", &apply, &Patch::Apply(stateful_set(3))).await.unwrap();
    until("a third pod is ready", || ready(3)).await;
    let writes = server.requests().iter().filter(|r| r.is_write()).count();
    tokio::time::sleep(Duration::from_secs(120)).await;
    let later = server.requests().iter().filter(|r| r.is_write()).count();
    assert_eq!(writes, later, "a converged set is left alone");

    Api::<Namespace>::all(client.clone())
        .delete("n", &DeleteParams::default())
        .await
        .unwrap();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    until("the namespace is gone", async || {
        namespaces.get_opt("n").await.unwrap().is_none()
    })
    .await;
    assert!(pods.list(&ListParams::default()).await.unwrap().items.is_empty());
    let volumes: Api<PersistentVolume> = Api::all(client);
    until("its volumes are gone", async || {
        volumes.list(&ListParams::default()).await.unwrap().items.is_empty()
    })
    .await;
    controllers.stop().await;
}

#[tokio::test(start_paused = true)]
async fn evictions_leave_as_many_pods_as_the_budget_wants() {
    let server = Server::new(Options::default());
    let client = server.client("default");
    let controllers = Controllers::start(client.clone(), Clock::system(), Arc::new(PlainRuntime::default()));
    let sets: Api<StatefulSet> = Api::default_namespaced(client.clone());
    let budgets: Api<PodDisruptionBudget> = Api::default_namespaced(client.clone());
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let apply = PatchParams::apply("test").force();
    sets.patch("db", &apply, &Patch::Apply(stateful_set(3))).await.unwrap();
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "db"},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "db"}}},
    });
    budgets.patch("db", &apply, &Patch::Apply(budget)).await.unwrap();
    let allowed = async || {
        let budget = budgets.get("db").await.unwrap();
        let status = budget.status.unwrap_or_default();
        let counted = status.expected_pods == Some(3) && status.current_healthy == Some(3);
        counted && status.disruptions_allowed == Some(1)
    };
    let mut before = Vec::new();
    for name in ["db-0", "db-1", "db-2"] {
        until("one may go", allowed).await;
        before.push(pods.get(name).await.unwrap().metadata.uid.unwrap());
        pods.evict(name, &EvictParams::default()).await.unwrap();
        let other = if name == "db-0" { "db-1" } else { "db-0" };
        match pods.evict(other, &EvictParams::default()).await {
            Err(kube::Error::Api(status)) => {
                assert_eq!((status.code, status.reason.as_str()), (429, "TooManyRequests"));
            }
            answer => panic!("a second pod went: {answer:?}"),
        }
    }
    until("all are back", allowed).await;
    for (name, uid) in ["db-0", "db-1", "db-2"].into_iter().zip(before) {
        assert_ne!(pods.get(name).await.unwrap().metadata.uid, Some(uid));
    }
    let writes = || server.requests().iter().filter(|r| r.is_write()).count();
    let settled = writes();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(writes(), settled, "a budget that is counted is left alone");
    controllers.stop().await;
}

#[tokio::test(start_paused = true)]
async fn roles_that_gather_others_follow_them() {
    let server = Server::new(Options::default());
    let client = server.client("default");
    let controllers = Controllers::start(client.clone(), Clock::system(), Arc::new(PlainRuntime::default()));
    let roles: Api<ClusterRole> = Api::all(client.clone());
    let reads = async |resource: &str| {
        let view = roles.get("view").await.unwrap();
        let mut rules = view.rules.into_iter().flatten();
        rules.any(|rule| rule.resources.iter().flatten().any(|r| r == resource))
    };
    until("view reads pods", || reads("pods")).await;
    let widgets = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "widgets", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [{"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["widgets"]}],
    });
    let apply = PatchParams::apply("test").force();
    roles.patch("widgets", &apply, &Patch::Apply(widgets)).await.unwrap();
    until("view reads widgets", || reads("widgets")).await;
    roles.delete("widgets", &DeleteParams::default()).await.unwrap();
    until("view reads none any more", async || !reads("widgets").await).await;
    assert!(!reads("secrets").await, "view reads no secrets");
    controllers.stop().await;
}

#[tokio::test(start_paused = true)]
async fn dependants_go_after_their_owner() {
    let server = Server::new(Options::default());
    let client = server.client("default");
    let controllers = Controllers::start(client.clone(), Clock::system(), Arc::new(PlainRuntime::default()));
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let named = |name: &str, owners: serde_json::Value| -> ConfigMap {
        serde_json::from_value(json!({"metadata": {"name": name, "ownerReferences": owners}})).unwrap()
    };
    let owner = maps
        .create(&PostParams::default(), &named("owner", json!(null)))
        .await
        .unwrap();
    let reference = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid}]);
    maps.create(&PostParams::default(), &named("child", reference.clone()))
        .await
        .unwrap();
    maps.delete("owner", &DeleteParams::background()).await.unwrap();
    until("the child is gone", async || {
        maps.get_opt("child").await.unwrap().is_none()
    })
    .await;

    let owner = maps
        .create(&PostParams::default(), &named("owner", json!(null)))
        .await
        .unwrap();
    let reference = json!([{
        "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid, "blockOwnerDeletion": true,
    }]);
    maps.create(&PostParams::default(), &named("child", reference))
        .await
        .unwrap();
    maps.delete("owner", &DeleteParams::foreground()).await.unwrap();
    until("both are gone", async || {
        maps.get_opt("child").await.unwrap().is_none() && maps.get_opt("owner").await.unwrap().is_none()
    })
    .await;
    controllers.stop().await;
}
