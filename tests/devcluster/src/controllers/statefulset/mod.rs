//! The StatefulSet controller: pods by ordinal with their claims, one revision after another.
//!
//! [`plan`] is the whole of the decision, pure over what is known of the set; [`revision`] turns templates into numbered revisions;
//! [`build`] makes the pods and claims. Here stands the loop that looks, plans and acts. Claims are created before their pod, and a pod
//! has one name per ordinal, so two pods for one ordinal cannot be.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, StatefulSet, StatefulSetStatus},
    core::v1::{PersistentVolumeClaim, Pod},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use self::{
    plan::{Action, Observed, Revision},
    revision::Revisions,
};
use super::{
    Context, Error, meta,
    queue::{self, Queue},
    view::{Change, Deletion, Key, View},
};

mod build;
mod plan;
mod revision;

/// Sets that are worked on at once.
const WORKERS: usize = 8;

/// What the controller works with.
struct Controller {
    context: Context,
    sets: Arc<View<StatefulSet>>,
    pods: Arc<View<Pod>>,
    claims: Arc<View<PersistentVolumeClaim>>,
    revisions: Arc<View<ControllerRevision>>,
}

/// Runs the controller until `stop`.
pub(super) async fn run(context: Context, stop: CancellationToken) {
    let queue = Arc::new(Queue::<Key>::default());
    let views = &context.views;
    let controller = Controller {
        sets: Arc::clone(&views.stateful_sets),
        pods: Arc::clone(&views.pods),
        claims: Arc::clone(&views.claims),
        revisions: Arc::clone(&views.revisions),
        context: context.clone(),
    };
    enqueue(&controller, &queue);
    let ready = async {
        controller.sets.synced().await;
        controller.pods.synced().await;
        controller.claims.synced().await;
        controller.revisions.synced().await;
    };
    if stop.run_until_cancelled(ready).await.is_some() {
        queue::run(&queue, stop, WORKERS, |key| controller.reconcile(key)).await;
    }
}

/// A set is looked at when it, a pod, a claim or a revision of it changes, and every set of a namespace when an unowned pod comes by.
fn enqueue(controller: &Controller, queue: &Arc<Queue<Key>>) {
    let to = Arc::clone(queue);
    controller.sets.subscribe(move |change| match change {
        Change::Applied { now, .. } => to.add(Key::of(*now)),
        Change::Deleted(last) => to.add(Key::of(*last)),
    });
    let (to, sets) = (Arc::clone(queue), Arc::clone(&controller.sets));
    controller.pods.subscribe(move |change| {
        let (Change::Applied { now: pod, .. } | Change::Deleted(pod)) = change;
        let owner = meta::controller(&pod.metadata);
        match owner {
            Some(owner) if owner.kind == "StatefulSet" => to.add(Key::new(meta::namespace(*pod), &owner.name)),
            Some(_) => {}
            None => {
                let orphan_of = |set: &StatefulSet| plan::ordinal(set, meta::name(*pod)).is_some();
                for set in sets.list(meta::namespace(*pod), orphan_of) {
                    to.add(Key::of(&*set));
                }
            }
        }
    });
    let (to, sets) = (Arc::clone(queue), Arc::clone(&controller.sets));
    controller.claims.subscribe(move |change| {
        if let Change::Deleted(claim) = change {
            let namespace = meta::namespace(*claim);
            for set in sets.list(namespace, |set| build::is_claim_of(set, meta::name(*claim))) {
                to.add(Key::of(&*set));
            }
        }
    });
}

impl Controller {
    async fn reconcile(&self, key: Key) -> Result<Option<Duration>, Error> {
        let Some(set) = self.sets.get(&key) else {
            return Ok(None);
        };
        if meta::is_deleting(&*set) {
            return Ok(None);
        }
        self.adopt(&set).await?;
        let revisions = Revisions::keep(&self.revisions, &set).await?;
        let pods = self
            .pods
            .list(&key.namespace, |pod| meta::is_controlled_by(pod, meta::uid(&*set)));
        let plan = plan::plan(&Observed {
            set: &set,
            pods: &pods,
            current: revisions.current.name(),
            update: revisions.update.name(),
            collisions: revisions.collisions,
            now: self.context.clock.now(),
        });
        let mut outcome = Ok(());
        for action in &plan.actions {
            outcome = self.act(&set, &revisions, action).await;
            if outcome.is_err() {
                break;
            }
        }
        // The status tells what was seen, also where an action failed.
        if set.status.as_ref() != Some(&plan.status) {
            self.report(&set, &plan.status).await?;
        }
        outcome?;
        self.own_claims(&set, &pods).await?;
        revisions.trim(&self.revisions, &set, &pods).await?;
        Ok(plan.look_again)
    }

    /// Writes the status, also over a set that changed meanwhile: as in Kubernetes it is of the generation that it names. Without
    /// it the next look would take the newest revision for the one of the pods that were just created.
    async fn report(&self, set: &Arc<StatefulSet>, status: &StatefulSetStatus) -> Result<(), Error> {
        let key = Key::of(&**set);
        let mut newest = Arc::clone(set);
        loop {
            match self.sets.replace_status(&newest, status).await {
                Err(error) if error.is_conflict() => match self.sets.fetch(&key).await? {
                    Some(now) if meta::uid(&*now) == meta::uid(&**set) => newest = now,
                    _ => return Ok(()),
                },
                written => return written,
            }
        }
    }

    async fn act(&self, set: &StatefulSet, revisions: &Revisions, action: &Action) -> Result<(), Error> {
        match action {
            Action::Create { ordinal, revision } => {
                let revision = match revision {
                    Revision::Current => &revisions.current,
                    Revision::Update => &revisions.update,
                };
                self.create_pod(set, *ordinal, revision).await
            }
            Action::Delete { pod, why } => {
                self.pods.delete(&**pod, Deletion::default()).await?;
                let message = format!(
                    "delete Pod {} in StatefulSet {} {why}",
                    meta::name(&**pod),
                    meta::name(set)
                );
                self.context.events.normal(set, "SuccessfulDelete", message);
                Ok(())
            }
        }
    }

    async fn create_pod(&self, set: &StatefulSet, ordinal: i32, revision: &revision::Stored) -> Result<(), Error> {
        for claim in build::claims(set, ordinal) {
            let key = Key::of(&claim);
            match self.claims.get(&key) {
                Some(known) if meta::is_deleting(&*known) => {
                    let message = format!("claim {key} of the pod is being deleted");
                    return Err(Error::Invalid(message));
                }
                Some(_) => {}
                None => match self.claims.create(&claim).await {
                    Err(error) if error.is_already_exists() => {}
                    created => drop(created?),
                },
            }
        }
        let pod = build::pod(set, ordinal, revision)?;
        match self.pods.create(&pod).await {
            Ok(_) => {
                let message = format!(
                    "create Pod {} in StatefulSet {} successful",
                    meta::name(&pod),
                    meta::name(set)
                );
                self.context.events.normal(set, "SuccessfulCreate", message);
                Ok(())
            }
            // The former pod of this name is still going, or somebody else has it: its watch event brings us back.
            Err(error) if error.is_already_exists() || error.is_terminating_namespace() => Ok(()),
            Err(error) => {
                let message = format!(
                    "create Pod {} in StatefulSet {} failed error: {error}",
                    meta::name(&pod),
                    meta::name(set)
                );
                self.context.events.warning(set, "FailedCreate", message);
                Err(error)
            }
        }
    }

    /// Takes pods without a controller that the set selects and whose names fit: those that a set deleted with Orphan has left.
    async fn adopt(&self, set: &StatefulSet) -> Result<(), Error> {
        let orphans = self.pods.list(meta::namespace(set), |pod| {
            meta::controller(&pod.metadata).is_none()
                && !meta::is_deleting(pod)
                && plan::ordinal(set, meta::name(pod)).is_some()
                && set
                    .spec
                    .as_ref()
                    .is_some_and(|spec| meta::selects(&spec.selector, pod.metadata.labels.as_ref()))
        });
        if orphans.is_empty() {
            return Ok(());
        }
        // They may be orphans because the set is being deleted, of which we have not heard yet.
        let now = self.sets.fetch(&Key::of(set)).await?;
        if now.is_none_or(|now| meta::is_deleting(&*now) || meta::uid(&*now) != meta::uid(set)) {
            return Ok(());
        }
        for pod in orphans {
            let mut owners = pod.metadata.owner_references.clone().unwrap_or_default();
            owners.push(meta::controlled_by(set));
            let body = json!({ "metadata": { "ownerReferences": owners } });
            self.pods.merge(&*pod, body, true).await?;
        }
        Ok(())
    }

    /// Keeps the owners of the set's claims as its retention policy says.
    async fn own_claims(&self, set: &StatefulSet, pods: &[Arc<Pod>]) -> Result<(), Error> {
        let claims = self
            .claims
            .list(meta::namespace(set), |claim| build::is_claim_of(set, meta::name(claim)));
        for claim in claims {
            if let Some(owners) = build::claim_owners(set, pods, &claim) {
                let body = json!({ "metadata": { "ownerReferences": owners } });
                self.claims.merge(&*claim, body, true).await?;
            }
        }
        Ok(())
    }
}
