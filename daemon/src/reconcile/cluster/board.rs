//! One row of the board: what `/v1/clusters` shows of a cluster.

use neo4j_operator_crds::Neo4jEnterpriseClusterStatus;
use neo4j_operator_shared::clusters::{Cluster, Condition, Database, DatabaseCounts, Server, ServerCounts};

use super::{formation::Step, observe::Bolt, phase_name};
use crate::reconcile::Subject;

/// Makes the row.
pub fn row(
    subject: &Subject,
    generation: i64,
    status: &Neo4jEnterpriseClusterStatus,
    found: Option<(&Step, &Bolt)>,
) -> Cluster {
    let facts = found.and_then(|(_, bolt)| match bolt {
        Bolt::Known(facts) => Some(facts),
        _ => None,
    });
    let step = found.map(|(step, _)| step).filter(|step| **step != Step::Complete);
    let operation = status.operation.as_ref().and_then(|operation| operation.type_.as_ref());
    let count = |count: Option<i32>| count.and_then(|count| u32::try_from(count).ok());
    let replicas = status.replicas.as_ref();
    let databases = facts.and_then(|facts| facts.databases.as_ref());
    Cluster {
        namespace: subject.namespace.clone(),
        name: subject.name.clone(),
        phase: phase_name(status),
        ready: status.ready == Some(true) && status.observed_generation == Some(generation),
        generation,
        observed_generation: status.observed_generation,
        version: status.version.clone(),
        servers: ServerCounts {
            desired: count(replicas.and_then(|replicas| replicas.desired)).unwrap_or(0),
            ready: count(replicas.and_then(|replicas| replicas.ready)).unwrap_or(0),
            enabled: facts.map(|facts| {
                let up = |state: &str, health: &str| state == "Enabled" && health == "Available";
                let servers = facts.servers.iter();
                servers.filter(|server| up(&server.state, &server.health)).count() as u32
            }),
        },
        databases: databases.map(|databases| DatabaseCounts {
            total: databases.len() as u32,
            online: databases.values().filter(|database| database.is_online()).count() as u32,
        }),
        step: step.map(|step| match (operation, step) {
            (Some(operation), Step::Enable(servers)) => format!("{operation}: enable {} servers", servers.len()),
            (Some(operation), step) => format!("{operation}: {}", step.name()),
            (None, step) => step.name().to_owned(),
        }),
        waiting_for: step.and_then(Step::waits_for).or_else(|| waits_for_others(status)),
        waiting_since: None,
        conditions: status
            .conditions
            .iter()
            .map(|condition| Condition {
                r#type: condition.type_.clone(),
                status: condition.status.clone(),
                reason: condition.reason.clone(),
                message: condition.message.clone(),
                last_transition_time: condition.last_transition_time.0,
            })
            .collect(),
        plan: Vec::new(),
        server_list: facts.map_or_else(Vec::new, |facts| {
            let servers = facts.servers.iter();
            servers
                .map(|server| Server {
                    name: server.name.clone(),
                    address: server.address.clone(),
                    state: server.state.clone(),
                    health: server.health.clone(),
                    hosting: server.hosting.clone(),
                })
                .collect()
        }),
        database_list: databases.map_or_else(Vec::new, |databases| {
            databases
                .values()
                .map(|database| {
                    let online = |role: &str| {
                        let copies = database.allocations.iter();
                        let of =
                            copies.filter(|copy| copy.role.as_deref() == Some(role) && copy.current_status == "online");
                        of.count() as u32
                    };
                    Database {
                        name: database.name.clone(),
                        status: database.status.clone(),
                        writer: database
                            .allocations
                            .iter()
                            .find(|copy| copy.writer)
                            .and_then(|copy| copy.address.clone()),
                        primaries: online("primary"),
                        secondaries: online("secondary"),
                    }
                })
                .collect()
        }),
    }
}

/// A phase in which nothing is done waits for somebody else.
fn waits_for_others(status: &Neo4jEnterpriseClusterStatus) -> Option<String> {
    let phase = phase_name(status);
    matches!(phase.as_str(), "Pending" | "Failed" | "Paused").then(|| status.message.clone().unwrap_or_default())
}
