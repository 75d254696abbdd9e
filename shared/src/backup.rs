//! The report of one backup run: `backup-run` writes it to the container's termination message,
//! the operator reads it from the pod's status (BK4). No logs are read, no rights on them needed.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Kubernetes keeps at most this many bytes of a termination message.
pub const MAX_REPORT_BYTES: usize = 4096;

/// What one run of `backup-run` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupReport {
    /// Version of this document: 1.
    pub version: u32,
    /// Exit code of `neo4j-admin`; absent when it could not be started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// When the run began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Where the artifacts went.
    pub path: String,
    /// New artifacts, by database name; at most what fits, see `omitted`.
    #[serde(default)]
    pub artifacts: Vec<Artifact>,
    /// Artifacts that did not fit into the report.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: u32,
    /// Files that retention removed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pruned: u32,
    /// Why it failed, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One file that a run made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// Database it holds.
    pub database: String,
    /// File name, without folders.
    pub file: String,
    /// Size in bytes.
    pub bytes: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde asks for
fn is_zero(value: &u32) -> bool {
    *value == 0
}

impl BackupReport {
    /// The JSON of the report in at most [`MAX_REPORT_BYTES`]: artifacts beyond that are counted
    /// in `omitted`, a long error is cut.
    pub fn to_message(&self) -> String {
        let mut report = self.clone();
        if let Some(error) = &mut report.error {
            *error = error.chars().filter(|c| !c.is_control()).take(512).collect();
        }
        report.path = report.path.chars().take(512).collect();
        loop {
            let text = serde_json::to_string(&report).unwrap_or_default();
            if text.len() <= MAX_REPORT_BYTES || report.artifacts.pop().is_none() {
                return text;
            }
            report.omitted += 1;
        }
    }

    /// Reads the termination message of a backup container.
    pub fn from_message(message: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(message.trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(artifacts: u32) -> BackupReport {
        BackupReport {
            version: 1,
            exit_code: Some(0),
            started_at: Timestamp::UNIX_EPOCH,
            finished_at: Timestamp::UNIX_EPOCH,
            path: "/backups/backups".into(),
            artifacts: (0..artifacts)
                .map(|n| Artifact {
                    database: format!("db{n}"),
                    file: format!("db{n}-2026-01-01T00-00-00.backup"),
                    bytes: 1,
                })
                .collect(),
            omitted: 0,
            pruned: 0,
            error: Some("x\n".repeat(4000)),
        }
    }

    #[test]
    fn a_report_always_fits_and_counts_what_it_leaves_out() {
        let message = report(1000).to_message();
        assert!(message.len() <= MAX_REPORT_BYTES, "{} bytes", message.len());
        let read = BackupReport::from_message(&message).expect("still JSON");
        assert_eq!(read.artifacts.len() as u32 + read.omitted, 1000);
        assert!(!read.artifacts.is_empty());
    }

    #[test]
    fn a_cut_message_is_an_error_not_an_empty_report() {
        let message = report(3).to_message();
        BackupReport::from_message(&message[..message.len() / 2]).expect_err("cut");
    }
}
