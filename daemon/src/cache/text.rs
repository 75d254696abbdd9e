//! Strings that many objects share, kept once.
//!
//! Namespaces, label keys and label values repeat over all objects of a cluster; kept per object they are
//! most of a projection's bytes. The table holds short strings only and drops what nobody uses any more each
//! time it has doubled, so it cannot outgrow what the stores hold by more than a constant factor.

use std::{
    collections::HashSet,
    hash::Hash,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
};

use super::weight;

/// Longer strings are rarely shared and not worth a look-up.
const LONGEST: usize = 64;
/// The table is not swept below this size.
const SMALLEST: usize = 1024;

/// A label or an annotation.
pub(super) type Pair = (Arc<str>, Arc<str>);

struct Table<T: ?Sized> {
    held: HashSet<Arc<T>>,
    sweep_at: usize,
}

static TABLE: LazyLock<Mutex<Table<str>>> = LazyLock::new(Mutex::default);
static SETS: LazyLock<Mutex<Table<[Pair]>>> = LazyLock::new(Mutex::default);

/// The shared copy of `text`.
pub fn intern(text: &str) -> Arc<str> {
    if text.len() > LONGEST {
        return text.into();
    }
    lock(&TABLE).share(text)
}

/// The shared copy of a sorted set of pairs: all objects of one owner carry nearly the same labels.
pub(super) fn intern_set(set: &[Pair]) -> Arc<[Pair]> {
    lock(&SETS).share(set)
}

fn lock<T: ?Sized>(table: &Mutex<Table<T>>) -> MutexGuard<'_, Table<T>> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes of the tables: their places and what they share.
pub fn bytes() -> u64 {
    (lock(&SETS).bytes() + lock(&TABLE).bytes()) as u64
}

/// Drops what nobody uses, and the room for it; says how many bytes that were.
pub fn sweep() -> u64 {
    // The sets hold texts: they go first.
    (lock(&SETS).give_back() + lock(&TABLE).give_back()) as u64
}

impl<T: ?Sized> Default for Table<T> {
    fn default() -> Self {
        Self {
            held: HashSet::new(),
            sweep_at: SMALLEST,
        }
    }
}

impl<T: ?Sized + Hash + Eq> Table<T> {
    fn share(&mut self, value: &T) -> Arc<T>
    where
        for<'a> Arc<T>: From<&'a T>,
    {
        if let Some(known) = self.held.get(value) {
            return Arc::clone(known);
        }
        if self.held.len() >= self.sweep_at {
            self.sweep();
        }
        let shared = Arc::<T>::from(value);
        self.held.insert(Arc::clone(&shared));
        shared
    }

    fn sweep(&mut self) {
        self.held.retain(|held| Arc::strong_count(held) > 1);
        self.sweep_at = (self.held.len() * 2).max(SMALLEST);
    }

    fn give_back(&mut self) -> usize {
        let before = self.bytes();
        self.sweep();
        self.held.shrink_to(SMALLEST);
        before.saturating_sub(self.bytes())
    }

    fn bytes(&self) -> usize {
        let values = self.held.iter().map(|held| weight::shared(size_of_val(&**held)));
        // A table is full at seven eighths of its places, and notes a byte beside each.
        let places = (self.held.capacity() * 8 / 7).next_power_of_two();
        weight::class(places * (size_of::<Arc<T>>() + 1)) + values.sum::<usize>()
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
