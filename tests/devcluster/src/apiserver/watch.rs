//! Watches: a cursor over the store's events, turned into what one watcher may see.
//!
//! Nothing is queued for a watcher: its stream reads the ring when the connection asks for more, so one that does not read costs nothing
//! and is told 410 when the ring has moved past it. An object that enters or leaves the watcher's selector looks to it like one that is
//! created or deleted.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};

use super::{
    deviation::Deviation,
    fault::Delivery,
    kinds::Resource,
    registry::{Call, ListOptions, Registry, Stop, present},
    status::Failure,
    store::{Change, Event, Object, set_resource_version},
};

/// How many events are taken from the ring at a time.
const BATCH: usize = 64;
/// How often a quiet watcher hears the present version, if it wants to.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// A watch without a timeout lives for this long, and at random up to twice as long.
const LIFETIME: Duration = Duration::from_secs(30 * 60);
/// The last bookmark comes this long before the end.
const BEFORE_END: Duration = Duration::from_secs(2);

/// The parameters of a watch.
#[derive(Debug, Clone, Default)]
pub(super) struct WatchOptions {
    pub(super) list: ListOptions,
    pub(super) bookmarks: bool,
    pub(super) initial: Option<bool>,
}

/// What a watcher is told.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Told {
    Added(Value),
    Modified(Value),
    Deleted(Value),
    Bookmark(Value),
    Error(Value),
}

/// One watcher. [`Watcher::next`] is its stream.
pub(super) struct Watcher {
    registry: Arc<Registry>,
    resource: Arc<Resource>,
    namespace: String,
    options: WatchOptions,
    number: u64,
    cursor: u64,
    initial: VecDeque<Arc<Object>>,
    /// The bookmark that ends the initial events is still to be sent.
    owes_end: bool,
    pending: VecDeque<Arc<Event>>,
    revisions: watch::Receiver<u64>,
    deadline: Instant,
    next_bookmark: Instant,
    closed: bool,
}

impl Watcher {
    /// Starts a watch where its parameters say.
    pub(super) async fn start(registry: Arc<Registry>, call: &Call, options: WatchOptions) -> Result<Self, Stop> {
        registry.before_read(call).await?;
        let version = options.list.version()?;
        let now = Instant::now();
        let lifetime = options
            .list
            .timeout
            .unwrap_or_else(|| LIFETIME + Duration::from_millis(registry.chance.below(LIFETIME.as_millis() as u64)));
        let mut watcher = Self {
            number: registry.next_watcher(),
            revisions: registry.store.revisions(),
            resource: Arc::clone(&call.resource),
            namespace: call.namespace.clone(),
            cursor: version,
            initial: VecDeque::new(),
            owes_end: false,
            pending: VecDeque::new(),
            deadline: now + lifetime,
            next_bookmark: next_bookmark(now, now + lifetime),
            closed: false,
            options,
            registry,
        };
        let streaming = watcher.options.initial == Some(true);
        if streaming {
            watcher.registry.wait_for(version, watcher.options.list.timeout).await?;
        }
        if streaming || (version == 0 && watcher.options.initial.is_none()) {
            let scope = (!watcher.namespace.is_empty()).then_some(watcher.namespace.as_str());
            let snapshot = watcher.registry.store.list(&watcher.resource.id, scope);
            watcher.cursor = snapshot.revision;
            let list = &watcher.options.list;
            watcher.initial = snapshot
                .objects
                .into_iter()
                .filter(|o| list.selects(&o.value))
                .collect();
            watcher.owes_end = streaming && watcher.options.bookmarks;
        } else if version == 0 {
            watcher.cursor = watcher.registry.store.revision();
        }
        Ok(watcher)
    }

    /// What comes next; `None` is the end of the stream.
    ///
    /// Not cancel safe: an event taken by a dropped call is not delivered again, and neither is the stream that dropped it.
    pub(super) async fn next(&mut self) -> Option<Told> {
        loop {
            if self.closed || Instant::now() >= self.deadline {
                return None;
            }
            if let Some(object) = self.initial.pop_front() {
                if self.may_deliver(object.resource_version).await? {
                    return Some(Told::Added(present::shown(&self.resource, &object)));
                }
                continue;
            }
            if std::mem::take(&mut self.owes_end) {
                return Some(Told::Bookmark(self.bookmark(true)));
            }
            if self.pending.is_empty() {
                self.revisions.borrow_and_update();
                match self.registry.store.events_after(self.cursor, BATCH) {
                    Ok(events) => self.pending.extend(events),
                    Err(gone) => {
                        self.closed = true;
                        let text = format!("too old resource version: {} ({})", self.cursor, gone.floor);
                        return Some(Told::Error(Failure::expired(text).body()));
                    }
                }
            }
            if let Some(event) = self.pending.pop_front() {
                self.cursor = event.resource_version;
                if let Some(told) = self.seen(&event)
                    && self.may_deliver(event.resource_version).await?
                {
                    return Some(told);
                }
                continue;
            }
            if let Some(bookmark) = self.wait().await? {
                return Some(bookmark);
            }
        }
    }

    /// Waits for news, the next bookmark or the end. The outer `None` is the end.
    async fn wait(&mut self) -> Option<Option<Told>> {
        tokio::select! {
            biased;
            changed = self.revisions.changed() => changed.ok().map(|()| None),
            () = tokio::time::sleep_until(self.next_bookmark), if self.options.bookmarks => {
                self.next_bookmark = next_bookmark(Instant::now(), self.deadline);
                Some(Some(Told::Bookmark(self.bookmark(false))))
            }
            () = tokio::time::sleep_until(self.deadline) => None,
        }
    }

    async fn may_deliver(&mut self, version: u64) -> Option<bool> {
        match self.registry.hooks.deliver_event(self.number, version).await {
            Delivery::Deliver => Some(true),
            Delivery::Skip => Some(false),
            Delivery::Close => {
                self.closed = true;
                None
            }
        }
    }

    /// An event as this watcher sees it.
    fn seen(&self, event: &Event) -> Option<Told> {
        let key = &event.object.key;
        if key.resource != self.resource.id || !(self.namespace.is_empty() || self.namespace == key.namespace) {
            return None;
        }
        let selects = |object: &Object| self.options.list.selects(&object.value);
        let before = event.previous.as_deref().is_some_and(selects);
        let after = event.change != Change::Deleted && selects(&event.object);
        let now = || present::shown(&self.resource, &event.object);
        match (before, after) {
            (false, false) => None,
            (false, true) => Some(Told::Added(now())),
            (true, true) => Some(Told::Modified(now())),
            (true, false) if event.change == Change::Deleted => {
                let mut last = now();
                if self.registry.planted.is(Deviation::DeletedKeepsItsVersion) {
                    set_resource_version(&mut last, event.previous.as_deref()?.resource_version);
                }
                Some(Told::Deleted(last))
            }
            (true, false) if self.registry.planted.is(Deviation::LeavingASelectorIsSilent) => None,
            (true, false) => {
                // It left the selector: its last state inside, with the version at which it left.
                let mut last = present::shown(&self.resource, event.previous.as_deref()?);
                set_resource_version(&mut last, event.resource_version);
                Some(Told::Deleted(last))
            }
        }
    }

    fn bookmark(&self, ends_initial: bool) -> Value {
        let mut metadata = json!({"resourceVersion": self.cursor.to_string()});
        if ends_initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        json!({"kind": self.resource.kind, "apiVersion": self.resource.api_version(), "metadata": metadata})
    }
}

fn next_bookmark(now: Instant, end: Instant) -> Instant {
    let regular = now + BOOKMARK_INTERVAL;
    match end.checked_sub(BEFORE_END) {
        Some(last) if last > now => regular.min(last),
        _ => regular,
    }
}
