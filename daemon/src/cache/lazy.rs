//! The strategy `lazy`: a kind is kept from its first read on, and let go when nobody reads it.
//!
//! A read never waits for it, and never starts a watch (CA14): it puts the kind into a bounded queue, and goes
//! to the server. Two kinds at a time are filled, each as a change of that one kind.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use neo4j_operator_shared::{Kind, cache::WarmupResult};
use tokio::{
    sync::{Notify, Semaphore, mpsc},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    CacheObserver,
    backing::Keep,
    fill::{fill, free},
    policy::IDLE,
    source::AnySource,
};

/// Kinds that wait to be filled.
const QUEUE: usize = 64;
/// Pause after a failure, and the longest one.
const PAUSE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(600));
/// When memory is short, a kind that nobody has read for so long is let go; one in use would be back at once.
const UNUSED: Duration = Duration::from_secs(60);
/// How often kinds that nobody reads are looked for.
const COOLING: Duration = Duration::from_secs(30);

/// Kinds that somebody asks for.
pub(super) struct Asks {
    queue: mpsc::Sender<Kind>,
    began: Instant,
    kinds: BTreeMap<Kind, Asked>,
    /// Somebody needs the memory of what was raised.
    let_go: Notify,
    observer: Arc<dyn CacheObserver>,
}

#[derive(Default)]
struct Asked {
    waiting: AtomicBool,
    failures: AtomicU64,
    /// Milliseconds from `began` before which it is not tried again.
    not_before: AtomicU64,
}

impl Asks {
    /// The asks, and where they come out.
    pub(super) fn new(observer: Arc<dyn CacheObserver>) -> (Arc<Self>, mpsc::Receiver<Kind>) {
        let (queue, asked) = mpsc::channel(QUEUE);
        let kinds = Kind::all().map(|kind| (kind, Asked::default())).collect();
        let asks = Self {
            queue,
            began: Instant::now(),
            kinds,
            let_go: Notify::new(),
            observer,
        };
        (Arc::new(asks), asked)
    }

    /// Asks for a kind; once is enough until it was tried. `false` if the queue is full.
    pub(super) fn want(&self, kind: Kind) -> bool {
        let Some(asked) = self.kinds.get(&kind) else {
            return false;
        };
        let now = self.began.elapsed().as_millis() as u64;
        if now < asked.not_before.load(Ordering::Relaxed) || asked.waiting.swap(true, Ordering::AcqRel) {
            return true;
        }
        let queued = self.queue.try_send(kind).is_ok();
        if !queued {
            asked.waiting.store(false, Ordering::Release);
            self.observer.warmed(kind, WarmupResult::Dropped, 0, Duration::ZERO);
        }
        queued
    }

    /// Every kind that was raised by its reads and is not in use is let go soon.
    pub(super) fn let_go(&self) {
        self.let_go.notify_one();
    }

    /// Somebody insists: a pause after failures is over.
    pub(super) fn insist(&self, kind: Kind) -> bool {
        if let Some(asked) = self.kinds.get(&kind) {
            asked.not_before.store(0, Ordering::Relaxed);
        }
        self.want(kind)
    }

    fn tried(&self, kind: Kind, ready: bool) {
        let Some(asked) = self.kinds.get(&kind) else { return };
        if ready {
            asked.failures.store(0, Ordering::Relaxed);
        } else {
            let failures = asked.failures.fetch_add(1, Ordering::Relaxed).min(16);
            let pause = PAUSE.0.saturating_mul(1 << failures).min(PAUSE.1);
            let until = (self.began.elapsed() + pause).as_millis() as u64;
            asked.not_before.store(until, Ordering::Relaxed);
        }
        asked.waiting.store(false, Ordering::Release);
    }
}

/// Fills what is asked for, and lets go what nobody reads.
pub(super) struct Warmer {
    pub(super) sources: Vec<(Kind, Arc<dyn AnySource>)>,
    pub(super) asks: Arc<Asks>,
    pub(super) observer: Arc<dyn CacheObserver>,
    /// Kinds that are filled at a time.
    pub(super) workers: usize,
    /// How long one may take.
    pub(super) deadline: Duration,
    pub(super) cancel: CancellationToken,
}

impl Warmer {
    fn source(&self, kind: Kind) -> Option<&Arc<dyn AnySource>> {
        self.sources
            .iter()
            .find(|(known, _)| *known == kind)
            .map(|(_, source)| source)
    }

    /// Runs until cancelled.
    pub(super) async fn run(self, mut asked: mpsc::Receiver<Kind>, tasks: TaskTracker) {
        let warmer = Arc::new(self);
        let places = Arc::new(Semaphore::new(warmer.workers));
        let mut cooling = tokio::time::interval(COOLING);
        cooling.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = warmer.cancel.cancelled() => return,
                _ = cooling.tick() => warmer.cool(IDLE, "idle").await,
                () = warmer.asks.let_go.notified() => warmer.cool(UNUSED, "memory").await,
                kind = asked.recv() => {
                    let Some(kind) = kind else { return };
                    let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                    let warmer = Arc::clone(&warmer);
                    tasks.spawn(async move {
                        let ready = match warmer.source(kind) {
                            Some(source) => warmer.change(kind, source, Keep::Selected).await,
                            None => true,
                        };
                        warmer.asks.tried(kind, ready);
                        drop(place);
                    });
                }
            }
        }
    }

    /// Lets go the kinds that nobody has read for so long.
    async fn cool(&self, idle: Duration, reason: &'static str) {
        for (kind, source) in &self.sources {
            let unread = source.is_lazy() && source.keep() != Keep::Keys && source.counts().unread() >= Some(idle);
            // One that is being changed is left to whoever does.
            if unread && source.gate().available_permits() > 0 && self.change(*kind, source, Keep::Keys).await {
                self.observer.evicted(*kind, reason);
            }
        }
    }

    /// Raises or lowers one kind, unless its strategy is another one meanwhile.
    async fn change(&self, kind: Kind, source: &Arc<dyn AnySource>, keep: Keep) -> bool {
        let Ok(_gate) = source.gate().acquire().await else {
            return false;
        };
        if !source.is_lazy() || source.keep() == keep {
            return true;
        }
        let began = Instant::now();
        if keep > source.keep() && self.observer.room() == Some(0) {
            tracing::warn!(%kind, "not kept for reads: the memory is short");
            self.observer.warmed(kind, WarmupResult::Failed, 0, Duration::ZERO);
            return false;
        }
        let ready = fill(source, keep, self.deadline, &self.cancel).await;
        let objects = source.prepared().map_or(0, |(_, objects)| objects);
        if let Ok(true) = ready {
            free(vec![source.swap()], &self.observer);
        } else {
            source.abandon();
        }
        match (keep, &ready) {
            (Keep::Keys, _) => {}
            (_, Ok(true)) => self.observer.warmed(kind, WarmupResult::Ok, objects, began.elapsed()),
            (_, trouble) => {
                let trouble = trouble.as_ref().err().map(ToString::to_string);
                tracing::warn!(%kind, trouble, "not kept for reads: it cannot be listed");
                self.observer
                    .warmed(kind, WarmupResult::Failed, objects, began.elapsed());
            }
        }
        ready == Ok(true)
    }
}
