//! Ways to look: output forms, selectors, a watch, events, raw paths.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
};

use super::{DATABASE, Kubectl, PATIENCE};

/// Pods, their StatefulSet, the node and what happened to them.
pub(crate) fn session_of_a_cluster(kubectl: &Kubectl) {
    kubectl.file("database.yaml", DATABASE);
    kubectl.ok(&["apply", "-f", "database.yaml"]);
    kubectl.ok(&["rollout", "status", "sts/db", "--timeout=30s"]);

    let json = kubectl.ok(&["get", "sts", "db", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["kind"], "StatefulSet");
    assert_eq!(json["metadata"]["managedFields"], serde_json::Value::Null);
    assert_eq!(json["status"]["readyReplicas"], 2);
    let columns = "-o=custom-columns=POD:.metadata.name,PHASE:.status.phase,NONE:.spec.nope";
    let custom = kubectl.ok(&["get", "pods", columns]);
    let rows: Vec<Vec<&str>> = custom.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(
        rows,
        [
            ["POD", "PHASE", "NONE"],
            ["db-0", "Running", "<none>"],
            ["db-1", "Running", "<none>"]
        ]
    );

    let labelled = kubectl.ok(&["get", "pods", "--show-labels"]);
    assert!(labelled.lines().next().unwrap().ends_with("LABELS"), "{labelled}");
    assert!(
        labelled.contains("statefulset.kubernetes.io/pod-name=db-1"),
        "{labelled}"
    );
    let names = |args: &[&str]| kubectl.ok(&[&["get", "pods", "-o=name"], args].concat());
    assert_eq!(names(&["-l", "a=b"]), "pod/db-0\npod/db-1\n");
    let second = "a in (b, c),!z,apps.kubernetes.io/pod-index notin (0)";
    assert_eq!(names(&["-l", second]), "pod/db-1\n");
    assert_eq!(names(&["-l", "a!=b"]), "");
    assert_eq!(names(&["--field-selector=metadata.name=db-0"]), "pod/db-0\n");
    let running = "--field-selector=status.phase=Running,spec.nodeName!=devcluster";
    assert_eq!(names(&[running]), "");
    let refused = kubectl.fails(&["get", "pods", "--field-selector=spec.nope=1"]);
    assert!(refused.contains("field label not supported: spec.nope"), "{refused}");

    let sent = ["events", "--for=sts/db", "--types=Normal"];
    let events = kubectl.until(&sent, |printed| printed.matches("SuccessfulCreate").count() == 2);
    assert!(
        events.starts_with("LAST SEEN") && events.contains("StatefulSet/db"),
        "{events}"
    );
    assert!(!events.contains("Pod/db-0"), "{events}");

    let node = || kubectl.ok(&["get", "nodes", "--no-headers"]);
    assert_eq!(node().split_whitespace().nth(1), Some("Ready"));
    assert_eq!(kubectl.ok(&["cordon", "devcluster"]), "node/devcluster cordoned\n");
    assert_eq!(node().split_whitespace().nth(1), Some("Ready,SchedulingDisabled"));
    assert!(kubectl.ok(&["cordon", "devcluster"]).contains("already cordoned"));
    assert_eq!(kubectl.ok(&["uncordon", "devcluster"]), "node/devcluster uncordoned\n");
    assert_eq!(node().split_whitespace().nth(1), Some("Ready"));
    for what in ["pods", "nodes"] {
        assert_eq!(kubectl.fails(&["top", what]), "error: Metrics API not available\n");
    }
}

/// What the server tells of itself, and a watch.
pub(crate) fn session_of_a_server(kubectl: &Kubectl) {
    let versions = kubectl.ok(&["api-versions"]);
    for version in ["v1", "apps/v1", "batch/v1", "events.k8s.io/v1", "policy/v1"] {
        assert!(
            versions.lines().any(|line| line == version),
            "no {version} in\n{versions}"
        );
    }
    assert_eq!(kubectl.ok(&["get", "--raw=/readyz"]), "ok");
    assert!(kubectl.ok(&["get", "--raw=/version"]).contains("+embedded"));
    let page = kubectl.ok(&["get", "--raw=/api/v1/namespaces?limit=1"]);
    let page: serde_json::Value = serde_json::from_str(&page).unwrap();
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1));
    assert!(page["metadata"]["continue"].is_string(), "{page}");
    assert!(kubectl.fails(&["get", "--raw=/nope"]).contains("NotFound"));
    let unknown = kubectl.fails(&["get", "nopes"]);
    assert_eq!(unknown, "error: the server doesn't have a resource type \"nopes\"\n");

    kubectl.ok(&["create", "configmap", "one", "--from-literal=k=a"]);
    let watch = Watch::of(kubectl, &["get", "configmaps", "--field-selector=metadata.name=one"]);
    assert_eq!(watch.next(), ["ADDED", "one", "1"]);
    kubectl.ok(&["create", "configmap", "two", "--from-literal=k=a"]);
    kubectl.ok(&["patch", "cm", "one", "--type=merge", "-p", "{\"data\":{\"l\":\"b\"}}"]);
    assert_eq!(watch.next(), ["MODIFIED", "one", "2"]);
    kubectl.ok(&["delete", "cm", "one"]);
    assert_eq!(watch.next(), ["DELETED", "one", "2"]);
}

/// A `get --watch` that runs until it is dropped.
struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn of(kubectl: &Kubectl, get: &[&str]) -> Self {
        let mut command = kubectl.command(get);
        command.args(["--watch", "--output-watch-events", "--no-headers"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            printed
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        Self { child, lines }
    }

    /// The columns of the next line, but for the last: an age.
    fn next(&self) -> Vec<String> {
        let line = self.lines.recv_timeout(PATIENCE).unwrap();
        let mut columns: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        columns.pop();
        columns
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
