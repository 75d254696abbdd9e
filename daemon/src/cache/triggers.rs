//! From what a watch saw to the keys that have to be reconciled.
//!
//! A custom resource wakes its own key. An owned object wakes its controller owner, by uid: an object whose
//! owner was deleted and made again does not wake the new one (K49). Pods, and whatever else has no custom
//! resource as owner, belong to the resource that their label names, which is a hint: waking a key too often
//! costs little, for reconciles are level-triggered. And any object wakes whoever said that it refers to it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use neo4j_operator_shared::Kind;

use super::{ident::Uid, meta::Meta, text::intern};
use crate::{
    queue::{Priority, Queue},
    reconcile::Key,
};

/// Label of everything that belongs to a cluster.
pub(super) const CLUSTER_LABEL: &str = "neo4j.com/cluster";
/// Label of everything that belongs to a backup.
const BACKUP_LABEL: &str = "neo4j.com/backup";

/// What a watch saw of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// In the first list.
    Listed,
    /// In a later list, not changed since.
    Relisted,
    /// It is new.
    Appeared,
    /// It has changed.
    Changed,
    /// It has changed, by our own hand.
    Echo,
    /// It is gone, or left the selector.
    Gone,
}

/// Name of an object that others refer to.
type Place = (Kind, Arc<str>, Arc<str>);

#[derive(Debug, Default)]
struct Index {
    /// Uid of each custom resource.
    uids: HashMap<Key, Uid>,
    /// Who refers to what.
    referrers: BTreeMap<Place, BTreeSet<Key>>,
    references: HashMap<Key, BTreeSet<Place>>,
}

/// Puts keys into the queue.
#[derive(Debug)]
pub(super) struct Triggers {
    queue: Queue,
    index: Mutex<Index>,
}

fn is_primary(kind: Kind) -> bool {
    Kind::PRIMARY.contains(&kind)
}

fn primary(name: &str) -> Option<Kind> {
    Kind::PRIMARY.into_iter().find(|kind| kind.kind() == name)
}

fn text(kind: Kind, seen: Seen) -> String {
    let what = match seen {
        Seen::Listed | Seen::Relisted => "listed",
        Seen::Appeared => "appeared",
        Seen::Changed | Seen::Echo => "changed",
        Seen::Gone => "gone",
    };
    format!("{} {what}", kind.plural())
}

impl Triggers {
    pub(super) fn new(queue: Queue) -> Self {
        Self {
            queue,
            index: Mutex::default(),
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A watch saw an object. `visible` says whether the change is one that those who refer to it look at.
    pub(super) fn seen(&self, kind: Kind, meta: &Meta, seen: Seen, visible: bool) {
        let mut wake: Vec<(Key, Priority)> = Vec::new();
        {
            let mut index = self.index();
            if is_primary(kind) {
                let key = Key {
                    kind,
                    namespace: Arc::clone(meta.namespace()),
                    name: meta.name().into(),
                };
                if seen == Seen::Gone {
                    index.uids.remove(&key);
                } else {
                    index.uids.insert(key.clone(), meta.uid());
                }
                match seen {
                    Seen::Listed | Seen::Relisted => wake.push((key, Priority::Listed)),
                    Seen::Echo => {}
                    _ => wake.push((key, Priority::Changed)),
                }
            } else {
                // A first list too: its owner may have been reconciled on what was there a moment before.
                let priority = match seen {
                    Seen::Listed => Some(Priority::Listed),
                    Seen::Relisted | Seen::Echo => None,
                    _ => Some(Priority::Owned),
                };
                wake.extend(priority.and_then(|priority| Some((index.owner(meta)?, priority))));
            }
            if visible && seen != Seen::Relisted {
                let place = (kind, Arc::clone(meta.namespace()), meta.name().into());
                let referrers = index.referrers.get(&place).into_iter().flatten();
                wake.extend(referrers.map(|key| (key.clone(), Priority::Owned)));
            }
        }
        for (key, priority) in wake {
            self.queue.add(key, priority, text(kind, seen));
        }
    }

    /// Whom an object belongs to.
    pub(super) fn owner(&self, meta: &Meta) -> Option<Key> {
        self.index().owner(meta)
    }

    /// What a key had made is gone before a watch saw it.
    pub(super) fn vanished(&self, kind: Kind, owner: Key) {
        self.queue.add(owner, Priority::Owned, text(kind, Seen::Gone));
    }

    /// Wakes those who refer to an object of which nothing but its name is known.
    pub(super) fn referred(&self, kind: Kind, namespace: &Arc<str>, name: &Arc<str>, seen: Seen) {
        let keys: Vec<Key> = {
            let index = self.index();
            let place = (kind, Arc::clone(namespace), Arc::clone(name));
            index.referrers.get(&place).into_iter().flatten().cloned().collect()
        };
        for key in keys {
            self.queue.add(key, Priority::Owned, text(kind, seen));
        }
    }

    /// Whether anybody refers to an object.
    pub(super) fn is_referred(&self, kind: Kind, namespace: &Arc<str>, name: &Arc<str>) -> bool {
        let place = (kind, Arc::clone(namespace), Arc::clone(name));
        self.index().referrers.contains_key(&place)
    }

    /// Notes a reference; says whether it is the first one to that object.
    pub(super) fn refers(&self, key: &Key, kind: Kind, namespace: &str, name: &str) -> bool {
        let place = (kind, intern(namespace), intern(name));
        let mut index = self.index();
        let known = index.references.entry(key.clone()).or_default();
        if !known.insert(place.clone()) {
            return false;
        }
        let referrers = index.referrers.entry(place).or_default();
        referrers.insert(key.clone());
        referrers.len() == 1
    }

    /// Drops every reference of a key but those in `keep`; the answer is what nobody refers to any more.
    pub(super) fn forget(&self, key: &Key, keep: &[(Kind, &str, &str)]) -> Vec<(Kind, Arc<str>, Arc<str>)> {
        let mut index = self.index();
        let Some(places) = index.references.remove(key) else {
            return Vec::new();
        };
        let kept = |place: &Place| keep.contains(&(place.0, &*place.1, &*place.2));
        let (keep, drop): (BTreeSet<Place>, BTreeSet<Place>) = places.into_iter().partition(kept);
        if !keep.is_empty() {
            index.references.insert(key.clone(), keep);
        }
        let mut orphans = Vec::new();
        for place in drop {
            if let Some(referrers) = index.referrers.get_mut(&place) {
                referrers.remove(key);
                if referrers.is_empty() {
                    index.referrers.remove(&place);
                    orphans.push(place);
                }
            }
        }
        orphans
    }
}

impl Index {
    /// The custom resource that an object belongs to.
    fn owner(&self, meta: &Meta) -> Option<Key> {
        let key = |kind: Kind, name: &str| Key {
            kind,
            namespace: Arc::clone(meta.namespace()),
            name: name.into(),
        };
        if let Some(owner) = meta.owner()
            && let Some(kind) = primary(owner.kind)
        {
            let key = key(kind, owner.name);
            // Before the watch of the owner's kind has seen it, its uid is not known: wake it then.
            let other = self.uids.get(&key).is_some_and(|uid| *uid != owner.uid);
            return (!other).then_some(key);
        }
        if let Some(backup) = meta.labels().get(BACKUP_LABEL) {
            return Some(key(Kind::Neo4jBackup, backup));
        }
        let cluster = meta.labels().get(CLUSTER_LABEL)?;
        Some(key(Kind::Neo4jEnterpriseCluster, cluster))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::queue::Job;

    fn meta(value: &Value) -> Meta {
        serde_json::from_str(&value.to_string()).unwrap()
    }

    fn taken(queue: &Queue) -> Vec<(Kind, String, String)> {
        let mut jobs = Vec::new();
        while let Some(Some(Job { key, trigger, .. })) = futures::FutureExt::now_or_never(queue.next()) {
            jobs.push((key.kind, key.name.to_string(), trigger.to_string()));
            queue.finish(&key, crate::queue::Verdict::Done(None));
        }
        jobs
    }

    fn owned(uid: &str) -> Meta {
        meta(&json!({
            "namespace": "n", "name": "c-server", "resourceVersion": "5",
            "ownerReferences": [{"kind": "Neo4jEnterpriseCluster", "name": "c", "uid": uid, "controller": true}],
        }))
    }

    #[tokio::test]
    async fn an_owned_object_wakes_its_owner_by_uid() {
        let queue = Queue::hasty();
        let triggers = Triggers::new(queue.clone());
        let cluster = meta(&json!({"namespace": "n", "name": "c", "uid": "u2"}));
        triggers.seen(Kind::Neo4jEnterpriseCluster, &cluster, Seen::Listed, true);
        taken(&queue);
        triggers.seen(Kind::StatefulSet, &owned("u1"), Seen::Changed, true);
        assert_eq!(taken(&queue), [], "the owner of that uid is gone");
        triggers.seen(Kind::StatefulSet, &owned("u2"), Seen::Echo, true);
        assert_eq!(taken(&queue), [], "that was us");
        triggers.seen(Kind::StatefulSet, &owned("u2"), Seen::Changed, true);
        assert_eq!(
            taken(&queue),
            [(Kind::Neo4jEnterpriseCluster, "c".into(), "statefulsets changed".into())]
        );
    }

    #[tokio::test]
    async fn a_pod_belongs_to_its_backup_before_its_cluster() {
        let queue = Queue::hasty();
        let triggers = Triggers::new(queue.clone());
        let pod = |labels: Value| meta(&json!({"namespace": "n", "name": "p", "labels": labels}));
        triggers.seen(
            Kind::Pod,
            &pod(json!({"neo4j.com/cluster": "c", "neo4j.com/backup": "b"})),
            Seen::Changed,
            true,
        );
        triggers.seen(Kind::Pod, &pod(json!({"neo4j.com/cluster": "c"})), Seen::Gone, true);
        let woken: Vec<_> = taken(&queue).into_iter().map(|(kind, name, _)| (kind, name)).collect();
        assert_eq!(
            woken,
            [
                (Kind::Neo4jBackup, "b".into()),
                (Kind::Neo4jEnterpriseCluster, "c".into())
            ]
        );
    }

    #[tokio::test]
    async fn a_reference_wakes_until_it_is_forgotten() {
        let queue = Queue::hasty();
        let triggers = Triggers::new(queue.clone());
        let database = Key {
            kind: Kind::Neo4jDatabase,
            namespace: "n".into(),
            name: "d".into(),
        };
        assert!(triggers.refers(&database, Kind::Neo4jEnterpriseCluster, "n", "c"));
        assert!(!triggers.refers(&database, Kind::Neo4jEnterpriseCluster, "n", "c"));
        let cluster = meta(&json!({"namespace": "n", "name": "c", "uid": "u"}));
        triggers.seen(Kind::Neo4jEnterpriseCluster, &cluster, Seen::Echo, true);
        assert_eq!(taken(&queue).len(), 1);
        assert_eq!(
            triggers.forget(&database, &[]),
            [(Kind::Neo4jEnterpriseCluster, "n".into(), "c".into())]
        );
        triggers.seen(Kind::Neo4jEnterpriseCluster, &cluster, Seen::Echo, true);
        assert_eq!(taken(&queue), []);
    }
}
