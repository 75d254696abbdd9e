//! A cluster whose first template cannot run gets another one.

use super::*;

/// A world in which every server has crashed: Neo4j refuses to start with a setting that it does not know.
async fn crashed() -> World {
    let world = World::new().await;
    world.cluster(json!({"config": {"no.such.setting": "1"}})).await;
    world
        .until("the crash", |status| {
            condition(status, "ServersHealthy").1 == "PodCrashLooping"
        })
        .await;
    world
}

/// The partition at rest keeps every pod at the revision that it has.
async fn is_at_rest(world: &World) {
    let set = world.api::<StatefulSet>().get("graph-server").await.unwrap();
    let strategy = set.spec.unwrap().update_strategy.unwrap();
    assert_eq!(strategy.rolling_update.unwrap().partition, Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_first_image_that_never_ran_is_replaced() {
    within(Box::pin(async {
        let world = crashed().await;
        world.change(json!({"config": null})).await;
        world.ready().await;
        is_at_rest(&world).await;
    }))
    .await;
}

/// The controller of the set created the pods, and its first status was refused because the template had changed meanwhile.
/// At its next look it takes the newest revision for the current one, as it does where there is no status yet.
#[tokio::test(start_paused = true)]
async fn pods_are_replaced_though_the_set_has_forgotten_their_revision() {
    within(Box::pin(async {
        let world = crashed().await;
        world.change(json!({"image": {"tag": "2025.09.0-enterprise"}})).await;
        world.pass().await.unwrap();
        let sets = world.api::<StatefulSet>();
        let newest = loop {
            let status = sets.get("graph-server").await.unwrap().status.unwrap();
            if status.update_revision != status.current_revision {
                break status.update_revision.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let forgotten = Patch::Merge(json!({"status": {"currentRevision": newest}}));
        // What was under way in the controller may still write the old one.
        let mut quiet = 0;
        while quiet < 20 {
            let status = sets.get("graph-server").await.unwrap().status.unwrap();
            if status.current_revision.as_ref() == Some(&newest) {
                quiet += 1;
            } else {
                quiet = 0;
                sets.patch_status("graph-server", &PatchParams::default(), &forgotten)
                    .await
                    .unwrap();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for _ in 0..60 {
            // A pod that has just crashed once more is left until the next pass.
            drop(world.pass().await);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let pods = world.api::<Pod>().list(&ListParams::default()).await.unwrap();
        let revisions = pods.iter().map(|pod| pod.labels()["controller-revision-hash"].clone());
        assert_eq!(revisions.collect::<Vec<_>>(), vec![newest; 3]);
        is_at_rest(&world).await;
    }))
    .await;
}
