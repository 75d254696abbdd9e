//! Levels at every pressure: in time, without flapping, and with everything undone at the end.

use proptest::prelude::*;

use super::*;

const LIMIT: u64 = 1_000;

fn inputs(resident: u64) -> Inputs {
    Inputs {
        resident: Some(resident),
        limit: LIMIT,
        free: None,
        idle: false,
        enabled: true,
    }
}

/// Decides and takes note of an action that freed `freed`.
fn step(state: &mut State, inputs: &Inputs, now: Instant, freed: u64) -> Vec<Step> {
    let (steps, next) = decide(inputs, *state, now);
    *state = next;
    if steps
        .iter()
        .any(|step| matches!(step, Step::Reclaim(_) | Step::ReclaimIdle))
    {
        state.acted(now, freed, inputs.resident.unwrap_or_default());
    }
    steps
}

#[test]
fn each_level_brings_its_own_steps_and_leaving_it_undoes_them() {
    let mut state = State::default();
    let mut now = Instant::now();
    let mut at = |resident| {
        now += PAUSE;
        step(&mut state, &inputs(resident), now, 500)
    };
    let tell = |from, to, pressure| Step::Tell { from, to, pressure };
    assert_eq!(at(699), []);
    assert_eq!(at(700), [tell(0, 1, 0.7), Step::Reclaim(1)]);
    assert_eq!(
        at(920),
        [
            tell(1, 3, 0.92),
            Step::HalveConcurrency(true),
            Step::HoldBack(true),
            Step::ReturnAtOnce(true),
            Step::Advise,
            Step::Reclaim(3)
        ]
    );
    assert_eq!(at(801), [Step::Reclaim(3)], "within ten points below it stays");
    assert_eq!(
        at(799),
        [
            tell(3, 2, 0.799),
            Step::HoldBack(false),
            Step::ReturnAtOnce(false),
            Step::Reclaim(2)
        ]
    );
    assert_eq!(at(100), [tell(2, 0, 0.1), Step::HalveConcurrency(false)]);
}

#[test]
fn actions_keep_a_pause_that_doubles_while_they_bring_nothing() {
    let mut state = State::default();
    let begun = Instant::now();
    let mut acted = Vec::new();
    for second in 0..1_000 {
        let now = begun + Duration::from_secs(second);
        let freed = if second < 400 { 9 } else { 10 };
        if !step(&mut state, &inputs(950), now, freed).is_empty() {
            acted.push(second);
        }
    }
    assert_eq!(
        acted,
        [
            0, 60, 180, 420, 450, 480, 510, 540, 570, 600, 630, 660, 690, 720, 750, 780, 810, 840, 870, 900, 930, 960,
            990
        ]
    );
}

#[test]
fn a_higher_level_is_not_kept_waiting_by_what_failed_on_a_lower_one() {
    let mut state = State::default();
    let begun = Instant::now();
    step(&mut state, &inputs(750), begun, 0);
    step(&mut state, &inputs(750), begun + Duration::from_secs(60), 0);
    let later = begun + Duration::from_secs(90);
    assert!(!step(&mut state, &inputs(750), later, 0).contains(&Step::Reclaim(1)));
    assert!(step(&mut state, &inputs(850), later, 0).contains(&Step::Reclaim(2)));
}

#[test]
fn who_is_idle_returns_what_is_free_if_it_is_much() {
    let idle = |resident: u64, free: u64| {
        let inputs = Inputs {
            free: Some(free),
            idle: true,
            limit: 1 << 40,
            ..inputs(resident)
        };
        decide(&inputs, State::default(), Instant::now()).0
    };
    assert_eq!(idle(100 << 20, 40 << 20), [Step::ReclaimIdle]);
    assert_eq!(idle(60 << 20, 31 << 20), [], "little");
    assert_eq!(idle(1 << 30, 40 << 20), [], "a small part");
}

#[test]
fn unknown_is_not_low_and_a_manager_that_is_off_only_tells() {
    let high = State {
        level: 3,
        ..State::default()
    };
    let unknown = Inputs {
        resident: None,
        ..inputs(0)
    };
    assert_eq!(decide(&unknown, high, Instant::now()), (Vec::new(), high));
    let off = Inputs {
        enabled: false,
        ..inputs(950)
    };
    let (steps, _) = decide(&off, State::default(), Instant::now());
    assert!(matches!(steps[..], [Step::Tell { to: 3, .. }]), "{steps:?}");
}

proptest! {
    /// A pressure that wavers by less than ten points changes the level at most once, and then only upward.
    #[test]
    fn no_flapping(base in 0_u64..1_200, wavers in prop::collection::vec(0_u64..99, 2..60)) {
        let mut state = State::default();
        let mut now = Instant::now();
        // Whatever was before.
        step(&mut state, &inputs(base), now, 0);
        let mut changes = 0;
        for waver in wavers {
            now += Duration::from_secs(5);
            let before = state.level;
            step(&mut state, &inputs(base + waver), now, 0);
            prop_assert!(state.level >= before);
            changes += u32::from(state.level != before);
        }
        // The band holds at most one threshold.
        prop_assert!(changes <= 1, "{changes}");
    }

    /// Over any history: actions keep their pause, switches are on exactly while their level lasts, and each
    /// change is told.
    #[test]
    fn switches_follow_the_level(history in prop::collection::vec((0_u64..1_200, 1_u64..40, 0_u64..50), 1..80)) {
        let mut state = State::default();
        let mut now = Instant::now();
        let (mut half, mut held, mut at_once, mut told, mut last) = (false, false, false, 0, None);
        for (resident, seconds, freed) in history {
            now += Duration::from_secs(seconds);
            for step in step(&mut state, &inputs(resident), now, freed) {
                match step {
                    Step::Tell { from, to, .. } => {
                        prop_assert_eq!(from, told);
                        told = to;
                    }
                    Step::HalveConcurrency(on) => {
                        prop_assert_ne!(on, half);
                        half = on;
                    }
                    Step::HoldBack(on) => held = on,
                    Step::ReturnAtOnce(on) => at_once = on,
                    Step::Advise => prop_assert_eq!(state.level, PROTECT),
                    Step::Reclaim(level) => {
                        prop_assert_eq!(level, state.level);
                        prop_assert!(last.is_none_or(|last| now.duration_since(last) >= PAUSE));
                        last = Some(now);
                    }
                    Step::ReclaimIdle => prop_assert!(false, "never idle here"),
                }
            }
            prop_assert_eq!((half, held, at_once), (told >= 2, told >= 3, told >= 3));
            prop_assert_eq!(told, state.level);
        }
    }
}
