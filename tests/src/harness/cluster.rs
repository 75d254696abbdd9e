//! A cluster for tests, whichever it is: what answers the Kubernetes API and makes pods ready, as processes.
//!
//! ```text
//! embedded   one devcluster process for each test
//! real       etcd, kube-apiserver, kube-controller-manager, and a devcluster process that is their node
//! ```
//!
//! A real one takes seconds to start, so tests share one per test program, each in a namespace of its own; what
//! cannot be shared (another minor, an operator that looks after all namespaces) starts one for itself.

#![allow(unsafe_code)] // `atexit`: nothing else ends what a static holds

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::{Arc, Once},
};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::{Api, Client, api::PostParams};
use tokio::sync::Mutex;

use super::{
    process::{Process, ProcessError, Program},
    stack::{Devcluster, START_LIMIT, StackError, client_of, install_crds, wait_until},
    target::{Target, UnknownTarget},
};
use crate::{
    controlplane::{AuditRecord, ControlPlane, ControlPlaneError, Minor, Options, records},
    rights::{self, RightsError, Scope},
};

/// Why there is no cluster, or no identity in it.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Nobody knows which.
    #[error(transparent)]
    Target(#[from] UnknownTarget),
    /// A process or a client.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// The real control plane.
    #[error(transparent)]
    ControlPlane(#[from] ControlPlaneError),
    /// The operator's identity.
    #[error(transparent)]
    Rights(#[from] RightsError),
    /// Its audit log is gone.
    #[error("the audit log of the cluster cannot be read")]
    NoAudit,
    /// A server that somebody else runs has a kubelet that takes our pods.
    #[error("these tests need a control plane of their own, whose pods run nothing: unset CONTEXT")]
    Foreign,
}

impl From<ProcessError> for ClusterError {
    fn from(error: ProcessError) -> Self {
        Self::Stack(error.into())
    }
}

/// A cluster with our definitions installed.
pub struct TestCluster {
    client: Client,
    running: Running,
}

enum Running {
    Embedded(Box<Devcluster>),
    Real(Arc<Real>),
}

/// A real control plane with its node. In the order in which they end.
struct Real {
    _node: Process,
    plane: ControlPlane,
}

/// The real one that tests share. It ends with the test program.
static SHARED: Mutex<Option<Arc<Real>>> = Mutex::const_new(None);

impl TestCluster {
    /// A cluster of this target. On the real one it is shared: stay in a namespace of your own.
    ///
    /// # Errors
    /// If a program is missing or does not come up.
    pub async fn start(target: Target, folder: &Path) -> Result<Self, ClusterError> {
        match target {
            Target::Embedded => Self::embedded(folder).await,
            Target::Real => Self::of(Real::shared().await?).await,
        }
    }

    /// A cluster of this target that nobody else uses.
    ///
    /// # Errors
    /// As [`TestCluster::start`].
    pub async fn start_alone(target: Target, folder: &Path) -> Result<Self, ClusterError> {
        match target {
            Target::Embedded => Self::embedded(folder).await,
            Target::Real => Self::of(Arc::new(Real::start(None).await?)).await,
        }
    }

    /// A real cluster that behaves as a minor, which nobody else uses.
    ///
    /// # Errors
    /// As [`TestCluster::start`].
    pub async fn emulated(minor: Minor) -> Result<Self, ClusterError> {
        Self::of(Arc::new(Real::start(Some(minor)).await?)).await
    }

    async fn embedded(folder: &Path) -> Result<Self, ClusterError> {
        let devcluster = Devcluster::start_audited(folder).await?;
        install_crds(&devcluster.client).await?;
        Ok(Self {
            client: devcluster.client.clone(),
            running: Running::Embedded(Box::new(devcluster)),
        })
    }

    /// With a client of its own: one that another test has made would end with that test's runtime.
    async fn of(real: Arc<Real>) -> Result<Self, ClusterError> {
        Ok(Self {
            client: client_of(real.plane.kubeconfig(), None).await?,
            running: Running::Real(real),
        })
    }

    /// Which it is.
    pub const fn target(&self) -> Target {
        match self.running {
            Running::Embedded(_) => Target::Embedded,
            Running::Real(_) => Target::Real,
        }
    }

    /// A client with all rights.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The kubeconfig of that client.
    pub fn kubeconfig(&self) -> &Path {
        match &self.running {
            Running::Embedded(devcluster) => &devcluster.kubeconfig,
            Running::Real(real) => real.plane.kubeconfig(),
        }
    }

    /// The embedded one's process.
    pub fn devcluster(&mut self) -> Option<&mut Devcluster> {
        match &mut self.running {
            Running::Embedded(devcluster) => Some(devcluster),
            Running::Real(_) => None,
        }
    }

    /// Makes a namespace and waits until the controllers have furnished it.
    ///
    /// # Errors
    /// If the server refuses, or they do not.
    pub async fn create_namespace(&self, name: &str) -> Result<(), ClusterError> {
        let failed = |source: kube::Error| StackError::Kube {
            what: "a namespace",
            source: Box::new(source),
        };
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.to_owned());
        let created = Api::all(self.client()).create(&PostParams::default(), &namespace).await;
        created.map_err(failed)?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client(), name);
        let maps: Api<ConfigMap> = Api::namespaced(self.client(), name);
        // The authority of ServiceAccounts is published by kube-controller-manager only.
        let published = !self.target().is_embedded();
        wait_until("the furniture of a namespace", START_LIMIT, || {
            let (accounts, maps) = (accounts.clone(), maps.clone());
            async move {
                let account = accounts.get_opt("default").await.map_err(failed)?.is_some();
                let authority = !published || maps.get_opt("kube-root-ca.crt").await.map_err(failed)?.is_some();
                Ok((account && authority).then_some(()))
            }
        })
        .await?;
        Ok(())
    }

    /// A kubeconfig for the operator: a ServiceAccount with the shipped rights and nothing else.
    ///
    /// # Errors
    /// If the server refuses, or a file cannot be written.
    pub async fn operator(&self, scope: Scope<'_>, folder: &Path) -> Result<PathBuf, ClusterError> {
        Ok(rights::operator_kubeconfig(&self.client, self.kubeconfig(), scope, folder).await?)
    }

    /// Every request so far; on a real cluster without those of the control plane itself.
    ///
    /// # Errors
    /// If the audit log cannot be read: no log is not an empty one.
    pub fn requests(&self) -> Result<Vec<AuditRecord>, ClusterError> {
        let audit = match &self.running {
            Running::Embedded(devcluster) => {
                let log = devcluster
                    .audit
                    .as_ref()
                    .and_then(|file| std::fs::read_to_string(file).ok());
                log.map(|log| records(&log))
            }
            Running::Real(real) => real.plane.audit(),
        };
        audit.ok_or(ClusterError::NoAudit)
    }
}

// === impl Real ===

impl Real {
    async fn shared() -> Result<Arc<Self>, ClusterError> {
        let mut shared = SHARED.lock().await;
        if let Some(real) = &*shared {
            return Ok(Arc::clone(real));
        }
        let real = Arc::new(Self::start(None).await?);
        *shared = Some(Arc::clone(&real));
        end_with_the_program();
        Ok(real)
    }

    async fn start(emulated: Option<Minor>) -> Result<Self, ClusterError> {
        if std::env::var_os("CONTEXT").is_some_and(|context| !context.is_empty()) {
            return Err(ClusterError::Foreign);
        }
        let plane = ControlPlane::start(&Options {
            emulated,
            ..Options::default()
        })
        .await?;
        let node = node_of(&plane).await?;
        install_crds(&plane.client()).await?;
        Ok(Self { _node: node, plane })
    }
}

/// The node says so on its standard output once it is registered.
async fn node_of(plane: &ControlPlane) -> Result<Process, ClusterError> {
    let arguments = [
        OsStr::new("node"),
        OsStr::new("--kubeconfig"),
        plane.kubeconfig().as_os_str(),
    ];
    let mut node = Process::start(Program::Devcluster, &arguments, &[], plane.folder())?;
    wait_until("a node of the real control plane", START_LIMIT, || {
        let running = node.check();
        let said = node.tail().contains("is a node");
        async move {
            running?;
            Ok(said.then_some(()))
        }
    })
    .await?;
    Ok(node)
}

/// Statics are never dropped, and the folder of a control plane is a hundred megabytes of a memory disk.
fn end_with_the_program() {
    extern "C" fn end() {
        if let Ok(mut shared) = SHARED.try_lock() {
            drop(shared.take());
        }
    }
    static ONCE: Once = Once::new();
    // SAFETY: `end` is a plain function that lives as long as the program and does not unwind: dropping a control
    // plane kills processes and removes files.
    ONCE.call_once(|| unsafe {
        libc::atexit(end);
    });
}
