//! The keyed work queue of a controller: a key is run by one worker at a time, adds of a waiting key collapse, and an add while it runs
//! makes it run once more.
//!
//! Reconciles are level triggered: a key carries no event, only "look again". Failures back off per key.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::Future,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::Error;

const FIRST_RETRY: Duration = Duration::from_millis(20);
const LAST_RETRY: Duration = Duration::from_secs(10);

/// Keys to look at.
#[derive(Debug)]
pub struct Queue<K> {
    state: Mutex<State<K>>,
    wake: Notify,
}

#[derive(Debug)]
struct State<K> {
    ready: VecDeque<K>,
    waiting: BTreeSet<K>,
    running: BTreeSet<K>,
    again: BTreeSet<K>,
    due: BTreeMap<K, Instant>,
    later: BTreeSet<(Instant, K)>,
    failures: BTreeMap<K, u32>,
}

impl<K: Ord + Clone> Default for Queue<K> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                ready: VecDeque::new(),
                waiting: BTreeSet::new(),
                running: BTreeSet::new(),
                again: BTreeSet::new(),
                due: BTreeMap::new(),
                later: BTreeSet::new(),
                failures: BTreeMap::new(),
            }),
            wake: Notify::new(),
        }
    }
}

impl<K: Ord + Clone> Queue<K> {
    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at `key` as soon as a worker is free.
    pub fn add(&self, key: K) {
        self.state().add(key);
        self.wake.notify_one();
    }

    async fn next(&self) -> K {
        loop {
            let woken = self.wake.notified();
            let wait = {
                let mut state = self.state();
                state.mature(Instant::now());
                if let Some(key) = state.take() {
                    return key;
                }
                state.later.first().map(|(at, _)| *at)
            };
            match wait {
                Some(at) => tokio::select! { () = woken => {}, () = tokio::time::sleep_until(at) => {} },
                None => woken.await,
            }
        }
    }

    fn settle(&self, key: K, outcome: Result<Option<Duration>, Error>) {
        let mut state = self.state();
        state.running.remove(&key);
        match outcome {
            Ok(next) => {
                state.failures.remove(&key);
                if let Some(delay) = next {
                    state.add_at(key.clone(), Instant::now() + delay);
                }
            }
            Err(error) => {
                let failures = state.failures.entry(key.clone()).or_insert(0);
                let delay = FIRST_RETRY.saturating_mul(1 << (*failures).min(16)).min(LAST_RETRY);
                *failures += 1;
                tracing::debug!(%error, attempt = *failures, ?delay, "will try again");
                state.add_at(key.clone(), Instant::now() + delay);
            }
        }
        if state.again.remove(&key) {
            state.add(key);
        }
        drop(state);
        self.wake.notify_one();
    }
}

impl<K: Ord + Clone> State<K> {
    fn add(&mut self, key: K) {
        if self.running.contains(&key) {
            self.again.insert(key);
            return;
        }
        if let Some(at) = self.due.remove(&key) {
            self.later.remove(&(at, key.clone()));
        }
        if self.waiting.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    fn add_at(&mut self, key: K, at: Instant) {
        if self.waiting.contains(&key) || self.due.get(&key).is_some_and(|due| *due <= at) {
            return;
        }
        if let Some(due) = self.due.insert(key.clone(), at) {
            self.later.remove(&(due, key.clone()));
        }
        self.later.insert((at, key));
    }

    fn mature(&mut self, now: Instant) {
        while self.later.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, key)) = self.later.pop_first() {
                self.due.remove(&key);
                self.add(key);
            }
        }
    }

    fn take(&mut self) -> Option<K> {
        let key = self.ready.pop_front()?;
        self.waiting.remove(&key);
        self.running.insert(key.clone());
        Some(key)
    }
}

/// Runs `reconcile` for every key of `queue`, at most `workers` at once, until `stop`. `Ok(Some(d))` looks again after `d`.
///
/// Runs in flight are dropped at `stop`: a reconcile must be able to end at any await.
pub async fn run<K, F, R>(queue: &Queue<K>, stop: CancellationToken, workers: usize, reconcile: F)
where
    K: Ord + Clone,
    F: Fn(K) -> R,
    R: Future<Output = Result<Option<Duration>, Error>>,
{
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            Some((key, outcome)) = running.next(), if !running.is_empty() => queue.settle(key, outcome),
            key = queue.next(), if running.len() < workers => {
                let run = reconcile(key.clone());
                running.push(async move { (key, run.await) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_added_while_it_runs_runs_once_more_and_never_twice_at_a_time() {
        let queue = Arc::new(Queue::default());
        let (runs, at_once, most) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        queue.add("a");
        let work = run(&queue, CancellationToken::new(), 4, |key| {
            let (queue, runs, at_once, most) = (&queue, &runs, &at_once, &most);
            async move {
                most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                if runs.fetch_add(1, Ordering::SeqCst) == 0 {
                    queue.add(key);
                    queue.add(key);
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
                at_once.fetch_sub(1, Ordering::SeqCst);
                Ok(None)
            }
        });
        let _ = tokio::time::timeout(Duration::from_secs(60), work).await;
        assert_eq!(runs.load(Ordering::SeqCst), 2, "two adds while it ran are one");
        assert_eq!(most.load(Ordering::SeqCst), 1, "one run of a key at a time");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_key_is_tried_again_ever_more_slowly() {
        let queue = Queue::default();
        let stop = CancellationToken::new();
        let begun = Instant::now();
        let times = Mutex::new(Vec::new());
        queue.add("a");
        run(&queue, stop.clone(), 1, |_| {
            let mut times = times.lock().unwrap();
            times.push(begun.elapsed());
            if times.len() == 12 {
                stop.cancel();
            }
            async { Err(Error::Deadline) }
        })
        .await;
        let gaps: Vec<_> = times
            .lock()
            .unwrap()
            .windows(2)
            .map(|pair| pair[1].saturating_sub(pair[0]))
            .collect();
        assert!(gaps.windows(2).all(|pair| pair[0] <= pair[1]), "{gaps:?}");
        assert!(
            gaps.iter().all(|gap| *gap <= LAST_RETRY + Duration::from_millis(5)),
            "{gaps:?}"
        );
    }
}
