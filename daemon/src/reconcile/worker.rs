//! Workers: take a key from the queue, run its reconciler under a deadline, record how it went, and tell the
//! queue when to run it again.
//!
//! A reconciler that panics or hangs costs its own key a failure and nothing else (K16, K42). Whatever the
//! reconciler answers, a key whose object exists is looked at again within the resync period: a missed event
//! heals by itself.

use std::{any::Any, collections::HashMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt as _;
use neo4j_operator_shared::{
    Kind,
    reconciles::{Outcome, Reconcile},
};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::{Context, Done, ErrorType, Failure, Reconciler, Run};
use crate::queue::{Job, Queue, Verdict};

/// How workers work.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many reconciles run at a time.
    pub workers: usize,
    /// Deadline of one reconcile.
    pub timeout: Duration,
    /// A key is looked at again after this long at the latest, give or take a tenth.
    pub resync: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 8,
            timeout: Duration::from_secs(60),
            resync: Duration::from_secs(10 * 60),
        }
    }
}

/// Is told of every run.
pub trait RunObserver: Send + Sync + 'static {
    /// A reconcile ended.
    fn finished(&self, record: &Reconcile);
    /// A key was left without work; the reason is the label of its counter.
    fn skipped(&self, kind: Kind, reason: &'static str);
    /// A reconciler panicked. Its record follows by [`RunObserver::finished`].
    fn panicked(&self, _kind: Kind) {}
}

/// The running workers.
pub struct Workers {
    queue: Queue,
    tasks: TaskTracker,
}

struct Shared {
    queue: Queue,
    context: Context,
    reconcilers: HashMap<Kind, Arc<dyn Reconciler>>,
    observer: Arc<dyn RunObserver>,
    settings: Settings,
}

// === impl Workers ===

impl Workers {
    /// Starts the workers. They end when the queue is closed.
    pub fn start(
        queue: Queue,
        context: Context,
        reconcilers: impl IntoIterator<Item = Arc<dyn Reconciler>>,
        observer: Arc<dyn RunObserver>,
        settings: Settings,
    ) -> Self {
        let reconcilers = reconcilers
            .into_iter()
            .map(|reconciler| (reconciler.kind(), reconciler))
            .collect();
        let shared = Arc::new(Shared {
            queue: queue.clone(),
            context,
            reconcilers,
            observer,
            settings,
        });
        let tasks = TaskTracker::new();
        for _ in 0..settings.workers.max(1) {
            let shared = Arc::clone(&shared);
            tasks.spawn(async move {
                while let Some(job) = shared.queue.next().await {
                    shared.work(job).await;
                }
            });
        }
        tasks.close();
        Self { queue, tasks }
    }

    /// Stops intake and waits for what runs, at most `deadline`; says whether all of it ended.
    pub async fn stop(self, deadline: Duration) -> bool {
        let drained = self.queue.drain(deadline).await;
        // Without running keys the workers are only on their way out.
        drained
            && tokio::time::timeout(Duration::from_secs(1), self.tasks.wait())
                .await
                .is_ok()
    }
}

impl Shared {
    async fn work(&self, job: Job) {
        let key = &job.key;
        let Some(reconciler) = self.reconcilers.get(&key.kind) else {
            self.observer.skipped(key.kind, "no_reconciler");
            self.queue.finish(key, Verdict::Done(None));
            return;
        };
        let mut run = Run::begin(
            key.kind,
            &key.namespace,
            &key.name,
            &job.trigger,
            job.waited,
            self.context.now(),
        );
        let span = tracing::info_span!(
            "reconcile",
            kind = key.kind.plural(),
            namespace = &*key.namespace,
            name = &*key.name,
            id = run.id()
        );
        let attempt = AssertUnwindSafe(
            async { reconciler.reconcile(&self.context, key, &mut run).await }.instrument(span.clone()),
        )
        .catch_unwind();
        let ended = match tokio::time::timeout(self.settings.timeout, attempt).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(panic)) => {
                self.observer.panicked(key.kind);
                Err(Failure::new(
                    ErrorType::Internal,
                    format!("the reconciler panicked: {}", said(&*panic)),
                ))
            }
            Err(_) => Err(Failure::new(
                ErrorType::Timeout,
                format!("not done within {} s", self.settings.timeout.as_secs()),
            )),
        };
        let ended = ended.map(|done| self.with_resync(&job, done));
        if let Err(failure) = &ended {
            tracing::warn!(parent: &span, error_type = %failure.error_type, failures = job.failures + 1, "{failure}");
        }
        // Recorded before the key can run again, so that records of one key are in order.
        let record = run.finish(&ended);
        if record.outcome == Outcome::Skipped {
            self.observer.skipped(key.kind, "unchanged");
        }
        self.observer.finished(&record);
        self.queue.finish(key, verdict(&ended));
    }

    /// Bounds how long a key rests, and spreads the resyncs of many.
    fn with_resync(&self, job: &Job, done: Done) -> Done {
        if done.outcome == Outcome::Gone {
            return done;
        }
        let resync = self.settings.resync;
        let requeue = match done.requeue {
            Some(delay) if delay < resync => delay,
            _ => spread(resync, job),
        };
        Done {
            requeue: Some(requeue),
            ..done
        }
    }
}

/// `period` ± 10 %, the same for a key each time: keys keep apart from each other.
fn spread(period: Duration, job: &Job) -> Duration {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    job.key.hash(&mut hasher);
    let unit = (hasher.finish() % 2001) as f64 / 10_000.0;
    period.mul_f64(0.9 + unit)
}

fn verdict(ended: &Result<Done, Failure>) -> Verdict {
    match ended {
        Ok(done) => Verdict::Done(done.requeue),
        Err(failure) if failure.terminal => Verdict::Terminal,
        Err(failure) => Verdict::Failed(failure.requeue),
    }
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests;
