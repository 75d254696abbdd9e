//! What the operator tells about itself: metrics, flight recorder, event stream, start-up times, goals, log.
//!
//! This is the ground floor: it knows nothing of caches, queues or Neo4j. Whoever does something calls one
//! of the observers here; what can be derived from state is not counted here at all, the HTTP side derives it
//! when it is asked.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
use neo4j_operator_shared::{
    Kind,
    events::{Event, Payload, Severity},
    goals::{Goal, GoalId, Verdict},
    memory::{Action, Trigger},
    reconciles::{Outcome, Reconcile},
    switch::Measured,
};
use prometheus::Registry;
use tokio::time::Instant;

pub mod cache;
pub mod catalogue;
pub mod family;
pub mod log;
pub mod memory;
pub mod namespaces;
pub mod recorder;
pub mod startup;
pub mod stream;
mod window;

use cache::CacheFamilies;
use catalogue::{
    ActionLabels, Catalogue, ControlLabels, ErrorLabels, PhaseLabels, QueueLabels, ReclaimLabels, ReconcileLabels,
    RequestLabels, SkipLabels,
};
use memory::ProcessMemory;
use namespaces::Namespaces;
use recorder::Recorder;
use startup::{Startup, StartupTimes};
use stream::EventStream;
use window::{Durations, Rate};

/// The one value of the label `host`: addresses are no label values.
const HOST: &str = "kubernetes";

/// Everything the operator tells about itself. Shared by reference.
pub struct Telemetry {
    /// Where families are registered; also given to the scrape.
    pub registry: Registry,
    /// The last reconciles.
    pub recorder: Recorder,
    /// The event stream.
    pub stream: Arc<EventStream>,
    /// Times of the start.
    pub startup: StartupTimes,
    /// Memory of the process.
    pub memory: ProcessMemory,
    /// When the process started.
    pub started_at: Timestamp,
    /// What the cache does.
    pub cache: CacheFamilies,
    catalogue: Catalogue,
    sent: AtomicU64,
    namespaces: Namespaces,
    series: Mutex<HashSet<(Kind, Arc<str>)>>,
    windows: Mutex<Windows>,
    goals: Mutex<GoalState>,
}

struct Windows {
    reconciles: Durations,
    requests: Rate,
}

#[derive(Default)]
struct GoalState {
    base: Option<f64>,
    verdicts: Vec<(GoalId, Verdict)>,
}

/// What the goals need and telemetry cannot know by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct GoalInputs {
    /// Custom resources that the operator looks after.
    pub resources: usize,
    /// Hits ÷ cacheable reads over five minutes.
    pub hit_rate: Option<f64>,
}

impl Telemetry {
    /// Registers every family. `started` is when the process began.
    pub fn new(started: Instant, now: Timestamp) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let catalogue = Catalogue::register(&registry)?;
        let cache = CacheFamilies::register(&registry)?;
        let mut boot_id = uuid::Uuid::new_v4().simple().to_string();
        boot_id.truncate(8);
        Ok(Self {
            registry,
            recorder: Recorder::default(),
            stream: Arc::new(EventStream::new(boot_id)),
            startup: StartupTimes::new(started),
            memory: ProcessMemory::default(),
            started_at: now,
            cache,
            catalogue,
            sent: AtomicU64::new(0),
            namespaces: Namespaces::default(),
            series: Mutex::default(),
            windows: Mutex::new(Windows {
                reconciles: Durations::new(started),
                requests: Rate::new(started),
            }),
            goals: Mutex::default(),
        })
    }

    /// A reconcile ended.
    pub fn reconciled(&self, record: Reconcile) {
        let controller = record.kind.plural();
        let namespace = self.namespaces.label(&record.namespace);
        self.series
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((record.kind, Arc::clone(&namespace)));
        let labels = ReconcileLabels {
            controller,
            resource: controller,
            namespace: &namespace,
        };
        self.catalogue.reconcile_seconds.of(labels).observe(record.seconds);
        for phase in &record.phases {
            let labels = PhaseLabels {
                controller,
                phase: &phase.phase,
            };
            self.catalogue.phase_seconds.of(labels).observe(phase.seconds);
        }
        if let Some(error_type) = &record.error_type {
            let labels = ErrorLabels {
                controller,
                resource: controller,
                error_type,
            };
            self.catalogue.reconcile_errors.of(labels).inc();
        }
        let queue = QueueLabels {
            name: controller,
            controller,
        };
        self.catalogue.queue_seconds.of(queue).observe(record.queue_seconds);
        self.catalogue.work_seconds.of(queue).observe(record.seconds);
        self.windows().reconciles.observe(Instant::now(), record.seconds);
        self.stream.publish(reconcile_event(&record));
        self.recorder.record(Arc::new(record));
    }

    /// A reconcile was left at once.
    pub fn skipped(&self, kind: Kind, reason: &str) {
        let labels = SkipLabels {
            controller: kind.plural(),
            reason,
        };
        self.catalogue.skipped.of(labels).inc();
    }

    /// A request went over the wire to the API server; no code means that no answer came.
    pub fn requested(&self, method: &str, code: Option<u16>) {
        let code = code.map_or_else(|| "<error>".to_owned(), |code| code.to_string());
        let labels = RequestLabels {
            code: &code,
            method,
            host: HOST,
        };
        self.catalogue.requests.of(labels).inc();
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.windows().requests.count(Instant::now());
    }

    /// An action of a reclaim of memory ended.
    pub fn reclaimed(&self, trigger: Trigger, action: Action, bytes: u64, seconds: f64) {
        let (trigger, action) = (trigger.as_str(), action.as_str());
        self.catalogue.reclaims.of(ReclaimLabels { trigger, action }).inc();
        self.catalogue.reclaimed_bytes.of(ActionLabels { action }).inc_by(bytes);
        self.catalogue
            .reclaim_seconds
            .of(ActionLabels { action })
            .observe(seconds);
    }

    /// The control API answered. `endpoint` is the template of the path.
    pub fn controlled(&self, endpoint: &str, code: u16) {
        let code = code.to_string();
        self.catalogue.control.of(ControlLabels { endpoint, code: &code }).inc();
    }

    /// Requests to the API server since the start.
    pub fn requests(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Removes the series of namespaces without resources, and of kinds gone from a namespace.
    pub fn forget_namespaces(&self, alive: impl Fn(&str) -> bool) {
        for gone in self.namespaces.retain(alive) {
            let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
            series.retain(|(kind, namespace)| {
                if *namespace != gone {
                    return true;
                }
                self.catalogue.reconcile_seconds.forget(ReconcileLabels {
                    controller: kind.plural(),
                    resource: kind.plural(),
                    namespace,
                });
                false
            });
        }
    }

    /// The goals with their values now; a changed verdict becomes an event.
    pub fn goals(&self, inputs: GoalInputs) -> Vec<Goal> {
        let resident = self.memory.resident().map(|bytes| bytes as f64);
        let (reconcile, requests) = {
            let mut windows = self.windows();
            let now = Instant::now();
            (windows.reconciles.quantile(now, 0.95), windows.requests.per_second(now))
        };
        let mut state = self.goals.lock().unwrap_or_else(PoisonError::into_inner);
        // The base is what the process takes with nothing to look after: it is measured only then.
        if inputs.resources == 0 && self.startup.seconds(Startup::Ready).is_some() {
            state.base = resident;
        }
        let goals: Vec<_> = GoalId::ALL
            .iter()
            .map(|goal| {
                goal.judge(match goal {
                    GoalId::Startup => self.startup.seconds(Startup::Ready),
                    GoalId::MemoryBase => state.base,
                    GoalId::MemoryLoad => resident,
                    GoalId::Reconcile => reconcile,
                    GoalId::HitRate => inputs.hit_rate,
                    GoalId::ApiRate => requests,
                    GoalId::Scaling => None,
                })
            })
            .collect();
        let verdicts: Vec<_> = goals.iter().map(|goal| (goal.goal, goal.verdict)).collect();
        let before = std::mem::replace(&mut state.verdicts, verdicts);
        drop(state);
        for goal in &goals {
            let was = before
                .iter()
                .find(|(id, _)| *id == goal.goal)
                .map(|(_, verdict)| *verdict);
            if let Some(event) = goal_event(goal, was) {
                self.stream.publish(event);
            }
        }
        goals
    }

    /// What only the process knows of the quantities of a forecast: resident bytes, requests per second over five
    /// minutes, 99th percentile of a reconcile.
    pub fn measured(&self) -> Measured {
        let now = Instant::now();
        let memory = self.memory.resident().map(|bytes| bytes as f64);
        let mut windows = self.windows();
        Measured {
            memory,
            api_rate: windows.requests.per_second(now),
            p99: windows.reconciles.quantile(now, 0.99),
            ..Measured::default()
        }
    }

    fn windows(&self) -> std::sync::MutexGuard<'_, Windows> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn reconcile_event(record: &Reconcile) -> Event {
    let name = format!("{}/{}", record.namespace, record.name);
    let message = match &record.error {
        Some(error) => format!("{} {name}: {error}", record.kind.kind()),
        None => format!("{} {name} {}", record.kind.kind(), ended(record)),
    };
    Event {
        time: Timestamp::now(),
        severity: if record.error.is_some() {
            Severity::Warning
        } else {
            Severity::Info
        },
        cluster: (record.kind == Kind::Neo4jEnterpriseCluster).then_some(name),
        message,
        payload: Payload::Reconcile {
            id: record.id.clone(),
            kind: record.kind,
            namespace: record.namespace.clone(),
            name: record.name.clone(),
            outcome: record.outcome,
            seconds: record.seconds,
        },
    }
}

/// How a reconcile without error ended, in a few words.
fn ended(record: &Reconcile) -> String {
    match record.outcome {
        Outcome::Converged => "is as it should be".to_owned(),
        Outcome::Changed => match record.actions.len() {
            0 => "changed".to_owned(),
            1 => "changed: 1 action".to_owned(),
            actions => format!("changed: {actions} actions"),
        },
        Outcome::Waiting => "waits".to_owned(),
        Outcome::Skipped => "was skipped".to_owned(),
        Outcome::Failed | Outcome::Terminal => "failed".to_owned(),
        Outcome::Gone => "is gone".to_owned(),
    }
}

/// Broken, or met again after it was broken; anything else is no news.
fn goal_event(goal: &Goal, was: Option<Verdict>) -> Option<Event> {
    let (severity, what) = match (was, goal.verdict) {
        (Some(Verdict::Broken), Verdict::Ok) => (Severity::Info, "met again"),
        (Some(Verdict::Broken), _) => return None,
        (_, Verdict::Broken) => (Severity::Warning, "broken"),
        _ => return None,
    };
    Some(Event {
        time: Timestamp::now(),
        severity,
        cluster: None,
        message: format!("goal {} {what}", goal.goal.as_str()),
        payload: Payload::Goal { goal: goal.clone() },
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn record(namespace: &str, seconds: f64) -> Reconcile {
        let now = Timestamp::UNIX_EPOCH;
        let run = crate::reconcile::Run::begin(Kind::Neo4jEnterpriseCluster, namespace, "c", "t", Duration::ZERO, now);
        Reconcile {
            seconds,
            outcome: Outcome::Changed,
            ..run.finish(&Ok(crate::reconcile::Done::idle(Outcome::Changed)))
        }
    }

    fn text(telemetry: &Telemetry) -> String {
        prometheus::TextEncoder::new()
            .encode_to_string(&telemetry.registry.gather())
            .unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_without_resources_leaves_no_series() {
        let telemetry = Telemetry::new(Instant::now(), Timestamp::UNIX_EPOCH).unwrap();
        telemetry.reconciled(record("stays", 0.1));
        let before = text(&telemetry);
        for n in 0..1_000 {
            telemetry.reconciled(record(&format!("n{n}"), 0.1));
            telemetry.forget_namespaces(|name| name == "stays");
        }
        assert_eq!(text(&telemetry).lines().count(), before.lines().count());
    }

    #[tokio::test(start_paused = true)]
    async fn a_goal_is_news_when_it_breaks_and_when_it_is_met_again() {
        let telemetry = Telemetry::new(Instant::now(), Timestamp::UNIX_EPOCH).unwrap();
        let inputs = |hit_rate| GoalInputs {
            resources: 1,
            hit_rate: Some(hit_rate),
        };
        let mut reader = telemetry.stream.reader(None).unwrap();
        for hit_rate in [0.9, 0.1, 0.1, 0.95, 0.95] {
            telemetry.goals(inputs(hit_rate));
        }
        let messages: Vec<_> = reader
            .next()
            .await
            .events
            .iter()
            .map(|stored| stored.event.message.clone())
            .collect();
        assert_eq!(messages, ["goal hit_rate broken", "goal hit_rate met again"]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_base_is_measured_only_with_nothing_to_look_after() {
        let telemetry = Telemetry::new(Instant::now(), Timestamp::UNIX_EPOCH).unwrap();
        telemetry.startup.ended(Startup::Ready);
        let base = |resources| {
            let goals = telemetry.goals(GoalInputs {
                resources,
                hit_rate: None,
            });
            goals
                .into_iter()
                .find(|goal| goal.goal == GoalId::MemoryBase)
                .unwrap()
                .value
        };
        assert_eq!(base(1), None);
        assert!(base(0).is_some());
        assert!(base(5).is_some(), "the last measured base stays");
    }
}
