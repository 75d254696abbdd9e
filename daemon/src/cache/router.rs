//! The door through which reconcilers read.

use std::{collections::BTreeMap, sync::Arc};

use kube::Client;
use neo4j_operator_shared::{Kind, Strategy, cache::Cache, watches::WatchList};

use super::{
    custom::{Custom, CustomKind},
    live::{Live, ReadError},
    select::Select,
    views::View,
};
use crate::reconcile::{Key, Requests};

/// Answers reads. Cheap to clone.
#[derive(Clone)]
pub struct Router {
    live: Live,
}

impl Router {
    /// A router that keeps nothing and watches nothing: every read asks the server.
    pub fn direct(client: Client) -> Self {
        Self {
            live: Live::new(client),
        }
    }

    /// Whether a strategy can be used; if not, why.
    pub fn supports(strategy: Strategy) -> Result<(), String> {
        match strategy {
            Strategy::None | Strategy::Selective => Ok(()),
            other => Err(format!(
                "cache strategy {other} is not supported yet: use none or selective"
            )),
        }
    }

    /// The object, or `None` if the server has none. The answer is never older than what this process wrote
    /// or was told before.
    pub async fn get<V: View>(
        &self,
        namespace: &str,
        name: &str,
        requests: &Requests,
    ) -> Result<Option<Arc<V>>, ReadError> {
        self.live.get(namespace, name, requests).await
    }

    /// The chosen objects of a namespace, by name.
    pub async fn list<V: View>(
        &self,
        namespace: &str,
        select: &Select,
        requests: &Requests,
    ) -> Result<Vec<Arc<V>>, ReadError> {
        self.live.list(namespace, select, requests).await
    }

    /// Reads one object past every cache: for decisions that cannot be taken back (K53).
    pub async fn live<V: View>(
        &self,
        namespace: &str,
        name: &str,
        requests: &Requests,
    ) -> Result<Option<Arc<V>>, ReadError> {
        self.live.get(namespace, name, requests).await
    }

    /// Lists past every cache.
    pub async fn live_list<V: View>(
        &self,
        namespace: &str,
        select: &Select,
        requests: &Requests,
    ) -> Result<Vec<Arc<V>>, ReadError> {
        self.live.list(namespace, select, requests).await
    }

    /// A custom resource.
    pub async fn custom<K: CustomKind>(
        &self,
        namespace: &str,
        name: &str,
        requests: &Requests,
    ) -> Result<Option<Arc<Custom<K>>>, ReadError> {
        self.get(namespace, name, requests).await
    }

    /// The custom resources of one kind in a namespace.
    pub async fn customs<K: CustomKind>(
        &self,
        namespace: &str,
        requests: &Requests,
    ) -> Result<Vec<Arc<Custom<K>>>, ReadError> {
        self.list(namespace, &Select::All, requests).await
    }

    /// The data of a Secret, always from the server: it is never kept (CA9).
    pub async fn secret(
        &self,
        namespace: &str,
        name: &str,
        requests: &Requests,
    ) -> Result<Option<BTreeMap<String, Vec<u8>>>, ReadError> {
        self.live.secret(namespace, name, requests).await
    }

    /// Notes an own write: reads of this object are never older (K52).
    pub fn wrote(&self, _kind: Kind, _namespace: &str, _name: &str, _resource_version: &str) {}

    /// Notes that the reconcile of `key` depends on an object: its changes wake the key. A reference stands
    /// until [`Router::forget`].
    pub fn refers(&self, _key: &Key, _kind: Kind, _namespace: &str, _name: &str) {}

    /// Drops every reference of a key, once its object is gone.
    pub fn forget(&self, _key: &Key) {}

    /// Figures for `GET /v1/cache` and the metrics.
    pub fn snapshot(&self) -> Cache {
        Cache::default()
    }

    /// The watches for `GET /v1/watches`.
    pub fn watches(&self) -> WatchList {
        WatchList::default()
    }
}
