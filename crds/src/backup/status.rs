//! What the operator reports of a backup.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    tolerant::{lenient, lenient_list},
    words::words,
};

words! {
    /// The phase of a backup.
    BackupPhase {
        /// It has not begun.
        Pending = "Pending",
        /// It waits for its instance, or for another backup of it.
        Waiting = "Waiting",
        /// A run is under way.
        Running = "Running",
        /// It waits for the next run of its schedule.
        Scheduled = "Scheduled",
        /// It is suspended.
        Suspended = "Suspended",
        /// Its one run succeeded.
        Completed = "Completed",
        /// Its one run failed.
        Failed = "Failed",
        /// The spec asks for what cannot be.
        Invalid = "Invalid",
    }
}

words! {
    /// How a run ended.
    RunStatus {
        /// It has not ended.
        Running = "Running",
        /// It wrote all it should.
        Completed = "Completed",
        /// It did not, or not all.
        Failed = "Failed",
    }
}

/// What the operator knows of a backup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Neo4jBackupStatus {
    /// The phase, in one word.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub phase: Option<BackupPhase>,
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
    /// When the last run began.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub last_run_time: Option<Time>,
    /// When the last good run ended.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub last_success_time: Option<Time>,
    /// When the next run begins.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub next_run_time: Option<Time>,
    /// Figures of the last good run.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub stats: Option<BackupStats>,
    /// Runs, newest first, at most 20.
    #[serde(default, deserialize_with = "lenient_list", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub history: Vec<BackupRun>,
    /// The run that holds the right to back this instance up.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub run_lease: Option<RunLease>,
}

/// Figures of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupStats {
    /// Size of the artifacts.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Duration.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// Size per second.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub throughput: Option<String>,
    /// Number of artifacts.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub file_count: Option<i32>,
}

/// One run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupRun {
    /// The name of its Job.
    #[serde(
        default,
        rename = "runID",
        deserialize_with = "lenient",
        skip_serializing_if = "Option::is_none"
    )]
    pub run_id: Option<String>,
    /// When it began.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// How it ended.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub status: Option<RunStatus>,
    /// Why it failed.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its figures.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub stats: Option<BackupStats>,
    /// The folder it wrote to.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub backups_path: Option<String>,
    /// The artifact, when there is one.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub artifact_filename: Option<String>,
    /// Artifacts by database.
    #[serde(default, deserialize_with = "lenient_list", skip_serializing_if = "Vec::is_empty")]
    pub database_artifacts: Vec<DatabaseArtifact>,
    /// What the check of the artifacts said.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub validation: Option<BackupValidation>,
}

/// The artifact of one database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseArtifact {
    /// The database.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The file.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Its size in bytes.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
}

/// What the check of the artifacts said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupValidation {
    /// Its verdict.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub overall_status: Option<String>,
    /// Its output, cut.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub raw_output: Option<String>,
}

/// Who may back an instance up now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunLease {
    /// The run.
    #[serde(
        default,
        rename = "runID",
        deserialize_with = "lenient",
        skip_serializing_if = "Option::is_none"
    )]
    pub run_id: Option<String>,
    /// Since when.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub acquired_at: Option<Time>,
    /// Until when, unless it renews.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,
}
