//! The pool at one moment, for metrics and the control API.

use std::{sync::Arc, time::Duration};

/// The pool at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolSnapshot {
    /// Open sockets.
    pub sockets: usize,
    /// The most that may be open.
    pub sockets_limit: usize,
    /// Connections opened so far.
    pub opened: u64,
    /// Connections closed so far.
    pub closed: u64,
    /// Statements that found an open slot.
    pub reused: u64,
    /// Statements refused by a gate.
    pub refused: u64,
    /// Statements that found no slot in time.
    pub exhausted: u64,
    /// Statements sent.
    pub statements: u64,
    /// Statements that failed.
    pub errors: u64,
    /// Time spent waiting for slots, in seconds.
    pub waited_seconds: f64,
    /// Each server.
    pub endpoints: Vec<EndpointSnapshot>,
}

/// One server at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSnapshot {
    /// Uid of the cluster.
    pub cluster_uid: Arc<str>,
    /// Host that is dialled.
    pub host: Arc<str>,
    /// Slots in use.
    pub in_use: usize,
    /// Slots that wait for work.
    pub idle: usize,
    /// Callers that wait for a slot.
    pub waiting: usize,
    /// Failures in a row.
    pub failures: u32,
    /// How long nobody dials it.
    pub held_for: Option<Duration>,
}
