//! What a Community server refuses, each as it was measured (neo4j.md §5).
//!
//! It reads every command of the Enterprise edition before it refuses it, so a mistake in the grammar is told first.

use super::Cluster;
use crate::neo4j::{
    failure::{Neo4jFailure, code},
    statement::{ShowWhat, Statement, UserChange},
    value::ValueMap,
};

/// The edition of a cluster's servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Edition {
    /// Clusters, many databases, roles.
    #[default]
    Enterprise,
    /// One database on one server.
    Community,
}

impl Edition {
    /// As `dbms.components()` writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enterprise => "enterprise",
            Self::Community => "community",
        }
    }
}

impl Cluster {
    pub(super) fn is_community(&self) -> bool {
        self.edition == Edition::Community
    }

    /// Refuses what the edition does not have.
    pub(super) fn check_edition(
        &self,
        statement: &Statement,
        query: &str,
        parameters: &ValueMap,
    ) -> Result<(), Neo4jFailure> {
        if !self.is_community() {
            return Ok(());
        }
        match statement {
            Statement::Show(table) if table.what == ShowWhat::Servers => {
                Err(Neo4jFailure::new(code::NOT_SYSTEM, unsupported(query)))
            }
            Statement::Call { procedure, .. } if procedure.is_enterprise() => {
                Err(Neo4jFailure::procedure_not_found(procedure.name()))
            }
            Statement::CreateUser { name, change, .. } => change.check(&name.text(parameters)?, "create"),
            Statement::AlterUser {
                name,
                if_exists,
                change,
            } => {
                let name = name.text(parameters)?;
                if *if_exists && !self.users.contains_key(&name) {
                    return Ok(());
                }
                change.check(&name, "alter")
            }
            Statement::Return(_)
            | Statement::Count { .. }
            | Statement::Quotients(_)
            | Statement::Show(_)
            | Statement::Call { .. }
            | Statement::ChangeOwnPassword { .. }
            | Statement::DropUser { .. } => Ok(()),
            _ => Err(Neo4jFailure::new(code::UNSUPPORTED, unsupported(query))),
        }
    }
}

fn unsupported(query: &str) -> String {
    format!("Unsupported administration command: {query}")
}

impl UserChange {
    /// Refuses what a user of the Community edition does not have.
    fn check(&self, user: &str, verb: &str) -> Result<(), Neo4jFailure> {
        let part = if self.suspended.is_some() {
            "SET STATUS"
        } else if self.home.is_some() {
            "HOME DATABASE"
        } else {
            return Ok(());
        };
        Err(Neo4jFailure::new(
            code::EXECUTION_FAILED,
            format_args!(
                "Failed to {verb} the specified user '{user}': '{part}' is not available in community edition."
            ),
        ))
    }
}
