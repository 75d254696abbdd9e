//! `adaptive`: which of the four strategies each kind should run, and when to change it (PR8, PR9).
//!
//! Pure: the caller asks once a minute with what it knows and the time, and does what is decided. Every
//! decision comes with its reason.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use neo4j_operator_shared::{Kind, Strategy, goals::GoalId, switch::Choice};

use super::forecast::{Input, KindInput, Plan, forecast_plan};

/// What can be chosen.
const CHOICES: [Strategy; 4] = [Strategy::None, Strategy::Lazy, Strategy::Selective, Strategy::Full];
/// Equal verdicts in a row before a change.
const VERDICTS: u8 = 3;
/// What a change has to bring, of what there is.
const GAIN: f64 = 0.1;
/// How much better than a goal a strategy has to be before it is chosen anew: one that just meets it would be
/// left again with the next breath of the load.
const CLEARANCE: f64 = 0.05;
/// A bound that is broken, in goals that are.
const BOUND: u32 = 100;
/// Differences in bytes that are none.
const SAME_BYTES: f64 = 4096.0;
/// How long a kind stays with a strategy at least.
const DWELL: Duration = Duration::from_secs(600);
/// How long a move is barred after it was rolled back; doubled each time.
const BARRED: Duration = Duration::from_secs(3600);
const MOST_DOUBLINGS: u32 = 6;
/// Reads of a kind, and mean error of past forecasts, without and above which nothing is changed.
pub(super) const READS: u64 = 500;
const ERROR: f64 = 0.25;
/// The level of memory at which kinds are stepped down at once, and from which none takes more.
const PROTECT: u8 = 3;
const EVICT: u8 = 2;

/// What a decision rests on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation<'a> {
    /// What forecasts rest on.
    pub input: &'a Input,
    /// What forbids changes now: `the start`, `a change of leader`, `an upgrade`, `a restore`.
    pub unsettled: Option<&'a str>,
    /// Whether a change of strategy is under way.
    pub busy: bool,
    /// Level of memory, 0 to 3.
    pub level: u8,
}

/// What is remembered between decisions.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    kinds: BTreeMap<Kind, Memory>,
    bars: BTreeMap<(Kind, Strategy, Strategy), Bar>,
}

#[derive(Clone, Copy, Debug)]
struct Memory {
    verdict: Strategy,
    equal: u8,
    moved: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Bar {
    until: Instant,
    times: u32,
}

/// A change to carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Move {
    /// Of this kind.
    pub kind: Kind,
    /// What it runs.
    pub from: Strategy,
    /// What it shall run.
    pub to: Strategy,
}

/// What was decided.
#[derive(Clone, Debug, Default)]
pub(super) struct Decision {
    /// One for each kind under `adaptive`.
    pub choices: Vec<Choice>,
    /// At most one change.
    pub change: Option<Move>,
}

// === impl State ===

impl State {
    /// A kind's strategy was changed, by whomever.
    pub(super) fn moved(&mut self, kind: Kind, to: Strategy, now: Instant) {
        self.kinds.insert(
            kind,
            Memory {
                verdict: to,
                equal: 0,
                moved: Some(now),
            },
        );
    }

    /// A change was rolled back, or did not come about: the same move is barred.
    pub(super) fn rolled_back(&mut self, change: Move, now: Instant) {
        let bar = self
            .bars
            .entry((change.kind, change.from, change.to))
            .or_insert(Bar { until: now, times: 0 });
        bar.until = now + BARRED * 2_u32.pow(bar.times.min(MOST_DOUBLINGS));
        bar.times += 1;
        self.moved(change.kind, change.from, now);
    }

    fn barred(&self, change: Move, now: Instant) -> Option<Duration> {
        let bar = self.bars.get(&(change.kind, change.from, change.to))?;
        bar.until.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// How often in a row this verdict was given, this time included.
    fn verdict(&mut self, kind: Kind, verdict: Strategy) -> u8 {
        let memory = self.kinds.entry(kind).or_insert(Memory {
            verdict,
            equal: 0,
            moved: None,
        });
        if memory.verdict != verdict {
            *memory = Memory {
                verdict,
                equal: 0,
                ..*memory
            };
        }
        memory.equal = memory.equal.saturating_add(1);
        memory.equal
    }

    /// A verdict that rests on too little counts for nothing.
    fn forget(&mut self, kind: Kind) {
        if let Some(memory) = self.kinds.get_mut(&kind) {
            memory.equal = 0;
        }
    }

    fn dwells(&self, kind: Kind, now: Instant) -> Option<Duration> {
        let moved = self.kinds.get(&kind)?.moved?;
        DWELL
            .checked_sub(now.saturating_duration_since(moved))
            .filter(|left| !left.is_zero())
    }
}

// === the best strategy of a kind ===

/// How a kind would do under a strategy, all others staying as they are.
#[derive(Clone, Debug, PartialEq)]
struct Weight {
    strategy: Strategy,
    /// What is not met: goals, and bounds that somebody set.
    broken: Vec<&'static str>,
    /// The lower the better: a bound counts for more than all goals.
    faults: u32,
    bytes: f64,
    hits: f64,
}

fn weigh(input: &Input, kind: &KindInput, strategy: Strategy) -> Option<Weight> {
    if strategy == Strategy::Full && kind.total.is_none() && kind.running != Strategy::Full {
        // Nobody knows what it would take.
        return None;
    }
    let mut plan = Plan::now(input);
    plan.0.insert(kind.kind, strategy);
    let forecast = forecast_plan(input, strategy, &plan);
    let row = forecast.kinds.iter().find(|row| row.kind == kind.kind)?;
    // What runs is judged by the goals themselves, what would be new has to be clear of them.
    let clear = if strategy == kind.running { 0.0 } else { CLEARANCE };
    let over = |goal: GoalId, value: f64| value > goal.target().1 * (1.0 - clear);
    let under = |goal: GoalId, value: f64| value < goal.target().1 * (1.0 + clear);
    let mut broken = Vec::new();
    if row.hit_rate.is_some_and(|rate| under(GoalId::HitRate, rate)) {
        broken.push(GoalId::HitRate.as_str());
    }
    if over(GoalId::ApiRate, forecast.api_rate.value) {
        broken.push(GoalId::ApiRate.as_str());
    }
    if forecast.p99.is_some_and(|p99| over(GoalId::Reconcile, p99.value)) {
        broken.push(GoalId::Reconcile.as_str());
    }
    let goals = broken.len();
    let beyond = |bytes: f64, budget: Option<f64>| budget.is_some_and(|budget| bytes > budget * (1.0 - clear));
    if beyond(forecast.cache_bytes.value, input.process.budget) {
        broken.push("the budget");
    }
    if beyond(row.bytes, kind.budget) {
        broken.push("its budget");
    }
    let bounds = broken.len() - goals;
    Some(Weight {
        strategy,
        faults: BOUND * bounds as u32 + goals as u32,
        broken,
        bytes: row.bytes,
        hits: row.hit_rate.unwrap_or(0.0),
    })
}

fn weights(input: &Input, kind: &KindInput) -> Vec<Weight> {
    CHOICES
        .into_iter()
        .filter_map(|strategy| weigh(input, kind, strategy))
        .collect()
}

/// The least bytes among those with the fewest faults; what takes about as much is chosen by what it
/// answers, and what runs stays.
fn lightest(weights: &[Weight], running: Strategy) -> Option<&Weight> {
    let fewest = weights.iter().map(|weight| weight.faults).min()?;
    let fit = || weights.iter().filter(|weight| weight.faults == fewest);
    let least = fit().map(|weight| weight.bytes).fold(f64::INFINITY, f64::min);
    let near = || fit().filter(|weight| weight.bytes <= least * 1.01 + SAME_BYTES);
    // A kind that nobody reads may as well wait to be raised by a read.
    let rank = |weight: &Weight| match weight.strategy {
        Strategy::Lazy if weight.hits == 0.0 => 4,
        Strategy::Selective => 3,
        Strategy::Lazy => 2,
        Strategy::None => 1,
        _ => 0,
    };
    let key = |weight: &Weight| ((weight.hits * 50.0) as u32, rank(weight));
    near()
        .find(|weight| weight.strategy == running)
        .or_else(|| near().max_by_key(|weight| key(weight)))
}

/// What `adaptive` would choose for a kind. Where too little is known, or nothing is gained, that is what runs.
pub(super) fn best(input: &Input, kind: Kind) -> Strategy {
    let Some(kind) = input.kinds.iter().find(|known| known.kind == kind) else {
        return Strategy::Selective;
    };
    if kind.primary() || kind.observed.reads() < input.process.needed {
        return kind.running;
    }
    verdict(&weights(input, kind), kind.running).map_or(kind.running, |(strategy, _)| strategy)
}

/// The strategy that is worth a change, or the one that runs, and why.
fn verdict(weights: &[Weight], running: Strategy) -> Option<(Strategy, String)> {
    let now = weights.iter().find(|weight| weight.strategy == running)?;
    let best = lightest(weights, running)?;
    let saved = now.bytes - best.bytes;
    let met = |weight: &Weight| {
        if weight.broken.is_empty() {
            "meets every goal".to_owned()
        } else {
            format!("breaks {}", weight.broken.join(", "))
        }
    };
    if best.strategy == running {
        return Some((running, format!("{} with the least memory", met(now))));
    }
    if best.faults < now.faults {
        let reason = format!("{running} {}, {} {}", met(now), best.strategy, met(best));
        return Some((best.strategy, reason));
    }
    let share = if now.bytes > 0.0 { saved / now.bytes } else { 0.0 };
    if share > GAIN && saved > SAME_BYTES {
        let reason = format!(
            "{} {} and takes {:.0} % less memory than {running}",
            best.strategy,
            met(best),
            share * 100.0
        );
        return Some((best.strategy, reason));
    }
    Some((
        running,
        format!(
            "{} would spare no more than {:.0} % of its memory",
            best.strategy,
            GAIN * 100.0
        ),
    ))
}

// === decisions ===

/// What one kind shall do.
struct Wish {
    to: Strategy,
    ripe: bool,
    gain: f64,
    reason: String,
}

/// Decides for every kind under `adaptive`. What is to be changed is remembered as changed.
pub(super) fn decide(situation: &Situation<'_>, state: &mut State, time: Timestamp, now: Instant) -> Decision {
    let input = situation.input;
    let kinds: Vec<&KindInput> = input
        .kinds
        .iter()
        .filter(|kind| kind.strategy == Strategy::Adaptive && !kind.primary())
        .collect();
    let down = (situation.level >= PROTECT && !situation.busy)
        .then(|| step_down(input, &kinds))
        .flatten();
    let mut wishes: Vec<(&KindInput, Wish)> = kinds
        .into_iter()
        .map(|kind| (kind, wish(situation, state, kind, now)))
        .collect();
    let mut change = None;
    if let Some((down, bytes)) = down {
        for (_, wish) in wishes.iter_mut().filter(|(kind, _)| kind.kind == down.kind) {
            wish.to = down.to;
            wish.reason = format!("memory is short: gives back {:.0} kB", bytes / 1000.0);
        }
        change = Some(down);
    } else if situation.level < PROTECT {
        let ripe = wishes.iter().filter(|(_, wish)| wish.ripe);
        change = ripe
            .max_by(|(_, one), (_, other)| one.gain.total_cmp(&other.gain))
            .map(|(kind, wish)| Move {
                kind: kind.kind,
                from: kind.running,
                to: wish.to,
            });
    }
    if let Some(change) = change {
        state.moved(change.kind, change.to, now);
    }
    let choices = wishes.into_iter().map(|(kind, wish)| {
        let acted = change.is_some_and(|change| change.kind == kind.kind);
        let reason = match (acted, wish.ripe, wish.to == kind.running) {
            (true, ..) => format!("changes: {}", wish.reason),
            (false, true, _) => format!("waits for another kind: {}", wish.reason),
            (false, false, true) => format!("stays: {}", wish.reason),
            (false, false, false) => format!("not yet: {}", wish.reason),
        };
        Choice {
            time,
            kind: kind.kind,
            from: kind.running,
            to: wish.to,
            acted,
            reason,
        }
    });
    Decision {
        choices: choices.collect(),
        change,
    }
}

fn wish(situation: &Situation<'_>, state: &mut State, kind: &KindInput, now: Instant) -> Wish {
    let input = situation.input;
    let stays = |reason: String| Wish {
        to: kind.running,
        ripe: false,
        gain: 0.0,
        reason,
    };
    let reads = kind.observed.reads();
    if let Some(what) = situation.unsettled {
        state.forget(kind.kind);
        return stays(format!("during {what} nothing is changed"));
    }
    let needed = input.process.needed;
    if reads < needed {
        state.forget(kind.kind);
        return stays(format!("{reads} reads were seen, {needed} are needed"));
    }
    if let Some(error) = input.process.past_error.filter(|error| *error > ERROR) {
        state.forget(kind.kind);
        return stays(format!("past forecasts were off by {:.0} %", error * 100.0));
    }
    let weights = weights(input, kind);
    let Some((to, reason)) = verdict(&weights, kind.running) else {
        return stays("nothing can be said about what it runs".to_owned());
    };
    let equal = state.verdict(kind.kind, to);
    if to == kind.running {
        return stays(reason);
    }
    let of = |strategy| weights.iter().find(|weight| weight.strategy == strategy);
    let (broken, bytes) = match (of(kind.running), of(to)) {
        (Some(from), Some(to)) => (f64::from(from.faults) - f64::from(to.faults), from.bytes - to.bytes),
        _ => (0.0, 0.0),
    };
    let held = if let Some(left) = state.barred(
        Move {
            kind: kind.kind,
            from: kind.running,
            to,
        },
        now,
    ) {
        Some(format!(
            "{reason}; barred for {} min after it was rolled back",
            minutes(left)
        ))
    } else if situation.level >= EVICT && bytes < 0.0 {
        Some(format!("{reason}; memory is short"))
    } else if equal < VERDICTS {
        Some(format!("{reason}; verdict {equal} of {VERDICTS}"))
    } else if let Some(left) = state.dwells(kind.kind, now) {
        Some(format!(
            "{reason}; stays for {} min more after the last change",
            minutes(left)
        ))
    } else if situation.busy {
        Some(format!("{reason}; another change is under way"))
    } else {
        None
    };
    Wish {
        to,
        ripe: held.is_none(),
        // A goal met again counts for more than any bytes.
        gain: broken * 1e15 + bytes,
        reason: held.unwrap_or(reason),
    }
}

fn minutes(left: Duration) -> u64 {
    left.as_secs().div_ceil(60)
}

/// The next smaller strategy of the kind that gives back most, and the bytes.
fn step_down(input: &Input, kinds: &[&KindInput]) -> Option<(Move, f64)> {
    let steps = kinds.iter().filter_map(|kind| {
        let weights = weights(input, kind);
        let now = weights.iter().find(|weight| weight.strategy == kind.running)?.bytes;
        let smaller = weights
            .iter()
            .filter(|weight| weight.strategy < kind.running && now - weight.bytes > SAME_BYTES);
        let next = smaller.max_by(|one, other| {
            one.bytes
                .total_cmp(&other.bytes)
                .then(one.strategy.cmp(&other.strategy))
        })?;
        let change = Move {
            kind: kind.kind,
            from: kind.running,
            to: next.strategy,
        };
        Some((change, now - next.bytes))
    });
    steps.max_by(|(_, one), (_, other)| one.total_cmp(other))
}

#[cfg(test)]
mod tests;
