//! `GET /v1/reconciles`: the flight recorder.

use serde::{Deserialize, Serialize};

use crate::{Kind, Timestamp, clusters::PlannedAction};

/// Answer of `GET /v1/reconciles`, newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReconcileList {
    /// The records asked for.
    pub items: Vec<Reconcile>,
    /// Records that the ring holds now.
    pub kept: u64,
    /// Reconciles since the start, kept or not.
    pub total: u64,
}

/// How a reconcile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Desired and observed agree.
    Converged,
    /// Something was changed.
    Changed,
    /// Nothing to do until something else happens.
    Waiting,
    /// Left at once by the fast path.
    Skipped,
    /// Ended with an error; the key is tried again.
    Failed,
    /// Ended with an error that only a new generation can heal.
    Terminal,
    /// The object is gone.
    Gone,
}

/// One reconcile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reconcile {
    /// Id, also in every log line of the run.
    pub id: String,
    /// Kind of the custom resource.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its generation, if it was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// What put the key into the queue, as `cluster changed` or `requeue`.
    pub trigger: String,
    /// When the run began.
    pub started_at: Timestamp,
    /// Seconds the key waited in the queue.
    pub queue_seconds: f64,
    /// Seconds the run took.
    pub seconds: f64,
    /// Seconds per phase: fetch, diff, apply, bolt, status.
    pub phases: Vec<PhaseSeconds>,
    /// Requests to the API server, by verb and resource.
    pub api_requests: Vec<ApiRequests>,
    /// Reads of objects, by kind and by who answered them.
    #[serde(default)]
    pub reads: Vec<ObjectReads>,
    /// What was planned and how each action ended.
    pub actions: Vec<PlannedAction>,
    /// How it ended.
    pub outcome: Outcome,
    /// Category of the error, as in the label `error_type`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
    /// What went wrong, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When the key runs again by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_run: Option<Timestamp>,
}

/// Reads of one kind in a reconcile that were answered alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReads {
    /// The kind.
    pub kind: Kind,
    /// `get` or `list`.
    pub verb: String,
    /// `cache`, `live`, `fallback` or `bypass`.
    pub source: String,
    /// How many.
    pub count: u32,
}

/// Time of one phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhaseSeconds {
    /// `fetch`, `diff`, `apply`, `bolt` or `status`.
    pub phase: String,
    /// Seconds.
    pub seconds: f64,
}

/// Requests of one verb on one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiRequests {
    /// `get`, `list`, `create`, `patch`, …
    pub verb: String,
    /// Lower-case plural.
    pub resource: String,
    /// How many.
    pub count: u32,
}
