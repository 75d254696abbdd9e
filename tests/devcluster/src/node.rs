//! The node half of a cluster, for a control plane that is not ours: the kubelet with the processes of its pods.
//!
//! A real control plane runs no pods. [`Node`] adds what is missing there and nothing that it does itself: StatefulSets, Jobs, garbage
//! collection, namespaces and volumes are left to kube-controller-manager. The kubelet binds pods to its one node itself: there is
//! nothing to choose, and a scheduler would only have to be told to tolerate a node that nobody monitors.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Node as Registered;
use kube::{Api, Client};

use crate::{
    controllers::{self, Controllers, clock::Clock, kubelet::NODE, runtime::Runtime},
    neo4j::{
        self,
        fake::{FakeNeo4j, SetupError},
        runtime::NeoRuntime,
    },
};

/// How long a node may take until it is registered.
const READY_DEADLINE: Duration = Duration::from_secs(60);
const READY_STEP: Duration = Duration::from_millis(20);

/// Why there is no node.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The fake Neo4j cannot be set up.
    #[error(transparent)]
    Neo4j(#[from] SetupError),
    /// The API server did not take the node.
    #[error("the node was not registered within {} s", READY_DEADLINE.as_secs())]
    NotRegistered,
}

/// A node with the fake Neo4j in its pods.
pub struct Node {
    controllers: Controllers,
}

impl Node {
    /// Starts a node of the cluster that `client` reaches with all rights, and waits until it is registered.
    ///
    /// # Errors
    /// If no addresses can be claimed for its pods, or the server does not take it in time.
    pub async fn start(client: Client) -> Result<Self, NodeError> {
        let client = controllers::client(client);
        let fake = FakeNeo4j::new(client.clone(), neo4j::fake::Options::default())?;
        let runtime: Arc<dyn Runtime> = Arc::new(NeoRuntime(fake));
        let node = Self {
            controllers: Controllers::start_node(client.clone(), Clock::system(), runtime),
        };
        if tokio::time::timeout(READY_DEADLINE, registered(client)).await.is_err() {
            node.stop().await;
            return Err(NodeError::NotRegistered);
        }
        Ok(node)
    }

    /// Ends all processes of its pods; what is in the cluster stays there.
    pub async fn stop(self) {
        self.controllers.stop().await;
    }
}

/// Waits until the server knows the node and its state.
pub(crate) async fn registered(client: Client) {
    let nodes: Api<Registered> = Api::all(client);
    while !matches!(nodes.get_opt(NODE).await, Ok(Some(node)) if is_ready(&node)) {
        tokio::time::sleep(READY_STEP).await;
    }
}

/// On a real server a node has a status from the start; that it is ready is said by its kubelet.
fn is_ready(node: &Registered) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
