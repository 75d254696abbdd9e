//! `Neo4jDatabase`: a database of a cluster, kept at its topology.

pub mod effective;
pub mod rules;
pub mod status;

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    effective::EffectiveDatabase,
    rules::{validate, validate_change, validate_on},
    status::Neo4jDatabaseStatus,
};
use crate::{opaque::Opaque, tolerant::null_as_empty, words::words};

words! {
    /// The default version of Cypher.
    CypherLanguage {
        /// Cypher 5.
        Cypher5 = "5",
        /// Cypher 25.
        Cypher25 = "25",
    }
}

words! {
    /// What becomes of the database when its resource is deleted.
    DeletionPolicy {
        /// It is dropped, and its data with it.
        Delete = "Delete",
        /// It stays.
        Retain = "Retain",
    }
}

words! {
    /// Whether a database runs.
    DatabaseState {
        /// Started.
        Online = "online",
        /// Stopped.
        Offline = "offline",
    }
}

words! {
    /// What clients may do with a database.
    DatabaseAccess {
        /// Read and write.
        ReadWrite = "readWrite",
        /// Read only.
        ReadOnly = "readOnly",
    }
}

words! {
    /// Where initial data comes from.
    InitialDataSource {
        /// Cypher statements.
        Cypher = "cypher",
        /// Refused by the operator.
        Dump = "dump",
        /// Refused by the operator.
        Csv = "csv",
    }
}

/// A database of a Neo4j cluster.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "neo4j.neo4j.com",
    version = "v1beta1",
    kind = "Neo4jDatabase",
    plural = "neo4jdatabases",
    shortname = "n4jdb",
    category = "neo4j",
    namespaced,
    status = "Neo4jDatabaseStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A database of a Neo4j cluster.",
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.clusterRef"),
    printcolumn(name = "Database", type_ = "string", json_path = ".spec.name"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Primaries", type_ = "integer", json_path = ".status.currentPrimaries"),
    printcolumn(name = "Secondaries", type_ = "integer", json_path = ".status.currentSecondaries"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct Neo4jDatabaseSpec {
    /// The cluster of this namespace that hosts the database. Fixed.
    #[schemars(length(min = 1, max = 253))]
    pub cluster_ref: String,
    /// The name of the database in Neo4j. Fixed.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Primaries and secondaries; Neo4j's defaults when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<DatabaseTopology>,
    /// Whether Ready waits until the database is online.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = true))]
    pub wait: Option<bool>,
    /// Whether a database that exists is taken over; otherwise it is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = true))]
    pub if_not_exists: Option<bool>,
    /// Options of CREATE DATABASE.
    #[serde(
        default,
        deserialize_with = "null_as_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    #[schemars(extend("maxProperties" = 50))]
    pub options: BTreeMap<String, String>,
    /// The default version of Cypher, 5 or 25. Fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_cypher_language: Option<CypherLanguage>,
    /// A backup or dump to create the database from. Not together with initialData.
    #[serde(default, rename = "seedURI", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub seed_uri: Option<String>,
    /// How the seed is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed_config: Option<SeedConfig>,
    /// Keys for the place of the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed_credentials: Option<SeedCredentials>,
    /// Data to begin with. Not together with seedURI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_data: Option<InitialData>,
    /// What becomes of the database when this resource is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Delete"))]
    pub deletion_policy: Option<DeletionPolicy>,
    /// online or offline; not managed when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<DatabaseState>,
    /// readWrite or readOnly; not managed when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<DatabaseAccess>,
}

/// How many copies a database has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseTopology {
    /// Copies that take part in writes, 1 to 11.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 11))]
    pub primaries: Option<i32>,
    /// Copies that are read only, 0 to 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 20))]
    pub secondaries: Option<i32>,
}

/// How a seed is read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeedConfig {
    /// The point to stop at: an RFC 3339 time, or txId:‹number›.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_until: Option<String>,
    /// Settings of the provider that reads the seed.
    #[serde(
        default,
        deserialize_with = "null_as_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub config: BTreeMap<String, String>,
}

/// Keys for the place of a seed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeedCredentials {
    /// A Secret of this namespace; its keys depend on the scheme of seedURI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<String>,
}

/// Data to begin with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InitialData {
    /// cypher when absent; dump and csv are refused by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<InitialDataSource>,
    /// Statements, each run once.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub cypher_statements: Vec<String>,
    /// Accepted without effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<Opaque>,
    /// Accepted without effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<Opaque>,
    /// Accepted without effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Opaque>,
}
