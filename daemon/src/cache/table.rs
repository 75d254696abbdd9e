//! What a change from one store to another needs of both, whatever they keep of an object.
//!
//! While the new store is filled, its watch is silent and every read of the server is told to both stores. At
//! the change the old one is closed, so that it stands still, and compared with the new one: what the new one
//! lacks or has otherwise wakes its owner, and what the old one has handed out newer than the new one has it
//! becomes a floor there. So no event is lost between the watches, and no read goes back in time.

use std::collections::BTreeSet;

use super::{ident::Uid, meta::Meta, store::Store, triggers::Seen, views::View};
use crate::reconcile::Key;

/// A store without the type of what it keeps.
pub(super) trait Table: Send + Sync {
    /// Objects and bytes.
    fn totals(&self) -> (u64, u64);
    /// The tick at which a read of the server begins.
    fn tick(&self) -> u64;
    /// See [`Store::raise`].
    fn raise(&self, namespace: &str, name: &str, version: Option<u128>, since: u64);
    /// See [`Store::wrote`].
    fn wrote(&self, namespace: &str, name: &str, version: Option<u128>, owner: Option<Key>);
    /// See [`Store::unseen`].
    fn unseen(&self, look: &mut dyn FnMut(&str, &str, u128, &Key));
    /// See [`Store::absent`].
    fn absent(&self, namespace: &str, name: &str, since: u64);
    /// See [`Store::outside`].
    fn outside(&self, namespace: &str, name: &str, version: Option<u128>, since: u64);
    /// See [`Store::close`].
    fn close(&self);
    /// See [`Store::each`].
    fn each(&self, look: &mut dyn FnMut(&Meta));
    /// See [`Store::peek`].
    fn peek(&self, namespace: &str, name: &str) -> Option<(Uid, Option<u128>)>;
    /// See [`Store::compact`].
    fn compact(&self) -> u64;
}

impl<V: View> Table for Store<V> {
    fn totals(&self) -> (u64, u64) {
        Self::totals(self)
    }
    fn tick(&self) -> u64 {
        Self::tick(self)
    }
    fn raise(&self, namespace: &str, name: &str, version: Option<u128>, since: u64) {
        Self::raise(self, namespace, name, version, since);
    }
    fn wrote(&self, namespace: &str, name: &str, version: Option<u128>, owner: Option<Key>) {
        Self::wrote(self, namespace, name, version, owner);
    }
    fn unseen(&self, look: &mut dyn FnMut(&str, &str, u128, &Key)) {
        Self::unseen(self, look);
    }
    fn absent(&self, namespace: &str, name: &str, since: u64) {
        Self::absent(self, namespace, name, since);
    }
    fn outside(&self, namespace: &str, name: &str, version: Option<u128>, since: u64) {
        Self::outside(self, namespace, name, version, since);
    }
    fn close(&self) {
        Self::close(self);
    }
    fn each(&self, look: &mut dyn FnMut(&Meta)) {
        Self::each(self, look);
    }
    fn peek(&self, namespace: &str, name: &str) -> Option<(Uid, Option<u128>)> {
        Self::peek(self, namespace, name)
    }
    fn compact(&self) -> u64 {
        Self::compact(self)
    }
}

/// What the old store has handed out is older than whatever the new one was told of meanwhile.
const EARLIER: u64 = 0;

/// A store and which objects its watch delivers.
pub(super) struct Side<'a> {
    pub(super) table: &'a dyn Table,
    /// Whether the watch delivers this object.
    pub(super) delivers: &'a dyn Fn(&Meta) -> bool,
    /// Whether reads were answered from it, and it has a complete list.
    pub(super) answers: bool,
}

/// What a change has found out, and has to wake somebody for.
pub(super) struct Found {
    /// What the old store had and the new one lacks or has otherwise, and what only the new one has.
    pub(super) changed: Vec<(Meta, Seen)>,
    /// Owners of what we had written, the old store never saw, and the new one lacks or has otherwise.
    pub(super) vanished: Vec<Key>,
}

/// Closes the old store and lets the new one take over. The answer is what has to wake its owner.
pub(super) fn hand_over(old: &Side<'_>, new: &Side<'_>) -> Found {
    old.table.close();
    let mut changed = Vec::new();
    old.table.each(&mut |meta| {
        match new.table.peek(meta.namespace(), meta.name()) {
            Some((uid, version)) if uid == meta.uid() && version == meta.version() => {}
            Some((uid, version)) => {
                changed.push((meta.clone(), if uid == meta.uid() { Seen::Changed } else { Seen::Gone }));
                if version < meta.version() || version.is_none() {
                    new.table.raise(meta.namespace(), meta.name(), meta.version(), EARLIER);
                }
            }
            // One that the new watch does not deliver may be delivered when it has changed, and was looked up above.
            None if !(new.delivers)(meta) => {}
            None => {
                changed.push((meta.clone(), Seen::Gone));
                new.table.raise(meta.namespace(), meta.name(), meta.version(), EARLIER);
            }
        }
    });
    let mut appeared = Vec::new();
    new.table
        .each(&mut |meta| match old.table.peek(meta.namespace(), meta.name()) {
            None if (old.delivers)(meta) => appeared.push(meta.clone()),
            None => {}
            Some((uid, version)) if uid == meta.uid() && version == meta.version() => {}
            // It may belong to another owner than what the old one had under that name.
            Some(_) => changed.push((meta.clone(), Seen::Changed)),
        });
    if old.answers {
        // Its absence may have been told to somebody already; or a later state of it, before it left the old store.
        let since = new.table.tick();
        for meta in &appeared {
            new.table.absent(meta.namespace(), meta.name(), since);
        }
    }
    changed.extend(appeared.into_iter().map(|meta| (meta, Seen::Appeared)));
    Found {
        changed,
        vanished: vanished(old.table, new.table),
    }
}

/// The list of the new store is complete, so what it still waits for was written later, and is on its way.
fn vanished(old: &dyn Table, new: &dyn Table) -> Vec<Key> {
    let mut awaited = BTreeSet::new();
    new.unseen(&mut |namespace, name, _, _| {
        awaited.insert((namespace.to_owned(), name.to_owned()));
    });
    let mut vanished = Vec::new();
    old.unseen(&mut |namespace, name, version, owner| {
        let awaits = awaited.contains(&(namespace.to_owned(), name.to_owned()));
        let there = new.peek(namespace, name).and_then(|(_, there)| there);
        if !awaits && there != Some(version) {
            vanished.push(owner.clone());
        }
    });
    vanished
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cache::{ConfigMapView, store::Found as Looked};

    fn map(version: u64) -> ConfigMapView {
        let metadata = json!({"namespace": "n", "name": "a", "uid": "u", "resourceVersion": version.to_string()});
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    }

    #[test]
    fn what_left_the_old_store_is_not_read_as_it_was_before_from_a_new_one_that_is_behind() {
        for answers in [true, false] {
            let (old, new) = (Store::<ConfigMapView>::default(), Store::<ConfigMapView>::default());
            old.apply(map(12), Some(1));
            // Somebody is told of version 12, and then it leaves the selector.
            old.remove(map(13).meta());
            new.apply(map(10), Some(1));
            let side = |table, answers| Side {
                table,
                delivers: &|_: &Meta| true,
                answers,
            };
            hand_over(&side(&old, answers), &side(&new, false));
            let found = new.get("n", "a");
            assert_eq!(matches!(found, Looked::Doubtful), answers, "{found:?}");
        }
    }
}
