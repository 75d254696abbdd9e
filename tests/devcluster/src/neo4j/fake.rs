//! All fake Neo4j clusters of a devcluster: addresses, certificates, processes, and what tests do to them.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{Api, Client};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    addresses::{AddressError, Network},
    backup::{BackupFault, Backups},
    bolt::{connection::Backend, session::Run},
    certificates::{Authority, CertificateError},
    failure::Neo4jFailure,
    faults::{Fault, Stage},
    handle::{Clock, ClusterHandle},
    load::Load,
    model::Tuning,
    process::Process,
    value::{Value, ValueMap},
};
use crate::controllers::runtime::{Exit, IssuedCertificate, StartError};

/// Slots of processes that have ended are kept for those who still look, up to so many.
const MAX_SLOTS: usize = 4096;

/// How a fake is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Opens real ports. Without, servers are ready but reached by [`FakeNeo4j::execute`] only.
    pub listen: bool,
    /// What the clock reads at the beginning.
    pub epoch: jiff::Timestamp,
    /// How fast clusters do what they do.
    pub tuning: Tuning,
    /// From SIGTERM to the end of a server.
    pub stop: Duration,
    /// Bytes that a backup moves in a second.
    pub backup_bytes_per_second: u64,
    /// Domain of the names in certificates.
    pub domain: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: true,
            epoch: jiff::Timestamp::now(),
            tuning: Tuning::default(),
            stop: Duration::from_millis(300),
            backup_bytes_per_second: 32 * 1024 * 1024,
            domain: "cluster.local".to_owned(),
        }
    }
}

/// Why a fake cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// No addresses.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// No authority.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// A pod's process.
#[derive(Clone)]
pub(super) enum Slot {
    /// A Neo4j server.
    Server(Arc<Process>),
    /// A backup that runs.
    Backup(CancellationToken),
    /// Something that only runs.
    Other,
    /// Has ended.
    Exited(Exit),
}

impl Slot {
    /// A pod that is none of ours: it runs, or is done at once where it is a Job's.
    pub(super) fn other(pod: &Pod) -> Self {
        let policy = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
        match policy {
            None | Some("Always") => Self::Other,
            Some(_) => Self::Exited(Exit::completed()),
        }
    }
}

/// Rows of a statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// Columns.
    pub fields: Vec<String>,
    /// Rows.
    pub rows: Vec<Vec<Value>>,
}

/// One statement to one server, without a socket.
#[derive(Debug, Clone, Default)]
pub struct Call {
    /// Pod name, pod IP or advertised host.
    pub server: String,
    /// User.
    pub user: String,
    /// Password.
    pub password: String,
    /// Database; `None` is the user's home.
    pub database: Option<String>,
    /// The statement.
    pub statement: String,
    /// Its parameters.
    pub parameters: ValueMap,
    /// The server ends it after this time.
    pub timeout: Option<Duration>,
}

/// Why a call gave no rows. Each is what a driver would see over a socket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nothing listens, or it does not answer as a server does.
    #[error("{0} cannot be reached")]
    Unreachable(String),
    /// The credentials were refused.
    #[error("login: {0}")]
    Login(Neo4jFailure),
    /// The server refused.
    #[error(transparent)]
    Neo4j(#[from] Neo4jFailure),
    /// The connection broke after the statement was sent: whether it took effect is unknown.
    #[error("the connection to {0} was lost")]
    Lost(String),
}

/// All fake Neo4j clusters of a devcluster.
pub struct FakeNeo4j {
    pub(super) client: Client,
    pub(super) options: Options,
    pub(super) backups: Backups,
    pub(super) changed: Notify,
    /// Held while a server boots, so that clusters are not begun anew under each other.
    pub(super) boots: tokio::sync::Mutex<()>,
    network: Network,
    authority: Authority,
    clock: Clock,
    clusters: Mutex<BTreeMap<String, Arc<ClusterHandle>>>,
    slots: Mutex<BTreeMap<String, Slot>>,
    /// Namespace and claim of each volume.
    volumes: Mutex<BTreeMap<String, (String, String)>>,
    backup_faults: Mutex<BTreeMap<String, BackupFault>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeNeo4j {
    /// A fake that reads what pods mount through `client`.
    pub fn new(client: Client, options: Options) -> Result<Arc<Self>, SetupError> {
        let network = if options.listen {
            Network::claim()?
        } else {
            Network::unclaimed()
        };
        Ok(Arc::new(Self {
            client,
            backups: Backups::default(),
            changed: Notify::new(),
            boots: tokio::sync::Mutex::new(()),
            network,
            authority: Authority::new()?,
            clock: Clock::new(options.epoch),
            clusters: Mutex::default(),
            slots: Mutex::default(),
            volumes: Mutex::default(),
            backup_faults: Mutex::default(),
            options,
        }))
    }

    // === what tests and demonstrations use ===

    /// A cluster by namespace and name, with its model and its faults; made where it is not there yet.
    pub fn cluster(&self, namespace: &str, name: &str) -> Arc<ClusterHandle> {
        self.cluster_or_new(&format!("{namespace}/{name}"))
    }

    /// Sets what the clients of a cluster do.
    pub fn set_load(&self, namespace: &str, name: &str, load: Load) {
        self.cluster(namespace, name).with(|cluster, _| cluster.load = load);
    }

    /// Whether a server, by pod name, IP or host, takes connections.
    pub fn serves(&self, server: &str) -> bool {
        self.process(server).is_some_and(|process| process.is_ready())
    }

    /// Ends the process of a Neo4j pod, as if it had crashed. False: there is none.
    pub fn crash(&self, pod: &str) -> bool {
        let process = self.process(pod);
        if let Some(process) = &process {
            process.end();
            self.changed.notify_one();
        }
        process.is_some()
    }

    /// Stops (true) or continues the process of a Neo4j pod. False: there is none.
    pub fn hang(&self, pod: &str, hung: bool) -> bool {
        let process = self.process(pod);
        if let Some(process) = &process {
            process.hang(hung);
        }
        process.is_some()
    }

    /// What backups of a cluster do wrong from now on; `None`: nothing.
    pub fn set_backup_fault(&self, namespace: &str, name: &str, fault: Option<BackupFault>) {
        let key = format!("{namespace}/{name}");
        match fault {
            Some(fault) => lock(&self.backup_faults).insert(key, fault),
            None => lock(&self.backup_faults).remove(&key),
        };
    }

    /// Files that backups have left in a folder of a volume, which is named by its claim's uid.
    pub fn backup_files(&self, volume: &str, path: &str) -> Vec<String> {
        self.backups.files(volume, path)
    }

    /// A certificate for a cluster: its names and all its addresses.
    pub fn certificate(&self, namespace: &str, cluster: &str) -> Result<IssuedCertificate, SetupError> {
        let addresses = self.network.block_of(&format!("{namespace}/{cluster}"))?;
        Ok(self
            .authority
            .issue(namespace, cluster, &self.options.domain, addresses)?)
    }

    /// Runs one statement at one server without a socket, on whatever clock tokio has. Faults strike as they would on a connection;
    /// one that never answers lets the call wait for ever. Dropping the call leaves the statement's effect.
    pub async fn execute(&self, call: Call) -> Result<Rows, CallError> {
        let unreachable = || CallError::Unreachable(call.server.clone());
        let process = self
            .process(&call.server)
            .filter(|process| process.is_ready())
            .ok_or_else(unreachable)?;
        process.continues().await;
        for stage in [Stage::Accept, Stage::Handshake, Stage::Hello] {
            if let Some(fault) = process.strike(stage, None) {
                suffer(fault)
                    .await
                    .map_err(|failure| failure.map_or_else(unreachable, CallError::Login))?;
            }
        }
        let hello = ValueMap::from([
            ("scheme".to_owned(), "basic".into()),
            ("principal".to_owned(), call.user.as_str().into()),
            ("credentials".to_owned(), call.password.as_str().into()),
            ("user_agent".to_owned(), "call".into()),
        ]);
        let (user, expired) = process.login("", &hello).map_err(CallError::Login)?;
        let lost = || CallError::Lost(call.server.clone());
        let mut lose = false;
        match process.strike(Stage::Run, Some(&call.statement)) {
            Some(Fault::LoseReply) => lose = true,
            Some(fault) => suffer(fault)
                .await
                .map_err(|failure| failure.map_or_else(lost, CallError::Neo4j))?,
            None => {}
        }
        let run = Run {
            user,
            expired,
            query: call.statement.clone(),
            parameters: call.parameters.clone(),
            database: call.database.clone(),
            write: true,
            timeout: call.timeout,
            ..Run::default()
        };
        let outcome = process.run(&run).await;
        if lose || process.has_ended() {
            return Err(lost());
        }
        let mut outcome = outcome?;
        if let Some(work) = outcome.work.take() {
            process.work(&work).await?;
        }
        if let Some(fault) = process.strike(Stage::Pull, None) {
            suffer(fault)
                .await
                .map_err(|failure| failure.map_or_else(lost, CallError::Neo4j))?;
        }
        match outcome.failure {
            Some(failure) => Err(failure.into()),
            None => Ok(Rows {
                fields: outcome.fields,
                rows: outcome.rows.into(),
            }),
        }
    }

    // === what the runtime uses ===

    pub(super) fn cluster_or_new(&self, key: &str) -> Arc<ClusterHandle> {
        let mut clusters = lock(&self.clusters);
        let new = || ClusterHandle::new(key, self.options.tuning.clone(), self.clock);
        Arc::clone(clusters.entry(key.to_owned()).or_insert_with(new))
    }

    pub(super) fn address_of(&self, cluster: &str, pod: &str, pool: Option<&str>) -> Result<IpAddr, StartError> {
        self.network.address(cluster, pod, pool).map_err(|error| StartError {
            reason: "FailedCreatePodSandBox".to_owned(),
            message: error.to_string(),
        })
    }

    pub(super) fn backup_fault(&self, cluster: &str) -> Option<BackupFault> {
        lock(&self.backup_faults).get(cluster).cloned()
    }

    pub(super) fn slot(&self, uid: &str) -> Option<Slot> {
        lock(&self.slots).get(uid).cloned()
    }

    /// Puts a pod's new process in its place.
    pub(super) fn place(&self, uid: &str, slot: Slot) {
        let mut slots = lock(&self.slots);
        if slots.len() >= MAX_SLOTS {
            slots.retain(|_, slot| !matches!(slot, Slot::Exited(_)));
        }
        slots.insert(uid.to_owned(), slot);
    }

    /// Notes what became of a process, and tells the kubelet.
    pub(super) fn set(&self, uid: &str, slot: Slot) {
        lock(&self.slots).insert(uid.to_owned(), slot);
        self.changed.notify_one();
    }

    pub(super) fn remember_volume(&self, volume: &str, namespace: &str, claim: Option<String>) {
        if let Some(claim) = claim {
            lock(&self.volumes).insert(volume.to_owned(), (namespace.to_owned(), claim));
        }
    }

    /// A cluster whose servers are all down and whose volumes are all gone has no state left: what starts now under its name is new.
    pub(super) async fn forget_lost_volumes(&self, key: &str, booting: &str) -> Result<(), StartError> {
        let handle = self.cluster_or_new(key);
        let known: Option<Vec<String>> = handle.with(|cluster, _| {
            let idle = cluster.servers.values().all(|server| server.process.is_none());
            idle.then(|| {
                cluster
                    .servers
                    .values()
                    .map(|server| server.boot.volume.clone())
                    .collect()
            })
        });
        let Some(known) = known.filter(|known| !known.is_empty() && !known.iter().any(|volume| volume == booting))
        else {
            return Ok(());
        };
        for volume in known {
            if self.volume_exists(&volume).await? {
                return Ok(());
            }
        }
        handle.reset(key, self.options.tuning.clone());
        Ok(())
    }

    async fn volume_exists(&self, volume: &str) -> Result<bool, StartError> {
        let Some((namespace, claim)) = lock(&self.volumes).get(volume).cloned() else {
            return Ok(false);
        };
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &namespace);
        let object = api.get_opt(&claim).await.map_err(|error| StartError {
            reason: "CreateContainerError".to_owned(),
            message: error.to_string(),
        })?;
        Ok(object.is_some_and(|object| object.metadata.uid.as_deref() == Some(volume)))
    }

    /// The process of a server, by pod name, IP or host.
    fn process(&self, name: &str) -> Option<Arc<Process>> {
        lock(&self.slots).values().find_map(|slot| match slot {
            Slot::Server(process) if !process.has_ended() && process.is_called(name) => Some(Arc::clone(process)),
            _ => None,
        })
    }
}

/// A fault without a socket: goes on, never answers, breaks (`None`) or fails.
async fn suffer(fault: Fault) -> Result<(), Option<Neo4jFailure>> {
    match fault {
        Fault::Delay(time) => tokio::time::sleep(time).await,
        Fault::Drip(pause) => tokio::time::sleep(pause * 64).await,
        Fault::BlackHole | Fault::OnlyNoops => std::future::pending().await,
        Fault::Fail(failure) => return Err(Some(failure)),
        Fault::Reset | Fault::Close | Fault::HalfAnswer | Fault::LoseReply | Fault::NoCommonVersion => {
            return Err(None);
        }
    }
    Ok(())
}
