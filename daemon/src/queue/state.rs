//! The queue as a pure state machine.
//!
//! Each key has one entry. It is *due* (in the level of its best reason), *delayed* (until a time), *running*,
//! or running and *dirty*: added again meanwhile, so that it runs once more. What a run causes comes back as a
//! storm of changes of owned objects: a key that has just run gathers them for a moment, and runs once for all. Levels hold keys in the order in
//! which they became due. Everything is logarithmic in the number of keys; a relist of n keys is n adds.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use neo4j_operator_shared::Kind;
use tokio::time::Instant;

use super::{Figures, Job, KindFigures, Priority, Settings, Trigger, Verdict};
use crate::reconcile::Key;

/// How soon a change of something that a failing key depends on may bring it forward.
const DEPENDENCY_PAUSE: Duration = Duration::from_secs(1);

/// Position in a level: when it became due, then the order of adding.
type Place = (Instant, u64);

#[derive(Debug)]
struct Entry {
    failures: u32,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Due {
        priority: Priority,
        place: Place,
        trigger: Trigger,
    },
    Delayed {
        at: Place,
        trigger: Trigger,
        wait: Wait,
    },
    Running {
        since: Instant,
        /// Added while running: the best reason, and the texts of all that are as good.
        dirty: Option<(Priority, Trigger)>,
    },
}

/// What a delayed key waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// The time that its last run named.
    Requeue,
    /// The end of its pause after a failure.
    Backoff,
    /// Further changes of what it owns.
    Gather,
}

/// What becomes of a delayed key when it is added again.
enum Next {
    /// It is due. `afresh`: its failures are forgotten.
    Run { afresh: bool },
    /// It waits until then.
    Wait(Wait, Instant),
}

impl Wait {
    /// The level of a key whose time has come.
    const fn priority(self) -> Priority {
        match self {
            Self::Gather => Priority::Owned,
            Self::Requeue | Self::Backoff => Priority::Requeued,
        }
    }

    /// What becomes of a key that waits until `at`. `gathers`: until when it would gather such a reason.
    fn next(self, priority: Priority, at: Instant, gathers: Option<Instant>, now: Instant) -> Next {
        match (self, priority) {
            (_, Priority::Changed) => Next::Run {
                afresh: self == Self::Backoff,
            },
            (Self::Backoff, Priority::Owned) => Next::Wait(self, at.min(now + DEPENDENCY_PAUSE)),
            (Self::Backoff | Self::Gather, _) => Next::Wait(self, at),
            (Self::Requeue, _) => match gathers {
                Some(until) => Next::Wait(Self::Gather, at.min(until)),
                None => Next::Run { afresh: false },
            },
        }
    }
}

/// Adds a reason to one that is known: the better level counts. The text keeps every change of the resource and of what
/// it depends on, since a pass may look only where the text points.
fn merge(known: &mut Priority, text: &mut Trigger, priority: Priority, trigger: Trigger) {
    if priority < *known && *known > Priority::Owned {
        *text = trigger;
    } else if priority <= Priority::Owned || priority == *known {
        join(text, &trigger);
    }
    *known = priority.min(*known);
}

fn join(text: &mut Trigger, further: &Trigger) {
    if !text.contains(further.as_ref()) {
        let text = text.to_mut();
        text.push_str(", ");
        text.push_str(further);
    }
}

#[derive(Debug, Default)]
struct Counts {
    adds: u64,
    retries: u64,
}

/// The queue.
#[derive(Debug, Default)]
pub struct State {
    settings: Settings,
    entries: HashMap<Key, Entry>,
    due: [BTreeMap<Place, Key>; Priority::ALL.len()],
    delayed: BTreeMap<Place, Key>,
    counts: BTreeMap<Kind, Counts>,
    /// When a key last ran, for as long as it gathers.
    rested: HashMap<Key, Instant>,
    /// The same in the order of time, to forget by.
    resting: VecDeque<(Instant, Key)>,
    sequence: u64,
    running: usize,
    limit: Option<usize>,
    held: Option<Priority>,
    paused: bool,
    closed: bool,
}

// === impl State ===

impl State {
    /// An empty queue.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }

    fn place(&mut self, at: Instant) -> Place {
        self.sequence += 1;
        (at, self.sequence)
    }

    fn put_due(&mut self, key: Key, failures: u32, priority: Priority, at: Instant, trigger: Trigger) {
        let place = self.place(at);
        self.due[priority as usize].insert(place, key.clone());
        let stage = Stage::Due {
            priority,
            place,
            trigger,
        };
        self.entries.insert(key, Entry { failures, stage });
    }

    fn put_delayed(&mut self, key: Key, failures: u32, at: Instant, trigger: Trigger, wait: Wait) {
        let at = self.place(at);
        self.delayed.insert(at, key.clone());
        let stage = Stage::Delayed { at, trigger, wait };
        self.entries.insert(key, Entry { failures, stage });
    }

    /// Adds a key. What is there already keeps the best reason and the earliest time.
    ///
    /// A key in backoff is brought forward only by what can help: a change of the resource itself begins
    /// anew, a change of something it depends on waits a second, so that a run which fails after it has
    /// changed something cannot drive itself. Lists and requeues leave the backoff as it is.
    pub fn add(&mut self, key: Key, priority: Priority, trigger: Trigger, now: Instant) {
        self.counts.entry(key.kind).or_default().adds += 1;
        let gathers = self.gathers(&key, priority, now);
        let Some(entry) = self.entries.get_mut(&key) else {
            return match gathers {
                Some(until) => self.put_delayed(key, 0, until, trigger, Wait::Gather),
                None => self.put_due(key, 0, priority, now, trigger),
            };
        };
        match &mut entry.stage {
            Stage::Running { dirty, .. } => match dirty {
                Some((known, text)) => merge(known, text, priority, trigger),
                None => *dirty = Some((priority, trigger)),
            },
            Stage::Due {
                priority: known,
                place,
                trigger: text,
            } => {
                let before = *known;
                merge(known, text, priority, trigger);
                if *known < before {
                    self.due[before as usize].remove(place);
                    self.due[*known as usize].insert(*place, key);
                }
                if priority == Priority::Changed {
                    entry.failures = 0;
                }
            }
            Stage::Delayed {
                at,
                trigger: text,
                wait,
            } => {
                let (at, mut known, mut text) = (*at, wait.priority(), std::mem::take(text));
                let failures = entry.failures;
                let next = wait.next(priority, at.0, gathers, now);
                merge(&mut known, &mut text, priority, trigger);
                self.delayed.remove(&at);
                match next {
                    Next::Run { afresh } => {
                        self.put_due(key, if afresh { 0 } else { failures }, priority, now, text);
                    }
                    Next::Wait(wait, until) => {
                        // A time that stays keeps its place among others of the same time.
                        let at = if until == at.0 { at } else { self.place(until) };
                        self.delayed.insert(at, key.clone());
                        let stage = Stage::Delayed {
                            at,
                            trigger: text,
                            wait,
                        };
                        self.entries.insert(key, Entry { failures, stage });
                    }
                }
            }
        }
    }

    /// Until when a key gathers changes of what it owns; none if it has not just run, or the reason is another.
    fn gathers(&self, key: &Key, priority: Priority, now: Instant) -> Option<Instant> {
        let until = *self.rested.get(key)? + self.settings.gather;
        (priority == Priority::Owned && until > now).then_some(until)
    }

    fn rest(&mut self, key: &Key, now: Instant) {
        self.forget_rested(now);
        self.rested.insert(key.clone(), now);
        self.resting.push_back((now, key.clone()));
    }

    fn forget_rested(&mut self, now: Instant) {
        while let Some((at, key)) = self.resting.pop_front_if(|(at, _)| *at + self.settings.gather <= now) {
            if self.rested.get(&key) == Some(&at) {
                self.rested.remove(&key);
            }
        }
    }

    /// Moves what has become due into its level.
    fn promote(&mut self, now: Instant) {
        while let Some(first) = self.delayed.first_entry() {
            if first.key().0 > now {
                break;
            }
            let (at, key) = first.remove_entry();
            if let Some(Entry {
                failures,
                stage: Stage::Delayed { trigger, wait, .. },
            }) = self.entries.remove(&key)
            {
                self.put_due(key, failures, wait.priority(), at.0, trigger);
            }
        }
    }

    /// The next key to run, if any is due. The caller owes a [`State::finish`].
    pub fn take(&mut self, now: Instant) -> Option<Job> {
        if self.closed || self.blocked() {
            return None;
        }
        self.promote(now);
        let first = self
            .due
            .iter()
            .enumerate()
            .filter_map(|(level, keys)| keys.first_key_value().map(|(place, _)| (*place, level)))
            .filter(|(place, level)| self.let_go(*level, place.0) <= now);
        let aged = first
            .clone()
            .min()
            .filter(|(place, _)| now.saturating_duration_since(place.0) >= self.settings.aging);
        let (_, level) = aged.or_else(|| first.min_by_key(|(_, level)| *level))?;
        let (_, key) = self.due[level].pop_first()?;
        let entry = self.entries.get_mut(&key)?;
        let running = Stage::Running {
            since: now,
            dirty: None,
        };
        let Stage::Due { place, trigger, .. } = std::mem::replace(&mut entry.stage, running) else {
            return None;
        };
        self.running += 1;
        Some(Job {
            key,
            trigger,
            waited: now.saturating_duration_since(place.0),
            failures: entry.failures,
        })
    }

    /// Ends a run. `jitter` in 0..1 spreads retries.
    pub fn finish(&mut self, key: &Key, verdict: Verdict, jitter: f64, now: Instant) {
        let Some(entry) = self.entries.remove(key) else { return };
        let Stage::Running { dirty, .. } = entry.stage else {
            self.entries.insert(key.clone(), entry);
            return;
        };
        self.running -= 1;
        self.rest(key, now);
        let key = key.clone();
        match (verdict, dirty) {
            (Verdict::Done(_) | Verdict::Terminal, Some((Priority::Owned, trigger))) => {
                self.put_delayed(key, 0, now + self.settings.gather, trigger, Wait::Gather);
            }
            (Verdict::Done(_) | Verdict::Terminal, Some((priority, trigger))) => {
                self.put_due(key, 0, priority, now, trigger);
            }
            (Verdict::Failed(_), Some((Priority::Changed, trigger))) => {
                self.put_due(key, 0, Priority::Changed, now, trigger);
            }
            (Verdict::Done(Some(delay)), None) => {
                self.put_delayed(key, 0, now + delay, "requeue".into(), Wait::Requeue);
            }
            (Verdict::Done(None) | Verdict::Terminal, None) => {}
            (Verdict::Failed(delay), dirty) => {
                let failures = entry.failures.saturating_add(1);
                self.counts.entry(key.kind).or_default().retries += 1;
                let mut delay = delay.unwrap_or_else(|| self.backoff(failures, jitter));
                let mut trigger: Trigger = "retry".into();
                if let Some((Priority::Owned, text)) = dirty {
                    delay = delay.min(DEPENDENCY_PAUSE);
                    trigger = text;
                }
                self.put_delayed(key, failures, now + delay, trigger, Wait::Backoff);
            }
        }
    }

    /// Pause after that many failures in a row.
    fn backoff(&self, failures: u32, jitter: f64) -> Duration {
        let first = self.settings.backoff_first;
        let ceiling = first
            .saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)))
            .min(self.settings.backoff_longest);
        first + ceiling.saturating_sub(first).mul_f64(jitter.clamp(0.0, 1.0))
    }

    /// Whether nothing is given out until something else changes.
    fn blocked(&self) -> bool {
        self.paused || self.limit.is_some_and(|limit| self.running >= limit)
    }

    /// When a key of this level that is due since then may run.
    fn let_go(&self, level: usize, since: Instant) -> Instant {
        match self.held {
            Some(held) if level >= held as usize => since + self.settings.held_longest,
            _ => since,
        }
    }

    /// When [`State::take`] may next find a key, by time alone; it may be now.
    pub fn next_due(&self) -> Option<Instant> {
        if self.blocked() {
            return None;
        }
        let delayed = self.delayed.first_key_value().map(|(place, _)| place.0);
        let due = self.due.iter().enumerate().filter_map(|(level, keys)| {
            let (place, _) = keys.first_key_value()?;
            Some(self.let_go(level, place.0))
        });
        delayed.into_iter().chain(due).min()
    }

    /// Whether a key runs.
    pub fn has_running(&self) -> bool {
        self.running > 0
    }

    /// Whether no key runs and none is due.
    pub fn idle(&self, now: Instant) -> bool {
        let due = self.due.iter().any(|keys| !keys.is_empty());
        let late = self.delayed.first_key_value().is_some_and(|(place, _)| place.0 <= now);
        !(self.has_running() || due || late)
    }

    /// At most so many keys run at a time; those that run already go on.
    pub fn limit(&mut self, limit: Option<usize>) {
        self.limit = limit.map(|limit| limit.max(1));
    }

    /// Holds back keys of this level and those after it, each for a while only.
    pub fn hold(&mut self, from: Option<Priority>) {
        self.held = from;
    }

    /// Holds keys back, or lets them go again. Keys collect meanwhile.
    pub fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Gives out nothing any more.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Whether it is closed.
    pub fn closed(&self) -> bool {
        self.closed
    }

    /// Gives back the room of a crowd that has gone; says how many bytes that were, at least.
    pub fn shrink(&mut self, now: Instant) -> u64 {
        self.forget_rested(now);
        let before = self.room();
        self.entries.shrink_to_fit();
        self.rested.shrink_to_fit();
        self.resting.shrink_to_fit();
        before.saturating_sub(self.room()) as u64
    }

    fn room(&self) -> usize {
        self.entries.capacity() * size_of::<(Key, Entry)>()
            + self.rested.capacity() * size_of::<(Key, Instant)>()
            + self.resting.capacity() * size_of::<(Instant, Key)>()
    }

    /// Bytes of its tables, without the names, which the caches share.
    pub fn bytes(&self) -> u64 {
        let placed = self.delayed.len() + self.due.iter().map(BTreeMap::len).sum::<usize>();
        (self.room() + placed * size_of::<(Place, Key)>()) as u64
    }

    /// Figures by kind.
    pub fn figures(&self, now: Instant) -> Figures {
        let mut kinds: BTreeMap<Kind, KindFigures> = self
            .counts
            .iter()
            .map(|(kind, counts)| (*kind, KindFigures::of(*kind, counts)))
            .collect();
        for (key, entry) in &self.entries {
            let Some(row) = kinds.get_mut(&key.kind) else { continue };
            let due = |row: &mut KindFigures, priority: Priority, since: Instant| {
                row.depth[priority as usize] += 1;
                row.oldest = row.oldest.max(Some(now.saturating_duration_since(since)));
            };
            match &entry.stage {
                Stage::Due { priority, place, .. } => due(row, *priority, place.0),
                // Due by its time, but nobody has asked since.
                Stage::Delayed { at, wait, .. } if at.0 <= now => due(row, wait.priority(), at.0),
                Stage::Delayed { wait, .. } => {
                    row.delayed += 1;
                    row.backoff += usize::from(*wait == Wait::Backoff);
                }
                Stage::Running { since, dirty } => {
                    let ran = now.saturating_duration_since(*since);
                    row.running += 1;
                    row.unfinished += ran;
                    row.longest_running = row.longest_running.max(Some(ran));
                    if let Some((priority, _)) = dirty {
                        row.depth[*priority as usize] += 1;
                    }
                }
            }
        }
        Figures {
            kinds: kinds.into_values().collect(),
            paused: self.paused,
            limit: self.limit,
            held: self.held,
        }
    }

    /// Every key that is known, in no order.
    pub fn keys(&self) -> BTreeSet<Key> {
        self.entries.keys().cloned().collect()
    }
}

impl KindFigures {
    fn of(kind: Kind, counts: &Counts) -> Self {
        Self {
            kind,
            depth: [0; Priority::ALL.len()],
            delayed: 0,
            backoff: 0,
            running: 0,
            oldest: None,
            longest_running: None,
            unfinished: Duration::ZERO,
            adds: counts.adds,
            retries: counts.retries,
        }
    }
}

#[cfg(test)]
mod tests;
