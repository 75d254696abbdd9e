//! The servers that cases talk to: devcluster's in this process, or a real kube-apiserver, both over loopback HTTPS.

use std::{sync::Arc, time::Duration};

use kube::config::{KubeConfigOptions, Kubeconfig};
use neo4j_devcluster::{
    apiserver::{self, Server},
    cluster::{self, Cluster, Pods},
    controllers::plain::PlainRuntime,
};
use neo4j_operator_tests::{
    controlplane,
    controlplane::ControlPlane,
    harness::{install_crds, target},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::definitions;

/// The real server forgets what is older: long enough for every case, short enough to wait for it.
const COMPACTION: Duration = Duration::from_secs(10);

/// A server under test. Clones are the same server; the last one stops it.
#[derive(Clone)]
pub struct Target {
    client: kube::Client,
    running: Arc<Running>,
}

/// What runs as long as the target does.
enum Running {
    Alone(Server, CancellationToken),
    Embedded(Cluster),
    Real(#[expect(dead_code, reason = "held, not read")] ControlPlane),
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Self::Alone(_, stop) = self {
            stop.cancel();
        }
    }
}

/// Whether this run is against the real server.
pub fn real() -> bool {
    target::Target::from_env().unwrap() == target::Target::Real
}

impl Target {
    /// devcluster's API server alone.
    pub async fn alone(options: apiserver::Options) -> Self {
        let server = Server::new(options);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let kubeconfig = server.kubeconfig(listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let (serving, stopped) = (server.clone(), stop.clone());
        tokio::spawn(async move { serving.serve(listener, stopped).await });
        Self::over(&kubeconfig, Running::Alone(server, stop)).await
    }

    /// devcluster's API server with its controllers.
    pub async fn with_controllers() -> Self {
        let pods = Pods::Played(Arc::new(PlainRuntime::default()));
        let cluster = Cluster::start(cluster::Options::on_loopback(pods, 0)).await.unwrap();
        let kubeconfig = cluster.kubeconfig().unwrap();
        Self::over(&kubeconfig, Running::Embedded(cluster)).await
    }

    /// A real control plane.
    pub async fn real(controllers: bool) -> Self {
        let options = controlplane::Options {
            controllers,
            compaction: Some(COMPACTION),
            ..controlplane::Options::default()
        };
        let plane = ControlPlane::start(&options).await.unwrap();
        let kubeconfig = std::fs::read_to_string(plane.kubeconfig()).unwrap();
        Self::over(&kubeconfig, Running::Real(plane)).await
    }

    async fn over(kubeconfig: &str, running: Running) -> Self {
        let file = Kubeconfig::from_yaml(kubeconfig).unwrap();
        let mut config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
            .await
            .unwrap();
        // Every answer is the server's first.
        config.default_retry = false;
        let target = Self {
            client: kube::Client::try_from(config).unwrap(),
            running: Arc::new(running),
        };
        install_crds(&target.client).await.unwrap();
        definitions::install(&target.client).await;
        target.serves_watches().await;
        target
    }

    /// Waits until custom resources can be watched: a real server answers 429 until its caches are filled.
    async fn serves_watches(&self) {
        for path in [
            "/apis/neo4j.neo4j.com/v1beta1/neo4jdatabases",
            "/apis/conformance.neo4j.com/v1/widgets",
            "/apis/conformance.neo4j.com/v1/plains",
        ] {
            loop {
                let uri = format!("{path}?watch=true&timeoutSeconds=1");
                let request = http::Request::get(uri).body(kube::client::Body::empty()).unwrap();
                if self.client.send(request).await.unwrap().status() == 200 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// Forgets history now, where that can be asked for; the real server does so by itself.
    pub fn compact(&self) {
        match &*self.running {
            Running::Alone(server, _) => server.compact(),
            Running::Embedded(cluster) => cluster.server().compact(),
            Running::Real(_) => {}
        }
    }
}
