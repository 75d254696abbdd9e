//! What others change of our objects comes back, also where the first try fails.

use std::sync::atomic::Ordering;

use super::*;

async fn formed() -> World {
    let world = World::new().await;
    world.cluster(json!({})).await;
    world.ready().await;
    // The pass that finds nothing to do knows all marks.
    world.pass().await.unwrap();
    world
}

#[tokio::test(start_paused = true)]
async fn an_edit_whose_repair_failed_is_repaired_by_the_next_pass() {
    within(Box::pin(async {
        let world = formed().await;
        let services = world.api::<Service>();
        let selector = async || services.get("graph-headless").await.unwrap().spec.unwrap().selector;
        let ours = selector().await;
        let edit = Patch::Merge(json!({"spec": {"selector": {"app.kubernetes.io/instance": "another"}}}));
        services
            .patch("graph-headless", &PatchParams::default(), &edit)
            .await
            .unwrap();
        let read_only = world.context.executor.read_only_switch();
        read_only.store(true, Ordering::Relaxed);
        world.pass().await.unwrap_err();
        world.pass().await.unwrap_err();
        assert_ne!(selector().await, ours);
        read_only.store(false, Ordering::Relaxed);
        world.pass().await.unwrap();
        assert_eq!(selector().await, ours);
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_comes_back_while_a_change_is_held() {
    within(Box::pin(async {
        let world = formed().await;
        let pods = async || {
            let pods = world.api::<Pod>().list(&ListParams::default()).await.unwrap();
            pods.iter().map(|pod| pod.uid().unwrap()).collect::<Vec<_>>()
        };
        let before = pods().await;
        world.change(json!({"storage": {"size": "2Gi"}})).await;
        world.pass().await.unwrap();
        assert_eq!(condition(&world.status().await, "Progressing").1, "ChangeHeld");
        let maps = world.api::<ConfigMap>();
        maps.delete("graph-config", &DeleteParams::default()).await.unwrap();
        world.pass().await.unwrap();
        assert!(maps.get_opt("graph-config").await.unwrap().is_some());
        assert_eq!(pods().await, before);
        // Not with a configuration that is itself held.
        world
            .change(json!({"config": {"db.logs.query.enabled": "VERBOSE"}}))
            .await;
        maps.delete("graph-config", &DeleteParams::default()).await.unwrap();
        world.pass().await.unwrap();
        assert!(maps.get_opt("graph-config").await.unwrap().is_none());
        let claims = world.api::<PersistentVolumeClaim>().list(&ListParams::default()).await;
        let sizes = claims.unwrap().items.into_iter().map(|claim| {
            let requests = claim.spec.unwrap().resources.unwrap().requests.unwrap();
            requests["storage"].0.clone()
        });
        assert_eq!(sizes.collect::<Vec<_>>(), ["1Gi"; 3]);
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_set_that_lost_its_label_is_found_again_before_anything_is_decided_about_it() {
    within(Box::pin(async {
        let world = formed().await;
        let sets = world.api::<StatefulSet>();
        let edit = Patch::Merge(json!({"metadata": {"labels": {"neo4j.com/cluster": null}}}));
        sets.patch("graph-server", &PatchParams::default(), &edit)
            .await
            .unwrap();
        // Not seen, the set would be written with the two servers that are asked for now, and its configuration beside it.
        let config = async || world.api::<ConfigMap>().get("graph-config").await.unwrap().data;
        let (before, known) = (config().await, world.status().await);
        let change = json!({"topology": {"servers": 2}, "config": {"db.logs.query.enabled": "VERBOSE"}});
        world.change(change).await;
        let failed = world.pass().await.unwrap_err();
        assert_eq!(config().await, before, "written for pods that were not seen");
        assert_eq!(world.status().await.conditions, known.conditions);
        assert!(
            failed.message.contains("changed meanwhile") && !failed.terminal,
            "{failed:?}"
        );
        let set = sets.get("graph-server").await.unwrap();
        assert_eq!(set.labels()["neo4j.com/cluster"], "graph");
        world.pass().await.unwrap();
        let status = world.status().await;
        assert_eq!(condition(&status, "Progressing"), of(("False", "ChangeHeld")));
        let set = sets.get("graph-server").await.unwrap();
        assert_eq!(set.spec.unwrap().replicas, Some(3));
        assert_eq!(config().await, before);
    }))
    .await;
}

/// A backup brought the object back with the status that it had, in a later life and paused.
#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_restored_with_its_status_gets_one_of_its_own() {
    within(Box::pin(async {
        let world = World::new().await;
        world.cluster(json!({})).await;
        let clusters = world.api::<Neo4jEnterpriseCluster>();
        let params = PatchParams::default();
        let mode = |mode| Patch::Merge(json!({"metadata": {"annotations": {RECONCILE: mode}}}));
        clusters.patch("graph", &params, &mode(json!("paused"))).await.unwrap();
        let restored = Patch::Merge(json!({"status": {"observedGeneration": 7, "phase": "Forming"}}));
        clusters.patch_status("graph", &params, &restored).await.unwrap();
        world.pass().await.unwrap();
        clusters.patch("graph", &params, &mode(Json::Null)).await.unwrap();
        world.ready().await;
        assert_eq!(world.status().await.observed_generation, Some(1));
    }))
    .await;
}
