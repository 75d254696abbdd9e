//! A watch that heals: one supervisor task per kind, namespace in scope and selector (K46–K49).
//!
//! From kube comes the list-then-watch state machine, [`watcher`]; from here come what it lacks. It never
//! lists again when the server answers 410 to the *start* of a watch, and repeats any other error at the same
//! resourceVersion for ever (K20, K21): such a watcher is dropped and built anew. A list that does not end is
//! given up at a deadline (K25). Each watch has its own backoff, so a kind that is forbidden or not installed
//! slows no other (K6). What the watch delivers goes to a [`Sink`], which does no I/O and cannot block it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use kube::{
    Api, Client,
    core::{ApiResource, DynamicResourceScope, ObjectMeta},
    runtime::watcher::{self, watcher},
};
use neo4j_operator_shared::{
    Kind,
    watches::{Watch, WatchState},
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

mod trouble;

use trouble::{Cause, Trouble};

/// Objects per page of the initial list (K10).
const PAGE: u32 = 250;
/// Errors in a row, without an event between them, after which the watch begins anew with a list.
const STUBBORN: u32 = 5;
/// How often something that is forbidden is tried.
const FORBIDDEN: Duration = Duration::from_secs(60);
/// Time for the initial list, and what each thousand objects add to it.
const LIST_DEADLINE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(1));

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The kind.
    pub kind: Kind,
    /// Where the API server serves it.
    pub resource: ApiResource,
    /// The namespace; without one all of them.
    pub namespace: Option<Arc<str>>,
    /// Label selector.
    pub labels: Option<String>,
    /// Field selector.
    pub fields: Option<String>,
}

/// An object as it comes from a watch.
pub trait Watched: DeserializeOwned + Clone + Send + 'static {
    /// Whether metadata is all that is asked for.
    const METADATA_ONLY: bool;
    /// Its resourceVersion.
    fn resource_version(&self) -> String;
}

/// Takes what a watch delivers, at once and without waiting.
pub trait Sink<T>: Send + 'static {
    /// A complete list begins.
    fn begin(&mut self);
    /// An object of that list.
    fn listed(&mut self, object: T);
    /// The list is complete: what was not in it is gone.
    fn complete(&mut self);
    /// An object was added or changed.
    fn applied(&mut self, object: T);
    /// An object was deleted, or left the selector.
    fn deleted(&mut self, object: T);
}

/// State of a watch, shared with whoever asks.
#[derive(Debug)]
pub struct WatchStatus {
    subject: Subject,
    metadata_only: bool,
    state: Mutex<Inner>,
    synced: tokio::sync::watch::Sender<Synced>,
}

/// Whether a watch has delivered a complete list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synced {
    /// Not yet.
    #[default]
    Pending,
    /// Not yet, and it is in trouble.
    Failing,
    /// Once at least.
    Yes,
}

#[derive(Debug)]
struct Inner {
    state: WatchState,
    reason: Option<String>,
    resource_version: Option<String>,
    events: u64,
    restarts: u64,
    last: Option<Instant>,
    degraded_since: Option<Instant>,
    /// It is in trouble that does not pass by itself.
    hopeless: bool,
}

tokio::task_local! {
    /// The watch that the running task supervises: the client layer tells it of every frame of the answer,
    /// bookmarks too, which the watcher keeps to itself.
    static PULSE: Arc<WatchStatus>;
}

/// Called when a watch has started, and for each frame that it delivers.
pub(super) fn beat() {
    let _ = PULSE.try_with(|status| status.beat());
}

// === impl WatchStatus ===

impl WatchStatus {
    /// The state of a watch that has not begun.
    pub fn new(subject: Subject, metadata_only: bool) -> Self {
        Self {
            subject,
            metadata_only,
            state: Mutex::new(Inner {
                state: WatchState::Starting,
                reason: None,
                resource_version: None,
                events: 0,
                restarts: 0,
                last: None,
                degraded_since: None,
                hopeless: false,
            }),
            synced: tokio::sync::watch::Sender::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is watched.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Whether a complete list was delivered, once at least.
    pub fn synced(&self) -> Synced {
        *self.synced.borrow()
    }

    /// Waits until a complete list was delivered.
    pub async fn until_synced(&self) {
        let mut synced = self.synced.subscribe();
        let _ = synced.wait_for(|synced| *synced == Synced::Yes).await;
    }

    /// Waits until it is synced or known to be in trouble.
    pub async fn until_settled(&self) {
        let mut synced = self.synced.subscribe();
        let _ = synced.wait_for(|synced| *synced != Synced::Pending).await;
    }

    /// Whether what was delivered may be read: there was a complete list, and the watch has not been in
    /// trouble for longer than `patience`.
    pub fn trusted(&self, patience: Duration) -> bool {
        self.synced() == Synced::Yes
            && self
                .lock()
                .degraded_since
                .is_none_or(|since| since.elapsed() < patience)
    }

    /// What is wrong with it.
    pub fn trouble(&self) -> Option<String> {
        self.lock().reason.clone()
    }

    /// Why it will not get ready without somebody's help: it is forbidden, or the server does not know the
    /// kind.
    pub fn hopeless(&self) -> Option<String> {
        let inner = self.lock();
        inner.reason.clone().filter(|_| inner.hopeless)
    }

    /// Age of the last event or bookmark.
    pub fn age(&self) -> Option<Duration> {
        self.lock().last.map(|last| last.elapsed())
    }

    /// As the control API shows it.
    pub fn row(&self) -> Watch {
        let inner = self.lock();
        let selector = [&self.subject.labels, &self.subject.fields]
            .into_iter()
            .flatten()
            .cloned()
            .collect::<Vec<_>>()
            .join(",");
        Watch {
            kind: self.subject.kind,
            namespace: self.subject.namespace.as_deref().map(str::to_owned),
            selector: (!selector.is_empty()).then_some(selector),
            metadata_only: self.metadata_only,
            state: inner.state,
            reason: inner.reason.clone(),
            resource_version: inner.resource_version.clone(),
            events: inner.events,
            restarts: inner.restarts,
            age: inner.last.map(|last| last.elapsed().into()),
        }
    }

    fn listing(&self) {
        let mut inner = self.lock();
        if inner.state != WatchState::Degraded {
            inner.state = WatchState::Listing;
        }
    }

    fn event(&self, resource_version: String) {
        let mut inner = self.lock();
        inner.events += 1;
        inner.last = Some(Instant::now());
        inner.resource_version = Some(resource_version);
        // The initial list is not yet complete while it lists.
        if inner.state == WatchState::Degraded {
            inner.recover();
        }
    }

    fn beat(&self) {
        let synced = self.synced() == Synced::Yes;
        let mut inner = self.lock();
        inner.last = Some(Instant::now());
        // A quiet kind may have no event for hours after its watch came back.
        if synced && inner.state == WatchState::Degraded {
            inner.recover();
        }
    }

    fn live(&self) {
        {
            let mut inner = self.lock();
            inner.last = Some(Instant::now());
            inner.recover();
        }
        self.synced.send_replace(Synced::Yes);
    }

    fn degraded(&self, reason: String, hopeless: bool) {
        {
            let mut inner = self.lock();
            inner.state = WatchState::Degraded;
            inner.hopeless = hopeless;
            inner.reason = Some(reason);
            inner.degraded_since.get_or_insert_with(Instant::now);
        }
        self.synced.send_if_modified(|synced| {
            let pending = *synced == Synced::Pending;
            if pending {
                *synced = Synced::Failing;
            }
            pending
        });
    }

    fn restarted(&self) {
        self.lock().restarts += 1;
    }

    fn stopped(&self) {
        let mut inner = self.lock();
        inner.state = WatchState::Stopped;
        inner.reason = None;
    }
}

impl Inner {
    fn recover(&mut self) {
        self.state = WatchState::Live;
        self.reason = None;
        self.degraded_since = None;
        self.hopeless = false;
    }
}

// === the supervisor ===

/// Watches until cancelled. The [`Sink`] and what it keeps outlive every single watch.
pub async fn supervise<T: Watched>(
    client: Client,
    status: Arc<WatchStatus>,
    mut sink: impl Sink<T>,
    cancel: CancellationToken,
) {
    let work = async {
        let mut trouble = Trouble::default();
        loop {
            one_watch::<T>(&client, &status, &mut sink, &mut trouble).await;
            status.restarted();
        }
    };
    tokio::select! {
        () = PULSE.scope(Arc::clone(&status), work) => {}
        () = cancel.cancelled() => {}
    }
    status.stopped();
}

/// Follows one watcher until it has to be built anew.
async fn one_watch<T: Watched>(client: &Client, status: &WatchStatus, sink: &mut impl Sink<T>, trouble: &mut Trouble) {
    let subject = &status.subject;
    let api: Api<Transit<T>> = match &subject.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &subject.resource),
        None => Api::all_with(client.clone(), &subject.resource),
    };
    let config = watcher::Config {
        label_selector: subject.labels.clone(),
        field_selector: subject.fields.clone(),
        page_size: Some(PAGE),
        ..watcher::Config::default()
    };
    let mut stream = std::pin::pin!(watcher(api, config));
    let mut list = Some(List::begin());
    status.listing();
    loop {
        let next = match &list {
            Some(list) => {
                let Ok(next) = tokio::time::timeout_at(list.deadline(), stream.next()).await else {
                    let pause = trouble.pause();
                    let allowed = list.allowed().as_secs();
                    status.degraded(format!("the list was not complete within {allowed} s"), false);
                    tracing::warn!(kind = %subject.kind, "list not complete in time, beginning anew");
                    tokio::time::sleep(pause).await;
                    return;
                };
                next
            }
            None => stream.next().await,
        };
        match next {
            Some(Ok(watcher::Event::Init)) => {
                list = Some(List::begin());
                status.listing();
                sink.begin();
            }
            Some(Ok(watcher::Event::InitApply(object))) => {
                if let Some(list) = &mut list {
                    list.objects += 1;
                }
                status.event(object.object.resource_version());
                sink.listed(object.object);
            }
            Some(Ok(watcher::Event::InitDone)) => {
                list = None;
                trouble.listed();
                sink.complete();
                status.live();
            }
            Some(Ok(watcher::Event::Apply(object))) => {
                trouble.in_a_row = 0;
                status.event(object.object.resource_version());
                sink.applied(object.object);
            }
            Some(Ok(watcher::Event::Delete(object))) => {
                trouble.in_a_row = 0;
                status.event(object.object.resource_version());
                sink.deleted(object.object);
            }
            Some(Err(error)) => {
                let cause = Cause::of(&error);
                status.degraded(cause.reason(&error), matches!(cause, Cause::Forbidden | Cause::Missing));
                let pause = match cause {
                    Cause::Forbidden => trouble.spread(FORBIDDEN),
                    Cause::Gone if list.is_none() => trouble.relist(),
                    _ => trouble.pause(),
                };
                tracing::warn!(kind = %subject.kind, pause = ?pause, "watch: {error}");
                tokio::time::sleep(pause).await;
                if cause == Cause::Gone || cause == Cause::Unreadable || trouble.in_a_row >= STUBBORN {
                    trouble.in_a_row = 0;
                    return;
                }
            }
            None => return,
        }
    }
}

/// An initial list under way.
struct List {
    began: Instant,
    objects: u32,
}

impl List {
    fn begin() -> Self {
        Self {
            began: Instant::now(),
            objects: 0,
        }
    }

    fn allowed(&self) -> Duration {
        LIST_DEADLINE.0 + LIST_DEADLINE.1 * (self.objects / 1000)
    }

    fn deadline(&self) -> Instant {
        self.began + self.allowed()
    }
}

// === what travels through kube's watcher ===

/// An object on its way from the watcher to the sink. The watcher asks for [`ObjectMeta`], of which it reads
/// the resourceVersion only; it exists for as long as the event travels.
#[derive(Clone)]
struct Transit<T> {
    object: T,
    meta: ObjectMeta,
}

impl<T> fmt::Debug for Transit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transit")
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}

impl<'de, T: Watched> Deserialize<'de> for Transit<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = T::deserialize(deserializer)?;
        let meta = ObjectMeta {
            resource_version: Some(object.resource_version()),
            ..ObjectMeta::default()
        };
        Ok(Self { object, meta })
    }
}

impl<T: Watched> kube::Resource for Transit<T> {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> std::borrow::Cow<'_, str> {
        resource.kind.as_str().into()
    }
    fn group(resource: &ApiResource) -> std::borrow::Cow<'_, str> {
        resource.group.as_str().into()
    }
    fn version(resource: &ApiResource) -> std::borrow::Cow<'_, str> {
        resource.version.as_str().into()
    }
    fn api_version(resource: &ApiResource) -> std::borrow::Cow<'_, str> {
        resource.api_version.as_str().into()
    }
    fn plural(resource: &ApiResource) -> std::borrow::Cow<'_, str> {
        resource.plural.as_str().into()
    }
    fn metadata_api() -> bool {
        T::METADATA_ONLY
    }
    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

#[cfg(test)]
mod tests;
