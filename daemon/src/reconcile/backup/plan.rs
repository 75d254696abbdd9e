//! What follows from what was seen of a backup. Pure.
//!
//! A backup that runs once has one Job in its life. Before the Job is created its name stands in the status as a
//! lease, so that a crash in between never makes two runs, or one more after the first was cleaned up (BK5). A
//! backup that runs by schedule is a CronJob whose Jobs wait to be let go. Either way a run begins only when the
//! gate is open (the target can be copied from and to) and it is this backup's turn (BK3).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use neo4j_operator_crds::{
    Time,
    backup::{
        EffectiveBackup, Neo4jBackupStatus,
        status::{BackupPhase, BackupRun, RunLease, RunStatus},
    },
};

use super::{
    render::{DEADLINE_SECONDS, TTL_SECONDS},
    runs::{self, Runs},
    schedule::Schedule,
};
use crate::reconcile::{EventReason, conditions::Status};

/// While a run begins or ends.
pub(super) const POLL: Duration = Duration::from_secs(1);
/// While something else has to happen first.
pub(super) const WAIT: Duration = Duration::from_secs(5);
/// While only the resource itself can change anything.
pub(super) const REST: Duration = Duration::from_secs(3600);

/// A lease that is younger is followed by the Job at once.
const LEASE_FRESH: SignedDuration = SignedDuration::from_mins(5);
/// A lease that is older may have had a Job that ended and was cleaned up since: nobody knows. Less than the time
/// for which a finished Job stays.
const LEASE_KNOWN: SignedDuration = SignedDuration::from_secs(TTL_SECONDS - 300);

/// Whether a run can begin as far as the target goes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Gate {
    /// It can.
    Open,
    /// Something has to happen first.
    Closed {
        /// Reason of Ready.
        reason: &'static str,
        /// What is missing.
        message: String,
    },
    /// The instance cannot do what is asked.
    Refused(String),
}

/// What the status will say.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct State {
    /// The phase.
    pub phase: BackupPhase,
    /// Condition Ready.
    pub ready: Status,
    /// Its reason.
    pub reason: &'static str,
    /// What is going on, in one sentence.
    pub message: String,
    /// The event that a change to this state is worth; runs have their own.
    pub event: Option<EventReason>,
    /// When to look again.
    pub poll: Duration,
    /// Nothing but a change of the spec can help.
    pub terminal: bool,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The Job of the one run, with what it needs.
    Start,
    /// The CronJob, with what its Jobs need.
    Schedule,
    /// A Job of the CronJob may run.
    Release(String),
    /// The CronJob goes.
    Unschedule,
}

/// A plan.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    /// What the status will say if the steps succeed.
    pub state: State,
    /// What is to be done.
    pub steps: Vec<Step>,
    /// The lease that the status will hold.
    pub lease: Option<RunLease>,
    /// A run that the history has to take in, because its end will never be known.
    pub lost: Option<BackupRun>,
    /// When the next run begins.
    pub next_run: Option<Timestamp>,
    /// The lease is new: the status is written before anything else happens.
    pub leased: bool,
}

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a> {
    /// Wall time.
    pub now: Timestamp,
    /// What is wanted.
    pub desired: &'a EffectiveBackup,
    /// When, if by schedule.
    pub schedule: Option<&'a Schedule>,
    /// The Job of the one run.
    pub job: &'a str,
    /// The status as it is.
    pub before: &'a Neo4jBackupStatus,
    /// The runs, with what the Jobs show now.
    pub runs: &'a Runs,
    /// Whether there is a CronJob of ours.
    pub has_cron_job: bool,
    /// Whether the target can be used.
    pub gate: &'a Gate,
    /// Whose turn it is, if not ours.
    pub ahead: Option<&'a str>,
}

// === impl State ===

impl State {
    fn new(phase: BackupPhase, ready: Status, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            phase,
            ready,
            reason,
            message: message.into(),
            event: None,
            poll: WAIT,
            terminal: false,
        }
    }

    /// Something outside has to happen first.
    pub fn waiting(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(BackupPhase::Waiting, Status::False, reason, message)
    }

    /// The spec asks for what cannot be.
    pub fn invalid(reason: &'static str, event: EventReason, message: impl Into<String>) -> Self {
        Self {
            event: Some(event),
            terminal: true,
            ..Self::new(BackupPhase::Invalid, Status::False, reason, message)
        }
    }

    /// An object of somebody else is in the way.
    pub fn conflict(what: &str) -> Self {
        Self {
            event: Some(EventReason::NameConflict),
            poll: Duration::from_secs(30),
            ..Self::waiting(
                "NameConflict",
                format!("{what} exists and is not ours: nothing is written"),
            )
        }
    }

    fn suspended() -> Self {
        Self {
            poll: REST,
            ..Self::new(
                BackupPhase::Suspended,
                Status::False,
                "Suspended",
                "spec.suspend is true: no run begins",
            )
        }
    }

    fn over(run: &BackupRun) -> Self {
        let (phase, ready, reason) = if run.status == Some(RunStatus::Completed) {
            (BackupPhase::Completed, Status::True, "BackupSucceeded")
        } else {
            (BackupPhase::Failed, Status::False, "BackupFailed")
        };
        Self {
            poll: REST,
            ..Self::new(phase, ready, reason, runs::told(run))
        }
    }

    fn of_gate(gate: &Gate) -> Option<Self> {
        match gate {
            Gate::Open => None,
            Gate::Closed { reason, message } => Some(Self::waiting(reason, message)),
            Gate::Refused(message) => Some(Self::invalid(
                "ValidationFailed",
                EventReason::ValidationFailed,
                message,
            )),
        }
    }
}

// === planning ===

impl Plan {
    /// Nothing is to be done.
    pub fn only(state: State) -> Self {
        Self {
            state,
            steps: Vec::new(),
            lease: None,
            lost: None,
            next_run: None,
            leased: false,
        }
    }
}

/// The plan for a backup.
pub(super) fn plan(input: Input<'_>) -> Plan {
    match input.schedule {
        None => once(input),
        Some(schedule) => scheduled(input, schedule),
    }
}

fn once(input: Input<'_>) -> Plan {
    let runs = input.runs;
    // It left its schedule; a run that is under way may end.
    let unschedule = (input.has_cron_job && runs.running.is_none()).then_some(Step::Unschedule);
    let mut plan = first_run(input);
    if runs.running.is_some() {
        plan.lease = lease_of_run(runs);
    } else if let Some(lost) = &plan.lost {
        plan.state = State::over(lost);
        plan.lease = None;
    }
    plan.steps.extend(unschedule);
    plan
}

fn first_run(input: Input<'_>) -> Plan {
    let Input { runs, now, job, .. } = input;
    let finished = runs.history.iter().find(|run| run.run_id.as_deref() == Some(job));
    if let Some(run) = finished.filter(|run| runs::is_finished(run)) {
        return Plan::only(State::over(run));
    }
    if let Some(doing) = &runs.running {
        return Plan::only(State {
            poll: WAIT,
            ..State::new(BackupPhase::Running, Status::False, "Running", doing)
        });
    }
    let lease = input.before.run_lease.as_ref();
    let lease = lease.filter(|lease| lease.run_id.as_deref() == Some(job));
    let age = lease
        .and_then(|lease| lease.acquired_at.as_ref())
        .map(|since| now.duration_since(since.0));
    if age.is_some_and(|age| age > LEASE_KNOWN) {
        return Plan {
            lost: Some(BackupRun {
                run_id: Some(job.to_owned()),
                start_time: lease.and_then(|lease| lease.acquired_at.clone()),
                completion_time: Some(Time(now)),
                status: Some(RunStatus::Failed),
                error: Some(
                    "the operator was away for so long that nobody knows whether it ran; create another backup"
                        .to_owned(),
                ),
                ..BackupRun::default()
            }),
            ..Plan::only(State::waiting("Pending", ""))
        };
    }
    if input.desired.suspend {
        return Plan::only(State::suspended());
    }
    if let Some(state) = State::of_gate(input.gate) {
        return Plan::only(state);
    }
    if let Some(ahead) = input.ahead {
        return Plan::only(State::waiting("AnotherBackupRunning", ahead));
    }
    let pending = State {
        poll: Duration::ZERO,
        ..State::new(
            BackupPhase::Pending,
            Status::False,
            "Pending",
            "the run is about to begin",
        )
    };
    if age.is_some_and(|age| age <= LEASE_FRESH) {
        return Plan {
            steps: vec![Step::Start],
            lease: lease.cloned(),
            ..Plan::only(pending)
        };
    }
    // There is no Job, or an older lease would have been followed by one that is still there: begin anew.
    Plan {
        lease: Some(RunLease {
            run_id: Some(job.to_owned()),
            acquired_at: Some(Time(now)),
            deadline: now.checked_add(LEASE_KNOWN).ok().map(Time),
        }),
        leased: true,
        ..Plan::only(pending)
    }
}

fn scheduled(input: Input<'_>, schedule: &Schedule) -> Plan {
    let Input { runs, now, .. } = input;
    let next_run = schedule.next(now).filter(|_| !input.desired.suspend);
    let gate = State::of_gate(input.gate);
    let ready = match runs::last_finished(&runs.history) {
        Some(run) if run.status == Some(RunStatus::Completed) => (Status::True, "BackupSucceeded"),
        Some(_) => (Status::False, "BackupFailed"),
        None => (Status::True, "Scheduled"),
    };
    let with = |phase, message: String, poll| State {
        poll,
        ..State::new(phase, ready.0, ready.1, message)
    };
    let until_next = next_run.and_then(|next| Duration::try_from(next.duration_since(now)).ok());
    let rest = until_next.map_or(REST, |wait| wait + POLL);
    let mut steps = Vec::new();
    if gate.is_none() {
        steps.push(Step::Schedule);
    }
    let state = if let Some(doing) = &runs.running {
        with(BackupPhase::Running, doing.clone(), WAIT)
    } else if let Some(state) = gate {
        state
    } else if input.desired.suspend {
        State::suspended()
    } else if let Some(held) = runs.held.first() {
        if let Some(ahead) = input.ahead {
            State::waiting("AnotherBackupRunning", ahead)
        } else {
            steps.push(Step::Release(held.clone()));
            with(BackupPhase::Running, format!("{held} begins"), POLL)
        }
    } else {
        let message = match runs::last_finished(&runs.history) {
            Some(run) => runs::told(run),
            None => "no run yet".to_owned(),
        };
        with(BackupPhase::Scheduled, message, rest)
    };
    Plan {
        steps,
        lease: lease_of_run(runs),
        next_run: next_run.filter(|_| input.has_cron_job || *input.gate == Gate::Open),
        ..Plan::only(state)
    }
}

/// The run that is under way holds the right to copy from the instance.
fn lease_of_run(runs: &Runs) -> Option<RunLease> {
    let run = runs.history.iter().find(|run| !runs::is_finished(run))?;
    let since = run.start_time.as_ref()?.0;
    let deadline = since.checked_add(SignedDuration::from_secs(DEADLINE_SECONDS)).ok();
    Some(RunLease {
        run_id: run.run_id.clone(),
        acquired_at: Some(Time(since)),
        deadline: deadline.map(Time),
    })
}
