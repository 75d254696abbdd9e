//! The way of every write: decode, merge, own, prepare, check, commit.
//!
//! An update reads the object, makes the new one and commits it against the version that it read. Where another write came between,
//! it starts over, unless the client named a version: then the client must decide.

use serde_json::{Value, json};

use super::{
    super::{
        deviation::{Deviation, Planted},
        kinds::Resource,
        schema::{FieldError, errors::quote},
        smd::{self, ApplyError},
        status::{Failure, field_error},
        store::Object,
    },
    Call, Decoded, Registry, Stop, Strictness, decode, definitions, meta,
    patch::{self, Patch},
    present, rules, scale,
};

/// How often a write without a version starts over before it gives up.
const ATTEMPTS: usize = 100;
/// How many generated names are tried.
const NAME_ATTEMPTS: usize = 8;
/// A generated name's base is cut so that the whole has at most 63 characters.
const MAX_BASE: usize = 58;
/// An object may have this many bytes.
const MAX_OBJECT: usize = 1536 * 1024;
/// How the complaint about an amount begins.
const NO_QUANTITY: &str = "quantities must match the regular expression";
/// The longest field manager.
const MAX_MANAGER: usize = 128;

/// What changes an object.
#[derive(Debug, Clone)]
pub(in crate::apiserver) enum Input {
    /// PUT: the whole object.
    Put(Decoded),
    /// PATCH in one of the three formats that name changes.
    Patch(Patch),
    /// PATCH by server-side apply.
    Apply(Decoded),
}

/// A write that was done.
#[derive(Debug, Clone)]
pub(in crate::apiserver) struct Written {
    pub(in crate::apiserver) value: Value,
    pub(in crate::apiserver) created: bool,
    /// Texts of `Warning` headers.
    pub(in crate::apiserver) warnings: Vec<String>,
}

/// What an update comes to.
enum Step {
    Nothing,
    Store(Value),
    Delete(Value),
}

impl Registry {
    /// POST.
    pub(in crate::apiserver) async fn create(&self, call: &Call, body: Decoded) -> Result<Written, Stop> {
        let (value, warnings) = accept(call, body)?;
        if !matches!(meta::text(&value, "resourceVersion"), "" | "0") {
            return Err(Failure::unexpected("resourceVersion should not be set on objects to be created").into());
        }
        let told = warnings.clone();
        self.insert(call, value, true, warnings)
            .await
            .map_err(|stop| stop.with_warnings(told))
    }

    /// PUT or PATCH.
    pub(in crate::apiserver) async fn modify(&self, call: &Call, input: &Input) -> Result<Written, Stop> {
        check_manager(call)?;
        for _ in 0..ATTEMPTS {
            let Some(seen) = self.store.get(&call.key()) else {
                return self.modify_absent(call, input).await;
            };
            let old = present::shown(&call.resource, &seen);
            let (new, warnings) = self.changed(call, &old, input)?;
            let refused = |failure: Failure| Stop::from(failure).with_warnings(warnings.clone());
            self.check_escalation(call, Some(&old), &new)?;
            let explicit = match check_version(call, input, &seen, &new) {
                Err(_) if self.planted.is(Deviation::StaleVersionPasses) => false,
                checked => checked.map_err(refused)?,
            };
            check_uid(call, input, &old, &new).map_err(refused)?;
            let (value, committed) = match conclude(call, &old, new, self.planted).map_err(refused)? {
                Step::Nothing => {
                    return Ok(Written {
                        value: old,
                        created: false,
                        warnings,
                    });
                }
                step if call.dry_run => {
                    let (Step::Store(mut value) | Step::Delete(mut value)) = step else {
                        continue;
                    };
                    meta::copy(&old, &mut value, "resourceVersion");
                    return Ok(Written {
                        value,
                        created: false,
                        warnings,
                    });
                }
                Step::Store(value) => {
                    self.before_commit(call).await?;
                    let stored = present::stored(&call.resource, value);
                    let committed = self.store.update(&seen, stored);
                    let value = committed.as_ref().map(|object| present::shown(&call.resource, object));
                    (value.unwrap_or_default(), committed.map(|_| ()))
                }
                Step::Delete(mut value) => {
                    self.before_commit(call).await?;
                    meta::copy(&old, &mut value, "resourceVersion");
                    (value, self.store.delete(&seen).map(drop))
                }
            };
            match committed {
                Ok(()) => {
                    self.settle(call);
                    self.after_commit(call).await?;
                    return Ok(Written {
                        value,
                        created: false,
                        warnings,
                    });
                }
                Err(_) if explicit => return Err(modified(call).into()),
                Err(_) => {}
            }
        }
        Err(Failure::internal("the object changed at every attempt").into())
    }

    async fn modify_absent(&self, call: &Call, input: &Input) -> Result<Written, Stop> {
        if !call.subresource.is_empty() {
            return Err(call.missing().into());
        }
        match input {
            Input::Put(body) => {
                let mut value = body.value.clone();
                check_kind(call, &mut value)?;
                check_name(call, &mut value)?;
                let warnings = check_fields(call, &value, &body.duplicates, None)?;
                if !call.resource.create_on_put {
                    return Err(Stop::from(call.missing()).with_warnings(warnings));
                }
                self.insert(call, value, true, warnings).await
            }
            Input::Apply(body) => {
                let mut applied = body.value.clone();
                check_kind(call, &mut applied)?;
                check_name(call, &mut applied)?;
                let uid = meta::text(&applied, "uid");
                if !uid.is_empty() {
                    return Err(Failure::conflict(
                        &call.resource.group,
                        &call.resource.plural,
                        &call.name,
                        &format!(
                            "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                        ),
                    )
                    .into());
                }
                meta::set(&mut applied, "resourceVersion", Value::Null);
                unplace(body, &mut applied);
                let api_version = call.resource.api_version();
                let new = smd::apply(
                    None,
                    &applied,
                    self.writer(call, &api_version),
                    call.force,
                    &call.resource.types,
                )
                .map_err(refused)?;
                self.insert(call, new, false, Vec::new()).await
            }
            Input::Patch(_) => Err(call.missing().into()),
        }
    }

    /// Stores a new object. `posted`: its ownership is an Update entry to be made here; an apply has made its own.
    async fn insert(
        &self,
        call: &Call,
        mut value: Value,
        posted: bool,
        warnings: Vec<String>,
    ) -> Result<Written, Stop> {
        let resource = &call.resource;
        let base = meta::text(&value, "generateName").to_owned();
        let generate = meta::text(&value, "name").is_empty() && !base.is_empty();
        self.namespace_open(call, meta::text(&value, "name"))?;
        if let Some(failure) = definitions::closed_to_new(self, call, meta::text(&value, "name")) {
            return Err(failure.into());
        }
        if resource.custom.is_none() || !self.planted.is(Deviation::NoDefaults) {
            present::normalize(resource, &mut value);
        }
        meta::disown(&mut value);
        self.check_escalation(call, None, &value)?;
        let api_version = resource.api_version();
        if posted {
            smd::track_update(None, &mut value, self.writer(call, &api_version), &resource.types);
        }
        for _ in 0..NAME_ATTEMPTS {
            let mut new = value.clone();
            if generate {
                let cut = base.chars().take(MAX_BASE).collect::<String>();
                meta::set(&mut new, "name", json!(format!("{cut}{}", self.chance.suffix())));
            }
            meta::identify(&mut new, &self.chance, self.clock.now());
            if resource.namespaced {
                meta::set(&mut new, "namespace", json!(call.namespace));
            } else {
                meta::set(&mut new, "namespace", Value::Null);
            }
            self.prepare_create(call, &mut new)?;
            let errors = rules::validate(resource, None, &new);
            check_errors(resource, meta::text(&new, "name"), &errors)?;
            check_size(&new)?;
            self.check_creation(call)?;
            let name = meta::text(&new, "name").to_owned();
            if call.dry_run {
                if self.store.get(&call.key_of(&name)).is_some() {
                    return Err(self.name_taken(call, &name).into());
                }
                return Ok(Written {
                    value: new,
                    created: true,
                    warnings,
                });
            }
            self.before_commit(call).await?;
            match self.store.create(call.key_of(&name), present::stored(resource, new)) {
                Ok(object) => {
                    definitions::created(self, resource, &object);
                    if resource.is("events") {
                        self.expiry.sweep(&self.store, self.clock.now());
                    }
                    self.after_commit(call).await?;
                    let value = present::shown(resource, &object);
                    return Ok(Written {
                        value,
                        created: true,
                        warnings,
                    });
                }
                Err(_) if generate => {}
                Err(_) => return Err(self.name_taken(call, &name).into()),
            }
        }
        Err(Failure::already_exists(&resource.group, &resource.plural, &base).into())
    }

    /// 409 for a name that is taken; it says whether the owner of the name is about to go.
    fn name_taken(&self, call: &Call, name: &str) -> Failure {
        let mut failure = Failure::already_exists(&call.resource.group, &call.resource.plural, name);
        let present = self.store.get(&call.key_of(name));
        if present.is_some_and(|object| meta::is_terminating(&object.value)) {
            failure.message = format!("object is being deleted: {}", failure.message);
        }
        failure
    }

    /// The object as the request wants it, with its ownership, before the rules of the kind.
    fn changed(&self, call: &Call, old: &Value, input: &Input) -> Result<(Value, Vec<String>), Failure> {
        let resource = &call.resource;
        let api_version = resource.api_version();
        let writer = self.writer(call, &api_version);
        if call.subresource == "scale" {
            let mut new = scale::write(resource, old, input)?;
            smd::track_update(Some(old), &mut new, writer, &resource.types);
            return Ok((new, Vec::new()));
        }
        let (mut new, warnings) = match input {
            Input::Apply(body) => {
                let mut applied = body.value.clone();
                check_kind(call, &mut applied)?;
                check_name(call, &mut applied)?;
                unplace(body, &mut applied);
                let live = (!self.planted.is(Deviation::ApplyForgetsOthers)).then_some(old);
                let mut new = smd::apply(live, &applied, writer, call.force, &resource.types).map_err(refused)?;
                present::normalize(resource, &mut new);
                return Ok((new, body.duplicates.iter().map(|d| duplicate(d)).collect()));
            }
            Input::Put(body) => {
                let mut new = body.value.clone();
                check_kind(call, &mut new)?;
                check_name(call, &mut new)?;
                let warnings = check_fields(call, &new, &body.duplicates, None)?;
                (new, warnings)
            }
            Input::Patch(patch) => {
                let mut new = patch::apply(resource, old, patch)?;
                check_kind(call, &mut new)?;
                check_name(call, &mut new)?;
                let warnings = check_fields(call, &new, patch.duplicates(), Some(patch))?;
                (new, warnings)
            }
        };
        present::normalize(resource, &mut new);
        smd::track_update(Some(old), &mut new, writer, &resource.types);
        Ok((new, warnings))
    }
}

/// The object of a POST, if it is of the right kind and place, with its warnings.
pub(super) fn accept(call: &Call, body: Decoded) -> Result<(Value, Vec<String>), Failure> {
    check_manager(call)?;
    let mut value = body.value;
    check_kind(call, &mut value)?;
    if !call.resource.is("namespaces") {
        check_namespace(call, &mut value)?;
    }
    let warnings = check_fields(call, &value, &body.duplicates, None)?;
    Ok((value, warnings))
}

/// Applies the rules of updates, and decides what is to be done.
fn conclude(call: &Call, old: &Value, mut new: Value, planted: Planted) -> Result<Step, Failure> {
    let resource = &call.resource;
    for field in ["creationTimestamp", "generation", "selfLink", "resourceVersion"] {
        meta::copy(old, &mut new, field);
    }
    // A mark of deletion stays; validation refuses one that a client sets.
    if meta::is_terminating(old) {
        meta::copy(old, &mut new, "deletionTimestamp");
    }
    if new["metadata"]["deletionGracePeriodSeconds"].is_null() {
        meta::copy(old, &mut new, "deletionGracePeriodSeconds");
    }
    for field in ["uid", "namespace"] {
        if meta::text(&new, field).is_empty() {
            meta::copy(old, &mut new, field);
        }
    }
    match call.subresource.as_str() {
        "" | "scale" => rules::prepare_update(resource, old, &mut new),
        part => {
            let field = if part == "finalize" { "spec" } else { "status" };
            let mut only = old.clone();
            rules::copy_field(&new, &mut only, field);
            for field in ["managedFields", "uid", "creationTimestamp"] {
                meta::copy(&new, &mut only, field);
            }
            new = only;
        }
    }
    let mut errors = rules::validate(resource, Some(old), &new);
    if planted.is(Deviation::ImmutableFieldsChange) {
        errors.clear();
    }
    check_errors(resource, &call.name, &errors)?;
    check_size(&new)?;
    if rules::may_go(resource, &new) && !planted.is(Deviation::LastFinalizerLeavesObject) {
        return Ok(Step::Delete(new));
    }
    if smd::same_but_times(old, &new) && !planted.is(Deviation::EqualUpdateIsStored) {
        return Ok(Step::Nothing);
    }
    Ok(Step::Store(new))
}

fn check_errors(resource: &Resource, name: &str, errors: &[FieldError]) -> Result<(), Failure> {
    // A quantity that cannot be read is found by the decoder.
    let unread = errors
        .iter()
        .find_map(|e| e.message.find(NO_QUANTITY).map(|at| &e.message[at..]));
    if let (Some(what), None) = (unread, &resource.custom) {
        return Err(Failure::bad_request(format!(
            "{kind} in version {:?} cannot be handled as a {kind}: {what}",
            resource.version,
            kind = resource.kind,
        )));
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Failure::invalid(resource.message_group(), &resource.kind, name, errors))
    }
}

fn check_size(value: &Value) -> Result<(), Failure> {
    if value.to_string().len() > MAX_OBJECT {
        return Err(Failure::unexpected("etcdserver: request is too large"));
    }
    Ok(())
}

fn check_manager(call: &Call) -> Result<(), Failure> {
    let unprintable = call.manager.char_indices().find(|(_, c)| c.is_control());
    let error = match unprintable {
        _ if call.manager.len() > MAX_MANAGER => FieldError::too_long("fieldManager", MAX_MANAGER as u64),
        Some((at, c)) => field_error(
            "fieldManager",
            super::super::schema::Reason::Invalid,
            format!(
                "Invalid value: {}: invalid character U+{:04X} (at position {at})",
                quote(&call.manager),
                u32::from(c)
            ),
        ),
        None => return Ok(()),
    };
    let options = match call.verb {
        "update" => "UpdateOptions",
        "patch" => "PatchOptions",
        _ => "CreateOptions",
    };
    Err(Failure::invalid("meta.k8s.io", options, "", &[error]))
}

/// The kind and version of the body are those of the path, or absent.
fn check_kind(call: &Call, value: &mut Value) -> Result<(), Failure> {
    let resource = &call.resource;
    let expected = resource.api_version();
    let Value::Object(fields) = value else {
        return Err(Failure::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): not an object",
            resource.kind
        )));
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (version, kind) = (text("apiVersion"), text("kind"));
    let kind = if kind.is_empty() { resource.kind.clone() } else { kind };
    let version = if version.is_empty() { expected.clone() } else { version };
    if kind != resource.kind {
        let package = |version: &str| match version.split_once('/') {
            Some((group, _)) => group.split('.').next().unwrap_or_default().to_owned(),
            None => "core".into(),
        };
        return Err(Failure::bad_request(format!(
            "{kind} in version {:?} cannot be handled as a {}: converting ({}.{kind}) to ({}.{}): unknown conversion",
            version.rsplit('/').next().unwrap_or_default(),
            resource.kind,
            version.replace('/', "."),
            package(&expected),
            resource.kind,
        )));
    }
    if version != expected {
        return Err(Failure::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({expected})"
        )));
    }
    fields.insert("apiVersion".into(), json!(expected));
    fields.insert("kind".into(), json!(kind));
    meta::of(value);
    Ok(())
}

fn check_namespace(call: &Call, value: &mut Value) -> Result<(), Failure> {
    let given = meta::text(value, "namespace");
    if call.resource.namespaced && !given.is_empty() && given != call.namespace {
        return Err(Failure::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if call.resource.namespaced {
        meta::set(value, "namespace", json!(call.namespace));
    }
    Ok(())
}

/// Name and namespace of the body are those of the path, or absent.
fn check_name(call: &Call, value: &mut Value) -> Result<(), Failure> {
    check_namespace(call, value)?;
    let given = meta::text(value, "name");
    if !given.is_empty() && given != call.name {
        return Err(Failure::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({})",
            call.name
        )));
    }
    if meta::text(value, "name").is_empty() {
        return Err(Failure::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            call.name
        )));
    }
    if call.resource.namespaced {
        meta::set(value, "namespace", json!(call.namespace));
    }
    Ok(())
}

/// An applied configuration has a namespace only where its author wrote one: messages show it as written.
fn unplace(body: &Decoded, applied: &mut Value) {
    meta::copy(&body.value, applied, "namespace");
}

fn duplicate(path: &str) -> String {
    format!("duplicate field \"{path}\"")
}

/// Values of the wrong sort are refused. Unknown and duplicate fields: refused, warned about or left alone, as the request asks.
fn check_fields(
    call: &Call,
    value: &Value,
    duplicates: &[String],
    patch: Option<&Patch>,
) -> Result<Vec<String>, Failure> {
    decode::check(&call.resource, value)?;
    if call.strictness == Strictness::Ignore {
        return Ok(Vec::new());
    }
    let unknown = match &call.resource.custom {
        Some(custom) => custom.schema.unknown_fields(value),
        None => call.resource.types.unknown_fields(value),
    };
    let problems: Vec<String> = duplicates
        .iter()
        .map(|d| duplicate(d))
        .chain(unknown.iter().map(|u| format!("unknown field \"{u}\"")))
        .collect();
    if call.strictness == Strictness::Warn || problems.is_empty() {
        return Ok(problems);
    }
    let text = format!("strict decoding error: {}", problems.join(", "));
    if let Some(Patch::Strategic(patch)) = patch {
        let error = field_error(
            "patch",
            super::super::schema::Reason::Invalid,
            format!("Invalid value: {:?}: {text}", patch.value.to_string()),
        );
        return Err(Failure::invalid("", "", "", &[error]));
    }
    Err(Failure::bad_request(format!(
        "{kind} in version {:?} cannot be handled as a {kind}: {text}",
        call.resource.version,
        kind = call.resource.kind,
    )))
}

/// The version that the client named, if any, must be the present one. Says whether it named one.
fn check_version(call: &Call, input: &Input, seen: &Object, new: &Value) -> Result<bool, Failure> {
    let given = meta::text(new, "resourceVersion");
    let current = seen.resource_version.to_string();
    let named = match input {
        Input::Put(_) => !given.is_empty() && given != "0",
        // A patch carries the version that it was applied to, unless it names another.
        Input::Patch(patch) => patch.names_version(),
        Input::Apply(body) => !meta::text(&body.value, "resourceVersion").is_empty(),
    };
    if !named {
        if matches!(input, Input::Put(_))
            && call.subresource != "scale"
            && (call.resource.custom.is_some() || !call.resource.unconditional)
        {
            let error = field_error(
                "metadata.resourceVersion",
                super::super::schema::Reason::Invalid,
                "Invalid value: 0: must be specified for an update",
            );
            return Err(Failure::invalid(
                &call.resource.group,
                &call.resource.plural,
                &call.name,
                &[error],
            ));
        }
        return Ok(false);
    }
    if given.parse::<u64>().is_err() {
        return Err(Failure::unexpected(format!(
            "strconv.ParseUint: parsing {given:?}: invalid syntax"
        )));
    }
    if given == current {
        Ok(true)
    } else {
        Err(modified(call))
    }
}

/// A PUT of another object's uid is a failed precondition; a patch of it is found by validation.
fn check_uid(call: &Call, input: &Input, old: &Value, new: &Value) -> Result<(), Failure> {
    let (was, given) = (meta::text(old, "uid"), meta::text(new, "uid"));
    if matches!(input, Input::Put(_)) && !given.is_empty() && given != was {
        return Err(Failure::conflict(
            &call.resource.group,
            &call.resource.plural,
            &call.name,
            &format!(
                "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, AdditionalErrorMsg: \
                 Precondition failed: UID in precondition: {given}, UID in object meta: {was}",
                storage_path(call)
            ),
        ));
    }
    Ok(())
}

/// The key that a real server has in etcd, which some of its messages name.
fn storage_path(call: &Call) -> String {
    let resource = &call.resource;
    let place = match &*resource.id {
        "services" => "services/specs".to_owned(),
        "nodes" => "minions".to_owned(),
        _ if resource.custom.is_some() => format!("{}/{}", resource.group, resource.plural),
        _ => resource.plural.clone(),
    };
    let parts = ["/registry", &place, &call.namespace, &call.name];
    parts
        .into_iter()
        .filter(|p| !p.is_empty())
        .collect::<Vec<_>>()
        .join("/")
}

fn modified(call: &Call) -> Failure {
    Failure::modified(&call.resource.group, &call.resource.plural, &call.name)
}

fn refused(error: ApplyError) -> Failure {
    match error {
        ApplyError::Conflict { message, causes } => Failure::apply_conflict(
            message,
            causes
                .into_iter()
                .map(|c| json!({"reason": "FieldManagerConflict", "message": c.message, "field": c.field}))
                .collect(),
        ),
        ApplyError::Untyped(message) => Failure::unexpected(message),
        ApplyError::BadRequest(message) => Failure::bad_request(message),
    }
}
