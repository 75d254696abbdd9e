//! The driver over neo4rs, used so that its known faults cannot hurt.
//!
//! One [`Graph`] with one connection is one session; it is never cloned, so dropping it closes the socket.
//! Statements go through `execute_on` and are read to their end, never through `run`, which repeats failed
//! statements. neo4rs has no deadline on TLS and on the version handshake and cannot tell dialling from
//! running, so [`preflight`] makes the way once itself, under the pool's deadline, and sorts what it meets:
//! no such host, refused, bad certificate, no common version. PEM is parsed here, because neo4rs takes a text
//! without a single certificate for an empty trust. A malformed answer can make neo4rs panic; that is caught
//! and costs the connection.

use std::{io, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use neo4rs::{BoltList, BoltMap, BoltNull, BoltType, ConfigBuilder, Error, Graph, Query};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    driver::{Credentials, Driver, Endpoint, Row, Rows, Session, Statement, Value},
    error::{BoltError, ErrorKind},
};

/// Rows asked for at a time.
const FETCH_SIZE: usize = 500;
/// The most rows of one answer.
const MAX_ROWS: usize = 10_000;
/// The most bytes of strings in one answer.
const MAX_BYTES: usize = 16 << 20;
/// What neo4rs waits for one message. Our own deadlines are shorter; this one ends what they miss.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(20);
/// Magic and the versions that neo4rs offers: 4.4, 4.3, 4.1, 4.0.
const HANDSHAKE: [u8; 20] = [0x60, 0x60, 0xb0, 0x17, 0, 0, 4, 4, 0, 0, 3, 4, 0, 0, 1, 4, 0, 0, 0, 4];

/// Opens sessions with neo4rs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Neo4rsDriver;

struct Neo4rsSession {
    graph: Graph,
    /// Whether a login was seen to succeed.
    logged_in: bool,
}

// === impl Neo4rsDriver ===

impl Driver for Neo4rsDriver {
    fn connect<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        credentials: &'a Credentials,
    ) -> BoxFuture<'a, Result<Box<dyn Session>, BoltError>> {
        Box::pin(async move {
            preflight(endpoint).await?;
            let graph = graph(endpoint, credentials)?;
            let session: Box<dyn Session> = Box::new(Neo4rsSession {
                graph,
                logged_in: false,
            });
            Ok(session)
        })
    }
}

fn graph(endpoint: &Endpoint, credentials: &Credentials) -> Result<Graph, BoltError> {
    let scheme = if endpoint.tls.is_some() { "bolt+s" } else { "bolt" };
    let host = if endpoint.host.contains(':') {
        format!("[{}]", endpoint.host)
    } else {
        endpoint.host.to_string()
    };
    let mut config = ConfigBuilder::default()
        .uri(format!("{scheme}://{host}:{}", endpoint.port))
        .user(&*credentials.user)
        .password(credentials.password.expose())
        .fetch_size(FETCH_SIZE)
        .max_connections(1)
        .connection_timeout(MESSAGE_TIMEOUT);
    // The file has to live until `connect` has read it.
    let mut file = None;
    if let Some(trust) = &endpoint.tls {
        let trusted = trust_file::TrustFile::new(&trust.ca_pem).map_err(|error| {
            BoltError::new(
                ErrorKind::Tls,
                format!("cannot hand over the trusted certificates: {error}"),
            )
        })?;
        config = config.with_client_certificate(trusted.path());
        file = Some(trusted);
    }
    let graph = config.build().and_then(Graph::connect).map_err(connecting);
    drop(file);
    graph
}

/// Connects, does TLS and agrees on a version, then hangs up. Ends only by answer or error: the deadline is
/// the caller's.
async fn preflight(endpoint: &Endpoint) -> Result<(), BoltError> {
    let address = (&*endpoint.host, endpoint.port);
    let mut found = tokio::net::lookup_host(address).await.map_err(|error| lookup(&error))?;
    let Some(address) = found.next() else {
        return Err(BoltError::new(ErrorKind::HostNotFound, "the host has no address"));
    };
    let stream = TcpStream::connect(address).await.map_err(|error| broken(&error))?;
    let _ = stream.set_nodelay(true);
    let Some(trust) = &endpoint.tls else {
        return shake_hands(stream).await;
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in trust.certificates()? {
        roots
            .add(certificate)
            .map_err(|error| BoltError::new(ErrorKind::Tls, format!("a trusted certificate is unusable: {error}")))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| BoltError::new(ErrorKind::Tls, error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(endpoint.host.to_string())
        .map_err(|_| BoltError::new(ErrorKind::Tls, "the host is no name that a certificate can have"))?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    match connector.connect(name, stream).await {
        Ok(stream) => shake_hands(stream).await,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(BoltError::new(ErrorKind::Tls, format!("TLS handshake failed: {error}")))
        }
        Err(error) => Err(broken(&error)),
    }
}

async fn shake_hands(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), BoltError> {
    let mut answer = [0_u8; 4];
    let shake = async {
        stream.write_all(&HANDSHAKE).await?;
        stream.flush().await?;
        stream.read_exact(&mut answer).await?;
        Ok::<_, io::Error>(())
    };
    shake.await.map_err(|error| broken(&error))?;
    let _ = stream.shutdown().await;
    match answer {
        [0, 0, 0 | 1 | 3 | 4, 4] => Ok(()),
        [0, 0, 0, 0] => Err(BoltError::new(
            ErrorKind::Protocol,
            "the server speaks none of the versions 4.0 to 4.4 of Bolt",
        )),
        other => Err(BoltError::new(
            ErrorKind::Protocol,
            format!("the peer answers the Bolt handshake with {other:02x?}"),
        )),
    }
}

fn lookup(error: &io::Error) -> BoltError {
    let text = error.to_string();
    // The resolver's texts are all that tells "no such name" from "no answer now".
    let gone = [
        "Name or service not known",
        "No address associated",
        "nodename nor servname",
    ];
    let kind = if error.kind() == io::ErrorKind::NotFound || gone.iter().any(|known| text.contains(known)) {
        ErrorKind::HostNotFound
    } else {
        ErrorKind::Connect
    };
    BoltError::new(kind, text)
}

fn broken(error: &io::Error) -> BoltError {
    let message = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "connection reset".to_owned(),
        io::ErrorKind::UnexpectedEof => "the server closed the connection".to_owned(),
        _ => error.to_string(),
    };
    BoltError::new(ErrorKind::Connect, message)
}

fn connecting(error: Error) -> BoltError {
    match error {
        Error::InvalidDnsName(_) | Error::UrlParseError(_) | Error::UnsupportedScheme(_) => {
            BoltError::new(ErrorKind::Invalid, error.to_string())
        }
        other => failed(other, true),
    }
}

/// Sorts an error of neo4rs. Everything that goes wrong at a login arrives as text.
fn failed(error: Error, logged_in: bool) -> BoltError {
    match error {
        Error::Neo4j(failure) if failure.code().is_empty() => {
            BoltError::new(ErrorKind::Protocol, "the server sent a failure without a code")
        }
        Error::Neo4j(failure) => BoltError::from_code(failure.code(), failure.message()),
        Error::AuthenticationError(message) => BoltError::from_login(&message),
        Error::IOError { detail } if detail.kind() == io::ErrorKind::InvalidData && !logged_in => {
            BoltError::new(ErrorKind::Tls, format!("TLS handshake failed: {detail}"))
        }
        Error::IOError { detail } => broken(&detail),
        Error::ConnectionTimedOut => BoltError::new(ErrorKind::Timeout, "no message in time"),
        Error::ConnectionError | Error::IncompleteBoltExchange => BoltError::new(ErrorKind::Connect, error.to_string()),
        Error::DeserializationError(_) => BoltError::new(ErrorKind::Decode, error.to_string()),
        other => BoltError::new(ErrorKind::Protocol, other.to_string()),
    }
}

// === impl Neo4rsSession ===

impl Session for Neo4rsSession {
    fn execute<'a>(
        &'a mut self,
        database: &'a str,
        statement: &'a Statement,
    ) -> BoxFuture<'a, Result<Rows, BoltError>> {
        Box::pin(async move {
            let run = AssertUnwindSafe(execute(&self.graph, database, statement, self.logged_in)).catch_unwind();
            let result = match tokio::time::timeout(statement.budget, run).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(BoltError::new(ErrorKind::Protocol, "the server's answer is malformed")),
                Err(_) => Err(BoltError::new(
                    ErrorKind::Timeout,
                    format!("no answer within {} s", statement.budget.as_secs_f64()),
                )),
            };
            self.logged_in |= result.is_ok();
            result
        })
    }
}

async fn execute(graph: &Graph, database: &str, statement: &Statement, logged_in: bool) -> Result<Rows, BoltError> {
    let mut stream = graph
        .execute_on(database, query(statement))
        .await
        .map_err(|error| failed(error, logged_in))?;
    let mut rows = Vec::new();
    let mut bytes = 0;
    while let Some(row) = stream.next().await.map_err(|error| failed(error, true))? {
        let row = decode(&row, &mut bytes)?;
        if rows.len() >= MAX_ROWS || bytes > MAX_BYTES {
            return Err(BoltError::new(
                ErrorKind::Decode,
                format!("the answer has more than {MAX_ROWS} rows or {MAX_BYTES} bytes"),
            ));
        }
        rows.push(row);
    }
    Ok(Rows(rows))
}

fn query(statement: &Statement) -> Query {
    let metadata = [
        ("app", "neo4j-operator"),
        ("op", statement.op.as_str()),
        ("reconcile_id", &statement.reconcile_id),
    ];
    let metadata: BoltMap = metadata
        .into_iter()
        .map(|(key, value)| (key.into(), BoltType::from(value)))
        .collect();
    let timeout = i64::try_from(statement.server_timeout().as_millis()).unwrap_or(i64::MAX);
    statement
        .params
        .iter()
        .fold(Query::new(statement.text.to_string()), |query, (name, value)| {
            query.param(name, encode(value))
        })
        .extra("tx_timeout", timeout)
        .extra("tx_metadata", BoltType::Map(metadata))
}

fn encode(value: &Value) -> BoltType {
    match value {
        Value::Null => BoltType::Null(BoltNull),
        Value::Bool(flag) => (*flag).into(),
        Value::Int(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
        Value::List(items) => BoltType::List(BoltList {
            value: items.iter().map(encode).collect(),
        }),
        Value::Map(entries) => BoltType::Map(
            entries
                .iter()
                .map(|(key, value)| (key.as_str().into(), encode(value)))
                .collect(),
        ),
    }
}

fn decode(row: &neo4rs::Row, bytes: &mut usize) -> Result<Row, BoltError> {
    let columns = row.keys();
    let mut values = Vec::with_capacity(columns.len());
    for column in columns {
        let value: BoltType = row
            .get(&column.value)
            .map_err(|error| BoltError::new(ErrorKind::Decode, format!("column {:?}: {error}", column.value)))?;
        values.push((column.value.clone(), value_of(value, &column.value, bytes)?));
    }
    Ok(Row(values))
}

fn value_of(value: BoltType, column: &str, bytes: &mut usize) -> Result<Value, BoltError> {
    Ok(match value {
        BoltType::Null(_) => Value::Null,
        BoltType::Boolean(flag) => Value::Bool(flag.value),
        BoltType::Integer(number) => Value::Int(number.value),
        BoltType::Float(number) => Value::Float(number.value),
        BoltType::String(text) => {
            *bytes += text.value.len();
            Value::Text(text.value)
        }
        BoltType::List(list) => {
            let items: Result<Vec<_>, _> = list
                .value
                .into_iter()
                .map(|item| value_of(item, column, bytes))
                .collect();
            Value::List(items?)
        }
        BoltType::Map(map) => {
            let entries: Result<Vec<_>, BoltError> = map
                .value
                .into_iter()
                .map(|(key, item)| Ok((key.value, value_of(item, column, bytes)?)))
                .collect();
            Value::Map(entries?)
        }
        _ => {
            return Err(BoltError::new(
                ErrorKind::Decode,
                format!("column {column:?} holds a temporal or graph value, which is never asked for"),
            ));
        }
    })
}

/// neo4rs reads trusted certificates from a path alone.
mod trust_file {
    use std::{io, path::Path};

    /// A file that only this process knows of, for as long as the value lives.
    #[cfg(target_os = "linux")]
    pub(super) struct TrustFile {
        path: std::path::PathBuf,
        _memory: std::fs::File,
    }

    #[cfg(target_os = "linux")]
    impl TrustFile {
        /// In memory: a container's root file system may be read-only.
        pub(super) fn new(pem: &str) -> io::Result<Self> {
            use std::{io::Write as _, os::fd::AsRawFd as _};

            let memory = rustix::fs::memfd_create("bolt-trust", rustix::fs::MemfdFlags::CLOEXEC)?;
            let mut memory = std::fs::File::from(memory);
            memory.write_all(pem.as_bytes())?;
            Ok(Self {
                path: format!("/proc/self/fd/{}", memory.as_raw_fd()).into(),
                _memory: memory,
            })
        }

        pub(super) fn path(&self) -> &Path {
            &self.path
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) struct TrustFile {
        path: std::path::PathBuf,
    }

    #[cfg(not(target_os = "linux"))]
    impl TrustFile {
        pub(super) fn new(pem: &str) -> io::Result<Self> {
            use std::io::Write as _;

            let path = std::env::temp_dir().join(format!("bolt-trust-{}", uuid::Uuid::new_v4().simple()));
            let mut file = std::fs::File::options().write(true).create_new(true).open(&path)?;
            file.write_all(pem.as_bytes())?;
            Ok(Self { path })
        }

        pub(super) fn path(&self) -> &Path {
            &self.path
        }
    }

    #[cfg(not(target_os = "linux"))]
    impl Drop for TrustFile {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests;
