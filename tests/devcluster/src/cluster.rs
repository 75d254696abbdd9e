//! A whole cluster in one value: API server, controllers and the processes of its pods.
//!
//! [`Cluster::start`] puts them together and waits until pods could run; [`Cluster::stop`] takes them apart again and leaves no task
//! behind. The same composition serves a test in process, under paused time, and the `devcluster` program on loopback.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ServiceAccount, storage::v1::StorageClass},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    runtime::{conditions, wait::await_condition},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    apiserver::{self, Hooks, Listener, NoFaults, Server},
    controllers::{self, Controllers, clock::Clock, runtime::Runtime, volumes::DEFAULT_CLASS},
    neo4j::{self, fake::FakeNeo4j, runtime::NeoRuntime},
    node,
};

/// How long a cluster may take until pods could run.
const READY_DEADLINE: Duration = Duration::from_secs(30);
const READY_STEP: Duration = Duration::from_millis(20);
/// How long a definition may take until it is served.
const ESTABLISHED_DEADLINE: Duration = Duration::from_secs(10);
const MANAGER: &str = "devcluster";

/// The same clock for the server and the controllers.
impl apiserver::Clock for Clock {
    fn now(&self) -> Timestamp {
        Clock::now(self)
    }
}

/// Who plays the processes of pods.
pub enum Pods {
    /// Nobody, and no controllers run: the API server is alone.
    Nobody,
    /// Whoever is given here.
    Played(Arc<dyn Runtime>),
    /// The fake Neo4j. Its clock begins where the cluster's does.
    Neo4j(neo4j::fake::Options),
}

/// What a cluster is made of.
pub struct Options {
    /// Who plays the processes of pods.
    pub pods: Pods,
    /// Where to listen; none: in process only. Port 0 takes any that is free.
    pub listen: Option<SocketAddr>,
    /// What time it is, for everybody.
    pub clock: Clock,
    /// The API server's plan of faults.
    pub hooks: Arc<dyn Hooks>,
    /// Seed of uids and generated names.
    pub seed: u64,
    /// Is told every request to the API server.
    pub listener: Option<Listener>,
}

impl Options {
    /// A cluster in process, from now on, without faults.
    pub fn in_process(pods: Pods) -> Self {
        Self {
            pods,
            listen: None,
            clock: Clock::system(),
            hooks: Arc::new(NoFaults),
            seed: 0,
            listener: None,
        }
    }

    /// The same on a loopback port.
    pub fn on_loopback(pods: Pods, port: u16) -> Self {
        Self {
            listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            ..Self::in_process(pods)
        }
    }
}

/// Why a cluster did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The port cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The fake Neo4j cannot be set up.
    #[error(transparent)]
    Neo4j(#[from] neo4j::fake::SetupError),
    /// Something was not there in time.
    #[error("the cluster was not ready in time: no {missing}")]
    NotReady {
        /// What.
        missing: &'static str,
    },
    /// The API server refused something that a cluster needs.
    #[error("{what}: {source}")]
    Refused {
        /// What was tried.
        what: String,
        /// Why.
        source: kube::Error,
    },
}

/// A running cluster.
pub struct Cluster {
    server: Server,
    address: Option<SocketAddr>,
    controllers: Option<Controllers>,
    neo4j: Option<Arc<FakeNeo4j>>,
    serving: Option<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Cluster {
    /// Starts a cluster and waits until pods could run in it.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let server = Server::new(apiserver::Options {
            clock: Arc::new(options.clock),
            hooks: options.hooks,
            seed: options.seed,
            listener: options.listener,
            ..apiserver::Options::default()
        });
        let stop = CancellationToken::new();
        let (address, serving) = match options.listen {
            Some(address) => {
                let refused = |source| Error::Listen { address, source };
                let listener = TcpListener::bind(address).await.map_err(refused)?;
                let address = listener.local_addr().map_err(refused)?;
                let (server, stop) = (server.clone(), stop.clone());
                let serving = tokio::spawn(async move { server.serve(listener, stop).await });
                (Some(address), Some(serving))
            }
            None => (None, None),
        };
        let client = controllers::client(server.client("default"));
        let (runtime, neo4j): (Option<Arc<dyn Runtime>>, _) = match options.pods {
            Pods::Nobody => (None, None),
            Pods::Played(runtime) => (Some(runtime), None),
            Pods::Neo4j(neo4j) => {
                let epoch = options.clock.now();
                let fake = FakeNeo4j::new(client.clone(), neo4j::fake::Options { epoch, ..neo4j })?;
                (Some(Arc::new(NeoRuntime(Arc::clone(&fake)))), Some(fake))
            }
        };
        let controllers = runtime.map(|runtime| Controllers::start(client, options.clock, runtime));
        let cluster = Self {
            server,
            address,
            controllers,
            neo4j,
            serving,
            stop,
        };
        if cluster.controllers.is_some()
            && let Err(error) = cluster.ready().await
        {
            cluster.stop().await;
            return Err(error);
        }
        Ok(cluster)
    }

    /// A client of the API server, in process.
    pub fn client(&self, namespace: &str) -> Client {
        self.server.client(namespace)
    }

    /// The API server.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The fake Neo4j, where it plays the pods.
    pub fn neo4j(&self) -> Option<&Arc<FakeNeo4j>> {
        self.neo4j.as_ref()
    }

    /// Where it listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The text of a kubeconfig, where it listens.
    pub fn kubeconfig(&self) -> Option<String> {
        self.address.map(|address| self.server.kubeconfig(address))
    }

    /// Applies definitions and waits until they are served.
    pub async fn define(&self, definitions: &[CustomResourceDefinition]) -> Result<(), Error> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client("default"));
        for definition in definitions {
            let name = definition.metadata.name.as_deref().unwrap_or_default();
            let params = PatchParams::apply(MANAGER).force();
            let applied = api.patch(name, &params, &Patch::Apply(definition)).await;
            applied.map_err(|source| Error::Refused {
                what: format!("definition {name}"),
                source,
            })?;
            let established = await_condition(api.clone(), name, conditions::is_crd_established());
            match tokio::time::timeout(ESTABLISHED_DEADLINE, established).await {
                Ok(Ok(_)) => {}
                _ => {
                    return Err(Error::NotReady {
                        missing: "established definition",
                    });
                }
            }
        }
        Ok(())
    }

    /// Stops everything, pods included, and waits until no task is left.
    pub async fn stop(self) {
        if let Some(controllers) = self.controllers {
            controllers.stop().await;
        }
        self.stop.cancel();
        if let Some(serving) = self.serving {
            let _ = serving.await;
        }
    }

    /// Waits for what every pod needs: a node, a class for its claims, an account.
    async fn ready(&self) -> Result<(), Error> {
        let client = self.client("default");
        let classes: Api<StorageClass> = Api::all(client.clone());
        let accounts: Api<ServiceAccount> = Api::default_namespaced(client.clone());
        let mut missing = "node";
        let look = async {
            node::registered(client).await;
            missing = "storage class";
            while !matches!(classes.get_opt(DEFAULT_CLASS).await, Ok(Some(_))) {
                tokio::time::sleep(READY_STEP).await;
            }
            missing = "service account";
            while !matches!(accounts.get_opt("default").await, Ok(Some(_))) {
                tokio::time::sleep(READY_STEP).await;
            }
        };
        let in_time = tokio::time::timeout(READY_DEADLINE, look).await;
        in_time.map_err(|_| Error::NotReady { missing })
    }
}
