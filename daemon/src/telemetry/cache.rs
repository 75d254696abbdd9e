//! What the cache does, in metrics: changes of strategy, warm-ups, evictions.

use neo4j_operator_shared::{
    Kind, Strategy,
    cache::WarmupResult,
    metrics,
    switch::{Operation, OperationState},
};
use prometheus::Registry;

use super::family::{Counters, Histograms, labels};

labels! {
    /// The strategy before and after, how it ended.
    SwitchLabels { from, to, result }
    /// The strategy before and after.
    SwitchTimeLabels { from, to }
    /// Plural of the kind, why it was let go.
    EvictionLabels { resource_type, reason }
    /// Plural of the kind, how it ended.
    WarmupLabels { resource_type, result }
}

/// The families.
pub struct CacheFamilies {
    switches: Counters<SwitchLabels<'static>>,
    switch_seconds: Histograms<SwitchTimeLabels<'static>>,
    evictions: Counters<EvictionLabels<'static>>,
    warmups: Counters<WarmupLabels<'static>>,
}

impl CacheFamilies {
    /// Registers every family.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let bounds = (0..17).map(|k| 0.001 * f64::from(1 << k)).collect();
        Ok(Self {
            switches: Counters::register(
                registry,
                metrics::CACHE_STRATEGY_SWITCHES,
                "Changes of the cache strategy, by how they ended.",
            )?,
            switch_seconds: Histograms::register(
                registry,
                metrics::CACHE_STRATEGY_SWITCH_DURATION,
                "Seconds from the request to the swap.",
                bounds,
            )?,
            evictions: Counters::register(registry, metrics::CACHE_EVICTIONS, "Kinds that were let go, by reason.")?,
            warmups: Counters::register(
                registry,
                metrics::CACHE_WARMUPS,
                "Kinds raised to be read from a store, by how it ended.",
            )?,
        })
    }

    /// A change ended, or got into force; what is still under way is not counted.
    pub fn switched(&self, operation: &Operation) {
        let result = match operation.state {
            OperationState::Preparing => return,
            // Counted when it got into force; that it may no longer go back is no other change.
            OperationState::Done if operation.rollback_at.is_none() && operation.reason.is_some() => return,
            OperationState::Watching | OperationState::Done => "ok",
            OperationState::Cancelled => "cancelled",
            OperationState::RolledBack => "rolled_back",
            OperationState::TimedOut => "timeout",
        };
        let (from, to) = (operation.from.as_str(), operation.to.as_str());
        self.switches.of(SwitchLabels { from, to, result }).inc();
        if operation.state.swapped() {
            let labels = SwitchTimeLabels { from, to };
            self.switch_seconds.of(labels).observe(operation.seconds);
        }
    }

    /// A change was refused.
    pub fn refused(&self, from: Strategy, to: Strategy) {
        let labels = SwitchLabels {
            from: from.as_str(),
            to: to.as_str(),
            result: "refused",
        };
        self.switches.of(labels).inc();
    }

    /// A kind was let go.
    pub fn evicted(&self, kind: Kind, reason: &str) {
        let labels = EvictionLabels {
            resource_type: kind.plural(),
            reason,
        };
        self.evictions.of(labels).inc();
    }

    /// A kind was raised, or was not.
    pub fn warmed(&self, kind: Kind, result: WarmupResult) {
        let labels = WarmupLabels {
            resource_type: kind.plural(),
            result: result.as_str(),
        };
        self.warmups.of(labels).inc();
    }
}
