//! What really happened, and whether an answer can be true.
//!
//! Every state of an object has a place in one order: an object at resourceVersion `v` stands at `2 v`, its
//! absence after `v` at `2 v + 1`. A key's high-water is the highest place that a read has told of so far. A
//! read that begins at some high-water must not tell of anything below it.
//!
//! An owner has to run after what it owns was changed by others. Of an object that comes and goes while its watch is in
//! trouble no store ever knew, and there is nothing for its owner to do: the server is as it was when it last ran. So that
//! an object goes, or leaves its owner, counts where we gave it to that owner, or a read was answered from a store that had
//! it since: from then on the cache has to notice that it is gone.

use std::collections::{BTreeMap, HashMap};

use neo4j_operator::cache::ReadSource;
use neo4j_operator_shared::Kind;

use crate::story::{self, Story};

/// Kind, namespace, name.
pub type Object = (Kind, &'static str, String);

/// What a write has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// The object at this version; the cluster that it belongs to, while it is one of ours.
    There(u64, Option<String>),
    /// Nothing, where it was at this version.
    Gone(u64),
}

/// Whose hand it was, for whoever the object belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    /// Somebody else's: its owner has to look.
    Theirs,
    /// Our own, which wakes nobody.
    Ours,
    /// Somebody else's, of an object whose owner is gone.
    OfOrphan,
}

/// A state of an object.
#[derive(Clone, Debug)]
struct State {
    place: u64,
    there: bool,
    owner: Option<String>,
}

#[derive(Debug, Default)]
struct History {
    states: Vec<State>,
    /// Writes whose outcome is not noted yet.
    pending: u32,
    high: u64,
    /// Where it was given to the one that it belongs to.
    given: u64,
    /// A store has had it since, or we gave it: that it is taken away has to be noticed.
    kept: bool,
}

/// What is known.
#[derive(Debug)]
pub struct Truth {
    story: Story,
    objects: HashMap<Object, History>,
    /// Who has to run, because of which object.
    dirty: BTreeMap<Object, Due>,
    /// When the key of a cluster last ran.
    ran: BTreeMap<(&'static str, String), u64>,
    clock: u64,
    pub violations: Vec<String>,
}

/// An owner has to run.
#[derive(Debug)]
struct Due {
    owner: String,
    since: u64,
    /// Because it has the object, not because it has lost it.
    has: bool,
}

/// Where a read began.
#[derive(Clone, Copy, Debug)]
pub struct Began {
    high: u64,
    /// The last state that was noted: an answer of the server is not older.
    known: u64,
}

impl State {
    fn of(left: &Left) -> Self {
        match left {
            Left::There(version, owner) => Self {
                place: 2 * version,
                there: true,
                owner: owner.clone(),
            },
            Left::Gone(version) => Self {
                place: 2 * version + 1,
                there: false,
                owner: None,
            },
        }
    }
}

impl Truth {
    pub fn new(story: &Story) -> Self {
        Self {
            story: story.clone(),
            objects: HashMap::new(),
            dirty: BTreeMap::new(),
            ran: BTreeMap::new(),
            clock: 0,
            violations: Vec::new(),
        }
    }

    fn violated(&mut self, object: &Object, line: &str) {
        let story = self.story.about(&[story::object(object)]);
        self.violations.push(format!("{object:?}: {line}{story}"));
    }

    fn of(&mut self, object: &Object) -> &mut History {
        self.objects.entry(object.clone()).or_default()
    }

    /// A write begins; the answer is when.
    pub fn begin_write(&mut self, object: &Object) -> u64 {
        self.of(object).pending += 1;
        self.clock += 1;
        self.clock
    }

    /// A write that began then ended, and that is what it left.
    pub fn end_write(&mut self, object: &Object, began: u64, left: &Left, hand: Hand) {
        let history = self.of(object);
        history.pending -= 1;
        let before = history.states.last().cloned();
        let state = State::of(left);
        let kept = history.kept;
        if before.as_ref().is_none_or(|before| before.owner != state.owner) {
            history.given = state.place;
            history.kept = hand == Hand::Ours;
        }
        history.states.push(state.clone());
        self.story
            .tell(story::object(object), format!("{hand:?}: {left:?}, begun at {began}"));
        let was = before.and_then(|before| before.owner).filter(|_| kept);
        let has = state.owner.is_some();
        match (hand, state.owner.or(was)) {
            (Hand::Theirs, Some(owner)) => {
                let due = Due {
                    owner,
                    since: began,
                    has,
                };
                self.dirty.insert(object.clone(), due);
            }
            // What we give to another has come and gone for whoever had not yet heard of it.
            (Hand::Ours, owner) => {
                let given = |due: &mut Due| due.has && Some(&due.owner) != owner.as_ref();
                if self.dirty.get_mut(object).is_some_and(given) {
                    self.dirty.remove(object);
                }
            }
            _ => drop(self.dirty.remove(object)),
        }
    }

    /// A write was refused: it left what was there.
    pub fn no_write(&mut self, object: &Object, error: &kube::Error) {
        self.of(object).pending -= 1;
        self.violations
            .push(format!("{object:?} could not be written: {error}"));
    }

    /// The key of a cluster runs.
    pub fn runs(&mut self, namespace: &'static str, cluster: String, trigger: &str) {
        self.clock += 1;
        let line = format!("runs at {}: {trigger}", self.clock);
        self.story.tell(story::key(namespace, &cluster), line);
        self.ran.insert((namespace, cluster), self.clock);
    }

    /// The last version of an object that is there, and whose it is.
    pub fn last(&self, object: &Object) -> Option<(u64, Option<String>)> {
        let last = self.objects.get(object)?.states.last()?;
        last.there.then(|| (last.place / 2, last.owner.clone()))
    }

    /// A read begins.
    pub fn begin_read(&mut self, object: &Object) -> Began {
        let history = self.of(object);
        Began {
            high: history.high,
            known: history.states.last().map_or(0, |state| state.place),
        }
    }

    /// We wrote this ourselves, and have said so.
    pub fn wrote(&mut self, object: &Object, version: u64) {
        let history = self.of(object);
        history.high = history.high.max(2 * version);
    }

    /// A read of one object ended.
    pub fn end_read(&mut self, object: &Object, began: Began, source: ReadSource, version: Option<u64>) {
        let least = match source {
            ReadSource::Cache => began.high,
            _ => began.high.max(began.known),
        };
        if source == ReadSource::Cache {
            self.story
                .tell(story::object(object), format!("read from a store: {version:?}"));
        }
        let history = self.of(object);
        if let (ReadSource::Cache, Some(version)) = (source, version) {
            history.kept |= 2 * version >= history.given;
        }
        let place = match version {
            Some(version) => Some(2 * version),
            None if least == 0 => Some(0),
            None => {
                let mut absent = history.states.iter().filter(|state| !state.there);
                absent.find(|state| state.place >= least).map(|state| state.place)
            }
        };
        match place {
            Some(place) if place >= least => history.high = history.high.max(place),
            None if history.pending > 0 => {}
            _ => {
                let line = format!("{source:?} said {version:?}, not older than {least} was due");
                self.violated(object, &line);
            }
        }
    }

    /// A list of our objects that is not a store's alone ended with this one.
    pub fn listed(&mut self, object: &Object, began: Began, version: u64) {
        let history = self.of(object);
        if 2 * version >= began.high {
            history.high = history.high.max(2 * version);
        } else {
            let line = format!("listed at {version}, though {} was told before", began.high);
            self.violated(object, &line);
        }
    }

    /// A list of our objects ended without this one.
    pub fn not_listed(&mut self, object: &Object, began: Began) {
        let history = self.of(object);
        let elsewhere = |state: &State| state.owner.is_none() && state.place >= began.high;
        let excused = began.high == 0 || history.pending > 0 || history.states.iter().any(elsewhere);
        if !excused {
            let line = format!("not listed, though {} was told before", began.high);
            self.violated(object, &line);
        }
    }

    /// Every object that was ever written.
    pub fn known(&self) -> Vec<Object> {
        let mut known: Vec<Object> = self.objects.keys().cloned().collect();
        known.sort();
        known
    }

    /// Keys that did not run after what they own was changed.
    pub fn lost(&self) -> Vec<String> {
        let late = self.dirty.iter().filter(|(object, due)| {
            let ran = self.ran.get(&(object.1, due.owner.clone()));
            ran.is_none_or(|ran| *ran < due.since)
        });
        let line = |(object, due): (&Object, &Due)| {
            let story = self
                .story
                .about(&[story::object(object), story::key(object.1, &due.owner)]);
            format!("{object:?}: {due:?} has not run since{story}")
        };
        late.map(line).collect()
    }
}

fn map() -> Object {
    (Kind::ConfigMap, "n", "a".into())
}

fn write(truth: &mut Truth, left: &Left) {
    let began = truth.begin_write(&map());
    truth.end_write(&map(), began, left, Hand::Theirs);
}

#[test]
fn what_goes_back_in_time_is_found() {
    let (object, mut truth) = (map(), Truth::new(&Story::begin()));
    write(&mut truth, &Left::There(10, Some("c".into())));
    let early = truth.begin_read(&object);
    truth.end_read(&object, early, ReadSource::Cache, Some(10));
    write(&mut truth, &Left::Gone(10));
    let began = truth.begin_read(&object);
    truth.end_read(&object, began, ReadSource::Live, None);
    assert_eq!(truth.violations, Vec::<String>::new());
    let began = truth.begin_read(&object);
    truth.end_read(&object, began, ReadSource::Cache, Some(10));
    assert_eq!(truth.violations.len(), 1, "what was told to be gone is back");
    write(&mut truth, &Left::There(20, None));
    let began = truth.begin_read(&object);
    truth.end_read(&object, began, ReadSource::Bypass, None);
    assert_eq!(truth.violations.len(), 2, "the server does not forget");
}

#[test]
fn an_owner_has_to_run_after_a_change_and_after_the_end_of_what_a_store_had() {
    let (object, mut truth) = (map(), Truth::new(&Story::begin()));
    write(&mut truth, &Left::There(10, Some("c".into())));
    assert_eq!(truth.lost().len(), 1);
    truth.runs("n", "c".into(), "");
    assert_eq!(truth.lost(), Vec::<String>::new());
    write(&mut truth, &Left::Gone(10));
    assert_eq!(truth.lost(), Vec::<String>::new(), "no store is known to have had it");
    let began = truth.begin_write(&object);
    truth.end_write(&object, began, &Left::There(15, Some("c".into())), Hand::Ours);
    assert_eq!(truth.lost(), Vec::<String>::new(), "our own hand wakes nobody");
    write(&mut truth, &Left::Gone(15));
    assert_eq!(truth.lost().len(), 1, "what we made is gone");
    truth.runs("n", "c".into(), "");
    write(&mut truth, &Left::There(20, Some("c".into())));
    let began = truth.begin_read(&object);
    truth.end_read(&object, began, ReadSource::Cache, Some(20));
    write(&mut truth, &Left::Gone(20));
    assert_eq!(truth.lost().len(), 1);
}
