//! The plan as a table: what is seen, what is wanted, what is done, what is said.

use super::*;
use crate::neo4j::{AllocationRow, fold_databases};

fn wanted(primaries: i32, secondaries: i32) -> EffectiveDatabase {
    EffectiveDatabase {
        name: "orders".into(),
        primaries: Some(primaries),
        secondaries: Some(secondaries),
        wait: true,
        if_not_exists: true,
        deletion_policy: neo4j_operator_crds::database::DeletionPolicy::Delete,
        state: None,
    }
}

fn servers(count: usize) -> Vec<ServerRow> {
    let server = |n: usize| ServerRow {
        server_id: format!("id-{n}"),
        state: "Enabled".into(),
        health: "Available".into(),
        mode_constraint: "NONE".into(),
        ..ServerRow::default()
    };
    (0..count).map(server).collect()
}

/// A database with these copies, as (role, current status), of which the first writes.
fn database(requested: (i64, i64), requested_status: &str, copies: &[(&str, &str)]) -> DatabaseView {
    let rows = copies
        .iter()
        .enumerate()
        .map(|(n, (role, status))| AllocationRow {
            name: "orders".into(),
            role: Some((*role).into()),
            requested_status: requested_status.into(),
            current_status: (*status).into(),
            writer: n == 0 && *status == "online",
            requested_primaries: Some(requested.0),
            requested_secondaries: Some(requested.1),
            ..AllocationRow::default()
        })
        .collect();
    fold_databases(rows).remove("orders").unwrap()
}

fn three_online() -> DatabaseView {
    database((3, 0), "online", &[("primary", "online"); 3])
}

struct Case {
    desired: EffectiveDatabase,
    database: Option<DatabaseView>,
    servers: Vec<ServerRow>,
    claimed: bool,
    was_ready: bool,
}

impl Case {
    fn new(desired: EffectiveDatabase, database: Option<DatabaseView>) -> Self {
        Self {
            desired,
            database,
            servers: servers(5),
            claimed: true,
            was_ready: true,
        }
    }

    fn plan(&self) -> Plan {
        plan(Input {
            desired: &self.desired,
            options: &[],
            database: self.database.as_ref(),
            servers: &self.servers,
            claimed: self.claimed,
            was_ready: self.was_ready,
        })
    }
}

fn actions(plan: &Plan) -> Vec<&'static str> {
    plan.steps.iter().map(|step| step.action.label()).collect()
}

/// Phase, Ready, its reason, TopologySynced, actions.
fn told(plan: &Plan) -> (&str, &str, &str, &str, Vec<&'static str>) {
    (
        plan.state.phase.as_str(),
        plan.state.ready.as_str(),
        plan.state.reason,
        plan.state.synced.0.as_str(),
        actions(plan),
    )
}

#[test]
fn a_database_that_is_as_wanted_needs_nothing() {
    let plan = Case::new(wanted(3, 0), Some(three_online())).plan();
    assert_eq!(told(&plan), ("Ready", "True", "DatabaseReady", "True", vec![]));
    assert_eq!(plan.state.poll, WATCH);
}

#[test]
fn a_missing_database_is_created_with_its_topology() {
    let mut case = Case::new(wanted(3, 1), None);
    case.was_ready = false;
    let plan = case.plan();
    assert_eq!(
        told(&plan),
        ("Creating", "False", "Pending", "False", vec!["CREATE DATABASE"])
    );
    let Action::Create(new) = &plan.steps[0].action else {
        panic!("{plan:?}")
    };
    assert_eq!(
        new.topology,
        Some(Topology {
            primaries: 3,
            secondaries: 1
        })
    );
    assert!(new.if_not_exists);
}

#[test]
fn a_drifted_topology_is_repaired_by_alter() {
    let plan = Case::new(wanted(3, 1), Some(three_online())).plan();
    assert_eq!(
        told(&plan),
        ("Degraded", "False", "TopologyChanging", "False", vec!["ALTER DATABASE"])
    );
    // Asked for and not there yet: nothing is asked again.
    let moving = database(
        (3, 1),
        "online",
        &[
            ("primary", "online"),
            ("primary", "online"),
            ("primary", "online"),
            ("secondary", "store copying"),
        ],
    );
    let plan = Case::new(wanted(3, 1), Some(moving)).plan();
    assert_eq!(
        told(&plan),
        ("Degraded", "False", "DatabaseOffline", "False", vec![]),
        "one copy is not online"
    );
    assert_eq!(plan.state.poll, POLL);
}

#[test]
fn an_unmanaged_topology_is_left_as_it_is() {
    let mut desired = wanted(1, 0);
    desired.primaries = None;
    desired.secondaries = None;
    let plan = Case::new(desired, Some(three_online())).plan();
    assert_eq!(told(&plan), ("Ready", "True", "DatabaseReady", "True", vec![]));
}

#[test]
fn many_primaries_never_become_one() {
    let plan = Case::new(wanted(1, 0), Some(three_online())).plan();
    assert_eq!(told(&plan), ("Failed", "False", "ValidationFailed", "False", vec![]));
    assert_eq!(plan.state.event, Some(EventReason::ValidationFailed));
}

#[test]
fn a_topology_that_the_servers_cannot_host_creates_nothing() {
    let mut constrained = servers(3);
    constrained[2].mode_constraint = "SECONDARY".into();
    let mut free = servers(3);
    free[1].state = "Free".into();
    let cases = [
        (
            wanted(3, 3),
            servers(5),
            "6 copies, but the cluster has 5 enabled servers",
        ),
        (
            wanted(3, 0),
            constrained,
            "3 primaries, but 2 servers may host primaries",
        ),
        (wanted(3, 0), free, "3 primaries, but 2 servers may host primaries"),
    ];
    for (desired, servers, why) in cases {
        let mut case = Case::new(desired, None);
        case.servers = servers;
        let plan = case.plan();
        assert_eq!(plan.state.message, format!("spec.topology asks for {why}"));
        assert_eq!(actions(&plan), Vec::<&str>::new());
        assert!(!plan.state.terminal, "more servers heal it");
    }
}

#[test]
fn a_topology_that_was_reached_outlives_the_loss_of_a_server() {
    let mut case = Case::new(wanted(3, 0), Some(three_online()));
    case.servers = servers(2);
    assert_eq!(case.plan().state.phase, DatabasePhase::Ready);
}

#[test]
fn an_existing_database_is_taken_over_only_where_that_is_allowed() {
    let mut case = Case::new(wanted(3, 0), Some(three_online()));
    case.claimed = false;
    assert_eq!(case.plan().state.phase, DatabasePhase::Ready);
    case.desired.if_not_exists = false;
    let plan = case.plan();
    assert_eq!(
        told(&plan),
        ("Failed", "False", "DatabaseCreationFailed", "Unknown", vec![])
    );
    assert_eq!(plan.state.event, Some(EventReason::CreationFailed));
    case.claimed = true;
    assert_eq!(case.plan().state.phase, DatabasePhase::Ready, "it is its own database");
}

#[test]
fn the_state_is_kept_only_where_the_spec_says_one() {
    let stopped = database((3, 0), "offline", &[("primary", "offline"); 3]);
    let mut case = Case::new(wanted(3, 0), Some(three_online()));
    case.desired.state = Some(DatabaseState::Offline);
    assert_eq!(actions(&case.plan()), ["STOP DATABASE"]);
    case.database = Some(stopped);
    let plan = case.plan();
    assert_eq!(told(&plan), ("Ready", "True", "DatabaseReady", "True", vec![]));
    assert_eq!(plan.state.online, Status::False);
    case.desired.state = Some(DatabaseState::Online);
    assert_eq!(actions(&case.plan()), ["START DATABASE"]);
    case.desired.state = None;
    let plan = case.plan();
    assert_eq!(told(&plan), ("Degraded", "False", "DatabaseOffline", "True", vec![]));
}

#[test]
fn ready_waits_for_every_copy_unless_told_otherwise() {
    let starting = database(
        (3, 0),
        "online",
        &[("primary", "online"), ("primary", "online"), ("primary", "starting")],
    );
    let mut case = Case::new(wanted(3, 0), Some(starting));
    case.was_ready = false;
    assert_eq!(told(&case.plan()), ("Creating", "False", "Pending", "False", vec![]));
    case.desired.wait = false;
    let plan = case.plan();
    assert_eq!(plan.state.ready, Status::True);
    assert_eq!(plan.state.online, Status::False);
    assert_eq!(plan.state.poll, POLL, "it is looked after all the same");
}

#[test]
fn a_creation_that_failed_says_why() {
    let mut broken = database((1, 0), "online", &[("primary", "dirty")]);
    broken.messages = vec!["store is corrupt".into()];
    let mut case = Case::new(wanted(1, 0), Some(broken));
    case.was_ready = false;
    let plan = case.plan();
    assert_eq!(plan.state.reason, "DatabaseCreationFailed");
    assert_eq!(plan.state.event, Some(EventReason::CreationFailed));
    assert!(
        plan.state.message.contains("store is corrupt"),
        "{}",
        plan.state.message
    );
}

#[test]
fn risky_topologies_are_allowed_with_a_warning() {
    let plan = Case::new(wanted(1, 4), None).plan();
    assert_eq!(actions(&plan), ["CREATE DATABASE"]);
    assert_eq!(plan.warnings.len(), 3, "{:?}", plan.warnings);
    assert!(Case::new(wanted(3, 0), None).plan().warnings.is_empty());
}
