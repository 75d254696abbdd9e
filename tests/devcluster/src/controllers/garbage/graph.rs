//! Who owns whom, by uid: a plain data structure, and the decision about one object of it.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::controllers::view::Key;

/// Dependants go first, then the object.
pub(super) const FOREGROUND: &str = "foregroundDeletion";
/// Dependants lose their reference, then the object goes.
pub(super) const ORPHAN: &str = "orphan";

/// An object, as far as ownership goes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) uid: String,
    /// Group and kind.
    pub(super) kind: (String, String),
    pub(super) key: Key,
    pub(super) owners: Vec<OwnerReference>,
    pub(super) deleting: bool,
    pub(super) finalizers: Vec<String>,
}

impl Node {
    /// The node of an object's metadata.
    pub(super) fn of(kind: (String, String), key: Key, meta: &ObjectMeta) -> Self {
        Self {
            uid: meta.uid.clone().unwrap_or_default(),
            kind,
            key,
            owners: meta.owner_references.clone().unwrap_or_default(),
            deleting: meta.deletion_timestamp.is_some(),
            finalizers: meta.finalizers.clone().unwrap_or_default(),
        }
    }

    pub(super) fn has(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|known| known == finalizer)
    }

    /// Whether it waits for its dependants to go.
    pub(super) fn waits_for_dependants(&self) -> bool {
        self.deleting && self.has(FOREGROUND)
    }

    /// Whether its deletion waits while `owner` waits.
    pub(super) fn blocks(&self, owner: &str) -> bool {
        self.owners
            .iter()
            .any(|reference| reference.uid == owner && reference.block_owner_deletion == Some(true))
    }
}

/// What is known of an owner that a reference names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// It is there, and stays or waits for others.
    Solid,
    /// It is there, but is being deleted once its dependants are gone.
    Waiting,
    /// There is no such object.
    Absent,
    /// It cannot be said: a cluster-wide object names an owner in some namespace.
    Unresolvable,
}

/// What is to be done with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Stays as it is.
    Keep,
    /// Stays; references to owners that are not solid go.
    DropOwners,
    /// Goes, after its own dependants.
    DeleteForeground,
    /// Goes; its finalizers say what becomes of its dependants.
    Delete,
}

/// All objects.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: BTreeMap<String, Node>,
    dependants: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    pub(super) fn get(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }

    /// The objects that name `owner` as an owner.
    pub(super) fn dependants(&self, owner: &str) -> Vec<Node> {
        let uids = self.dependants.get(owner).into_iter().flatten();
        uids.filter_map(|uid| self.nodes.get(uid)).cloned().collect()
    }

    /// Takes in the present state of an object, and returns the uids to look at because of it.
    pub(super) fn insert(&mut self, node: Node) -> BTreeSet<String> {
        let mut affected = self.unlink(&node.uid);
        for owner in &node.owners {
            self.dependants
                .entry(owner.uid.clone())
                .or_default()
                .insert(node.uid.clone());
            affected.insert(owner.uid.clone());
        }
        if node.waits_for_dependants() {
            affected.extend(self.dependants.get(&node.uid).into_iter().flatten().cloned());
        }
        affected.insert(node.uid.clone());
        self.nodes.insert(node.uid.clone(), node);
        affected
    }

    /// Takes out an object that is gone, and returns the uids to look at because of it: its owners and its dependants.
    pub(super) fn remove(&mut self, uid: &str) -> BTreeSet<String> {
        let mut affected = self.unlink(uid);
        self.nodes.remove(uid);
        affected.extend(self.dependants.get(uid).into_iter().flatten().cloned());
        affected
    }

    fn unlink(&mut self, uid: &str) -> BTreeSet<String> {
        let owners: BTreeSet<String> = self
            .nodes
            .get(uid)
            .into_iter()
            .flat_map(|node| node.owners.iter().map(|owner| owner.uid.clone()))
            .collect();
        for owner in &owners {
            if let Some(dependants) = self.dependants.get_mut(owner) {
                dependants.remove(uid);
                if dependants.is_empty() {
                    self.dependants.remove(owner);
                }
            }
        }
        owners
    }

    /// What becomes of an object whose owners were found to be like this.
    pub(super) fn decide(&self, node: &Node, owners: &[Owner]) -> Verdict {
        let any = |wanted: Owner| owners.contains(&wanted);
        if node.deleting || owners.is_empty() || any(Owner::Unresolvable) {
            Verdict::Keep
        } else if any(Owner::Solid) {
            if owners.iter().all(|owner| *owner == Owner::Solid) {
                Verdict::Keep
            } else {
                Verdict::DropOwners
            }
        } else if any(Owner::Waiting) && self.dependants.contains_key(&node.uid) {
            Verdict::DeleteForeground
        } else {
            Verdict::Delete
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(uid: &str, owners: &[&str]) -> Node {
        let owner = |uid: &&str| OwnerReference {
            uid: (*uid).to_owned(),
            block_owner_deletion: Some(true),
            ..OwnerReference::default()
        };
        Node {
            uid: uid.to_owned(),
            kind: (String::new(), "Pod".to_owned()),
            key: Key::new("n", uid),
            owners: owners.iter().map(owner).collect(),
            deleting: false,
            finalizers: Vec::new(),
        }
    }

    fn uids(uids: &[&str]) -> BTreeSet<String> {
        uids.iter().map(|uid| (*uid).to_owned()).collect()
    }

    #[test]
    fn an_object_that_goes_brings_up_its_owners_and_its_dependants() {
        let mut graph = Graph::default();
        graph.insert(node("cluster", &[]));
        assert_eq!(graph.insert(node("set", &["cluster"])), uids(&["cluster", "set"]));
        graph.insert(node("pod-0", &["set"]));
        graph.insert(node("pod-1", &["set"]));
        assert_eq!(graph.remove("set"), uids(&["cluster", "pod-0", "pod-1"]));
        // A dependant that loses its reference no longer belongs to it.
        graph.insert(node("pod-0", &[]));
        assert_eq!(graph.dependants("set").len(), 1);
    }

    #[test]
    fn an_owner_that_waits_brings_up_its_dependants() {
        let mut graph = Graph::default();
        graph.insert(node("pod-0", &["set"]));
        let mut set = node("set", &[]);
        set.deleting = true;
        set.finalizers = vec![FOREGROUND.to_owned()];
        assert_eq!(graph.insert(set), uids(&["set", "pod-0"]));
    }

    #[test]
    fn an_object_goes_only_when_no_owner_is_left_and_none_is_in_doubt() {
        use Owner::{Absent, Solid, Unresolvable, Waiting};
        let mut graph = Graph::default();
        let set = node("set", &["a", "b"]);
        graph.insert(set.clone());
        let cases = [
            (vec![], Verdict::Keep),
            (vec![Solid, Solid], Verdict::Keep),
            (vec![Solid, Absent], Verdict::DropOwners),
            (vec![Solid, Waiting], Verdict::DropOwners),
            (vec![Absent, Absent], Verdict::Delete),
            (vec![Absent, Unresolvable], Verdict::Keep),
            (vec![Waiting, Absent], Verdict::Delete),
        ];
        for (owners, verdict) in cases {
            assert_eq!(graph.decide(&set, &owners), verdict, "{owners:?}");
        }
        graph.insert(node("pod-0", &["set"]));
        assert_eq!(graph.decide(&set, &[Waiting]), Verdict::DeleteForeground);
        let mut going = set;
        going.deleting = true;
        assert_eq!(graph.decide(&going, &[Absent]), Verdict::Keep);
    }
}
