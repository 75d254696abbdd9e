//! Rights, tokens and a drain: much of it in protobuf, which kubectl insists on there.

use super::Kubectl;

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
