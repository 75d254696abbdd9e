//! The pods and claims of a StatefulSet: names, labels, volumes and owners.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, Volume},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};

use super::{
    plan::{self, REVISION_LABEL},
    revision::Stored,
};
use crate::controllers::{Error, meta};

fn templates(set: &StatefulSet) -> impl Iterator<Item = &PersistentVolumeClaim> {
    set.spec
        .iter()
        .flat_map(|spec| spec.volume_claim_templates.iter().flatten())
}

fn claim_name(set: &StatefulSet, template: &PersistentVolumeClaim, ordinal: i32) -> String {
    format!("{}-{}-{ordinal}", meta::name(template), meta::name(set))
}

/// The claims of one pod.
pub(super) fn claims(set: &StatefulSet, ordinal: i32) -> Vec<PersistentVolumeClaim> {
    let selected = set
        .spec
        .as_ref()
        .and_then(|spec| spec.selector.match_labels.clone())
        .unwrap_or_default();
    templates(set)
        .map(|template| {
            let mut labels = template.metadata.labels.clone().unwrap_or_default();
            labels.extend(selected.clone());
            PersistentVolumeClaim {
                metadata: ObjectMeta {
                    name: Some(claim_name(set, template, ordinal)),
                    namespace: set.metadata.namespace.clone(),
                    labels: Some(labels),
                    annotations: template.metadata.annotations.clone(),
                    ..ObjectMeta::default()
                },
                spec: template.spec.clone(),
                status: None,
            }
        })
        .collect()
}

/// The ordinal that a claim's name belongs to, where it is a claim of this set.
fn claim_ordinal(set: &StatefulSet, claim: &str) -> Option<i32> {
    templates(set).find_map(|template| plan::ordinal(set, claim.strip_prefix(meta::name(template))?.strip_prefix('-')?))
}

/// Whether the name is one that the set gives a claim.
pub(super) fn is_claim_of(set: &StatefulSet, claim: &str) -> bool {
    claim_ordinal(set, claim).is_some()
}

/// The owners that a claim should have, where it has others: by the retention policy its set, its pod, or nobody of ours.
pub(super) fn claim_owners(
    set: &StatefulSet,
    pods: &[Arc<Pod>],
    claim: &PersistentVolumeClaim,
) -> Option<Vec<OwnerReference>> {
    let ordinal = claim_ordinal(set, meta::name(claim))?;
    let spec = set.spec.as_ref()?;
    let policy = spec.persistent_volume_claim_retention_policy.as_ref();
    let deletes = |when: Option<&String>| when.is_some_and(|when| when == "Delete");
    let when_deleted = deletes(policy.and_then(|policy| policy.when_deleted.as_ref()));
    let when_scaled = deletes(policy.and_then(|policy| policy.when_scaled.as_ref()));
    let first = spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0);
    let condemned = ordinal < first || ordinal >= first.saturating_add(spec.replicas.unwrap_or(1));
    let pod = pods
        .iter()
        .find(|pod| plan::ordinal(set, meta::name(&***pod)) == Some(ordinal));

    let has = claim.metadata.owner_references.clone().unwrap_or_default();
    let ours = |owner: &OwnerReference| {
        owner.uid == meta::uid(set) || (owner.kind == "Pod" && owner.name == format!("{}-{ordinal}", meta::name(set)))
    };
    let mut wants: Vec<OwnerReference> = has.iter().filter(|owner| !ours(owner)).cloned().collect();
    if condemned && when_scaled {
        match pod {
            Some(pod) => wants.push(meta::owned_by(&**pod)),
            // The pod is gone: its reference, if there is one, is what makes the collector take the claim.
            None => return None,
        }
    } else if when_deleted {
        wants.push(meta::owned_by(set));
    }
    (wants != has).then_some(wants)
}

/// The pod of one ordinal at a revision.
pub(super) fn pod(set: &StatefulSet, ordinal: i32, revision: &Stored) -> Result<Pod, Error> {
    let template = revision.template()?;
    let name = format!("{}-{ordinal}", meta::name(set));
    let from = template.metadata.unwrap_or_default();
    let mut labels = from.labels.unwrap_or_default();
    labels.extend([
        (REVISION_LABEL.to_owned(), revision.name().to_owned()),
        ("statefulset.kubernetes.io/pod-name".to_owned(), name.clone()),
        ("apps.kubernetes.io/pod-index".to_owned(), ordinal.to_string()),
    ]);
    let mut spec = template.spec.unwrap_or_default();
    spec.hostname = Some(name.clone());
    spec.subdomain = set
        .spec
        .as_ref()
        .and_then(|spec| spec.service_name.clone())
        .filter(|service| !service.is_empty());
    let mut volumes: BTreeMap<&str, Volume> = BTreeMap::new();
    for template in templates(set) {
        volumes.insert(meta::name(template), volume(set, template, ordinal));
    }
    let others = spec.volumes.take().unwrap_or_default();
    let kept = others
        .into_iter()
        .filter(|volume| !volumes.contains_key(volume.name.as_str()))
        .collect::<Vec<_>>();
    spec.volumes = Some(volumes.into_values().chain(kept).collect::<Vec<_>>()).filter(|volumes| !volumes.is_empty());
    Ok(Pod {
        metadata: ObjectMeta {
            name: Some(name),
            generate_name: Some(format!("{}-", meta::name(set))),
            namespace: set.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: from.annotations,
            finalizers: from.finalizers,
            owner_references: Some(vec![meta::controlled_by(set)]),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    })
}

fn volume(set: &StatefulSet, template: &PersistentVolumeClaim, ordinal: i32) -> Volume {
    Volume {
        name: meta::name(template).to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim_name(set, template, ordinal),
            read_only: Some(false),
        }),
        ..Volume::default()
    }
}
