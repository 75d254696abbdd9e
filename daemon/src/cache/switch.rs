//! Changes of strategy that somebody asks for: one at a time, all kinds at once, or not at all.
//!
//! Every kind whose store has to change gets a second one, filled beside the first, two kinds at a time. When
//! all are complete they are swapped in one go; if one does not get ready, none is, and nothing has changed.
//! A change may be cancelled until then. After it, if the request says so, the goals are looked at once more
//! when `rollbackAfter` is over, and one that is broken but was met before brings the old strategies back; so does
//! memory over its limit, or a budget that the change broke.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use neo4j_operator_shared::{
    Kind, Strategy,
    goals::GoalId,
    switch::{
        By, Forecast, KindProgress, Measured, Operation, OperationState, QuantityError, SwitchRecord, SwitchRequest,
        Wanted,
    },
};
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    CacheObserver,
    backing::Keep,
    budgets::{Budgets, Over},
    counts::rate,
    fill::{NotReady, fill, free},
    policy::Policy,
    record::{self, Counted, Record},
    source::AnySource,
};

mod rules;

pub use rules::{Limits, Refused};

/// Changes strategies.
pub(super) struct Switcher {
    /// In the order in which they are filled.
    sources: Vec<(Kind, Arc<dyn AnySource>)>,
    policy: ArcSwap<Policy>,
    state: Mutex<State>,
    limits: Limits,
    budgets: Budgets,
    observer: Arc<dyn CacheObserver>,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

#[derive(Default)]
struct State {
    last: Option<Instant>,
    number: u64,
    running: Option<Running>,
    /// The last change, if it may still go back.
    watching: Option<(Operation, CancellationToken)>,
    record: Record,
}

struct Running {
    operation: Operation,
    /// Cancelled by whoever wants it to end.
    cancel: CancellationToken,
}

/// A change that is asked for.
struct Plan {
    policy: Policy,
    from: Strategy,
    to: Strategy,
    kinds: Option<Vec<Kind>>,
    rollback: Option<Duration>,
    forecast: Option<Forecast>,
}

/// A change on its way.
struct Change {
    id: String,
    policy: Policy,
    before: Policy,
    kinds: Vec<(Kind, Keep, Arc<dyn AnySource>)>,
    cancel: CancellationToken,
    rollback: Option<Duration>,
    measured: Measured,
    /// Bounds of the stores that were not kept before it.
    over: BTreeSet<Option<Kind>>,
}

impl Switcher {
    pub(super) fn new(
        sources: Vec<(Kind, Arc<dyn AnySource>)>,
        policy: Policy,
        limits: Limits,
        budgets: Budgets,
        observer: Arc<dyn CacheObserver>,
        tasks: TaskTracker,
        cancel: CancellationToken,
    ) -> Self {
        Self {
            sources,
            policy: ArcSwap::from_pointee(policy),
            state: Mutex::new(State {
                record: Record::after(limits.compare_after),
                ..State::default()
            }),
            limits,
            budgets,
            observer,
            tasks,
            cancel,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bounds of changes.
    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// What the stores may take.
    pub(super) fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    /// Which bounds of the stores are not kept.
    pub(super) fn over_budgets(&self) -> Vec<Over> {
        self.over(|(bytes, _)| bytes)
    }

    /// Those that are not kept even without what was decoded for reads, which is dropped where a bound is broken.
    fn over_for_good(&self) -> Vec<Over> {
        self.over(|(bytes, decoded)| bytes.saturating_sub(decoded))
    }

    fn over(&self, counted: impl Fn((u64, u64)) -> u64) -> Vec<Over> {
        let sizes = self
            .sources
            .iter()
            .map(|(kind, source)| (*kind, counted(source.bytes())));
        self.budgets.over(&sizes.collect::<Vec<_>>())
    }

    /// What is, in the quantities of a forecast.
    pub(super) fn measured(&self) -> Measured {
        let recent = self.sources.iter().map(|(_, source)| source.counts().recent());
        let recent = recent.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let bytes: u64 = self.sources.iter().map(|(_, source)| source.bytes().0).sum();
        Measured {
            hit_rate: rate(recent),
            cache_bytes: Some(bytes as f64),
            ..self.observer.measured()
        }
    }

    /// The strategies in force.
    pub(super) fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// The change that is under way, or that may still go back.
    pub(super) fn operation(&self) -> Option<Operation> {
        let state = self.state();
        let running = state.running.as_ref().map(|running| running.operation.clone());
        let mut operation = running.or_else(|| state.watching.as_ref().map(|(operation, _)| operation.clone()))?;
        drop(state);
        self.refresh(&mut operation);
        Some(operation)
    }

    /// Past changes with what was forecast and what came, the newest first; and the errors of the forecasts.
    pub(super) fn record(&self) -> (Vec<SwitchRecord>, Vec<QuantityError>) {
        let state = self.state();
        let over = |record: &SwitchRecord| record.operation.state != OperationState::Preparing;
        let records = state.record.records().into_iter().filter(over).collect();
        (records, state.record.errors())
    }

    /// Mean error of past forecasts.
    pub(super) fn mean_error(&self) -> Option<f64> {
        self.state().record.mean_error()
    }

    /// Whether a change is under way, or may still go back: one that `adaptive` makes would take that away.
    pub(super) fn busy(&self) -> bool {
        let state = self.state();
        state.running.is_some() || state.watching.is_some()
    }

    /// How a change ended, once it has.
    pub(super) fn ended_as(&self, id: &str) -> Option<OperationState> {
        let records = self.state().record.records();
        let state = records.iter().find(|record| record.operation.id == id)?.operation.state;
        (state != OperationState::Preparing).then_some(state)
    }

    /// Notes the outcome of the last change, if it is due.
    pub(super) fn observe(&self) {
        let now = Instant::now().into_std();
        if !self.state().record.due(now) {
            return;
        }
        let (measured, counted) = (self.measured(), self.counted());
        if let Some((id, outcome)) = self.state().record.observe(&measured, counted, now) {
            self.observer.came_of(&id, &outcome);
        }
    }

    /// What was counted since the start.
    fn counted(&self) -> Counted {
        let start = Counted {
            requests: self.observer.requests(),
            ..Counted::default()
        };
        let reads = self.sources.iter().map(|(_, source)| source.counts().reads());
        reads.fold(start, |sum, reads| Counted {
            hits: sum.hits + reads.hit,
            reads: sum.reads + reads.cacheable(),
            ..sum
        })
    }

    fn refresh(&self, operation: &mut Operation) {
        if operation.state != OperationState::Preparing {
            return;
        }
        let elapsed = Timestamp::now().duration_since(operation.started).as_secs_f64();
        operation.seconds = elapsed.max(0.0);
        for row in &mut operation.progress {
            let source = self.sources.iter().find(|(kind, _)| *kind == row.kind);
            if let Some((feeds, objects)) = source.and_then(|(_, source)| source.prepared()) {
                row.objects = objects;
                row.synced = feeds
                    .iter()
                    .all(|feed| feed.synced() == crate::kube::watch::Synced::Yes);
                row.trouble = feeds.iter().find_map(|feed| feed.trouble());
            }
        }
    }

    /// The kinds whose store a policy changes, and what it keeps of them.
    pub(super) fn changes(&self, policy: &Policy) -> Vec<(Kind, Keep, Arc<dyn AnySource>)> {
        let others = self.sources.iter().filter(|(kind, _)| !Kind::PRIMARY.contains(kind));
        others
            .map(|(kind, source)| (*kind, policy.keep(*kind, source.counts().unread()), Arc::clone(source)))
            .filter(|(_, keep, source)| *keep != source.keep())
            .collect()
    }

    /// Whether a request makes sense, and may begin now.
    pub(super) fn fit(&self, request: &SwitchRequest) -> Result<(), Refused> {
        let unfit = |error: super::policy::Unfit| Refused::Unfit(error.to_string());
        self.policy().after(request).map(drop).map_err(unfit)
    }

    /// Begins a change. Must be called within a runtime.
    pub(super) fn begin(
        self: &Arc<Self>,
        request: &SwitchRequest,
        by: By,
        forecast: Option<Forecast>,
    ) -> Result<Operation, Refused> {
        let before = self.policy();
        let policy = before
            .after(request)
            .map_err(|unfit| Refused::Unfit(unfit.to_string()))?;
        let rollback = request.rollback_after.map(|span| span.0);
        let from = request
            .kinds
            .iter()
            .flatten()
            .next()
            .map_or(before.default, |kind| before.set(*kind).0);
        let to = match request.strategy {
            Wanted::Strategy(strategy) => strategy,
            Wanted::Default => policy.default,
        };
        let plan = Plan {
            policy,
            from,
            to,
            kinds: request.kinds.clone(),
            rollback,
            forecast,
        };
        self.launch(plan, by)
    }

    /// Whether a change may begin now.
    pub(super) fn may_begin(&self, by: By) -> Result<(), Refused> {
        self.free(&self.state(), by)
    }

    fn free(&self, state: &State, by: By) -> Result<(), Refused> {
        if let Some(running) = &state.running {
            return Err(Refused::Running(running.operation.id.clone()));
        }
        let waited = state.last.map_or(Duration::MAX, |last| last.elapsed());
        if by == By::User && waited < self.limits.pause {
            return Err(Refused::TooSoon {
                pause: self.limits.pause,
                wait: self.limits.pause.saturating_sub(waited),
            });
        }
        Ok(())
    }

    /// Begins a change of one kind that `adaptive` has chosen.
    pub(super) fn adapt(self: &Arc<Self>, kind: Kind, to: Strategy) -> Result<Operation, Refused> {
        let before = self.policy();
        let mut policy = (*before).clone();
        policy.chosen.insert(kind, to);
        let plan = Plan {
            policy,
            from: before.runs(kind),
            to,
            kinds: Some(vec![kind]),
            rollback: None,
            forecast: None,
        };
        self.launch(plan, By::Adaptive)
    }

    fn launch(self: &Arc<Self>, plan: Plan, by: By) -> Result<Operation, Refused> {
        let (from, to) = (plan.from, plan.to);
        let measured = self.measured();
        let mut state = self.state();
        if let Err(refused) = self.free(&state, by) {
            self.observer.refused(from, to);
            return Err(refused);
        }
        state.last = Some(Instant::now());
        state.number += 1;
        // What came before can no longer go back: this is asked for now.
        if let Some((mut done, cancel)) = state.watching.take() {
            cancel.cancel();
            done.state = OperationState::Done;
            done.rollback_at = None;
            state.record.update(&done);
        }
        let operation = Operation {
            id: format!("sw-{}", state.number),
            by,
            from,
            to,
            kinds: plan.kinds,
            state: OperationState::Preparing,
            started: Timestamp::now(),
            seconds: 0.0,
            progress: progress(&self.changes(&plan.policy)),
            rollback_at: None,
            reason: None,
            forecast: plan.forecast,
        };
        let cancel = self.cancel.child_token();
        state.record.begin(operation.clone(), measured);
        state.running = Some(Running {
            operation: operation.clone(),
            cancel: cancel.clone(),
        });
        drop(state);
        self.observer.switched(&operation, None);
        let change = Change {
            id: operation.id.clone(),
            policy: plan.policy,
            before: (*self.policy()).clone(),
            kinds: Vec::new(),
            cancel,
            rollback: plan.rollback,
            measured,
            over: self.over_for_good().iter().map(|over| over.of).collect(),
        };
        let switcher = Arc::clone(self);
        self.tasks.spawn(async move { switcher.run(change).await });
        Ok(operation)
    }

    /// Cancels a change that is not yet in force.
    pub(super) fn cancel(&self, id: &str) -> Result<Operation, Refused> {
        let mut state = self.state();
        if let Some(running) = state.running.as_mut().filter(|running| running.operation.id == id) {
            // The swap looks at this under the same lock.
            running.cancel.cancel();
            running.operation.state = OperationState::Cancelled;
            return Ok(running.operation.clone());
        }
        let records = state.record.records();
        match records.iter().find(|record| record.operation.id == id) {
            Some(known) => Err(Refused::Over {
                id: id.to_owned(),
                state: known.operation.state.as_str(),
            }),
            None => Err(Refused::Unknown(id.chars().take(64).collect())),
        }
    }

    async fn run(self: Arc<Self>, mut change: Change) {
        let began = Instant::now();
        // Whoever raises or lowers a kind ends first, also one that has now what the change asks for.
        let mut gates = Vec::new();
        for (_, source) in &self.sources {
            gates.extend(Arc::clone(source.gate()).acquire_owned().await.ok());
        }
        change.kinds = self.changes(&change.policy);
        if let Some(running) = &mut self.state().running {
            running.operation.progress = progress(&change.kinds);
        }
        let ready = self.fill_all(&change).await;
        let swapped = ready.and_then(|()| self.swap_all(&change));
        if swapped.is_err() {
            change.kinds.iter().for_each(|(_, _, source)| source.abandon());
        }
        drop(gates);
        self.ended(change, began.elapsed(), swapped);
    }

    /// Fills every kind; the first that does not get ready ends it for all.
    async fn fill_all(&self, change: &Change) -> Result<(), (Option<Kind>, NotReady)> {
        let places = Arc::new(Semaphore::new(self.limits.workers.max(1)));
        let fills = change.kinds.iter().map(|(kind, keep, source)| {
            let places = Arc::clone(&places);
            async move {
                let _place = places.acquire().await;
                let result = fill(source, *keep, self.limits.deadline, &change.cancel).await;
                if let (true, Some(operation)) = (result.is_ok(), self.operation()) {
                    self.observer.switched(&operation, Some(*kind));
                }
                result.map(drop).map_err(|error| (Some(*kind), error))
            }
        });
        futures::future::try_join_all(fills).await.map(drop)
    }

    /// All at once, under the lock that a cancellation takes.
    fn swap_all(&self, change: &Change) -> Result<(), (Option<Kind>, NotReady)> {
        let state = self.state();
        if change.cancel.is_cancelled() {
            return Err((None, NotReady::Cancelled));
        }
        let leftovers = change.kinds.iter().map(|(_, _, source)| source.swap()).collect();
        for (kind, source) in &self.sources {
            source.set_lazy(change.policy.lazy(*kind));
        }
        self.policy.store(Arc::new(change.policy.clone()));
        drop(state);
        free(leftovers, &self.observer);
        Ok(())
    }

    fn ended(self: &Arc<Self>, change: Change, took: Duration, result: Result<(), (Option<Kind>, NotReady)>) {
        let counted = self.counted();
        let mut state = self.state();
        let Some(Running { mut operation, .. }) = state.running.take() else {
            return;
        };
        self.refresh(&mut operation);
        operation.seconds = took.as_secs_f64();
        operation.state = match &result {
            Ok(()) if change.rollback.is_some() => OperationState::Watching,
            Ok(()) => OperationState::Done,
            Err((_, NotReady::Cancelled)) => OperationState::Cancelled,
            Err((_, NotReady::Timeout(..))) => OperationState::TimedOut,
            Err((_, NotReady::Hopeless(_))) => OperationState::RolledBack,
        };
        match &result {
            Ok(()) => {
                for (row, (_, _, source)) in operation.progress.iter_mut().zip(&change.kinds) {
                    row.objects = source.objects();
                    row.synced = source.is_synced();
                }
            }
            Err((kind, error)) => {
                let which = kind.map(|kind| format!("{kind}: ")).unwrap_or_default();
                operation.reason = Some(format!("{which}{error}"));
            }
        }
        if let (Ok(()), Some(after)) = (&result, change.rollback) {
            operation.rollback_at = Timestamp::now().checked_add(after).ok();
            let cancel = self.cancel.child_token();
            state.watching = Some((operation.clone(), cancel.clone()));
            let switcher = Arc::clone(self);
            self.tasks.spawn(async move {
                tokio::select! {
                    () = tokio::time::sleep(after) => switcher.look_back(change, counted),
                    () = cancel.cancelled() => {}
                }
            });
        }
        state.record.update(&operation);
        if result.is_ok() {
            let now = Instant::now().into_std();
            state.record.swapped(&operation.id, operation.seconds, counted, now);
        }
        drop(state);
        self.observer.switched(&operation, None);
    }

    /// When the time is over: a goal or a budget that was met before and is broken since brings the old strategies back.
    fn look_back(self: &Arc<Self>, change: Change, swapped: Counted) {
        let over = if self.observer.room() == Some(0) {
            Some("the memory is over its limit".to_owned())
        } else {
            let concerns = |kind| change.kinds.iter().any(|(changed, ..)| *changed == kind);
            let mut over = self.over_for_good().into_iter();
            over.find(|over| over.of.is_none_or(concerns) && !change.over.contains(&over.of))
                .map(|over| over.to_string())
        };
        let since = self.counted().since(swapped);
        let rate = since.hit_rate().filter(|_| since.reads > record::READS);
        let broken = broken(change.measured.hit_rate, rate, over);
        let mut state = self.state();
        let Some((mut operation, _)) = state.watching.take_if(|(known, _)| known.id == change.id) else {
            return;
        };
        operation.state = OperationState::Done;
        operation.rollback_at = None;
        operation.reason.clone_from(&broken);
        state.record.update(&operation);
        drop(state);
        self.observer.switched(&operation, None);
        if broken.is_some() {
            let plan = Plan {
                policy: change.before,
                from: operation.to,
                to: operation.from,
                kinds: operation.kinds,
                rollback: None,
                forecast: None,
            };
            if let Err(refused) = self.launch(plan, By::Rollback) {
                tracing::warn!(operation = operation.id, "cannot go back: {refused}");
            }
        }
    }
}

/// One row per kind, before anything is filled.
fn progress(changes: &[(Kind, Keep, Arc<dyn AnySource>)]) -> Vec<KindProgress> {
    let rows = changes.iter().map(|(kind, keep, source)| KindProgress {
        kind: *kind,
        from: source.form(),
        to: source.form_of(*keep),
        objects: 0,
        synced: false,
        trouble: None,
    });
    rows.collect()
}

/// What is broken and was not before. Rates of hits: over the minutes before the change, and since; `over`: which bound of
/// the memory.
fn broken(before: Option<f64>, since: Option<f64>, over: Option<String>) -> Option<String> {
    let target = GoalId::HitRate.target().1;
    let met = |rate: Option<f64>| rate.is_none_or(|rate| rate >= target);
    if met(before) && !met(since) {
        let rate = since.unwrap_or_default() * 100.0;
        return Some(format!(
            "goes back: the hit rate is {rate:.1} %, below {:.0} %",
            target * 100.0
        ));
    }
    over.map(|over| format!("goes back: {over}"))
}
