//! What neotop knows: the newest sample, series of the last hour, the events, the link.
//! Pure: time comes in with every call, nothing is drawn, nothing is asked.

pub mod axis;
pub mod histogram;
pub mod leak;
pub mod mark;
pub mod pages;
pub mod reads;
pub mod ring;
pub mod switching;
pub mod text;
pub mod warmup;

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::Arc,
};

use neo4j_operator_shared::{
    Timestamp,
    events::{Event, Payload, Severity},
    goals::{Goal, GoalId, Verdict},
    metrics,
};
use tokio::time::{Duration, Instant};

use self::{
    axis::RANGES,
    histogram::{Quantiles, Window},
    leak::Floors,
    mark::Mark,
    pages::Pages,
    reads::Reads,
    ring::Ring,
    switching::Switching,
    text::clean,
    warmup::Warmed,
};
use crate::source::{LinkReport, Sample, StreamItem, page::PageItem, prom::Scrape};

/// How much time the series keep: the longest that is shown.
const KEEP: Duration = RANGES[RANGES.len() - 1];

/// Window of the percentiles that are shown as numbers.
pub const LATENCY_WINDOW: Duration = Duration::from_secs(5 * 60);

/// Window of one point of the latency line.
const LATENCY_POINT: Duration = Duration::from_secs(15);

/// Age of the newest sample from which it counts as stale.
pub const STALE_AFTER: Duration = Duration::from_secs(5);

/// Events that are kept.
const MAX_EVENTS: usize = 2_000;

/// Marks that are kept.
const MAX_MARKS: usize = 500;

/// State of the link to the daemon.
#[derive(Clone, Debug, PartialEq)]
pub enum Link {
    /// Nothing came yet.
    Connecting {
        /// Failures so far.
        tries: u32,
        /// Why the last one failed.
        reason: Option<String>,
        /// When the next try begins.
        next: Option<Instant>,
    },
    /// The newest sample is fresh.
    Live,
    /// No answer for a while, but no failure either: a request hangs.
    Stale,
    /// The last try failed.
    Down {
        /// Why.
        reason: String,
        /// When the next try begins.
        next: Instant,
    },
    /// The daemon answers, but not to us.
    Refused {
        /// What to do.
        reason: String,
    },
}

/// A line of the Events panel.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// When it happened.
    pub time: Timestamp,
    /// How bad it is.
    pub severity: Severity,
    /// Where it comes from: `recon`, `phase`, `watch`, …
    pub source: &'static str,
    /// What happened, cleaned.
    pub text: String,
}

/// Series of the last hour.
#[derive(Clone, Debug)]
pub struct Series {
    /// 95th percentile of reconciles, seconds.
    pub latency_p95: Ring,
    /// Keys in the queue.
    pub depth: Ring,
    /// Resident bytes.
    pub rss: Ring,
    /// Bytes in use by the program.
    pub allocated: Ring,
    /// Share of reads answered by the cache.
    pub hit_rate: Ring,
}

/// Rates between the last two samples, per second; absent until there are two of the same daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Keys put into the queue.
    pub adds: Option<f64>,
    /// Reconciles done.
    pub done: Option<f64>,
    /// Retries after errors.
    pub retries: Option<f64>,
    /// Reads the cache could not answer.
    pub misses: Option<f64>,
    /// Requests to the API server.
    pub api: Option<f64>,
}

/// Everything that is known.
#[derive(Debug)]
pub struct Model {
    /// Newest sample.
    pub sample: Option<Arc<Sample>>,
    /// Series.
    pub series: Series,
    /// Rates.
    pub rates: Rates,
    /// What came of the cache's reads.
    pub reads: Reads,
    /// Floors of what is in use, minute by minute.
    pub floors: Floors,
    /// Events, oldest first.
    pub events: VecDeque<Line>,
    /// Events that found our own queue full.
    pub events_lost: u64,
    /// Restarts of the daemon seen.
    pub restarts: u32,
    /// What only one page shows.
    pub pages: Pages,
    /// The change of the cache strategy that is under way or ended last.
    pub switching: Option<Switching>,
    /// The last warm-up that was asked for here.
    pub warmup: Vec<Warmed>,
    /// Marks on the time axis, oldest first.
    pub marks: VecDeque<Mark>,
    latency: Window,
    report: LinkReport,
    tries: u32,
    seen: HashSet<String>,
    seen_order: VecDeque<String>,
}

impl Default for Model {
    fn default() -> Self {
        let ring = || Ring::new(KEEP);
        Self {
            sample: None,
            series: Series {
                latency_p95: ring(),
                depth: ring(),
                rss: ring(),
                allocated: ring(),
                hit_rate: ring(),
            },
            rates: Rates::default(),
            reads: Reads::default(),
            floors: Floors::default(),
            events: VecDeque::new(),
            events_lost: 0,
            restarts: 0,
            pages: Pages::default(),
            switching: None,
            warmup: Vec::new(),
            marks: VecDeque::new(),
            latency: Window::new(LATENCY_WINDOW),
            report: LinkReport::Connecting,
            tries: 0,
            seen: HashSet::new(),
            seen_order: VecDeque::new(),
        }
    }
}

// === impl Model ===

impl Model {
    /// Takes the outcome of a round of questions.
    pub fn link(&mut self, report: LinkReport) {
        match &report {
            LinkReport::Up(sample) => {
                self.tries = 0;
                self.take(Arc::clone(sample));
            }
            LinkReport::Failed { tries, next, .. } => {
                self.tries = *tries;
                if *tries == 1 {
                    self.break_series(*next);
                }
            }
            LinkReport::Connecting => {}
        }
        self.report = report;
    }

    fn take(&mut self, sample: Arc<Sample>) {
        let previous = self.sample.replace(Arc::clone(&sample));
        let same_daemon = previous
            .as_ref()
            .filter(|previous| previous.status.boot_id == sample.status.boot_id);
        if previous.is_some() && same_daemon.is_none() {
            self.restarts += 1;
            self.latency.clear();
            self.reads.clear();
            self.floors.clear();
            // Forecasts and operations are of the daemon that is gone.
            self.pages = Pages::default();
            self.switching = None;
            self.warmup.clear();
        }
        self.rates = same_daemon.map_or_else(Rates::default, |previous| Rates::between(previous, &sample));
        if let Some(histogram) = sample.scrape.histogram(metrics::RECONCILIATION_DURATION) {
            // All that a young daemon ever observed lies inside the window.
            let uptime = sample.status.uptime.0;
            if self.latency.is_empty()
                && uptime <= LATENCY_WINDOW
                && let Some(start) = sample.at.checked_sub(uptime)
            {
                self.latency.push(start, histogram.zero());
            }
            self.latency.push(sample.at, histogram);
        }
        let at = sample.at;
        let recent = self.latency.quantiles(LATENCY_POINT).map(|quantiles| quantiles.p95);
        self.series.latency_p95.push(at, recent);
        self.series.depth.push(at, sample.scrape.sum(metrics::WORKQUEUE_DEPTH));
        let (rss, in_use) = (memory(&sample.scrape, "rss"), memory(&sample.scrape, "allocated"));
        self.series.rss.push(at, rss);
        self.series.allocated.push(at, in_use);
        if let Some(in_use) = in_use.or(rss).filter(|size| size.is_finite()) {
            let cache = sample.cache.bytes as f64;
            self.floors.push(at, leak::Sizes { in_use, cache });
        }
        self.reads.push(at, &sample.cache, sample.status.uptime.0);
        self.series.hit_rate.push(at, sample.cache.hit_rate);
        switching::take(&mut self.switching, at, sample.cache.operation.as_ref());
    }

    /// Takes what only one page shows.
    pub fn page(&mut self, item: PageItem) {
        self.pages.take(item);
        if let Some(strategies) = self.pages.strategies.get() {
            switching::record(&mut self.switching, &strategies.record);
        }
    }

    /// Puts a mark on the time axis.
    pub fn mark(&mut self, mark: Mark) {
        self.marks.push_back(mark);
        if self.marks.len() > MAX_MARKS {
            self.marks.pop_front();
        }
    }

    fn break_series(&mut self, at: Instant) {
        for ring in [
            &mut self.series.latency_p95,
            &mut self.series.depth,
            &mut self.series.rss,
            &mut self.series.allocated,
            &mut self.series.hit_rate,
        ] {
            ring.push(at, None);
        }
        self.rates = Rates::default();
    }

    /// Takes something from the event stream.
    pub fn stream(&mut self, item: StreamItem) {
        match item {
            StreamItem::Lost => {}
            StreamItem::Event(id, event) => {
                if let Some(id) = id {
                    if !self.seen.insert(id.clone()) {
                        return; // resumed a little too early
                    }
                    self.seen_order.push_back(id);
                    if self.seen_order.len() > MAX_EVENTS
                        && let Some(old) = self.seen_order.pop_front()
                    {
                        self.seen.remove(&old);
                    }
                }
                self.note(&event);
                if let Some(line) = line(&event) {
                    self.events.push_back(line);
                    if self.events.len() > MAX_EVENTS {
                        self.events.pop_front();
                    }
                }
            }
        }
    }

    /// Takes what an event tells about things that are shown beyond the list of events.
    fn note(&mut self, event: &Event) {
        if let Some(sample) = &self.sample
            && let Some(mark) = mark::of(event, (sample.at, sample.status.now))
        {
            self.mark(mark);
        }
        match &event.payload {
            Payload::CacheSwitch {
                operation,
                state,
                kind: None,
                ..
            } => switching::event(&mut self.switching, operation, *state, &clean(&event.message)),
            Payload::CacheWarmup {
                kind,
                result,
                objects,
                seconds,
            } => warmup::end(&mut self.warmup, *kind, *result, *objects, *seconds),
            _ => {}
        }
    }

    /// State of the link at a moment.
    pub fn link_state(&self, now: Instant) -> Link {
        match self.reported() {
            Link::Live if self.age(now).is_some_and(|age| age > STALE_AFTER) => Link::Stale,
            reported => reported,
        }
    }

    /// State of the link by the last report alone, whatever time has passed since.
    pub fn reported(&self) -> Link {
        match (&self.report, &self.sample) {
            (
                LinkReport::Failed {
                    reason, refused: true, ..
                },
                _,
            ) => Link::Refused { reason: clean(reason) },
            (LinkReport::Failed { reason, next, .. }, Some(_)) => Link::Down {
                reason: clean(reason),
                next: *next,
            },
            (
                LinkReport::Failed {
                    reason, tries, next, ..
                },
                None,
            ) => Link::Connecting {
                tries: *tries,
                reason: Some(clean(reason)),
                next: Some(*next),
            },
            (_, Some(_)) => Link::Live,
            (_, None) => Link::Connecting {
                tries: 0,
                reason: None,
                next: None,
            },
        }
    }

    /// Age of what is shown.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        self.sample
            .as_ref()
            .map(|sample| now.saturating_duration_since(sample.at))
    }

    /// The phase of the start that is under way, while the daemon is not ready.
    pub fn starting(&self) -> Option<String> {
        let status = &self.sample.as_ref()?.status;
        if status.ready {
            return None;
        }
        let running = status.startup.iter().find(|phase| phase.seconds.is_none());
        Some(running.map_or_else(
            || "it is not ready".to_owned(),
            |phase| format!("phase {}", clean(&phase.phase)),
        ))
    }

    /// Percentiles of the last five minutes.
    pub fn latency(&self) -> Option<Quantiles> {
        self.latency.quantiles(LATENCY_WINDOW)
    }

    /// Goals as the daemon judges them.
    pub fn goals(&self) -> &[Goal] {
        self.sample.as_ref().map_or(&[], |sample| &sample.status.goals)
    }

    /// Misses by reason since the daemon started, most frequent first.
    pub fn misses(&self) -> Vec<(String, f64)> {
        let mut by_reason: BTreeMap<String, f64> = BTreeMap::new();
        if let Some(sample) = &self.sample {
            for (id, value) in sample.scrape.family(metrics::CACHE_MISSES) {
                *by_reason
                    .entry(clean(id.label("reason").unwrap_or("unknown")))
                    .or_default() += value;
            }
        }
        let mut misses: Vec<_> = by_reason.into_iter().filter(|(_, count)| *count > 0.0).collect();
        misses.sort_by(|a, b| b.1.total_cmp(&a.1));
        misses
    }

    /// One sentence: what is wrong, if anything, and where to look.
    pub fn verdict(&self, now: Instant) -> String {
        match self.link_state(now) {
            Link::Connecting {
                reason: Some(reason), ..
            } => {
                return format!("No daemon yet: {reason}. Start one with `make dev-dashboard`, or name it with --url.");
            }
            Link::Connecting { .. } => return "Asking the daemon for the first time.".to_owned(),
            Link::Refused { reason } => return format!("The daemon refuses: {reason}."),
            Link::Down { reason, .. } => return format!("The daemon does not answer: {reason}. What is shown is old."),
            Link::Stale => return "A request hangs: what is shown is old.".to_owned(),
            Link::Live => {}
        }
        if let Some(phase) = self.starting() {
            return format!("The daemon is starting: {phase}.");
        }
        let broken: Vec<_> = self
            .goals()
            .iter()
            .filter(|goal| goal.verdict == Verdict::Broken)
            .map(|goal| goal_name(goal.goal))
            .collect();
        let unhealthy = self.sample.as_ref().map_or(0, |sample| {
            sample.clusters.items.iter().filter(|cluster| !cluster.ready).count()
        });
        let goals = if broken.is_empty() {
            "No goal is broken".to_owned()
        } else {
            format!(
                "{} of {} goals broken: {}",
                broken.len(),
                self.goals().len(),
                broken.join(", ")
            )
        };
        match unhealthy {
            _ if self
                .sample
                .as_ref()
                .is_none_or(|sample| sample.clusters.items.is_empty()) =>
            {
                format!("{goals}; there is no Neo4j cluster in scope.")
            }
            0 => format!("{goals}; every Neo4j cluster is ready."),
            1 => format!("{goals}; 1 Neo4j cluster is not ready, see its row."),
            n => format!("{goals}; {n} Neo4j clusters are not ready, see their rows."),
        }
    }
}

// === impl Rates ===

impl Rates {
    fn between(before: &Sample, after: &Sample) -> Self {
        let seconds = after.at.saturating_duration_since(before.at).as_secs_f64();
        let rate = |read: &dyn Fn(&Scrape) -> Option<f64>| {
            let difference = read(&after.scrape)? - read(&before.scrape).unwrap_or(0.0);
            // A counter that fell is a reset, not a negative rate.
            (seconds > 0.0 && difference >= 0.0).then(|| difference / seconds)
        };
        let done = |scrape: &Scrape| {
            let histogram = scrape.histogram(metrics::WORKQUEUE_WORK_DURATION)?;
            histogram
                .count
                .or_else(|| histogram.buckets.last().map(|(_, count)| *count))
        };
        Self {
            adds: rate(&|scrape| scrape.sum(metrics::WORKQUEUE_ADDS)),
            done: rate(&done),
            retries: rate(&|scrape| scrape.sum(metrics::WORKQUEUE_RETRIES)),
            misses: rate(&|scrape| scrape.sum(metrics::CACHE_MISSES)),
            api: rate(&|scrape| scrape.sum(metrics::REST_CLIENT_REQUESTS)),
        }
    }
}

/// A component of the daemon's memory, bytes.
pub fn memory(scrape: &Scrape, component: &str) -> Option<f64> {
    scrape.labelled(metrics::MEMORY_USAGE, "component", component)
}

/// The short name of a goal, as in the goals row.
pub fn goal_name(goal: GoalId) -> &'static str {
    match goal {
        GoalId::Startup => "start",
        GoalId::MemoryBase => "mem",
        GoalId::MemoryLoad => "mem load",
        GoalId::Reconcile => "recon",
        GoalId::Scaling => "scale",
        GoalId::HitRate => "hit",
        GoalId::ApiRate => "api",
    }
}

fn line(event: &Event) -> Option<Line> {
    let source = match &event.payload {
        Payload::Hello { .. } => return None,
        Payload::Gap { missed } => {
            let text = missed.map_or_else(
                || "events are missing here".to_owned(),
                |missed| format!("{missed} events are missing here"),
            );
            return Some(Line {
                time: event.time,
                severity: Severity::Warning,
                source: "gap",
                text,
            });
        }
        Payload::Reconcile { .. } => "recon",
        Payload::ClusterPhase { .. } => "phase",
        Payload::Relist { .. } => "cache",
        Payload::Watch { .. } => "watch",
        Payload::CacheSwitch { .. } | Payload::CacheWarmup { .. } => "cache",
        Payload::MemoryReclaim { .. } | Payload::MemoryLevel { .. } => "mem",
        Payload::ControlAudit { .. } => "audit",
        Payload::Goal { .. } => "goal",
        Payload::Log { .. } => "log",
        Payload::Unknown => "other",
    };
    let subject = event
        .cluster
        .as_deref()
        .map(|cluster| format!("{cluster} "))
        .unwrap_or_default();
    let text = if event.message.contains(subject.trim_end()) && !subject.is_empty() {
        clean(&event.message)
    } else {
        clean(&format!("{subject}{}", event.message))
    };
    Some(Line {
        time: event.time,
        severity: event.severity,
        source,
        text,
    })
}

#[cfg(test)]
pub mod fixture;
#[cfg(test)]
mod tests;
