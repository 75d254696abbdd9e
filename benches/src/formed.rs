//! One cluster of three servers that is ready, and a reconciler that is called by hand.
//!
//! Everything around it is what the operator has: stores filled by watches, the executor, the writer of events, a pool of
//! sessions to Neo4j. Only workers are missing: the bench takes their place, so no pass runs that it did not ask for.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use neo4j_devcluster::{
    cluster::{Cluster, Options, Pods},
    neo4j::{self, model::Tuning},
};
use neo4j_operator::{
    cache::{self, Router},
    neo4j::{EndpointResolver, Limits, Registry},
    queue::{Queue, Verdict},
    reconcile::{
        Board, Clock, Context, Done, Events, Executor, Key, Reconciler as _, Requests, Run, StatusWriter,
        cluster::{self, ClusterReconciler},
        executor,
    },
};
use neo4j_operator_crds::Neo4jEnterpriseCluster;
use neo4j_operator_shared::{Kind, Strategy, reconciles::Outcome};
use neo4j_operator_tests::model_driver::ModelDriver;
use serde_json::json;

use crate::{NAMESPACE, in_time, minimal, of_reconciles, prepare};

const NAME: &str = "graph";
const DOMAIN: &str = "cluster.local";
/// As the operator's default.
const DRIFT_CHECK: Duration = Duration::from_secs(300);

/// Which of the two reconcilers makes a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Leaves an unchanged cluster alone, as the operator does between two drift checks.
    WhenChanged,
    /// Compares everything each time, as the operator does at a drift check.
    Always,
}

/// One pass.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// How long it took.
    pub took: Duration,
    /// How it ended.
    pub done: Done,
}

/// The cluster and all that is around it.
pub struct Formed {
    cluster: Cluster,
    client: Client,
    context: Context,
    queue: Queue,
    key: Key,
    when_changed: ClusterReconciler,
    always: ClusterReconciler,
}

impl Formed {
    /// Starts it and forms the cluster, until a pass has nothing to do.
    pub async fn start() -> anyhow::Result<Self> {
        in_time("forming", Box::pin(Self::begin())).await
    }

    async fn begin() -> anyhow::Result<Self> {
        let cluster = Cluster::start(Options::in_process(Pods::Neo4j(quick()))).await?;
        prepare(&cluster).await?;
        let client = cluster.client(NAMESPACE);
        let queue = Queue::default();
        let formed = Self {
            context: context(&cluster, &client, &queue)?,
            cluster,
            client,
            queue,
            key: Key {
                kind: Kind::Neo4jEnterpriseCluster,
                namespace: NAMESPACE.into(),
                name: NAME.into(),
            },
            when_changed: reconciler(DRIFT_CHECK),
            always: reconciler(Duration::ZERO),
        };
        formed.context.cache.synced().await;
        formed
            .api()
            .create(&kube::api::PostParams::default(), &minimal(NAME)?)
            .await?;
        formed.settle().await?;
        // It has to see the objects once before it can tell that nobody changed them.
        formed.pass(Check::Always).await?;
        Ok(formed)
    }

    /// Stops everything.
    pub async fn stop(self) {
        self.context.cache.stop().await;
        self.context.neo4j.close();
        self.cluster.stop().await;
    }

    fn api(&self) -> Api<Neo4jEnterpriseCluster> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// One pass over the cluster.
    pub async fn pass(&self, check: Check) -> anyhow::Result<Pass> {
        let reconciler = match check {
            Check::WhenChanged => &self.when_changed,
            Check::Always => &self.always,
        };
        let now = self.context.now();
        let mut run = Run::begin(self.key.kind, NAMESPACE, NAME, "bench", Duration::ZERO, now);
        let began = Instant::now();
        let done = reconciler.reconcile(&self.context, &self.key, &mut run).await?;
        let took = began.elapsed();
        Ok(Pass { took, done })
    }

    /// Passes until one has nothing to do, each when the one before asked for it or something changed.
    pub async fn settle(&self) -> anyhow::Result<()> {
        let passes = async {
            loop {
                // A pass that lost a race with the controllers is made again, as a worker would.
                let rest = match self.pass(Check::WhenChanged).await {
                    Ok(pass) if pass.done.outcome == Outcome::Skipped => return Ok(()),
                    Ok(pass) if pass.done.outcome == Outcome::Converged => Duration::ZERO,
                    Ok(pass) => pass.done.requeue.unwrap_or(Duration::from_secs(1)),
                    Err(_) => Duration::from_millis(100),
                };
                let _ = tokio::time::timeout(rest, self.woken()).await;
            }
        };
        in_time("settling", passes).await
    }

    /// Waits until a watch finds the cluster worth a pass.
    async fn woken(&self) {
        if let Some(job) = self.queue.next().await {
            self.queue.finish(&job.key, Verdict::Done(None));
        }
    }

    /// Gives the client Service another annotation, and waits until the operator's store has that.
    pub async fn annotate_client_service(&self, value: u64) -> anyhow::Result<()> {
        let patch = json!({"spec": {"service": {"annotations": {"example.com/bench": value.to_string()}}}});
        let changed = self
            .api()
            .patch(NAME, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        let generation = changed.metadata.generation;
        let known = async {
            loop {
                let requests = Requests::default();
                let cache = &self.context.cache;
                let seen = cache
                    .custom::<Neo4jEnterpriseCluster>(NAMESPACE, NAME, &requests)
                    .await?;
                if seen.context("the cluster is gone")?.meta.generation() >= generation {
                    return Ok(());
                }
                self.woken().await;
            }
        };
        in_time("the echo of a change", known).await
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.cluster.server().forget_requests();
    }

    /// Requests of passes since then.
    pub fn requests(&self) -> usize {
        of_reconciles(&self.cluster).count()
    }

    /// Writes of passes since then, as `verb resource/subresource`.
    pub fn writes(&self) -> Vec<String> {
        let writes = of_reconciles(&self.cluster).filter(neo4j_devcluster::apiserver::RequestRecord::is_write);
        writes
            .map(|request| format!("{} {}/{}", request.verb, request.resource, request.subresource))
            .collect()
    }

    /// Checks that a pass left the cluster as it was.
    pub fn ensure_no_writes(&self) -> anyhow::Result<()> {
        let writes = self.writes();
        ensure!(writes.is_empty(), "a pass without a change wrote: {writes:?}");
        Ok(())
    }
}

/// Servers that start as fast as they can: how long they take is not measured here.
fn quick() -> neo4j::Options {
    let soon = Duration::from_millis(10);
    neo4j::Options {
        listen: false,
        tuning: Tuning {
            start: soon,
            database_start: soon,
            election: soon,
            ..Tuning::default()
        },
        ..neo4j::Options::default()
    }
}

fn reconciler(drift_check: Duration) -> ClusterReconciler {
    ClusterReconciler::new(cluster::Options {
        drift_check,
        cluster_domain: DOMAIN.to_owned(),
    })
}

/// What the operator's own start puts together, without workers.
fn context(cluster: &Cluster, client: &Client, queue: &Queue) -> anyhow::Result<Context> {
    let settings = cache::Settings {
        strategy: Strategy::Selective,
        ..cache::Settings::default()
    };
    let cache = Router::start(client.clone(), &settings, queue.clone(), Arc::new(()));
    let executor = Executor::new(client.clone(), executor::Options::default()).telling(cache.clone());
    let clock: Clock = Arc::new(Timestamp::now);
    let (events, writer) = Events::new(executor.clone(), Arc::clone(&clock));
    tokio::spawn(writer.run());
    let fake = cluster.neo4j().context("no fake Neo4j")?;
    let resolver = EndpointResolver::PodIp {
        cluster_domain: DOMAIN.into(),
    };
    Ok(Context {
        client: client.clone(),
        cache,
        status: StatusWriter::new(executor.clone()),
        executor,
        events,
        board: Board::new(Vec::new()),
        neo4j: Registry::new(Arc::new(ModelDriver(Arc::clone(fake))), resolver, Limits::default()),
        clock,
    })
}
