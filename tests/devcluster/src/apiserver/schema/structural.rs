//! What makes an `openAPIV3Schema` unfit to serve: it must be structural, and its extensions, defaults and rules must be sound.
//!
//! Texts are those of apiextensions-apiserver. What it estimates of the cost of rules is not estimated here.

use serde_json::{Map, Value, json};

use super::{
    cel::{Rule, UnfitKind, leads_somewhere},
    errors::{FieldError, child, index},
    formats::Pattern,
    lists,
    node::{MAX_DEPTH, Node, Type, flag, text, texts},
    prune, validate,
};

/// Where a node stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// What the place of a node means for it.
#[derive(Clone)]
struct Place {
    level: Level,
    depth: usize,
    /// Inside `metadata` of the resource or of an embedded one.
    in_meta: bool,
    /// Why there may be no default.
    no_default: Option<String>,
    /// The highest node above whose children have no identity, so that `oldSelf` means nothing below.
    uncorrelated: Option<String>,
}

/// All problems, sorted.
pub(super) fn problems(openapi: &Value) -> Vec<FieldError> {
    let mut out = Vec::new();
    let place = Place {
        level: Level::Root,
        depth: 0,
        in_meta: false,
        no_default: None,
        uncorrelated: None,
    };
    match openapi.as_object() {
        Some(map) => check(map, openapi, &place, "", &mut out),
        None => out.push(FieldError::required("", "schemas are required")),
    }
    out.sort_by(|a, b| (&a.field, &a.message).cmp(&(&b.field, &b.message)));
    out.dedup();
    out
}

fn check(map: &Map<String, Value>, openapi: &Value, place: &Place, path: &str, out: &mut Vec<FieldError>) {
    if place.depth > MAX_DEPTH {
        out.push(FieldError::invalid_unshown(
            path,
            &format!("schema nests deeper than {MAX_DEPTH}"),
        ));
        return;
    }
    unsupported(map, place, path, out);
    check_type(map, place, path, out);
    check_map_type(map, path, out);
    check_list_type(map, path, out);
    check_extensions(map, place, path, out);
    check_metadata(map, place, path, out);
    check_branches(map, path, place.depth, out);
    check_pattern(map, path, out);
    let sound_so_far = out.is_empty();
    check_below(map, place, path, out);
    // A default or a rule can be judged only by a schema that is sound.
    if sound_so_far && out.is_empty() {
        check_default(map, openapi, path, out);
        check_rules(map, openapi, place, path, out);
    }
}

fn check_below(map: &Map<String, Value>, place: &Place, path: &str, out: &mut Vec<FieldError>) {
    let next = |level| Place {
        level,
        depth: place.depth + 1,
        ..place.clone()
    };
    let is_resource = place.level == Level::Root || flag(map, "x-kubernetes-embedded-resource");
    for (name, property) in object(map, "properties") {
        let here = index(&child(path, "properties"), name);
        let mut below = next(Level::Field);
        if is_resource && matches!(name.as_str(), "metadata" | "apiVersion" | "kind") {
            below.in_meta = true;
            if place.level == Level::Root {
                below.no_default = Some(format!("in top-level {name}"));
            }
        }
        match property.as_object() {
            Some(map) => check(map, property, &below, &here, out),
            None => out.push(FieldError::invalid(&here, property, "must be an object")),
        }
    }
    if let Some(element @ Value::Object(inner)) = map.get("additionalProperties") {
        let mut below = next(Level::Field);
        if place.in_meta {
            below.no_default = Some("inside additionalProperties applying to object metadata".to_owned());
        }
        check(inner, element, &below, &child(path, "additionalProperties"), out);
    }
    if let Some(items @ Value::Object(inner)) = map.get("items") {
        let mut below = next(Level::Item);
        if text(map, "x-kubernetes-list-type") != Some("map") && below.uncorrelated.is_none() {
            below.uncorrelated = Some(path.to_owned());
        }
        check(inner, items, &below, &child(path, "items"), out);
    }
}

/// Keywords that a CRD may not use.
fn unsupported(map: &Map<String, Value>, place: &Place, path: &str, out: &mut Vec<FieldError>) {
    for key in [
        "id",
        "additionalItems",
        "patternProperties",
        "definitions",
        "dependencies",
        "$ref",
    ] {
        if map.get(key).is_some_and(|value| !value.is_null()) {
            out.push(FieldError::forbidden(
                &child(path, key),
                &format!("{key} is not supported"),
            ));
        }
    }
    if flag(map, "uniqueItems") {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        out.push(FieldError::forbidden(&child(path, "uniqueItems"), detail));
    }
    if map.get("items").is_some_and(Value::is_array) {
        let detail = "items must be a schema object and not an array";
        out.push(FieldError::forbidden(&child(path, "items"), detail));
    }
    let here = child(path, "additionalProperties");
    if let Some(additional) = map.get("additionalProperties") {
        if place.level == Level::Root {
            out.push(FieldError::forbidden(&here, "must not be used at the root"));
        }
        if object(map, "properties").next().is_some() && additional != &Value::Bool(true) {
            let detail = "additionalProperties and properties are mutual exclusive";
            out.push(FieldError::forbidden(&here, detail));
        }
    }
    if let (true, Some(reason)) = (map.contains_key("default"), &place.no_default) {
        let detail = format!("must not be set {reason}");
        out.push(FieldError::forbidden(&child(path, "default"), &detail));
    }
}

fn check_type(map: &Map<String, Value>, place: &Place, path: &str, out: &mut Vec<FieldError>) {
    let here = child(path, "type");
    let embedded = flag(map, "x-kubernetes-embedded-resource");
    match text(map, "type") {
        None | Some("") => {
            let untyped_is_fine =
                flag(map, "x-kubernetes-int-or-string") || flag(map, "x-kubernetes-preserve-unknown-fields");
            if embedded {
                let detail = "must be object if x-kubernetes-embedded-resource is true";
                out.push(FieldError::required(&here, detail));
            } else if !untyped_is_fine {
                let detail = match place.level {
                    Level::Root => "must not be empty at the root",
                    Level::Item => "must not be empty for specified array items",
                    Level::Field => "must not be empty for specified object fields",
                };
                out.push(FieldError::required(&here, detail));
            }
        }
        Some(name) => {
            let value = Value::from(name);
            if Type::parse(name).is_none() {
                out.push(FieldError::not_supported(&here, &value, &Type::NAMES));
            } else if embedded && name != "object" {
                let detail = "must be object if x-kubernetes-embedded-resource is true";
                out.push(FieldError::invalid(&here, &value, detail));
            }
            if place.level == Level::Root && name != "object" {
                out.push(FieldError::invalid(&here, &value, "must be object at the root"));
            }
            if name == "array" && !map.contains_key("items") {
                out.push(FieldError::required(&child(path, "items"), "must be specified"));
            }
        }
    }
}

fn check_map_type(map: &Map<String, Value>, path: &str, out: &mut Vec<FieldError>) {
    let Some(kind) = text(map, "x-kubernetes-map-type") else {
        return;
    };
    needs_type(map, "object", "x-kubernetes-map-type", path, out);
    if !matches!(kind, "atomic" | "granular") {
        let here = child(path, "x-kubernetes-map-type");
        out.push(FieldError::not_supported(
            &here,
            &Value::from(kind),
            &["atomic", "granular"],
        ));
    }
}

fn needs_type(map: &Map<String, Value>, ty: &str, key: &str, path: &str, out: &mut Vec<FieldError>) {
    let detail = format!("must be {ty} if {key} is specified");
    let here = child(path, "type");
    match text(map, "type") {
        None | Some("") => out.push(FieldError::required(&here, &detail)),
        Some(other) if other != ty => out.push(FieldError::invalid(&here, &Value::from(other), &detail)),
        Some(_) => {}
    }
}

fn check_list_type(map: &Map<String, Value>, path: &str, out: &mut Vec<FieldError>) {
    let kind = text(map, "x-kubernetes-list-type");
    let keys = texts(map, "x-kubernetes-list-map-keys");
    let (kind_at, keys_at) = (
        child(path, "x-kubernetes-list-type"),
        child(path, "x-kubernetes-list-map-keys"),
    );
    if !keys.is_empty() && kind != Some("map") {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        out.push(match kind {
            None => FieldError::required(&kind_at, detail),
            Some(kind) => FieldError::invalid(&kind_at, &Value::from(kind), detail),
        });
    }
    let Some(kind) = kind else { return };
    needs_type(map, "array", "x-kubernetes-list-type", path, out);
    if !matches!(kind, "atomic" | "set" | "map") {
        let supported = ["atomic", "set", "map"];
        out.push(FieldError::not_supported(&kind_at, &Value::from(kind), &supported));
        return;
    }
    let items_at = child(path, "items");
    let items = map.get("items").and_then(Value::as_object);
    if kind != "atomic" && items.is_some_and(|items| flag(items, "nullable")) {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {kind}");
        out.push(FieldError::forbidden(&child(&items_at, "nullable"), &detail));
    }
    match (kind, items) {
        ("set", Some(items)) => {
            let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
            let inner = |key: &str| text(items, key);
            if inner("type") == Some("object") && inner("x-kubernetes-map-type") != Some("atomic") {
                let here = child(&items_at, "x-kubernetes-map-type");
                out.push(FieldError::invalid(&here, &Value::Null, detail));
            }
            if let (Some("array"), Some(other @ ("set" | "map"))) = (inner("type"), inner("x-kubernetes-list-type")) {
                let here = child(&items_at, "x-kubernetes-list-type");
                out.push(FieldError::invalid(&here, &Value::from(other), detail));
            }
        }
        ("map", items) => {
            if keys.is_empty() {
                let detail = "must not be empty if x-kubernetes-list-type is map";
                out.push(FieldError::required(&keys_at, detail));
            }
            match items {
                None => {
                    let detail = "must have a schema if x-kubernetes-list-type is map";
                    out.push(FieldError::required(&items_at, detail));
                }
                Some(items) => check_map_keys(items, &keys, &items_at, &keys_at, out),
            }
        }
        _ => {}
    }
}

fn check_map_keys(
    items: &Map<String, Value>,
    keys: &[String],
    items_at: &str,
    keys_at: &str,
    out: &mut Vec<FieldError>,
) {
    let ty = text(items, "type").unwrap_or_default();
    if ty != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        out.push(FieldError::invalid(&child(items_at, "type"), &Value::from(ty), detail));
        return;
    }
    let required = texts(items, "required");
    for (i, key) in keys.iter().enumerate() {
        if keys[..i].contains(key) {
            let detail = "must not contain duplicate entries";
            out.push(FieldError::invalid(keys_at, &json!(keys), detail));
        }
        let property = items
            .get("properties")
            .and_then(|p| p.get(key))
            .and_then(Value::as_object);
        let Some(property) = property else {
            let detail = "entries must all be names of item properties";
            out.push(FieldError::invalid(keys_at, &json!(keys), detail));
            continue;
        };
        let here = index(&child(items_at, "properties"), key);
        if matches!(text(property, "type"), Some("array" | "object")) {
            let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            out.push(FieldError::invalid(&child(&here, "type"), &Value::from(ty), detail));
        }
        if !required.contains(key) && property.get("default").is_none_or(Value::is_null) {
            let detail =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            out.push(FieldError::required(&child(&here, "default"), detail));
        }
        if flag(property, "nullable") {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            out.push(FieldError::forbidden(&child(&here, "nullable"), detail));
        }
    }
}

fn check_extensions(map: &Map<String, Value>, place: &Place, path: &str, out: &mut Vec<FieldError>) {
    let (preserve, embedded) = ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource");
    if map.get(preserve) == Some(&Value::Bool(false)) {
        let here = child(path, preserve);
        out.push(FieldError::invalid(
            &here,
            &Value::Bool(false),
            "must be true or undefined",
        ));
    }
    for key in [preserve, embedded] {
        if flag(map, "x-kubernetes-int-or-string") && flag(map, key) {
            let detail = "must be false if x-kubernetes-int-or-string is true";
            out.push(FieldError::invalid(&child(path, key), &Value::Bool(true), detail));
        }
    }
    if flag(map, embedded) {
        if place.in_meta {
            let detail = "must not be used inside of resource meta";
            out.push(FieldError::forbidden(&child(path, embedded), detail));
        }
        if map.contains_key("additionalProperties") {
            let detail = "must not be used if x-kubernetes-embedded-resource is set";
            out.push(FieldError::forbidden(&child(path, "additionalProperties"), detail));
        }
        if !flag(map, preserve) && object(map, "properties").next().is_none() {
            let detail = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
            out.push(FieldError::required(&child(path, "properties"), detail));
        }
    }
}

/// `apiVersion`, `kind` and `metadata` of a resource are given: a schema may restrict them a little.
fn check_metadata(map: &Map<String, Value>, place: &Place, path: &str, out: &mut Vec<FieldError>) {
    if place.level != Level::Root && !flag(map, "x-kubernetes-embedded-resource") {
        return;
    }
    for (name, ty) in [("kind", "string"), ("apiVersion", "string"), ("metadata", "object")] {
        let here = index(&child(path, "properties"), name);
        let Some(property) = object(map, "properties").find(|(key, _)| *key == name).map(|(_, p)| p) else {
            continue;
        };
        let actual = property.get("type").and_then(Value::as_str).unwrap_or_default();
        if actual != ty {
            let detail = format!("must be {ty}");
            out.push(FieldError::invalid(
                &child(&here, "type"),
                &Value::from(actual),
                &detail,
            ));
        }
        if name == "metadata" && place.level == Level::Root {
            let only_names = property.as_object().is_none_or(|property| {
                object(property, "properties").all(|(key, _)| matches!(key.as_str(), "name" | "generateName"))
                    && property
                        .keys()
                        .all(|key| matches!(key.as_str(), "type" | "properties" | "description"))
            });
            if !only_names {
                let detail =
                    "must not specify anything other than name and generateName, but metadata is implicitly specified";
                out.push(FieldError::forbidden(&here, detail));
            }
        }
    }
}

/// Branches may bound values, not declare structure.
fn check_branches(map: &Map<String, Value>, path: &str, depth: usize, out: &mut Vec<FieldError>) {
    let int_or_string = flag(map, "x-kubernetes-int-or-string");
    for key in ["allOf", "anyOf", "oneOf"] {
        let branches = map.get(key).and_then(Value::as_array);
        for (i, branch) in branches.into_iter().flatten().enumerate() {
            let here = index(&child(path, key), i);
            // The one exception: int-or-string may say so in anyOf, or in the first allOf.
            let says_types = int_or_string
                && (key == "anyOf" && is_int_or_string(map.get("anyOf"))
                    || key == "allOf" && i == 0 && is_int_or_string(branch.get("anyOf")));
            if !says_types {
                check_branch(branch, &here, depth + 1, out);
            }
        }
    }
    if let Some(not) = map.get("not") {
        check_branch(not, &child(path, "not"), depth + 1, out);
    }
}

fn is_int_or_string(any_of: Option<&Value>) -> bool {
    any_of == Some(&json!([{ "type": "integer" }, { "type": "string" }]))
}

fn check_branch(branch: &Value, path: &str, depth: usize, out: &mut Vec<FieldError>) {
    let Some(map) = branch.as_object().filter(|_| depth < MAX_DEPTH) else {
        out.push(FieldError::invalid_unshown(path, "must be an object"));
        return;
    };
    let set = |key: &str| {
        !matches!(map.get(key), None | Some(Value::Null | Value::Bool(false))) && map.get(key) != Some(&json!(""))
    };
    for (key, detail) in [
        ("type", "must be empty to be structural"),
        ("additionalProperties", "must be undefined to be structural"),
        ("default", "must be undefined to be structural"),
        ("title", "must be empty to be structural"),
        ("description", "must be empty to be structural"),
        ("nullable", "must be false to be structural"),
        ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
        ("x-kubernetes-embedded-resource", "must be false to be structural"),
        ("x-kubernetes-int-or-string", "must be false to be structural"),
        ("x-kubernetes-list-map-keys", "must be empty to be structural"),
        ("x-kubernetes-list-type", "must be undefined to be structural"),
        ("x-kubernetes-map-type", "must be undefined to be structural"),
        ("x-kubernetes-validations", "must be empty to be structural"),
    ] {
        if set(key) {
            out.push(FieldError::forbidden(&child(path, key), detail));
        }
    }
    check_branches(map, path, depth, out);
    check_pattern(map, path, out);
    if let Some(items) = map.get("items") {
        check_branch(items, &child(path, "items"), depth + 1, out);
    }
    for (name, property) in object(map, "properties") {
        let here = index(&child(path, "properties"), name);
        if name == "metadata" {
            out.push(FieldError::forbidden(
                &here,
                "must not be specified in a nested context",
            ));
        }
        check_branch(property, &here, depth + 1, out);
    }
}

fn check_pattern(map: &Map<String, Value>, path: &str, out: &mut Vec<FieldError>) {
    let Some(pattern) = text(map, "pattern").filter(|p| !p.is_empty()) else {
        return;
    };
    if let Err(reason) = Pattern::compile(pattern) {
        let detail = format!("must be a valid regular expression, but isn't: {reason}");
        let here = child(path, "pattern");
        out.push(FieldError::invalid(&here, &Value::from(pattern), &detail));
    }
}

/// A default must itself be what the schema asks for.
fn check_default(map: &Map<String, Value>, openapi: &Value, path: &str, out: &mut Vec<FieldError>) {
    let Some(default) = map.get("default").filter(|d| !d.is_null()) else {
        return;
    };
    let here = child(path, "default");
    let node = Node::read(openapi, 0);
    let mut pruned = json!({ "default": default });
    let wrapper = Node {
        properties: [("default".to_owned(), node.clone())].into(),
        ..Node::default()
    };
    let unknown = prune::unknown_fields(&wrapper, &pruned);
    if let Some(field) = unknown.first() {
        let detail = format!(
            "must not have unknown fields, but has {}",
            field.trim_start_matches("default.")
        );
        out.push(FieldError::invalid(&here, default, &detail));
        return;
    }
    prune::fill(&wrapper, &mut pruned);
    let filled = pruned.get("default").unwrap_or(default);
    let mut errors = validate::validate(&node, filled, None);
    lists::check_uniqueness(&node, filled, "", &mut errors);
    out.extend(errors.into_iter().map(|error| error.below(&here)));
}

fn check_rules(map: &Map<String, Value>, openapi: &Value, place: &Place, path: &str, out: &mut Vec<FieldError>) {
    let rules = map.get("x-kubernetes-validations").and_then(Value::as_array);
    let rules = rules.into_iter().flatten();
    for (i, raw) in rules.enumerate() {
        let here = index(&child(path, "x-kubernetes-validations"), i);
        let value = |key: &str| raw.get(key).cloned().unwrap_or(Value::Null);
        let rule = match Rule::read(raw) {
            Ok(rule) => rule,
            Err(unfit) => {
                let at = child(&here, unfit.field);
                out.push(match unfit.error {
                    UnfitKind::Required(detail) => FieldError::required(&at, detail),
                    UnfitKind::Invalid { whole: true, detail } => FieldError::invalid(&at, raw, &detail),
                    UnfitKind::Invalid { whole: false, detail } => {
                        FieldError::invalid(&at, &value(unfit.field), &detail)
                    }
                    UnfitKind::NotSupported => {
                        let supported = [
                            "FieldValueDuplicate",
                            "FieldValueForbidden",
                            "FieldValueInvalid",
                            "FieldValueRequired",
                        ];
                        FieldError::not_supported(&at, &value(unfit.field), &supported)
                    }
                });
                continue;
            }
        };
        if let (true, Some(above)) = (rule.uses_old_self, &place.uncorrelated) {
            let detail = format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {above}");
            out.push(FieldError::invalid(&child(&here, "rule"), &value("rule"), &detail));
        }
        if let Some(field_path) = raw.get("fieldPath").and_then(Value::as_str).filter(|p| !p.is_empty())
            && !leads_somewhere(&Node::read(openapi, 0), field_path)
        {
            let at = child(&here, "fieldPath");
            out.push(FieldError::invalid(
                &at,
                &Value::from(field_path),
                "must be a valid path",
            ));
        }
    }
}

/// The entries of a map, none where it is no map.
fn object<'a>(map: &'a Map<String, Value>, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    map.get(key).and_then(Value::as_object).into_iter().flatten()
}
