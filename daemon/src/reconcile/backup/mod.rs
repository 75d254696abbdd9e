//! Backups: a `Neo4jBackup` and the Jobs that copy databases of its cluster to a claim or a bucket.
//!
//! `validate` says what is wrong with the spec, `observe` reads, `runs` turns Jobs and the reports of their pods
//! into the history of the status, `plan` decides (both pure), `act` writes the objects that `render` makes, and
//! `status` renders what is said of it. What happens inside the pod is [`crate::backup_run`].
//!
//! **Ready** is true for a run that completed, and for a schedule whose last run did not fail (a schedule without
//! any run yet counts as well); it is false while a one-time backup waits or runs, after a failed run, and while the
//! backup is suspended, for nothing is protected then.
//!
//! **One at a time** per instance (BK3): passes of one instance's backups exclude each other while they look and
//! act, a one-time Job is created only when no other run is under way, and the Jobs of a CronJob are born
//! suspended until it is their turn. The oldest resource that waits goes first.
//!
//! **At most once** (BK5): the lease and the history in the status say what ran, whether or not the Job is still
//! there.
//!
//! No finalizer is needed. Job and CronJob go with the resource by their owner references; the claim with the
//! artifacts and the service account stay, as they should. A finalizer that the other operator left is taken away.
//! An existing claim is never changed, not even grown.

mod act;
mod names;
mod observe;
mod plan;
mod render;
mod runs;
mod schedule;
mod status;
#[cfg(test)]
mod tests;
mod validate;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use neo4j_operator_crds::{
    Neo4jBackup, Neo4jBackupStatus,
    backup::{EffectiveBackup, status::BackupPhase},
    classes::Classified as _,
    location::StorageType,
};
use neo4j_operator_shared::{Kind, reconciles::Outcome};

use self::{
    act::Means,
    observe::{Place, Resource, World},
    plan::{Gate, Input, Plan, State},
    schedule::Schedule,
    status::{Findings, Held},
};
use super::{
    Context, Done, ErrorType, EventReason, Failure, Key, Phase, Reconciler, Run, StatusTarget, StatusWrite,
    cluster::{RECONCILE, REQUESTED_AT},
    conditions::Status,
};
use crate::cache::Custom;

/// After which a pass that found another one of its instance under way looks again.
const AGAIN: Duration = Duration::from_millis(250);

/// How backups are reconciled.
#[derive(Clone, Debug)]
pub struct Options {
    /// Image that carries this program.
    pub operator_image: String,
    /// The domain of the cluster's DNS where the cluster names none.
    pub cluster_domain: String,
}

/// Reconciles backups.
#[derive(Debug)]
pub struct BackupReconciler {
    options: Options,
    turns: Turns,
}

impl BackupReconciler {
    /// A reconciler.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            turns: Turns::default(),
        }
    }
}

impl Reconciler for BackupReconciler {
    fn kind(&self) -> Kind {
        Kind::Neo4jBackup
    }

    fn reconcile<'a>(
        &'a self,
        context: &'a Context,
        key: &'a Key,
        run: &'a mut Run,
    ) -> BoxFuture<'a, Result<Done, Failure>> {
        Box::pin(self.pass(context, key, run))
    }
}

/// Instances, as namespace and name.
type Instances = BTreeSet<(Arc<str>, String)>;

/// The instances whose backups are looked at just now. Two passes that both saw nothing under way would both
/// begin a run.
#[derive(Clone, Debug, Default)]
struct Turns(Arc<Mutex<Instances>>);

/// One instance's turn; it ends when this is dropped.
struct Turn {
    turns: Turns,
    instance: (Arc<str>, String),
}

impl Turns {
    fn take(&self, namespace: &Arc<str>, instance: &str) -> Option<Turn> {
        let instance = (Arc::clone(namespace), instance.to_owned());
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.insert(instance.clone()).then(|| Turn {
            turns: self.clone(),
            instance,
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut taken = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(&self.instance);
    }
}

/// How a pass over a living resource ended, before its status is written.
struct Ended {
    plan: Plan,
    findings: Findings,
    /// Something was changed, or an error that is worth the queue's backoff.
    outcome: Result<bool, Failure>,
}

impl BackupReconciler {
    async fn pass(&self, context: &Context, key: &Key, run: &mut Run) -> Result<Done, Failure> {
        run.phase(Phase::Fetch);
        let requests = run.requests().clone();
        let found = context
            .cache
            .custom::<Neo4jBackup>(&key.namespace, &key.name, &requests)
            .await?;
        let Some(custom) = found else {
            return Ok(gone(context, key, None));
        };
        run.generation(custom.meta.generation());
        if custom.meta.deleting().is_some() {
            return delete(context, key, run).await;
        }
        let resource = match Resource::new(context, custom.clone()) {
            Ok(resource) => resource,
            Err(error) => return Err(undecodable(context, &custom, &error)),
        };
        let desired = resource.spec().effective();
        let findings = findings(&resource);
        let ended = match (refusal(&resource), &desired.instance) {
            (Some(state), _) => Ended {
                plan: Plan::only(state),
                findings,
                outcome: Ok(false),
            },
            (None, Some(instance)) => {
                let Some(_turn) = self.turns.take(&key.namespace, instance) else {
                    return Ok(Done::waiting(AGAIN));
                };
                let pass = Living {
                    options: &self.options,
                    context,
                    key,
                    resource: &resource,
                    desired: &desired,
                    instance,
                };
                pass.run(findings, run).await?
            }
            // A rule asks for it; only an unreadable spec comes here.
            (None, None) => return Err(Failure::terminal(ErrorType::Validation, "spec.instanceRef is required")),
        };
        finish(context, key, &resource, ended, run).await
    }
}

/// One pass over a resource that is not being deleted and whose spec can be acted on.
struct Living<'a> {
    options: &'a Options,
    context: &'a Context,
    key: &'a Key,
    resource: &'a Resource,
    desired: &'a EffectiveBackup,
    instance: &'a str,
}

impl Living<'_> {
    async fn run(&self, mut findings: Findings, run: &mut Run) -> Result<Ended, Failure> {
        let Self {
            context,
            key,
            resource,
            desired,
            ..
        } = *self;
        let requests = run.requests().clone();
        let now = context.now();
        let schedule = match desired.schedule.as_deref().map(Schedule::parse).transpose() {
            Ok(schedule) => schedule,
            Err(error) => return Err(Failure::terminal(ErrorType::Validation, error)),
        };
        let world = World::observe(context, resource, self.instance, &requests).await?;
        let folder = render::folder(&resource.spec().storage, desired, &key.name);
        let runs = runs::merge(&resource.status.history, &world.own(), &world.gone, &folder, now);
        let job = names::job(&key.name);
        let over = schedule.is_none() && runs.history.iter().any(|run| is_over(run, &job));
        let (cluster, place, gate) = if over {
            (None, Place::default(), Gate::Open)
        } else {
            self.gate(&requests).await?
        };
        let ahead = match world.busy(now) {
            None if !over => observe::elder(context, resource, self.instance, &requests).await?,
            busy => busy,
        };
        run.phase(Phase::Diff);
        let mut plan = plan::plan(Input {
            now,
            desired,
            schedule: schedule.as_ref(),
            job: &job,
            before: &resource.status,
            runs: &runs,
            has_cron_job: world.cron_job.is_some(),
            gate: &gate,
            ahead: ahead.as_deref(),
        });
        let meta = resource.meta();
        let uid = meta.uid().to_string();
        let input = cluster.as_ref().map(|cluster| render::Input {
            namespace: meta.namespace(),
            name: meta.name(),
            uid: &uid,
            spec: resource.spec(),
            desired,
            cluster,
            operator_image: &self.options.operator_image,
        });
        let means = Means {
            input,
            schedule: schedule.as_ref(),
            world: &world,
            place: &place,
        };
        findings.history = Some(runs.history);
        findings.pruned = runs.pruned;
        let outcome = self.act(&mut plan, &mut findings, means, run).await?;
        Ok(Ended {
            plan,
            findings,
            outcome,
        })
    }

    /// The cluster and what else a run needs, and whether it can begin.
    async fn gate(
        &self,
        requests: &super::Requests,
    ) -> Result<(Option<super::cluster::desired::Desired>, Place, Gate), Failure> {
        let Self {
            context, key, resource, ..
        } = *self;
        let domain = &self.options.cluster_domain;
        match observe::target(context, key, resource, self.instance, domain, requests).await? {
            Ok(cluster) => {
                let (place, gate) = observe::place(context, key, resource, requests).await?;
                Ok((Some(cluster), place, gate))
            }
            Err(gate) => Ok((None, Place::default(), gate)),
        }
    }

    async fn act(
        &self,
        plan: &mut Plan,
        findings: &mut Findings,
        means: Means<'_>,
        run: &mut Run,
    ) -> Result<Result<bool, Failure>, Failure> {
        if findings.held.is_some() {
            let words = act::describe(&plan.steps, means, run)?;
            if !words.is_empty() || plan.leased {
                let what = if plan.leased {
                    "a run would begin".to_owned()
                } else {
                    words.join(", ")
                };
                plan.state.message = format!("{}; held: {what}", plan.state.message);
            }
            if plan.leased {
                plan.lease = None;
                plan.leased = false;
            }
            plan.state.poll = plan::REST;
            return Ok(Ok(false));
        }
        if plan.steps.is_empty() {
            return Ok(Ok(plan.leased));
        }
        run.phase(Phase::Apply);
        let acted = act::perform(self.context, &plan.steps, means, run).await?;
        if acted.scheduled {
            findings.scheduled = means.schedule.map(|schedule| schedule.expression().to_owned());
        }
        if let Some(what) = acted.conflict {
            plan.state = State::conflict(&what);
        } else if acted.changed {
            plan.state.poll = plan.state.poll.min(plan::POLL);
        }
        Ok(match acted.error {
            Some(error) => Err(error.into()),
            None => Ok(acted.changed),
        })
    }
}

fn is_over(run: &neo4j_operator_crds::backup::status::BackupRun, job: &str) -> bool {
    run.run_id.as_deref() == Some(job) && runs::is_finished(run)
}

fn findings(resource: &Resource) -> Findings {
    let meta = resource.meta();
    let spec = resource.spec();
    let retention = spec.retention.as_ref();
    let retains = retention.is_some_and(|retention| retention.max_age.is_some() || retention.max_count.is_some());
    Findings {
        generation: meta.generation().unwrap_or_default(),
        ignored: Neo4jBackup::CLASSES.ignored(&resource.custom.spec),
        held: match meta.annotations().get(RECONCILE) {
            Some("paused") => Some(Held::Paused),
            Some("dry-run") => Some(Held::DryRun),
            _ => None,
        },
        requested_at: meta.annotations().get(REQUESTED_AT).map(str::to_owned),
        keeps_all: retains && spec.storage.type_ != StorageType::Pvc,
        ..Findings::default()
    }
}

/// What is wrong with the spec by itself.
fn refusal(resource: &Resource) -> Option<State> {
    let unsupported = Neo4jBackup::CLASSES.unsupported(&resource.custom.spec);
    let fields: Vec<_> = unsupported.iter().map(|(path, why)| format!("{path}: {why}")).collect();
    if !fields.is_empty() {
        let event = EventReason::UnsupportedFeature;
        return Some(State::invalid("UnsupportedFeature", event, fields.join("; ")));
    }
    let problems = validate::problems(&resource.object);
    let event = EventReason::ValidationFailed;
    (!problems.is_empty()).then(|| State::invalid("ValidationFailed", event, problems.join("; ")))
}

/// Nobody can read it, so nobody can write its status either: the event and the log name it (A9).
fn undecodable(context: &Context, custom: &Custom<Neo4jBackup>, error: &str) -> Failure {
    let note = format!("the resource cannot be decoded: {error}");
    let subject = observe::subject(&custom.meta);
    context
        .events
        .publish(&subject, EventReason::ValidationFailed, note.clone());
    Failure::terminal(ErrorType::Validation, note)
}

/// A resource that is being deleted needs nothing of us but a finalizer taken away that is not ours to keep.
async fn delete(context: &Context, key: &Key, run: &mut Run) -> Result<Done, Failure> {
    // Removing a finalizer cannot be taken back: decide on what the server has now (K53).
    let requests = run.requests().clone();
    let live = context
        .cache
        .live::<Custom<Neo4jBackup>>(&key.namespace, &key.name, &requests)
        .await?;
    let Some(custom) = live else {
        return Ok(gone(context, key, None));
    };
    if custom.meta.deleting().is_none() {
        return Ok(Done::changed(Duration::ZERO));
    }
    if act::has_finalizer(&custom.meta) {
        run.phase(Phase::Apply);
        act::remove_finalizer(context, &custom.meta, run).await?;
    }
    Ok(gone(context, key, Some(&custom.meta.uid().to_string())))
}

fn gone(context: &Context, key: &Key, uid: Option<&str>) -> Done {
    context.cache.forget(key);
    context.board.remove_dependent(key);
    if let Some(uid) = uid {
        context.status.forget(uid);
    }
    Done::gone()
}

/// Writes the status, tells the events that its change is worth, and says when to look again.
async fn finish(
    context: &Context,
    key: &Key,
    resource: &Resource,
    ended: Ended,
    run: &mut Run,
) -> Result<Done, Failure> {
    let Ended {
        plan,
        findings,
        outcome,
    } = ended;
    let state = &plan.state;
    let before = &resource.status;
    let after = status::render(before, &plan, &findings, context.now());
    let wrote = write_status(context, resource, &after, run).await?;
    if wrote == StatusWrite::Written {
        for (reason, note) in status::events(before, &after, state, &findings) {
            context.events.publish(&resource.subject, reason, note);
        }
    }
    let instance = resource.spec().instance_ref.as_deref().unwrap_or_default();
    context
        .board
        .publish_dependent(key, instance, state.ready == Status::True);
    let changed = outcome?;
    if state.terminal {
        return Err(Failure::terminal(ErrorType::Validation, state.message.clone()));
    }
    Ok(match state.phase {
        _ if changed => Done::changed(state.poll),
        BackupPhase::Completed | BackupPhase::Failed | BackupPhase::Scheduled | BackupPhase::Suspended => Done {
            outcome: Outcome::Converged,
            requeue: Some(state.poll),
        },
        _ => Done::waiting(state.poll),
    })
}

async fn write_status(
    context: &Context,
    resource: &Resource,
    status: &Neo4jBackupStatus,
    run: &mut Run,
) -> Result<StatusWrite, Failure> {
    run.phase(Phase::Status);
    let meta = resource.meta();
    let value = serde_json::to_value(status)
        .map_err(|error| Failure::new(ErrorType::Internal, format!("the status cannot be rendered: {error}")))?;
    let target = StatusTarget {
        kind: Kind::Neo4jBackup,
        namespace: meta.namespace(),
        name: meta.name(),
        uid: &meta.uid().to_string(),
        current: &resource.raw_status,
    };
    Ok(context.status.write(target, &value, run.requests()).await?)
}
