//! The revisions of a StatefulSet: their history, a restart, and the way back.

use super::{DATABASE, Kubectl};

pub(crate) fn session(kubectl: &Kubectl) {
    let settle = || {
        let done = kubectl.ok(&["rollout", "status", "sts/db", "--timeout=30s"]);
        assert!(done.contains("partitioned roll out complete: 2 new pods"), "{done}");
    };
    let history = || -> Vec<String> {
        let printed = kubectl.ok(&["rollout", "history", "sts/db"]);
        let rows = printed
            .lines()
            .skip(2)
            .filter_map(|line| line.split_whitespace().next());
        rows.map(str::to_owned).collect()
    };
    let images = || kubectl.ok(&["get", "pods", "-o=jsonpath={.items[*].spec.containers[*].image}"]);
    kubectl.file("database.yaml", DATABASE);
    kubectl.ok(&["apply", "-f", "database.yaml"]);
    settle();
    assert_eq!(history(), ["1"]);
    assert_eq!(images(), "i:1 i:1");

    kubectl.ok(&["set", "image", "sts/db", "c=i:2"]);
    settle();
    assert_eq!(history(), ["1", "2"]);
    assert_eq!(images(), "i:2 i:2");
    let first = kubectl.ok(&["rollout", "history", "sts/db", "--revision=1"]);
    assert!(first.contains("revision #1") && first.contains("i:1"), "{first}");
    let second = kubectl.ok(&["rollout", "history", "sts/db", "--revision=2"]);
    assert!(second.contains("revision #2") && second.contains("i:2"), "{second}");

    let uids = || kubectl.ok(&["get", "pods", "-o=jsonpath={.items[*].metadata.uid}"]);
    let before = uids();
    assert_eq!(
        kubectl.ok(&["rollout", "restart", "sts/db"]),
        "statefulset.apps/db restarted\n"
    );
    settle();
    assert_eq!(history(), ["1", "2", "3"]);
    let after = uids();
    assert!(
        before.split(' ').all(|uid| !after.contains(uid)),
        "{before}, then {after}"
    );

    // A revision that is taken up again is the newest, and leaves its old place.
    assert_eq!(
        kubectl.ok(&["rollout", "undo", "sts/db"]),
        "statefulset.apps/db rolled back\n"
    );
    settle();
    assert_eq!(history(), ["1", "3", "4"]);
    let marks = kubectl.field("sts/db", ".spec.template.metadata.annotations");
    assert_eq!(marks, "", "the mark of the restart is gone");
    kubectl.ok(&["rollout", "undo", "sts/db", "--to-revision=1"]);
    settle();
    assert_eq!(history(), ["3", "4", "5"]);
    assert_eq!(images(), "i:1 i:1");
    let refused = kubectl.fails(&["rollout", "undo", "sts/db", "--to-revision=9"]);
    assert!(refused.contains("unable to find specified revision 9"), "{refused}");
}
