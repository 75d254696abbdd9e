//! What the operator reports of a database.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    tolerant::{lenient, lenient_list},
    words::words,
};

words! {
    /// The phase of a database.
    DatabasePhase {
        /// It waits for its cluster.
        Pending = "Pending",
        /// Neo4j creates it.
        Creating = "Creating",
        /// It is filled from a seed.
        Seeding = "Seeding",
        /// All is well.
        Ready = "Ready",
        /// It serves, but not at the topology that was asked for.
        Degraded = "Degraded",
        /// It cannot go on without a change of the spec.
        Failed = "Failed",
        /// It is being deleted.
        Deleting = "Deleting",
    }
}

/// What the operator knows of a database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Neo4jDatabaseStatus {
    /// The phase, in one word.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub phase: Option<DatabasePhase>,
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
    /// The state of the allocations; mixed when they differ.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Servers that host it.
    #[serde(default, deserialize_with = "lenient_list", skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<String>,
    /// When it was created.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<Time>,
    /// Whether its initial data is in.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub data_imported: Option<bool>,
    /// Primaries that Neo4j was asked for.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub requested_primaries: Option<i32>,
    /// Primaries that are online.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub current_primaries: Option<i32>,
    /// Secondaries that Neo4j was asked for.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub requested_secondaries: Option<i32>,
    /// Secondaries that are online.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub current_secondaries: Option<i32>,
    /// Initial statements that ran, so that none runs twice.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub statements_done: Option<i32>,
    /// That this resource, and no other, owns the database.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
}

/// Which resource owns a database, so that a second one of the same name drops nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The database.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The uid of the owner.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// When it was claimed.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}
