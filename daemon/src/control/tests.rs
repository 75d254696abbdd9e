//! The control API over a set of known facts: forms as in the golden files, errors, authentication, events.

use std::sync::Arc;

use axum::{body::Body, http::Request};
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use neo4j_operator_shared::{
    Kind, Strategy,
    cache::Cache,
    clusters::{Cluster, ClusterList},
    events::{Event, Payload, Severity},
    golden,
    memory::Memory,
    reconciles::ReconcileList,
    status::{Listeners, Status},
    switch::{QuantityError, Strategies},
    watches::WatchList,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;
use tower::ServiceExt as _;

mod writes;

use super::*;
use crate::{
    http::facts::{Facts, ResourceReady},
    memory::{manager, testing::FakeHost},
    queue::Figures,
    telemetry::{Telemetry, startup::Startup},
};

fn example<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap()
}

/// Facts from the golden files.
struct Known(Arc<Telemetry>);

impl Known {
    fn new() -> Self {
        let telemetry = Telemetry::new(Instant::now(), Timestamp::now()).unwrap();
        for phase in Startup::ALL {
            telemetry.startup.ended(phase);
        }
        let records: ReconcileList = example(golden::RECONCILES);
        // Oldest first, as they happened.
        for record in records.items.into_iter().rev() {
            telemetry.reconciled(record);
        }
        Self(Arc::new(telemetry))
    }
}

impl Facts for Known {
    fn ready(&self) -> bool {
        true
    }
    fn read_only(&self) -> bool {
        false
    }
    fn strategy(&self) -> Strategy {
        Strategy::Selective
    }
    fn cache(&self) -> Cache {
        example(golden::CACHE)
    }
    fn memory(&self) -> Memory {
        example(golden::MEMORY)
    }
    fn cache_errors(&self) -> Vec<QuantityError> {
        let strategies: Strategies = example(golden::STRATEGIES);
        strategies.errors
    }
    fn watches(&self) -> WatchList {
        example(golden::WATCHES)
    }
    fn queue(&self) -> Figures {
        Figures::default()
    }
    fn clusters(&self) -> Vec<Arc<Cluster>> {
        vec![Arc::new(example(golden::CLUSTER))]
    }
    fn resources(&self) -> Vec<ResourceReady> {
        let ready = |kind, ready| ResourceReady {
            kind,
            cluster: "default/minimal".into(),
            ready,
        };
        vec![
            ready(Kind::Neo4jEnterpriseCluster, true),
            ready(Kind::Neo4jDatabase, true),
            ready(Kind::Neo4jDatabase, false),
        ]
    }
    fn listeners(&self) -> Listeners {
        example::<Status>(golden::STATUS).listeners
    }
    fn namespaces(&self) -> Vec<String> {
        Vec::new()
    }
    fn kubernetes(&self) -> Option<String> {
        Some("v1.33.0+embedded".into())
    }
    fn telemetry(&self) -> &Telemetry {
        &self.0
    }
}

struct World {
    router: Router,
    facts: Arc<Known>,
    acts: Arc<writes::Cached>,
    memory: Arc<FakeHost>,
    manager: Manager,
    token: String,
    stop: CancellationToken,
    _file: token::TokenFile,
    _folder: tempfile::TempDir,
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own/control-1.token");
    let (file, secret) = token::TokenFile::create(&path).unwrap();
    let facts = Arc::new(Known::new());
    let acts = Arc::new(writes::Cached::default());
    let stop = CancellationToken::new();
    let memory = FakeHost::new();
    let (manager, task) = Manager::new(manager::Settings::default(), memory.clone(), Arc::clone(&facts.0));
    tokio::spawn(task.run(Arc::new(writes::NoBrakes), stop.clone()));
    World {
        router: router(facts.clone(), acts.clone(), manager.clone(), secret, stop.clone()),
        facts,
        acts,
        memory,
        manager,
        token: std::fs::read_to_string(path).unwrap(),
        stop,
        _file: file,
        _folder: folder,
    }
}

impl World {
    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let bearer = format!("Bearer {}", self.token);
        let response = self.ask("GET", path, &[("authorization", &bearer)]).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }
}

/// Names of fields and kinds of values, without the values; of a list, its first item.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
        Value::Array(items) => items.first().map_or(Value::Null, shape),
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        other => other.clone(),
    }
}

#[tokio::test]
async fn every_answer_has_the_form_of_its_golden_file() {
    let world = world();
    let golden_value = example::<Value>;
    assert_eq!(world.get("/v1/cache").await, (200, golden_value(golden::CACHE)));
    assert_eq!(world.get("/v1/memory").await, (200, golden_value(golden::MEMORY)));
    assert_eq!(world.get("/v1/watches").await, (200, golden_value(golden::WATCHES)));
    assert_eq!(
        world.get("/v1/clusters/default/minimal").await,
        (200, golden_value(golden::CLUSTER))
    );
    let (_, clusters) = world.get("/v1/clusters").await;
    let expected: ClusterList = example(golden::CLUSTERS);
    let mut row = expected.items[0].clone();
    let detailed: Cluster = example(golden::CLUSTER);
    row.conditions = detailed.conditions;
    row.waiting_for = detailed.waiting_for;
    row.waiting_since = detailed.waiting_since;
    row.step = detailed.step;
    assert_eq!(serde_json::from_value::<ClusterList>(clusters).unwrap().items[0], row);
    let (_, records) = world.get("/v1/reconciles").await;
    assert_eq!(records["items"], golden_value(golden::RECONCILES)["items"]);
    let (_, status) = world.get("/v1/status").await;
    let mut expected = shape(&golden_value(golden::STATUS));
    let mut given = shape(&status);
    // Which goals have a value differs from moment to moment.
    for value in [&mut expected, &mut given] {
        value.as_object_mut().unwrap().remove("goals");
    }
    assert_eq!(given, expected);
    let (code, problem) = world.get("/v1/nothing").await;
    assert_eq!((code, problem), (404, golden_value(golden::PROBLEM)));
}

#[tokio::test]
async fn without_the_token_nothing_is_told() {
    let world = world();
    for headers in [
        &[][..],
        &[("authorization", "Bearer wrong")],
        &[("authorization", "Basic eDp5")],
        &[("authorization", "Bearer ")],
    ] {
        for path in ["/v1/status", "/v1/events", "/v1/nothing"] {
            let response = world.ask("GET", path, headers).await;
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path} {headers:?}");
            assert!(response.headers().contains_key("www-authenticate"));
        }
    }
}

#[tokio::test]
async fn bad_questions_are_answered_with_what_to_ask() {
    let world = world();
    for (path, code, needle) in [
        ("/v1/reconciles?kind=widgets", 400, "statefulsets"),
        ("/v1/reconciles?limit=many", 400, "slowest=true"),
        ("/v1/reconciles?colour=red", 400, "filters are"),
        ("/v1/reconciles/none", 404, "/v1/reconciles"),
        ("/v1/clusters/a/b", 404, "/v1/clusters"),
        ("/v1/events?type=gossip", 400, "cluster_phase"),
        ("/v1/events?severity=loud", 400, "severity"),
    ] {
        let (status, problem) = world.get(path).await;
        assert_eq!((status, &problem["status"]), (code, &code.into()), "{path}");
        assert!(
            problem["detail"].as_str().unwrap().contains(needle),
            "{path}: {problem}"
        );
    }
    let bearer = format!("Bearer {}", world.token);
    let response = world.ask("DELETE", "/v1/cache", &[("authorization", &bearer)]).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    let bad_id = [("authorization", &*bearer), ("last-event-id", "yesterday")];
    assert_eq!(
        world.ask("GET", "/v1/events", &bad_id).await.status(),
        StatusCode::BAD_REQUEST
    );
}

fn note(message: &str, severity: Severity) -> Event {
    Event {
        time: Timestamp::now(),
        severity,
        cluster: None,
        message: message.into(),
        payload: Payload::Log { target: "t".into() },
    }
}

/// Reads the stream until a frame holds `until`.
async fn frames(response: Response, until: &str) -> Vec<String> {
    let mut body = response.into_body().into_data_stream();
    let mut text = String::new();
    while !text.contains(until) {
        let bytes = body.next().await.expect("the stream goes on").unwrap();
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    text.split("\n\n")
        .filter(|frame| !frame.is_empty())
        .map(str::to_owned)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_stream_begins_with_hello_resumes_behind_the_last_id_and_filters() {
    let world = world();
    let stream = &world.facts.telemetry().stream;
    let first = stream.id(2);
    for (message, severity) in [("calm", Severity::Info), ("alarm", Severity::Error)] {
        stream.publish(note(message, severity));
    }
    let bearer = format!("Bearer {}", world.token);
    let id = first.to_string();
    let headers = [("authorization", &*bearer), ("last-event-id", &*id)];
    let response = world.ask("GET", "/v1/events?severity=error&type=log", &headers).await;
    let frames = frames(response, "alarm").await;
    assert!(frames[0].starts_with("event: hello\n"), "{frames:?}");
    assert_eq!(frames.len(), 2, "{frames:?}");
    assert!(frames[1].contains(&format!("id: {}\n", stream.id(4))), "{frames:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_is_said_and_a_stop_ends_the_stream() {
    let world = world();
    let bearer = format!("Bearer {}", world.token);
    let headers = [("authorization", &*bearer), ("last-event-id", "other-7")];
    let response = world.ask("GET", "/v1/events", &headers).await;
    let gap = frames(response, "restarted").await;
    assert!(gap[1].starts_with("event: gap\n"), "{gap:?}");
    let response = world.ask("GET", "/v1/events", &headers).await;
    world.stop.cancel();
    let mut body = response.into_body().into_data_stream();
    while let Some(bytes) = body.next().await {
        bytes.unwrap();
    }
}

#[tokio::test]
async fn a_scrape_holds_every_family_whose_system_exists_and_only_what_was_asked_for() {
    let world = world();
    let metrics = crate::http::metrics(world.facts.clone());
    let ask = |path: &'static str| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let metrics = metrics.clone();
        async move {
            let response = metrics.oneshot(request).await.unwrap();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            String::from_utf8(body.to_vec()).unwrap()
        }
    };
    let text = ask("/metrics").await;
    let families: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let mut names: Vec<_> = families.iter().filter_map(|line| line.split(' ').next()).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "no family twice");
    // Nothing was queued, skipped, failed, changed or warmed in this world, and no request was sent.
    let silent = [
        "workqueue_depth",
        "workqueue_adds_total",
        "workqueue_retries_total",
        "workqueue_unfinished_work_seconds",
        "workqueue_longest_running_processor_seconds",
        "neo4j_operator_queue_oldest_seconds",
        "neo4j_operator_skipped_reconciliations_total",
        "rest_client_requests_total",
        // No memory was given back, and the control API was not asked.
        "neo4j_operator_memory_reclaims_total",
        "neo4j_operator_memory_reclaimed_bytes_total",
        "neo4j_operator_memory_reclaim_duration_seconds",
        "neo4j_operator_control_requests_total",
        "neo4j_operator_cache_strategy_switches_total",
        "neo4j_operator_cache_strategy_switch_duration_seconds",
        "neo4j_operator_cache_evictions_total",
        "neo4j_operator_cache_warmups_total",
    ];
    for name in neo4j_operator_shared::metrics::ALL {
        assert_eq!(names.contains(name), !silent.contains(name), "{name}");
    }
    assert!(text.contains("neo4j_operator_cr_ready{resource=\"neo4jdatabases\",cluster=\"default/minimal\"} 0\n"));
    assert!(text.contains("neo4j_operator_cluster_phase{cluster=\"default/minimal\",phase=\"Ready\"} 1\n"));
    assert!(text.contains("neo4j_operator_memory_usage_bytes{component=\"after_gc\"} 12000000\n"));
    assert!(text.contains("neo4j_operator_cache_budget_bytes 67108864\n"));
    assert!(text.contains("neo4j_operator_cache_budget_bytes{resource_type=\"pods\"} 16777216\n"));
    let _ = world.get("/v1/clusters/no/such").await;
    let counted = ask("/metrics?name[]=neo4j_operator_control_requests_total").await;
    let line = "neo4j_operator_control_requests_total{code=\"404\",endpoint=\"/v1/clusters/{namespace}/{name}\"} 1\n";
    assert!(counted.contains(line), "{counted}");
    let one = ask("/metrics?name[]=neo4j_operator_ready").await;
    assert_eq!(one.lines().count(), 3, "{one}");
}
