//! The local copies under a server whose answers are late.

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    apiserver::{Point, Verdict},
    controllers::view::{Key, View},
};

/// A server that has made a change of a config map a second before it says so.
struct LateAnswers;

impl Hooks for LateAnswers {
    fn after_commit_before_reply<'a>(&'a self, point: Point<'a>) -> BoxFuture<'a, Verdict> {
        Box::pin(async move {
            if point.resource == "configmaps" && point.verb == "patch" {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Verdict::Proceed
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_does_not_bring_back_what_is_deleted() {
    let world = World::with(Arc::new(LateAnswers)).await;
    let stop = CancellationToken::new();
    let view = View::<ConfigMap>::new(world.client.clone());
    tokio::spawn(Arc::clone(&view).keep(stop.clone()));
    view.synced().await;
    let object = world.create::<ConfigMap>(config("late", json!([]))).await;
    world
        .until("the object in the copy", async || view.get(&Key::of(&object)).is_some())
        .await;
    let change = view.merge(&object, json!({"data": {"a": "1"}}), false);
    let deletion = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.delete::<ConfigMap>("late", DeleteParams::default()).await;
        world
            .until("its end in the copy", async || view.get(&Key::of(&object)).is_none())
            .await;
    };
    let (changed, ()) = tokio::join!(change, deletion);
    changed.unwrap();
    assert!(view.get(&Key::of(&object)).is_none(), "it is back");
    stop.cancel();
    world.stop().await;
}
