//! Servers: processes that come and go, and the verbs of their life as members.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Cluster, Copy, SYSTEM, Server, ServerState, placement::Mode};
use crate::neo4j::{failure::Neo4jFailure, load::Traffic, statement::ServerOptions};

/// How a server's process was started.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Boot {
    /// Names the volume: the server's identity hangs on it.
    pub volume: String,
    /// Pod name.
    pub pod: String,
    /// Host that the server advertises.
    pub host: String,
    /// Its version.
    pub version: String,
    /// neo4j.conf, with the environment over it.
    pub settings: BTreeMap<String, String>,
    /// Password of the first user, used on an empty volume only.
    pub initial_password: Option<String>,
    /// Nobody needs a password.
    pub auth_disabled: bool,
}

impl std::fmt::Debug for Boot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Boot").field("pod", &self.pod).finish_non_exhaustive()
    }
}

/// Where the cluster's members are listed, from 2025.01 on and before.
const ENDPOINTS: [&str; 2] = ["dbms.cluster.endpoints", "dbms.cluster.discovery.v2.endpoints"];

impl Boot {
    /// A setting's number.
    pub fn number(&self, setting: &str, default: u64) -> u64 {
        let value = self.settings.get(setting).and_then(|value| value.parse().ok());
        value.unwrap_or(default)
    }

    /// A setting's time, written like `5s`.
    pub fn seconds(&self, setting: &str, default: Duration) -> Duration {
        let value = self.settings.get(setting).map(|value| value.trim_end_matches('s'));
        value
            .and_then(|value| value.parse().ok())
            .map_or(default, Duration::from_secs)
    }

    fn is_on(&self, setting: &str) -> bool {
        self.settings
            .get(setting)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    fn system_mode(&self) -> Mode {
        match self.settings.get("server.cluster.system_database_mode") {
            Some(mode) if mode.eq_ignore_ascii_case("SECONDARY") => Mode::Secondary,
            _ => Mode::Primary,
        }
    }

    /// Options of a server before anybody says otherwise.
    fn initial_options(&self) -> ServerOptions {
        let list = |key: &str| {
            let names = self
                .settings
                .get(key)
                .map_or("", String::as_str)
                .split(',')
                .map(str::trim);
            names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
        };
        ServerOptions {
            mode_constraint: Some(self.mode_constraint()),
            allowed: list("initial.server.allowed_databases"),
            denied: list("initial.server.denied_databases"),
            tags: list("initial.server.tags"),
        }
    }

    fn mode_constraint(&self) -> String {
        let mode = self.settings.get("initial.server.mode_constraint");
        mode.map_or_else(|| "NONE".to_owned(), |mode| mode.to_ascii_uppercase())
    }

    /// Hosts in the discovery list; `None`: there is none, and the server stands alone.
    fn endpoints(&self) -> Option<BTreeSet<&str>> {
        let list = ENDPOINTS.into_iter().find_map(|key| self.settings.get(key))?;
        Some(
            list.split(',')
                .filter_map(|endpoint| endpoint.trim().rsplit_once(':'))
                .map(|(host, _)| host)
                .collect(),
        )
    }

    fn min_primaries(&self) -> usize {
        self.number("dbms.cluster.minimum_initial_system_primaries_count", 3) as usize
    }
}

impl Cluster {
    /// A server's process has started. Its id is that of its volume.
    pub fn process_started(&mut self, boot: Boot, now: Duration) -> String {
        self.advance(now);
        let id = self.uuid(&boot.volume);
        let order = self.servers.len() as u32;
        let server = self.servers.entry(id.clone()).or_insert_with(|| Server {
            id: id.clone(),
            name: id.clone(),
            state: ServerState::Free,
            options: boot.initial_options(),
            boot: boot.clone(),
            process: None,
            serving: false,
            joined: false,
            traffic: Traffic::default(),
            order,
            attempts: BTreeMap::new(),
        });
        server.boot = boot;
        server.process = Some(now);
        server.serving = false;
        server.attempts.clear();
        server.traffic = Traffic::default();
        self.advance(now);
        id
    }

    /// A server's process has ended, in whatever way.
    pub fn process_stopped(&mut self, id: &str, now: Duration) {
        self.advance(now);
        let Some(server) = self.servers.get_mut(id) else { return };
        server.process = None;
        server.serving = false;
        let dropped = server.state == ServerState::Dropped;
        for database in self.databases.values_mut() {
            if dropped {
                database.copies.remove(id);
            } else if let Some(copy) = database.copies.get_mut(id) {
                copy.halt();
            }
        }
        self.settle(now);
    }

    /// The server that a volume holds.
    pub fn server_of_volume(&self, volume: &str) -> Option<&Server> {
        self.servers.get(&self.uuid(volume))
    }

    /// Servers that could form the cluster now; empty while there are too few.
    pub(super) fn founders(&self, now: Duration) -> Vec<String> {
        let ready =
            |server: &&Server| !server.joined && server.process.is_some_and(|since| now >= since + self.tuning.start);
        let mut listed: Vec<&Server> = self
            .servers
            .values()
            .filter(ready)
            .filter(|server| server.boot.system_mode() == Mode::Primary)
            .filter(|server| {
                server
                    .boot
                    .endpoints()
                    .is_some_and(|hosts| hosts.contains(server.boot.host.as_str()))
            })
            .collect();
        listed.sort_by_key(|server| server.order);
        if let Some(first) = listed.first() {
            let hosts = first.boot.endpoints().unwrap_or_default();
            listed.retain(|server| hosts.contains(server.boot.host.as_str()));
            if listed.len() >= listed[0].boot.min_primaries() {
                return listed.into_iter().map(|server| server.id.clone()).collect();
            }
        }
        // Without a list a server stands alone and waits for nobody.
        let alone = self
            .servers
            .values()
            .filter(ready)
            .find(|server| server.boot.endpoints().is_none());
        alone.map(|server| vec![server.id.clone()]).unwrap_or_default()
    }

    /// The founders make the system database, its first user and the default database.
    pub(super) fn form(&mut self, founders: &[String], now: Duration) {
        let mut system = self.new_database(None, now);
        system.bytes = 1024 * 1024;
        for id in founders {
            system.copies.insert(id.clone(), Copy::online(Mode::Primary, 0));
            if let Some(server) = self.servers.get_mut(id) {
                server.joined = true;
                server.serving = true;
                if self.tuning.enable_at_formation {
                    server.state = ServerState::Enabled;
                }
            }
        }
        system.leader = founders.first().cloned();
        system.term = 1;
        self.databases.insert(SYSTEM.to_owned(), system);
        let Some(boot) = founders
            .first()
            .and_then(|id| self.servers.get(id))
            .map(|server| server.boot.clone())
        else {
            return;
        };
        let count = |key: &str, default| boot.number(key, default) as u32;
        self.default_topology = (
            count("initial.dbms.default_primaries_count", 1),
            count("initial.dbms.default_secondaries_count", 0),
        );
        self.enable_free_servers = boot.is_on("initial.dbms.automatically_enable_free_servers");
        if let Some(name) = boot.settings.get("initial.dbms.default_database") {
            self.default_database = name.to_lowercase();
        }
        let change_required = boot.initial_password.is_none();
        let password = boot.initial_password.unwrap_or_else(|| "neo4j".to_owned());
        self.users.insert(
            "neo4j".to_owned(),
            super::User {
                password,
                change_required,
                suspended: false,
                home: None,
            },
        );
    }

    /// A server that has not been a member joins the formed cluster: it gets a copy of the system database.
    pub(super) fn join(&mut self, id: &str) {
        let Some(server) = self.servers.get_mut(id) else { return };
        server.joined = true;
        let mode = server.boot.system_mode();
        if let Some(system) = self.databases.get_mut(SYSTEM) {
            let applied = system.last_tx;
            // It reads until it is enabled: a free server has no vote.
            let mode = if server.state == ServerState::Enabled {
                mode
            } else {
                Mode::Secondary
            };
            system.copies.insert(id.to_owned(), Copy::online(mode, applied));
        }
    }

    /// Finds a server by name or id.
    pub(super) fn find_server(&self, name: &str) -> Result<String, Neo4jFailure> {
        let found = self
            .servers
            .values()
            .find(|server| server.name == name || server.id == name);
        found
            .filter(|server| server.joined)
            .map(|server| server.id.clone())
            .ok_or_else(|| Neo4jFailure::argument(format_args!("Server '{name}' not found.")))
    }

    pub(super) fn enable_server(&mut self, name: &str, options: Option<&ServerOptions>) -> Result<(), Neo4jFailure> {
        let id = self.find_server(name)?;
        let Some(server) = self.servers.get_mut(&id) else {
            return Ok(());
        };
        let wanted = |server: &Server| match options {
            Some(options) => ServerOptions {
                mode_constraint: options
                    .mode_constraint
                    .clone()
                    .or_else(|| server.options.mode_constraint.clone()),
                ..options.clone()
            },
            None => server.options.clone(),
        };
        let options = wanted(server);
        match server.state {
            ServerState::Free | ServerState::Cordoned => {}
            ServerState::Enabled if options == server.options => return Ok(()),
            ServerState::Enabled => {
                return Err(Neo4jFailure::argument(format_args!(
                    "Server '{name}' is already enabled with other options. Use ALTER SERVER to change them."
                )));
            }
            ServerState::Deallocating | ServerState::Deallocated | ServerState::Dropped => {
                return Err(Neo4jFailure::argument(format_args!(
                    "Server '{name}' can't be enabled because it has been deallocated or dropped."
                )));
            }
        }
        let first = server.state == ServerState::Free;
        server.state = ServerState::Enabled;
        server.options = options;
        let mode = server.boot.system_mode();
        if first
            && let Some(system) = self.databases.get_mut(SYSTEM)
            && let Some(copy) = system.copies.get_mut(&id)
        {
            copy.mode = mode;
        }
        Ok(())
    }

    pub(super) fn alter_server(&mut self, name: &str, options: &ServerOptions) -> Result<(), Neo4jFailure> {
        let id = self.find_server(name)?;
        if let Some(server) = self.servers.get_mut(&id) {
            server.options = options.clone();
            // ALTER replaces all options: what is not said is as if it had never been.
            server.options.mode_constraint.get_or_insert_with(|| "NONE".to_owned());
        }
        Ok(())
    }

    pub(super) fn rename_server(&mut self, from: &str, to: &str) -> Result<(), Neo4jFailure> {
        let id = self.find_server(from)?;
        if self.servers.values().any(|server| server.name == to && server.id != id) {
            return Err(Neo4jFailure::argument(format_args!(
                "Server '{from}' can't be renamed: the name '{to}' is in use."
            )));
        }
        if let Some(server) = self.servers.get_mut(&id) {
            to.clone_into(&mut server.name);
        }
        Ok(())
    }

    pub(super) fn cordon_server(&mut self, name: &str, cordon: bool) -> Result<(), Neo4jFailure> {
        let id = self.find_server(name)?;
        let Some(server) = self.servers.get_mut(&id) else {
            return Ok(());
        };
        match server.state {
            ServerState::Enabled | ServerState::Cordoned => {
                server.state = if cordon {
                    ServerState::Cordoned
                } else {
                    ServerState::Enabled
                };
                Ok(())
            }
            state => Err(Neo4jFailure::argument(format_args!(
                "Server '{name}' can't be cordoned or uncordoned: it is {}.",
                state.as_str()
            ))),
        }
    }

    /// The moves that deallocating these servers needs: database, from, to, mode. Refused by N48.
    pub(super) fn plan_deallocation(&self, ids: &[String]) -> Result<Vec<Move>, Neo4jFailure> {
        let refuse = |database: &str, why: &str| {
            Neo4jFailure::argument(format_args!(
                "Could not deallocate server(s): database '{database}': {why}"
            ))
        };
        let mut moves = Vec::new();
        for (name, database) in self.databases.iter().filter(|(name, _)| *name != SYSTEM) {
            let leaving: Vec<(&String, &Copy)> = database
                .copies
                .iter()
                .filter(|(id, copy)| ids.contains(id) && !copy.unwanted)
                .collect();
            if leaving.is_empty() {
                continue;
            }
            let (primaries, secondaries) = database.requested.unwrap_or((1, 0));
            if !database.started {
                return Err(refuse(name, "it is offline."));
            }
            if primaries == 1 && leaving.iter().any(|(_, copy)| copy.mode == Mode::Primary) {
                return Err(refuse(name, "it has a single primary, which must be moved first."));
            }
            let voters: Vec<_> = database
                .copies
                .iter()
                .filter(|(_, copy)| copy.mode == Mode::Primary)
                .collect();
            let cordoned = voters.iter().filter(|(id, _)| {
                self.servers
                    .get(*id)
                    .is_some_and(|server| server.state == ServerState::Cordoned && !ids.contains(id))
            });
            if cordoned.count() * 2 > voters.len() {
                return Err(refuse(name, "a quorum of its primaries is cordoned."));
            }
            let candidates = self.candidates(name, database, ids);
            let placement = super::placement::place(&candidates, primaries, secondaries).map_err(|_| {
                Neo4jFailure::argument(format_args!(
                    "Unable to reallocate database '{name}'. Required topology: {primaries} primaries, {secondaries} secondaries."
                ))
            })?;
            let mut arrivals: Vec<_> = placement
                .iter()
                .filter(|(id, _)| database.copies.get(*id).is_none_or(|copy| copy.unwanted))
                .collect();
            for (from, copy) in leaving {
                let at = arrivals.iter().position(|(_, mode)| **mode == copy.mode);
                let to = at.map(|at| arrivals.remove(at).0.clone());
                moves.push(Move {
                    database: name.clone(),
                    from: from.clone(),
                    to,
                    mode: copy.mode,
                });
            }
        }
        Ok(moves)
    }

    pub(super) fn deallocate(&mut self, ids: &[String], now: Duration) -> Result<(), Neo4jFailure> {
        for id in ids {
            match self.servers.get(id).map(|server| server.state) {
                Some(
                    ServerState::Enabled | ServerState::Cordoned | ServerState::Deallocating | ServerState::Deallocated,
                ) => {}
                state => {
                    return Err(Neo4jFailure::argument(format_args!(
                        "Server '{id}' can't be deallocated: it is {}.",
                        state.map_or("unknown", ServerState::as_str)
                    )));
                }
            }
        }
        self.plan_deallocation(ids)?;
        for id in ids {
            if let Some(server) = self.servers.get_mut(id)
                && server.state != ServerState::Deallocated
            {
                server.state = ServerState::Deallocating;
            }
        }
        for name in self.user_databases() {
            self.arrange(&name, now)?;
        }
        self.settle(now);
        Ok(())
    }

    pub(super) fn drop_server(&mut self, name: &str) -> Result<(), Neo4jFailure> {
        let id = self.find_server(name)?;
        let Some(server) = self.servers.get_mut(&id) else {
            return Ok(());
        };
        match server.state {
            ServerState::Dropped => {
                return Err(Neo4jFailure::argument(format_args!(
                    "Server '{name}' is already dropped."
                )));
            }
            ServerState::Deallocated => {}
            state => {
                return Err(Neo4jFailure::argument(format_args!(
                    "Server '{name}' can't be dropped: it is {} and must be deallocated first.",
                    state.as_str()
                )));
            }
        }
        server.state = ServerState::Dropped;
        if let Some(system) = self.databases.get_mut(SYSTEM) {
            system.copies.remove(&id);
            if system.leader.as_ref() == Some(&id) {
                system.leader = None;
            }
        }
        Ok(())
    }
}

/// A copy that moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Database.
    pub database: String,
    /// Server it leaves.
    pub from: String,
    /// Server it goes to, if the topology asks for one.
    pub to: Option<String>,
    /// What it does.
    pub mode: Mode,
}
