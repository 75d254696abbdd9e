//! `GET /v1/clusters` and `GET /v1/clusters/{namespace}/{name}`: what a cluster is doing, and why.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Answer of `GET /v1/clusters`, ordered by namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterList {
    /// One row per Neo4jEnterpriseCluster.
    pub items: Vec<Cluster>,
}

/// One Neo4j cluster as the operator last saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// Namespace of the resource.
    pub namespace: String,
    /// Name of the resource.
    pub name: String,
    /// `status.phase`, or `Pending` before the first reconcile.
    pub phase: String,
    /// Whether the condition Ready is true for this generation.
    pub ready: bool,
    /// `metadata.generation`.
    pub generation: i64,
    /// `status.observedGeneration`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Version of the servers, from the image tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Counts of servers.
    pub servers: ServerCounts,
    /// Counts of databases; absent while Neo4j was not asked yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub databases: Option<DatabaseCounts>,
    /// The step that runs, as `Formation: enable server 2 of 3`; absent when nothing is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What the step waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// Since when it waits for just that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<Timestamp>,
    /// The conditions of the status.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// Actions of the last plan that had any, with their results. Only in the answer for one cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<PlannedAction>,
    /// Servers as Neo4j names them. Only in the answer for one cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub server_list: Vec<Server>,
    /// Databases, one row each. Only in the answer for one cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub database_list: Vec<Database>,
}

/// Servers of a cluster by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerCounts {
    /// What the spec asks for.
    pub desired: u32,
    /// Pods that are ready.
    pub ready: u32,
    /// Servers that Neo4j calls Enabled and Available; absent while Neo4j was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<u32>,
}

/// Databases of a cluster by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseCounts {
    /// Databases Neo4j lists, `system` included.
    pub total: u32,
    /// Those whose allocations are all online.
    pub online: u32,
}

/// A condition of a custom resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Its type, such as `Ready`.
    pub r#type: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word that programs can compare.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// When the status changed last.
    pub last_transition_time: Timestamp,
}

/// One action of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedAction {
    /// What is done, as `create Service` or `ENABLE SERVER`.
    pub action: String,
    /// To what, as `prod/graph-client`.
    pub target: String,
    /// Why.
    pub reason: String,
    /// `pending`, `done`, `unchanged`, `refused` or `failed`.
    pub result: ActionResult,
    /// What went wrong, for `refused` and `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How an action ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ActionResult {
    /// Not yet tried.
    Pending,
    /// Done.
    Done,
    /// Nothing had to be changed.
    Unchanged,
    /// Not allowed, such as an object of somebody else.
    Refused,
    /// Tried and failed.
    Failed,
}

/// One server of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    /// Name or id that Neo4j gives.
    pub name: String,
    /// Advertised address; null while it is deallocating.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// `Free`, `Enabled`, `Cordoned`, `Deallocating`, `Deallocated` or `Dropped`.
    pub state: String,
    /// `Available` or `Unavailable`.
    pub health: String,
    /// Databases it hosts.
    pub hosting: Vec<String>,
}

/// One database of a cluster, folded from its allocations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// Its name.
    pub name: String,
    /// `online`, `mixed`, or the one status that all allocations share.
    pub status: String,
    /// Address of the writer, if one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<String>,
    /// Primaries that are online.
    pub primaries: u32,
    /// Secondaries that are online.
    pub secondaries: u32,
}
