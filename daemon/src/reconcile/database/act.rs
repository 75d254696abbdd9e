//! Doing what was planned: statements, one after the other, and the finalizer.

use neo4j_operator_crds::DATABASE_FINALIZER;
use neo4j_operator_shared::{
    Kind,
    clusters::{ActionResult, PlannedAction},
};
use serde_json::json;

use super::{
    observe::Resource,
    plan::{Action, Step},
};
use crate::{
    cache::Meta,
    neo4j::{BoltError, ClusterClient, ErrorKind},
    reconcile::{Context, EffectError, EventReason, Run},
};

/// What became of the steps.
#[derive(Debug, Default)]
pub(super) struct Acted {
    /// Something was changed.
    pub changed: bool,
    /// CREATE DATABASE succeeded.
    pub created: bool,
    /// The step that failed; those after it were not tried.
    pub failed: Option<(Action, BoltError)>,
}

/// Performs the steps in order and ends with the first that fails.
pub(super) async fn perform(
    context: &Context,
    client: &ClusterClient,
    resource: &Resource,
    steps: Vec<Step>,
    run: &mut Run,
) -> Acted {
    let name = resource.database();
    let mut acted = Acted::default();
    let mut steps = steps.into_iter();
    for step in steps.by_ref() {
        let place = run.action(planned(&step, &name));
        match send(client, &name, &step.action).await {
            Ok(()) => {
                run.result(place, ActionResult::Done, None);
                acted.changed = true;
                acted.created |= matches!(step.action, Action::Create(_));
                if let Some(reason) = event(&step.action) {
                    let note = format!("{} {name:?}: {}", step.action.label(), step.reason);
                    context.events.publish(&resource.subject, reason, note);
                }
            }
            // The server that was asked did not know yet: the next pass sees it.
            Err(error) if error.kind == ErrorKind::AlreadyExists => {
                run.result(place, ActionResult::Unchanged, Some(error.to_string()));
                acted.changed = true;
            }
            Err(error) => {
                run.result(place, ActionResult::Failed, Some(error.to_string()));
                acted.failed = Some((step.action, error));
                break;
            }
        }
    }
    for step in steps {
        run.action(planned(&step, &name));
    }
    acted
}

/// A step as it goes into the record.
pub(super) fn planned(step: &Step, name: &str) -> PlannedAction {
    PlannedAction {
        action: step.action.label().to_owned(),
        target: name.to_owned(),
        reason: step.reason.clone(),
        result: ActionResult::Pending,
        message: None,
    }
}

async fn send(client: &ClusterClient, name: &str, action: &Action) -> Result<(), BoltError> {
    match action {
        Action::Create(new) => client.create_database(new).await,
        Action::SetTopology(topology) => client.alter_topology(name, *topology).await,
        Action::Start => client.start_database(name).await,
        Action::Stop => client.stop_database(name).await,
    }
}

fn event(action: &Action) -> Option<EventReason> {
    match action {
        Action::Create(_) => Some(EventReason::DatabaseCreated),
        Action::SetTopology(_) => Some(EventReason::DatabaseTopologyChanged),
        Action::Start | Action::Stop => None,
    }
}

/// Adds our finalizer, before the first effect in Neo4j.
pub(super) async fn add_finalizer(context: &Context, meta: &Meta, run: &Run) -> Result<(), EffectError> {
    if has_finalizer(meta) {
        return Ok(());
    }
    let mut finalizers: Vec<&str> = meta.finalizers().iter().map(|known| &**known).collect();
    finalizers.push(DATABASE_FINALIZER);
    set_finalizers(context, meta, &finalizers, run).await
}

/// Removes our finalizer; gone already is success.
pub(super) async fn remove_finalizer(context: &Context, meta: &Meta, run: &Run) -> Result<(), EffectError> {
    let finalizers: Vec<&str> = meta
        .finalizers()
        .iter()
        .map(|known| &**known)
        .filter(|known| *known != DATABASE_FINALIZER)
        .collect();
    match set_finalizers(context, meta, &finalizers, run).await {
        Err(error) if error.is_not_found() => Ok(()),
        result => result,
    }
}

/// Whether our finalizer is there.
pub(super) fn has_finalizer(meta: &Meta) -> bool {
    meta.finalizers().iter().any(|known| &**known == DATABASE_FINALIZER)
}

/// Writes the whole list, if the resource is still the very one that was looked at.
async fn set_finalizers(context: &Context, meta: &Meta, finalizers: &[&str], run: &Run) -> Result<(), EffectError> {
    let operations = json!([
        {"op": "test", "path": "/metadata/uid", "value": meta.uid()},
        {"op": "test", "path": "/metadata/resourceVersion", "value": meta.resource_version()},
        {"op": "add", "path": "/metadata/finalizers", "value": finalizers},
    ]);
    let (kind, namespace, name) = (Kind::Neo4jDatabase, meta.namespace(), meta.name());
    context
        .executor
        .patch_json(kind, namespace, name, operations, run.requests())
        .await?;
    Ok(())
}
