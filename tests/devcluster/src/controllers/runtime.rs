//! What a pod's containers do: the seam between the fake kubelet and whoever plays the processes.
//!
//! The kubelet starts a pod's process once its init containers are through, asks [`Runtime::observe`] again and again (and at once when
//! [`Runtime::changed`] resolves), and ends it with [`Runtime::stop`]. A process that runs to its end (a Job's) reports `Exited`, and
//! so does one that crashed; whether it is started again is the kubelet's decision by `restartPolicy`.

use std::{net::IpAddr, time::Duration};

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// 0 is success; 137 is killed.
    pub code: i32,
    /// `Completed`, `Error`, `OOMKilled`; empty: by the code.
    pub reason: String,
    /// What the process wrote to its termination log.
    pub message: Option<String>,
}

impl Exit {
    /// A process that did its work.
    pub fn completed() -> Self {
        Self {
            code: 0,
            reason: String::new(),
            message: None,
        }
    }

    /// A process that failed with this code.
    pub fn failed(code: i32, message: impl Into<String>) -> Self {
        Self {
            code,
            reason: String::new(),
            message: Some(message.into()),
        }
    }
}

/// What a pod's main process is doing now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Process {
    /// Runs; its readiness probe answers as told.
    Running {
        /// What the readiness probe sees.
        ready: bool,
    },
    /// Has ended.
    Exited(Exit),
}

/// Why a process cannot be started: becomes the container's waiting state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct StartError {
    /// `ErrImagePull`, `CreateContainerConfigError`, …
    pub reason: String,
    /// For people.
    pub message: String,
}

/// A certificate with its key and the authority that signed it, all PEM.
#[derive(Clone)]
pub struct IssuedCertificate {
    /// The authority's certificate.
    pub ca_crt: String,
    /// The certificate (chain).
    pub tls_crt: String,
    /// Its private key.
    pub tls_key: String,
}

/// Plays the processes of pods. Cheap to call often; identified by the pod's uid.
pub trait Runtime: Send + Sync + 'static {
    /// The pod's address; asked once per pod, before `start`.
    fn address(&self, pod: &Pod) -> Result<IpAddr, StartError>;

    /// Starts the pod's process. `attempt` is 0 for the first start and counts restarts.
    fn start<'a>(&'a self, pod: &'a Pod, attempt: u32) -> BoxFuture<'a, Result<(), StartError>>;

    /// What the pod's process is doing. Only asked after a successful `start`.
    fn observe(&self, pod: &Pod) -> Process;

    /// Asks the process to end and resolves when it has, at the latest after `grace`. The pod's volumes stay.
    fn stop<'a>(&'a self, pod: &'a Pod, grace: Duration) -> BoxFuture<'a, ()>;

    /// Resolves when some process changed since the last call; the default never does, and the kubelet's own interval finds it.
    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    /// A certificate for the Neo4j cluster `cluster` (the annotation `devcluster.neo4j.com/certificate-for`), where the runtime issues any.
    fn certificate(&self, namespace: &str, cluster: &str) -> Option<IssuedCertificate> {
        let _ = (namespace, cluster);
        None
    }
}
