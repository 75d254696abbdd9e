//! What an absent field of a backup means.

use k8s_openapi::api::core::v1::ResourceRequirements;

use super::{BackupType, Neo4jBackupSpec as Spec};
use crate::{cluster::effective::resources, rules::given};

/// The folder of artifacts when the spec names none; the writer and every reader take it from here.
pub const DEFAULT_PATH: &str = "backups";

/// What a backup copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One database.
    Database(String),
    /// All databases, system among them.
    AllDatabases,
    /// A sharded database, which the operator refuses.
    Sharded(String),
}

/// A backup's spec with nothing left open.
#[derive(Clone, Debug, PartialEq)]
pub struct EffectiveBackup {
    /// The instance; `None` when the spec names none, which a rule refuses.
    pub instance: Option<String>,
    /// What is copied; `None` when the spec names none or several, which a rule refuses.
    pub scope: Option<Scope>,
    /// The folder in the claim or bucket, without slashes at its ends.
    pub path: String,
    /// The cron expression, if runs are scheduled.
    pub schedule: Option<String>,
    /// Whether no run begins.
    pub suspend: bool,
    /// How much a run copies.
    pub backup_type: BackupType,
    /// Whether artifacts are compressed.
    pub compress: bool,
    /// Requests and limits of the run.
    pub resources: ResourceRequirements,
}

impl Spec {
    /// The spec with nothing left open.
    pub fn effective(&self) -> EffectiveBackup {
        let options = self.options.as_ref();
        let path = self.storage.path.as_deref().map_or("", |path| path.trim_matches('/'));
        EffectiveBackup {
            instance: self.instance_ref.clone().filter(|name| !name.is_empty()),
            scope: self.scope(),
            path: if path.is_empty() { DEFAULT_PATH } else { path }.to_owned(),
            schedule: self.schedule.clone().filter(|schedule| !schedule.is_empty()),
            suspend: self.suspend.unwrap_or(false),
            backup_type: options
                .and_then(|options| options.backup_type.clone())
                .unwrap_or(BackupType::Auto),
            compress: options.and_then(|options| options.compress).unwrap_or(true),
            resources: options
                .and_then(|options| options.resources.clone())
                .unwrap_or_else(default_resources),
        }
    }

    fn scope(&self) -> Option<Scope> {
        let database = self
            .database
            .clone()
            .filter(|name| given(Some(name)))
            .map(Scope::Database);
        let all = (self.all_databases == Some(true)).then_some(Scope::AllDatabases);
        let sharded = self
            .sharded_database
            .clone()
            .filter(|name| given(Some(name)))
            .map(Scope::Sharded);
        let mut scopes = [database, all, sharded].into_iter().flatten();
        let first = scopes.next();
        if scopes.next().is_none() { first } else { None }
    }
}

/// Requests and limits of a run when the spec gives none.
pub fn default_resources() -> ResourceRequirements {
    resources(
        [("cpu", "100m"), ("memory", "512Mi")],
        [("cpu", "1"), ("memory", "2Gi")],
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_optional_field_may_be_absent() {
        let spec: Spec = serde_json::from_value(
            json!({"instanceRef": "c", "allDatabases": true, "storage": {"type": "pvc", "pvc": {"name": "b"}}}),
        )
        .unwrap();
        let effective = spec.effective();
        assert_eq!(effective.scope, Some(Scope::AllDatabases));
        assert_eq!(effective.path, "backups");
        assert_eq!(effective.backup_type, BackupType::Auto);
        assert!(effective.compress && !effective.suspend);
        assert_eq!(effective.schedule, None);
    }

    #[test]
    fn two_scopes_are_none() {
        let spec: Spec = serde_json::from_value(
            json!({"database": "a", "allDatabases": true, "storage": {"type": "s3", "bucket": "b", "path": "/nightly/"}}),
        )
        .unwrap();
        assert_eq!(spec.effective().scope, None);
        assert_eq!(spec.effective().path, "nightly");
    }
}
