//! What Neo4j answers instead of a result: a code and a text.
//!
//! Codes marked "measured" were recorded from a real server; the others follow its documentation. Texts matter as much as codes: the
//! operator tells several refusals apart by their words (N6, N27, N50).

use std::fmt;

/// A FAILURE of Bolt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Neo4jFailure {
    /// `Neo.ClientError.Statement.SyntaxError`, …
    pub code: String,
    /// For people, and for those who must match on words.
    pub message: String,
}

/// Codes that the stand-in uses.
pub mod code {
    /// The statement cannot be parsed (measured).
    pub const SYNTAX: &str = "Neo.ClientError.Statement.SyntaxError";
    /// A parameter that the statement names was not sent.
    pub const PARAMETER_MISSING: &str = "Neo.ClientError.Statement.ParameterMissing";
    /// Arguments or state forbid it; nearly every administrative refusal.
    pub const ARGUMENT: &str = "Neo.ClientError.Statement.ArgumentError";
    /// Administration on a database other than `system` (measured).
    pub const NOT_SYSTEM: &str = "Neo.ClientError.Statement.NotSystemDatabaseError";
    /// Runtime error while producing rows, like a division by zero.
    pub const ARITHMETIC: &str = "Neo.ClientError.Statement.ArithmeticError";
    /// No such procedure (measured).
    pub const PROCEDURE_NOT_FOUND: &str = "Neo.ClientError.Procedure.ProcedureNotFound";
    /// A procedure ended with an error.
    pub const PROCEDURE_FAILED: &str = "Neo.ClientError.Procedure.ProcedureCallFailed";
    /// No such database (measured).
    pub const DATABASE_NOT_FOUND: &str = "Neo.ClientError.Database.DatabaseNotFound";
    /// The database exists already.
    pub const DATABASE_EXISTS: &str = "Neo.ClientError.Database.ExistingDatabaseFound";
    /// The database is not online here or lost its majority.
    pub const DATABASE_UNAVAILABLE: &str = "Neo.TransientError.General.DatabaseUnavailable";
    /// A write went to a server that does not lead.
    pub const NOT_A_LEADER: &str = "Neo.ClientError.Cluster.NotALeader";
    /// User or password are wrong (measured).
    pub const UNAUTHORIZED: &str = "Neo.ClientError.Security.Unauthorized";
    /// Too many wrong passwords.
    pub const RATE_LIMIT: &str = "Neo.ClientError.Security.AuthenticationRateLimit";
    /// The password must be changed first (measured).
    pub const CREDENTIALS_EXPIRED: &str = "Neo.ClientError.Security.CredentialsExpired";
    /// Not allowed.
    pub const FORBIDDEN: &str = "Neo.ClientError.Security.Forbidden";
    /// The client broke the protocol.
    pub const INVALID_REQUEST: &str = "Neo.ClientError.Request.Invalid";
    /// Bytes that are no message.
    pub const INVALID_FORMAT: &str = "Neo.ClientError.Request.InvalidFormat";
    /// Ended by RESET or a time limit.
    pub const TERMINATED: &str = "Neo.TransientError.Transaction.Terminated";
    /// Ended by `tx_timeout`.
    pub const TIMED_OUT: &str = "Neo.ClientError.Transaction.TransactionTimedOut";
}

impl Neo4jFailure {
    /// A failure with this code and text.
    pub fn new(code: &str, message: impl fmt::Display) -> Self {
        Self {
            code: code.to_owned(),
            message: message.to_string(),
        }
    }

    /// The statement cannot be parsed.
    pub fn syntax(message: impl fmt::Display) -> Self {
        Self::new(code::SYNTAX, message)
    }

    /// An administrative refusal.
    pub fn argument(message: impl fmt::Display) -> Self {
        Self::new(code::ARGUMENT, message)
    }

    /// The answer of a server that does not lead `database`.
    pub fn not_a_leader(database: &str, leader: Option<&str>) -> Self {
        let message = match leader {
            Some(leader) => {
                format!(
                    "No write operations are allowed directly on this database. Connect to the leader of '{database}' at {leader} instead."
                )
            }
            None => format!(
                "No write operations are allowed on database '{database}': its leader is unknown, there is no majority."
            ),
        };
        Self::new(code::NOT_A_LEADER, message)
    }

    /// No database of this name.
    pub fn database_not_found(name: &str) -> Self {
        Self::new(
            code::DATABASE_NOT_FOUND,
            format_args!("Graph not found: {name}. Database does not exist. Database name: '{name}'."),
        )
    }
}
