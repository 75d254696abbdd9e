//! A small live workload, so that the dashboard has something to show: a cluster is created, gets a database,
//! is backed up, scaled out, broken and healed; a second one comes and goes.
//!
//! It only does what a user would do (apply, annotate, delete) and waits for what a user would see (status).
//! A step that fails is written to the log and the next round begins; the dashboard goes on.

use std::{
    fs::File,
    io::Write as _,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, Patch, PatchParams},
};
use neo4j_operator_crds::{Neo4jBackup, Neo4jDatabase, Neo4jEnterpriseCluster};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

const NAMESPACE: &str = "demo";
const MANAGER: &str = "workload";
/// Longest wait for one step; then the round goes on without it.
const STEP_LIMIT: Duration = Duration::from_secs(60);
/// Time between two rounds.
const PAUSE: Duration = Duration::from_secs(10);

/// Runs rounds until it is dropped.
pub async fn run(client: Client, log: PathBuf) {
    let workload = Workload {
        client,
        log: File::create(log).ok().map(|file| Arc::new(Mutex::new(file))),
    };
    if let Err(error) = workload.prepare().await {
        workload.note(&format!("cannot prepare: {error}"));
        return;
    }
    for round in 0_u64.. {
        workload.round(round).await;
        tokio::time::sleep(PAUSE).await;
    }
}

struct Workload {
    client: Client,
    log: Option<Arc<Mutex<File>>>,
}

type Step = Result<(), kube::Error>;

impl Workload {
    fn note(&self, line: &str) {
        if let Some(log) = &self.log {
            let mut file = log.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = writeln!(file, "{} {line}", jiff::Timestamp::now());
        }
    }

    async fn prepare(&self) -> Step {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        self.apply_to(&Api::<Namespace>::all(self.client.clone()), &namespace)
            .await?;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "neo4j-admin-secret"},
            "stringData": {"username": "neo4j", "password": "only-for-this-demo"},
        });
        self.apply::<Secret>(&secret).await
    }

    /// One round of a user's day. The first one builds everything, later ones scale, break and heal.
    async fn round(&self, round: u64) {
        let servers = 3 + round.min(2);
        self.step(
            "the cluster graph",
            self.apply::<Neo4jEnterpriseCluster>(&cluster("graph", servers)),
        )
        .await;
        self.ready::<Neo4jEnterpriseCluster>("graph").await;
        let database = database("orders", "graph", if round == 0 { 1 } else { 3 });
        self.step("the database orders", self.apply::<Neo4jDatabase>(&database))
            .await;
        self.ready::<Neo4jDatabase>("orders").await;
        self.step(
            "a backup of graph",
            self.apply::<Neo4jBackup>(&backup(&format!("graph-{round}"), "graph")),
        )
        .await;
        self.ready::<Neo4jBackup>(&format!("graph-{round}")).await;
        self.step("more load", self.load("graph-server-0", round)).await;
        self.step("a broken server", self.fault("graph-server-1", Some("crash")))
            .await;
        self.not_ready("graph").await;
        self.step("its repair", self.fault("graph-server-1", None)).await;
        self.ready::<Neo4jEnterpriseCluster>("graph").await;
        self.step(
            "the cluster spare",
            self.apply::<Neo4jEnterpriseCluster>(&cluster("spare", 3)),
        )
        .await;
        self.ready::<Neo4jEnterpriseCluster>("spare").await;
        self.step("the end of spare", self.delete::<Neo4jEnterpriseCluster>("spare"))
            .await;
        if let Some(old) = round.checked_sub(3) {
            self.step(
                "the end of an old backup",
                self.delete::<Neo4jBackup>(&format!("graph-{old}")),
            )
            .await;
        }
    }

    async fn step(&self, what: &str, step: impl Future<Output = Step>) {
        match tokio::time::timeout(STEP_LIMIT, step).await {
            Ok(Ok(())) => self.note(&format!("did: {what}")),
            Ok(Err(error)) => self.note(&format!("failed: {what}: {error}")),
            Err(_) => self.note(&format!("no answer: {what}")),
        }
    }

    async fn apply<K>(&self, object: &Value) -> Step
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope> + DeserializeOwned + Clone + std::fmt::Debug,
        K::DynamicType: Default,
    {
        self.apply_to(&Api::<K>::namespaced(self.client.clone(), NAMESPACE), object)
            .await
    }

    async fn apply_to<K>(&self, api: &Api<K>, object: &Value) -> Step
    where
        K: Resource + DeserializeOwned + Clone + std::fmt::Debug,
    {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        api.patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(object))
            .await
            .map(drop)
    }

    async fn delete<K>(&self, name: &str) -> Step
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope> + DeserializeOwned + Clone + std::fmt::Debug,
        K::DynamicType: Default,
    {
        let api = Api::<K>::namespaced(self.client.clone(), NAMESPACE);
        api.delete(name, &DeleteParams::default()).await.map(drop)
    }

    /// Breaks the server of a pod, or heals it.
    async fn fault(&self, pod: &str, fault: Option<&str>) -> Step {
        let api = Api::<Pod>::namespaced(self.client.clone(), NAMESPACE);
        let patch = json!({"metadata": {"annotations": {"devcluster.neo4j.com/fault": fault}}});
        api.patch(pod, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map(drop)
    }

    /// Puts load on a server, another one each round.
    async fn load(&self, pod: &str, round: u64) -> Step {
        let (queries, latency) = (50 + 75 * (round % 4), 5 + 10 * (round % 3));
        let load = format!(
            "queries={queries},latency={latency},connections={},swing=0.3",
            queries / 5
        );
        let api = Api::<Pod>::namespaced(self.client.clone(), NAMESPACE);
        let patch = json!({"metadata": {"annotations": {"devcluster.neo4j.com/load": load}}});
        api.patch(pod, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map(drop)
    }

    async fn ready<K>(&self, name: &str)
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope>
            + DeserializeOwned
            + Serialize
            + Clone
            + std::fmt::Debug,
        K: Send + Sync + 'static,
        K::DynamicType: Default,
    {
        self.wait::<K>(name, "ready", is_ready).await;
    }

    async fn not_ready(&self, name: &str) {
        self.wait::<Neo4jEnterpriseCluster>(name, "not ready", |object| !is_ready(object))
            .await;
    }

    async fn wait<K>(&self, name: &str, what: &str, holds: impl Fn(&Value) -> bool + Send + Sync)
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope>
            + DeserializeOwned
            + Serialize
            + Clone
            + std::fmt::Debug,
        K: Send + Sync + 'static,
        K::DynamicType: Default,
    {
        let api = Api::<K>::namespaced(self.client.clone(), NAMESPACE);
        let condition = |object: Option<&K>| {
            object
                .and_then(|object| serde_json::to_value(object).ok())
                .is_some_and(|object| holds(&object))
        };
        // Boxed: the watch alone is some kilobytes.
        let waited = Box::pin(kube::runtime::wait::await_condition(api, name, condition));
        match tokio::time::timeout(STEP_LIMIT, waited).await {
            Ok(Ok(_)) => self.note(&format!("saw: {name} {what}")),
            Ok(Err(error)) => self.note(&format!("cannot watch {name}: {error}")),
            Err(_) => self.note(&format!("{name} was not {what} in {} s", STEP_LIMIT.as_secs())),
        }
    }
}

/// Whether the condition Ready is true for this generation.
pub fn is_ready(object: &Value) -> bool {
    let generation = &object["metadata"]["generation"];
    object["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| {
            condition["type"] == "Ready"
                && condition["status"] == "True"
                && condition["observedGeneration"] == *generation
        })
}

fn resource(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "neo4j.neo4j.com/v1beta1", "kind": kind,
        "metadata": {"name": name}, "spec": spec,
    })
}

fn cluster(name: &str, servers: u64) -> Value {
    resource(
        "Neo4jEnterpriseCluster",
        name,
        json!({
            "image": {"repo": "neo4j", "tag": "2025.01.0-enterprise"},
            "acceptLicenseAgreement": "eval",
            "topology": {"servers": servers},
            "storage": {"size": "10Gi"},
            "auth": {"adminSecret": "neo4j-admin-secret"},
        }),
    )
}

fn database(name: &str, cluster: &str, primaries: u64) -> Value {
    resource(
        "Neo4jDatabase",
        name,
        json!({"clusterRef": cluster, "name": name, "topology": {"primaries": primaries}}),
    )
}

fn backup(name: &str, cluster: &str) -> Value {
    resource(
        "Neo4jBackup",
        name,
        json!({
            "instanceRef": cluster, "allDatabases": true,
            "storage": {"type": "pvc", "pvc": {"name": "graph-backups", "size": "10Gi"}},
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_of_an_older_generation_does_not_count() {
        let object = |seen| {
            json!({
                "metadata": {"generation": 2},
                "status": {"conditions": [{"type": "Ready", "status": "True", "observedGeneration": seen}]},
            })
        };
        assert!(is_ready(&object(2)));
        assert!(!is_ready(&object(1)));
        assert!(!is_ready(&json!({})));
    }

    #[test]
    fn what_the_workload_applies_decodes_as_our_types() {
        serde_json::from_value::<Neo4jEnterpriseCluster>(cluster("c", 3)).unwrap();
        serde_json::from_value::<Neo4jDatabase>(database("d", "c", 1)).unwrap();
        serde_json::from_value::<Neo4jBackup>(backup("b", "c")).unwrap();
    }
}
