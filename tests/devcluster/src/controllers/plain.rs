//! A runtime without any Neo4j: processes that are ready at once and do nothing, for tests of controllers and for `--no-neo4j`.
//!
//! A pod whose restart policy is not `Always` is taken for a Job's: its process ends with success at once. The annotation
//! [`FAULT_ANNOTATION`] on the pod breaks it: `crash` (exits with 1), `hang` (never ready), `image` (cannot be pulled).

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::Notify;

use super::{
    meta,
    runtime::{Exit, Process, Runtime, StartError},
};

/// Breaks a pod by hand.
pub const FAULT_ANNOTATION: &str = "devcluster.neo4j.com/fault";

/// Plays processes that do nothing.
#[derive(Debug, Default)]
pub struct PlainRuntime {
    processes: Mutex<BTreeMap<String, Process>>,
    addresses: AtomicU32,
    changed: Notify,
}

impl PlainRuntime {
    fn processes(&self) -> MutexGuard<'_, BTreeMap<String, Process>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the pod's process, as if it had by itself.
    pub fn exit(&self, pod: &Pod, exit: Exit) {
        self.set(pod, Process::Exited(exit));
    }

    /// Sets what the pod's readiness probe sees.
    pub fn set_ready(&self, pod: &Pod, ready: bool) {
        self.set(pod, Process::Running { ready });
    }

    /// How many processes run now.
    pub fn running(&self) -> usize {
        let processes = self.processes();
        processes
            .values()
            .filter(|process| matches!(process, Process::Running { .. }))
            .count()
    }

    fn set(&self, pod: &Pod, process: Process) {
        self.processes().insert(meta::uid(pod).to_owned(), process);
        self.changed.notify_one();
    }
}

impl Runtime for PlainRuntime {
    fn address(&self, _pod: &Pod) -> Result<IpAddr, StartError> {
        // 127.8.0.1 and on: loopback, so that nobody who tries one leaves the machine.
        let number = self.addresses.fetch_add(1, Ordering::Relaxed) % 0xFFFE + 1;
        Ok(IpAddr::V4(Ipv4Addr::from(0x7F08_0000 + number)))
    }

    fn start<'a>(&'a self, pod: &'a Pod, _attempt: u32) -> BoxFuture<'a, Result<(), StartError>> {
        let fault = meta::annotation(pod, FAULT_ANNOTATION);
        let policy = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
        let process = match (fault, policy) {
            (Some("image"), _) => {
                let lack = StartError {
                    reason: "ErrImagePull".to_owned(),
                    message: "the pod's fault annotation says that its image cannot be pulled".to_owned(),
                };
                return std::future::ready(Err(lack)).boxed();
            }
            (Some("crash"), _) => Process::Exited(Exit::failed(1, "the pod's fault annotation says that it crashes")),
            (Some("hang"), _) => Process::Running { ready: false },
            (_, None | Some("Always")) => Process::Running { ready: true },
            _ => Process::Exited(Exit::completed()),
        };
        self.processes().insert(meta::uid(pod).to_owned(), process);
        std::future::ready(Ok(())).boxed()
    }

    fn observe(&self, pod: &Pod) -> Process {
        let gone = || Process::Exited(Exit::failed(137, "no such process"));
        self.processes().get(meta::uid(pod)).cloned().unwrap_or_else(gone)
    }

    fn stop<'a>(&'a self, pod: &'a Pod, _grace: Duration) -> BoxFuture<'a, ()> {
        self.processes().remove(meta::uid(pod));
        std::future::ready(()).boxed()
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        self.changed.notified().boxed()
    }
}
