//! `neo4j-operator backup-run`: runs one backup inside the backup pod (BK4).
//!
//! It starts `neo4j-admin database backup` with an argument vector (there is no shell), waits, lists what is
//! new in the target folder, prunes there by the retention rules, writes one [`BackupReport`] to the
//! container's termination message and ends with the backup's own exit code. The operator reads code and
//! report from the pod's status; it needs no right to read logs.
//!
//! Exit code 1 of `neo4j-admin` means failed *or partial*, so the result per database comes from the files.
//! Pruning is the only thing that destroys, and it needs certainty: a new good backup, and metadata of every
//! file from `neo4j-admin` itself. Without either nothing is removed, and the report says so. Targets in
//! object stores are not listed: there is no client for them here.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use neo4j_operator_shared::backup::BackupReport;

mod artifacts;
mod inspect;
mod retention;

pub use retention::{Keep, MaxAge};

/// Version of the report's form.
const REPORT_VERSION: u32 = 1;
/// Exit code where `neo4j-admin` could not be run at all.
const NOT_RUN: u8 = 70;

/// Arguments of `backup-run`. What follows `--` is handed to `neo4j-admin database backup` as it is.
#[derive(Clone, Debug, Args)]
pub struct BackupRun {
    /// Backup addresses of the servers, host:6362, comma-separated
    #[arg(long, value_name = "ADDRESSES")]
    pub from: String,
    /// Folder or URI that the artifacts go to
    #[arg(long, value_name = "TARGET")]
    pub to_path: String,
    /// Databases, comma-separated, or *
    #[arg(long, value_name = "NAMES", default_value = "*")]
    pub databases: String,
    /// FULL, DIFF or AUTO
    #[arg(long, value_name = "TYPE", default_value = "AUTO")]
    pub r#type: String,
    /// Chains to keep per database
    #[arg(long, value_name = "N")]
    pub keep_count: Option<u32>,
    /// Age to keep chains up to, such as 7d, 12h, 30m or 60s
    #[arg(long, value_name = "AGE")]
    pub keep_age: Option<MaxAge>,
    /// How metadata of artifacts is read: by the command of 5.26 or of later versions
    #[arg(long, value_enum, default_value_t = InspectCommand::BackupInspect)]
    pub inspect: InspectCommand,
    /// File that gets the report
    #[arg(long, value_name = "FILE", default_value = "/dev/termination-log")]
    pub report: PathBuf,
    /// The program that backs up
    #[arg(long, value_name = "PROGRAM", default_value = "neo4j-admin")]
    pub admin: PathBuf,
    /// Further arguments for it
    #[arg(last = true, value_name = "ARGUMENTS")]
    pub further: Vec<OsString>,
}

/// Which command shows the metadata of artifacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InspectCommand {
    /// `neo4j-admin database backup --inspect-path=…`, 5.26.
    InspectPath,
    /// `neo4j-admin backup inspect …`, 2025 and later.
    BackupInspect,
}

/// Runs the backup and ends as it ended.
pub fn run(arguments: &BackupRun) -> ExitCode {
    let report = back_up(arguments);
    let message = report.to_message();
    println!("{message}");
    if let Err(error) = fs::write(&arguments.report, &message) {
        // Without a report the operator can only say that it failed; the exit code says it too.
        eprintln!("cannot write the report to {}: {error}", arguments.report.display());
        return ExitCode::from(NOT_RUN);
    }
    match report.exit_code {
        Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        None => ExitCode::from(NOT_RUN),
    }
}

fn back_up(arguments: &BackupRun) -> BackupReport {
    let mut report = BackupReport {
        version: REPORT_VERSION,
        exit_code: None,
        started_at: Timestamp::now(),
        finished_at: Timestamp::now(),
        path: arguments.to_path.clone(),
        artifacts: Vec::new(),
        omitted: 0,
        pruned: 0,
        error: None,
    };
    let folder = arguments.folder();
    let before = match folder.map(prepare).transpose() {
        Ok(before) => before.unwrap_or_default(),
        Err(error) => {
            report.error = Some(format!("cannot use the folder {}: {error}", arguments.to_path));
            return report;
        }
    };
    match arguments.command().status() {
        Ok(status) => {
            // Ended by a signal: there is no code, so the shell's convention is used.
            report.exit_code = status.code().or_else(|| signal(status).map(|signal| 128 + signal));
            if !status.success() {
                report.error = Some(format!("{} ended with {status}", arguments.admin.display()));
            }
        }
        Err(error) => report.error = Some(format!("cannot start {}: {error}", arguments.admin.display())),
    }
    if let Some(folder) = folder {
        match artifacts::list(folder) {
            Ok(after) => {
                report.artifacts = after
                    .into_iter()
                    .filter(|artifact| !before.contains(&artifact.file))
                    .collect();
            }
            Err(error) => add(&mut report.error, format!("cannot list {}: {error}", folder.display())),
        }
        if report.exit_code == Some(0) {
            prune(arguments, folder, &mut report);
        }
    }
    report.finished_at = Timestamp::now();
    report
}

/// Makes the folder and says which artifacts are there already.
fn prepare(folder: &Path) -> io::Result<BTreeSet<String>> {
    fs::create_dir_all(folder)?;
    Ok(artifacts::list(folder)?
        .into_iter()
        .map(|artifact| artifact.file)
        .collect())
}

/// Removes what the retention rules no longer keep. Only ever after a run that made a new artifact.
fn prune(arguments: &BackupRun, folder: &Path, report: &mut BackupReport) {
    let keep = Keep {
        count: arguments.keep_count,
        age: arguments.keep_age,
    };
    if !keep.any() || report.artifacts.is_empty() {
        return;
    }
    let known = match inspect::read(&arguments.admin, arguments.inspect, folder) {
        Ok(known) => known,
        Err(error) => {
            add(&mut report.error, format!("nothing was pruned: {error}"));
            return;
        }
    };
    let fresh: BTreeSet<&str> = report.artifacts.iter().map(|artifact| artifact.file.as_str()).collect();
    for file in retention::expired(&known, &fresh, keep, report.started_at) {
        match fs::remove_file(folder.join(&file)) {
            Ok(()) => report.pruned += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => add(&mut report.error, format!("cannot remove {file}: {error}")),
        }
    }
}

fn add(errors: &mut Option<String>, error: String) {
    match errors {
        Some(all) => {
            all.push_str("; ");
            all.push_str(&error);
        }
        None => *errors = Some(error),
    }
}

fn signal(status: std::process::ExitStatus) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt as _;
    status.signal()
}

impl BackupRun {
    /// The target as a folder; nothing for a URI.
    fn folder(&self) -> Option<&Path> {
        (!self.to_path.contains("://")).then(|| Path::new(&self.to_path))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.admin);
        command
            .args(["database", "backup"])
            .arg(format!("--from={}", self.from))
            .arg(format!("--to-path={}", self.to_path))
            .arg(format!("--type={}", self.r#type))
            .args(&self.further)
            .args(self.databases.split(','))
            .stdin(Stdio::null());
        command
    }
}

/// Reads `7d`, `12h`, `30m`, `60s`.
impl std::str::FromStr for MaxAge {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text:?} is no age; write a whole number with d, h, m or s, such as 7d");
        let unit = text.chars().next_back().ok_or_else(wrong)?;
        let number: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
        let seconds = match unit {
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return Err(wrong()),
        };
        let seconds = number.checked_mul(seconds).ok_or_else(wrong)?;
        Ok(Self(Duration::from_secs(seconds)))
    }
}

#[cfg(test)]
mod tests;
