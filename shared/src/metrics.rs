//! Names of metrics, written by the daemon and read by neotop. One constant per family, so that a
//! renamed metric does not compile instead of vanishing from a dashboard.

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $value;)*
        /// Every family of this version.
        pub const ALL: &[&str] = &[$($value),*];
    };
}

names! {
    // The seed's six.
    /// Histogram: controller, resource, namespace.
    RECONCILIATION_DURATION = "neo4j_operator_reconciliation_duration_seconds";
    /// Counter: controller, resource, `error_type`.
    RECONCILIATION_ERRORS = "neo4j_operator_reconciliation_errors_total";
    /// Gauge 0..1: `resource_type`; absent without reads.
    CACHE_HIT_RATE = "neo4j_operator_cache_hit_rate";
    /// Gauge: component.
    MEMORY_USAGE = "neo4j_operator_memory_usage_bytes";
    /// Counter: cluster, type, direction. No samples until the autoscaler exists.
    SCALING_EVENTS = "neo4j_operator_scaling_events_total";
    /// Histogram: cluster. No samples until the autoscaler exists.
    SCALING_DECISION_DURATION = "neo4j_operator_scaling_decision_duration_seconds";
    // Start and state.
    /// Gauge 1: version, commit, rustc, features.
    BUILD_INFO = "neo4j_operator_build_info";
    /// Gauge: phase.
    STARTUP_DURATION = "neo4j_operator_startup_duration_seconds";
    /// Gauge 0/1.
    READY = "neo4j_operator_ready";
    /// Gauge 0/1.
    READ_ONLY = "neo4j_operator_read_only";
    /// Gauge: slo.
    SLO_TARGET = "neo4j_operator_slo_target";
    // Reconciles and queue.
    /// Histogram: controller, phase.
    RECONCILE_PHASE_DURATION = "neo4j_operator_reconcile_phase_duration_seconds";
    /// Counter: controller, reason.
    SKIPPED_RECONCILIATIONS = "neo4j_operator_skipped_reconciliations_total";
    /// Gauge: controller.
    QUEUE_OLDEST = "neo4j_operator_queue_oldest_seconds";
    // Cache.
    /// Gauge, one-hot: `resource_type`, strategy.
    CACHE_KIND_STRATEGY = "neo4j_operator_cache_kind_strategy";
    /// Counter: `resource_type`, result.
    CACHE_REQUESTS = "neo4j_operator_cache_requests_total";
    /// Counter: `resource_type`, reason.
    CACHE_MISSES = "neo4j_operator_cache_misses_total";
    /// Gauge: `resource_type`.
    CACHE_OBJECTS = "neo4j_operator_cache_objects";
    /// Gauge: `resource_type`.
    CACHE_BYTES = "neo4j_operator_cache_bytes";
    /// Gauge 0/1: `resource_type`.
    CACHE_SYNCED = "neo4j_operator_cache_synced";
    /// Gauge: `resource_type`.
    CACHE_LAG = "neo4j_operator_cache_lag_seconds";
    /// Gauge, one-hot: strategy. The default of kinds.
    CACHE_STRATEGY = "neo4j_operator_cache_strategy";
    /// Counter: from, to, result.
    CACHE_STRATEGY_SWITCHES = "neo4j_operator_cache_strategy_switches_total";
    /// Histogram: from, to.
    CACHE_STRATEGY_SWITCH_DURATION = "neo4j_operator_cache_strategy_switch_duration_seconds";
    /// Gauge: `resource_type`, with `--cache-budget-for`; without that label, with `--cache-budget`, of all kinds together.
    CACHE_BUDGET = "neo4j_operator_cache_budget_bytes";
    /// Gauge: quantity.
    CACHE_PREDICTION_ERROR = "neo4j_operator_cache_prediction_error_ratio";
    /// Counter: `resource_type`, reason.
    CACHE_EVICTIONS = "neo4j_operator_cache_evictions_total";
    /// Counter: `resource_type`, result.
    CACHE_WARMUPS = "neo4j_operator_cache_warmups_total";
    // Memory.
    /// Gauge.
    MEMORY_LIMIT = "neo4j_operator_memory_limit_bytes";
    /// Gauge 0..3.
    MEMORY_PRESSURE_LEVEL = "neo4j_operator_memory_pressure_level";
    /// Gauge: when the manager last acted; absent until it has.
    MEMORY_LAST_RECLAIM = "neo4j_operator_memory_last_reclaim_timestamp_seconds";
    /// Counter: trigger, action.
    MEMORY_RECLAIMS = "neo4j_operator_memory_reclaims_total";
    /// Counter: action.
    MEMORY_RECLAIMED = "neo4j_operator_memory_reclaimed_bytes_total";
    /// Histogram: action.
    MEMORY_RECLAIM_DURATION = "neo4j_operator_memory_reclaim_duration_seconds";
    // The control API.
    /// Counter: endpoint, code.
    CONTROL_REQUESTS = "neo4j_operator_control_requests_total";
    // What is reconciled.
    /// Gauge, one-hot: cluster, phase.
    CLUSTER_PHASE = "neo4j_operator_cluster_phase";
    /// Gauge: cluster, state.
    CLUSTER_SERVERS = "neo4j_operator_cluster_servers";
    /// Gauge 0/1: resource, cluster.
    CR_READY = "neo4j_operator_cr_ready";
    /// Gauge 0/1: cluster, database.
    DATABASE_ONLINE = "neo4j_operator_database_online";
    // Names that other dashboards already read.
    /// Gauge: name, controller, priority.
    WORKQUEUE_DEPTH = "workqueue_depth";
    /// Counter: name, controller.
    WORKQUEUE_ADDS = "workqueue_adds_total";
    /// Counter: name, controller.
    WORKQUEUE_RETRIES = "workqueue_retries_total";
    /// Histogram: name, controller.
    WORKQUEUE_QUEUE_DURATION = "workqueue_queue_duration_seconds";
    /// Histogram: name, controller.
    WORKQUEUE_WORK_DURATION = "workqueue_work_duration_seconds";
    /// Gauge: name, controller.
    WORKQUEUE_UNFINISHED_WORK = "workqueue_unfinished_work_seconds";
    /// Gauge: name, controller.
    WORKQUEUE_LONGEST_RUNNING = "workqueue_longest_running_processor_seconds";
    /// Counter: code, method, host. Wire attempts.
    REST_CLIENT_REQUESTS = "rest_client_requests_total";
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_name_is_given_twice() {
        let mut names = super::ALL.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), super::ALL.len());
    }
}
