//! What requests mean: the rules between the front doors and the store.
//!
//! [`write`](self::write) is the way of every create, update, patch and apply; [`delete`](self::delete) that of every delete; [`read`](self::read)
//! gets and lists. [`meta`](self::meta) reads and writes `metadata`, [`validity`](self::validity) checks it; [`rules`](self::rules) has the rules of single kinds, [`patch`](self::patch)
//! the patch formats, [`scale`](self::scale) the view of replicas, [`present`](self::present) the difference between a stored object and what a version shows of it.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use serde_json::{Value, json};

use super::{
    auth::{User, defaults, tokens::Tokens},
    clock::{Chance, Clock},
    deviation::Planted,
    fault::{Hooks, Point, Verdict},
    kinds::{Catalog, Resource},
    smd::Writer,
    status::Failure,
    store::{Key, Store},
};

mod addresses;
mod binding;
mod decode;
mod definitions;
mod delete;
mod events;
mod eviction;
#[cfg(test)]
mod eviction_tests;
mod expiry;
#[cfg(test)]
mod faults_tests;
pub(super) mod meta;
pub(super) mod patch;
pub(super) mod present;
pub(super) mod read;
mod rules;
pub(super) mod scale;
#[cfg(test)]
mod tests;
mod unstored;
mod validity;
mod write;

pub(super) use delete::DeleteOptions;
pub(super) use read::{ListOptions, Page};
pub(super) use write::{Input, Written};

/// How unknown and duplicate fields are treated (`fieldValidation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Strictness {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// A body that was decoded, with the duplicate keys that it had.
#[derive(Debug, Clone, Default)]
pub(super) struct Decoded {
    pub(super) value: Value,
    /// Paths of keys that stood more than once; the last one counts.
    pub(super) duplicates: Vec<String>,
}

/// A request for one resource, as far as the rules care.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) resource: Arc<Resource>,
    pub(super) user: Arc<User>,
    pub(super) verb: &'static str,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) subresource: String,
    pub(super) manager: String,
    pub(super) strictness: Strictness,
    pub(super) force: bool,
    pub(super) dry_run: bool,
}

impl Call {
    pub(super) fn key(&self) -> Key {
        self.key_of(&self.name)
    }

    fn key_of(&self, name: &str) -> Key {
        Key {
            resource: Arc::clone(&self.resource.id),
            namespace: self.namespace.clone(),
            name: name.to_owned(),
        }
    }

    pub(super) fn missing(&self) -> Failure {
        Failure::not_found(&self.resource.group, &self.resource.plural, &self.name)
    }
}

/// Why a request has no good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// This is the answer.
    Failure(Failure),
    /// A fault took the connection.
    Disconnect,
}

impl Stop {
    /// The same with warnings, which come with refusals too.
    fn with_warnings(self, warnings: Vec<String>) -> Self {
        match self {
            Self::Failure(failure) => Self::Failure(Failure { warnings, ..failure }),
            Self::Disconnect => Self::Disconnect,
        }
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// The rules, with what they need.
pub(super) struct Registry {
    pub(super) store: Store,
    catalog: Mutex<Arc<Catalog>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) hooks: Arc<dyn Hooks>,
    pub(super) chance: Chance,
    pub(super) tokens: Tokens,
    pub(super) planted: Planted,
    reads: AtomicU64,
    writes: AtomicU64,
    commits: AtomicU64,
    watchers: AtomicU64,
    expiry: expiry::Expiry,
}

impl Registry {
    pub(super) fn new(
        clock: Arc<dyn Clock>,
        hooks: Arc<dyn Hooks>,
        seed: u64,
        history: usize,
        token: String,
        planted: Planted,
    ) -> Self {
        let registry = Self {
            store: Store::new(history),
            catalog: Mutex::new(Arc::new(Catalog::builtin())),
            clock,
            hooks,
            chance: Chance::new(seed),
            tokens: Tokens::new(token),
            planted,
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            watchers: AtomicU64::new(0),
            expiry: expiry::Expiry::default(),
        };
        registry.bootstrap();
        registry
    }

    /// What a cluster has before anyone asks: two namespaces, each with its default account, and the roles that everybody has.
    fn bootstrap(&self) {
        for namespace in ["default", "kube-system"] {
            self.seed(
                "namespaces",
                "",
                json!({
                    "apiVersion": "v1", "kind": "Namespace",
                    "metadata": {"name": namespace, "labels": {"kubernetes.io/metadata.name": namespace}},
                    "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
                }),
            );
            self.seed(
                "serviceaccounts",
                namespace,
                json!({
                    "apiVersion": "v1", "kind": "ServiceAccount",
                    "metadata": {"name": "default", "namespace": namespace},
                }),
            );
        }
        for (resource, objects) in defaults::all() {
            for object in objects {
                self.seed(&resource, "", object);
            }
        }
    }

    fn seed(&self, resource: &str, namespace: &str, mut value: Value) {
        let name = meta::text(&value, "name").to_owned();
        meta::identify(&mut value, &self.chance, self.clock.now());
        let key = Key {
            resource: resource.into(),
            namespace: namespace.to_owned(),
            name,
        };
        if self.store.create(key, value).is_err() {
            tracing::error!(resource, namespace, "an object of the start was there already");
        }
    }

    /// The resources as they are now.
    pub(super) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the resources.
    fn revise_catalog(&self, change: impl FnOnce(&mut Catalog)) {
        let mut catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = (**catalog).clone();
        change(&mut next);
        *catalog = Arc::new(next);
    }

    /// The number of a new watcher.
    pub(super) fn next_watcher(&self) -> u64 {
        self.watchers.fetch_add(1, Ordering::Relaxed)
    }

    fn writer<'a>(&self, call: &'a Call, api_version: &'a str) -> Writer<'a> {
        Writer {
            manager: &call.manager,
            api_version,
            subresource: &call.subresource,
            now: self.clock.now(),
        }
    }

    pub(super) async fn before_read(&self, call: &Call) -> Result<(), Stop> {
        let point = point(call, &self.reads);
        obey(self.hooks.serve_read(point).await)
    }

    async fn before_commit(&self, call: &Call) -> Result<(), Stop> {
        let point = point(call, &self.writes);
        obey(self.hooks.before_commit(point).await)
    }

    async fn after_commit(&self, call: &Call) -> Result<(), Stop> {
        let point = point(call, &self.commits);
        obey(self.hooks.after_commit_before_reply(point).await)
    }

    /// Refuses what would be created in a namespace that is not there or goes.
    fn namespace_open(&self, call: &Call, name: &str) -> Result<(), Failure> {
        if !call.resource.namespaced {
            return Ok(());
        }
        let key = Key {
            resource: "namespaces".into(),
            namespace: String::new(),
            name: call.namespace.clone(),
        };
        let Some(namespace) = self.store.get(&key) else {
            return Err(Failure::not_found("", "namespaces", &call.namespace));
        };
        if meta::is_terminating(&namespace.value) {
            return Err(Failure::forbidden(
                &call.resource.group,
                &call.resource.plural,
                name,
                &format!(
                    "unable to create new content in namespace {} because it is being terminated",
                    call.namespace
                ),
                Some(json!({
                    "reason": "NamespaceTerminating",
                    "message": format!("namespace {} is being terminated", call.namespace),
                    "field": "metadata.namespace",
                })),
            ));
        }
        Ok(())
    }
}

fn point<'a>(call: &'a Call, counter: &AtomicU64) -> Point<'a> {
    Point {
        n: counter.fetch_add(1, Ordering::Relaxed),
        verb: call.verb,
        group: &call.resource.group,
        resource: &call.resource.plural,
        namespace: &call.namespace,
        name: &call.name,
        manager: &call.manager,
    }
}

fn obey(verdict: Verdict) -> Result<(), Stop> {
    match verdict {
        Verdict::Proceed => Ok(()),
        Verdict::Fail(failure) => Err(Stop::Failure(failure)),
        Verdict::Disconnect => Err(Stop::Disconnect),
    }
}
