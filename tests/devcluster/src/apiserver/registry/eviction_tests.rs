//! Evictions against budgets whose status the test writes in the place of a controller; the texts are those of a real server.

use std::sync::Arc;

use k8s_openapi::api::{core::v1::Pod, policy::v1::PodDisruptionBudget};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::apiserver::{ManualClock, Options, Server};

struct Bench {
    client: Client,
    pods: Api<Pod>,
    budgets: Api<PodDisruptionBudget>,
}

impl Bench {
    fn new() -> Self {
        let clock = ManualClock::new("2026-11-28T12:00:00Z".parse().unwrap());
        let server = Server::new(Options {
            clock: Arc::new(clock),
            ..Options::default()
        });
        let client = server.client("default");
        Self {
            pods: Api::default_namespaced(client.clone()),
            budgets: Api::default_namespaced(client.clone()),
            client,
        }
    }

    /// A pod of a node, in this phase.
    async fn pod(&self, name: &str, phase: &str, ready: bool) {
        let pod = json!({
            "metadata": {"name": name, "labels": {"a": "b"}},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]},
        });
        let pod = serde_json::from_value(pod).unwrap();
        self.pods.create(&PostParams::default(), &pod).await.unwrap();
        let ready = if ready { "True" } else { "False" };
        let status = json!({"status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}});
        let params = PatchParams::default();
        self.pods
            .patch_status(name, &params, &Patch::Merge(status))
            .await
            .unwrap();
    }

    async fn budget(&self, name: &str, spec: Value, status: Value) {
        let mut spec = spec;
        spec["selector"] = json!({"matchLabels": {"a": "b"}});
        let budget = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
        self.budgets.create(&PostParams::default(), &budget).await.unwrap();
        let params = PatchParams::default();
        let body = json!({"status": status});
        self.budgets
            .patch_status(name, &params, &Patch::Merge(body))
            .await
            .unwrap();
    }

    /// Code, reason or status, and the message of the cause or else of the answer.
    async fn evict(&self, pod: &str, body: Value) -> (u16, String, String) {
        let mut eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}});
        if let (Value::Object(eviction), Value::Object(body)) = (&mut eviction, body) {
            eviction.extend(body);
        }
        let request = http::Request::post(format!("/api/v1/namespaces/default/pods/{pod}/eviction"))
            .header("content-type", "application/json")
            .body(eviction.to_string().into_bytes())
            .unwrap();
        match self.client.request::<Value>(request).await {
            Ok(status) => (201, status["status"].as_str().unwrap().to_owned(), String::new()),
            Err(kube::Error::Api(status)) => {
                let cause = status.details.iter().flat_map(|d| &d.causes).next();
                let text = cause.map_or(&status.message, |cause| &cause.message);
                (status.code, status.reason.clone(), text.clone())
            }
            Err(other) => panic!("{other}"),
        }
    }
}

fn done() -> (u16, String, String) {
    (201, "Success".into(), String::new())
}

fn counted(allowed: i32, healthy: i32, desired: i32) -> Value {
    json!({
        "observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": healthy,
        "desiredHealthy": desired, "expectedPods": 3,
    })
}

#[tokio::test]
async fn no_more_pods_go_than_the_budget_allows() {
    let bench = Bench::new();
    for name in ["p0", "p1", "p2"] {
        bench.pod(name, "Running", true).await;
    }
    bench.budget("b", json!({"minAvailable": 2}), counted(1, 3, 2)).await;
    let dry = json!({"deleteOptions": {"dryRun": ["All"]}});
    assert_eq!(bench.evict("p0", dry).await, done());
    assert_eq!(bench.evict("p0", json!({})).await, done());
    let pod = bench.pods.get("p0").await.unwrap();
    assert_eq!(pod.metadata.deletion_grace_period_seconds, Some(30));
    let status = serde_json::to_value(pod.status).unwrap();
    assert_eq!(
        status["conditions"][1],
        json!({
            "type": "DisruptionTarget", "status": "True", "lastTransitionTime": "2026-11-28T12:00:00Z",
            "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting",
        })
    );
    let budget = bench.budgets.get("b").await.unwrap().status.unwrap();
    assert_eq!(budget.disruptions_allowed, Some(0));
    assert!(budget.disrupted_pods.unwrap().contains_key("p0"));
    assert_eq!(budget.conditions.unwrap()[0].reason, "InsufficientPods");
    let (code, reason, why) = bench.evict("p1", json!({})).await;
    assert_eq!((code, reason.as_str()), (429, "TooManyRequests"));
    assert_eq!(why, "The disruption budget b does not allow evicting pods currently");
    // It goes already: nobody is disturbed once more.
    assert_eq!(
        bench
            .evict("p0", json!({"deleteOptions": {"gracePeriodSeconds": 0}}))
            .await,
        done()
    );
    assert!(bench.pods.get_opt("p0").await.unwrap().is_none());
}

#[tokio::test]
async fn a_refusal_says_what_the_budget_lacks() {
    let bench = Bench::new();
    bench.pod("p", "Running", true).await;
    bench.budget("b", json!({"minAvailable": 3}), counted(0, 2, 3)).await;
    let (code, _, why) = bench.evict("p", json!({})).await;
    assert_eq!(
        (code, why.as_str()),
        (429, "The disruption budget b needs 3 healthy pods and has 2 currently")
    );
    let failed = json!({"conditions": [{
        "type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "no scale",
        "lastTransitionTime": "2026-11-28T12:00:00Z",
    }]});
    let params = PatchParams::default();
    bench
        .budgets
        .patch_status("b", &params, &Patch::Merge(json!({"status": failed})))
        .await
        .unwrap();
    let (_, _, why) = bench.evict("p", json!({})).await;
    assert_eq!(
        why,
        "The disruption budget b does not allow evicting pods currently because it failed sync: no scale"
    );
    bench
        .budgets
        .patch("b", &params, &Patch::Merge(json!({"spec": {"minAvailable": 0}})))
        .await
        .unwrap();
    let (code, _, why) = bench.evict("p", json!({})).await;
    assert_eq!(
        (code, why.as_str()),
        (429, "The disruption budget b is still being processed by the server.")
    );
    bench.budget("c", json!({"minAvailable": 0}), counted(1, 1, 0)).await;
    let (code, reason, why) = bench.evict("p", json!({})).await;
    assert_eq!((code, reason.as_str()), (500, ""));
    assert!(
        why.starts_with("This pod has more than one PodDisruptionBudget"),
        "{why}"
    );
}

#[tokio::test]
async fn a_pod_that_is_not_ready_goes_while_the_others_suffice() {
    let bench = Bench::new();
    bench.pod("p", "Running", false).await;
    bench.budget("b", json!({"minAvailable": 2}), counted(0, 1, 2)).await;
    assert_eq!(bench.evict("p", json!({})).await.0, 429);
    let params = PatchParams::default();
    let enough = json!({"status": counted(0, 2, 2)});
    bench
        .budgets
        .patch_status("b", &params, &Patch::Merge(enough))
        .await
        .unwrap();
    assert_eq!(bench.evict("p", json!({})).await, done());
    assert_eq!(
        bench.budgets.get("b").await.unwrap().status.unwrap().disrupted_pods,
        None
    );

    bench.pod("q", "Running", false).await;
    let always = json!({"spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}, "status": counted(0, 0, 2)});
    bench.budgets.patch("b", &params, &Patch::Merge(always)).await.unwrap();
    assert_eq!(bench.evict("q", json!({})).await, done());
}

#[tokio::test]
async fn a_pod_that_has_not_begun_or_has_ended_goes_freely() {
    let bench = Bench::new();
    bench.budget("b", json!({"minAvailable": 3}), counted(0, 2, 3)).await;
    for (name, phase) in [("p", "Pending"), ("s", "Succeeded"), ("f", "Failed")] {
        bench.pod(name, phase, false).await;
        assert_eq!(bench.evict(name, json!({})).await, done(), "{phase}");
    }
}

#[tokio::test]
async fn bad_evictions_are_refused() {
    let bench = Bench::new();
    bench.pod("p", "Running", true).await;
    let other = json!({"metadata": {"name": "q"}});
    let (code, reason, why) = bench.evict("p", other).await;
    assert_eq!((code, reason.as_str()), (400, "BadRequest"));
    assert_eq!(why, "name in URL does not match name in Eviction object");
    assert_eq!(bench.evict("q", json!({})).await.0, 404);
    let uid = json!({"deleteOptions": {"preconditions": {"uid": "x"}}});
    let (code, _, why) = bench.evict("p", uid).await;
    assert_eq!(code, 409);
    assert!(
        why.contains("the UID in the precondition (x) does not match the UID in record"),
        "{why}"
    );
    let version = json!({"deleteOptions": {"preconditions": {"resourceVersion": "1"}}});
    assert_eq!(bench.evict("p", version).await.0, 409);
    assert_eq!(
        bench
            .evict("p", json!({"deleteOptions": {"propagationPolicy": "x"}}))
            .await
            .0,
        422
    );
    let pod = bench.pods.get("p").await.unwrap();
    assert_eq!(pod.metadata.deletion_timestamp, None);
}
