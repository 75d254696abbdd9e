//! Rights, tokens and a drain: much of it in protobuf, which kubectl insists on there.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use neo4j_devcluster::controllers::plain::FAULT_ANNOTATION;

use super::{Kubectl, text};

const BUDGETED: &str = "
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  serviceName: s
  replicas: 2
  podManagementPolicy: Parallel
  updateStrategy: {type: OnDelete}
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

/// An account with a role and a token, then a drain held up by a budget.
pub(crate) fn session(kubectl: &Kubectl) {
    kubectl.file("budgeted.yaml", BUDGETED);
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
    let ready = "--for=jsonpath={.status.readyReplicas}=2";
    kubectl.ok(&["wait", "statefulset/db", "-n", "shop", ready, "--timeout=30s"]);
    let allows = "--for=jsonpath={.status.disruptionsAllowed}=1";
    kubectl.ok(&["wait", "pdb/db", "-n", "shop", allows, "--timeout=30s"]);
    drain(kubectl);
}

/// The pod that takes the place of the first one does not get ready until the second was refused to go.
fn drain(kubectl: &Kubectl) {
    let hang = |fault: &str| {
        let annotations =
            format!(r#"{{"spec":{{"template":{{"metadata":{{"annotations":{{"{FAULT_ANNOTATION}":{fault}}}}}}}}}}}"#);
        kubectl.ok(&["patch", "sts/db", "-n", "shop", "--type=merge", "-p", &annotations]);
    };
    hang(r#""hang""#);
    let mut command = kubectl.command(&["drain", "devcluster", "--timeout=180s"]);
    let mut drain = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(drain.stderr.take().unwrap()).lines().map(Result::unwrap);
    let refused = stderr.find(|line| line.contains("would violate the pod's disruption budget"));
    assert!(refused.is_some(), "nothing held the second pod");
    let hanging = format!(
        "-o=jsonpath={{.items[?(@.metadata.annotations.{}==\"hang\")].metadata.name}}",
        FAULT_ANNOTATION.replace('.', "\\.")
    );
    let name = kubectl.until(&["get", "pods", "-n", "shop", &hanging], |name| !name.is_empty());
    hang("null");
    kubectl.ok(&["delete", "pod", "-n", "shop", "--wait=false", name.trim()]);
    // Both are read to their end, or kubectl could wait for us.
    let rest: Vec<_> = stderr.collect();
    let drained = drain.wait_with_output().unwrap();
    assert!(drained.status.success(), "{rest:#?}");
    assert_eq!(text(&drained.stdout).matches("evicted\n").count(), 2, "{rest:#?}");
}
