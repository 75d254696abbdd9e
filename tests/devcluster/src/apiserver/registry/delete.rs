//! Deletion: preconditions, grace, finalizers, propagation.
//!
//! What has finalizers or grace left is marked and stays; whoever takes the last one away deletes it in that same request. The policies
//! Foreground and Orphan are finalizers too, for the garbage collector to work off.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    super::{clock::seconds, deviation::Deviation, schema::FieldError, status::Failure, store::Object},
    Call, ListOptions, Registry, Stop, definitions, meta, present, rules,
};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";
/// Namespaces that no cluster is without.
const LASTING: [&str; 2] = ["default", "kube-system"];
const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";
/// How often a delete starts over when others write at the same time.
const ATTEMPTS: usize = 100;

/// What becomes of the dependants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// The options of a delete, from its body or its parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::apiserver) struct DeleteOptions {
    grace_seconds: Option<i64>,
    propagation: Option<Propagation>,
    uid: Option<String>,
    resource_version: Option<String>,
    pub(in crate::apiserver) dry_run: bool,
}

impl DeleteOptions {
    /// Reads a `DeleteOptions` object.
    pub(in crate::apiserver) fn read(body: &Value) -> Result<Self, Failure> {
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let orphan = body.get("orphanDependents").and_then(Value::as_bool);
        let propagation = match (text("/propagationPolicy").as_deref(), orphan) {
            (Some("Background"), None) | (None, Some(false)) => Some(Propagation::Background),
            (Some("Foreground"), None) => Some(Propagation::Foreground),
            (Some("Orphan"), None) | (None, Some(true)) => Some(Propagation::Orphan),
            (None, None) => None,
            (Some(given), Some(_)) => {
                let what = "orphanDependents and deletionPropagation cannot be both set";
                return Err(refused(&FieldError::invalid("propagationPolicy", &json!(given), what)));
            }
            (Some(other), None) => {
                let supported = ["Foreground", "Background", "Orphan", "nil"];
                let error = FieldError::not_supported("propagationPolicy", &json!(other), &supported);
                return Err(refused(&error));
            }
        };
        if body.get("gracePeriodSeconds").is_some_and(Value::is_string) {
            return Err(Failure::bad_request(
                "json: cannot unmarshal string into Go struct field DeleteOptions.gracePeriodSeconds of type int64",
            ));
        }
        let dry_run = body.get("dryRun").filter(|d| !d.is_null() && **d != json!([]));
        if let Some(given) = dry_run.filter(|d| **d != json!(["All"])) {
            return Err(refused(&FieldError::not_supported("dryRun", given, &["All"])));
        }
        Ok(Self {
            grace_seconds: body.get("gracePeriodSeconds").and_then(Value::as_i64),
            propagation,
            uid: text("/preconditions/uid"),
            resource_version: text("/preconditions/resourceVersion"),
            dry_run: dry_run.is_some(),
        })
    }

    /// Whether only a certain version may be deleted.
    pub(super) fn names_version(&self) -> bool {
        self.resource_version.is_some()
    }

    /// The same for this version only.
    pub(super) fn exactly(self, version: u64) -> Self {
        Self {
            resource_version: Some(version.to_string()),
            ..self
        }
    }

    pub(super) fn check(&self, call: &Call, seen: &Object) -> Result<(), Failure> {
        let refuse = |why: String| {
            Err(Failure::conflict(
                &call.resource.group,
                &call.resource.kind,
                &call.name,
                &why,
            ))
        };
        let uid = meta::text(&seen.value, "uid");
        if let Some(wanted) = self.uid.as_deref().filter(|w| *w != uid) {
            return refuse(format!(
                "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
            ));
        }
        let version = seen.resource_version.to_string();
        if let Some(wanted) = self.resource_version.as_deref().filter(|w| *w != version) {
            return refuse(format!(
                "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({version}). The object might have been modified"
            ));
        }
        Ok(())
    }
}

fn refused(error: &FieldError) -> Failure {
    Failure::invalid("meta.k8s.io", "DeleteOptions", "", std::slice::from_ref(error))
}

/// What a delete comes to.
enum Step {
    /// It was marked before, and nothing is new.
    Nothing,
    Mark(Value),
    Remove,
}

impl Registry {
    /// DELETE of one object. The answer is the object where it stays for now, else a Status.
    pub(in crate::apiserver) async fn delete(&self, call: &Call, options: &DeleteOptions) -> Result<Value, Stop> {
        let dry_run = call.dry_run || options.dry_run;
        if call.resource.is("namespaces") && LASTING.contains(&call.name.as_str()) {
            let why = "this namespace may not be deleted";
            return Err(Failure::forbidden("", "namespaces", &call.name, why, None).into());
        }
        for _ in 0..ATTEMPTS {
            let seen = self.store.get(&call.key()).ok_or_else(|| call.missing())?;
            options.check(call, &seen)?;
            let shown = present::shown(&call.resource, &seen);
            let committed = match self.next_step(call, &shown, options) {
                Step::Nothing => return Ok(shown),
                Step::Mark(marked) => {
                    if dry_run {
                        return Ok(marked);
                    }
                    self.before_commit(call).await?;
                    let stored = present::stored(&call.resource, marked);
                    self.store
                        .update(&seen, stored)
                        .map(|object| present::shown(&call.resource, &object))
                }
                Step::Remove => {
                    let seen = self.end_grace(call, seen, dry_run);
                    let answer = |object: &Object| {
                        if call.resource.returns_deleted {
                            present::shown(&call.resource, object)
                        } else {
                            success(call, meta::text(&object.value, "uid"))
                        }
                    };
                    if dry_run {
                        return Ok(answer(&seen));
                    }
                    self.before_commit(call).await?;
                    self.store.delete(&seen).map(|last| answer(&last))
                }
            };
            if let Ok(answer) = committed {
                self.settle(call);
                self.after_commit(call).await?;
                return Ok(answer);
            }
        }
        Err(Failure::internal("the object changed at every attempt").into())
    }

    /// DELETE of a collection: every object that the selectors find. The answer lists what was found.
    pub(in crate::apiserver) async fn delete_collection(
        &self,
        call: &Call,
        list: &ListOptions,
        options: &DeleteOptions,
    ) -> Result<Value, Stop> {
        let found = self.list(call, list).await?;
        for item in &found.items {
            let one = Call {
                namespace: item.key.namespace.clone(),
                name: item.key.name.clone(),
                ..call.clone()
            };
            match self.delete(&one, options).await {
                // Gone already, or changed under a precondition: the others still go.
                Ok(_) => {}
                Err(Stop::Failure(failure)) if failure.code == 404 => {}
                Err(stop) => return Err(stop),
            }
        }
        Ok(found.into_list(&call.resource))
    }

    /// A pod that was to end later ends now: that is a change of its own before the deletion.
    fn end_grace(&self, call: &Call, seen: Arc<Object>, dry_run: bool) -> Arc<Object> {
        let left = seen.value["metadata"]["deletionGracePeriodSeconds"].as_i64();
        if dry_run || left.is_none_or(|left| left == 0) {
            return seen;
        }
        let old = present::shown(&call.resource, &seen);
        let mut new = old.clone();
        shorten(&mut new, &old, 0);
        let stored = self.store.update(&seen, present::stored(&call.resource, new));
        stored.unwrap_or(seen)
    }

    fn next_step(&self, call: &Call, old: &Value, options: &DeleteOptions) -> Step {
        let resource = &call.resource;
        let mut new = old.clone();
        let now = self.clock.now();
        let mut finalizers: Vec<String> = meta::finalizers(old).into_iter().map(str::to_owned).collect();
        if let Some(propagation) = options.propagation {
            finalizers.retain(|f| f != ORPHAN && f != FOREGROUND);
            match propagation {
                Propagation::Background => {}
                Propagation::Foreground => finalizers.push(FOREGROUND.into()),
                Propagation::Orphan => finalizers.push(ORPHAN.into()),
            }
        }
        if resource.is(DEFINITIONS) {
            definitions::mark_terminating(&mut new, &mut finalizers, now);
        }
        let grace = rules::grace_seconds(resource, old, options.grace_seconds);
        let waits = resource.is("namespaces") && !rules::may_go(resource, &marked(old));
        let finalizers: Value = if finalizers.is_empty() {
            Value::Null
        } else {
            json!(finalizers)
        };
        let stays = grace > 0 || !finalizers.is_null() || waits;
        if !stays {
            return Step::Remove;
        }
        meta::set(&mut new, "finalizers", finalizers);
        let was = old
            .pointer("/metadata/deletionGracePeriodSeconds")
            .and_then(Value::as_i64);
        if meta::is_terminating(old) {
            if was.is_some_and(|was| grace < was) {
                shorten(&mut new, old, grace);
            }
        } else {
            let end = now.checked_add(jiff::SignedDuration::from_secs(grace)).unwrap_or(now);
            meta::set(&mut new, "deletionTimestamp", json!(seconds(end)));
            let definition = resource.is(DEFINITIONS);
            if waits {
                new["status"]["phase"] = json!("Terminating");
            } else if !definition {
                meta::set(&mut new, "deletionGracePeriodSeconds", json!(grace));
            }
            if meta::generation(old) > 0 && !definition && !self.planted.is(Deviation::DeletionIsNoGeneration) {
                meta::set(&mut new, "generation", json!(meta::generation(old) + 1));
            }
        }
        if new == *old { Step::Nothing } else { Step::Mark(new) }
    }

    /// What a commit sets in motion inside the server.
    pub(super) fn settle(&self, call: &Call) {
        definitions::settle(self, call);
    }
}

/// As if it were marked for deletion with no grace.
fn marked(object: &Value) -> Value {
    let mut object = object.clone();
    meta::set(&mut object, "deletionTimestamp", json!("now"));
    object
}

/// A second delete may only bring the end nearer.
fn shorten(new: &mut Value, old: &Value, grace: i64) {
    let was = old
        .pointer("/metadata/deletionGracePeriodSeconds")
        .and_then(Value::as_i64)
        .unwrap_or(0);
    if let Ok(end) = meta::text(old, "deletionTimestamp").parse::<jiff::Timestamp>()
        && let Ok(sooner) = end.checked_sub(jiff::SignedDuration::from_secs(was - grace))
    {
        meta::set(new, "deletionTimestamp", json!(seconds(sooner)));
        meta::set(new, "deletionGracePeriodSeconds", json!(grace));
    }
}

fn success(call: &Call, uid: &str) -> Value {
    let mut details = serde_json::Map::new();
    details.insert("name".into(), json!(call.name));
    if !call.resource.group.is_empty() {
        details.insert("group".into(), json!(call.resource.group));
    }
    details.insert("kind".into(), json!(call.resource.plural));
    details.insert("uid".into(), json!(uid));
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
