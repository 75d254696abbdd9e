//! Bad requests get clear answers, and the client of the daemon gets what it asks for.

use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tower::Service as _;

use super::*;
use crate::apiserver::Options;

async fn send(server: &Server, method: &str, path: &str, content_type: &str, body: &str) -> (u16, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content_type)
        .body(Full::new(Bytes::from(body.to_owned())))
        .unwrap();
    let response: Response<ReplyBody> = Door::acting_as(server.clone(), User::admin())
        .call(request)
        .await
        .unwrap();
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let value = serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
    (code, value)
}

fn config_map(name: &str, data: &Value) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": data})).unwrap()
}

#[tokio::test(start_paused = true)]
async fn bad_requests_are_refused_with_their_reason() {
    let server = Server::new(Options::default());
    let maps = "/api/v1/namespaces/default/configmaps";
    let big = format!("{{\"data\":\"{}\"}}", "x".repeat(body::MAX));
    for (method, path, media, body, code, reason) in [
        ("POST", maps, "application/json", "{\"kind\": ", 400, "BadRequest"),
        ("POST", maps, "application/json", "[]", 400, "BadRequest"),
        (
            "POST",
            maps,
            "application/vnd.kubernetes.protobuf",
            "k8s",
            400,
            "BadRequest",
        ),
        (
            "POST",
            maps,
            "application/vnd.kubernetes.protobuf",
            "k8s\u{0}\n\u{9}\n\u{2}v1\u{12}\u{3}Pod",
            415,
            "UnsupportedMediaType",
        ),
        ("POST", maps, "application/json", &big, 413, "RequestEntityTooLarge"),
        ("POST", maps, "application/json", "{\"metadata\":{}}", 422, "Invalid"),
        (
            "POST",
            maps,
            "application/json",
            "{\"metadata\":{\"name\":\"a\"},\"data\":{\"a\":1}}",
            400,
            "BadRequest",
        ),
        (
            "POST",
            maps,
            "application/json",
            "{\"metadata\":{\"name\":\"a\"},\"data\":false}",
            400,
            "BadRequest",
        ),
        (
            "POST",
            maps,
            "application/json",
            "{\"metadata\":{\"name\":\"A!\"}}",
            422,
            "Invalid",
        ),
        ("PUT", maps, "application/json", "{}", 405, "MethodNotAllowed"),
        ("GET", "/api/v1/namespaces/default/nothings", "", "", 404, "NotFound"),
        (
            "GET",
            "/api/v1/namespaces/default/configmaps?labelSelector=%3D%3D",
            "",
            "",
            400,
            "BadRequest",
        ),
        (
            "GET",
            "/api/v1/pods?fieldSelector=spec.nothing%3D1",
            "",
            "",
            400,
            "BadRequest",
        ),
        ("GET", "/api/v1/configmaps?limit=x", "", "", 400, "BadRequest"),
        ("GET", "/api/v1/configmaps?continue=nonsense", "", "", 400, "BadRequest"),
        (
            "GET",
            "/api/v1/configmaps?resourceVersionMatch=Maybe",
            "",
            "",
            422,
            "Invalid",
        ),
        (
            "PATCH",
            "/api/v1/namespaces/default/configmaps/a",
            "application/json",
            "{}",
            415,
            "UnsupportedMediaType",
        ),
        (
            "PATCH",
            "/api/v1/namespaces/default/configmaps/a",
            "application/merge-patch+json",
            "{",
            400,
            "BadRequest",
        ),
        (
            "DELETE",
            "/api/v1/namespaces/default/configmaps/a?propagationPolicy=Maybe",
            "",
            "",
            422,
            "Invalid",
        ),
    ] {
        let (got, answer) = send(&server, method, path, media, body).await;
        assert_eq!(
            (got, answer["reason"].as_str()),
            (code, Some(reason)),
            "{method} {path}: {answer}"
        );
        assert!(!answer["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(send(&server, "GET", "/nowhere", "", "").await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn a_kube_client_creates_changes_lists_and_deletes_in_process() {
    let server = Server::new(Options::default());
    let maps: Api<ConfigMap> = Api::default_namespaced(server.client("default"));
    let created = maps
        .create(&PostParams::default(), &config_map("a", &json!({"k": "1"})))
        .await
        .unwrap();
    assert!(created.metadata.uid.is_some());
    let apply = PatchParams::apply("test").force();
    let patch = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "2"}});
    let changed = maps.patch("a", &apply, &Patch::Apply(&patch)).await.unwrap();
    assert_ne!(changed.metadata.resource_version, created.metadata.resource_version);
    let again = maps.patch("a", &apply, &Patch::Apply(&patch)).await.unwrap();
    assert_eq!(again.metadata.resource_version, changed.metadata.resource_version);
    assert_eq!(maps.list(&ListParams::default()).await.unwrap().items.len(), 1);
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(maps.get_opt("a").await.unwrap().is_none());
    let writes = server.requests().iter().filter(|r| r.is_write()).count();
    assert_eq!(writes, 4);
}

#[tokio::test]
async fn the_loopback_door_asks_for_the_token_and_closes_in_time() {
    let server = Server::new(Options::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = tokio_util::sync::CancellationToken::new();
    let serving = tokio::spawn({
        let (server, shutdown) = (server.clone(), shutdown.clone());
        async move { server.serve(listener, shutdown).await }
    });
    let options = kube::config::KubeConfigOptions::default();
    let config = |text: &str| {
        let kubeconfig = kube::config::Kubeconfig::from_yaml(text).unwrap();
        kube::Config::from_custom_kubeconfig(kubeconfig, &options)
    };
    let text = server.kubeconfig(address);
    let known = kube::Client::try_from(config(&text).await.unwrap()).unwrap();
    let names = Api::<Namespace>::all(known).list(&ListParams::default()).await.unwrap();
    assert_eq!(names.items.len(), 2);
    let wrong = text.replace("token: ", "token: x");
    let stranger = kube::Client::try_from(config(&wrong).await.unwrap()).unwrap();
    let refused = Api::<Namespace>::all(stranger).list(&ListParams::default()).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 401));
    shutdown.cancel();
    tokio::time::timeout(std::time::Duration::from_secs(5), serving)
        .await
        .expect("the server ends soon after it is told to")
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_row_carries_as_much_of_its_object_as_the_client_asks_for() {
    let server = Server::new(Options::default());
    let maps = "/api/v1/namespaces/default/configmaps";
    let body = r#"{"metadata":{"name":"a"},"data":{"k":"v"}}"#;
    assert_eq!(send(&server, "POST", maps, "application/json", body).await.0, 201);
    let rows = async |query: &str| {
        let request = Request::builder()
            .uri(format!("{maps}{query}"))
            .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
            .body(Full::new(Bytes::new()))
            .unwrap();
        let response = Door::acting_as(server.clone(), User::admin())
            .call(request)
            .await
            .unwrap();
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (
            code,
            serde_json::from_slice::<Value>(&bytes).unwrap()["rows"][0]["object"].clone(),
        )
    };
    let (_, metadata) = rows("").await;
    assert_eq!(
        (&metadata["kind"], &metadata["data"]),
        (&json!("PartialObjectMetadata"), &Value::Null)
    );
    let (_, object) = rows("?includeObject=Object").await;
    assert_eq!(
        (&object["kind"], &object["data"]["k"]),
        (&json!("ConfigMap"), &json!("v"))
    );
    assert_eq!(rows("?includeObject=None").await.1, Value::Null);
    assert_eq!(rows("?includeObject=Everything").await.0, 400);
}

/// A body of so many bytes in frames of 64 KiB, and what was read of it.
fn streamed(bytes: usize, taken: &Arc<AtomicUsize>) -> impl http_body::Body<Data = Bytes, Error = Infallible> + use<> {
    const FRAME: usize = 64 << 10;
    let taken = Arc::clone(taken);
    StreamBody::new(futures::stream::iter((0..bytes / FRAME).map(move |_| {
        taken.fetch_add(FRAME, Ordering::Relaxed);
        Ok(http_body::Frame::data(Bytes::from(vec![b' '; FRAME])))
    })))
}

/// What is left unread resets the connection before the client has seen the answer.
#[tokio::test(start_paused = true)]
async fn a_body_is_read_to_its_end_before_it_is_refused_unless_it_has_none() {
    let server = Server::new(Options::default());
    let maps = "/api/v1/namespaces/default/configmaps";
    for (door, code, bytes, read) in [
        (Door::acting_as(server.clone(), User::admin()), 413, 8 << 20, 8 << 20),
        (
            Door::acting_as(server.clone(), User::admin()),
            413,
            1 << 30,
            (16 << 20) + (64 << 10),
        ),
        (Door::guarded(server.clone()), 403, 2 << 20, 2 << 20),
    ] {
        let taken = Arc::new(AtomicUsize::new(0));
        let request = Request::post(maps).body(streamed(bytes, &taken)).unwrap();
        let answer = door.clone().call(request).await.unwrap();
        assert_eq!((answer.status().as_u16(), taken.load(Ordering::Relaxed)), (code, read));
    }
}
