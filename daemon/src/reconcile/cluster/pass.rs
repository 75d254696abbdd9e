//! One pass over one cluster, from the decoded resource to the written status.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use neo4j_operator_crds::{
    CLUSTER_FINALIZER, Neo4jEnterpriseCluster, Neo4jEnterpriseClusterStatus,
    cluster::status::{ClusterPhase, Plan as ShownPlan},
};
use neo4j_operator_shared::{Kind, reconciles::Outcome};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    ClusterReconciler, Mode,
    access::Access,
    act, announce,
    deletion::finalizer_patch,
    desired::Desired,
    formation::{self, Step},
    memo::{Converged, Memo},
    observe::{self, Bolt, Child, Children},
    phase_name, plan,
    render::{self, Inputs, Rendered},
    status::{self, Report},
    validate::{self, Refusal},
    write_status,
};
use crate::{
    cache::Custom,
    reconcile::{
        Conditions, Context, Done, EffectError, EventReason, Failure, Key, Phase, Run, Subject, conditions::Status,
        manifest,
    },
};

use std::time::Duration;

/// What a Secret of others must bring is looked for again after this long, besides being watched.
const WAIT_FOR_OTHERS: Duration = Duration::from_secs(30);
/// Pods are watched; this is for an event that was missed.
const WAIT_FOR_PODS: Duration = Duration::from_secs(15);
/// Neo4j cannot be watched: while it forms it is asked again.
const WAIT_FOR_BOLT: Duration = Duration::from_secs(1);
/// While a formed cluster is not well: until Neo4j is asked again.
const WAIT_FOR_HEALTH: Duration = Duration::from_secs(3);
/// After a change the next look follows at once.
const SOON: Duration = Duration::from_millis(50);

/// Everything that stays the same during one pass.
pub struct Pass<'a> {
    pub reconciler: &'a ClusterReconciler,
    pub context: &'a Context,
    pub key: &'a Key,
    pub custom: &'a Custom<Neo4jEnterpriseCluster>,
    pub subject: Subject,
    pub now: Timestamp,
    pub mode: Mode,
    /// The last status, decoded and raw.
    pub previous: (Neo4jEnterpriseClusterStatus, Value),
}

impl Pass<'_> {
    /// Runs it.
    pub async fn run(self, resource: Arc<Neo4jEnterpriseCluster>, run: &mut Run) -> Result<Done, Failure> {
        let spec = &*self.custom.spec;
        let ignored = validate::ignored(spec);
        if self.mode == Mode::Paused {
            return self.paused(run).await;
        }
        if let Err(refusal) = validate::check(&resource, spec) {
            return self.refuse(None, &refusal, &ignored, run).await;
        }
        // The recorded way of forming is in the latest status, which the resource as seen may not have yet.
        let mut resource = Arc::unwrap_or_clone(resource);
        resource.status = Some(self.previous.0.clone());
        let Ok(desired) = Desired::new(Arc::new(resource), &self.reconciler.options.cluster_domain) else {
            let refusal = Refusal {
                phase: ClusterPhase::Failed,
                reason: "ValidationFailed",
                event: Some(EventReason::ValidationFailed),
                message: "spec.image.tag names no version that the operator runs".to_owned(),
                terminal: true,
            };
            return self.refuse(None, &refusal, &ignored, run).await;
        };
        if let Err(refusal) = validate::check_desired(&desired) {
            return self.refuse(Some(&desired), &refusal, &ignored, run).await;
        }
        let cache = &self.context.cache;
        let namespace = &*self.key.namespace;
        cache.refers(self.key, Kind::Secret, namespace, &desired.effective.admin_secret);
        if let Some((secret, _)) = desired.tls() {
            cache.refers(self.key, Kind::Secret, namespace, secret);
        }
        // A resource without our finalizer was never acted on: it has no children that could be read.
        let finalizers: Vec<&str> = self.custom.meta.finalizers().iter().map(|name| &**name).collect();
        let first = !finalizers.contains(&CLUSTER_FINALIZER) && self.previous.1.is_null();
        let requests = run.requests().clone();
        let children = if first {
            Children::default()
        } else {
            Box::pin(observe::children(
                cache,
                namespace,
                &self.key.name,
                &desired.uid,
                &requests,
            ))
            .await?
        };
        let memo = self.reconciler.memos.get(self.key, &desired.uid);
        let fingerprint = self.fingerprint(&children);
        let asked = run.is_about(Kind::Secret);
        if !asked && let Some(rest) = memo.rests(&fingerprint, self.reconciler.options.drift_check, Instant::now()) {
            return Ok(Done {
                outcome: Outcome::Skipped,
                requeue: Some(rest),
            });
        }
        let formed = status::was_formed(&self.previous.0);
        let access = match self.access(&desired, &children, &memo, formed, run).await? {
            Ok(access) => access,
            Err(refusal) => return self.refuse(Some(&desired), &refusal, &ignored, run).await,
        };
        if self.mode == Mode::Enabled && !finalizers.contains(&CLUSTER_FINALIZER) {
            run.phase(Phase::Apply);
            let patch = finalizer_patch(
                &desired.uid,
                &self.custom.meta.resource_version().to_string(),
                &finalizers,
            );
            let (kind, name) = (Kind::Neo4jEnterpriseCluster, &self.key.name);
            self.context
                .executor
                .patch_json(kind, namespace, name, patch, &requests)
                .await?;
        }
        self.act(&desired, children, access, memo, &fingerprint, &ignored, run)
            .await
    }

    /// Plans, performs, asks Neo4j, reports.
    #[allow(clippy::too_many_arguments)] // each is another thing that was found out
    async fn act(
        &self,
        desired: &Desired,
        children: Children,
        access: Access,
        mut memo: Memo,
        fingerprint: &str,
        ignored: &[String],
        run: &mut Run,
    ) -> Result<Done, Failure> {
        run.phase(Phase::Diff);
        let previous = &self.previous.0;
        let formed = status::was_formed(previous);
        let growing = status::is_growing(previous, desired);
        let mut pools = plan::pools(desired, &children, formed, growing);
        if access.password_changed {
            pools
                .held
                .push(format!("the password in Secret {}", desired.effective.admin_secret));
        }
        let inputs = Inputs {
            credential: access.fresh.then(|| access.credential.clone()),
            tls_fingerprint: access.certificate_fingerprint(),
            pools: pools.states.clone(),
        };
        let rendered = render::render(desired, &inputs)
            .map_err(|error| Failure::new(crate::reconcile::ErrorType::Internal, error.to_string()))?;
        let replaceable = plan::replaceable(&children, formed, status::is_of_another_edition(previous));
        let plan = plan::plan(&rendered, &children, &pools, replaceable, &memo.marks);
        for key in &rendered.dropped {
            let note = format!("spec.config[{key}] has no effect: the operator sets it");
            if self.new_generation() {
                self.context
                    .events
                    .publish(&self.subject, EventReason::DuplicateEntry, note);
            }
        }
        if self.mode == Mode::DryRun {
            return self.show(&plan, run).await;
        }
        run.phase(Phase::Apply);
        if formed {
            self.find_sets(&rendered, &children, run).await?;
        }
        let acted = act::perform(self.context, &plan, run).await;
        remember(&mut memo, &children, &plan, acted.marks.iter().cloned());
        if let (Some(child), false) = (&children.operator_auth, access.fresh) {
            memo.credential = Some((child.live.resource_version.clone(), access.credential.clone()));
        }
        // It may look as it did when it was well, and Neo4j say something else by now: only a pass that found it
        // well lets the next one rest.
        memo.converged = None;
        self.reconciler.memos.put(self.key, memo.clone());
        let replicas = |role| {
            let wanted = desired.pools.iter().find(|pool| pool.role == role);
            let wanted = wanted.map_or(0, |pool| pool.replicas);
            match children.sets.get(&role) {
                // What is held or not begun yet is not waited for; what was just asked for is.
                Some(set) if formed && !growing => set.replicas.min(wanted),
                _ => wanted,
            }
        };
        let expected = formation::expected(desired, replicas);
        run.phase(Phase::Bolt);
        let client = self.client(desired, &children, &access, run);
        let bolt = match &client {
            Some(client) => observe::bolt(client, !formed && children.ready() as usize >= expected.len()).await,
            None => Bolt::NotAsked,
        };
        let mut step = formation::next(desired, &expected, &children, &bolt, formed);
        let mut stepped = act::Stepped::default();
        let healthy = acted.error.is_none() && acted.conflicts.is_empty();
        if healthy && let Some(client) = &client {
            stepped = act::step(client, &step, run).await;
        }
        for pod in &stepped.enabled {
            let note = format!("the server of {pod} takes part");
            self.context
                .events
                .publish(&self.subject, EventReason::ServerEnabled, note);
        }
        if stepped.formed {
            step = Step::Complete;
        }
        let warning = validate::topology_warning(desired);
        let report = Report {
            desired,
            previous,
            children: &children,
            bolt: &bolt,
            step: &step,
            expected: &expected,
            held: &plan.held,
            conflicts: &acted.conflicts,
            formed: formed || stepped.formed,
            grows_to: pools.grows_to,
            ignored,
            warning: warning.as_ref(),
            now: self.now,
        };
        let status = status::build(&report);
        self.publish(&status, Some((&step, &bolt)), run);
        write_status(self.context, self.custom, &self.previous.1, &status, run).await?;
        self.announce(&status);
        if let Some(error) = acted.error {
            return Err(error.into());
        }
        if let Some(error) = stepped.error
            && !error.is_transient()
        {
            return Err(Failure::new(error.category(), error.to_string()));
        }
        let begins_to_grow = pools.grows_to.is_some() && !growing && plan.held.is_empty();
        let changed = acted.written > 0 || !stepped.enabled.is_empty() || stepped.formed || begins_to_grow;
        if status.ready == Some(true) && !changed {
            memo.converged = Some(Converged {
                fingerprint: fingerprint.to_owned(),
                at: Instant::now(),
            });
            self.reconciler.memos.put(self.key, memo);
            return Ok(Done::converged(self.reconciler.options.drift_check));
        }
        if !acted.conflicts.is_empty() {
            return Ok(Done::waiting(WAIT_FOR_OTHERS));
        }
        if begins_to_grow || !stepped.enabled.is_empty() || stepped.formed {
            return Ok(Done::changed(SOON));
        }
        let wait = match step {
            Step::WaitForPods { .. } => WAIT_FOR_PODS,
            // Another image makes a new generation; until then the answer stays what it is.
            Step::NotEnterprise { .. } => self.reconciler.options.drift_check,
            Step::Complete if changed => SOON,
            // Every server takes part, but a database or a server is not well. No event tells of its recovery.
            Step::Complete => WAIT_FOR_HEALTH,
            _ => WAIT_FOR_BOLT,
        };
        Ok(if changed {
            Done::changed(wait)
        } else {
            Done::waiting(wait)
        })
    }

    /// Whether this is the first pass over this generation.
    fn new_generation(&self) -> bool {
        self.previous.0.observed_generation != self.custom.meta.generation()
    }

    /// Everything that a pass looks at without asking Neo4j.
    fn fingerprint(&self, children: &Children) -> String {
        let meta = &self.custom.meta;
        manifest::hash(&json!([
            meta.uid(),
            meta.generation(),
            meta.annotations().iter().collect::<Vec<_>>(),
            children.fingerprint(),
        ]))
    }

    /// Reports that nothing is done, and why.
    async fn refuse(
        &self,
        desired: Option<&Desired>,
        refusal: &Refusal,
        ignored: &[String],
        run: &mut Run,
    ) -> Result<Done, Failure> {
        let generation = self.custom.meta.generation().unwrap_or(0);
        let status = status::refused(desired, &self.previous.0, generation, refusal, ignored, self.now);
        self.publish(&status, None, run);
        write_status(self.context, self.custom, &self.previous.1, &status, run).await?;
        let said = |status: &Neo4jEnterpriseClusterStatus| status.message == Some(refusal.message.clone());
        if let Some(reason) = refusal.event
            && !said(&self.previous.0)
        {
            self.context
                .events
                .publish(&self.subject, reason, refusal.message.clone());
        }
        self.announce(&status);
        if refusal.terminal {
            let category = crate::reconcile::ErrorType::Validation;
            return Err(Failure::terminal(category, refusal.message.clone()));
        }
        Ok(Done::waiting(WAIT_FOR_OTHERS))
    }

    /// Only says that it is paused.
    async fn paused(&self, run: &mut Run) -> Result<Done, Failure> {
        let mut status = self.previous.0.clone();
        let generation = self.custom.meta.generation().unwrap_or(0);
        let mut conditions = Conditions::from(&status.conditions, generation, self.now);
        let message = "held by the annotation neo4j.neo4j.com/reconcile";
        let was = conditions.is_true("Paused");
        conditions.set("Paused", Status::True, "ReconcilePaused", message);
        status.conditions = conditions.into_list();
        status.phase = Some(ClusterPhase::Paused);
        status.message = Some(message.to_owned());
        self.publish(&status, None, run);
        write_status(self.context, self.custom, &self.previous.1, &status, run).await?;
        if !was {
            self.context
                .events
                .publish(&self.subject, EventReason::ReconcilePaused, message);
        }
        Ok(Done::idle(Outcome::Waiting))
    }

    /// Only says what would be done.
    async fn show(&self, plan: &plan::Plan, run: &mut Run) -> Result<Done, Failure> {
        act::record(plan, run);
        let mut status = self.previous.0.clone();
        let generation = self.custom.meta.generation().unwrap_or(0);
        let mut conditions = Conditions::from(&status.conditions, generation, self.now);
        conditions.set("Paused", Status::True, "DryRun", "what would be done is in status.plan");
        status.conditions = conditions.into_list();
        let actions = act::describe(plan);
        let same = status.plan.as_ref().is_some_and(|plan| plan.actions == actions);
        if !same {
            status.plan = Some(ShownPlan {
                actions,
                computed_at: Some(Time(self.now)),
            });
        }
        self.publish(&status, None, run);
        write_status(self.context, self.custom, &self.previous.1, &status, run).await?;
        Ok(Done::waiting(self.reconciler.options.drift_check))
    }

    /// Shows the cluster on the board.
    fn publish(&self, status: &Neo4jEnterpriseClusterStatus, found: Option<(&Step, &Bolt)>, run: &Run) {
        let mut cluster = super::board::row(&self.subject, self.custom.meta.generation().unwrap_or(0), status, found);
        cluster.phase = phase_name(status);
        cluster.plan = run.actions().to_vec();
        self.context.board.publish(cluster, self.now);
    }

    /// A StatefulSet that is not seen and yet there would be planned for as if nothing were there: its template and its
    /// ConfigMap would not be held, and its servers not be counted. Asked past every cache; it ends the pass.
    async fn find_sets(&self, rendered: &Rendered, children: &Children, run: &Run) -> Result<(), Failure> {
        let unseen = rendered
            .pools
            .iter()
            .filter(|pool| !children.sets.contains_key(&pool.role));
        for pool in unseen {
            let found = self.context.executor.found_again(&pool.manifest, run.requests());
            if found.await? {
                let what = pool.manifest.label();
                return Err(EffectError::Changed { what }.into());
            }
        }
        Ok(())
    }

    /// Says what changed.
    fn announce(&self, status: &Neo4jEnterpriseClusterStatus) {
        for (reason, note) in announce::announcements(&self.previous.0, status) {
            self.context.events.publish(&self.subject, reason, note);
        }
    }
}

/// Takes the marks of objects that are as they should be as the ones to compare with, and those of our own writes. What was to
/// be written and was not keeps its mark, so that the next pass still sees that somebody changed it.
fn remember(
    memo: &mut Memo,
    children: &Children,
    plan: &plan::Plan,
    written: impl Iterator<Item = ((Kind, String), String)>,
) {
    let mut put = |kind: Kind, name: &str, child: &Child| {
        if !plan.is_pending(kind, name) {
            memo.marks.insert((kind, name.to_owned()), child.mark.clone());
        }
    };
    for ((kind, name), child) in &children.objects {
        put(*kind, name, child);
    }
    for set in children.sets.values() {
        put(Kind::StatefulSet, &set.name, &set.child);
    }
    memo.marks.extend(written);
}
