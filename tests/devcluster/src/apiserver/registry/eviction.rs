//! `pods/eviction`: a pod is deleted if the disruption budget that selects it allows one more disruption.
//!
//! The server takes the disruption off the budget's status before it deletes, and notes the pod there: however many ask at once, no more
//! are let through than the controller of budgets counted. A pod that disturbs nobody (not yet running, ended, being deleted) goes freely.

use serde_json::{Value, json};

use super::{
    super::{
        clock::seconds,
        kinds::Resource,
        selector::Labels,
        smd::{self, Writer},
        status::Failure,
        store::Object,
    },
    Call, Decoded, DeleteOptions, Registry, Stop, meta,
};

/// How often an eviction starts over when others write at the same time.
const ATTEMPTS: usize = 20;
/// A budget with more evictions under way than this allows none.
const MAX_DISRUPTED: usize = 2_000;
const BUDGETS: &str = "poddisruptionbudgets.policy";
/// Who writes the status of budgets here.
const MANAGER: &str = "kube-apiserver";

/// What the budgets say about an eviction.
enum Leave {
    Free,
    /// Only while the pod is not ready, as it was found.
    WhileUnready(String),
}

impl Registry {
    /// Evicts a pod. The answer is a Status.
    pub(in crate::apiserver) async fn evict(&self, call: &Call, body: Decoded) -> Result<Value, Stop> {
        let (eviction, _) = self.subresource_body(call, "Eviction", body)?;
        if meta::text(&eviction, "name") != call.name {
            return Err(Failure::bad_request("name in URL does not match name in Eviction object").into());
        }
        let options = DeleteOptions::read(&eviction["deleteOptions"])?;
        let call = &Call {
            dry_run: call.dry_run || options.dry_run,
            ..call.clone()
        };
        if self.evict_unbudgeted(call, &options).await? {
            return Ok(success());
        }
        let pod = self.store.get(&call.key()).ok_or_else(|| call.missing())?;
        let budgets = self.budgets_of(&pod);
        let leave = match budgets.as_slice() {
            [] => Leave::Free,
            [budget] => self.ask(call, &pod, budget).await?,
            _ => return Err(Failure::unexpected(AMBIGUOUS).into()),
        };
        let Leave::WhileUnready(budget) = leave else {
            self.mark_and_delete(call, &options).await?;
            return Ok(success());
        };
        let exact = options.clone().exactly(pod.resource_version);
        match self.mark_and_delete(call, &exact).await {
            Err(Stop::Failure(failure)) if failure.code == 409 && !options.names_version() => {
                Err(still_processed(&budget).into())
            }
            other => other.map(|()| success()),
        }
    }

    /// Deletes a pod whose end disturbs nobody. Says whether it was one.
    async fn evict_unbudgeted(&self, call: &Call, options: &DeleteOptions) -> Result<bool, Stop> {
        for _ in 0..ATTEMPTS {
            let pod = self.store.get(&call.key()).ok_or_else(|| call.missing())?;
            let phase = pod.value["status"]["phase"].as_str().unwrap_or_default();
            let over = meta::is_terminating(&pod.value) || matches!(phase, "Succeeded" | "Failed");
            if !over && phase != "Pending" {
                return Ok(false);
            }
            // A pod that is about to run must still be about to.
            let options = if over || options.names_version() {
                options.clone()
            } else {
                options.clone().exactly(pod.resource_version)
            };
            match self.mark_and_delete(call, &options).await {
                Err(Stop::Failure(failure)) if failure.code == 409 && !over => {}
                other => return other.map(|()| true),
            }
        }
        Err(Failure::internal("the pod changed at every attempt").into())
    }

    /// The budgets that select a pod.
    fn budgets_of(&self, pod: &Object) -> Vec<std::sync::Arc<Object>> {
        let all = self.store.list(&BUDGETS.into(), Some(&pod.key.namespace)).objects;
        let selects = |budget: &Object| {
            Labels::of_selector(&budget.value["spec"]["selector"]).is_some_and(|selector| selector.matches(&pod.value))
        };
        all.into_iter().filter(|budget| selects(budget)).collect()
    }

    /// Takes one disruption off the budget, unless the pod does not count.
    async fn ask(&self, call: &Call, pod: &Object, budget: &Object) -> Result<Leave, Stop> {
        if !is_ready(&pod.value) {
            let healthy = count(&budget.value, "currentHealthy");
            let desired = count(&budget.value, "desiredHealthy");
            let always = budget.value["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
            if always || (healthy >= desired && desired > 0) {
                return Ok(Leave::WhileUnready(budget.key.name.clone()));
            }
        }
        let missing = || Failure::not_found("policy", "poddisruptionbudgets", &budget.key.name);
        for _ in 0..ATTEMPTS {
            let seen = self.store.get(&budget.key).ok_or_else(missing)?;
            let mut new = seen.value.clone();
            self.take_one(&mut new, &call.name)?;
            if call.dry_run {
                return Ok(Leave::Free);
            }
            let catalog = self.catalog();
            let resource = catalog.get("policy", "v1", "poddisruptionbudgets");
            self.own_status(resource.ok_or_else(missing)?, &seen.value, &mut new);
            self.before_commit(call).await?;
            if self.store.update(&seen, new).is_ok() {
                return Ok(Leave::Free);
            }
        }
        let why = format!(
            "couldn't update PodDisruptionBudget {:?} due to conflicts",
            budget.key.name
        );
        Err(Failure::internal(why).into())
    }

    fn own_status(&self, resource: &Resource, old: &Value, new: &mut Value) {
        let writer = Writer {
            manager: MANAGER,
            api_version: "policy/v1",
            subresource: "status",
            now: self.clock.now(),
        };
        smd::track_update(Some(old), new, writer, &resource.types);
    }

    /// One disruption less, and the pod among those under way; or why not.
    fn take_one(&self, budget: &mut Value, pod: &str) -> Result<(), Failure> {
        let name = meta::text(budget, "name").to_owned();
        if count(budget, "observedGeneration") < meta::generation(budget) {
            return Err(still_processed(&name));
        }
        let allowed = count(budget, "disruptionsAllowed");
        let disrupted = budget.pointer("/status/disruptedPods").and_then(Value::as_object);
        let forbid = |why: &str| Err(Failure::forbidden("policy", "poddisruptionbudget", &name, why, None));
        if allowed < 0 {
            return forbid("pdb disruptions allowed is negative");
        }
        if disrupted.is_some_and(|pods| pods.len() > MAX_DISRUPTED) {
            return forbid("DisruptedPods map too big - too many evictions not confirmed by PDB controller");
        }
        if allowed == 0 {
            return Err(refused(budget, &name));
        }
        let now = seconds(self.clock.now());
        budget["status"]["disruptionsAllowed"] = json!(allowed - 1);
        budget["status"]["disruptedPods"][pod] = json!(now);
        if allowed == 1 {
            let generation = budget["status"]["observedGeneration"].clone();
            let condition = json!({
                "type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
                "observedGeneration": generation,
            });
            set_condition(budget, condition, &now);
        }
        Ok(())
    }

    /// Says in the pod's status why it goes, and deletes it.
    async fn mark_and_delete(&self, call: &Call, options: &DeleteOptions) -> Result<(), Stop> {
        let mut options = options.clone();
        if !call.dry_run {
            for attempt in 1.. {
                let seen = self.store.get(&call.key()).ok_or_else(|| call.missing())?;
                options.check(call, &seen)?;
                let mut new = seen.value.clone();
                set_condition(
                    &mut new,
                    json!({
                        "type": "DisruptionTarget", "status": "True", "lastProbeTime": null,
                        "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting",
                    }),
                    &seconds(self.clock.now()),
                );
                let version = if new == seen.value {
                    seen.resource_version
                } else {
                    self.before_commit(call).await?;
                    match self.store.update(&seen, new) {
                        Ok(object) => object.resource_version,
                        Err(_) if attempt < ATTEMPTS => continue,
                        Err(_) => return Err(Failure::modified("", "pods", &call.name).into()),
                    }
                };
                if options.names_version() {
                    options = options.exactly(version);
                }
                break;
            }
        }
        self.delete(call, &options).await.map(drop)
    }
}

fn count(budget: &Value, field: &str) -> i64 {
    budget["status"][field].as_i64().unwrap_or(0)
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|c| c["type"] == "Ready" && c["status"] == "True")
}

/// The conditions of an object; none where it has none.
fn conditions(object: &mut Value) -> impl Iterator<Item = &mut Value> {
    let conditions = object.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
    conditions.into_iter().flatten()
}

/// Sets a condition; its time moves only where its status does.
fn set_condition(object: &mut Value, mut condition: Value, now: &str) {
    condition["lastTransitionTime"] = json!(now);
    if let Some(old) = conditions(object).find(|c| c["type"] == condition["type"]) {
        if old["status"] == condition["status"] {
            condition["lastTransitionTime"] = old["lastTransitionTime"].clone();
        }
        if let Some(probe) = old.get("lastProbeTime") {
            condition["lastProbeTime"] = probe.clone();
        }
        *old = condition;
        return;
    }
    match object.pointer_mut("/status/conditions").and_then(Value::as_array_mut) {
        Some(all) => all.push(condition),
        None => object["status"]["conditions"] = json!([condition]),
    }
}

/// Two budgets cannot both be asked.
const AMBIGUOUS: &str =
    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
const REFUSAL: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

/// 429: the budget has changed and nobody has counted since.
fn still_processed(budget: &str) -> Failure {
    let cause = format!("The disruption budget {budget} is still being processed by the server.");
    Failure::too_many_requests(
        REFUSAL,
        Some(10),
        &json!({"reason": "DisruptionBudget", "message": cause}),
    )
}

/// 429: no disruption is allowed.
fn refused(budget: &mut Value, name: &str) -> Failure {
    let (desired, healthy) = (count(budget, "desiredHealthy"), count(budget, "currentHealthy"));
    let condition = conditions(budget).find(|c| c["type"] == "DisruptionAllowed" && c["status"] == "False");
    let part = |field: &str| condition.as_ref().and_then(|c| c[field].as_str()).unwrap_or_default();
    let cause = match (part("reason"), part("message")) {
        ("SyncFailed", message) if !message.is_empty() => format!(
            "The disruption budget {name} does not allow evicting pods currently because it failed sync: {message}"
        ),
        _ if healthy <= desired => {
            format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently")
        }
        (reason, message) if !message.is_empty() => {
            format!("The disruption budget {name} does not allow evicting pods currently ({reason}): {message}")
        }
        _ => format!("The disruption budget {name} does not allow evicting pods currently"),
    };
    Failure::too_many_requests(REFUSAL, None, &json!({"reason": "DisruptionBudget", "message": cause}))
}

fn success() -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})
}
