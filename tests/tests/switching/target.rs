//! The servers that the campaign writes to: devcluster's in this process and in paused time, or a real kube-apiserver.

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use neo4j_devcluster::apiserver::{Options, Server};
use neo4j_operator_tests::{
    controlplane::{self, ControlPlane},
    harness::{install_crds, target::Target},
};
use serde_json::json;

use crate::storm::Rates;

/// The namespaces that are written to.
pub const NAMESPACES: [&str; 2] = ["one", "two"];

/// A server with our definitions.
pub struct Place {
    /// With all rights, and past the storm.
    pub client: Client,
    /// The real one ends with it.
    _plane: Option<ControlPlane>,
}

impl Place {
    pub async fn start(target: Target, seed: u64) -> Self {
        let (client, plane) = match target {
            Target::Embedded => (embedded(seed), None),
            Target::Real => {
                let (client, plane) = real().await;
                (client, Some(plane))
            }
        };
        install_crds(&client).await.unwrap();
        for name in NAMESPACES {
            let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
            let namespaces = Api::all(client.clone());
            namespaces.create(&PostParams::default(), &namespace).await.unwrap();
        }
        Self { client, _plane: plane }
    }
}

fn embedded(seed: u64) -> Client {
    let server = Server::new(Options {
        seed,
        // A watch that was away for long gets 410 and lists anew.
        history: 64,
        ..Options::default()
    });
    server.client("default")
}

/// Without controllers: what the campaign deletes is nobody else's to delete.
async fn real() -> (Client, ControlPlane) {
    let options = controlplane::Options {
        controllers: false,
        ..controlplane::Options::default()
    };
    let plane = ControlPlane::start(&options).await.unwrap();
    let file = Kubeconfig::read_from(plane.kubeconfig()).unwrap();
    let mut config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .unwrap();
    // A write that is tried again could find its own first attempt.
    config.default_retry = false;
    (Client::try_from(config).unwrap(), plane)
}

/// How often events are in trouble. A real server has no paused time: its watches must not spend the test in backoff.
pub const fn rates(target: Target) -> Rates {
    match target {
        Target::Embedded => Rates {
            ends: 8,
            cut: 3,
            gone: 2,
            failed: 1,
            twice: 30,
            pieces: 30,
        },
        Target::Real => Rates {
            ends: 8,
            cut: 2,
            gone: 1,
            failed: 1,
            twice: 30,
            pieces: 30,
        },
    }
}
