//! `Neo4jBackup`: one run, or runs by schedule, to a claim or a bucket.

pub mod effective;
pub mod rules;
pub mod status;

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    effective::EffectiveBackup,
    rules::{validate, validate_change, validate_on},
    status::Neo4jBackupStatus,
};
use crate::{location::StorageLocation, tolerant::null_as_empty, words::words};

words! {
    /// What a backup is for.
    BackupMode {
        /// To restore from.
        Standard = "standard",
        /// Refused by the operator.
        ReplicationSource = "replication-source",
    }
}

words! {
    /// What becomes of artifacts beyond the retention.
    RetentionDeletePolicy {
        /// They are deleted.
        Delete = "Delete",
    }
}

words! {
    /// How much a run copies.
    BackupType {
        /// Everything.
        Full = "FULL",
        /// What changed since the last run.
        Diff = "DIFF",
        /// What changed where that is possible, else everything.
        Auto = "AUTO",
    }
}

words! {
    /// Which metadata an artifact carries.
    IncludeMetadata {
        /// Users and roles.
        All = "all",
        /// None.
        None = "none",
        /// Users.
        Users = "users",
        /// Roles.
        Roles = "roles",
    }
}

/// A backup of databases of a Neo4j instance.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "neo4j.neo4j.com",
    version = "v1beta1",
    kind = "Neo4jBackup",
    plural = "neo4jbackups",
    shortname = "n4jbackup",
    category = "neo4j",
    namespaced,
    status = "Neo4jBackupStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A backup of databases of a Neo4j instance.",
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.instanceRef"),
    printcolumn(name = "Schedule", type_ = "string", json_path = ".spec.schedule"),
    printcolumn(name = "LastSuccess", type_ = "date", json_path = ".status.lastSuccessTime"),
    printcolumn(name = "NextRun", type_ = "string", json_path = ".status.nextRunTime"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct Neo4jBackupSpec {
    /// The cluster of this namespace whose databases are backed up. Fixed; the operator needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub instance_ref: Option<String>,
    /// One database. Exactly one of database, allDatabases and shardedDatabase is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65))]
    pub database: Option<String>,
    /// All databases, system among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_databases: Option<bool>,
    /// Not supported; refused by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub sharded_database: Option<String>,
    /// Where the artifacts go.
    pub storage: StorageLocation,
    /// When runs begin, as a cron expression; one run at once when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub schedule: Option<String>,
    /// Whether no run begins, neither by schedule nor at once; false when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// Which artifacts are kept; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// How neo4j-admin is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<BackupOptions>,
    /// Another backup whose chain this one goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub chain_from_backup: Option<String>,
    /// standard; replication-source is refused by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "standard"))]
    pub mode: Option<BackupMode>,
}

/// Which artifacts are kept. The newest good one always is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// How old an artifact may become: a number with d, h, m or s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^\d+[dhms]$"))]
    pub max_age: Option<String>,
    /// How many good chains are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_count: Option<i32>,
    /// Delete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_policy: Option<RetentionDeletePolicy>,
}

/// How neo4j-admin is called.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupOptions {
    /// FULL, DIFF or AUTO; AUTO when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_type: Option<BackupType>,
    /// Whether artifacts are compressed; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compress: Option<bool>,
    /// The page cache of the run, such as 2G.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^[0-9]+[KMG]?$"))]
    pub page_cache: Option<String>,
    /// Requests and limits of the run; 100m and 512Mi, limited to 1 and 2Gi when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// all, none, users or roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_metadata: Option<IncludeMetadata>,
    /// Whether transactions are applied in parallel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_recovery: Option<bool>,
    /// Whether what a failed run wrote is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_failed: Option<bool>,
    /// Further arguments; none that the operator writes itself.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    pub additional_args: Vec<String>,
    /// A folder for temporary files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temp_path: Option<String>,
    /// A volume for temporary files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temp_storage: Option<TempStorage>,
    /// Whether a differential artifact may be the parent of the next; from 2025.04.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefer_diff_as_parent: Option<bool>,
    /// Whether addresses are resolved by the server; from 2025.09.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_address_resolution: Option<bool>,
    /// Whether files are copied in parallel; from 2025.11.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_download: Option<bool>,
    /// Whether the artifact is left unrecovered; from 2025.11.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_recovery: Option<bool>,
    /// Whether artifacts are checked after the run; from 2025.01.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<bool>,
}

/// A volume for temporary files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TempStorage {
    /// Its size.
    #[schemars(length(max = 16), regex(pattern = r"^[0-9]+(Ki|Mi|Gi|Ti)?$"))]
    pub size: String,
    /// Its storage class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
}
