//! Following objects of others that a resource refers to: admin and TLS Secrets, CA ConfigMaps (CA8).
//!
//! They carry no label of ours, so each is followed by its name, metadata only; that needs no more right than
//! reading it by name. A namespace with very many of them is followed as a whole, keeping only the names that
//! are referred to. What was seen last outlives every watch, so a change during a gap is found by the list.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::Client;
use neo4j_operator_shared::{Kind, watches::Watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    ident::Version,
    meta::Meta,
    triggers::{Seen, Triggers},
    views::{ConfigMapView, SecretMeta, View},
};
use crate::{
    kube::watch::{Sink, Subject, WatchStatus, supervise},
    reconcile::Resource,
};

/// Names that are followed one by one: in a namespace, and in all.
const NAMES: (usize, usize) = (64, 128);

/// The followed objects.
pub(super) struct Follower {
    client: Client,
    triggers: Arc<Triggers>,
    tasks: TaskTracker,
    cancel: CancellationToken,
    places: Mutex<HashMap<(Kind, Arc<str>), Place>>,
}

/// What is followed in one namespace.
#[derive(Default)]
struct Place {
    names: HashMap<Arc<str>, Option<Following>>,
    whole: Option<Following>,
    seen: Arc<Mutex<HashMap<Arc<str>, Version>>>,
}

/// A running watch; dropping it ends it.
struct Following {
    status: Arc<WatchStatus>,
    cancel: CancellationToken,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Follower {
    pub(super) fn new(client: Client, triggers: Arc<Triggers>, tasks: TaskTracker, cancel: CancellationToken) -> Self {
        Self {
            client,
            triggers,
            tasks,
            cancel,
            places: Mutex::default(),
        }
    }

    fn places(&self) -> MutexGuard<'_, HashMap<(Kind, Arc<str>), Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether objects of that kind are followed at all.
    pub(super) fn follows(kind: Kind) -> bool {
        matches!(kind, Kind::Secret | Kind::ConfigMap)
    }

    /// Begins to follow an object.
    pub(super) fn follow(&self, kind: Kind, namespace: &Arc<str>, name: &Arc<str>) {
        let mut places = self.places();
        let single = places
            .values()
            .map(|place| place.names.values().flatten().count())
            .sum::<usize>();
        let place = places.entry((kind, Arc::clone(namespace))).or_default();
        if place.names.contains_key(name) {
            return;
        }
        let watch = |field: Option<String>| self.watch(kind, namespace, field, &place.seen);
        if place.whole.is_some() {
            place.names.insert(Arc::clone(name), None);
        } else if place.names.len() >= NAMES.0 || single >= NAMES.1 {
            let whole = watch(None);
            for following in place.names.values_mut() {
                *following = None;
            }
            place.names.insert(Arc::clone(name), None);
            place.whole = Some(whole);
        } else {
            let following = watch(Some(format!("metadata.name={name}")));
            place.names.insert(Arc::clone(name), Some(following));
        }
    }

    /// Ends to follow an object.
    pub(super) fn unfollow(&self, kind: Kind, namespace: &Arc<str>, name: &Arc<str>) {
        let mut places = self.places();
        let key = (kind, Arc::clone(namespace));
        let Some(place) = places.get_mut(&key) else { return };
        place.names.remove(name);
        lock(&place.seen).remove(name);
        if place.names.is_empty() {
            places.remove(&key);
        }
    }

    fn watch(
        &self,
        kind: Kind,
        namespace: &Arc<str>,
        fields: Option<String>,
        seen: &Arc<Mutex<HashMap<Arc<str>, Version>>>,
    ) -> Following {
        let subject = Subject {
            kind,
            resource: Resource::of(kind).into(),
            namespace: Some(Arc::clone(namespace)),
            labels: None,
            fields: fields.clone(),
        };
        let status = Arc::new(WatchStatus::new(subject, true));
        let cancel = self.cancel.child_token();
        let sink = Look {
            kind,
            namespace: Arc::clone(namespace),
            only: fields.and_then(|fields| fields.split_once('=').map(|(_, name)| Arc::from(name))),
            seen: Arc::clone(seen),
            listed: Vec::new(),
            triggers: Arc::clone(&self.triggers),
        };
        let (client, watched) = (self.client.clone(), Arc::clone(&status));
        match kind {
            Kind::ConfigMap => {
                self.tasks
                    .spawn(supervise::<ConfigMapView>(client, watched, sink, cancel.clone()));
            }
            _ => {
                self.tasks
                    .spawn(supervise::<SecretMeta>(client, watched, sink, cancel.clone()));
            }
        }
        Following { status, cancel }
    }

    /// The watches, for the control API.
    pub(super) fn rows(&self) -> Vec<Watch> {
        self.places()
            .values()
            .flat_map(|place| place.names.values().flatten().chain(&place.whole))
            .map(|following| following.status.row())
            .collect()
    }
}

fn lock(seen: &Mutex<HashMap<Arc<str>, Version>>) -> MutexGuard<'_, HashMap<Arc<str>, Version>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Compares what a watch delivers with what was seen last, and wakes those who refer to it.
struct Look {
    kind: Kind,
    namespace: Arc<str>,
    /// The one name that is watched; without it all of the namespace.
    only: Option<Arc<str>>,
    seen: Arc<Mutex<HashMap<Arc<str>, Version>>>,
    listed: Vec<Arc<str>>,
    triggers: Arc<Triggers>,
}

impl Look {
    fn note(&self, meta: &Meta) {
        let name: Arc<str> = meta.name().into();
        if !self.triggers.is_referred(self.kind, &self.namespace, &name) {
            return;
        }
        let version = meta.resource_version();
        let before = lock(&self.seen).insert(Arc::clone(&name), version.clone());
        // Seen for the first time counts too: who refers to it may have read it before the watch began.
        if before != Some(version) {
            self.wake(&name, Seen::Changed);
        }
    }

    fn gone(&self, name: &Arc<str>) {
        if lock(&self.seen).remove(name).is_some() {
            self.wake(name, Seen::Gone);
        }
    }

    fn wake(&self, name: &Arc<str>, seen: Seen) {
        self.triggers.referred(self.kind, &self.namespace, name, seen);
    }
}

impl<V: View> Sink<V> for Look {
    fn begin(&mut self) {
        self.listed.clear();
    }

    fn listed(&mut self, object: V) {
        self.listed.push(object.meta().name().into());
        self.note(object.meta());
    }

    fn complete(&mut self) {
        let missing: Vec<Arc<str>> = {
            let seen = lock(&self.seen);
            let mine = |name: &&Arc<str>| self.only.as_ref().is_none_or(|only| only == *name);
            seen.keys()
                .filter(mine)
                .filter(|name| !self.listed.contains(name))
                .cloned()
                .collect()
        };
        for name in missing {
            self.gone(&name);
        }
        self.listed = Vec::new();
    }

    fn applied(&mut self, object: V) {
        self.note(object.meta());
    }

    fn deleted(&mut self, object: V) {
        self.gone(&object.meta().name().into());
    }
}
