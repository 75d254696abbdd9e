//! Deleting a cluster: before validation and every gate (DEL1). Data goes only if the last reconcile before the
//! deletion recorded Delete, the spec still says so, and no annotation holds the resource.
//!
//! With Retain nothing but the finalizer is touched, and the children go by their owner reference. With Delete
//! the StatefulSets go first, so that nobody makes a claim again, then the claims that carry our labels and whose
//! uid was recorded, then the credential. Everything is decided on reads of the server, never of a cache (K53).

use neo4j_operator_crds::{CLUSTER_FINALIZER, Neo4jEnterpriseClusterStatus, cluster::storage::RetentionPolicy};
use neo4j_operator_shared::{
    Kind,
    clusters::{ActionResult, PlannedAction},
    reconciles::Outcome,
};
use serde_json::{Value, json};

use super::names;
use crate::{
    cache::{PvcView, Select, StatefulSetView},
    reconcile::{Context, Done, EffectError, Failure, Live, MANAGER, Run, executor::Executor, ownership},
};

/// The resource that is being deleted.
#[derive(Clone, Copy, Debug)]
pub struct Deleted<'a> {
    /// Namespace.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
    /// Uid.
    pub uid: &'a str,
    /// The last status.
    pub status: &'a Neo4jEnterpriseClusterStatus,
    /// The retention policy of the spec as it is now, if it can be read.
    pub asked: Option<&'a RetentionPolicy>,
    /// Whether it is paused or in a dry run.
    pub held: bool,
}

/// Cleans up and lets go.
pub async fn run(context: &Context, deleted: Deleted<'_>, run: &mut Run) -> Result<Done, Failure> {
    if wipes(deleted) {
        wipe(context, deleted, run).await?;
    }
    context.neo4j.forget_cluster(deleted.uid);
    release(&context.executor, deleted, run).await?;
    Ok(Done::idle(Outcome::Changed))
}

/// Whether data goes. What the last reconcile before the deletion recorded and what the spec says now must both
/// be Delete: a late edit does not arm a wipe (B6), and a Retain that nobody recorded still keeps the data. A
/// held resource is only let go.
fn wipes(deleted: Deleted<'_>) -> bool {
    let recorded = deleted.status.effective_retention_policy.as_deref();
    !deleted.held
        && recorded == Some(RetentionPolicy::Delete.as_str())
        && deleted.asked == Some(&RetentionPolicy::Delete)
}

async fn wipe(context: &Context, deleted: Deleted<'_>, run: &mut Run) -> Result<(), Failure> {
    let Deleted {
        namespace,
        name,
        uid,
        status,
        ..
    } = deleted;
    let requests = run.requests().clone();
    let ours = vec![(names::CLUSTER.to_owned(), name.to_owned())];
    let owned = Select::Owner {
        uid: uid.into(),
        labels: ours.clone(),
    };
    let sets = context
        .cache
        .live_list::<StatefulSetView>(namespace, &owned, &requests)
        .await?;
    for set in sets.iter().filter(|set| set.metadata.deleting().is_none()) {
        let live = set.metadata.live();
        remove(context, Kind::StatefulSet, namespace, set.metadata.name(), &live, run).await?;
    }
    let claims = context
        .cache
        .live_list::<PvcView>(namespace, &Select::Labels(ours), &requests)
        .await?;
    for claim in claims.iter().filter(|claim| claim.metadata.deleting().is_none()) {
        let live = claim.metadata.live();
        let recorded = status
            .claims
            .iter()
            .any(|record| record.uid.as_deref() == Some(live.uid.as_str()));
        let labelled = live.labels.get("app.kubernetes.io/managed-by").map(String::as_str) == Some(MANAGER);
        if recorded && labelled {
            remove(
                context,
                Kind::PersistentVolumeClaim,
                namespace,
                claim.metadata.name(),
                &live,
                run,
            )
            .await?;
        }
    }
    let auth = names::operator_auth(name);
    if let Some(object) = context.executor.get(Kind::Secret, namespace, &auth, &requests).await?
        && is_ours(&object, name)
    {
        remove(context, Kind::Secret, namespace, &auth, &Live::of(&object), run).await?;
    }
    Ok(())
}

/// Whether the Secret with the credential belongs to the cluster of that name: it has no owner, so its labels say.
pub fn is_ours(secret: &Value, cluster: &str) -> bool {
    ownership::controller_uid(secret).is_none()
        && ownership::has_labels(
            secret,
            [(names::CLUSTER, cluster), ("app.kubernetes.io/managed-by", MANAGER)],
        )
}

async fn remove(
    context: &Context,
    kind: Kind,
    namespace: &str,
    name: &str,
    live: &Live,
    run: &mut Run,
) -> Result<(), EffectError> {
    let place = run.action(PlannedAction {
        action: format!("delete {}", kind.kind()),
        target: format!("{namespace}/{name}"),
        reason: "the cluster is deleted and its retention policy is Delete".to_owned(),
        result: ActionResult::Pending,
        message: None,
    });
    let requests = run.requests().clone();
    let result = context
        .executor
        .delete(kind, namespace, name, &live.uid, &live.resource_version, &requests)
        .await;
    match &result {
        Ok(()) => run.result(place, ActionResult::Done, None),
        Err(error) => run.result(place, ActionResult::Failed, Some(error.to_string())),
    }
    result
}

/// Takes our finalizer off, if this very object still has it.
async fn release(executor: &Executor, deleted: Deleted<'_>, run: &mut Run) -> Result<(), Failure> {
    let Deleted {
        namespace, name, uid, ..
    } = deleted;
    let kind = Kind::Neo4jEnterpriseCluster;
    let requests = run.requests().clone();
    let Some(object) = executor.get(kind, namespace, name, &requests).await? else {
        return Ok(());
    };
    if object["metadata"]["uid"] != uid {
        return Ok(());
    }
    let finalizers = object["metadata"]["finalizers"].as_array();
    let place = finalizers
        .into_iter()
        .flatten()
        .position(|finalizer| finalizer == CLUSTER_FINALIZER);
    let Some(place) = place else {
        return Ok(());
    };
    let path = format!("/metadata/finalizers/{place}");
    let operations = json!([
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "test", "path": path, "value": CLUSTER_FINALIZER},
        {"op": "remove", "path": path},
    ]);
    match executor.patch_json(kind, namespace, name, operations, &requests).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The operations that put our finalizer on.
pub fn finalizer_patch(uid: &str, resource_version: &str, finalizers: &[&str]) -> Value {
    let mut operations = vec![
        json!({"op": "test", "path": "/metadata/uid", "value": uid}),
        json!({"op": "test", "path": "/metadata/resourceVersion", "value": resource_version}),
    ];
    if finalizers.is_empty() {
        operations.push(json!({"op": "add", "path": "/metadata/finalizers", "value": [CLUSTER_FINALIZER]}));
    } else {
        operations.push(json!({"op": "add", "path": "/metadata/finalizers/-", "value": CLUSTER_FINALIZER}));
    }
    Value::Array(operations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_goes_only_if_record_and_spec_say_so_and_nothing_holds_it() {
        let status = |policy: Option<&str>| Neo4jEnterpriseClusterStatus {
            effective_retention_policy: policy.map(str::to_owned),
            ..Neo4jEnterpriseClusterStatus::default()
        };
        let wipes = |recorded: Option<&str>, asked: Option<&RetentionPolicy>, held: bool| {
            let status = status(recorded);
            super::wipes(Deleted {
                namespace: "n",
                name: "c",
                uid: "u",
                status: &status,
                asked,
                held,
            })
        };
        let (delete, retain) = (Some(&RetentionPolicy::Delete), Some(&RetentionPolicy::Retain));
        assert!(wipes(Some("Delete"), delete, false));
        assert!(!wipes(Some("Delete"), delete, true), "paused or dry run");
        assert!(!wipes(Some("Delete"), retain, false), "a Retain that nobody recorded");
        assert!(!wipes(Some("Delete"), None, false), "a spec that cannot be read");
        for recorded in [None, Some("Retain"), Some("delete"), Some("")] {
            assert!(!wipes(recorded, delete, false), "{recorded:?}");
        }
    }

    #[test]
    fn a_secret_is_ours_by_labels_and_without_an_owner() {
        let secret = |labels: Value, owners: Value| json!({"metadata": {"labels": labels, "ownerReferences": owners}});
        let ours = json!({"neo4j.com/cluster": "graph", "app.kubernetes.io/managed-by": "neo4j-operator"});
        assert!(is_ours(&secret(ours.clone(), Value::Null), "graph"));
        assert!(!is_ours(&secret(ours.clone(), Value::Null), "other"));
        assert!(!is_ours(
            &secret(ours, json!([{"uid": "x", "controller": true}])),
            "graph"
        ));
        assert!(!is_ours(&secret(json!({}), Value::Null), "graph"));
    }
}
