//! The families that are observed as things happen. What can be derived from state (cache, queue, clusters)
//! is written at scrape time instead, so that it can never be stale or outlive its object.

use neo4j_operator_shared::metrics;
use prometheus::Registry;

use super::family::{Counters, Histograms, labels};

labels! {
    /// Controller, plural of the kind, namespace.
    ReconcileLabels { controller, resource, namespace }
    /// Controller, plural of the kind, category of the error.
    ErrorLabels { controller, resource, error_type }
    /// Controller, phase of the reconcile.
    PhaseLabels { controller, phase }
    /// Controller, why it was skipped.
    SkipLabels { controller, reason }
    /// HTTP status or `<error>`, HTTP method, always the same host.
    RequestLabels { code, method, host }
    /// Queue, controller.
    QueueLabels { name, controller }
    /// What brought a reclaim of memory about, what it did.
    ReclaimLabels { trigger, action }
    /// What a reclaim of memory did.
    ActionLabels { action }
    /// Template of the path, HTTP status.
    ControlLabels { endpoint, code }
}

/// Families with samples from the running operator.
pub struct Catalogue {
    pub(super) reconcile_seconds: Histograms<ReconcileLabels<'static>>,
    pub(super) reconcile_errors: Counters<ErrorLabels<'static>>,
    pub(super) phase_seconds: Histograms<PhaseLabels<'static>>,
    pub(super) skipped: Counters<SkipLabels<'static>>,
    pub(super) requests: Counters<RequestLabels<'static>>,
    pub(super) queue_seconds: Histograms<QueueLabels<'static>>,
    pub(super) work_seconds: Histograms<QueueLabels<'static>>,
    pub(super) reclaims: Counters<ReclaimLabels<'static>>,
    pub(super) reclaimed_bytes: Counters<ActionLabels<'static>>,
    pub(super) reclaim_seconds: Histograms<ActionLabels<'static>>,
    pub(super) control: Counters<ControlLabels<'static>>,
}

/// Bounds of everything that takes as long as a reconcile: a millisecond doubled up to 131 s, with the
/// edges of the goal, the warning and the critical alert (the seed's bounds are among them).
pub fn reconcile_bounds() -> Vec<f64> {
    let mut bounds: Vec<f64> = (0..18).map(|k| 0.001 * f64::from(1 << k)).collect();
    bounds.extend([5.0, 10.0, 30.0]);
    bounds.sort_by(f64::total_cmp);
    bounds
}

/// Bounds of actions on memory: most take microseconds, a purge 0.2 s per GB.
fn reclaim_bounds() -> Vec<f64> {
    (0..9).map(|k| 0.0001 * f64::from(4_u32.pow(k))).collect()
}

impl Catalogue {
    /// Registers every family.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let bounds = reconcile_bounds;
        Ok(Self {
            reconcile_seconds: Histograms::register(
                registry,
                metrics::RECONCILIATION_DURATION,
                "Seconds per reconcile, without those that the fast path skipped.",
                bounds(),
            )?,
            reconcile_errors: Counters::register(
                registry,
                metrics::RECONCILIATION_ERRORS,
                "Reconciles that ended with an error, by its category.",
            )?,
            phase_seconds: Histograms::register(
                registry,
                metrics::RECONCILE_PHASE_DURATION,
                "Seconds per phase of a reconcile.",
                bounds(),
            )?,
            skipped: Counters::register(
                registry,
                metrics::SKIPPED_RECONCILIATIONS,
                "Reconciles that ended at once, by reason.",
            )?,
            requests: Counters::register(
                registry,
                metrics::REST_CLIENT_REQUESTS,
                "Requests on the wire to the API server, each attempt counted.",
            )?,
            queue_seconds: Histograms::register(
                registry,
                metrics::WORKQUEUE_QUEUE_DURATION,
                "Seconds a key waited in the queue.",
                bounds(),
            )?,
            work_seconds: Histograms::register(
                registry,
                metrics::WORKQUEUE_WORK_DURATION,
                "Seconds a key was worked on.",
                bounds(),
            )?,
            reclaims: Counters::register(
                registry,
                metrics::MEMORY_RECLAIMS,
                "Actions by which memory was given back, by what brought them about.",
            )?,
            reclaimed_bytes: Counters::register(
                registry,
                metrics::MEMORY_RECLAIMED,
                "Bytes that actions gave back: of a purge resident ones, else bytes no longer in use.",
            )?,
            reclaim_seconds: Histograms::register(
                registry,
                metrics::MEMORY_RECLAIM_DURATION,
                "Seconds per action by which memory was given back.",
                reclaim_bounds(),
            )?,
            control: Counters::register(
                registry,
                metrics::CONTROL_REQUESTS,
                "Requests to the control API, by template of the path.",
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_hold_the_edges_of_goals_and_alerts() {
        let bounds = reconcile_bounds();
        for edge in [0.001, 5.0, 10.0, 16.384, 30.0, 131.072] {
            assert!(bounds.iter().any(|bound| (bound - edge).abs() < 1e-9), "{edge}");
        }
        assert!(bounds.is_sorted());
    }
}
