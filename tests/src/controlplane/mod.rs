//! A real control plane: etcd, kube-apiserver and, where asked for, kube-controller-manager, as processes of ours.
//!
//! ```text
//! programs  which folder they come from            (environment; an error says how to get them)
//! files     certificates, keys, tokens, kubeconfigs (pure text, then written to one folder)
//! flags     what each program is started with       (pure)
//! start     processes -> ready -> a client with all rights
//! audit     what was asked of the server, by whom, and what it answered
//! ```
//!
//! All files lie in one temporary folder, on a memory disk where there is one: etcd then costs no disk writes.
//! The processes are killed when the owner is dropped, and by the kernel when we are killed ourselves; the folder
//! of a killed run is removed by the next one.

mod audit;
mod files;
mod flags;
mod manager;
mod programs;

use std::{
    io::{Read as _, Seek as _, SeekFrom},
    net::TcpListener,
    path::{Path, PathBuf},
    time::Duration,
};

use k8s_openapi::api::{core::v1::ServiceAccount, storage::v1::StorageClass};
use kube::{Api, Client, api::PostParams};
use serde_json::json;

use crate::harness::{Ending, Process, StackError, client_of, wait_until};

pub use self::{
    audit::{AuditRecord, records},
    flags::Minor,
    manager::ControllerManager,
    programs::{Missing, Programs},
};

/// How long the control plane may take until it serves, on a machine that compiles something else.
const START_LIMIT: Duration = Duration::from_secs(90);

/// The class that claims without one get, as on the embedded cluster.
const STORAGE_CLASS: &str = "standard";

/// How to start a control plane.
#[derive(Clone, Debug)]
pub struct Options {
    /// Behaves as this minor; else as the one it was built from.
    pub emulated: Option<Minor>,
    /// kube-controller-manager too.
    pub controllers: bool,
    /// For load: no fair queuing, no limits in flight, room for a large store.
    pub load: bool,
    /// etcd forgets revisions older than this, so that 410 can be provoked.
    pub compaction: Option<Duration>,
}

/// What went wrong with a control plane.
#[derive(Debug, thiserror::Error)]
pub enum ControlPlaneError {
    /// Its programs are not there.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// A process or a client.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// Certificates.
    #[error("certificates of the control plane: {0}")]
    Certificate(#[from] rcgen::Error),
    /// Files.
    #[error("{what}: {source}")]
    Io {
        /// What was done.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The server refuses what every start needs.
    #[error("{what}: {source}")]
    Kube {
        /// What was done.
        what: &'static str,
        /// Why it failed.
        source: Box<kube::Error>,
    },
}

/// A running control plane. Dropping it kills it.
pub struct ControlPlane {
    client: Client,
    kubeconfig: PathBuf,
    /// In the order in which they are to end.
    processes: Vec<Process>,
    /// Last, so that the folder outlives the processes that write to it.
    folder: tempfile::TempDir,
}

/// The ports of one control plane on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
struct Ports {
    etcd: u16,
    etcd_peer: u16,
    apiserver: u16,
    controllers: u16,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            emulated: None,
            controllers: true,
            load: false,
            compaction: None,
        }
    }
}

impl ControlPlane {
    /// Starts one and waits until it serves.
    ///
    /// # Errors
    /// If its programs are missing ([`Missing`] says how to get them), or one does not come up (with its last lines).
    pub async fn start(options: &Options) -> Result<Self, ControlPlaneError> {
        let folder = files::folder()?;
        let programs = Programs::find(options.controllers)?;
        let ports = Ports::free()?;
        files::write_all(folder.path(), ports.apiserver)?;

        let at = folder.path();
        let mut etcd = start("etcd", &programs.etcd, &flags::etcd(at, ports, options), at)?;
        let arguments = flags::apiserver(at, ports, options);
        let mut apiserver = start("kube-apiserver", &programs.apiserver, &arguments, at)?;
        let kubeconfig = files::admin_kubeconfig(at);
        let client = client_of(&kubeconfig, None).await?;
        wait_until("the real API server being ready", START_LIMIT, || {
            let running = etcd.check().and_then(|()| apiserver.check());
            let client = client.clone();
            async move {
                running?;
                Ok(ready(&client).await.then_some(()))
            }
        })
        .await?;

        let mut processes = vec![apiserver, etcd];
        if let (true, Some(program)) = (options.controllers, &programs.controllers) {
            let arguments = flags::controllers(at, ports, options);
            let mut controllers = start("kube-controller-manager", program, &arguments, at)?;
            controllers_work(&client, &mut controllers).await?;
            processes.insert(0, controllers);
            create_storage_class(&client).await?;
        }
        Ok(Self {
            client,
            kubeconfig,
            processes,
            folder,
        })
    }

    /// A client with all rights.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The kubeconfig of that client.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Where logs and other files of this control plane lie; gone when it is dropped.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Every request so far, but for those of the control plane itself; `None` where the log cannot be read.
    pub fn audit(&self) -> Option<Vec<AuditRecord>> {
        let text = std::fs::read_to_string(files::audit(self.folder.path())).ok()?;
        Some(records(&text))
    }

    /// The requests whose lines lie behind this place of the log, as [`ControlPlane::audit`], and the place behind
    /// them: after many thousand requests the whole log takes seconds to read. `None` where it cannot be read.
    pub fn audit_from(&self, place: u64) -> Option<(Vec<AuditRecord>, u64)> {
        let mut file = std::fs::File::open(files::audit(self.folder.path())).ok()?;
        file.seek(SeekFrom::Start(place)).ok()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        // A last line that is still being written is read next time.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let text = std::str::from_utf8(bytes.get(..whole)?).ok()?;
        Some((records(text), place + whole as u64))
    }

    /// The length of the log now, as a place for [`ControlPlane::audit_from`].
    pub fn audit_end(&self) -> Option<u64> {
        let log = std::fs::metadata(files::audit(self.folder.path())).ok()?;
        Some(log.len())
    }

    /// The processes by name: kube-apiserver, etcd, kube-controller-manager.
    pub fn processes(&self) -> &[Process] {
        &self.processes
    }
}

impl Ports {
    /// All held until all are known, so that no two are the same.
    fn free() -> Result<Self, ControlPlaneError> {
        let bind = || TcpListener::bind(("127.0.0.1", 0));
        let port = |held: &TcpListener| held.local_addr().map(|address| address.port());
        let ports = || -> std::io::Result<Self> {
            let held = [bind()?, bind()?, bind()?, bind()?];
            Ok(Self {
                etcd: port(&held[0])?,
                etcd_peer: port(&held[1])?,
                apiserver: port(&held[2])?,
                controllers: port(&held[3])?,
            })
        };
        ports().map_err(failed_io("a free port on 127.0.0.1"))
    }
}

fn failed_io(what: &str) -> impl FnOnce(std::io::Error) -> ControlPlaneError {
    let what = what.to_owned();
    move |source| ControlPlaneError::Io { what, source }
}

fn start(name: &'static str, program: &Path, arguments: &[String], folder: &Path) -> Result<Process, StackError> {
    Ok(Process::start_at(
        name,
        program,
        Ending::Killed,
        arguments,
        &[],
        folder,
    )?)
}

/// `/readyz` says ok. What the client reports before the server listens is not worth telling.
async fn ready(client: &Client) -> bool {
    let request = http::Request::get("/readyz").body(Vec::new());
    match request {
        Ok(request) => client.request_text(request).await.is_ok(),
        Err(_) => false,
    }
}

/// The controllers work when one of them has: every namespace gets a ServiceAccount.
async fn controllers_work(client: &Client, process: &mut Process) -> Result<(), StackError> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    wait_until("the work of kube-controller-manager", START_LIMIT, || {
        let running = process.check();
        let accounts = accounts.clone();
        async move {
            running?;
            Ok(accounts.get_opt("default").await.ok().flatten().map(|_| ()))
        }
    })
    .await
}

async fn create_storage_class(client: &Client) -> Result<(), ControlPlaneError> {
    let class: StorageClass = serde_json::from_value(json!({
        "metadata": {
            "name": STORAGE_CLASS,
            "annotations": { "storageclass.kubernetes.io/is-default-class": "true" },
        },
        "provisioner": "kubernetes.io/host-path",
        "allowVolumeExpansion": true,
    }))
    .map_err(|source| ControlPlaneError::Kube {
        what: "the default storage class",
        source: Box::new(kube::Error::SerdeError(source)),
    })?;
    let created = Api::all(client.clone()).create(&PostParams::default(), &class).await;
    created.map(drop).map_err(|source| ControlPlaneError::Kube {
        what: "the default storage class",
        source: Box::new(source),
    })
}
