//! What follows from what was seen of a database. Pure.
//!
//! A database is described by its [`State`] (what the status will say) and by the [`Step`]s that bring it
//! nearer to its spec. No step waits for its effect: creating, starting and moving copies take as long as
//! they take, and the next pass looks again. `system` is out of reach (its name is refused) and a topology
//! goes from many primaries to one neither here nor in Neo4j.

use std::time::Duration;

use neo4j_operator_crds::database::{DatabaseState, EffectiveDatabase, status::DatabasePhase};

use crate::{
    neo4j::{BoltError, DatabaseView, ErrorKind, ServerRow, Topology, Value, admin::NewDatabase},
    reconcile::{EventReason, conditions::Status},
};

/// While something is on its way.
pub(super) const POLL: Duration = Duration::from_secs(1);
/// While somebody else has to do something first.
pub(super) const WAIT: Duration = Duration::from_secs(5);
/// While all is well: Neo4j has no watch, so this is how soon a fault shows.
pub(super) const WATCH: Duration = Duration::from_secs(60);

/// What the status will say.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct State {
    /// The phase.
    pub phase: DatabasePhase,
    /// Condition Ready.
    pub ready: Status,
    /// Its reason.
    pub reason: &'static str,
    /// What is going on, in one sentence.
    pub message: String,
    /// Condition DatabaseOnline.
    pub online: Status,
    /// Condition TopologySynced with its reason.
    pub synced: (Status, &'static str),
    /// The event that a change to this state is worth.
    pub event: Option<EventReason>,
    /// When to look again.
    pub poll: Duration,
    /// Nothing but a change of the spec can help.
    pub terminal: bool,
}

/// One change of Neo4j.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    /// What is done.
    pub action: Action,
    /// Why.
    pub reason: String,
}

/// What is done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// CREATE DATABASE.
    Create(NewDatabase),
    /// ALTER DATABASE … SET TOPOLOGY.
    SetTopology(Topology),
    /// START DATABASE.
    Start,
    /// STOP DATABASE.
    Stop,
}

impl Action {
    /// Its name in records.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Create(_) => "CREATE DATABASE",
            Self::SetTopology(_) => "ALTER DATABASE",
            Self::Start => "START DATABASE",
            Self::Stop => "STOP DATABASE",
        }
    }
}

/// A plan.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    /// What the status will say if the steps succeed.
    pub state: State,
    /// What is to be done.
    pub steps: Vec<Step>,
    /// What is allowed and yet worth a warning.
    pub warnings: Vec<String>,
}

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a> {
    /// What is wanted.
    pub desired: &'a EffectiveDatabase,
    /// Options of CREATE DATABASE.
    pub options: &'a [(String, Value)],
    /// The database as Neo4j shows it, if it does.
    pub database: Option<&'a DatabaseView>,
    /// The cluster's servers.
    pub servers: &'a [ServerRow],
    /// Whether this resource has claimed the database before.
    pub claimed: bool,
    /// Whether it was in order before.
    pub was_ready: bool,
}

// === impl State ===

impl State {
    fn new(phase: DatabasePhase, ready: Status, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            phase,
            ready,
            reason,
            message: message.into(),
            online: Status::Unknown,
            synced: (Status::Unknown, "Pending"),
            event: None,
            poll: WAIT,
            terminal: false,
        }
    }

    /// Something outside has to happen first.
    pub fn pending(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(DatabasePhase::Pending, Status::False, reason, message)
    }

    /// The spec asks for what cannot be; only another spec helps.
    pub fn refused(reason: &'static str, event: EventReason, message: impl Into<String>) -> Self {
        Self {
            event: Some(event),
            poll: WATCH,
            terminal: true,
            ..Self::new(DatabasePhase::Failed, Status::False, reason, message)
        }
    }

    /// Neo4j did not answer: nothing is known of the database, which is not the same as nothing being there.
    pub fn unreachable(error: &BoltError, was_ready: bool) -> Self {
        let (phase, ready) = if was_ready {
            (DatabasePhase::Degraded, Status::Unknown)
        } else {
            (DatabasePhase::Pending, Status::False)
        };
        match error.kind {
            ErrorKind::UnsupportedEdition => Self::refused(
                "UnsupportedFeature",
                EventReason::UnsupportedFeature,
                "the servers are not the Enterprise edition: they have one database and no topologies",
            ),
            _ => Self::new(
                phase,
                ready,
                "BoltUnavailable",
                format!("Neo4j does not answer: {error}"),
            ),
        }
    }

    /// A step was refused by Neo4j.
    pub fn step_failed(action: &Action, error: &BoltError, before: &Self) -> Self {
        let message = format!("{} failed: {error}", action.label());
        match action {
            Action::Create(_) => Self {
                event: Some(EventReason::CreationFailed),
                ..Self::new(DatabasePhase::Failed, Status::False, "DatabaseCreationFailed", message)
            },
            Action::SetTopology(_) => Self {
                synced: (Status::False, "TopologyRefused"),
                event: Some(EventReason::TopologyWarning),
                message,
                ..before.clone()
            },
            Action::Start | Action::Stop => Self {
                message,
                ..before.clone()
            },
        }
    }
}

// === planning ===

/// The plan for a database whose cluster answers.
pub(super) fn plan(input: Input<'_>) -> Plan {
    let wanted = wanted_topology(input.desired);
    match input.database {
        None => plan_new(input, wanted),
        Some(database) => plan_existing(input, wanted, database),
    }
}

/// The topology that the spec asks for, if it manages it.
fn wanted_topology(desired: &EffectiveDatabase) -> Option<Topology> {
    Some(Topology {
        primaries: u8::try_from(desired.primaries?).ok()?,
        secondaries: u8::try_from(desired.secondaries?).ok()?,
    })
}

fn only(state: State) -> Plan {
    Plan {
        state,
        steps: Vec::new(),
        warnings: Vec::new(),
    }
}

fn plan_new(input: Input<'_>, wanted: Option<Topology>) -> Plan {
    let mut warnings = Vec::new();
    if let Some(wanted) = wanted {
        match fits(wanted, input.servers) {
            Ok(found) => warnings = found,
            Err(state) => return only(state),
        }
    }
    let desired = input.desired;
    let state = State {
        synced: (Status::False, "Creating"),
        online: Status::False,
        poll: POLL,
        ..State::new(
            DatabasePhase::Creating,
            Status::False,
            "Pending",
            format!("database {:?} is being created", desired.name),
        )
    };
    let new = NewDatabase {
        name: desired.name.clone(),
        if_not_exists: desired.if_not_exists,
        topology: wanted,
        options: input.options.to_vec(),
    };
    let step = Step {
        action: Action::Create(new),
        reason: "it does not exist".to_owned(),
    };
    Plan {
        state,
        steps: vec![step],
        warnings,
    }
}

fn plan_existing(input: Input<'_>, wanted: Option<Topology>, database: &DatabaseView) -> Plan {
    let desired = input.desired;
    if !input.claimed && !desired.if_not_exists {
        return only(State {
            // It may be dropped in Neo4j, of which no event tells.
            terminal: false,
            ..State::refused(
                "DatabaseCreationFailed",
                EventReason::CreationFailed,
                format!(
                    "database {:?} exists already, and spec.ifNotExists is false",
                    desired.name
                ),
            )
        });
    }
    let mut steps = Vec::new();
    let step = |action, reason: String| Step { action, reason };
    match (desired.state.as_ref(), database.requested_status.as_str()) {
        (Some(DatabaseState::Online), "offline") => {
            steps.push(step(Action::Start, "spec.state is online".to_owned()));
        }
        (Some(DatabaseState::Offline), "online") => {
            steps.push(step(Action::Stop, "spec.state is offline".to_owned()));
        }
        _ => {}
    }
    let mut warnings = Vec::new();
    if let (Some(wanted), Some(requested)) = (wanted, database.requested) {
        if wanted.primaries == 1 && requested.primaries > 1 {
            return only(State {
                online: Status::from(database.is_online()),
                synced: (Status::False, "TopologyRefused"),
                // The database may change by other hands, and is still looked after.
                terminal: false,
                ..State::refused(
                    "ValidationFailed",
                    EventReason::ValidationFailed,
                    format!(
                        "spec.topology.primaries is 1, but the database has {}: Neo4j does not go from many \
                         primaries to one",
                        requested.primaries
                    ),
                )
            });
        }
        match fits(wanted, input.servers) {
            Ok(found) => warnings = found,
            // It may have become too large for the cluster after it was reached: then it only waits.
            Err(_) if wanted == requested => {}
            Err(state) => {
                return only(State {
                    online: Status::from(database.is_online()),
                    ..state
                });
            }
        }
        // Copies of a database that is on its way up or down are left alone.
        if wanted != requested && database.is_online() && steps.is_empty() {
            steps.push(step(
                Action::SetTopology(wanted),
                format!("it has {}, wanted are {}", said(requested), said(wanted)),
            ));
        }
    }
    Plan {
        state: state_of(input, wanted, database),
        steps,
        warnings,
    }
}

/// What the status says of a database that exists.
fn state_of(input: Input<'_>, wanted: Option<Topology>, database: &DatabaseView) -> State {
    let desired = input.desired;
    let (online, offline) = (database.is_online(), database.is_offline());
    let synced = database.is_settled() && wanted.is_none_or(|wanted| database.requested.is_none_or(|is| is == wanted));
    let stopped = desired.state == Some(DatabaseState::Offline);
    let in_order = if stopped { offline } else { online && synced };
    let troubled = !in_order && !database.messages.is_empty();
    let doing = if stopped {
        format!("it is {} and will be offline", database.status)
    } else if !online {
        format!("it is {}{}", database.status, messages(database))
    } else {
        format!("it has {}, {}", said(database.current), awaited(wanted, database))
    };
    let name = &desired.name;
    let mut state = if in_order {
        let state = if stopped { "offline, as asked" } else { "online" };
        let message = format!("database {name:?} is {state}, with {}", said(database.current));
        let message = if stopped {
            format!("database {name:?} is {state}")
        } else {
            message
        };
        State::new(DatabasePhase::Ready, Status::True, "DatabaseReady", message)
    } else {
        let phase = if input.was_ready {
            DatabasePhase::Degraded
        } else {
            DatabasePhase::Creating
        };
        let reason = match (troubled, input.was_ready, online) {
            (true, false, false) => "DatabaseCreationFailed",
            (_, true, false) => "DatabaseOffline",
            (_, _, true) => "TopologyChanging",
            (false, false, false) => "Pending",
        };
        State {
            event: (reason == "DatabaseCreationFailed").then_some(EventReason::CreationFailed),
            poll: POLL,
            ..State::new(phase, Status::False, reason, format!("database {name:?}: {doing}"))
        }
    };
    if in_order {
        state.poll = WATCH;
    } else if !desired.wait {
        state.ready = Status::True;
        state.reason = "DatabaseReady";
        state.message.push_str("; spec.wait is false");
    }
    state.online = Status::from(online);
    state.synced = if synced {
        (Status::True, "TopologyReached")
    } else {
        (Status::False, "TopologyChanging")
    };
    state
}

fn messages(database: &DatabaseView) -> String {
    if database.messages.is_empty() {
        String::new()
    } else {
        format!(": {}", database.messages.join("; "))
    }
}

fn awaited(wanted: Option<Topology>, database: &DatabaseView) -> String {
    match wanted.or(database.requested) {
        Some(topology) if topology != database.current => format!("wanted are {}", said(topology)),
        _ => "and copies are on their way".to_owned(),
    }
}

fn said(topology: Topology) -> String {
    let many = |count: u8, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    format!(
        "{} and {}",
        many(topology.primaries, "primary", "primaries"),
        many(topology.secondaries, "secondary", "secondaries")
    )
}

/// Whether the cluster's servers can host a topology; the answer holds what is worth a warning.
fn fits(topology: Topology, servers: &[ServerRow]) -> Result<Vec<String>, State> {
    let enabled = || servers.iter().filter(|server| server.state == "Enabled");
    let all = enabled().count();
    let primary = enabled().filter(|server| server.mode_constraint != "SECONDARY").count();
    let secondary = enabled().filter(|server| server.mode_constraint != "PRIMARY").count();
    let (p, s) = (usize::from(topology.primaries), usize::from(topology.secondaries));
    let short = if p > primary {
        Some(format!("{p} primaries, but {primary} servers may host primaries"))
    } else if s > secondary {
        Some(format!("{s} secondaries, but {secondary} servers may host secondaries"))
    } else if p + s > all {
        Some(format!("{} copies, but the cluster has {all} enabled servers", p + s))
    } else {
        None
    };
    if let Some(short) = short {
        return Err(State {
            synced: (Status::False, "NotEnoughServers"),
            // More servers heal it as well as another spec.
            terminal: false,
            poll: WAIT,
            ..State::refused(
                "ValidationFailed",
                EventReason::ValidationFailed,
                format!("spec.topology asks for {short}"),
            )
        });
    }
    let mut warnings = Vec::new();
    if p + s == all && all > 1 {
        warnings.push(format!("it uses all {all} servers: none is left when one fails"));
    }
    if p == 2 {
        warnings.push("two primaries tolerate no failure of a writer: use 1 or 3".to_owned());
    }
    if s > 2 * p {
        warnings.push(format!("{s} secondaries follow {p} primaries: more than twice as many"));
    }
    if p == 1 && s > 3 {
        warnings.push(format!("{s} secondaries depend on a single primary"));
    }
    Ok(warnings)
}

#[cfg(test)]
mod tests;
