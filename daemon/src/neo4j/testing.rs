//! A modelled Neo4j cluster for tests of this crate, reached over real Bolt or without sockets.
//!
//! [`FakeDriver`] is a second implementation of the driver's trait over the model's statement layer: what goes
//! over TCP and what does not meet the same servers. Without sockets, tests may pause the clock.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use neo4j_devcluster::neo4j::{
    bolt::session::Run,
    failure::Neo4jFailure,
    handle::{Clock, ClusterHandle},
    model::{Boot, Tuning},
    process::Process,
    value,
};
use tokio_rustls::TlsAcceptor;

use super::{
    BoltError, ClusterTarget, Credentials, Driver, Endpoint, EndpointResolver, ErrorKind, Limits, Member, Registry,
    Row, Rows, Session, Statement, TlsTrust, Value,
};

/// The password of the modelled cluster.
pub(crate) const PASSWORD: &str = "correct-horse";

/// A modelled cluster of some servers.
pub(crate) struct FakeCluster {
    /// The model.
    pub handle: Arc<ClusterHandle>,
    /// Ids of the servers, by ordinal.
    pub ids: Vec<String>,
    /// Addresses, by ordinal.
    pub ips: Vec<String>,
    processes: Vec<Arc<Process>>,
}

impl Drop for FakeCluster {
    fn drop(&mut self) {
        for process in &self.processes {
            process.end();
        }
    }
}

fn host(ordinal: usize) -> String {
    format!("c-server-{ordinal}.c-headless.ns.svc.cluster.local")
}

impl FakeCluster {
    /// Starts `count` servers; their addresses are `127.<network>.<n>`.
    pub fn new(count: usize, network: &str) -> Self {
        let tuning = Tuning {
            start: Duration::ZERO,
            database_start: Duration::from_millis(20),
            election: Duration::from_millis(20),
            ..Tuning::default()
        };
        let handle = ClusterHandle::new("ns/c", tuning, Clock::new(jiff::Timestamp::UNIX_EPOCH));
        let endpoints: Vec<_> = (0..count).map(|n| format!("{}:6000", host(n))).collect();
        let ids: Vec<_> = (0..count)
            .map(|n| {
                let settings = [
                    ("dbms.cluster.discovery.v2.endpoints", endpoints.join(",")),
                    (
                        "dbms.cluster.minimum_initial_system_primaries_count",
                        count.min(3).to_string(),
                    ),
                ];
                let boot = Boot {
                    volume: format!("data-c-server-{n}"),
                    pod: format!("c-server-{n}"),
                    host: host(n),
                    version: "5.26.0".into(),
                    settings: settings.map(|(key, value)| (key.to_owned(), value)).into(),
                    initial_password: Some(PASSWORD.into()),
                    ..Boot::default()
                };
                handle.with(|cluster, now| cluster.process_started(boot, now))
            })
            .collect();
        let processes = ids
            .iter()
            .enumerate()
            .map(|(n, id)| Process::new(id.clone(), handle.clone(), vec![format!("c-server-{n}")], "5.26.0"))
            .collect();
        Self {
            handle,
            ids,
            ips: (0..count).map(|n| format!("127.{network}.{}", n + 1)).collect(),
            processes,
        }
    }

    /// Waits until every server serves and the default database has a leader.
    pub async fn formed(&self) {
        for process in &self.processes {
            assert!(process.started().await);
        }
        while !self.handle.with(|cluster, _| cluster.has_majority("neo4j")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Opens the Bolt port of every server, with TLS where there is a certificate.
    pub async fn listen(&self, tls: Option<&TlsAcceptor>) {
        for (process, ip) in self.processes.iter().zip(&self.ips) {
            let address = format!("{ip}:{}", super::BOLT_PORT);
            let listener = tokio::net::TcpListener::bind(address).await.unwrap();
            tokio::spawn(process.clone().serve_bolt(listener, tls.cloned()));
        }
    }

    /// Ends the process of one server.
    pub fn kill(&self, ordinal: usize) {
        self.processes[ordinal].end();
    }

    /// How the cluster is reached.
    pub fn target(&self) -> ClusterTarget {
        let member = |(n, ip): (usize, &String)| Member {
            pod: format!("c-server-{n}").into(),
            pod_uid: format!("pod-uid-{n}").into(),
            host: host(n).into(),
            ip: Some(ip.as_str().into()),
        };
        ClusterTarget {
            cluster: "ns/c".into(),
            uid: "cluster-uid".into(),
            members: self.ips.iter().enumerate().map(member).collect(),
            tls: None::<TlsTrust>,
            credentials: Credentials::new("neo4j", PASSWORD),
        }
    }

    /// A registry that reaches it without sockets.
    pub fn registry(&self) -> Registry {
        let driver = FakeDriver {
            handle: self.handle.clone(),
            servers: self.ips.iter().cloned().zip(self.ids.iter().cloned()).collect(),
        };
        Registry::new(Arc::new(driver), resolver(), Limits::default())
    }
}

/// Pod addresses.
pub(crate) fn resolver() -> EndpointResolver {
    EndpointResolver::PodIp {
        cluster_domain: "cluster.local".into(),
    }
}

/// The driver without sockets.
struct FakeDriver {
    handle: Arc<ClusterHandle>,
    servers: Vec<(String, String)>,
}

struct FakeSession {
    handle: Arc<ClusterHandle>,
    server: String,
    credentials: Credentials,
    /// The user, and whether the password must be changed first.
    login: Option<(String, bool)>,
}

impl Driver for FakeDriver {
    fn connect<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        credentials: &'a Credentials,
    ) -> BoxFuture<'a, Result<Box<dyn Session>, BoltError>> {
        Box::pin(async {
            let known = self.servers.iter().find(|(ip, _)| **ip == *endpoint.host);
            match known {
                Some((_, id)) if self.handle.serves(id) => Ok(Box::new(FakeSession {
                    handle: self.handle.clone(),
                    server: id.clone(),
                    credentials: credentials.clone(),
                    login: None,
                }) as Box<dyn Session>),
                _ => Err(BoltError::new(ErrorKind::Connect, "connection refused")),
            }
        })
    }
}

impl Session for FakeSession {
    fn execute<'a>(
        &'a mut self,
        database: &'a str,
        statement: &'a Statement,
    ) -> BoxFuture<'a, Result<Rows, BoltError>> {
        Box::pin(async {
            let failed = |failure: Neo4jFailure| BoltError::from_code(&failure.code, &failure.message);
            let (user, expired) = if let Some(login) = &self.login {
                login.clone()
            } else {
                let (name, password) = (&self.credentials.user, self.credentials.password.expose());
                let login = self
                    .handle
                    .with(|cluster, now| cluster.authenticate(&self.server, name, password, now));
                let login = login.map_err(|failure| BoltError::from_login(&failure.message))?;
                self.login.insert(login).clone()
            };
            let run = Run {
                user,
                expired,
                query: statement.text.to_string(),
                database: Some(database.to_owned()),
                write: true,
                timeout: Some(statement.server_timeout()),
                ..Run::default()
            };
            let outcome = self.handle.run(&self.server, &run).await.map_err(failed)?;
            if let Some(failure) = outcome.failure {
                return Err(failed(failure));
            }
            let row = |values: Vec<value::Value>| {
                Row(outcome
                    .fields
                    .iter()
                    .cloned()
                    .zip(values.into_iter().map(from_wire))
                    .collect())
            };
            Ok(Rows(outcome.rows.into_iter().map(row).collect()))
        })
    }
}

pub(crate) fn from_wire(wire: value::Value) -> Value {
    match wire {
        value::Value::Bool(flag) => Value::Bool(flag),
        value::Value::Int(number) => Value::Int(number),
        value::Value::Float(number) => Value::Float(number),
        value::Value::String(text) => Value::Text(text),
        value::Value::List(items) => Value::List(items.into_iter().map(from_wire).collect()),
        value::Value::Map(map) => Value::Map(map.into_iter().map(|(key, item)| (key, from_wire(item))).collect()),
        value::Value::Null => Value::Null,
        other => panic!("{other:?} is never asked for"),
    }
}
