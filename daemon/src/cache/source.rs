//! One kind: its watches, what is kept of it, and how a read of it is answered.
//!
//! The backing stands behind an `ArcSwap`, so that what is kept can change while reconcilers read. Two are
//! built here: none, where every read asks the server and a metadata watch wakes the owners; and a projection
//! of the objects that a label selects. A miss in the latter is never an answer (CA3): the server is asked.

use std::{any::Any, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use futures::future::join_all;
use kube::{Client, core::ApiResource};
use neo4j_operator_shared::{
    Kind, Strategy,
    cache::{Form, KindCache, MissReason as Miss},
    watches::Watch,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    counts::{Counts, rate},
    live::{Live, ReadError},
    meta::Meta,
    pump::{Pump, Slim},
    select::Select,
    store::{Found, Store},
    triggers::{CLUSTER_LABEL, Triggers},
    views::View,
};
use crate::{
    kube::{
        scope::Scope,
        watch::{Subject, Synced, WatchStatus, supervise},
    },
    reconcile::{MANAGER, Requests, Resource},
};

/// How long a read waits for the watch to catch up with what we wrote, before it asks the server.
const CATCH_UP: Duration = Duration::from_millis(100);
/// A store whose watch has been in trouble for longer is not read.
const PATIENCE: Duration = Duration::from_secs(30);
/// Up to so many objects that the store is too old for are read one by one; beyond, the list is read anew.
const SINGLE_READS: usize = 8;

/// Which objects of a kind a watch delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    key: &'static str,
    /// Any value, if none.
    value: Option<&'static str>,
}

impl Filter {
    /// The filter of a kind. Pods and claims are made from templates by others; what we write carries our
    /// name.
    pub(super) fn of(kind: Kind) -> Option<Self> {
        match kind {
            kind if Kind::PRIMARY.contains(&kind) => None,
            Kind::Pod | Kind::PersistentVolumeClaim => Some(Self {
                key: CLUSTER_LABEL,
                value: None,
            }),
            _ => Some(Self {
                key: "app.kubernetes.io/managed-by",
                value: Some(MANAGER),
            }),
        }
    }

    fn selector(self) -> String {
        match self.value {
            Some(value) => format!("{}={value}", self.key),
            None => self.key.to_owned(),
        }
    }

    fn matches(self, meta: &Meta) -> bool {
        match (meta.labels.get(self.key), self.value) {
            (Some(found), Some(value)) => found == value,
            (found, None) => found.is_some(),
            (None, _) => false,
        }
    }

    /// Whether everything that is asked for is among what the watch delivers. What has one of our resources
    /// as its owner was written by us, and carries our label; if somebody took the label away, creating it
    /// anew finds it.
    fn covers(self, select: &Select) -> bool {
        matches!(select, Select::Owner { .. })
            || select
                .labels()
                .iter()
                .any(|(key, value)| key == self.key && self.value.is_none_or(|wanted| wanted == value))
    }
}

/// What is kept of a kind for reads.
pub(super) enum Backing<V> {
    /// Nothing.
    Direct,
    /// The projection of what the watch delivers.
    Projected(Arc<Store<V>>),
}

/// One kind.
pub(super) struct Source<V: View> {
    strategy: Strategy,
    filter: Option<Filter>,
    scope: Scope,
    backing: ArcSwap<Backing<V>>,
    /// Without a projection: what the triggers need, and nothing is read from it.
    slim: Option<Arc<Store<Slim<V>>>>,
    feeds: Vec<Arc<WatchStatus>>,
    counts: Counts,
}

/// A kind without its type.
pub(super) trait AnySource: Send + Sync {
    fn as_any(&self) -> &dyn Any;
    /// Starts the watches.
    fn start(&self, client: &Client, triggers: &Arc<Triggers>, tasks: &TaskTracker, cancel: &CancellationToken);
    fn feeds(&self) -> &[Arc<WatchStatus>];
    fn wrote(&self, namespace: &str, name: &str, resource_version: &str);
    fn row(&self) -> KindCache;
    fn recent(&self) -> (u64, u64);
}

/// Waits until every watch of a kind is synced or known to be in trouble.
pub(super) async fn settled(feeds: &[Arc<WatchStatus>]) {
    join_all(feeds.iter().map(|feed| feed.until_settled())).await;
}

/// Waits until every watch of a kind is synced.
pub(super) async fn synced(feeds: &[Arc<WatchStatus>]) {
    join_all(feeds.iter().map(|feed| feed.until_synced())).await;
}

/// How kube names a resource.
pub(super) fn api_resource(kind: Kind) -> ApiResource {
    let resource = Resource::of(kind);
    ApiResource {
        group: resource.group.to_owned(),
        version: resource.version.to_owned(),
        api_version: resource.api_version(),
        kind: kind.kind().to_owned(),
        plural: kind.plural().to_owned(),
    }
}

impl<V: View> Source<V> {
    /// A kind under a strategy. Custom resources are kept under every one.
    pub(super) fn new(strategy: Strategy, scope: &Scope) -> Self {
        let primary = Kind::PRIMARY.contains(&V::KIND);
        let keeps = primary || strategy != Strategy::None;
        let filter = Filter::of(V::KIND);
        let metadata_only = !keeps || V::METADATA_ONLY;
        let feeds = scope
            .watched()
            .into_iter()
            .map(|namespace| {
                let subject = Subject {
                    kind: V::KIND,
                    resource: api_resource(V::KIND),
                    namespace,
                    labels: filter.map(Filter::selector),
                    fields: None,
                };
                Arc::new(WatchStatus::new(subject, metadata_only))
            })
            .collect();
        let backing = if keeps {
            Backing::Projected(Arc::default())
        } else {
            Backing::Direct
        };
        Self {
            strategy,
            filter,
            scope: scope.clone(),
            backing: ArcSwap::from_pointee(backing),
            slim: (!keeps).then(Arc::default),
            feeds,
            counts: Counts::default(),
        }
    }

    /// The feed that delivers a namespace.
    fn trusted(&self, namespace: &str) -> bool {
        self.feeds
            .iter()
            .find(|feed| feed.subject().namespace.as_deref().is_none_or(|own| own == namespace))
            .is_some_and(|feed| feed.trusted(PATIENCE))
    }

    /// The store to read from, or why the server has to be asked.
    fn store(&self, namespace: &str) -> Result<Arc<Store<V>>, Miss> {
        match &**self.backing.load() {
            Backing::Direct => Err(Miss::Cold),
            Backing::Projected(_) if !self.scope.contains(namespace) => Err(Miss::Filtered),
            Backing::Projected(_) if !self.trusted(namespace) => Err(Miss::Unsynced),
            Backing::Projected(store) => Ok(Arc::clone(store)),
        }
    }

    /// The store to tell what the server said, if one is kept for that namespace.
    fn kept(&self, namespace: &str) -> Option<Arc<Store<V>>> {
        match &**self.backing.load() {
            Backing::Projected(store) if self.scope.contains(namespace) => Some(Arc::clone(store)),
            _ => None,
        }
    }

    /// Asks the server, and remembers how new its answer is.
    async fn ask(
        &self,
        live: &Live,
        namespace: &str,
        name: &str,
        requests: &Requests,
    ) -> Result<Option<Arc<V>>, ReadError> {
        let answer = live.get::<V>(namespace, name, requests).await?;
        if let Some(store) = self.kept(namespace) {
            match &answer {
                Some(object) => self.told(&store, object.meta()),
                None => store.absent(namespace, name),
            }
        }
        Ok(answer)
    }

    fn told(&self, store: &Store<V>, meta: &Meta) {
        if self.filter.is_none_or(|filter| filter.matches(meta)) {
            store.raise(&meta.namespace, &meta.name, &meta.resource_version, false);
        } else {
            store.release(&meta.namespace, &meta.name);
        }
    }

    async fn ask_list(
        &self,
        live: &Live,
        namespace: &str,
        select: &Select,
        requests: &Requests,
    ) -> Result<Vec<Arc<V>>, ReadError> {
        let objects = live.list::<V>(namespace, select, requests).await?;
        if let Some(store) = self.kept(namespace) {
            for object in &objects {
                self.told(&store, object.meta());
            }
        }
        Ok(objects)
    }

    pub(super) async fn get(
        &self,
        live: &Live,
        namespace: &str,
        name: &str,
        requests: &Requests,
    ) -> Result<Option<Arc<V>>, ReadError> {
        let store = match self.store(namespace) {
            Ok(store) => store,
            Err(reason) => {
                self.counts.miss(reason);
                return self.ask(live, namespace, name, requests).await;
            }
        };
        let mut found = store.get(namespace, name);
        if matches!(found, Found::Stale) {
            let names = [Arc::from(name)];
            let _ = tokio::time::timeout(CATCH_UP, store.until_caught_up(namespace, &names)).await;
            found = store.get(namespace, name);
        }
        match found {
            Found::Here(object) => {
                self.counts.hit();
                Ok(Some(object))
            }
            // Without a filter the store holds every object of the kind.
            Found::Nothing if self.filter.is_none() => {
                self.counts.hit();
                Ok(None)
            }
            Found::Nothing => {
                self.counts.miss(Miss::Filtered);
                self.ask(live, namespace, name, requests).await
            }
            Found::Stale => {
                self.counts.miss(Miss::Stale);
                self.ask(live, namespace, name, requests).await
            }
        }
    }

    pub(super) async fn list(
        &self,
        live: &Live,
        namespace: &str,
        select: &Select,
        requests: &Requests,
    ) -> Result<Vec<Arc<V>>, ReadError> {
        let uncovered = self.filter.is_some_and(|filter| !filter.covers(select));
        let store = match self.store(namespace) {
            Ok(_) if uncovered => Err(Miss::Filtered),
            other => other,
        };
        let store = match store {
            Ok(store) => store,
            Err(reason) => {
                self.counts.miss(reason);
                return self.ask_list(live, namespace, select, requests).await;
            }
        };
        let mut found = store.list(namespace, select);
        if let Some((_, stale)) = &found
            && !stale.is_empty()
        {
            let _ = tokio::time::timeout(CATCH_UP, store.until_caught_up(namespace, stale)).await;
            found = store.list(namespace, select);
        }
        match found {
            Some((objects, stale)) if stale.is_empty() => {
                self.counts.hit();
                Ok(objects)
            }
            Some((mut objects, stale)) if stale.len() <= SINGLE_READS => {
                self.counts.miss(Miss::Stale);
                for name in stale {
                    let fresh = self.ask(live, namespace, &name, requests).await?;
                    let fresh = fresh.filter(|object| select.matches(object.meta()));
                    let place = objects.binary_search_by(|object| object.meta().name.cmp(&name));
                    match (place, fresh) {
                        (Ok(place), Some(fresh)) => objects[place] = fresh,
                        (Ok(place), None) => {
                            objects.remove(place);
                        }
                        (Err(place), Some(fresh)) => objects.insert(place, fresh),
                        (Err(_), None) => {}
                    }
                }
                Ok(objects)
            }
            _ => {
                self.counts.miss(Miss::Stale);
                self.ask_list(live, namespace, select, requests).await
            }
        }
    }

    pub(super) async fn bypass(
        &self,
        live: &Live,
        namespace: &str,
        name: &str,
        requests: &Requests,
    ) -> Result<Option<Arc<V>>, ReadError> {
        self.counts.bypass();
        self.ask(live, namespace, name, requests).await
    }

    pub(super) async fn bypass_list(
        &self,
        live: &Live,
        namespace: &str,
        select: &Select,
        requests: &Requests,
    ) -> Result<Vec<Arc<V>>, ReadError> {
        self.counts.bypass();
        self.ask_list(live, namespace, select, requests).await
    }

    /// Counts a read that is never answered from a cache.
    pub(super) fn count_bypass(&self) {
        self.counts.bypass();
    }
}

impl<V: View> AnySource for Source<V> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn start(&self, client: &Client, triggers: &Arc<Triggers>, tasks: &TaskTracker, cancel: &CancellationToken) {
        for feed in &self.feeds {
            let namespace = feed.subject().namespace.clone();
            let status = Arc::clone(feed);
            let (client, cancel) = (client.clone(), cancel.child_token());
            match (&**self.backing.load(), &self.slim) {
                (Backing::Projected(store), _) => {
                    let pump = Pump::new(Arc::clone(store), namespace, Arc::clone(triggers));
                    tasks.spawn(supervise::<V>(client, status, pump, cancel));
                }
                (Backing::Direct, Some(slim)) => {
                    let pump = Pump::new(Arc::clone(slim), namespace, Arc::clone(triggers));
                    tasks.spawn(supervise::<Slim<V>>(client, status, pump, cancel));
                }
                (Backing::Direct, None) => {}
            }
        }
    }

    fn feeds(&self) -> &[Arc<WatchStatus>] {
        &self.feeds
    }

    fn wrote(&self, namespace: &str, name: &str, resource_version: &str) {
        if !self.scope.contains(namespace) {
            return;
        }
        match (&**self.backing.load(), &self.slim) {
            (Backing::Projected(store), _) => store.raise(namespace, name, resource_version, true),
            // Nobody reads it; the floor lets the pump know our own hand.
            (Backing::Direct, Some(slim)) => slim.raise(namespace, name, resource_version, true),
            (Backing::Direct, None) => {}
        }
    }

    fn row(&self) -> KindCache {
        let (form, (objects, bytes)) = match (&**self.backing.load(), &self.slim) {
            (Backing::Projected(store), _) if V::METADATA_ONLY => (Form::Metadata, store.totals()),
            (Backing::Projected(store), _) => (Form::Projection, store.totals()),
            (Backing::Direct, Some(slim)) => (Form::Metadata, slim.totals()),
            (Backing::Direct, None) => (Form::None, (0, 0)),
        };
        KindCache {
            kind: V::KIND,
            strategy: self.strategy,
            form,
            selector: self.filter.map(Filter::selector),
            pinned: false,
            objects,
            bytes,
            decoded_bytes: 0,
            reads: self.counts.reads(),
            misses: self.counts.misses(),
            lists: 0,
            unread: None,
            hit_rate: rate(self.counts.recent()),
            synced: self.feeds.iter().all(|feed| feed.synced() == Synced::Yes),
            age: self.feeds.iter().filter_map(|feed| feed.age()).max().map(Into::into),
        }
    }

    fn recent(&self) -> (u64, u64) {
        self.counts.recent()
    }
}

/// The watches of a kind, for the control API.
pub(super) fn rows(source: &dyn AnySource) -> impl Iterator<Item = Watch> + '_ {
    source.feeds().iter().map(|feed| feed.row())
}
