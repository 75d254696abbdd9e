//! kubectl against the loopback door, one session after another. Without kubectl on the machine the tests say that they were skipped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod changing;
mod deleting;
mod objects;
mod reading;
mod rights;
mod rollouts;

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
    sync::Arc,
    time::{Duration, Instant},
};

use neo4j_devcluster::{
    apiserver::{Options, Server},
    cluster::{self, Cluster, Pods},
    controllers::plain::PlainRuntime,
    kubectl,
};
use tokio_util::sync::CancellationToken;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A service and two pods of a StatefulSet behind it.
const DATABASE: &str = "
apiVersion: v1
kind: Service
metadata: {name: s}
spec: {selector: {a: b}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: s
  replicas: 2
  podManagementPolicy: Parallel
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: 'i:1', env: [{name: A, value: '1'}]}]}
";

/// Someone with kubectl in a folder of files, one of them the kubeconfig.
struct Kubectl {
    folder: PathBuf,
}

impl Kubectl {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = kubectl::command(&self.folder.join("kubeconfig"), &self.folder);
        command.args(args).current_dir(&self.folder);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// What it prints when it succeeds.
    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "kubectl {args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// What it says when it fails.
    fn fails(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(!output.status.success(), "kubectl {args:?} should fail");
        text(&output.stderr)
    }

    /// What it prints as soon as that fulfils a condition.
    fn until(&self, args: &[&str], fulfilled: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let printed = self.ok(args);
            if fulfilled(&printed) {
                return printed;
            }
            assert!(Instant::now() < deadline, "kubectl {args:?} still prints\n{printed}");
        }
    }

    /// One field of an object (`sts/db`), as a JSON path prints it.
    fn field(&self, object: &str, path: &str) -> String {
        self.ok(&["get", object, &format!("-o=jsonpath={{{path}}}")])
    }

    fn file(&self, name: &str, content: &str) {
        fs::write(self.folder.join(name), content).unwrap();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A session with a whole cluster, whose pods do nothing.
async fn with_cluster(session: fn(&Kubectl)) {
    if !kubectl::present() {
        return;
    }
    let pods = Pods::Played(Arc::new(PlainRuntime::default()));
    let cluster = Cluster::start(cluster::Options::on_loopback(pods, 0)).await.unwrap();
    let ended = play(session, cluster.kubeconfig().unwrap()).await;
    cluster.stop().await;
    ended.unwrap();
}

/// A session with the API server alone: nothing happens there but what kubectl asks for.
async fn with_server(session: fn(&Kubectl)) {
    if !kubectl::present() {
        return;
    }
    let server = Server::new(Options::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let kubeconfig = server.kubeconfig(listener.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn({
        let (server, shutdown) = (server.clone(), shutdown.clone());
        async move { server.serve(listener, shutdown).await }
    });
    let ended = play(session, kubeconfig).await;
    shutdown.cancel();
    serving.await.unwrap();
    ended.unwrap();
}

async fn play(session: fn(&Kubectl), kubeconfig: String) -> Result<(), tokio::task::JoinError> {
    let folder = tempfile::tempdir().unwrap();
    let kubectl = Kubectl {
        folder: folder.path().to_owned(),
    };
    kubectl.file("kubeconfig", &kubeconfig);
    tokio::task::spawn_blocking(move || session(&kubectl)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_applies_gets_explains_scales_and_deletes() {
    with_server(objects::session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_asks_about_rights_makes_tokens_and_drains() {
    with_cluster(rights::session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_shows_pods_nodes_and_events_in_every_form() {
    with_cluster(reading::session_of_a_cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_reads_raw_paths_and_watches() {
    with_server(reading::session_of_a_server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_previews_compares_prunes_and_replaces() {
    with_server(changing::session_of_files).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_edits() {
    with_server(changing::session_of_an_editor).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_patches_labels_and_annotates() {
    with_server(changing::session_of_patches).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_restarts_a_statefulset_and_takes_it_back() {
    with_cluster(rollouts::session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_deletes_with_and_without_dependents() {
    with_cluster(deleting::session_of_dependents).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_deletes_a_pod_in_time_or_by_force() {
    with_server(deleting::session_of_a_lost_pod).await;
}
