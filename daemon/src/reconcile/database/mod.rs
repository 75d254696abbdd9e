//! Databases: a `Neo4jDatabase` and the database of that name in its cluster.
//!
//! `observe` reads, `plan` decides (pure), `act` sends statements, `status` renders what is said of it,
//! `deletion` is the way out. The way in has two passes, so that the journal is written before the effect: the
//! first adds the finalizer and writes the claim into the status, the second sends `CREATE DATABASE`. From then
//! on each pass compares and repairs; when nothing differs it writes nothing.

mod act;
mod deletion;
mod observe;
mod plan;
mod status;
#[cfg(test)]
mod tests;

use std::time::Duration;

use futures::future::BoxFuture;
use neo4j_operator_crds::{
    Neo4jDatabase, Neo4jDatabaseStatus, Time,
    classes::Classified as _,
    database::{
        status::{Claim, DatabasePhase},
        validate, validate_on,
    },
    version::Version,
};
use neo4j_operator_shared::{Kind, reconciles::Outcome};

use self::{
    observe::{Freshness, Resource},
    plan::{Input, Plan, State},
    status::{Findings, Held, Seen},
};
use crate::{
    cache::Custom,
    neo4j::{ClusterClient, Value},
    reconcile::{
        Context, Done, ErrorType, EventReason, Failure, Key, Phase, Reconciler, Run, StatusTarget, StatusWrite,
        target::TargetError,
    },
};

/// `enabled`, `paused` or `dry-run`.
const RECONCILE: &str = "neo4j.neo4j.com/reconcile";
/// Any token: a new one asks for a reconcile.
const REQUESTED_AT: &str = "neo4j.neo4j.com/reconcile-requested-at";
/// `true`: release without touching Neo4j.
const FORCE_DELETE: &str = "neo4j.neo4j.com/force-delete";

/// Reconciles databases.
#[derive(Clone, Debug)]
pub struct DatabaseReconciler {
    /// How long a deletion waits for a cluster that does not answer.
    pub deletion_grace: Duration,
}

impl Default for DatabaseReconciler {
    fn default() -> Self {
        Self {
            deletion_grace: Duration::from_secs(300),
        }
    }
}

impl Reconciler for DatabaseReconciler {
    fn kind(&self) -> Kind {
        Kind::Neo4jDatabase
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

/// How a pass over a living resource ended, before its status is written.
struct Ended {
    state: State,
    seen: Option<Seen>,
    findings: Findings,
    /// Something was changed, or an error that is worth the queue's backoff.
    outcome: Result<bool, Failure>,
}

impl DatabaseReconciler {
    async fn pass(&self, context: &Context, key: &Key, run: &mut Run) -> Result<Done, Failure> {
        run.phase(Phase::Fetch);
        let requests = run.requests().clone();
        let found = context
            .cache
            .custom::<Neo4jDatabase>(&key.namespace, &key.name, &requests)
            .await?;
        let Some(custom) = found else {
            context.cache.forget(key);
            context.board.remove_dependent(key);
            return Ok(Done::gone());
        };
        run.generation(custom.meta.generation());
        if custom.meta.deleting().is_some() {
            return deletion::reconcile(context, key, self.deletion_grace, run).await;
        }
        let resource = match Resource::new(context, custom.clone()) {
            Ok(resource) => resource,
            Err(error) => return Err(undecodable(context, &custom, &error)),
        };
        let ended = self.living(context, key, &resource, run).await?;
        finish(context, key, &resource, ended, run).await
    }

    /// One pass over a resource that is not being deleted.
    async fn living(&self, context: &Context, key: &Key, resource: &Resource, run: &mut Run) -> Result<Ended, Failure> {
        let meta = resource.meta();
        let spec = &resource.custom.spec;
        let findings = Findings {
            generation: meta.generation().unwrap_or_default(),
            ignored: Neo4jDatabase::CLASSES.ignored(spec),
            held: match meta.annotations().get(RECONCILE) {
                Some("paused") => Some(Held::Paused),
                Some("dry-run") => Some(Held::DryRun),
                _ => None,
            },
            requested_at: meta.annotations().get(REQUESTED_AT).map(str::to_owned),
            ..Findings::default()
        };
        let ended = |state: State, findings: Findings| Ended {
            state,
            seen: None,
            findings,
            outcome: Ok(false),
        };
        if let Some(state) = refusal(resource) {
            return Ok(ended(state, findings));
        }
        let requests = run.requests().clone();
        let rivals = observe::rivals(context, resource, Freshness::Cached, &requests).await?;
        if let Some(elder) = observe::elder(resource, &rivals) {
            let message = format!("Neo4jDatabase {:?} owns this database", elder.meta.name());
            let state = State {
                terminal: false,
                ..State::refused("DuplicateOwner", EventReason::NameConflict, message)
            };
            return Ok(ended(state, findings));
        }
        let cluster_ref = &resource.object.spec.cluster_ref;
        let cluster = match observe::cluster(context, key, cluster_ref, Freshness::Cached, &requests).await {
            Ok(cluster) if observe::is_formed(&cluster) => cluster,
            Ok(_) => {
                let message = format!("cluster {cluster_ref:?} is not formed yet");
                return Ok(ended(State::pending("ClusterNotReady", message), findings));
            }
            Err(error) => return Ok(ended(unusable(error)?, findings)),
        };
        if let Some(state) = refused_by_version(resource, &cluster) {
            return Ok(ended(state, findings));
        }
        match observe::client(context, key, &cluster, run.id(), &requests).await {
            Ok(client) => reach(context, resource, &client, findings, run).await,
            Err(error) => Ok(ended(unusable(error)?, findings)),
        }
    }
}

/// The part of a pass that talks to Neo4j.
async fn reach(
    context: &Context,
    resource: &Resource,
    client: &ClusterClient,
    mut findings: Findings,
    run: &mut Run,
) -> Result<Ended, Failure> {
    run.phase(Phase::Bolt);
    let name = resource.database();
    let was_ready = matches!(
        resource.status.phase,
        Some(DatabasePhase::Ready | DatabasePhase::Degraded)
    );
    let (database, servers) = match observe::neo4j(client, &name).await {
        Ok(facts) => facts,
        Err(error) => {
            let state = State::unreachable(&error, was_ready);
            let outcome = if state.terminal { Ok(false) } else { Err(error.into()) };
            return Ok(Ended {
                state,
                seen: None,
                findings,
                outcome,
            });
        }
    };
    run.phase(Phase::Diff);
    let claimed = resource.claimed();
    let desired = resource.object.spec.effective();
    let options: Vec<_> = resource
        .object
        .spec
        .options
        .iter()
        .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
        .collect();
    let Plan {
        mut state,
        mut steps,
        warnings,
    } = plan::plan(Input {
        desired: &desired,
        options: &options,
        database: database.as_ref(),
        servers: &servers,
        claimed,
        was_ready,
    });
    findings.warnings = Some(warnings);
    let seen = database
        .as_ref()
        .map_or_else(Seen::default, |found| Seen::of(found, client));
    let mut outcome = Ok(false);
    if findings.held.is_some() {
        for step in steps.drain(..) {
            state.message = format!("{}; held: {}, {}", state.message, step.action.label(), step.reason);
            run.action(act::planned(&step, &name));
        }
        state.poll = plan::WATCH;
    } else if state.phase != DatabasePhase::Failed && !claimed {
        // The claim is in the status before the first effect, and nothing else happens in this pass (B10).
        run.phase(Phase::Apply);
        act::add_finalizer(context, resource.meta(), run).await?;
        findings.claim = Some(Claim {
            database: Some(name.clone()),
            uid: Some(resource.meta().uid().to_string()),
            since: Some(Time(context.now())),
        });
        state.poll = Duration::ZERO;
        outcome = Ok(true);
    } else if !steps.is_empty() {
        run.phase(Phase::Bolt);
        let acted = act::perform(context, client, resource, steps, run).await;
        findings.created = acted.created;
        outcome = Ok(acted.changed);
        if acted.changed {
            state.poll = plan::POLL;
        }
        if let Some((action, error)) = acted.failed {
            if !error.is_transient() {
                state = State::step_failed(&action, &error, &state);
            }
            outcome = Err(error.into());
        }
    }
    Ok(Ended {
        state,
        seen: Some(seen),
        findings,
        outcome,
    })
}

/// What is wrong with the spec by itself.
fn refusal(resource: &Resource) -> Option<State> {
    let unsupported = Neo4jDatabase::CLASSES.unsupported(&resource.custom.spec);
    if !unsupported.is_empty() {
        let fields: Vec<_> = unsupported.iter().map(|(path, why)| format!("{path}: {why}")).collect();
        return Some(State::refused(
            "UnsupportedFeature",
            EventReason::UnsupportedFeature,
            fields.join("; "),
        ));
    }
    let problems = validate(&resource.object);
    invalid(&problems.iter().map(ToString::to_string).collect::<Vec<_>>())
}

/// What is wrong with it on a cluster of this version.
fn refused_by_version(
    resource: &Resource,
    cluster: &Custom<neo4j_operator_crds::Neo4jEnterpriseCluster>,
) -> Option<State> {
    let object = cluster.object.as_ref().ok()?;
    let version = Version::from_tag(&object.spec.image.tag).ok()?;
    let problems = validate_on(&resource.object, version);
    invalid(&problems.iter().map(ToString::to_string).collect::<Vec<_>>())
}

fn invalid(problems: &[String]) -> Option<State> {
    (!problems.is_empty())
        .then(|| State::refused("ValidationFailed", EventReason::ValidationFailed, problems.join("; ")))
}

/// A cluster that cannot be used now. What Kubernetes did not answer is an error of the pass.
fn unusable(error: TargetError) -> Result<State, Failure> {
    let message = error.to_string();
    Ok(match error {
        TargetError::ClusterNotFound(_) => State::pending("ClusterNotFound", message),
        TargetError::Unreadable(..) => return Err(error.into()),
        _ => State::pending("ClusterNotReady", message),
    })
}

/// Nobody can read it, so nobody can write its status either: the event and the log name it (A9).
fn undecodable(context: &Context, custom: &Custom<Neo4jDatabase>, error: &str) -> Failure {
    let note = format!("the resource cannot be decoded: {error}");
    let subject = observe::subject(&custom.meta);
    context
        .events
        .publish(&subject, EventReason::ValidationFailed, note.clone());
    Failure::terminal(ErrorType::Validation, note)
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
        state,
        seen,
        findings,
        outcome,
    } = ended;
    let before = &resource.status;
    let after = status::render(before, &state, seen.as_ref(), &findings, context.now());
    let wrote = write_status(context, resource, &after, run).await?;
    if wrote == StatusWrite::Written {
        for (reason, note) in status::events(before, &after, &state) {
            context.events.publish(&resource.subject, reason, note);
        }
    }
    let mut conditions = after.conditions.iter();
    let ready = conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True");
    context
        .board
        .publish_dependent(key, &resource.object.spec.cluster_ref, ready);
    let changed = outcome?;
    if state.terminal {
        return Err(Failure::terminal(ErrorType::Validation, state.message));
    }
    Ok(match (changed, state.phase) {
        (true, _) => Done::changed(state.poll),
        (false, DatabasePhase::Ready) if wrote == StatusWrite::Equal => Done {
            outcome: Outcome::Converged,
            requeue: Some(state.poll),
        },
        (false, DatabasePhase::Ready) => Done::converged(state.poll),
        _ => Done::waiting(state.poll),
    })
}

async fn write_status(
    context: &Context,
    resource: &Resource,
    status: &Neo4jDatabaseStatus,
    run: &mut Run,
) -> Result<StatusWrite, Failure> {
    run.phase(Phase::Status);
    let meta = resource.meta();
    let value = serde_json::to_value(status)
        .map_err(|error| Failure::new(ErrorType::Internal, format!("the status cannot be rendered: {error}")))?;
    let target = StatusTarget {
        kind: Kind::Neo4jDatabase,
        namespace: meta.namespace(),
        name: meta.name(),
        uid: &meta.uid().to_string(),
        current: &resource.raw_status,
    };
    Ok(context.status.write(target, &value, run.requests()).await?)
}
