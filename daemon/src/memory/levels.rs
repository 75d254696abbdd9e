//! When to give memory back, and how much of it: a pure decision from resident bytes, limit and time.
//!
//! Levels are 1 trim at 70 % of the limit, 2 evict at 80 %, 3 protect at 90 %. A level is left 10 points below
//! where it is entered, so that a value that wavers does not switch things on and off.

use std::time::Duration;

use tokio::time::Instant;

/// The highest level.
pub const PROTECT: u8 = 3;
/// Least time between two actions.
pub const PAUSE: Duration = Duration::from_secs(30);
/// Most time between two actions at a level: pauses double while they bring nothing.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(30 * 60);
/// Points below its threshold at which a level is left.
const HYSTERESIS: f64 = 0.10;
/// An action that frees less than this part of the resident bytes was not worth its time.
const WORTH: f64 = 0.01;
/// So much must be free in pages that are held, in bytes and as part of the resident ones, to act while idle.
const IDLE_LEAST: u64 = 32 << 20;
const IDLE_PART: f64 = 0.3;

/// What is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// Resident bytes; absent where the operating system does not say, and then nothing is decided.
    pub resident: Option<u64>,
    /// What the process may take.
    pub limit: u64,
    /// Bytes of pages that are held and hold nothing; absent where the allocator does not say.
    pub free: Option<u64>,
    /// Whether there is nothing else to do.
    pub idle: bool,
    /// Whether the manager may act by itself. Levels are told of even if not.
    pub enabled: bool,
}

/// What is remembered between decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The level.
    pub level: u8,
    acted: Option<Instant>,
    pause: Duration,
}

/// What is to be done, in order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Tell that the level changed.
    Tell {
        /// Before.
        from: u8,
        /// Now.
        to: u8,
        /// Resident bytes ÷ limit.
        pressure: f64,
    },
    /// Run half as many reconciles at a time, or as many as usual.
    HalveConcurrency(bool),
    /// Hold back reconciles that are not urgent, or let them go.
    HoldBack(bool),
    /// Return free pages at once, or as usual.
    ReturnAtOnce(bool),
    /// Say which part would give back most.
    Advise,
    /// Give memory back for this level.
    Reclaim(u8),
    /// Give back what is free, because there is time.
    ReclaimIdle,
}

impl Default for State {
    fn default() -> Self {
        Self {
            level: 0,
            acted: None,
            pause: PAUSE,
        }
    }
}

impl State {
    /// An action ended: what it freed decides about the next pause.
    pub fn acted(&mut self, now: Instant, freed: u64, resident: u64) {
        self.acted = Some(now);
        self.pause = if freed as f64 >= WORTH * resident as f64 {
            PAUSE
        } else {
            (self.pause * 2).min(LONGEST_PAUSE)
        };
    }

    fn may_act(&self, now: Instant) -> bool {
        self.acted
            .is_none_or(|acted| now.saturating_duration_since(acted) >= self.pause)
    }
}

/// Where a level is entered, in parts of the limit.
fn threshold(level: u8) -> f64 {
    match level {
        0 => 0.0,
        1 => 0.7,
        2 => 0.8,
        _ => 0.9,
    }
}

/// The level at this pressure, coming from `before`.
fn level(before: u8, pressure: f64) -> u8 {
    let entered = (1..=PROTECT)
        .rev()
        .find(|level| pressure >= threshold(*level))
        .unwrap_or(0);
    let kept = (1..=before)
        .rev()
        .find(|level| pressure >= threshold(*level) - HYSTERESIS)
        .unwrap_or(0);
    entered.max(kept)
}

/// What to do now, and what to remember.
pub fn decide(inputs: &Inputs, state: State, now: Instant) -> (Vec<Step>, State) {
    let Some(resident) = inputs.resident else {
        return (Vec::new(), state);
    };
    let pressure = resident as f64 / inputs.limit.max(1) as f64;
    let (from, to) = (state.level, level(state.level, pressure));
    let mut state = State { level: to, ..state };
    let mut steps = Vec::new();
    if from != to {
        steps.push(Step::Tell { from, to, pressure });
    }
    if !inputs.enabled {
        return (steps, state);
    }
    for (switched_at, switch) in [
        (2, Step::HalveConcurrency as fn(bool) -> Step),
        (3, Step::HoldBack),
        (3, Step::ReturnAtOnce),
    ] {
        if (from >= switched_at) != (to >= switched_at) {
            steps.push(switch(to >= switched_at));
        }
    }
    if to == PROTECT && from < PROTECT {
        steps.push(Step::Advise);
    }
    if to > from {
        // What was tried in vain on a lower level says nothing of what this one can do.
        state.pause = PAUSE;
    }
    if state.may_act(now) {
        if to > 0 {
            steps.push(Step::Reclaim(to));
        } else if inputs.idle && inputs.free.is_some_and(|free| much(free, resident)) {
            steps.push(Step::ReclaimIdle);
        }
    }
    (steps, state)
}

fn much(free: u64, resident: u64) -> bool {
    free >= IDLE_LEAST && free as f64 >= IDLE_PART * resident as f64
}

#[cfg(test)]
mod tests;
