//! One cluster as the operator reaches it: its pods, the login, and which of them leads `system`.
//!
//! A read asks the server that can answer soonest and goes on to the next where that can help. A change goes
//! to the writer of `system`; who that is is remembered and looked up again when it turns out wrong. Whether
//! a change may be sent twice is a property of the command, never of the caller.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    BOLT_PORT,
    driver::{Credentials, Driver, Endpoint, Rows, TlsTrust},
    error::{BoltError, ErrorKind},
    keyring::Keyring,
    pool::{EndpointKey, Limits, Pool, PoolSnapshot},
    resolver::EndpointResolver,
    statements::{Command, Retry},
};

/// The database of all administration.
const SYSTEM: &str = "system";
/// A read goes on to further servers only this long.
const READ_TOTAL: Duration = Duration::from_secs(30);
/// How often a change looks for another leader.
const LEADERS_TRIED: usize = 3;
/// How often old slots are looked for.
const SWEEP: Duration = Duration::from_secs(15);

/// One pod of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub pod: Arc<str>,
    /// Its uid; a pod of the same name with another uid is another server to the pool.
    pub pod_uid: Arc<str>,
    /// The DNS name that the operator builds for it; the server advertises it.
    pub host: Arc<str>,
    /// The address in its status.
    pub ip: Option<Arc<str>>,
}

/// How a cluster is reached. Made in one place from what was observed; members are never a guess.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterTarget {
    /// `namespace/name`.
    pub cluster: Arc<str>,
    /// Uid of the cluster resource.
    pub uid: Arc<str>,
    /// Its pods.
    pub members: Vec<Member>,
    /// Trust for TLS; plaintext without it.
    pub tls: Option<TlsTrust>,
    /// The login.
    pub credentials: Credentials,
}

/// All clusters of the process and their connections. Cheap to clone.
#[derive(Clone)]
pub struct Registry(Arc<Shared>);

struct Shared {
    pool: Pool,
    resolver: EndpointResolver,
    keyring: Keyring,
    /// While it is set, nothing is changed in any cluster.
    read_only: OnceLock<Arc<AtomicBool>>,
    /// The pod that led `system` when it was last looked for, by uid of the cluster.
    leaders: Mutex<HashMap<Arc<str>, Arc<str>>>,
}

/// Commands on one cluster, for one reconcile. Cheap to clone.
#[derive(Clone)]
pub struct ClusterClient {
    registry: Registry,
    target: Arc<ClusterTarget>,
    reconcile_id: Arc<str>,
}

// === impl Registry ===

impl Registry {
    /// A registry that dials with `driver` the hosts that `resolver` finds.
    pub fn new(driver: Arc<dyn Driver>, resolver: EndpointResolver, limits: Limits) -> Self {
        Self(Arc::new(Shared {
            pool: Pool::new(driver, limits),
            resolver,
            keyring: Keyring::default(),
            read_only: OnceLock::new(),
            leaders: Mutex::default(),
        }))
    }

    /// Changes nothing in any cluster while the switch is set. The first switch given counts.
    pub fn obey(&self, read_only: Arc<AtomicBool>) {
        let _ = self.0.read_only.set(read_only);
    }

    fn read_only(&self) -> bool {
        let switch = self.0.read_only.get();
        switch.is_some_and(|switch| switch.load(Ordering::Relaxed))
    }

    /// How hosts are found.
    pub fn resolver(&self) -> &EndpointResolver {
        &self.0.resolver
    }

    /// What was read from Secrets.
    pub fn keyring(&self) -> &Keyring {
        &self.0.keyring
    }

    /// The client of a cluster. What the pool holds for pods, passwords or certificates that are none of the
    /// target's is closed.
    pub fn cluster(&self, target: ClusterTarget) -> ClusterClient {
        let client = ClusterClient {
            registry: self.clone(),
            reconcile_id: Arc::from(""),
            target: Arc::new(target),
        };
        let keys: HashSet<_> = client
            .target
            .members
            .iter()
            .filter_map(|member| client.key(member).ok())
            .collect();
        self.0.pool.retain(&client.target.uid, &keys);
        client
    }

    /// A cluster is gone: everything of it is closed and forgotten.
    pub fn forget_cluster(&self, uid: &str) {
        self.0.pool.forget_cluster(uid);
        self.0.keyring.forget(uid);
        self.leaders().remove(uid);
    }

    /// Closes every connection: leadership is lost, or the process ends.
    pub fn close(&self) {
        self.0.pool.close();
        self.leaders().clear();
    }

    /// Closes idle and old connections from time to time, until it is dropped.
    pub async fn maintain(self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            self.0.pool.sweep();
        }
    }

    /// Closes the connections that were idle for longer than this; says how many.
    pub fn close_idle(&self, longer: Duration) -> usize {
        self.0.pool.close_idle(longer)
    }

    /// Connections that are open, and of those the ones that nobody uses.
    pub fn connections(&self) -> (usize, usize) {
        self.0.pool.connections()
    }

    /// What the pool holds now.
    pub fn snapshot(&self) -> PoolSnapshot {
        self.0.pool.snapshot()
    }

    fn leaders(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<str>>> {
        self.0.leaders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl ClusterClient ===

impl ClusterClient {
    /// The same client for one reconcile, whose id every statement carries.
    #[must_use]
    pub fn for_reconcile(mut self, id: &str) -> Self {
        self.reconcile_id = id.into();
        self
    }

    /// What it was made of.
    pub fn target(&self) -> &ClusterTarget {
        &self.target
    }

    /// The member whose server advertises `address` (`host:port`).
    pub fn member_at(&self, address: &str) -> Option<&Member> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let mut members = self.target.members.iter();
        members.find(|member| &*member.host == host || member.ip.as_deref() == Some(host) || &*member.pod == host)
    }

    fn key(&self, member: &Member) -> Result<EndpointKey, BoltError> {
        let host = self
            .registry
            .0
            .resolver
            .host(&member.host, member.ip.as_deref())
            .ok_or_else(|| BoltError::new(ErrorKind::Connect, "the pod has no address yet").at(&member.pod))?;
        Ok(EndpointKey {
            cluster_uid: self.target.uid.clone(),
            pod_uid: member.pod_uid.clone(),
            endpoint: Endpoint {
                host,
                port: BOLT_PORT,
                tls: self.target.tls.clone(),
            },
            user: self.target.credentials.user.clone(),
            credentials_version: self.target.credentials.version.clone(),
        })
    }

    /// Runs a command on one server, once.
    pub async fn execute_on(&self, member: &Member, command: &Command) -> Result<Rows, BoltError> {
        let statement = command.statement(&self.reconcile_id)?;
        let pool = &self.registry.0.pool;
        let result = pool
            .execute(&self.key(member)?, &self.target.credentials, SYSTEM, &statement)
            .await;
        if let Err(error) = &result {
            tracing::debug!(
                cluster = %self.target.cluster, pod = %member.pod, op = command.operation().as_str(), %error,
                "statement failed"
            );
        }
        result
    }

    /// Reads from the server that can answer soonest, or from another.
    pub(super) async fn read(&self, command: &Command) -> Result<Rows, BoltError> {
        let pool = &self.registry.0.pool;
        let mut members: Vec<_> = self.target.members.iter().collect();
        members.sort_by_cached_key(|member| {
            self.key(member)
                .ok()
                .map(|key| pool.readiness(&key))
                .map_or(3, |r| r as u8)
        });
        let began = Instant::now();
        let mut first: Option<BoltError> = None;
        for member in members {
            match self.execute_on(member, command).await {
                Ok(rows) => return Ok(rows),
                Err(error) if !error.another_server_may_answer() => return Err(error),
                // "No such host" is the answer only if every server says so: a release may hang on it.
                Err(error) if first.as_ref().is_none_or(|known| known.kind == ErrorKind::HostNotFound) => {
                    first = Some(error);
                }
                Err(_) => {}
            }
            if began.elapsed() > READ_TOTAL {
                break;
            }
        }
        Err(first.unwrap_or_else(|| BoltError::new(ErrorKind::NoServer, "the cluster has no pod that could be asked")))
    }

    /// The member that leads `system`.
    async fn leader(&self) -> Result<Member, BoltError> {
        let known = self.registry.leaders().get(&self.target.uid).cloned();
        if let Some(member) = known.and_then(|pod| self.target.members.iter().find(|member| member.pod == pod)) {
            return Ok(member.clone());
        }
        let rows = self.read(&Command::FindLeader).await?;
        let Some(row) = rows.0.first() else {
            return Err(no_leader());
        };
        let address = row.required("address")?;
        let member = self.member_at(address).cloned().ok_or_else(|| {
            BoltError::new(
                ErrorKind::NoServer,
                format!("the leader of the system database, {address}, is none of the cluster's pods"),
            )
        })?;
        self.registry
            .leaders()
            .insert(self.target.uid.clone(), member.pod.clone());
        Ok(member)
    }

    /// Sends a change to the leader of `system`, and to another leader if there is one now and sending it twice
    /// cannot hurt. To the same server it is sent once: whoever wanted it reads the state again first.
    pub(super) async fn write(&self, command: &Command) -> Result<Rows, BoltError> {
        if self.registry.read_only() {
            return Err(BoltError::new(ErrorKind::Invalid, "the operator is read-only"));
        }
        let mut asked: Vec<Arc<str>> = Vec::new();
        let mut first: Option<BoltError> = None;
        loop {
            let leader = match self.leader().await {
                Ok(leader) if !asked.contains(&leader.pod) && asked.len() < LEADERS_TRIED => leader,
                // That one pod has no host now does not mean that the cluster has none.
                Ok(_) => {
                    let told = first.filter(|known| known.kind != ErrorKind::HostNotFound);
                    return Err(told.unwrap_or_else(no_leader));
                }
                Err(error) => {
                    let told = first.filter(|known| known.kind != ErrorKind::HostNotFound);
                    return Err(told.unwrap_or(error));
                }
            };
            let error = match self.execute_on(&leader, command).await {
                Ok(rows) => return Ok(rows),
                Err(error) => error,
            };
            // The driver hides "not a leader" behind a timeout, so that is doubt enough.
            let doubtful = error.another_server_may_answer();
            if doubtful {
                self.registry.leaders().remove(&self.target.uid);
            }
            asked.push(leader.pod);
            let harmless = !error.outcome_unknown || command.retry() == Retry::Idempotent;
            let first = &*first.get_or_insert(error);
            if !(doubtful && harmless) {
                return Err(first.clone());
            }
        }
    }
}

fn no_leader() -> BoltError {
    BoltError::new(ErrorKind::NotLeader, "the system database has no leader now")
}
