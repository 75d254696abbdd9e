//! The wiring: starts every part in order, and stops them in the opposite one.
//!
//! Start-up is a sequence of named phases whose times are exported (`config`, `client`, `discovery`,
//! `informers`, `sync`, `controllers`). The listeners open first, so that `/healthz` and a dashboard answer
//! while the rest begins; ready means that the custom resources are known and workers take keys.
//!
//! A stop lets running reconciles end, writes nothing more after that, closes connections and listeners and
//! removes the token file.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use jiff::Timestamp;
use kube::{Client, Config};
use neo4j_operator_shared::status::Listeners;
use tokio::{net::TcpListener, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    acts::CacheActs,
    cache::{self, Router},
    control::{
        self,
        token::{TokenError, TokenFile},
    },
    facts::LiveFacts,
    http::{self, ListenError, facts::Facts as _},
    kube::{
        client,
        scope::{Scope, ScopeError},
    },
    memory::{self, Manager, allocator, host::Process},
    neo4j::{self, Driver, EndpointResolver, Neo4rsDriver, Registry},
    observer::Observer,
    parts::{BoltPool, CachedKind, Events as EventRing, LazyKinds, QueueBrakes, Recorder, Tables, Texts},
    queue::Queue,
    reconcile::{
        Board, Clock, Context, Events, Executor, Reconciler, StatusWriter, backup, cluster, database, executor,
        worker::{self, Workers},
    },
    settings::{Resolver, Settings},
    telemetry::{Telemetry, log::StreamSlot, startup::Startup},
};

/// How long running reconciles may take to end.
const DRAIN: Duration = Duration::from_secs(20);
/// How long stores may take to fill before the operator calls itself ready without them: reads of what is
/// missing go to the server.
const SYNC_PATIENCE: Duration = Duration::from_secs(20);
/// How long the API server may take to answer at the start, before the watches go on asking.
const DISCOVERY_PATIENCE: Duration = Duration::from_secs(5);

/// Why the operator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The token file.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// `--watch-namespace`.
    #[error("--watch-namespace: {0}")]
    Scope(#[from] ScopeError),
    /// No cluster to talk to.
    #[error("no Kubernetes cluster: {0}; set KUBECONFIG, or run in a cluster")]
    Config(#[from] kube::config::InferConfigError),
    /// The client of the API server.
    #[error("no client of the API server: {0}")]
    Client(Box<kube::Error>),
    /// The metrics registry.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// An address of a listener.
    #[error("address of a listener: {0}")]
    Address(std::io::Error),
}

/// What the operator is given instead of making it itself: tests bring their own.
#[derive(Default)]
pub struct Given {
    /// Client of the API server; without it the one of the kubeconfig or of the cluster.
    pub client: Option<Client>,
    /// How Neo4j is reached; without it over Bolt.
    pub driver: Option<Arc<dyn Driver>>,
    /// Wall time; without it the system's.
    pub clock: Option<Clock>,
    /// Where warnings of the log become events.
    pub log: StreamSlot,
}

/// The running operator.
pub struct Operator {
    /// What it knows, for whoever asks in the same process.
    pub facts: Arc<LiveFacts>,
    /// What reconcilers use.
    pub context: Context,
    cache: Router,
    workers: Workers,
    // Removed when the operator is dropped.
    _token: TokenFile,
    tasks: TaskTracker,
    stop: CancellationToken,
}

struct Doors {
    metrics: TcpListener,
    health: TcpListener,
    control: TcpListener,
    addresses: Listeners,
    token: TokenFile,
    secret: control::token::Token,
}

impl Operator {
    /// Starts it. `started` is when the process began.
    pub async fn start(settings: &Settings, given: Given, started: Instant) -> Result<Self, StartError> {
        let scope: Scope = settings.watch_namespace.parse()?;
        let telemetry = Arc::new(Telemetry::new(started, Timestamp::now())?);
        given.log.fill(Arc::clone(&telemetry.stream));
        allocator::log_settings();
        let (memory, keeper) = Manager::new(
            memory_settings(settings),
            Arc::new(Process::default()),
            Arc::clone(&telemetry),
        );
        let doors = open(settings).await?;
        let read_only = Arc::new(AtomicBool::new(settings.read_only));
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let queue = Queue::default();
        let observer = Arc::new(Observer::new(Arc::clone(&telemetry), memory.clone()));
        let board = Board::new(vec![observer.clone()]);
        let facts = Arc::new(LiveFacts::new(
            Arc::clone(&telemetry),
            memory.clone(),
            board.clone(),
            queue.clone(),
            Arc::clone(&read_only),
            settings.cache_strategy,
            scope.names(),
            doors.addresses.clone(),
        ));
        let token = doors.serve(&facts, memory.clone(), &tasks, &stop);
        let brakes = QueueBrakes {
            queue: queue.clone(),
            workers: usize::from(settings.max_concurrent_reconciles),
        };
        tasks.spawn(keeper.run(Arc::new(brakes), stop.clone()));
        telemetry.startup.ended(Startup::Config);

        let client = match given.client {
            Some(client) => client,
            None => connect(observer.clone()).await?,
        };
        telemetry.startup.ended(Startup::Client);
        facts.set_kubernetes(discover(&client).await);
        telemetry.startup.ended(Startup::Discovery);

        let cache_settings = cache_settings(settings, scope);
        let cache = Router::start(client.clone(), &cache_settings, queue.clone(), observer.clone());
        facts.set_cache(cache.clone());
        facts.set_acts(Arc::new(CacheActs::new(cache.clone())));
        telemetry.startup.ended(Startup::Informers);
        let context = context(
            settings,
            client,
            &cache,
            board,
            read_only,
            given.driver,
            given.clock,
            &tasks,
            &stop,
        );
        memory.register(Arc::new(BoltPool(context.neo4j.clone())));
        for kind in cache.kinds() {
            let cache = cache.clone();
            memory.register(Arc::new(CachedKind { cache, kind }));
        }
        memory.register(Arc::new(LazyKinds(cache.clone())));
        memory.register(Arc::new(Texts));
        memory.register(Arc::new(Tables(queue.clone())));
        memory.register(Arc::new(Recorder(Arc::clone(&telemetry))));
        memory.register(Arc::new(EventRing(Arc::clone(&telemetry))));
        wait_primary(&cache).await;
        telemetry.startup.ended(Startup::Sync);

        let reconcilers: [Arc<dyn Reconciler>; 3] = [
            Arc::new(cluster::ClusterReconciler::new(cluster::Options {
                drift_check: settings.drift_check,
                cluster_domain: settings.cluster_domain.clone(),
            })),
            Arc::new(database::DatabaseReconciler {
                deletion_grace: settings.deletion_grace,
            }),
            Arc::new(backup::BackupReconciler::new(backup::Options {
                operator_image: settings.operator_image.clone(),
                cluster_domain: settings.cluster_domain.clone(),
            })),
        ];
        let workers = Workers::start(queue, context.clone(), reconcilers, observer, worker_settings(settings));
        telemetry.startup.ended(Startup::Controllers);
        tasks.spawn(become_ready(
            Arc::clone(&facts),
            cache.clone(),
            Arc::clone(&telemetry),
            stop.clone(),
        ));
        tasks.close();
        Ok(Self {
            facts,
            context,
            cache,
            workers,
            _token: token,
            tasks,
            stop,
        })
    }

    /// Stops it: running reconciles may end, then everything else does.
    pub async fn stop(self) {
        self.facts.set_ready(false);
        if !self.workers.stop(DRAIN).await {
            tracing::warn!(
                "reconciles were still running after {} s and were cut off",
                DRAIN.as_secs()
            );
        }
        self.cache.stop().await;
        self.context.neo4j.close();
        self.stop.cancel();
        // The writer of events ends with the last publisher.
        drop(self.context);
        let _ = tokio::time::timeout(Duration::from_secs(5), self.tasks.wait()).await;
    }
}

fn cache_settings(settings: &Settings, scope: Scope) -> cache::Settings {
    cache::Settings {
        strategy: settings.cache_strategy,
        overrides: settings.cache_strategy_for.iter().copied().collect(),
        selectors: settings.cache_selector.iter().cloned().collect(),
        scope,
        budgets: cache::Budgets {
            total: settings.cache_budget,
            kinds: settings.cache_budget_for.iter().copied().collect(),
        },
        limits: cache::Limits {
            workers: usize::from(settings.warmup_workers),
            pause: settings.cache_switch_pause,
            compare_after: settings.cache_compare_after,
            ..cache::Limits::default()
        },
    }
}

fn worker_settings(settings: &Settings) -> worker::Settings {
    worker::Settings {
        workers: usize::from(settings.max_concurrent_reconciles),
        resync: settings.resync,
        ..worker::Settings::default()
    }
}

fn memory_settings(settings: &Settings) -> memory::manager::Settings {
    memory::manager::Settings {
        limit: settings.memory_limit,
        interval: settings.memory_interval,
        enabled: settings.enable_memory_manager,
        ..memory::manager::Settings::default()
    }
}

/// Opens the listeners and leaves the token.
async fn open(settings: &Settings) -> Result<Doors, StartError> {
    let in_cluster = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let health = http::listen("health checks", "--health-addr", settings.health(in_cluster)).await?;
    let metrics = http::listen("metrics", "--metrics-addr", settings.metrics_addr).await?;
    let control = http::listen("the control API", "--control-addr", settings.control_addr).await?;
    let address = |listener: &TcpListener| listener.local_addr().map_err(StartError::Address);
    let (health_at, metrics_at, control_at) = (address(&health)?, address(&metrics)?, address(&control)?);
    let path = match &settings.control_token_file {
        Some(path) => path.clone(),
        None => usual_token_file(control_at),
    };
    let (token, secret) = TokenFile::create(&path)?;
    Ok(Doors {
        metrics,
        health,
        control,
        addresses: Listeners {
            metrics: metrics_at.to_string(),
            health: health_at.to_string(),
            control: control_at.to_string(),
        },
        token,
        secret,
    })
}

fn usual_token_file(control: SocketAddr) -> std::path::PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(std::path::PathBuf::from);
    let uid = rustix::process::getuid().as_raw();
    neo4j_operator_shared::token::file(runtime.as_deref(), uid, control.port())
}

impl Doors {
    fn serve(
        self,
        facts: &Arc<LiveFacts>,
        memory: Manager,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> TokenFile {
        let acts: control::acts::SharedActs = facts.clone();
        let facts: http::facts::SharedFacts = facts.clone();
        tracing::info!(
            metrics = self.addresses.metrics,
            health = self.addresses.health,
            control = self.addresses.control,
            token_file = %self.token.path().display(),
            "listening"
        );
        tasks.spawn(http::serve(self.metrics, http::metrics(facts.clone()), stop.clone()));
        tasks.spawn(http::serve(self.health, http::health(facts.clone()), stop.clone()));
        let control = control::router(facts, acts, memory, self.secret, stop.clone());
        tasks.spawn(http::serve(self.control, control, stop.clone()));
        self.token
    }
}

async fn connect(observer: Arc<Observer>) -> Result<Client, StartError> {
    let config = Config::infer().await?;
    client::connect(config, &client::Limits::default(), observer).map_err(StartError::Client)
}

/// Asks for the version and whether our resources are served. Neither is needed to go on: the watches wait
/// for what is missing; but a person should know what it is.
async fn discover(client: &Client) -> Option<String> {
    let ask = async {
        let version = client.apiserver_version().await?;
        let served = client.list_api_group_resources("neo4j.neo4j.com/v1beta1").await;
        Ok::<_, kube::Error>((version.git_version, served.is_ok()))
    };
    match tokio::time::timeout(DISCOVERY_PATIENCE, ask).await {
        Ok(Ok((version, served))) => {
            if !served {
                tracing::warn!(
                    "the API server does not serve neo4j.neo4j.com/v1beta1: apply crds/manifests; waiting for it"
                );
            }
            Some(version)
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "the API server does not answer yet; trying on");
            None
        }
        Err(_) => {
            tracing::warn!("the API server does not answer yet; trying on");
            None
        }
    }
}

#[allow(clippy::too_many_arguments)] // each is made by one line of the start, and only here they meet
fn context(
    settings: &Settings,
    client: Client,
    cache: &Router,
    board: Board,
    read_only: Arc<AtomicBool>,
    driver: Option<Arc<dyn Driver>>,
    clock: Option<Clock>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Context {
    let clock = clock.unwrap_or_else(|| Arc::new(Timestamp::now));
    let executor = Executor::new(
        client.clone(),
        executor::Options {
            batch: settings.enable_batch_operations,
            read_only,
            ..executor::Options::default()
        },
    )
    .telling(cache.clone());
    let switch = Arc::clone(executor.read_only_switch());
    let (events, writer) = Events::new(executor.clone(), Arc::clone(&clock));
    tasks.spawn(writer.run());
    let cluster_domain: Arc<str> = settings.cluster_domain.as_str().into();
    let resolver = match settings.endpoint_resolver {
        Resolver::Dns => EndpointResolver::Dns { cluster_domain },
        Resolver::PodIp => EndpointResolver::PodIp { cluster_domain },
    };
    let limits = neo4j::Limits {
        per_endpoint: usize::from(settings.pool_max_per_endpoint),
        acquire: settings.pool_acquire_timeout,
        ..neo4j::Limits::default()
    };
    let driver = driver.unwrap_or_else(|| Arc::new(Neo4rsDriver));
    let neo4j = Registry::new(driver, resolver, limits);
    neo4j.obey(switch);
    let (sweeping, stopped) = (neo4j.clone(), stop.clone());
    tasks.spawn(async move {
        tokio::select! {
            () = sweeping.maintain() => {}
            () = stopped.cancelled() => {}
        }
    });
    Context {
        client,
        cache: cache.clone(),
        status: StatusWriter::new(executor.clone()),
        executor,
        events,
        board,
        neo4j,
        clock,
    }
}

/// Waits for the custom resources as long as it takes, and says what it waits for.
async fn wait_primary(cache: &Router) {
    let synced = cache.primary_synced();
    tokio::pin!(synced);
    loop {
        tokio::select! {
            () = &mut synced => return,
            () = tokio::time::sleep(SYNC_PATIENCE) => {
                tracing::warn!("still waiting for the lists of custom resources; see /v1/watches");
            }
        }
    }
}

/// Ready once the stores are filled, or without those that are not after a while.
async fn become_ready(facts: Arc<LiveFacts>, cache: Router, telemetry: Arc<Telemetry>, stop: CancellationToken) {
    let mut complete = true;
    tokio::select! {
        () = cache.synced() => {}
        () = tokio::time::sleep(SYNC_PATIENCE) => {
            complete = false;
            tracing::warn!("ready, but not every kind is synced: reads of the others go to the server; see /v1/watches");
        }
        () = stop.cancelled() => return,
    }
    telemetry.startup.ended(Startup::Ready);
    // With nothing reconciled yet, this measures what the operator takes by itself.
    telemetry.goals(facts.goal_inputs());
    facts.set_ready(true);
    tracing::info!(seconds = telemetry.startup.seconds(Startup::Ready), "ready");
    if !complete {
        tokio::select! {
            () = cache.synced() => {}
            () = stop.cancelled() => return,
        }
    }
    telemetry.startup.ended(Startup::FullSync);
}
