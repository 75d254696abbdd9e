//! The volume binder: a volume for every claim, as a cluster with one dynamic provisioner has them.
//!
//! A claim gets its class, a PersistentVolume of its own, and both are bound; a claim that grows is grown; a deleted claim stays while a
//! pod uses it, and its volume goes or stays by its reclaim policy. What a volume holds is the runtime's business: it lives by the
//! claim's uid.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::{
    api::{
        core::v1::{PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimStatus, Pod},
        storage::v1::StorageClass,
    },
    apimachinery::pkg::api::resource::Quantity,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    Context, Error,
    kubelet::needs,
    meta,
    queue::{self, Queue},
    view::{Change, Deletion, Key, View},
};

const WORKERS: usize = 8;
/// The class that is there from the start.
pub const DEFAULT_CLASS: &str = "standard";
const PROVISIONER: &str = "devcluster.neo4j.com/volumes";
const IS_DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
const IN_USE: &str = "kubernetes.io/pvc-protection";
/// The server puts it on every volume; one that no claim is bound to is let go.
const VOLUME_IN_USE: &str = "kubernetes.io/pv-protection";

struct Binder {
    context: Context,
    claims: Arc<View<PersistentVolumeClaim>>,
    volumes: Arc<View<PersistentVolume>>,
    classes: Arc<View<StorageClass>>,
    pods: Arc<View<Pod>>,
}

/// Runs the binder until `stop`.
pub(super) async fn run(context: Context, stop: CancellationToken) {
    let binder = Binder {
        claims: Arc::clone(&context.views.claims),
        volumes: Arc::clone(&context.views.volumes),
        classes: Arc::clone(&context.views.classes),
        pods: Arc::clone(&context.views.pods),
        context,
    };
    let queue = Arc::new(Queue::<Key>::default());
    binder.enqueue(&queue);
    let ready = async {
        binder.claims.synced().await;
        binder.volumes.synced().await;
        binder.classes.synced().await;
        binder.pods.synced().await;
        binder.make_default_class().await;
    };
    if stop.run_until_cancelled(ready).await.is_some() {
        queue::run(&queue, stop, WORKERS, |key| binder.reconcile(key)).await;
    }
}

/// Everything about one claim that is not right yet, in the order in which it is put right.
#[derive(Debug, PartialEq)]
enum Step {
    /// It belongs to a class now: the default one.
    Classify(String),
    /// It cannot be bound, and why.
    Refuse(String),
    /// A volume has to be made, of this size and class.
    Provision {
        class: String,
        reclaim: String,
    },
    /// It has to name its volume.
    Name,
    /// Its status has to say that it is bound, and how big it is.
    Settle(PersistentVolumeClaimStatus),
    /// Its volume has to grow.
    Grow,
    /// Nobody uses it any more: its deletion goes on.
    Release,
    Nothing,
}

/// The name of the volume that is made for a claim.
fn volume_name(claim: &PersistentVolumeClaim) -> String {
    format!("pvc-{}", meta::uid(claim))
}

fn requested(claim: &PersistentVolumeClaim) -> Option<&Quantity> {
    claim
        .spec
        .as_ref()?
        .resources
        .as_ref()?
        .requests
        .as_ref()?
        .get("storage")
}

fn decide(
    claim: &PersistentVolumeClaim,
    classes: &[Arc<StorageClass>],
    volume: Option<&PersistentVolume>,
    in_use: bool,
) -> Step {
    let protected = claim
        .metadata
        .finalizers
        .iter()
        .flatten()
        .any(|finalizer| finalizer == IN_USE);
    if meta::is_deleting(claim) {
        return if protected && !in_use {
            Step::Release
        } else {
            Step::Nothing
        };
    }
    let spec = claim.spec.clone().unwrap_or_default();
    let Some(class) = spec.storage_class_name.as_deref() else {
        let default = classes
            .iter()
            .find(|class| meta::annotation(&***class, IS_DEFAULT) == Some("true"));
        return default.map_or(Step::Nothing, |class| Step::Classify(meta::name(&**class).to_owned()));
    };
    let Some(volume) = volume else {
        if spec
            .volume_name
            .as_deref()
            .is_some_and(|name| !name.is_empty() && name != volume_name(claim))
        {
            return Step::Nothing; // asks for a volume that somebody else makes
        }
        return match classes.iter().find(|known| meta::name(&***known) == class) {
            Some(known) if known.provisioner == PROVISIONER => Step::Provision {
                class: class.to_owned(),
                reclaim: known.reclaim_policy.clone().unwrap_or_else(|| "Delete".to_owned()),
            },
            Some(_) => Step::Nothing,
            None => Step::Refuse(format!("storageclass.storage.k8s.io \"{class}\" not found")),
        };
    };
    if spec.volume_name.as_deref() != Some(meta::name(volume)) || !protected {
        return Step::Name;
    }
    let capacity = volume
        .spec
        .as_ref()
        .and_then(|spec| spec.capacity.clone())
        .unwrap_or_default();
    let may_grow = classes
        .iter()
        .any(|known| meta::name(&**known) == class && known.allow_volume_expansion == Some(true));
    if may_grow && requested(claim).is_some_and(|wanted| capacity.get("storage") != Some(wanted)) {
        return Step::Grow;
    }
    let status = PersistentVolumeClaimStatus {
        phase: Some("Bound".to_owned()),
        access_modes: spec.access_modes.clone(),
        capacity: Some(capacity),
        ..claim.status.clone().unwrap_or_default()
    };
    if claim.status.as_ref() == Some(&status) {
        Step::Nothing
    } else {
        Step::Settle(status)
    }
}

impl Binder {
    fn enqueue(&self, queue: &Arc<Queue<Key>>) {
        let to = Arc::clone(queue);
        self.claims.subscribe(move |change| {
            let (Change::Applied { now: claim, .. } | Change::Deleted(claim)) = change;
            to.add(Key::of(*claim));
        });
        let to = Arc::clone(queue);
        self.volumes.subscribe(move |change| {
            let (Change::Applied { now: volume, .. } | Change::Deleted(volume)) = change;
            if let Some(key) = claim_of(volume) {
                to.add(key);
            }
        });
        let to = Arc::clone(queue);
        self.pods.subscribe(move |change| {
            let (Change::Applied { now: pod, .. } | Change::Deleted(pod)) = change;
            for name in needs::claims(pod) {
                to.add(Key::new(meta::namespace(*pod), name));
            }
        });
        let (to, claims) = (Arc::clone(queue), Arc::clone(&self.claims));
        self.classes.subscribe(move |_| {
            for claim in claims.all() {
                to.add(Key::of(&*claim));
            }
        });
    }

    /// The class that claims without one get. It has to be there before anything is bound.
    async fn make_default_class(&self) {
        let class: Result<StorageClass, _> = serde_json::from_value(json!({
            "metadata": { "name": DEFAULT_CLASS, "annotations": { IS_DEFAULT: "true" } },
            "provisioner": PROVISIONER,
            "allowVolumeExpansion": true,
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "Immediate",
        }));
        let Ok(class) = class else { return };
        loop {
            match self.classes.create(&class).await {
                Ok(_) => return,
                Err(error) if error.is_already_exists() => return,
                Err(error) => tracing::debug!(%error, "the default storage class is not there yet"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn reconcile(&self, key: Key) -> Result<Option<Duration>, Error> {
        let claim = self.claims.get(&key);
        self.clear_volumes(&key, claim.as_deref()).await?;
        let Some(claim) = claim else { return Ok(None) };
        let volume = self.volumes.get(&Key::new("", volume_name(&claim)));
        let in_use = self.pods.list(&key.namespace, |pod| uses(pod, &key.name));
        let step = decide(&claim, &self.classes.all(), volume.as_deref(), !in_use.is_empty());
        self.act(&claim, volume.as_deref(), step).await?;
        Ok(None)
    }

    /// Every step changes the claim or its volume, and the change brings the claim back for the next.
    async fn act(
        &self,
        claim: &PersistentVolumeClaim,
        volume: Option<&PersistentVolume>,
        step: Step,
    ) -> Result<(), Error> {
        match step {
            Step::Nothing => Ok(()),
            Step::Refuse(message) => {
                self.context.events.warning(claim, "ProvisioningFailed", message);
                Ok(())
            }
            Step::Classify(class) => {
                let body = json!({ "spec": { "storageClassName": class } });
                self.claims.merge(claim, body, true).await
            }
            Step::Provision { class, reclaim } => self.provision(claim, &class, &reclaim).await,
            Step::Name => {
                let mut finalizers = claim.metadata.finalizers.clone().unwrap_or_default();
                if !finalizers.iter().any(|finalizer| finalizer == IN_USE) {
                    finalizers.push(IN_USE.to_owned());
                }
                let body = json!({
                    "metadata": {
                        "finalizers": finalizers,
                        "annotations": {
                            "pv.kubernetes.io/bind-completed": "yes",
                            "pv.kubernetes.io/bound-by-controller": "yes",
                            "volume.kubernetes.io/storage-provisioner": PROVISIONER,
                        },
                    },
                    "spec": { "volumeName": volume_name(claim) },
                });
                self.claims.merge(claim, body, true).await
            }
            Step::Grow => {
                let Some(volume) = volume else { return Ok(()) };
                let body = json!({ "spec": { "capacity": { "storage": requested(claim) } } });
                self.volumes.merge(volume, body, true).await
            }
            Step::Settle(status) => {
                if let Some(volume) = volume {
                    self.set_phase(volume, "Bound").await?;
                }
                self.claims.merge_status(claim, &status).await
            }
            Step::Release => {
                let finalizers = claim.metadata.finalizers.iter().flatten();
                let others: Vec<_> = finalizers.filter(|finalizer| *finalizer != IN_USE).collect();
                let body = json!({ "metadata": { "finalizers": others } });
                self.claims.merge(claim, body, true).await
            }
        }
    }

    async fn provision(&self, claim: &PersistentVolumeClaim, class: &str, reclaim: &str) -> Result<(), Error> {
        let name = volume_name(claim);
        let spec = claim.spec.clone().unwrap_or_default();
        let capacity: BTreeMap<_, _> = requested(claim).map(|size| ("storage", size)).into_iter().collect();
        let volume: PersistentVolume = serde_json::from_value(json!({
            "metadata": {
                "name": name,
                "annotations": { "pv.kubernetes.io/provisioned-by": PROVISIONER },
            },
            "spec": {
                "accessModes": spec.access_modes,
                "capacity": capacity,
                "claimRef": {
                    "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                    "namespace": claim.metadata.namespace, "name": claim.metadata.name, "uid": claim.metadata.uid,
                },
                "hostPath": { "path": format!("/devcluster/volumes/{name}") },
                "persistentVolumeReclaimPolicy": reclaim,
                "storageClassName": class,
                "volumeMode": spec.volume_mode.unwrap_or_else(|| "Filesystem".to_owned()),
            },
        }))
        .map_err(kube::Error::SerdeError)?;
        match self.volumes.create(&volume).await {
            Ok(_) => {
                let message = format!("Successfully provisioned volume {name}");
                self.context.events.normal(claim, "ProvisioningSucceeded", message);
                Ok(())
            }
            Err(error) if error.is_already_exists() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes, or marks as released, the volumes whose claim of this name is gone.
    async fn clear_volumes(&self, key: &Key, claim: Option<&PersistentVolumeClaim>) -> Result<(), Error> {
        let left = self.volumes.list("", |volume| {
            let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
            claim_of(volume).as_ref() == Some(key)
                && reference.and_then(|reference| reference.uid.as_deref()) != claim.map(meta::uid)
        });
        for volume in left {
            let policy = volume
                .spec
                .as_ref()
                .and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
            let protected = volume
                .metadata
                .finalizers
                .iter()
                .flatten()
                .any(|name| name == VOLUME_IN_USE);
            if meta::is_deleting(&*volume) {
                if protected {
                    self.release(&volume).await?;
                }
            } else if policy == Some("Retain") {
                self.set_phase(&volume, "Released").await?;
            } else {
                self.volumes.delete(&*volume, Deletion::default()).await?;
            }
        }
        Ok(())
    }

    /// Lets a volume go that no claim is bound to.
    async fn release(&self, volume: &PersistentVolume) -> Result<(), Error> {
        let finalizers = volume.metadata.finalizers.iter().flatten();
        let others: Vec<_> = finalizers.filter(|finalizer| *finalizer != VOLUME_IN_USE).collect();
        let body = json!({ "metadata": { "finalizers": others } });
        self.volumes.merge(volume, body, true).await
    }

    async fn set_phase(&self, volume: &PersistentVolume, phase: &str) -> Result<(), Error> {
        let mut status = volume.status.clone().unwrap_or_default();
        if status.phase.as_deref() == Some(phase) {
            return Ok(());
        }
        status.phase = Some(phase.to_owned());
        self.volumes.merge_status(volume, &status).await
    }
}

fn claim_of(volume: &PersistentVolume) -> Option<Key> {
    let claim = volume.spec.as_ref()?.claim_ref.as_ref()?;
    Some(Key::new(claim.namespace.as_deref()?, claim.name.as_deref()?))
}

/// Whether a pod that has not ended mounts the claim.
fn uses(pod: &Pod, claim: &str) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed")) && needs::claims(pod).any(|name| name == claim)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn class(name: &str, default: bool) -> Arc<StorageClass> {
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": name, "annotations": {IS_DEFAULT: default.to_string()}}, "provisioner": PROVISIONER,
                "allowVolumeExpansion": true,
            }))
            .unwrap(),
        )
    }

    fn claim(meta: Value, class: Option<&str>, size: &str) -> PersistentVolumeClaim {
        let mut metadata = json!({"name": "data-a-0", "namespace": "n", "uid": "u"});
        metadata
            .as_object_mut()
            .unwrap()
            .extend(meta.as_object().unwrap().clone());
        serde_json::from_value(json!({
            "metadata": metadata,
            "spec": {"storageClassName": class, "volumeName": "pvc-u", "resources": {"requests": {"storage": size}}},
        }))
        .unwrap()
    }

    fn volume(size: &str) -> PersistentVolume {
        serde_json::from_value(json!({"metadata": {"name": "pvc-u"}, "spec": {"capacity": {"storage": size}}})).unwrap()
    }

    #[test]
    fn a_claim_goes_by_steps_from_no_class_to_bound() {
        let classes = [class("slow", false), class("fast", true)];
        let bare = claim(json!({}), None, "1Gi");
        assert_eq!(decide(&bare, &classes, None, false), Step::Classify("fast".to_owned()));
        let unknown = claim(json!({}), Some("gone"), "1Gi");
        assert!(
            matches!(decide(&unknown, &classes, None, false), Step::Refuse(message) if message.contains("\"gone\" not found"))
        );
        let classed = claim(json!({}), Some("slow"), "1Gi");
        assert!(matches!(decide(&classed, &classes, None, false), Step::Provision { class, .. } if class == "slow"));
        assert_eq!(decide(&classed, &classes, Some(&volume("1Gi")), false), Step::Name);
        let mut named = claim(json!({"finalizers": [IN_USE]}), Some("slow"), "1Gi");
        let Step::Settle(status) = decide(&named, &classes, Some(&volume("1Gi")), true) else {
            panic!("not settled")
        };
        assert_eq!(status.phase.as_deref(), Some("Bound"));
        named.status = Some(status);
        assert_eq!(decide(&named, &classes, Some(&volume("1Gi")), true), Step::Nothing);
        let grown = PersistentVolumeClaim {
            status: named.status,
            ..claim(json!({"finalizers": [IN_USE]}), Some("slow"), "2Gi")
        };
        assert_eq!(decide(&grown, &classes, Some(&volume("1Gi")), true), Step::Grow);
    }

    #[test]
    fn a_deleted_claim_is_held_while_a_pod_uses_it() {
        let going = claim(
            json!({"finalizers": [IN_USE], "deletionTimestamp": "2026-01-01T00:00:00Z"}),
            Some("slow"),
            "1Gi",
        );
        assert_eq!(decide(&going, &[], Some(&volume("1Gi")), true), Step::Nothing);
        assert_eq!(decide(&going, &[], Some(&volume("1Gi")), false), Step::Release);
    }
}
