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
async fn a_set_that_lost_its_label_is_found_again_before_anything_is_decided_about_it() {
    within(Box::pin(async {
        let world = formed().await;
        let sets = world.api::<StatefulSet>();
        let edit = Patch::Merge(json!({"metadata": {"labels": {"neo4j.com/cluster": null}}}));
        sets.patch("graph-server", &PatchParams::default(), &edit)
            .await
            .unwrap();
        // Not seen, the set would be written with the two servers that are asked for now.
        world.change(json!({"topology": {"servers": 2}})).await;
        let failed = world.pass().await.unwrap_err();
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
    }))
    .await;
}
