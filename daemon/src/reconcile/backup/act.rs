//! Doing what was planned: objects through the executor, and the finalizer that others may have left.

use neo4j_operator_crds::BACKUP_FINALIZER;
use neo4j_operator_shared::{
    Kind,
    clusters::{ActionResult, PlannedAction},
};
use serde_json::json;

use super::{
    observe::{Place, World},
    plan::Step,
    render::{self, Input},
    schedule::Schedule,
};
use crate::{
    cache::{JobView, Meta},
    reconcile::{Context, Effect, EffectError, ErrorType, Failure, How, Manifest, Run},
};

/// What became of the steps.
#[derive(Debug, Default)]
pub(super) struct Acted {
    /// Something was changed.
    pub changed: bool,
    /// The CronJob was created or changed.
    pub scheduled: bool,
    /// An object of somebody else that is in the way.
    pub conflict: Option<String>,
    /// The first other error.
    pub error: Option<EffectError>,
}

/// What performing needs.
#[derive(Clone, Copy)]
pub(super) struct Means<'a> {
    /// For rendering; absent while the cluster cannot be used, and then no step needs it.
    pub input: Option<Input<'a>>,
    /// When, if by schedule.
    pub schedule: Option<&'a Schedule>,
    /// What is there of the backup.
    pub world: &'a World,
    /// What is there of what it needs.
    pub place: &'a Place,
}

/// What a step is made of: levels of effects, each with its verb and reason. What is as it should be is not there.
type Levels = Vec<Vec<(&'static str, &'static str, Effect)>>;

/// The writes of the steps.
fn levels(steps: &[Step], means: Means<'_>) -> Result<Levels, serde_json::Error> {
    let mut levels = Levels::new();
    for step in steps {
        match (step, means.input) {
            (Step::Start, Some(input)) => {
                levels.push(needs(input, means.place)?);
                let job = Effect::Ensure {
                    manifest: Box::new(render::job(input)?),
                    live: None,
                };
                levels.push(vec![("create", "the run begins", job)]);
            }
            (Step::Schedule, Some(input)) => {
                levels.push(needs(input, means.place)?);
                if let Some(schedule) = means.schedule {
                    let live = means.world.cron_job.as_ref().map(|cron| &cron.metadata);
                    let effect = ensure(render::cron_job(input, schedule)?, live, "runs begin by schedule");
                    levels.push(effect.into_iter().collect());
                }
            }
            (Step::Unschedule, _) => {
                levels.extend(means.world.cron_job.as_ref().map(|cron| {
                    let effect = Effect::Delete {
                        kind: Kind::CronJob,
                        namespace: cron.metadata.namespace().to_string(),
                        name: cron.metadata.name().to_string(),
                        uid: cron.metadata.uid().to_string(),
                        resource_version: cron.metadata.resource_version().to_string(),
                    };
                    vec![("delete", "the backup has no schedule any more", effect)]
                }));
            }
            (Step::Release(_) | Step::Start | Step::Schedule, _) => {}
        }
    }
    levels.retain(|level| !level.is_empty());
    Ok(levels)
}

/// The service account and the claim.
fn needs(input: Input<'_>, place: &Place) -> Result<Vec<(&'static str, &'static str, Effect)>, serde_json::Error> {
    let account = render::service_account(input.namespace)?;
    let live = place.account.as_ref().map(|account| &account.metadata);
    let mut effects: Vec<_> = ensure(account, live, "pods of backups run as it").into_iter().collect();
    if let Some(name) = &place.new_claim {
        let claim = Effect::Ensure {
            manifest: Box::new(render::claim(input, name)?),
            live: None,
        };
        effects.push(("create", "artifacts go to it", claim));
    }
    Ok(effects)
}

fn ensure(
    manifest: Manifest,
    live: Option<&Meta>,
    reason: &'static str,
) -> Option<(&'static str, &'static str, Effect)> {
    let live = live.map(Meta::live);
    let same = live
        .as_ref()
        .is_some_and(|live| live.applied_hash.as_ref() == Some(&manifest.hash));
    let verb = if live.is_some() { "apply" } else { "create" };
    let manifest = Box::new(manifest);
    (!same).then_some((verb, reason, Effect::Ensure { manifest, live }))
}

fn action(verb: &str, effect: &Effect, reason: &str) -> PlannedAction {
    let label = effect.label();
    let (kind, target) = label.split_once(' ').unwrap_or(("", &label));
    PlannedAction {
        action: format!("{verb} {kind}"),
        target: target.to_owned(),
        reason: reason.to_owned(),
        result: ActionResult::Pending,
        message: None,
    }
}

fn unrendered(error: &serde_json::Error) -> Failure {
    Failure::new(ErrorType::Internal, format!("an object cannot be rendered: {error}"))
}

/// Writes the plan into the record without performing anything; the answer is what would be done, in words.
pub(super) fn describe(steps: &[Step], means: Means<'_>, run: &mut Run) -> Result<Vec<String>, Failure> {
    let levels = levels(steps, means).map_err(|error| unrendered(&error))?;
    let mut words = Vec::new();
    for (verb, reason, effect) in levels.iter().flatten() {
        run.action(action(verb, effect, reason));
        words.push(format!("{verb} {}", effect.label()));
    }
    for step in steps {
        if let Step::Release(job) = step {
            words.push(format!("let Job {job} go"));
        }
    }
    Ok(words)
}

/// Performs the steps.
pub(super) async fn perform(
    context: &Context,
    steps: &[Step],
    means: Means<'_>,
    run: &mut Run,
) -> Result<Acted, Failure> {
    let levels = levels(steps, means).map_err(|error| unrendered(&error))?;
    let mut acted = Acted::default();
    let mut places = Vec::new();
    let mut effects = Vec::new();
    for level in levels {
        places.push(
            level
                .iter()
                .map(|(verb, reason, effect)| run.action(action(verb, effect, reason)))
                .collect::<Vec<_>>(),
        );
        effects.push(level.into_iter().map(|(_, _, effect)| effect).collect::<Vec<_>>());
    }
    let ended = context.executor.perform(&effects, run.requests()).await;
    for ((places, effects), ended) in places.into_iter().zip(&effects).zip(ended) {
        for ((place, effect), ended) in places.into_iter().zip(effects).zip(ended) {
            let cron = matches!(effect, Effect::Ensure { manifest, .. } if manifest.resource.kind == Kind::CronJob);
            match ended {
                None => run.result(
                    place,
                    ActionResult::Pending,
                    Some("an earlier action failed".to_owned()),
                ),
                Some(Ok(written)) if written.how == How::Unchanged => run.result(place, ActionResult::Unchanged, None),
                Some(Ok(_)) => {
                    run.result(place, ActionResult::Done, None);
                    acted.changed = true;
                    acted.scheduled |= cron;
                }
                Some(Err(error)) => failed(&mut acted, place, error, run),
            }
        }
    }
    if acted.error.is_none() && acted.conflict.is_none() {
        for step in steps {
            if let Step::Release(job) = step {
                release(context, means.world, job, &mut acted, run).await;
            }
        }
    }
    Ok(acted)
}

fn failed(acted: &mut Acted, place: usize, error: EffectError, run: &mut Run) {
    let refused = matches!(error, EffectError::NameConflict { .. });
    let result = if refused {
        ActionResult::Refused
    } else {
        ActionResult::Failed
    };
    run.result(place, result, Some(error.to_string()));
    match error {
        EffectError::NameConflict { what } => {
            acted.conflict.get_or_insert(what);
        }
        error => {
            acted.error.get_or_insert(error);
        }
    }
}

/// Lets a Job of the CronJob go: the very Job that was looked at.
async fn release(context: &Context, world: &World, name: &str, acted: &mut Acted, run: &mut Run) {
    let own = world.own();
    let Some(job) = own
        .iter()
        .map(|observed| observed.job)
        .find(|job| job.metadata.name() == name)
    else {
        return;
    };
    let JobView { metadata, .. } = job;
    let place = run.action(PlannedAction {
        action: "resume Job".to_owned(),
        target: format!("{}/{name}", metadata.namespace()),
        reason: "no other backup of the instance is under way".to_owned(),
        result: ActionResult::Pending,
        message: None,
    });
    let operations = json!([
        {"op": "test", "path": "/metadata/uid", "value": metadata.uid()},
        {"op": "test", "path": "/metadata/resourceVersion", "value": metadata.resource_version()},
        {"op": "add", "path": "/spec/suspend", "value": false},
    ]);
    let answer = context
        .executor
        .patch_json(Kind::Job, metadata.namespace(), name, operations, run.requests())
        .await;
    match answer {
        Ok(_) => {
            run.result(place, ActionResult::Done, None);
            acted.changed = true;
        }
        Err(error) => failed(acted, place, error, run),
    }
}

/// Whether the finalizer of backups is there. We never add it: what a backup owns goes with it by its owner
/// references, what outlives it is meant to. The other operator does, and nobody else would take it away.
pub(super) fn has_finalizer(meta: &Meta) -> bool {
    meta.finalizers().iter().any(|known| &**known == BACKUP_FINALIZER)
}

/// Removes it; gone already is success.
pub(super) async fn remove_finalizer(context: &Context, meta: &Meta, run: &Run) -> Result<(), EffectError> {
    let left: Vec<&str> = meta
        .finalizers()
        .iter()
        .map(|known| &**known)
        .filter(|known| *known != BACKUP_FINALIZER)
        .collect();
    let operations = json!([
        {"op": "test", "path": "/metadata/uid", "value": meta.uid()},
        {"op": "test", "path": "/metadata/resourceVersion", "value": meta.resource_version()},
        {"op": "add", "path": "/metadata/finalizers", "value": left},
    ]);
    let answer = context
        .executor
        .patch_json(
            Kind::Neo4jBackup,
            meta.namespace(),
            meta.name(),
            operations,
            run.requests(),
        )
        .await;
    match answer {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}
