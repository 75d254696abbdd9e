//! Load that a test or demonstration sets, and the metrics that follow from it.

use std::time::Duration;

/// What a cluster's clients do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Queries in a second, all servers together.
    pub queries_per_second: f64,
    /// Of them, transactions that write.
    pub writes_per_second: f64,
    /// Median time of a query.
    pub latency: Duration,
    /// Open Bolt connections, all servers together.
    pub connections: u32,
    /// CPU of each server, 0 to 1.
    pub cpu: f64,
    /// How far the numbers swing around these, 0 to 1.
    pub swing: f64,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            queries_per_second: 20.0,
            writes_per_second: 2.0,
            latency: Duration::from_millis(4),
            connections: 12,
            cpu: 0.08,
            swing: 0.2,
        }
    }
}
