//! What is there: the objects of a cluster, read once per kind, and what Neo4j says.
//!
//! A read that fails ends the reconcile: nothing is decided on half a view. That Neo4j does not answer is
//! normal while a cluster forms, so it is a value of its own, and never an empty list of servers.

use std::collections::BTreeMap;

use neo4j_operator_shared::Kind;
use serde_json::json;

use super::{
    desired::Role,
    names,
    render::{Part, stateful_set::read_parts},
};
use crate::{
    cache::{
        ConfigMapView, ContainerState, Meta, PdbView, PodView, PvcView, Router, SecretMeta, Select, ServiceAccountView,
        ServiceView, StatefulSetView, Uid,
    },
    neo4j::{BoltError, ClusterClient, DatabaseView, ErrorKind, ServerRow, fold_databases},
    reconcile::{ErrorType, Failure, Live, MANAGER, Requests, manifest},
};

/// One object that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// What the executor has to know of it.
    pub live: Live,
    /// Changes whenever somebody changes what we declare: the generation of kinds that have one, else the
    /// resourceVersion.
    pub mark: String,
}

/// A StatefulSet of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// The object.
    pub child: Child,
    /// Pods asked for.
    pub replicas: u32,
    /// Pods that are ready, as its controller counts.
    pub ready: u32,
    /// Hash of each part that its template was made from.
    pub parts: BTreeMap<Part, String>,
    /// The revision of pods below the partition.
    pub current_revision: Option<String>,
    /// The newest revision.
    pub update_revision: Option<String>,
}

/// A pod of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// Its StatefulSet.
    pub set: String,
    /// Its address.
    pub ip: Option<String>,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// The revision that it was made from.
    pub revision: Option<String>,
    /// Why its Neo4j does not stay up, if it restarts again and again.
    pub crash: Option<String>,
    /// Why it does not start: not scheduled, or its image cannot be pulled.
    pub stuck: Option<String>,
}

/// A data claim of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// Whether it has a volume.
    pub bound: bool,
}

/// Every object of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Children {
    /// Objects by kind and name, StatefulSets apart.
    pub objects: BTreeMap<(Kind, String), Child>,
    /// StatefulSets by pool.
    pub sets: BTreeMap<Role, Set>,
    /// Pods that the StatefulSets own, by name.
    pub pods: Vec<Pod>,
    /// Data claims, by name.
    pub claims: Vec<Claim>,
    /// The Secret with the credential.
    pub operator_auth: Option<Child>,
}

/// What Neo4j says.
#[derive(Clone, Debug, PartialEq)]
pub enum Bolt {
    /// Nobody was asked: no pod could answer.
    NotAsked,
    /// Asked, and no usable answer.
    Unknown {
        /// Why.
        reason: String,
        /// Its category.
        error: ErrorType,
    },
    /// Asked, and the servers are not the Enterprise edition: asking again does not help.
    NotEnterprise {
        /// What they answered.
        reason: String,
    },
    /// An answer.
    Known(Facts),
}

/// Facts that one server of the cluster told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Every server that the cluster knows.
    pub servers: Vec<ServerRow>,
    /// Every database; `None` if they could not be read.
    pub databases: Option<BTreeMap<String, DatabaseView>>,
    /// Whether `system` replicates: only asked before the cluster counts as formed.
    pub system_replicates: Option<bool>,
    /// What went wrong while some of it was read.
    pub problem: Option<String>,
}

/// Reads every object, one list per kind.
pub async fn children(
    cache: &Router,
    namespace: &str,
    name: &str,
    uid: &str,
    requests: &Requests,
) -> Result<Children, Failure> {
    let ours = vec![(names::CLUSTER.to_owned(), name.to_owned())];
    let owned = Select::Owner {
        uid: uid.into(),
        labels: ours.clone(),
    };
    let labelled = Select::Labels(ours.clone());
    let mut managed = ours;
    managed.push(("app.kubernetes.io/managed-by".to_owned(), MANAGER.to_owned()));
    let managed = Select::Labels(managed);
    let (sets, services, config_maps, accounts, pdbs, pods, claims, secrets) = futures::try_join!(
        cache.list::<StatefulSetView>(namespace, &owned, requests),
        cache.list::<ServiceView>(namespace, &owned, requests),
        cache.list::<ConfigMapView>(namespace, &owned, requests),
        cache.list::<ServiceAccountView>(namespace, &owned, requests),
        cache.list::<PdbView>(namespace, &owned, requests),
        cache.list::<PodView>(namespace, &labelled, requests),
        cache.list::<PvcView>(namespace, &labelled, requests),
        cache.list::<SecretMeta>(namespace, &managed, requests),
    )?;
    let mut children = Children::default();
    let mut add = |kind: Kind, meta: &Meta| {
        children.objects.insert((kind, meta.name().to_string()), child(meta));
    };
    for view in &services {
        add(Kind::Service, &view.metadata);
    }
    for view in &config_maps {
        add(Kind::ConfigMap, &view.metadata);
    }
    for view in &accounts {
        add(Kind::ServiceAccount, &view.metadata);
    }
    for view in &pdbs {
        add(Kind::PodDisruptionBudget, &view.metadata);
    }
    children.sets = sets.iter().filter_map(|view| set(view, name)).collect();
    let auth = names::operator_auth(name);
    children.operator_auth = secrets
        .iter()
        .find(|view| view.metadata.name() == auth)
        .map(|view| child(&view.metadata));
    let owners: BTreeMap<Uid, &str> = children
        .sets
        .values()
        .map(|set| (Uid::from(&*set.child.live.uid), set.name.as_str()))
        .collect();
    children.pods = pods
        .iter()
        .filter_map(|view| {
            let set = owners.get(&view.metadata.owner()?.uid)?;
            Some(pod(view, set))
        })
        .collect();
    children.pods.sort_by(|one, other| one.name.cmp(&other.name));
    // Only claims that a StatefulSet mounts: others of such a name were kept from an earlier cluster, or are copies.
    let mounted = |name: &str| children.sets.values().any(|set| mounts(set, name));
    children.claims = claims
        .iter()
        .filter(|view| mounted(view.metadata.name()))
        .map(|view| Claim {
            name: view.metadata.name().to_string(),
            uid: view.metadata.uid().to_string(),
            resource_version: view.metadata.resource_version().to_string(),
            bound: view.phase.as_deref() == Some("Bound"),
        })
        .collect();
    children.claims.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(children)
}

/// Whether a claim is the one of an ordinal that the StatefulSet runs.
fn mounts(set: &Set, claim: &str) -> bool {
    let ordinal = claim
        .strip_prefix(&claim_prefix(set))
        .and_then(|rest| rest.parse::<u32>().ok());
    ordinal.is_some_and(|ordinal| ordinal < set.replicas)
}

fn claim_prefix(set: &Set) -> String {
    format!("{}-{}-", names::DATA, set.name)
}

fn child(meta: &Meta) -> Child {
    Child {
        live: meta.live(),
        mark: meta.generation().map_or_else(
            || meta.resource_version().to_string(),
            |generation| format!("g{generation}"),
        ),
    }
}

fn set(view: &StatefulSetView, cluster: &str) -> Option<(Role, Set)> {
    let role = [Role::Server, Role::Primary, Role::Secondary]
        .into_iter()
        .find(|role| view.metadata.name() == format!("{cluster}-{}", role.as_str()))?;
    let count = |count: i32| u32::try_from(count).unwrap_or(0);
    let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
    let set = Set {
        name: view.metadata.name().to_string(),
        child: child(&view.metadata),
        replicas: count(view.replicas),
        ready: count(view.ready),
        parts: read_parts(
            view.metadata
                .annotations()
                .get(names::TEMPLATE_PARTS)
                .unwrap_or_default(),
        ),
        current_revision: text(&view.current_revision),
        update_revision: text(&view.update_revision),
    };
    Some((role, set))
}

/// Restarts after which a container counts as crash-looping even while it happens to run.
const RESTARTS: i32 = 3;

fn pod(view: &PodView, set: &str) -> Pod {
    let container = view.container(names::CONTAINER);
    let waiting = container.and_then(ContainerState::waiting);
    let crash = container.and_then(|container| {
        let looping = waiting == Some("CrashLoopBackOff") || (container.restarts >= RESTARTS && !container.ready);
        let last = container.terminated().or(container.last());
        looping.then(|| match last {
            Some(ended) => format!(
                "{} after {} restarts, last exit {}{}",
                waiting.unwrap_or("not ready"),
                container.restarts,
                ended.code,
                ended
                    .reason
                    .as_deref()
                    .map(|reason| format!(" ({reason})"))
                    .unwrap_or_default()
            ),
            None => format!(
                "{} after {} restarts",
                waiting.unwrap_or("not ready"),
                container.restarts
            ),
        })
    });
    let pull = waiting.filter(|waiting| waiting.contains("Image") || waiting.starts_with("Create"));
    let unscheduled = view.unschedulable.as_deref();
    let text = |text: &str| text.chars().take(200).collect::<String>();
    Pod {
        name: view.metadata.name().to_string(),
        uid: view.metadata.uid().to_string(),
        resource_version: view.metadata.resource_version().to_string(),
        set: set.to_owned(),
        ip: view.ip.map(|ip| ip.to_string()),
        ready: view.ready,
        deleting: view.metadata.deleting().is_some(),
        revision: view.revision().map(str::to_owned),
        crash,
        stuck: unscheduled
            .map(|why| format!("not scheduled: {}", text(why)))
            .or_else(|| pull.map(text)),
    }
}

impl Children {
    /// Changes when anything does that a reconcile looks at.
    pub fn fingerprint(&self) -> String {
        let object = |child: &Child| json!([child.live.uid, child.mark, child.live.deleting]);
        let objects: Vec<_> = self.objects.values().map(object).collect();
        let sets: Vec<_> = self
            .sets
            .values()
            .map(|set| json!([object(&set.child), set.ready, set.update_revision, set.current_revision]))
            .collect();
        let pods: Vec<_> = self
            .pods
            .iter()
            .map(|pod| json!([pod.uid, pod.ready, pod.ip, pod.deleting, pod.crash, pod.stuck]))
            .collect();
        let claims: Vec<_> = self
            .claims
            .iter()
            .map(|claim| json!([claim.uid, claim.bound]))
            .collect();
        let auth = self.operator_auth.as_ref().map(object);
        manifest::hash(&json!([objects, sets, pods, claims, auth]))
    }

    /// Pods that are ready.
    pub fn ready(&self) -> u32 {
        self.pods.iter().filter(|pod| pod.ready && !pod.deleting).count() as u32
    }
}

/// Asks Neo4j. `check_system` also asks whether `system` replicates.
pub async fn bolt(client: &ClusterClient, check_system: bool) -> Bolt {
    let servers = match client.servers().await {
        Ok(servers) => servers,
        Err(error) => return unknown(&error),
    };
    let mut facts = Facts {
        servers,
        ..Facts::default()
    };
    match client.databases().await {
        Ok(rows) => facts.databases = Some(fold_databases(rows)),
        Err(error) => facts.problem = Some(error.to_string()),
    }
    let enabled = |server: &ServerRow| server.state == "Enabled" && server.health == "Available";
    if check_system && facts.servers.iter().all(enabled) {
        match client.status_check(&["system"]).await {
            Ok(rows) => {
                facts.system_replicates = Some(!rows.is_empty() && rows.iter().all(|row| row.successful));
            }
            Err(error) => facts.problem = Some(error.to_string()),
        }
    }
    Bolt::Known(facts)
}

fn unknown(error: &BoltError) -> Bolt {
    if error.kind == ErrorKind::UnsupportedEdition {
        return Bolt::NotEnterprise {
            reason: error.to_string(),
        };
    }
    Bolt::Unknown {
        reason: error.to_string(),
        error: error.category(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_that_no_pod_mounts_are_not_ours() {
        let set = Set {
            name: "graph-server".to_owned(),
            child: Child {
                live: Live::default(),
                mark: String::new(),
            },
            replicas: 3,
            ready: 3,
            parts: BTreeMap::new(),
            current_revision: None,
            update_revision: None,
        };
        assert!(mounts(&set, "data-graph-server-0") && mounts(&set, "data-graph-server-2"));
        for kept in [
            "data-graph-server-3", // of an earlier cluster that was larger
            "data-graph-server-0-copy",
            "data-graph-server-",
            "data-graph-secondary-0",
            "logs-graph-server-0",
        ] {
            assert!(!mounts(&set, kept), "{kept}");
        }
    }
}
