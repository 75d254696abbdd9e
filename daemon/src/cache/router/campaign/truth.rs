//! What really happened, and whether an answer can be true.
//!
//! Every state of an object has a place in one order: an object at resourceVersion `v` stands at `2 v`, its
//! absence after `v` at `2 v + 1`. A key's high-water is the highest place that a read has told of so far. A
//! read that begins at some high-water must not tell of anything below it.

use std::collections::{BTreeMap, HashMap};

use neo4j_operator_shared::Kind;

use crate::cache::ReadSource;

/// Kind, namespace, name.
pub(super) type Object = (Kind, &'static str, String);

/// The cluster that an object belongs to, while it is one of ours.
pub(super) fn cluster((kind, _, name): &Object) -> String {
    format!("{kind}-{name}")
}

/// A state of an object.
#[derive(Clone, Copy, Debug)]
struct State {
    place: u64,
    /// It is there, and carries our labels.
    own: bool,
    there: bool,
}

#[derive(Debug, Default)]
struct History {
    states: Vec<State>,
    /// Writes whose outcome is not noted yet.
    pending: u32,
    high: u64,
}

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Truth {
    objects: HashMap<Object, History>,
    /// When an object of ours was last changed by others.
    dirty: HashMap<Object, u64>,
    /// When the key of a cluster last ran.
    ran: BTreeMap<(&'static str, String), u64>,
    clock: u64,
    pub(super) violations: Vec<String>,
}

/// Where a read began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Began {
    high: u64,
    /// The last state that was noted: an answer of the server is not older.
    known: u64,
}

impl Truth {
    fn of(&mut self, object: &Object) -> &mut History {
        self.objects.entry(object.clone()).or_default()
    }

    /// A write begins; the answer is when.
    pub(super) fn begin_write(&mut self, object: &Object) -> u64 {
        self.of(object).pending += 1;
        self.clock += 1;
        self.clock
    }

    /// A write ended: with the object at this version, without it (its last version), or with nothing.
    pub(super) fn end_write(&mut self, object: &Object, outcome: Option<(u64, bool, bool)>) {
        let history = self.of(object);
        history.pending -= 1;
        if let Some((version, there, own)) = outcome {
            let place = 2 * version + u64::from(!there);
            history.states.push(State { place, own, there });
            history.states.sort_by_key(|state| state.place);
        }
    }

    /// An object was changed by others, in a write that began then. One that is no longer ours is compared in the
    /// end only: if it came and went while the watch was in trouble, no store ever knew of it, and nobody is woken.
    pub(super) fn changed(&mut self, object: &Object, began: u64, is: bool) {
        if is {
            self.dirty.insert(object.clone(), began);
        } else {
            self.dirty.remove(object);
        }
    }

    /// The key of a cluster runs.
    pub(super) fn runs(&mut self, namespace: &'static str, cluster: String) {
        self.clock += 1;
        self.ran.insert((namespace, cluster), self.clock);
    }

    /// The last version of an object that is known to be there.
    pub(super) fn last(&self, object: &Object) -> Option<(u64, bool)> {
        let last = self.objects.get(object)?.states.last()?;
        last.there.then_some((last.place / 2, last.own))
    }

    /// A read begins.
    pub(super) fn begin_read(&mut self, object: &Object) -> Began {
        let history = self.of(object);
        Began {
            high: history.high,
            known: history.states.last().map_or(0, |state| state.place),
        }
    }

    /// We wrote this ourselves, and have said so.
    pub(super) fn wrote(&mut self, object: &Object, version: u64) {
        let history = self.of(object);
        history.high = history.high.max(2 * version);
    }

    /// A read of one object ended.
    pub(super) fn end_read(&mut self, object: &Object, began: Began, source: ReadSource, version: Option<u64>) {
        let least = match source {
            ReadSource::Cache => began.high,
            _ => began.high.max(began.known),
        };
        let history = self.of(object);
        let place = match version {
            Some(version) => Some(2 * version),
            None if least == 0 => Some(0),
            None => {
                let states = history.states.iter();
                let absent = states.filter(|state| !state.there && state.place >= least);
                absent.map(|state| state.place).next()
            }
        };
        match place {
            Some(place) if place >= least => history.high = history.high.max(place),
            None if history.pending > 0 => {}
            _ => {
                let line = format!("{object:?}: {source:?} said {version:?}, not older than {least} was due");
                self.violations.push(line);
            }
        }
    }

    /// A list of our objects ended without this one.
    pub(super) fn not_listed(&mut self, object: &Object, began: Began) {
        let history = self.of(object);
        let elsewhere = |state: &State| !state.own && state.place >= began.high;
        let excused = began.high == 0 || history.pending > 0 || history.states.iter().any(elsewhere);
        if !excused {
            let line = format!("{object:?}: not listed, though {} was told before", began.high);
            self.violations.push(line);
        }
    }

    /// Every object that was ever written.
    pub(super) fn known(&self) -> Vec<Object> {
        self.objects.keys().cloned().collect()
    }

    /// Keys that did not run after what they own was changed.
    pub(super) fn lost(&self) -> Vec<String> {
        let late = self.dirty.iter().filter(|(object, at)| {
            let ran = self.ran.get(&(object.1, cluster(object)));
            ran.is_none_or(|ran| ran < *at)
        });
        late.map(|(object, at)| {
            let last = self.objects.get(object).and_then(|history| history.states.last());
            let ran = self.ran.get(&(object.1, cluster(object)));
            format!("the owner of {object:?} ran at {ran:?}, not after {at}; last {last:?}")
        })
        .collect()
    }
}

#[test]
fn what_goes_back_in_time_is_found() {
    let object: Object = (Kind::ConfigMap, "n", "a".into());
    let mut truth = Truth::default();
    let write = |truth: &mut Truth, outcome| {
        truth.begin_write(&object);
        truth.end_write(&object, Some(outcome));
    };
    write(&mut truth, (10, true, true));
    let early = truth.begin_read(&object);
    truth.end_read(&object, early, ReadSource::Cache, Some(10));
    write(&mut truth, (10, false, false));
    let began = truth.begin_read(&object);
    truth.end_read(&object, began, ReadSource::Live, None);
    assert_eq!(truth.violations, Vec::<String>::new());
    let began = truth.begin_read(&object);
    truth.end_read(&object, began, ReadSource::Cache, Some(10));
    assert_eq!(truth.violations.len(), 1, "what was told to be gone is back");
    write(&mut truth, (20, true, true));
    let began = truth.begin_read(&object);
    truth.end_read(&object, began, ReadSource::Bypass, None);
    assert_eq!(truth.violations.len(), 2, "the server does not forget");
}
