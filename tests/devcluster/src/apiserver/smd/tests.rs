//! The apply lines of the recorded server, and the properties that ownership must have.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

fn transcript() -> Vec<Value> {
    include_str!("../../../transcripts/kube-apiserver-1.36.3.jsonl")
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

fn now() -> jiff::Timestamp {
    "2026-11-23T16:13:47Z".parse().unwrap()
}

/// Entries without their times, by identity.
fn ownership(object: &Value) -> Vec<Value> {
    let mut entries = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    for entry in &mut entries {
        entry.as_object_mut().unwrap().remove("time");
    }
    entries.sort_by_key(|e| format!("{} {} {}", e["manager"], e["operation"], e["subresource"]));
    entries
}

/// Replays every apply, POST and patch of an object, with the recorded server's answers as live objects, and compares ownership.
#[test]
fn ownership_is_as_recorded() {
    let widget = transcript()
        .iter()
        .find(|l| l["case"] == "crd: create")
        .map(|l| l["body"]["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone())
        .unwrap();
    let mut live: BTreeMap<String, Value> = BTreeMap::new();
    let mut checked = 0;
    let mut wrong = Vec::new();
    for line in transcript() {
        let path = line["path"].as_str().unwrap();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let param = |name: &str| {
            query
                .split('&')
                .find_map(|p| p.strip_prefix(name)?.strip_prefix('='))
                .unwrap_or_default()
                .to_owned()
        };
        let (object_path, subresource) = match path.rsplit_once('/') {
            Some((object, sub @ ("status" | "scale"))) => (object, sub),
            _ => (path, ""),
        };
        let ok = line["status"].as_u64().unwrap() < 300;
        let response = &line["response"];
        let (Some(version), Some(kind)) = (response["apiVersion"].as_str(), response["kind"].as_str()) else {
            continue;
        };
        let body = if line["body"].is_string() {
            serde_json::from_str(line["body"].as_str().unwrap()).unwrap_or(Value::Null)
        } else {
            line["body"].clone()
        };
        let (version, kind) = if ok {
            (version, kind)
        } else {
            (
                body["apiVersion"].as_str().unwrap_or(version),
                body["kind"].as_str().unwrap_or(kind),
            )
        };
        let schema = if kind == "Widget" {
            TypeSchema::from_openapi(&widget)
        } else if let Some(schema) = TypeSchema::builtin(version, kind) {
            schema
        } else {
            continue;
        };
        let key = match line["method"].as_str().unwrap() {
            "POST" => format!(
                "{object_path}/{}",
                response["metadata"]["name"].as_str().unwrap_or_default()
            ),
            _ => object_path.to_owned(),
        };
        let writer = Writer {
            manager: &param("fieldManager"),
            api_version: version,
            subresource,
            now: now(),
        };
        let old = live.get(&key);
        let content = line["contentType"].as_str().unwrap_or_default();
        let case = format!("{} {}", line["n"], line["case"]);
        match (line["method"].as_str().unwrap(), ok) {
            ("PATCH", _) if content.contains("apply-patch") => {
                let message = response["message"].as_str().unwrap_or_default();
                match apply(old, &body, writer, param("force") == "true", &schema) {
                    Ok(new) if ok => {
                        checked += 1;
                        if ownership(&new) != ownership(response) {
                            wrong.push(format!(
                                "{case}\n  ours   {}\n  theirs {}",
                                json!(ownership(&new)),
                                json!(ownership(response))
                            ));
                        }
                        // What the configuration says must be there afterwards, item order included.
                        let mut merged = new.clone();
                        schema.canonicalize(&mut merged);
                        for pointer in [
                            "/data",
                            "/spec/template/spec/containers/0/env",
                            "/metadata/labels",
                            "/spec/items",
                            "/status/conditions",
                        ] {
                            let drop_defaults = pointer == "/spec/items";
                            if !drop_defaults
                                && merged.pointer(pointer) != response.pointer(pointer)
                                && kind != "Secret"
                            {
                                wrong.push(format!(
                                    "{case} {pointer}: {:?} / {:?}",
                                    merged.pointer(pointer),
                                    response.pointer(pointer)
                                ));
                            }
                        }
                        let timed = |o: &Value| {
                            o.pointer("/metadata/managedFields")
                                .and_then(Value::as_array)
                                .into_iter()
                                .flatten()
                                .filter(|e| e["time"].is_null())
                                .count()
                        };
                        if timed(&new) != timed(response) && kind != "Secret" {
                            wrong.push(format!(
                                "{case}: entries without time {} / {}",
                                timed(&new),
                                timed(response)
                            ));
                        }
                    }
                    Ok(_) if message.starts_with("Apply failed") || message.starts_with("failed to create typed") => {
                        wrong.push(format!("{case}: accepted, recorded {message}"));
                    }
                    Ok(_) => {}
                    Err(error) => {
                        checked += 1;
                        if error.to_string() != message {
                            wrong.push(format!("{case}: {error} / {message}"));
                        }
                    }
                }
            }
            ("POST" | "PUT" | "PATCH", true) if subresource != "scale" => {
                // The recorded answer stands for defaulting; allocated addresses are the server's, not the manager's.
                let mut new = response.clone();
                if kind == "Service" {
                    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                        new["spec"].as_object_mut().unwrap().remove(field);
                    }
                }
                if kind == "Namespace" {
                    new["spec"].as_object_mut().unwrap().remove("finalizers");
                }
                let meta = new["metadata"].as_object_mut().unwrap();
                meta.remove("managedFields");
                let given = if content.contains("json-patch") {
                    body.as_array()
                        .unwrap()
                        .iter()
                        .find(|o| o["path"] == "/metadata/managedFields")
                        .map(|o| o["value"].clone())
                } else {
                    body.pointer("/metadata/managedFields").cloned()
                };
                if let Some(given) = given {
                    meta.insert("managedFields".into(), given);
                }
                let (method, mut old) = (line["method"].as_str().unwrap(), old.cloned());
                if let (Some(old), "Service") = (&mut old, kind) {
                    old["spec"] = new["spec"].clone();
                }
                if method == "PUT" && line["case"] == "lease: renew by put" && old.is_none() {
                    continue;
                }
                track_update(old.as_ref(), &mut new, writer, &schema);
                checked += 1;
                if ownership(&new) != ownership(response) {
                    wrong.push(format!(
                        "{case}\n  ours   {}\n  theirs {}",
                        json!(ownership(&new)),
                        json!(ownership(response))
                    ));
                }
            }
            _ => {}
        }
        if ok && subresource != "scale" && kind != "Status" && !query.contains("dryRun") {
            live.insert(key, response.clone());
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {checked} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(checked > 100, "only {checked} lines were comparable");
}

fn config_map(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data})
}

fn writer(manager: &str) -> Writer<'_> {
    Writer {
        manager,
        api_version: "v1",
        subresource: "",
        now: now(),
    }
}

#[test]
fn an_eleventh_updater_folds_the_oldest_into_ancient_changes() {
    let schema = TypeSchema::builtin("v1", "ConfigMap").unwrap();
    let mut live: Option<Value> = None;
    let mut data = serde_json::Map::new();
    for i in 0..13 {
        data.insert(format!("k{i}"), json!("1"));
        let mut new = config_map(&json!(data));
        if let Some(live) = &live {
            new["metadata"]["managedFields"] = live["metadata"]["managedFields"].clone();
        }
        let name = format!("m{i}");
        let at = now() + jiff::SignedDuration::from_secs(i);
        track_update(
            live.as_ref(),
            &mut new,
            Writer {
                now: at,
                ..writer(&name)
            },
            &schema,
        );
        live = Some(new);
    }
    let entries = ownership(&live.unwrap());
    assert_eq!(entries.len(), 10);
    let ancient = entries.iter().find(|e| e["manager"] == "ancient-changes").unwrap();
    assert!(ancient["fieldsV1"]["f:data"].get("f:k0").is_some() && ancient["fieldsV1"]["f:data"].get("f:k3").is_some());
}

#[test]
fn an_empty_list_forgets_ownership_and_the_next_apply_finds_those_before_it() {
    let schema = TypeSchema::builtin("v1", "ConfigMap").unwrap();
    let live = apply(None, &config_map(&json!({"a": "1"})), writer("a"), false, &schema).unwrap();
    let mut cleared = live.clone();
    cleared["metadata"]["managedFields"] = json!([]);
    track_update(Some(&live), &mut cleared, writer("b"), &schema);
    assert!(ownership(&cleared).is_empty());
    let again = apply(
        Some(&cleared),
        &config_map(&json!({"b": "1"})),
        writer("a"),
        false,
        &schema,
    )
    .unwrap();
    assert!(
        ownership(&again).iter().any(|e| e["manager"] == "before-first-apply"),
        "{again}"
    );
    assert_eq!(again["data"], json!({"a": "1", "b": "1"}));
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn pod_template() -> impl Strategy<Value = Value> {
        let env = proptest::collection::btree_map("[A-D]", "[0-2]", 0..4).prop_map(|m| {
            m.into_iter()
                .map(|(name, value)| json!({"name": name, "value": value}))
                .collect::<Vec<_>>()
        });
        let labels = proptest::collection::btree_map("[a-d]", "[0-2]", 0..4);
        let ports = proptest::collection::btree_set(1u32..4, 0..3)
            .prop_map(|s| s.into_iter().map(|p| json!({"containerPort": p})).collect::<Vec<_>>());
        (env, labels, ports, proptest::option::of(0..3i32), proptest::collection::vec("[xy]", 0..3)).prop_map(
            |(env, labels, ports, replicas, args)| {
                let mut spec = json!({"serviceName": "s", "template": {"spec": {"containers":
                    [{"name": "c", "image": "i", "env": env, "ports": ports, "args": args}]}}});
                if let Some(replicas) = replicas {
                    spec["replicas"] = json!(replicas);
                }
                json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "s", "labels": labels}, "spec": spec})
            },
        )
    }

    fn schema() -> TypeSchema {
        TypeSchema::builtin("apps/v1", "StatefulSet").unwrap()
    }

    fn by(manager: &str) -> Writer<'_> {
        Writer {
            api_version: "apps/v1",
            ..writer(manager)
        }
    }

    fn sets(object: &Value) -> Vec<(String, Set)> {
        managed::owners(Some(object))
            .into_iter()
            .map(|(o, e)| (o.manager, e.set))
            .collect()
    }

    proptest! {
        #[test]
        fn a_repeated_apply_changes_nothing(a in pod_template(), b in pod_template()) {
            let schema = schema();
            let first = apply(None, &a, by("a"), true, &schema).unwrap();
            let first = apply(Some(&first), &b, by("b"), true, &schema).unwrap();
            let again = apply(Some(&first), &b, by("b"), true, &schema).unwrap();
            prop_assert_eq!(&first, &again);
        }

        #[test]
        fn the_last_of_two_applies_wins(a in pod_template(), b in pod_template()) {
            let schema = schema();
            let once = apply(None, &b, by("a"), true, &schema).unwrap();
            let first = apply(None, &a, by("a"), true, &schema).unwrap();
            let mut then = apply(Some(&first), &b, by("a"), true, &schema).unwrap();
            let mut once = once;
            schema.canonicalize(&mut once);
            schema.canonicalize(&mut then);
            // The order of map items may remember the past; the items may not.
            prop_assert_eq!(sets(&once), sets(&then));
            let change = merge::compare(&schema.schema, schema.root, &without_managed_fields(&once), &without_managed_fields(&then));
            prop_assert!(change.added.is_empty() && change.removed.is_empty() && change.modified.is_empty(), "{:?}", change);
        }

        #[test]
        fn after_force_a_changed_field_has_one_owner(a in pod_template(), b in pod_template()) {
            let schema = schema();
            let first = apply(None, &a, by("a"), true, &schema).unwrap();
            let then = apply(Some(&first), &b, by("b"), true, &schema).unwrap();
            let change = merge::compare(&schema.schema, schema.root, &first, &then);
            for (manager, set) in sets(&then) {
                if manager == "a" {
                    prop_assert!(set.intersection(&change.modified).is_empty());
                }
            }
            // Applying an owner's part again is the identity.
            prop_assert!(apply(Some(&then), &b, by("b"), false, &schema).is_ok());
        }

        #[test]
        fn what_others_own_survives_an_apply_without_it(a in pod_template(), b in pod_template()) {
            let schema = schema();
            let first = apply(None, &a, by("a"), true, &schema).unwrap();
            let both = apply(Some(&first), &b, by("b"), true, &schema).unwrap();
            let theirs = sets(&both).into_iter().find(|(m, _)| m == "a").map(|(_, s)| s).unwrap_or_default();
            let empty = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "s"}});
            let gone = apply(Some(&both), &empty, by("b"), true, &schema).unwrap();
            let left = walk::paths(&schema.schema, schema.root, &without_managed_fields(&gone));
            prop_assert!(theirs.difference(&left).is_empty(), "{:?}", theirs.difference(&left).paths());
        }
    }
}
