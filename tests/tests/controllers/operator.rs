//! The operator where nothing but the API server and the node are ours.

use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    core::DynamicObject,
    discovery::ApiResource,
};
use neo4j_operator_crds::Neo4jEnterpriseCluster;
use neo4j_operator_tests::harness::{Daemon, DaemonOptions};
use serde_json::{Value, json};

use crate::{
    real,
    world::{World, until},
};

const EXAMPLE: &str = include_str!("../../../crds/examples/minimal.yaml");

#[tokio::test]
async fn a_cluster_comes_up_scales_and_goes_with_kube_controller_manager() {
    if !real() {
        return;
    }
    let world = World::with_kube_controller_manager_and_neo4j().await;
    let place = world.place("operated").await;
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, &world.kubeconfig).unwrap();
    let operator = Daemon::start(&kubeconfig, folder.path(), &DaemonOptions::default())
        .await
        .unwrap();

    for document in serde_saphyr::from_multiple::<Value>(EXAMPLE).unwrap() {
        let object: DynamicObject = serde_json::from_value(document).unwrap();
        let types = object.types.clone().unwrap();
        let (group, version) = types.api_version.rsplit_once('/').unwrap_or(("", &types.api_version));
        let kind = kube::core::GroupVersionKind::gvk(group, version, &types.kind);
        let api: Api<DynamicObject> =
            Api::namespaced_with(world.client.clone(), &place.namespace, &ApiResource::from_gvk(&kind));
        let params = PatchParams::apply("a-user");
        api.patch(&object.name_any(), &params, &Patch::Apply(&object))
            .await
            .unwrap();
    }
    let clusters: Api<Neo4jEnterpriseCluster> = Api::namespaced(world.client.clone(), &place.namespace);
    ready(&clusters, 3).await;
    let four = json!({"spec": {"topology": {"servers": 4}}});
    clusters
        .patch("minimal", &PatchParams::default(), &Patch::Merge(four))
        .await
        .unwrap();
    ready(&clusters, 4).await;

    clusters.delete("minimal", &DeleteParams::default()).await.unwrap();
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(world.client.clone(), &place.namespace);
    let gone = until("the cluster and its pods being gone", || {
        let (clusters, pods) = (clusters.clone(), pods.clone());
        async move {
            let cluster = clusters.get_opt("minimal").await.ok()?;
            let pods = pods.list(&ListParams::default()).await.ok()?;
            (cluster.is_none() && pods.items.is_empty()).then_some(())
        }
    });
    Box::pin(gone).await;
    drop(operator);
    world.stop().await;
}

/// Waits until the cluster says of its newest generation that it is ready with so many servers.
async fn ready(clusters: &Api<Neo4jEnterpriseCluster>, servers: i32) {
    until(&format!("a ready cluster of {servers}"), || {
        let clusters = clusters.clone();
        async move {
            let cluster = clusters.get("minimal").await.ok()?;
            let generation = cluster.metadata.generation;
            let cluster = serde_json::to_value(&cluster).ok()?;
            let status = &cluster["status"];
            let is_ready = status["conditions"]
                .as_array()?
                .iter()
                .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
            let of_it = status["observedGeneration"].as_i64() == generation;
            (is_ready && of_it && status["replicas"]["servers"] == servers).then_some(())
        }
    })
    .await;
}
