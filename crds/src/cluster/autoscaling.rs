//! What the autoscaler may do. The schema is whole; see the class table for what acts on it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DURATION_PATTERN, opaque::Opaque, tolerant::null_as_empty, words::words};

words! {
    /// What becomes of a recommendation.
    #[derive(Default)]
    ScalingMode {
        /// Nothing is computed.
        Off = "Off",
        /// It is shown.
        #[default]
        Recommend = "Recommend",
        /// It is carried out.
        Auto = "Auto",
    }
}

words! {
    /// How a recommendation is computed.
    #[derive(Default)]
    ScalingAlgorithm {
        /// From measured capacity of the servers.
        #[default]
        Capacity = "capacity",
        /// From a weighted mean of ratios to targets.
        Composite = "composite",
    }
}

words! {
    /// A signal.
    MetricType {
        /// CPU in percent of the request.
        Cpu = "cpu",
        /// Memory in percent of the request.
        Memory = "memory",
        /// Duration of queries.
        QueryLatency = "query_latency",
        /// Open connections per server.
        ConnectionCount = "connection_count",
        /// Queries per second and server.
        Throughput = "throughput",
        /// Refused by the operator.
        Custom = "custom",
    }
}

words! {
    /// How a step is counted.
    PolicyType {
        /// In pods.
        Pods = "Pods",
        /// In percent of the present count.
        Percent = "Percent",
    }
}

words! {
    /// Which of several policies counts.
    SelectPolicy {
        /// The smallest step.
        Min = "Min",
        /// The largest step.
        Max = "Max",
        /// No step in this direction.
        Disabled = "Disabled",
    }
}

/// The autoscaler of one cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoScaling {
    /// Whether the block counts; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Off, Recommend or Auto; Recommend when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ScalingMode>,
    /// capacity or composite; capacity when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<ScalingAlgorithm>,
    /// Bounds of the primary pool: odd numbers, 1 to 11.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primaries: Option<PrimaryScaling>,
    /// Bounds of the secondary pool: 0 to 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secondaries: Option<SecondaryScaling>,
    /// How fast it may go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<ScalingBehavior>,
    /// Accepted without effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advanced: Option<Opaque>,
}

/// Bounds and signals of the primary pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrimaryScaling {
    /// Whether this pool is scaled; false when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The smallest count, odd; 3 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 11))]
    pub min_replicas: Option<i32>,
    /// The largest count, odd; 7 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 11))]
    pub max_replicas: Option<i32>,
    /// Signals, each type once.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 6),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub metrics: Vec<ScalingMetric>,
    /// Accepted without effect: quorum is never broken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_quorum_break: Option<Opaque>,
    /// Accepted without effect: always on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum_protection: Option<Opaque>,
}

/// Bounds and signals of the secondary pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecondaryScaling {
    /// Whether this pool is scaled; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The smallest count; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 20))]
    pub min_replicas: Option<i32>,
    /// The largest count; 20 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 20))]
    pub max_replicas: Option<i32>,
    /// Signals, each type once.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 6),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub metrics: Vec<ScalingMetric>,
    /// Accepted without effect: placement spreads pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_aware: Option<Opaque>,
}

/// A signal and the value to keep it at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingMetric {
    /// cpu, memory, query_latency, connection_count or throughput.
    #[serde(rename = "type")]
    pub type_: MetricType,
    /// 70 or 70% for cpu and memory; a duration for query_latency; a positive number for the others.
    #[schemars(length(min = 1, max = 32))]
    pub target: String,
    /// Its weight as a decimal number from 0 to 100; 1.0 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), regex(pattern = r"^(100(\.0+)?|[0-9]{1,2}(\.[0-9]+)?)$"))]
    pub weight: Option<String>,
    /// Accepted without effect: the sources are fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Opaque>,
}

/// How fast it may go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingBehavior {
    /// Upwards; window of 60s when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<ScalingDirection>,
    /// Downwards; window of 300s when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<ScalingDirection>,
    /// Accepted without effect: one disruption per cluster, primaries first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordination: Option<Opaque>,
}

/// One direction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingDirection {
    /// How long a recommendation must hold; at most 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = DURATION_PATTERN))]
    pub stabilization_window: Option<String>,
    /// Limits of a step, at most 8.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub policies: Vec<ScalingPolicy>,
    /// Min, Max or Disabled; Max when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select_policy: Option<SelectPolicy>,
}

/// The limit of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingPolicy {
    /// Pods or Percent.
    #[serde(rename = "type")]
    pub type_: PolicyType,
    /// How many, from 1.
    #[schemars(range(min = 1))]
    pub value: i32,
    /// In which time; 15s to 30m.
    #[schemars(length(min = 1, max = 32), regex(pattern = DURATION_PATTERN))]
    pub period: String,
}
