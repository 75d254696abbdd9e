//! The API server: one store, one service, two front doors.
//!
//! A [`Server`] is a tower service over HTTP requests. [`Server::client`] hands out a kube client that calls it in process, without a
//! socket, so tests run under tokio's paused time; [`Server::serve`] puts it on a loopback port for kubectl and other processes.
//!
//! Where to look:
//!
//! | module | one idea |
//! |---|---|
//! | `store` | every object in one ordered map, one revision counter, a ring of events |
//! | `watch` | a cursor over that ring, turned into what one watcher may see |
//! | `kinds` | which resources there are: the built-in table, and those that definitions add |
//! | `registry` | what create, update, patch, apply and delete mean: rules in front of the store |
//! | `crd` | custom resource definitions: names, conditions, rules, clean-up |
//! | [`schema`], `builtin`, [`strategic`], [`smd`] | validation and defaults, strategic merge, server-side apply |
//! | `auth` | who asks, and what they may do: tokens, roles, reviews |
//! | `http` | requests in, replies out: paths, parameters, bodies, media types, discovery, OpenAPI |
//! | [`fault`], [`clock`], `audit` | what tests hold: faults at numbered points, time and chance, the requests made |
//! | [`deviation`] | wrong decisions on purpose, compiled only to test the tests |
//!
//! It leaves to others whatever a real cluster runs outside its API server: controllers, garbage collection, the kubelet.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use base64::Engine as _;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

mod audit;
mod auth;
pub mod builtin;
pub mod clock;
mod crd;
pub mod deviation;
pub mod fault;
mod http;
mod kinds;
mod registry;
pub mod schema;
mod selector;
pub mod smd;
mod status;
mod store;
pub mod strategic;
mod watch;

pub use audit::{Listener, RequestRecord};
pub use auth::User;
pub use clock::{Clock, ManualClock, TokioClock};
pub use fault::{Delivery, Hooks, NoFaults, Point, Verdict};
pub use status::Failure;

use self::{audit::Audit, http::identity::Identity, registry::Registry};

/// What a server is started with.
#[derive(Clone)]
pub struct Options {
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The plan of faults.
    pub hooks: Arc<dyn Hooks>,
    /// Seed of uids, generated names and addresses.
    pub seed: u64,
    /// The administrator's bearer token.
    pub token: String,
    /// The minor version of Kubernetes that `/version` names.
    pub minor: u16,
    /// How many events are kept: a watcher or a page further behind than that gets 410.
    pub history: usize,
    /// How many requests [`Server::requests`] remembers.
    pub requests: usize,
    /// Is told every request, however many there are.
    pub listener: Option<Listener>,
    /// One wrong decision, to test the tests; none unless built for that.
    pub planted: deviation::Planted,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Arc::new(TokioClock::starting_at(jiff::Timestamp::now())),
            hooks: Arc::new(NoFaults),
            seed: 0,
            token: random_token(),
            minor: 33,
            history: 10_000,
            requests: 100_000,
            listener: None,
            planted: deviation::Planted::default(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("seed", &self.seed)
            .field("minor", &self.minor)
            .field("history", &self.history)
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}

/// 32 hexadecimal digits from the operating system; where it has none to give, the door stays shut (no request carries this token).
fn random_token() -> String {
    let mut bytes = [0u8; 16];
    match rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes) {
        Ok(()) => bytes.iter().map(|b| format!("{b:02x}")).collect(),
        Err(_) => String::new(),
    }
}

/// What all parts of a server share.
struct Inner {
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    /// Made when the server is served for the first time.
    identity: OnceLock<Option<Identity>>,
    minor: u16,
    audit: Audit,
}

/// An API server. Clones are the same server.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl Server {
    /// A server with the namespaces `default` and `kube-system` and nothing else.
    pub fn new(options: Options) -> Self {
        let inner = Inner {
            registry: Arc::new(Registry::new(
                Arc::clone(&options.clock),
                options.hooks,
                options.seed,
                options.history,
                options.token,
                options.planted,
            )),
            clock: options.clock,
            identity: OnceLock::new(),
            minor: options.minor,
            audit: Audit::new(options.requests, options.listener),
        };
        Self { inner: Arc::new(inner) }
    }

    /// A client that calls this server in process, as administrator. It needs a tokio runtime, as every kube client does.
    pub fn client(&self, default_namespace: &str) -> kube::Client {
        self.client_as(User::admin(), default_namespace)
    }

    /// A client that calls this server in process as `user`. A request with a bearer token of its own is that token's.
    pub fn client_as(&self, user: User, default_namespace: &str) -> kube::Client {
        kube::Client::new(http::Door::acting_as(self.clone(), user), default_namespace)
    }

    /// A client that calls this server in process with a bearer token, as an account would from a pod.
    pub fn client_with_token(&self, token: &str, default_namespace: &str) -> kube::Client {
        let bearer = ::http::HeaderValue::from_str(&format!("Bearer {token}"));
        let door = http::Door::guarded(self.clone());
        let service = tower::service_fn(move |mut request: ::http::Request<kube::client::Body>| {
            // What cannot stand in a header is no token of ours: the request is nobody's.
            if let Ok(bearer) = &bearer {
                request
                    .headers_mut()
                    .insert(::http::header::AUTHORIZATION, bearer.clone());
            }
            tower::Service::call(&mut door.clone(), request)
        });
        kube::Client::new(service, default_namespace)
    }

    /// Serves HTTPS on `listener` until `shutdown` is cancelled, then lets open requests end for at most a second.
    pub async fn serve(&self, listener: TcpListener, shutdown: CancellationToken) {
        http::serve::serve(self.clone(), listener, shutdown).await;
    }

    /// The text of a kubeconfig that reaches this server at `address`: certificate and token included, so keep it private.
    pub fn kubeconfig(&self, address: SocketAddr) -> String {
        let token = self.inner.registry.tokens.admin();
        let certificate = self.identity().map(|i| i.certificate.as_str()).unwrap_or_default();
        let authority = base64::engine::general_purpose::STANDARD.encode(certificate);
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: devcluster\n\
             clusters:\n- name: devcluster\n  cluster:\n    server: https://{address}\n\
             \u{20}   certificate-authority-data: {authority}\n\
             users:\n- name: admin\n  user:\n    token: {token}\n\
             contexts:\n- name: devcluster\n  context:\n    cluster: devcluster\n    user: admin\n    namespace: default\n"
        )
    }

    /// The certificate of the loopback door.
    fn identity(&self) -> Option<&Identity> {
        self.inner.identity.get_or_init(Identity::generate).as_ref()
    }

    /// The last requests, oldest first.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.inner.audit.all()
    }

    /// Forgets the history of events: watches and pages that reach further back get 410 from now on.
    pub fn compact(&self) {
        self.inner.registry.store.compact();
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.inner.audit.clear();
    }
}
