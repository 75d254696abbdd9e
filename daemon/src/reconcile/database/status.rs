//! The status of a database: from what was found to what the resource says.

use jiff::Timestamp;
use neo4j_operator_crds::{
    Time,
    database::status::{Claim, DatabasePhase, Neo4jDatabaseStatus},
};

use super::plan::State;
use crate::{
    neo4j::{ClusterClient, DatabaseView},
    reconcile::{
        Conditions, EventReason,
        conditions::{self, Status},
    },
};

/// Paths that are listed of the fields without effect.
const IGNORED_LIMIT: usize = 20;

/// What a pass found, besides its [`State`].
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    /// Generation that was looked at.
    pub generation: i64,
    /// Fields without effect.
    pub ignored: Vec<String>,
    /// What is allowed and worth a warning.
    pub warnings: Option<Vec<String>>,
    /// `paused`, `dry-run`, or neither.
    pub held: Option<Held>,
    /// Token of the annotation that asks for a reconcile.
    pub requested_at: Option<String>,
    /// The claim that this pass makes.
    pub claim: Option<Claim>,
    /// The database was created by this pass.
    pub created: bool,
}

/// Why nothing is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// By annotation.
    Paused,
    /// Only the plan is wanted.
    DryRun,
}

/// What the database's rows say, as the status has it.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// The state of all copies.
    pub state: Option<String>,
    /// Pods, or ids of servers that are none.
    pub servers: Vec<String>,
    /// Numbers asked for.
    pub requested: Option<(i32, i32)>,
    /// Copies that are online.
    pub current: Option<(i32, i32)>,
}

impl Seen {
    /// Reads a folded database.
    pub fn of(database: &DatabaseView, client: &ClusterClient) -> Self {
        let online = |role: &str| {
            let rows = database.allocations.iter();
            rows.filter(|row| row.role.as_deref() == Some(role) && row.current_status == "online")
                .count() as i32
        };
        let mut servers: Vec<String> = database
            .allocations
            .iter()
            .filter_map(|row| {
                let member = row.address.as_deref().and_then(|address| client.member_at(address));
                member
                    .map(|member| member.pod.to_string())
                    .or_else(|| row.server_id.clone())
            })
            .collect();
        servers.sort();
        servers.dedup();
        Self {
            state: Some(database.status.clone()),
            servers,
            requested: database
                .requested
                .map(|topology| (i32::from(topology.primaries), i32::from(topology.secondaries))),
            current: Some((online("primary"), online("secondary"))),
        }
    }
}

/// The new status. What this pass could not see (`seen` is `None`) stays as it was.
pub(super) fn render(
    before: &Neo4jDatabaseStatus,
    state: &State,
    seen: Option<&Seen>,
    findings: &Findings,
    now: Timestamp,
) -> Neo4jDatabaseStatus {
    let mut conditions = Conditions::from(&before.conditions, findings.generation, now);
    conditions.set("Ready", state.ready, state.reason, &*state.message);
    let online_reason = match state.online {
        Status::True => "DatabaseOnline",
        Status::False => "DatabaseOffline",
        Status::Unknown => state.reason,
    };
    conditions.set("DatabaseOnline", state.online, online_reason, "");
    conditions.set("TopologySynced", state.synced.0, state.synced.1, "");
    match findings.warnings.as_deref() {
        Some([]) => conditions.remove("TopologyWarning"),
        Some(warnings) => conditions.set("TopologyWarning", Status::True, "Topology", warnings.join("; ")),
        None => {}
    }
    match findings.held {
        Some(Held::Paused) => conditions.set("Paused", Status::True, "ReconcilePaused", "by annotation"),
        Some(Held::DryRun) => conditions.set("Paused", Status::True, "DryRun", "by annotation"),
        None => conditions.remove("Paused"),
    }
    if findings.ignored.is_empty() {
        conditions.remove("SpecFieldsIgnored");
    } else {
        let message = listed(&findings.ignored);
        conditions.set("SpecFieldsIgnored", Status::True, "UnsupportedFields", message);
    }
    let mut status = Neo4jDatabaseStatus {
        phase: Some(state.phase.clone()),
        message: Some(state.message.clone()),
        conditions: conditions.into_list(),
        observed_generation: Some(findings.generation),
        last_handled_reconcile_at: findings
            .requested_at
            .clone()
            .or_else(|| before.last_handled_reconcile_at.clone()),
        ignored_fields: findings.ignored.clone(),
        claim: findings.claim.clone().or_else(|| before.claim.clone()),
        creation_time: before
            .creation_time
            .clone()
            .or_else(|| findings.created.then_some(Time(now))),
        ..before.clone()
    };
    if let Some(seen) = seen {
        status.state.clone_from(&seen.state);
        status.servers.clone_from(&seen.servers);
        status.requested_primaries = seen.requested.map(|counts| counts.0);
        status.requested_secondaries = seen.requested.map(|counts| counts.1);
        status.current_primaries = seen.current.map(|counts| counts.0);
        status.current_secondaries = seen.current.map(|counts| counts.1);
    }
    status
}

/// The status of a database that waits for its deletion.
pub(super) fn deleting(
    before: &Neo4jDatabaseStatus,
    blocked: Option<&str>,
    message: &str,
    generation: i64,
    now: Timestamp,
) -> Neo4jDatabaseStatus {
    let mut conditions = Conditions::from(&before.conditions, generation, now);
    conditions.set("Ready", Status::False, "Pending", message);
    match blocked {
        Some(why) => conditions.set("DeletionBlocked", Status::True, "Neo4jUnreachable", why),
        None => conditions.remove("DeletionBlocked"),
    }
    Neo4jDatabaseStatus {
        phase: Some(DatabasePhase::Deleting),
        message: Some(message.to_owned()),
        conditions: conditions.into_list(),
        ..before.clone()
    }
}

/// At most so many paths, and how many more there are.
fn listed(paths: &[String]) -> String {
    let shown = paths.iter().take(IGNORED_LIMIT).cloned().collect::<Vec<_>>().join(", ");
    match paths.len().checked_sub(IGNORED_LIMIT) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}

/// The events that the change from one status to the next is worth; steps have their own.
pub(super) fn events(
    before: &Neo4jDatabaseStatus,
    after: &Neo4jDatabaseStatus,
    state: &State,
) -> Vec<(EventReason, String)> {
    let mut events = Vec::new();
    let changed = |kind| conditions::changed(&before.conditions, &after.conditions, kind);
    let holds = |status: &Neo4jDatabaseStatus, kind| {
        let mut list = status.conditions.iter();
        list.any(|condition| condition.type_ == kind && condition.status == "True")
    };
    let of = |status: &Neo4jDatabaseStatus, kind| {
        let mut list = status.conditions.iter();
        list.find(|condition| condition.type_ == kind).cloned()
    };
    let newer = after.observed_generation != before.observed_generation;
    if let Some(reason) = state.event
        && (changed("Ready") || changed("TopologySynced") || newer)
    {
        events.push((reason, state.message.clone()));
    }
    if state.phase == DatabasePhase::Ready && !(holds(before, "Ready") && before.phase == Some(DatabasePhase::Ready)) {
        events.push((EventReason::DatabaseReady, state.message.clone()));
    }
    if let Some(warning) = of(after, "TopologyWarning")
        && of(before, "TopologyWarning").is_none_or(|known| known.message != warning.message)
    {
        events.push((EventReason::TopologyWarning, warning.message));
    }
    if let Some(ignored) = of(after, "SpecFieldsIgnored")
        && (changed("SpecFieldsIgnored") || newer)
    {
        events.push((
            EventReason::FieldIgnored,
            format!("without effect: {}", ignored.message),
        ));
    }
    match (holds(before, "Paused"), holds(after, "Paused")) {
        (false, true) => events.push((
            EventReason::ReconcilePaused,
            "nothing is changed until resumed".to_owned(),
        )),
        (true, false) => events.push((EventReason::ReconcileResumed, "changes are made again".to_owned())),
        _ => {}
    }
    events
}
