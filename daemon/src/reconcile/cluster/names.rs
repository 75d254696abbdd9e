//! Names, labels and ports of the objects of a cluster (operator-api.md §6). Deterministic: an object of a
//! cluster is found by its name and proved ours by its owner's uid.

use std::collections::BTreeMap;

use crate::reconcile::MANAGER;

/// Label with the name of the cluster, on everything that belongs to it.
pub const CLUSTER: &str = "neo4j.com/cluster";
/// Label with the pool of a pod.
pub const SERVER_NAME: &str = "neo4j.com/server-name";
/// Label of pods that are members; backup pods carry the cluster's label but never this one.
pub const CLUSTERING: &str = "neo4j.com/clustering";
/// Annotation of the pod template with the hash of what Neo4j is configured by (CF2).
pub const CONFIG_HASH: &str = "neo4j.neo4j.com/config-hash";
/// Annotation of a StatefulSet: for each part of the spec that its pod template comes from, a hash of it.
pub const TEMPLATE_PARTS: &str = "neo4j.neo4j.com/template-parts";

/// Name of the data claim template.
pub const DATA: &str = "data";
/// Name of the Neo4j container.
pub const CONTAINER: &str = "neo4j";

/// Bolt.
pub const BOLT: i32 = 7687;
/// HTTP.
pub const HTTP: i32 = 7474;
/// HTTPS.
pub const HTTPS: i32 = 7473;
/// Cluster traffic: discovery, catch-up.
pub const CLUSTER_PORT: i32 = 6000;
/// Server-side routing.
pub const ROUTING: i32 = 7688;
/// Raft.
pub const RAFT: i32 = 7000;
/// Backup.
pub const BACKUP: i32 = 6362;
/// Metrics in the format of Prometheus.
pub const METRICS: i32 = 2004;

/// `C-config`.
pub fn config_map(cluster: &str) -> String {
    format!("{cluster}-config")
}

/// `C-operator-auth`: the last good credential of the administrator.
pub fn operator_auth(cluster: &str) -> String {
    format!("{cluster}-operator-auth")
}

/// `C-headless`.
pub fn headless(cluster: &str) -> String {
    format!("{cluster}-headless")
}

/// `C-client`.
pub fn client(cluster: &str) -> String {
    format!("{cluster}-client")
}

/// `C-metrics`.
pub fn metrics(cluster: &str) -> String {
    format!("{cluster}-metrics")
}

/// `C-pdb`.
pub fn pdb(cluster: &str) -> String {
    format!("{cluster}-pdb")
}

/// The name of a pod in the cluster's DNS.
pub fn pod_host(pod: &str, cluster: &str, namespace: &str, domain: &str) -> String {
    format!("{pod}.{}.{namespace}.svc.{domain}", headless(cluster))
}

/// Labels of every object of a cluster.
pub fn labels(cluster: &str) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "neo4j"),
        ("app.kubernetes.io/instance", cluster),
        ("app.kubernetes.io/component", "database"),
        ("app.kubernetes.io/part-of", "neo4j-cluster"),
        ("app.kubernetes.io/managed-by", MANAGER),
        (CLUSTER, cluster),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

/// Selector of all members.
pub fn member_selector(cluster: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (CLUSTER.to_owned(), cluster.to_owned()),
        (CLUSTERING.to_owned(), "true".to_owned()),
    ])
}

/// Selector of the pods of one pool; a StatefulSet's selector can never be changed.
pub fn pool_selector(cluster: &str, pool: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (CLUSTER.to_owned(), cluster.to_owned()),
        (SERVER_NAME.to_owned(), pool.to_owned()),
    ])
}
