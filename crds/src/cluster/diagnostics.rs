//! What Neo4j itself reports, as part of the status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tolerant::{lenient, lenient_list};

/// How many entries each list keeps.
pub const MAX_ENTRIES: usize = 50;

/// What Neo4j itself reports; lists are cut at 50 entries.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostics {
    /// Servers.
    #[serde(default, deserialize_with = "lenient_list", skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ServerDiagnostics>,
    /// Allocations of databases.
    #[serde(default, deserialize_with = "lenient_list", skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<DatabaseDiagnostics>,
    /// Users.
    #[serde(default, deserialize_with = "lenient_list", skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<UserDiagnostics>,
    /// How many users there are.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub user_count: Option<i32>,
    /// Roles.
    #[serde(default, deserialize_with = "lenient_list", skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleDiagnostics>,
    /// How many roles there are.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub role_count: Option<i32>,
    /// When Neo4j was asked.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub last_collected: Option<Time>,
    /// Why it could not be asked.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub collection_error: Option<String>,
}

/// A server as Neo4j sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerDiagnostics {
    /// Its name.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its Bolt address.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Its state.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Its health.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// Databases on it.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub hosting_databases: Option<i32>,
}

/// One allocation of a database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseDiagnostics {
    /// The database.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its state here.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The state that is asked for.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub requested_status: Option<String>,
    /// primary or secondary.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Whether it is the default database.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub default: Option<bool>,
    /// Its type.
    #[serde(
        default,
        rename = "type",
        deserialize_with = "lenient",
        skip_serializing_if = "Option::is_none"
    )]
    pub type_: Option<String>,
    /// read-write or read-only.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub access: Option<String>,
    /// Whether it is written here.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub writer: Option<bool>,
    /// The last transaction here.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub last_committed_txn: Option<i64>,
    /// Transactions behind the writer.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub replication_lag: Option<i64>,
}

/// A user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserDiagnostics {
    /// The name.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Roles.
    #[serde(default, deserialize_with = "lenient_list", skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Whether it is suspended.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub suspended: Option<bool>,
    /// The home database.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub home_database: Option<String>,
}

/// A role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleDiagnostics {
    /// The name.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Whether it is immutable.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub immutable: Option<bool>,
}
