//! Every kind that the server knows and that can be listed, watched and deleted, with a view of its objects' metadata.
//!
//! The garbage collector and the namespace drain work on all kinds alike. Kinds come and go with their definitions: discovery is read
//! again when a definition changes, and now and then without a sign.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kube::{
    Client, Discovery,
    core::{ApiResource, DynamicObject, PartialObjectMeta},
    discovery::{Scope, verbs},
};
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Error,
    view::{Change, View, within},
};

/// An object of which only the metadata is known.
pub(super) type Meta = PartialObjectMeta<DynamicObject>;

/// How often discovery is read without a sign.
const REFRESH: Duration = Duration::from_secs(30);
/// How long after a definition's change: its resources appear a little later.
const SETTLE: Duration = Duration::from_millis(100);

/// One kind.
pub(super) struct Kind {
    pub(super) resource: ApiResource,
    pub(super) namespaced: bool,
    pub(super) view: Arc<View<Meta>>,
    stop: CancellationToken,
}

type Subscriber = Box<dyn Fn(&Arc<Kind>, &Change<'_, Meta>) + Send + Sync>;
type Name = (String, String);

/// The kinds of a server.
pub(super) struct Kinds {
    client: Client,
    known: Mutex<BTreeMap<Name, Arc<Kind>>>,
    subscriber: Subscriber,
    changed: Notify,
    discovered: tokio::sync::watch::Sender<bool>,
}

impl Kinds {
    /// No kinds yet; `subscriber` hears of every object of every kind.
    pub(super) fn new(
        client: Client,
        subscriber: impl Fn(&Arc<Kind>, &Change<'_, Meta>) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            client,
            known: Mutex::default(),
            subscriber: Box::new(subscriber),
            changed: Notify::new(),
            discovered: tokio::sync::watch::Sender::new(false),
        })
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Name, Arc<Kind>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All kinds.
    pub(super) fn all(&self) -> Vec<Arc<Kind>> {
        self.known().values().cloned().collect()
    }

    /// The kind that an owner reference names.
    pub(super) fn get(&self, api_version: &str, kind: &str) -> Option<Arc<Kind>> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        self.known().get(&(group.to_owned(), kind.to_owned())).cloned()
    }

    /// Whether every kind is known and every view whole: only then is "there is none" an answer.
    pub(super) fn are_synced(&self) -> bool {
        *self.discovered.borrow() && self.known().values().all(|kind| kind.view.is_synced())
    }

    /// Reads discovery again soon.
    pub(super) fn refresh(&self) {
        self.changed.notify_one();
    }

    /// Keeps kinds and views until `stop`.
    pub(super) async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        let follow = async {
            loop {
                let wait = match self.discover(&tasks, &stop).await {
                    Ok(()) => {
                        self.discovered.send_replace(true);
                        REFRESH
                    }
                    Err(error) => {
                        tracing::debug!(%error, "discovery will be tried again");
                        Duration::from_millis(500)
                    }
                };
                if tokio::time::timeout(wait, self.changed.notified()).await.is_ok() {
                    tokio::time::sleep(SETTLE).await;
                }
            }
        };
        let _: Option<()> = stop.run_until_cancelled(follow).await;
        tasks.close();
        tasks.wait().await;
    }

    async fn discover(self: &Arc<Self>, tasks: &TaskTracker, stop: &CancellationToken) -> Result<(), Error> {
        let discovery = within(Discovery::new(self.client.clone()).run_aggregated()).await?;
        let mut seen = BTreeMap::new();
        for group in discovery.groups() {
            for (resource, capabilities) in group.recommended_resources() {
                let usable = [verbs::LIST, verbs::WATCH, verbs::DELETE]
                    .iter()
                    .all(|verb| capabilities.supports_operation(verb));
                // Events are neither collected nor drained one by one: they expire.
                if usable && resource.kind != "Event" {
                    let name = (resource.group.clone(), resource.kind.clone());
                    seen.insert(name, (resource, capabilities.scope == Scope::Namespaced));
                }
            }
        }
        self.known().retain(|name, kind| {
            let stays = seen.contains_key(name);
            if !stays {
                kind.stop.cancel();
            }
            stays
        });
        for (name, (resource, namespaced)) in seen {
            if !self.known().contains_key(&name) {
                let kind = self.take_up(resource, namespaced, stop);
                tasks.spawn(Arc::clone(&kind.view).keep(kind.stop.clone()));
                self.known().insert(name, kind);
            }
        }
        Ok(())
    }

    fn take_up(self: &Arc<Self>, resource: ApiResource, namespaced: bool, stop: &CancellationToken) -> Arc<Kind> {
        let kind = Arc::new(Kind {
            view: View::with(self.client.clone(), resource.clone()),
            resource,
            namespaced,
            stop: stop.child_token(),
        });
        let (kinds, this) = (Arc::downgrade(self), Arc::downgrade(&kind));
        let defines_kinds = kind.resource.kind == "CustomResourceDefinition";
        kind.view.subscribe(move |change| {
            let (Some(kinds), Some(kind)) = (kinds.upgrade(), this.upgrade()) else {
                return;
            };
            if defines_kinds {
                kinds.refresh();
            }
            (kinds.subscriber)(&kind, change);
        });
        kind
    }
}
