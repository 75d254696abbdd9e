//! Statements that the stand-in understands: those an operator sends, and nothing else.
//!
//! Whatever the grammar does not hold is a syntax error at RUN, as it would be on a server of another version: drift shows. Names of
//! columns are checked here too, parameters when the statement runs.

mod admin;
mod call;
mod parser;
mod show;
pub mod token;

use std::collections::BTreeMap;

pub use admin::{Access, DatabaseOptions, Home, ServerOptions, Topology, UserChange, Wait};
pub use call::Procedure;
pub use show::{Columns, Comparison, DatabaseChoice, Filter, ShowWhat, Table, Yield};

use super::{
    failure::{Neo4jFailure, code},
    value::{Value, ValueMap},
};

/// A literal or a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Term {
    /// As written.
    Literal(Value),
    /// Sent beside the statement.
    Parameter(String),
    /// A list with terms in it.
    List(Vec<Term>),
    /// A map with terms in it.
    Map(BTreeMap<String, Term>),
}

impl Term {
    /// The value, with parameters filled in.
    pub fn value(&self, parameters: &ValueMap) -> Result<Value, Neo4jFailure> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Parameter(name) => parameters.get(name).cloned().ok_or_else(|| {
                Neo4jFailure::new(code::PARAMETER_MISSING, format_args!("Expected parameter(s): {name}"))
            }),
            Self::List(items) => items
                .iter()
                .map(|item| item.value(parameters))
                .collect::<Result<_, _>>()
                .map(Value::List),
            Self::Map(entries) => entries
                .iter()
                .map(|(key, term)| Ok((key.clone(), term.value(parameters)?)))
                .collect::<Result<_, _>>()
                .map(Value::Map),
        }
    }

    /// The value where text is asked for.
    pub fn text(&self, parameters: &ValueMap) -> Result<String, Neo4jFailure> {
        match self.value(parameters)? {
            Value::String(text) => Ok(text),
            other => Err(Neo4jFailure::argument(format_args!("Expected a string, got {other:?}"))),
        }
    }

    /// The value where a count is asked for.
    pub fn count(&self, parameters: &ValueMap) -> Result<u32, Neo4jFailure> {
        match self.value(parameters)? {
            Value::Int(n) if n >= 0 => u32::try_from(n).map_err(|_| Neo4jFailure::argument("number too large")),
            other => Err(Neo4jFailure::argument(format_args!(
                "Expected a non-negative integer, got {other:?}"
            ))),
        }
    }
}

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// `RETURN 1 AS n`.
    Return(Vec<(String, Term)>),
    /// `UNWIND range(1, x) AS a UNWIND range(1, y) AS b RETURN count(*) AS n`: takes as long as it has rows.
    Count {
        /// The column.
        name: String,
        /// How many rows it counts.
        rows: u64,
    },
    /// `UNWIND [..] AS i RETURN 1/i`: fails at PULL where an item is zero.
    Quotients(Term),
    /// `SHOW …`.
    Show(Table),
    /// `CALL procedure(…)`.
    Call {
        /// Which.
        procedure: Procedure,
        /// With what.
        arguments: Vec<Term>,
        /// Columns and rows wanted.
        filter: Filter,
    },
    /// `ENABLE SERVER`.
    EnableServer(Term, Option<ServerOptions>),
    /// `ALTER SERVER … SET OPTIONS`.
    AlterServer(Term, ServerOptions),
    /// `RENAME SERVER … TO …`.
    RenameServer(Term, Term),
    /// `DROP SERVER`.
    DropServer(Term),
    /// `[DRYRUN] DEALLOCATE DATABASES FROM SERVERS …`.
    Deallocate {
        /// Only say what would move.
        dryrun: bool,
        /// From where.
        servers: Vec<Term>,
    },
    /// `[DRYRUN] REALLOCATE DATABASES`.
    Reallocate {
        /// Only say what would move.
        dryrun: bool,
    },
    /// `CREATE DATABASE`.
    CreateDatabase {
        /// Its name.
        name: Term,
        /// Nothing happens where it exists.
        if_not_exists: bool,
        /// Copies wanted.
        topology: Option<Topology>,
        /// `OPTIONS {…}`.
        options: DatabaseOptions,
        /// `DEFAULT LANGUAGE CYPHER 25`.
        language: Option<i64>,
        /// Waits for it.
        wait: Wait,
    },
    /// `ALTER DATABASE`.
    AlterDatabase {
        /// Its name.
        name: Term,
        /// Nothing happens where it does not exist.
        if_exists: bool,
        /// Copies wanted.
        topology: Option<Topology>,
        /// Access wanted.
        access: Option<Access>,
        /// Waits for it.
        wait: Wait,
    },
    /// `DROP DATABASE`.
    DropDatabase {
        /// Its name.
        name: Term,
        /// Nothing happens where it does not exist.
        if_exists: bool,
        /// Waits for it.
        wait: Wait,
    },
    /// `START DATABASE` (true) or `STOP DATABASE`.
    RunDatabase(Term, bool, Wait),
    /// `CREATE USER`.
    CreateUser {
        /// Its name.
        name: Term,
        /// Nothing happens where it exists.
        if_not_exists: bool,
        /// What is set.
        change: UserChange,
    },
    /// `ALTER USER`.
    AlterUser {
        /// Its name.
        name: Term,
        /// Nothing happens where it does not exist.
        if_exists: bool,
        /// What is set.
        change: UserChange,
    },
    /// `ALTER CURRENT USER SET PASSWORD FROM … TO …`.
    ChangeOwnPassword {
        /// The present one.
        from: Term,
        /// The next one.
        to: Term,
    },
    /// `DROP USER`.
    DropUser {
        /// Its name.
        name: Term,
        /// Nothing happens where it does not exist.
        if_exists: bool,
    },
}

impl Statement {
    /// Reads a statement.
    pub fn parse(text: &str) -> Result<Self, Neo4jFailure> {
        parser::parse(text)
    }

    /// Changes the cluster: only the leader of `system` takes it.
    pub fn is_administration(&self) -> bool {
        match self {
            Self::Return(_) | Self::Count { .. } | Self::Quotients(_) | Self::Show(_) => false,
            Self::Deallocate { dryrun, .. } | Self::Reallocate { dryrun } => !dryrun,
            Self::Call { procedure, .. } => procedure.is_administration(),
            _ => true,
        }
    }

    /// A plain query: runs on any database but `system`.
    pub fn is_query(&self) -> bool {
        matches!(self, Self::Return(_) | Self::Count { .. } | Self::Quotients(_))
    }

    /// Runs on the database `system` only. Commands do not: as measured, a server takes them on any database.
    pub fn needs_system(&self) -> bool {
        matches!(self, Self::Call { procedure, .. } if procedure.is_administration())
    }
}

#[cfg(test)]
mod tests;
