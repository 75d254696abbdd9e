//! What a StatefulSet needs next, as a pure function of the set, its pods and the time.
//!
//! The order is that of Kubernetes: fill and replace from the lowest ordinal, take away from the highest, then roll from the highest.
//! `OrderedReady` stops at the first pod that is not ready; `Parallel` does not, but the roll itself always goes one pod at a time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetStatus},
    core::v1::Pod,
};

use crate::controllers::{clock, meta};

/// The label by which a pod tells its revision.
pub(super) const REVISION_LABEL: &str = "controller-revision-hash";

/// What is known of one set.
pub(super) struct Observed<'a> {
    pub(super) set: &'a StatefulSet,
    /// The pods that it controls, in any order.
    pub(super) pods: &'a [Arc<Pod>],
    /// The revision that pods have, and the one that they shall have.
    pub(super) current: &'a str,
    pub(super) update: &'a str,
    pub(super) collisions: i32,
    pub(super) now: Timestamp,
}

/// One of the two revisions that matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Revision {
    Current,
    Update,
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    Create { ordinal: i32, revision: Revision },
    Delete { pod: Arc<Pod>, why: &'static str },
}

/// What to do now, what to report, and when to look again without any change.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) actions: Vec<Action>,
    pub(super) status: StatefulSetStatus,
    pub(super) look_again: Option<Duration>,
}

/// The ordinal in a pod's name, where it is a name of this set.
pub(super) fn ordinal(set: &StatefulSet, pod: &str) -> Option<i32> {
    let digits = pod.strip_prefix(meta::name(set))?.strip_prefix('-')?;
    let ordinal: i32 = digits.parse().ok()?;
    (ordinal >= 0 && ordinal.to_string() == digits).then_some(ordinal)
}

/// Whether a pod runs and is ready.
pub(super) fn is_ready(pod: &Pod) -> bool {
    ready_since(pod).is_some() && phase(pod) == "Running"
}

fn phase(pod: &Pod) -> &str {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

#[allow(clippy::option_option)] // not ready, or ready since a time that may be unknown
fn ready_since(pod: &Pod) -> Option<Option<Timestamp>> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .find(|condition| condition.type_ == "Ready" && condition.status == "True")
        .map(|ready| ready.last_transition_time.as_ref().map(|time| time.0))
}

struct Facts<'a> {
    observed: &'a Observed<'a>,
    spec: &'a StatefulSetSpec,
    first: i32,
    replicas: i32,
}

/// Plans the next steps of a set that is not being deleted.
pub(super) fn plan(observed: &Observed<'_>) -> Plan {
    let empty = StatefulSetSpec::default();
    let spec = observed.set.spec.as_ref().unwrap_or(&empty);
    let facts = Facts {
        observed,
        spec,
        first: spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0),
        replicas: spec.replicas.unwrap_or(1).max(0),
    };
    let pods: BTreeMap<i32, &Arc<Pod>> = observed
        .pods
        .iter()
        .filter_map(|pod| Some((ordinal(observed.set, meta::name(&**pod))?, pod)))
        .collect();
    let (status, look_again) = facts.status(&pods);
    let mut actions = Vec::new();
    if facts.fill(&pods, &mut actions) && facts.shrink(&pods, &mut actions) {
        facts.roll(&pods, &mut actions);
    }
    Plan {
        actions,
        status,
        look_again,
    }
}

impl Facts<'_> {
    fn is_parallel(&self) -> bool {
        self.spec.pod_management_policy.as_deref() == Some("Parallel")
    }

    fn strategy(&self) -> &str {
        let strategy = self.spec.update_strategy.as_ref();
        strategy
            .and_then(|strategy| strategy.type_.as_deref())
            .unwrap_or("RollingUpdate")
    }

    /// Pods below this ordinal keep the current revision.
    fn partition(&self) -> i32 {
        let rolling = self
            .spec
            .update_strategy
            .as_ref()
            .and_then(|strategy| strategy.rolling_update.as_ref());
        self.first + rolling.and_then(|rolling| rolling.partition).unwrap_or(0)
    }

    fn wanted(&self) -> std::ops::Range<i32> {
        self.first..self.first.saturating_add(self.replicas)
    }

    fn revision_of(&self, pod: &Pod) -> Option<Revision> {
        match meta::label(pod, REVISION_LABEL) {
            Some(label) if label == self.observed.update => Some(Revision::Update),
            Some(label) if label == self.observed.current => Some(Revision::Current),
            _ => None,
        }
    }

    /// The revision of a pod that is created now. A pod that died in the middle of a roll comes back updated, as in Kubernetes.
    fn revision_for(&self, ordinal: i32) -> Revision {
        if self.strategy() == "RollingUpdate" && ordinal < self.partition() {
            Revision::Current
        } else {
            Revision::Update
        }
    }

    /// When a ready pod counts as available: `Ok` now, `Err` after that long.
    fn available(&self, pod: &Pod) -> Option<Result<(), Duration>> {
        let since = ready_since(pod).filter(|_| is_ready(pod))?;
        let least = Duration::from_secs(u64::try_from(self.spec.min_ready_seconds.unwrap_or(0)).unwrap_or(0));
        if least.is_zero() {
            return Some(Ok(()));
        }
        let wait = clock::until(
            self.observed.now,
            clock::later(since.unwrap_or(self.observed.now), least),
        );
        Some(if wait.is_zero() { Ok(()) } else { Err(wait) })
    }

    fn is_settled(&self, pod: &Pod) -> bool {
        !meta::is_deleting(pod) && matches!(self.available(pod), Some(Ok(())))
    }

    /// Creates what is missing and replaces what has ended. False: wait before any further step.
    fn fill(&self, pods: &BTreeMap<i32, &Arc<Pod>>, actions: &mut Vec<Action>) -> bool {
        for ordinal in self.wanted() {
            let settled = match pods.get(&ordinal) {
                None => {
                    actions.push(Action::Create {
                        ordinal,
                        revision: self.revision_for(ordinal),
                    });
                    false
                }
                Some(pod) if !meta::is_deleting(&***pod) && matches!(phase(pod), "Failed" | "Succeeded") => {
                    actions.push(Action::Delete {
                        pod: Arc::clone(pod),
                        why: "because it has ended",
                    });
                    false
                }
                Some(pod) => self.is_settled(pod),
            };
            if !settled && !self.is_parallel() {
                return false;
            }
        }
        true
    }

    /// Takes away what is beyond the wanted ordinals, highest first.
    fn shrink(&self, pods: &BTreeMap<i32, &Arc<Pod>>, actions: &mut Vec<Action>) -> bool {
        let wanted = self.wanted();
        for (_, pod) in pods.iter().rev().filter(|(ordinal, _)| !wanted.contains(ordinal)) {
            if !meta::is_deleting(&***pod) {
                actions.push(Action::Delete {
                    pod: Arc::clone(pod),
                    why: "successful",
                });
            }
            if !self.is_parallel() {
                return false;
            }
        }
        true
    }

    /// Replaces the highest pod of another revision, once all above it are well.
    fn roll(&self, pods: &BTreeMap<i32, &Arc<Pod>>, actions: &mut Vec<Action>) {
        if self.strategy() != "RollingUpdate" {
            return;
        }
        let from = self.partition().max(self.first);
        for ordinal in self.wanted().rev().take_while(|ordinal| *ordinal >= from) {
            let Some(pod) = pods.get(&ordinal) else { return };
            if self.revision_of(pod) != Some(Revision::Update) {
                let planned = actions
                    .iter()
                    .any(|action| matches!(action, Action::Delete { pod: other, .. } if other == *pod));
                if !meta::is_deleting(&***pod) && !planned {
                    actions.push(Action::Delete {
                        pod: Arc::clone(pod),
                        why: "for its update",
                    });
                }
                return;
            }
            if !self.is_settled(pod) {
                return;
            }
        }
    }

    fn status(&self, pods: &BTreeMap<i32, &Arc<Pod>>) -> (StatefulSetStatus, Option<Duration>) {
        let (mut ready, mut available, mut current, mut updated) = (0, 0, 0, 0);
        let mut look_again: Option<Duration> = None;
        for pod in pods.values() {
            if is_ready(pod) {
                ready += 1;
            }
            match self.available(pod) {
                Some(Ok(())) => available += 1,
                Some(Err(wait)) => look_again = Some(look_again.map_or(wait, |least| least.min(wait))),
                None => {}
            }
            if meta::is_deleting(&***pod) {
                continue;
            }
            if let Some(label) = meta::label(&***pod, REVISION_LABEL) {
                current += i32::from(label == self.observed.current);
                updated += i32::from(label == self.observed.update);
            }
        }
        let replicas = i32::try_from(pods.len()).unwrap_or(i32::MAX);
        let rolled = self.strategy() == "RollingUpdate"
            && [updated, ready, replicas].iter().all(|count| *count == self.replicas);
        let status = StatefulSetStatus {
            available_replicas: Some(available),
            collision_count: Some(self.observed.collisions),
            conditions: self
                .observed
                .set
                .status
                .as_ref()
                .and_then(|status| status.conditions.clone()),
            current_replicas: Some(if rolled { updated } else { current }),
            current_revision: Some(
                if rolled {
                    self.observed.update
                } else {
                    self.observed.current
                }
                .to_owned(),
            ),
            observed_generation: self.observed.set.metadata.generation,
            ready_replicas: Some(ready),
            replicas,
            update_revision: Some(self.observed.update.to_owned()),
            updated_replicas: Some(updated),
        };
        (status, look_again)
    }
}
