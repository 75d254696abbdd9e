//! What a Job needs next, as a pure function of the Job, its pods and the time.
//!
//! Jobs here have one completion and one pod at a time, so attempts are a sequence: attempt n is created only when n have ended, and its
//! pod's name depends on the Job and n alone. Creating it twice is therefore impossible, whatever was or was not seen.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        batch::v1::{Job, JobCondition, JobSpec, JobStatus},
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};

use crate::controllers::{
    clock::{self, stamp},
    meta,
};

/// Which attempt a pod is.
pub(super) const ATTEMPT: &str = "devcluster.neo4j.com/attempt";
const FIRST_BACK_OFF: Duration = Duration::from_secs(10);
const LAST_BACK_OFF: Duration = Duration::from_secs(360);

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    Create {
        attempt: i32,
    },
    Delete(Arc<Pod>),
    /// The Job itself has outlived its time.
    Expire,
}

/// What to do now, what to report, and when to look again without any change.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    pub(super) actions: Vec<Action>,
    pub(super) status: JobStatus,
    pub(super) look_again: Option<Duration>,
    /// What came to pass just now, for an event.
    pub(super) outcome: Option<Outcome>,
}

/// How a Job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Complete,
    Failed { reason: &'static str, message: String },
}

/// Whether, and when, the Job has ended: by `Complete` or `Failed`.
pub(in crate::controllers) fn ended(job: &Job) -> Option<(bool, Option<Timestamp>)> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let end = conditions
        .iter()
        .find(|condition| condition.status == "True" && matches!(condition.type_.as_str(), "Complete" | "Failed"))?;
    let at = end.last_transition_time.as_ref().map(|time| time.0);
    Some((end.type_ == "Complete", at))
}

/// The pods of a Job, sorted by what they are doing.
struct Pods<'a> {
    active: Vec<&'a Arc<Pod>>,
    terminating: usize,
    succeeded: usize,
    ready: usize,
    /// Attempts that have ended without success.
    failed: i32,
    last_failure: Option<Timestamp>,
    restarts: i32,
}

fn phase(pod: &Pod) -> &str {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

fn attempt(pod: &Pod) -> i32 {
    meta::annotation(pod, ATTEMPT)
        .and_then(|attempt| attempt.parse().ok())
        .unwrap_or(0)
}

fn finished_at(pod: &Pod) -> Option<Timestamp> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let ends = statuses
        .iter()
        .filter_map(|status| status.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref());
    ends.map(|time| time.0).max()
}

impl<'a> Pods<'a> {
    fn of(job: &Job, pods: &'a [Arc<Pod>]) -> Self {
        let before = job.status.as_ref().and_then(|status| status.failed).unwrap_or(0);
        let mut all = Self {
            active: Vec::new(),
            terminating: 0,
            succeeded: 0,
            ready: 0,
            failed: before,
            last_failure: None,
            restarts: 0,
        };
        for pod in pods {
            let statuses = pod
                .status
                .iter()
                .flat_map(|status| status.container_statuses.iter().flatten());
            all.restarts += statuses.clone().map(|status| status.restart_count).sum::<i32>();
            match phase(pod) {
                "Succeeded" => all.succeeded += 1,
                "Failed" => {
                    all.failed = all.failed.max(attempt(pod) + 1);
                    all.last_failure = all.last_failure.max(finished_at(pod));
                }
                // A pod that somebody deletes while it runs is a failed attempt, and is replaced at once.
                _ if meta::is_deleting(&**pod) => {
                    all.terminating += 1;
                    all.failed = all.failed.max(attempt(pod) + 1);
                }
                _ => {
                    all.ready += usize::from(statuses.clone().any(|status| status.ready));
                    all.active.push(pod);
                }
            }
        }
        all
    }
}

/// Plans the next steps of a Job that is not being deleted.
pub(super) fn plan(job: &Job, pods: &[Arc<Pod>], now: Timestamp) -> Plan {
    let empty = JobSpec::default();
    let spec = job.spec.as_ref().unwrap_or(&empty);
    if let Some((_, at)) = ended(job) {
        return expire(job, spec, at.unwrap_or(now), now);
    }
    let pods = Pods::of(job, pods);
    let mut plan = Plan {
        status: JobStatus {
            active: count(pods.active.len()),
            terminating: Some(i32::try_from(pods.terminating).unwrap_or(i32::MAX)),
            ready: Some(i32::try_from(pods.ready).unwrap_or(i32::MAX)),
            succeeded: count(pods.succeeded),
            failed: Some(pods.failed).filter(|failed| *failed > 0),
            ..job.status.clone().unwrap_or_default()
        },
        ..Plan::default()
    };
    if spec.suspend == Some(true) {
        plan.actions
            .extend(pods.active.iter().map(|pod| Action::Delete(Arc::clone(pod))));
        plan.status.start_time = None;
        set(
            &mut plan.status,
            "Suspended",
            true,
            "JobSuspended",
            "Job suspended",
            now,
        );
        return plan;
    }
    let begun = plan.status.start_time.get_or_insert_with(|| stamp(now)).0;
    if has(&plan.status, "Suspended") {
        set(&mut plan.status, "Suspended", false, "JobResumed", "Job resumed", now);
    }
    let deadline = spec
        .active_deadline_seconds
        .and_then(|seconds| u64::try_from(seconds).ok());
    let deadline = deadline.map(|seconds| clock::later(begun, Duration::from_secs(seconds)));
    if pods.succeeded > 0 {
        succeed(&mut plan, &pods, now);
    } else if let Some((reason, message)) = failure(spec, &plan.status, &pods, deadline, now) {
        fail(&mut plan, &pods, reason, message, now);
    } else {
        let wait = go_on(spec, &mut plan, &pods, now);
        let left = deadline.map(|deadline| clock::until(now, deadline));
        plan.look_again = [wait, left].into_iter().flatten().min();
    }
    plan
}

fn count(pods: usize) -> Option<i32> {
    i32::try_from(pods).ok().filter(|count| *count > 0)
}

fn expire(job: &Job, spec: &JobSpec, at: Timestamp, now: Timestamp) -> Plan {
    let mut plan = Plan {
        status: job.status.clone().unwrap_or_default(),
        ..Plan::default()
    };
    let ttl = spec
        .ttl_seconds_after_finished
        .and_then(|seconds| u64::try_from(seconds).ok());
    if let Some(seconds) = ttl {
        let left = clock::until(now, clock::later(at, Duration::from_secs(seconds)));
        if left.is_zero() {
            plan.actions.push(Action::Expire);
        } else {
            plan.look_again = Some(left);
        }
    }
    plan
}

/// Why the Job is lost, where it is.
fn failure(
    spec: &JobSpec,
    status: &JobStatus,
    pods: &Pods<'_>,
    deadline: Option<Timestamp>,
    now: Timestamp,
) -> Option<(&'static str, &'static str)> {
    let limit = spec.backoff_limit.unwrap_or(6);
    let restarts = match spec
        .template
        .spec
        .as_ref()
        .and_then(|spec| spec.restart_policy.as_deref())
    {
        Some("OnFailure") => pods.restarts,
        _ => 0,
    };
    let condemned = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "FailureTarget");
    if let Some(condemned) = condemned {
        return match condemned.reason.as_deref() {
            Some("DeadlineExceeded") => Some(DEADLINE),
            _ => Some(BACK_OFF_LIMIT),
        };
    }
    if pods.failed > limit || (restarts > 0 && restarts >= limit) {
        return Some(BACK_OFF_LIMIT);
    }
    deadline.is_some_and(|deadline| now >= deadline).then_some(DEADLINE)
}

const DEADLINE: (&str, &str) = ("DeadlineExceeded", "Job was active longer than specified deadline");
const BACK_OFF_LIMIT: (&str, &str) = ("BackoffLimitExceeded", "Job has reached the specified backoff limit");

fn succeed(plan: &mut Plan, pods: &Pods<'_>, now: Timestamp) {
    let (reason, message) = ("CompletionsReached", "Reached expected number of succeeded pods");
    plan.actions
        .extend(pods.active.iter().map(|pod| Action::Delete(Arc::clone(pod))));
    set(&mut plan.status, "SuccessCriteriaMet", true, reason, message, now);
    if pods.active.is_empty() && pods.terminating == 0 {
        set(&mut plan.status, "Complete", true, reason, message, now);
        plan.status.completion_time = Some(stamp(now));
        plan.outcome = Some(Outcome::Complete);
    }
}

fn fail(plan: &mut Plan, pods: &Pods<'_>, reason: &'static str, message: &'static str, now: Timestamp) {
    plan.actions
        .extend(pods.active.iter().map(|pod| Action::Delete(Arc::clone(pod))));
    set(&mut plan.status, "FailureTarget", true, reason, message, now);
    if pods.active.is_empty() && pods.terminating == 0 {
        set(&mut plan.status, "Failed", true, reason, message, now);
        plan.outcome = Some(Outcome::Failed {
            reason,
            message: message.to_owned(),
        });
    }
}

/// The next attempt, when its time has come.
fn go_on(spec: &JobSpec, plan: &mut Plan, pods: &Pods<'_>, now: Timestamp) -> Option<Duration> {
    let waits_for_ends = spec.pod_replacement_policy.as_deref() == Some("Failed") && pods.terminating > 0;
    if !pods.active.is_empty() || waits_for_ends || spec.parallelism == Some(0) {
        return None;
    }
    if let Some(last) = pods.last_failure {
        let doublings = u32::try_from(pods.failed - 1).unwrap_or(0).min(10);
        let delay = FIRST_BACK_OFF.saturating_mul(1 << doublings).min(LAST_BACK_OFF);
        let left = clock::until(now, clock::later(last, delay));
        if !left.is_zero() {
            return Some(left);
        }
    }
    plan.actions.push(Action::Create { attempt: pods.failed });
    None
}

fn has(status: &JobStatus, condition: &str) -> bool {
    status.conditions.iter().flatten().any(|known| known.type_ == condition)
}

/// Sets a condition; its times move only with its status.
fn set(status: &mut JobStatus, condition: &str, holds: bool, reason: &str, message: &str, now: Timestamp) {
    let value = if holds { "True" } else { "False" };
    let conditions = status.conditions.get_or_insert_default();
    if conditions
        .iter()
        .any(|known| known.type_ == condition && known.status == value)
    {
        return;
    }
    conditions.retain(|known| known.type_ != condition);
    let at: Time = stamp(now);
    conditions.push(JobCondition {
        type_: condition.to_owned(),
        status: value.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_probe_time: Some(at.clone()),
        last_transition_time: Some(at),
    });
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn job(spec: Value) -> Job {
        let mut job: Job = serde_json::from_value(json!({
            "metadata": {"name": "j", "namespace": "n", "uid": "u"},
            "spec": {"template": {"spec": {"containers": [], "restartPolicy": "Never"}}},
        }))
        .unwrap();
        let mut merged = serde_json::to_value(&job.spec).unwrap();
        merged
            .as_object_mut()
            .unwrap()
            .extend(spec.as_object().unwrap().clone());
        job.spec = serde_json::from_value(merged).unwrap();
        job
    }

    fn pod(number: i32, phase: &str, finished: i64) -> Arc<Pod> {
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": format!("j-{number}"), "annotations": {ATTEMPT: number.to_string()}},
                "status": {"phase": phase, "containerStatuses": [{
                    "name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"terminated": {"exitCode": 1, "finishedAt": stamp(at(finished)).0.to_string()}},
                }]},
            }))
            .unwrap(),
        )
    }

    fn true_conditions(plan: &Plan) -> Vec<&str> {
        let conditions = plan.status.conditions.iter().flatten();
        conditions
            .filter(|condition| condition.status == "True")
            .map(|condition| condition.type_.as_str())
            .collect()
    }

    #[test]
    fn a_failed_attempt_is_followed_by_the_next_after_its_back_off_until_the_limit() {
        let mut job = job(json!({"backoffLimit": 1}));
        assert_eq!(plan(&job, &[], at(0)).actions, [Action::Create { attempt: 0 }]);
        let early = plan(&job, &[pod(0, "Failed", 5)], at(6));
        assert_eq!(
            (early.actions.len(), early.look_again),
            (0, Some(Duration::from_secs(9)))
        );
        let due = plan(&job, &[pod(0, "Failed", 5)], at(15));
        assert_eq!(due.actions, [Action::Create { attempt: 1 }]);
        job.status = Some(due.status);
        // The first failed pod was deleted by hand: it still counts.
        let lost = plan(&job, &[pod(1, "Failed", 20)], at(40));
        assert_eq!(lost.status.failed, Some(2));
        assert_eq!(true_conditions(&lost), ["FailureTarget", "Failed"]);
        assert_eq!(
            lost.outcome,
            Some(Outcome::Failed {
                reason: "BackoffLimitExceeded",
                message: BACK_OFF_LIMIT.1.to_owned()
            })
        );
    }

    #[test]
    fn a_job_past_its_deadline_ends_its_pod_and_then_fails() {
        let mut job = job(json!({"activeDeadlineSeconds": 60}));
        let running = pod(0, "Running", 0);
        let begun = plan(&job, &[], at(0));
        assert_eq!(begun.look_again, Some(Duration::from_secs(60)));
        job.status = Some(begun.status);
        let late = plan(&job, &[Arc::clone(&running)], at(60));
        assert_eq!(late.actions, [Action::Delete(running)]);
        assert_eq!(true_conditions(&late), ["FailureTarget"]);
        job.status = Some(late.status);
        assert_eq!(true_conditions(&plan(&job, &[], at(61))), ["FailureTarget", "Failed"]);
    }

    #[test]
    fn a_finished_job_stays_as_it_is_and_goes_when_its_time_is_over() {
        let mut job = job(json!({"ttlSecondsAfterFinished": 100}));
        let done = plan(&job, &[pod(0, "Succeeded", 5)], at(5));
        assert_eq!(true_conditions(&done), ["SuccessCriteriaMet", "Complete"]);
        assert_eq!(done.status.completion_time, Some(stamp(at(5))));
        job.status = Some(done.status.clone());
        let later = plan(&job, &[], at(65));
        assert_eq!(
            (later.actions.len(), later.look_again),
            (0, Some(Duration::from_secs(40)))
        );
        assert_eq!(later.status, done.status);
        assert_eq!(plan(&job, &[], at(105)).actions, [Action::Expire]);
    }

    #[test]
    fn a_suspended_job_has_no_pods() {
        let running = pod(0, "Running", 0);
        let held = plan(&job(json!({"suspend": true})), &[Arc::clone(&running)], at(0));
        assert_eq!(held.actions, [Action::Delete(running)]);
        assert_eq!(true_conditions(&held), ["Suspended"]);
    }
}
