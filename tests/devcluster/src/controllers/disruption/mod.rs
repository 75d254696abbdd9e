//! The controller of disruption budgets: it counts, so that the eviction subresource knows how many pods may go.
//!
//! [`count`] is the whole of the decision. Here stands the loop, and the question how many pods there should be, which the owners of the
//! selected pods answer: StatefulSets by their replicas, every other kind by its scale subresource.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    autoscaling::v1::Scale,
    core::v1::Pod,
    policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus},
};
use kube::Resource as _;
use kube::core::{DynamicObject, Request};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::count::Counted;
use super::{
    Context, Error,
    kinds::Kinds,
    meta,
    queue::{self, Queue},
    view::{Change, Key, View, within},
};

mod count;

const WORKERS: usize = 4;

struct Controller {
    context: Context,
    kinds: Arc<Kinds>,
    budgets: Arc<View<PodDisruptionBudget>>,
    pods: Arc<View<Pod>>,
    sets: Arc<View<StatefulSet>>,
}

/// Runs the controller until `stop`.
pub(super) async fn run(context: Context, kinds: Arc<Kinds>, stop: CancellationToken) {
    let queue = Arc::new(Queue::<Key>::default());
    let views = &context.views;
    let controller = Controller {
        budgets: Arc::clone(&views.budgets),
        pods: Arc::clone(&views.pods),
        sets: Arc::clone(&views.stateful_sets),
        kinds,
        context: context.clone(),
    };
    enqueue(&controller, &queue);
    let ready = async {
        controller.budgets.synced().await;
        controller.pods.synced().await;
        controller.sets.synced().await;
    };
    if stop.run_until_cancelled(ready).await.is_some() {
        queue::run(&queue, stop, WORKERS, |key| controller.reconcile(key)).await;
    }
}

/// A budget is looked at when it changes, when a pod that it selects or selected does, and when the set of such pods does.
fn enqueue(controller: &Controller, queue: &Arc<Queue<Key>>) {
    let to = Arc::clone(queue);
    controller.budgets.subscribe(move |change| {
        if let Change::Applied { now, .. } = change {
            to.add(Key::of(*now));
        }
    });
    let (to, budgets) = (Arc::clone(queue), Arc::clone(&controller.budgets));
    controller.pods.subscribe(move |change| {
        let (before, now) = match change {
            Change::Applied { before, now } => (*before, *now),
            Change::Deleted(last) => (None, *last),
        };
        let of = |budget: &PodDisruptionBudget| {
            count::selects(budget, now) || before.is_some_and(|pod| count::selects(budget, pod))
        };
        for budget in budgets.list(meta::namespace(now), of) {
            to.add(Key::of(&*budget));
        }
    });
    let (to, budgets) = (Arc::clone(queue), Arc::clone(&controller.budgets));
    controller.sets.subscribe(move |change| {
        let (Change::Applied { now: set, .. } | Change::Deleted(set)) = change;
        // Which of them it concerns its pods would say; there are few.
        for budget in budgets.list(meta::namespace(*set), |_| true) {
            to.add(Key::of(&*budget));
        }
    });
}

impl Controller {
    async fn reconcile(&self, key: Key) -> Result<Option<Duration>, Error> {
        let Some(budget) = self.budgets.get(&key) else {
            return Ok(None);
        };
        let pods = self.pods.list(&key.namespace, |pod| count::selects(&budget, pod));
        let scale = if count::needs_scale(&budget) {
            self.scale(&pods).await?
        } else {
            Ok(0)
        };
        let Counted { status, look_again } = count::count(&budget, &pods, scale, self.context.clock.now());
        if budget.status.as_ref() != Some(&status) {
            self.write(&budget, &status).await?;
        }
        Ok(look_again)
    }

    /// A merge keeps the pods that are not named: those that are no longer under way are named as gone.
    async fn write(&self, budget: &PodDisruptionBudget, status: &PodDisruptionBudgetStatus) -> Result<(), Error> {
        let mut body = serde_json::to_value(status).map_err(kube::Error::SerdeError)?;
        let before = budget.status.as_ref().and_then(|status| status.disrupted_pods.as_ref());
        for pod in before.into_iter().flat_map(BTreeMap::keys) {
            if status.disrupted_pods.as_ref().is_none_or(|now| !now.contains_key(pod)) {
                body["disruptedPods"][pod] = Value::Null;
            }
        }
        self.budgets.merge_status(budget, &json!(body)).await
    }

    /// How many pods the owners of these want, or why that cannot be told. Pods without an owner count for nothing.
    async fn scale(&self, pods: &[Arc<Pod>]) -> Result<Result<i32, String>, Error> {
        let mut known: BTreeMap<String, i32> = BTreeMap::new();
        for pod in pods {
            let Some(owner) = meta::controller(&pod.metadata) else {
                continue;
            };
            if known.contains_key(&owner.uid) {
                continue;
            }
            let namespace = meta::namespace(&**pod);
            let found = if owner.kind == StatefulSet::kind(&()) && owner.api_version == StatefulSet::api_version(&()) {
                let set = self.sets.get(&Key::new(namespace, &owner.name));
                let set = set.filter(|set| meta::uid(&**set) == owner.uid);
                Ok(set.map(|set| set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)))
            } else {
                self.scale_of(&owner.api_version, &owner.kind, namespace, &owner.name, &owner.uid)
                    .await?
            };
            match found {
                Ok(Some(replicas)) => drop(known.insert(owner.uid.clone(), replicas)),
                Ok(None) => return Ok(Err(format!("found no controllers for pod {:?}", meta::name(&**pod)))),
                Err(why) => return Ok(Err(why)),
            }
        }
        Ok(Ok(known.values().sum()))
    }

    /// The replicas that an object's scale subresource asks for; `None` where the object is gone, an error where its kind has no scale.
    async fn scale_of(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
        uid: &str,
    ) -> Result<Result<Option<i32>, String>, Error> {
        let Some(kind) = self.kinds.get(api_version, kind) else {
            return Ok(Ok(None));
        };
        let request = Request::new(DynamicObject::url_path(&kind.resource, Some(namespace)))
            .get_subresource("scale", name)
            .map_err(kube::Error::BuildRequest)?;
        match within(self.context.client.request::<Scale>(request)).await {
            Ok(scale) if scale.metadata.uid.as_deref() == Some(uid) => {
                Ok(Ok(Some(scale.spec.and_then(|spec| spec.replicas).unwrap_or(0))))
            }
            Ok(_) => Ok(Ok(None)),
            Err(error) if error.is_gone() => {
                let there = kind.view.get(&Key::new(namespace, name)).is_some();
                let resource = match kind.resource.group.as_str() {
                    "" => kind.resource.plural.clone(),
                    group => format!("{}.{group}", kind.resource.plural),
                };
                Ok(if there {
                    Err(format!("{resource} does not implement the scale subresource"))
                } else {
                    Ok(None)
                })
            }
            Err(error) => Err(error),
        }
    }
}
