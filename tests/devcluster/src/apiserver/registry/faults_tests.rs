//! Every kind of fault enters where it says, and nowhere else.

use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, FutureExt as _, ready};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
};
use serde_json::json;

use crate::apiserver::{Delivery, Failure, Hooks, Options, Point, Server, Verdict};

/// Answers with these verdicts, by point and number, and notes what it was asked.
#[derive(Default)]
struct Plan {
    before: Option<(u64, Verdict)>,
    after: Option<(u64, Verdict)>,
    read: Option<(u64, Verdict)>,
    event: Option<Delivery>,
    asked: Mutex<Vec<(u64, String)>>,
}

fn verdict(planned: Option<&(u64, Verdict)>, n: u64) -> BoxFuture<'static, Verdict> {
    let verdict = match planned {
        Some((at, verdict)) if *at == n => verdict.clone(),
        _ => Verdict::Proceed,
    };
    ready(verdict).boxed()
}

impl Hooks for Plan {
    fn before_commit<'a>(&'a self, point: Point<'a>) -> BoxFuture<'a, Verdict> {
        let what = format!("{} {}/{} by {}", point.verb, point.resource, point.name, point.manager);
        self.asked.lock().unwrap().push((point.n, what));
        verdict(self.before.as_ref(), point.n)
    }

    fn after_commit_before_reply<'a>(&'a self, point: Point<'a>) -> BoxFuture<'a, Verdict> {
        verdict(self.after.as_ref(), point.n)
    }

    fn serve_read<'a>(&'a self, point: Point<'a>) -> BoxFuture<'a, Verdict> {
        verdict(self.read.as_ref(), point.n)
    }

    fn deliver_event(&self, _: u64, _: u64) -> BoxFuture<'_, Delivery> {
        ready(self.event.unwrap_or(Delivery::Deliver)).boxed()
    }
}

fn server(plan: Plan) -> (Arc<Plan>, Client) {
    let plan = Arc::new(plan);
    let server = Server::new(Options {
        hooks: Arc::clone(&plan) as Arc<dyn Hooks>,
        ..Options::default()
    });
    (plan, server.client("default"))
}

async fn create(client: &Client, name: &str) -> Result<ConfigMap, kube::Error> {
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    let params = PostParams {
        field_manager: Some("test".into()),
        ..PostParams::default()
    };
    Api::default_namespaced(client.clone()).create(&params, &map).await
}

async fn exists(client: &Client, name: &str) -> bool {
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    maps.get_opt(name).await.unwrap().is_some()
}

fn unavailable() -> Verdict {
    Verdict::Fail(Failure::new(
        http::StatusCode::SERVICE_UNAVAILABLE,
        "ServiceUnavailable",
        "a fault",
    ))
}

#[tokio::test(start_paused = true)]
async fn a_fault_before_the_commit_leaves_the_store_as_it_was() {
    for planned in [unavailable(), Verdict::Disconnect] {
        let (plan, client) = server(Plan {
            before: Some((1, planned)),
            ..Plan::default()
        });
        create(&client, "a").await.unwrap();
        create(&client, "b").await.unwrap_err();
        assert!(exists(&client, "a").await && !exists(&client, "b").await);
        let asked = plan.asked.lock().unwrap().clone();
        assert_eq!(asked[1].0, 1);
        assert!(
            asked[1].1.starts_with("create configmaps/") && asked[1].1.ends_with("by test"),
            "{asked:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_after_the_commit_hides_a_write_that_stands() {
    let (_plan, client) = server(Plan {
        after: Some((0, Verdict::Disconnect)),
        ..Plan::default()
    });
    create(&client, "a").await.unwrap_err();
    assert!(exists(&client, "a").await);
}

#[tokio::test(start_paused = true)]
async fn a_read_can_fail_and_an_event_can_stay_away() {
    let (_plan, client) = server(Plan {
        read: Some((0, unavailable())),
        event: Some(Delivery::Skip),
        ..Plan::default()
    });
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    assert!(maps.list(&ListParams::default()).await.is_err());
    create(&client, "a").await.unwrap();
    let params = kube::api::WatchParams::default().timeout(5);
    let events: Vec<_> = futures::StreamExt::collect(maps.watch(&params, "0").await.unwrap()).await;
    let objects = events
        .iter()
        .filter(|e| !matches!(e, Ok(kube::core::WatchEvent::Bookmark(_))));
    assert_eq!(objects.count(), 0, "{events:?}");
}
