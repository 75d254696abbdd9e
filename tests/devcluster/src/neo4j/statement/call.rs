//! `CALL …`: the procedures that an operator uses.

use super::{Statement, parser::Parser, show::Columns};
use crate::neo4j::failure::Neo4jFailure;

/// A procedure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Procedure {
    /// `dbms.cluster.cordonServer('id')`.
    CordonServer,
    /// `dbms.cluster.uncordonServer('id')`, gone in Cypher 25.
    UncordonServer,
    /// `dbms.cluster.statusCheck([databases], milliseconds)`.
    StatusCheck,
    /// `dbms.cluster.setAutomaticallyEnableFreeServers(bool)`.
    SetAutomaticallyEnable,
    /// `dbms.setDefaultAllocationNumbers(primaries, secondaries)`.
    SetDefaultAllocationNumbers,
    /// `dbms.setDefaultDatabase('name')`.
    SetDefaultDatabase,
    /// `dbms.showTopologyGraphConfig()`.
    ShowTopologyGraphConfig,
    /// `dbms.components()`.
    Components,
    /// `db.ping()`.
    Ping,
    /// `dbms.listConnections()`.
    ListConnections,
}

const PROCEDURES: [(&str, Procedure); 10] = [
    ("dbms.cluster.cordonServer", Procedure::CordonServer),
    ("dbms.cluster.uncordonServer", Procedure::UncordonServer),
    ("dbms.cluster.statusCheck", Procedure::StatusCheck),
    (
        "dbms.cluster.setAutomaticallyEnableFreeServers",
        Procedure::SetAutomaticallyEnable,
    ),
    (
        "dbms.setDefaultAllocationNumbers",
        Procedure::SetDefaultAllocationNumbers,
    ),
    ("dbms.setDefaultDatabase", Procedure::SetDefaultDatabase),
    ("dbms.showTopologyGraphConfig", Procedure::ShowTopologyGraphConfig),
    ("dbms.components", Procedure::Components),
    ("db.ping", Procedure::Ping),
    ("dbms.listConnections", Procedure::ListConnections),
];

impl Procedure {
    /// Its name.
    pub fn name(self) -> &'static str {
        let mut known = PROCEDURES.iter();
        known
            .find(|(_, procedure)| *procedure == self)
            .map_or("", |(name, _)| name)
    }

    /// Whether only an Enterprise server has it.
    pub fn is_enterprise(self) -> bool {
        !matches!(self, Self::Components | Self::Ping | Self::ListConnections)
    }

    /// Changes the cluster.
    pub fn is_administration(self) -> bool {
        !matches!(
            self,
            Self::StatusCheck | Self::ShowTopologyGraphConfig | Self::Components | Self::Ping | Self::ListConnections
        )
    }

    /// Its columns.
    pub fn columns(self) -> Columns {
        let names: &'static [&'static str] = match self {
            Self::StatusCheck => &[
                "database",
                "serverId",
                "serverName",
                "address",
                "replicationSuccessful",
                "memberStatus",
                "recognisedLeader",
                "recognisedLeaderTerm",
                "requester",
                "error",
            ],
            Self::ShowTopologyGraphConfig => &[
                "allocator",
                "defaultPrimariesCount",
                "defaultSecondariesCount",
                "defaultDatabase",
                "autoEnableFreeServers",
            ],
            Self::Components => &["name", "versions", "edition"],
            Self::Ping => &["success"],
            Self::SetDefaultDatabase => &["result"],
            Self::ListConnections => &[
                "connectionId",
                "connectTime",
                "connector",
                "username",
                "userAgent",
                "serverAddress",
                "clientAddress",
            ],
            _ => &[],
        };
        Columns {
            names,
            shown: names.len(),
        }
    }

    /// The least and most arguments.
    fn arity(self) -> (usize, usize) {
        match self {
            Self::CordonServer | Self::UncordonServer | Self::SetAutomaticallyEnable | Self::SetDefaultDatabase => {
                (1, 1)
            }
            Self::StatusCheck => (1, 2),
            Self::SetDefaultAllocationNumbers => (2, 2),
            _ => (0, 0),
        }
    }
}

impl Parser {
    pub(super) fn call(&mut self) -> Result<Statement, Neo4jFailure> {
        let name = self.dotted_name("a procedure")?;
        let arguments = if self.sign("(") { self.terms(")")? } else { Vec::new() };
        let Some((_, procedure)) = PROCEDURES.into_iter().find(|(known, _)| *known == name) else {
            return Err(Neo4jFailure::procedure_not_found(&name));
        };
        let (least, most) = procedure.arity();
        if !(least..=most).contains(&arguments.len()) {
            return Err(Neo4jFailure::syntax(format_args!(
                "Procedure call does not provide the required number of arguments: got {} expected at least {least} (total: {most})",
                arguments.len()
            )));
        }
        let filter = self.filter(procedure.columns())?;
        Ok(Statement::Call {
            procedure,
            arguments,
            filter,
        })
    }
}
