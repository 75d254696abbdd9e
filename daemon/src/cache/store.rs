//! Objects of one kind by namespace and name, and how new a read of each has to be.
//!
//! A read never goes back in time (K51, K52, SW5): for each object that this process wrote, or was told of by
//! the server ahead of the watch, the store keeps a *floor*, the resourceVersion that an answer must have at
//! least. The watch clears floors as it catches up. Where the server said that there is no such object, the
//! floor is a *tombstone*: whatever the store has, or gets, under that name may be from before, so it is asked
//! about again, until a list that began later is complete. Floors carry the tick at which they were set, and
//! reads the tick at which they began, so that an answer that was long on its way does not undo a later one.
//! What we have made ourselves carries its owner until the watch has shown it: if a later list does not have
//! it, somebody has deleted it before any event came, and nothing else would tell its owner.
//!
//! A relist marks what it sees and sweeps the rest; there is never a second copy. Shards by namespace keep
//! readers and the watch out of each other's way; a lock is held for one look-up or one copy of pointers.

use std::{
    borrow::Borrow,
    cmp::Ordering as Order,
    collections::{BTreeSet, HashMap},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{ident::Uid, meta::Meta, select::Select, text::intern, views::View, weight};
use crate::reconcile::Key;

const SHARDS: usize = 16;
/// A version that no object has.
const NEVER: u128 = u128::MAX;
/// Floors per namespace; the watch clears them within moments, so this many means that it does not.
const FLOORS: usize = 4096;
/// A watch that is in order delivers within this time; where floors are too many, older tombstones go first.
const DELIVERED: Duration = Duration::from_secs(60);

/// A store.
#[derive(Debug)]
pub(super) struct Store<V> {
    shards: [RwLock<HashMap<Arc<str>, Space<V>>>; SHARDS],
    seed: RandomState,
    objects: AtomicI64,
    bytes: AtomicI64,
    /// Counts floors as they are set.
    ticks: AtomicU64,
    /// Nothing is taken any more: another store has taken over.
    closed: AtomicBool,
    /// Woken when a floor is cleared.
    caught_up: Notify,
}

#[derive(Debug)]
struct Space<V> {
    objects: BTreeSet<Entry<V>>,
    floors: HashMap<Arc<str>, Floor>,
    /// More floors were needed than are kept: nothing is certain here until the next complete list.
    overflown: bool,
}

/// An object in its place; the object itself knows the name that it is ordered by.
#[derive(Debug)]
struct Entry<V> {
    object: Arc<V>,
    mark: u32,
    bytes: u32,
}

/// How new an answer has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Floor {
    /// The resourceVersion; of a tombstone one that no object has.
    version: u128,
    /// It comes from a write of our own.
    own: bool,
    /// The server said that the object is gone; or, with a version of its own, that it is not one that the
    /// watch delivers. What the store has of it from before is not handed out.
    gone: bool,
    /// Of two answers that were under way at once one said that it is gone, and nobody knows which is later.
    unsure: bool,
    /// Whose object it is, if we have written it and the watch has not shown it since.
    owner: Option<Key>,
    tick: u64,
    set: Instant,
}

/// What a store has to say about an object.
#[derive(Debug)]
pub(super) enum Found<V> {
    /// This, and it is new enough.
    Here(Arc<V>),
    /// Nothing; that does not mean that there is none.
    Nothing,
    /// What is there is older than it may be; the watch will bring it.
    Stale,
    /// The server said that there is no such object, and what is there may be from before.
    Doubtful,
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
    /// Whose it was when we wrote it, if the watch had not shown that yet.
    pub(super) written_for: Option<Key>,
}

/// What a complete list has shown to be gone.
#[derive(Debug)]
pub(super) struct Swept<V> {
    /// Objects that were in the store.
    pub(super) gone: Vec<Arc<V>>,
    /// Owners of what we had written, and no watch ever showed.
    pub(super) vanished: Vec<Key>,
}

impl<V: View> Entry<V> {
    fn name(&self) -> &str {
        self.object.meta().name()
    }
}

impl<V: View> Borrow<str> for Entry<V> {
    fn borrow(&self) -> &str {
        self.name()
    }
}

impl<V: View> PartialEq for Entry<V> {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl<V: View> Eq for Entry<V> {}

impl<V: View> PartialOrd for Entry<V> {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl<V: View> Ord for Entry<V> {
    fn cmp(&self, other: &Self) -> Order {
        self.name().cmp(other.name())
    }
}

impl<V> Default for Space<V> {
    fn default() -> Self {
        Self {
            objects: BTreeSet::new(),
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
            ticks: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            caught_up: Notify::new(),
        }
    }
}

/// Bytes of an entry: the view, its two counters and its slot in the tree, as the allocator rounds them.
fn size<V: View>(object: &V) -> u32 {
    // Nodes of a B-tree are filled by about two thirds, and some hold no entries but other nodes.
    let slot = 2 * size_of::<Entry<V>>();
    (weight::shared(size_of::<V>()) + slot + object.bytes()) as u32
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

    /// Objects and bytes, the tables of namespaces included.
    pub(super) fn totals(&self) -> (u64, u64) {
        let count = |value: &AtomicI64| value.load(Ordering::Relaxed).max(0) as u64;
        let table = |shard: &RwLock<HashMap<Arc<str>, Space<V>>>| {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            weight::table::<(Arc<str>, Space<V>)>(shard.capacity()) as u64
        };
        let tables: u64 = self.shards.iter().map(table).sum();
        (count(&self.objects), count(&self.bytes) + tables)
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
            (None, Some(floor)) if floor.gone && !floor.unsure => Found::Nothing,
            (_, Some(floor)) if floor.gone => Found::Doubtful,
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
                None => !floor.gone || floor.unsure,
            })
            .map(|(name, _)| Arc::clone(name))
            .collect();
        let objects = space
            .objects
            .iter()
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
                        let entry = space.objects.get(&**name);
                        space.floors.get(name).is_some_and(|floor| match entry {
                            // Of a tombstone no event says enough.
                            _ if floor.gone => false,
                            Some(entry) => !floor.allows(entry.object.meta()),
                            None => true,
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

    /// Shows the metadata of every object, a shard at a time.
    pub(super) fn each(&self, look: &mut dyn FnMut(&Meta)) {
        for shard in &self.shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            for space in shard.values() {
                space.objects.iter().for_each(|entry| look(entry.object.meta()));
            }
        }
    }

    /// Uid and resourceVersion of an object, whatever its floor.
    pub(super) fn peek(&self, namespace: &str, name: &str) -> Option<(Uid, Option<u128>)> {
        let shard = self.read(namespace);
        let meta = shard.get(namespace)?.objects.get(name)?.object.meta();
        Some((meta.uid(), meta.version()))
    }

    /// Moves every object into fresh memory, a namespace at a time, so that pages with few of them become free;
    /// a reader may still hold the old copy. The answer is in bytes of tables that had grown too large.
    pub(super) fn compact(&self) -> u64 {
        let mut saved = 0;
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            let before = shard.capacity();
            for space in shard.values_mut() {
                let old = std::mem::take(&mut space.objects);
                let moved = old.into_iter().map(|entry| {
                    let object = Arc::new((*entry.object).clone());
                    Entry { object, ..entry }
                });
                space.objects = moved.collect();
                let floors = space.floors.capacity();
                space.floors.shrink_to_fit();
                saved += (floors - space.floors.capacity()) * size_of::<(Arc<str>, Floor)>();
            }
            shard.shrink_to_fit();
            saved += (before - shard.capacity()) * size_of::<(Arc<str>, Space<V>)>();
        }
        saved as u64
    }

    // === floors ===

    /// The tick at which a read of the server begins.
    pub(super) fn tick(&self) -> u64 {
        self.ticks.load(Ordering::SeqCst)
    }

    fn floor(&self, version: u128, own: bool, gone: bool) -> Floor {
        Floor {
            version,
            own,
            gone,
            unsure: false,
            owner: None,
            tick: self.ticks.fetch_add(1, Ordering::SeqCst) + 1,
            set: Instant::now(),
        }
    }

    /// An object was read from the server at this version. `since` is the tick at which the read began.
    pub(super) fn raise(&self, namespace: &str, name: &str, version: Option<u128>, since: u64) {
        self.lift(namespace, name, version, Some(since), None);
    }

    /// We wrote an object, which belongs to `owner`: that is newer than whatever was read before.
    pub(super) fn wrote(&self, namespace: &str, name: &str, version: Option<u128>, owner: Option<Key>) {
        self.lift(namespace, name, version, None, owner);
    }

    fn lift(&self, namespace: &str, name: &str, version: Option<u128>, since: Option<u64>, owner: Option<Key>) {
        // A version that is no number cannot be compared (K51): no answer of the store is certain then.
        let version = version.unwrap_or(NEVER - 1);
        let mut shard = self.write(namespace);
        let space = shard.entry(intern(namespace)).or_default();
        if let (Some(known), Some(since)) = (space.floors.get_mut(name), since)
            && known.gone
            && known.tick > since
        {
            // Whichever of the two is later, nothing older than this is handed out.
            known.unsure = true;
            known.version = known.version.max(version);
            return;
        }
        let known = space.floors.get(name);
        let held = space.objects.get(name).and_then(|entry| entry.object.meta().version());
        let higher = known.is_some_and(|known| !known.gone && known.version >= version);
        if higher || (known.is_none() && held.is_some_and(|held| held >= version)) {
            return;
        }
        let floor = self.floor(version, since.is_none(), false);
        space.set(name, Floor { owner, ..floor });
    }

    /// The server says that there is no such object, to a read that began at `since`.
    pub(super) fn absent(&self, namespace: &str, name: &str, since: u64) {
        let mut shard = self.write(namespace);
        let space = shard.entry(intern(namespace)).or_default();
        let unsure = space.floors.get(name).is_some_and(|floor| floor.tick > since);
        let floor = self.floor(NEVER, false, true);
        space.set(name, Floor { unsure, ..floor });
        drop(shard);
        self.caught_up.notify_waiters();
    }

    /// The server says, to a read that began at `since`, that the object at this version is not one that the
    /// watch delivers: what the store has of it is from before, and no event may ever come.
    pub(super) fn outside(&self, namespace: &str, name: &str, version: Option<u128>, since: u64) {
        let version = version.unwrap_or(NEVER - 1);
        let mut shard = self.write(namespace);
        let space = shard.entry(intern(namespace)).or_default();
        match space.floors.get_mut(name) {
            Some(known) if known.gone && known.tick > since => {
                known.unsure = true;
                known.version = known.version.max(version);
            }
            Some(known) if !known.gone && known.version > version => {}
            _ => space.set(name, self.floor(version, false, true)),
        }
        drop(shard);
        self.caught_up.notify_waiters();
    }

    /// What we have written and the watch has not shown yet, with its version and its owner.
    pub(super) fn unseen(&self, look: &mut dyn FnMut(&str, &str, u128, &Key)) {
        for shard in &self.shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            for (namespace, space) in shard.iter() {
                for (name, floor) in &space.floors {
                    if let Some(owner) = &floor.owner {
                        look(namespace, name, floor.version, owner);
                    }
                }
            }
        }
    }

    /// Takes nothing more of its watch. When it returns, no delivery is under way.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        for shard in &self.shards {
            drop(shard.write().unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    // === what the watch delivers ===

    /// Takes an object. Within a list (`mark`) it is taken as it is; an event is left out if it is older than
    /// what is there.
    pub(super) fn apply(&self, object: V, mark: Option<u32>) -> Applied<V> {
        let object = Arc::new(object);
        let meta = object.meta();
        let namespace = Arc::clone(meta.namespace());
        let bytes = size(&*object);
        let mut shard = self.write(&namespace);
        let space = shard.entry(namespace).or_default();
        let version = meta.version();
        let held = space.objects.get(meta.name());
        let outdated = held.as_ref().is_some_and(|held| {
            let same = held.object.meta();
            mark.is_none() && same.version() > version && version.is_some() && same.uid() == meta.uid()
        });
        if outdated || self.is_closed() {
            return Applied {
                before: held.map(|held| Arc::clone(&held.object)),
                object: Arc::clone(&object),
                echo: false,
                outdated: true,
                written_for: None,
            };
        }
        let floor = space.floors.get_mut(meta.name());
        let echo = floor
            .as_ref()
            .is_some_and(|floor| floor.own && Some(floor.version) == version);
        let cleared = floor.as_ref().is_some_and(|floor| floor.allows(meta));
        let written_for = floor.and_then(|floor| floor.owner.take());
        if cleared {
            space.floors.remove(meta.name());
        }
        let entry = Entry {
            object: Arc::clone(&object),
            // Outside a list every mark is new enough, for the next one is higher.
            mark: mark.or(held.map(|held| held.mark)).unwrap_or(0),
            bytes,
        };
        let before = space.objects.replace(entry);
        self.bytes.fetch_add(bytes.into(), Ordering::Relaxed);
        match &before {
            Some(before) => self.bytes.fetch_sub(before.bytes.into(), Ordering::Relaxed),
            None => self.objects.fetch_add(1, Ordering::Relaxed),
        };
        let before = before.map(|before| before.object);
        drop(shard);
        if cleared {
            self.caught_up.notify_waiters();
        }
        Applied {
            object,
            before,
            echo,
            outdated: false,
            written_for,
        }
    }

    /// Removes an object that a watch says is deleted; `false` if what is there is a later one of that name.
    pub(super) fn remove(&self, gone: &Meta) -> bool {
        let mut shard = self.write(gone.namespace());
        let Some(space) = shard.get_mut(gone.namespace()).filter(|_| !self.is_closed()) else {
            return false;
        };
        let held = space.objects.get(gone.name());
        if held.is_some_and(|held| {
            let held = held.object.meta();
            held.version() > gone.version() && held.uid() != gone.uid()
        }) {
            return false;
        }
        let removed = space.objects.take(gone.name());
        if let Some(floor) = space.floors.get_mut(gone.name()) {
            floor.owner = None;
            if floor.version != NEVER && gone.version().is_none_or(|version| version >= floor.version) {
                space.floors.remove(gone.name());
            }
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
            self.bytes.fetch_sub(removed.bytes.into(), Ordering::Relaxed);
        }
    }

    /// Ends a list that began at the tick `began`: what it did not mark is gone, and was deleted while nobody
    /// watched (K14). It is newer than every floor that was set before.
    pub(super) fn sweep(&self, scope: Option<&str>, mark: u32, began: u64) -> Swept<V> {
        let mut swept = Swept {
            gone: Vec::new(),
            vanished: Vec::new(),
        };
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            if self.is_closed() {
                return swept;
            }
            for (namespace, space) in shard.iter_mut() {
                if scope.is_some_and(|scope| scope != &**namespace) {
                    continue;
                }
                space.overflown = false;
                // A floor of what we wrote after the list was taken stays; the event is on its way.
                space.floors.retain(|_, floor| {
                    let stays = floor.tick > began;
                    if !stays {
                        swept.vanished.extend(floor.owner.take());
                    }
                    stays
                });
                for removed in space.objects.extract_if(.., |entry| entry.mark != mark) {
                    swept.gone.push(Arc::clone(&removed.object));
                    self.forget(Some(removed));
                }
            }
            shard.retain(|_, space| !space.objects.is_empty() || !space.floors.is_empty());
        }
        self.caught_up.notify_waiters();
        swept
    }
}

impl<V> Space<V> {
    fn set(&mut self, name: &str, floor: Floor) {
        if let Some(known) = self.floors.get_mut(name) {
            // Whatever was read of it since, the watch has still to show it.
            let owner = known.owner.take();
            *known = floor;
            known.owner = known.owner.take().or(owner);
            return;
        }
        if self.floors.len() >= FLOORS {
            self.floors
                .retain(|_, floor| !floor.gone || floor.set.elapsed() < DELIVERED);
        }
        if self.floors.len() >= FLOORS {
            self.overflown = true;
        } else {
            self.floors.insert(name.into(), floor);
        }
    }
}

impl Floor {
    fn allows(&self, meta: &Meta) -> bool {
        meta.version().is_some_and(|version| version >= self.version)
    }
}
