//! Revisions of a StatefulSet's template, kept as ControllerRevision objects as Kubernetes keeps them.
//!
//! A template is found again by its content, so going back to an earlier one reuses its revision, and a set that was deleted with Orphan
//! and made again adopts the revisions, and with them its pods, without a roll.

use std::sync::Arc;

use k8s_openapi::{
    api::{
        apps::v1::{ControllerRevision, StatefulSet},
        core::v1::{Pod, PodTemplateSpec},
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, runtime::RawExtension},
};
use serde_json::{Value, json};

use super::plan::REVISION_LABEL;
use crate::controllers::{
    Error, meta,
    view::{Deletion, Key, View},
};

const HASH_LABEL: &str = "controller.kubernetes.io/hash";
const HASH_LETTERS: usize = 10;
/// After so many clashes of names something other than chance is wrong.
const MOST_COLLISIONS: i32 = 10;

/// A revision as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Stored(Arc<ControllerRevision>);

impl Stored {
    pub(super) fn name(&self) -> &str {
        meta::name(&*self.0)
    }

    /// The template that it holds.
    pub(super) fn template(&self) -> Result<PodTemplateSpec, Error> {
        let data = self.0.data.as_ref().map_or(&Value::Null, |data| &data.0);
        let mut template = data["spec"]["template"].clone();
        if let Some(fields) = template.as_object_mut() {
            fields.remove("$patch");
        }
        serde_json::from_value(template)
            .map_err(|error| Error::Invalid(format!("revision {} holds no pod template: {error}", self.name())))
    }
}

/// The revisions of one set.
pub(super) struct Revisions {
    pub(super) current: Stored,
    pub(super) update: Stored,
    pub(super) collisions: i32,
    all: Vec<Arc<ControllerRevision>>,
}

impl Revisions {
    /// Finds the revision of the set's template, or stores it; and the one that its pods have.
    pub(super) async fn keep(view: &View<ControllerRevision>, set: &StatefulSet) -> Result<Self, Error> {
        let mut all = view.list(meta::namespace(set), |revision| {
            meta::is_controlled_by(revision, meta::uid(set))
        });
        all.sort_by_key(|revision| revision.revision);
        let mut collisions = set
            .status
            .as_ref()
            .and_then(|status| status.collision_count)
            .unwrap_or(0);
        let data = data(set)?;
        let newest = all.last().map_or(0, |revision| revision.revision);
        let known = all.iter().rev().find(|revision| holds(revision, &data)).cloned();
        let update = match known {
            Some(known) if known.revision == newest => known,
            Some(known) => renumber(view, known, newest + 1).await?,
            None => store(view, set, &data, newest + 1, &mut collisions).await?,
        };
        all.retain(|revision| meta::uid(&**revision) != meta::uid(&*update));
        all.push(Arc::clone(&update));
        let current_name = set
            .status
            .as_ref()
            .and_then(|status| status.current_revision.as_deref());
        let current = all
            .iter()
            .find(|revision| Some(meta::name(&***revision)) == current_name)
            .unwrap_or(&update);
        Ok(Self {
            current: Stored(Arc::clone(current)),
            update: Stored(update),
            collisions,
            all,
        })
    }

    /// Deletes the oldest revisions beyond the limit that no pod has.
    pub(super) async fn trim(
        &self,
        view: &View<ControllerRevision>,
        set: &StatefulSet,
        pods: &[Arc<Pod>],
    ) -> Result<(), Error> {
        let limit = set
            .spec
            .as_ref()
            .and_then(|spec| spec.revision_history_limit)
            .unwrap_or(10);
        let lives = |name: &str| {
            name == self.current.name()
                || name == self.update.name()
                || pods.iter().any(|pod| meta::label(&**pod, REVISION_LABEL) == Some(name))
        };
        let mut history: Vec<_> = self
            .all
            .iter()
            .filter(|revision| !lives(meta::name(&***revision)))
            .collect();
        history.sort_by_key(|revision| revision.revision);
        let surplus = history.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        for revision in history.into_iter().take(surplus) {
            view.delete(&**revision, Deletion::default()).await?;
        }
        Ok(())
    }
}

/// What a revision holds: a patch that replaces the template.
fn data(set: &StatefulSet) -> Result<Value, Error> {
    let template = set.spec.as_ref().map(|spec| &spec.template);
    let mut template = serde_json::to_value(template).map_err(kube::Error::SerdeError)?;
    template["$patch"] = Value::from("replace");
    Ok(json!({ "spec": { "template": template } }))
}

fn holds(revision: &ControllerRevision, data: &Value) -> bool {
    revision.data.as_ref().is_some_and(|held| held.0 == *data)
}

async fn renumber(
    view: &View<ControllerRevision>,
    revision: Arc<ControllerRevision>,
    number: i64,
) -> Result<Arc<ControllerRevision>, Error> {
    view.merge(&*revision, json!({ "revision": number }), true).await?;
    Ok(view.get(&Key::of(&*revision)).unwrap_or(revision))
}

async fn store(
    view: &View<ControllerRevision>,
    set: &StatefulSet,
    data: &Value,
    number: i64,
    collisions: &mut i32,
) -> Result<Arc<ControllerRevision>, Error> {
    while *collisions < MOST_COLLISIONS {
        let hash = meta::name_hash(format!("{data}{collisions}").as_bytes(), HASH_LETTERS);
        let mut labels = set
            .spec
            .as_ref()
            .and_then(|spec| spec.template.metadata.as_ref()?.labels.clone())
            .unwrap_or_default();
        labels.insert(HASH_LABEL.to_owned(), hash.clone());
        let revision = ControllerRevision {
            metadata: ObjectMeta {
                name: Some(format!("{}-{hash}", meta::name(set))),
                namespace: set.metadata.namespace.clone(),
                labels: Some(labels),
                annotations: set.metadata.annotations.clone(),
                owner_references: Some(vec![meta::controlled_by(set)]),
                ..ObjectMeta::default()
            },
            data: Some(RawExtension(data.clone())),
            revision: number,
        };
        match view.create(&revision).await {
            Err(error) if error.is_already_exists() => {
                let key = Key::of(&revision);
                match view.fetch(&key).await? {
                    Some(taken) if holds(&taken, data) => return adopt(view, set, taken, number).await,
                    _ => *collisions += 1,
                }
            }
            stored => return stored,
        }
    }
    Err(Error::Invalid(format!(
        "no free name for a revision of {}",
        Key::of(set)
    )))
}

/// Takes over a revision that a deleted set has left.
async fn adopt(
    view: &View<ControllerRevision>,
    set: &StatefulSet,
    revision: Arc<ControllerRevision>,
    number: i64,
) -> Result<Arc<ControllerRevision>, Error> {
    if meta::is_controlled_by(&*revision, meta::uid(set)) {
        return Ok(revision);
    }
    if meta::controller(&revision.metadata).is_some() {
        let message = format!("revision {} still belongs to another object", Key::of(&*revision));
        return Err(Error::Invalid(message));
    }
    let body = json!({ "metadata": { "ownerReferences": [meta::controlled_by(set)] }, "revision": number });
    view.merge(&*revision, body, true).await?;
    Ok(view.get(&Key::of(&*revision)).unwrap_or(revision))
}
