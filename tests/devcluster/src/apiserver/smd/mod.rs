//! Server-side apply: who owns which field, and what an apply or an update does to an object and to that ownership.
//!
//! The algorithm is that of sigs.k8s.io/structured-merge-diff as kube-apiserver 1.36 calls it, on `serde_json::Value` and with one
//! version per kind. [`path`] holds field sets, [`fields_v1`] their JSON form, [`types`] the typed schema (from [`table`] or
//! [`convert`]), [`walk`] and [`merge`] the walks over typed values, [`managed`] the entries of `metadata.managedFields`; this file
//! joins them into the two operations that a request needs. It leaves defaulting, validation and preconditions to the caller.

use serde_json::Value;

use self::{
    managed::{Entry, Given, Operation, Owner, Owners},
    merge::Comparison,
    path::Set,
};

mod convert;
mod fields_v1;
mod managed;
mod merge;
mod path;
mod table;
#[cfg(test)]
mod tests;
pub(super) mod types;
mod walk;

pub use types::TypeSchema;

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

impl Writer<'_> {
    fn time(&self) -> String {
        self.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}

/// One field that another manager owns with another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The path as the server prints it: `.spec.ports[port=80,protocol="TCP"]`.
    pub field: String,
    /// `conflict with "a"`, and for an Update entry the version.
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
/// `resourceVersion` are the caller's to check. Where the configuration changes nothing, the entry keeps its time.
pub fn apply(
    live: Option<&Value>,
    applied: &Value,
    writer: Writer<'_>,
    force: bool,
    schema: &TypeSchema,
) -> Result<Value, ApplyError> {
    if applied.pointer("/metadata/managedFields").is_some_and(|m| !m.is_null()) {
        return Err(ApplyError::BadRequest("metadata.managedFields must be nil".into()));
    }
    let (types, root) = (&*schema.schema, schema.root);
    let problems = walk::errors(types, root, applied);
    if !problems.is_empty() {
        return Err(ApplyError::Untyped(format!(
            "failed to create typed patch object ({}): {}",
            describe(applied),
            join(&problems)
        )));
    }
    let mut owners = managed::owners(live);
    let live = live.map_or_else(|| Value::Object(serde_json::Map::new()), without_managed_fields);
    if owners.is_empty() {
        // Nobody is known to own what is there: it belongs to those who came before the first apply.
        let before = Owner::new(
            "before-first-apply",
            Operation::Update,
            writer.api_version,
            writer.subresource,
        );
        let ignored = ignored(schema, writer.subresource);
        let change = merge::compare(types, root, &schema.empty(), &live).without(&ignored);
        let set = change.added.union(&change.modified);
        if live.as_object().is_some_and(|o| !o.is_empty()) {
            owners.insert(
                before,
                Entry {
                    set,
                    version: writer.api_version.into(),
                    time: Some(writer.time()),
                },
            );
            managed::strip(&mut owners);
        }
    }

    let me = Owner::new(writer.manager, Operation::Apply, writer.api_version, writer.subresource);
    let last = owners.get(&me).cloned();
    let merged = merge::merge(types, root, &live, applied);
    let ignored = ignored(schema, writer.subresource);
    let set = walk::paths(types, root, applied).recursive_difference(&ignored);
    let time = last.as_ref().and_then(|l| l.time.clone());
    owners.insert(
        me.clone(),
        Entry {
            set,
            version: writer.api_version.into(),
            time,
        },
    );
    let mut new = match &last {
        Some(last) if !last.set.is_empty() => prune(schema, &merged, &owners, &last.set),
        _ => merged,
    };
    let change = merge::compare(types, root, &live, &new).without(&ignored);
    disown(&mut owners, &me, &change, force)?;
    if !path::equal(&live, &new)
        && let Some(entry) = owners.get_mut(&me)
    {
        entry.time = Some(writer.time());
    }
    managed::strip(&mut owners);
    managed::cap(&mut owners);
    managed::write(&mut new, &owners);
    Ok(new)
}

/// Rewrites the `managedFields` of `new` after a POST (`old` is `None`), PUT or patch that led from `old` to `new`.
///
/// Call it after defaulting and before the server fills in its own fields (allocated addresses, times, uid). Objects of built-in kinds
/// must be canonical ([`TypeSchema::canonicalize`]).
pub fn track_update(old: Option<&Value>, new: &mut Value, writer: Writer<'_>, schema: &TypeSchema) {
    let given = match old {
        None => Given::Reset, // what a POST says about ownership is ignored
        Some(_) if !writer.subresource.is_empty() => Given::Absent,
        Some(_) => managed::given(new),
    };
    let mut owners = match given {
        Given::Absent => managed::owners(old),
        Given::Reset => Owners::new(),
        Given::Owners(owners) => owners,
    };
    if owners.is_empty() && old.is_some() {
        // Ownership was cleared: it is not tracked again until someone applies.
        managed::write(new, &owners);
        return;
    }
    let (types, root) = (&*schema.schema, schema.root);
    let before = old.map_or_else(|| schema.empty(), without_managed_fields);
    let after = without_managed_fields(new);
    let ignored = ignored(schema, writer.subresource);
    let change = merge::compare(types, root, &before, &after).without(&ignored);
    let nobody = Owner {
        manager: String::new(),
        ..Owner::new("-", Operation::Update, "", "")
    };
    // Forced, so there is no conflict to report.
    if disown(&mut owners, &nobody, &change, true).is_err() {
        return;
    }
    let mut mine = Owners::new();
    let me = Owner::new(
        writer.manager,
        Operation::Update,
        writer.api_version,
        writer.subresource,
    );
    // The scale subresource has no clock: the real one records no time for it.
    let time = (writer.subresource != "scale").then(|| writer.time());
    let set = change.modified.union(&change.added);
    mine.insert(
        me,
        Entry {
            set,
            version: writer.api_version.into(),
            time,
        },
    );
    managed::strip(&mut mine);
    managed::strip(&mut owners);
    for (owner, entry) in mine {
        let known = owners.entry(owner).or_default();
        *known = Entry {
            set: entry.set.union(&known.set),
            ..entry
        };
    }
    managed::cap(&mut owners);
    managed::write(new, &owners);
}

/// Whether two objects are equal but for the times in `managedFields`: then a write is no write (D2).
pub fn same_but_times(a: &Value, b: &Value) -> bool {
    fn timeless(object: &Value) -> Value {
        let mut object = object.clone();
        if let Some(Value::Array(entries)) = object.pointer_mut("/metadata/managedFields") {
            for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
                entry.remove("time");
            }
            entries.sort_by_key(ToString::to_string);
        }
        object
    }
    path::equal(&timeless(a), &timeless(b))
}

/// What this endpoint does not write, so that nobody owns it through it.
fn ignored(schema: &TypeSchema, subresource: &str) -> Set {
    match subresource {
        "" if schema.status => Set::of_fields(&[&["status"]]),
        "status" => {
            let fields = schema.schema.atom(schema.root).map.as_ref().map(|m| m.fields.keys());
            let mut set = Set::default();
            for name in fields.into_iter().flatten().filter(|name| *name != "status") {
                set.insert(&[path::Step::Field(name.clone())]);
            }
            set
        }
        _ => Set::default(),
    }
}

/// Takes changed and removed fields from everybody else; without `force`, owners of changed fields refuse.
fn disown(owners: &mut Owners, me: &Owner, change: &Comparison, force: bool) -> Result<(), ApplyError> {
    let touched = change.modified.union(&change.added);
    let mut conflicts: Vec<(String, Vec<String>)> = Vec::new();
    for (owner, entry) in owners.iter_mut().filter(|(owner, _)| *owner != me) {
        let taken = entry.set.intersection(&touched);
        if !taken.is_empty() {
            conflicts.push((owner.to_string(), taken.paths()));
            entry.set = entry.set.difference(&taken);
        }
        entry.set = entry.set.difference(&change.removed);
    }
    owners.retain(|_, entry| !entry.set.is_empty());
    if force || conflicts.is_empty() {
        Ok(())
    } else {
        Err(refusal(&conflicts))
    }
}

fn refusal(conflicts: &[(String, Vec<String>)]) -> ApplyError {
    let causes: Vec<Conflict> = conflicts
        .iter()
        .flat_map(|(owner, fields)| {
            fields.iter().map(move |f| Conflict {
                field: f.clone(),
                message: format!("conflict with {owner}"),
            })
        })
        .collect();
    let message = match causes.as_slice() {
        [only] => format!("Apply failed with 1 conflict: {}: {}", only.message, only.field),
        many => {
            let lines: Vec<String> = conflicts
                .iter()
                .flat_map(|(owner, fields)| {
                    std::iter::once(format!("conflicts with {owner}:")).chain(fields.iter().map(|f| format!("- {f}")))
                })
                .collect();
            format!("Apply failed with {} conflicts: {}", many.len(), lines.join("\n"))
        }
    };
    ApplyError::Conflict { message, causes }
}

/// Removes from `merged` what the manager applied last time, unless somebody (the manager's new configuration included) owns it.
fn prune(schema: &TypeSchema, merged: &Value, owners: &Owners, last: &Set) -> Value {
    let (types, root) = (&*schema.schema, schema.root);
    let named = |set: &Set| walk::with_named_fields(types, Some(root), set);
    let all = |value: &Value| named(&walk::paths(types, root, value));
    let mut pruned = walk::remove(types, root, merged, &named(last));
    let everything = all(merged);
    let owned = owners.values().fold(Set::default(), |set, entry| set.union(&entry.set));
    // Back comes what somebody owns …
    let gone = everything.difference(&all(&pruned).union(&named(&owned)));
    pruned = walk::remove(types, root, merged, &gone);
    // … and what went with a parent although the last configuration never had it.
    let gone = everything.difference(&all(&pruned)).intersection(&named(last));
    walk::remove(types, root, merged, &gone)
}

fn without_managed_fields(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(Value::Object(meta)) = object.get_mut("metadata") {
        meta.remove("managedFields");
    }
    object
}

/// `namespace/name; group/version, Kind=kind`, as the server names an object that it cannot type.
fn describe(object: &Value) -> String {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let version = text("/apiVersion");
    let group_version = if version.contains('/') {
        version
    } else {
        format!("/{version}")
    };
    format!(
        "{}/{}; {group_version}, Kind={}",
        text("/metadata/namespace"),
        text("/metadata/name"),
        text("/kind")
    )
}

fn join(problems: &[String]) -> String {
    match problems {
        [only] => only.clone(),
        many => format!("errors:\n  {}", many.join("\n  ")),
    }
}
