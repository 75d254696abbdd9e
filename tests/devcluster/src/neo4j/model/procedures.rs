//! The procedures that an operator calls.

use super::{
    Cluster, Database, Server,
    execute::done,
    placement::Mode,
    show::{filtered, row},
};
use crate::neo4j::{
    bolt::session::{Outcome, Run},
    failure::{Neo4jFailure, code},
    statement::{Filter, Procedure, Term},
    value::{Value, ValueMap},
};

impl Cluster {
    pub(super) fn call(
        &mut self,
        at: &str,
        procedure: Procedure,
        arguments: &[Term],
        filter: &Filter,
        run: &Run,
    ) -> Result<Outcome, Neo4jFailure> {
        let argument = |n: usize| {
            arguments
                .get(n)
                .map_or(Ok(Value::Null), |term| term.value(&run.parameters))
        };
        let text = |n: usize| match argument(n)? {
            Value::String(text) => Ok(text),
            other => Err(wrong(n, "STRING", &other)),
        };
        let rows = match procedure {
            Procedure::CordonServer | Procedure::UncordonServer => {
                self.cordon_server(&text(0)?, procedure == Procedure::CordonServer)?;
                return Ok(done());
            }
            Procedure::SetAutomaticallyEnable => {
                let value = argument(0)?;
                self.enable_free_servers = value.as_bool().ok_or_else(|| wrong(0, "BOOLEAN", &value))?;
                return Ok(done());
            }
            Procedure::SetDefaultAllocationNumbers => {
                self.set_default_topology(&argument(0)?, &argument(1)?)?;
                return Ok(done());
            }
            Procedure::SetDefaultDatabase => {
                let name = text(0)?.to_lowercase();
                if !self.databases.contains_key(&name) {
                    return Err(Neo4jFailure::new(
                        code::PROCEDURE_FAILED,
                        format_args!("Failed to set the default database: '{name}' does not exist."),
                    ));
                }
                let result = format!("Default database set to {name}");
                self.default_database = name;
                vec![row([("result", result.into())])]
            }
            Procedure::StatusCheck => self.status_rows(at, &argument(0)?)?,
            Procedure::ShowTopologyGraphConfig => vec![row([
                ("allocator", "EQUAL_NUMBERS".into()),
                ("defaultPrimariesCount", Value::Int(i64::from(self.default_topology.0))),
                (
                    "defaultSecondariesCount",
                    Value::Int(i64::from(self.default_topology.1)),
                ),
                ("defaultDatabase", self.default_database.as_str().into()),
                ("autoEnableFreeServers", self.enable_free_servers.into()),
            ])],
            Procedure::Components => {
                let version = self.servers.get(at).map_or("", |server| server.boot.version.as_str());
                // A known oddity of the first calendar version (N45).
                let version = if version.starts_with("2025.01") {
                    "5.27.0"
                } else {
                    version
                };
                vec![row([
                    ("name", "Neo4j Kernel".into()),
                    ("versions", Value::strings([version])),
                    ("edition", self.edition.as_str().into()),
                ])]
            }
            Procedure::Ping => vec![row([("success", true.into())])],
            Procedure::ListConnections => self.connection_rows(at),
        };
        filtered(rows, filter, procedure.columns(), &run.parameters)
    }

    fn set_default_topology(&mut self, primaries: &Value, secondaries: &Value) -> Result<(), Neo4jFailure> {
        let (Some(p @ 1..=11), Some(s @ 0..=20)) = (primaries.as_int(), secondaries.as_int()) else {
            return Err(Neo4jFailure::new(
                code::PROCEDURE_FAILED,
                "The default allocation numbers must be 1 to 11 primaries and 0 to 20 secondaries.",
            ));
        };
        self.default_topology = (p as u32, s as u32);
        Ok(())
    }

    /// One row per primary of each database: whether a write from the asked server would be replicated now.
    fn status_rows(&self, at: &str, names: &Value) -> Result<Vec<ValueMap>, Neo4jFailure> {
        let Value::List(names) = names else {
            return Err(wrong(0, "LIST<STRING>", names));
        };
        let all: Vec<String> = if names.is_empty() {
            let many = |database: &Database| database.requested.is_none_or(|(primaries, _)| primaries > 1);
            let clustered = self.databases.iter().filter(|(_, database)| many(database));
            clustered.map(|(name, _)| name.clone()).collect()
        } else {
            names.iter().filter_map(Value::as_str).map(str::to_lowercase).collect()
        };
        let mut rows = Vec::new();
        for name in all {
            match self.databases.get(&name) {
                None => rows.push(refused_row(&name, "The database does not exist on this server.")),
                Some(database) if database.requested.is_some_and(|(primaries, _)| primaries == 1) => {
                    rows.push(refused_row(
                        &name,
                        "The database is not clustered: it has a single primary.",
                    ));
                }
                Some(database) => self.member_rows(at, &name, database, &mut rows),
            }
        }
        Ok(rows)
    }

    fn member_rows(&self, at: &str, name: &str, database: &Database, rows: &mut Vec<ValueMap>) {
        // One verdict for all rows: it is that of the server that was asked.
        let asked = database.copies.get(at).is_some_and(|copy| self.is_online(at, copy));
        let replicates = asked && self.has_majority(name) && database.leader.is_some();
        for (id, copy) in database.copies.iter().filter(|(_, copy)| copy.mode == Mode::Primary) {
            let Some(server) = self.servers.get(id) else { continue };
            let online = self.is_online(id, copy);
            let term = Value::Int(database.term as i64);
            rows.push(row([
                ("database", name.into()),
                ("serverId", id.as_str().into()),
                ("serverName", server.name.as_str().into()),
                ("address", server.bolt_address().into()),
                ("replicationSuccessful", replicates.into()),
                ("memberStatus", if online { "APPLYING" } else { "UNAVAILABLE" }.into()),
                ("recognisedLeader", database.leader.clone().filter(|_| online).into()),
                ("recognisedLeaderTerm", if online { term } else { Value::Null }),
                ("requester", (id == at).into()),
                ("error", Value::Null),
            ]));
        }
    }
}

fn refused_row(name: &str, error: &str) -> ValueMap {
    row([
        ("database", name.into()),
        ("replicationSuccessful", false.into()),
        ("error", error.into()),
    ])
}

fn wrong(n: usize, kind: &str, got: &Value) -> Neo4jFailure {
    Neo4jFailure::new(
        "Neo.ClientError.Procedure.ProcedureCallFailed",
        format_args!("Argument {} must be {kind}, got {got:?}", n + 1),
    )
}

impl Cluster {
    /// What ROUTE answers: writers, readers and routers of a database.
    pub fn routing_table(&self, database: Option<&str>) -> Result<Value, Neo4jFailure> {
        let name = database.unwrap_or(&self.default_database).to_lowercase();
        let found = self
            .databases
            .get(&name)
            .ok_or_else(|| Neo4jFailure::database_not_found(&name))?;
        let address = |id: &String| self.servers.get(id).map(Server::bolt_address);
        let online = found.copies.iter().filter(|(id, copy)| self.is_online(id, copy));
        let readers = online
            .filter(|(id, _)| found.leader.as_ref() != Some(*id))
            .filter_map(|(id, _)| address(id));
        let routers = self
            .servers
            .values()
            .filter(|server| server.serving)
            .map(Server::bolt_address);
        let writers = found.leader.iter().filter_map(address);
        let entry = |role: &str, addresses: Vec<String>| {
            Value::Map(row([("role", role.into()), ("addresses", Value::strings(addresses))]))
        };
        let servers = vec![
            entry("WRITE", writers.collect()),
            entry("READ", readers.collect()),
            entry("ROUTE", routers.collect()),
        ];
        Ok(Value::Map(row([
            ("ttl", Value::Int(300)),
            ("db", name.as_str().into()),
            ("servers", Value::List(servers)),
        ])))
    }
}
