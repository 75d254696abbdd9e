//! What the operator needs of a Bolt driver, and no more: connect, execute, close (drop).
//!
//! The driver stands behind this trait so that it can be exchanged, and so that tests reach a modelled
//! cluster without sockets. A [`Session`] is one socket (one slot of the pool); nothing here retries, and
//! whoever implements it ends every call within the budget it was given. Dropping a session closes it, and
//! dropping a running call leaves the session in an unknown state: the pool then drops it too.

use std::{
    borrow::Cow,
    fmt,
    hash::Hash,
    sync::{Arc, LazyLock},
    time::Duration,
};

use futures::future::BoxFuture;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use sha2::{Digest, Sha256};

use super::{
    error::{BoltError, ErrorKind},
    statements::Operation,
};
use crate::reconcile::manifest::hex;

/// Opens sessions.
pub trait Driver: Send + Sync {
    /// Opens one connection. It may be lazy about the login: a refused password is then the error of the
    /// first statement.
    fn connect<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        credentials: &'a Credentials,
    ) -> BoxFuture<'a, Result<Box<dyn Session>, BoltError>>;
}

/// One connection to one server.
pub trait Session: Send {
    /// Runs one auto-commit statement to its end. Cancelling leaves the session unusable.
    fn execute<'a>(&'a mut self, database: &'a str, statement: &'a Statement)
    -> BoxFuture<'a, Result<Rows, BoltError>>;
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Host name or address; never one that a spec named.
    pub host: Arc<str>,
    /// Bolt port.
    pub port: u16,
    /// What its certificate is checked against; plaintext without it.
    pub tls: Option<TlsTrust>,
}

/// The certificates that are trusted, as PEM. Never empty trust: an unusable text is an error of `connect`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TlsTrust {
    /// One or more certificates.
    pub ca_pem: Arc<str>,
}

impl fmt::Debug for TlsTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsTrust({} bytes)", self.ca_pem.len())
    }
}

impl TlsTrust {
    /// The certificates. None at all is an error: it would be trust in nobody that looks like an outage.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, BoltError> {
        let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.ca_pem.as_bytes()).collect();
        match parsed {
            Ok(certificates) if certificates.is_empty() => Err(BoltError::new(
                ErrorKind::Tls,
                "the trusted certificates hold no certificate",
            )),
            Ok(certificates) => Ok(certificates),
            Err(error) => Err(BoltError::new(
                ErrorKind::Tls,
                format!("the trusted certificates are not PEM: {error}"),
            )),
        }
    }

    /// Whether it can be used at all.
    pub fn check(&self) -> Result<(), BoltError> {
        self.certificates().map(drop)
    }
}

/// A login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub user: Arc<str>,
    /// Password.
    pub password: Password,
    /// The same for the same password and another for another; says nothing outside this process.
    pub version: Arc<str>,
}

impl Credentials {
    /// A login whose version is a digest of the password under a key that only this process has: rewriting a
    /// Secret with the password that it had changes nothing, and the version gives nothing away.
    pub fn new(user: &str, password: &str) -> Self {
        static KEY: LazyLock<[u8; 32]> = LazyLock::new(|| {
            let mut key = [0; 32];
            key[..16].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
            key[16..].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
            key
        });
        let mut digest = Sha256::new();
        digest.update(*KEY);
        digest.update(user.len().to_le_bytes());
        digest.update(user);
        digest.update(password);
        Self {
            user: user.into(),
            password: Password::new(password),
            version: hex(&digest.finalize()[..8]).into(),
        }
    }
}

/// A password that no log can show.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Arc<str>);

impl Password {
    /// Wraps it.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text; for the wire alone.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// One statement with its limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// Cypher; made by the one table in `statements` alone.
    pub text: Cow<'static, str>,
    /// Parameters.
    pub params: Vec<(&'static str, Value)>,
    /// What it is for; a metric label, and `op` in the transaction metadata.
    pub op: Operation,
    /// The longest it may take; the server is told slightly less.
    pub budget: Duration,
    /// The reconcile that sends it; `reconcile_id` in the transaction metadata.
    pub reconcile_id: Arc<str>,
}

/// What the client gives the server less than itself, so that the server stops first.
const SERVER_MARGIN: Duration = Duration::from_millis(200);

impl Statement {
    /// The transaction timeout to send.
    pub fn server_timeout(&self) -> Duration {
        self.budget
            .checked_sub(SERVER_MARGIN)
            .unwrap_or(self.budget / 2)
            .max(Duration::from_millis(1))
    }
}

/// A value as statements take and answer it. Temporal and graph values are never asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Null.
    Null,
    /// Boolean.
    Bool(bool),
    /// Integer.
    Int(i64),
    /// Floating point.
    Float(f64),
    /// String.
    Text(String),
    /// List.
    List(Vec<Value>),
    /// Map, in no particular order.
    Map(Vec<(String, Value)>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

/// The rows of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows(pub Vec<Row>);

/// One row: values by column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row(pub Vec<(String, Value)>);

impl Row {
    /// The value of a column, `None` where the server sent no such column.
    pub fn get(&self, column: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| name == column).map(|(_, value)| value)
    }

    fn unlike(&self, column: &str, wanted: &str) -> BoltError {
        let found = match self.get(column) {
            None => "no such column",
            Some(Value::Null) => "null",
            Some(Value::Bool(_)) => "a boolean",
            Some(Value::Int(_)) => "an integer",
            Some(Value::Float(_)) => "a float",
            Some(Value::Text(_)) => "a string",
            Some(Value::List(_)) => "a list",
            Some(Value::Map(_)) => "a map",
        };
        BoltError::new(
            ErrorKind::Decode,
            format!("column {column:?}: expected {wanted}, got {found}"),
        )
    }

    /// A string that may be null.
    pub fn text(&self, column: &str) -> Result<Option<&str>, BoltError> {
        match self.get(column) {
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.unlike(column, "a string")),
        }
    }

    /// A string that must be there.
    pub fn required(&self, column: &str) -> Result<&str, BoltError> {
        self.text(column)?.ok_or_else(|| self.unlike(column, "a string"))
    }

    /// An integer that may be null.
    pub fn int(&self, column: &str) -> Result<Option<i64>, BoltError> {
        match self.get(column) {
            Some(Value::Int(number)) => Ok(Some(*number)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.unlike(column, "an integer")),
        }
    }

    /// A boolean; null is false.
    pub fn bool(&self, column: &str) -> Result<bool, BoltError> {
        match self.get(column) {
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::Null) => Ok(false),
            _ => Err(self.unlike(column, "a boolean")),
        }
    }

    /// A list of strings; null is empty.
    pub fn texts(&self, column: &str) -> Result<Vec<String>, BoltError> {
        match self.get(column) {
            Some(Value::Null) => Ok(Vec::new()),
            Some(Value::List(items)) => items
                .iter()
                .map(|item| match item {
                    Value::Text(text) => Ok(text.clone()),
                    _ => Err(self.unlike(column, "a list of strings")),
                })
                .collect(),
            _ => Err(self.unlike(column, "a list of strings")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_never_shows_in_debug_output() {
        let credentials = Credentials::new("neo4j", "canary-password");
        assert!(!format!("{credentials:?}").contains("canary"));
        assert_eq!(credentials, Credentials::new("neo4j", "canary-password"));
        assert_ne!(
            credentials.version,
            Credentials::new("neo4j", "canary-passwore").version
        );
    }

    #[test]
    fn a_column_of_another_type_is_an_error_that_names_it() {
        let row = Row(vec![("health".into(), Value::Int(3)), ("address".into(), Value::Null)]);
        assert_eq!(row.text("address").unwrap(), None);
        let error = row.text("health").unwrap_err();
        assert_eq!(error.message, "column \"health\": expected a string, got an integer");
        assert!(row.required("address").is_err());
        assert!(row.required("name").unwrap_err().message.contains("no such column"));
    }
}
