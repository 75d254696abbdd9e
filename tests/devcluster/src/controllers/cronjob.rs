//! The CronJob controller: a Job at each time of a schedule.
//!
//! [`decide`] is the whole of the decision. A Job is named after its CronJob and its time, so one time makes one Job. Of several times
//! that were missed only the last is made up for, and only within the starting deadline.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use croner::{Cron, parser::CronParser};
use jiff::{Timestamp, tz::TimeZone};
use k8s_openapi::{
    api::{
        batch::v1::{CronJob, CronJobSpec, CronJobStatus, Job},
        core::v1::ObjectReference,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{Resource, api::PropagationPolicy, core::ObjectMeta};
use tokio_util::sync::CancellationToken;

use super::{
    Context, Error,
    clock::{self, stamp},
    job::plan::ended,
    meta,
    queue::{self, Queue},
    view::{Change, Deletion, Key, View},
};

const WORKERS: usize = 4;
const SCHEDULED_AT: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

struct Controller {
    context: Context,
    cron_jobs: Arc<View<CronJob>>,
    jobs: Arc<View<Job>>,
}

/// Runs the controller until `stop`.
pub(super) async fn run(context: Context, stop: CancellationToken) {
    let controller = Controller {
        cron_jobs: Arc::clone(&context.views.cron_jobs),
        jobs: Arc::clone(&context.views.jobs),
        context,
    };
    let queue = Arc::new(Queue::<Key>::default());
    let to = Arc::clone(&queue);
    controller.cron_jobs.subscribe(move |change| {
        let (Change::Applied { now: cron, .. } | Change::Deleted(cron)) = change;
        to.add(Key::of(*cron));
    });
    let to = Arc::clone(&queue);
    controller.jobs.subscribe(move |change| {
        let (Change::Applied { now: job, .. } | Change::Deleted(job)) = change;
        if let Some(owner) = meta::controller(&job.metadata).filter(|owner| owner.kind == "CronJob") {
            to.add(Key::new(meta::namespace(*job), &owner.name));
        }
    });
    let ready = async {
        controller.cron_jobs.synced().await;
        controller.jobs.synced().await;
    };
    if stop.run_until_cancelled(ready).await.is_some() {
        queue::run(&queue, stop, WORKERS, |key| controller.reconcile(key)).await;
    }
}

/// The times of a schedule.
struct Schedule {
    cron: Cron,
    zone: TimeZone,
}

impl Schedule {
    fn of(spec: &CronJobSpec) -> Result<Self, String> {
        let cron = CronParser::new()
            .parse(&spec.schedule)
            .map_err(|error| format!("unparseable schedule {:?}: {error}", spec.schedule))?;
        let zone = match spec.time_zone.as_deref() {
            None | Some("") => TimeZone::UTC,
            Some(name) => TimeZone::get(name).map_err(|error| format!("invalid timeZone {name:?}: {error}"))?,
        };
        Ok(Self { cron, zone })
    }

    /// The last time up to and including `at`.
    fn last(&self, at: Timestamp) -> Option<Timestamp> {
        let found = self.cron.find_previous_occurrence(&self.wall(at)?, true).ok()?;
        self.instant(found)
    }

    /// The first time after `at`.
    fn next(&self, at: Timestamp) -> Option<Timestamp> {
        let found = self.cron.find_next_occurrence(&self.wall(at)?, false).ok()?;
        self.instant(found)
    }

    /// What a clock on the wall of the time zone shows. The cron library only counts; jiff knows the zones.
    fn wall(&self, at: Timestamp) -> Option<DateTime<Utc>> {
        let shown = self.zone.to_datetime(at).to_zoned(TimeZone::UTC).ok()?;
        DateTime::from_timestamp(shown.timestamp().as_second(), 0)
    }

    fn instant(&self, shown: DateTime<Utc>) -> Option<Timestamp> {
        let shown = TimeZone::UTC.to_datetime(Timestamp::from_second(shown.timestamp()).ok()?);
        self.zone.to_timestamp(shown).ok()
    }
}

/// What to do with a CronJob now.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    /// Nothing, until then.
    Wait(Option<Duration>),
    /// Create the Job of this time; with `Replace`, the ones that run go first.
    Start(Timestamp),
    /// A time is due, but another Job runs and may not be joined.
    Blocked(Option<Duration>),
}

fn decide(cron: &CronJob, schedule: &Schedule, active: usize, now: Timestamp) -> Decision {
    let spec = &cron.spec;
    let wait = schedule.next(now).map(|next| clock::until(now, next));
    if spec.suspend == Some(true) {
        return Decision::Wait(None);
    }
    let last = cron
        .status
        .as_ref()
        .and_then(|status| status.last_schedule_time.as_ref());
    let created = cron.metadata.creation_timestamp.as_ref();
    let since = last.or(created).map_or(now, |time| time.0);
    let Some(due) = schedule.last(now).filter(|due| *due > since) else {
        return Decision::Wait(wait);
    };
    let deadline = spec
        .starting_deadline_seconds
        .and_then(|seconds| u64::try_from(seconds).ok());
    if deadline.is_some_and(|seconds| clock::later(due, Duration::from_secs(seconds)) < now) {
        return Decision::Wait(wait);
    }
    if active > 0 && spec.concurrency_policy.as_deref() == Some("Forbid") {
        return Decision::Blocked(wait);
    }
    Decision::Start(due)
}

/// The finished Jobs beyond the history limits, oldest first.
fn surplus(spec: &CronJobSpec, jobs: &[Arc<Job>]) -> Vec<Arc<Job>> {
    let mut gone = Vec::new();
    for (success, limit) in [
        (true, spec.successful_jobs_history_limit.unwrap_or(3)),
        (false, spec.failed_jobs_history_limit.unwrap_or(1)),
    ] {
        let mut finished: Vec<_> = jobs
            .iter()
            .filter(|job| !meta::is_deleting(&***job) && ended(job).is_some_and(|(complete, _)| complete == success))
            .collect();
        finished.sort_by_key(|job| {
            job.status
                .as_ref()
                .and_then(|status| status.start_time.clone())
                .map(|time| time.0)
        });
        let count = finished.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        gone.extend(finished.into_iter().take(count).cloned());
    }
    gone
}

/// The status that the Jobs show.
fn status(cron: &CronJob, jobs: &[Arc<Job>]) -> CronJobStatus {
    let before = cron.status.clone().unwrap_or_default();
    let active: Vec<ObjectReference> = jobs
        .iter()
        .filter(|job| ended(job).is_none())
        .map(|job| reference(job))
        .collect();
    let completed = jobs
        .iter()
        .filter_map(|job| job.status.as_ref()?.completion_time.as_ref())
        .map(|time| time.0);
    let last = completed
        .chain(before.last_successful_time.as_ref().map(|time| time.0))
        .max();
    CronJobStatus {
        active: Some(active).filter(|active| !active.is_empty()),
        last_successful_time: last.map(Time),
        last_schedule_time: before.last_schedule_time,
    }
}

fn reference(job: &Job) -> ObjectReference {
    ObjectReference {
        api_version: Some(Job::api_version(&()).into_owned()),
        kind: Some("Job".to_owned()),
        name: job.metadata.name.clone(),
        namespace: job.metadata.namespace.clone(),
        uid: job.metadata.uid.clone(),
        resource_version: job.metadata.resource_version.clone(),
        field_path: None,
    }
}

/// The Job of one time.
fn job(cron: &CronJob, at: Timestamp) -> Job {
    let template = cron.spec.job_template.clone();
    let from = template.metadata.unwrap_or_default();
    let mut annotations = from.annotations.unwrap_or_default();
    annotations.insert(SCHEDULED_AT.to_owned(), stamp(at).0.to_string());
    Job {
        metadata: ObjectMeta {
            name: Some(format!("{}-{}", meta::name(cron), at.as_second() / 60)),
            namespace: cron.metadata.namespace.clone(),
            labels: from.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![meta::controlled_by(cron)]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}

impl Controller {
    async fn reconcile(&self, key: Key) -> Result<Option<Duration>, Error> {
        let Some(cron) = self.cron_jobs.get(&key).filter(|cron| !meta::is_deleting(&**cron)) else {
            return Ok(None);
        };
        let spec = &cron.spec;
        let schedule = match Schedule::of(spec) {
            Ok(schedule) => schedule,
            Err(message) => {
                self.context.events.warning(&*cron, "UnparseableSchedule", message);
                return Ok(None);
            }
        };
        let jobs = self
            .jobs
            .list(&key.namespace, |job| meta::is_controlled_by(job, meta::uid(&*cron)));
        for job in surplus(spec, &jobs) {
            self.jobs
                .delete(&*job, Deletion::with(PropagationPolicy::Background))
                .await?;
            let message = format!("Deleted job {}", meta::name(&*job));
            self.context.events.normal(&*cron, "SuccessfulDelete", message);
        }
        let mut status = status(&cron, &jobs);
        let active: Vec<_> = jobs.iter().filter(|job| ended(job).is_none()).collect();
        let wait = match decide(&cron, &schedule, active.len(), self.context.clock.now()) {
            Decision::Wait(wait) => wait,
            Decision::Blocked(wait) => {
                let message =
                    "Not starting job because prior execution is running and concurrency policy is Forbid".to_owned();
                self.context.events.normal(&*cron, "JobAlreadyActive", message);
                wait
            }
            Decision::Start(at) => {
                if spec.concurrency_policy.as_deref() == Some("Replace") {
                    for job in active {
                        self.jobs
                            .delete(&**job, Deletion::with(PropagationPolicy::Background))
                            .await?;
                    }
                }
                let started = self.start(&cron, at).await?;
                status.last_schedule_time = Some(stamp(at));
                status.active.get_or_insert_default().extend(started);
                Some(Duration::ZERO)
            }
        };
        if cron.status.as_ref() != Some(&status) && (cron.status.is_some() || status != CronJobStatus::default()) {
            self.cron_jobs.replace_status(&cron, &status).await?;
        }
        Ok(wait)
    }

    /// Creates the Job of a time; that it is there already is as good.
    async fn start(&self, cron: &CronJob, at: Timestamp) -> Result<Option<ObjectReference>, Error> {
        match self.jobs.create(&job(cron, at)).await {
            Ok(job) => {
                let message = format!("Created job {}", meta::name(&*job));
                self.context.events.normal(cron, "SuccessfulCreate", message);
                Ok(Some(reference(&job)))
            }
            Err(error) if error.is_already_exists() => Ok(None),
            Err(error) => {
                self.context
                    .events
                    .warning(cron, "FailedCreate", format!("Error creating job: {error}"));
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    fn cron(spec: Value, last: Option<&str>) -> CronJob {
        let mut cron: CronJob = serde_json::from_value(json!({
            "metadata": {"name": "c", "namespace": "n", "uid": "u", "creationTimestamp": "2026-01-01T00:00:30Z"},
            "spec": {"schedule": "*/10 * * * *", "jobTemplate": {}},
        }))
        .unwrap();
        let mut merged = serde_json::to_value(&cron.spec).unwrap();
        merged
            .as_object_mut()
            .unwrap()
            .extend(spec.as_object().unwrap().clone());
        cron.spec = serde_json::from_value(merged).unwrap();
        cron.status = Some(CronJobStatus {
            last_schedule_time: last.map(|last| Time(at(last))),
            ..CronJobStatus::default()
        });
        cron
    }

    fn decided(cron: &CronJob, active: usize, now: &str) -> Decision {
        decide(cron, &Schedule::of(&cron.spec).unwrap(), active, at(now))
    }

    #[test]
    fn a_time_starts_one_job_and_the_next_is_waited_for() {
        let fresh = cron(json!({}), None);
        assert_eq!(
            decided(&fresh, 0, "2026-01-01T00:09:00Z"),
            Decision::Wait(Some(Duration::from_secs(60)))
        );
        assert_eq!(
            decided(&fresh, 0, "2026-01-01T00:10:00Z"),
            Decision::Start(at("2026-01-01T00:10:00Z"))
        );
        let ran = cron(json!({}), Some("2026-01-01T00:10:00Z"));
        assert_eq!(
            decided(&ran, 1, "2026-01-01T00:10:01Z"),
            Decision::Wait(Some(Duration::from_secs(599)))
        );
    }

    #[test]
    fn of_missed_times_only_the_last_is_made_up_for_and_only_within_the_deadline() {
        let missed = cron(json!({}), Some("2026-01-01T00:10:00Z"));
        assert_eq!(
            decided(&missed, 0, "2026-01-01T03:05:00Z"),
            Decision::Start(at("2026-01-01T03:00:00Z"))
        );
        let strict = cron(json!({"startingDeadlineSeconds": 60}), Some("2026-01-01T00:10:00Z"));
        assert_eq!(
            decided(&strict, 0, "2026-01-01T03:05:00Z"),
            Decision::Wait(Some(Duration::from_secs(300)))
        );
        assert_eq!(
            decided(&strict, 0, "2026-01-01T03:10:30Z"),
            Decision::Start(at("2026-01-01T03:10:00Z"))
        );
    }

    #[test]
    fn forbid_does_not_join_a_running_job_and_suspend_starts_none() {
        let forbid = cron(json!({"concurrencyPolicy": "Forbid"}), None);
        assert_eq!(
            decided(&forbid, 1, "2026-01-01T00:10:00Z"),
            Decision::Blocked(Some(Duration::from_secs(600)))
        );
        let suspended = cron(json!({"suspend": true}), None);
        assert_eq!(decided(&suspended, 0, "2026-01-01T00:10:00Z"), Decision::Wait(None));
    }

    #[test]
    fn a_time_zone_moves_the_schedule_and_an_unknown_one_is_refused() {
        let berlin = cron(json!({"schedule": "0 6 * * *", "timeZone": "Europe/Berlin"}), None);
        assert_eq!(
            decided(&berlin, 0, "2026-07-01T04:00:00Z"),
            Decision::Start(at("2026-07-01T04:00:00Z"))
        );
        let nowhere = cron(json!({"timeZone": "Europe/Atlantis"}), None);
        assert!(Schedule::of(&nowhere.spec).is_err_and(|error| error.contains("Atlantis")));
        let odd = cron(json!({"schedule": "every day"}), None);
        assert!(Schedule::of(&odd.spec).is_err_and(|error| error.contains("every day")));
    }
}
