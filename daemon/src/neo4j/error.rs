//! What can go wrong between the operator and Neo4j, sorted by one table of the server's code strings.
//!
//! The class that the driver gives an error is not used: it retries or hides what the operator must see.
//! Login failures reach us as text without a code, so they are sorted by text, and an unknown text is
//! *suspected* to be a refused password: that costs one cautious wait, the other mistake locks people out.

use std::{fmt, time::Duration};

use crate::reconcile::{ErrorType, Failure};

/// What kind of error it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No connection, or it broke.
    Connect,
    /// The host's name does not exist; with pod addresses: there is no such pod.
    HostNotFound,
    /// The TLS handshake failed, or the trusted certificates are unusable.
    Tls,
    /// The peer does not speak a version of Bolt that we speak, or breaks the protocol.
    Protocol,
    /// The password is refused.
    Auth,
    /// The login failed for a reason that is not certain, or the user is locked for a while.
    AuthSuspected,
    /// The password has to be changed before anything else.
    CredentialsExpired,
    /// Another server leads the database.
    NotLeader,
    /// Will go away by itself.
    Transient,
    /// The object exists already.
    AlreadyExists,
    /// There is no such database.
    DatabaseNotFound,
    /// The server is not the Enterprise edition.
    UnsupportedEdition,
    /// The statement is refused for any other reason.
    Client,
    /// A fault inside the server.
    Database,
    /// The budget is spent.
    Timeout,
    /// No slot became free in time.
    PoolExhausted,
    /// The endpoint failed a moment ago and is left alone for a while.
    CircuitOpen,
    /// These credentials were refused a moment ago and are not tried again yet.
    CredentialsHeld,
    /// The answer is not what was asked for, or too large.
    Decode,
    /// The cluster has no server that could be asked.
    NoServer,
    /// The request is wrong before it is sent.
    Invalid,
}

/// The code of a transaction that somebody else ended, or the server as it shut down.
const TERMINATED: &str = "Neo.ClientError.Transaction.Terminated";

/// An error of the driver, the pool or an admin command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct BoltError {
    /// What kind.
    pub kind: ErrorKind,
    /// The server's code, where it sent one.
    pub code: Option<String>,
    /// One sentence; never a password.
    pub message: String,
    /// The pod or host that was asked.
    pub server: Option<String>,
    /// When trying again can help at the earliest.
    pub retry_after: Option<Duration>,
    /// A statement was sent and no answer to it came: it may have had its effect.
    pub outcome_unknown: bool,
}

impl fmt::Display for BoltError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(server) = &self.server {
            write!(f, "{server}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(code) = &self.code {
            write!(f, " ({code})")?;
        }
        Ok(())
    }
}

impl BoltError {
    /// An error without a code.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            code: None,
            message: message.into(),
            server: None,
            retry_after: None,
            outcome_unknown: false,
        }
    }

    /// A FAILURE of the server.
    pub fn from_code(code: &str, message: &str) -> Self {
        Self {
            code: Some(code.to_owned()),
            ..Self::new(classify(code, message), message)
        }
    }

    /// A failed login, of which only the text is known.
    pub fn from_login(message: &str) -> Self {
        Self::new(classify_login(message), message)
    }

    /// The same error, with the server that was asked.
    #[must_use]
    pub fn at(mut self, server: &str) -> Self {
        self.server.get_or_insert_with(|| server.to_owned());
        self
    }

    /// The same error, after which a statement that was sent may have had its effect.
    #[must_use]
    pub fn after_send(mut self) -> Self {
        // A transaction that was ended from outside may have ended after its effect.
        let terminated = self.code.as_deref() == Some(TERMINATED);
        self.outcome_unknown = terminated
            || matches!(
                self.kind,
                ErrorKind::Connect | ErrorKind::Timeout | ErrorKind::Protocol | ErrorKind::Decode
            );
        self
    }

    /// The category for metrics.
    pub const fn category(&self) -> ErrorType {
        match self.kind {
            ErrorKind::Connect
            | ErrorKind::HostNotFound
            | ErrorKind::Tls
            | ErrorKind::Protocol
            | ErrorKind::NoServer => ErrorType::BoltConnect,
            ErrorKind::Auth | ErrorKind::AuthSuspected | ErrorKind::CredentialsExpired | ErrorKind::CredentialsHeld => {
                ErrorType::BoltAuth
            }
            ErrorKind::Timeout | ErrorKind::PoolExhausted => ErrorType::Timeout,
            ErrorKind::CircuitOpen => ErrorType::BreakerOpen,
            ErrorKind::UnsupportedEdition | ErrorKind::Invalid => ErrorType::Validation,
            ErrorKind::NotLeader
            | ErrorKind::Transient
            | ErrorKind::AlreadyExists
            | ErrorKind::DatabaseNotFound
            | ErrorKind::Client
            | ErrorKind::Database
            | ErrorKind::Decode => ErrorType::BoltQuery,
        }
    }

    /// Whether it goes away without anybody doing anything: the reconcile waits and says nothing of failure.
    pub const fn is_transient(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Connect
                | ErrorKind::NotLeader
                | ErrorKind::Transient
                | ErrorKind::Timeout
                | ErrorKind::PoolExhausted
                | ErrorKind::CircuitOpen
                | ErrorKind::NoServer
        )
    }

    /// Whether another server can answer what this one could not.
    pub const fn another_server_may_answer(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Connect
                | ErrorKind::HostNotFound
                | ErrorKind::Tls
                | ErrorKind::Protocol
                | ErrorKind::NotLeader
                | ErrorKind::Transient
                | ErrorKind::Database
                | ErrorKind::Timeout
                | ErrorKind::PoolExhausted
                | ErrorKind::CircuitOpen
        )
    }

    /// Whether it speaks against the endpoint itself.
    pub const fn counts_against_endpoint(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Connect
                | ErrorKind::HostNotFound
                | ErrorKind::Tls
                | ErrorKind::Protocol
                | ErrorKind::Timeout
                | ErrorKind::Database
        )
    }
}

impl From<BoltError> for Failure {
    fn from(error: BoltError) -> Self {
        let failure = Self::new(error.category(), error.to_string());
        match error.retry_after {
            Some(delay) => failure.after(delay),
            None => failure,
        }
    }
}

/// Texts of errors that pass by themselves although their code says otherwise.
const PASSING: [&str; 4] = [
    "unable to reallocate",
    "required topology",
    "unable to retrieve routing table",
    "server is shutting down",
];

/// The table. First match wins; a code ends with the entry or goes on after a dot.
const CODES: &[(&str, ErrorKind)] = &[
    ("Neo.ClientError.Security.Unauthorized", ErrorKind::Auth),
    (
        "Neo.ClientError.Security.AuthenticationRateLimit",
        ErrorKind::AuthSuspected,
    ),
    (
        "Neo.ClientError.Security.CredentialsExpired",
        ErrorKind::CredentialsExpired,
    ),
    ("Neo.ClientError.Security.AuthorizationExpired", ErrorKind::Transient),
    ("Neo.ClientError.Security.TokenExpired", ErrorKind::Transient),
    ("Neo.ClientError.Cluster.NotALeader", ErrorKind::NotLeader),
    (
        "Neo.ClientError.General.ForbiddenOnReadOnlyDatabase",
        ErrorKind::NotLeader,
    ),
    (
        "Neo.ClientError.Statement.UnsupportedAdministrationCommand",
        ErrorKind::UnsupportedEdition,
    ),
    (
        "Neo.ClientError.Database.ExistingDatabaseFound",
        ErrorKind::AlreadyExists,
    ),
    ("Neo.ClientError.Database.DatabaseNotFound", ErrorKind::DatabaseNotFound),
    ("Neo.ClientError.Transaction.TransactionTimedOut", ErrorKind::Timeout),
    (
        "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration",
        ErrorKind::Timeout,
    ),
    // Somebody else ended it, or the server as it shut down.
    (TERMINATED, ErrorKind::Transient),
    ("Neo.TransientError", ErrorKind::Transient),
    ("Neo.ClientError", ErrorKind::Client),
    ("Neo.DatabaseError", ErrorKind::Database),
];

fn classify(code: &str, message: &str) -> ErrorKind {
    let text = message.to_lowercase();
    if text.contains("unsupported administration command") || text.contains("not available in community edition") {
        return ErrorKind::UnsupportedEdition;
    }
    if PASSING.iter().any(|passing| text.contains(passing)) || code.contains("TransactionExecutionLimit") {
        return ErrorKind::Transient;
    }
    CODES
        .iter()
        .find(|(prefix, _)| {
            code.strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
        .map_or(ErrorKind::Protocol, |(_, kind)| *kind)
}

fn classify_login(message: &str) -> ErrorKind {
    let text = message.to_lowercase();
    if text.contains("unauthorized") {
        return ErrorKind::Auth;
    }
    let passing = ["unavailable", "not available", "shutting down", "no leader", "quorum"];
    if passing.iter().any(|word| text.contains(word)) {
        return ErrorKind::Transient;
    }
    ErrorKind::AuthSuspected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_by_the_table() {
        let cases = [
            ("Neo.ClientError.Security.Unauthorized", "no", ErrorKind::Auth),
            ("Neo.ClientError.Cluster.NotALeader", "no", ErrorKind::NotLeader),
            (
                "Neo.ClientError.General.ForbiddenOnReadOnlyDatabase",
                "",
                ErrorKind::NotLeader,
            ),
            (
                "Neo.TransientError.General.DatabaseUnavailable",
                "",
                ErrorKind::Transient,
            ),
            (
                "Neo.ClientError.Statement.ArgumentError",
                "Unable to reallocate databases",
                ErrorKind::Transient,
            ),
            (
                "Neo.ClientError.Statement.NotSystemDatabaseError",
                "Unsupported administration command: SHOW SERVERS",
                ErrorKind::UnsupportedEdition,
            ),
            (
                "Neo.DatabaseError.Statement.ExecutionFailed",
                "x is not available in community edition",
                ErrorKind::UnsupportedEdition,
            ),
            (
                "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration",
                "",
                ErrorKind::Timeout,
            ),
            ("Neo.ClientError.Transaction.Terminated", "", ErrorKind::Transient),
            ("Neo.ClientError.Statement.SyntaxError", "", ErrorKind::Client),
            ("Neo.DatabaseError.General.UnknownError", "", ErrorKind::Database),
            ("Neo.ClientErrors.Strange", "", ErrorKind::Protocol),
            ("", "", ErrorKind::Protocol),
        ];
        for (code, message, kind) in cases {
            assert_eq!(classify(code, message), kind, "{code} {message}");
        }
    }

    #[test]
    fn an_unknown_login_failure_is_suspected_to_be_a_refused_password() {
        let cases = [
            (
                "The client is unauthorized due to authentication failure.",
                ErrorKind::Auth,
            ),
            (
                "The client has provided incorrect authentication details too many times in a row.",
                ErrorKind::AuthSuspected,
            ),
            ("The database is unavailable", ErrorKind::Transient),
            ("something new", ErrorKind::AuthSuspected),
        ];
        for (message, kind) in cases {
            assert_eq!(BoltError::from_login(message).kind, kind, "{message}");
        }
    }

    #[test]
    fn only_an_unanswered_statement_leaves_its_outcome_unknown() {
        assert!(BoltError::new(ErrorKind::Timeout, "").after_send().outcome_unknown);
        assert!(BoltError::from_code(TERMINATED, "").after_send().outcome_unknown);
        assert!(
            !BoltError::from_code("Neo.ClientError.Cluster.NotALeader", "")
                .after_send()
                .outcome_unknown
        );
    }
}
