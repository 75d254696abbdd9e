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
    /// The meaning is wrong though the grammar is right, like a plain query on `system` (measured).
    pub const SEMANTIC: &str = "Neo.ClientError.Statement.SemanticError";
    /// A procedure of the cluster on a database other than `system`; `SHOW SERVERS` on a Community server (measured).
    pub const NOT_SYSTEM: &str = "Neo.ClientError.Statement.NotSystemDatabaseError";
    /// A command that the edition does not have (measured).
    pub const UNSUPPORTED: &str = "Neo.ClientError.Statement.UnsupportedAdministrationCommand";
    /// A part of a command that the edition does not have (measured).
    pub const EXECUTION_FAILED: &str = "Neo.DatabaseError.Statement.ExecutionFailed";
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
    /// The client broke the protocol (measured).
    pub const INVALID_REQUEST: &str = "Neo.ClientError.Request.Invalid";
    /// Fields that do not fit their message, or a result that is not open (measured).
    pub const INVALID_FORMAT: &str = "Neo.ClientError.Request.InvalidFormat";
    /// Ended by RESET or by somebody else (measured).
    pub const TERMINATED: &str = "Neo.ClientError.Transaction.Terminated";
    /// Ended by `tx_timeout` (measured).
    pub const TIMED_OUT: &str = "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration";
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
        Self::new(code::DATABASE_NOT_FOUND, format_args!("Graph not found: {name}"))
    }

    /// No procedure of this name.
    pub fn procedure_not_found(name: &str) -> Self {
        Self::new(
            code::PROCEDURE_NOT_FOUND,
            format_args!(
                "There is no procedure with the name `{name}` registered for this database instance. \
                 Please ensure you've spelled the procedure name correctly and that the procedure is properly deployed."
            ),
        )
    }

    /// A transaction that a RESET or its client's going has ended.
    pub fn terminated() -> Self {
        Self::new(
            code::TERMINATED,
            "The transaction has been terminated. Retry your operation in a new transaction, and you should see a \
             successful result. Explicitly terminated by the user. ",
        )
    }

    /// A transaction that took longer than its client allowed.
    pub fn timed_out() -> Self {
        Self::new(
            code::TIMED_OUT,
            "The transaction has been terminated. Retry your operation in a new transaction, and you should see a \
             successful result. The transaction has not completed within the timeout specified at its start by the \
             client. You may want to retry with a longer timeout. ",
        )
    }

    /// A session whose password must be changed first: `what` is refused.
    pub fn credentials_expired(what: &str) -> Self {
        Self::new(
            code::CREDENTIALS_EXPIRED,
            format_args!(
                "{what}\n\nThe credentials you provided were valid, but must be changed before you can use this instance."
            ),
        )
    }
}
