//! What each strategy would bring: hit rate, bytes, requests per second, 99th percentile of a reconcile and
//! warm-up, from what is observed (PR1–PR6). Pure: the same input gives the same forecast.
//!
//! Not in the model: reads change with what is kept only in where they are answered, never in number; objects
//! grow and shrink as they do; a strategy costs no time of the processor.

use neo4j_operator_shared::{
    Kind, Strategy,
    goals::{GoalId, Verdict},
    switch::{Estimate, Forecast, KindForecast, Wanted},
};

mod advice;
mod input;
mod kind;
mod pace;
mod plan;
pub(in crate::cache) mod probe;
mod reconcile;
mod sizes;

#[cfg(test)]
mod simulation;
#[cfg(test)]
pub(in crate::cache) mod tests;

pub(in crate::cache) use self::{
    advice::{advice, bytes},
    input::{Input, KindInput, PerForm, ProcessInput, ReadsOf, Recorded},
    kind::{Part, part},
    plan::Plan,
};
use super::adaptive;

/// Pages of a list that are held at a time: as text, as a copy of it, and decoded.
const COPIES: f64 = 3.0;
/// The goal for requests is a mean over so many seconds; a warm-up is part of it.
const API_WINDOW: f64 = 300.0;
/// Reads that a forecast should rest on.
pub(super) const ENOUGH: u64 = 500;

/// What a strategy would bring for all kinds without one of their own.
#[cfg(test)]
pub(in crate::cache) fn forecast(input: &Input, strategy: Strategy) -> Forecast {
    forecast_change(input, Wanted::Strategy(strategy), None)
}

/// What every strategy would bring, `adaptive` last: for these kinds, or for all without one of their own.
pub(in crate::cache) fn forecasts(input: &Input, kinds: Option<&[Kind]>) -> Vec<Forecast> {
    Strategy::ALL
        .into_iter()
        .map(|strategy| forecast_change(input, Wanted::Strategy(strategy), kinds))
        .collect()
}

/// What a change would bring: of these kinds, or of all without a strategy of their own.
pub(in crate::cache) fn forecast_change(input: &Input, wanted: Wanted, kinds: Option<&[Kind]>) -> Forecast {
    let strategy = match wanted {
        Wanted::Strategy(strategy) => strategy,
        Wanted::Default => input.current,
    };
    let plan = Plan::wanted(input, wanted, kinds, |kind| adaptive::best(input, kind));
    forecast_plan(input, strategy, &plan)
}

/// What a plan would bring.
pub(in crate::cache) fn forecast_plan(input: &Input, strategy: Strategy, plan: &Plan) -> Forecast {
    let parts = Parts::of(input, plan);
    let mut forecast = Forecast {
        strategy,
        hit_rate: parts.hit_rate(),
        cache_bytes: parts.cache_bytes(),
        memory: parts.memory(),
        peak_bytes: parts.peak() as u64,
        api_rate: parts.api_rate(),
        p99: parts.p99(),
        warmup: parts.warmup(),
        warmup_requests: parts.warmup_requests(),
        confidence: parts.confidence(),
        broken: Vec::new(),
        verdict: String::new(),
        kinds: parts.rows(),
    };
    forecast.broken = broken(&forecast);
    forecast.verdict = parts.verdict(&forecast, plan);
    forecast
}

/// Goals that a forecast breaks; what it cannot say breaks none.
fn broken(forecast: &Forecast) -> Vec<GoalId> {
    let burst = forecast.warmup_requests as f64 / API_WINDOW;
    [
        (GoalId::MemoryLoad, Some(forecast.memory.value)),
        (GoalId::Reconcile, forecast.p99.map(|p99| p99.value)),
        (GoalId::HitRate, forecast.hit_rate.map(|rate| rate.value)),
        (GoalId::ApiRate, Some(forecast.api_rate.value + burst)),
    ]
    .into_iter()
    .filter(|(goal, value)| goal.judge(*value).verdict == Verdict::Broken)
    .map(|(goal, _)| goal)
    .collect()
}

/// The kinds as they are and as they would be.
struct Parts<'a> {
    input: &'a Input,
    now: Vec<Part>,
    then: Vec<Part>,
    same: Vec<bool>,
}

impl<'a> Parts<'a> {
    fn of(input: &'a Input, plan: &Plan) -> Self {
        let now = input.kinds.iter().map(|kind| part(input, kind, kind.running)).collect();
        let then = input
            .kinds
            .iter()
            .map(|kind| part(input, kind, plan.of(kind.kind)))
            .collect();
        let same = input
            .kinds
            .iter()
            .map(|kind| plan.of(kind.kind) == kind.running)
            .collect();
        Self { input, now, then, same }
    }

    fn reads(&self) -> f64 {
        self.then.iter().map(|part| part.reads).sum()
    }

    /// Past errors widen every margin.
    fn past(&self) -> f64 {
        self.input.process.past_error.unwrap_or(0.0)
    }

    fn hit_rate(&self) -> Option<Estimate> {
        let reads = self.reads();
        let kinds = self.input.kinds.iter().zip(&self.then);
        let hits: f64 = kinds
            .filter_map(|(kind, part)| Some(part.hit_rate(kind)? * part.reads))
            .sum();
        (reads > 0.0).then(|| {
            let value = hits / reads;
            let spread = 1.96 * (value * (1.0 - value) / reads).sqrt();
            Estimate {
                value,
                margin: (spread + 0.2 * self.past() * value).min(1.0),
            }
        })
    }

    fn cache_bytes(&self) -> Estimate {
        let sum = |of: fn(&Part) -> f64| self.then.iter().map(of).sum::<f64>();
        Estimate {
            value: sum(|part| part.bytes),
            margin: sum(|part| part.bytes_off) + sum(|part| part.bytes) * self.past().min(1.0) * 0.5,
        }
    }

    fn memory(&self) -> Estimate {
        let bytes = self.cache_bytes();
        let (rss, held) = (self.input.process.rss, self.input.process.cache_bytes);
        // What is not the stores' stays; it breathes by some per cent.
        let rest = rss.map_or(0.0, |rss| (rss - held).max(0.0));
        Estimate {
            value: rest + bytes.value,
            margin: bytes.margin + rest * 0.03,
        }
    }

    fn relists(&self) -> impl Iterator<Item = (&Part, &Part)> {
        let kinds = self.now.iter().zip(&self.then);
        kinds.filter(|(now, then)| (now.kept, now.whole) != (then.kept, then.whole))
    }

    /// Old stores are kept until all new ones are ready; each kind that is filled holds one page besides. When
    /// nothing is filled anew, the largest page of a later relist is what comes on top.
    fn peak(&self) -> f64 {
        let page = |part: &Part| {
            let objects = part.objects.min(self.input.process.page.max(1) as f64);
            if part.objects > 0.0 {
                part.wire / part.objects * objects * COPIES
            } else {
                0.0
            }
        };
        let old: f64 = self.relists().map(|(now, _)| now.bytes).sum();
        let mut pages: Vec<f64> = self.relists().map(|(_, then)| page(then)).collect();
        if pages.is_empty() {
            return self.then.iter().map(page).fold(0.0, f64::max);
        }
        pages.sort_by(|a, b| b.total_cmp(a));
        old + pages
            .iter()
            .take(self.input.process.workers.max(1) as usize)
            .sum::<f64>()
    }

    /// Requests per second that no strategy changes.
    fn other_rate(&self) -> Option<f64> {
        let process = &self.input.process;
        process.other_rate.or_else(|| {
            let ours: f64 = self
                .now
                .iter()
                .zip(&self.input.kinds)
                .map(|(part, kind)| {
                    let observed = &kind.observed;
                    let live = |ended: &crate::cache::counts::Ended| ended.live() as f64 * ended.requests_each();
                    observed.rate(live(&observed.gets) + live(&observed.lists)) + part.list_rate
                })
                .sum();
            process.api_rate.map(|rate| (rate - ours).max(0.0))
        })
    }

    fn api_rate(&self) -> Estimate {
        let reads: f64 = self.then.iter().map(|part| part.api_rate).sum();
        let lists: f64 = self.then.iter().map(|part| part.list_rate).sum();
        let other = self.other_rate().unwrap_or(0.0);
        let longest = self
            .input
            .kinds
            .iter()
            .map(|kind| kind.observed.span.as_secs_f64())
            .fold(1.0, f64::max);
        let value = reads + lists + other;
        Estimate {
            value,
            // Requests come one by one: the spread of a count.
            margin: 1.96 * (value / longest).sqrt() + value * (0.05 + 0.5 * self.past().min(1.0)),
        }
    }

    fn p99(&self) -> Option<Estimate> {
        let kinds = || self.input.kinds.iter().map(|kind| kind.kind);
        let place = |wanted: Kind| kinds().position(|kind| kind == wanted);
        let value = reconcile::p99(
            self.input,
            |kind| place(kind).map(|place| &self.then[place]),
            |kind| place(kind).is_none_or(|place| self.same[place]),
        )?;
        let now = reconcile::p99(self.input, |_| None, |_| true).unwrap_or(value);
        let recorded = self.input.process.reconciles.len() as f64;
        Some(Estimate {
            value,
            // Few reconciles say little about the slowest hundredth; what changes is only modelled.
            margin: value / recorded.sqrt() + (value - now).abs() * 0.3,
        })
    }

    fn warmup(&self) -> Estimate {
        let each: Vec<f64> = self.relists().map(|(_, then)| then.seconds).collect();
        let workers = self.input.process.workers.max(1) as f64;
        let longest = each.iter().copied().fold(0.0, f64::max);
        let value = longest.max(each.iter().sum::<f64>() / workers);
        let measured = self.relists().all(|(_, then)| then.timed);
        Estimate {
            value,
            margin: value * if measured { 0.4 } else { 0.8 },
        }
    }

    fn warmup_requests(&self) -> u64 {
        self.relists().map(|(_, then)| then.pages).sum::<f64>() as u64
    }

    /// How much is known of the bytes, × how many reads were seen, × how well past forecasts did.
    fn confidence(&self) -> f64 {
        let bytes: f64 = self.then.iter().map(|part| part.bytes).sum();
        let known: f64 = if bytes > 0.0 {
            self.then.iter().map(|part| part.known * part.bytes).sum::<f64>() / bytes
        } else {
            1.0
        };
        let uncounted = self
            .then
            .iter()
            .zip(&self.input.kinds)
            .any(|(part, kind)| part.whole && kind.total.is_none());
        let reads = 0.2 + 0.8 * (self.reads() / ENOUGH as f64).min(1.0);
        let past = 1.0 - self.past().min(0.6);
        let counted = if uncounted { 0.4 } else { 1.0 };
        (known * reads * past * counted).clamp(0.0, 1.0)
    }

    fn rows(&self) -> Vec<KindForecast> {
        let kinds = self.input.kinds.iter().zip(&self.then);
        kinds
            .map(|(kind, part)| KindForecast {
                kind: kind.kind,
                form: part.form,
                objects: part.objects as u64,
                bytes: part.bytes,
                hit_rate: part.hit_rate(kind),
                api_rate: part.api_rate,
            })
            .collect()
    }

    fn verdict(&self, forecast: &Forecast, plan: &Plan) -> String {
        let mut parts = Vec::new();
        if forecast.broken.is_empty() {
            parts.push("meets all goals".to_owned());
        } else {
            let broken: Vec<_> = forecast.broken.iter().map(|goal| goal.as_str()).collect();
            parts.push(format!("breaks {}", broken.join(", ")));
        }
        if let Some(budget) = self.input.process.budget
            && forecast.cache_bytes.value > budget
        {
            parts.push(format!("over the cache's budget of {}", bytes(budget)));
        }
        for (kind, part) in self.input.kinds.iter().zip(&self.then) {
            if let Some(budget) = kind.budget.filter(|budget| part.bytes > *budget) {
                parts.push(format!("{} over their budget of {}", kind.kind, bytes(budget)));
            }
        }
        let uncounted: Vec<_> = self
            .input
            .kinds
            .iter()
            .zip(&self.then)
            .filter(|(kind, part)| part.whole && kind.total.is_none())
            .map(|(kind, _)| kind.kind.plural())
            .collect();
        if !uncounted.is_empty() {
            parts.push(format!("nobody has counted {} yet", short(&uncounted)));
        }
        if forecast.strategy == Strategy::Adaptive {
            let chosen: Vec<_> = plan
                .0
                .iter()
                .filter(|(kind, _)| !Kind::PRIMARY.contains(kind))
                .collect();
            let of = |strategy| {
                chosen
                    .iter()
                    .filter(|(_, chosen)| **chosen == strategy)
                    .map(|(kind, _)| kind.plural())
                    .collect::<Vec<_>>()
            };
            let groups = Strategy::ALL.map(|strategy| (strategy, of(strategy)));
            let texts: Vec<_> = groups
                .iter()
                .filter(|(_, kinds)| !kinds.is_empty())
                .map(|(strategy, kinds)| format!("{strategy} for {}", short(kinds)))
                .collect();
            if !texts.is_empty() {
                parts.push(format!("would choose {}", texts.join(", ")));
            }
        } else if self.same.iter().all(|same| *same) {
            let runs = forecast.strategy == self.input.current;
            parts.push(if runs { "runs now" } else { "would change nothing" }.to_owned());
        } else {
            let now: f64 = self.now.iter().map(|part| part.bytes).sum();
            let more = forecast.cache_bytes.value - now;
            if more >= 1000.0 {
                parts.push(format!("takes {} more", advice::bytes(more)));
            } else if more <= -1000.0 {
                parts.push(format!("spares {}", advice::bytes(-more)));
            }
        }
        parts.join("; ")
    }
}

/// The first few names, and how many more.
fn short(names: &[&str]) -> String {
    match names {
        [first, second, third, _, ..] => format!("{first}, {second}, {third} and {} more", names.len() - 3),
        names => names.join(", "),
    }
}
