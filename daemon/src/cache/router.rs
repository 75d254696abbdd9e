//! The door through which reconcilers read, and what stands behind it.

use std::{collections::BTreeMap, sync::Arc};

use kube::Client;
use neo4j_operator_shared::{
    Kind, Strategy,
    cache::{Cache, KindCache, KindWarmup, WarmupState, Warmups},
    switch::{By, DryRun, Operation, QuantityError, Strategies, SwitchRequest},
    watches::WatchList,
};
use serde::Deserialize as _;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    CacheObserver, SecretMeta,
    adviser::Adviser,
    answer::{Answer, ReadSource},
    backing::{Ground, Keep, synced},
    budgets::Budgets,
    custom::{Custom, CustomKind},
    filter::Selector,
    follow::Follower,
    lazy::Asks,
    live::{Live, ReadError},
    meta::Meta,
    policy::Policy,
    select::Select,
    source::{AnySource, Source},
    switch::{Limits, Refused, Switcher},
    text::intern,
    triggers::Triggers,
    views::View,
};
use crate::{
    kube::scope::Scope,
    queue::Queue,
    reconcile::{Key, Requests},
};

mod start;

use start::{First, begin_to_warm, warm_up};

/// What is kept, and of which namespaces.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The strategy of kinds without one of their own.
    pub strategy: Strategy,
    /// Strategies of single kinds.
    pub overrides: BTreeMap<Kind, Strategy>,
    /// What narrows the selection of a kind.
    pub selectors: BTreeMap<Kind, Selector>,
    /// Namespaces.
    pub scope: Scope,
    /// Bytes that the stores may take.
    pub budgets: Budgets,
    /// Bounds of changes and warm-ups.
    pub limits: Limits,
}

/// Answers reads. Cheap to clone.
#[derive(Clone)]
pub struct Router {
    inner: Arc<Inner>,
}

struct Inner {
    live: Live,
    /// In the order in which they warm up.
    sources: Vec<(Kind, Arc<dyn AnySource>)>,
    watching: Option<Watching>,
}

/// What there is besides direct reads.
struct Watching {
    ground: Ground,
    follower: Follower,
    switcher: Arc<Switcher>,
    adviser: Arc<Adviser>,
    asks: Arc<Asks>,
}

// === impl Router: life ===

impl Router {
    /// A router that keeps nothing and watches nothing: every read asks the server.
    pub fn direct(client: Client) -> Self {
        Self {
            inner: Arc::new(Inner {
                live: Live::new(client),
                sources: Vec::new(),
                watching: None,
            }),
        }
    }

    /// Starts the watches: those of the custom resources at once, the others after one another. What they see
    /// puts keys into the queue.
    pub fn start(client: Client, settings: &Settings, queue: Queue, observer: Arc<dyn CacheObserver>) -> Self {
        let tasks = TaskTracker::new();
        let cancel = CancellationToken::new();
        let triggers = Arc::new(Triggers::new(queue));
        let ground = Ground {
            client: client.clone(),
            scope: settings.scope.clone(),
            triggers: Arc::clone(&triggers),
            observer: Arc::clone(&observer),
            tasks: tasks.clone(),
            cancel: cancel.clone(),
        };
        let policy = Policy {
            default: settings.strategy,
            own: settings.overrides.clone(),
            chosen: BTreeMap::new(),
        };
        let (asks, asked) = Asks::new(Arc::clone(&observer));
        let first = First {
            settings,
            policy: policy.clone(),
            ground: ground.clone(),
            asks: Arc::clone(&asks),
        };
        let sources = first.sources();
        let follower = Follower::new(client.clone(), triggers, tasks.clone(), cancel.child_token());
        tasks.spawn(warm_up(sources.clone(), settings.limits.workers, ground.clone()));
        begin_to_warm(&sources, &asks, asked, &settings.limits, &ground);
        let switcher = Arc::new(Switcher::new(
            sources.clone(),
            policy,
            settings.limits,
            settings.budgets.clone(),
            Arc::clone(&observer),
            tasks.clone(),
            cancel.clone(),
        ));
        let adviser = Arc::new(Adviser::new(
            client.clone(),
            settings.scope.clone(),
            sources.clone(),
            Arc::clone(&switcher),
            observer,
            settings.limits.workers,
        ));
        tasks.spawn(Arc::clone(&adviser).run(cancel));
        Self {
            inner: Arc::new(Inner {
                live: Live::new(client),
                sources,
                watching: Some(Watching {
                    ground,
                    follower,
                    switcher,
                    adviser,
                    asks,
                }),
            }),
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
            synced(&source.feeds()).await;
        }
    }

    /// Waits until every kind is synced. Has no deadline of its own: a kind that is forbidden never is.
    pub async fn synced(&self) {
        for (_, source) in &self.inner.sources {
            synced(&source.feeds()).await;
        }
    }

    /// Ends every watch. Reads go on, from the server as soon as the stores are too old.
    pub async fn stop(&self) {
        if let Some(watching) = &self.inner.watching {
            watching.ground.cancel.cancel();
            watching.ground.tasks.close();
            watching.ground.tasks.wait().await;
        }
    }
}

// === impl Router: reads ===

impl Router {
    fn source<V: View>(&self) -> Option<&Source<V>> {
        let (_, source) = self.inner.sources.iter().find(|(kind, _)| *kind == V::KIND)?;
        source.as_any().downcast_ref()
    }

    /// The object, or `None` if the server has none, with where the answer comes from. It is never older than
    /// what this process wrote or was told before.
    pub async fn read<V: View>(
        &self,
        namespace: &str,
        name: &str,
        requests: &Requests,
    ) -> Result<Answer<Option<Arc<V>>>, ReadError> {
        match self.source::<V>() {
            Some(source) => source.get(&self.inner.live, namespace, name, requests).await,
            None => Source::direct(&self.inner.live, namespace, name, requests).await,
        }
    }

    /// The chosen objects of a namespace, by name, with where the answer comes from.
    pub async fn read_list<V: View>(
        &self,
        namespace: &str,
        select: &Select,
        requests: &Requests,
    ) -> Result<Answer<Vec<Arc<V>>>, ReadError> {
        match self.source::<V>() {
            Some(source) => source.list(&self.inner.live, namespace, select, requests).await,
            None => Source::direct_list(&self.inner.live, namespace, select, requests).await,
        }
    }

    /// [`Router::read`], for whoever needs the object only.
    pub async fn get<V: View>(
        &self,
        namespace: &str,
        name: &str,
        requests: &Requests,
    ) -> Result<Option<Arc<V>>, ReadError> {
        let answer = self.read(namespace, name, requests).await?;
        requests.read(V::KIND, "get", answer.freshness.source);
        Ok(answer.value)
    }

    /// [`Router::read_list`], for whoever needs the objects only.
    pub async fn list<V: View>(
        &self,
        namespace: &str,
        select: &Select,
        requests: &Requests,
    ) -> Result<Vec<Arc<V>>, ReadError> {
        let answer = self.read_list(namespace, select, requests).await?;
        requests.read(V::KIND, "list", answer.freshness.source);
        Ok(answer.value)
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
        .inspect(|_| requests.read(V::KIND, "get", ReadSource::Bypass))
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
        .map(|(objects, _)| objects)
        .inspect(|_| requests.read(V::KIND, "list", ReadSource::Bypass))
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

    /// Notes an own write, with the metadata that the server answered: reads of this object are never older (K52), and
    /// its echo from the watch wakes nobody. If somebody deletes it before a watch has shown it, so that no event ever
    /// tells of it, whom it belongs to is woken all the same.
    pub fn wrote(&self, kind: Kind, metadata: &serde_json::Value) {
        let meta = Meta::deserialize(metadata);
        let Some(meta) = meta.ok().filter(|_| metadata["resourceVersion"].is_string()) else {
            return;
        };
        let owner = self.inner.watching.as_ref();
        let owner = owner.and_then(|watching| watching.ground.triggers.owner(&meta));
        if let Some((_, source)) = self.inner.sources.iter().find(|(known, _)| *known == kind) {
            source.wrote(&meta, owner.as_ref());
        }
    }

    // === references ===

    /// Notes that the reconcile of `key` depends on an object: its changes wake the key. Noting it again is
    /// free. A reference stands until [`Router::forget`].
    pub fn refers(&self, key: &Key, kind: Kind, namespace: &str, name: &str) {
        if let Some(watching) = &self.inner.watching
            && watching.ground.triggers.refers(key, kind, namespace, name)
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
        for (kind, namespace, name) in watching.ground.triggers.forget(key, keep) {
            if Follower::follows(kind) {
                watching.follower.unfollow(kind, &namespace, &name);
            }
        }
    }

    // === changes ===

    /// What a change of strategy would bring.
    pub async fn dry_run(&self, request: &SwitchRequest) -> Result<DryRun, Refused> {
        let watching = self.watching()?;
        watching.switcher.fit(request)?;
        Ok(watching.adviser.dry_run(request).await)
    }

    /// Begins a change of strategy, unless more memory would be needed than there is.
    pub async fn switch(&self, request: &SwitchRequest, by: By) -> Result<Operation, Refused> {
        let watching = self.watching()?;
        watching.switcher.fit(request)?;
        // Before the server is asked for the forecast, and once more after it.
        watching.switcher.may_begin(by)?;
        let forecast = watching.adviser.dry_run(request).await.forecast;
        if let Some(reason) = watching.adviser.too_large(&forecast) {
            return Err(Refused::TooLarge(reason));
        }
        watching.switcher.begin(request, by, Some(forecast))
    }

    /// Cancels a change that is not yet in force.
    pub fn cancel(&self, id: &str) -> Result<Operation, Refused> {
        self.watching()?.switcher.cancel(id)
    }

    /// What each strategy would bring for these kinds, or for all without one of their own; and what came of past
    /// changes.
    pub async fn strategies(&self, kinds: Option<Vec<Kind>>) -> Result<Strategies, Refused> {
        Ok(self.watching()?.adviser.strategies(kinds).await)
    }

    /// Past changes, the newest first.
    pub fn history(&self) -> Vec<Operation> {
        let watching = self.inner.watching.as_ref();
        let record = watching
            .map(|watching| watching.switcher.record().0)
            .unwrap_or_default();
        record.into_iter().map(|record| record.operation).collect()
    }

    /// Mean errors of past forecasts.
    pub fn errors(&self) -> Vec<QuantityError> {
        let watching = self.inner.watching.as_ref();
        watching
            .map(|watching| watching.switcher.record().1)
            .unwrap_or_default()
    }

    fn watching(&self) -> Result<&Watching, Refused> {
        let watching = self.inner.watching.as_ref();
        watching.ok_or_else(|| Refused::Unfit("nothing is kept, so there is nothing to change".to_owned()))
    }

    /// Warms kinds that are not yet; without names all that their strategy keeps, in order.
    pub fn warm(&self, kinds: Option<&[Kind]>) -> Warmups {
        let Some(watching) = &self.inner.watching else {
            return Warmups::default();
        };
        let asked = |kind: &Kind| kinds.is_none_or(|kinds| kinds.contains(kind));
        let sources = self.inner.sources.iter().filter(|(kind, _)| asked(kind));
        let rows = sources.map(|(kind, source)| {
            let (state, objects) = match source.keep() {
                Keep::Keys if source.is_lazy() => {
                    // From now on it counts as in use.
                    source.counts().touch();
                    let queued = watching.asks.insist(*kind);
                    (
                        if queued {
                            WarmupState::Queued
                        } else {
                            WarmupState::Dropped
                        },
                        None,
                    )
                }
                Keep::Keys => (WarmupState::NotKept, None),
                _ if source.is_synced() => (WarmupState::Warm, Some(source.objects())),
                _ => (WarmupState::Queued, None),
            };
            KindWarmup {
                kind: *kind,
                state,
                objects,
            }
        });
        Warmups { kinds: rows.collect() }
    }

    // === memory ===

    fn any(&self, kind: Kind) -> Option<&Arc<dyn AnySource>> {
        let mut sources = self.inner.sources.iter();
        sources.find(|(known, _)| *known == kind).map(|(_, source)| source)
    }

    /// The kinds of which something is kept.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        self.inner.sources.iter().map(|(kind, _)| *kind)
    }

    /// Bytes kept of a kind, and of those the bytes of objects that were decoded for reads.
    pub fn bytes(&self, kind: Kind) -> (u64, u64) {
        self.any(kind).map_or((0, 0), |source| source.bytes())
    }

    /// Drops what was decoded for reads of a kind; the answer is in bytes.
    pub fn evict_decoded(&self, kind: Kind) -> u64 {
        self.any(kind).map_or(0, |source| source.evict_decoded())
    }

    /// Moves what is kept of a kind together; the answer is in bytes of tables that had grown too large.
    pub fn compact(&self, kind: Kind) -> u64 {
        self.any(kind).map_or(0, |source| source.compact())
    }

    /// Bytes of the kinds that are kept because they were read.
    pub fn lazy_bytes(&self) -> u64 {
        let raised = self.inner.sources.iter();
        let raised = raised.filter(|(_, source)| source.is_lazy() && source.keep() != Keep::Keys);
        raised.map(|(_, source)| source.bytes().0).sum()
    }

    /// Lets them go soon: until they are read again.
    pub fn let_go_lazy(&self) {
        if let Some(watching) = &self.inner.watching {
            watching.asks.let_go();
        }
    }

    // === figures ===

    /// Figures for `GET /v1/cache`.
    pub fn snapshot(&self) -> Cache {
        let watching = self.inner.watching.as_ref();
        let policy = watching.map(|watching| watching.switcher.policy()).unwrap_or_default();
        let budgets = watching.map(|watching| watching.switcher.budgets());
        let rows = self.inner.sources.iter().map(|(kind, source)| KindCache {
            budget: budgets.and_then(|budgets| budgets.of(*kind)),
            ..source.row(policy.runs(*kind), policy.set(*kind).1)
        });
        let kinds: Vec<KindCache> = rows.collect();
        Cache {
            strategy: watching.map_or(Strategy::None, |_| policy.default),
            hit_rate: watching.and_then(|watching| watching.switcher.measured().hit_rate),
            objects: kinds.iter().map(|kind| kind.objects).sum(),
            bytes: kinds.iter().map(|kind| kind.bytes).sum(),
            budget: budgets.and_then(|budgets| budgets.total),
            operation: watching.and_then(|watching| watching.switcher.operation()),
            kinds,
        }
    }

    /// The watches for `GET /v1/watches`.
    pub fn watches(&self) -> WatchList {
        let feeds = self.inner.sources.iter().flat_map(|(_, source)| source.all_feeds());
        let mut items: Vec<_> = feeds.map(|feed| feed.row()).collect();
        if let Some(watching) = &self.inner.watching {
            items.extend(watching.follower.rows());
        }
        WatchList { items }
    }
}

#[cfg(test)]
mod advising;
#[cfg(test)]
mod embedded;
#[cfg(test)]
mod switching;
#[cfg(test)]
mod tests;
