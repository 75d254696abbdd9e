//! From a watch into the store and to the triggers: no I/O, no waiting, no reconciler's code (K47).

use std::{marker::PhantomData, sync::Arc};

use neo4j_operator_shared::Kind;
use serde::{Deserialize, Deserializer};

use super::{
    meta::Meta,
    store::Store,
    triggers::{Seen, Triggers},
    views::View,
};
use crate::kube::watch::{Sink, Watched};

impl<V: View> Watched for V {
    const METADATA_ONLY: bool = <V as View>::METADATA_ONLY;
    fn resource_version(&self) -> &str {
        &self.meta().resource_version
    }
}

/// What triggers need of an object of which nothing is read from a store: uid, version and owner.
#[derive(Clone, Debug)]
pub(super) struct Slim<V> {
    metadata: Meta,
    of: PhantomData<fn() -> V>,
}

impl<'de, V> Deserialize<'de> for Slim<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Object {
            metadata: Meta,
        }
        let mut metadata = Object::deserialize(deserializer)?.metadata;
        metadata.annotations = super::Pairs::default();
        metadata.finalizers = Box::default();
        metadata.applied_hash = None;
        Ok(Self {
            metadata,
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
    triggers: Arc<Triggers>,
    mark: u64,
}

impl<V: View> Pump<V> {
    pub(super) fn new(store: Arc<Store<V>>, namespace: Option<Arc<str>>, triggers: Arc<Triggers>) -> Self {
        Self {
            store,
            namespace,
            triggers,
            mark: 0,
        }
    }

    fn take(&self, object: V, mark: Option<u64>) {
        let applied = self.store.apply(object, mark);
        if applied.outdated {
            return;
        }
        let after = &applied.object;
        let seen = match &applied.before {
            // In the first list everything is new; later, what a list brings was missed while nobody watched.
            None if mark == Some(1) => Seen::Listed,
            None if applied.echo => Seen::Echo,
            None => Seen::Appeared,
            Some(before) if before.meta().generation != after.meta().generation => Seen::Changed,
            Some(_) if applied.echo => Seen::Echo,
            Some(before) if after.differs(before) => Seen::Changed,
            Some(_) if mark.is_some() => Seen::Relisted,
            Some(_) => Seen::Echo,
        };
        let visible = applied
            .before
            .as_ref()
            .is_none_or(|before| after.differs_for_others(before));
        self.triggers.seen(V::KIND, after.meta(), seen, visible);
    }
}

impl<V: View> Sink<V> for Pump<V> {
    fn begin(&mut self) {
        self.mark += 1;
    }

    fn listed(&mut self, object: V) {
        self.take(object, Some(self.mark));
    }

    fn complete(&mut self) {
        for gone in self.store.sweep(self.namespace.as_deref(), self.mark) {
            self.triggers.seen(V::KIND, gone.meta(), Seen::Gone, true);
        }
    }

    fn applied(&mut self, object: V) {
        self.take(object, None);
    }

    fn deleted(&mut self, object: V) {
        self.store.remove(object.meta());
        self.triggers.seen(V::KIND, object.meta(), Seen::Gone, true);
    }
}
