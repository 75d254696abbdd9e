//! How servers become a cluster, and how further ones join it: one pure decision per reconcile (neo4j.md §9).
//!
//! The order is: pods are ready, Bolt answers, the cluster knows every server, each is enabled with the mode of
//! its pool, all are enabled and available, `system` replicates, the default numbers of copies are set. Each step
//! is decided anew from what is observed, so a crash between two of them costs nothing; nothing is undone.

use neo4j_operator_crds::cluster::topology::ModeConstraint as Mode;

use super::{
    desired::{Desired, Role},
    observe::{Bolt, Children, Facts, Pod},
};
use crate::neo4j::{ModeConstraint, ServerRow};

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Pods are not ready.
    WaitForPods {
        /// Pods that are ready.
        ready: u32,
        /// Pods that are wanted.
        desired: u32,
        /// What holds the first of them up, if that is known.
        why: Option<String>,
    },
    /// Neo4j gives no answer.
    WaitForBolt {
        /// Why.
        why: String,
    },
    /// The servers are not the Enterprise edition: nothing can be done with them.
    NotEnterprise {
        /// What they answered.
        why: String,
    },
    /// Neo4j does not know all servers yet.
    WaitForServers {
        /// Pods whose server is missing.
        missing: Vec<String>,
    },
    /// Servers take part.
    Enable(Vec<Enable>),
    /// Servers are enabled but not available.
    WaitForAvailable {
        /// Their pods.
        waiting: Vec<String>,
    },
    /// `system` does not replicate yet, or that could not be asked.
    WaitForSystem {
        /// Why.
        why: String,
    },
    /// The default numbers of copies are set; the last step.
    SetDefaultAllocation {
        /// Primaries of a database that names none.
        primaries: u8,
    },
    /// Nothing: every wanted server takes part.
    Complete,
}

/// One server to be enabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enable {
    /// Its id.
    pub server_id: String,
    /// Its pod.
    pub pod: String,
    /// What it may host.
    pub mode: ModeConstraint,
}

/// A pod that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its name.
    pub pod: String,
    /// Its pool.
    pub role: Role,
    /// What it may host.
    pub mode: ModeConstraint,
}

/// The pods that are wanted, pool by pool. `replicas` says how many there may be of each pool now.
pub fn expected(desired: &Desired, replicas: impl Fn(Role) -> u32) -> Vec<Expected> {
    desired
        .pools
        .iter()
        .flat_map(|pool| {
            (0..replicas(pool.role)).map(|ordinal| Expected {
                pod: pool.pod(ordinal),
                role: pool.role,
                mode: match desired.constraint(pool.role, ordinal) {
                    Mode::Primary => ModeConstraint::Primary,
                    Mode::Secondary => ModeConstraint::Secondary,
                    Mode::None | Mode::Unknown(_) => ModeConstraint::None,
                },
            })
        })
        .collect()
}

/// The server of a pod. The host it advertises begins with the pod's name; with addresses it is the pod's own.
pub fn server_of<'a>(facts: &'a Facts, pod: &str, ip: Option<&str>) -> Option<&'a ServerRow> {
    facts
        .servers
        .iter()
        .filter(|server| !matches!(server.state.as_str(), "Dropped" | "Deallocated"))
        .find(|server| {
            let Some(address) = server.address.as_deref() else {
                return false;
            };
            let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
            host.split('.').next() == Some(pod) || (ip.is_some() && Some(host) == ip)
        })
}

/// Decides the next step. `formed` says that the cluster was complete once: then servers that are there are
/// enabled even while another pod is down.
pub fn next(desired: &Desired, expected: &[Expected], children: &Children, bolt: &Bolt, formed: bool) -> Step {
    let pod = |name: &str| children.pods.iter().find(|pod| pod.name == name && !pod.deleting);
    let ready = expected
        .iter()
        .filter(|e| pod(&e.pod).is_some_and(|pod| pod.ready))
        .count();
    let waits_for_pods = Step::WaitForPods {
        ready: ready as u32,
        desired: expected.len() as u32,
        why: hindrance(children),
    };
    if ready < expected.len() && !formed {
        return waits_for_pods;
    }
    let facts = match bolt {
        Bolt::Known(facts) => facts,
        Bolt::NotAsked => return waits_for_pods,
        Bolt::Unknown { reason, .. } => return Step::WaitForBolt { why: reason.clone() },
        Bolt::NotEnterprise { reason } => return Step::NotEnterprise { why: reason.clone() },
    };
    let mut missing = Vec::new();
    let mut enable = Vec::new();
    let mut waiting = Vec::new();
    for expected in expected {
        let ip = pod(&expected.pod).and_then(|pod| pod.ip.as_deref());
        match server_of(facts, &expected.pod, ip) {
            None => missing.push(expected.pod.clone()),
            Some(server) if server.state == "Free" => {
                if server.health == "Available" {
                    enable.push(Enable {
                        server_id: server.server_id.clone(),
                        pod: expected.pod.clone(),
                        mode: expected.mode,
                    });
                } else {
                    waiting.push(expected.pod.clone());
                }
            }
            Some(server) if server.state != "Enabled" || server.health != "Available" => {
                waiting.push(expected.pod.clone());
            }
            Some(_) => {}
        }
    }
    // Before it is formed nobody is enabled until all are there: the first allocation would else ignore the late.
    if !missing.is_empty() && (!formed || enable.is_empty()) {
        if formed && ready < expected.len() {
            return waits_for_pods;
        }
        return Step::WaitForServers { missing };
    }
    if !enable.is_empty() {
        return Step::Enable(enable);
    }
    if !waiting.is_empty() {
        return Step::WaitForAvailable { waiting };
    }
    if formed {
        return Step::Complete;
    }
    match facts.system_replicates {
        Some(true) => Step::SetDefaultAllocation {
            primaries: desired.bootstrap.default_primaries(),
        },
        Some(false) => Step::WaitForSystem {
            why: "not every member of system confirmed a write".to_owned(),
        },
        None => Step::WaitForSystem {
            why: facts
                .problem
                .clone()
                .unwrap_or_else(|| "its status was not checked yet".to_owned()),
        },
    }
}

fn hindrance(children: &Children) -> Option<String> {
    let say = |pod: &Pod| {
        let why = pod.crash.as_ref().or(pod.stuck.as_ref())?;
        Some(format!("{}: {why}", pod.name))
    };
    children.pods.iter().find_map(say)
}

impl Step {
    /// The name of the step in status.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::WaitForPods { .. } => "WaitForPods",
            Self::WaitForBolt { .. } => "WaitForBolt",
            Self::NotEnterprise { .. } => "NotEnterprise",
            Self::WaitForServers { .. } => "WaitForServers",
            Self::Enable(_) => "EnableServers",
            Self::WaitForAvailable { .. } => "WaitForAvailable",
            Self::WaitForSystem { .. } => "WaitForSystem",
            Self::SetDefaultAllocation { .. } => "SetDefaultAllocation",
            Self::Complete => "Complete",
        }
    }

    /// What it waits for, in words; `None` where something is done.
    pub fn waits_for(&self) -> Option<String> {
        match self {
            Self::WaitForPods { ready, desired, why } => {
                let why = why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
                Some(format!("{ready} of {desired} pods are ready{why}"))
            }
            Self::WaitForBolt { why } => Some(format!("Neo4j does not answer: {why}")),
            Self::NotEnterprise { why } => Some(format!(
                "the servers are not the Enterprise edition, which a cluster needs; spec.image has to name one ({why})"
            )),
            Self::WaitForServers { missing } => {
                Some(format!("Neo4j does not know the servers of {} yet", missing.join(", ")))
            }
            Self::WaitForAvailable { waiting } => Some(format!("not available yet: {}", waiting.join(", "))),
            Self::WaitForSystem { why } => Some(format!("the system database: {why}")),
            Self::Enable(_) | Self::SetDefaultAllocation { .. } | Self::Complete => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{neo4j::ServerRow, reconcile::cluster::render::tests::desired};

    fn pods(ready: &[bool]) -> Children {
        Children {
            pods: ready
                .iter()
                .enumerate()
                .map(|(ordinal, ready)| Pod {
                    name: format!("graph-server-{ordinal}"),
                    ready: *ready,
                    ..Pod::default()
                })
                .collect(),
            ..Children::default()
        }
    }

    fn server(ordinal: u32, state: &str, health: &str) -> ServerRow {
        ServerRow {
            server_id: format!("id-{ordinal}"),
            address: Some(format!(
                "graph-server-{ordinal}.graph-headless.prod.svc.cluster.local:7687"
            )),
            state: state.into(),
            health: health.into(),
            ..ServerRow::default()
        }
    }

    fn known(servers: Vec<ServerRow>, system: Option<bool>) -> Bolt {
        Bolt::Known(Facts {
            servers,
            system_replicates: system,
            ..Facts::default()
        })
    }

    fn step(children: &Children, bolt: &Bolt, formed: bool) -> Step {
        let desired = desired(json!({}));
        let expected = expected(&desired, |_| 3);
        next(&desired, &expected, children, bolt, formed)
    }

    fn all(state: &str) -> Vec<ServerRow> {
        (0..3).map(|ordinal| server(ordinal, state, "Available")).collect()
    }

    #[test]
    fn each_step_comes_after_the_one_before_it() {
        let some = pods(&[true, true, false]);
        let every = pods(&[true, true, true]);
        let unknown = Bolt::Unknown {
            reason: "refused".into(),
            error: crate::reconcile::ErrorType::BoltConnect,
        };
        let cases = [
            ("pods", step(&some, &known(all("Free"), None), false), "WaitForPods"),
            ("nobody was asked", step(&every, &Bolt::NotAsked, false), "WaitForPods"),
            ("no answer", step(&every, &unknown, false), "WaitForBolt"),
            (
                "another edition",
                step(&every, &Bolt::NotEnterprise { reason: "no".into() }, false),
                "NotEnterprise",
            ),
            (
                "a server is missing",
                step(&every, &known(all("Free")[..2].to_vec(), None), false),
                "WaitForServers",
            ),
            (
                "all are free",
                step(&every, &known(all("Free"), None), false),
                "EnableServers",
            ),
            (
                "one is away",
                step(
                    &every,
                    &known(
                        vec![
                            server(0, "Enabled", "Available"),
                            server(1, "Enabled", "Unavailable"),
                            server(2, "Enabled", "Available"),
                        ],
                        None,
                    ),
                    false,
                ),
                "WaitForAvailable",
            ),
            (
                "system was not checked",
                step(&every, &known(all("Enabled"), None), false),
                "WaitForSystem",
            ),
            (
                "system does not replicate",
                step(&every, &known(all("Enabled"), Some(false)), false),
                "WaitForSystem",
            ),
            (
                "system replicates",
                step(&every, &known(all("Enabled"), Some(true)), false),
                "SetDefaultAllocation",
            ),
            ("formed", step(&every, &known(all("Enabled"), None), true), "Complete"),
        ];
        for (case, step, name) in cases {
            assert_eq!(step.name(), name, "{case}");
        }
    }

    #[test]
    fn only_free_servers_are_enabled_with_the_mode_of_their_place() {
        let desired = desired(json!({"topology": {
            "servers": 3, "serverRoles": [{"serverIndex": 2, "modeConstraint": "SECONDARY"}],
        }}));
        let expected = expected(&desired, |_| 3);
        let servers = vec![
            server(0, "Enabled", "Available"),
            server(1, "Free", "Available"),
            server(2, "Free", "Available"),
        ];
        let step = next(&desired, &expected, &pods(&[true; 3]), &known(servers, None), false);
        let Step::Enable(enable) = step else { panic!("{step:?}") };
        let ids: Vec<_> = enable.iter().map(|e| (e.server_id.as_str(), e.mode)).collect();
        assert_eq!(
            ids,
            [("id-1", ModeConstraint::None), ("id-2", ModeConstraint::Secondary)]
        );
    }

    #[test]
    fn a_formed_cluster_takes_a_new_server_in_while_another_is_down() {
        let servers = vec![
            server(0, "Enabled", "Available"),
            server(1, "Enabled", "Unavailable"),
            server(2, "Free", "Available"),
        ];
        let step = step(&pods(&[true, false, true]), &known(servers, None), true);
        assert_eq!(step.name(), "EnableServers");
    }

    #[test]
    fn a_cordoned_or_deallocated_server_is_never_enabled_again() {
        for state in ["Cordoned", "Deallocating", "Deallocated", "Dropped"] {
            let mut servers = all("Enabled");
            servers[1].state = state.into();
            let step = step(&pods(&[true; 3]), &known(servers, None), true);
            assert!(!matches!(step, Step::Enable(_)), "{state}: {step:?}");
            assert_ne!(step, Step::Complete, "{state}");
        }
    }

    #[test]
    fn what_holds_a_pod_up_is_told() {
        let mut children = pods(&[true, true, false]);
        children.pods[2].crash = Some("CrashLoopBackOff after 4 restarts, last exit 1".into());
        let waits = step(&children, &Bolt::NotAsked, false).waits_for().unwrap();
        assert_eq!(
            waits,
            "2 of 3 pods are ready (graph-server-2: CrashLoopBackOff after 4 restarts, last exit 1)"
        );
    }
}
