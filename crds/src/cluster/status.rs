//! What the operator reports of a cluster.
//!
//! Every field is absent until it is known, so that a status that is applied declares exactly what
//! this pass knows; reading is lenient, since the status may be another program's.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::diagnostics::Diagnostics;
use crate::{
    tolerant::{lenient, lenient_list},
    words::words,
};

words! {
    /// The phase of a cluster. Scaling is no phase: the cluster serves meanwhile.
    ClusterPhase {
        /// Something is missing that others must bring.
        Pending = "Pending",
        /// Objects are being created.
        Initializing = "Initializing",
        /// Servers meet for the first time.
        Forming = "Forming",
        /// All is well.
        Ready = "Ready",
        /// It serves, but not all is well.
        Degraded = "Degraded",
        /// Servers get another version.
        Upgrading = "Upgrading",
        /// Volumes grow.
        Expanding = "Expanding",
        /// Held by annotation or after a failed upgrade.
        Paused = "Paused",
        /// It cannot go on without a change of the spec.
        Failed = "Failed",
        /// It is being deleted.
        Deleting = "Deleting",
    }
}

words! {
    /// A disruptive operation.
    OperationType {
        /// Servers meet for the first time.
        Formation = "Formation",
        /// Servers are added.
        ScaleOut = "ScaleOut",
        /// Servers are emptied and removed.
        ScaleIn = "ScaleIn",
        /// Pods are replaced one by one.
        Roll = "Roll",
        /// Pods are replaced by a newer version.
        Upgrade = "Upgrade",
        /// Volumes grow.
        StorageExpansion = "StorageExpansion",
        /// The administrator's password changes.
        PasswordRotation = "PasswordRotation",
        /// Databases are restored.
        Restore = "Restore",
    }
}

words! {
    /// The phase of an upgrade.
    UpgradePhase {
        /// It waits to begin.
        Pending = "Pending",
        /// The template is written under a partition that holds every pod.
        Staging = "Staging",
        /// Pods are replaced.
        Rolling = "Rolling",
        /// All pods run; the cluster must stay healthy.
        Stabilizing = "Stabilizing",
        /// The outcome is checked.
        Verifying = "Verifying",
        /// It is held.
        Paused = "Paused",
        /// It is done.
        Completed = "Completed",
        /// It failed.
        Failed = "Failed",
    }
}

/// What the operator knows of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Neo4jEnterpriseClusterStatus {
    /// The phase, in one word.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub phase: Option<ClusterPhase>,
    /// What is going on, in one sentence.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Conditions, each type once, each with the generation it speaks for.
    #[serde(default, deserialize_with = "lenient_list", skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The generation that the conditions speak for.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The token of the last reconcile-requested-at annotation that was handled.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// Paths of fields that are accepted without effect, sorted.
    #[serde(default, deserialize_with = "lenient_list", skip_serializing_if = "Vec::is_empty")]
    pub ignored_fields: Vec<String>,
    /// Whether every server, every allocation and Bolt are well.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// The version that all servers run.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Counts of servers.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub replicas: Option<Replicas>,
    /// One entry per pool.
    #[serde(default, deserialize_with = "lenient_list", skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub pools: Vec<PoolStatus>,
    /// Where clients connect.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Endpoints>,
    /// What the scale subresource shows: the secondaries.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
    /// The one disruptive operation under way; written before its first effect.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// How the cluster was formed; constant afterwards.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<Bootstrap>,
    /// The roll under way.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub roll: Option<Roll>,
    /// The upgrade under way, or the last one.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub upgrade_status: Option<UpgradeStatus>,
    /// When the last upgrade completed.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub last_upgrade_time: Option<Time>,
    /// What the autoscaler decided last, and why.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub auto_scaling: Option<AutoScalingStatus>,
    /// The retention policy that deletion will follow.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub effective_retention_policy: Option<String>,
    /// What a reconcile would do; written in dry-run.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// What the operator applied last.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub last_applied: Option<LastApplied>,
    /// The data claims that this cluster uses; deletion with the policy Delete removes these and no others.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub claims: Vec<ClaimRecord>,
    /// What Neo4j itself reports.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub diagnostics: Option<Diagnostics>,
}

/// Counts of servers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replicas {
    /// Pods that exist.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub servers: Option<i32>,
    /// Servers that are ready.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub ready: Option<i32>,
    /// Servers that are wanted.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub desired: Option<i32>,
    /// Ready of desired, such as 3/3.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

/// One pool of servers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolStatus {
    /// server, primary or secondary.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its StatefulSet.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub stateful_set: Option<String>,
    /// Servers that are wanted.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub desired: Option<i32>,
    /// Pods that are ready.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub ready: Option<i32>,
    /// Servers that are enabled in Neo4j.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub enabled: Option<i32>,
    /// Servers that are cordoned in Neo4j.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub cordoned: Option<i32>,
}

/// Where clients connect.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// The Bolt address.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub bolt: Option<String>,
    /// The HTTP address.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// The HTTPS address.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub https: Option<String>,
    /// The Services.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub internal: Option<InternalEndpoints>,
    /// Commands and addresses to copy.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub connection_examples: Option<ConnectionExamples>,
}

/// The Services.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InternalEndpoints {
    /// The headless Service, with the addresses of the servers.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub headless: Option<String>,
    /// The client Service.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// Commands and addresses to copy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionExamples {
    /// A command that forwards ports.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub port_forward: Option<String>,
    /// The address of the browser.
    #[serde(
        default,
        rename = "browserURL",
        deserialize_with = "lenient",
        skip_serializing_if = "Option::is_none"
    )]
    pub browser_url: Option<String>,
    /// An address for one server.
    #[serde(
        default,
        rename = "boltURI",
        deserialize_with = "lenient",
        skip_serializing_if = "Option::is_none"
    )]
    pub bolt_uri: Option<String>,
    /// An address with routing.
    #[serde(
        default,
        rename = "neo4jURI",
        deserialize_with = "lenient",
        skip_serializing_if = "Option::is_none"
    )]
    pub neo4j_uri: Option<String>,
    /// Code in Python.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub python_example: Option<String>,
    /// Code in Java.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub java_example: Option<String>,
}

/// What the scale subresource shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Scale {
    /// Secondaries that exist.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// The label selector of their pods.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
}

/// A disruptive operation and how far it has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// What it does.
    #[serde(
        default,
        rename = "type",
        deserialize_with = "lenient",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<String>")]
    pub type_: Option<OperationType>,
    /// Its identity, constant over its steps.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The step that was begun last.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What it works on.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The generation that asked for it.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// When it began.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it counts as stuck.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,
    /// What it waits for.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Servers that are being emptied.
    #[serde(default, deserialize_with = "lenient_list", skip_serializing_if = "Vec::is_empty")]
    pub drain: Vec<Drain>,
}

/// A server that is being emptied.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// Its ordinal.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub ordinal: Option<i32>,
    /// Its id in Neo4j, kept because Neo4j forgets the address.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub server_id: Option<String>,
    /// Its state.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// How the cluster was formed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bootstrap {
    /// Members that had to meet.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub min_system_primaries: Option<i32>,
    /// The members' addresses, as every neo4j.conf lists them.
    #[serde(default, deserialize_with = "lenient_list", skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<String>,
    /// When all of them were enabled.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub formed_at: Option<Time>,
}

/// A data claim that the cluster uses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimRecord {
    /// Its name.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", required)]
    pub name: Option<String>,
    /// Its uid.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

/// A roll under way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Roll {
    /// Why pods are replaced.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The revision before.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The revision after.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The server it is at.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub ordinal: Option<i32>,
}

/// An upgrade and how far it has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeStatus {
    /// Its phase.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub phase: Option<UpgradePhase>,
    /// When it began.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When its present step began.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub step_start_time: Option<Time>,
    /// The partition of the StatefulSet.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub current_partition: Option<i32>,
    /// When it ended.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// Its present step.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub current_step: Option<String>,
    /// The version before.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub previous_version: Option<String>,
    /// The version after.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub target_version: Option<String>,
    /// Counts of servers.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub progress: Option<UpgradeProgress>,
    /// What is going on.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The last error.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// Counts of servers in an upgrade.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeProgress {
    /// All.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub total: Option<i32>,
    /// Done.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub upgraded: Option<i32>,
    /// Under way.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub in_progress: Option<i32>,
    /// To come.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub pending: Option<i32>,
    /// The same for the servers.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub servers: Option<ServerUpgradeProgress>,
}

/// Counts of servers in an upgrade, with the leader.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerUpgradeProgress {
    /// All.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub total: Option<i32>,
    /// Done.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub upgraded: Option<i32>,
    /// Under way.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub in_progress: Option<i32>,
    /// To come.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub pending: Option<i32>,
    /// The server that leads the system database.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub current_leader: Option<String>,
}

/// What the autoscaler decided last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoScalingStatus {
    /// Counts that it asks for.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub desired: Option<PoolCounts>,
    /// Counts that it would ask for without bounds and gates.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub recommended: Option<PoolCounts>,
    /// The weighted mean of the ratios.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub composite: Option<String>,
    /// Signals.
    #[serde(default, deserialize_with = "lenient_list", skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricStatus>,
    /// When it last asked for another count.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub last_scale_time: Option<Time>,
    /// Until when it asks for none.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub cooldown_until: Option<Time>,
    /// The decision.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// Why.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was checked.
    #[serde(default, deserialize_with = "lenient_list", skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateStatus>,
}

/// A count per pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolCounts {
    /// Primaries.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub primaries: Option<i32>,
    /// Secondaries.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub secondaries: Option<i32>,
}

/// A signal and how it compares with its target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricStatus {
    /// The pool.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The signal.
    #[serde(
        default,
        rename = "type",
        deserialize_with = "lenient",
        skip_serializing_if = "Option::is_none"
    )]
    pub type_: Option<String>,
    /// What was measured.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Measured by target.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub ratio: Option<String>,
}

/// A check of the autoscaler.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GateStatus {
    /// Its name.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it let the decision pass.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub passed: Option<bool>,
    /// Why not.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a reconcile would do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Actions in order.
    #[serde(default, deserialize_with = "lenient_list", skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<String>,
    /// When it was computed.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub computed_at: Option<Time>,
}

/// What the operator applied last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastApplied {
    /// The tag.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub image_tag: Option<String>,
    /// The size of the volumes.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub storage_size: Option<String>,
    /// The counts.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub topology: Option<AppliedTopology>,
}

/// Counts that were applied.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppliedTopology {
    /// Servers of the single pool.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub servers: Option<i32>,
    /// Primaries.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub primaries: Option<i32>,
    /// Secondaries.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub secondaries: Option<i32>,
}
