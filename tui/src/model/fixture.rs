//! A world for tests: samples of a small daemon, one second apart.

use std::{fmt::Write, sync::Arc};

use neo4j_operator_shared::{
    Kind, Span, Strategy, Timestamp,
    cache::{Cache, Form, KindCache, Reads},
    clusters::{Cluster, ClusterList, DatabaseCounts, ServerCounts},
    events::{Event, Payload, Severity},
    goals::GoalId,
    golden,
    reconciles::Outcome,
    status::{KindStrategy, Listeners, StartupPhase, Status},
    switch::{Operation, OperationState, Strategies},
};
use tokio::time::{Duration, Instant};

use super::Model;
use crate::source::{
    LinkReport, Sample, StreamItem,
    page::{Fetched, PageItem},
    prom::Scrape,
};

/// A fixed time of day, so that screens are the same in every run.
pub fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_276_000 + second).unwrap()
}

/// The sample that a daemon gives `second` seconds after the first.
pub fn sample(start: Instant, second: u32) -> Sample {
    let n = f64::from(second);
    let value = |goal: GoalId| match goal {
        GoalId::Startup => Some(0.4),
        GoalId::MemoryBase | GoalId::MemoryLoad => Some(24e6 + n * 1e5),
        GoalId::Reconcile => Some(0.21),
        GoalId::HitRate => Some(0.764),
        GoalId::ApiRate => Some(4.1),
        GoalId::Scaling => None,
    };
    Sample {
        at: start + Duration::from_secs(u64::from(second)),
        scrape: Scrape::parse(&exposition(second)),
        status: Status {
            version: "0.1.0".into(),
            boot_id: "b1".into(),
            started_at: time(-3_600),
            now: time(i64::from(second)),
            uptime: Span(Duration::from_secs(3_600 + u64::from(second))),
            ready: true,
            leader: true,
            read_only: false,
            strategy: Strategy::Selective,
            strategies: vec![KindStrategy {
                kind: Kind::Pod,
                strategy: Strategy::Selective,
            }],
            startup: vec![StartupPhase {
                phase: "ready".into(),
                seconds: Some(0.4),
            }],
            goals: GoalId::ALL.into_iter().map(|goal| goal.judge(value(goal))).collect(),
            listeners: Listeners {
                metrics: "127.0.0.1:8082".into(),
                health: "127.0.0.1:8081".into(),
                control: "127.0.0.1:8083".into(),
            },
            namespaces: vec![],
            kubernetes: Some("v1.33.0+embedded".into()),
        },
        clusters: ClusterList {
            items: vec![ready_cluster(), forming_cluster()],
        },
        cache: Cache {
            strategy: Strategy::Selective,
            hit_rate: Some(0.764),
            objects: 412,
            bytes: 210_000,
            budget: None,
            operation: None,
            kinds: vec![KindCache {
                kind: Kind::Pod,
                strategy: Strategy::Selective,
                pinned: false,
                form: Form::Projection,
                selector: Some("neo4j.com/cluster".into()),
                objects: 9,
                bytes: 4_500,
                budget: None,
                decoded_bytes: 0,
                reads: Reads {
                    hit: 80,
                    miss: 20,
                    fallback: 1,
                    bypass: 0,
                },
                misses: std::collections::BTreeMap::new(),
                hit_rate: Some(0.8),
                lists: 1,
                synced: true,
                age: Some(Span(Duration::from_secs(2))),
                unread: Some(Span(Duration::from_secs(1))),
            }],
        },
    }
}

fn exposition(second: u32) -> String {
    let mut text = String::from("# TYPE neo4j_operator_reconciliation_duration_seconds histogram\n");
    let labels = "controller=\"cluster\",resource=\"neo4jenterpriseclusters\",namespace=\"prod\"";
    let n = second + 1;
    for (bound, count) in [("0.064", 8 * n), ("0.128", 9 * n), ("0.256", 10 * n), ("+Inf", 10 * n)] {
        let _ = writeln!(
            text,
            "neo4j_operator_reconciliation_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {count}"
        );
    }
    let _ = writeln!(
        text,
        "neo4j_operator_memory_usage_bytes{{component=\"rss\"}} {}",
        24_000_000 + second * 100_000
    );
    let _ = writeln!(
        text,
        "neo4j_operator_memory_usage_bytes{{component=\"allocated\"}} 15000000"
    );
    let _ = writeln!(
        text,
        "neo4j_operator_memory_usage_bytes{{component=\"retained\"}} 3000000"
    );
    let _ = writeln!(
        text,
        "neo4j_operator_cache_misses_total{{resource_type=\"pods\",reason=\"cold\"}} {}",
        60 + second
    );
    let _ = writeln!(
        text,
        "neo4j_operator_cache_misses_total{{resource_type=\"pods\",reason=\"stale\"}} 10"
    );
    let _ = writeln!(
        text,
        "workqueue_depth{{name=\"cluster\",controller=\"cluster\",priority=\"user\"}} {}",
        second % 7
    );
    let _ = writeln!(
        text,
        "workqueue_adds_total{{name=\"cluster\",controller=\"cluster\"}} {}",
        38 * second
    );
    let _ = writeln!(
        text,
        "workqueue_retries_total{{name=\"cluster\",controller=\"cluster\"}} 2"
    );
    text.push_str("# TYPE workqueue_work_duration_seconds histogram\n");
    let _ = writeln!(
        text,
        "workqueue_work_duration_seconds_bucket{{name=\"cluster\",le=\"+Inf\"}} {}",
        39 * second
    );
    let _ = writeln!(
        text,
        "workqueue_work_duration_seconds_count{{name=\"cluster\"}} {}",
        39 * second
    );
    let _ = writeln!(
        text,
        "neo4j_operator_queue_oldest_seconds{{controller=\"cluster\"}} 0.6"
    );
    let _ = writeln!(
        text,
        "neo4j_operator_reconciliation_errors_total{{controller=\"cluster\",error_type=\"timeout\"}} 2"
    );
    let _ = writeln!(
        text,
        "rest_client_requests_total{{code=\"200\",method=\"GET\",host=\"apiserver\"}} {}",
        4 * second
    );
    text
}

fn ready_cluster() -> Cluster {
    Cluster {
        namespace: "prod".into(),
        name: "graph".into(),
        phase: "Ready".into(),
        ready: true,
        generation: 2,
        observed_generation: Some(2),
        version: Some("5.26.0".into()),
        servers: ServerCounts {
            desired: 3,
            ready: 3,
            enabled: Some(3),
        },
        databases: Some(DatabaseCounts { total: 3, online: 3 }),
        step: None,
        waiting_for: None,
        waiting_since: None,
        conditions: vec![],
        plan: vec![],
        server_list: vec![],
        database_list: vec![],
    }
}

fn forming_cluster() -> Cluster {
    Cluster {
        name: "logs".into(),
        phase: "Forming".into(),
        ready: false,
        servers: ServerCounts {
            desired: 3,
            ready: 2,
            enabled: Some(1),
        },
        databases: None,
        step: Some("Formation: wait for pods".into()),
        waiting_for: Some("pod logs-server-2 to become ready".into()),
        waiting_since: Some(time(0)),
        ..ready_cluster()
    }
}

/// An event of the stream.
pub fn event(second: i64, severity: Severity, message: &str) -> Event {
    Event {
        time: time(second),
        severity,
        cluster: Some("prod/graph".into()),
        message: message.into(),
        payload: Payload::Reconcile {
            id: "r1".into(),
            kind: Kind::Neo4jEnterpriseCluster,
            namespace: "prod".into(),
            name: "graph".into(),
            outcome: Outcome::Converged,
            seconds: 0.01,
        },
    }
}

/// A model that was live for half a minute.
pub fn live(start: Instant) -> Model {
    let mut model = Model::default();
    for second in 0..30 {
        model.link(LinkReport::Up(Arc::new(sample(start, second))));
    }
    let events = [
        (Severity::Info, "reconciled in 10 ms"),
        (Severity::Warning, "pod graph-server-1 is not ready"),
        (Severity::Error, "API server: 503"),
    ];
    for (sequence, (severity, message)) in events.into_iter().enumerate() {
        let event = event(sequence as i64, severity, message);
        model.stream(StreamItem::Event(Some(format!("b1-{}", sequence + 1)), Box::new(event)));
    }
    model
}

/// What the pages ask for, as a daemon gave it; no change of strategy is under way.
pub fn pages(model: &mut Model, at: Instant) {
    let mut strategies: Strategies = serde_json::from_str(golden::STRATEGIES).unwrap();
    strategies.operation = None;
    model.page(PageItem::Strategies(at, Fetched::Got(Arc::new(strategies))));
    let memory = serde_json::from_str(golden::MEMORY).unwrap();
    model.page(PageItem::Memory(at, Fetched::Got(Arc::new(memory))));
}

/// A change of strategy.
pub fn operation(state: OperationState) -> Operation {
    let golden: Operation = serde_json::from_str(golden::OPERATION).unwrap();
    Operation { state, ..golden }
}
