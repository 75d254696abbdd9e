//! Strings and shapes that many objects share, kept once.
//!
//! Namespaces, label keys and common label values repeat over all objects of a cluster; kept per object they are
//! most of a projection's bytes. The table holds short strings only and drops what nobody uses any more each
//! time it has doubled, so it cannot outgrow what the stores hold by more than a constant factor.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
};

use hashbrown::HashTable;

use super::{shape::Shape, weight};

/// Longer strings are rarely shared and not worth a look-up.
const LONGEST: usize = 64;
/// The table is not swept below this size.
const SMALLEST: usize = 1024;

/// What a table can hold.
pub(super) trait Shared {
    /// By [`hasher`].
    fn hashed(&self) -> u64;
    /// Bytes on the heap, with its counters.
    fn bytes(&self) -> usize;
}

struct Table<T: ?Sized> {
    held: HashTable<Arc<T>>,
    sweep_at: usize,
}

static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
static TABLE: LazyLock<Mutex<Table<str>>> = LazyLock::new(Mutex::default);
static SHAPES: LazyLock<Mutex<Table<Shape>>> = LazyLock::new(Mutex::default);

/// Hashes what is shared.
pub(super) fn hasher() -> &'static RandomState {
    &HASHER
}

/// The shared copy of `text`.
pub fn intern(text: &str) -> Arc<str> {
    if text.len() > LONGEST {
        return text.into();
    }
    lock(&TABLE).share(hasher().hash_one(text), |known| known == text, || text.into())
}

/// The shared shape of this hash that `is` recognizes, made if there is none.
pub(super) fn share_shape(hash: u64, is: impl Fn(&Shape) -> bool, make: impl FnOnce() -> Shape) -> Arc<Shape> {
    lock(&SHAPES).share(hash, is, || Arc::new(make()))
}

fn lock<T: ?Sized>(table: &Mutex<Table<T>>) -> MutexGuard<'_, Table<T>> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes of the tables: their places and what they share.
pub fn bytes() -> u64 {
    (lock(&SHAPES).bytes() + lock(&TABLE).bytes()) as u64
}

/// Drops what nobody uses, and the room for it; says how many bytes that were.
pub fn sweep() -> u64 {
    // The shapes hold texts: they go first.
    (lock(&SHAPES).give_back() + lock(&TABLE).give_back()) as u64
}

impl Shared for str {
    fn hashed(&self) -> u64 {
        hasher().hash_one(self)
    }

    fn bytes(&self) -> usize {
        weight::shared(self.len())
    }
}

impl<T: ?Sized> Default for Table<T> {
    fn default() -> Self {
        Self {
            held: HashTable::new(),
            sweep_at: SMALLEST,
        }
    }
}

impl<T: ?Sized + Shared> Table<T> {
    fn share(&mut self, hash: u64, is: impl Fn(&T) -> bool, make: impl FnOnce() -> Arc<T>) -> Arc<T> {
        if let Some(known) = self.held.find(hash, |held| is(held)) {
            return Arc::clone(known);
        }
        if self.held.len() >= self.sweep_at {
            self.sweep();
        }
        let shared = make();
        self.held.insert_unique(hash, Arc::clone(&shared), |held| held.hashed());
        shared
    }

    fn sweep(&mut self) {
        self.held.retain(|held| Arc::strong_count(held) > 1);
        self.sweep_at = (self.held.len() * 2).max(SMALLEST);
    }

    fn give_back(&mut self) -> usize {
        let before = self.bytes();
        self.sweep();
        self.held.shrink_to(SMALLEST, |held| held.hashed());
        before.saturating_sub(self.bytes())
    }

    fn bytes(&self) -> usize {
        let values = self.held.iter().map(|held| held.bytes());
        weight::class(self.held.allocation_size()) + values.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_share_one_copy_and_long_ones_are_left_alone() {
        assert!(Arc::ptr_eq(&intern("neo4j.com/cluster"), &intern("neo4j.com/cluster")));
        let long = "x".repeat(LONGEST + 1);
        assert!(!Arc::ptr_eq(&intern(&long), &intern(&long)));
    }

    #[test]
    fn texts_that_nobody_holds_are_dropped() {
        for number in 0..10 * SMALLEST {
            drop(intern(&format!("text-{number}")));
        }
        let held = lock(&TABLE).held.len();
        assert!(held <= 4 * SMALLEST, "{held}");
    }

    #[test]
    fn a_sweep_says_what_it_dropped() {
        let held: Vec<_> = (0..3 * SMALLEST)
            .map(|number| intern(&format!("held-{number}")))
            .collect();
        let before = bytes();
        drop(held);
        // Other tests use the table too.
        assert!(sweep() > 0);
        assert!(bytes() < before);
    }
}
