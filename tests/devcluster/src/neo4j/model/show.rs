//! The tables of `SHOW`.

use super::{Cluster, Copy, Database, Phase, SYSTEM, Server, ServerState, placement::Mode};
use crate::neo4j::{
    bolt::session::{Outcome, Run},
    failure::Neo4jFailure,
    statement::{Columns, DatabaseChoice, Filter, ShowWhat, Table},
    value::{Value, ValueMap},
};

/// Settings that are shown though nobody set them.
const DEFAULTS: [(&str, &str); 8] = [
    ("dbms.cluster.minimum_initial_system_primaries_count", "3"),
    ("dbms.security.auth_enabled", "true"),
    ("dbms.security.auth_max_failed_attempts", "3"),
    ("dbms.security.auth_lock_time", "5s"),
    ("server.bolt.listen_address", ":7687"),
    ("server.bolt.thread_pool_max_size", "400"),
    ("server.bolt.tls_level", "DISABLED"),
    ("server.backup.enabled", "true"),
];

impl Mode {
    /// As DRYRUN and `role` write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        }
    }
}

impl Server {
    /// Order of first sight.
    pub fn order(&self) -> u32 {
        self.order
    }

    /// Where its Bolt port is, as advertised.
    pub fn bolt_address(&self) -> String {
        let advertised = self.boot.settings.get("server.bolt.advertised_address");
        match advertised {
            Some(address) if address.starts_with(':') => format!("{}{address}", self.boot.host),
            Some(address) => address.clone(),
            None => format!("{}:7687", self.boot.host),
        }
    }
}

impl Cluster {
    pub(super) fn show(&self, at: &str, table: &Table, run: &Run) -> Result<Outcome, Neo4jFailure> {
        let rows = match &table.what {
            ShowWhat::Servers => self.server_rows(),
            ShowWhat::Databases(choice) => self.database_rows(choice, run)?,
            ShowWhat::Users => self.user_rows(None),
            ShowWhat::CurrentUser => self.user_rows(Some(&run.user)),
            ShowWhat::Settings(names) => self.setting_rows(at, names),
            ShowWhat::Transactions => self.transaction_rows(at, run),
        };
        filtered(rows, &table.filter, table.what.columns(), &run.parameters)
    }

    fn server_rows(&self) -> Vec<ValueMap> {
        let mut servers: Vec<_> = self.servers.values().filter(|server| server.joined).collect();
        servers.retain(|server| server.state != ServerState::Dropped || server.process.is_some());
        servers.sort_by_key(|server| server.order);
        servers.into_iter().map(|server| self.server_row(server)).collect()
    }

    fn server_row(&self, server: &Server) -> ValueMap {
        let copies = |wanted: &dyn Fn(&Copy) -> bool| {
            let held = self
                .databases
                .iter()
                .filter(|(_, database)| database.copies.get(&server.id).is_some_and(wanted));
            Value::strings(held.map(|(name, _)| name.clone()))
        };
        // The address comes from the server itself: it is unknown while that is away, and once it leaves (N41).
        let leaves = matches!(
            server.state,
            ServerState::Deallocating | ServerState::Deallocated | ServerState::Dropped
        );
        let address = |text: String| {
            if leaves || !server.serving {
                Value::Null
            } else {
                Value::String(text)
            }
        };
        // A free server reads along in `system` without anybody having asked it to.
        let requested = match server.state {
            ServerState::Free => Value::List(vec![]),
            _ => copies(&|copy| !copy.unwanted),
        };
        let host = &server.boot.host;
        let tls = server
            .boot
            .settings
            .get("server.https.enabled")
            .is_some_and(|on| on == "true");
        let lists = |list: &[String]| Value::strings(list.iter().cloned());
        row([
            ("name", server.name.as_str().into()),
            ("address", address(server.bolt_address())),
            ("state", server.state.as_str().into()),
            (
                "health",
                if server.serving { "Available" } else { "Unavailable" }.into(),
            ),
            ("hosting", copies(&|copy| !matches!(copy.phase, Phase::Copying(_)))),
            ("serverId", server.id.as_str().into()),
            ("httpAddress", address(format!("{host}:7474"))),
            (
                "httpsAddress",
                if tls {
                    address(format!("{host}:7473"))
                } else {
                    Value::Null
                },
            ),
            ("requestedHosting", requested),
            ("tags", lists(&server.options.tags)),
            ("allowedDatabases", lists(&server.options.allowed)),
            ("deniedDatabases", lists(&server.options.denied)),
            (
                "modeConstraint",
                server.options.mode_constraint.as_deref().unwrap_or("NONE").into(),
            ),
            (
                "version",
                if server.serving {
                    server.boot.version.as_str().into()
                } else {
                    Value::Null
                },
            ),
        ])
    }

    fn database_rows(&self, choice: &DatabaseChoice, run: &Run) -> Result<Vec<ValueMap>, Neo4jFailure> {
        let only = match choice {
            DatabaseChoice::All => None,
            DatabaseChoice::Default => Some(self.default_database.clone()),
            DatabaseChoice::Named(name) => Some(name.text(&run.parameters)?.to_lowercase()),
        };
        let home = self.users.get(&run.user).and_then(|user| user.home.clone());
        let home = home.unwrap_or_else(|| self.default_database.clone());
        let mut rows = Vec::new();
        for (name, database) in &self.databases {
            if only.as_ref().is_some_and(|only| only != name) {
                continue;
            }
            let mut copies: Vec<_> = database.copies.iter().collect();
            copies.sort_by_key(|(id, _)| self.servers.get(*id).map(|server| server.order));
            for (id, copy) in &copies {
                rows.push(self.database_row(name, database, Some((id, copy)), name == &home));
            }
            if copies.is_empty() {
                rows.push(self.database_row(name, database, None, name == &home));
            }
        }
        Ok(rows)
    }

    fn database_row(&self, name: &str, database: &Database, copy: Option<(&String, &Copy)>, home: bool) -> ValueMap {
        let server = copy.and_then(|(id, _)| self.servers.get(id));
        let count = |mode| {
            let copies = database.copies.iter();
            let online = copies
                .filter(|(id, copy)| copy.mode == mode && self.is_online(id, copy))
                .count();
            Value::Int(online as i64)
        };
        let leads = copy.is_some_and(|(id, _)| database.leader.as_ref() == Some(id));
        let serving = server.is_some_and(|server| server.serving);
        let applied = copy.filter(|_| serving).map(|(_, copy)| copy.applied as i64);
        // Neo4j writes the lag as a negative number of transactions.
        let lag = applied.map(|applied| applied - database.last_tx as i64);
        // A Community server has no topologies, and tells nothing of transactions.
        let enterprise = !self.is_community();
        let requested = database.requested.filter(|_| enterprise);
        let last = applied.filter(|_| enterprise);
        let number = |n: Option<u32>| n.map_or(Value::Null, |n| Value::Int(i64::from(n)));
        let created = Value::date_time(self.timestamp(database.created));
        let default = name == self.default_database;
        row([
            ("name", name.into()),
            ("type", if name == SYSTEM { "system" } else { "standard" }.into()),
            ("aliases", Value::List(vec![])),
            (
                "access",
                if database.read_only { "read-only" } else { "read-write" }.into(),
            ),
            ("address", server.filter(|_| serving).map(Server::bolt_address).into()),
            ("role", copy.map(|(_, copy)| copy.mode.as_str()).into()),
            ("writer", Value::Bool(leads && !database.read_only)),
            (
                "requestedStatus",
                if database.started { "online" } else { "offline" }.into(),
            ),
            (
                "currentStatus",
                current_status(copy.map(|(_, copy)| copy), serving).into(),
            ),
            ("statusMessage", status_message(copy, serving, database).into()),
            ("default", default.into()),
            ("home", home.into()),
            ("constituents", Value::List(vec![])),
            ("databaseID", database.id.as_str().into()),
            ("serverID", copy.map(|(id, _)| id.as_str()).into()),
            ("currentPrimariesCount", count(Mode::Primary)),
            ("currentSecondariesCount", count(Mode::Secondary)),
            (
                "requestedPrimariesCount",
                number(requested.map(|(primaries, _)| primaries)),
            ),
            (
                "requestedSecondariesCount",
                number(requested.map(|(_, secondaries)| secondaries)),
            ),
            ("creationTime", created.clone()),
            ("lastStartTime", if database.started { created } else { Value::Null }),
            ("lastStopTime", Value::Null),
            ("store", if serving { "block-block-1.1".into() } else { Value::Null }),
            ("lastCommittedTxn", last.into()),
            ("replicationLag", lag.into()),
            ("options", Value::Map(ValueMap::new())),
        ])
    }

    fn user_rows(&self, only: Option<&str>) -> Vec<ValueMap> {
        let users = self
            .users
            .iter()
            .filter(|(name, _)| only.is_none_or(|only| only == *name));
        users
            .map(|(name, user)| {
                let roles = match name.as_str() {
                    _ if self.is_community() => Value::Null,
                    "neo4j" => Value::strings(["PUBLIC", "admin"]),
                    _ => Value::strings(["PUBLIC"]),
                };
                let auth = [
                    ("password", "***".into()),
                    ("changeRequired", user.change_required.into()),
                ];
                row([
                    ("user", name.as_str().into()),
                    ("roles", roles),
                    ("passwordChangeRequired", user.change_required.into()),
                    ("suspended", user.suspended.into()),
                    ("home", user.home.clone().into()),
                    ("provider", "native".into()),
                    ("auth", Value::Map(row(auth))),
                ])
            })
            .collect()
    }

    fn setting_rows(&self, at: &str, names: &[String]) -> Vec<ValueMap> {
        let Some(server) = self.servers.get(at) else {
            return vec![];
        };
        let mut settings: std::collections::BTreeMap<&str, (&str, bool)> =
            DEFAULTS.iter().map(|(name, value)| (*name, (*value, false))).collect();
        settings.extend(
            server
                .boot
                .settings
                .iter()
                .map(|(name, value)| (name.as_str(), (value.as_str(), true))),
        );
        let wanted = settings
            .into_iter()
            .filter(|(name, _)| names.is_empty() || names.iter().any(|wanted| wanted == name))
            .filter(|(name, _)| !self.is_community() || !name.contains(".cluster."));
        wanted
            .map(|(name, (value, explicit))| {
                let default = DEFAULTS
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| *value);
                row([
                    ("name", name.into()),
                    ("value", value.into()),
                    ("isDynamic", false.into()),
                    ("defaultValue", default.unwrap_or_default().into()),
                    ("description", "".into()),
                    ("startupValue", value.into()),
                    ("isExplicitlySet", explicit.into()),
                    ("validValues", "".into()),
                    ("isDeprecated", false.into()),
                ])
            })
            .collect()
    }
}

fn status_message(copy: Option<(&String, &Copy)>, serving: bool, database: &Database) -> String {
    match copy {
        Some((_, copy)) if copy.phase == Phase::Failed => database.failure.clone().unwrap_or_default(),
        Some(_) if serving => String::new(),
        Some(_) => "Server is unavailable".to_owned(),
        None => "No server could be found for it".to_owned(),
    }
}

fn current_status(copy: Option<&Copy>, serving: bool) -> &'static str {
    let Some(copy) = copy else { return "unknown" };
    if !serving {
        return "unknown";
    }
    match copy.phase {
        Phase::Copying(_) => "store copying",
        Phase::Starting(_) => "starting",
        Phase::Online => "online",
        Phase::Stopping(_) => "stopping",
        Phase::Offline => "offline",
        Phase::Leaving(_) => "deallocating",
        Phase::Failed => "offline",
    }
}

/// A row by its columns.
pub(super) fn row<const N: usize>(cells: [(&str, Value); N]) -> ValueMap {
    cells
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// The rows and columns that were asked for.
pub(super) fn filtered(
    rows: Vec<ValueMap>,
    filter: &Filter,
    all: Columns,
    parameters: &ValueMap,
) -> Result<Outcome, Neo4jFailure> {
    let fields = filter.columns(all);
    let mut outcome = Outcome {
        kind: "r",
        ..Outcome::default()
    };
    for row in rows {
        if filter.wants(&row, parameters)? {
            let cells = fields.iter().map(|name| row.get(name).cloned().unwrap_or(Value::Null));
            outcome.rows.push_back(cells.collect());
        }
    }
    outcome.fields = fields;
    Ok(outcome)
}
