//! neotop reads what a daemon answers: the files that the daemon's own tests hold it to.

use neo4j_operator_shared::{
    cache::Cache,
    clusters::{Cluster, ClusterList},
    events::{Event, Payload},
    golden,
    problem::Problem,
    reconciles::ReconcileList,
    status::Status,
    watches::WatchList,
};
use serde::de::DeserializeOwned;

fn read<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap()
}

#[test]
fn every_answer_of_a_daemon_is_understood() {
    let status: Status = read(golden::STATUS);
    assert!(status.ready && !status.listeners.metrics.is_empty() && !status.goals.is_empty());
    let clusters: ClusterList = read(golden::CLUSTERS);
    let cluster: Cluster = read(golden::CLUSTER);
    assert_eq!(clusters.items[0].name, cluster.name);
    assert!(!cluster.server_list.is_empty() && !cluster.database_list.is_empty());
    assert!(!read::<Cache>(golden::CACHE).kinds.is_empty());
    assert!(!read::<WatchList>(golden::WATCHES).items.is_empty());
    assert!(!read::<ReconcileList>(golden::RECONCILES).items.is_empty());
    let events: Vec<Event> = read(golden::EVENTS);
    assert!(
        events.iter().all(|event| event.payload != Payload::Unknown),
        "{events:?}"
    );
    assert_eq!(read::<Problem>(golden::PROBLEM).status, 404);
}
