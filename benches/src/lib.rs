//! The worlds that the benches measure.
//!
//! Two are in one process, without a socket to the API server. [`formed`] is one cluster of three servers that is
//! ready, with a reconciler that the bench calls itself, so that a single pass can be timed and its requests counted.
//! [`operated`] is the whole operator on an API server without pods, so that what is timed is the way from a new
//! resource to its StatefulSet and nothing behind it. [`compare`] measures operators as processes on a real control plane,
//! and [`tables`] what each cache strategy costs our own one there.
//!
//! What is measured, and how the figures are read, stands in the README; the benches are in `benches/`.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{Api, api::PostParams};
use neo4j_devcluster::{apiserver::RequestRecord, cluster::Cluster, controllers};
use neo4j_operator_crds::{Neo4jEnterpriseCluster, definition::definitions};
use serde_json::json;

pub mod compare;
pub mod formed;
pub mod operated;
pub mod samples;
pub mod tables;

/// Where everything is created.
pub const NAMESPACE: &str = "bench";
/// The Secret that every cluster takes its first password from.
const ADMIN_SECRET: &str = "neo4j-admin-secret";
/// How long anything may take before a bench gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A minimal cluster of three servers.
pub fn minimal(name: &str) -> anyhow::Result<Neo4jEnterpriseCluster> {
    serde_json::from_value(json!({
        "apiVersion": "neo4j.neo4j.com/v1beta1", "kind": "Neo4jEnterpriseCluster",
        "metadata": {"name": name},
        "spec": {
            "image": {"repo": "neo4j", "tag": "2025.08.0-enterprise"},
            "acceptLicenseAgreement": "eval",
            "topology": {"servers": 3},
            "storage": {"size": "1Gi"},
            "auth": {"adminSecret": ADMIN_SECRET},
        },
    }))
    .context("the minimal cluster")
}

/// The executor of the benches: as many threads as the figures of the README were taken with.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("no runtime")
}

/// Ends what takes too long.
async fn in_time<T>(what: &str, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::time::timeout(PATIENCE, work)
        .await
        .with_context(|| format!("{what}: not within {} s", PATIENCE.as_secs()))?
}

/// What a user brings before the first cluster: definitions, a namespace, a password.
async fn prepare(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.define(&definitions()?).await?;
    let client = cluster.client(NAMESPACE);
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}}))?;
    let params = PostParams::default();
    Api::all(client.clone()).create(&params, &namespace).await?;
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {"name": ADMIN_SECRET},
        "stringData": {"username": "neo4j", "password": "only-for-benches"},
    }))?;
    Api::namespaced(client, NAMESPACE).create(&params, &secret).await?;
    Ok(())
}

/// The requests that reconciles made: without watches, events, and those of the embedded cluster's own controllers.
fn of_reconciles(cluster: &Cluster) -> impl Iterator<Item = RequestRecord> {
    let requests = cluster.server().requests().into_iter();
    requests.filter(|request| {
        !request.watch && request.resource != "events" && request.user_agent != controllers::USER_AGENT
    })
}
