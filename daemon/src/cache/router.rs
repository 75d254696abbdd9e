//! The door through which reconcilers read, and what stands behind it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kube::Client;
use neo4j_operator_crds::{Neo4jBackup, Neo4jDatabase, Neo4jEnterpriseCluster};
use neo4j_operator_shared::{
    Kind, Strategy,
    cache::{Cache, KindCache},
    watches::WatchList,
};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    ConfigMapView, CronJobView, JobView, PdbView, PodView, PvcView, SecretMeta, ServiceAccountView, ServiceView,
    StatefulSetView,
    counts::rate,
    custom::{Custom, CustomKind},
    follow::Follower,
    live::{Live, ReadError},
    select::Select,
    source::{AnySource, Source, rows, settled, synced},
    text::intern,
    triggers::Triggers,
    views::View,
};
use crate::{
    kube::scope::Scope,
    queue::Queue,
    reconcile::{Key, Requests},
};

/// Kinds that begin to watch at a time, after the custom resources.
const WARM_UPS: usize = 2;
/// How long one kind may hold up the next.
const WARM_UP: Duration = Duration::from_secs(20);

/// What is kept, and of which namespaces.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The strategy of kinds without one of their own.
    pub strategy: Strategy,
    /// Strategies of single kinds.
    pub overrides: BTreeMap<Kind, Strategy>,
    /// Namespaces.
    pub scope: Scope,
}

/// A strategy that this version cannot run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cache strategy {0} is not supported yet: use none or selective")]
pub struct Unsupported(Strategy);

/// Answers reads. Cheap to clone.
#[derive(Clone)]
pub struct Router {
    inner: Arc<Inner>,
}

struct Inner {
    live: Live,
    strategy: Strategy,
    /// In the order in which they warm up.
    sources: Vec<(Kind, Arc<dyn AnySource>)>,
    watching: Option<Watching>,
}

/// What there is besides direct reads.
struct Watching {
    triggers: Arc<Triggers>,
    follower: Follower,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

fn source<V: View>(settings: &Settings) -> (Kind, Arc<dyn AnySource>) {
    let strategy = settings.overrides.get(&V::KIND).copied().unwrap_or(settings.strategy);
    (V::KIND, Arc::new(Source::<V>::new(strategy, &settings.scope)))
}

/// Every kind, in the order in which they warm up: what more of a reconcile waits for comes first.
fn sources(settings: &Settings) -> Vec<(Kind, Arc<dyn AnySource>)> {
    vec![
        source::<Custom<Neo4jEnterpriseCluster>>(settings),
        source::<Custom<Neo4jDatabase>>(settings),
        source::<Custom<Neo4jBackup>>(settings),
        source::<SecretMeta>(settings),
        source::<ServiceView>(settings),
        source::<StatefulSetView>(settings),
        source::<PodView>(settings),
        source::<ConfigMapView>(settings),
        source::<ServiceAccountView>(settings),
        source::<PdbView>(settings),
        source::<PvcView>(settings),
        source::<JobView>(settings),
        source::<CronJobView>(settings),
    ]
}

// === impl Router: life ===

impl Router {
    /// A router that keeps nothing and watches nothing: every read asks the server.
    pub fn direct(client: Client) -> Self {
        Self {
            inner: Arc::new(Inner {
                live: Live::new(client),
                strategy: Strategy::None,
                sources: Vec::new(),
                watching: None,
            }),
        }
    }

    /// Starts the watches: those of the custom resources at once, the others after one another. What they see
    /// puts keys into the queue.
    pub fn start(client: Client, settings: &Settings, queue: Queue) -> Result<Self, Unsupported> {
        for strategy in settings.overrides.values().chain([&settings.strategy]) {
            Self::supports(*strategy)?;
        }
        let tasks = TaskTracker::new();
        let cancel = CancellationToken::new();
        let triggers = Arc::new(Triggers::new(queue));
        let sources = sources(settings);
        let follower = Follower::new(
            client.clone(),
            Arc::clone(&triggers),
            tasks.clone(),
            cancel.child_token(),
        );
        tasks.spawn(warm_up(
            sources.clone(),
            client.clone(),
            Arc::clone(&triggers),
            tasks.clone(),
            cancel.clone(),
        ));
        Ok(Self {
            inner: Arc::new(Inner {
                live: Live::new(client),
                strategy: settings.strategy,
                sources,
                watching: Some(Watching {
                    triggers,
                    follower,
                    tasks,
                    cancel,
                }),
            }),
        })
    }

    /// Whether a strategy can be used.
    pub fn supports(strategy: Strategy) -> Result<(), Unsupported> {
        match strategy {
            Strategy::None | Strategy::Selective => Ok(()),
            other => Err(Unsupported(other)),
        }
    }

    /// Waits until the custom resources are known: from then on keys may be reconciled. Has no deadline of
    /// its own.
    pub async fn primary_synced(&self) {
        for (_, source) in self
            .inner
            .sources
            .iter()
            .filter(|(kind, _)| Kind::PRIMARY.contains(kind))
        {
            synced(source.feeds()).await;
        }
    }

    /// Waits until every kind is synced. Has no deadline of its own: a kind that is forbidden never is.
    pub async fn synced(&self) {
        for (_, source) in &self.inner.sources {
            synced(source.feeds()).await;
        }
    }

    /// Ends every watch. Reads go on, from the server as soon as the stores are too old.
    pub async fn stop(&self) {
        if let Some(watching) = &self.inner.watching {
            watching.cancel.cancel();
            watching.tasks.close();
            watching.tasks.wait().await;
        }
    }
}

/// Starts the watches of all kinds; a kind that does not get ready holds up the next one for a while only.
async fn warm_up(
    sources: Vec<(Kind, Arc<dyn AnySource>)>,
    client: Client,
    triggers: Arc<Triggers>,
    tasks: TaskTracker,
    cancel: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(WARM_UPS));
    for (kind, source) in sources {
        if Kind::PRIMARY.contains(&kind) {
            source.start(&client, &triggers, &tasks, &cancel);
            continue;
        }
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = cancel.cancelled() => return,
        };
        source.start(&client, &triggers, &tasks, &cancel);
        let cancel = cancel.clone();
        tasks.spawn(async move {
            tokio::select! {
                _ = tokio::time::timeout(WARM_UP, settled(source.feeds())) => {}
                () = cancel.cancelled() => {}
            }
            drop(place);
        });
    }
}

// === impl Router: reads ===

impl Router {
    fn source<V: View>(&self) -> Option<&Source<V>> {
        let (_, source) = self.inner.sources.iter().find(|(kind, _)| *kind == V::KIND)?;
        source.as_any().downcast_ref()
    }

    /// The object, or `None` if the server has none. The answer is never older than what this process wrote
    /// or was told before.
    pub async fn get<V: View>(
        &self,
        namespace: &str,
        name: &str,
        requests: &Requests,
    ) -> Result<Option<Arc<V>>, ReadError> {
        match self.source::<V>() {
            Some(source) => source.get(&self.inner.live, namespace, name, requests).await,
            None => self.inner.live.get(namespace, name, requests).await,
        }
    }

    /// The chosen objects of a namespace, by name.
    pub async fn list<V: View>(
        &self,
        namespace: &str,
        select: &Select,
        requests: &Requests,
    ) -> Result<Vec<Arc<V>>, ReadError> {
        match self.source::<V>() {
            Some(source) => source.list(&self.inner.live, namespace, select, requests).await,
            None => self.inner.live.list(namespace, select, requests).await,
        }
    }

    /// Reads one object past every cache: for decisions that cannot be taken back (K53).
    pub async fn live<V: View>(
        &self,
        namespace: &str,
        name: &str,
        requests: &Requests,
    ) -> Result<Option<Arc<V>>, ReadError> {
        match self.source::<V>() {
            Some(source) => source.bypass(&self.inner.live, namespace, name, requests).await,
            None => self.inner.live.get(namespace, name, requests).await,
        }
    }

    /// Lists past every cache.
    pub async fn live_list<V: View>(
        &self,
        namespace: &str,
        select: &Select,
        requests: &Requests,
    ) -> Result<Vec<Arc<V>>, ReadError> {
        match self.source::<V>() {
            Some(source) => source.bypass_list(&self.inner.live, namespace, select, requests).await,
            None => self.inner.live.list(namespace, select, requests).await,
        }
    }

    /// A custom resource.
    pub async fn custom<K: CustomKind>(
        &self,
        namespace: &str,
        name: &str,
        requests: &Requests,
    ) -> Result<Option<Arc<Custom<K>>>, ReadError> {
        self.get(namespace, name, requests).await
    }

    /// The custom resources of one kind in a namespace.
    pub async fn customs<K: CustomKind>(
        &self,
        namespace: &str,
        requests: &Requests,
    ) -> Result<Vec<Arc<Custom<K>>>, ReadError> {
        self.list(namespace, &Select::All, requests).await
    }

    /// The data of a Secret, always from the server: it is never kept (CA9).
    pub async fn secret(
        &self,
        namespace: &str,
        name: &str,
        requests: &Requests,
    ) -> Result<Option<BTreeMap<String, Vec<u8>>>, ReadError> {
        if let Some(source) = self.source::<SecretMeta>() {
            source.count_bypass();
        }
        self.inner.live.secret(namespace, name, requests).await
    }

    /// Notes an own write: reads of this object are never older (K52), and its echo from the watch wakes
    /// nobody.
    pub fn wrote(&self, kind: Kind, namespace: &str, name: &str, resource_version: &str) {
        if let Some((_, source)) = self.inner.sources.iter().find(|(known, _)| *known == kind) {
            source.wrote(namespace, name, resource_version);
        }
    }

    // === references ===

    /// Notes that the reconcile of `key` depends on an object: its changes wake the key. Noting it again is
    /// free. A reference stands until [`Router::forget`].
    pub fn refers(&self, key: &Key, kind: Kind, namespace: &str, name: &str) {
        if let Some(watching) = &self.inner.watching
            && watching.triggers.refers(key, kind, namespace, name)
            && Follower::follows(kind)
        {
            watching.follower.follow(kind, &intern(namespace), &intern(name));
        }
    }

    /// Drops every reference of a key, once its object is gone.
    pub fn forget(&self, key: &Key) {
        self.refers_only(key, &[]);
    }

    /// Drops the references of a key but those in `keep`: when its spec no longer names what it named.
    pub fn refers_only(&self, key: &Key, keep: &[(Kind, &str, &str)]) {
        let Some(watching) = &self.inner.watching else { return };
        for (kind, namespace, name) in watching.triggers.forget(key, keep) {
            if Follower::follows(kind) {
                watching.follower.unfollow(kind, &namespace, &name);
            }
        }
    }

    // === figures ===

    /// Figures for `GET /v1/cache`.
    pub fn snapshot(&self) -> Cache {
        let kinds: Vec<KindCache> = self.inner.sources.iter().map(|(_, source)| source.row()).collect();
        let recent = self.inner.sources.iter().map(|(_, source)| source.recent());
        let recent = recent.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        Cache {
            strategy: self.inner.strategy,
            hit_rate: rate(recent),
            objects: kinds.iter().map(|kind| kind.objects).sum(),
            bytes: kinds.iter().map(|kind| kind.bytes).sum(),
            budget: None,
            operation: None,
            kinds,
        }
    }

    /// The watches for `GET /v1/watches`.
    pub fn watches(&self) -> WatchList {
        let mut items: Vec<_> = self
            .inner
            .sources
            .iter()
            .flat_map(|(_, source)| rows(source.as_ref()))
            .collect();
        if let Some(watching) = &self.inner.watching {
            items.extend(watching.follower.rows());
        }
        WatchList { items }
    }
}

#[cfg(test)]
mod embedded;
#[cfg(test)]
mod tests;
