//! Joins the parts of the operator for those who ask about it, and passes what happens on to telemetry.

use std::sync::{
    Arc, OnceLock, PoisonError, RwLock,
    atomic::{AtomicBool, Ordering},
};

use futures::future::BoxFuture;
use neo4j_operator_shared::{
    Kind, Strategy,
    cache::{Cache, WarmupRequest, Warmups},
    clusters::Cluster,
    memory::Memory,
    status::Listeners,
    switch::{Operation, QuantityError, Strategies, SwitchRequest},
    watches::WatchList,
};

use crate::{
    cache::Router,
    control::acts::{Acts, Refusal, SharedActs, SwitchAnswer},
    http::facts::{Facts, ResourceReady},
    memory::Manager,
    queue::{Figures, Queue},
    reconcile::Board,
    telemetry::Telemetry,
};

/// What the running operator knows.
pub struct LiveFacts {
    telemetry: Arc<Telemetry>,
    memory: Manager,
    board: Board,
    queue: Queue,
    cache: OnceLock<Router>,
    acts: OnceLock<SharedActs>,
    ready: AtomicBool,
    read_only: Arc<AtomicBool>,
    strategy: Strategy,
    namespaces: Vec<String>,
    listeners: Listeners,
    kubernetes: RwLock<Option<String>>,
}

impl LiveFacts {
    /// Knows everything but the cache, which comes later.
    #[allow(clippy::too_many_arguments)] // each is made by one line of the start, and only here they meet
    pub fn new(
        telemetry: Arc<Telemetry>,
        memory: Manager,
        board: Board,
        queue: Queue,
        read_only: Arc<AtomicBool>,
        strategy: Strategy,
        namespaces: Vec<String>,
        listeners: Listeners,
    ) -> Self {
        Self {
            telemetry,
            memory,
            board,
            queue,
            cache: OnceLock::new(),
            acts: OnceLock::new(),
            ready: AtomicBool::new(false),
            read_only,
            strategy,
            namespaces,
            listeners,
            kubernetes: RwLock::new(None),
        }
    }

    /// The cache has begun.
    pub fn set_cache(&self, cache: Router) {
        // Only the start calls this, once.
        let _ = self.cache.set(cache);
    }

    /// From now on the cache can be changed.
    pub fn set_acts(&self, acts: SharedActs) {
        let _ = self.acts.set(acts);
    }

    fn acts(&self) -> Result<&SharedActs, Refusal> {
        self.acts
            .get()
            .ok_or_else(|| Refusal::NotYet("the cache has not begun yet; ask again in a moment".to_owned()))
    }

    /// It can reconcile, or no longer.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::SeqCst);
    }

    /// The API server has said its version.
    pub fn set_kubernetes(&self, version: Option<String>) {
        *self.kubernetes.write().unwrap_or_else(PoisonError::into_inner) = version;
    }
}

impl Facts for LiveFacts {
    fn ready(&self) -> bool {
        self.ready.load(Ordering::SeqCst)
    }

    fn read_only(&self) -> bool {
        self.read_only.load(Ordering::Relaxed)
    }

    fn strategy(&self) -> Strategy {
        self.cache().strategy
    }

    fn cache(&self) -> Cache {
        self.cache.get().map_or_else(
            || Cache {
                strategy: self.strategy,
                ..Cache::default()
            },
            Router::snapshot,
        )
    }

    fn memory(&self) -> Memory {
        self.memory.memory()
    }

    fn cache_errors(&self) -> Vec<QuantityError> {
        self.cache.get().map(Router::errors).unwrap_or_default()
    }

    fn watches(&self) -> WatchList {
        self.cache.get().map(Router::watches).unwrap_or_default()
    }

    fn queue(&self) -> Figures {
        self.queue.figures()
    }

    fn clusters(&self) -> Vec<Arc<Cluster>> {
        self.board.list()
    }

    fn resources(&self) -> Vec<ResourceReady> {
        let clusters = self.board.list().into_iter().map(|cluster| ResourceReady {
            kind: Kind::Neo4jEnterpriseCluster,
            cluster: format!("{}/{}", cluster.namespace, cluster.name),
            ready: cluster.ready,
        });
        let dependents = self.board.dependents().into_iter().map(|dependent| ResourceReady {
            kind: dependent.kind,
            cluster: dependent.cluster,
            ready: dependent.ready,
        });
        clusters.chain(dependents).collect()
    }

    fn listeners(&self) -> Listeners {
        self.listeners.clone()
    }

    fn namespaces(&self) -> Vec<String> {
        self.namespaces.clone()
    }

    fn kubernetes(&self) -> Option<String> {
        self.kubernetes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }
}

/// The control API is open before there is a cache: until then changes of it are refused.
impl Acts for LiveFacts {
    fn switch(&self, request: SwitchRequest) -> BoxFuture<'_, Result<SwitchAnswer, Refusal>> {
        match self.acts() {
            Ok(acts) => acts.switch(request),
            Err(refusal) => Box::pin(std::future::ready(Err(refusal))),
        }
    }

    fn cancel(&self, id: &str) -> Result<Operation, Refusal> {
        self.acts()?.cancel(id)
    }

    fn warm_up(&self, request: WarmupRequest) -> Result<Warmups, Refusal> {
        self.acts()?.warm_up(request)
    }

    fn strategies(&self, kinds: Option<Vec<Kind>>) -> BoxFuture<'_, Result<Strategies, Refusal>> {
        match self.acts() {
            Ok(acts) => acts.strategies(kinds),
            Err(refusal) => Box::pin(std::future::ready(Err(refusal))),
        }
    }
}
