//! The garbage collector: dependants go when their owners are gone, before their owner goes, or are set free, as the deletion asked.
//!
//! [`graph`] knows who owns whom and decides; here stands what needs the server. An owner that the graph does not know is looked up
//! before anything is deleted, and every delete names the uid and the version that was judged: doubt never deletes.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::PropagationPolicy;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use self::graph::{FOREGROUND, Graph, Node, ORPHAN, Owner, Verdict};
use super::{
    Error,
    kinds::{Kind, Kinds, Meta},
    queue::{self, Queue},
    view::{Change, Deletion, Key},
};

mod graph;

const WORKERS: usize = 16;
/// How long to wait for what cannot be said yet.
const LATER: Duration = Duration::from_millis(500);

/// The collector's knowledge, fed by the views of all kinds.
#[derive(Default)]
pub(super) struct Garbage {
    graph: Mutex<Graph>,
    queue: Queue<String>,
}

impl Garbage {
    fn graph(&self) -> MutexGuard<'_, Graph> {
        self.graph.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears of a change of any object.
    pub(super) fn hear(&self, kind: &Kind, change: &Change<'_, Meta>) {
        let name = (kind.resource.group.clone(), kind.resource.kind.clone());
        let affected = match change {
            Change::Applied { before, now } => {
                let mut graph = self.graph();
                // Of the same name, but another object: that one is gone.
                let mut affected = match before.and_then(|before| before.metadata.uid.as_deref()) {
                    Some(uid) if now.metadata.uid.as_deref() != Some(uid) => graph.remove(uid),
                    _ => BTreeSet::new(),
                };
                // Of two changes told at the same time the later may be heard first: what counts is what the copy has.
                let (key, uid) = (Key::of(*now), now.metadata.uid.as_deref().unwrap_or_default());
                match kind
                    .view
                    .get(&key)
                    .filter(|known| known.metadata.uid.as_deref() == Some(uid))
                {
                    Some(known) => affected.extend(graph.insert(Node::of(name, key, &known.metadata))),
                    None => affected.extend(graph.remove(uid)),
                }
                affected
            }
            Change::Deleted(last) => self.graph().remove(last.metadata.uid.as_deref().unwrap_or_default()),
        };
        for uid in affected {
            self.queue.add(uid);
        }
    }
}

/// Runs the collector until `stop`.
pub(super) async fn run(garbage: Arc<Garbage>, kinds: Arc<Kinds>, stop: CancellationToken) {
    let collector = Collector {
        garbage: &garbage,
        kinds,
    };
    queue::run(&garbage.queue, stop, WORKERS, |uid| collector.reconcile(uid)).await;
}

struct Collector<'a> {
    garbage: &'a Garbage,
    kinds: Arc<Kinds>,
}

impl Collector<'_> {
    async fn reconcile(&self, uid: String) -> Result<Option<Duration>, Error> {
        let Some(node) = self.garbage.graph().get(&uid).cloned() else {
            return Ok(None);
        };
        let outcome = self.collect(&node).await;
        match outcome {
            // It has changed since: its change brings it back.
            Err(error) if error.is_gone() => Ok(None),
            Err(error) if error.is_conflict() => Ok(Some(LATER)),
            outcome => outcome,
        }
    }

    async fn collect(&self, node: &Node) -> Result<Option<Duration>, Error> {
        if node.deleting && node.has(ORPHAN) {
            return self.set_free(node).await;
        }
        if node.waits_for_dependants() {
            return self.let_go(node).await;
        }
        if node.deleting || node.owners.is_empty() {
            return Ok(None);
        }
        let mut owners = Vec::with_capacity(node.owners.len());
        for reference in &node.owners {
            owners.push(self.find(node, reference).await?);
        }
        let verdict = self.garbage.graph().decide(node, &owners);
        match verdict {
            Verdict::Keep => {}
            Verdict::DropOwners => {
                let solid = node
                    .owners
                    .iter()
                    .zip(&owners)
                    .filter(|(_, owner)| **owner == Owner::Solid);
                let solid: Vec<_> = solid.map(|(reference, _)| reference).collect();
                self.patch(node, json!({ "ownerReferences": solid })).await?;
            }
            Verdict::DeleteForeground => self.delete(node, PropagationPolicy::Foreground).await?,
            Verdict::Delete => {
                let policy = if node.has(ORPHAN) {
                    PropagationPolicy::Orphan
                } else if node.has(FOREGROUND) {
                    PropagationPolicy::Foreground
                } else {
                    PropagationPolicy::Background
                };
                self.delete(node, policy).await?;
            }
        }
        Ok(None)
    }

    /// Takes the reference to `node` from all its dependants, then lets it go.
    async fn set_free(&self, node: &Node) -> Result<Option<Duration>, Error> {
        if !self.kinds.are_synced() {
            return Ok(Some(LATER));
        }
        let dependants = self.garbage.graph().dependants(&node.uid);
        for dependant in dependants {
            let others: Vec<_> = dependant.owners.iter().filter(|owner| owner.uid != node.uid).collect();
            match self.patch(&dependant, json!({ "ownerReferences": others })).await {
                Err(error) if error.is_gone() => {}
                outcome => outcome?,
            }
        }
        self.drop_finalizer(node, ORPHAN).await?;
        Ok(None)
    }

    /// Lets `node` go once no dependant that blocks it is left.
    async fn let_go(&self, node: &Node) -> Result<Option<Duration>, Error> {
        if !self.kinds.are_synced() {
            return Ok(Some(LATER));
        }
        let dependants = self.garbage.graph().dependants(&node.uid);
        let blocked = dependants.iter().any(|dependant| dependant.blocks(&node.uid));
        if blocked {
            for dependant in dependants {
                self.garbage.queue.add(dependant.uid);
            }
            return Ok(None);
        }
        self.drop_finalizer(node, FOREGROUND).await?;
        Ok(None)
    }

    /// What is known of an owner; asked of the server where the graph does not have it.
    async fn find(&self, node: &Node, reference: &OwnerReference) -> Result<Owner, Error> {
        let Some(kind) = self.kinds.get(&reference.api_version, &reference.kind) else {
            let message = format!("owner of unknown kind {} {}", reference.api_version, reference.kind);
            return Err(Error::Invalid(message));
        };
        if kind.namespaced && node.key.namespace.is_empty() {
            return Ok(Owner::Unresolvable);
        }
        // An owner is in the object's own namespace, or in none.
        let namespace = if kind.namespaced {
            node.key.namespace.as_str()
        } else {
            ""
        };
        let key = Key::new(namespace, reference.name.clone());
        let known = self
            .garbage
            .graph()
            .get(&reference.uid)
            .map(|owner| (owner.key == key, owner.waits_for_dependants()));
        match known {
            Some((true, true)) => return Ok(Owner::Waiting),
            Some((true, false)) => return Ok(Owner::Solid),
            _ => {}
        }
        let found = kind.view.fetch(&key).await?;
        let same = found
            .as_ref()
            .filter(|found| found.metadata.uid.as_deref() == Some(&reference.uid));
        Ok(match same {
            None => Owner::Absent,
            Some(owner) if Node::of((String::new(), String::new()), key, &owner.metadata).waits_for_dependants() => {
                Owner::Waiting
            }
            Some(_) => Owner::Solid,
        })
    }

    fn object(&self, node: &Node) -> Option<(Arc<Kind>, Arc<Meta>)> {
        let (group, name) = &node.kind;
        let kind = self.kinds.get(&format!("{group}/"), name)?;
        let object = kind.view.get(&node.key)?;
        (object.metadata.uid.as_deref() == Some(&node.uid)).then_some((kind, object))
    }

    async fn patch(&self, node: &Node, metadata: serde_json::Value) -> Result<(), Error> {
        match self.object(node) {
            Some((kind, object)) => kind.view.merge(&*object, json!({ "metadata": metadata }), true).await,
            None => Ok(()),
        }
    }

    async fn delete(&self, node: &Node, policy: PropagationPolicy) -> Result<(), Error> {
        match self.object(node) {
            Some((kind, object)) => {
                tracing::debug!(kind = %kind.resource.kind, object = %node.key, ?policy, "collected: no owner is left");
                kind.view.delete(&*object, Deletion::with(policy).exactly()).await
            }
            None => Ok(()),
        }
    }

    async fn drop_finalizer(&self, node: &Node, finalizer: &str) -> Result<(), Error> {
        let others: Vec<_> = node.finalizers.iter().filter(|known| *known != finalizer).collect();
        self.patch(node, json!({ "finalizers": others })).await
    }
}
