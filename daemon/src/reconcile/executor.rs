//! The one place that writes to Kubernetes (operator-api.md OW1–OW3).
//!
//! An object is **created by POST**, because apply cannot mean "create only": without force it merges
//! silently into an object of somebody else. `AlreadyExists` is settled by reading the object and comparing
//! the owner's uid: ours is applied, a foreign one is a [`EffectError::NameConflict`] and nothing is written.
//! An object is **changed by server-side apply** with force on the fields that we declare, and with the uid
//! and resourceVersion that we saw. What a POST set is recorded by the server under the operation `Update`;
//! before the first apply that entry is renamed to `Apply`, else a field that we drop later would stay.
//!
//! Every effect is one request with a deadline. Independent effects of a level run in parallel, a level
//! begins when the one before it succeeded, and all errors of a level are collected.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use kube::{
    Client,
    api::{DeleteParams, GetParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy},
    core::Request,
};
use neo4j_operator_shared::Kind;
use serde_json::{Value, json};

use crate::cache::Router;

use super::{
    ErrorType, Failure, MANAGER, Manifest, Requests, Resource, category,
    managed_fields::{hand_over, has_update_entry},
    manifest::{APPLIED_HASH, Claim},
};

/// How the executor works.
#[derive(Clone, Debug)]
pub struct Options {
    /// Deadline of one request.
    pub deadline: Duration,
    /// Whether the effects of a level run in parallel.
    pub batch: bool,
    /// While this is set nothing is written.
    pub read_only: Arc<AtomicBool>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(15),
            batch: true,
            read_only: Arc::default(),
        }
    }
}

/// Performs writes. Cheap to clone.
#[derive(Clone)]
pub struct Executor {
    client: Client,
    options: Options,
    cache: Option<Router>,
}

/// What has to be known of an existing object before it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Its uid.
    pub uid: String,
    /// The resourceVersion that was seen.
    pub resource_version: String,
    /// Uid of its controller owner.
    pub owner_uid: Option<String>,
    /// Its labels, as far as they are known.
    pub labels: BTreeMap<String, String>,
    /// The hash that we wrote last.
    pub applied_hash: Option<String>,
    /// Whether an `Update` entry of our field manager is left from a POST.
    pub update_entry: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The object was created.
    Created,
    /// The object was changed.
    Applied,
    /// Nothing had to be written.
    Unchanged,
}

/// The result of a write.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// What was done.
    pub how: How,
    /// Uid of the object.
    pub uid: String,
    /// Its resourceVersion after the write.
    pub resource_version: String,
    /// The object as the server answered it; null where nothing was written.
    pub object: Value,
}

/// Why a write was not done.
#[derive(Debug, thiserror::Error)]
pub enum EffectError {
    /// The name is taken by an object that is not ours; nothing was written.
    #[error("{what} exists and is not owned by this resource")]
    NameConflict {
        /// Kind, namespace and name.
        what: String,
    },
    /// The object changed while we decided; observe again.
    #[error("{what} changed meanwhile")]
    Changed {
        /// Kind, namespace and name.
        what: String,
    },
    /// The object is being deleted; it comes back once it is gone.
    #[error("{what} is being deleted")]
    Deleting {
        /// Kind, namespace and name.
        what: String,
    },
    /// The namespace is being deleted: nothing can be created in it.
    #[error("namespace {namespace} is being deleted")]
    NamespaceTerminating {
        /// The namespace.
        namespace: String,
    },
    /// The operator may not write.
    #[error("the operator is read-only")]
    ReadOnly,
    /// No answer in time; whether the write was done is not known.
    #[error("no answer within {seconds} s to {verb} {what}")]
    Timeout {
        /// What was asked.
        verb: &'static str,
        /// Of which object.
        what: String,
        /// The deadline.
        seconds: u64,
    },
    /// Any other error of the API server.
    #[error("{verb} {what}: {source}")]
    Api {
        /// What was asked.
        verb: &'static str,
        /// Of which object.
        what: String,
        /// The error.
        source: Box<kube::Error>,
    },
}

impl EffectError {
    /// The category for metrics.
    pub fn category(&self) -> ErrorType {
        match self {
            Self::NameConflict { .. } | Self::Changed { .. } | Self::Deleting { .. } => ErrorType::Conflict,
            Self::NamespaceTerminating { .. } | Self::ReadOnly => ErrorType::Forbidden,
            Self::Timeout { .. } => ErrorType::Timeout,
            Self::Api { source, .. } => category(source),
        }
    }

    /// The object was not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Api { source, .. } if matches!(source.as_ref(), kube::Error::Api(status) if status.code == 404))
    }
}

impl From<EffectError> for Failure {
    fn from(error: EffectError) -> Self {
        let failure = Failure::new(error.category(), error.to_string());
        match error {
            EffectError::Changed { .. } => failure.after(Duration::from_millis(200)),
            EffectError::Deleting { .. } => failure.after(Duration::from_secs(2)),
            _ => failure,
        }
    }
}

/// One write.
#[derive(Clone, Debug)]
pub enum Effect {
    /// The object exists as rendered.
    Ensure {
        /// How it shall be.
        manifest: Box<Manifest>,
        /// What was observed of it.
        live: Option<Live>,
    },
    /// The object is gone.
    Delete {
        /// Its kind.
        kind: Kind,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The uid that was decided on.
        uid: String,
        /// The resourceVersion that was decided on.
        resource_version: String,
    },
}

impl Effect {
    /// `kind namespace/name`.
    pub fn label(&self) -> String {
        match self {
            Self::Ensure { manifest, .. } => manifest.label(),
            Self::Delete {
                kind, namespace, name, ..
            } => label(*kind, namespace, name),
        }
    }
}

/// How an effect of a level ended; `None` means that an earlier level failed and it was not tried.
pub type Ended = Option<Result<Written, EffectError>>;

fn label(kind: Kind, namespace: &str, name: &str) -> String {
    format!("{} {namespace}/{name}", kind.kind())
}

// === impl Live ===

impl Live {
    /// Reads it from a whole object.
    pub fn of(object: &Value) -> Self {
        let metadata = &object["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let owner_uid = metadata["ownerReferences"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|owner| owner["controller"] == true)
            .map(|owner| text(&owner["uid"]));
        let labels = metadata["labels"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), text(value)))
            .collect();
        Self {
            uid: text(&metadata["uid"]),
            resource_version: text(&metadata["resourceVersion"]),
            owner_uid,
            labels,
            applied_hash: metadata["annotations"][APPLIED_HASH].as_str().map(str::to_owned),
            update_entry: has_update_entry(metadata),
            deleting: !metadata["deletionTimestamp"].is_null(),
        }
    }

    /// Whether the object belongs to whoever rendered the manifest. A name alone proves nothing.
    fn belongs_to(&self, claim: &Claim) -> bool {
        match claim {
            Claim::Owner(uid) => self.owner_uid.as_deref() == Some(uid),
            Claim::Labels(labels) => {
                self.owner_uid.is_none()
                    && !labels.is_empty()
                    && labels.iter().all(|(key, value)| self.labels.get(key) == Some(value))
            }
        }
    }
}

// === impl Executor ===

impl Executor {
    /// An executor that writes through `client`.
    pub fn new(client: Client, options: Options) -> Self {
        Self {
            client,
            options,
            cache: None,
        }
    }

    /// Tells the cache of every write, so that no later read is older than it.
    #[must_use]
    pub fn telling(mut self, cache: Router) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Tells the cache what a write made of an object.
    fn tell(&self, kind: Kind, object: &Value) {
        let metadata = &object["metadata"];
        if let (Some(cache), Some(namespace), Some(name), Some(version)) = (
            &self.cache,
            metadata["namespace"].as_str(),
            metadata["name"].as_str(),
            metadata["resourceVersion"].as_str(),
        ) {
            cache.wrote(kind, namespace, name, version);
        }
    }

    /// Whether it may write now.
    pub fn read_only(&self) -> bool {
        self.options.read_only.load(Ordering::Relaxed)
    }

    fn may_write(&self) -> Result<(), EffectError> {
        if self.read_only() {
            Err(EffectError::ReadOnly)
        } else {
            Ok(())
        }
    }

    /// Sends one request under the deadline and counts it.
    async fn send(
        &self,
        verb: &'static str,
        resource: Resource,
        what: &str,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
        requests: &Requests,
    ) -> Result<Value, EffectError> {
        let api = |source: kube::Error| EffectError::Api {
            verb,
            what: what.to_owned(),
            source: Box::new(source),
        };
        let mut request = request.map_err(|error| api(kube::Error::BuildRequest(error)))?;
        // The verb is what the metrics layer reads, as for requests of kube's own `Api`.
        request.extensions_mut().insert(verb);
        requests.count(verb, resource.kind.plural());
        match tokio::time::timeout(self.options.deadline, self.client.request::<Value>(request)).await {
            Err(_) => Err(EffectError::Timeout {
                verb,
                what: what.to_owned(),
                seconds: self.options.deadline.as_secs(),
            }),
            Ok(Err(kube::Error::Api(status))) if status.code == 403 && terminating(&status) => {
                Err(EffectError::NamespaceTerminating {
                    namespace: what
                        .split_once(' ')
                        .and_then(|(_, name)| name.split_once('/'))
                        .map_or(String::new(), |(namespace, _)| namespace.to_owned()),
                })
            }
            Ok(answer) => {
                if verb != "get"
                    && let Ok(object) = &answer
                {
                    self.tell(resource.kind, object);
                }
                answer.map_err(api)
            }
        }
    }

    /// Reads an object from the API server, past every cache.
    pub async fn get(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        requests: &Requests,
    ) -> Result<Option<Value>, EffectError> {
        let resource = Resource::of(kind);
        let what = label(kind, namespace, name);
        let request = Request::new(resource.collection(namespace)).get(name, &GetParams::default());
        match self.send("get", resource, &what, request, requests).await {
            Err(error) if error.is_not_found() => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Makes the object what the manifest says: creates it, applies it, or does nothing where the hash of
    /// what we wrote last is the same.
    pub async fn ensure(
        &self,
        manifest: &Manifest,
        live: Option<&Live>,
        requests: &Requests,
    ) -> Result<Written, EffectError> {
        match live {
            Some(live) => self.change(manifest, live, None, requests).await,
            None => self.create(manifest, requests).await,
        }
    }

    /// Creates the object. If the name is taken, the owner decides.
    async fn create(&self, manifest: &Manifest, requests: &Requests) -> Result<Written, EffectError> {
        self.may_write()?;
        let what = manifest.label();
        let parameters = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        let body = serde_json::to_vec(&manifest.body).map_err(|source| EffectError::Api {
            verb: "create",
            what: what.clone(),
            source: Box::new(kube::Error::SerdeError(source)),
        })?;
        let request = Request::new(manifest.resource.collection(&manifest.namespace)).create(&parameters, body);
        match self.send("create", manifest.resource, &what, request, requests).await {
            Ok(object) => Ok(Written::new(How::Created, object)),
            Err(error) if already_exists(&error) => {
                let found = self
                    .get(manifest.resource.kind, &manifest.namespace, &manifest.name, requests)
                    .await?;
                // Gone again between the two requests: the next run creates it.
                let object = found.ok_or(EffectError::Changed { what })?;
                let live = Live::of(&object);
                self.change(manifest, &live, Some(object), requests).await
            }
            Err(error) => Err(error),
        }
    }

    /// Applies the manifest to an object that is there. `object` is the whole object if it was just read.
    async fn change(
        &self,
        manifest: &Manifest,
        live: &Live,
        object: Option<Value>,
        requests: &Requests,
    ) -> Result<Written, EffectError> {
        let what = manifest.label();
        if !live.belongs_to(&manifest.claim) {
            return Err(EffectError::NameConflict { what });
        }
        if live.deleting {
            return Err(EffectError::Deleting { what });
        }
        if live.applied_hash.as_ref() == Some(&manifest.hash) {
            return Ok(Written {
                how: How::Unchanged,
                uid: live.uid.clone(),
                resource_version: live.resource_version.clone(),
                object: Value::Null,
            });
        }
        self.may_write()?;
        match self.apply(manifest, live, object, requests).await {
            // Another writer, such as the StatefulSet controller with its status, was faster than our view.
            // What we want depends on uid and owner only, so they are read anew and it is tried once more.
            Err(EffectError::Changed { .. }) => {
                let found = self
                    .get(manifest.resource.kind, &manifest.namespace, &manifest.name, requests)
                    .await?;
                let object = found.ok_or_else(|| EffectError::Changed { what: what.clone() })?;
                let fresh = Live::of(&object);
                if fresh.uid != live.uid {
                    return Err(EffectError::Changed { what });
                }
                if !fresh.belongs_to(&manifest.claim) {
                    return Err(EffectError::NameConflict { what });
                }
                if fresh.deleting {
                    return Err(EffectError::Deleting { what });
                }
                self.apply(manifest, &fresh, Some(object), requests).await
            }
            done => done,
        }
    }

    async fn apply(
        &self,
        manifest: &Manifest,
        live: &Live,
        object: Option<Value>,
        requests: &Requests,
    ) -> Result<Written, EffectError> {
        let what = manifest.label();
        let mut resource_version = live.resource_version.clone();
        if live.update_entry {
            let object = match object {
                Some(object) => object,
                None => self
                    .get(manifest.resource.kind, &manifest.namespace, &manifest.name, requests)
                    .await?
                    .ok_or_else(|| EffectError::Changed { what: what.clone() })?,
            };
            let seen = Live::of(&object);
            if seen.uid != live.uid || !seen.belongs_to(&manifest.claim) {
                return Err(EffectError::Changed { what });
            }
            resource_version.clone_from(&seen.resource_version);
            if let Some(entries) = hand_over(&object["metadata"]) {
                let operations = json!([
                    {"op": "test", "path": "/metadata/resourceVersion", "value": seen.resource_version},
                    {"op": "replace", "path": "/metadata/managedFields", "value": entries},
                ]);
                let answer = self
                    .patch_json(
                        manifest.resource.kind,
                        &manifest.namespace,
                        &manifest.name,
                        operations,
                        requests,
                    )
                    .await?;
                resource_version = Live::of(&answer).resource_version;
            }
        }
        let mut body = manifest.body.clone();
        body["metadata"]["uid"] = live.uid.clone().into();
        body["metadata"]["resourceVersion"] = resource_version.into();
        let request = Request::new(manifest.resource.collection(&manifest.namespace)).patch(
            &manifest.name,
            &PatchParams::apply(MANAGER).force(),
            &Patch::Apply(&body),
        );
        match self.send("patch", manifest.resource, &what, request, requests).await {
            Ok(object) => Ok(Written::new(How::Applied, object)),
            Err(error) if lost_race(&error) => Err(EffectError::Changed { what }),
            Err(error) => Err(error),
        }
    }

    /// Sends a JSON patch; a failed `test` is [`EffectError::Changed`].
    pub async fn patch_json(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        operations: Value,
        requests: &Requests,
    ) -> Result<Value, EffectError> {
        self.may_write()?;
        let resource = Resource::of(kind);
        let what = label(kind, namespace, name);
        let patch = serde_json::from_value(operations).map_err(|source| EffectError::Api {
            verb: "patch",
            what: what.clone(),
            source: Box::new(kube::Error::SerdeError(source)),
        })?;
        let parameters = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let request =
            Request::new(resource.collection(namespace)).patch(name, &parameters, &Patch::<Value>::Json(patch));
        match self.send("patch", resource, &what, request, requests).await {
            // A failed test is 422 on a real API server; a lost write is 409.
            Err(error) if lost_race(&error) || error.category() == ErrorType::Validation => {
                Err(EffectError::Changed { what })
            }
            answer => answer,
        }
    }

    /// Creates an object that stands for itself, without hash and owner, such as an Event.
    pub async fn post(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        body: &Value,
        requests: &Requests,
    ) -> Result<Value, EffectError> {
        self.may_write()?;
        let resource = Resource::of(kind);
        let parameters = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        let request = Request::new(resource.collection(namespace)).create(&parameters, body.to_string().into_bytes());
        self.send("create", resource, &label(kind, namespace, name), request, requests)
            .await
    }

    /// Sends a merge patch, for objects that have no other writer, such as our Events.
    pub async fn patch_merge(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        body: &Value,
        requests: &Requests,
    ) -> Result<Value, EffectError> {
        self.may_write()?;
        let resource = Resource::of(kind);
        let parameters = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let request = Request::new(resource.collection(namespace)).patch(name, &parameters, &Patch::Merge(body));
        self.send("patch", resource, &label(kind, namespace, name), request, requests)
            .await
    }

    /// Applies a whole status on the subresource. `uid` guards against an object that was created anew.
    pub async fn apply_status(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        uid: &str,
        status: &Value,
        requests: &Requests,
    ) -> Result<Value, EffectError> {
        self.may_write()?;
        let resource = Resource::of(kind);
        let what = label(kind, namespace, name);
        let body = json!({
            "apiVersion": resource.api_version(),
            "kind": kind.kind(),
            "metadata": {"name": name, "namespace": namespace, "uid": uid},
            "status": status,
        });
        let request = Request::new(resource.collection(namespace)).patch_subresource(
            "status",
            name,
            &PatchParams::apply(MANAGER).force(),
            &Patch::Apply(&body),
        );
        match self.send("patch", resource, &what, request, requests).await {
            Err(error) if lost_race(&error) => Err(EffectError::Changed { what }),
            answer => answer,
        }
    }

    /// Deletes the very object that was decided on; gone already is success.
    pub async fn delete(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        uid: &str,
        resource_version: &str,
        requests: &Requests,
    ) -> Result<(), EffectError> {
        self.may_write()?;
        let resource = Resource::of(kind);
        let what = label(kind, namespace, name);
        let parameters = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: Some(resource_version.to_owned()),
            }),
            ..DeleteParams::default()
        };
        let request = Request::new(resource.collection(namespace)).delete(name, &parameters);
        match self.send("delete", resource, &what, request, requests).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) if lost_race(&error) => Err(EffectError::Changed { what }),
            Err(error) => Err(error),
        }
    }

    /// Performs the levels one after the other, the effects of one level in parallel (one by one without
    /// batching). A level with an error ends it: what comes later depends on it.
    pub async fn perform(&self, levels: &[Vec<Effect>], requests: &Requests) -> Vec<Vec<Ended>> {
        let mut ended: Vec<Vec<Ended>> = Vec::with_capacity(levels.len());
        let mut healthy = true;
        for level in levels {
            if !healthy {
                ended.push(level.iter().map(|_| None).collect());
                continue;
            }
            let results: Vec<Result<Written, EffectError>> = if self.options.batch {
                futures::future::join_all(level.iter().map(|effect| self.one(effect, requests))).await
            } else {
                let mut results = Vec::with_capacity(level.len());
                for effect in level {
                    results.push(self.one(effect, requests).await);
                }
                results
            };
            healthy = results.iter().all(Result::is_ok);
            ended.push(results.into_iter().map(Some).collect());
        }
        ended
    }

    async fn one(&self, effect: &Effect, requests: &Requests) -> Result<Written, EffectError> {
        match effect {
            Effect::Ensure { manifest, live } => self.ensure(manifest, live.as_ref(), requests).await,
            Effect::Delete {
                kind,
                namespace,
                name,
                uid,
                resource_version,
            } => self
                .delete(*kind, namespace, name, uid, resource_version, requests)
                .await
                .map(|()| Written {
                    how: How::Applied,
                    uid: uid.clone(),
                    resource_version: resource_version.clone(),
                    object: Value::Null,
                }),
        }
    }
}

// === impl Written ===

impl Written {
    fn new(how: How, object: Value) -> Self {
        let live = Live::of(&object);
        Self {
            how,
            uid: live.uid,
            resource_version: live.resource_version,
            object,
        }
    }
}

fn already_exists(error: &EffectError) -> bool {
    matches!(error, EffectError::Api { source, .. }
        if matches!(source.as_ref(), kube::Error::Api(status) if status.code == 409 && status.reason == "AlreadyExists"))
}

/// The write met another state than the one that was decided on: stale resourceVersion (409), or another
/// uid (409, or 422 "field is immutable" where an object of that name exists).
fn lost_race(error: &EffectError) -> bool {
    let EffectError::Api { source, .. } = error else {
        return false;
    };
    let kube::Error::Api(status) = source.as_ref() else {
        return false;
    };
    let causes = status.details.as_ref().map(|details| details.causes.as_slice());
    match status.code {
        409 => !causes
            .unwrap_or_default()
            .iter()
            .any(|cause| cause.reason == "FieldManagerConflict"),
        422 => causes
            .unwrap_or_default()
            .iter()
            .any(|cause| cause.field == "metadata.uid"),
        _ => false,
    }
}

fn terminating(status: &kube::core::Status) -> bool {
    status.details.as_ref().is_some_and(|details| {
        details
            .causes
            .iter()
            .any(|cause| cause.reason == "NamespaceTerminating")
    })
}
