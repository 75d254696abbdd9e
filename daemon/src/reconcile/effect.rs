//! The values of writing: one [`Effect`], what has to be known before it ([`Live`]), and how it can end
//! ([`Written`], [`EffectError`]). The [`super::Executor`] performs them.

use std::{collections::BTreeMap, time::Duration};

use neo4j_operator_shared::Kind;
use serde_json::Value;

use super::{
    ErrorType, Failure, Manifest, category,
    managed_fields::has_update_entry,
    manifest::{APPLIED_HASH, Claim},
};

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
    /// The object is ours, and somebody takes away the labels by which it is found.
    #[error("{what} does not keep its labels: somebody else, such as an admission webhook, takes them away")]
    Unlabelled {
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
            Self::NameConflict { .. } | Self::Changed { .. } | Self::Unlabelled { .. } | Self::Deleting { .. } => {
                ErrorType::Conflict
            }
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

pub(super) fn label(kind: Kind, namespace: &str, name: &str) -> String {
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
    pub(super) fn belongs_to(&self, claim: &Claim) -> bool {
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

// === impl Written ===

impl Written {
    pub(super) fn new(how: How, object: Value) -> Self {
        let live = Live::of(&object);
        Self {
            how,
            uid: live.uid,
            resource_version: live.resource_version,
            object,
        }
    }
}

pub(super) fn already_exists(error: &EffectError) -> bool {
    matches!(error, EffectError::Api { source, .. }
        if matches!(source.as_ref(), kube::Error::Api(status) if status.code == 409 && status.reason == "AlreadyExists"))
}

/// The write met another state than the one that was decided on: stale resourceVersion (409), or another
/// uid (409, or 422 "field is immutable" where an object of that name exists).
pub(super) fn lost_race(error: &EffectError) -> bool {
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

/// A JSON patch whose `test` did not hold: 422 that blames no field. One that blames fields is a refusal of the
/// object, which trying again does not heal.
pub(super) fn failed_test(error: &EffectError) -> bool {
    let EffectError::Api { source, .. } = error else {
        return false;
    };
    matches!(source.as_ref(), kube::Error::Api(status) if status.code == 422
        && status.details.as_ref().is_none_or(|details| details.causes.is_empty()))
}

pub(super) fn terminating(status: &kube::core::Status) -> bool {
    status.details.as_ref().is_some_and(|details| {
        details
            .causes
            .iter()
            .any(|cause| cause.reason == "NamespaceTerminating")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_whose_test_failed_is_a_lost_race_and_one_that_blames_a_field_is_not() {
        let refused = |code: u16, details: Value| {
            let status = serde_json::json!({"status": "Failure", "message": "m", "reason": "Invalid",
                "code": code, "details": details});
            EffectError::Api {
                verb: "patch",
                what: "Neo4jDatabase n/d".to_owned(),
                source: Box::new(kube::Error::Api(serde_json::from_value(status).unwrap())),
            }
        };
        let blame = serde_json::json!({"causes": [{"field": "spec.name", "message": "no"}]});
        assert!(
            failed_test(&refused(422, serde_json::json!({}))),
            "as a real server answers"
        );
        assert!(!failed_test(&refused(422, blame)), "trying again does not heal it");
        assert!(!failed_test(&refused(400, serde_json::json!({}))));
    }
}
