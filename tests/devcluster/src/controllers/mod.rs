//! What runs in a cluster besides the API server, as plain kube clients: workload controllers, volume binder, garbage collector, kubelet.
//!
//! Everything here uses the public API only, so it works against a real server as well. Each controller is a pure answer to "what is to
//! be done with this object?" and a thin loop around it: a change in a [`view`] puts a key into a [`queue`], a worker looks at the views
//! and acts through them. Nothing depends on having seen a particular event.

use std::sync::Arc;

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, StatefulSet},
    batch::v1::{CronJob, Job},
    core::v1::{Namespace, PersistentVolume, PersistentVolumeClaim, Pod, Secret},
    policy::v1::PodDisruptionBudget,
    rbac::v1::ClusterRole,
    storage::v1::StorageClass,
};
use kube::Client;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{clock::Clock, events::Events, garbage::Garbage, kinds::Kinds, runtime::Runtime, view::View};

mod aggregation;
pub mod certificates;
pub mod clock;
mod cronjob;
mod disruption;
mod events;
mod garbage;
mod hostpath;
mod job;
mod kinds;
pub mod kubelet;
mod meta;
mod namespaces;
pub mod plain;
mod queue;
pub mod runtime;
mod statefulset;
#[cfg(test)]
mod tests;
mod view;
pub mod volumes;

/// Who writes, in `managedFields`.
const MANAGER: &str = "devcluster";

/// What all controllers work with.
#[derive(Clone)]
struct Context {
    client: Client,
    clock: Clock,
    events: Events,
    views: Arc<Views>,
}

/// The local copies that controllers share: one watch per kind.
struct Views {
    pods: Arc<View<Pod>>,
    claims: Arc<View<PersistentVolumeClaim>>,
    volumes: Arc<View<PersistentVolume>>,
    classes: Arc<View<StorageClass>>,
    stateful_sets: Arc<View<StatefulSet>>,
    revisions: Arc<View<ControllerRevision>>,
    jobs: Arc<View<Job>>,
    cron_jobs: Arc<View<CronJob>>,
    namespaces: Arc<View<Namespace>>,
    secrets: Arc<View<Secret>>,
    budgets: Arc<View<PodDisruptionBudget>>,
    cluster_roles: Arc<View<ClusterRole>>,
}

impl Views {
    fn new(client: &Client) -> Self {
        Self {
            pods: View::new(client.clone()),
            claims: View::new(client.clone()),
            volumes: View::new(client.clone()),
            classes: View::new(client.clone()),
            stateful_sets: View::new(client.clone()),
            revisions: View::new(client.clone()),
            jobs: View::new(client.clone()),
            cron_jobs: View::new(client.clone()),
            namespaces: View::new(client.clone()),
            secrets: View::new(client.clone()),
            budgets: View::new(client.clone()),
            cluster_roles: View::new(client.clone()),
        }
    }

    /// Keeps what a node looks at.
    fn keep_for_node(&self, tasks: &TaskTracker, stop: &CancellationToken) {
        tasks.spawn(Arc::clone(&self.pods).keep(stop.clone()));
        tasks.spawn(Arc::clone(&self.claims).keep(stop.clone()));
        tasks.spawn(Arc::clone(&self.volumes).keep(stop.clone()));
        tasks.spawn(Arc::clone(&self.secrets).keep(stop.clone()));
    }

    /// Keeps what the other controllers look at too.
    fn keep_for_the_rest(&self, tasks: &TaskTracker, stop: &CancellationToken) {
        tasks.spawn(Arc::clone(&self.classes).keep(stop.clone()));
        tasks.spawn(Arc::clone(&self.stateful_sets).keep(stop.clone()));
        tasks.spawn(Arc::clone(&self.revisions).keep(stop.clone()));
        tasks.spawn(Arc::clone(&self.jobs).keep(stop.clone()));
        tasks.spawn(Arc::clone(&self.cron_jobs).keep(stop.clone()));
        tasks.spawn(Arc::clone(&self.namespaces).keep(stop.clone()));
        tasks.spawn(Arc::clone(&self.budgets).keep(stop.clone()));
        tasks.spawn(Arc::clone(&self.cluster_roles).keep(stop.clone()));
    }
}

/// `client` under the controllers' own name, so that a server that counts requests can tell theirs from those of others.
pub fn client(client: Client) -> Client {
    let namespace = client.default_namespace().to_owned();
    let named = tower::service_fn(move |mut request: http::Request<kube::client::Body>| {
        let name = http::HeaderValue::from_static(USER_AGENT);
        request.headers_mut().insert(http::header::USER_AGENT, name);
        let client = client.clone();
        async move { client.send(request).await }
    });
    Client::new(named, namespace)
}

/// The running controllers of a cluster.
#[derive(Debug)]
pub struct Controllers {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Controllers {
    /// Starts all of them against the server that `client` reaches.
    pub fn start(client: Client, clock: Clock, runtime: Arc<dyn Runtime>) -> Self {
        let (controllers, context) = Self::with_a_node(client, clock, runtime);
        let (tasks, stop) = (&controllers.tasks, &controllers.stop);
        tasks.spawn(volumes::run(context.clone(), stop.clone()));
        tasks.spawn(statefulset::run(context.clone(), stop.clone()));
        tasks.spawn(job::run(context.clone(), stop.clone()));
        tasks.spawn(cronjob::run(context.clone(), stop.clone()));
        tasks.spawn(aggregation::run(context.clone(), stop.clone()));
        let garbage = Arc::new(Garbage::default());
        let hears = Arc::clone(&garbage);
        let kinds = Kinds::new(context.client.clone(), move |kind, change| hears.hear(kind, change));
        tasks.spawn(Arc::clone(&kinds).keep(stop.clone()));
        tasks.spawn(garbage::run(garbage, Arc::clone(&kinds), stop.clone()));
        tasks.spawn(disruption::run(context.clone(), Arc::clone(&kinds), stop.clone()));
        context.views.keep_for_the_rest(tasks, stop);
        tasks.spawn(namespaces::run(context, kinds, stop.clone()));
        controllers
    }

    /// Starts only what a real control plane leaves to others: the node, the issuer of certificates, and the end of the volumes
    /// that kube-controller-manager's host-path provisioner has made on this machine.
    pub fn start_node(client: Client, clock: Clock, runtime: Arc<dyn Runtime>) -> Self {
        let (controllers, context) = Self::with_a_node(client, clock, runtime);
        controllers
            .tasks
            .spawn(hostpath::run(context, controllers.stop.clone()));
        controllers
    }

    fn with_a_node(client: Client, clock: Clock, runtime: Arc<dyn Runtime>) -> (Self, Context) {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let (events, write_events) = Events::new(client.clone(), clock, stop.clone());
        tasks.spawn(write_events);
        let views = Arc::new(Views::new(&client));
        let context = Context {
            client,
            clock,
            events,
            views: Arc::clone(&views),
        };
        tasks.spawn(kubelet::run(context.clone(), Arc::clone(&runtime), stop.clone()));
        tasks.spawn(certificates::run(context.clone(), runtime, stop.clone()));
        views.keep_for_node(&tasks, &stop);
        (Self { tasks, stop }, context)
    }

    /// Stops all of them and waits until none is left.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// How the controllers call themselves in their requests.
pub const USER_AGENT: &str = concat!("devcluster-controllers/", env!("CARGO_PKG_VERSION"));

/// Why a reconcile did not get through. It is tried again, unless its object is gone.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused, or could not be reached.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// A request did not end in time.
    #[error("no answer from the API server in time")]
    Deadline,
    /// An object that nothing can be made of.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    fn code(&self) -> Option<(u16, &str)> {
        match self {
            Self::Api(kube::Error::Api(status)) => Some((status.code, status.reason.as_str())),
            _ => None,
        }
    }

    /// The object is not there, or its name belongs to another one now.
    pub fn is_gone(&self) -> bool {
        matches!(self.code(), Some((404, _)))
    }

    /// The object has changed since it was read.
    pub fn is_conflict(&self) -> bool {
        matches!(self.code(), Some((409, reason)) if reason != "AlreadyExists")
    }

    /// The name is taken.
    pub fn is_already_exists(&self) -> bool {
        matches!(self.code(), Some((409, "AlreadyExists")))
    }

    /// The namespace is going away: nothing can be created there, and nothing need be.
    pub fn is_terminating_namespace(&self) -> bool {
        matches!(self, Self::Api(kube::Error::Api(status)) if status.code == 403
            && status.details.iter().flat_map(|details| &details.causes).any(|cause| cause.reason == "NamespaceTerminating"))
    }
}
