//! D19, D20 without controllers: grace of pods, and the life of a namespace as the server alone keeps it.

use serde_json::{Value, json};

use super::cases;
use crate::session::Session;

cases![
    d19_pod_of_a_node_ends_gracefully,
    d19_pod_without_a_node_goes_at_once,
    d19_grace_only_shrinks,
    d19_forced,
    d19_eviction,
    d20_nothing_is_made_in_a_terminating_namespace,
    d20_namespace_keeps_its_finalizer,
    d20_missing_namespace,
    d20_deletion_options,
    d12_deletion_of_a_collection,
];

fn pod(name: &str, node: &str) -> Value {
    let mut pod = json!({"metadata": {"name": name}, "spec": {"serviceAccountName": "default", "containers": [{"name": "c", "image": "i"}]}});
    if !node.is_empty() {
        pod["spec"]["nodeName"] = json!(node);
    }
    pod
}

async fn d19_pod_of_a_node_ends_gracefully(s: &mut Session) {
    let made = s.post("pods", pod("p", "n")).await.is(201);
    let watch = s.watch(&format!("pods?resourceVersion={}", made.rv())).await;
    let marked = s.delete("pods/p", Value::Null).await.is(200);
    assert_eq!(marked.body["metadata"]["deletionGracePeriodSeconds"], 30);
    let again = s.delete("pods/p", Value::Null).await.is(200);
    assert_eq!(again.rv(), marked.rv());
    s.delete("pods/p", json!({"gracePeriodSeconds": 0})).await.is(200);
    s.get("pods/p").await.refused(404, "NotFound");
    s.events_to(watch, "DELETED", "p").await;
}

async fn d19_pod_without_a_node_goes_at_once(s: &mut Session) {
    s.post("pods", pod("p", "")).await.is(201);
    s.delete("pods/p", json!({"gracePeriodSeconds": 20})).await.is(200);
    s.get("pods/p").await.refused(404, "NotFound");
}

async fn d19_grace_only_shrinks(s: &mut Session) {
    s.post("pods", pod("p", "n")).await.is(201);
    for seconds in [20, 25, 10, 15] {
        s.delete("pods/p", json!({"gracePeriodSeconds": seconds})).await.is(200);
    }
    s.merge("pods/p", json!({"metadata": {"finalizers": ["e.com/f"]}}))
        .await;
    s.delete("pods/p", json!({"gracePeriodSeconds": 0})).await.is(200);
}

async fn d19_forced(s: &mut Session) {
    let mut object = pod("p", "n");
    object["metadata"]["finalizers"] = json!(["e.com/f"]);
    s.post("pods", object).await.is(201);
    s.delete("pods/p", json!({"gracePeriodSeconds": 0})).await.is(200);
    s.merge("pods/p", json!({"metadata": {"finalizers": null}}))
        .await
        .is(200);
    s.get("pods/p").await.refused(404, "NotFound");
    s.post("pods", pod("q", "n")).await.is(201);
    s.delete("pods/q", json!({"gracePeriodSeconds": -1})).await;
}

async fn d19_eviction(s: &mut Session) {
    s.post("pods", pod("p", "n")).await.is(201);
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    s.post("pods/p/eviction", eviction.clone()).await;
    s.post(
        "pods/none/eviction",
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "none"}}),
    )
    .await;
    s.post("pods/other/eviction", eviction).await;
}

async fn d20_nothing_is_made_in_a_terminating_namespace(s: &mut Session) {
    s.post("configmaps", json!({"metadata": {"name": "a"}})).await.is(201);
    let namespace = format!("/api/v1/namespaces/{}", s.namespace);
    s.delete(&namespace, Value::Null).await.is(200);
    let refused = s
        .post("configmaps", json!({"metadata": {"name": "b"}}))
        .await
        .refused(403, "Forbidden");
    assert_eq!(refused.body["details"]["causes"][0]["reason"], "NamespaceTerminating");
    s.post("widgets", json!({"metadata": {"name": "b"}}))
        .await
        .refused(403, "Forbidden");
    s.apply("configmaps/c?fieldManager=m", json!({"metadata": {"name": "c"}}))
        .await
        .refused(403, "Forbidden");
    s.merge("configmaps/a", json!({"data": {"k": "v"}})).await.is(200);
    s.delete("configmaps/a", Value::Null).await.is(200);
}

async fn d20_namespace_keeps_its_finalizer(s: &mut Session) {
    let namespace = format!("/api/v1/namespaces/{}", s.namespace);
    let read = s.get(&namespace).await.is(200);
    assert_eq!(read.body["spec"]["finalizers"], json!(["kubernetes"]));
    s.merge(&namespace, json!({"spec": {"finalizers": null}})).await.is(200);
    let mut marked = s.delete(&namespace, Value::Null).await.is(200).body;
    s.delete(&namespace, Value::Null).await;
    marked["spec"]["finalizers"] = json!([]);
    s.put(&format!("{namespace}/finalize"), marked).await;
    s.get(&namespace).await.refused(404, "NotFound");
}

async fn d20_missing_namespace(s: &mut Session) {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    s.post("/api/v1/namespaces/none/configmaps", map.clone())
        .await
        .refused(404, "NotFound");
    s.apply("/api/v1/namespaces/none/configmaps/a?fieldManager=m", map.clone())
        .await
        .refused(404, "NotFound");
    s.send(
        "PATCH",
        "/api/v1/namespaces/none/configmaps/a",
        crate::session::MERGE,
        "",
        json!({}),
    )
    .await
    .refused(404, "NotFound");
    s.delete("/api/v1/namespaces/none/configmaps/a", Value::Null)
        .await
        .refused(404, "NotFound");
    s.post("/api/v1/namespaces/none/configmaps?dryRun=All", map).await;
}

async fn d20_deletion_options(s: &mut Session) {
    for options in [
        json!({"propagationPolicy": "Odd"}),
        json!({"propagationPolicy": "Orphan", "orphanDependents": true}),
        json!({"gracePeriodSeconds": "x"}),
        json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}),
        json!({"kind": "Odd", "apiVersion": "v1"}),
        json!({"unknown": 1}),
        json!({"dryRun": ["Odd"]}),
        json!("{"),
    ] {
        s.post("configmaps", json!({"metadata": {"name": "a"}})).await;
        s.delete("configmaps/a", options).await;
    }
    s.post("configmaps", json!({"metadata": {"name": "b"}})).await.is(201);
    s.delete("configmaps/b?propagationPolicy=Orphan", Value::Null)
        .await
        .is(200);
    s.delete("configmaps/b?propagationPolicy=Background", Value::Null).await;
}

async fn d12_deletion_of_a_collection(s: &mut Session) {
    for (name, label) in [("a", "x"), ("b", "x"), ("c", "y")] {
        s.post(
            "configmaps",
            json!({"metadata": {"name": name, "labels": {"l": label}}}),
        )
        .await
        .is(201);
    }
    s.delete("configmaps?labelSelector=l%3Dx", Value::Null).await.is(200);
    assert_eq!(s.get("configmaps").await.is(200).names(), ["c"]);
    s.delete("configmaps?labelSelector=l%3Dx", Value::Null).await.is(200);
    s.delete(
        "configmaps?fieldSelector=metadata.name%3Dc",
        json!({"propagationPolicy": "Foreground"}),
    )
    .await
    .is(200);
    s.get("configmaps").await.is(200);
    s.post("widgets", json!({"metadata": {"name": "w"}})).await.is(201);
    s.delete("widgets", Value::Null).await.is(200);
}
