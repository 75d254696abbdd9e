//! The server under test: the fake in this process, or a real one in its own.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use neo4j_devcluster::neo4j::{
    FakeNeo4j, Options,
    handle::ClusterHandle,
    model::{Boot, Edition, Tuning},
    pod,
};
use neo4j_operator::neo4j::{
    BoltError, ClusterClient, ClusterTarget, Credentials, Driver as _, Endpoint, EndpointResolver, Limits, Member,
    Neo4rsDriver, Operation, Registry, Session, Statement, TlsTrust,
};
use neo4j_operator_tests::{
    harness::target::Target,
    neo4j_server::{BOLT_PORT, FIRST_LOGIN, Neo4jServer},
};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::raw::Raw;

/// The password that the first one is changed to.
pub const PASSWORD: &str = "correct-horse";
/// The version that both say they are.
pub const VERSION: &str = "5.26.30";
/// Pod of the fake's server.
const POD: &str = "c-server-0";
/// Long enough for a machine that does other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server.
pub struct Peer {
    pub edition: Edition,
    address: SocketAddr,
    server: Server,
}

enum Server {
    Fake(Arc<FakeNeo4j>),
    Real {
        server: Box<Neo4jServer>,
        _place: SemaphorePermit<'static>,
    },
}

/// Real servers at a time: each takes 400 MB, whatever the number of cores is.
static PLACES: Semaphore = Semaphore::const_new(2);

/// The editions that there are of the target.
pub fn editions() -> &'static [Edition] {
    if is_real() {
        &[Edition::Community]
    } else {
        &[Edition::Community, Edition::Enterprise]
    }
}

/// Whether the real server is the target.
pub fn is_real() -> bool {
    Target::from_env().unwrap() == Target::Real
}

impl Peer {
    /// A server with a fresh home, where nobody has changed the first password.
    pub async fn fresh(edition: Edition) -> Self {
        if !is_real() {
            return Self::fresh_fake(edition).await;
        }
        let place = PLACES.acquire().await.unwrap();
        Self::real(edition, Neo4jServer::start().await.unwrap(), place)
    }

    fn real(edition: Edition, server: Neo4jServer, place: SemaphorePermit<'static>) -> Self {
        Self {
            edition,
            address: server.address(),
            server: Server::Real {
                server: Box::new(server),
                _place: place,
            },
        }
    }

    async fn fresh_fake(edition: Edition) -> Self {
        let fake = empty_fake(edition);
        let ip = boot(&fake, None).await;
        Self {
            edition,
            address: SocketAddr::new(ip, BOLT_PORT),
            server: Server::Fake(fake),
        }
    }

    /// A server whose user has [`PASSWORD`].
    pub async fn start(edition: Edition) -> Self {
        Self::fresh(edition).await.with_password().await
    }

    /// A server that takes TLS alone, fresh, and what is to be trusted.
    pub async fn with_tls(edition: Edition) -> (Self, TlsTrust) {
        if is_real() {
            let place = PLACES.acquire().await.unwrap();
            let server = Neo4jServer::start_with_tls().await.unwrap();
            let trust = TlsTrust {
                ca_pem: server.certificate().unwrap().into(),
            };
            return (Self::real(edition, server, place), trust);
        }
        let fake = empty_fake(edition);
        let issued = fake.certificate("ns", "c").unwrap();
        let certificate = pod::Certificate {
            certificate: issued.tls_crt.into(),
            key: issued.tls_key.into(),
        };
        let ip = boot(&fake, Some(certificate)).await;
        let peer = Self {
            edition,
            address: SocketAddr::new(ip, BOLT_PORT),
            server: Server::Fake(fake),
        };
        let trust = TlsTrust {
            ca_pem: issued.ca_crt.into(),
        };
        (peer, trust)
    }

    /// The fake, whatever the target is, with the model of its cluster.
    pub async fn fake(edition: Edition) -> (Self, Arc<ClusterHandle>) {
        let peer = Self::fresh_fake(edition).await.with_password().await;
        let model = match &peer.server {
            Server::Fake(fake) => fake.cluster("ns", "c"),
            Server::Real { .. } => unreachable!("it is the fake"),
        };
        (peer, model)
    }

    async fn with_password(self) -> Self {
        let mut raw = Raw::login(self.address, FIRST_LOGIN).await;
        let text = format!(
            "ALTER CURRENT USER SET PASSWORD FROM '{}' TO '{PASSWORD}'",
            FIRST_LOGIN.1
        );
        raw.query("system", &text).await.unwrap();
        self
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The user with the changed password.
    pub async fn raw(&self) -> Raw {
        Raw::login(self.address, ("neo4j", PASSWORD)).await
    }

    /// One connection of the operator's driver.
    pub async fn session(&self, password: &str) -> Result<Box<dyn Session>, BoltError> {
        self.session_over(None, password).await
    }

    /// The same with TLS, or without.
    pub async fn session_over(&self, tls: Option<TlsTrust>, password: &str) -> Result<Box<dyn Session>, BoltError> {
        let endpoint = Endpoint {
            host: self.address.ip().to_string().into(),
            port: self.address.port(),
            tls,
        };
        Neo4rsDriver
            .connect(&endpoint, &Credentials::new("neo4j", password))
            .await
    }

    /// The operator's client for it, with a pool of its own.
    pub fn client(&self) -> (Registry, ClusterClient) {
        let resolver = EndpointResolver::PodIp {
            cluster_domain: "cluster.local".into(),
        };
        // How long a connection takes is no promise of these tests.
        let limits = Limits {
            acquire: PATIENCE,
            ..Limits::default()
        };
        let registry = Registry::new(Arc::new(Neo4rsDriver), resolver, limits);
        let client = registry.cluster(self.target()).for_reconcile("r-1");
        (registry, client)
    }

    pub fn target(&self) -> ClusterTarget {
        let member = Member {
            pod: POD.into(),
            pod_uid: "uid-0".into(),
            host: host().into(),
            ip: Some(self.address.ip().to_string().into()),
        };
        ClusterTarget {
            cluster: "ns/c".into(),
            uid: "uid".into(),
            members: vec![member],
            tls: None,
            credentials: Credentials::new("neo4j", PASSWORD),
        }
    }

    /// Ends it without a word.
    pub fn kill(&mut self) {
        match &mut self.server {
            Server::Fake(fake) => assert!(fake.crash(POD)),
            Server::Real { server, .. } => server.kill(),
        }
    }

    /// Stops it (true), or lets it go on.
    pub fn freeze(&mut self, frozen: bool) {
        match &mut self.server {
            Server::Fake(fake) => assert!(fake.hang(POD, frozen)),
            Server::Real { server, .. } if frozen => server.freeze(),
            Server::Real { server, .. } => server.thaw(),
        }
    }

    /// Starts it again on its home.
    pub async fn restart(&mut self) {
        match &mut self.server {
            Server::Fake(fake) => {
                boot(fake, None).await;
            }
            Server::Real { server, .. } => server.restart().await.unwrap(),
        }
    }
}

/// Any statement as the operator would send it.
pub fn statement(text: &str, budget: Duration) -> Statement {
    Statement {
        text: text.to_owned().into(),
        params: Vec::new(),
        op: Operation::Components,
        budget,
        reconcile_id: "r-1".into(),
    }
}

fn host() -> String {
    format!("{POD}.c-headless.ns.svc.cluster.local")
}

fn empty_fake(edition: Edition) -> Arc<FakeNeo4j> {
    let config = kube::Config::new("http://127.0.0.1:9".parse().unwrap());
    let client = kube::Client::try_from(config).expect("nothing is sent");
    let options = Options {
        tuning: Tuning {
            start: Duration::ZERO,
            database_start: Duration::from_millis(10),
            election: Duration::from_millis(10),
            ..Tuning::default()
        },
        ..Options::default()
    };
    let fake = FakeNeo4j::new(client, options).expect("a loopback network");
    fake.cluster("ns", "c").with(|cluster, _| cluster.edition = edition);
    fake
}

async fn boot(fake: &Arc<FakeNeo4j>, tls: Option<pod::Certificate>) -> IpAddr {
    let settings = BTreeMap::from([
        (
            "dbms.cluster.minimum_initial_system_primaries_count".to_owned(),
            "1".to_owned(),
        ),
        // Long enough for two further tries on a slow machine.
        ("dbms.security.auth_lock_time".to_owned(), "5s".to_owned()),
    ]);
    let boot = Boot {
        volume: "pvc-0".into(),
        pod: POD.into(),
        host: host(),
        version: VERSION.into(),
        settings,
        initial_password: None,
        auth_disabled: false,
    };
    let start = pod::Server { boot, claim: None, tls };
    let ip = fake.boot("ns", "c", "server", start).await.expect("boots");
    let deadline = Deadline::new("a fake that serves");
    let has_majority = || fake.cluster("ns", "c").with(|cluster, _| cluster.has_majority("neo4j"));
    while !(fake.serves(POD) && has_majority()) {
        deadline.pause().await;
    }
    ip
}

/// Waiting for something that must come.
pub struct Deadline {
    what: &'static str,
    at: Instant,
}

impl Deadline {
    pub fn new(what: &'static str) -> Self {
        Self {
            what,
            at: Instant::now() + PATIENCE,
        }
    }

    /// A moment before the next look; panics when there have been enough.
    pub async fn pause(&self) {
        assert!(Instant::now() < self.at, "{}: not in time", self.what);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
