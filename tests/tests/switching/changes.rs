//! Every change from each strategy to each: a closed walk over all ordered pairs, once for all kinds and once for one.

use std::{collections::BTreeSet, time::Duration};

use neo4j_operator::cache::Refused;
use neo4j_operator_shared::{
    Kind, Strategy,
    switch::{By, OperationState, SwitchRequest, Wanted},
};

use tokio::time::Instant;

use crate::{
    dice::Dice,
    field::{Field, KINDS},
    storm::Lists,
};

/// Ordered pairs of strategies, those of one with itself too.
pub const PAIRS: usize = Strategy::ALL.len() * Strategy::ALL.len();

/// What happens to a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    Lists(Lists),
    Cancelled,
}

/// The strategies of a closed walk from one of them that takes every ordered pair once; in which order is the seed's.
pub fn walk(first: Strategy, dice: &mut Dice) -> Vec<Strategy> {
    let place = |strategy: Strategy| Strategy::ALL.iter().position(|known| *known == strategy).unwrap();
    let mut ways = Strategy::ALL.map(|_| {
        let mut ways = Strategy::ALL;
        dice.shuffle(&mut ways);
        ways.to_vec()
    });
    // Hierholzer: go on while there is a way, and note each place when there is none left.
    let (mut way, mut walk) = (vec![first], Vec::new());
    while let Some(here) = way.last() {
        match ways[place(*here)].pop() {
            Some(next) => way.push(next),
            None => walk.extend(way.pop()),
        }
    }
    walk.reverse();
    walk
}

/// How much a strategy keeps, for whether a change of it fills anything.
fn keeps(strategy: Strategy) -> u8 {
    match strategy {
        Strategy::None => 0,
        Strategy::Full => 2,
        _ => 1,
    }
}

pub fn request(wanted: Wanted, kinds: Option<Vec<Kind>>) -> SwitchRequest {
    SwitchRequest {
        strategy: wanted,
        kinds,
        dry_run: false,
        rollback_after: None,
    }
}

impl Field {
    /// Asks until it may begin, and waits until it is over.
    async fn change(&self, request: &SwitchRequest, trouble: Trouble) -> OperationState {
        let operation = loop {
            match self.router.switch(request, By::User).await {
                Ok(operation) => break operation,
                Err(Refused::Running(_) | Refused::TooSoon { .. }) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(refused) => panic!("{request:?}: {refused}"),
            }
        };
        let began = Instant::now();
        match trouble {
            Trouble::None => {}
            Trouble::Lists(lists) => self.storm.trouble_lists(lists),
            Trouble::Cancelled => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                // It may have been quicker.
                let _ = self.router.cancel(&operation.id);
            }
        }
        let state = loop {
            let history = self.router.history();
            if let Some(ended) = history.iter().find(|known| known.id == operation.id) {
                break ended.state;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        };
        self.storm.trouble_lists(Lists::Usual);
        let mut report = self.report.borrow_mut();
        report.changes += 1;
        report.turned_back += u64::from(state != OperationState::Done);
        report.longest_change = report.longest_change.max(began.elapsed());
        state
    }

    /// A change that comes to its end, whatever happens to its first attempt.
    async fn change_at_last(&self, request: &SwitchRequest, trouble: Trouble) {
        let mut trouble = trouble;
        while self.change(request, trouble).await != OperationState::Done {
            trouble = Trouble::None;
        }
    }

    /// A change without trouble.
    pub async fn set(&self, wanted: Wanted, kinds: Option<Vec<Kind>>) {
        self.change_at_last(&request(wanted, kinds), Trouble::None).await;
    }

    /// All pairs, and again until enough was written: by turns for all kinds, and for one.
    pub async fn change_all(&self) {
        let mut dice = Dice::of(self.plan.seed, "changes");
        let mut here = Strategy::Selective;
        let mut troubles = self.troubles().into_iter();
        let (mut whole, mut single) = (BTreeSet::new(), BTreeSet::new());
        for round in self.plan.seed.. {
            let kind = KINDS[round as usize % KINDS.len()];
            for kinds in [None, Some(vec![kind])] {
                let walk = walk(here, &mut dice);
                let pairs = if kinds.is_none() { &mut whole } else { &mut single };
                for pair in walk.windows(2) {
                    if self.report.borrow().changes >= self.plan.changes {
                        return;
                    }
                    let (from, to) = (pair[0], pair[1]);
                    // Another one cannot be in trouble: there is nothing to fill.
                    let fills = keeps(from) != keeps(to);
                    let trouble = if fills { troubles.next() } else { None };
                    let request = request(Wanted::Strategy(to), kinds.clone());
                    self.change_at_last(&request, trouble.unwrap_or(Trouble::None)).await;
                    pairs.insert((from, to));
                    here = to;
                    tokio::time::sleep(dice.pause(400)).await;
                }
                if kinds.is_some() {
                    self.set(Wanted::Default, kinds).await;
                }
            }
            self.report.borrow_mut().pairs = (whole.len(), single.len());
            if self.report.borrow().writes >= self.plan.writes {
                return;
            }
        }
    }

    /// What happens to the changes that fill something, one after the other; each of those that take long only once.
    fn troubles(&self) -> Vec<Trouble> {
        let (slow, too_slow) = self.plan.slow;
        let first = [
            Trouble::Lists(Lists::Refused(403)),
            Trouble::Lists(Lists::Slow(slow)),
            Trouble::Cancelled,
            Trouble::Lists(Lists::Refused(500)),
            Trouble::Lists(Lists::Slow(too_slow)),
        ];
        let later = [Trouble::Lists(Lists::Refused(403)), Trouble::Cancelled];
        let all = first.into_iter().chain(later.into_iter().cycle().take(100));
        // Every other one goes through.
        all.flat_map(|trouble| [trouble, Trouble::None]).collect()
    }
}

#[test]
fn a_walk_takes_every_pair_once() {
    for seed in 0..20 {
        let walk = walk(Strategy::Lazy, &mut Dice::new(seed));
        let pairs: BTreeSet<(Strategy, Strategy)> = walk.windows(2).map(|pair| (pair[0], pair[1])).collect();
        assert_eq!((walk.len(), pairs.len()), (PAIRS + 1, PAIRS), "{walk:?}");
        assert_eq!((walk[0], walk[PAIRS]), (Strategy::Lazy, Strategy::Lazy));
    }
}
