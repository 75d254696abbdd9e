//! From what is wanted and what is there to what is written, with a reason for each: pure, no I/O.
//!
//! What cannot be done safely yet is held: fewer servers, another pod template for a cluster that runs, larger
//! volumes. A held change changes nothing of the StatefulSet and its ConfigMap, for a pod that restarts by itself
//! must find what it was started with.

use std::collections::BTreeMap;

use neo4j_operator_shared::Kind;

use super::{
    desired::{Desired, Role},
    observe::{Child, Children, Pod, Set},
    render::{Part, PoolState, Rendered, stateful_set::changed_parts},
};
use crate::reconcile::{Effect, Manifest};

/// A write and why.
#[derive(Clone, Debug)]
pub struct Action {
    /// What is written.
    pub effect: Effect,
    /// `create`, `apply` or `delete`.
    pub verb: &'static str,
    /// Why.
    pub reason: String,
}

/// What is to be written.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Levels: one begins when the one before it succeeded.
    pub levels: Vec<Vec<Action>>,
    /// Fields whose change is held, in words.
    pub held: Vec<String>,
    /// Whether the template is: then neither the StatefulSets nor their ConfigMap are changed.
    pub template_held: bool,
}

impl Plan {
    /// Whether an object is to be written, or would be but for a held template.
    pub fn is_pending(&self, kind: Kind, name: &str) -> bool {
        let held = self.template_held && matches!(kind, Kind::StatefulSet | Kind::ConfigMap);
        let mut effects = self.actions().map(|action| &action.effect);
        held || effects.any(|effect| match effect {
            Effect::Ensure { manifest, .. } => manifest.resource.kind == kind && manifest.name == name,
            Effect::Delete { .. } => false,
        })
    }

    /// Every action in order.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.levels.iter().flatten()
    }
}

/// How the pools are to be written, before anything is rendered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pools {
    /// Replicas and partition per pool.
    pub states: BTreeMap<Role, PoolState>,
    /// Fields whose change is held.
    pub held: Vec<String>,
    /// More servers are wanted than there are: this many in all.
    pub grows_to: Option<u32>,
}

/// The field with the count of a pool.
fn count_field(role: Role) -> &'static str {
    match role {
        Role::Server => "spec.topology.servers",
        Role::Primary => "spec.topology.primaries",
        Role::Secondary => "spec.topology.secondaries",
    }
}

/// Decides replicas and partition. `formed`: the cluster was complete once. `growing`: the intent to add servers
/// is in the status; until it is, nothing grows.
pub fn pools(desired: &Desired, children: &Children, formed: bool, growing: bool) -> Pools {
    let mut pools = Pools::default();
    for pool in &desired.pools {
        let Some(set) = children.sets.get(&pool.role) else {
            let (replicas, partition) = (pool.replicas, pool.replicas);
            pools.states.insert(pool.role, PoolState { replicas, partition });
            continue;
        };
        let replicas = if pool.replicas < set.replicas {
            pools.held.push(format!(
                "{} (scale in from {} to {})",
                count_field(pool.role),
                set.replicas,
                pool.replicas
            ));
            set.replicas
        } else if pool.replicas > set.replicas && formed {
            pools.grows_to = Some(desired.servers());
            if growing { pool.replicas } else { set.replicas }
        } else {
            pool.replicas
        };
        // Pods of a cluster that never ran are made anew from the newest template, and once begun that goes on: behind a
        // partition those that come back meanwhile would be of the old one. A set whose first status was lost takes the
        // newest revision for the current one, so the pods are asked too.
        let is_old = |pod: &Pod| pod.set == set.name && is_outdated(set, pod);
        let replacing = !formed && (set.current_revision != set.update_revision || children.pods.iter().any(is_old));
        let partition = if replacing { 0 } else { replicas };
        pools.states.insert(pool.role, PoolState { replicas, partition });
    }
    for (role, set) in &children.sets {
        if !desired.pools.iter().any(|pool| pool.role == *role) && set.replicas > 0 {
            pools.held.push(format!(
                "{} (scale in from {} to none)",
                count_field(*role),
                set.replicas
            ));
        }
    }
    pools
}

/// Whether pods may be made anew at any time: nobody has ever used them. `other_edition`: servers run and answer, but
/// are not Enterprise, and only another image can help.
pub fn replaceable(children: &Children, formed: bool, other_edition: bool) -> bool {
    !formed && (children.ready() == 0 || other_edition)
}

/// Parts of the template that must not be changed now.
fn held_parts(rendered: &Rendered, children: &Children, replaceable: bool) -> Vec<Part> {
    let mut held = Vec::new();
    for pool in &rendered.pools {
        let Some(set) = children.sets.get(&pool.role) else {
            continue;
        };
        for part in changed_parts(&set.parts, &pool.parts) {
            // A claim template can never be changed in place.
            if (!replaceable || part == Part::Storage) && !held.contains(&part) {
                held.push(part);
            }
        }
    }
    held
}

/// Decides what is written. `marks` are those of the objects as we last left them: an object that has another one
/// was changed by somebody else.
pub fn plan(
    rendered: &Rendered,
    children: &Children,
    pools: &Pools,
    replaceable: bool,
    marks: &BTreeMap<(Kind, String), String>,
) -> Plan {
    let parts = held_parts(rendered, children, replaceable);
    let mut held = pools.held.clone();
    held.extend(parts.iter().map(|part| part.field().to_owned()));
    let template_held = !parts.is_empty();
    let ensure = |manifest: &Manifest| {
        let key = (manifest.resource.kind, manifest.name.clone());
        ensure(manifest, children.objects.get(&key), marks.get(&key))
    };
    let mut first: Vec<Action> = rendered.first.iter().filter_map(ensure).collect();
    // The credential is only ever created: what is in it works.
    if children.operator_auth.is_none() {
        first.extend(rendered.operator_auth.iter().map(create));
    }
    // The size of volumes is not in it, and once raised is held for ever: what is missing may come back.
    let concerned = parts.iter().any(|part| *part != Part::Storage);
    let config_map = (Kind::ConfigMap, rendered.config_map.name.clone());
    if !template_held || (!concerned && !children.objects.contains_key(&config_map)) {
        first.extend(ensure(&rendered.config_map));
    }
    // Beside what pods are waiting for: a Service that gets an address takes the server longest, and no pod needs it.
    let mut second = Vec::new();
    if !template_held {
        for pool in &rendered.pools {
            let key = (Kind::StatefulSet, pool.manifest.name.clone());
            let set = children.sets.get(&pool.role);
            second.extend(self::ensure(&pool.manifest, set.map(|set| &set.child), marks.get(&key)));
        }
    }
    second.extend(rendered.services.iter().filter_map(ensure));
    match &rendered.pdb {
        Some(manifest) => second.extend(ensure(manifest)),
        None => second.extend(
            children
                .objects
                .iter()
                .filter(|((kind, _), _)| *kind == Kind::PodDisruptionBudget)
                .map(|((kind, name), child)| remove(*kind, name, child, rendered, "it is switched off")),
        ),
    }
    let third = outdated_pods(rendered, children, pools, replaceable);
    let levels = [first, second, third].into_iter().filter(|level| !level.is_empty());
    Plan {
        levels: levels.collect(),
        held,
        template_held,
    }
}

fn create(manifest: &Manifest) -> Action {
    Action {
        effect: Effect::Ensure {
            manifest: Box::new(manifest.clone()),
            live: None,
        },
        verb: "create",
        reason: "it does not exist".to_owned(),
    }
}

fn ensure(manifest: &Manifest, child: Option<&Child>, mark: Option<&String>) -> Option<Action> {
    let Some(child) = child else {
        return Some(create(manifest));
    };
    let mut live = child.live.clone();
    let reason = if live.applied_hash.as_ref() != Some(&manifest.hash) {
        "what is wanted changed"
    } else if mark.is_some_and(|mark| *mark != child.mark) {
        // Ours by hash, and yet not as we left it: declared again, so that our fields come back.
        live.applied_hash = None;
        "it was changed by somebody else"
    } else {
        return None;
    };
    Some(Action {
        effect: Effect::Ensure {
            manifest: Box::new(manifest.clone()),
            live: Some(live),
        },
        verb: "apply",
        reason: reason.to_owned(),
    })
}

fn remove(kind: Kind, name: &str, child: &Child, rendered: &Rendered, reason: &str) -> Action {
    Action {
        effect: Effect::Delete {
            kind,
            namespace: rendered.config_map.namespace.clone(),
            name: name.to_owned(),
            uid: child.live.uid.clone(),
            resource_version: child.live.resource_version.clone(),
        },
        verb: "delete",
        reason: reason.to_owned(),
    }
}

/// Whether a pod was made from another template than the newest, as far as the set knows it.
fn is_outdated(set: &Set, pod: &Pod) -> bool {
    set.update_revision.is_some() && pod.revision != set.update_revision
}

/// Pods of an older template of a cluster that never ran: nobody uses them, and they would wait for ever.
fn outdated_pods(rendered: &Rendered, children: &Children, pools: &Pools, replaceable: bool) -> Vec<Action> {
    if !replaceable {
        return Vec::new();
    }
    let replacing = |role: &Role| pools.states.get(role).is_some_and(|state| state.partition == 0);
    children
        .sets
        .iter()
        .filter(|(role, _)| replacing(role))
        .flat_map(|(_, set)| {
            children
                .pods
                .iter()
                .filter(move |pod| pod.set == set.name)
                .map(move |pod| (set, pod))
        })
        .filter(|(set, pod)| !pod.deleting && is_outdated(set, pod))
        .map(|(_, pod)| Action {
            effect: Effect::Delete {
                kind: Kind::Pod,
                namespace: rendered.config_map.namespace.clone(),
                name: pod.name.clone(),
                uid: pod.uid.clone(),
                resource_version: pod.resource_version.clone(),
            },
            verb: "delete",
            reason: "it was made from a template that never ran".to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::cluster::render::{
        self,
        tests::{desired, inputs},
    };

    #[test]
    fn a_stateful_set_waits_for_what_its_pods_need_and_for_nothing_else() {
        let rendered = render::render(&desired(serde_json::json!({})), &inputs()).unwrap();
        let plan = plan(
            &rendered,
            &Children::default(),
            &Pools::default(),
            true,
            &BTreeMap::new(),
        );
        let labels = |level: &Vec<Action>| level.iter().map(|action| action.effect.label()).collect::<Vec<_>>();
        let of = |names: [(&str, &str); 4]| names.map(|(kind, name)| format!("{kind} prod/graph{name}")).to_vec();
        assert_eq!(
            plan.levels.iter().map(labels).collect::<Vec<_>>(),
            [
                of([
                    ("ServiceAccount", ""),
                    ("Service", "-headless"),
                    ("Secret", "-operator-auth"),
                    ("ConfigMap", "-config"),
                ]),
                of([
                    ("StatefulSet", "-server"),
                    ("Service", "-client"),
                    ("Service", "-metrics"),
                    ("PodDisruptionBudget", "-pdb"),
                ]),
            ]
        );
    }
}
