//! The cluster: the objects that it consists of, how it forms, grows and reports.
//!
//! One reconcile goes through the files in this order: [`validate`] (may it be acted on at all), [`observe`] (what
//! is there), `plan` and [`formation`] (what is to be done, pure), `act` (doing it), [`status`] (what is
//! reported). `deletion` comes before all of them. [`desired`] says what absent fields mean, [`render`] makes the
//! objects. A step that cannot be taken back has its intent in the status before its first effect.

mod access;
mod act;
mod announce;
mod board;
mod deletion;
pub mod desired;
mod diagnostics;
pub mod formation;
mod memo;
pub mod names;
pub mod observe;
mod pass;
mod plan;
pub mod render;
pub mod status;
pub mod validate;

use std::time::Duration;

use futures::{FutureExt as _, future::BoxFuture};
use neo4j_operator_crds::{
    CLUSTER_FINALIZER, Neo4jEnterpriseCluster, Neo4jEnterpriseClusterStatus, cluster::status::ClusterPhase,
};
use neo4j_operator_shared::{Kind, reconciles::Outcome};
use serde_json::Value;

use self::memo::Memos;
use super::{
    Context, Done, ErrorType, EventReason, Failure, Key, Reconciler, Run, StatusTarget, Subject, status::believable,
};
use crate::cache::Custom;

/// Annotation that pauses a cluster or only shows what would be done.
pub const RECONCILE: &str = "neo4j.neo4j.com/reconcile";
/// Annotation with a token: reconcile now.
pub const REQUESTED_AT: &str = "neo4j.neo4j.com/reconcile-requested-at";

/// How clusters are reconciled.
#[derive(Clone, Debug)]
pub struct Options {
    /// An unchanged cluster is left alone for this long.
    pub drift_check: Duration,
    /// The domain of the cluster's DNS where the resource names none.
    pub cluster_domain: String,
}

/// Reconciles clusters.
pub struct ClusterReconciler {
    options: Options,
    memos: Memos,
}

/// What the annotation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Enabled,
    Paused,
    DryRun,
}

impl ClusterReconciler {
    /// A reconciler that remembers nothing yet.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            memos: Memos::default(),
        }
    }

    async fn run(&self, context: &Context, key: &Key, run: &mut Run) -> Result<Done, Failure> {
        run.phase(super::Phase::Fetch);
        let requests = run.requests().clone();
        let found = context
            .cache
            .custom::<Neo4jEnterpriseCluster>(&key.namespace, &key.name, &requests)
            .await?;
        let Some(custom) = found else {
            self.gone(context, key);
            return Ok(Done::gone());
        };
        run.generation(custom.meta.generation());
        if custom.meta.deleting().is_some() {
            return self.delete(context, key, &custom, run).await;
        }
        let resource = match &custom.object {
            Ok(resource) => resource.clone(),
            Err(why) => {
                // It cannot be read, so nothing is known of its status either: an event says so.
                let message = format!("the resource cannot be read: {why}");
                context
                    .events
                    .publish(&subject(&custom), EventReason::ValidationFailed, message.clone());
                return Err(Failure::terminal(ErrorType::Validation, message));
            }
        };
        let pass = pass::Pass {
            reconciler: self,
            context,
            key,
            custom: &custom,
            subject: subject(&custom),
            now: context.now(),
            mode: mode(&custom),
            previous: latest(context, &custom),
        };
        Box::pin(pass.run(resource, run)).await
    }

    async fn delete(
        &self,
        context: &Context,
        key: &Key,
        seen: &Custom<Neo4jEnterpriseCluster>,
        run: &mut Run,
    ) -> Result<Done, Failure> {
        run.phase(super::Phase::Apply);
        // What follows cannot be taken back: decide on what the server has now (K53).
        let requests = run.requests().clone();
        let live = context
            .cache
            .live::<Custom<Neo4jEnterpriseCluster>>(&key.namespace, &key.name, &requests)
            .await?;
        let Some(custom) = live else {
            self.gone(context, key);
            return Ok(Done::gone());
        };
        if custom.meta.uid() != seen.meta.uid() || custom.meta.deleting().is_none() {
            return Ok(Done::changed(Duration::ZERO));
        }
        let custom = &*custom;
        if !custom
            .meta
            .finalizers()
            .iter()
            .any(|finalizer| **finalizer == *CLUSTER_FINALIZER)
        {
            self.gone(context, key);
            return Ok(Done::idle(Outcome::Waiting));
        }
        let (status, _) = latest(context, custom);
        let asked = custom
            .object
            .as_ref()
            .ok()
            .map(|cluster| cluster.spec.effective().retention);
        let deleted = deletion::Deleted {
            namespace: &key.namespace,
            name: &key.name,
            uid: &custom.meta.uid().to_string(),
            status: &status,
            asked: asked.as_ref(),
            held: !matches!(mode(custom), Mode::Enabled),
        };
        let done = deletion::run(context, deleted, run).await?;
        context.status.forget(&custom.meta.uid().to_string());
        self.gone(context, key);
        Ok(done)
    }

    fn gone(&self, context: &Context, key: &Key) {
        if let Some(uid) = self.memos.forget(key) {
            context.neo4j.forget_cluster(&uid);
            context.status.forget(&uid);
        }
        context.board.remove(&key.namespace, &key.name);
        context.cache.forget(key);
    }
}

impl Reconciler for ClusterReconciler {
    fn kind(&self) -> Kind {
        Kind::Neo4jEnterpriseCluster
    }

    fn reconcile<'a>(
        &'a self,
        context: &'a Context,
        key: &'a Key,
        run: &'a mut Run,
    ) -> BoxFuture<'a, Result<Done, Failure>> {
        self.run(context, key, run).boxed()
    }
}

fn subject(custom: &Custom<Neo4jEnterpriseCluster>) -> Subject {
    Subject {
        kind: Kind::Neo4jEnterpriseCluster,
        namespace: custom.meta.namespace().to_string(),
        name: custom.meta.name().to_string(),
        uid: custom.meta.uid().to_string(),
    }
}

fn mode(custom: &Custom<Neo4jEnterpriseCluster>) -> Mode {
    match custom.meta.annotations().get(RECONCILE) {
        Some("paused") => Mode::Paused,
        Some("dry-run") => Mode::DryRun,
        _ => Mode::Enabled,
    }
}

/// The status as it was last written, by us or as seen, decoded and raw.
fn latest(context: &Context, custom: &Custom<Neo4jEnterpriseCluster>) -> (Neo4jEnterpriseClusterStatus, Value) {
    let seen = custom
        .object
        .as_ref()
        .ok()
        .and_then(|resource| resource.status.as_ref())
        .and_then(|status| serde_json::to_value(status).ok())
        .unwrap_or(Value::Null);
    let raw = context.status.latest(
        &custom.meta.uid().to_string(),
        &custom.meta.resource_version().to_string(),
        &seen,
    );
    let status = serde_json::from_value(believable(&raw, custom.meta.generation())).unwrap_or_default();
    (status, raw)
}

/// Writes a status of the cluster.
async fn write_status(
    context: &Context,
    custom: &Custom<Neo4jEnterpriseCluster>,
    current: &Value,
    status: &Neo4jEnterpriseClusterStatus,
    run: &mut Run,
) -> Result<(), Failure> {
    run.phase(super::Phase::Status);
    let requests = run.requests().clone();
    let target = StatusTarget {
        kind: Kind::Neo4jEnterpriseCluster,
        namespace: custom.meta.namespace(),
        name: custom.meta.name(),
        uid: &custom.meta.uid().to_string(),
        current,
    };
    let status = serde_json::to_value(status)
        .map_err(|error| Failure::new(ErrorType::Internal, format!("the status cannot be written: {error}")))?;
    context.status.write(target, &status, &requests).await?;
    Ok(())
}

/// The phase as the board shows it.
fn phase_name(status: &Neo4jEnterpriseClusterStatus) -> String {
    status
        .phase
        .as_ref()
        .unwrap_or(&ClusterPhase::Pending)
        .as_str()
        .to_owned()
}

#[cfg(test)]
mod tests;
