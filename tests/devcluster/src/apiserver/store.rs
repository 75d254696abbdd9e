//! Every object in one ordered map, under one revision counter, with a ring of the last events.
//!
//! A write is a compare-and-set against the version that the writer saw, so the rules of the registry can take their time (and wait in
//! fault hooks) without holding the lock. Every commit makes exactly one event, so revisions are dense and the ring is indexed by them.
//! The state at an older revision is the present one with the later events undone; that is all a continue token needs.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Map, Value, json};
use tokio::sync::watch;

/// Where an object lives. The order of keys is the order of lists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    /// The stored resource: `pods`, `statefulsets.apps`.
    pub(super) resource: Arc<str>,
    /// Empty for cluster-scoped objects.
    pub(super) namespace: String,
    pub(super) name: String,
}

/// A stored object; its value carries `resource_version` in `metadata`.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) key: Key,
    pub(super) resource_version: u64,
    pub(super) value: Value,
}

/// What a commit did to its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Added,
    Modified,
    Deleted,
}

/// One commit.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) resource_version: u64,
    pub(super) change: Change,
    /// The object after the commit; of a deletion, its last state with the deletion's version.
    pub(super) object: Arc<Object>,
    pub(super) previous: Option<Arc<Object>>,
}

/// The history that was asked for is forgotten; what is left begins after this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("history begins after {floor}")]
pub(super) struct Forgotten {
    pub(super) floor: u64,
}

/// The object is not as the writer saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the object has changed since it was read")]
pub(super) struct Stale;

#[derive(Debug)]
struct State {
    objects: BTreeMap<Key, Arc<Object>>,
    revision: u64,
    /// The events of revisions `floor + 1 ..= revision`.
    ring: VecDeque<Arc<Event>>,
    floor: u64,
}

/// The store.
#[derive(Debug)]
pub(super) struct Store {
    state: Mutex<State>,
    capacity: usize,
    revision: watch::Sender<u64>,
}

/// Objects at one revision.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) objects: Vec<Arc<Object>>,
    pub(super) revision: u64,
}

impl Store {
    /// An empty store that remembers `capacity` events.
    pub(super) fn new(capacity: usize) -> Self {
        let state = State {
            objects: BTreeMap::new(),
            revision: 1,
            ring: VecDeque::new(),
            floor: 1,
        };
        Self {
            state: Mutex::new(state),
            capacity: capacity.max(1),
            revision: watch::Sender::new(1),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The revision of the last commit.
    pub(super) fn revision(&self) -> u64 {
        self.state().revision
    }

    /// Resolves to new revisions as they come.
    pub(super) fn revisions(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Object>> {
        self.state().objects.get(key).cloned()
    }

    /// All objects of a resource, in key order; `namespace` narrows to one.
    pub(super) fn list(&self, resource: &Arc<str>, namespace: Option<&str>) -> Snapshot {
        let state = self.state();
        Snapshot {
            objects: state
                .range(resource, namespace)
                .map(|(_, object)| Arc::clone(object))
                .collect(),
            revision: state.revision,
        }
    }

    /// As [`Store::list`], at an older revision. A revision to come is the present.
    pub(super) fn list_at(
        &self,
        resource: &Arc<str>,
        namespace: Option<&str>,
        revision: u64,
    ) -> Result<Snapshot, Forgotten> {
        let state = self.state();
        if revision < state.floor {
            return Err(Forgotten { floor: state.floor });
        }
        let mut objects: BTreeMap<&Key, &Arc<Object>> = state.range(resource, namespace).collect();
        for event in state.ring.iter().rev().take_while(|e| e.resource_version > revision) {
            let key = &event.object.key;
            if key.resource != *resource || namespace.is_some_and(|n| n != key.namespace) {
                continue;
            }
            match &event.previous {
                Some(previous) => objects.insert(key, previous),
                None => objects.remove(key),
            };
        }
        Ok(Snapshot {
            objects: objects.into_values().cloned().collect(),
            revision: revision.min(state.revision),
        })
    }

    /// Up to `limit` events after `cursor`, of all resources.
    pub(super) fn events_after(&self, cursor: u64, limit: usize) -> Result<Vec<Arc<Event>>, Forgotten> {
        let state = self.state();
        if cursor < state.floor {
            return Err(Forgotten { floor: state.floor });
        }
        let skip = (cursor - state.floor) as usize;
        Ok(state.ring.iter().skip(skip).take(limit).cloned().collect())
    }

    /// Stores a new object. `Stale` where one with that key exists.
    pub(super) fn create(&self, key: Key, value: Value) -> Result<Arc<Object>, Stale> {
        let mut state = self.state();
        if state.objects.contains_key(&key) {
            return Err(Stale);
        }
        let object = state.next(key, value);
        state.objects.insert(object.key.clone(), Arc::clone(&object));
        self.commit(state, Change::Added, &object, None);
        Ok(object)
    }

    /// Replaces an object that is still as `seen`.
    pub(super) fn update(&self, seen: &Object, value: Value) -> Result<Arc<Object>, Stale> {
        let mut state = self.state();
        let current = state.unchanged(seen)?;
        let object = state.next(seen.key.clone(), value);
        state.objects.insert(object.key.clone(), Arc::clone(&object));
        self.commit(state, Change::Modified, &object, Some(current));
        Ok(object)
    }

    /// Removes an object that is still as `seen`.
    pub(super) fn delete(&self, seen: &Object) -> Result<Arc<Object>, Stale> {
        let mut state = self.state();
        let current = state.unchanged(seen)?;
        state.objects.remove(&seen.key);
        let last = state.next(seen.key.clone(), current.value.clone());
        self.commit(state, Change::Deleted, &last, Some(current));
        Ok(last)
    }

    /// Forgets all history: older watches and pages get 410 from now on.
    pub(super) fn compact(&self) {
        let mut state = self.state();
        state.ring.clear();
        state.floor = state.revision;
    }

    fn commit(
        &self,
        mut state: MutexGuard<'_, State>,
        change: Change,
        object: &Arc<Object>,
        previous: Option<Arc<Object>>,
    ) {
        if state.ring.len() >= self.capacity {
            state.ring.pop_front();
            state.floor += 1;
        }
        state.ring.push_back(Arc::new(Event {
            resource_version: object.resource_version,
            change,
            object: Arc::clone(object),
            previous,
        }));
        let revision = state.revision;
        drop(state);
        // Never backwards: another commit may have come between.
        self.revision.send_if_modified(|known| {
            let newer = revision > *known;
            *known = revision.max(*known);
            newer
        });
    }
}

impl State {
    fn range<'a>(
        &'a self,
        resource: &'a Arc<str>,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Object>)> {
        let from = Key {
            resource: Arc::clone(resource),
            namespace: namespace.unwrap_or_default().to_owned(),
            name: String::new(),
        };
        self.objects
            .range(from..)
            .take_while(move |(key, _)| key.resource == *resource && namespace.is_none_or(|n| n == key.namespace))
    }

    fn unchanged(&self, seen: &Object) -> Result<Arc<Object>, Stale> {
        self.objects
            .get(&seen.key)
            .filter(|current| current.resource_version == seen.resource_version)
            .cloned()
            .ok_or(Stale)
    }

    /// The object under the next revision.
    fn next(&mut self, key: Key, mut value: Value) -> Arc<Object> {
        self.revision += 1;
        set_resource_version(&mut value, self.revision);
        Arc::new(Object {
            key,
            resource_version: self.revision,
            value,
        })
    }
}

/// Writes `metadata.resourceVersion`.
pub(super) fn set_resource_version(value: &mut Value, revision: u64) {
    if let Value::Object(object) = value
        && let Value::Object(metadata) = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()))
    {
        metadata.insert("resourceVersion".into(), json!(revision.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key {
            resource: "configmaps".into(),
            namespace: "n".into(),
            name: name.into(),
        }
    }

    fn names(snapshot: &Snapshot) -> Vec<&str> {
        snapshot.objects.iter().map(|o| o.key.name.as_str()).collect()
    }

    #[test]
    fn a_write_against_an_older_version_changes_nothing() {
        let store = Store::new(10);
        let first = store.create(key("a"), json!({})).unwrap();
        let second = store.update(&first, json!({"data": {}})).unwrap();
        assert_eq!(store.update(&first, json!({})).err(), Some(Stale));
        assert_eq!(store.delete(&first).err(), Some(Stale));
        assert_eq!(store.create(key("a"), json!({})).err(), Some(Stale));
        assert_eq!(store.revision(), second.resource_version);
    }

    #[test]
    fn an_older_revision_lists_what_was_there_then() {
        let store = Store::new(10);
        let a = store.create(key("a"), json!({"v": 1})).unwrap();
        let then = store.create(key("b"), json!({})).unwrap().resource_version;
        store.create(key("c"), json!({})).unwrap();
        store.update(&a, json!({"v": 2})).unwrap();
        let b = store.get(&key("b")).unwrap();
        store.delete(&b).unwrap();
        let old = store.list_at(&"configmaps".into(), Some("n"), then).unwrap();
        assert_eq!(names(&old), ["a", "b"]);
        assert_eq!(old.objects[0].value["v"], 1);
        assert_eq!(names(&store.list(&"configmaps".into(), None)), ["a", "c"]);
    }

    #[test]
    fn a_full_ring_forgets_its_oldest_events_and_says_so() {
        let store = Store::new(2);
        for name in ["a", "b", "c"] {
            store.create(key(name), json!({})).unwrap();
        }
        assert_eq!(store.events_after(1, 10).err(), Some(Forgotten { floor: 2 }));
        assert_eq!(store.events_after(2, 10).unwrap().len(), 2);
        assert!(store.list_at(&"configmaps".into(), None, 1).is_err());
    }

    #[test]
    fn a_deletion_has_a_version_of_its_own() {
        let store = Store::new(10);
        let a = store.create(key("a"), json!({})).unwrap();
        store.delete(&a).unwrap();
        let events = store.events_after(a.resource_version, 10).unwrap();
        assert_eq!(events[0].change, Change::Deleted);
        assert_eq!(events[0].object.value["metadata"]["resourceVersion"], "3");
    }
}
