//! The queue against a model that a reader can check by eye: a list of keys, searched from the front.

use proptest::prelude::*;

use super::*;

fn key(index: u8) -> Key {
    Key {
        kind: Kind::Neo4jDatabase,
        namespace: "n".into(),
        name: format!("k{index}").into(),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(u8, Priority),
    Take,
    Finish(u8, Verdict),
    Wait(u64),
}

fn priority() -> impl Strategy<Value = Priority> {
    prop::sample::select(Priority::ALL.to_vec())
}

fn verdict() -> impl Strategy<Value = Verdict> {
    let delay = prop::option::of((0_u64..20_000).prop_map(Duration::from_millis));
    prop_oneof![
        delay.clone().prop_map(Verdict::Done),
        delay.prop_map(Verdict::Failed),
        Just(Verdict::Terminal),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..6, priority()).prop_map(|(index, priority)| Step::Add(index, priority)),
        3 => Just(Step::Take),
        3 => (0_u8..6, verdict()).prop_map(|(index, verdict)| Step::Finish(index, verdict)),
        2 => (0_u64..15_000).prop_map(Step::Wait),
        2 => (0_u64..150).prop_map(Step::Wait),
    ]
}

/// The naive queue: one row per key, in no special order.
#[derive(Default)]
struct Model {
    rows: Vec<Row>,
    /// When each key last ran.
    ran: BTreeMap<u8, Instant>,
    sequence: u64,
}

struct Row {
    index: u8,
    failures: u32,
    /// When it is due, in the order of adding; meaningless while it runs.
    due: Place,
    priority: Priority,
    backoff: bool,
    gathers: bool,
    delayed: bool,
    running: bool,
    dirty: Option<Priority>,
}

impl Model {
    fn place(&mut self, at: Instant) -> Place {
        self.sequence += 1;
        (at, self.sequence)
    }

    fn ready(&mut self, index: u8, failures: u32, priority: Priority, at: Instant) {
        let due = self.place(at);
        self.rows.push(Row {
            index,
            failures,
            due,
            priority,
            backoff: false,
            gathers: false,
            delayed: false,
            running: false,
            dirty: None,
        });
    }

    fn later(&mut self, index: u8, failures: u32, at: Instant, backoff: bool) {
        self.ready(index, failures, Priority::Requeued, at);
        let row = self.rows.last_mut().unwrap();
        row.delayed = true;
        row.backoff = backoff;
    }

    fn gather(&mut self, index: u8, failures: u32, at: Instant) {
        self.ready(index, failures, Priority::Owned, at);
        let row = self.rows.last_mut().unwrap();
        row.delayed = true;
        row.gathers = true;
    }

    fn remove(&mut self, index: u8) -> Option<Row> {
        let place = self.rows.iter().position(|row| row.index == index)?;
        Some(self.rows.remove(place))
    }

    fn add(&mut self, index: u8, priority: Priority, gather: Duration, now: Instant) {
        let until = self.ran.get(&index).map_or(now, |ran| *ran + gather);
        let gathers = priority == Priority::Owned && until > now;
        let Some(mut row) = self.remove(index) else {
            return if gathers {
                self.gather(index, 0, until);
            } else {
                self.ready(index, 0, priority, now);
            };
        };
        if row.running {
            row.dirty = Some(row.dirty.map_or(priority, |known| known.min(priority)));
            self.rows.push(row);
        } else if !row.delayed {
            row.priority = row.priority.min(priority);
            if priority == Priority::Changed {
                row.failures = 0;
            }
            self.rows.push(row);
        } else if row.gathers && priority != Priority::Changed {
            self.rows.push(row);
        } else if !row.backoff && gathers && row.due.0 <= until {
            row.gathers = true;
            row.priority = Priority::Owned;
            self.rows.push(row);
        } else if !row.backoff && gathers {
            self.gather(index, row.failures, until);
        } else if !row.backoff {
            self.ready(index, row.failures, priority, now);
        } else if priority == Priority::Changed {
            self.ready(index, 0, priority, now);
        } else if priority == Priority::Owned && now + DEPENDENCY_PAUSE < row.due.0 {
            self.later(index, row.failures, now + DEPENDENCY_PAUSE, true);
        } else {
            self.rows.push(row);
        }
    }

    fn take(&mut self, now: Instant, aging: Duration) -> Option<u8> {
        // Those whose time has come take their place in the order of their time.
        let mut came: Vec<Place> = self
            .rows
            .iter()
            .filter(|row| !row.running && row.delayed && row.due.0 <= now)
            .map(|row| row.due)
            .collect();
        came.sort_unstable();
        for due in came {
            let at = self.place(due.0);
            let row = self.rows.iter_mut().find(|row| row.due == due).unwrap();
            row.due = at;
            row.delayed = false;
            row.backoff = false;
            row.gathers = false;
        }
        let due = self.rows.iter().filter(|row| !row.running && !row.delayed);
        let oldest = due.clone().min_by_key(|row| row.due)?;
        let chosen = if now - oldest.due.0 >= aging {
            oldest
        } else {
            due.min_by_key(|row| (row.priority, row.due))?
        };
        let index = chosen.index;
        let row = self.rows.iter_mut().find(|row| row.index == index).unwrap();
        row.running = true;
        Some(index)
    }

    fn finish(
        &mut self,
        index: u8,
        verdict: Verdict,
        backoff: impl Fn(u32) -> Duration,
        gather: Duration,
        now: Instant,
    ) {
        let Some(row) = self.remove(index) else { return };
        if !row.running {
            self.rows.push(row);
            return;
        }
        self.ran.insert(index, now);
        match (verdict, row.dirty) {
            (Verdict::Failed(_), Some(Priority::Changed)) => self.ready(index, 0, Priority::Changed, now),
            (Verdict::Failed(delay), dirty) => {
                let failures = row.failures + 1;
                let delay = delay.unwrap_or_else(|| backoff(failures));
                let delay = if dirty == Some(Priority::Owned) {
                    delay.min(DEPENDENCY_PAUSE)
                } else {
                    delay
                };
                self.later(index, failures, now + delay, true);
            }
            (_, Some(Priority::Owned)) => self.gather(index, 0, now + gather),
            (_, Some(priority)) => self.ready(index, 0, priority, now),
            (Verdict::Done(Some(delay)), None) => self.later(index, 0, now + delay, false),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_queue_does_what_the_naive_one_does(steps in prop::collection::vec(step(), 1..80)) {
        let settings = Settings::default();
        let mut state = State::new(settings);
        let mut model = Model::default();
        let mut now = Instant::now();
        for step in steps {
            match step {
                Step::Add(index, priority) => {
                    state.add(key(index), priority, "test".into(), now);
                    model.add(index, priority, settings.gather, now);
                }
                Step::Take => {
                    let taken = state.take(now).map(|job| job.key);
                    let expected = model.take(now, settings.aging).map(key);
                    prop_assert_eq!(taken, expected);
                }
                Step::Finish(index, verdict) => {
                    let backoff = |failures| state.backoff(failures, 0.5);
                    model.finish(index, verdict, backoff, settings.gather, now);
                    state.finish(&key(index), verdict, 0.5, now);
                }
                Step::Wait(millis) => now += Duration::from_millis(millis),
            }
            let known: BTreeSet<Key> = model.rows.iter().map(|row| key(row.index)).collect();
            prop_assert_eq!(state.keys(), known, "no key is lost or made up");
            let running = model.rows.iter().filter(|row| row.running).count();
            let figures = state.figures(now);
            let row = figures.kinds.first();
            prop_assert_eq!(row.map_or(0, |row| row.running), running, "a key runs once at a time");
        }
    }

    #[test]
    fn pauses_grow_to_a_bound_and_never_below_the_first(failures in 1_u32..2000, jitter in 0.0_f64..1.0) {
        let state = State::new(Settings::default());
        let pause = state.backoff(failures, jitter);
        prop_assert!(pause >= state.settings.backoff_first && pause <= state.settings.backoff_longest);
        prop_assert!(pause <= state.backoff(failures + 1, jitter));
    }
}

fn taken(state: &mut State, now: Instant) -> Vec<String> {
    std::iter::from_fn(|| state.take(now))
        .map(|job| job.key.name.to_string())
        .collect()
}

#[test]
fn better_reasons_come_first_but_nothing_starves() {
    let mut state = State::default();
    let now = Instant::now();
    state.settings.aging = Duration::from_secs(10);
    state.add(key(0), Priority::Listed, "list".into(), now);
    state.add(key(1), Priority::Owned, "pods changed".into(), now);
    state.add(key(2), Priority::Changed, "cluster changed".into(), now);
    assert_eq!(taken(&mut state, now), ["k2", "k1", "k0"]);
    state.add(key(3), Priority::Listed, "list".into(), now);
    let later = now + Duration::from_secs(10);
    state.add(key(4), Priority::Changed, "changed".into(), later);
    assert_eq!(taken(&mut state, later), ["k3", "k4"]);
}

#[test]
fn a_change_while_it_runs_makes_it_run_once_more_and_names_the_best_reason() {
    let mut state = State::default();
    let now = Instant::now();
    state.add(key(0), Priority::Listed, "list".into(), now);
    state.take(now).unwrap();
    state.add(key(0), Priority::Owned, "pods changed".into(), now);
    state.add(key(0), Priority::Listed, "list".into(), now);
    assert!(state.take(now).is_none(), "never two runs of one key");
    state.finish(&key(0), Verdict::Done(Some(Duration::from_secs(600))), 0.0, now);
    let later = now + state.settings.gather;
    assert_eq!(state.take(later).unwrap().trigger, "pods changed");
    state.finish(&key(0), Verdict::Done(None), 0.0, later);
    assert!(state.take(later).is_none());
}

#[test]
fn what_a_run_causes_is_gathered_into_one_run_and_a_users_change_does_not_wait() {
    let mut state = State::default();
    let now = Instant::now();
    let gather = state.settings.gather;
    state.add(key(0), Priority::Owned, "pods changed".into(), now);
    state.take(now).expect("what has rested runs at once");
    state.finish(&key(0), Verdict::Done(None), 0.0, now);
    for millis in [1, 40, 99] {
        let at = now + Duration::from_millis(millis);
        state.add(key(0), Priority::Owned, format!("storm {millis}").into(), at);
        assert!(state.take(at).is_none(), "{millis} ms");
    }
    assert_eq!(state.next_due(), Some(now + gather), "later ones do not put it off");
    let run = state.take(now + gather).unwrap();
    assert_eq!(run.waited, Duration::ZERO);
    assert_eq!(
        run.trigger, "storm 1, storm 40, storm 99",
        "a pass may look only where the text points"
    );
    state.finish(&key(0), Verdict::Done(None), 0.0, now + gather);

    state.add(key(0), Priority::Owned, "pods changed".into(), now + gather);
    state.add(key(0), Priority::Changed, "cluster changed".into(), now + gather);
    assert!(state.take(now + gather).is_some());
    state.finish(&key(0), Verdict::Done(None), 0.0, now + gather);
    state.rest(&key(1), now + gather * 9);
    assert_eq!((state.rested.len(), state.resting.len()), (1, 1), "rest is forgotten");
}

#[test]
fn no_reason_is_forgotten_over_another() {
    use Priority::{Changed, Listed, Owned};
    let text = |adds: &[(Priority, &'static str)]| {
        let mut state = State::default();
        let now = Instant::now();
        for (priority, trigger) in adds {
            state.add(key(0), *priority, (*trigger).into(), now);
        }
        state.take(now).unwrap().trigger.into_owned()
    };
    assert_eq!(
        text(&[(Owned, "pods"), (Owned, "secrets"), (Owned, "pods")]),
        "pods, secrets"
    );
    assert_eq!(text(&[(Owned, "secrets"), (Changed, "cluster")]), "secrets, cluster");
    assert_eq!(text(&[(Changed, "cluster"), (Owned, "secrets")]), "cluster, secrets");
    assert_eq!(
        text(&[(Listed, "list"), (Owned, "secrets"), (Listed, "list")]),
        "secrets"
    );
}

#[test]
fn a_change_of_the_resource_ends_its_backoff_and_a_list_does_not() {
    let mut state = State::default();
    let now = Instant::now();
    state.add(key(0), Priority::Changed, "changed".into(), now);
    for _ in 0..9 {
        let at = state.next_due().unwrap_or(now);
        state.take(at).unwrap();
        state.finish(&key(0), Verdict::Failed(None), 1.0, at);
    }
    let at = state.next_due().unwrap() - Duration::from_secs(20);
    state.add(key(0), Priority::Listed, "list".into(), at);
    assert!(state.take(at).is_none());
    state.add(key(0), Priority::Owned, "pods changed".into(), at);
    assert!(state.take(at).is_none(), "not at once");
    let job = state.take(at + DEPENDENCY_PAUSE).unwrap();
    assert_eq!(job.failures, 9);
    state.finish(&key(0), Verdict::Failed(None), 1.0, at);
    state.add(key(0), Priority::Changed, "changed".into(), at);
    assert_eq!(state.take(at).unwrap().failures, 0);
}

#[test]
fn a_paused_queue_collects_and_a_closed_one_gives_nothing() {
    let mut state = State::default();
    let now = Instant::now();
    state.pause(true);
    state.add(key(0), Priority::Changed, "changed".into(), now);
    assert!(state.take(now).is_none());
    assert_eq!(state.figures(now).depth(), 1);
    state.pause(false);
    state.close();
    assert!(state.take(now).is_none());
}

#[test]
fn figures_tell_depth_by_level_and_the_oldest() {
    let mut state = State::default();
    let now = Instant::now();
    state.add(key(0), Priority::Changed, "changed".into(), now);
    state.add(key(1), Priority::Listed, "list".into(), now);
    state.take(now).unwrap();
    let later = now + Duration::from_secs(7);
    let figures = state.figures(later);
    let row = &figures.kinds[0];
    assert_eq!(row.depth, [0, 0, 0, 1]);
    assert_eq!(row.oldest, Some(Duration::from_secs(7)));
    assert_eq!((row.running, row.longest_running), (1, Some(Duration::from_secs(7))));
    assert_eq!((row.adds, row.retries), (2, 0));
}

#[test]
fn a_limit_holds_while_as_many_run_and_lets_go_when_one_ends() {
    let mut state = State::default();
    let now = Instant::now();
    for index in 0..4 {
        state.add(key(index), Priority::Changed, "changed".into(), now);
    }
    let first = state.take(now).unwrap();
    state.limit(Some(2));
    assert!(state.take(now).is_some());
    assert_eq!(
        (state.take(now), state.next_due()),
        (None, None),
        "nothing to wait for but an end"
    );
    state.finish(&first.key, Verdict::Done(None), 0.0, now);
    assert!(state.next_due().is_some() && state.take(now).is_some());
    state.limit(None);
    assert!(state.take(now).is_some());
    state.limit(Some(0));
    for index in 0..4 {
        state.finish(&key(index), Verdict::Done(None), 0.0, now);
    }
    state.add(key(0), Priority::Changed, "changed".into(), now);
    assert!(state.take(now).is_some(), "one may always run");
}

#[test]
fn what_is_held_back_waits_a_minute_while_changes_go_on() {
    let mut state = State::default();
    let now = Instant::now();
    state.hold(Some(Priority::Requeued));
    state.add(key(0), Priority::Listed, "listed".into(), now);
    assert_eq!(state.take(now), None);
    assert_eq!(state.next_due(), Some(now + Duration::from_secs(60)));
    // Old enough to come before changes, but held back.
    let later = now + Duration::from_secs(59);
    assert_eq!(state.take(later), None);
    state.add(key(1), Priority::Owned, "owned".into(), later);
    assert_eq!(state.take(later).unwrap().key, key(1));
    assert_eq!(state.take(now + Duration::from_secs(60)).unwrap().key, key(0));
    state.add(key(2), Priority::Listed, "listed".into(), later);
    state.hold(None);
    assert_eq!(state.take(later).unwrap().key, key(2));
}

#[test]
fn who_is_paused_waits_for_no_time() {
    let mut state = State::default();
    let now = Instant::now();
    state.add(key(0), Priority::Changed, "changed".into(), now);
    state.pause(true);
    assert_eq!((state.take(now), state.next_due()), (None, None));
    assert!(!state.idle(now));
}

#[test]
fn the_room_of_a_crowd_is_given_back_and_the_rest_is_kept() {
    let mut state = State::default();
    let now = Instant::now();
    for index in 0..=255 {
        state.add(key(index), Priority::Listed, "listed".into(), now);
    }
    while let Some(job) = state.take(now) {
        let rest = (job.key == key(7)).then_some(Duration::from_secs(5));
        state.finish(&job.key, Verdict::Done(rest), 0.0, now);
    }
    let (later, before) = (now + Duration::from_secs(1), state.bytes());
    let freed = state.shrink(later);
    assert!(freed > 0 && state.bytes() <= before - freed);
    assert_eq!(state.shrink(later), 0);
    assert_eq!(state.keys(), BTreeSet::from([key(7)]));
}
