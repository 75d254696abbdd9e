//! The last requests, for tests that count what a client did.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

/// One request as the server saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestRecord {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; the HTTP method for paths that are no resources.
    pub verb: String,
    /// API group, empty for the core group.
    pub group: String,
    /// Plural name, or the path where it is no resource.
    pub resource: String,
    /// `status`, `scale`, …
    pub subresource: String,
    /// Empty for cluster-scoped objects and lists over all namespaces.
    pub namespace: String,
    /// Empty for collections (a create has the name of its object).
    pub name: String,
    /// The HTTP status of the answer; 0 where the connection was lost.
    pub code: u16,
    /// The field manager, or what stands for it.
    pub manager: String,
    /// Who asked: `admin`, `system:serviceaccount:n:a`; empty where the token was nobody's.
    pub user: String,
    /// The user agent.
    pub user_agent: String,
    /// Whether it is a watch.
    pub watch: bool,
}

impl RequestRecord {
    /// Whether the request asked for a change.
    pub fn is_write(&self) -> bool {
        matches!(
            self.verb.as_str(),
            "create" | "update" | "patch" | "delete" | "deletecollection"
        )
    }
}

/// Is told every request once it is answered, or begins to be where it is a watch.
pub type Listener = Arc<dyn Fn(&RequestRecord) + Send + Sync>;

/// A bounded ring of records.
pub(super) struct Audit {
    capacity: usize,
    listener: Option<Listener>,
    ring: Mutex<VecDeque<RequestRecord>>,
}

impl Audit {
    pub(super) fn new(capacity: usize, listener: Option<Listener>) -> Self {
        Self {
            capacity,
            listener,
            ring: Mutex::default(),
        }
    }

    pub(super) fn record(&self, record: RequestRecord) {
        if let Some(listener) = &self.listener {
            listener(&record);
        }
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() >= self.capacity {
            ring.pop_front();
        }
        ring.push_back(record);
    }

    pub(super) fn all(&self) -> Vec<RequestRecord> {
        self.ring
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    pub(super) fn clear(&self) {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
