//! Names and labels of what a backup is made of, and where things are in its pod.

use std::collections::BTreeMap;

use crate::reconcile::{MANAGER, cluster::names::CLUSTER};

/// Label with the name of the backup, on its Jobs and pods.
pub const BACKUP: &str = "neo4j.com/backup";
/// The identity of backup pods: one for all backups of a namespace, so that a cloud's role is given once.
pub const SERVICE_ACCOUNT: &str = "neo4j-backup-sa";
/// The container whose end is the end of a run.
pub const CONTAINER: &str = "backup";
/// The init container that brings our program.
pub const PROGRAM_CONTAINER: &str = "program";

/// Where the claim is in the pod.
pub const CLAIM_PATH: &str = "/backups";
/// Where our program is in the pod.
pub const PROGRAM_PATH: &str = "/program";
/// Where temporary files go, unless the spec says otherwise.
pub const TEMP_PATH: &str = "/backup-temp";

/// Longest name of a Job: it becomes a label of its pods.
const JOB_LIMIT: usize = 63;
/// Longest name of a CronJob: the time of a run is added to it.
const CRON_JOB_LIMIT: usize = 52;

/// The Job of a backup that runs once.
pub fn job(backup: &str) -> String {
    format!("{backup}-backup")
}

/// The CronJob of a backup that runs by schedule.
pub fn cron_job(backup: &str) -> String {
    format!("{backup}-backup-cron")
}

/// The claim of a backup whose spec names none.
pub fn claim(backup: &str) -> String {
    format!("{backup}-backup")
}

/// The longest name that a backup may have.
pub fn longest(scheduled: bool) -> usize {
    if scheduled {
        CRON_JOB_LIMIT - cron_job("").len()
    } else {
        JOB_LIMIT - job("").len()
    }
}

/// Labels of the Jobs, pods and claims of a backup. Never those that make a pod a member of its cluster.
pub fn labels(backup: &str, cluster: &str) -> BTreeMap<String, String> {
    let mut labels = common();
    labels.insert("app.kubernetes.io/instance".to_owned(), cluster.to_owned());
    labels.insert(CLUSTER.to_owned(), cluster.to_owned());
    labels.insert(BACKUP.to_owned(), backup.to_owned());
    labels
}

/// Labels of what all backups of a namespace share.
pub fn common() -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "neo4j"),
        ("app.kubernetes.io/component", "backup"),
        ("app.kubernetes.io/part-of", "neo4j-cluster"),
        ("app.kubernetes.io/managed-by", MANAGER),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_names_still_fit_the_objects_they_name() {
        assert_eq!(job(&"x".repeat(longest(false))).len(), 63);
        assert_eq!(cron_job(&"x".repeat(longest(true))).len(), 52);
    }
}
