//! The task that watches the memory and gives it back: looks every few seconds, tidies up each interval, and does
//! what is asked of it. One reclaim at a time, on a thread that may block.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use neo4j_operator_shared::{
    events::{Event, Payload, Severity},
    memory::{Action, Cgroup, Expected, Holder, Memory, Reclaim, Sizes, Trigger},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    Reclaimable,
    allocator::Decay,
    host::Host,
    levels::{self, Inputs, PROTECT, Step},
    limit::limit,
    reclaim::{self, Order, Scope, freed, mattered, returned, written},
};
use crate::telemetry::Telemetry;

/// Past reclaims that are kept.
const KEPT: usize = 64;
/// Requests that may wait for the one that runs.
const WAITING: usize = 8;
/// Looks in a row with nothing to do, after which the daemon is idle.
const IDLE_LOOKS: u32 = 2;

/// How the manager works.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What the process may take, if it is set by hand.
    pub limit: Option<u64>,
    /// How often it tidies up.
    pub interval: Duration,
    /// Whether it acts by itself.
    pub enabled: bool,
    /// How often it looks.
    pub look: Duration,
    /// Least time between two reclaims that somebody asked for.
    pub forced_pause: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limit: None,
            interval: Duration::from_secs(60),
            enabled: true,
            look: Duration::from_secs(5),
            forced_pause: Duration::from_secs(10),
        }
    }
}

/// What can be slowed down while memory is short.
pub trait Brakes: Send + Sync + 'static {
    /// Half as many reconciles at a time, or as many as usual.
    fn halve(&self, half: bool);
    /// Holds back reconciles that are not urgent, or lets them go.
    fn hold_back(&self, held: bool);
    /// Whether nothing runs and nothing is due.
    fn idle(&self) -> bool;
}

/// Why a reclaim that somebody asks for is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The last one is too short a time ago.
    #[error("the last reclaim was asked for less than {} s ago", .pause.as_secs())]
    TooSoon {
        /// How long to wait.
        wait: Duration,
        /// How long it must be.
        pause: Duration,
    },
    /// The manager does not run any more, or the reclaim failed.
    #[error("the reclaim was not done: the daemon stops, or a part of it failed")]
    Failed,
}

/// Asks the manager, and knows what it did. Cheap to clone.
#[derive(Clone)]
pub struct Manager {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
}

struct Shared {
    settings: Settings,
    host: Arc<dyn Host>,
    telemetry: Arc<Telemetry>,
    level: watch::Sender<u8>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    parts: Vec<Arc<dyn Reclaimable>>,
    past: VecDeque<Reclaim>,
    last_id: u64,
    last_forced: Option<Instant>,
}

struct Request {
    trigger: Trigger,
    scope: Scope,
    answer: Option<oneshot::Sender<Reclaim>>,
}

/// The task. Nothing is done before it runs.
pub struct Task {
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Request>,
    state: levels::State,
    quiet: u32,
}

// === impl Manager ===

impl Manager {
    /// A manager and its task.
    pub fn new(settings: Settings, host: Arc<dyn Host>, telemetry: Arc<Telemetry>) -> (Self, Task) {
        let (sender, requests) = mpsc::channel(WAITING);
        let shared = Arc::new(Shared {
            settings,
            host,
            telemetry,
            level: watch::Sender::new(0),
            known: Mutex::default(),
        });
        let task = Task {
            shared: Arc::clone(&shared),
            requests,
            state: levels::State::default(),
            quiet: 0,
        };
        let manager = Self {
            shared,
            requests: sender,
        };
        (manager, task)
    }

    /// A part that can give memory back, from now on. The order of registration is that within an action.
    pub fn register(&self, part: Arc<dyn Reclaimable>) {
        self.shared.known().parts.push(part);
    }

    /// Gives back all that can be had again, now; answers when it is done.
    pub async fn reclaim(&self) -> Result<Reclaim, Denied> {
        self.admit(Instant::now())?;
        let (sender, answer) = oneshot::channel();
        let request = Request {
            trigger: Trigger::Forced,
            scope: Scope::ALL,
            answer: Some(sender),
        };
        self.requests.send(request).await.map_err(|_| Denied::Failed)?;
        answer.await.map_err(|_| Denied::Failed)
    }

    fn admit(&self, now: Instant) -> Result<(), Denied> {
        let pause = self.shared.settings.forced_pause;
        let mut known = self.shared.known();
        if let Some(last) = known.last_forced {
            let wait = (last + pause).saturating_duration_since(now);
            if !wait.is_zero() {
                return Err(Denied::TooSoon { wait, pause });
            }
        }
        known.last_forced = Some(now);
        Ok(())
    }

    /// The cache has just dropped stores: what they held is returned soon.
    pub fn after_switch(&self) {
        if !self.shared.settings.enabled {
            return;
        }
        // Where so many wait already, one more would find nothing.
        let _ = self.requests.try_send(Request {
            trigger: Trigger::Switch,
            scope: Scope::GENTLE,
            answer: None,
        });
    }

    /// The level, and when it changes.
    pub fn level(&self) -> watch::Receiver<u8> {
        self.shared.level.subscribe()
    }

    /// Bytes that the process may still take before the highest level begins; absent where its size is not known.
    pub fn room(&self) -> Option<u64> {
        let (limit, _) = limit(self.shared.settings.limit, self.shared.host.cgroup().as_ref());
        let resident = reclaim::resident(&self.shared.host.sizes())?;
        Some((limit / 10 * 9).saturating_sub(resident))
    }

    /// What is known of the memory now.
    pub fn memory(&self) -> Memory {
        let shared = &self.shared;
        let (sizes, cgroup) = (shared.host.sizes(), shared.host.cgroup());
        let (limit, limit_source) = limit(shared.settings.limit, cgroup.as_ref());
        let (parts, reclaims) = {
            let known = shared.known();
            (known.parts.clone(), known.past.iter().cloned().collect())
        };
        let (owners, expected) = owners(&parts, &sizes);
        Memory {
            enabled: shared.settings.enabled,
            limit,
            limit_source,
            pressure: reclaim::resident(&sizes).map(|resident| resident as f64 / limit.max(1) as f64),
            level: *shared.level.borrow(),
            sizes,
            cgroup,
            owners,
            expected,
            reclaims,
        }
    }
}

/// Who holds what, the largest first, and what dropping and purging could bring.
fn owners(parts: &[Arc<dyn Reclaimable>], sizes: &Sizes) -> (Vec<Holder>, Expected) {
    let mut least = 0;
    let mut owners = Vec::with_capacity(parts.len());
    for part in parts {
        let droppable = part.droppable();
        least += droppable;
        owners.push(Holder {
            name: part.name(),
            bytes: part.bytes(),
            reclaimable: droppable > 0,
        });
    }
    owners.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    let most = least + free(sizes).unwrap_or_default();
    (owners, Expected { least, most })
}

/// Bytes of resident pages that hold nothing of the program.
fn free(sizes: &Sizes) -> Option<u64> {
    let held = sizes.allocated? + sizes.metadata.unwrap_or_default();
    Some(sizes.resident?.saturating_sub(held))
}

// === impl Shared ===

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps and tells of a reclaim. One that nobody asked for and that brought nothing is no news.
    fn record(&self, done: &Reclaim, scope: Scope) {
        if matches!(done.trigger, Trigger::Tick | Trigger::Idle) && !mattered(done) {
            tracing::debug!(trigger = done.trigger.as_str(), "nothing to give back");
            return;
        }
        for action in actions(done, scope) {
            let steps = done.actions.iter().filter(|step| step.action == action);
            let (bytes, seconds) = steps.fold((0, 0.0), |sum, step| (sum.0 + step.bytes, sum.1 + step.seconds));
            self.telemetry.reclaimed(done.trigger, action, bytes, seconds);
        }
        log(done);
        self.telemetry.stream.publish(Event {
            time: Timestamp::now(),
            severity: if done.trigger == Trigger::Pressure {
                Severity::Warning
            } else {
                Severity::Info
            },
            cluster: None,
            message: format!("memory ({}): {}", done.trigger.as_str(), done.message),
            payload: Payload::MemoryReclaim {
                id: done.id,
                trigger: done.trigger,
                freed: freed(done),
                returned: returned(done),
                seconds: done.seconds,
            },
        });
        let mut known = self.known();
        known.past.push_front(done.clone());
        known.past.truncate(KEPT);
    }

    /// Which part would give back most if its kind kept less.
    fn advice(&self) -> Option<String> {
        let parts = self.known().parts.clone();
        let kinds = parts
            .iter()
            .filter_map(|part| Some((part.name().strip_prefix("cache:")?.to_owned(), part.bytes())));
        let (kind, bytes) = kinds.max_by_key(|(_, bytes)| *bytes).filter(|(_, bytes)| *bytes > 0)?;
        Some(format!(
            "the cache of {kind} is the largest with {}: choose a smaller strategy for it",
            written(bytes)
        ))
    }

    fn tell_level(&self, from: u8, to: u8, pressure: f64, advice: Option<&str>) {
        self.level.send_replace(to);
        let percent = pressure * 100.0;
        let mut message = format!("memory level {from} -> {to} at {percent:.0} % of the limit");
        if let Some(advice) = advice {
            message.push_str("; ");
            message.push_str(advice);
        }
        // No log line of level warning: that would be a second event.
        tracing::info!(from, to, pressure, "{message}");
        self.telemetry.stream.publish(Event {
            time: Timestamp::now(),
            severity: match to {
                PROTECT => Severity::Error,
                _ if to > from => Severity::Warning,
                _ => Severity::Info,
            },
            cluster: None,
            message,
            payload: Payload::MemoryLevel { from, to, pressure },
        });
    }
}

/// The actions that ran, whatever they brought.
fn actions(done: &Reclaim, scope: Scope) -> Vec<Action> {
    let purged = done.actions.iter().any(|step| step.action == Action::Purge);
    [
        (true, Action::Trim),
        (scope.evict, Action::Evict),
        (scope.compact, Action::Compact),
        (purged, Action::Purge),
    ]
    .into_iter()
    .filter_map(|(ran, action)| ran.then_some(action))
    .collect()
}

fn log(done: &Reclaim) {
    let parts: Vec<_> = done
        .actions
        .iter()
        .map(|step| format!("{} {} {} B", step.action.as_str(), step.part, step.bytes))
        .collect();
    tracing::info!(
        trigger = done.trigger.as_str(),
        level = done.level,
        allocated_before = done.before.allocated,
        allocated = done.after.allocated,
        resident_before = reclaim::resident(&done.before),
        resident = reclaim::resident(&done.after),
        seconds = done.seconds,
        parts = parts.join(", "),
        "memory: {}",
        done.message
    );
}

// === impl Task ===

impl Task {
    /// Runs until `stop`.
    pub async fn run(mut self, brakes: Arc<dyn Brakes>, stop: CancellationToken) {
        let settings = self.shared.settings;
        let now = Instant::now();
        let mut looks = interval_at(now + settings.look, settings.look);
        let mut ticks = interval_at(now + settings.interval, settings.interval);
        for timer in [&mut looks, &mut ticks] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                request = self.requests.recv() => match request {
                    Some(request) => self.asked(request).await,
                    None => return,
                },
                _ = looks.tick() => self.look(brakes.as_ref()).await,
                _ = ticks.tick() => self.tidy().await,
            }
        }
    }

    async fn asked(&mut self, request: Request) {
        let done = self.reclaim(request.trigger, request.scope).await;
        if let (Some(done), Some(answer)) = (done, request.answer) {
            // Who asked may have gone.
            let _ = answer.send(done);
        }
    }

    /// Housekeeping. Free pages return by themselves where they can.
    async fn tidy(&mut self) {
        if !self.shared.settings.enabled {
            return;
        }
        let scope = Scope {
            evict: false,
            compact: false,
            purge: !self.shared.host.returns_by_itself(),
        };
        self.reclaim(Trigger::Tick, scope).await;
    }

    /// Looks at the figures and does what they call for.
    async fn look(&mut self, brakes: &dyn Brakes) {
        let inputs = self.inputs(brakes);
        let (steps, state) = levels::decide(&inputs, self.state, Instant::now());
        self.state = state;
        let advice = steps.contains(&Step::Advise).then(|| self.shared.advice()).flatten();
        for step in steps {
            match step {
                Step::Tell { from, to, pressure } => self.shared.tell_level(from, to, pressure, advice.as_deref()),
                Step::HalveConcurrency(half) => brakes.halve(half),
                Step::HoldBack(held) => brakes.hold_back(held),
                Step::ReturnAtOnce(at_once) => self.set_decay(at_once).await,
                Step::Advise => {}
                Step::Reclaim(level) => self.act(Trigger::Pressure, Scope::of_level(level)).await,
                Step::ReclaimIdle => self.act(Trigger::Idle, Scope::GENTLE).await,
            }
        }
    }

    fn inputs(&mut self, brakes: &dyn Brakes) -> Inputs {
        let shared = &self.shared;
        let (sizes, cgroup): (Sizes, Option<Cgroup>) = (shared.host.sizes(), shared.host.cgroup());
        self.quiet = if brakes.idle() { self.quiet.saturating_add(1) } else { 0 };
        Inputs {
            resident: reclaim::resident(&sizes),
            limit: limit(shared.settings.limit, cgroup.as_ref()).0,
            free: free(&sizes),
            idle: self.quiet >= IDLE_LOOKS,
            enabled: shared.settings.enabled,
        }
    }

    async fn act(&mut self, trigger: Trigger, scope: Scope) {
        let (brought, resident) = match self.reclaim(trigger, scope).await {
            Some(done) => (returned(&done), reclaim::resident(&done.before).unwrap_or_default()),
            None => (0, 1),
        };
        self.state.acted(Instant::now(), brought, resident);
    }

    async fn set_decay(&self, at_once: bool) {
        let host = Arc::clone(&self.shared.host);
        let decay = if at_once { Decay::AtOnce } else { Decay::Usual };
        // At once means also now, which takes its time.
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || host.set_decay(decay)).await {
            tracing::debug!(%error, "how fast free pages are returned was not changed");
        }
    }

    async fn reclaim(&mut self, trigger: Trigger, scope: Scope) -> Option<Reclaim> {
        let shared = Arc::clone(&self.shared);
        let (id, parts) = {
            let mut known = shared.known();
            known.last_id += 1;
            (known.last_id, known.parts.clone())
        };
        let order = Order {
            id,
            time: Timestamp::now(),
            trigger,
            level: self.state.level,
            scope,
        };
        let host = Arc::clone(&shared.host);
        let run = tokio::task::spawn_blocking(move || reclaim::reclaim(&order, host.as_ref(), &parts));
        match run.await {
            Ok(done) => {
                shared.record(&done, scope);
                Some(done)
            }
            Err(error) => {
                tracing::error!(%error, "a reclaim failed");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
