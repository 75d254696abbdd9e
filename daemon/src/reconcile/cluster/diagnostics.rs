//! What Neo4j itself reports, as part of the status: bounded, and written only when it says something new.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use neo4j_operator_crds::{
    Neo4jEnterpriseClusterStatus,
    cluster::diagnostics::{DatabaseDiagnostics, Diagnostics, MAX_ENTRIES, ServerDiagnostics},
};

use super::observe::{Bolt, Facts};

/// What Neo4j reports. Figures that move with every transaction are only taken over together with something that
/// is worth a write.
pub fn diagnostics(previous: &Neo4jEnterpriseClusterStatus, bolt: &Bolt, now: Timestamp) -> Option<Diagnostics> {
    let before = previous.diagnostics.as_ref();
    let fresh = match bolt {
        Bolt::NotAsked => return before.cloned(),
        Bolt::Unknown { reason, .. } | Bolt::NotEnterprise { reason } => Diagnostics {
            collection_error: Some(reason.clone()),
            ..before.cloned().unwrap_or_default()
        },
        Bolt::Known(facts) => collected(facts),
    };
    let still = |diagnostics: &Diagnostics| {
        let mut still = diagnostics.clone();
        still.last_collected = None;
        for database in &mut still.databases {
            database.last_committed_txn = None;
            database.replication_lag = None;
        }
        still
    };
    match before {
        Some(before) if still(before) == still(&fresh) => Some(before.clone()),
        _ => Some(Diagnostics {
            last_collected: Some(Time(now)),
            ..fresh
        }),
    }
}

fn collected(facts: &Facts) -> Diagnostics {
    let mut servers: Vec<ServerDiagnostics> = facts
        .servers
        .iter()
        .map(|server| ServerDiagnostics {
            name: Some(server.name.clone()),
            address: server.address.clone(),
            state: Some(server.state.clone()),
            health: Some(server.health.clone()),
            hosting_databases: i32::try_from(server.hosting.len()).ok(),
        })
        .collect();
    servers.sort_by(|one, other| (&one.address, &one.name).cmp(&(&other.address, &other.name)));
    servers.truncate(MAX_ENTRIES);
    let databases = facts
        .databases
        .iter()
        .flat_map(|databases| databases.values())
        .take(MAX_ENTRIES)
        .map(|database| {
            let writer = database.allocations.iter().find(|copy| copy.writer);
            let leading = writer.or_else(|| database.allocations.first());
            DatabaseDiagnostics {
                name: Some(database.name.clone()),
                status: Some(database.status.clone()),
                requested_status: Some(database.requested_status.clone()),
                role: leading.and_then(|copy| copy.role.clone()),
                default: Some(database.default),
                type_: Some(database.kind.clone()),
                access: Some(database.access.clone()),
                writer: Some(writer.is_some()),
                last_committed_txn: leading.and_then(|copy| copy.last_committed_txn),
                replication_lag: database
                    .allocations
                    .iter()
                    .filter_map(|copy| copy.replication_lag)
                    .max(),
            }
        })
        .collect();
    Diagnostics {
        servers,
        databases,
        collection_error: facts.problem.clone(),
        ..Diagnostics::default()
    }
}
