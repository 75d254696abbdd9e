//! The embedded API server with a node, and either kind of controllers.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, api::PostParams};
use neo4j_devcluster::{
    apiserver::{Options, Server},
    controllers::{self, Controllers, clock::Clock, plain::PlainRuntime},
    node::Node,
};
use neo4j_operator_tests::{
    controlplane::ControllerManager,
    harness::{StackError, install_crds, wait_until},
};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The garbage collector of kube-controller-manager looks for new kinds every 30 s.
const LIMIT: Duration = Duration::from_secs(120);

/// A cluster.
pub struct World {
    pub client: Client,
    /// Its administrator's, who is the user of kube-controller-manager too.
    pub kubeconfig: String,
    players: Players,
    manager: Option<ControllerManager>,
    closed: CancellationToken,
}

/// Who makes pods run.
enum Players {
    /// Nothing runs in them; with or without controllers of ours.
    Plain(Controllers),
    /// The fake Neo4j.
    Neo4j(Node),
}

/// A namespace of its own.
#[derive(Clone)]
pub struct Place {
    pub client: Client,
    pub namespace: String,
}

impl World {
    /// kube-controller-manager, and pods that run nothing.
    pub async fn with_kube_controller_manager() -> Self {
        let (client, kubeconfig, closed) = serve().await;
        let node = Controllers::start_node(controllers::client(client.clone()), Clock::system(), runtime());
        let manager = ControllerManager::start(&client, &kubeconfig).await.unwrap();
        Self {
            client,
            kubeconfig,
            players: Players::Plain(node),
            manager: Some(manager),
            closed,
        }
    }

    /// kube-controller-manager, and pods that run the fake Neo4j.
    pub async fn with_kube_controller_manager_and_neo4j() -> Self {
        let (client, kubeconfig, closed) = serve().await;
        let node = Node::start(client.clone()).await.unwrap();
        let manager = ControllerManager::start(&client, &kubeconfig).await.unwrap();
        Self {
            client,
            kubeconfig,
            players: Players::Neo4j(node),
            manager: Some(manager),
            closed,
        }
    }

    /// The controllers of devcluster, and pods that run nothing.
    pub async fn with_our_controllers() -> Self {
        let (client, kubeconfig, closed) = serve().await;
        let controllers = Controllers::start(controllers::client(client.clone()), Clock::system(), runtime());
        Self {
            client,
            kubeconfig,
            players: Players::Plain(controllers),
            manager: None,
            closed,
        }
    }

    pub async fn place(&self, name: &str) -> Place {
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        let namespaces = Api::all(self.client.clone());
        namespaces.create(&PostParams::default(), &namespace).await.unwrap();
        Place {
            client: self.client.clone(),
            namespace: name.to_owned(),
        }
    }

    pub async fn stop(self) {
        drop(self.manager);
        match self.players {
            Players::Plain(controllers) => controllers.stop().await,
            Players::Neo4j(node) => node.stop().await,
        }
        self.closed.cancel();
    }
}

fn runtime() -> Arc<PlainRuntime> {
    Arc::new(PlainRuntime::default())
}

/// An API server on loopback with our definitions: kube-controller-manager is another process.
async fn serve() -> (Client, String, CancellationToken) {
    let server = Server::new(Options::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let kubeconfig = server.kubeconfig(listener.local_addr().unwrap());
    let closed = CancellationToken::new();
    let client = server.client("default");
    tokio::spawn({
        let closed = closed.clone();
        async move { server.serve(listener, closed).await }
    });
    install_crds(&client).await.unwrap();
    (client, kubeconfig, closed)
}

/// Asks until there is an answer; a refusal is asked again, as a user would.
pub async fn until<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let answer = wait_until(what, LIMIT, || {
        let asked = ask();
        async move { Ok::<_, StackError>(asked.await) }
    });
    answer.await.unwrap()
}
