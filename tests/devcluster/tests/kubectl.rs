//! kubectl against the loopback door: what people do first. Without kubectl on the machine the test says that it was skipped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    path::Path,
    process::{Command, Output},
    sync::Arc,
};

use neo4j_devcluster::{
    apiserver::{Options, Server},
    cluster::{self, Cluster, Pods},
    controllers::plain::PlainRuntime,
};
use tokio_util::sync::CancellationToken;

const DEFINITION: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget, shortNames: [wd]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties: {size: {type: integer, minimum: 1}}
          status: {type: object, properties: {size: {type: integer}}}
";

const OBJECTS: &str = "
apiVersion: example.com/v1
kind: Widget
metadata: {name: w}
spec: {size: 3}
---
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
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec: {containers: [{name: c, image: i, env: [{name: A, value: '1'}]}]}
";

struct Kubectl<'a> {
    folder: &'a Path,
}

impl Kubectl<'_> {
    fn run(&self, args: &[&str]) -> Output {
        Command::new("kubectl")
            .args(args)
            .current_dir(self.folder)
            .env("KUBECONFIG", self.folder.join("kubeconfig"))
            .env("HOME", self.folder)
            .output()
            .unwrap()
    }

    /// What it prints when it succeeds.
    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "kubectl {args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// What it says when it fails.
    fn fails(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(!output.status.success(), "kubectl {args:?} should fail");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

fn session(folder: &Path) {
    let kubectl = Kubectl { folder };
    std::fs::write(folder.join("definition.yaml"), DEFINITION).unwrap();
    std::fs::write(folder.join("objects.yaml"), OBJECTS).unwrap();
    kubectl.ok(&["apply", "-f", "definition.yaml"]);
    kubectl.ok(&[
        "wait",
        "--for=condition=Established",
        "crd/widgets.example.com",
        "--timeout=20s",
    ]);
    kubectl.ok(&["apply", "-f", "objects.yaml"]);
    let again = kubectl.ok(&["apply", "-f", "objects.yaml"]);
    assert_eq!(again.matches("unchanged").count(), 3, "{again}");
    std::fs::write(
        folder.join("objects.yaml"),
        OBJECTS.replace("size: 3", "size: 4").replace("'1'", "'2'"),
    )
    .unwrap();
    let changed = kubectl.ok(&["apply", "-f", "objects.yaml"]);
    assert_eq!(changed.matches("configured").count(), 2, "{changed}");

    let table = kubectl.ok(&["get", "wd"]);
    assert!(table.contains("SIZE") && table.contains('4'), "{table}");
    assert!(kubectl.ok(&["get", "statefulsets"]).contains("0/2"));
    assert!(
        kubectl
            .ok(&["get", "services", "-o", "yaml"])
            .contains("clusterIP: 10.")
    );
    assert!(
        kubectl
            .ok(&["describe", "widget", "w"])
            .contains("Kind:         Widget")
    );
    kubectl.ok(&["scale", "statefulset", "db", "--replicas=3"]);
    assert!(
        kubectl
            .ok(&["get", "sts/db", "-o", "jsonpath={.spec.replicas}"])
            .contains('3')
    );
    assert!(kubectl.ok(&["explain", "widget.spec"]).contains("size\t<integer>"));
    assert!(
        kubectl
            .ok(&["explain", "statefulset.spec.template.spec.containers"])
            .contains("image")
    );
    kubectl.ok(&[
        "patch",
        "widget",
        "w",
        "--subresource=status",
        "--type=merge",
        "-p",
        "{\"status\":{\"size\":4}}",
    ]);
    kubectl.ok(&["apply", "--server-side", "--force-conflicts", "-f", "objects.yaml"]);
    assert!(kubectl.ok(&["api-resources"]).contains("poddisruptionbudgets"));
    assert!(kubectl.ok(&["version"]).contains("+embedded"));

    std::fs::write(folder.join("bad.yaml"), OBJECTS.replace("size: 3", "size: 3, nope: 1")).unwrap();
    let refused = kubectl.fails(&["apply", "-f", "bad.yaml"]);
    assert!(refused.contains("unknown field \"spec.nope\""), "{refused}");
    std::fs::write(folder.join("bad.yaml"), OBJECTS.replace("size: 3", "size: 0")).unwrap();
    let refused = kubectl.fails(&["apply", "-f", "bad.yaml"]);
    assert!(
        refused.contains("spec.size") && refused.contains("greater than or equal to 1"),
        "{refused}"
    );

    kubectl.ok(&["delete", "-f", "objects.yaml", "--timeout=20s"]);
    kubectl.ok(&["delete", "crd", "widgets.example.com", "--timeout=20s"]);
    kubectl.fails(&["get", "widgets"]);
}

const BUDGETED: &str = "
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  serviceName: s
  replicas: 2
  podManagementPolicy: Parallel
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: i}]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: db, namespace: shop}
spec: {maxUnavailable: 1, selector: {matchLabels: {a: b}}}
";

/// Rights, tokens and a drain: much of it in protobuf, which kubectl insists on there.
fn session_of_rights(folder: &Path) {
    let kubectl = Kubectl { folder };
    std::fs::write(folder.join("budgeted.yaml"), BUDGETED).unwrap();
    kubectl.ok(&["create", "namespace", "shop"]);
    kubectl.ok(&["create", "serviceaccount", "keeper", "-n", "shop"]);
    let role = [
        "create",
        "role",
        "reader",
        "-n",
        "shop",
        "--verb=list",
        "--resource=pods",
    ];
    kubectl.ok(&role);
    let binding = [
        "create",
        "rolebinding",
        "reader",
        "-n",
        "shop",
        "--role=reader",
        "--serviceaccount=shop:keeper",
    ];
    kubectl.ok(&binding);
    let keeper = "--as=system:serviceaccount:shop:keeper";
    assert_eq!(
        kubectl.ok(&["auth", "can-i", "list", "pods", "-n", "shop", keeper]),
        "yes\n"
    );
    let refused = kubectl.run(&["auth", "can-i", "delete", "pods", "-n", "shop", keeper]);
    assert_eq!(String::from_utf8_lossy(&refused.stdout), "no\n");
    assert!(
        kubectl
            .ok(&["auth", "can-i", "--list", "-n", "shop", keeper])
            .contains("[list]")
    );
    assert!(kubectl.ok(&["auth", "whoami"]).contains("system:masters"));
    let token = kubectl.ok(&["create", "token", "keeper", "-n", "shop"]);
    let token = format!("--token={}", token.trim());
    kubectl.ok(&["get", "pods", "-n", "shop", &token]);
    let refused = kubectl.fails(&["get", "secrets", "-n", "shop", &token]);
    let why = "User \"system:serviceaccount:shop:keeper\" cannot list resource \"secrets\" in API group \"\" in the namespace \"shop\"";
    assert!(refused.contains(why), "{refused}");
    assert!(
        kubectl
            .fails(&["get", "pods", "--token=nonsense"])
            .contains("Unauthorized")
    );

    kubectl.ok(&["apply", "-f", "budgeted.yaml"]);
    kubectl.ok(&["rollout", "status", "statefulset/db", "-n", "shop", "--timeout=30s"]);
    let allows = "--for=jsonpath={.status.disruptionsAllowed}=1";
    kubectl.ok(&["wait", "pdb/db", "-n", "shop", allows, "--timeout=30s"]);
    let drained = kubectl.run(&["drain", "devcluster", "--timeout=60s"]);
    let said = [drained.stdout.as_slice(), b"\n", &drained.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(drained.status.success(), "{said}");
    // The second pod had to wait until the first was back.
    assert_eq!(said.matches("evicted\n").count(), 2, "{said}");
    assert!(said.contains("would violate the pod's disruption budget"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_asks_about_rights_makes_tokens_and_drains() {
    if Command::new("kubectl").arg("version").arg("--client").output().is_err() {
        println!("SKIPPED: kubectl is not on this machine");
        return;
    }
    let pods = Pods::Played(Arc::new(PlainRuntime::default()));
    let cluster = Cluster::start(cluster::Options::on_loopback(pods, 0)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("kubeconfig"), cluster.kubeconfig().unwrap()).unwrap();
    let path = folder.path().to_owned();
    let ended = tokio::task::spawn_blocking(move || session_of_rights(&path)).await;
    cluster.stop().await;
    ended.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_applies_gets_explains_scales_and_deletes() {
    if Command::new("kubectl").arg("version").arg("--client").output().is_err() {
        println!("SKIPPED: kubectl is not on this machine");
        return;
    }
    let server = Server::new(Options::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("kubeconfig"),
        server.kubeconfig(listener.local_addr().unwrap()),
    )
    .unwrap();
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn({
        let (server, shutdown) = (server.clone(), shutdown.clone());
        async move { server.serve(listener, shutdown).await }
    });
    let path = folder.path().to_owned();
    let ended = tokio::task::spawn_blocking(move || session(&path)).await;
    shutdown.cancel();
    serving.await.unwrap();
    ended.unwrap();
}
