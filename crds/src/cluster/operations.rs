//! How a cluster is upgraded, watched, audited and protected from disruption.

use k8s_openapi::{
    api::core::v1::{PodSecurityContext, SecurityContext},
    apimachinery::pkg::util::intstr::IntOrString,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DURATION_PATTERN, opaque::Opaque, words::words};

words! {
    /// How pods are replaced in an upgrade.
    UpgradeMode {
        /// One server at a time.
        RollingUpgrade = "RollingUpgrade",
        /// All at once; the cluster is down meanwhile.
        Recreate = "Recreate",
    }
}

words! {
    /// What the query log records.
    QueryLogLevel {
        /// Nothing.
        Off = "OFF",
        /// Queries that end.
        Info = "INFO",
        /// Queries that start and end.
        Verbose = "VERBOSE",
    }
}

/// How a cluster is upgraded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeStrategy {
    /// RollingUpgrade or Recreate; RollingUpgrade when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<UpgradeMode>,
    /// Whether the cluster must be healthy before; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_upgrade_health_check: Option<bool>,
    /// Whether the cluster must be healthy after; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_upgrade_health_check: Option<bool>,
    /// Whether a failure pauses the upgrade; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_pause_on_failure: Option<bool>,
    /// Time for each server; 30m when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = DURATION_PATTERN))]
    pub upgrade_timeout: Option<String>,
    /// Time for a health check; 5m when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = DURATION_PATTERN))]
    pub health_check_timeout: Option<String>,
    /// Time in which the cluster must stay healthy; 3m when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = DURATION_PATTERN))]
    pub stabilization_timeout: Option<String>,
    /// Accepted without effect: servers are upgraded one at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_unavailable_during_upgrade: Option<Opaque>,
}

/// Metrics and the query log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// Whether metrics and query log are on; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// From which duration on a query is logged; 5s when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = DURATION_PATTERN))]
    pub slow_query_threshold: Option<String>,
    /// Whether the plan is logged; false when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain_plan: Option<bool>,
    /// OFF, INFO or VERBOSE; INFO when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_log_level: Option<QueryLogLevel>,
    /// Whether literals of queries are hidden in the log; false when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obfuscate_literals: Option<bool>,
    /// Which metrics Neo4j exports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_filter: Option<String>,
    /// The prefix of their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_prefix: Option<String>,
    /// Accepted without effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling: Option<Opaque>,
    /// Accepted without effect: metrics are served for Prometheus on port 2004.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_export: Option<Opaque>,
}

/// The security log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Audit {
    /// Whether the settings of this block are written; false when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Whether logins that succeed are logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_successful_authentication: Option<bool>,
    /// Whether literals of queries are hidden in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obfuscate_query_literals: Option<bool>,
    /// Whether parameters of queries are logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter_logging: Option<bool>,
}

/// The network policy of the pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// Whether one is written; false when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// Protection from voluntary disruption.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodDisruptionBudget {
    /// Whether a budget is written; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Pods that must stay, as a number or percentage; a quorum of the primary-capable servers when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_available: Option<IntOrString>,
}

/// Security contexts of pods and container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecurityContexts {
    /// Of the pods; what is absent keeps the operator's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_security_context: Option<PodSecurityContext>,
    /// Of the containers; what is absent keeps the operator's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_security_context: Option<SecurityContext>,
}

/// A Secret with a certificate authority to trust.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrustedCaSecret {
    /// The Secret.
    #[schemars(length(max = 253))]
    pub name: String,
    /// The key in it; ca.crt when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Splitting properties off into databases of their own; not supported.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct PropertySharding {
    /// true is refused by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}
