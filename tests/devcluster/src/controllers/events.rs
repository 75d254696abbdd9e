//! Events about objects, for `kubectl describe` and `kubectl get events`: best effort, bounded, written by one task.
//!
//! They are core/v1 Events with times and a count, so that sorting by `.lastTimestamp` works. The same thing said again raises the count
//! of the event that is there.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{MANAGER, clock::Clock, meta, view::within};

/// Events that wait to be written; more are dropped.
const WAITING: usize = 512;
/// Events whose count can still be raised.
const REMEMBERED: usize = 2048;

/// Says things about objects.
#[derive(Debug, Clone)]
pub struct Events {
    outbox: mpsc::Sender<Said>,
}

#[derive(Debug)]
struct Said {
    about: ObjectReference,
    kind: &'static str,
    reason: &'static str,
    message: String,
}

impl Events {
    /// The events of one component, and the task that writes them until `stop`.
    pub fn new(client: Client, clock: Clock, stop: CancellationToken) -> (Self, impl Future<Output = ()> + Send) {
        let (outbox, inbox) = mpsc::channel(WAITING);
        let writer = Writer {
            client,
            clock,
            known: BTreeMap::new(),
        };
        let write = async move {
            let _ = stop.run_until_cancelled(writer.run(inbox)).await;
        };
        (Self { outbox }, write)
    }

    /// Says something that is as it should be.
    pub fn normal<K: Resource<DynamicType = ()>>(&self, about: &K, reason: &'static str, message: String) {
        self.say(about, "Normal", reason, message);
    }

    /// Says something that somebody should look at.
    pub fn warning<K: Resource<DynamicType = ()>>(&self, about: &K, reason: &'static str, message: String) {
        self.say(about, "Warning", reason, message);
    }

    fn say<K: Resource<DynamicType = ()>>(&self, about: &K, kind: &'static str, reason: &'static str, message: String) {
        let about = ObjectReference {
            api_version: Some(K::api_version(&()).into_owned()),
            kind: Some(K::kind(&()).into_owned()),
            name: about.meta().name.clone(),
            namespace: about.meta().namespace.clone(),
            uid: about.meta().uid.clone(),
            resource_version: about.meta().resource_version.clone(),
            field_path: None,
        };
        let said = Said {
            about,
            kind,
            reason,
            message,
        };
        if self.outbox.try_send(said).is_err() {
            tracing::debug!(reason, "an event was dropped");
        }
    }
}

struct Writer {
    client: Client,
    clock: Clock,
    /// Name and count of each event that was written, by what it says.
    known: BTreeMap<String, (String, i32)>,
}

impl Writer {
    async fn run(mut self, mut inbox: mpsc::Receiver<Said>) {
        while let Some(said) = inbox.recv().await {
            if let Err(error) = self.write(&said).await {
                tracing::debug!(%error, reason = said.reason, "an event could not be written");
            }
        }
    }

    async fn write(&mut self, said: &Said) -> Result<(), super::Error> {
        let namespace = said.about.namespace.as_deref().unwrap_or("default");
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let now = self.clock.stamp();
        let uid = said.about.uid.as_deref().unwrap_or_default();
        let content = format!("{uid}/{}/{}/{}", said.kind, said.reason, said.message);
        if let Some((name, count)) = self.known.get_mut(&content) {
            *count += 1;
            let patch = json!({ "count": *count, "lastTimestamp": now });
            match within(api.patch(name, &PatchParams::default(), &Patch::Merge(&patch))).await {
                // It has expired: say it anew.
                Err(error) if error.is_gone() => drop(self.known.remove(&content)),
                written => return written.map(drop),
            }
        }
        let suffix = meta::name_hash(format!("{content}{:?}", now.0).as_bytes(), 12);
        let name = format!("{}.{suffix}", said.about.name.as_deref().unwrap_or_default());
        let event = Event {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            involved_object: said.about.clone(),
            type_: Some(said.kind.to_owned()),
            reason: Some(said.reason.to_owned()),
            message: Some(said.message.clone()),
            count: Some(1),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            source: Some(EventSource {
                component: Some(MANAGER.to_owned()),
                host: None,
            }),
            reporting_component: Some(MANAGER.to_owned()),
            ..Event::default()
        };
        within(api.create(&PostParams::default(), &event)).await?;
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(content, (name, 1));
        Ok(())
    }
}
