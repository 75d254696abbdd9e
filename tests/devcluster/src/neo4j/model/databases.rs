//! Databases: made, changed, dropped, started, stopped; their copies follow.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Cluster, Copy, Database, Phase, SYSTEM, ServerState,
    placement::{Candidate, Mode, place},
    progress::copy_time,
};
use crate::neo4j::{
    failure::{Neo4jFailure, code},
    statement::{Access, DatabaseOptions, Topology},
    value::{Value, ValueMap},
};

/// Most primaries and secondaries of a database (N47).
const MOST: (u32, u32) = (11, 20);

/// Options that CREATE DATABASE knows.
const OPTIONS: [&str; 8] = [
    "existingData",
    "existingDataSeedInstance",
    "existingDataSeedServer",
    "seedURI",
    "seedConfig",
    "seedCredentials",
    "seedRestoreUntil",
    "txLogEnrichment",
];
/// Options that newer servers know besides.
const MORE_OPTIONS: [&str; 2] = ["storeFormat", "existingMetadata"];

impl Cluster {
    /// Names of all databases but `system`.
    pub(super) fn user_databases(&self) -> Vec<String> {
        self.databases.keys().filter(|name| *name != SYSTEM).cloned().collect()
    }

    pub(super) fn new_database(&mut self, requested: Option<(u32, u32)>, now: Duration) -> Database {
        Database {
            id: self.fresh_id().replace('-', "").to_uppercase(),
            requested,
            read_only: false,
            started: true,
            copies: BTreeMap::new(),
            leader: None,
            term: 0,
            bytes: self.tuning.new_store_bytes,
            last_tx: 5,
            created: now,
            failure: None,
            election: None,
        }
    }

    /// Servers that may take a copy of a database, without those in `except`.
    pub(super) fn candidates(&self, name: &str, database: &Database, except: &[String]) -> Vec<Candidate> {
        let mut servers: Vec<_> = self
            .servers
            .values()
            .filter(|server| !except.contains(&server.id))
            .collect();
        servers.sort_by_key(|server| server.order);
        let load = |id: &str| {
            let holding = self.databases.iter().filter(|(other, database)| {
                *other != SYSTEM && *other != name && database.copies.get(id).is_some_and(|copy| !copy.unwanted)
            });
            holding.count()
        };
        servers
            .into_iter()
            .filter(|server| {
                let holds = database.copies.contains_key(&server.id);
                // A cordoned or absent server keeps what it has; only a present, enabled one takes more.
                let takes = server.state == ServerState::Enabled && (server.serving || holds);
                let keeps = server.state == ServerState::Cordoned && holds;
                let listed = |names: &[String]| names.iter().any(|listed| listed.eq_ignore_ascii_case(name));
                let options = &server.options;
                (takes || keeps) && (options.allowed.is_empty() || listed(&options.allowed)) && !listed(&options.denied)
            })
            .map(|server| Candidate {
                id: server.id.clone(),
                only: match server.options.mode_constraint.as_deref() {
                    Some("PRIMARY") => Some(Mode::Primary),
                    Some("SECONDARY") => Some(Mode::Secondary),
                    _ => None,
                },
                load: load(&server.id),
                // Copies on cordoned servers are the first to go.
                holds: database
                    .copies
                    .get(&server.id)
                    .filter(|copy| !copy.unwanted && server.state == ServerState::Enabled)
                    .map(|copy| copy.mode),
            })
            .collect()
    }

    /// Brings a database's copies to its topology: new ones begin, superfluous ones are unwanted.
    pub(super) fn arrange(&mut self, name: &str, now: Duration) -> Result<(), Neo4jFailure> {
        let Some(database) = self.databases.get(name) else {
            return Ok(());
        };
        let Some((primaries, secondaries)) = database.requested else {
            return Ok(());
        };
        let candidates = self.candidates(name, database, &[]);
        let placement = place(&candidates, primaries, secondaries).map_err(|shortage| {
            Neo4jFailure::argument(format_args!(
                "Required topology of {primaries} primaries and {secondaries} secondaries cannot be satisfied: \
                 servers were found for {} primaries and {} secondaries.",
                shortage.primaries, shortage.secondaries
            ))
        })?;
        let start = now + self.tuning.database_start;
        let rate = self.tuning.copy_bytes_per_second;
        let Some(database) = self.databases.get_mut(name) else {
            return Ok(());
        };
        let born = database.copies.is_empty();
        for (id, copy) in &mut database.copies {
            copy.unwanted = !placement.contains_key(id);
        }
        for (id, mode) in placement {
            let copying = Phase::Copying(now + copy_time(database.bytes, rate));
            let phase = match (born, database.started) {
                (false, _) => copying,
                (true, true) => Phase::Starting(start),
                (true, false) => Phase::Offline,
            };
            let copy = database.copies.entry(id).or_insert(Copy {
                mode,
                phase,
                unwanted: false,
                applied: if born { database.last_tx } else { 0 },
                lag: 0,
            });
            copy.mode = mode;
            if matches!(copy.phase, Phase::Leaving(_)) {
                copy.phase = Phase::Online;
            }
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)] // the parts of one statement
    pub(super) fn create_database(
        &mut self,
        name: String,
        if_not_exists: bool,
        topology: Option<&Topology>,
        options: &DatabaseOptions,
        language: Option<i64>,
        parameters: &ValueMap,
        now: Duration,
    ) -> Result<(), Neo4jFailure> {
        let name = database_name(&name)?;
        if self.databases.contains_key(&name) {
            if if_not_exists {
                return Ok(());
            }
            return Err(Neo4jFailure::new(
                code::DATABASE_EXISTS,
                format_args!("Failed to create the specified database '{name}': Database already exists."),
            ));
        }
        let failed = |failure: Neo4jFailure| {
            let message = format!("Failed to create the specified database '{name}': {}", failure.message);
            Neo4jFailure::new(&failure.code, message)
        };
        let requested = requested(topology, self.default_topology, parameters).map_err(failed)?;
        let options = options.values(parameters)?;
        if let Some(unknown) = options
            .keys()
            .find(|key| !OPTIONS.contains(&key.as_str()) && !MORE_OPTIONS.contains(&key.as_str()))
        {
            return Err(failed(Neo4jFailure::argument(format_args!(
                "Unrecognised create option '{unknown}'."
            ))));
        }
        let calendar = self
            .servers
            .values()
            .all(|server| !server.boot.version.starts_with("5."));
        if language.is_some() && !calendar {
            return Err(Neo4jFailure::syntax(
                "Invalid input 'DEFAULT': expected OPTIONS, TOPOLOGY, WAIT or NOWAIT",
            ));
        }
        let mut database = self.new_database(Some(requested), now);
        let seed = options.get("seedURI").and_then(Value::as_str);
        if let Some(uri) = seed {
            match self.seeds.get(uri) {
                Some(bytes) => database.bytes = *bytes,
                None => {
                    database.failure = Some(format!(
                        "Could not download the seed from '{uri}': it does not exist or cannot be read."
                    ));
                }
            }
        }
        let seeded = seed.is_some();
        self.databases.insert(name.clone(), database);
        if let Err(failure) = self.arrange(&name, now) {
            self.databases.remove(&name);
            return Err(failed(failure));
        }
        let rate = self.tuning.copy_bytes_per_second;
        if let Some(database) = self.databases.get_mut(&name).filter(|_| seeded) {
            // It exists offline until the seed is there; a seed that cannot be had leaves it so (N43).
            let phase = match database.failure {
                Some(_) => Phase::Failed,
                None => Phase::Copying(now + copy_time(database.bytes, rate)),
            };
            database.copies.values_mut().for_each(|copy| copy.phase = phase);
        }
        self.settle(now);
        Ok(())
    }

    /// Finds a database that may be changed; `Ok(None)`: it is absent and that is fine.
    fn changeable(&self, name: &str, absent_is_fine: bool, verb: &str) -> Result<Option<String>, Neo4jFailure> {
        let name = name.to_lowercase();
        if name == SYSTEM {
            return Err(Neo4jFailure::argument(format_args!(
                "Not allowed to {verb} the system database."
            )));
        }
        if self.databases.contains_key(&name) {
            return Ok(Some(name));
        }
        if absent_is_fine {
            return Ok(None);
        }
        Err(Neo4jFailure::new(
            code::DATABASE_NOT_FOUND,
            format_args!("Failed to {verb} the specified database '{name}': Database does not exist."),
        ))
    }

    pub(super) fn alter_database(
        &mut self,
        name: &str,
        if_exists: bool,
        topology: Option<&Topology>,
        access: Option<Access>,
        parameters: &ValueMap,
        now: Duration,
    ) -> Result<(), Neo4jFailure> {
        let Some(name) = self.changeable(name, if_exists, "alter")? else {
            return Ok(());
        };
        let before = self
            .databases
            .get(&name)
            .and_then(|database| database.requested)
            .unwrap_or((1, 0));
        if topology.is_some() {
            let failed = |why: &str| {
                Neo4jFailure::argument(format_args!("Failed to alter the specified database '{name}': {why}"))
            };
            // What is not said falls back to the least: no secondaries.
            let wanted = requested(topology, before, parameters).map_err(|failure| failed(&failure.message))?;
            if before.0 > 1 && wanted.0 == 1 {
                return Err(failed(
                    "a database with several primaries cannot be altered to a single primary (51N41).",
                ));
            }
            if let Some(database) = self.databases.get_mut(&name) {
                database.requested = Some(wanted);
            }
            if let Err(failure) = self.arrange(&name, now) {
                if let Some(database) = self.databases.get_mut(&name) {
                    database.requested = Some(before);
                }
                return Err(failed(&failure.message));
            }
        }
        if let (Some(access), Some(database)) = (access, self.databases.get_mut(&name)) {
            database.read_only = access == Access::ReadOnly;
        }
        self.settle(now);
        Ok(())
    }

    pub(super) fn drop_database(&mut self, name: &str, if_exists: bool) -> Result<(), Neo4jFailure> {
        if let Some(name) = self.changeable(name, if_exists, "delete")? {
            self.databases.remove(&name);
        }
        Ok(())
    }

    pub(super) fn run_database(&mut self, name: &str, run: bool, now: Duration) -> Result<(), Neo4jFailure> {
        let Some(name) = self.changeable(name, false, if run { "start" } else { "stop" })? else {
            return Ok(());
        };
        let due = now + self.tuning.database_start;
        if let Some(database) = self.databases.get_mut(&name) {
            database.started = run;
            for copy in database.copies.values_mut() {
                copy.phase = match (copy.phase, run) {
                    (Phase::Offline | Phase::Stopping(_), true) => Phase::Starting(due),
                    (Phase::Online | Phase::Starting(_), false) => Phase::Stopping(due),
                    (other, _) => other,
                };
            }
        }
        self.settle(now);
        Ok(())
    }

    /// Spreads all copies anew; what moves is returned. With `dryrun` nothing does.
    pub(super) fn reallocate(&mut self, dryrun: bool, now: Duration) -> Vec<super::servers::Move> {
        let mut moves = Vec::new();
        for name in self.user_databases() {
            let Some(database) = self.databases.get(&name) else {
                continue;
            };
            let Some((primaries, secondaries)) = database.requested else {
                continue;
            };
            let mut candidates = self.candidates(&name, database, &[]);
            // Stay, unless another server holds at least two copies less.
            let least = candidates.iter().map(|candidate| candidate.load).min().unwrap_or(0);
            for candidate in &mut candidates {
                if candidate.load > least + 1 {
                    candidate.holds = None;
                }
            }
            let Ok(placement) = place(&candidates, primaries, secondaries) else {
                continue;
            };
            let gone: Vec<_> = database
                .copies
                .iter()
                .filter(|(id, copy)| !copy.unwanted && !placement.contains_key(*id))
                .collect();
            let come = placement.iter().filter(|(id, _)| !database.copies.contains_key(*id));
            for ((from, _), (to, mode)) in gone.into_iter().zip(come) {
                moves.push(super::servers::Move {
                    database: name.clone(),
                    from: from.clone(),
                    to: Some(to.clone()),
                    mode: *mode,
                });
            }
        }
        if !dryrun {
            self.carry_out(&moves, now);
        }
        moves
    }

    fn carry_out(&mut self, moves: &[super::servers::Move], now: Duration) {
        let rate = self.tuning.copy_bytes_per_second;
        for step in moves {
            let Some(database) = self.databases.get_mut(&step.database) else {
                continue;
            };
            let phase = Phase::Copying(now + copy_time(database.bytes, rate));
            if let Some(copy) = database.copies.get_mut(&step.from) {
                copy.unwanted = true;
            }
            if let Some(to) = &step.to {
                database.copies.entry(to.clone()).or_insert(Copy {
                    mode: step.mode,
                    phase,
                    unwanted: false,
                    applied: 0,
                    lag: 0,
                });
            }
        }
        self.settle(now);
    }
}

/// The copies that a statement asks for.
fn requested(
    topology: Option<&Topology>,
    default: (u32, u32),
    parameters: &ValueMap,
) -> Result<(u32, u32), Neo4jFailure> {
    let Some(topology) = topology else { return Ok(default) };
    let count =
        |term: Option<&crate::neo4j::statement::Term>, default| term.map_or(Ok(default), |term| term.count(parameters));
    let primaries = count(topology.primaries.as_ref(), 1)?;
    let secondaries = count(topology.secondaries.as_ref(), 0)?;
    if !(1..=MOST.0).contains(&primaries) || secondaries > MOST.1 {
        return Err(Neo4jFailure::argument(format_args!(
            "TOPOLOGY has to specify 1 to {} primaries and 0 to {} secondaries.",
            MOST.0, MOST.1
        )));
    }
    Ok((primaries, secondaries))
}

/// A database's name as it is kept, or why it cannot be one.
fn database_name(name: &str) -> Result<String, Neo4jFailure> {
    let lower = name.to_lowercase();
    let refused = |why: &str| {
        Err(Neo4jFailure::argument(format_args!(
            "Database name '{lower}' is not valid: {why}"
        )))
    };
    if lower.starts_with(SYSTEM) {
        return refused("names that begin with 'system' are reserved.");
    }
    if !(3..=63).contains(&lower.len()) {
        return refused("it must have 3 to 63 characters.");
    }
    if !lower.starts_with(|c: char| c.is_ascii_alphanumeric()) || lower.ends_with(['.', '-']) {
        return refused("it must begin with a letter and end with a letter or digit.");
    }
    if !lower.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c)) {
        return refused("only letters, digits, dots and dashes are allowed.");
    }
    Ok(lower)
}
