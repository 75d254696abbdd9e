//! Namespaces: a new one gets its default ServiceAccount, a deleted one is emptied of all kinds and then let go.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{Event, Namespace, ServiceAccount};
use kube::{
    Api, Resource,
    api::{DeleteParams, ListParams, PostParams, PropagationPolicy},
    core::{ObjectMeta, Request},
};
use tokio_util::sync::CancellationToken;

use super::{
    Context, Error,
    kinds::{Kind, Kinds},
    meta,
    queue::{self, Queue},
    view::{Change, Deletion, Key, within},
};

const WORKERS: usize = 4;
/// How soon a namespace that is being emptied is looked at again.
const LATER: Duration = Duration::from_millis(500);
const OURS: &str = "kubernetes";

/// Runs the controller until `stop`.
pub(super) async fn run(context: Context, kinds: Arc<Kinds>, stop: CancellationToken) {
    let queue = Arc::new(Queue::<Key>::default());
    let to = Arc::clone(&queue);
    context.views.namespaces.subscribe(move |change| {
        if let Change::Applied { now: namespace, .. } = change {
            to.add(Key::of(*namespace));
        }
    });
    let keeper = Keeper { context, kinds };
    queue::run(&queue, stop, WORKERS, |key| keeper.reconcile(key)).await;
}

struct Keeper {
    context: Context,
    kinds: Arc<Kinds>,
}

impl Keeper {
    async fn reconcile(&self, key: Key) -> Result<Option<Duration>, Error> {
        let Some(namespace) = self.context.views.namespaces.get(&key) else {
            return Ok(None);
        };
        if !meta::is_deleting(&*namespace) {
            self.give_account(&key.name).await?;
            return Ok(None);
        }
        if self.empty(&key.name).await? {
            self.let_go(&namespace).await?;
            return Ok(None);
        }
        Ok(Some(LATER))
    }

    async fn give_account(&self, namespace: &str) -> Result<(), Error> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.context.client.clone(), namespace);
        let account = ServiceAccount {
            metadata: ObjectMeta {
                name: Some("default".to_owned()),
                ..ObjectMeta::default()
            },
            ..ServiceAccount::default()
        };
        match within(accounts.create(&PostParams::default(), &account)).await {
            Err(error) if error.is_already_exists() || error.is_terminating_namespace() || error.is_gone() => Ok(()),
            created => created.map(drop),
        }
    }

    /// Deletes what is left in the namespace. True once nothing is, by the server's own lists.
    async fn empty(&self, namespace: &str) -> Result<bool, Error> {
        if !self.kinds.are_synced() {
            return Ok(false);
        }
        let mut left = false;
        for kind in self.kinds.all().iter().filter(|kind| kind.namespaced) {
            for object in kind.view.list(namespace, |_| true) {
                left = true;
                if object.metadata.deletion_timestamp.is_none() {
                    kind.view
                        .delete(&*object, Deletion::with(PropagationPolicy::Background))
                        .await?;
                }
            }
        }
        if left {
            return Ok(false);
        }
        let events: Api<Event> = Api::namespaced(self.context.client.clone(), namespace);
        within(events.delete_collection(&DeleteParams::default(), &ListParams::default())).await?;
        for kind in self.kinds.all().iter().filter(|kind| kind.namespaced) {
            if !self.is_empty(kind, namespace).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Views lag; before the namespace goes, the server is asked.
    async fn is_empty(&self, kind: &Kind, namespace: &str) -> Result<bool, Error> {
        let api: Api<kube::core::DynamicObject> =
            Api::namespaced_with(self.context.client.clone(), namespace, &kind.resource);
        match within(api.list_metadata(&ListParams::default().limit(1))).await {
            Ok(list) => Ok(list.items.is_empty()),
            // The kind has gone since it was discovered, and its objects with it.
            Err(error) if error.is_gone() => Ok(true),
            Err(error) => Err(error),
        }
    }

    async fn let_go(&self, namespace: &Namespace) -> Result<(), Error> {
        let mut finalized = namespace.clone();
        let spec = finalized.spec.get_or_insert_default();
        let others: Vec<_> = spec
            .finalizers
            .take()
            .unwrap_or_default()
            .into_iter()
            .filter(|name| name != OURS)
            .collect();
        spec.finalizers = Some(others);
        let body = serde_json::to_vec(&finalized).map_err(kube::Error::SerdeError)?;
        let request = Request::new(Namespace::url_path(&(), None))
            .replace_subresource("finalize", meta::name(namespace), &PostParams::default(), body)
            .map_err(kube::Error::BuildRequest)?;
        match within(self.context.client.request::<serde_json::Value>(request)).await {
            Err(error) if error.is_gone() => Ok(()),
            finalized => finalized.map(drop),
        }
    }
}
