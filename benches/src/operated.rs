//! The whole operator on an API server where nobody plays pods: clusters get as far as waiting for theirs.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use futures::{Stream, StreamExt as _, future};
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::ConfigMap};
use kube::{
    Api, Client,
    api::{ListParams, PostParams, WatchEvent, WatchParams},
};
use neo4j_devcluster::cluster::{Cluster, Options, Pods};
use neo4j_operator::{
    operator::{Given, Operator},
    settings::Settings,
};
use neo4j_operator_crds::Neo4jEnterpriseCluster;
use serde_json::json;
use tempfile::TempDir;

use crate::{NAMESPACE, in_time, minimal, of_reconciles, prepare};

/// The operator with its default settings, and its API server.
pub struct Operated {
    cluster: Cluster,
    operator: Operator,
    client: Client,
    /// Holds the token of the control API.
    _folder: TempDir,
}

/// Clusters that were created at once.
#[derive(Debug)]
pub struct Burst {
    names: Vec<String>,
    /// The revision of the server before the first of them.
    version: String,
    /// From the first create call to the last StatefulSet.
    pub whole: Duration,
    /// From the first create call to each StatefulSet, in the order in which they came.
    pub each: Vec<Duration>,
}

/// Requests by verb and resource.
pub type Counted = BTreeMap<String, usize>;

impl Operated {
    /// Starts both; when it returns, every kind that the operator keeps is synced.
    pub async fn start() -> anyhow::Result<Self> {
        in_time("start", Self::begin()).await
    }

    async fn begin() -> anyhow::Result<Self> {
        let cluster = Cluster::start(Options::in_process(Pods::Nobody)).await?;
        prepare(&cluster).await?;
        let folder = tempfile::tempdir()?;
        let token = folder.path().join("control.token");
        let any = "127.0.0.1:0";
        let settings = Settings::read([
            "neo4j-operator".as_ref(),
            "--metrics-addr".as_ref(),
            any.as_ref(),
            "--health-addr".as_ref(),
            any.as_ref(),
            "--control-addr".as_ref(),
            any.as_ref(),
            "--control-token-file".as_ref(),
            token.as_os_str(),
        ])?;
        let client = cluster.client(NAMESPACE);
        let given = Given {
            client: Some(client.clone()),
            ..Given::default()
        };
        let operator = Operator::start(&settings, given, tokio::time::Instant::now()).await?;
        operator.context.cache.synced().await;
        Ok(Self {
            cluster,
            operator,
            client,
            _folder: folder,
        })
    }

    /// Stops both.
    pub async fn stop(self) {
        self.operator.stop().await;
        self.cluster.stop().await;
    }

    /// Creates clusters of these names at once, and watches until the last has its StatefulSet.
    pub async fn create(&self, names: Vec<String>) -> anyhow::Result<Burst> {
        in_time("create", self.burst(names)).await
    }

    async fn burst(&self, names: Vec<String>) -> anyhow::Result<Burst> {
        let sets: Api<StatefulSet> = Api::namespaced(self.client.clone(), NAMESPACE);
        let clusters: Api<Neo4jEnterpriseCluster> = Api::namespaced(self.client.clone(), NAMESPACE);
        let list = sets.list(&ListParams::default().limit(1)).await?;
        let version = list.metadata.resource_version.context("a list without revision")?;
        let events = sets.watch(&WatchParams::default(), &version).await?;
        let objects = names
            .iter()
            .map(|name| minimal(name))
            .collect::<anyhow::Result<Vec<_>>>()?;
        self.cluster.server().forget_requests();
        let params = PostParams::default();
        let began = Instant::now();
        let created = async {
            let calls = objects.iter().map(|object| clusters.create(&params, object));
            future::try_join_all(calls).await?;
            Ok(())
        };
        let named = |set: &StatefulSet| Some(set.metadata.name.as_deref()?.strip_suffix("-server")?.to_owned());
        let ((), each) = future::try_join(created, seen(events, &names, named, began)).await?;
        Ok(Burst {
            whole: began.elapsed(),
            names,
            version,
            each,
        })
    }

    /// Watches until every cluster of the burst says that it waits for its pods, and counts what reconciles asked of the server
    /// for that since the burst began.
    pub async fn requests_until_waiting(&self, burst: &Burst) -> anyhow::Result<Counted> {
        let clusters: Api<Neo4jEnterpriseCluster> = Api::namespaced(self.client.clone(), NAMESPACE);
        let events = clusters.watch(&WatchParams::default(), &burst.version).await?;
        in_time("waiting for pods", seen(events, &burst.names, waits, Instant::now())).await?;
        let mut counted = Counted::new();
        for request in of_reconciles(&self.cluster) {
            // The create calls of the burst itself.
            if request.verb == "create" && request.resource == "neo4jenterpriseclusters" {
                continue;
            }
            let slash = if request.subresource.is_empty() { "" } else { "/" };
            let what = format!("{} {}{slash}{}", request.verb, request.resource, request.subresource);
            *counted.entry(what).or_default() += 1;
        }
        Ok(counted)
    }

    /// The floor: creates one small object that nobody reconciles.
    pub async fn create_config_map(&self, name: &str) -> anyhow::Result<Duration> {
        let object: ConfigMap = serde_json::from_value(json!({"metadata": {"name": name}, "data": {"key": "value"}}))?;
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), NAMESPACE);
        let began = Instant::now();
        api.create(&PostParams::default(), &object).await?;
        Ok(began.elapsed())
    }
}

/// Waits until each of `names` was picked from an event; the answer is when, in the order in which they came.
async fn seen<K>(
    events: impl Stream<Item = kube::Result<WatchEvent<K>>>,
    names: &[String],
    picks: impl Fn(&K) -> Option<String>,
    began: Instant,
) -> anyhow::Result<Vec<Duration>> {
    let mut missing: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let mut each = Vec::with_capacity(names.len());
    let mut events = pin!(events);
    while !missing.is_empty() {
        let object = match events.next().await.context("the watch ended")?? {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => object,
            WatchEvent::Error(error) => bail!("the watch failed: {error:?}"),
            _ => continue,
        };
        if picks(&object).is_some_and(|name| missing.remove(name.as_str())) {
            each.push(began.elapsed());
        }
    }
    Ok(each)
}

/// The name of a cluster that waits for its pods.
fn waits(cluster: &Neo4jEnterpriseCluster) -> Option<String> {
    let conditions = &cluster.status.as_ref()?.conditions;
    let forming = |reason: &str| reason == "ClusterForming";
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready")?;
    forming(&ready.reason).then(|| cluster.metadata.name.clone())?
}
