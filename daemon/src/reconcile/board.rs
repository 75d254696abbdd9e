//! What the operator knows of its clusters, for `/v1/clusters`, the metrics and whoever wants to be told of a
//! change of phase. Reconciles publish; nobody decides anything from it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use neo4j_operator_shared::{Kind, clusters::Cluster};

use super::Key;

/// Namespace and name.
type Name = (String, String);

/// Is told when a cluster changes its phase or goes away. Called on the task of the reconcile: it must not block.
pub trait BoardObserver: Send + Sync + 'static {
    /// The phase of a cluster changed; `from` is absent for one seen for the first time.
    fn phase_changed(&self, namespace: &str, name: &str, from: Option<&str>, to: &str);

    /// A cluster was published, whether or not anything in it changed.
    fn published(&self, _cluster: &Cluster) {}

    /// A cluster is gone.
    fn removed(&self, _namespace: &str, _name: &str) {}
}

/// The latest [`Cluster`] of each key. Cheap to clone.
#[derive(Clone, Default)]
pub struct Board {
    inner: Arc<Inner>,
}

/// Whether a database or a backup is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependent {
    /// Its kind.
    pub kind: Kind,
    /// The cluster it belongs to, as `namespace/name`.
    pub cluster: String,
    /// Whether its condition Ready is true.
    pub ready: bool,
}

#[derive(Default)]
struct Inner {
    clusters: Mutex<BTreeMap<Name, Arc<Cluster>>>,
    dependents: Mutex<BTreeMap<Key, Dependent>>,
    observers: Vec<Arc<dyn BoardObserver>>,
}

impl Board {
    /// An empty board that tells `observers`.
    pub fn new(observers: Vec<Arc<dyn BoardObserver>>) -> Self {
        Self {
            inner: Arc::new(Inner {
                clusters: Mutex::default(),
                dependents: Mutex::default(),
                observers,
            }),
        }
    }

    /// Replaces what is known of a cluster. `waiting_since` is kept for as long as it waits for the same thing.
    pub fn publish(&self, mut cluster: Cluster, now: Timestamp) {
        let name = (cluster.namespace.clone(), cluster.name.clone());
        let (cluster, from) = {
            let mut clusters = self.inner.clusters.lock().unwrap_or_else(PoisonError::into_inner);
            let before = clusters.get(&name);
            cluster.waiting_since = cluster.waiting_for.as_ref().map(|waiting| {
                before
                    .filter(|before| before.waiting_for.as_ref() == Some(waiting))
                    .and_then(|before| before.waiting_since)
                    .unwrap_or(now)
            });
            // The last plan that had any action stays visible: a run that had nothing to do says nothing about it.
            if cluster.plan.is_empty()
                && let Some(before) = before
            {
                cluster.plan.clone_from(&before.plan);
            }
            let from = before.map(|before| before.phase.clone());
            let cluster = Arc::new(cluster);
            clusters.insert(name, Arc::clone(&cluster));
            (cluster, from)
        };
        for observer in &self.inner.observers {
            if from.as_deref() != Some(cluster.phase.as_str()) {
                observer.phase_changed(&cluster.namespace, &cluster.name, from.as_deref(), &cluster.phase);
            }
            observer.published(&cluster);
        }
    }

    /// Forgets a cluster.
    pub fn remove(&self, namespace: &str, name: &str) {
        let gone = {
            let mut clusters = self.inner.clusters.lock().unwrap_or_else(PoisonError::into_inner);
            clusters.remove(&(namespace.to_owned(), name.to_owned())).is_some()
        };
        if gone {
            for observer in &self.inner.observers {
                observer.removed(namespace, name);
            }
        }
    }

    /// Notes whether a database or a backup of a cluster in its namespace is ready.
    pub fn publish_dependent(&self, key: &Key, cluster: &str, ready: bool) {
        let dependent = Dependent {
            kind: key.kind,
            cluster: format!("{}/{cluster}", key.namespace),
            ready,
        };
        let mut dependents = self.inner.dependents.lock().unwrap_or_else(PoisonError::into_inner);
        dependents.insert(key.clone(), dependent);
    }

    /// Forgets a database or a backup.
    pub fn remove_dependent(&self, key: &Key) {
        let mut dependents = self.inner.dependents.lock().unwrap_or_else(PoisonError::into_inner);
        dependents.remove(key);
    }

    /// Databases and backups.
    pub fn dependents(&self) -> Vec<Dependent> {
        let dependents = self.inner.dependents.lock().unwrap_or_else(PoisonError::into_inner);
        dependents.values().cloned().collect()
    }

    /// What is known of one cluster.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Cluster>> {
        let clusters = self.inner.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        clusters.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// All clusters by namespace and name.
    pub fn list(&self) -> Vec<Arc<Cluster>> {
        let clusters = self.inner.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        clusters.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use neo4j_operator_shared::clusters::ServerCounts;

    use super::*;

    #[derive(Default)]
    struct Seen(Mutex<Vec<String>>);

    impl BoardObserver for Seen {
        fn phase_changed(&self, namespace: &str, name: &str, from: Option<&str>, to: &str) {
            let line = format!("{namespace}/{name}: {} -> {to}", from.unwrap_or("nothing"));
            self.0.lock().unwrap().push(line);
        }

        fn removed(&self, namespace: &str, name: &str) {
            self.0.lock().unwrap().push(format!("{namespace}/{name}: gone"));
        }
    }

    fn cluster(phase: &str, waiting_for: Option<&str>) -> Cluster {
        Cluster {
            namespace: "prod".into(),
            name: "graph".into(),
            phase: phase.into(),
            ready: false,
            generation: 1,
            observed_generation: None,
            version: None,
            servers: ServerCounts::default(),
            databases: None,
            step: None,
            waiting_for: waiting_for.map(str::to_owned),
            waiting_since: None,
            conditions: Vec::new(),
            plan: Vec::new(),
            server_list: Vec::new(),
            database_list: Vec::new(),
        }
    }

    #[test]
    fn observers_hear_of_each_change_of_phase_once() {
        let seen = Arc::new(Seen::default());
        let board = Board::new(vec![seen.clone()]);
        let now = Timestamp::UNIX_EPOCH;
        for phase in ["Initializing", "Initializing", "Ready"] {
            board.publish(cluster(phase, None), now);
        }
        board.remove("prod", "graph");
        board.remove("prod", "graph");
        assert_eq!(
            *seen.0.lock().unwrap(),
            [
                "prod/graph: nothing -> Initializing",
                "prod/graph: Initializing -> Ready",
                "prod/graph: gone"
            ]
        );
    }

    #[test]
    fn the_time_of_waiting_is_kept_while_it_waits_for_the_same() {
        let board = Board::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        board.publish(cluster("Forming", Some("pods")), at(1));
        board.publish(cluster("Forming", Some("pods")), at(5));
        assert_eq!(board.get("prod", "graph").unwrap().waiting_since, Some(at(1)));
        board.publish(cluster("Forming", Some("Bolt")), at(9));
        assert_eq!(board.get("prod", "graph").unwrap().waiting_since, Some(at(9)));
        board.publish(cluster("Ready", None), at(10));
        assert_eq!(board.get("prod", "graph").unwrap().waiting_since, None);
    }
}
