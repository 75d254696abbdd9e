//! A local copy of one kind, kept by a watch, through which a controller also writes.
//!
//! The one idea: the answer to an own write goes into the copy at once, and an older watch event does not undo it. A controller that
//! decides from its views therefore never acts twice on the same lack, and no counting of expected events is needed. Resource versions
//! are compared as numbers for this, which Kubernetes promises for them since 1.35.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, GetParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy},
    core::Request,
    runtime::watcher,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Error, MANAGER};

/// How long one request may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long a watch may take to show the whole of its kind.
const SYNC_DEADLINE: Duration = Duration::from_secs(120);
/// After so many failures in a row the watch begins again with a list: a watcher that was refused at its start never would.
const FAILURES_BEFORE_LIST: u32 = 5;
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(10);

/// Namespace and name; the namespace of a cluster-wide object is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Empty for a cluster-wide object.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

impl Key {
    /// From its two parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The key of an object.
    pub fn of<K: Resource>(object: &K) -> Self {
        Self {
            namespace: object.meta().namespace.clone().unwrap_or_default(),
            name: object.meta().name.clone().unwrap_or_default(),
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// What happened to an object in the copy.
#[derive(Debug)]
pub enum Change<'a, K> {
    /// Came or changed; `before` is what the copy had of the same name.
    Applied {
        /// The former state, perhaps of another uid.
        before: Option<&'a K>,
        /// The state now.
        now: &'a K,
    },
    /// Is gone; this was its last state.
    Deleted(&'a K),
}

type Subscriber<K> = Box<dyn Fn(&Change<'_, K>) + Send + Sync>;

/// The local copy of one kind.
pub struct View<K: Resource> {
    client: Client,
    kind: K::DynamicType,
    copy: Mutex<Copy<K>>,
    subscribers: Mutex<Vec<Arc<Subscriber<K>>>>,
    synced: watch::Sender<bool>,
}

/// Where an object comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The answer to a write of ours.
    Own,
    /// A list.
    List,
    /// An event of the watch.
    Watch,
}

struct Copy<K> {
    objects: BTreeMap<Key, Arc<K>>,
    /// uids that we know to be deleted though the watch has not said so yet.
    gone: BTreeSet<String>,
    /// How far the watch has come, as a resource version: what is not here and was written before is deleted.
    reached: u64,
    /// The latest version that a list has shown: once it is read to its end the watch goes on from there or later.
    lists: u64,
    /// While a list is being read: keys it has shown, and keys written meanwhile (which it may not know yet).
    listed: Option<BTreeSet<Key>>,
    written: BTreeSet<Key>,
}

impl<K> View<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Clone + Debug + Default + Eq + std::hash::Hash + Send + Sync,
{
    /// An empty copy of a kind that is known at compile time.
    pub fn new(client: Client) -> Arc<Self> {
        Self::with(client, K::DynamicType::default())
    }
}

impl<K> View<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Clone + Debug + Eq + std::hash::Hash + Send + Sync,
{
    /// An empty copy of `kind`.
    pub fn with(client: Client, kind: K::DynamicType) -> Arc<Self> {
        Arc::new(Self {
            client,
            kind,
            copy: Mutex::new(Copy {
                objects: BTreeMap::new(),
                gone: BTreeSet::new(),
                reached: 0,
                lists: 0,
                listed: None,
                written: BTreeSet::new(),
            }),
            subscribers: Mutex::new(Vec::new()),
            synced: watch::Sender::new(false),
        })
    }

    /// Calls `subscriber` for every object that is here and every change from now on; it may see the same state twice. It runs where the
    /// change was seen, so it must be quick.
    pub fn subscribe(&self, subscriber: impl Fn(&Change<'_, K>) + Send + Sync + 'static) {
        let subscriber: Subscriber<K> = Box::new(subscriber);
        let subscriber = Arc::new(subscriber);
        self.subscribers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&subscriber));
        for object in self.all() {
            subscriber(&Change::Applied {
                before: None,
                now: &object,
            });
        }
    }

    /// Resolves once the copy has been whole for the first time.
    pub async fn synced(&self) {
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Whether the copy has been whole.
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// The object of this name, as far as is known.
    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.copy().objects.get(key).cloned()
    }

    /// The objects of a namespace that satisfy `keep`, in order of their names.
    pub fn list(&self, namespace: &str, keep: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        let from = Key::new(namespace, "");
        self.copy()
            .objects
            .range(from..)
            .take_while(|(key, _)| key.namespace == namespace)
            .filter(|(_, object)| keep(object))
            .map(|(_, object)| Arc::clone(object))
            .collect()
    }

    /// All objects.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.copy().objects.values().cloned().collect()
    }

    fn copy(&self) -> MutexGuard<'_, Copy<K>> {
        self.copy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an object into the copy unless the copy knows better.
    fn take_in(&self, object: K, from: Origin) {
        let key = Key::of(&object);
        let object = Arc::new(object);
        let before = {
            let mut copy = self.copy();
            let own_write = from == Origin::Own;
            if let Some(listed) = &mut copy.listed {
                if own_write {
                    copy.written.insert(key.clone());
                } else {
                    listed.insert(key.clone());
                }
            }
            let at = version(&*object).unwrap_or(0);
            match from {
                Origin::Own => {}
                Origin::List => copy.lists = copy.lists.max(at),
                Origin::Watch => copy.reached = copy.reached.max(at),
            }
            if object.meta().uid.as_ref().is_some_and(|uid| copy.gone.contains(uid)) {
                return;
            }
            let known = copy.objects.get(&key);
            // The answer to a write may come later than the watch tells that the object is deleted.
            let late = || own_write && at <= copy.reached;
            if known.map_or_else(late, |known| is_known(&**known, &*object)) {
                return;
            }
            copy.objects.insert(key, Arc::clone(&object))
        };
        self.tell(&Change::Applied {
            before: before.as_deref(),
            now: &object,
        });
    }

    /// Takes an object out of the copy, if it is still the one with this uid.
    fn take_out(&self, key: &Key, uid: Option<&str>, own_write: bool) {
        let last = {
            let mut copy = self.copy();
            if let Some(uid) = uid {
                if own_write {
                    copy.gone.insert(uid.to_owned());
                } else {
                    copy.gone.remove(uid);
                }
            }
            let same = copy
                .objects
                .get(key)
                .is_some_and(|known| uid.is_none() || known.meta().uid.as_deref() == uid);
            if same { copy.objects.remove(key) } else { None }
        };
        if let Some(last) = last {
            self.tell(&Change::Deleted(&*last));
        }
    }

    /// The watch tells what happened up to this object's version.
    fn reach(&self, object: &K) {
        let mut copy = self.copy();
        copy.reached = copy.reached.max(version(object).unwrap_or(0));
    }

    fn begin_list(&self) {
        let mut copy = self.copy();
        copy.listed = Some(BTreeSet::new());
        copy.written.clear();
    }

    fn end_list(&self) {
        let absent: Vec<(Key, Option<String>)> = {
            let mut copy = self.copy();
            let listed = copy.listed.take().unwrap_or_default();
            let written = std::mem::take(&mut copy.written);
            copy.gone.clear();
            copy.reached = copy.reached.max(copy.lists);
            copy.objects
                .iter()
                .filter(|(key, _)| !listed.contains(*key) && !written.contains(*key))
                .map(|(key, object)| (key.clone(), object.meta().uid.clone()))
                .collect()
        };
        for (key, uid) in absent {
            self.take_out(&key, uid.as_deref(), false);
        }
        self.synced.send_replace(true);
    }

    fn tell(&self, change: &Change<'_, K>) {
        let subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for subscriber in subscribers {
            subscriber(change);
        }
    }

    /// Keeps the copy until `stop`: one watch, begun again with a list where the watcher by itself would never recover.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let _ = stop.run_until_cancelled(self.watch_for_ever()).await;
    }

    async fn watch_for_ever(&self) {
        let mut wait = FIRST_RETRY;
        loop {
            let api: Api<K> = Api::all_with(self.client.clone(), &self.kind);
            self.copy().listed = None;
            if self.watch_once(api).await {
                wait = FIRST_RETRY;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LAST_RETRY);
        }
    }

    /// Follows one watcher until it must be replaced. Whether it worked at all.
    async fn watch_once(&self, api: Api<K>) -> bool {
        let mut events = Box::pin(watcher(api, watcher::Config::default()));
        let sync_by = tokio::time::Instant::now() + SYNC_DEADLINE;
        let (mut failures, mut worked) = (0, false);
        loop {
            let event = if worked {
                events.next().await
            } else {
                match tokio::time::timeout_at(sync_by, events.next()).await {
                    Ok(event) => event,
                    Err(_) => return worked,
                }
            };
            match event {
                None => return worked,
                Some(Err(error)) => {
                    failures += 1;
                    tracing::debug!(kind = %K::kind(&self.kind), %error, failures, "watch failed");
                    if is_expired(&error) || failures >= FAILURES_BEFORE_LIST {
                        return worked;
                    }
                    tokio::time::sleep(FIRST_RETRY * failures).await;
                }
                Some(Ok(event)) => {
                    failures = 0;
                    match event {
                        watcher::Event::Init => self.begin_list(),
                        watcher::Event::InitApply(object) => self.take_in(object, Origin::List),
                        watcher::Event::Apply(object) => self.take_in(object, Origin::Watch),
                        watcher::Event::InitDone => {
                            self.end_list();
                            worked = true;
                        }
                        watcher::Event::Delete(object) => {
                            self.reach(&object);
                            self.take_out(&Key::of(&object), object.meta().uid.as_deref(), false);
                        }
                    }
                }
            }
        }
    }
}

/// Writing. Every answer goes into the copy.
impl<K> View<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Serialize + Send + Sync + 'static,
    K::DynamicType: Clone + Debug + Eq + std::hash::Hash + Send + Sync,
{
    /// Requests for the objects of a namespace. A namespace is empty exactly for a cluster-wide object, so no scope is needed.
    fn requests(&self, namespace: &str) -> Request {
        let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
        Request::new(K::url_path(&self.kind, namespace))
    }

    async fn send(&self, request: Result<http::Request<Vec<u8>>, kube::core::request::Error>) -> Result<K, Error> {
        let request = request.map_err(kube::Error::BuildRequest)?;
        within(self.client.request::<K>(request)).await
    }

    /// Creates an object; `AlreadyExists` is an error like any other.
    pub async fn create(&self, object: &K) -> Result<Arc<K>, Error> {
        let namespace = object.meta().namespace.clone().unwrap_or_default();
        let params = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        let body = serde_json::to_vec(object).map_err(kube::Error::SerdeError)?;
        let created = self.send(self.requests(&namespace).create(&params, body)).await?;
        self.take_in(created.clone(), Origin::Own);
        Ok(Arc::new(created))
    }

    /// The object as the server has it now.
    pub async fn fetch(&self, key: &Key) -> Result<Option<Arc<K>>, Error> {
        let request = self.requests(&key.namespace).get(&key.name, &GetParams::default());
        match self.send(request).await {
            Ok(found) => Ok(Some(Arc::new(found))),
            Err(error) if error.is_gone() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Merges `body` into the object that has `object`'s uid and, where `exact`, its resource version.
    pub async fn merge(&self, object: &K, mut body: Value, exact: bool) -> Result<(), Error> {
        let precondition = precondition(object, exact);
        match body.get_mut("metadata").and_then(Value::as_object_mut) {
            Some(metadata) => metadata.extend(precondition),
            None => body["metadata"] = Value::Object(precondition),
        }
        let key = Key::of(object);
        let request = self
            .requests(&key.namespace)
            .patch(&key.name, &by_us(), &Patch::Merge(&body));
        let merged = self.send(request).await?;
        self.settle(&key, merged);
        Ok(())
    }

    /// Writes the status of the very object that was seen.
    pub async fn merge_status(&self, object: &K, status: &impl Serialize) -> Result<(), Error> {
        let key = Key::of(object);
        let body = serde_json::json!({ "metadata": precondition(object, true), "status": status });
        let request =
            self.requests(&key.namespace)
                .patch_subresource("status", &key.name, &by_us(), &Patch::Merge(&body));
        let merged = self.send(request).await?;
        self.take_in(merged, Origin::Own);
        Ok(())
    }

    /// As [`View::merge_status`], but what the new status no longer says goes: a count that is absent is zero.
    pub async fn replace_status(&self, object: &K, status: &impl Serialize) -> Result<(), Error> {
        let body = |object: serde_json::Result<Value>| object.map_err(kube::Error::SerdeError);
        let old = body(serde_json::to_value(object))?;
        let mut status = body(serde_json::to_value(status))?;
        if let (Some(old), Some(new)) = (old["status"].as_object(), status.as_object_mut()) {
            for key in old.keys() {
                new.entry(key).or_insert(Value::Null);
            }
        }
        self.merge_status(object, &status).await
    }

    /// Deletes the very object that was seen. That it is gone already is success.
    pub async fn delete(&self, object: &K, how: Deletion) -> Result<(), Error> {
        let key = Key::of(object);
        let params = DeleteParams {
            grace_period_seconds: how.grace_seconds,
            propagation_policy: how.propagation,
            preconditions: Some(Preconditions {
                uid: object.meta().uid.clone(),
                resource_version: object.meta().resource_version.clone().filter(|_| how.exact),
            }),
            ..DeleteParams::default()
        };
        let request = self
            .requests(&key.namespace)
            .delete(&key.name, &params)
            .map_err(kube::Error::BuildRequest)?;
        match within(self.client.request_status::<K>(request)).await {
            Ok(answer) => {
                // What waits for its grace or its finalizers comes back; of what is gone at once the watch will tell.
                if let Some(object) = answer.left()
                    && object.meta().deletion_timestamp.is_some()
                    && how.grace_seconds != Some(0)
                {
                    self.take_in(object, Origin::Own);
                }
                Ok(())
            }
            Err(error) if error.is_gone() => {
                self.take_out(&key, object.meta().uid.as_deref(), true);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// A patch that removed the last finalizer of a deleted object answers its last state.
    fn settle(&self, key: &Key, merged: K) {
        let meta = merged.meta();
        let no_grace = meta.deletion_grace_period_seconds.unwrap_or(0) == 0;
        if meta.deletion_timestamp.is_some() && no_grace && meta.finalizers.as_ref().is_none_or(Vec::is_empty) {
            self.take_out(key, meta.uid.clone().as_deref(), true);
        } else {
            self.take_in(merged, Origin::Own);
        }
    }
}

/// How an object is deleted.
#[derive(Debug, Clone, Default)]
pub struct Deletion {
    /// None: by the kind's default.
    pub grace_seconds: Option<u32>,
    /// None: by the kind's default.
    pub propagation: Option<PropagationPolicy>,
    /// Only if it is still of the version that was seen.
    pub exact: bool,
}

impl Deletion {
    /// At once, without waiting for anybody.
    pub fn now() -> Self {
        Self {
            grace_seconds: Some(0),
            ..Self::default()
        }
    }

    /// With this policy for its dependants.
    pub fn with(policy: PropagationPolicy) -> Self {
        Self {
            propagation: Some(policy),
            ..Self::default()
        }
    }

    /// Only if the object is still of the version that was seen: for a decision that depends on all of it.
    pub fn exactly(self) -> Self {
        Self { exact: true, ..self }
    }
}

fn by_us() -> PatchParams {
    PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

fn precondition<K: Resource>(object: &K, exact: bool) -> serde_json::Map<String, Value> {
    let meta = object.meta();
    let mut fields = serde_json::Map::new();
    if let Some(uid) = &meta.uid {
        fields.insert("uid".to_owned(), Value::from(uid.clone()));
    }
    if let Some(version) = meta.resource_version.as_ref().filter(|_| exact) {
        fields.insert("resourceVersion".to_owned(), Value::from(version.clone()));
    }
    fields
}

/// Awaits a request, but not for ever.
pub async fn within<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
    match tokio::time::timeout(DEADLINE, request).await {
        Ok(answer) => answer.map_err(Error::from),
        Err(_) => Err(Error::Deadline),
    }
}

fn version<K: Resource>(object: &K) -> Option<u64> {
    object.meta().resource_version.as_ref()?.parse().ok()
}

/// Whether the copy has this state or a later one. A write that changed nothing is therefore no change: nobody is woken by it.
fn is_known<K: Resource>(known: &K, other: &K) -> bool {
    let same_object = known.meta().uid == other.meta().uid;
    match (version(known), version(other)) {
        (Some(known), Some(other)) => known > other || (known == other && same_object),
        _ => same_object && known.meta().resource_version == other.meta().resource_version,
    }
}

fn is_expired(error: &watcher::Error) -> bool {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => status,
        watcher::Error::WatchError(status) => status,
        _ => return false,
    };
    status.code == 410
}
