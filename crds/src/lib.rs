//! The custom resources of the operator: pure data, its rules, and the manifests made from it.
//!
//! One module per kind, one file per block of its spec. The Rust names are the JSON names in snake
//! case. Optional scalars are `Option`, so that an explicit `false` or `0` survives; what an absent
//! one means is said in one place per kind. Nothing here talks to an API server or to Neo4j.

// Each printer column of a kind repeats the keys of its attribute.
#![allow(clippy::duplicated_attributes)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod backup;
pub mod classes;
pub mod cluster;
pub mod config_policy;
pub mod database;
pub mod definition;
pub mod examples;
pub mod generate;
pub mod location;
mod opaque;
pub mod quantity;
pub mod rules;
mod tolerant;
pub mod version;
mod words;

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

pub use self::{
    backup::{Neo4jBackup, Neo4jBackupSpec, Neo4jBackupStatus},
    cluster::{Neo4jEnterpriseCluster, Neo4jEnterpriseClusterSpec, Neo4jEnterpriseClusterStatus},
    database::{Neo4jDatabase, Neo4jDatabaseSpec, Neo4jDatabaseStatus},
    opaque::Opaque,
    rules::Problem,
    version::Version,
};

/// The API group of all kinds.
pub const GROUP: &str = "neo4j.neo4j.com";
/// The one version of all kinds.
pub const VERSION: &str = "v1beta1";
/// The finalizer of clusters.
pub const CLUSTER_FINALIZER: &str = "neo4j.neo4j.com/cluster-finalizer";
/// The finalizer of databases.
pub const DATABASE_FINALIZER: &str = "neo4j.com/database-finalizer";
/// The finalizer of backups.
pub const BACKUP_FINALIZER: &str = "neo4j.com/backup-finalizer";

/// Durations of the API, such as `5s` or `1h30m`: whole numbers with units in falling order.
pub(crate) const DURATION_PATTERN: &str = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?([0-9]+us)?$";
