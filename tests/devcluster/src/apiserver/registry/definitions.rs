//! What the store of definitions sets in motion: names accepted, resources served, instances removed before their definition.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    super::{
        crd,
        kinds::Resource,
        smd::{self, Writer},
        status::Failure,
        store::{Key, Object},
    },
    Call, Registry, meta, rules,
};

const ID: &str = "customresourcedefinitions.apiextensions.k8s.io";
/// Held by a definition until its instances are gone.
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

fn key(name: &str) -> Key {
    Key {
        resource: ID.into(),
        namespace: String::new(),
        name: name.to_owned(),
    }
}

/// Why no custom resource can be created now: its definition is being deleted.
pub(super) fn closed_to_new(registry: &Registry, call: &Call, name: &str) -> Option<Failure> {
    call.resource.custom.as_ref()?;
    let definition = registry.store.get(&key(&call.resource.id))?;
    meta::is_terminating(&definition.value).then(|| {
        let why = "create not allowed while custom resource definition is terminating";
        Failure::forbidden(&call.resource.group, &call.resource.plural, name, why, None)
    })
}

/// After a create: a new definition gets its names and is served at once.
pub(super) fn created(registry: &Registry, resource: &Resource, object: &Arc<Object>) {
    if resource.is(ID) {
        accept(registry, resource, object);
    }
}

/// After any other commit: definitions may have changed, instances may have gone.
pub(super) fn settle(registry: &Registry, call: &Call) {
    if call.resource.is(ID) {
        match registry.store.get(&key(&call.name)) {
            None => withdraw(registry, &call.name),
            Some(definition) if meta::is_terminating(&definition.value) => {
                remove_instances(registry, &definition);
            }
            Some(definition) => accept(registry, &call.resource, &definition),
        }
    } else if call.resource.custom.is_some()
        && let Some(definition) = registry.store.get(&key(&call.resource.id))
        && meta::is_terminating(&definition.value)
    {
        remove_instances(registry, &definition);
    }
}

/// Accepts the names of a definition unless another has them, and serves what it declares.
fn accept(registry: &Registry, resource: &Resource, definition: &Arc<Object>) {
    let taken = taken_name(registry, definition);
    let now = registry.clock.now();
    let mut new = definition.value.clone();
    crd::accept(&mut new, taken.as_deref(), now);
    let writer = Writer {
        manager: "kube-apiserver",
        api_version: "apiextensions.k8s.io/v1",
        subresource: "status",
        now,
    };
    smd::track_update(Some(&definition.value), &mut new, writer, &resource.types);
    let current = if smd::same_but_times(&definition.value, &new) {
        Arc::clone(definition)
    } else {
        match registry.store.update(definition, new) {
            Ok(object) => object,
            // Somebody wrote in between; that write comes by here too.
            Err(_) => return,
        }
    };
    if !crd::established(&current.value) {
        return;
    }
    match crd::resources(&current.value, current.resource_version) {
        Ok(resources) => {
            let (group, plural) = names(&current.value);
            registry.revise_catalog(|catalog| {
                catalog.remove_custom(&group, &plural);
                for resource in resources {
                    catalog.insert(resource);
                }
            });
        }
        Err(error) => tracing::error!(%error, name = current.key.name, "a stored definition cannot be served"),
    }
}

fn names(definition: &Value) -> (String, String) {
    let text = |pointer: &str| {
        definition
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    (text("/spec/group"), text("/spec/names/plural"))
}

/// The first name of a definition that another resource of the same group has.
fn taken_name(registry: &Registry, definition: &Object) -> Option<String> {
    let (group, plural) = names(&definition.value);
    let wanted = &definition.value["spec"]["names"];
    let catalog = registry.catalog();
    let others: Vec<_> = catalog
        .all()
        .filter(|r| r.group == group && r.plural != plural)
        .collect();
    let mut ours: Vec<&str> = ["plural", "singular", "kind", "listKind"]
        .iter()
        .filter_map(|f| wanted[*f].as_str())
        .collect();
    ours.extend(
        wanted["shortNames"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str),
    );
    ours.into_iter()
        .find(|name| {
            others.iter().any(|r| {
                [&r.plural, &r.singular, &r.kind, &r.list_kind].contains(&&(*name).to_owned())
                    || r.short_names.iter().any(|s| s == name)
            })
        })
        .map(str::to_owned)
}

/// What a delete does to a definition: it says so, and waits for its instances.
pub(super) fn mark_terminating(definition: &mut Value, finalizers: &mut Vec<String>, now: Timestamp) {
    if meta::is_terminating(definition) {
        return;
    }
    if !finalizers.iter().any(|f| f == CLEANUP) {
        finalizers.push(CLEANUP.into());
    }
    crd::set_condition(
        definition,
        "Terminating",
        "True",
        "InstanceDeletionPending",
        "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        now,
    );
}

/// Deletes what instances can go; when none is left, lets go of the definition.
fn remove_instances(registry: &Registry, definition: &Arc<Object>) {
    let (group, plural) = names(&definition.value);
    let id: Arc<str> = format!("{plural}.{group}").into();
    let now = super::super::clock::seconds(registry.clock.now());
    for instance in &registry.store.list(&id, None).objects {
        // An instance that changes meanwhile comes by here again.
        let _ = if meta::finalizers(&instance.value).is_empty() {
            registry.store.delete(instance).map(drop)
        } else if meta::is_terminating(&instance.value) {
            Ok(())
        } else {
            let mut marked = instance.value.clone();
            meta::set(&mut marked, "deletionTimestamp", json!(now));
            meta::set(&mut marked, "deletionGracePeriodSeconds", json!(0));
            meta::set(&mut marked, "generation", json!(meta::generation(&instance.value) + 1));
            registry.store.update(instance, marked).map(|_| ())
        };
    }
    let finalizers: Vec<&str> = meta::finalizers(&definition.value);
    if !registry.store.list(&id, None).objects.is_empty() || !finalizers.contains(&CLEANUP) {
        return;
    }
    let left: Vec<&str> = finalizers.into_iter().filter(|f| *f != CLEANUP).collect();
    let mut new = definition.value.clone();
    meta::set(
        &mut new,
        "finalizers",
        if left.is_empty() { Value::Null } else { json!(left) },
    );
    let catalog = registry.catalog();
    let gone = catalog
        .get("apiextensions.k8s.io", "v1", "customresourcedefinitions")
        .is_some_and(|resource| rules::may_go(resource, &new));
    let done = if gone {
        registry.store.delete(definition).is_ok()
    } else {
        registry.store.update(definition, new).is_ok()
    };
    if done && gone {
        withdraw(registry, &definition.key.name);
    }
}

/// Takes the resources of a definition away.
fn withdraw(registry: &Registry, name: &str) {
    if let Some((plural, group)) = name.split_once('.') {
        registry.revise_catalog(|catalog| catalog.remove_custom(group, plural));
    }
}
