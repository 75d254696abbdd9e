//! A pod's status, rendered from what has happened to its process: pure, and stable where nothing changed.

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    HostIP, Pod, PodCondition, PodIP, PodStatus,
};

use crate::controllers::{clock::stamp, meta, runtime::Exit};

/// What has happened to a pod on this node so far.
#[derive(Debug, Clone)]
pub(super) struct Life {
    /// When the kubelet took the pod up.
    pub(super) since: Timestamp,
    pub(super) address: Option<IpAddr>,
    pub(super) restarts: u32,
    pub(super) main: Main,
    /// How the process ended the last time.
    pub(super) last: Option<Ended>,
}

/// Where the pod's process stands.
#[derive(Debug, Clone)]
pub(super) enum Main {
    /// No node yet, and why.
    Unscheduled { message: String },
    /// Not started, and why; tried again.
    Waiting { reason: String, message: Option<String> },
    /// Runs.
    Running {
        since: Timestamp,
        started: bool,
        ready: bool,
    },
    /// Has ended and will be started again.
    BackOff { until: Timestamp, delay_seconds: u64 },
    /// Has ended for good.
    Done(Ended),
}

/// An end.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) exit: Exit,
    pub(super) began: Timestamp,
    pub(super) at: Timestamp,
}

impl Life {
    /// A pod that was seen just now.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            since: now,
            address: None,
            restarts: 0,
            main: Main::Waiting {
                reason: "ContainerCreating".to_owned(),
                message: None,
            },
            last: None,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.main, Main::Running { .. })
    }

    fn phase(&self) -> &'static str {
        match &self.main {
            Main::Unscheduled { .. } => "Pending",
            Main::Waiting { .. } if self.last.is_none() => "Pending",
            Main::Waiting { .. } | Main::Running { .. } | Main::BackOff { .. } => "Running",
            Main::Done(end) if end.exit.code == 0 => "Succeeded",
            Main::Done(_) => "Failed",
        }
    }
}

/// The status of `pod` now.
pub(super) fn render(pod: &Pod, life: &Life, node_address: IpAddr, now: Timestamp) -> PodStatus {
    let before = pod.status.clone().unwrap_or_default();
    if let Main::Unscheduled { message } = &life.main {
        return PodStatus {
            phase: Some("Pending".to_owned()),
            conditions: Some(conditions(
                pod,
                now,
                &[Fact::no("PodScheduled", "Unschedulable", message.clone())],
            )),
            ..before
        };
    }
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    PodStatus {
        phase: Some(life.phase().to_owned()),
        conditions: Some(conditions(pod, now, &facts(pod, life))),
        container_statuses: Some(containers.map(|container| main_status(pod, container, life)).collect()),
        init_container_statuses: init_statuses(pod, life),
        host_ip: Some(node_address.to_string()),
        host_ips: Some(vec![HostIP {
            ip: node_address.to_string(),
        }]),
        pod_ip: life.address.map(|address| address.to_string()),
        pod_ips: life.address.map(|address| {
            vec![PodIP {
                ip: address.to_string(),
            }]
        }),
        start_time: Some(before.start_time.clone().unwrap_or_else(|| stamp(life.since))),
        ..before
    }
}

fn main_status(pod: &Pod, container: &Container, life: &Life) -> ContainerStatus {
    let (ready, started) = match life.main {
        Main::Running { ready, started, .. } => (ready, started),
        _ => (false, false),
    };
    let last_state = match &life.main {
        Main::Done(_) => None,
        _ => life.last.as_ref(),
    };
    ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        image_id: image_id(container),
        container_id: (life.is_running() || life.last.is_some()).then(|| container_id(pod, container, life.restarts)),
        restart_count: i32::try_from(life.restarts).unwrap_or(i32::MAX),
        ready,
        started: Some(started),
        state: Some(main_state(pod, container, life)),
        // Always there, as the server has it: empty where there was no end yet.
        last_state: Some(last_state.map_or_else(ContainerState::default, |end| {
            terminated(pod, container, life.restarts.saturating_sub(1), end)
        })),
        ..ContainerStatus::default()
    }
}

fn main_state(pod: &Pod, container: &Container, life: &Life) -> ContainerState {
    let waiting = |reason: &str, message: Option<String>| ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: Some(reason.to_owned()),
            message,
        }),
        ..ContainerState::default()
    };
    match &life.main {
        Main::Unscheduled { message } => waiting("ContainerCreating", Some(message.clone())),
        Main::Waiting { reason, message } => waiting(reason, message.clone()),
        Main::Running { since, .. } => ContainerState {
            running: Some(ContainerStateRunning {
                started_at: Some(stamp(*since)),
            }),
            ..ContainerState::default()
        },
        Main::BackOff { delay_seconds, .. } => waiting(
            "CrashLoopBackOff",
            Some(format!(
                "back-off {delay_seconds}s restarting failed container={} pod={}_{}({})",
                container.name,
                meta::name(pod),
                meta::namespace(pod),
                meta::uid(pod)
            )),
        ),
        Main::Done(end) => terminated(pod, container, life.restarts, end),
    }
}

fn terminated(pod: &Pod, container: &Container, restart: u32, end: &Ended) -> ContainerState {
    let reason = match (end.exit.reason.as_str(), end.exit.code) {
        ("", 0) => "Completed",
        ("", _) => "Error",
        (said, _) => said,
    };
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            exit_code: end.exit.code,
            reason: Some(reason.to_owned()),
            message: end.exit.message.clone(),
            started_at: Some(stamp(end.began)),
            finished_at: Some(stamp(end.at)),
            container_id: Some(container_id(pod, container, restart)),
            signal: None,
        }),
        ..ContainerState::default()
    }
}

/// Init containers do nothing here: they are through before the process starts.
fn init_statuses(pod: &Pod, life: &Life) -> Option<Vec<ContainerStatus>> {
    let containers = pod.spec.as_ref()?.init_containers.as_ref()?;
    let through =
        matches!(life.main, Main::Running { .. } | Main::BackOff { .. } | Main::Done(_)) || life.last.is_some();
    let ended = Ended {
        exit: Exit::completed(),
        began: life.since,
        at: life.since,
    };
    let status = |container: &Container| {
        let state = if through {
            terminated(pod, container, 0, &ended)
        } else {
            ContainerState {
                waiting: Some(ContainerStateWaiting {
                    reason: Some("PodInitializing".to_owned()),
                    message: None,
                }),
                ..ContainerState::default()
            }
        };
        ContainerStatus {
            name: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
            image_id: image_id(container),
            ready: through,
            last_state: Some(ContainerState::default()),
            started: Some(false),
            restart_count: 0,
            state: Some(state),
            ..ContainerStatus::default()
        }
    };
    Some(containers.iter().map(status).collect())
}

fn image_id(container: &Container) -> String {
    let image = container.image.as_deref().unwrap_or_default();
    format!("devcluster://{}", meta::name_hash(image.as_bytes(), 12))
}

fn container_id(pod: &Pod, container: &Container, restart: u32) -> String {
    let content = format!("{}/{}/{restart}", meta::uid(pod), container.name);
    format!("devcluster://{}", meta::name_hash(content.as_bytes(), 16))
}

/// What one condition says.
struct Fact {
    condition: &'static str,
    holds: bool,
    reason: Option<String>,
    message: Option<String>,
}

impl Fact {
    fn yes(condition: &'static str) -> Self {
        Self {
            condition,
            holds: true,
            reason: None,
            message: None,
        }
    }

    fn no(condition: &'static str, reason: &str, message: String) -> Self {
        Self {
            condition,
            holds: false,
            reason: Some(reason.to_owned()),
            message: Some(message).filter(|message| !message.is_empty()),
        }
    }
}

fn facts(pod: &Pod, life: &Life) -> Vec<Fact> {
    let names: Vec<&str> = pod
        .spec
        .iter()
        .flat_map(|spec| &spec.containers)
        .map(|container| container.name.as_str())
        .collect();
    let through = !matches!(life.main, Main::Waiting { .. }) || life.last.is_some();
    let initialized = if through || pod.spec.as_ref().is_none_or(|spec| spec.init_containers.is_none()) {
        Fact::yes("Initialized")
    } else {
        Fact::no("Initialized", "ContainersNotInitialized", String::new())
    };
    let ready = |condition| match &life.main {
        Main::Running { ready: true, .. } => Fact::yes(condition),
        Main::Done(end) if end.exit.code == 0 => Fact::no(condition, "PodCompleted", String::new()),
        Main::Done(_) => Fact::no(condition, "PodFailed", String::new()),
        _ => {
            let message = format!("containers with unready status: [{}]", names.join(" "));
            Fact::no(condition, "ContainersNotReady", message)
        }
    };
    let mut facts = vec![
        Fact::yes("PodScheduled"),
        initialized,
        ready("ContainersReady"),
        ready("Ready"),
    ];
    if life.address.is_some() {
        facts.push(Fact::yes("PodReadyToStartContainers"));
    }
    facts
}

/// The pod's conditions with `facts` in them. A transition time moves only with its status; conditions of others stay.
fn conditions(pod: &Pod, now: Timestamp, facts: &[Fact]) -> Vec<PodCondition> {
    let mut conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.clone())
        .unwrap_or_default();
    for fact in facts {
        let status = if fact.holds { "True" } else { "False" };
        let before = conditions
            .iter_mut()
            .find(|condition| condition.type_ == fact.condition);
        match before {
            Some(condition) => {
                if condition.status != status {
                    status.clone_into(&mut condition.status);
                    condition.last_transition_time = Some(stamp(now));
                }
                condition.reason.clone_from(&fact.reason);
                condition.message.clone_from(&fact.message);
            }
            None => conditions.push(PodCondition {
                type_: fact.condition.to_owned(),
                status: status.to_owned(),
                reason: fact.reason.clone(),
                message: fact.message.clone(),
                last_transition_time: Some(stamp(now)),
                ..PodCondition::default()
            }),
        }
    }
    conditions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "a-0", "namespace": "n", "uid": "u"},
            "spec": {"initContainers": [{"name": "copy", "image": "i"}], "containers": [{"name": "neo4j", "image": "neo4j:5"}]},
            "status": {"phase": "Pending", "conditions": [{"type": "example.com/Gate", "status": "True"}]},
        }))
        .unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn condition(status: &PodStatus, name: &str) -> (String, Option<Timestamp>) {
        let conditions = status.conditions.as_ref().unwrap();
        let found = conditions.iter().find(|condition| condition.type_ == name).unwrap();
        (
            found.status.clone(),
            found.last_transition_time.as_ref().map(|time| time.0),
        )
    }

    #[test]
    fn a_condition_moves_its_transition_time_only_with_its_status() {
        let (mut pod, node) = (pod(), IpAddr::from([127, 0, 0, 1]));
        let mut life = Life::new(at(100));
        pod.status = Some(render(&pod, &life, node, at(100)));
        assert_eq!(
            condition(pod.status.as_ref().unwrap(), "Ready"),
            ("False".to_owned(), Some(at(100)))
        );
        life.main = Main::Running {
            since: at(110),
            started: true,
            ready: false,
        };
        pod.status = Some(render(&pod, &life, node, at(110)));
        assert_eq!(
            condition(pod.status.as_ref().unwrap(), "Ready"),
            ("False".to_owned(), Some(at(100)))
        );
        life.main = Main::Running {
            since: at(110),
            started: true,
            ready: true,
        };
        pod.status = Some(render(&pod, &life, node, at(120)));
        assert_eq!(
            condition(pod.status.as_ref().unwrap(), "Ready"),
            ("True".to_owned(), Some(at(120)))
        );
        assert_eq!(
            condition(pod.status.as_ref().unwrap(), "example.com/Gate").0,
            "True",
            "a foreign condition stays"
        );
        let again = render(&pod, &life, node, at(130));
        assert_eq!(Some(again), pod.status, "nothing changed, so nothing is to be written");
    }

    #[test]
    fn a_crash_shows_its_end_and_the_wait_before_the_next_start() {
        let pod = pod();
        let mut life = Life::new(at(100));
        life.restarts = 2;
        life.last = Some(Ended {
            exit: Exit {
                code: 1,
                reason: String::new(),
                message: Some("log".into()),
            },
            began: at(101),
            at: at(105),
        });
        life.main = Main::BackOff {
            until: at(125),
            delay_seconds: 20,
        };
        let status = render(&pod, &life, IpAddr::from([127, 0, 0, 1]), at(105));
        let container = &status.container_statuses.as_ref().unwrap()[0];
        let waiting = container.state.as_ref().unwrap().waiting.as_ref().unwrap();
        assert_eq!(waiting.reason.as_deref(), Some("CrashLoopBackOff"));
        let ended = container.last_state.as_ref().unwrap().terminated.as_ref().unwrap();
        assert_eq!(
            (ended.exit_code, ended.reason.as_deref(), ended.message.as_deref()),
            (1, Some("Error"), Some("log"))
        );
        assert_eq!((status.phase.as_deref(), container.restart_count), (Some("Running"), 2));
    }
}
