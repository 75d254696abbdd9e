//! The projection of a pod.

use std::{net::IpAddr, sync::Arc};

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
    /// Its address.
    pub ip: Option<IpAddr>,
    /// Condition `Ready`.
    pub ready: bool,
    /// Why it cannot be scheduled, if so.
    pub unschedulable: Option<Box<str>>,
    /// The state of its containers, init containers first.
    pub containers: Box<[ContainerState]>,
}

/// A container of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerState {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it is ready.
    pub ready: bool,
    /// Restarts so far.
    pub restarts: i32,
    /// What is not as it is with a container that runs and never ended.
    trouble: Option<Box<Trouble>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Trouble {
    waiting: Option<Arc<str>>,
    terminated: Option<Ended>,
    last: Option<Ended>,
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ended {
    /// Exit code.
    pub code: i32,
    /// Reason, as `OOMKilled`.
    pub reason: Option<Arc<str>>,
    /// Its termination message; kept of pods that belong to a backup, whose report it is.
    pub message: Option<Box<str>>,
    /// When it ended.
    pub finished: Option<Timestamp>,
}

impl PodView {
    /// The revision of its StatefulSet that it was made from.
    pub fn revision(&self) -> Option<&str> {
        self.metadata.labels().get("controller-revision-hash")
    }

    /// The container of that name.
    pub fn container(&self, name: &str) -> Option<&ContainerState> {
        self.containers.iter().find(|container| &*container.name == name)
    }
}

impl ContainerState {
    /// Why it waits, as `CrashLoopBackOff` or `ImagePullBackOff`.
    pub fn waiting(&self) -> Option<&str> {
        self.trouble.as_ref()?.waiting.as_deref()
    }

    /// How it ended, if it runs no more.
    pub fn terminated(&self) -> Option<&Ended> {
        self.trouble.as_ref()?.terminated.as_ref()
    }

    /// How it ended before its last restart.
    pub fn last(&self) -> Option<&Ended> {
        self.trouble.as_ref()?.last.as_ref()
    }

    fn bytes(&self) -> usize {
        let Some(trouble) = &self.trouble else { return 0 };
        let messages = [&trouble.terminated, &trouble.last].into_iter().flatten();
        let messages = messages.map(|ended| weight::text(ended.message.as_deref()));
        weight::class(size_of::<Trouble>()) + messages.sum::<usize>()
    }
}

#[derive(Deserialize)]
struct RawPod {
    metadata: Meta,
    #[serde(default)]
    status: RawStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawStatus {
    #[serde(rename = "podIP")]
    pod_ip: Option<Box<str>>,
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
            reason: self.reason.as_deref().map(intern),
            message: self
                .message
                .filter(|message| with_message && message.len() <= MESSAGE && !message.is_empty()),
            finished: self.finished_at,
        }
    }
}

impl RawContainer {
    fn state(self, with_message: bool) -> ContainerState {
        let (waiting, terminated) = self.state.map_or((None, None), |state| {
            let waiting = state.waiting.and_then(|waiting| waiting.reason);
            (waiting, state.terminated)
        });
        let trouble = Trouble {
            waiting: waiting.as_deref().map(intern),
            terminated: terminated.map(|ended| ended.ended(with_message)),
            last: self
                .last_state
                .and_then(|state| state.terminated)
                .map(|ended| ended.ended(with_message)),
        };
        ContainerState {
            name: intern(&self.name),
            ready: self.ready,
            restarts: self.restart_count,
            trouble: (trouble != Trouble::default()).then(|| Box::new(trouble)),
        }
    }
}

impl From<RawPod> for PodView {
    fn from(raw: RawPod) -> Self {
        let of_backup = raw.metadata.labels().get("neo4j.com/backup").is_some();
        let status = raw.status;
        let conditions = status.conditions.unwrap_or_default();
        let condition = |name: &str| conditions.iter().find(|condition| condition.name == name);
        let init = status.init_container_statuses.into_iter().flatten();
        let main = status.container_statuses.into_iter().flatten();
        Self {
            metadata: raw.metadata,
            ip: status.pod_ip.and_then(|ip| ip.parse().ok()),
            ready: condition("Ready").is_some_and(|ready| ready.status == "True"),
            unschedulable: condition("PodScheduled")
                .filter(|scheduled| scheduled.status == "False")
                .map(|scheduled| {
                    let text = scheduled.message.as_deref().or(scheduled.reason.as_deref());
                    text.unwrap_or("Unschedulable").into()
                }),
            containers: init.chain(main).map(|container| container.state(of_backup)).collect(),
        }
    }
}

impl View for PodView {
    const KIND: Kind = Kind::Pod;
    fn meta(&self) -> &Meta {
        &self.metadata
    }
    fn bytes(&self) -> usize {
        self.metadata.bytes()
            + weight::text(self.unschedulable.as_deref())
            + weight::slice(&self.containers)
            + self.containers.iter().map(ContainerState::bytes).sum::<usize>()
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
        assert_eq!(view.ip, Some([10, 0, 0, 1].into()));
        assert_eq!(view.revision(), Some("c-server-1"));
        let container = view.container("neo4j").unwrap();
        assert_eq!(
            (container.ready, container.restarts, container.waiting()),
            (true, 2, None)
        );
        let last = container.last().unwrap();
        assert_eq!((last.code, last.reason.as_deref()), (137, Some("OOMKilled")));
    }

    #[test]
    fn the_termination_message_is_kept_of_backup_pods_only() {
        let message = |view: PodView| view.containers[0].last().unwrap().message.clone();
        assert_eq!(message(pod(&json!({}))), None);
        assert_eq!(
            message(pod(&json!({"neo4j.com/backup": "b"}))).as_deref(),
            Some("hello")
        );
    }
}
