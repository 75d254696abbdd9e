//! A running Neo4j server: its Bolt port, its metrics port, and the ways it can end or hang.
//!
//! The port opens when the model says that the server serves, so a process whose cluster has not formed is started but not ready.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{
    bolt::{
        connection::{Abort, Backend, serve},
        session::{Outcome, Run, Work},
    },
    failure::{Neo4jFailure, code},
    faults::{Fault, Stage},
    handle::ClusterHandle,
    model::{ServerId, sessions::Connection},
    value::{Value, ValueMap},
};

/// The Bolt port of every server.
pub const BOLT_PORT: u16 = 7687;
/// Connections that one server serves at once, like `server.bolt.thread_pool_max_size`.
const MAX_CONNECTIONS: usize = 400;
/// How often a port that is taken is tried again.
const BIND_TRIES: u32 = 100;
/// How often a starting process looks whether it may open its port.
const START_STEP: Duration = Duration::from_millis(20);

/// One server's process.
pub struct Process {
    /// The server's id.
    pub id: ServerId,
    /// Its cluster.
    pub cluster: Arc<ClusterHandle>,
    names: Vec<String>,
    agent: String,
    ready: watch::Sender<bool>,
    hung: watch::Sender<bool>,
    annotated: AtomicBool,
    load: Mutex<Option<String>>,
    ended: CancellationToken,
    connections: AtomicU64,
}

impl Process {
    /// A process of the server `id`; `names` are what faults call it. The model has started it already.
    pub fn new(id: ServerId, cluster: Arc<ClusterHandle>, names: Vec<String>, version: &str) -> Arc<Self> {
        Arc::new(Self {
            id,
            cluster,
            names,
            agent: format!("Neo4j/{version}"),
            ready: watch::Sender::new(false),
            hung: watch::Sender::new(false),
            annotated: AtomicBool::new(false),
            load: Mutex::default(),
            ended: CancellationToken::new(),
            connections: AtomicU64::new(0),
        })
    }

    /// What a readiness probe on the Bolt port sees. A hung process keeps its port open.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Ends it: its port closes and every connection with it.
    pub fn end(&self) {
        if !self.ended.is_cancelled() {
            self.ready.send_replace(false);
            self.cluster.with(|cluster, now| cluster.process_stopped(&self.id, now));
            self.ended.cancel();
        }
    }

    /// Stops or continues it: a hung process answers nobody and loses nothing.
    pub fn hang(&self, hung: bool) {
        self.hung.send_replace(hung);
    }

    /// Hangs or continues it when the pod's annotation says so, without undoing what a test did by hand.
    pub fn hang_by_annotation(&self, hung: bool) {
        if self.annotated.swap(hung, Ordering::Relaxed) != hung {
            self.hang(hung);
        }
    }

    /// Sets the cluster's load when the pod's annotation has changed; text that cannot be read changes nothing.
    pub fn load_by_annotation(&self, text: Option<&str>) {
        let mut last = self.load.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_deref() == text {
            return;
        }
        *last = text.map(str::to_owned);
        match text.map(str::parse) {
            Some(Ok(load)) => self.cluster.with(|cluster, _| cluster.load = load),
            Some(Err(error)) => tracing::warn!(server = %self.id, "load annotation: {error}"),
            None => {}
        }
    }

    /// Resolves when its port is open.
    pub async fn ready(&self) {
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
    }

    /// Whether it goes by this name: pod, host or address.
    pub fn is_called(&self, name: &str) -> bool {
        self.names.iter().any(|own| own == name)
    }

    /// Resolves when it has ended.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Resolves when it is not hung.
    pub async fn continues(&self) {
        // An error means that the process is gone; its connections end elsewhere.
        let _ = self.hung.subscribe().wait_for(|hung| !hung).await;
    }

    /// Waits until the server serves; false if the process ends first.
    pub async fn started(&self) -> bool {
        while !self.cluster.serves(&self.id) {
            tokio::select! {
                () = self.ended.cancelled() => return false,
                () = tokio::time::sleep(START_STEP) => {}
            }
        }
        true
    }

    /// Marks it ready without a port, for tests without TCP.
    pub fn ready_without_port(&self) {
        self.ready.send_replace(true);
    }

    /// Opens the Bolt port, then serves until the process ends.
    pub async fn listen(self: Arc<Self>, ip: IpAddr, tls: Option<TlsAcceptor>) -> std::io::Result<()> {
        let listener = bind(ip, BOLT_PORT).await?;
        self.serve_bolt(listener, tls).await;
        Ok(())
    }

    /// Serves Bolt on this listener until the process ends.
    pub async fn serve_bolt(self: Arc<Self>, listener: TcpListener, tls: Option<TlsAcceptor>) {
        self.ready.send_replace(true);
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = self.ended.cancelled() => break,
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                // Out of descriptors, or the peer has left already.
                tokio::time::sleep(START_STEP).await;
                continue;
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                continue;
            };
            let process = Arc::clone(&self);
            let tls = tls.clone();
            connections.spawn(async move {
                let _place = place;
                process.converse(stream, tls).await;
            });
        }
        // Dropping the set closes what is still open.
    }

    async fn converse(&self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        // Without it every answer waits some 40 ms for the client's acknowledgement (N11).
        let _ = stream.set_nodelay(true);
        let socket = std::os::fd::AsFd::as_fd(&stream).try_clone_to_owned().ok();
        let abort = Abort::new(socket);
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let id = format!("bolt-{number}");
        let _connected = Connected::new(self, &id, &stream);
        match tls {
            None => serve(stream, id, self, &abort).await,
            Some(acceptor) => {
                let within = Duration::from_secs(10);
                if let Ok(Ok(stream)) = tokio::time::timeout(within, acceptor.accept(stream)).await {
                    serve(stream, id, self, &abort).await;
                }
            }
        }
    }
}

/// A connection that stands among those of its server, for as long as the value lives.
struct Connected<'a> {
    process: &'a Process,
    id: String,
}

impl<'a> Connected<'a> {
    fn new(process: &'a Process, id: &str, stream: &TcpStream) -> Self {
        let client = stream.peer_addr().map(|peer| peer.to_string()).unwrap_or_default();
        process.cluster.with(|cluster, now| {
            let connection = Connection {
                server: process.id.clone(),
                client,
                user: None,
                agent: String::new(),
                since: now,
            };
            cluster.sessions.connected(id, connection);
        });
        Self {
            process,
            id: id.to_owned(),
        }
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        let server = &self.process.id;
        self.process
            .cluster
            .with(|cluster, _| cluster.sessions.disconnected(server, &self.id));
    }
}

/// Opens a port. The process before this one may take a moment to let go of it.
pub(super) async fn bind(ip: IpAddr, port: u16) -> std::io::Result<TcpListener> {
    let mut tries = BIND_TRIES;
    loop {
        match TcpListener::bind(SocketAddr::new(ip, port)).await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && tries > 0 => {
                tries -= 1;
                tokio::time::sleep(START_STEP).await;
            }
            bound => return bound,
        }
    }
}

impl Backend for Process {
    fn agent(&self) -> String {
        self.agent.clone()
    }

    fn login(&self, connection: &str, hello: &ValueMap) -> Result<(String, bool), Neo4jFailure> {
        let text = |key: &str| hello.get(key).and_then(Value::as_str);
        let Some(agent) = text("user_agent") else {
            let message = "Illegal value for field \"user_agent\": Expected value to be non-null";
            return Err(Neo4jFailure::new(code::INVALID_REQUEST, message));
        };
        let unsupported = |why: &str| {
            let message = format!("Unsupported authentication token, {why}");
            Neo4jFailure::new(code::UNAUTHORIZED, message)
        };
        let scheme = text("scheme").ok_or_else(|| unsupported("missing key `scheme`"))?;
        self.cluster.with(|cluster, now| {
            match scheme {
                "basic" => {}
                "none" if cluster.servers.get(&self.id).is_some_and(|at| at.boot.auth_disabled) => {}
                "none" => return Err(unsupported("scheme 'none' is only allowed when auth is disabled.")),
                other => return Err(unsupported(&format!("scheme '{other}' is not supported."))),
            }
            let (user, password) = (
                text("principal").unwrap_or_default(),
                text("credentials").unwrap_or_default(),
            );
            let (user, expired) = cluster.authenticate(&self.id, user, password, now)?;
            cluster.sessions.logged_in(&self.id, connection, &user, agent);
            Ok((user, expired))
        })
    }

    fn begin(&self, run: &Run) -> Result<(), Neo4jFailure> {
        self.cluster.with(|cluster, now| cluster.begin(run, now))
    }

    fn run<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, Result<Outcome, Neo4jFailure>> {
        Box::pin(self.cluster.run(&self.id, run))
    }

    fn work<'a>(&'a self, work: &'a Work) -> BoxFuture<'a, Result<(), Neo4jFailure>> {
        Box::pin(self.cluster.work(&self.id, work))
    }

    fn route(&self, database: Option<&str>) -> Result<Value, Neo4jFailure> {
        self.cluster.with(|cluster, _| cluster.routing_table(database))
    }

    fn strike(&self, stage: Stage, statement: Option<&str>) -> Option<Fault> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        self.cluster.faults.strike(&names, stage, statement)
    }

    fn runs(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.continues())
    }
}
