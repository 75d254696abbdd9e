//! One reconcile as it goes into the flight recorder: times of the phases, requests, actions, outcome.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use neo4j_operator_shared::{
    Kind,
    clusters::{ActionResult, PlannedAction},
    reconciles::{ApiRequests, ObjectReads, Outcome, PhaseSeconds, Reconcile},
};
use tokio::time::Instant;

use super::{Done, Failure};
use crate::cache::ReadSource;

/// A phase of a reconcile; the label `phase` of its histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Reading what is there.
    Fetch,
    /// Rendering and planning.
    Diff,
    /// Writing to Kubernetes.
    Apply,
    /// Talking to Neo4j.
    Bolt,
    /// Writing status.
    Status,
}

impl Phase {
    /// Every phase in the order of a reconcile.
    pub const ALL: [Self; 5] = [Self::Fetch, Self::Diff, Self::Apply, Self::Bolt, Self::Status];

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Diff => "diff",
            Self::Apply => "apply",
            Self::Bolt => "bolt",
            Self::Status => "status",
        }
    }
}

/// Requests to the API server that belong to one reconcile; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Requests(Arc<Mutex<Counted>>);

#[derive(Debug, Default)]
struct Counted {
    requests: BTreeMap<(&'static str, String), u32>,
    reads: BTreeMap<(Kind, &'static str, ReadSource), u32>,
}

impl Requests {
    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one request.
    pub fn count(&self, verb: &'static str, resource: &str) {
        *self.lock().requests.entry((verb, resource.to_owned())).or_default() += 1;
    }

    /// Counts one read, `get` or `list`, by who answered it.
    pub fn read(&self, kind: Kind, verb: &'static str, source: ReadSource) {
        *self.lock().reads.entry((kind, verb, source)).or_default() += 1;
    }

    /// Requests so far.
    pub fn total(&self) -> u32 {
        self.lock().requests.values().sum()
    }

    /// Reads so far.
    pub fn reads(&self) -> Vec<ObjectReads> {
        let counted = self.lock();
        let reads = counted.reads.iter();
        reads
            .map(|((kind, verb, source), count)| ObjectReads {
                kind: *kind,
                verb: (*verb).to_owned(),
                source: source.as_str().to_owned(),
                count: *count,
            })
            .collect()
    }

    fn list(&self) -> Vec<ApiRequests> {
        let counted = self.lock();
        let requests = counted.requests.iter();
        requests
            .map(|((verb, resource), count)| ApiRequests {
                verb: (*verb).to_owned(),
                resource: resource.clone(),
                count: *count,
            })
            .collect()
    }
}

/// The record of a reconcile while it runs.
#[derive(Debug)]
pub struct Run {
    record: Reconcile,
    started: Instant,
    phase: Option<(Phase, Instant)>,
    spent: [Duration; Phase::ALL.len()],
    requests: Requests,
}

impl Run {
    /// Begins a record. `trigger` is what put the key into the queue, `waited` how long it lay there.
    pub fn begin(kind: Kind, namespace: &str, name: &str, trigger: &str, waited: Duration, now: Timestamp) -> Self {
        let mut id = uuid::Uuid::new_v4().simple().to_string();
        id.truncate(12);
        Self {
            record: Reconcile {
                id,
                kind,
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                generation: None,
                trigger: trigger.to_owned(),
                started_at: now,
                queue_seconds: waited.as_secs_f64(),
                seconds: 0.0,
                phases: Vec::new(),
                api_requests: Vec::new(),
                reads: Vec::new(),
                actions: Vec::new(),
                outcome: Outcome::Skipped,
                error_type: None,
                error: None,
                next_run: None,
            },
            started: Instant::now(),
            phase: None,
            spent: [Duration::ZERO; Phase::ALL.len()],
            requests: Requests::default(),
        }
    }

    /// Id of this reconcile: in log lines, and in the metadata of every statement sent to Neo4j.
    pub fn id(&self) -> &str {
        &self.record.id
    }

    /// Whether an object of this kind put the key into the queue.
    pub fn is_about(&self, kind: Kind) -> bool {
        self.record.trigger.contains(kind.plural())
            || self
                .record
                .trigger
                .to_ascii_lowercase()
                .contains(&kind.kind().to_ascii_lowercase())
    }

    /// When it began.
    pub fn started_at(&self) -> Timestamp {
        self.record.started_at
    }

    /// Notes the generation that is reconciled.
    pub fn generation(&mut self, generation: Option<i64>) {
        self.record.generation = generation;
    }

    /// Ends the running phase and begins `phase`; coming back to a phase adds to its time.
    pub fn phase(&mut self, phase: Phase) {
        let now = Instant::now();
        self.close(now);
        self.phase = Some((phase, now));
    }

    fn close(&mut self, now: Instant) {
        if let Some((phase, since)) = self.phase.take() {
            self.spent[phase as usize] += now.saturating_duration_since(since);
        }
    }

    /// The counter to hand to whoever sends requests for this reconcile.
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Notes an action; the answer is its place for [`Run::result`].
    pub fn action(&mut self, action: PlannedAction) -> usize {
        self.record.actions.push(action);
        self.record.actions.len() - 1
    }

    /// Notes how an action ended.
    pub fn result(&mut self, action: usize, result: ActionResult, message: Option<String>) {
        if let Some(action) = self.record.actions.get_mut(action) {
            action.result = result;
            action.message = message;
        }
    }

    /// The actions so far.
    pub fn actions(&self) -> &[PlannedAction] {
        &self.record.actions
    }

    /// Ends the record.
    pub fn finish(mut self, ended: &Result<Done, Failure>) -> Reconcile {
        let now = Instant::now();
        self.close(now);
        self.record.seconds = now.saturating_duration_since(self.started).as_secs_f64();
        self.record.phases = Phase::ALL
            .iter()
            .filter(|phase| !self.spent[**phase as usize].is_zero())
            .map(|phase| PhaseSeconds {
                phase: phase.as_str().to_owned(),
                seconds: self.spent[*phase as usize].as_secs_f64(),
            })
            .collect();
        self.record.api_requests = self.requests.list();
        self.record.reads = self.requests.reads();
        let requeue = match ended {
            Ok(done) => {
                self.record.outcome = done.outcome;
                done.requeue
            }
            Err(failure) => {
                self.record.outcome = if failure.terminal {
                    Outcome::Terminal
                } else {
                    Outcome::Failed
                };
                self.record.error_type = Some(failure.error_type.as_str().to_owned());
                self.record.error = Some(failure.message.clone());
                failure.requeue
            }
        };
        let elapsed = now.saturating_duration_since(self.started);
        self.record.next_run = requeue
            .and_then(|delay| SignedDuration::try_from(delay.saturating_add(elapsed)).ok())
            .and_then(|delay| self.record.started_at.checked_add(delay).ok());
        self.record
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::ErrorType;

    #[tokio::test(start_paused = true)]
    async fn a_record_holds_the_time_of_each_phase_and_the_next_run() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut run = Run::begin(
            Kind::Neo4jEnterpriseCluster,
            "a",
            "b",
            "requeue",
            Duration::from_millis(5),
            now,
        );
        run.phase(Phase::Fetch);
        tokio::time::advance(Duration::from_secs(1)).await;
        run.phase(Phase::Apply);
        tokio::time::advance(Duration::from_secs(2)).await;
        run.phase(Phase::Fetch);
        tokio::time::advance(Duration::from_secs(1)).await;
        run.requests().count("create", "services");
        run.requests().count("create", "services");
        let record = run.finish(&Ok(Done::waiting(Duration::from_secs(10))));
        assert_eq!(
            record.phases,
            [
                PhaseSeconds {
                    phase: "fetch".into(),
                    seconds: 2.0
                },
                PhaseSeconds {
                    phase: "apply".into(),
                    seconds: 2.0
                },
            ]
        );
        assert_eq!(record.api_requests[0].count, 2);
        assert_eq!(record.next_run, Some("2026-01-01T00:00:14Z".parse().unwrap()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_terminal_failure_has_no_next_run() {
        let run = Run::begin(
            Kind::Neo4jDatabase,
            "a",
            "b",
            "changed",
            Duration::ZERO,
            Timestamp::UNIX_EPOCH,
        );
        let record = run.finish(&Err(Failure::terminal(ErrorType::Validation, "no")));
        assert_eq!(record.outcome, Outcome::Terminal);
        assert_eq!(record.error_type.as_deref(), Some("validation"));
        assert_eq!(record.next_run, None);
    }
}
