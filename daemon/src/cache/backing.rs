//! What is kept of a kind, and the watches that fill it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures::future::join_all;
use kube::Client;
use neo4j_operator_shared::{Kind, cache::Form};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    CacheObserver,
    decoded::Decoded,
    filter::Filter,
    lists::Lists,
    meta::Meta,
    packed::Packed,
    pump::{Outlets, Pump, Slim},
    select::Select,
    store::{Found, Listed, Store},
    table::Table,
    triggers::Triggers,
    views::View,
};
use crate::{
    kube::{
        scope::Scope,
        watch::{Subject, Synced, WatchStatus, Watched, supervise},
    },
    reconcile::Resource,
};

/// How much of a kind is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Keep {
    /// Of each own object the little that triggers need; nothing is read from it.
    Keys,
    /// Of each own object the fields that are read.
    Selected,
    /// Every object of the kind in scope, whole; of Secrets the metadata (CA9).
    All,
}

/// What watches need to run.
#[derive(Clone)]
pub(super) struct Ground {
    pub(super) client: Client,
    pub(super) scope: Scope,
    pub(super) triggers: Arc<Triggers>,
    pub(super) observer: Arc<dyn CacheObserver>,
    pub(super) tasks: TaskTracker,
    pub(super) cancel: CancellationToken,
}

/// What is kept.
pub(super) enum Kept<V: View> {
    Keys(Arc<Store<Slim<V>>>),
    Projected(Arc<Store<V>>),
    Whole(Arc<Store<Packed<V>>>, Arc<Decoded<V>>),
}

/// A store with its watches; they end when it is dropped.
pub(super) struct Backing<V: View> {
    pub(super) keep: Keep,
    pub(super) kept: Kept<V>,
    /// Which objects the watches deliver; all of the kind without one.
    pub(super) filter: Option<Filter>,
    pub(super) feeds: Vec<Arc<WatchStatus>>,
    loud: Arc<AtomicBool>,
    lists: Arc<Lists>,
    cancel: CancellationToken,
}

/// Waits until every watch of a kind is synced or known to be in trouble.
pub(super) async fn settled(feeds: &[Arc<WatchStatus>]) {
    join_all(feeds.iter().map(|feed| feed.until_settled())).await;
}

/// Waits until every watch of a kind is synced.
pub(super) async fn synced(feeds: &[Arc<WatchStatus>]) {
    join_all(feeds.iter().map(|feed| feed.until_synced())).await;
}

/// What is kept of each object of a kind.
pub(super) fn form_of<V: View>(keep: Keep) -> Form {
    match keep {
        Keep::Keys => Form::Metadata,
        Keep::All if V::KIND != Kind::Secret => Form::Full,
        Keep::Selected | Keep::All if V::METADATA_ONLY => Form::Metadata,
        Keep::Selected | Keep::All => Form::Projection,
    }
}

impl<V: View> Kept<V> {
    pub(super) fn new(keep: Keep) -> Self {
        match keep {
            Keep::Keys => Self::Keys(Arc::default()),
            Keep::All if V::KIND != Kind::Secret => Self::Whole(Arc::default(), Arc::default()),
            Keep::Selected | Keep::All => Self::Projected(Arc::default()),
        }
    }

    /// The store without its type.
    pub(super) fn table(&self) -> &dyn Table {
        match self {
            Self::Keys(store) => &**store,
            Self::Projected(store) => &**store,
            Self::Whole(store, _) => &**store,
        }
    }

    fn metadata_only(&self) -> bool {
        match self {
            Self::Keys(_) => <Slim<V> as Watched>::METADATA_ONLY,
            Self::Projected(_) => <V as Watched>::METADATA_ONLY,
            Self::Whole(..) => <Packed<V> as Watched>::METADATA_ONLY,
        }
    }

    /// Whether reads are answered from it.
    pub(super) fn readable(&self) -> bool {
        !matches!(self, Self::Keys(_))
    }

    /// Objects, bytes, and bytes of decoded objects beside them.
    pub(super) fn totals(&self) -> (u64, u64, u64) {
        let (objects, bytes) = self.table().totals();
        let decoded = match self {
            Self::Whole(_, decoded) => decoded.bytes(),
            _ => 0,
        };
        (objects, bytes + decoded, decoded)
    }

    /// Looks an object up.
    pub(super) fn get(&self, namespace: &str, name: &str) -> Found<V> {
        match self {
            Self::Keys(_) => Found::Nothing,
            Self::Projected(store) => store.get(namespace, name),
            Self::Whole(store, decoded) => match store.get(namespace, name) {
                Found::Here(packed) => unpack(decoded, &packed).map_or(Found::Doubtful, Found::Here),
                Found::Nothing => Found::Nothing,
                Found::Stale => Found::Stale,
                Found::Doubtful => Found::Doubtful,
            },
        }
    }

    /// The chosen objects by name, see [`Store::list`].
    pub(super) fn list(&self, namespace: &str, select: &Select) -> Option<Listed<V>> {
        match self {
            Self::Keys(_) => None,
            Self::Projected(store) => store.list(namespace, select),
            Self::Whole(store, decoded) => {
                let (objects, stale) = store.list(namespace, select)?;
                let objects: Option<Vec<Arc<V>>> = objects.iter().map(|packed| unpack(decoded, packed)).collect();
                Some((objects?, stale))
            }
        }
    }

    /// Drops what was decoded for reads; the answer is in bytes.
    pub(super) fn evict_decoded(&self) -> u64 {
        match self {
            Self::Whole(_, decoded) => decoded.clear(),
            _ => 0,
        }
    }

    /// Waits until the watch has caught up with each of these names.
    pub(super) async fn until_caught_up(&self, namespace: &str, names: &[Arc<str>]) {
        match self {
            Self::Keys(_) => {}
            Self::Projected(store) => store.until_caught_up(namespace, names).await,
            Self::Whole(store, _) => store.until_caught_up(namespace, names).await,
        }
    }
}

/// An object that cannot be decoded is asked for: the server's answer says what is wrong with it.
fn unpack<V: View>(decoded: &Decoded<V>, packed: &Packed<V>) -> Option<Arc<V>> {
    decoded
        .get_or(packed)
        .inspect_err(|error| {
            let meta = packed.meta();
            tracing::warn!(kind = %V::KIND, namespace = %meta.namespace(), name = %meta.name(), "a kept object cannot be read: {error}");
        })
        .ok()
}

impl<V: View> Backing<V> {
    /// An empty store whose watches have not begun.
    pub(super) fn new(keep: Keep, filter: Option<Filter>, ground: &Ground, lists: &Arc<Lists>) -> Self {
        let kept = Kept::new(keep);
        let filter = filter.filter(|_| keep != Keep::All);
        let metadata_only = kept.metadata_only();
        let feeds = ground.scope.watched().into_iter().map(|namespace| {
            let subject = Subject {
                kind: V::KIND,
                resource: Resource::of(V::KIND).into(),
                namespace,
                labels: filter.as_ref().map(Filter::selector),
                fields: None,
            };
            Arc::new(WatchStatus::new(subject, metadata_only))
        });
        Self {
            keep,
            kept,
            feeds: feeds.collect(),
            filter,
            loud: Arc::default(),
            lists: Arc::clone(lists),
            cancel: ground.cancel.child_token(),
        }
    }

    /// Begins to watch. A silent one wakes nobody but by deletions, until it is told to speak.
    pub(super) fn start(&self, ground: &Ground, loud: bool) {
        self.loud.store(loud, Ordering::SeqCst);
        for feed in &self.feeds {
            match &self.kept {
                Kept::Keys(store) => self.watch(ground, feed, store),
                Kept::Projected(store) => self.watch(ground, feed, store),
                Kept::Whole(store, _) => self.watch(ground, feed, store),
            }
        }
    }

    fn watch<T: View>(&self, ground: &Ground, feed: &Arc<WatchStatus>, store: &Arc<Store<T>>) {
        let outlets = Outlets {
            triggers: Arc::clone(&ground.triggers),
            loud: Arc::clone(&self.loud),
            observer: Arc::clone(&ground.observer),
            lists: Arc::clone(&self.lists),
            keep: self.keep,
        };
        let pump = Pump::new(Arc::clone(store), feed.subject().namespace.clone(), outlets);
        let work = supervise::<T>(ground.client.clone(), Arc::clone(feed), pump, self.cancel.clone());
        ground.tasks.spawn(work);
    }

    /// Its watches wake owners from now on.
    pub(super) fn speak(&self) {
        self.loud.store(true, Ordering::SeqCst);
    }

    /// Whether the watches deliver an object.
    pub(super) fn delivers(&self, meta: &Meta) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.matches(meta))
    }

    /// Whether every watch has delivered a complete list.
    pub(super) fn is_synced(&self) -> bool {
        self.feeds.iter().all(|feed| feed.synced() == Synced::Yes)
    }

    /// The watch that delivers a namespace.
    pub(super) fn feed(&self, namespace: &str) -> Option<&Arc<WatchStatus>> {
        let delivers = |feed: &&Arc<WatchStatus>| {
            let own = feed.subject().namespace.as_deref();
            own.is_none_or(|own| own == namespace)
        };
        self.feeds.iter().find(delivers)
    }
}

impl<V: View> Drop for Backing<V> {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}
