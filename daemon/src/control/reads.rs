//! The answers that are one JSON document each.

use std::{str::FromStr, time::Duration};

use axum::{
    Json,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use neo4j_operator_shared::{
    Kind, Span,
    cache::Cache,
    clusters::{Cluster, ClusterList},
    reconciles::Outcome,
    status::{KindStrategy, Status},
    watches::WatchList,
};
use serde::Deserialize;

use super::{Control, problem::problem};
use crate::{http::facts::Facts, telemetry::recorder};

pub(super) async fn status(State(control): State<Control>) -> Json<Status> {
    Json(status_of(control.facts.as_ref()))
}

fn status_of(facts: &dyn Facts) -> Status {
    let telemetry = facts.telemetry();
    let now = Timestamp::now();
    let uptime = Duration::try_from(now.duration_since(telemetry.started_at)).unwrap_or_default();
    let cache = facts.cache();
    let strategies = cache.kinds.iter().map(|kind| KindStrategy {
        kind: kind.kind,
        strategy: kind.strategy,
    });
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: telemetry.stream.boot_id().to_owned(),
        started_at: telemetry.started_at,
        now,
        uptime: Span(Duration::from_secs(uptime.as_secs())),
        ready: facts.ready(),
        // There is no election in this version: one daemon, which may write.
        leader: true,
        read_only: facts.read_only(),
        strategy: facts.strategy(),
        strategies: strategies.collect(),
        startup: telemetry.startup.phases(),
        goals: telemetry.goals(facts.goal_inputs()),
        listeners: facts.listeners(),
        namespaces: facts.namespaces(),
        kubernetes: facts.kubernetes(),
    }
}

/// The list has one row per cluster without its details.
pub(super) async fn clusters(State(control): State<Control>) -> Json<ClusterList> {
    let rows = control.facts.clusters().into_iter().map(|cluster| Cluster {
        plan: Vec::new(),
        server_list: Vec::new(),
        database_list: Vec::new(),
        ..(*cluster).clone()
    });
    Json(ClusterList { items: rows.collect() })
}

pub(super) async fn cluster(
    State(control): State<Control>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    let mut clusters = control.facts.clusters().into_iter();
    match clusters.find(|cluster| cluster.namespace == namespace && cluster.name == name) {
        Some(cluster) => Json(&*cluster).into_response(),
        None => problem(
            StatusCode::NOT_FOUND,
            &format!("no Neo4jEnterpriseCluster {namespace}/{name} was reconciled; /v1/clusters lists those that were"),
        ),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ReconcileQuery {
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    outcome: Option<Outcome>,
    slowest: bool,
    limit: Option<usize>,
}

pub(super) async fn reconciles(
    State(control): State<Control>,
    query: Result<Query<ReconcileQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Query(query) = match query {
        Ok(query) => query,
        Err(error) => {
            return problem(
                StatusCode::BAD_REQUEST,
                &format!(
                    "{}; the filters are kind, namespace, name, outcome, slowest=true and limit",
                    error.body_text()
                ),
            );
        }
    };
    let kind = match query.kind.as_deref().map(Kind::from_str).transpose() {
        Ok(kind) => kind,
        Err(error) => return problem(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let query = recorder::Query {
        kind,
        namespace: query.namespace,
        name: query.name,
        outcome: query.outcome,
        slowest: query.slowest,
        limit: query.limit,
    };
    Json(control.facts.telemetry().recorder.list(&query)).into_response()
}

pub(super) async fn reconcile(State(control): State<Control>, Path(id): Path<String>) -> Response {
    match control.facts.telemetry().recorder.get(&id) {
        Some(record) => Json(&*record).into_response(),
        None => problem(
            StatusCode::NOT_FOUND,
            "no reconcile with that id is kept any more; /v1/reconciles lists those that are",
        ),
    }
}

pub(super) async fn cache(State(control): State<Control>) -> Json<Cache> {
    Json(control.facts.cache())
}

pub(super) async fn watches(State(control): State<Control>) -> Json<WatchList> {
    Json(control.facts.watches())
}
