//! The rights that the operator needs, from the list of what it does: a ClusterRole where it looks after all
//! namespaces, a Role for each namespace otherwise. No wildcards, no rights on roles, none on pods' logs or exec.

use std::fmt::Write as _;

/// Rights on resources of one API group, with the reason.
struct Right {
    group: &'static str,
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
    why: &'static str,
}

const fn right(
    group: &'static str,
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
    why: &'static str,
) -> Right {
    Right {
        group,
        resources,
        verbs,
        why,
    }
}

const OURS: &str = "neo4j.neo4j.com";

const RIGHTS: &[Right] = &[
    right(
        OURS,
        &["neo4jenterpriseclusters", "neo4jdatabases", "neo4jbackups"],
        &["get", "list", "watch", "patch"],
        "triggers; finalizers and one-shot annotations",
    ),
    right(
        OURS,
        &[
            "neo4jenterpriseclusters/status",
            "neo4jdatabases/status",
            "neo4jbackups/status",
        ],
        &["patch"],
        "status",
    ),
    right(
        OURS,
        &["neo4jenterpriseclusters/finalizers", "neo4jbackups/finalizers"],
        &["update"],
        "owner references that block deletion, where the cluster asks for this right",
    ),
    right(
        "apps",
        &["statefulsets"],
        &["get", "list", "watch", "create", "patch", "delete"],
        "the servers of a cluster; deleted before the claims of a cluster whose policy is Delete",
    ),
    right(
        "",
        &["services", "configmaps", "serviceaccounts"],
        &["get", "list", "watch", "create", "patch"],
        "objects of a cluster",
    ),
    right(
        "",
        &["secrets"],
        &["get", "list", "watch", "create", "delete"],
        "admin credentials and certificates are read by name; the operator's own login is made once, and goes with the data",
    ),
    right(
        "",
        &["pods"],
        &["list", "watch", "delete"],
        "state of servers and backups; pods of a cluster that never ran are replaced when its template changes",
    ),
    right(
        "",
        &["persistentvolumeclaims"],
        &["get", "list", "watch", "create", "delete"],
        "claims of backups; claims of deleted clusters whose policy is Delete",
    ),
    right(
        "",
        &["events"],
        &["create", "patch"],
        "events; the same one said again is counted",
    ),
    right(
        "policy",
        &["poddisruptionbudgets"],
        &["get", "list", "watch", "create", "patch", "delete"],
        "quorum during evictions; deleted where it is switched off",
    ),
    right(
        "batch",
        &["jobs"],
        &["get", "list", "watch", "create", "patch"],
        "runs of backups; one that waits for another is resumed",
    ),
    right(
        "batch",
        &["cronjobs"],
        &["get", "list", "watch", "create", "patch", "delete"],
        "schedules of backups; deleted with the schedule",
    ),
];

/// File name and content of each manifest.
pub fn manifests() -> [(&'static str, String); 2] {
    [("clusterrole.yaml", cluster_role()), ("role.yaml", role())]
}

const HEAD: &str = "# Made from daemon/src/rbac.rs by `make crds`; do not edit.\n";

fn cluster_role() -> String {
    format!(
        "{HEAD}# For an operator that looks after all namespaces.\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: neo4j-operator\n{}",
        rules()
    )
}

fn role() -> String {
    format!(
        "{HEAD}# For an operator that looks after this namespace (--watch-namespace); one in each.\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: neo4j-operator\n{}",
        rules()
    )
}

fn rules() -> String {
    let mut text = "rules:\n".to_owned();
    for right in RIGHTS {
        let quoted = |names: &[&str]| {
            names
                .iter()
                .map(|name| format!("\"{name}\""))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let _ = write!(
            text,
            "  # {}\n  - apiGroups: [\"{}\"]\n    resources: [{}]\n    verbs: [{}]\n",
            right.why,
            right.group,
            quoted(right.resources),
            quoted(right.verbs)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_wildcards_and_no_right_to_give_rights() {
        for right in RIGHTS {
            for word in right.resources.iter().chain(right.verbs) {
                assert!(!word.contains('*'), "{word}");
                assert!(
                    !["escalate", "bind", "impersonate", "pods/exec", "pods/log"].contains(word),
                    "{word}"
                );
            }
            assert_ne!(right.group, "rbac.authorization.k8s.io");
        }
    }
}
