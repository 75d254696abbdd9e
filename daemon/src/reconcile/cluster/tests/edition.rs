//! Servers of another edition: told once, in words, and left alone.

use neo4j_devcluster::neo4j::model::Edition;
use neo4j_operator_crds::cluster::status::ClusterPhase;

use super::*;

#[tokio::test(start_paused = true)]
async fn servers_that_are_not_enterprise_are_told_and_not_asked_again_and_again() {
    within(Box::pin(async {
        let world = World::new().await;
        let edition = |edition| {
            let cluster = world.fake.cluster("prod", "graph");
            cluster.with(|cluster, _| cluster.edition = edition);
        };
        edition(Edition::Community);
        world.cluster(json!({})).await;
        world
            .until("not Enterprise", |status| {
                condition(status, "Ready") == of(("False", "NotEnterprise"))
            })
            .await;
        let told = world.status().await;
        assert_eq!(told.phase, Some(ClusterPhase::Failed));
        let message = told.message.clone().unwrap();
        assert!(message.contains("not the Enterprise edition"), "{message}");
        assert!(message.contains("Unsupported administration command"), "{message}");
        assert_eq!(condition(&told, "Progressing"), of(("False", "Idle")));
        assert_eq!(told.operation, None);
        for _ in 0..3 {
            let ended = world.pass().await.unwrap();
            assert_eq!(ended.outcome, Outcome::Waiting);
            assert_eq!(
                ended.requeue,
                Some(Duration::from_secs(300)),
                "a look now and then, no loop"
            );
        }
        assert_eq!(world.status().await, told);
        let events = world.reasons().await;
        let said = events.iter().filter(|reason| *reason == "UnsupportedFeature").count();
        assert_eq!(said, 1, "{events:?}");
        // Servers of the right edition in their place: the cluster forms.
        edition(Edition::Enterprise);
        world.ready().await;
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn another_image_replaces_servers_of_another_edition() {
    within(Box::pin(async {
        let world = World::new().await;
        let edition = |edition| {
            let cluster = world.fake.cluster("prod", "graph");
            cluster.with(|cluster, _| cluster.edition = edition);
        };
        edition(Edition::Community);
        world.cluster(json!({"image": {"tag": "2025.08.0"}})).await;
        world
            .until("not Enterprise", |status| {
                condition(status, "Ready") == of(("False", "NotEnterprise"))
            })
            .await;
        world.change(json!({"image": {"tag": "2025.08.0-enterprise"}})).await;
        world.pass().await.unwrap();
        let held = condition(&world.status().await, "Progressing");
        assert_ne!(held.1, "ChangeHeld", "{held:?}");
        edition(Edition::Enterprise);
        world.ready().await;
        let pods = world.api::<Pod>().list(&ListParams::default()).await.unwrap();
        let images: Vec<_> = pods
            .iter()
            .filter_map(|pod| pod.spec.as_ref()?.containers[0].image.clone())
            .collect();
        assert_eq!(images, ["neo4j:2025.08.0-enterprise"; 3]);
    }))
    .await;
}
