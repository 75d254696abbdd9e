//! What forecasts rest on, gathered from the running cache; the outcomes of changes; and `adaptive` at work.
//!
//! The models are pure ([`super::forecast`], [`super::adaptive`], [`super::record`]). Here is what feeds them:
//! counts of the sources, one cheap look at each kind ([`Probes`]), figures of the process, and a task that
//! looks twice a minute whether an outcome is due, and once a minute what `adaptive` would choose.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use jiff::Timestamp;
use kube::Client;
use neo4j_operator_shared::{
    Kind, Span, Strategy,
    reconciles::Reconcile,
    switch::{Choice, DryRun, Forecast, OperationState, Strategies, SwitchRequest},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    CacheObserver,
    adaptive::{self, Move, Situation},
    counts::{Op, RECENT},
    forecast::{self, ENOUGH, Input, ProcessInput, ReadsOf, Recorded, probe::Probes},
    source::AnySource,
    switch::Switcher,
};
use crate::kube::scope::Scope;

/// How often something is looked at.
const LOOK: Duration = Duration::from_secs(30);
/// How often at most it is looked whether a change can be compared with its forecast.
const SHORTEST_LOOK: Duration = Duration::from_secs(1);
/// What `adaptive` decides rests on the reads of so much time, what somebody asks for on those of the last minutes
/// ([`RECENT`]); both on all that is known where they are too few.
const WINDOW: Duration = Duration::from_secs(1800);
const LONG_WINDOW: Duration = Duration::from_secs(6 * 3600);
/// What is read within so long after the start, when everything is looked at once, is no sample of what comes: the
/// last minutes are taken without it. Over longer times it weighs little.
const FLOOD: Duration = Duration::from_secs(30);
/// After the start nothing is changed for a while: what is read then is not what is read later.
const SETTLING: Duration = Duration::from_secs(300);
/// Decisions that are remembered.
const CHOICES: usize = 256;
/// Objects per page of a list.
const PAGE: u64 = 250;

/// Forecasts, and decides for `adaptive`.
pub(super) struct Adviser {
    client: Client,
    scope: Scope,
    sources: Vec<(Kind, Arc<dyn AnySource>)>,
    switcher: Arc<Switcher>,
    observer: Arc<dyn CacheObserver>,
    workers: u64,
    started: Instant,
    probes: Probes,
    state: Mutex<State>,
}

/// The reads that stand for those to come.
#[derive(Clone, Copy)]
struct Sample {
    /// Those of so much time.
    window: Duration,
    /// Without so many of a kind `adaptive` leaves it as it is.
    needed: u64,
}

#[derive(Default)]
struct State {
    /// Requests to the API server, by when they were counted; the first is the oldest.
    requests: VecDeque<(Instant, u64)>,
    adaptive: adaptive::State,
    choices: VecDeque<Choice>,
    /// Bounds that were not kept at the last look.
    over: BTreeSet<Option<Kind>>,
    /// The change that `adaptive` has begun, until its end is known.
    moving: Option<(String, Move)>,
}

impl Adviser {
    pub(super) fn new(
        client: Client,
        scope: Scope,
        sources: Vec<(Kind, Arc<dyn AnySource>)>,
        switcher: Arc<Switcher>,
        observer: Arc<dyn CacheObserver>,
        workers: usize,
    ) -> Self {
        Self {
            client,
            scope,
            sources,
            switcher,
            observer,
            workers: workers as u64,
            started: Instant::now(),
            probes: Probes::default(),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // === what is asked for ===

    /// What a change would bring, and which kinds it would touch.
    pub(super) async fn dry_run(&self, request: &SwitchRequest) -> DryRun {
        let input = self.input(self.recent()).await;
        let policy = self.switcher.policy().after(request);
        let changes = policy.map(|policy| self.switcher.changes(&policy)).unwrap_or_default();
        DryRun {
            kinds: changes.iter().map(|(kind, ..)| *kind).collect(),
            now: self.switcher.measured(),
            forecast: forecast::forecast_change(&input, request.strategy, request.kinds.as_deref()),
        }
    }

    /// Why a change would take more memory than there is.
    pub(super) fn too_large(&self, forecast: &Forecast) -> Option<String> {
        let room = self.observer.room()?;
        let now = self.switcher.measured().memory.unwrap_or_default();
        let more = (forecast.memory.value - now).max(0.0) + forecast.peak_bytes as f64;
        (more > room as f64).then(|| {
            format!(
                "{} would need {:.0} MB more while its stores fill, and {:.0} MB are left below the limit: raise \
                 --memory-limit, or change fewer kinds",
                forecast.strategy,
                more / 1e6,
                room as f64 / 1e6
            )
        })
    }

    /// Answer of `GET /v1/cache/strategies`: what a change of these kinds would bring, or of all without a strategy
    /// of their own.
    pub(super) async fn strategies(&self, of: Option<Vec<Kind>>) -> Strategies {
        let input = self.input(self.recent()).await;
        let observed = input.kinds.iter().map(|kind| kind.observed.span).max();
        let choices = self.state().choices.iter().rev().cloned().collect();
        let (record, errors) = self.switcher.record();
        Strategies {
            current: input.current,
            observed: Span(observed.unwrap_or_default()),
            reads: input.kinds.iter().map(|kind| kind.observed.reads()).sum(),
            now: self.switcher.measured(),
            forecasts: forecast::forecasts(&input, of.as_deref()),
            kinds: of,
            operation: self.switcher.operation(),
            record,
            errors,
            advice: self.advice(&input),
            choices,
        }
    }

    fn advice(&self, input: &Input) -> Vec<String> {
        let over = self.switcher.over_budgets().into_iter();
        let over = over.map(|over| format!("{over}: {}", over.advice()));
        let kinds = input.kinds.iter().filter_map(|kind| forecast::advice(input, kind));
        over.chain(kinds).collect()
    }

    /// Stores over their budget drop what was decoded for reads, and close up. What is then still too much is
    /// told once; under `adaptive` such a kind is stepped down by one of the next decisions.
    fn keep_to_budgets(&self) {
        for over in self.switcher.over_budgets() {
            let named = self
                .sources
                .iter()
                .filter(|(kind, _)| over.of.is_none_or(|of| of == *kind));
            for (_, source) in named {
                source.evict_decoded();
                source.compact();
            }
        }
        let over = self.switcher.over_budgets();
        let bounds = over.iter().map(|over| over.of).collect();
        let told = std::mem::replace(&mut self.state().over, bounds);
        for new in over.iter().filter(|over| !told.contains(&over.of)) {
            self.observer.over_budget(new);
        }
    }

    // === input ===

    /// Everything that forecasts rest on; takes two seconds at most, where the server has to be asked.
    async fn input(&self, sample: Sample) -> Input {
        let scope = self.scope.watched();
        let looks = self.sources.iter().filter(|(kind, _)| !Kind::PRIMARY.contains(kind));
        let looks = looks.map(|(kind, _)| self.probes.look(&self.client, *kind, &scope));
        let seen = join_all(looks).await;
        let rtts: Vec<f64> = seen.iter().filter_map(|seen| seen.rtt).collect();
        let (policy, budgets) = (self.switcher.policy(), self.switcher.budgets());
        let kinds = self.sources.iter().map(|(kind, source)| {
            let mut input = source.observed(sample.window);
            (input.strategy, input.pinned) = policy.set(*kind);
            input.running = policy.runs(*kind);
            input.budget = budgets.of(*kind).map(|budget| budget as f64);
            let seen = self.probes.known(*kind);
            input.total = input.total.or(seen.total);
            input.wire = seen.wire;
            input
        });
        let kinds: Vec<_> = kinds.collect();
        let span = kinds.iter().map(|kind| kind.observed.span).max().unwrap_or_default();
        let measured = self.switcher.measured();
        Input {
            current: policy.default,
            kinds,
            process: ProcessInput {
                rss: measured.memory,
                cache_bytes: measured.cache_bytes.unwrap_or_default(),
                api_rate: self.api_rate(span),
                other_rate: None,
                reconciles: self.observer.reconciles().iter().map(recorded).collect(),
                page: PAGE,
                list_rtt: (!rtts.is_empty()).then(|| rtts.iter().sum::<f64>() / rtts.len() as f64),
                workers: self.workers,
                budget: budgets.total.map(|budget| budget as f64),
                past_error: self.switcher.mean_error(),
                needed: sample.needed,
            },
        }
    }

    /// What somebody asks for rests on this.
    fn recent(&self) -> Sample {
        let calm = RECENT.min(self.started.elapsed().saturating_sub(FLOOD));
        if calm.is_zero() || self.reads(calm) < ENOUGH {
            return self.long();
        }
        // As many as make what it needs in its own, longer time.
        let part = RECENT.as_secs_f64() / WINDOW.as_secs_f64();
        Sample {
            window: calm,
            needed: (adaptive::READS as f64 * part) as u64,
        }
    }

    /// What `adaptive` decides rests on this: it is not to follow each turn of the load.
    fn long(&self) -> Sample {
        let window = if self.reads(WINDOW) >= ENOUGH {
            WINDOW
        } else {
            LONG_WINDOW
        };
        Sample {
            window,
            needed: adaptive::READS,
        }
    }

    fn reads(&self, window: Duration) -> u64 {
        let counts = self.sources.iter().map(|(_, source)| source.counts().observed(window));
        counts.map(|observed| observed.reads()).sum()
    }

    /// Notes how many requests were sent so far; only the task does, so that what is kept has a bound.
    fn note_requests(&self) {
        let (now, sent) = (Instant::now(), self.observer.requests());
        let mut state = self.state();
        while state.requests.front().is_some_and(|(at, _)| now - *at > LONG_WINDOW) {
            state.requests.pop_front();
        }
        state.requests.push_back((now, sent));
    }

    /// Requests per second to the API server over the last `span`, as near to it as they were noted, so that reads and
    /// requests are of the same time; nothing in the first second.
    fn api_rate(&self, span: Duration) -> Option<f64> {
        let (now, sent) = (Instant::now(), self.observer.requests());
        let age = |at: Instant| now.saturating_duration_since(at);
        let state = self.state();
        // A note that is too fresh says nothing of a rate.
        let noted = state.requests.iter().copied().filter(|(at, _)| age(*at) >= LOOK / 2);
        let notes = std::iter::once((self.started, 0)).chain(noted);
        let (at, before) = notes.min_by_key(|(at, _)| age(*at).abs_diff(span))?;
        let seconds = age(at).as_secs_f64();
        (seconds >= 1.0).then(|| sent.saturating_sub(before) as f64 / seconds)
    }

    // === the task ===

    /// Runs until cancelled.
    pub(super) async fn run(self: Arc<Self>, cancel: CancellationToken) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut count = 0_u32;
        let mut compare = tokio::time::interval(self.switcher.limits().compare_after.clamp(SHORTEST_LOOK, LOOK));
        compare.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = look.tick() => {}
                _ = compare.tick() => {
                    self.switcher.observe();
                    continue;
                }
                () = cancel.cancelled() => return,
            }
            self.note_requests();
            self.note_end();
            self.keep_to_budgets();
            count = count.wrapping_add(1);
            if count.is_multiple_of(2) || self.observer.level() >= 3 {
                self.adapt().await;
            }
        }
    }

    /// Lets the strategy `adaptive` decide, and carries out its one change.
    async fn adapt(&self) {
        let policy = self.switcher.policy();
        let mut kinds = self.sources.iter().filter(|(kind, _)| !Kind::PRIMARY.contains(kind));
        if !kinds.any(|(kind, _)| policy.set(*kind).0 == Strategy::Adaptive) {
            return;
        }
        let input = self.input(self.long()).await;
        let situation = Situation {
            input: &input,
            unsettled: (self.started.elapsed() < SETTLING).then_some("the start"),
            busy: self.switcher.busy(),
            level: self.observer.level(),
        };
        let now = Instant::now();
        let decision = {
            let mut state = self.state();
            adaptive::decide(&situation, &mut state.adaptive, Timestamp::now(), now.into_std())
        };
        let begun = decision
            .change
            .map(|change| (change, self.switcher.adapt(change.kind, change.to)));
        let mut state = self.state();
        match begun {
            Some((change, Ok(operation))) => state.moving = Some((operation.id, change)),
            Some((change, Err(_))) => state.adaptive.rolled_back(change, now.into_std()),
            None => {}
        }
        for choice in decision.choices {
            if choice.acted {
                self.observer.chosen(&choice);
            }
            // The same verdict twice in a row says nothing new.
            let last = state.choices.iter().rev().find(|known| known.kind == choice.kind);
            if last.is_some_and(|last| last.to == choice.to && last.reason == choice.reason) {
                continue;
            }
            if state.choices.len() >= CHOICES {
                state.choices.pop_front();
            }
            state.choices.push_back(choice);
        }
    }

    /// Tells `adaptive` how its last change ended.
    fn note_end(&self) {
        let moving = self.state().moving.clone();
        let Some((id, change)) = moving else { return };
        let Some(ended) = self.switcher.ended_as(&id) else {
            return;
        };
        let now = Instant::now().into_std();
        let mut state = self.state();
        state.moving = None;
        if ended == OperationState::Done {
            state.adaptive.moved(change.kind, change.to, now);
        } else {
            state.adaptive.rolled_back(change, now);
        }
    }
}

/// A reconcile as forecasts see it: the reads that a cache can answer.
fn recorded(record: &Reconcile) -> Recorded {
    let mut reads: Vec<ReadsOf> = Vec::new();
    for row in &record.reads {
        let op = if row.verb == "get" { Op::Get } else { Op::List };
        let (cached, live) = match row.source.as_str() {
            "cache" => (row.count, 0),
            "bypass" => continue,
            _ => (0, row.count),
        };
        match reads.iter_mut().find(|known| known.kind == row.kind && known.op == op) {
            Some(known) => {
                known.cached += cached;
                known.live += live;
            }
            None => reads.push(ReadsOf {
                kind: row.kind,
                op,
                cached,
                live,
            }),
        }
    }
    Recorded {
        seconds: record.seconds,
        reads,
    }
}
