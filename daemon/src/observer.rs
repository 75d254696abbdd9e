//! Passes on to telemetry what happens in the other parts of the operator.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use neo4j_operator_shared::{
    Kind, Strategy,
    cache::WarmupResult,
    events::{Event, Payload, Severity},
    reconciles::Reconcile,
    switch::{Choice, Measured, Operation, OperationState},
};

use crate::{
    cache::{CacheObserver, Over},
    kube::client::{ApiCall, ApiObserver},
    memory::Manager,
    reconcile::{BoardObserver, worker::RunObserver},
    telemetry::{Telemetry, recorder::Query},
};

/// Reconciles that forecasts look at.
const RECONCILES: usize = 512;

/// Passes on what happens.
pub struct Observer {
    telemetry: Arc<Telemetry>,
    memory: Manager,
}

impl Observer {
    /// Passes on to `telemetry`, and tells `memory` when much was freed.
    pub fn new(telemetry: Arc<Telemetry>, memory: Manager) -> Self {
        Self { telemetry, memory }
    }
}

impl ApiObserver for Observer {
    fn request(&self, call: &ApiCall) {
        self.telemetry.requested(call.method, call.code);
    }
}

impl RunObserver for Observer {
    fn finished(&self, record: &Reconcile) {
        self.telemetry.reconciled(record.clone());
    }

    fn skipped(&self, kind: Kind, reason: &'static str) {
        self.telemetry.skipped(kind, reason);
    }
}

impl Observer {
    fn publish(&self, severity: Severity, message: String, payload: Payload) {
        self.telemetry.stream.publish(Event {
            time: Timestamp::now(),
            severity,
            cluster: None,
            message,
            payload,
        });
    }
}

impl CacheObserver for Observer {
    fn relisted(&self, kind: Kind, objects: u64, took: Duration) {
        let seconds = took.as_secs_f64();
        let message = format!("{kind}: listed anew, {objects} objects in {seconds:.3} s");
        let payload = Payload::Relist { kind, objects, seconds };
        self.publish(Severity::Info, message, payload);
    }

    fn warmed(&self, kind: Kind, result: WarmupResult, objects: u64, took: Duration) {
        self.telemetry.cache.warmed(kind, result);
        let seconds = took.as_secs_f64();
        let (severity, message) = match result {
            WarmupResult::Ok => (
                Severity::Info,
                format!("{kind}: warm, {objects} objects in {seconds:.3} s"),
            ),
            WarmupResult::Dropped => (
                Severity::Warning,
                format!("{kind}: too many kinds wait to be warmed up"),
            ),
            WarmupResult::Failed => (
                Severity::Warning,
                format!("{kind}: cannot be warmed up; reads ask the server"),
            ),
        };
        let payload = Payload::CacheWarmup {
            kind,
            result,
            objects,
            seconds,
        };
        self.publish(severity, message, payload);
    }

    fn evicted(&self, kind: Kind, reason: &'static str) {
        self.telemetry.cache.evicted(kind, reason);
        tracing::info!(%kind, reason, "no longer kept for reads");
    }

    fn switched(&self, operation: &Operation, kind: Option<Kind>) {
        let (from, to) = (operation.from, operation.to);
        let (severity, what) = match (kind, operation.state) {
            (Some(kind), _) => (Severity::Info, format!("{kind} ready")),
            (None, OperationState::Preparing) => (Severity::Info, "begins".to_owned()),
            (None, OperationState::Watching) => (Severity::Info, "in force; goes back if a goal breaks".to_owned()),
            (None, OperationState::Done) if operation.reason.is_some() => {
                (Severity::Warning, "goals broken".to_owned())
            }
            (None, OperationState::Done) => (Severity::Info, "in force".to_owned()),
            (None, OperationState::Cancelled) => (Severity::Info, "cancelled".to_owned()),
            (None, OperationState::RolledBack) => (Severity::Warning, "failed, nothing has changed".to_owned()),
            (None, OperationState::TimedOut) => {
                (Severity::Warning, "not ready in time, nothing has changed".to_owned())
            }
        };
        let kinds = operation
            .kinds
            .iter()
            .flatten()
            .map(|kind| kind.plural())
            .collect::<Vec<_>>()
            .join(", ");
        let of = if kinds.is_empty() {
            String::new()
        } else {
            format!(" of {kinds}")
        };
        let reason = operation
            .reason
            .as_deref()
            .map(|reason| format!(": {reason}"))
            .unwrap_or_default();
        if kind.is_none() {
            self.telemetry.cache.switched(operation);
            tracing::info!(
                operation = operation.id,
                by = operation.by.as_str(),
                "cache strategy{of} {from} -> {to}: {what}{reason}"
            );
        }
        let payload = Payload::CacheSwitch {
            operation: operation.id.clone(),
            state: operation.state,
            by: operation.by,
            from,
            to,
            kind,
        };
        self.publish(
            severity,
            format!("cache strategy{of} {from} -> {to}: {what}{reason}"),
            payload,
        );
    }

    fn refused(&self, from: Strategy, to: Strategy) {
        self.telemetry.cache.refused(from, to);
    }

    fn over_budget(&self, over: &Over) {
        // The log is where warnings become events.
        tracing::warn!("{over}: {}", over.advice());
    }

    fn chosen(&self, choice: &Choice) {
        tracing::info!(kind = %choice.kind, from = %choice.from, to = %choice.to, acted = choice.acted, "adaptive: {}", choice.reason);
    }

    fn freed(&self) {
        self.memory.after_switch();
    }

    fn measured(&self) -> Measured {
        self.telemetry.measured()
    }

    fn requests(&self) -> u64 {
        self.telemetry.requests()
    }

    fn reconciles(&self) -> Vec<Reconcile> {
        self.telemetry
            .recorder
            .list(&Query {
                limit: Some(RECONCILES),
                ..Query::default()
            })
            .items
    }

    fn room(&self) -> Option<u64> {
        self.memory.room()
    }

    fn level(&self) -> u8 {
        *self.memory.level().borrow()
    }
}

impl BoardObserver for Observer {
    fn phase_changed(&self, namespace: &str, name: &str, from: Option<&str>, to: &str) {
        let severity = match to {
            "Failed" => Severity::Error,
            "Degraded" => Severity::Warning,
            _ => Severity::Info,
        };
        self.telemetry.stream.publish(Event {
            time: Timestamp::now(),
            severity,
            cluster: Some(format!("{namespace}/{name}")),
            message: format!("{namespace}/{name}: {} -> {to}", from.unwrap_or("new")),
            payload: Payload::ClusterPhase {
                from: from.map(str::to_owned),
                to: to.to_owned(),
            },
        });
    }
}
