//! Objects of one kind by namespace and name, and how new a read of each has to be.
//!
//! A read never goes back in time (K51, K52, SW5): for each object that this process wrote, or was told of by
//! the server ahead of the watch, the store keeps a *floor*, the resourceVersion that an answer must have at
//! least. The watch clears floors as it catches up. A relist marks what it sees and sweeps the rest; there is
//! never a second copy. Shards by namespace keep readers and the watch out of each other's way; a lock is held
//! for one look-up or one copy of pointers.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicI64, Ordering},
    },
};

use tokio::sync::Notify;

use super::{meta::Meta, select::Select, text::intern, views::View};

const SHARDS: usize = 16;
/// Floors per namespace; the watch clears them within moments, so this many means that it does not.
const FLOORS: usize = 4096;

/// A store.
#[derive(Debug)]
pub(super) struct Store<V> {
    shards: [RwLock<HashMap<Arc<str>, Space<V>>>; SHARDS],
    seed: RandomState,
    objects: AtomicI64,
    bytes: AtomicI64,
    /// Woken when a floor is cleared.
    caught_up: Notify,
}

#[derive(Debug)]
struct Space<V> {
    objects: BTreeMap<Arc<str>, Entry<V>>,
    floors: HashMap<Arc<str>, Floor>,
    /// More floors were needed than are kept: nothing is certain here until the next complete list.
    overflown: bool,
}

#[derive(Debug)]
struct Entry<V> {
    object: Arc<V>,
    mark: u64,
    bytes: i64,
}

/// How new an answer has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Floor {
    version: u128,
    /// It comes from a write of our own.
    own: bool,
    /// The server said that the object is gone.
    gone: bool,
}

/// What a store has to say about an object.
#[derive(Debug)]
pub(super) enum Found<V> {
    /// This, and it is new enough.
    Here(Arc<V>),
    /// Nothing; that does not mean that there is none.
    Nothing,
    /// What is there is older than it may be.
    Stale,
}

/// Chosen objects, and the names for which the store is not new enough.
pub(super) type Listed<V> = (Vec<Arc<V>>, Vec<Arc<str>>);

/// What became of an object that a watch delivered.
#[derive(Debug)]
pub(super) struct Applied<V> {
    /// The object.
    pub(super) object: Arc<V>,
    /// The state before.
    pub(super) before: Option<Arc<V>>,
    /// It is exactly what we wrote ourselves.
    pub(super) echo: bool,
    /// It is older than what is there and was left out.
    pub(super) outdated: bool,
}

impl<V> Default for Space<V> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            floors: HashMap::new(),
            overflown: false,
        }
    }
}

impl<V: View> Default for Store<V> {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            seed: RandomState::new(),
            objects: AtomicI64::new(0),
            bytes: AtomicI64::new(0),
            caught_up: Notify::new(),
        }
    }
}

/// Bytes of an entry: the view, its two counters and its slot in the tree beside the name.
fn size<V: View>(object: &V) -> i64 {
    let slot = size_of::<V>() + 2 * size_of::<usize>() + size_of::<Entry<V>>() + size_of::<Arc<str>>();
    // Nodes of a B-tree are filled by about three quarters.
    (slot + slot / 8 + object.bytes()) as i64
}

impl<V: View> Store<V> {
    fn shard(&self, namespace: &str) -> &RwLock<HashMap<Arc<str>, Space<V>>> {
        &self.shards[self.seed.hash_one(namespace) as usize % SHARDS]
    }

    fn read(&self, namespace: &str) -> RwLockReadGuard<'_, HashMap<Arc<str>, Space<V>>> {
        self.shard(namespace).read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, namespace: &str) -> RwLockWriteGuard<'_, HashMap<Arc<str>, Space<V>>> {
        self.shard(namespace).write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Objects and bytes.
    pub(super) fn totals(&self) -> (u64, u64) {
        let count = |value: &AtomicI64| value.load(Ordering::Relaxed).max(0) as u64;
        (count(&self.objects), count(&self.bytes))
    }

    // === reads ===

    /// Looks an object up.
    pub(super) fn get(&self, namespace: &str, name: &str) -> Found<V> {
        let shard = self.read(namespace);
        let Some(space) = shard.get(namespace) else {
            return Found::Nothing;
        };
        let entry = space.objects.get(name);
        if space.overflown {
            return Found::Stale;
        }
        match (entry, space.floors.get(name)) {
            (Some(entry), None) => Found::Here(Arc::clone(&entry.object)),
            (Some(entry), Some(floor)) if floor.allows(entry.object.meta()) => Found::Here(Arc::clone(&entry.object)),
            (None, None) => Found::Nothing,
            (None, Some(floor)) if floor.gone => Found::Nothing,
            _ => Found::Stale,
        }
    }

    /// The chosen objects by name, and the names for which the store is not new enough; `None` if that is so
    /// for the whole namespace.
    pub(super) fn list(&self, namespace: &str, select: &Select) -> Option<Listed<V>> {
        let shard = self.read(namespace);
        let Some(space) = shard.get(namespace) else {
            return Some((Vec::new(), Vec::new()));
        };
        if space.overflown {
            return None;
        }
        let stale: Vec<Arc<str>> = space
            .floors
            .iter()
            .filter(|(name, floor)| match space.objects.get(&***name) {
                Some(entry) => !floor.allows(entry.object.meta()),
                None => !floor.gone,
            })
            .map(|(name, _)| Arc::clone(name))
            .collect();
        let objects = space
            .objects
            .values()
            .map(|entry| &entry.object)
            .filter(|object| select.matches(object.meta()))
            .cloned()
            .collect();
        Some((objects, stale))
    }

    /// Waits until the watch has caught up with each of these names. Has no deadline of its own.
    pub(super) async fn until_caught_up(&self, namespace: &str, names: &[Arc<str>]) {
        loop {
            let cleared = self.caught_up.notified();
            tokio::pin!(cleared);
            cleared.as_mut().enable();
            let waiting = {
                let shard = self.read(namespace);
                shard.get(namespace).is_some_and(|space| {
                    names.iter().any(|name| {
                        let entry = space.objects.get(name);
                        space.floors.get(name).is_some_and(|floor| match entry {
                            Some(entry) => !floor.allows(entry.object.meta()),
                            None => !floor.gone,
                        })
                    })
                })
            };
            if !waiting {
                return;
            }
            cleared.await;
        }
    }

    // === floors ===

    /// An object was written by us, or read from the server, at this version.
    pub(super) fn raise(&self, namespace: &str, name: &str, resource_version: &str, own: bool) {
        // A version that is no number cannot be compared (K51): no answer of the store is certain then.
        let version = resource_version.parse().unwrap_or(u128::MAX);
        let mut shard = self.write(namespace);
        let space = shard.entry(intern(namespace)).or_default();
        let held = space.objects.get(name).and_then(|entry| entry.object.meta().version());
        if held.is_some_and(|held| held >= version) {
            return;
        }
        space.raise(
            name,
            Floor {
                version,
                own,
                gone: false,
            },
        );
    }

    /// The server says that there is no such object: what the store still holds of it is not handed out.
    pub(super) fn absent(&self, namespace: &str, name: &str) {
        let mut shard = self.write(namespace);
        let Some(space) = shard.get_mut(namespace) else { return };
        match space.objects.get(name).map(|entry| entry.object.meta().version()) {
            None => {
                space.floors.remove(name);
            }
            Some(held) => space.raise(
                name,
                Floor {
                    version: held.map_or(u128::MAX, |held| held.saturating_add(1)),
                    own: false,
                    gone: true,
                },
            ),
        }
        drop(shard);
        self.caught_up.notify_waiters();
    }

    /// The object is not one that the watch delivers: no event will ever clear its floor.
    pub(super) fn release(&self, namespace: &str, name: &str) {
        let mut shard = self.write(namespace);
        if let Some(space) = shard.get_mut(namespace) {
            space.floors.remove(name);
        }
        drop(shard);
        self.caught_up.notify_waiters();
    }

    // === what the watch delivers ===

    /// Takes an object. Within a list (`mark`) it is taken as it is; an event is left out if it is older than
    /// what is there.
    pub(super) fn apply(&self, object: V, mark: Option<u64>) -> Applied<V> {
        let object = Arc::new(object);
        let meta = object.meta();
        let namespace = Arc::clone(&meta.namespace);
        let bytes = size(&*object);
        let mut shard = self.write(&namespace);
        let space = shard.entry(namespace).or_default();
        let version = meta.version();
        let held = space.objects.get_mut(&meta.name);
        if let (Some(held), None) = (&held, mark) {
            let same = held.object.meta();
            if same.uid == meta.uid && same.version() > version && version.is_some() {
                return Applied {
                    object: Arc::clone(&object),
                    before: Some(Arc::clone(&held.object)),
                    echo: false,
                    outdated: true,
                };
            }
        }
        let floor = space.floors.get(&meta.name).copied();
        let echo = floor.is_some_and(|floor| floor.own && Some(floor.version) == version);
        let cleared = floor.is_some_and(|floor| floor.allows(meta));
        if cleared {
            space.floors.remove(&meta.name);
        }
        let before = if let Some(held) = held {
            self.bytes.fetch_add(bytes - held.bytes, Ordering::Relaxed);
            held.bytes = bytes;
            held.mark = mark.unwrap_or(held.mark);
            Some(std::mem::replace(&mut held.object, Arc::clone(&object)))
        } else {
            self.objects.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
            let name = Arc::clone(&meta.name);
            let entry = Entry {
                object: Arc::clone(&object),
                // Outside a list every mark is new enough, for the next one is higher.
                mark: mark.unwrap_or(0),
                bytes,
            };
            space.objects.insert(name, entry);
            None
        };
        drop(shard);
        if cleared {
            self.caught_up.notify_waiters();
        }
        Applied {
            object,
            before,
            echo,
            outdated: false,
        }
    }

    /// Removes an object that a watch says is deleted; `false` if what is there is a later one of that name.
    pub(super) fn remove(&self, gone: &Meta) -> bool {
        let mut shard = self.write(&gone.namespace);
        let Some(space) = shard.get_mut(&gone.namespace) else {
            return false;
        };
        let held = space.objects.get(&gone.name);
        if held.is_some_and(|held| {
            let held = held.object.meta();
            held.uid != gone.uid && held.version() > gone.version()
        }) {
            return false;
        }
        let removed = space.objects.remove(&gone.name);
        if space
            .floors
            .get(&gone.name)
            .is_some_and(|floor| floor.gone || gone.version().is_none_or(|version| version >= floor.version))
        {
            space.floors.remove(&gone.name);
        }
        drop(shard);
        let was_there = removed.is_some();
        self.forget(removed);
        self.caught_up.notify_waiters();
        was_there
    }

    fn forget(&self, removed: Option<Entry<V>>) {
        if let Some(removed) = removed {
            self.objects.fetch_sub(1, Ordering::Relaxed);
            self.bytes.fetch_sub(removed.bytes, Ordering::Relaxed);
        }
    }

    /// Ends a list: what it did not mark is gone, and was deleted while nobody watched (K14).
    pub(super) fn sweep(&self, scope: Option<&str>, mark: u64) -> Vec<Arc<V>> {
        let mut gone = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            for (namespace, space) in shard.iter_mut() {
                if scope.is_some_and(|scope| scope != &**namespace) {
                    continue;
                }
                space.overflown = false;
                let names: Vec<Arc<str>> = space
                    .objects
                    .iter()
                    .filter(|(_, entry)| entry.mark != mark)
                    .map(|(name, _)| Arc::clone(name))
                    .collect();
                for name in names {
                    let removed = space.objects.remove(&name);
                    // A floor of what we wrote after the list was taken stays; the event is on its way.
                    if space.floors.get(&name).is_some_and(|floor| floor.gone) {
                        space.floors.remove(&name);
                    }
                    gone.extend(removed.as_ref().map(|removed| Arc::clone(&removed.object)));
                    self.forget(removed);
                }
            }
            shard.retain(|_, space| !space.objects.is_empty() || !space.floors.is_empty());
        }
        self.caught_up.notify_waiters();
        gone
    }
}

impl<V> Space<V> {
    fn raise(&mut self, name: &str, floor: Floor) {
        if let Some(known) = self.floors.get_mut(name) {
            if floor.version > known.version || (floor.gone && floor.version == known.version) {
                *known = floor;
            }
        } else if self.floors.len() >= FLOORS {
            self.overflown = true;
        } else {
            self.floors.insert(name.into(), floor);
        }
    }
}

impl Floor {
    fn allows(self, meta: &Meta) -> bool {
        meta.version().is_some_and(|version| version >= self.version)
    }
}
