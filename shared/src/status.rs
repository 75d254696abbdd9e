//! `GET /v1/status`.

use serde::{Deserialize, Serialize};

use crate::{Kind, Span, Strategy, Timestamp, goals::Goal};

/// What the daemon is and how it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Version of the daemon.
    pub version: String,
    /// Random id of this process; event ids begin with it.
    pub boot_id: String,
    /// When the process started.
    pub started_at: Timestamp,
    /// The daemon's clock when it answered.
    pub now: Timestamp,
    /// How long it has been running.
    pub uptime: Span,
    /// Whether `/readyz` says yes.
    pub ready: bool,
    /// Whether this process may write. Always true without leader election.
    pub leader: bool,
    /// Whether it writes at all.
    pub read_only: bool,
    /// The strategy of kinds without one of their own.
    pub strategy: Strategy,
    /// What each kind runs now.
    pub strategies: Vec<KindStrategy>,
    /// Start-up phases in order, each with its length.
    pub startup: Vec<StartupPhase>,
    /// Goals with their values and verdicts.
    pub goals: Vec<Goal>,
    /// Where the daemon listens.
    pub listeners: Listeners,
    /// Namespaces in scope; empty means all.
    pub namespaces: Vec<String>,
    /// Version the API server gave, as `v1.36.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<String>,
}

/// The strategy in force for one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KindStrategy {
    /// The kind.
    pub kind: Kind,
    /// Its strategy.
    pub strategy: Strategy,
}

/// One phase of the start, seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartupPhase {
    /// `config`, `client`, `discovery`, `informers`, `sync`, `controllers`, `ready` or `full_sync`.
    pub phase: String,
    /// Seconds the phase took; absent while it runs or has not begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// Addresses as `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listeners {
    /// `/metrics`.
    pub metrics: String,
    /// `/healthz`, `/readyz`.
    pub health: String,
    /// `/v1/…`.
    pub control: String,
}
