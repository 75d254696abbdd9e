//! Clusters that exist before a start, and the requests that the server has seen.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::ConfigMap};
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams},
};
use neo4j_operator_crds::Neo4jEnterpriseCluster;
use neo4j_operator_shared::Strategy;
use neo4j_operator_tests::controlplane::{AuditRecord, ControlPlane};
use serde_json::json;

use super::daemon::Maker;
use crate::compare::world::{Place, World};

/// Without a request for so long, the operator has done what there was to do.
const QUIET: Duration = Duration::from_secs(3);
/// How long the first reconciles of all clusters may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Calls in flight.
const IN_FLIGHT: usize = 16;

/// Clusters in one namespace of a control plane.
pub struct State<'a> {
    plane: &'a ControlPlane,
    place: Place,
    clusters: u32,
}

impl<'a> State<'a> {
    /// Creates the clusters and has them reconciled once. Without a kubelet they get as far as waiting for pods.
    ///
    /// # Errors
    /// If the server refuses one, or the operator does not get that far.
    pub async fn create(plane: &'a ControlPlane, maker: &Maker, clusters: u32) -> anyhow::Result<Self> {
        let place = World::new(plane).await?.place().await?;
        stream::iter(0..clusters)
            .map(|number| {
                let place = &place;
                async move { place.create(&name(number)).await }
            })
            .buffer_unordered(IN_FLIGHT)
            .try_collect::<()>()
            .await?;
        let state = Self { plane, place, clusters };
        let from = state.now()?;
        let mut daemon = maker.start(Strategy::Selective).await?;
        daemon.ready().await?;
        state.quiet(&maker.user, from, PATIENCE).await?;
        daemon.stop().await?;
        let sets: Api<StatefulSet> = Api::namespaced(state.client(), state.namespace());
        let made = sets.list(&ListParams::default()).await?.items.len();
        anyhow::ensure!(made == clusters as usize, "{made} StatefulSets of {clusters} clusters");
        Ok(state)
    }

    /// A client with all rights.
    pub fn client(&self) -> Client {
        self.plane.client()
    }

    /// Where the clusters are.
    pub fn namespace(&self) -> &str {
        &self.place.namespace
    }

    /// Our ConfigMaps, by name.
    ///
    /// # Errors
    /// If the server refuses, or there are none.
    pub async fn config_maps(&self) -> anyhow::Result<Vec<String>> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client(), self.namespace());
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=neo4j-operator");
        let maps = maps.list(&ours).await?.items.into_iter();
        let names: Vec<String> = maps.filter_map(|map| map.metadata.name).collect();
        anyhow::ensure!(!names.is_empty(), "no ConfigMap of ours");
        Ok(names)
    }

    /// Changes an annotation of the Service of every cluster: a change that a reconcile compares all objects for.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn touch(&self, value: &str) -> anyhow::Result<()> {
        stream::iter(0..self.clusters)
            .map(|number| self.touch_one(number, value))
            .buffer_unordered(IN_FLIGHT)
            .try_collect()
            .await
    }

    /// The same change of one cluster; numbers beyond the last begin again with the first.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn touch_one(&self, number: u32, value: &str) -> anyhow::Result<()> {
        let clusters: Api<Neo4jEnterpriseCluster> = Api::namespaced(self.client(), self.namespace());
        let patch = json!({"spec": {"service": {"annotations": {"example.com/bench": value}}}});
        let name = name(number % self.clusters);
        clusters
            .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        Ok(())
    }

    /// The end of the audit log.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn now(&self) -> anyhow::Result<u64> {
        self.plane.audit_end().context("no audit log")
    }

    /// The requests of a user behind this place of the audit log, without watches.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn requests(&self, user: &str, from: u64) -> anyhow::Result<Vec<AuditRecord>> {
        let (mut records, _) = self.plane.audit_from(from).context("no audit log")?;
        records.retain(|record| record.user == user && record.verb != "watch");
        Ok(records)
    }

    /// Waits until a user has asked for nothing for a while, or this long: clusters that wait for pods are looked at again
    /// and again, which without a cache is never quiet.
    ///
    /// # Errors
    /// If the audit log cannot be read.
    pub async fn quiet(&self, user: &str, from: u64, patience: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + patience;
        let (mut seen, mut since) = (self.requests(user, from)?.len(), Instant::now());
        while since.elapsed() < QUIET && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(250)).await;
            let now = self.requests(user, from)?.len();
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
        }
        Ok(())
    }
}

fn name(number: u32) -> String {
    format!("existing-{number:03}")
}
