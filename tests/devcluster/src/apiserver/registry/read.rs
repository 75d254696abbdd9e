//! Get and list: versions, selectors, pages.
//!
//! A continue token holds the revision of its first page and the last key sent; a later page lists the store as it was at that revision,
//! for as long as the event ring reaches back to it.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{
    super::{
        deviation::Deviation,
        kinds::Resource,
        selector::{Fields, Labels},
        status::Failure,
        store::{Object, Snapshot},
    },
    Call, Registry, Stop, present, scale,
};

/// How long a read waits for a version that the store has not reached.
const VERSION_WAIT: Duration = Duration::from_secs(3);

/// How `resourceVersion` is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::apiserver) enum Match {
    NotOlderThan,
    Exact,
}

/// The parameters of a list (and of the list that starts a watch).
#[derive(Debug, Clone, Default)]
pub(in crate::apiserver) struct ListOptions {
    pub(in crate::apiserver) labels: Labels,
    pub(in crate::apiserver) fields: Fields,
    /// As given; absent and empty are the same.
    pub(in crate::apiserver) resource_version: String,
    pub(in crate::apiserver) version_match: Option<Match>,
    pub(in crate::apiserver) limit: usize,
    pub(in crate::apiserver) resume: String,
    pub(in crate::apiserver) timeout: Option<Duration>,
}

impl ListOptions {
    /// Whether the selectors pass this (stored) object.
    pub(in crate::apiserver) fn selects(&self, object: &Value) -> bool {
        self.labels.matches(object) && self.fields.matches(object)
    }

    fn is_selective(&self) -> bool {
        !self.labels.is_empty() || !self.fields.is_empty()
    }

    /// The version asked for, 0 where any will do.
    pub(in crate::apiserver) fn version(&self) -> Result<u64, Failure> {
        if self.resource_version.is_empty() {
            return Ok(0);
        }
        self.resource_version.parse().map_err(|_| {
            let given = &self.resource_version;
            Failure::unexpected(format!(
                "resourceVersion: Invalid value: {given:?}: strconv.ParseUint: parsing {given:?}: invalid syntax"
            ))
        })
    }
}

/// One page of a list.
#[derive(Debug)]
pub(in crate::apiserver) struct Page {
    pub(in crate::apiserver) items: Vec<Arc<Object>>,
    pub(in crate::apiserver) revision: u64,
    resume: String,
    remaining: Option<usize>,
}

impl Page {
    /// `metadata` of the list object.
    pub(in crate::apiserver) fn metadata(&self, resource: &Resource) -> Value {
        let mut metadata = json!({"resourceVersion": self.revision.to_string()});
        if !self.resume.is_empty() || resource.custom.is_some() {
            metadata["continue"] = json!(self.resume);
        }
        if let Some(remaining) = self.remaining {
            metadata["remainingItemCount"] = json!(remaining);
        }
        metadata
    }

    /// The list object. Items of built-in lists do not repeat kind and version; those of custom resources do.
    pub(in crate::apiserver) fn into_list(self, resource: &Resource) -> Value {
        let metadata = self.metadata(resource);
        let items: Vec<Value> = self
            .items
            .iter()
            .map(|object| {
                let mut value = present::shown(resource, object);
                if resource.custom.is_none()
                    && let Value::Object(fields) = &mut value
                {
                    fields.shift_remove("apiVersion");
                    fields.shift_remove("kind");
                }
                value
            })
            .collect();
        json!({"kind": resource.list_kind, "apiVersion": resource.api_version(), "metadata": metadata, "items": items})
    }
}

/// What a continue token says. A revision of -1 goes on in the present, without consistency.
struct Resume {
    revision: i64,
    after: (String, String),
}

impl Resume {
    fn encode(revision: i64, last: &Object) -> String {
        let start = format!("{}/{}\0", last.key.namespace, last.key.name);
        URL_SAFE_NO_PAD.encode(json!({"v": "meta.k8s.io/v1", "rv": revision, "start": start}).to_string())
    }

    fn decode(token: &str) -> Result<Self, Failure> {
        let invalid = || Failure::bad_request("continue key is not valid");
        let bytes = URL_SAFE_NO_PAD
            .decode(token.trim_end_matches('='))
            .map_err(|_| invalid())?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|_| {
            let first = bytes.first().copied().map_or('\0', char::from);
            let shown = if first.is_ascii_graphic() { first.to_string() } else { format!("\\u{:04x}", u32::from(first)) };
            Failure::bad_request(format!(
                "invalid continue token: continue key is not valid: invalid character '{shown}' looking for beginning of value"
            ))
        })?;
        let start = value["start"].as_str().ok_or_else(invalid)?;
        let (namespace, name) = start.trim_end_matches('\0').split_once('/').ok_or_else(invalid)?;
        Ok(Self {
            revision: value["rv"].as_i64().ok_or_else(invalid)?,
            after: (namespace.to_owned(), name.to_owned()),
        })
    }
}

impl Registry {
    /// GET of one object, in its stored form.
    pub(in crate::apiserver) async fn get(&self, call: &Call) -> Result<Value, Stop> {
        self.before_read(call).await?;
        let object = self.store.get(&call.key()).ok_or_else(|| call.missing())?;
        let shown = present::shown(&call.resource, &object);
        if call.subresource == "scale" {
            return Ok(scale::view(&call.resource, &shown));
        }
        Ok(shown)
    }

    /// GET of a collection.
    pub(in crate::apiserver) async fn list(&self, call: &Call, options: &ListOptions) -> Result<Page, Stop> {
        self.before_read(call).await?;
        let scope = (!call.namespace.is_empty()).then_some(call.namespace.as_str());
        let id = &call.resource.id;
        let resume = (!options.resume.is_empty())
            .then(|| Resume::decode(&options.resume))
            .transpose()?;
        let version = options
            .version()
            .map_err(|failure| Failure::bad_request(format!("invalid resource version: {}", failure.message)))?;
        if resume.is_some() && version != 0 {
            return Err(Failure::bad_request("specifying resource version is not allowed when using continue").into());
        }
        self.wait_for(version, options.timeout).await?;
        let snapshot = match &resume {
            Some(resume) if resume.revision > 0 && !self.planted.is(Deviation::PagesAreNotPinned) => {
                let revision = resume.revision.unsigned_abs();
                self.store.list_at(id, scope, revision).map_err(|_| {
                    let present = self.store.list(id, scope);
                    expired_page(&present, &resume.after)
                })?
            }
            Some(_) => self.store.list(id, scope),
            None if options.version_match == Some(Match::Exact) => {
                let gone = "The resourceVersion for the provided list is too old.";
                self.store
                    .list_at(id, scope, version)
                    .map_err(|_| Failure::expired(gone))?
            }
            None => self.store.list(id, scope),
        };
        Ok(page(snapshot, options, resume.as_ref()))
    }

    /// Waits until the store has reached `version`; 504 when that takes too long.
    pub(in crate::apiserver) async fn wait_for(&self, version: u64, timeout: Option<Duration>) -> Result<(), Failure> {
        if version <= self.store.revision() {
            return Ok(());
        }
        let mut revisions = self.store.revisions();
        let reached = revisions.wait_for(|revision| *revision >= version);
        let wait = timeout.map_or(VERSION_WAIT, |t| t.min(VERSION_WAIT));
        match tokio::time::timeout(wait, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Failure::version_too_large(version, self.store.revision())),
        }
    }
}

fn page(snapshot: Snapshot, options: &ListOptions, resume: Option<&Resume>) -> Page {
    let after = resume.map(|r| &r.after);
    let mut rest = snapshot
        .objects
        .into_iter()
        .filter(|object| {
            after.is_none_or(|(ns, name)| (&object.key.namespace, &object.key.name) > (ns, name))
                && options.selects(&object.value)
        })
        .peekable();
    // What may come from a cache comes whole.
    let whole = options.limit == 0 || options.resource_version == "0";
    let limit = if whole { usize::MAX } else { options.limit };
    let items: Vec<Arc<Object>> = rest.by_ref().take(limit).collect();
    let (mut token, mut remaining) = (String::new(), None);
    if let (Some(last), true) = (items.last(), rest.peek().is_some()) {
        let pinned = resume.map_or(snapshot.revision as i64, |r| r.revision);
        token = Resume::encode(if pinned < 0 { snapshot.revision as i64 } else { pinned }, last);
        remaining = (!options.is_selective()).then(|| rest.count());
    }
    Page {
        items,
        revision: snapshot.revision,
        resume: token,
        remaining,
    }
}

/// 410 for a page whose snapshot is forgotten, with a token to go on without it.
fn expired_page(present: &Snapshot, after: &(String, String)) -> Failure {
    let mut failure = Failure::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    );
    let start = format!("{}/{}\0", after.0, after.1);
    failure.resume = Some(URL_SAFE_NO_PAD.encode(json!({"v": "meta.k8s.io/v1", "rv": -1, "start": start}).to_string()));
    tracing::debug!(revision = present.revision, "a page came too late");
    failure
}
