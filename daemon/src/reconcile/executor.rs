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
    MANAGER, Manifest, Requests, Resource,
    effect::{
        Effect, EffectError, Ended, How, Live, Written, already_exists, failed_test, label, lost_race, terminating,
    },
    managed_fields::hand_over,
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
        if let Some(cache) = &self.cache {
            cache.wrote(kind, &object["metadata"]);
        }
    }

    /// Whether it may write now.
    pub fn read_only(&self) -> bool {
        self.options.read_only.load(Ordering::Relaxed)
    }

    /// The switch that decides it, for whoever else changes something.
    pub fn read_only_switch(&self) -> &Arc<AtomicBool> {
        &self.options.read_only
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
                let object = found.ok_or(EffectError::Changed { what: what.clone() })?;
                let live = Live::of(&object);
                if self.label_again(manifest, &live, requests).await? {
                    return Err(EffectError::Changed { what });
                }
                self.change(manifest, &live, Some(object), requests).await
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the object is there and ours, though our view does not show it; its labels are put back then.
    ///
    /// # Errors
    /// [`EffectError::Unlabelled`] where they do not stay.
    pub async fn found_again(&self, manifest: &Manifest, requests: &Requests) -> Result<bool, EffectError> {
        let found = self
            .get(manifest.resource.kind, &manifest.namespace, &manifest.name, requests)
            .await?;
        let Some(live) = found.as_ref().map(Live::of) else {
            return Ok(false);
        };
        if self.label_again(manifest, &live, requests).await? {
            return Ok(true);
        }
        if live.belongs_to(&manifest.claim) && !live.deleting && lost_labels(manifest, &live) {
            let what = manifest.label();
            return Err(EffectError::Unlabelled { what });
        }
        Ok(false)
    }

    /// Gives an object of ours the labels back by which it is found, and leaves all else to a pass that sees it: what was
    /// decided without it may not be applied to it. False where it has them, is not ours, or does not keep them.
    async fn label_again(&self, manifest: &Manifest, live: &Live, requests: &Requests) -> Result<bool, EffectError> {
        if !live.belongs_to(&manifest.claim) || live.deleting || !lost_labels(manifest, live) {
            return Ok(false);
        }
        self.may_write()?;
        let what = manifest.label();
        let body = json!({"metadata": {
            "uid": live.uid,
            "resourceVersion": live.resource_version,
            "labels": manifest.body["metadata"]["labels"],
        }});
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let request = Request::new(manifest.resource.collection(&manifest.namespace)).patch(
            &manifest.name,
            &params,
            &Patch::Merge(&body),
        );
        match self.send("patch", manifest.resource, &what, request, requests).await {
            Err(error) if lost_race(&error) => Err(EffectError::Changed { what }),
            answer => Ok(!lost_labels(manifest, &Live::of(&answer?))),
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
            Err(error) if lost_race(&error) || failed_test(&error) => Err(EffectError::Changed { what }),
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

/// Whether a label that we declare is missing, or another.
fn lost_labels(manifest: &Manifest, live: &Live) -> bool {
    let declared = manifest.body["metadata"]["labels"].as_object().into_iter().flatten();
    let mut declared = declared.filter_map(|(key, value)| Some((key, value.as_str()?)));
    declared.any(|(key, value)| live.labels.get(key).is_none_or(|label| label != value))
}

#[cfg(test)]
mod tests;
