//! The fake kubelet, and the scheduler with it: one node that takes every pod.
//!
//! [`worker`] is the life of one pod, [`needs`] what must exist before it can start, [`status`] what is reported. The processes
//! themselves are played by the [`Runtime`]. A process ends when it would: deletion waits for it as long as the pod's grace.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::{
    api::core::v1::{Node, Pod},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::Api;
use serde_json::json;
use tokio::sync::{Notify, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Context, Error, meta,
    runtime::Runtime,
    view::{Change, within},
};

pub(super) mod needs;
mod status;
mod worker;

/// The node's name.
pub const NODE: &str = "devcluster";

/// What every pod's task works with.
struct Kubelet {
    context: Context,
    runtime: Arc<dyn Runtime>,
    node: String,
    node_address: IpAddr,
}

/// The tasks of pods, by uid: who wakes them.
type Workers = Arc<Mutex<BTreeMap<String, Arc<Notify>>>>;

/// Runs the node until `stop`, and waits for the tasks of its pods to end.
pub(super) async fn run(context: Context, runtime: Arc<dyn Runtime>, stop: CancellationToken) {
    let kubelet = Arc::new(Kubelet {
        context,
        runtime,
        node: NODE.to_owned(),
        node_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    });
    let workers = Workers::default();
    let (arrive, mut arrivals) = mpsc::unbounded_channel::<Arc<Pod>>();
    let seen = Arc::clone(&workers);
    // Unbounded, but one message per uid: a pod that has a task is only woken.
    kubelet.context.views.pods.subscribe(move |change| {
        let (Change::Applied { now: pod, .. } | Change::Deleted(pod)) = change;
        let mut workers = seen.lock().unwrap_or_else(PoisonError::into_inner);
        match workers.get(meta::uid(*pod)) {
            Some(wake) => wake.notify_one(),
            None if matches!(change, Change::Applied { .. }) && is_ours(pod) => {
                workers.insert(meta::uid(*pod).to_owned(), Arc::new(Notify::new()));
                let _ = arrive.send(Arc::new((*pod).clone()));
            }
            None => {}
        }
    });
    wake_on_claims(&kubelet, &workers);
    let tasks = TaskTracker::new();
    tasks.spawn(
        stop.clone()
            .run_until_cancelled_owned(wake_on_changes(Arc::clone(&kubelet), Arc::clone(&workers))),
    );
    let ready = async {
        kubelet.register().await;
        kubelet.context.views.pods.synced().await;
        kubelet.context.views.claims.synced().await;
    };
    if stop.run_until_cancelled(ready).await.is_some() {
        while let Some(Some(pod)) = stop.run_until_cancelled(arrivals.recv()).await {
            spawn(&kubelet, &workers, &tasks, &pod, stop.clone());
        }
    }
    tasks.close();
    tasks.wait().await;
}

fn spawn(kubelet: &Arc<Kubelet>, workers: &Workers, tasks: &TaskTracker, pod: &Pod, stop: CancellationToken) {
    let uid = meta::uid(pod).to_owned();
    let wake = workers
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&uid)
        .cloned()
        .unwrap_or_default();
    let worker = worker::Worker::new(Arc::clone(kubelet), pod, wake);
    let workers = Arc::clone(workers);
    tasks.spawn(async move {
        worker.run(stop).await;
        workers.lock().unwrap_or_else(PoisonError::into_inner).remove(&uid);
    });
}

fn is_ours(pod: &Pod) -> bool {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    node.is_none_or(|node| node.is_empty() || node == NODE)
}

fn wake_all(workers: &Workers) {
    for wake in workers.lock().unwrap_or_else(PoisonError::into_inner).values() {
        wake.notify_one();
    }
}

/// A claim that gets bound lets its pods go on.
fn wake_on_claims(kubelet: &Kubelet, workers: &Workers) {
    let workers = Arc::clone(workers);
    kubelet.context.views.claims.subscribe(move |_| wake_all(&workers));
}

/// A process that changed is looked at at once.
async fn wake_on_changes(kubelet: Arc<Kubelet>, workers: Workers) {
    loop {
        kubelet.runtime.changed().await;
        wake_all(&workers);
    }
}

impl Kubelet {
    /// Makes the node known, however long the server takes to hear it.
    async fn register(&self) {
        while let Err(error) = self.try_register().await {
            tracing::debug!(%error, "the node is not registered yet");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }

    async fn try_register(&self) -> Result<(), Error> {
        let api: Api<Node> = Api::all(self.context.client.clone());
        let node: Node = serde_json::from_value(json!({
            "metadata": {
                "name": self.node,
                "labels": {
                    "kubernetes.io/hostname": self.node,
                    "kubernetes.io/os": "linux",
                    "topology.kubernetes.io/region": "local",
                    "topology.kubernetes.io/zone": "local-a",
                },
            },
        }))
        .map_err(kube::Error::SerdeError)?;
        match within(api.create(&kube::api::PostParams::default(), &node)).await {
            Err(error) if error.is_already_exists() => {}
            created => drop(created?),
        }
        let status = json!({ "status": self.node_status() });
        let patch = kube::api::Patch::Merge(&status);
        within(api.patch_status(&self.node, &kube::api::PatchParams::default(), &patch)).await?;
        Ok(())
    }

    fn node_status(&self) -> serde_json::Value {
        let now = self.context.clock.stamp();
        let room: BTreeMap<&str, Quantity> = [
            ("cpu", "64"),
            ("memory", "256Gi"),
            ("ephemeral-storage", "1Ti"),
            ("pods", "1000"),
        ]
        .into_iter()
        .map(|(name, amount)| (name, Quantity(amount.to_owned())))
        .collect();
        json!({
            "capacity": room,
            "allocatable": room,
            "addresses": [{"type": "InternalIP", "address": self.node_address}, {"type": "Hostname", "address": self.node}],
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "the fake kubelet is running",
                "lastHeartbeatTime": now, "lastTransitionTime": now,
            }],
            "nodeInfo": {
                "architecture": std::env::consts::ARCH, "operatingSystem": "linux", "osImage": "devcluster", "kernelVersion": "none",
                "containerRuntimeVersion": concat!("devcluster://", env!("CARGO_PKG_VERSION")),
                "kubeletVersion": concat!("v", env!("CARGO_PKG_VERSION")), "kubeProxyVersion": "",
                "machineID": "", "systemUUID": "", "bootID": "",
            },
        })
    }
}
