//! What a budget's status says: pure over the budget, its pods and the number of pods that there should be.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        core::v1::Pod,
        policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus},
    },
    apimachinery::pkg::{
        apis::meta::v1::{Condition, Time},
        util::intstr::IntOrString,
    },
};

use super::super::{clock, meta};

/// A pod that was evicted and is not being deleted after this long will not be.
const DELETED_WITHIN: Duration = Duration::from_secs(120);
const ALLOWED: &str = "DisruptionAllowed";

/// A budget's status, and when it may have to be said anew without any change.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Counted {
    pub(super) status: PodDisruptionBudgetStatus,
    pub(super) look_again: Option<Duration>,
}

/// Whether the budget is about the pod.
pub(super) fn selects(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|selector| meta::selects(selector, pod.metadata.labels.as_ref()))
}

/// Whether it takes the scale of the pods' owners to count.
pub(super) fn needs_scale(budget: &PodDisruptionBudget) -> bool {
    let spec = budget.spec.as_ref();
    let min = spec.and_then(|spec| spec.min_available.as_ref());
    spec.is_some_and(|spec| spec.max_unavailable.is_some()) || matches!(min, Some(IntOrString::String(_)))
}

/// Counts. `scale` is the number of pods that there should be, where [`needs_scale`]; an error allows no disruption.
pub(super) fn count(
    budget: &PodDisruptionBudget,
    pods: &[Arc<Pod>],
    scale: Result<i32, String>,
    now: Timestamp,
) -> Counted {
    let old = budget.status.clone().unwrap_or_default();
    let (expected, desired) = match wanted(budget, pods.len(), scale) {
        Ok(wanted) => wanted,
        Err(why) => {
            let observed = old.observed_generation;
            let mut status = PodDisruptionBudgetStatus {
                disruptions_allowed: Some(0),
                ..old
            };
            set_condition(&mut status, false, "SyncFailed", &why, observed, now);
            return Counted {
                status,
                look_again: None,
            };
        }
    };
    let (disrupted, look_again) = under_way(&old, pods, now);
    let healthy = pods
        .iter()
        .filter(|pod| !meta::is_deleting(&***pod) && !disrupted.contains_key(meta::name(&***pod)) && is_ready(pod))
        .count();
    let healthy = i32::try_from(healthy).unwrap_or(i32::MAX);
    let allowed = if expected <= 0 { 0 } else { (healthy - desired).max(0) };
    let mut status = PodDisruptionBudgetStatus {
        conditions: old.conditions,
        current_healthy: Some(healthy),
        desired_healthy: Some(desired),
        disrupted_pods: (!disrupted.is_empty()).then_some(disrupted),
        disruptions_allowed: Some(allowed),
        expected_pods: Some(expected),
        observed_generation: budget.metadata.generation,
    };
    let reason = if allowed > 0 {
        "SufficientPods"
    } else {
        "InsufficientPods"
    };
    set_condition(&mut status, allowed > 0, reason, "", budget.metadata.generation, now);
    Counted { status, look_again }
}

/// How many pods there should be, and how many of them healthy.
fn wanted(budget: &PodDisruptionBudget, pods: usize, scale: Result<i32, String>) -> Result<(i32, i32), String> {
    let spec = budget.spec.as_ref();
    let max = spec.and_then(|spec| spec.max_unavailable.as_ref());
    let min = spec.and_then(|spec| spec.min_available.as_ref());
    match (max, min) {
        (Some(max), _) => {
            let expected = scale?;
            Ok((expected, (expected - part(max, expected)?).max(0)))
        }
        (None, Some(IntOrString::Int(min))) => Ok((i32::try_from(pods).unwrap_or(i32::MAX), *min)),
        (None, Some(min)) => {
            let expected = scale?;
            Ok((expected, part(min, expected)?))
        }
        (None, None) => Ok((0, 0)),
    }
}

/// A number, or a percentage of `whole` rounded up.
fn part(value: &IntOrString, whole: i32) -> Result<i32, String> {
    match value {
        IntOrString::Int(number) => Ok(*number),
        IntOrString::String(text) => {
            let percent = text.strip_suffix('%').and_then(|digits| digits.parse::<i64>().ok());
            let percent = percent
                .ok_or_else(|| "invalid value for IntOrString: invalid type: string is not a percentage".to_owned())?;
            let share = (percent * i64::from(whole) + 99).div_euclid(100);
            Ok(i32::try_from(share).unwrap_or(i32::MAX))
        }
    }
}

/// The evicted pods that are still to be deleted, and how long until the first of them is given up.
fn under_way(
    old: &PodDisruptionBudgetStatus,
    pods: &[Arc<Pod>],
    now: Timestamp,
) -> (BTreeMap<String, Time>, Option<Duration>) {
    let mut out = BTreeMap::new();
    let mut soonest: Option<Duration> = None;
    for pod in pods.iter().filter(|pod| !meta::is_deleting(&***pod)) {
        let name = meta::name(&**pod);
        let Some(since) = old.disrupted_pods.as_ref().and_then(|pods| pods.get(name)) else {
            continue;
        };
        let end = clock::later(since.0, DELETED_WITHIN);
        if end >= now {
            let wait = clock::until(now, end);
            soonest = Some(soonest.map_or(wait, |least| least.min(wait)));
            out.insert(name.to_owned(), since.clone());
        }
    }
    // A moment later, when the time has passed for sure.
    (out, soonest.map(|wait| wait + Duration::from_secs(1)))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

fn set_condition(
    status: &mut PodDisruptionBudgetStatus,
    allowed: bool,
    reason: &str,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) {
    let mut condition = Condition {
        last_transition_time: clock::stamp(now),
        message: message.to_owned(),
        observed_generation: generation,
        reason: reason.to_owned(),
        status: if allowed { "True" } else { "False" }.to_owned(),
        type_: ALLOWED.to_owned(),
    };
    let all = status.conditions.get_or_insert_default();
    match all.iter_mut().find(|c| c.type_ == ALLOWED) {
        Some(old) => {
            if old.status == condition.status {
                condition.last_transition_time = old.last_transition_time.clone();
            }
            *old = condition;
        }
        None => all.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn budget(spec: Value, status: Value) -> PodDisruptionBudget {
        let mut spec = spec;
        spec["selector"] = json!({"matchLabels": {"a": "b"}});
        serde_json::from_value(json!({
            "metadata": {"name": "b", "generation": 3}, "spec": spec, "status": status,
        }))
        .unwrap()
    }

    fn pod(name: &str, ready: bool) -> Arc<Pod> {
        let ready = if ready { "True" } else { "False" };
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"a": "b"}},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
        }))
        .map(Arc::new)
        .unwrap()
    }

    fn now() -> Timestamp {
        "2026-11-28T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn as_many_may_go_as_are_healthy_beyond_those_wanted() {
        let all = [pod("0", true), pod("1", true), pod("2", true)];
        let two = [pod("0", true), pod("1", true), pod("2", false)];
        // spec, pods, scale, then expected, desired, healthy, allowed.
        for (spec, pods, scale, want) in [
            (json!({"minAvailable": 2}), &all[..], 0, (3, 2, 3, 1)),
            (json!({"minAvailable": 2}), &two[..], 0, (3, 2, 2, 0)),
            (json!({"minAvailable": 5}), &all[..], 0, (3, 5, 3, 0)),
            (json!({"minAvailable": 0}), &all[..], 0, (3, 0, 3, 3)),
            // Nobody is expected: the first pod is not yet counted.
            (json!({"minAvailable": 0}), &[][..], 0, (0, 0, 0, 0)),
            (json!({"minAvailable": "50%"}), &all[..], 3, (3, 2, 3, 1)),
            (json!({"minAvailable": "100%"}), &all[..], 3, (3, 3, 3, 0)),
            (json!({"maxUnavailable": 1}), &all[..], 3, (3, 2, 3, 1)),
            (json!({"maxUnavailable": 1}), &two[..], 3, (3, 2, 2, 0)),
            // A set that is still growing.
            (json!({"maxUnavailable": 1}), &all[..], 5, (5, 4, 3, 0)),
            (json!({"maxUnavailable": "34%"}), &all[..], 3, (3, 1, 3, 2)),
            (json!({"maxUnavailable": 7}), &all[..], 3, (3, 0, 3, 3)),
            (json!({}), &all[..], 0, (0, 0, 3, 0)),
        ] {
            let counted = count(&budget(spec.clone(), Value::Null), pods, Ok(scale), now());
            let status = counted.status;
            let got = (
                status.expected_pods.unwrap(),
                status.desired_healthy.unwrap(),
                status.current_healthy.unwrap(),
                status.disruptions_allowed.unwrap(),
            );
            assert_eq!(got, want, "{spec}");
            assert_eq!(status.observed_generation, Some(3));
            let condition = &status.conditions.unwrap()[0];
            let reason = if want.3 > 0 {
                "SufficientPods"
            } else {
                "InsufficientPods"
            };
            assert_eq!(condition.reason, reason);
        }
    }

    #[test]
    fn an_evicted_pod_does_not_count_until_it_is_clear_that_it_stays() {
        let pods = [pod("0", true), pod("1", true), pod("2", true)];
        let status = json!({"disruptedPods": {"0": "2026-11-28T11:59:00Z", "1": "2026-11-28T11:57:00Z", "gone": "2026-11-28T11:59:59Z"}});
        let counted = count(&budget(json!({"minAvailable": 1}), status), &pods, Ok(0), now());
        assert_eq!(counted.status.current_healthy, Some(2));
        let left: Vec<String> = counted.status.disrupted_pods.unwrap().into_keys().collect();
        assert_eq!(left, ["0"]);
        assert_eq!(counted.look_again, Some(Duration::from_secs(61)));
    }

    #[test]
    fn what_cannot_be_counted_allows_nothing_and_keeps_the_old_numbers() {
        let status =
            json!({"currentHealthy": 3, "desiredHealthy": 2, "disruptionsAllowed": 1, "observedGeneration": 2});
        let failed = || Err("jobs.batch does not implement the scale subresource".to_owned());
        let counted = count(&budget(json!({"maxUnavailable": 1}), status), &[], failed(), now());
        let status = counted.status;
        assert_eq!(
            (
                status.disruptions_allowed,
                status.current_healthy,
                status.observed_generation
            ),
            (Some(0), Some(3), Some(2))
        );
        let condition = &status.conditions.unwrap()[0];
        assert_eq!(
            (condition.reason.as_str(), condition.status.as_str()),
            ("SyncFailed", "False")
        );
        let counted = count(&budget(json!({"minAvailable": "x"}), Value::Null), &[], Ok(1), now());
        assert_eq!(counted.status.conditions.unwrap()[0].reason, "SyncFailed");
    }
}
