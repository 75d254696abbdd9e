//! A cluster with an operator in front of it, in a namespace of its own, and what tests ask of it. The cluster is
//! embedded or real, as `TARGET` says.
//!
//! Everything is waited for by a condition with a deadline; a condition that does not come true ends the test
//! with the object as it was last seen and the last lines of the operator's log.

use std::{
    collections::BTreeMap,
    fmt::Display,
    path::{Path, PathBuf},
    time::Duration,
};

use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
    core::GroupVersionKind,
    discovery::{self, Discovery, verbs},
};
use neo4j_operator_crds::examples::{Example, accepted};
use neo4j_operator_tests::{
    harness::{Daemon, DaemonOptions, TestCluster, target::Target, wait_until},
    rights::{self, Scope},
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longest wait for a condition. Most hold within a second; a machine under load takes longer.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const CLUSTER: &str = "Neo4jEnterpriseCluster";

/// The field manager that tests write with, as a user would with kubectl.
const USER: &str = "a-user";
/// Where an operator of all namespaces lives.
const HOME: &str = "neo4j-operator-system";

/// What the operator looks after, and so which of the shipped roles it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// All namespaces, with the ClusterRole. Two such operators on one cluster would be in each other's way.
    Everything,
    /// The namespace of the scene, with the Role.
    Namespace,
}

pub struct Scene {
    // Dropped in this order: the operator ends before the cluster that it writes to.
    pub daemon: Option<Daemon>,
    pub cluster: TestCluster,
    pub folder: TempDir,
    /// The scene's own.
    pub namespace: String,
    watched: Watched,
    arguments: Vec<String>,
    /// What the operator reaches the server with; there once it was started.
    operator: Option<PathBuf>,
}

/// Kind, namespace and name of an object.
pub type Id = (String, String, String);

pub fn target() -> Target {
    Target::from_env().unwrap_or_else(fail)
}

impl Scene {
    /// A cluster with an operator of a namespace in front of it, ready.
    pub async fn start(arguments: &[&str]) -> Self {
        let mut scene = Self::without_operator(arguments).await;
        scene.start_operator().await;
        scene
    }

    /// The cluster alone.
    pub async fn without_operator(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cluster = TestCluster::start(target(), folder.path()).await;
        Self::on(cluster.unwrap_or_else(fail), folder, Watched::Namespace, arguments).await
    }

    /// A cluster that nobody else uses, without an operator yet.
    pub async fn alone(watched: Watched) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cluster = TestCluster::start_alone(target(), folder.path()).await;
        Self::on(cluster.unwrap_or_else(fail), folder, watched, &[]).await
    }

    pub async fn on(cluster: TestCluster, folder: TempDir, watched: Watched, arguments: &[&str]) -> Self {
        let mut namespace = format!("scene-{}", uuid::Uuid::new_v4().simple());
        namespace.truncate(14);
        cluster.create_namespace(&namespace).await.unwrap_or_else(fail);
        Self {
            daemon: None,
            cluster,
            folder,
            namespace,
            watched,
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            operator: None,
        }
    }

    /// The user that the operator is to the server.
    pub fn operator_user(&self) -> String {
        rights::user(match self.watched {
            Watched::Everything => HOME,
            Watched::Namespace => &self.namespace,
        })
    }

    /// A kubeconfig for the operator, with the shipped rights.
    pub async fn identity(&mut self) -> PathBuf {
        if let Some(kubeconfig) = &self.operator {
            return kubeconfig.clone();
        }
        let namespaces = [&*self.namespace];
        let scope = match self.watched {
            Watched::Everything => Scope::Cluster(HOME),
            Watched::Namespace => Scope::Namespaces(&namespaces),
        };
        let kubeconfig = self.cluster.operator(scope, self.folder.path()).await;
        self.operator.insert(kubeconfig.unwrap_or_else(fail)).clone()
    }

    /// Starts the operator; one that ran before gives its addresses on.
    pub async fn start_operator(&mut self) {
        let arguments = self.arguments.clone();
        self.start_operator_with(arguments).await;
    }

    /// The same with other arguments.
    pub async fn start_operator_with(&mut self, mut arguments: Vec<String>) {
        if self.watched == Watched::Namespace {
            arguments.push(format!("--watch-namespace={}", self.namespace));
        }
        let options = DaemonOptions {
            arguments,
            usual_ports: false,
            addresses: self.daemon.as_ref().map(Daemon::addresses),
        };
        let kubeconfig = self.identity().await;
        let daemon = Daemon::start(&kubeconfig, self.folder.path(), &options).await;
        self.daemon = Some(daemon.unwrap_or_else(fail));
    }

    pub fn operator(&self) -> &Daemon {
        self.daemon.as_ref().unwrap()
    }

    /// Ends the operator with SIGKILL; its addresses are kept for the next start.
    pub fn kill_operator(&mut self) {
        self.daemon.as_mut().unwrap().process.kill();
    }

    pub fn client(&self) -> Client {
        self.cluster.client()
    }

    pub fn api(&self, kind: &str) -> Api<DynamicObject> {
        let (group, version) = match kind {
            "Neo4jEnterpriseCluster" | "Neo4jDatabase" | "Neo4jBackup" => ("neo4j.neo4j.com", "v1beta1"),
            "StatefulSet" => ("apps", "v1"),
            "Job" | "CronJob" => ("batch", "v1"),
            "PodDisruptionBudget" => ("policy", "v1"),
            _ => ("", "v1"),
        };
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.client(), &self.namespace, &resource)
    }

    /// Applies an object as a user does. Returns what the server stored.
    pub async fn apply(&self, object: &Value) -> Value {
        let (kind, name) = (text(object, "/kind"), text(object, "/metadata/name"));
        let parameters = PatchParams {
            field_validation: Some(kube::api::ValidationDirective::Strict),
            ..PatchParams::apply(USER).force()
        };
        let applied = self.api(kind).patch(name, &parameters, &Patch::Apply(object)).await;
        value(applied.unwrap_or_else(|error| panic!("{kind}/{name} is refused: {error}")))
    }

    /// Merges a patch into an object.
    pub async fn merge(&self, kind: &str, name: &str, patch: Value) -> Value {
        let parameters = PatchParams {
            field_manager: Some(USER.to_owned()),
            ..PatchParams::default()
        };
        let merged = self.api(kind).patch(name, &parameters, &Patch::Merge(patch)).await;
        value(merged.unwrap_or_else(|error| panic!("{kind}/{name} cannot be changed: {error}")))
    }

    pub async fn get(&self, kind: &str, name: &str) -> Option<Value> {
        self.api(kind).get_opt(name).await.unwrap().map(value)
    }

    pub async fn list(&self, kind: &str) -> Vec<Value> {
        let listed = self.api(kind).list(&ListParams::default()).await.unwrap();
        listed.items.into_iter().map(value).collect()
    }

    pub async fn delete(&self, kind: &str, name: &str) {
        let deleted = self.api(kind).delete(name, &DeleteParams::default()).await;
        deleted.unwrap_or_else(|error| panic!("{kind}/{name} cannot be deleted: {error}"));
    }

    /// Waits until an object is there and a condition of it holds.
    pub async fn wait(&self, kind: &str, name: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let seen = std::cell::RefCell::new(None);
        let waited = wait_until(what, PATIENCE, || async {
            let object = self.get(kind, name).await;
            let found = object.as_ref().is_some_and(&holds);
            seen.replace(object);
            Ok(found.then_some(()))
        });
        if let Err(error) = waited.await {
            let seen = seen.borrow().clone().unwrap_or_default();
            panic!(
                "{kind}/{name}: {error}\nspec: {:#}\nstatus: {:#}\nthe operator says:\n{}",
                seen["spec"],
                seen["status"],
                self.daemon
                    .as_ref()
                    .map(|daemon| daemon.process.tail())
                    .unwrap_or_default()
            );
        }
        seen.into_inner().unwrap()
    }

    pub async fn wait_ready(&self, kind: &str, name: &str) -> Value {
        self.wait(kind, name, "Ready=True", is_ready).await
    }

    pub async fn wait_gone(&self, kind: &str, name: &str) {
        self.wait_for(&format!("an end of {kind}/{name}"), async || {
            self.get(kind, name).await.is_none().then_some(())
        })
        .await;
    }

    /// Waits until anything holds.
    pub async fn wait_for<T>(&self, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            let log = self
                .daemon
                .as_ref()
                .map(|daemon| daemon.process.tail())
                .unwrap_or_default();
            assert!(
                tokio::time::Instant::now() < until,
                "{what} did not happen; the operator says:\n{log}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until an operator that has just been started has done a whole pass over a cluster.
    pub async fn wait_for_a_pass(&self, name: &str) -> Value {
        let path = format!("/v1/reconciles?kind={CLUSTER}&namespace={}&name={name}", self.namespace);
        self.wait_for(&format!("a reconcile of {name}"), async || {
            let answer = self.operator().control(&path).await?;
            let settled = |record: &&Value| record["outcome"] == "converged" || record["outcome"] == "waiting";
            answer["items"].as_array()?.iter().find(settled).cloned()
        })
        .await
    }

    /// Every object of every kind that can be listed, as it is now: those of the whole server where it is embedded, and those
    /// of our namespace with its volumes on a real one, which runs other tests too and keeps house in other places.
    pub async fn inventory(&self) -> BTreeMap<Id, Value> {
        let discovery = Discovery::new(self.client()).run().await.unwrap();
        let whole = self.cluster.target().is_embedded();
        let mut found = BTreeMap::new();
        for (resource, capabilities) in discovery
            .groups()
            .flat_map(kube::discovery::ApiGroup::recommended_resources)
        {
            let namespaced = matches!(capabilities.scope, discovery::Scope::Namespaced);
            if !capabilities.supports_operation(verbs::LIST)
                || !(whole || namespaced || resource.kind == "PersistentVolume")
            {
                continue;
            }
            let api: Api<DynamicObject> = if whole || !namespaced {
                Api::all_with(self.client(), &resource)
            } else {
                Api::namespaced_with(self.client(), &self.namespace, &resource)
            };
            for object in api.list(&ListParams::default()).await.unwrap().items {
                let namespace = if namespaced {
                    object.metadata.namespace.clone().unwrap_or_default()
                } else {
                    String::new()
                };
                let id = (
                    resource.kind.clone(),
                    namespace,
                    object.metadata.name.clone().unwrap_or_default(),
                );
                let object = value(object);
                if whole || namespaced || text(&object, "/spec/claimRef/namespace") == self.namespace {
                    found.insert(id, object);
                }
            }
        }
        found
    }

    /// Events about an object, as their reasons and messages.
    pub async fn events(&self, name: &str) -> Vec<(String, String)> {
        let events = self.list("Event").await;
        let about = events.iter().filter(|event| event["involvedObject"]["name"] == name);
        about
            .map(|event| (text(event, "/reason").to_owned(), text(event, "/message").to_owned()))
            .collect()
    }

    /// Waits for an event with this reason whose message has this text.
    pub async fn wait_event(&self, name: &str, reason: &str, part: &str) {
        self.wait_for(&format!("event {reason} of {name} with {part:?}"), async || {
            let events = self.events(name).await;
            let told = |event: &(String, String)| event.0 == reason && event.1.contains(part);
            events.iter().any(told).then_some(())
        })
        .await;
    }

    /// Applies the smallest cluster under another name and waits until it is ready.
    pub async fn ready_cluster(&self, name: &str) -> Value {
        self.apply(&admin_secret()).await;
        self.apply(&cluster(name)).await;
        self.wait_ready(CLUSTER, name).await
    }
}

pub fn fail<T>(error: impl Display) -> T {
    panic!("{error}")
}

pub fn value(object: DynamicObject) -> Value {
    serde_json::to_value(object).unwrap()
}

/// The text at a JSON pointer, empty where there is none.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub fn folder_of_examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/examples")
}

pub fn examples() -> Vec<Example> {
    accepted(&folder_of_examples()).unwrap()
}

/// Ready for the generation that is there now.
pub fn is_ready(object: &Value) -> bool {
    neo4j_operator_tests::workload::is_ready(object)
        && object["status"]["observedGeneration"] == object["metadata"]["generation"]
}

pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind)
}

pub fn has(object: &Value, kind: &str, status: &str, reason: &str) -> bool {
    condition(object, kind).is_some_and(|found| found["status"] == status && found["reason"] == reason)
}

pub fn admin_secret() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "neo4j-admin-secret"},
        "stringData": {"username": "neo4j", "password": "for-the-tests-only"},
    })
}

/// The smallest cluster of three servers.
pub fn cluster(name: &str) -> Value {
    json!({
        "apiVersion": "neo4j.neo4j.com/v1beta1", "kind": CLUSTER, "metadata": {"name": name},
        "spec": {
            "image": {"repo": "neo4j", "tag": "5.26.12-enterprise"},
            "acceptLicenseAgreement": "eval",
            "topology": {"servers": 3},
            "storage": {"size": "10Gi"},
        },
    })
}
