//! What a backup's spec must satisfy beyond the type of each field.

use super::{BackupOptions, Neo4jBackup as Backup};
use crate::{
    location::StorageType,
    rules::{Check, Problem, Rule, broken, broken_by_change, given},
    version::Version,
};

/// The rules that the schema carries.
pub static RULES: &[Rule<Backup>] = &[
    Rule {
        id: "B1",
        at: "spec",
        field: "instanceRef",
        cel: "!has(oldSelf.instanceRef) || oldSelf.instanceRef == '' || \
              (has(self.instanceRef) && self.instanceRef == oldSelf.instanceRef)",
        message: "spec.instanceRef is fixed: one chain of artifacts belongs to one instance; create another resource",
        check: Check::Change(|old, new| {
            given(old.spec.instance_ref.as_ref()) && old.spec.instance_ref != new.spec.instance_ref
        }),
    },
    Rule {
        id: "B2",
        at: "spec",
        field: "database",
        cel: "(has(self.database) && size(self.database) > 0 ? 1 : 0) + \
              (has(self.allDatabases) && self.allDatabases ? 1 : 0) + \
              (has(self.shardedDatabase) && size(self.shardedDatabase) > 0 ? 1 : 0) == 1",
        message: "set exactly one of spec.database, spec.allDatabases and spec.shardedDatabase",
        check: Check::Breaks(|b| {
            let set = [
                given(b.spec.database.as_ref()),
                b.spec.all_databases == Some(true),
                given(b.spec.sharded_database.as_ref()),
            ];
            set.into_iter().filter(|set| *set).count() != 1
        }),
    },
    Rule {
        id: "B3",
        at: "spec.storage",
        field: "pvc",
        cel: "self.type != 'pvc' || has(self.pvc)",
        message: "spec.storage.pvc is required when spec.storage.type is pvc: name a claim, or give its size",
        check: Check::Breaks(|b| b.spec.storage.type_ == StorageType::Pvc && b.spec.storage.pvc.is_none()),
    },
    Rule {
        id: "B4",
        at: "spec.storage",
        field: "bucket",
        cel: "self.type == 'pvc' || (has(self.bucket) && size(self.bucket) > 0)",
        message: "spec.storage.bucket is required when spec.storage.type is s3, gcs or azure",
        check: Check::Breaks(|b| b.spec.storage.type_ != StorageType::Pvc && !given(b.spec.storage.bucket.as_ref())),
    },
    Rule {
        id: "B5",
        at: "",
        field: "spec.chainFromBackup",
        cel: "!has(self.spec.chainFromBackup) || self.spec.chainFromBackup != self.metadata.name",
        message: "spec.chainFromBackup must name another backup; a backup goes on its own chain anyway",
        check: Check::Breaks(|b| b.spec.chain_from_backup.is_some() && b.spec.chain_from_backup == b.metadata.name),
    },
];

/// Options of neo4j-admin that the operator writes itself.
const OUR_FLAGS: [&str; 17] = [
    "--to-path",
    "--from",
    "--type",
    "--compress",
    "--pagecache",
    "--include-metadata",
    "--parallel-recovery",
    "--keep-failed",
    "--temp-path",
    "--prefer-diff-as-parent",
    "--remote-address-resolution",
    "--parallel-download",
    "--skip-recovery",
    "--inspect-path",
    "--database",
    "--help",
    "--version",
];

/// What is wrong with a backup, apart from what its instance decides.
pub fn validate(backup: &Backup) -> Vec<Problem> {
    let mut problems = broken(RULES, backup);
    let spec = &backup.spec;
    if !given(spec.instance_ref.as_ref()) {
        problems.push(Problem::of_reconciler(
            "spec.instanceRef",
            "is required: name the cluster to back up",
        ));
    }
    problems.extend(
        spec.storage
            .path
            .as_deref()
            .and_then(check_path)
            .map(|why| Problem::of_reconciler("spec.storage.path", why)),
    );
    if !spec.storage.type_.is_known() {
        problems.push(Problem::of_reconciler(
            "spec.storage.type",
            "must be one of s3, gcs, azure, pvc",
        ));
    }
    if let Some(max_age) = spec
        .retention
        .as_ref()
        .and_then(|retention| retention.max_age.as_deref())
        && age_seconds(max_age).is_none()
    {
        problems.push(Problem::of_reconciler(
            "spec.retention.maxAge",
            "must be a number with d, h, m or s, such as 30d",
        ));
    }
    problems.extend(spec.options.as_ref().map_or_else(Vec::new, additional_args));
    problems
}

/// What is wrong with a change of a backup.
pub fn validate_change(old: &Backup, new: &Backup) -> Vec<Problem> {
    broken_by_change(RULES, old, new)
}

/// Options that an instance of this version does not have.
pub fn validate_on(backup: &Backup, version: Version) -> Vec<Problem> {
    let Some(options) = &backup.spec.options else {
        return Vec::new();
    };
    let needs = [
        (
            "preferDiffAsParent",
            options.prefer_diff_as_parent == Some(true),
            Version::new(2025, 4, 0),
        ),
        (
            "remoteAddressResolution",
            options.remote_address_resolution == Some(true),
            Version::new(2025, 9, 0),
        ),
        (
            "parallelDownload",
            options.parallel_download == Some(true),
            Version::new(2025, 11, 0),
        ),
        (
            "skipRecovery",
            options.skip_recovery == Some(true),
            Version::new(2025, 11, 0),
        ),
        ("validate", options.validate == Some(true), Version::new(2025, 1, 0)),
    ];
    needs
        .into_iter()
        .filter(|(_, asked, needed)| *asked && version < *needed)
        .map(|(name, _, needed)| {
            Problem::of_reconciler(
                format!("spec.options.{name}"),
                format!("needs Neo4j {needed} or later; the instance runs {version}"),
            )
        })
        .collect()
}

/// The seconds of an age such as `30d`; `None` when it is none.
pub fn age_seconds(text: &str) -> Option<u64> {
    let unit = match text.chars().last()? {
        'd' => 86_400,
        'h' => 3_600,
        'm' => 60,
        's' => 1,
        _ => return None,
    };
    let number = &text[..text.len() - 1];
    let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    plain
        .then(|| number.parse::<u64>().ok())?
        .and_then(|number| number.checked_mul(unit))
}

fn check_path(path: &str) -> Option<&'static str> {
    if path.split('/').any(|part| part == "..") {
        Some("must not hold \"..\": artifacts stay below the given place")
    } else if path.starts_with('-') {
        Some("must not begin with a dash: it would read as an option")
    } else if path.chars().any(char::is_control) {
        Some("must not hold control characters")
    } else {
        None
    }
}

fn additional_args(options: &BackupOptions) -> Vec<Problem> {
    let ours = |argument: &str| {
        let flag = argument.split('=').next().unwrap_or_default();
        OUR_FLAGS.contains(&flag)
    };
    options
        .additional_args
        .iter()
        .enumerate()
        .filter(|(_, argument)| ours(argument))
        .map(|(index, _)| {
            let field = format!("spec.options.additionalArgs[{index}]");
            Problem::of_reconciler(field, "repeats an option that the operator writes from another field")
        })
        .collect()
}
