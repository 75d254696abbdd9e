//! The rules of writes, deletes, lists and watches, through the front door that tests use.

use std::time::Duration;

use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use http::Request;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::{Value, json};

use crate::apiserver::{Options, Server};

fn server() -> (Server, Client) {
    let server = Server::new(Options::default());
    let client = server.client("default");
    (server, client)
}

fn config_map(name: &str, labels: &Value) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap()
}

/// Reads a watch to its end.
async fn watch(client: &Client, query: &str) -> Vec<Value> {
    let uri = format!("/api/v1/namespaces/default/configmaps?watch=1&{query}");
    let request = Request::get(uri).body(Vec::new()).unwrap();
    let lines = client.request_stream(request).await.unwrap().lines();
    let lines: Vec<String> = lines.try_collect().await.unwrap();
    lines.iter().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn told(events: &[Value]) -> Vec<(String, String, String)> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    events
        .iter()
        .map(|e| {
            let meta = &e["object"]["metadata"];
            (text(&e["type"]), text(&meta["name"]), text(&meta["resourceVersion"]))
        })
        .collect()
}

fn code<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> u16 {
    match result {
        Err(kube::Error::Api(status)) => status.code,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_watcher_with_a_selector_sees_entering_and_leaving_as_life_and_death() {
    let (_server, client) = server();
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let created = maps
        .create(&PostParams::default(), &config_map("a", &json!({})))
        .await
        .unwrap();
    let since = created.metadata.resource_version.unwrap();
    for labels in [json!({"l": "1"}), json!({"l": "1", "m": "1"}), json!({"l": null})] {
        let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
        maps.patch("a", &PatchParams::default(), &patch).await.unwrap();
    }
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    let events = watch(
        &client,
        &format!("labelSelector=l%3D1&resourceVersion={since}&timeoutSeconds=5"),
    )
    .await;
    let base: u64 = since.parse().unwrap();
    let expected: Vec<_> = [("ADDED", 1), ("MODIFIED", 2), ("DELETED", 3)]
        .map(|(kind, n)| (kind.to_owned(), "a".to_owned(), (base + n).to_string()))
        .into();
    assert_eq!(told(&events), expected);
    assert_eq!(events[2]["object"]["metadata"]["labels"], json!({"l": "1", "m": "1"}));
    let events = watch(&client, &format!("resourceVersion={since}&timeoutSeconds=5")).await;
    assert_eq!(events.last().unwrap()["type"], "DELETED");
    assert_eq!(told(&events).last().unwrap().2, (base + 4).to_string());
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_a_forgotten_version_says_410_in_its_stream() {
    let (server, client) = server();
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    maps.create(&PostParams::default(), &config_map("a", &json!({})))
        .await
        .unwrap();
    server.compact();
    let events = watch(&client, "resourceVersion=1&timeoutSeconds=5").await;
    assert_eq!(events.len(), 1);
    assert_eq!(
        (&events[0]["type"], &events[0]["object"]["code"]),
        (&json!("ERROR"), &json!(410))
    );
    assert_eq!(events[0]["object"]["reason"], "Expired");
}

#[tokio::test(start_paused = true)]
async fn a_streaming_list_ends_with_its_bookmark_and_a_quiet_watch_gets_one_a_minute() {
    let (_server, client) = server();
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    maps.create(&PostParams::default(), &config_map("a", &json!({})))
        .await
        .unwrap();
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&resourceVersion=0";
    let events = watch(&client, &format!("{query}&timeoutSeconds=90")).await;
    let kinds: Vec<&str> = events.iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["ADDED", "BOOKMARK", "BOOKMARK", "BOOKMARK"]);
    let annotations = &events[1]["object"]["metadata"]["annotations"];
    assert_eq!(annotations["k8s.io/initial-events-end"], "true");
    assert!(events[2]["object"]["metadata"]["annotations"].is_null());
    assert!(
        events
            .iter()
            .all(|e| e["object"]["metadata"]["resourceVersion"].is_string())
    );
}

#[tokio::test(start_paused = true)]
async fn a_watch_hears_of_a_write_that_comes_while_it_waits() {
    let (_server, client) = server();
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let writer = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        maps.create(&PostParams::default(), &config_map("late", &json!({})))
            .await
            .unwrap();
    };
    let (events, ()) = tokio::join!(watch(&client, "resourceVersion=0&timeoutSeconds=10"), writer);
    assert_eq!(told(&events)[0].1, "late");
}

#[tokio::test(start_paused = true)]
async fn pages_come_from_one_snapshot_and_expire_with_it() {
    let (server, client) = server();
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    for name in ["c", "a", "b"] {
        maps.create(&PostParams::default(), &config_map(name, &json!({})))
            .await
            .unwrap();
    }
    let first = maps.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(first.metadata.remaining_item_count, Some(1));
    let token = first.metadata.continue_.clone().unwrap();
    maps.delete("c", &DeleteParams::default()).await.unwrap();
    let second = maps
        .list(&ListParams::default().limit(2).continue_token(&token))
        .await
        .unwrap();
    assert_eq!(second.items[0].metadata.name.as_deref(), Some("c"));
    assert_eq!(second.metadata.resource_version, first.metadata.resource_version);
    server.compact();
    let late = maps.list(&ListParams::default().limit(2).continue_token(&token)).await;
    assert_eq!(code(late), 410);
}

#[tokio::test(start_paused = true)]
async fn preconditions_of_writes_and_deletes_are_kept() {
    let (_server, client) = server();
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let seen = maps
        .create(&PostParams::default(), &config_map("a", &json!({})))
        .await
        .unwrap();
    let patch = Patch::Merge(json!({"metadata": {"labels": {"l": "1"}}}));
    maps.patch("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(code(maps.replace("a", &PostParams::default(), &seen).await), 409);
    for preconditions in [
        Preconditions {
            uid: Some("another".into()),
            resource_version: None,
        },
        Preconditions {
            uid: None,
            resource_version: seen.metadata.resource_version.clone(),
        },
    ] {
        let params = DeleteParams {
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        assert_eq!(code(maps.delete("a", &params).await), 409);
    }
    let mut unconditional = seen.clone();
    unconditional.metadata.resource_version = None;
    maps.replace("a", &PostParams::default(), &unconditional).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_running_pod_keeps_its_grace_until_its_node_lets_it_go() {
    let (_server, client) = server();
    let pods: Api<Pod> = Api::default_namespaced(client);
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "p"},
        "spec": {"nodeName": "n", "terminationGracePeriodSeconds": 60, "containers": [{"name": "c", "image": "i"}]},
    }))
    .unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();
    pods.delete("p", &DeleteParams::default()).await.unwrap();
    let marked = pods.get("p").await.unwrap().metadata;
    assert_eq!(marked.deletion_grace_period_seconds, Some(60));
    let longer = DeleteParams::default().grace_period(90);
    pods.delete("p", &longer).await.unwrap();
    assert_eq!(
        pods.get("p").await.unwrap().metadata.resource_version,
        marked.resource_version
    );
    pods.delete("p", &DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    assert!(pods.get_opt("p").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_namespace_waits_for_its_finalizer_and_takes_nothing_new() {
    let (_server, client) = server();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let named: Namespace = serde_json::from_value(json!({"metadata": {"name": "n"}})).unwrap();
    namespaces.create(&PostParams::default(), &named).await.unwrap();
    namespaces.delete("n", &DeleteParams::default()).await.unwrap();
    let mut going = namespaces.get("n").await.unwrap();
    assert_eq!(going.status.as_ref().unwrap().phase.as_deref(), Some("Terminating"));
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "n");
    assert_eq!(
        code(maps.create(&PostParams::default(), &config_map("a", &json!({}))).await),
        403
    );
    let absent: Api<ConfigMap> = Api::namespaced(client, "absent");
    assert_eq!(
        code(
            absent
                .create(&PostParams::default(), &config_map("a", &json!({})))
                .await
        ),
        404
    );
    going.spec = None;
    namespaces
        .replace_subresource("finalize", "n", &PostParams::default(), &going)
        .await
        .unwrap();
    assert!(namespaces.get_opt("n").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn generated_names_differ_and_duplicate_names_do_not_pass() {
    let (_server, client) = server();
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let generated: ConfigMap = serde_json::from_value(json!({"metadata": {"generateName": "g-"}})).unwrap();
    let a = maps.create(&PostParams::default(), &generated).await.unwrap();
    let b = maps.create(&PostParams::default(), &generated).await.unwrap();
    assert_ne!(a.metadata.name, b.metadata.name);
    let again = maps
        .create(
            &PostParams::default(),
            &config_map(&a.metadata.name.unwrap(), &json!({})),
        )
        .await;
    assert_eq!(code(again), 409);
}

#[tokio::test(start_paused = true)]
async fn foreground_and_orphan_wait_as_finalizers() {
    let (_server, client) = server();
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    for (params, finalizer) in [
        (DeleteParams::foreground(), "foregroundDeletion"),
        (DeleteParams::orphan(), "orphan"),
    ] {
        maps.create(&PostParams::default(), &config_map("a", &json!({})))
            .await
            .unwrap();
        maps.delete("a", &params).await.unwrap();
        let waiting = maps.get("a").await.unwrap();
        assert_eq!(waiting.metadata.finalizers, Some(vec![finalizer.to_owned()]));
        let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        maps.patch("a", &PatchParams::default(), &patch).await.unwrap();
        assert!(maps.get_opt("a").await.unwrap().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_bound_once() {
    let (_server, client) = server();
    let pods: Api<Pod> = Api::default_namespaced(client);
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]},
    }))
    .unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();
    let bind = |node: &str| {
        let body = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": node}});
        let request = Request::post("/api/v1/namespaces/default/pods/p/binding").body(body.to_string().into_bytes());
        request.unwrap()
    };
    let client = pods.clone().into_client();
    client.request::<Value>(bind("n")).await.unwrap();
    assert_eq!(code(client.request::<Value>(bind("m")).await), 409);
    let bound = pods.get("p").await.unwrap();
    assert_eq!(bound.spec.unwrap().node_name.as_deref(), Some("n"));
    assert_eq!(bound.status.unwrap().conditions.unwrap()[0].type_, "PodScheduled");
}

#[tokio::test(start_paused = true)]
async fn events_are_kept_for_an_hour_and_read_in_both_versions() {
    let clock = std::sync::Arc::new(crate::apiserver::ManualClock::new(
        "2026-01-01T00:00:00Z".parse().unwrap(),
    ));
    let server = Server::new(Options {
        clock: std::sync::Arc::clone(&clock) as _,
        ..Options::default()
    });
    let client = server.client("default");
    let event = |name: &str| -> k8s_openapi::api::core::v1::Event {
        serde_json::from_value(json!({
            "metadata": {"name": name}, "reason": "r", "message": "m", "type": "Normal",
            "involvedObject": {"kind": "ConfigMap", "name": "c", "namespace": "default"},
        }))
        .unwrap()
    };
    let events: Api<k8s_openapi::api::core::v1::Event> = Api::default_namespaced(client.clone());
    events.create(&PostParams::default(), &event("old")).await.unwrap();
    let newer: Api<k8s_openapi::api::events::v1::Event> = Api::default_namespaced(client);
    let same = newer.get("old").await.unwrap();
    assert_eq!(
        (same.note.as_deref(), same.regarding.unwrap().name.as_deref()),
        (Some("m"), Some("c"))
    );
    clock.set("2026-01-01T02:00:00Z".parse().unwrap());
    events.create(&PostParams::default(), &event("new")).await.unwrap();
    let fields = ListParams::default().fields("involvedObject.name=c");
    let left = events.list(&fields).await.unwrap();
    assert_eq!(left.items.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_definition_goes_after_its_instances_and_takes_its_resource_along() {
    let (_server, client) = server();
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let things = "/apis/example.com/v1/namespaces/default/things";
    let send = |method: &str, path: String, body: Value| {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(
                "content-type",
                if method == "PATCH" {
                    "application/merge-patch+json"
                } else {
                    "application/json"
                },
            )
            .body(body.to_string().into_bytes())
            .unwrap();
        client.request::<Value>(request)
    };
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }}}],
        },
    });
    send("POST", definitions.into(), definition).await.unwrap();
    let thing = json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t", "finalizers": ["example.com/f"]}});
    send("POST", things.into(), thing.clone()).await.unwrap();
    send("DELETE", format!("{definitions}/things.example.com"), json!({}))
        .await
        .unwrap();
    let going = send("GET", format!("{definitions}/things.example.com"), Value::Null)
        .await
        .unwrap();
    assert_eq!(
        going["metadata"]["finalizers"][0],
        "customresourcecleanup.apiextensions.k8s.io"
    );
    assert_eq!(code(send("POST", things.into(), thing).await), 403);
    send(
        "PATCH",
        format!("{things}/t"),
        json!({"metadata": {"finalizers": null}}),
    )
    .await
    .unwrap();
    assert_eq!(
        code(send("GET", format!("{definitions}/things.example.com"), Value::Null).await),
        404
    );
    assert_eq!(code(send("GET", things.into(), Value::Null).await), 404);
}
