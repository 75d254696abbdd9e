//! Strings that many objects share, kept once.
//!
//! Namespaces, label keys and label values repeat over all objects of a cluster; kept per object they are
//! most of a projection's bytes. The table holds short strings only and drops what nobody uses any more each
//! time it has doubled, so it cannot outgrow what the stores hold by more than a constant factor.

use std::{
    collections::HashSet,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

/// Longer strings are rarely shared and not worth a look-up.
const LONGEST: usize = 64;
/// The table is not swept below this size.
const SMALLEST: usize = 1024;

struct Table {
    texts: HashSet<Arc<str>>,
    sweep_at: usize,
}

static TABLE: LazyLock<Mutex<Table>> = LazyLock::new(|| {
    Mutex::new(Table {
        texts: HashSet::new(),
        sweep_at: SMALLEST,
    })
});

/// The shared copy of `text`.
pub fn intern(text: &str) -> Arc<str> {
    if text.len() > LONGEST {
        return text.into();
    }
    let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = table.texts.get(text) {
        return Arc::clone(known);
    }
    if table.texts.len() >= table.sweep_at {
        table.sweep();
    }
    let shared: Arc<str> = text.into();
    table.texts.insert(Arc::clone(&shared));
    shared
}

/// Bytes of the table: its places and what it shares.
pub fn bytes() -> u64 {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner).bytes() as u64
}

/// Drops what nobody uses, and the room for it; says how many bytes that were.
pub fn sweep() -> u64 {
    let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = table.bytes();
    table.sweep();
    table.texts.shrink_to(SMALLEST);
    before.saturating_sub(table.bytes()) as u64
}

impl Table {
    fn sweep(&mut self) {
        self.texts.retain(|text| Arc::strong_count(text) > 1);
        self.sweep_at = (self.texts.len() * 2).max(SMALLEST);
    }

    fn bytes(&self) -> usize {
        // A text has two counters before it, and takes a place in steps of eight.
        let texts = self.texts.iter().map(|text| (text.len() + 16).next_multiple_of(8));
        self.texts.capacity() * (size_of::<Arc<str>>() + 1) + texts.sum::<usize>()
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
        let table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(table.texts.len() <= 4 * SMALLEST, "{}", table.texts.len());
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
