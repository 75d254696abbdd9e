//! Deleting the resource: whether the database goes with it, and when the finalizer may go.
//!
//! This comes before every validation and every gate (DEL1): whatever is wrong with the resource, it can be
//! deleted. The database is dropped only if this resource claimed it and no other wants it (DEL4); a cluster
//! that is gone needs no dropping, one that is out of reach is waited for, but not for ever (DEL5). A resource
//! that an annotation holds is let go without it, and a read-only operator drops nothing.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use neo4j_operator_crds::{Neo4jDatabase, database::DeletionPolicy};
use neo4j_operator_shared::{
    Kind,
    clusters::{ActionResult, PlannedAction},
    reconciles::Outcome,
};

use super::{
    FORCE_DELETE, RECONCILE, act,
    observe::{self, Freshness, Resource},
    status, write_status,
};
use crate::{
    cache::{PodView, Select},
    neo4j::{BoltError, ErrorKind},
    reconcile::{
        Context, Done, EffectError, EventReason, Failure, Key, Phase, Run,
        target::{self, TargetError},
    },
};

/// After a DROP, until the database is gone.
const POLL: Duration = Duration::from_secs(1);
/// While the cluster is out of reach.
const BLOCKED: Duration = Duration::from_secs(10);

/// What is to become of the database.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// It is dropped first.
    Drop,
    /// It stays, or needs no dropping, for this reason.
    Leave(String),
}

/// Brings a resource that is being deleted nearer to its end.
pub(super) async fn reconcile(context: &Context, key: &Key, grace: Duration, run: &mut Run) -> Result<Done, Failure> {
    // Removing the finalizer cannot be taken back: decide on what the server has now (K53).
    let requests = run.requests().clone();
    let live = context
        .cache
        .live::<crate::cache::Custom<Neo4jDatabase>>(&key.namespace, &key.name, &requests)
        .await?;
    let Some(custom) = live else {
        return Ok(gone(context, key, None));
    };
    let Some(since) = custom.meta.deleting() else {
        return Ok(Done::changed(Duration::ZERO));
    };
    if !act::has_finalizer(&custom.meta) {
        return Ok(Done::idle(Outcome::Waiting));
    }
    let resource = match Resource::new(context, custom.clone()) {
        Ok(resource) => resource,
        // Nobody can say what it claimed; dropping something would be a guess.
        Err(error) => {
            let note = format!("released without touching Neo4j: it cannot be decoded: {error}");
            let subject = observe::subject(&custom.meta);
            context.events.publish(&subject, EventReason::ForcedDelete, note);
            act::remove_finalizer(context, &custom.meta, run).await?;
            return Ok(gone(context, key, Some(&custom.meta.uid().to_string())));
        }
    };
    match fate(context, &resource, run).await? {
        Fate::Leave(why) => {
            tracing::info!(database = %resource.database(), why, "the database is left as it is");
            release(context, key, &resource, run).await
        }
        Fate::Drop => drop_database(context, key, &resource, since, grace, run).await,
    }
}

async fn fate(context: &Context, resource: &Resource, run: &Run) -> Result<Fate, Failure> {
    let leave = |why: &str| Ok(Fate::Leave(why.to_owned()));
    let spec = &resource.object.spec;
    let annotations = resource.meta().annotations();
    if matches!(annotations.get(RECONCILE), Some("paused" | "dry-run")) {
        return leave("the resource is held by annotation");
    }
    if resource.meta().annotations().has(FORCE_DELETE, "true") {
        let note = "released by annotation, without touching Neo4j";
        context
            .events
            .publish(&resource.subject, EventReason::ForcedDelete, note);
        return leave("forced by annotation");
    }
    if spec.effective().deletion_policy != DeletionPolicy::Delete {
        return leave("deletionPolicy is not Delete");
    }
    let name = resource.database();
    if name == "neo4j" || name.starts_with("system") {
        return leave("it belongs to Neo4j");
    }
    if !resource.claimed() {
        return leave("this resource never claimed it");
    }
    if !spec.effective().if_not_exists && resource.status.creation_time.is_none() {
        return leave("nobody knows whether this resource created it");
    }
    let rivals = observe::rivals(context, resource, Freshness::Live, run.requests()).await?;
    if let Some(rival) = rivals.first() {
        return Ok(Fate::Leave(format!("{} wants it too", rival.meta.name())));
    }
    Ok(Fate::Drop)
}

async fn drop_database(
    context: &Context,
    key: &Key,
    resource: &Resource,
    since: Timestamp,
    grace: Duration,
    run: &mut Run,
) -> Result<Done, Failure> {
    if context.executor.read_only() {
        return Err(EffectError::ReadOnly.into());
    }
    let name = resource.database();
    run.phase(Phase::Bolt);
    let requests = run.requests().clone();
    let cluster_ref = &resource.object.spec.cluster_ref;
    let dropped = async {
        let cluster = match observe::cluster(context, key, cluster_ref, Freshness::Live, &requests).await {
            Ok(cluster) => cluster,
            Err(TargetError::ClusterNotFound(_) | TargetError::ClusterDeleting(_)) => return Ok(Some(true)),
            Err(error) => return Err(error.to_string()),
        };
        let client = observe::client(context, key, &cluster, run.id(), &requests)
            .await
            .map_err(|error| error.to_string())?;
        if client.target().members.is_empty() {
            // Nobody can be asked, now or later, if the server too knows of no pod.
            let labels = Select::Labels(vec![(target::CLUSTER_LABEL.to_owned(), cluster_ref.clone())]);
            let pods = context
                .cache
                .live_list::<PodView>(&key.namespace, &labels, &requests)
                .await;
            return match pods {
                Ok(pods) if pods.is_empty() => Ok(Some(true)),
                Ok(_) => Err("none of the cluster's pods is known to be a member yet".to_owned()),
                Err(error) => Err(error.to_string()),
            };
        }
        match client.drop_database(&name).await {
            Ok(()) => {}
            Err(error) if error.kind == ErrorKind::DatabaseNotFound => {}
            Err(error) if error.kind == ErrorKind::HostNotFound => return Ok(Some(true)),
            Err(error) => return Err(error.to_string()),
        }
        let (left, _) = observe::neo4j(&client, &name)
            .await
            .map_err(|error: BoltError| error.to_string())?;
        Ok(left.is_none().then_some(false))
    }
    .await;
    let place = run.action(PlannedAction {
        action: "DROP DATABASE".to_owned(),
        target: name.clone(),
        reason: "the resource is deleted and deletionPolicy is Delete".to_owned(),
        result: ActionResult::Pending,
        message: None,
    });
    match dropped {
        Ok(Some(without_asking)) => {
            if without_asking {
                run.result(place, ActionResult::Unchanged, Some("the cluster is gone".to_owned()));
            } else {
                run.result(place, ActionResult::Done, None);
                let note = format!("database {name:?} was dropped");
                context
                    .events
                    .publish(&resource.subject, EventReason::DatabaseDeleted, note);
            }
            release(context, key, resource, run).await
        }
        Ok(None) => {
            run.result(place, ActionResult::Done, None);
            if over(context, since, grace) {
                // The server that is asked may be cut off and never hear of it.
                let note = format!("released: database {name:?} was dropped, but a server still lists it");
                context
                    .events
                    .publish(&resource.subject, EventReason::DeletionBlocked, note);
                return release(context, key, resource, run).await;
            }
            let message = format!("database {name:?} is being dropped");
            say(context, resource, None, &message, run).await?;
            Ok(Done::changed(POLL))
        }
        Err(why) => {
            run.result(place, ActionResult::Failed, Some(why.clone()));
            blocked(context, key, resource, &why, since, grace, run).await
        }
    }
}

/// Neo4j is out of reach: wait, and after the grace time let go.
async fn blocked(
    context: &Context,
    key: &Key,
    resource: &Resource,
    why: &str,
    since: Timestamp,
    grace: Duration,
    run: &mut Run,
) -> Result<Done, Failure> {
    let name = resource.database();
    if over(context, since, grace) {
        let note = format!("released without dropping database {name:?}: {why}");
        context
            .events
            .publish(&resource.subject, EventReason::DeletionBlocked, note);
        return release(context, key, resource, run).await;
    }
    let message = format!("database {name:?} cannot be dropped yet");
    if say(context, resource, Some(why), &message, run).await? {
        let note = format!("{message}: {why}");
        context
            .events
            .publish(&resource.subject, EventReason::DeletionBlocked, note);
    }
    Ok(Done::waiting(BLOCKED))
}

/// Whether a deletion has waited as long as it may.
fn over(context: &Context, since: Timestamp, grace: Duration) -> bool {
    context.now().duration_since(since) >= SignedDuration::try_from(grace).unwrap_or(SignedDuration::MAX)
}

/// Writes the status; says whether the deletion was not blocked before.
async fn say(
    context: &Context,
    resource: &Resource,
    blocked: Option<&str>,
    message: &str,
    run: &mut Run,
) -> Result<bool, Failure> {
    let before = &resource.status;
    let generation = resource.meta().generation().unwrap_or_default();
    let after = status::deleting(before, blocked, message, generation, context.now());
    let newly = crate::reconcile::conditions::changed(&before.conditions, &after.conditions, "DeletionBlocked");
    write_status(context, resource, &after, run).await?;
    Ok(newly && blocked.is_some())
}

async fn release(context: &Context, key: &Key, resource: &Resource, run: &mut Run) -> Result<Done, Failure> {
    run.phase(Phase::Apply);
    act::remove_finalizer(context, resource.meta(), run).await?;
    Ok(gone(context, key, Some(&resource.meta().uid().to_string())))
}

fn gone(context: &Context, key: &Key, uid: Option<&str>) -> Done {
    context.cache.forget(key);
    if let Some(uid) = uid {
        context.status.forget(uid);
    }
    debug_assert_eq!(key.kind, Kind::Neo4jDatabase);
    Done::gone()
}
