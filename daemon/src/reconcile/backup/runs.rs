//! From Jobs and their pods to the runs in the status. Pure.
//!
//! A run is one Job. How it ended is in two places: the Job says whether, the report in the termination message
//! of its pod says what is there (BK4). What the status once says of a finished run is never changed (BK5): Jobs
//! go away by themselves, and a run whose Job is gone before its end was seen counts as failed.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use neo4j_operator_crds::{
    Time,
    backup::status::{BackupRun, BackupStats, DatabaseArtifact, RunStatus},
};
use neo4j_operator_shared::{Span, backup::BackupReport};

use super::{names, render::DEADLINE_SECONDS};
use crate::cache::{ContainerState, Ended, JobView, PodView};

/// Runs that the status keeps.
const KEPT: usize = 20;
/// How long a Job that ended is waited on for the report of its pod: the two are watched apart.
const REPORT_PATIENCE: SignedDuration = SignedDuration::from_secs(30);
/// How long after its deadline a Job is believed to end still.
const OVERDUE: SignedDuration = SignedDuration::from_secs(DEADLINE_SECONDS + 300);

/// A Job of a backup with what its pods say.
#[derive(Clone, Debug)]
pub struct Observed<'a> {
    /// The Job.
    pub job: &'a JobView,
    /// Its pods.
    pub pods: Vec<&'a PodView>,
}

/// What a Job shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It was not let go yet.
    Held,
    /// It is under way.
    Running(String),
    /// It is over.
    Over {
        /// The run as it is remembered.
        run: Box<BackupRun>,
        /// Artifacts that retention removed.
        pruned: u32,
    },
}

/// Every run of a backup.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Runs {
    /// For the status, newest first.
    pub history: Vec<BackupRun>,
    /// What is under way, in words.
    pub running: Option<String>,
    /// Jobs that wait to be let go, oldest first.
    pub held: Vec<String>,
    /// Artifacts that retention removed, by run.
    pub pruned: BTreeMap<String, u32>,
}

/// Whether a Job ended, or should have long ago. One that was not let go yet is never overdue.
pub fn is_over(job: &JobView, now: Timestamp) -> bool {
    let overdue = |began: Timestamp| now.duration_since(began) > OVERDUE;
    job.complete || job.gave_up || (!job.suspended && job.started.is_some_and(overdue))
}

fn began(job: &JobView) -> Timestamp {
    job.started.or(job.metadata.created()).unwrap_or(Timestamp::MAX)
}

/// What one Job shows. `folder` is where its artifacts go.
pub fn judge(observed: &Observed<'_>, folder: &str, now: Timestamp) -> Verdict {
    let job = observed.job;
    if job.suspended && !is_over(job, now) {
        return Verdict::Held;
    }
    let last = last_end(&observed.pods);
    let report = last.and_then(report);
    if !is_over(job, now) {
        return Verdict::Running(doing(observed, report.as_ref()));
    }
    let ended = job.finished.unwrap_or(now);
    let finished = job.complete || job.gave_up;
    if finished && report.is_none() && now.duration_since(ended) < REPORT_PATIENCE {
        return Verdict::Running("its report is awaited".to_owned());
    }
    let error = (!job.complete).then(|| why(job, last, report.as_ref()));
    let run = remembered(job, report.as_ref(), error, folder, ended);
    Verdict::Over {
        run: Box::new(run),
        pruned: report.map_or(0, |report| report.pruned),
    }
}

/// The end of the newest container that ran a backup; one that succeeded is the one that counts.
fn last_end<'a>(pods: &[&'a PodView]) -> Option<&'a Ended> {
    pods.iter()
        .filter_map(|pod| pod.container(names::CONTAINER)?.terminated())
        .max_by_key(|ended| (ended.code == 0, ended.finished))
}

fn report(ended: &Ended) -> Option<BackupReport> {
    BackupReport::from_message(ended.message.as_deref()?).ok()
}

/// What a Job that is under way does.
fn doing(observed: &Observed<'_>, report: Option<&BackupReport>) -> String {
    let mut text = match observed.job.failed {
        0 => "the run is under way".to_owned(),
        failed => format!("attempt {} is under way", failed + 1),
    };
    if let Some(error) = report.and_then(|report| report.error.as_ref()) {
        text = format!("{text}; the one before failed: {error}");
    }
    let waiting = observed.pods.iter().find_map(|pod| {
        let container = pod.containers.iter().find_map(ContainerState::waiting);
        pod.unschedulable.as_deref().or(container)
    });
    if let Some(waiting) = waiting.filter(|reason| !matches!(*reason, "PodInitializing" | "ContainerCreating")) {
        text = format!("{text}; its pod waits: {waiting}");
    }
    text
}

/// Why a run failed.
fn why(job: &JobView, last: Option<&Ended>, report: Option<&BackupReport>) -> String {
    let job_says = job.failure.as_deref().unwrap_or("the Job did not end in time");
    let program = match (report, last) {
        (Some(report), _) => {
            let partial = match (report.artifacts.is_empty(), report.path.contains("://")) {
                (false, _) => "failed in part",
                // What is in a bucket is not listed, and the exit code is the same for both.
                (true, true) => "failed or partial",
                (true, false) => "failed",
            };
            match &report.error {
                Some(error) => format!("{partial}: {error}"),
                None => partial.to_owned(),
            }
        }
        (None, Some(ended)) => match ended.reason.as_deref() {
            Some(reason) if reason != "Error" => format!("ended with code {} ({reason})", ended.code),
            _ => format!("ended with code {}", ended.code),
        },
        (None, None) => return job_says.to_owned(),
    };
    format!("{program} ({job_says})")
}

fn remembered(
    job: &JobView,
    report: Option<&BackupReport>,
    error: Option<String>,
    folder: &str,
    ended: Timestamp,
) -> BackupRun {
    let artifacts: Vec<DatabaseArtifact> = report
        .iter()
        .flat_map(|report| &report.artifacts)
        .map(|artifact| DatabaseArtifact {
            database: Some(artifact.database.clone()),
            filename: Some(artifact.file.clone()),
            size: i64::try_from(artifact.bytes).ok(),
        })
        .collect();
    let status = if error.is_none() {
        RunStatus::Completed
    } else {
        RunStatus::Failed
    };
    BackupRun {
        run_id: Some(job.metadata.name().to_string()),
        start_time: Some(Time(began(job).min(ended))),
        completion_time: Some(Time(ended)),
        status: Some(status),
        error,
        stats: report.map(stats),
        backups_path: Some(folder.to_owned()),
        artifact_filename: match artifacts.as_slice() {
            [one] => one.filename.clone(),
            _ => None,
        },
        database_artifacts: artifacts,
        validation: None,
    }
}

/// Figures of a run. Those of sizes are absent where nothing was listed.
fn stats(report: &BackupReport) -> BackupStats {
    let bytes: u64 = report.artifacts.iter().map(|artifact| artifact.bytes).sum();
    let lasted = Duration::try_from(report.finished_at.duration_since(report.started_at)).unwrap_or_default();
    let listed = !report.artifacts.is_empty();
    let files = report.artifacts.len() + report.omitted as usize;
    BackupStats {
        size: listed.then(|| size(bytes as f64)),
        duration: Some(Span::from(Duration::from_millis(lasted.as_millis() as u64)).to_string()),
        throughput: (listed && !lasted.is_zero()).then(|| format!("{}/s", size(bytes as f64 / lasted.as_secs_f64()))),
        file_count: i32::try_from(files).ok().filter(|_| listed),
    }
}

fn size(bytes: f64) -> String {
    let (mut value, mut unit) = (bytes, "B");
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    if unit == "B" {
        format!("{value:.0} B")
    } else {
        format!("{value:.1} {unit}")
    }
}

/// Puts together what the status says already and what the Jobs show. `gone` are runs under way by the status
/// whose Jobs the server does not have any more.
pub fn merge(before: &[BackupRun], seen: &[Observed<'_>], gone: &[String], folder: &str, now: Timestamp) -> Runs {
    let mut runs = Runs {
        history: before.to_vec(),
        ..Runs::default()
    };
    for run in &mut runs.history {
        if !is_finished(run) && run.run_id.as_ref().is_some_and(|id| gone.contains(id)) {
            run.status = Some(RunStatus::Failed);
            run.completion_time = Some(Time(now));
            run.error = Some("its Job was removed before it was seen to end".to_owned());
        }
    }
    let mut seen: Vec<_> = seen.iter().collect();
    seen.sort_by_key(|observed| (observed.job.metadata.created(), observed.job.metadata.name().to_owned()));
    for observed in seen {
        let id = observed.job.metadata.name().to_string();
        let known = runs.history.iter().position(|run| run.run_id.as_deref() == Some(&*id));
        if known.is_some_and(|place| is_finished(&runs.history[place])) {
            continue;
        }
        let run = match judge(observed, folder, now) {
            Verdict::Held => {
                runs.held.push(id);
                continue;
            }
            Verdict::Running(text) => {
                runs.running = Some(text);
                BackupRun {
                    run_id: Some(id),
                    start_time: Some(Time(began(observed.job).min(now))),
                    status: Some(RunStatus::Running),
                    backups_path: Some(folder.to_owned()),
                    ..BackupRun::default()
                }
            }
            Verdict::Over { run, pruned } => {
                if pruned > 0 {
                    runs.pruned.insert(id, pruned);
                }
                *run
            }
        };
        match known {
            Some(place) => runs.history[place] = run,
            None => runs.history.push(run),
        }
    }
    runs.history.sort_by(|one, other| {
        let key = |run: &BackupRun| (run.start_time.as_ref().map(|time| time.0), run.run_id.clone());
        key(other).cmp(&key(one))
    });
    runs.history.truncate(KEPT);
    runs
}

/// Whether a run is over by the status.
pub fn is_finished(run: &BackupRun) -> bool {
    matches!(run.status, Some(RunStatus::Completed | RunStatus::Failed))
}

/// The newest run that is over.
pub fn last_finished(history: &[BackupRun]) -> Option<&BackupRun> {
    history.iter().find(|run| is_finished(run))
}

/// The newest run that succeeded.
pub fn last_good(history: &[BackupRun]) -> Option<&BackupRun> {
    history.iter().find(|run| run.status == Some(RunStatus::Completed))
}

/// A run in one sentence.
pub fn told(run: &BackupRun) -> String {
    let id = run.run_id.as_deref().unwrap_or("a run");
    let place = run.backups_path.as_deref().unwrap_or("its target");
    match (&run.error, run.database_artifacts.len()) {
        (Some(error), _) => format!("{id}: {error}"),
        (None, 0) => format!("{id} wrote to {place}"),
        (None, _) => {
            let stats = run.stats.clone().unwrap_or_default();
            let files = stats.file_count.unwrap_or_default();
            let what = if files == 1 { "artifact" } else { "artifacts" };
            format!(
                "{id} wrote {files} {what} ({}) to {place}",
                stats.size.unwrap_or_default()
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_that_was_not_let_go_is_never_overdue() {
        let began: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let late: Timestamp = "2026-01-05T00:00:00Z".parse().unwrap();
        let metadata = json!({"name": "j", "creationTimestamp": began});
        let mut job: JobView =
            serde_json::from_value(json!({"metadata": metadata, "spec": {"suspend": true}})).unwrap();
        assert!(!is_over(&job, late), "held for days");
        job.suspended = false;
        assert!(!is_over(&job, late), "just let go, not started yet");
        job.started = Some(began);
        assert!(is_over(&job, late), "ran for days");
        job.started = Some(late);
        assert!(!is_over(&job, late));
    }
}
