//! A namespace of its own for each measurement, so that none finds what another left.

use std::{cell::Cell, time::Duration};

use anyhow::Context as _;
use futures::StreamExt as _;
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{Namespace, Secret},
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
};
use neo4j_operator_crds::Neo4jEnterpriseCluster;
use neo4j_operator_tests::{
    controlplane::{AuditRecord, ControlPlane},
    harness::{install_crds, wait_until},
};
use serde_json::json;

use crate::{ADMIN_SECRET, minimal};

/// How long an operator may take for one StatefulSet before the comparison gives up.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a namespace may take to be emptied by the control plane.
const EMPTYING: Duration = Duration::from_secs(120);

/// The control plane with definitions, and names that were not used yet.
pub struct World<'a> {
    plane: &'a ControlPlane,
    client: Client,
    next: Cell<u32>,
}

/// A namespace in which clusters are created.
pub struct Place {
    client: Client,
    /// Its name.
    pub namespace: String,
}

impl<'a> World<'a> {
    /// Our definitions are there afterwards, whatever a candidate before made of them.
    ///
    /// # Errors
    /// If the server refuses them.
    pub async fn new(plane: &'a ControlPlane) -> anyhow::Result<Self> {
        let client = plane.client();
        install_crds(&client).await?;
        Ok(Self {
            plane,
            client,
            next: Cell::new(0),
        })
    }

    /// A new namespace with a password for clusters.
    ///
    /// # Errors
    /// If the server refuses it.
    pub async fn place(&self) -> anyhow::Result<Place> {
        let namespace = format!("bench-{}", self.next.replace(self.next.get() + 1));
        let object: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}}))?;
        let params = PostParams::default();
        Api::all(self.client.clone()).create(&params, &object).await?;
        let secret: Secret = serde_json::from_value(json!({
            "metadata": {"name": ADMIN_SECRET},
            "stringData": {"username": "neo4j", "password": "only-for-benches"},
        }))?;
        Api::namespaced(self.client.clone(), &namespace)
            .create(&params, &secret)
            .await?;
        Ok(Place {
            client: self.client.clone(),
            namespace,
        })
    }

    /// Every request so far.
    ///
    /// # Errors
    /// If the audit log cannot be read.
    pub fn audit(&self) -> anyhow::Result<Vec<AuditRecord>> {
        let context = "requests are counted from the audit log, which cannot be read";
        self.plane.audit().context(context)
    }
}

impl Place {
    /// Creates a minimal cluster.
    ///
    /// # Errors
    /// If the server refuses it.
    pub async fn create(&self, name: &str) -> anyhow::Result<()> {
        let clusters: Api<Neo4jEnterpriseCluster> = Api::namespaced(self.client.clone(), &self.namespace);
        clusters.create(&PostParams::default(), &minimal(name)?).await?;
        Ok(())
    }

    /// Waits for the next new StatefulSet after the one call made in between.
    ///
    /// The watch is open before `act` runs, so that what is timed is the operator and not our own call.
    ///
    /// # Errors
    /// If none comes in time.
    pub async fn statefulset_after<T>(&self, act: impl AsyncFnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        let sets: Api<StatefulSet> = Api::namespaced(self.client.clone(), &self.namespace);
        let list = sets.list(&ListParams::default().limit(1)).await?;
        let version = list.metadata.resource_version.context("a list without revision")?;
        let events = sets.watch(&WatchParams::default(), &version).await?;
        let mut events = std::pin::pin!(events);
        let done = act().await?;
        let first = async {
            while let Some(event) = events.next().await {
                if matches!(event?, WatchEvent::Added(_)) {
                    return Ok(());
                }
            }
            anyhow::bail!("the watch ended")
        };
        let late = || format!("no StatefulSet within {} s", PATIENCE.as_secs());
        tokio::time::timeout(PATIENCE, first).await.with_context(late)??;
        Ok(done)
    }

    /// Removes the namespace with all that is in it, without any operator's help.
    ///
    /// # Errors
    /// If it is still there after its time.
    pub async fn remove(self) -> anyhow::Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.delete(&self.namespace, &DeleteParams::default()).await?;
        let clusters: Api<Neo4jEnterpriseCluster> = Api::namespaced(self.client.clone(), &self.namespace);
        for cluster in clusters.list(&ListParams::default()).await? {
            let name = cluster.metadata.name.unwrap_or_default();
            let free = json!({"metadata": {"finalizers": null}});
            // Gone in between is what we want.
            let _ = clusters
                .patch(&name, &PatchParams::default(), &Patch::Merge(free))
                .await;
        }
        wait_until("the namespace being emptied", EMPTYING, || {
            let namespaces = namespaces.clone();
            let name = self.namespace.clone();
            async move { Ok(matches!(namespaces.get_opt(&name).await, Ok(None)).then_some(())) }
        })
        .await?;
        Ok(())
    }
}
