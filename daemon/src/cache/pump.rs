//! From a watch into the store and to the triggers: no I/O, no waiting, no reconciler's code (K47).

use std::{
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use neo4j_operator_shared::Kind;
use serde::{Deserialize, Deserializer};
use tokio::time::Instant;

use super::{
    CacheObserver,
    backing::Keep,
    lists::Lists,
    meta::{Extent, Meta, RawMeta},
    store::Store,
    triggers::{Seen, Triggers},
    views::View,
};
use crate::kube::watch::{Sink, Watched};

impl<V: View> Watched for V {
    const METADATA_ONLY: bool = <V as View>::METADATA_ONLY;
    fn resource_version(&self) -> String {
        self.meta().resource_version().to_string()
    }
}

/// What triggers need of an object of which nothing is read from a store: uid, version, owner, and the labels by which
/// it may belong to somebody.
#[derive(Clone, Debug)]
pub(super) struct Slim<V> {
    metadata: Meta,
    of: PhantomData<fn() -> V>,
}

impl<'de, V> Deserialize<'de> for Slim<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Object<'a> {
            #[serde(borrow)]
            metadata: RawMeta<'a>,
        }
        let raw = Object::deserialize(deserializer)?.metadata;
        Ok(Self {
            metadata: raw.keep(Extent::Triggers),
            of: PhantomData,
        })
    }
}

impl<V: View> View for Slim<V> {
    const KIND: Kind = V::KIND;
    const METADATA_ONLY: bool = true;
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// Carries one watch.
pub(super) struct Pump<V> {
    store: Arc<Store<V>>,
    /// The namespace that the watch covers; without one all of them.
    namespace: Option<Arc<str>>,
    outlets: Outlets,
    mark: u32,
    /// The store's tick when the list began, and when that was.
    began: (u64, Instant),
    listed: u64,
}

/// Where a pump tells what it sees.
#[derive(Clone)]
pub(super) struct Outlets {
    /// Wakes owners.
    pub(super) triggers: Arc<Triggers>,
    /// While this is off, another watch of the kind tells of what appears and changes; a deletion is told by
    /// both, for the other one may never have seen what was deleted.
    pub(super) loud: Arc<AtomicBool>,
    /// Told of complete lists.
    pub(super) observer: Arc<dyn CacheObserver>,
    /// Complete lists of the kind.
    pub(super) lists: Arc<Lists>,
    /// What is kept of the objects.
    pub(super) keep: Keep,
}

impl<V: View> Pump<V> {
    pub(super) fn new(store: Arc<Store<V>>, namespace: Option<Arc<str>>, outlets: Outlets) -> Self {
        let began = (store.tick(), Instant::now());
        Self {
            store,
            namespace,
            outlets,
            mark: 0,
            began,
            listed: 0,
        }
    }

    fn tell(&self, meta: &Meta, seen: Seen, visible: bool) {
        if seen == Seen::Gone || self.outlets.loud.load(Ordering::SeqCst) {
            self.outlets.triggers.seen(V::KIND, meta, seen, visible);
        }
    }

    fn take(&self, object: V, mark: Option<u32>) {
        let applied = self.store.apply(object, mark);
        if applied.outdated {
            return;
        }
        let after = &applied.object;
        let triggers = &self.outlets.triggers;
        if let Some(owner) = applied.written_for
            && triggers.owner(after.meta()).as_ref() != Some(&owner)
        {
            // Others took it away before a watch showed that it was there.
            triggers.vanished(V::KIND, owner);
        }
        // In a list our own write may hide one of others that came before it, which no event told of.
        let echo = applied.echo && mark.is_none();
        let seen = match &applied.before {
            // In the first list everything is new; later, what a list brings was missed while nobody watched.
            None if mark == Some(1) => Seen::Listed,
            None if echo => Seen::Echo,
            None => Seen::Appeared,
            Some(before) if before.meta().generation() != after.meta().generation() => Seen::Changed,
            Some(_) if echo => Seen::Echo,
            Some(before) if after.differs(before) => Seen::Changed,
            Some(_) if mark.is_some() => Seen::Relisted,
            Some(_) => Seen::Echo,
        };
        if let Some(before) = &applied.before
            && seen == Seen::Changed
            && (before.meta().owner() != after.meta().owner() || before.meta().labels() != after.meta().labels())
        {
            // It may have left the one that it belonged to.
            self.tell(before.meta(), Seen::Changed, false);
        }
        let visible = applied
            .before
            .as_ref()
            .is_none_or(|before| after.differs_for_others(before));
        self.tell(after.meta(), seen, visible);
    }
}

impl<V: View> Sink<V> for Pump<V> {
    fn begin(&mut self) {
        self.mark += 1;
        self.listed = 0;
        self.began = (self.store.tick(), Instant::now());
    }

    fn listed(&mut self, object: V) {
        self.listed += 1;
        self.take(object, Some(self.mark));
    }

    fn complete(&mut self) {
        let (tick, began) = self.began;
        let swept = self.store.sweep(self.namespace.as_deref(), self.mark, tick);
        for gone in swept.gone {
            self.tell(gone.meta(), Seen::Gone, true);
        }
        for owner in swept.vanished {
            self.outlets.triggers.vanished(V::KIND, owner);
        }
        self.outlets.lists.note(self.outlets.keep, self.listed, began.elapsed());
        if self.mark > 1 {
            let observer = &self.outlets.observer;
            observer.relisted(V::KIND, self.listed, began.elapsed());
        }
    }

    fn applied(&mut self, object: V) {
        self.take(object, None);
    }

    fn deleted(&mut self, object: V) {
        self.store.remove(object.meta());
        self.tell(object.meta(), Seen::Gone, true);
    }
}
