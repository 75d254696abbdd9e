//! A judge of objects by the generated schema: types, bounds, words, unknown fields, CEL.
//!
//! It knows what our schemas use and panics at a keyword that it does not know, so that no check
//! can be skipped unseen.

use std::{collections::BTreeSet, sync::LazyLock};

use kube_cel::{CompiledSchema, Validator, apply_defaults, compile_schema};
use neo4j_operator_crds::definition::{manifests, schema};
use regex::Regex;
use serde_json::Value;

/// Kind, schema and compiled rules.
static SCHEMAS: LazyLock<Vec<(String, Value, CompiledSchema)>> = LazyLock::new(|| {
    let compile = |definition: Value| {
        let kind = definition["spec"]["names"]["kind"].as_str().unwrap().to_owned();
        let schema = schema(&definition).clone();
        let compiled = compile_schema(&schema);
        assert!(!compiled.has_errors(), "{kind}: {:?}", compiled.compilation_errors());
        (kind, schema, compiled)
    };
    manifests().into_iter().map(compile).collect()
});

/// What an API server would say to an object: `field: why` for each cause, empty when it is taken.
pub fn refusals(object: &Value, old: Option<&Value>) -> Vec<String> {
    let (_, schema, compiled) = SCHEMAS
        .iter()
        .find(|(kind, ..)| object["kind"] == kind.as_str())
        .expect("our kind");
    let object = apply_defaults(schema, object);
    let old = old.map(|old| apply_defaults(schema, old));
    let mut causes = Vec::new();
    check(schema, &object, "", &mut causes);
    if let Err(errors) = Validator::new().validate_compiled(compiled, &object, old.as_ref()) {
        causes.extend(
            errors
                .into_vec()
                .into_iter()
                .map(|error| format!("{}: {}", error.field_path, error.message)),
        );
    }
    causes
}

fn check(schema: &Value, value: &Value, path: &str, causes: &mut Vec<String>) {
    let mut say = |why: String| causes.push(format!("{path}: {why}"));
    if schema["x-kubernetes-int-or-string"] == true {
        if !(value.is_string() || value.is_i64()) {
            say("must be an integer or a string".to_owned());
        }
        return;
    }
    let fits = match schema["type"].as_str() {
        None => return,
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64(),
        Some("number") => value.is_number(),
        Some(other) => panic!("{path}: type {other} is new here"),
    };
    if !fits {
        return say(format!("must be of type {}", schema["type"]));
    }
    for (keyword, bound) in schema.as_object().expect("a schema is an object") {
        let length = || match value {
            Value::String(text) => text.chars().count() as u64,
            Value::Array(items) => items.len() as u64,
            Value::Object(fields) => fields.len() as u64,
            _ => 0,
        };
        let broken = match keyword.as_str() {
            "enum" => !bound.as_array().unwrap().contains(value),
            "minimum" => value.as_i64() < bound.as_i64(),
            "maximum" => value.as_i64() > bound.as_i64(),
            "minLength" | "minItems" => length() < bound.as_u64().unwrap(),
            "maxLength" | "maxItems" | "maxProperties" => length() > bound.as_u64().unwrap(),
            "pattern" => !Regex::new(bound.as_str().unwrap())
                .unwrap()
                .is_match(value.as_str().unwrap_or_default()),
            "type"
            | "description"
            | "default"
            | "properties"
            | "required"
            | "items"
            | "additionalProperties"
            | "format"
            | "x-kubernetes-validations"
            | "x-kubernetes-preserve-unknown-fields"
            | "x-kubernetes-list-type"
            | "x-kubernetes-list-map-keys" => false,
            other => panic!("{path}: keyword {other} is new here"),
        };
        if broken {
            say(format!("breaks {keyword} {bound}"));
        }
    }
    match value {
        Value::Object(fields) => check_fields(schema, fields, path, causes),
        Value::Array(items) => check_items(schema, items, path, causes),
        _ => {}
    }
}

fn check_fields(schema: &Value, fields: &serde_json::Map<String, Value>, path: &str, causes: &mut Vec<String>) {
    let join = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    for name in schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if !fields.contains_key(name) {
            causes.push(format!("{}: is required", join(name)));
        }
    }
    for (name, value) in fields {
        if path.is_empty() && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
            continue;
        }
        match (&schema["properties"][name], &schema["additionalProperties"]) {
            (Value::Null, Value::Null) if schema["x-kubernetes-preserve-unknown-fields"] == true => {}
            (Value::Null, Value::Null) => causes.push(format!("{}: is no field", join(name))),
            (Value::Null, any) => check(any, value, &format!("{path}[{name}]"), causes),
            (property, _) => check(property, value, &join(name), causes),
        }
    }
}

fn check_items(schema: &Value, items: &[Value], path: &str, causes: &mut Vec<String>) {
    for (index, item) in items.iter().enumerate() {
        check(&schema["items"], item, &format!("{path}[{index}]"), causes);
    }
    if schema["x-kubernetes-list-type"] == "map" {
        let keys = schema["x-kubernetes-list-map-keys"].as_array().unwrap();
        let key = |item: &Value| {
            keys.iter()
                .map(|key| item[key.as_str().unwrap()].to_string())
                .collect::<Vec<_>>()
        };
        let mut seen = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            if !seen.insert(key(item)) {
                causes.push(format!("{path}[{index}]: stands here twice"));
            }
        }
    }
}
