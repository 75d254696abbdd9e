//! The queue that triggers add to and workers wait on: the state machine behind a lock that is held for the
//! length of one step only, and a wake-up.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{Figures, Job, Priority, Settings, Trigger, Verdict, state::State};
use crate::reconcile::Key;

/// The work queue. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Queue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Woken when a key may be due, when a run ends, and when the queue opens or closes.
    wake: Notify,
    ended: Notify,
    seed: RandomState,
}

impl Default for Queue {
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

impl Queue {
    /// An empty queue.
    pub fn new(settings: Settings) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State::new(settings)),
                wake: Notify::new(),
                ended: Notify::new(),
                seed: RandomState::new(),
            }),
        }
    }

    /// A queue that gathers nothing, so that a test sees every key at once.
    #[cfg(test)]
    pub fn hasty() -> Self {
        Self::new(Settings {
            gather: std::time::Duration::ZERO,
            ..Settings::default()
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a key; see [`State::add`].
    pub fn add(&self, key: Key, priority: Priority, trigger: impl Into<Trigger>) {
        self.state().add(key, priority, trigger.into(), Instant::now());
        self.shared.wake.notify_one();
    }

    /// Waits for a key that is due; `None` once the queue is closed. Cancelling it loses no key. The caller
    /// owes a [`Queue::finish`].
    pub async fn next(&self) -> Option<Job> {
        loop {
            let woken = self.shared.wake.notified();
            let next_due = {
                let mut state = self.state();
                if state.closed() {
                    return None;
                }
                if let Some(job) = state.take(Instant::now()) {
                    // One wake-up may stand for many adds: the next worker is woken by the one that took, also to know when
                    // the next delayed key is due.
                    if state.next_due().is_some() {
                        self.shared.wake.notify_one();
                    }
                    return Some(job);
                }
                state.next_due()
            };
            match next_due {
                Some(at) => {
                    let _ = tokio::time::timeout_at(at, woken).await;
                }
                None => woken.await,
            }
        }
    }

    /// Ends the run of a key that [`Queue::next`] gave out.
    pub fn finish(&self, key: &Key, verdict: Verdict) {
        let now = Instant::now();
        // A hash of key and time is random enough to spread retries, and costs no generator.
        let spread = self.shared.seed.hash_one((key, now));
        let jitter = (spread % 1024) as f64 / 1024.0;
        self.state().finish(key, verdict, jitter, now);
        self.shared.wake.notify_one();
        self.shared.ended.notify_waiters();
    }

    /// Holds keys back; they collect until [`Queue::resume`].
    pub fn pause(&self) {
        self.state().pause(true);
    }

    /// Lets keys go again.
    pub fn resume(&self) {
        self.state().pause(false);
        self.wake_all();
    }

    /// At most so many keys run at a time, or as many as there are workers. Those that run already go on.
    pub fn limit(&self, limit: Option<usize>) {
        self.state().limit(limit);
        self.wake_all();
    }

    /// Holds back keys of this level and those after it, each at most [`Settings::held_longest`]; none: lets
    /// them go.
    pub fn hold(&self, from: Option<Priority>) {
        self.state().hold(from);
        self.wake_all();
    }

    /// Whether no key runs and none is due.
    pub fn idle(&self) -> bool {
        self.state().idle(Instant::now())
    }

    /// Bytes of its tables.
    pub fn bytes(&self) -> u64 {
        self.state().bytes()
    }

    /// Gives back the room of a crowd that has gone; says how many bytes that were.
    pub fn shrink(&self) -> u64 {
        self.state().shrink(Instant::now())
    }

    fn wake_all(&self) {
        self.shared.wake.notify_waiters();
        self.shared.wake.notify_one();
    }

    /// Gives out nothing any more and waits until what runs has ended, at most `deadline`; says whether all
    /// of it did.
    pub async fn drain(&self, deadline: Duration) -> bool {
        self.state().close();
        self.wake_all();
        let all_ended = async {
            loop {
                let ended = self.shared.ended.notified();
                tokio::pin!(ended);
                ended.as_mut().enable();
                if !self.state().has_running() {
                    return;
                }
                ended.await;
            }
        };
        tokio::time::timeout(deadline, all_ended).await.is_ok()
    }

    /// Figures by kind.
    pub fn figures(&self) -> Figures {
        self.state().figures(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use neo4j_operator_shared::Kind;

    use super::*;

    fn key(name: &str) -> Key {
        Key {
            kind: Kind::Neo4jBackup,
            namespace: "n".into(),
            name: name.into(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_waits_is_woken_by_an_add_and_by_time() {
        let queue = Queue::default();
        let worker = tokio::spawn({
            let queue = queue.clone();
            async move {
                let first = queue.next().await.unwrap();
                queue.finish(&first.key, Verdict::Done(Some(Duration::from_secs(600))));
                let began = Instant::now();
                let second = queue.next().await.unwrap();
                (second.trigger, began.elapsed())
            }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        queue.add(key("a"), Priority::Changed, "changed");
        let (trigger, waited) = worker.await.unwrap();
        assert_eq!(trigger, "requeue");
        assert!(waited >= Duration::from_secs(600), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn every_waiting_worker_gets_one_of_many_keys() {
        let queue = Queue::default();
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move { queue.next().await.unwrap().key })
            })
            .collect();
        tokio::task::yield_now().await;
        for name in ["a", "b", "c", "d"] {
            queue.add(key(name), Priority::Changed, "changed");
        }
        let mut keys = Vec::new();
        for worker in workers {
            let key = tokio::time::timeout(Duration::from_secs(1), worker).await;
            keys.push(key.expect("every worker is woken").unwrap().name);
        }
        keys.sort();
        assert_eq!(keys.len(), 4);
        keys.dedup();
        assert_eq!(keys.len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_raised_limit_and_a_lifted_hold_wake_those_who_wait() {
        let queue = Queue::default();
        queue.limit(Some(1));
        queue.hold(Some(Priority::Requeued));
        let (taken, mut keys) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..3 {
            let (queue, taken) = (queue.clone(), taken.clone());
            tokio::spawn(async move { taken.send(queue.next().await.unwrap().key.name) });
        }
        tokio::task::yield_now().await;
        for (name, priority) in [
            ("a", Priority::Changed),
            ("b", Priority::Changed),
            ("c", Priority::Listed),
        ] {
            queue.add(key(name), priority, "t");
        }
        assert_eq!(keys.recv().await.as_deref(), Some("a"));
        let more = tokio::time::timeout(Duration::from_secs(30), keys.recv()).await;
        assert!(more.is_err(), "{more:?}");
        queue.limit(None);
        assert_eq!(keys.recv().await.as_deref(), Some("b"));
        queue.hold(None);
        let began = Instant::now();
        assert_eq!(keys.recv().await.as_deref(), Some("c"));
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn draining_waits_for_what_runs_and_ends_those_who_wait() {
        let queue = Queue::default();
        queue.add(key("a"), Priority::Changed, "changed");
        let job = queue.next().await.unwrap();
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { queue.next().await }
        });
        tokio::task::yield_now().await;
        assert!(!queue.drain(Duration::from_secs(5)).await, "it still runs");
        assert_eq!(waiting.await.unwrap(), None);
        queue.finish(&job.key, Verdict::Done(None));
        assert!(queue.drain(Duration::from_secs(5)).await);
    }
}
