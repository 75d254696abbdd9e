//! The Job controller: one pod after another until one has succeeded or too many have failed.
//!
//! [`plan`] decides; here stands the loop. One completion, one pod at a time: all that the operator's backups ask. A Job that wants more
//! is left alone with a warning event.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{api::PropagationPolicy, core::ObjectMeta};
use tokio_util::sync::CancellationToken;

use self::plan::{ATTEMPT, Action, Outcome};
use super::{
    Context, Error, meta,
    queue::{self, Queue},
    view::{Change, Deletion, Key, View},
};

pub(super) mod plan;

const WORKERS: usize = 8;
/// The longest name of a pod whose name is also a label.
const LONGEST_NAME: usize = 63;
const SUFFIX_LETTERS: usize = 5;

struct Controller {
    context: Context,
    jobs: Arc<View<Job>>,
    pods: Arc<View<Pod>>,
}

/// Runs the controller until `stop`.
pub(super) async fn run(context: Context, stop: CancellationToken) {
    let controller = Controller {
        jobs: Arc::clone(&context.views.jobs),
        pods: Arc::clone(&context.views.pods),
        context,
    };
    let queue = Arc::new(Queue::<Key>::default());
    let to = Arc::clone(&queue);
    controller.jobs.subscribe(move |change| {
        let (Change::Applied { now: job, .. } | Change::Deleted(job)) = change;
        to.add(Key::of(*job));
    });
    let to = Arc::clone(&queue);
    controller.pods.subscribe(move |change| {
        let (Change::Applied { now: pod, .. } | Change::Deleted(pod)) = change;
        if let Some(owner) = meta::controller(&pod.metadata).filter(|owner| owner.kind == "Job") {
            to.add(Key::new(meta::namespace(*pod), &owner.name));
        }
    });
    let ready = async {
        controller.jobs.synced().await;
        controller.pods.synced().await;
    };
    if stop.run_until_cancelled(ready).await.is_some() {
        queue::run(&queue, stop, WORKERS, |key| controller.reconcile(key)).await;
    }
}

impl Controller {
    async fn reconcile(&self, key: Key) -> Result<Option<Duration>, Error> {
        let Some(job) = self.jobs.get(&key).filter(|job| !meta::is_deleting(&**job)) else {
            return Ok(None);
        };
        if !is_simple(&job) {
            let message = "only Jobs with one completion and one pod at a time are run here".to_owned();
            self.context.events.warning(&*job, "Unsupported", message);
            return Ok(None);
        }
        let pods = self
            .pods
            .list(&key.namespace, |pod| meta::is_controlled_by(pod, meta::uid(&*job)));
        let plan = plan::plan(&job, &pods, self.context.clock.now());
        let mut outcome = Ok(());
        for action in &plan.actions {
            outcome = self.act(&job, action).await;
            if outcome.is_err() {
                break;
            }
        }
        if job.status.as_ref() != Some(&plan.status) && !plan.actions.contains(&Action::Expire) {
            self.jobs.replace_status(&job, &plan.status).await?;
            self.tell(&job, plan.outcome);
        }
        outcome?;
        Ok(plan.look_again)
    }

    async fn act(&self, job: &Job, action: &Action) -> Result<(), Error> {
        match action {
            Action::Create { attempt } => {
                let pod = pod(job, *attempt);
                match self.pods.create(&pod).await {
                    Ok(_) => {
                        let message = format!("Created pod: {}", meta::name(&pod));
                        self.context.events.normal(job, "SuccessfulCreate", message);
                        Ok(())
                    }
                    Err(error) if error.is_already_exists() || error.is_terminating_namespace() => Ok(()),
                    Err(error) => {
                        self.context
                            .events
                            .warning(job, "FailedCreate", format!("Error creating: {error}"));
                        Err(error)
                    }
                }
            }
            Action::Delete(pod) => {
                self.pods.delete(&**pod, Deletion::default()).await?;
                let message = format!("Deleted pod: {}", meta::name(&**pod));
                self.context.events.normal(job, "SuccessfulDelete", message);
                Ok(())
            }
            Action::Expire => {
                self.jobs
                    .delete(job, Deletion::with(PropagationPolicy::Foreground))
                    .await
            }
        }
    }

    fn tell(&self, job: &Job, outcome: Option<Outcome>) {
        match outcome {
            Some(Outcome::Complete) => self.context.events.normal(job, "Completed", "Job completed".to_owned()),
            Some(Outcome::Failed { reason, message }) => self.context.events.warning(job, reason, message),
            None => {}
        }
    }
}

fn is_simple(job: &Job) -> bool {
    let Some(spec) = &job.spec else { return false };
    spec.completions.unwrap_or(1) == 1
        && spec.parallelism.unwrap_or(1) <= 1
        && spec.completion_mode.as_deref() != Some("Indexed")
}

/// The pod of one attempt.
fn pod(job: &Job, attempt: i32) -> Pod {
    let template = job.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
    let from = template.metadata.unwrap_or_default();
    let (name, uid) = (meta::name(job), meta::uid(job));
    let mut labels = from.labels.unwrap_or_default();
    for (key, value) in [
        ("batch.kubernetes.io/job-name", name),
        ("batch.kubernetes.io/controller-uid", uid),
        ("job-name", name),
        ("controller-uid", uid),
    ] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    let mut annotations = from.annotations.unwrap_or_default();
    annotations.insert(ATTEMPT.to_owned(), attempt.to_string());
    let suffix = meta::name_hash(format!("{uid}/{attempt}").as_bytes(), SUFFIX_LETTERS);
    let base: String = name.chars().take(LONGEST_NAME - SUFFIX_LETTERS - 1).collect();
    Pod {
        metadata: ObjectMeta {
            name: Some(format!("{base}-{suffix}")),
            generate_name: Some(format!("{base}-")),
            namespace: job.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: Some(annotations),
            owner_references: Some(vec![meta::controlled_by(job)]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}
