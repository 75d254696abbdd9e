//! The status of a backup, and the events that its change is worth. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use neo4j_operator_crds::{
    Neo4jBackupStatus, Time,
    backup::status::{BackupRun, RunStatus},
};

use super::{
    plan::{Plan, State},
    runs,
};
use crate::reconcile::{
    Conditions, EventReason,
    conditions::{self, Status},
};

/// Paths that are listed of the fields without effect.
const IGNORED_LIMIT: usize = 20;

/// Why nothing is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// By annotation.
    Paused,
    /// Only the plan is wanted.
    DryRun,
}

/// What a pass found, besides its plan.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    /// Generation that was looked at.
    pub generation: i64,
    /// Fields without effect.
    pub ignored: Vec<String>,
    /// `paused`, `dry-run`, or neither.
    pub held: Option<Held>,
    /// Token of the annotation that asks for a reconcile.
    pub requested_at: Option<String>,
    /// Retention is asked for where nothing can be removed.
    pub keeps_all: bool,
    /// The runs as they are now; `None` if nobody looked.
    pub history: Option<Vec<BackupRun>>,
    /// Artifacts that retention removed, by run.
    pub pruned: BTreeMap<String, u32>,
    /// The CronJob was written by this pass: with this schedule.
    pub scheduled: Option<String>,
}

/// The new status. What this pass did not look at stays as it was.
pub(super) fn render(
    before: &Neo4jBackupStatus,
    plan: &Plan,
    findings: &Findings,
    now: Timestamp,
) -> Neo4jBackupStatus {
    let state = &plan.state;
    let mut conditions = Conditions::from(&before.conditions, findings.generation, now);
    conditions.set("Ready", state.ready, state.reason, &*state.message);
    match findings.held {
        Some(Held::Paused) => conditions.set("Paused", Status::True, "ReconcilePaused", "by annotation"),
        Some(Held::DryRun) => conditions.set("Paused", Status::True, "DryRun", "by annotation"),
        None => conditions.remove("Paused"),
    }
    if findings.ignored.is_empty() {
        conditions.remove("SpecFieldsIgnored");
    } else {
        let message = listed(&findings.ignored);
        conditions.set("SpecFieldsIgnored", Status::True, "UnsupportedFields", message);
    }
    if findings.keeps_all {
        let message = "nothing in a bucket is ever removed by the operator: use the bucket's lifecycle rules";
        conditions.set("RetentionUnsupported", Status::True, "ObjectStore", message);
    } else {
        conditions.remove("RetentionUnsupported");
    }
    let mut status = Neo4jBackupStatus {
        phase: Some(state.phase.clone()),
        message: Some(state.message.clone()),
        conditions: conditions.into_list(),
        observed_generation: Some(findings.generation),
        last_handled_reconcile_at: findings
            .requested_at
            .clone()
            .or_else(|| before.last_handled_reconcile_at.clone()),
        ignored_fields: findings.ignored.clone(),
        ..before.clone()
    };
    if let Some(history) = &findings.history {
        status.history.clone_from(history);
        if let Some(lost) = &plan.lost {
            status.history.insert(0, lost.clone());
        }
        status.run_lease.clone_from(&plan.lease);
        status.next_run_time = plan.next_run.map(Time);
        let newest = status.history.first().and_then(|run| run.start_time.clone());
        status.last_run_time = newest.or_else(|| before.last_run_time.clone());
        if let Some(good) = runs::last_good(&status.history) {
            status.last_success_time.clone_from(&good.completion_time);
            status.stats.clone_from(&good.stats);
        }
    }
    status
}

/// At most so many paths, and how many more there are.
fn listed(paths: &[String]) -> String {
    let shown = paths.iter().take(IGNORED_LIMIT).cloned().collect::<Vec<_>>().join(", ");
    match paths.len().checked_sub(IGNORED_LIMIT) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}

/// The events that the change from one status to the next is worth.
pub(super) fn events(
    before: &Neo4jBackupStatus,
    after: &Neo4jBackupStatus,
    state: &State,
    findings: &Findings,
) -> Vec<(EventReason, String)> {
    let mut events = Vec::new();
    let changed = |kind| conditions::changed(&before.conditions, &after.conditions, kind);
    let of = |status: &Neo4jBackupStatus, kind| {
        let mut list = status.conditions.iter();
        list.find(|condition| condition.type_ == kind && condition.status == "True")
            .cloned()
    };
    let newer = after.observed_generation != before.observed_generation;
    if let Some(reason) = state.event
        && (changed("Ready") || newer)
    {
        events.push((reason, state.message.clone()));
    }
    if let Some(schedule) = &findings.scheduled {
        let next = after.next_run_time.as_ref().map(|next| format!(", next at {}", next.0));
        events.push((
            EventReason::BackupScheduled,
            format!("runs begin at {schedule:?} (UTC){}", next.unwrap_or_default()),
        ));
    }
    for run in after.history.iter().rev() {
        of_run(before, run, &findings.pruned, &mut events);
    }
    for (kind, reason, what) in [
        ("RetentionUnsupported", EventReason::RetentionUnsupported, ""),
        ("SpecFieldsIgnored", EventReason::FieldIgnored, "without effect: "),
    ] {
        let again = newer && reason == EventReason::FieldIgnored;
        if let Some(condition) = of(after, kind)
            && (changed(kind) || again)
        {
            events.push((reason, format!("{what}{}", condition.message)));
        }
    }
    match (of(before, "Paused").is_some(), of(after, "Paused").is_some()) {
        (false, true) => events.push((EventReason::ReconcilePaused, "no run begins until resumed".to_owned())),
        (true, false) => events.push((EventReason::ReconcileResumed, "runs begin again".to_owned())),
        _ => {}
    }
    events
}

/// What became of one run since the last status.
fn of_run(
    before: &Neo4jBackupStatus,
    run: &BackupRun,
    pruned: &BTreeMap<String, u32>,
    events: &mut Vec<(EventReason, String)>,
) {
    let known = before.history.iter().find(|known| known.run_id == run.run_id);
    if known.is_some_and(|known| known.status == run.status) {
        return;
    }
    let id = run.run_id.as_deref().unwrap_or_default();
    if known.is_none() {
        events.push((EventReason::BackupStarted, format!("{id} began")));
    }
    match run.status {
        Some(RunStatus::Completed) => events.push((EventReason::BackupCompleted, runs::told(run))),
        Some(RunStatus::Failed) => events.push((EventReason::BackupFailed, runs::told(run))),
        _ => {}
    }
    if let Some(count) = pruned.get(id) {
        let place = run.backups_path.as_deref().unwrap_or_default();
        events.push((
            EventReason::BackupPruned,
            format!("{id} removed {count} artifacts beyond the retention from {place}"),
        ));
    }
}
