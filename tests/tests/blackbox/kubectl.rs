//! What people do with kubectl. Where it is not on the machine the test says so and is skipped.

use std::process::Output;

use neo4j_devcluster::kubectl;

use crate::scene::{Scene, folder_of_examples};

struct Kubectl<'a>(&'a Scene);

impl Kubectl<'_> {
    fn run(&self, arguments: &[&str]) -> Output {
        kubectl::command(self.0.cluster.kubeconfig(), self.0.folder.path())
            .arg(format!("--namespace={}", self.0.namespace))
            .args(arguments)
            .output()
            .unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {arguments:?}:\n{text}{errors}");
        text
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_applies_waits_shows_and_deletes() {
    if !kubectl::present() {
        return;
    }
    let scene = Scene::start(&[]).await;
    let kubectl = Kubectl(&scene);
    let file = folder_of_examples().join("minimal.yaml");
    let file = file.to_str().unwrap();
    kubectl.ok(&["apply", "-f", file]);
    kubectl.ok(&["wait", "--for=condition=Ready", "n4jc/minimal", "--timeout=60s"]);
    let again = kubectl.ok(&["apply", "-f", file]);
    assert!(
        again.contains("neo4jenterprisecluster.neo4j.neo4j.com/minimal unchanged"),
        "{again}"
    );
    let shown = kubectl.ok(&["get", "n4jc"]);
    let (titles, row) = shown.split_once('\n').unwrap();
    for (title, cell) in [("NAME", "minimal"), ("PHASE", "Ready"), ("AGE", "")] {
        assert!(
            titles.contains(title) && row.contains(cell),
            "no {title} {cell} in\n{shown}"
        );
    }
    scene.wait_event("minimal", "ClusterReady", "").await;
    let described = kubectl.ok(&["describe", "n4jc", "minimal"]);
    assert!(described.contains("ClusterReady"), "no event in\n{described}");
    let sorted = kubectl.ok(&["get", "events", "--sort-by=.lastTimestamp", "-o", "wide"]);
    assert!(sorted.contains("ClusterReady"), "{sorted}");
    let path = "-o=jsonpath={range .items[*]}{.lastTimestamp}{\"\\n\"}{end}";
    // Ours: controllers of others write events without that time.
    let ours = "--field-selector=involvedObject.name=minimal";
    let times = kubectl.ok(&["get", "events", ours, "--sort-by=.lastTimestamp", path]);
    let times: Vec<&str> = times.lines().collect();
    assert!(times.len() > 1 && times.is_sorted(), "{times:?}");
    kubectl.ok(&["delete", "n4jc", "minimal", "--timeout=60s"]);
    kubectl.ok(&["wait", "--for=delete", "statefulset/minimal-server", "--timeout=60s"]);
    let invalid = folder_of_examples().join("invalid");
    let refused = kubectl.run(&["apply", "-f", invalid.to_str().unwrap()]);
    assert!(!refused.status.success());
}
