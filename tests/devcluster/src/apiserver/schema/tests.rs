use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// The schema of the transcripts' Widget.
fn widget() -> (Value, Structural) {
    let crd = transcript(135)["body"].clone();
    let openapi = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    let schema = Structural::compile(&openapi).unwrap();
    (openapi, schema)
}

fn transcript(n: u64) -> Value {
    include_str!("../../../transcripts/kube-apiserver-1.36.3.jsonl")
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|line| line["n"] == n)
        .unwrap()
}

fn causes(line: &Value) -> Vec<(String, String, String)> {
    let text = |cause: &Value, key: &str| cause[key].as_str().unwrap().to_owned();
    let causes = line["response"]["details"]["causes"].as_array().unwrap().iter();
    causes
        .map(|c| (text(c, "field"), text(c, "reason"), text(c, "message")))
        .collect()
}

fn found(errors: &[FieldError]) -> Vec<(String, String, String)> {
    let parts = |e: &FieldError| (e.field.clone(), e.reason.as_str().to_owned(), e.message.clone());
    errors.iter().map(parts).collect()
}

/// What a write does to an object before it is checked.
fn prepared(schema: &Structural, object: &Value) -> Value {
    let mut object = object.clone();
    schema.prune(&mut object);
    schema.apply_defaults(&mut object);
    object
}

#[test]
fn refusals_are_those_of_the_real_server() {
    let (_, schema) = widget();
    // The object that 144 and 145 patch.
    let old = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"},
        "spec": {"n": 5, "mode": "A", "fixed": "1", "items": [{"name": "x", "v": 1}], "any": {"k": 1}}});
    for n in [144, 145, 146, 150] {
        let line = transcript(n);
        let (mut new, old) = match line["method"].as_str() {
            Some("POST") => (line["body"].clone(), None),
            _ => (old.clone(), Some(&old)),
        };
        if old.is_some() {
            json_patch::merge(&mut new, &line["body"]);
        }
        let errors = schema.validate(&prepared(&schema, &new), old);
        assert_eq!(found(&errors), causes(&line), "transcript {n}");
    }
}

#[test]
fn defaults_and_pruning_give_the_recorded_objects() {
    let (_, schema) = widget();
    for n in [138, 147, 149] {
        let line = transcript(n);
        let object = prepared(&schema, &line["body"]);
        let mut recorded = line["response"].clone();
        recorded["metadata"] = object["metadata"].clone();
        assert_eq!(object, recorded, "transcript {n}");
    }
    assert_eq!(schema.unknown_fields(&transcript(148)["body"]), ["spec.nope"]);
}

#[test]
fn a_null_that_may_not_be_gives_way_to_the_default_or_goes() {
    let schema = Structural::compile(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "a": {"type": "integer", "default": 1}, "b": {"type": "integer"}, "c": {"type": "integer", "nullable": true, "default": 2},
        "m": {"type": "object", "additionalProperties": {"type": "string"}}}}}}))
    .unwrap();
    let object = json!({"spec": {"a": null, "b": null, "c": null, "m": {"k": null, "l": "v"}}});
    let expected = json!({"spec": {"a": 1, "c": null, "m": {"l": "v"}}});
    assert_eq!(prepared(&schema, &object), expected);
}

#[test]
fn unchanged_invalid_values_pass_and_changed_ones_do_not() {
    let schema = Structural::compile(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "n": {"type": "integer", "maximum": 5}, "other": {"type": "string"},
        "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {"type": "object",
            "required": ["k"], "properties": {"k": {"type": "string"}, "v": {"type": "string", "enum": ["a"]}},
            "x-kubernetes-validations": [{"rule": "self.k != 'bad'"}]}}}}}}))
    .unwrap();
    let old = json!({"spec": {"n": 9, "list": [{"k": "bad", "v": "zz"}, {"k": "2", "v": "a"}]}});
    let reordered = json!({"spec": {"n": 9, "other": "x", "list": [{"k": "2", "v": "a"}, {"k": "bad", "v": "zz"}]}});
    assert_eq!(schema.validate(&reordered, Some(&old)), []);
    let changed = json!({"spec": {"n": 8, "list": [{"k": "bad", "v": "yy"}]}});
    let fields: Vec<String> = schema
        .validate(&changed, Some(&old))
        .into_iter()
        .map(|e| e.field)
        .collect();
    assert_eq!(fields, ["spec.list[0].v", "spec.n", WHOLE_OBJECT]);
    assert!(schema.validate(&old, None).len() >= 2);
}

#[test]
fn rules_see_old_items_by_key_and_tell_their_own_message() {
    let schema = Structural::compile(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "pools": {"type": "array", "maxItems": 9, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
            "x-kubernetes-validations": [{"rule": "self.size >= oldSelf.size", "reason": "FieldValueForbidden", "fieldPath": ".size",
                "messageExpression": "'size ' + string(self.size) + ' is less than ' + string(oldSelf.size)"}]}},
        "at": {"type": "string", "format": "date-time"},
        "first": {"type": "string", "x-kubernetes-validations": [{"rule": "oldSelf.hasValue() || self == 'new'", "optionalOldSelf": true,
            "message": "must begin as new"}]}},
        "x-kubernetes-validations": [{"rule": "!has(self.at) || self.at > timestamp('2026-01-01T00:00:00Z')", "message": "too early"}]}}}))
    .unwrap();
    let old = json!({"spec": {"pools": [{"name": "a", "size": 3}, {"name": "b", "size": 5}]}});
    let new =
        json!({"spec": {"pools": [{"name": "b", "size": 4}, {"name": "a", "size": 3}, {"name": "c", "size": 1}]}});
    assert_eq!(
        found(&schema.validate(&new, Some(&old))),
        [(
            "spec.pools[0].size".to_owned(),
            "FieldValueForbidden".to_owned(),
            "Forbidden: size 4 is less than 5".to_owned()
        )]
    );
    let refused = json!({"spec": {"at": "2025-01-01T00:00:00Z", "first": "old"}});
    let messages: Vec<String> = schema.validate(&refused, None).into_iter().map(|e| e.message).collect();
    assert_eq!(
        messages,
        ["Invalid value: too early", "Invalid value: \"old\": must begin as new"]
    );
    assert_eq!(schema.validate(&refused, Some(&refused)), []);
}

#[test]
fn a_rule_that_cannot_be_evaluated_refuses_the_object() {
    let schema = Structural::compile(&json!({"type": "object", "properties": {"m": {"type": "object",
        "additionalProperties": {"type": "integer"}, "x-kubernetes-validations": [{"rule": "self['k'] / self['z'] > 0"}]}}}))
    .unwrap();
    let message = |object: Value| schema.validate(&object, None).remove(0).message;
    let rule = "evaluating rule: self['k'] / self['z'] > 0";
    assert_eq!(
        message(json!({"m": {"z": 1}})),
        format!("Invalid value: \"object\": no such key: k {rule}")
    );
    assert_eq!(
        message(json!({"m": {"k": 1, "z": 0}})),
        format!("Invalid value: \"object\": division by zero {rule}")
    );
}

#[test]
fn a_quadratic_rule_on_a_big_list_blows_the_fuse() {
    let schema = Structural::compile(
        &json!({"type": "object", "properties": {"list": {"type": "array", "items": {"type": "string"},
        "x-kubernetes-validations": [{"rule": "self.all(a, self.exists_one(b, a == b))"}]}}}),
    )
    .unwrap();
    let items: Vec<String> = (0..2000).map(|i| i.to_string()).collect();
    let errors = schema.validate(&json!({ "list": items }), None);
    assert!(errors[0].message.contains("call cost exceeds limit"), "{errors:?}");
    assert_eq!(schema.validate(&json!({ "list": ["a", "b"] }), None), []);
}

#[test]
fn schemas_that_are_not_structural_are_refused_with_the_field() {
    let object = |spec: Value| json!({"type": "object", "properties": {"spec": spec}});
    let cases = [
        (
            json!({"properties": {}}),
            "type",
            "Required value: must not be empty at the root",
        ),
        (
            object(json!({"properties": {"a": {"type": "string"}}})),
            "properties[spec].type",
            "Required value: must not be empty for specified object fields",
        ),
        (
            object(json!({"type": "array"})),
            "properties[spec].items",
            "Required value: must be specified",
        ),
        (
            object(json!({"type": "object", "anyOf": [{"type": "object"}]})),
            "properties[spec].anyOf[0].type",
            "Forbidden: must be empty to be structural",
        ),
        (
            object(json!({"type": "integer", "default": "x"})),
            "properties[spec].default",
            "Invalid value: \"string\":  in body must be of type integer: \"string\"",
        ),
        (
            object(json!({"type": "string", "pattern": "("})),
            "properties[spec].pattern",
            "Invalid value: \"(\": must be a valid regular expression, but isn't: error: unclosed group",
        ),
        (
            object(
                json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                "items": {"type": "object", "properties": {"k": {"type": "string"}}}}),
            ),
            "properties[spec].items.properties[k].default",
            "Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
        ),
        (
            object(
                json!({"type": "object", "additionalProperties": {"type": "string"}, "properties": {"a": {"type": "string"}}}),
            ),
            "properties[spec].additionalProperties",
            "Forbidden: additionalProperties and properties are mutual exclusive",
        ),
        (
            object(
                json!({"type": "array", "items": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}}),
            ),
            "properties[spec].items.x-kubernetes-validations[0].rule",
            "Invalid value: \"self == oldSelf\": oldSelf cannot be used on the uncorrelatable portion of the schema within properties[spec]",
        ),
    ];
    for (schema, field, message) in cases {
        let problems = Structural::problems(&schema);
        assert_eq!(
            problems.first().map(|p| (p.field.as_str(), p.message.as_str())),
            Some((field, message)),
            "{schema}"
        );
        let error = Structural::compile(&schema).unwrap_err();
        assert_eq!(error.field, format!("openAPIV3Schema.{field}"));
    }
    for rule in ["self.", "nope > 1", "self.a ==", "(((((((((((((((((((((((((((((((((((1"] {
        let schema = object(json!({"type": "integer", "x-kubernetes-validations": [{ "rule": rule }]}));
        let problem = Structural::problems(&schema).remove(0);
        assert_eq!(problem.field, "properties[spec].x-kubernetes-validations[0].rule");
        assert!(problem.message.contains("compilation failed"), "{problem:?}");
    }
}

#[test]
fn our_own_definitions_are_sound_and_their_rules_run() {
    let mut rules = 0;
    for definition in neo4j_operator_crds::definition::manifests() {
        let openapi = neo4j_operator_crds::definition::schema(&definition);
        assert_eq!(Structural::problems(openapi), [], "{}", definition["metadata"]["name"]);
        let schema = Structural::compile(openapi).unwrap();
        rules += openapi.to_string().matches("\"rule\":").count();
        let kind = &definition["spec"]["names"]["kind"];
        let empty = prepared(
            &schema,
            &json!({"apiVersion": "neo4j.neo4j.com/v1beta1", "kind": kind, "metadata": {"name": "a"}}),
        );
        let errors = schema.validate(&empty, None);
        assert!(errors.iter().any(|e| e.field == "spec"), "{kind}: {errors:?}");
    }
    assert!(rules > 20, "{rules} rules");
}

#[test]
fn branches_are_value_validations() {
    let schema = Structural::compile(&json!({"type": "object", "properties": {"spec": {"type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}, "port": {"x-kubernetes-int-or-string": true}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}], "not": {"properties": {"a": {"enum": ["x"]}}, "required": ["a"]}}}}))
    .unwrap();
    let messages = |spec: Value| -> Vec<String> {
        let errors = schema.validate(&json!({ "spec": spec }), None);
        errors
            .into_iter()
            .map(|e| format!("{}: {}", e.field, e.message))
            .collect()
    };
    assert!(messages(json!({"a": "1", "port": "http"})).is_empty());
    assert_eq!(
        messages(json!({})),
        [
            "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found none valid",
            "spec.a: Required value"
        ]
    );
    assert_eq!(
        messages(json!({"a": "1", "b": "1"})),
        [
            "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found 2 valid alternatives"
        ]
    );
    assert_eq!(
        messages(json!({"a": "x", "port": true})),
        [
            "<nil>: Invalid value: \"\": \"spec\" must not validate the schema (not)",
            "spec.port: Invalid value: \"boolean\": spec.port in body must be of type integer,string: \"boolean\""
        ]
    );
}

/// Any JSON, with the names that schemas give meaning to.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z(\\[]{0,4}".prop_map(Value::from),
        prop_oneof![
            Just("object"),
            Just("array"),
            Just("string"),
            Just("integer"),
            Just("map")
        ]
        .prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("type"),
        Just("properties"),
        Just("items"),
        Just("default"),
        Just("spec"),
        Just("metadata"),
        Just("name"),
        Just("n"),
        Just("mode"),
        Just("fixed"),
        Just("any"),
        Just("status"),
        Just("conditions"),
        Just("required"),
        Just("additionalProperties"),
        Just("x-kubernetes-validations"),
        Just("rule"),
        Just("enum"),
        Just("anyOf"),
        Just("not"),
        Just("x-kubernetes-list-type"),
        Just("x-kubernetes-list-map-keys"),
        Just("pattern"),
        Just("nullable"),
    ]
    .prop_map(str::to_owned);
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            proptest::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn preparing_an_object_twice_changes_nothing_more_and_nothing_panics(object in any_json(), old in any_json()) {
        let (_, schema) = widget();
        let once = prepared(&schema, &object);
        prop_assert_eq!(&prepared(&schema, &once), &once);
        prop_assert!(schema.unknown_fields(&once).is_empty());
        let _ = schema.validate(&object, Some(&old));
        prop_assert!(schema.validate(&once, Some(&once)).iter().all(|e| e.field != "spec.n"));
    }

    #[test]
    fn any_schema_compiles_or_is_refused_and_then_holds_any_object(openapi in any_json(), object in any_json()) {
        if let Ok(schema) = Structural::compile(&openapi) {
            let prepared = prepared(&schema, &object);
            let _ = schema.validate(&prepared, Some(&object));
        }
    }
}
