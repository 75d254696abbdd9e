//! The projection of a pod.

use std::sync::Arc;

use jiff::Timestamp;
use neo4j_operator_shared::Kind;
use serde::Deserialize;

use super::{
    meta::Meta,
    text::intern,
    views::{RawCondition, View},
    weight,
};

/// Longest termination message that is kept; the kubelet's own bound.
const MESSAGE: usize = 4096;

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "RawPod")]
pub struct PodView {
    /// Metadata.
    pub metadata: Meta,
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: Option<Arc<str>>,
    /// Why it is in that phase, as `Evicted`.
    pub reason: Option<Arc<str>>,
    /// Its address.
    pub ip: Option<Box<str>>,
    /// Its node.
    pub node: Option<Arc<str>>,
    /// Condition `Ready`.
    pub ready: bool,
    /// Why it cannot be scheduled, if so.
    pub unschedulable: Option<Box<str>>,
    /// When it was started.
    pub started: Option<Timestamp>,
    /// Its containers, init containers first.
    pub containers: Box<[ContainerState]>,
}

/// A container of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerState {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it is an init container.
    pub init: bool,
    /// Whether it is ready.
    pub ready: bool,
    /// Restarts so far.
    pub restarts: i32,
    /// Why it waits, as `CrashLoopBackOff` or `ImagePullBackOff`.
    pub waiting: Option<Arc<str>>,
    /// How it ended, if it runs no more.
    pub terminated: Option<Box<Ended>>,
    /// How it ended before its last restart.
    pub last: Option<Box<Ended>>,
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ended {
    /// Exit code.
    pub code: i32,
    /// Reason, as `OOMKilled`.
    pub reason: Option<Box<str>>,
    /// Its termination message; kept of pods that belong to a backup, whose report it is.
    pub message: Option<Box<str>>,
    /// When it ended.
    pub finished: Option<Timestamp>,
}

impl PodView {
    /// The revision of its StatefulSet that it was made from.
    pub fn revision(&self) -> Option<&str> {
        self.metadata.labels.get("controller-revision-hash")
    }

    /// The container of that name.
    pub fn container(&self, name: &str) -> Option<&ContainerState> {
        self.containers.iter().find(|container| &*container.name == name)
    }

    /// Restarts of all containers.
    pub fn restarts(&self) -> i32 {
        self.containers.iter().map(|container| container.restarts).sum()
    }
}

#[derive(Deserialize)]
struct RawPod {
    metadata: Meta,
    #[serde(default)]
    spec: RawSpec,
    #[serde(default)]
    status: RawStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawSpec {
    node_name: Option<Box<str>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawStatus {
    phase: Option<Box<str>>,
    reason: Option<Box<str>>,
    #[serde(rename = "podIP")]
    pod_ip: Option<Box<str>>,
    start_time: Option<Timestamp>,
    conditions: Option<Vec<RawCondition>>,
    container_statuses: Option<Vec<RawContainer>>,
    init_container_statuses: Option<Vec<RawContainer>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawContainer {
    name: Box<str>,
    #[serde(default)]
    ready: bool,
    #[serde(default)]
    restart_count: i32,
    #[serde(default)]
    state: Option<RawState>,
    #[serde(default)]
    last_state: Option<RawState>,
}

#[derive(Deserialize)]
struct RawState {
    #[serde(default)]
    waiting: Option<RawWaiting>,
    #[serde(default)]
    terminated: Option<RawTerminated>,
}

#[derive(Deserialize)]
struct RawWaiting {
    #[serde(default)]
    reason: Option<Box<str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawTerminated {
    #[serde(default)]
    exit_code: i32,
    #[serde(default)]
    reason: Option<Box<str>>,
    #[serde(default)]
    message: Option<Box<str>>,
    #[serde(default)]
    finished_at: Option<Timestamp>,
}

impl RawTerminated {
    fn ended(self, with_message: bool) -> Ended {
        Ended {
            code: self.exit_code,
            reason: self.reason,
            message: self
                .message
                .filter(|message| with_message && message.len() <= MESSAGE && !message.is_empty()),
            finished: self.finished_at,
        }
    }
}

impl RawContainer {
    fn state(self, init: bool, with_message: bool) -> ContainerState {
        let (waiting, terminated) = self.state.map_or((None, None), |state| {
            (
                state.waiting.and_then(|waiting| shared(waiting.reason.as_deref())),
                state.terminated.map(|ended| Box::new(ended.ended(with_message))),
            )
        });
        ContainerState {
            name: intern(&self.name),
            init,
            ready: self.ready,
            restarts: self.restart_count,
            waiting,
            terminated,
            last: self
                .last_state
                .and_then(|state| state.terminated)
                .map(|ended| Box::new(ended.ended(with_message))),
        }
    }
}

impl From<RawPod> for PodView {
    fn from(raw: RawPod) -> Self {
        let of_backup = raw.metadata.labels.get("neo4j.com/backup").is_some();
        let status = raw.status;
        let conditions = status.conditions.unwrap_or_default();
        let condition = |name: &str| conditions.iter().find(|condition| condition.name == name);
        let init = status.init_container_statuses.into_iter().flatten();
        let main = status.container_statuses.into_iter().flatten();
        Self {
            metadata: raw.metadata,
            phase: shared(status.phase.as_deref()),
            reason: shared(status.reason.as_deref()),
            ip: status.pod_ip.filter(|ip| !ip.is_empty()),
            node: shared(raw.spec.node_name.as_deref()),
            ready: condition("Ready").is_some_and(|ready| ready.status == "True"),
            unschedulable: condition("PodScheduled")
                .filter(|scheduled| scheduled.status == "False")
                .map(|scheduled| {
                    let text = scheduled.message.as_deref().or(scheduled.reason.as_deref());
                    text.unwrap_or("Unschedulable").into()
                }),
            started: status.start_time,
            containers: init
                .map(|container| container.state(true, of_backup))
                .chain(main.map(|container| container.state(false, of_backup)))
                .collect(),
        }
    }
}

fn shared(text: Option<&str>) -> Option<Arc<str>> {
    text.map(intern)
}

impl Ended {
    fn bytes(&self) -> usize {
        weight::class(size_of::<Self>()) + weight::text(self.reason.as_deref()) + weight::text(self.message.as_deref())
    }
}

impl View for PodView {
    const KIND: Kind = Kind::Pod;
    fn meta(&self) -> &Meta {
        &self.metadata
    }
    fn bytes(&self) -> usize {
        self.metadata.bytes()
            + weight::text(self.ip.as_deref())
            + weight::text(self.unschedulable.as_deref())
            + weight::slice(&self.containers)
            + self
                .containers
                .iter()
                .flat_map(|container| [&container.terminated, &container.last])
                .flatten()
                .map(|ended| ended.bytes())
                .sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(labels: &serde_json::Value) -> PodView {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "c-server-0", "namespace": "n", "labels": labels},
            "spec": {"nodeName": "node-1", "containers": [{"name": "neo4j", "env": [{"name": "X", "value": "y"}]}]},
            "status": {
                "phase": "Running", "podIP": "10.0.0.1",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{
                    "name": "neo4j", "ready": true, "restartCount": 2, "state": {"running": {}},
                    "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "message": "hello"}},
                }],
            },
        }))
        .unwrap()
    }

    #[test]
    fn what_a_reconciler_reads_of_a_pod_is_there() {
        let view = pod(&json!({"controller-revision-hash": "c-server-1"}));
        assert!(view.ready);
        assert_eq!(view.ip.as_deref(), Some("10.0.0.1"));
        assert_eq!(view.revision(), Some("c-server-1"));
        assert_eq!(view.restarts(), 2);
        let last = view.container("neo4j").unwrap().last.clone().unwrap();
        assert_eq!((last.code, last.reason.as_deref()), (137, Some("OOMKilled")));
    }

    #[test]
    fn the_termination_message_is_kept_of_backup_pods_only() {
        let message = |view: PodView| view.containers[0].last.clone().unwrap().message;
        assert_eq!(message(pod(&json!({}))), None);
        assert_eq!(
            message(pod(&json!({"neo4j.com/backup": "b"}))).as_deref(),
            Some("hello")
        );
    }
}
