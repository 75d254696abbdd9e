//! Ways to delete: what becomes of the dependents, and how long a pod may take.

use super::{DATABASE, Kubectl};

pub(crate) fn session_of_dependents(kubectl: &Kubectl) {
    kubectl.file("database.yaml", DATABASE);
    let begin = || {
        kubectl.ok(&["apply", "-f", "database.yaml"]);
        kubectl.ok(&["rollout", "status", "sts/db", "--timeout=30s"]);
    };
    let all = |path: &str| kubectl.ok(&["get", "pods", &format!("-o=jsonpath={{.items[*].metadata.{path}}}")]);
    let delete = |how: &str| {
        let said = kubectl.ok(&["delete", "sts", "db", how, "--timeout=30s"]);
        assert_eq!(said, "statefulset.apps \"db\" deleted\n");
    };

    begin();
    let pods = all("uid");
    delete("--cascade=orphan");
    assert_eq!(all("uid"), pods, "pods without their StatefulSet");
    assert_eq!(all("ownerReferences"), "");
    begin();
    assert_eq!(all("uid"), pods, "the next one takes them over");
    assert_eq!(all("ownerReferences[*].name"), "db db");

    // Where it waits for the dependents, they are gone when kubectl ends.
    delete("--cascade=foreground");
    assert_eq!(kubectl.ok(&["get", "pods", "-o=name"]), "");

    begin();
    delete("--cascade=background");
    kubectl.ok(&["wait", "--for=delete", "pod/db-0", "pod/db-1", "--timeout=30s"]);
}

const LINGERING: &str = "
apiVersion: v1
kind: Pod
metadata: {name: lingering}
spec: {nodeName: nowhere, terminationGracePeriodSeconds: 60, containers: [{name: c, image: i}]}
";

/// No kubelet ends this pod: it lingers until it is forced away.
pub(crate) fn session_of_a_lost_pod(kubectl: &Kubectl) {
    kubectl.file("lingering.yaml", LINGERING);
    kubectl.ok(&["apply", "-f", "lingering.yaml"]);
    let grace = || kubectl.field("pod/lingering", ".metadata.deletionGracePeriodSeconds");
    assert_eq!(grace(), "");
    kubectl.ok(&["delete", "pod", "lingering", "--wait=false"]);
    assert_eq!(grace(), "60");
    assert!(kubectl.ok(&["get", "pod", "lingering"]).contains("Terminating"));
    kubectl.ok(&["delete", "pod", "lingering", "--now", "--wait=false"]);
    assert_eq!(grace(), "1");
    let forced = kubectl.ok(&["delete", "pod", "lingering", "--force", "--timeout=30s"]);
    assert_eq!(forced, "pod \"lingering\" force deleted\n");
    let refused = kubectl.fails(&["delete", "pod", "lingering"]);
    assert!(refused.contains("pods \"lingering\" not found"), "{refused}");
    kubectl.ok(&["delete", "pod", "lingering", "--ignore-not-found"]);
}
