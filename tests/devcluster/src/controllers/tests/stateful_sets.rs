//! StatefulSets: claims, order, rolls and revisions.

use futures::future::BoxFuture;

use super::*;
use crate::{
    apiserver::{Point, Verdict},
    controllers::MANAGER,
};

#[tokio::test(start_paused = true)]
async fn a_set_with_claims_scales_out_and_in_and_leaves_nothing_but_its_claims() {
    let world = World::new().await;
    world.create::<StatefulSet>(set(3, "Parallel")).await;
    world
        .until("three ready pods", async || world.ready_pods("db").await == 3)
        .await;
    let pod = world.pod("db-2").await;
    assert_eq!(pod.labels()["apps.kubernetes.io/pod-index"], "2");
    assert_eq!(pod.labels()["statefulset.kubernetes.io/pod-name"], "db-2");
    let revision = world
        .api::<StatefulSet>()
        .get("db")
        .await
        .unwrap()
        .status
        .unwrap()
        .update_revision
        .unwrap();
    assert_eq!(pod.labels()["controller-revision-hash"], revision);
    assert!(pod.status.unwrap().pod_ip.is_some());

    world.merge::<StatefulSet>("db", json!({"spec": {"replicas": 5}})).await;
    world
        .until("five ready pods", async || world.ready_pods("db").await == 5)
        .await;
    world.merge::<StatefulSet>("db", json!({"spec": {"replicas": 2}})).await;
    world
        .until("two pods", async || {
            world.names::<Pod>().await == names(&["db-0", "db-1"])
        })
        .await;
    let claims = names(&["data-db-0", "data-db-1", "data-db-2", "data-db-3", "data-db-4"]);
    assert_eq!(world.names::<PersistentVolumeClaim>().await, claims);

    world.delete::<StatefulSet>("db", DeleteParams::background()).await;
    world
        .until("no pods", async || world.names::<Pod>().await.is_empty())
        .await;
    let revisions = async || world.names::<k8s_openapi::api::apps::v1::ControllerRevision>().await;
    world.until("no revisions", async || revisions().await.is_empty()).await;
    assert_eq!(world.names::<PersistentVolumeClaim>().await, claims);

    for claim in &claims {
        world
            .delete::<PersistentVolumeClaim>(claim, DeleteParams::default())
            .await;
    }
    let volumes: Api<PersistentVolume> = Api::all(world.client.clone());
    let left = async || volumes.list(&ListParams::default()).await.unwrap().items.len();
    world.until("no volumes", async || left().await == 0).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_ordered_set_waits_for_each_pod_before_the_next() {
    let world = World::new().await;
    let mut ordered = set(2, "OrderedReady");
    ordered["spec"]["template"]["metadata"]["annotations"] =
        json!({crate::controllers::plain::FAULT_ANNOTATION: "hang"});
    world.create::<StatefulSet>(ordered).await;
    world
        .until("the first pod runs", async || {
            let pod = world.api::<Pod>().get_opt("db-0").await.unwrap();
            pod.is_some_and(|pod| pod.status.unwrap().phase.as_deref() == Some("Running"))
        })
        .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.names::<Pod>().await, names(&["db-0"]), "the first is not ready");
    world.runtime.set_ready(&world.pod("db-0").await, true);
    world
        .until("the second pod", async || world.names::<Pod>().await.len() == 2)
        .await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_roll_replaces_pods_from_the_highest_down_to_the_partition() {
    let world = World::new().await;
    world.create::<StatefulSet>(set(3, "Parallel")).await;
    world
        .until("three ready pods", async || world.ready_pods("db").await == 3)
        .await;
    let before: Vec<_> = [
        world.pod("db-0").await,
        world.pod("db-1").await,
        world.pod("db-2").await,
    ]
    .iter()
    .map(|pod| pod.uid().unwrap())
    .collect();
    world
        .merge::<StatefulSet>(
            "db",
            json!({"spec": {
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 3}},
                "template": {"metadata": {"annotations": {"config": "2"}}},
            }}),
        )
        .await;
    world
        .until("the new revision", async || {
            let status = world.api::<StatefulSet>().get("db").await.unwrap().status.unwrap();
            status.update_revision != status.current_revision
        })
        .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(
        world.pod("db-2").await.uid().unwrap(),
        before[2],
        "held by its partition"
    );
    world
        .merge::<StatefulSet>(
            "db",
            json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 1}}}}),
        )
        .await;
    world
        .until("two updated pods", async || {
            let status = world.api::<StatefulSet>().get("db").await.unwrap().status.unwrap();
            status.updated_replicas == Some(2) && status.ready_replicas == Some(3)
        })
        .await;
    assert_eq!(world.pod("db-0").await.uid().unwrap(), before[0]);
    assert_ne!(world.pod("db-1").await.uid().unwrap(), before[1]);
    assert_eq!(world.pod("db-1").await.annotations()["config"], "2");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_set_made_again_after_an_orphaning_deletion_keeps_its_pods() {
    let world = World::new().await;
    world.create::<StatefulSet>(set(2, "Parallel")).await;
    world
        .until("two ready pods", async || world.ready_pods("db").await == 2)
        .await;
    let before = world.pod("db-0").await.uid();
    world
        .delete::<StatefulSet>(
            "db",
            DeleteParams {
                propagation_policy: Some(PropagationPolicy::Orphan),
                ..DeleteParams::default()
            },
        )
        .await;
    world
        .until("the set is gone", async || {
            world.names::<StatefulSet>().await.is_empty()
        })
        .await;
    assert_eq!(world.names::<Pod>().await.len(), 2);
    let again = world.create::<StatefulSet>(set(2, "Parallel")).await;
    world
        .until("both adopted and ready", async || world.ready_pods("db").await == 2)
        .await;
    let pod = world.pod("db-0").await;
    assert_eq!(
        (pod.uid(), pod.owner_references()[0].uid.clone()),
        (before, again.uid().unwrap())
    );
    world.stop().await;
}

/// A server that takes a second to commit what the controllers write to sets.
struct SlowSets;

impl Hooks for SlowSets {
    fn before_commit<'a>(&'a self, point: Point<'a>) -> BoxFuture<'a, Verdict> {
        Box::pin(async move {
            if point.resource == "statefulsets" && point.manager == MANAGER {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Verdict::Proceed
        })
    }
}

/// The template changes between the creation of the pods and the status that tells of them.
#[tokio::test(start_paused = true)]
async fn a_set_that_changes_under_its_controller_keeps_the_revision_of_its_pods() {
    let world = World::with(Arc::new(SlowSets)).await;
    let mut held = set(3, "Parallel");
    held["spec"]["updateStrategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 3}});
    world.create::<StatefulSet>(held).await;
    world
        .until("three pods", async || world.names::<Pod>().await.len() == 3)
        .await;
    let other = json!({"spec": {"template": {"metadata": {"annotations": {"config": "2"}}}}});
    world.merge::<StatefulSet>("db", other).await;
    world
        .until("three ready pods", async || world.ready_pods("db").await == 3)
        .await;
    let status = world.api::<StatefulSet>().get("db").await.unwrap().status.unwrap();
    let label = world.pod("db-2").await.labels()["controller-revision-hash"].clone();
    assert_eq!(status.current_revision, Some(label));
    assert_ne!(status.current_revision, status.update_revision);
    world.stop().await;
}
