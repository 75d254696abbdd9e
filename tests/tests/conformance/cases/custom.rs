//! D47–D49: definitions and the resources that they define.

use serde_json::{Value, json};

use super::cases;
use crate::{definitions::definition, session::Session};

cases![
    d47_definition_is_established,
    d47_definition_goes_with_its_objects,
    d47_refused_definitions,
    d48_unknown_fields_are_pruned,
    d48_pruned_on_read,
    d49_schema_update_rewrites_nothing,
    d49_unchanged_invalid_values_pass,
    d47_scale,
    d47_scale_of_a_statefulset,
    d47_two_versions,
    d47_table_of_columns,
    d47_rules_with_messages,
];

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// A group of the case's own.
fn group(s: &Session) -> String {
    format!("{}.example.com", s.namespace)
}

fn schema(spec: Value) -> Value {
    json!({"type": "object", "properties": {"spec": {"type": "object", "properties": spec}}})
}

/// Makes a definition `things` and waits until it is served; answers its path and that of its objects.
async fn define(s: &mut Session, schema: &Value) -> (String, String) {
    let group = group(s);
    s.post(DEFINITIONS, definition(&group, "things", "Thing", schema))
        .await
        .is(201);
    let path = format!("{DEFINITIONS}/things.{group}");
    established(s, &path).await;
    (path, format!("/apis/{group}/v1/namespaces/{}/things", s.namespace))
}

async fn established(s: &mut Session, path: &str) {
    let is = |d: &crate::session::Answer| {
        let conditions = d.body["status"]["conditions"].as_array();
        conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Established" && c["status"] == "True"))
    };
    s.until_quietly(path, is).await;
}

/// Waits until the endpoints follow the definition: `path` answers `code`.
async fn served(s: &mut Session, path: &str, code: u16) {
    s.until_quietly(path, |a| a.code == code).await;
}

/// Waits until the versions are listed: a real server fills its discovery apart from what it serves.
async fn discovered(s: &mut Session, versions: &[&str]) {
    let group = group(s);
    for version in versions {
        s.until_quietly(&format!("/apis/{group}/{version}"), |a| a.code == 200)
            .await;
    }
    s.until_quietly(&format!("/apis/{group}"), |a| {
        let listed = a.body["versions"].as_array().map_or(0, Vec::len);
        listed == versions.len()
    })
    .await;
}

fn thing(s: &Session, name: &str, spec: Value) -> Value {
    json!({"apiVersion": format!("{}/v1", group(s)), "kind": "Thing", "metadata": {"name": name}, "spec": spec})
}

async fn d47_definition_is_established(s: &mut Session) {
    let (path, things) = define(s, &schema(json!({"n": {"type": "integer"}}))).await;
    served(s, &things, 200).await;
    s.get(&path).await.is(200);
    s.get(&things).await.is(200);
    discovered(s, &["v1"]).await;
    s.get(&format!("/apis/{}", group(s))).await.is(200);
    s.get(&format!("/apis/{}/v1", group(s))).await.is(200);
}

async fn d47_definition_goes_with_its_objects(s: &mut Session) {
    let (path, things) = define(s, &schema(json!({"n": {"type": "integer"}}))).await;
    served(s, &things, 200).await;
    let mut object = thing(s, "t", json!({"n": 1}));
    object["metadata"]["finalizers"] = json!(["e.com/f"]);
    s.post(&things, object).await.is(201);
    s.delete(&path, Value::Null).await.is(200);
    s.until_quietly(&format!("{things}/t"), |a| {
        a.body["metadata"]["deletionTimestamp"].is_string()
    })
    .await;
    let more = thing(s, "u", json!({}));
    s.post(&things, more).await;
    s.merge(&format!("{things}/t"), json!({"metadata": {"finalizers": null}}))
        .await
        .is(200);
    served(s, &path, 404).await;
    served(s, &things, 404).await;
    s.get(&things).await.is(404);
}

async fn d47_refused_definitions(s: &mut Session) {
    let group = group(s);
    let good = definition(&group, "things", "Thing", &schema(json!({"n": {"type": "integer"}})));
    let with = |change: &dyn Fn(&mut Value)| {
        let mut bad = good.clone();
        change(&mut bad);
        bad
    };
    let at = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/n";
    for bad in [
        with(&|d| d["metadata"]["name"] = json!("other.example.com")),
        with(&|d| d["spec"]["versions"][0]["storage"] = json!(false)),
        with(&|d| d["spec"]["versions"][0]["schema"] = Value::Null),
        with(&|d| *d.pointer_mut(at).unwrap() = json!({})),
        with(&|d| *d.pointer_mut(at).unwrap() = json!({"type": "odd"})),
        with(&|d| *d.pointer_mut(at).unwrap() = json!({"type": "integer", "default": "x"})),
        with(&|d| {
            *d.pointer_mut(at).unwrap() = json!({"type": "integer", "x-kubernetes-validations": [{"rule": "self +"}]});
        }),
        with(&|d| {
            *d.pointer_mut(at).unwrap() =
                json!({"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object"}});
        }),
        with(&|d| d["spec"]["scope"] = json!("Odd")),
        with(&|d| d["spec"]["group"] = json!("")),
    ] {
        s.post(DEFINITIONS, bad).await.is(422);
    }
}

async fn d48_unknown_fields_are_pruned(s: &mut Session) {
    let spec = json!({"n": 1, "odd": {"deep": 1}, "any": {"kept": {"deep": [1]}}, "ports": [{"port": 1, "odd": 1}]});
    let made = s
        .post("widgets", json!({"metadata": {"name": "w"}, "spec": spec, "extra": 1}))
        .await
        .is(201);
    assert!(made.body["spec"].get("odd").is_none());
    s.merge("widgets/w", json!({"spec": {"odd": 1}})).await.is(200);
    s.merge("widgets/w/status", json!({"status": {"odd": 1, "phase": "x"}}))
        .await
        .is(200);
    s.json_patch(
        "widgets/w",
        json!([{"op": "add", "path": "/spec/any/more", "value": {"x": null}}]),
    )
    .await
    .is(200);
}

async fn d48_pruned_on_read(s: &mut Session) {
    let (path, things) = define(s, &schema(json!({"n": {"type": "integer"}, "old": {"type": "string"}}))).await;
    served(s, &things, 200).await;
    let object = thing(s, "t", json!({"n": 1, "old": "kept"}));
    let made = s.post(&things, object).await.is(201);
    let narrow =
        json!([{"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/old"}]);
    s.json_patch(&path, narrow).await.is(200);
    let one = format!("{things}/t");
    s.until_quietly(&one, |a| a.body["spec"].get("old").is_none()).await;
    let read = s.get(&one).await.is(200);
    assert_eq!(read.rv(), made.rv());
    s.get(&things).await.is(200);
}

async fn d49_schema_update_rewrites_nothing(s: &mut Session) {
    let (path, things) = define(s, &schema(json!({"n": {"type": "integer"}}))).await;
    served(s, &things, 200).await;
    let object = thing(s, "t", json!({"n": 1}));
    let made = s.post(&things, object).await.is(201);
    let more = json!([{"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/more", "value": {"type": "string", "default": "new"}}]);
    s.json_patch(&path, more).await.is(200);
    let one = format!("{things}/t");
    s.until_quietly(&one, |a| a.body["spec"].get("more").is_some()).await;
    let read = s.get(&one).await.is(200);
    assert_eq!((read.rv(), read.text("/spec/more")), (made.rv(), "new"));
    s.merge(&one, json!({"metadata": {"labels": {"a": "b"}}})).await.is(200);
}

async fn d49_unchanged_invalid_values_pass(s: &mut Session) {
    let (path, things) = define(s, &schema(json!({"n": {"type": "integer"}, "m": {"type": "integer"}}))).await;
    served(s, &things, 200).await;
    let object = thing(s, "t", json!({"n": 50, "m": 1}));
    s.post(&things, object).await.is(201);
    let tight = json!([{"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/n/maximum", "value": 10}]);
    s.json_patch(&path, tight).await.is(200);
    let probe = thing(s, "probe", json!({"n": 51}));
    while s.quiet_post(&format!("{things}?dryRun=All"), &probe).await.code != 422 {}
    let one = format!("{things}/t");
    s.merge(&one, json!({"metadata": {"labels": {"a": "b"}}})).await;
    s.merge(&one, json!({"spec": {"m": 2}})).await;
    s.merge(&one, json!({"spec": {"n": 51}})).await.refused(422, "Invalid");
    s.merge(&one, json!({"spec": {"n": 9}})).await.is(200);
}

async fn d47_scale(s: &mut Session) {
    s.post("widgets", json!({"metadata": {"name": "w"}, "spec": {"replicas": 3}}))
        .await
        .is(201);
    s.merge(
        "widgets/w/status",
        json!({"status": {"replicas": 2, "selector": "a=b"}}),
    )
    .await
    .is(200);
    let mut scale = s.get("widgets/w/scale").await.is(200).body;
    s.merge("widgets/w/scale", json!({"spec": {"replicas": 4}}))
        .await
        .is(200);
    s.put("widgets/w/scale", scale.clone()).await.refused(409, "Conflict");
    scale["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    scale["spec"]["replicas"] = json!(5);
    s.put("widgets/w/scale", scale).await;
    s.merge("widgets/w/scale", json!({"spec": {"replicas": -1}})).await;
    s.get("plains/none/scale").await.is(404);
    s.get("widgets/w").await.is(200);
}

async fn d47_scale_of_a_statefulset(s: &mut Session) {
    s.post("statefulsets", super::life::set("s")).await.is(201);
    s.get("statefulsets/s/scale").await.is(200);
    s.merge("statefulsets/s/scale", json!({"spec": {"replicas": 4}}))
        .await
        .is(200);
    s.merge("statefulsets/s/scale", json!({"spec": {"replicas": -4}}))
        .await
        .refused(422, "Invalid");
    s.get("statefulsets/s").await.is(200);
}

async fn d47_two_versions(s: &mut Session) {
    let group = group(s);
    let mut definition = definition(&group, "things", "Thing", &schema(json!({"n": {"type": "integer"}})));
    let mut second = definition["spec"]["versions"][0].clone();
    second["name"] = json!("v2beta1");
    second["storage"] = json!(false);
    definition["spec"]["versions"].as_array_mut().unwrap().push(second);
    s.post(DEFINITIONS, definition).await.is(201);
    let path = format!("{DEFINITIONS}/things.{group}");
    established(s, &path).await;
    let at = |version: &str| format!("/apis/{group}/{version}/namespaces/{}/things", s.namespace);
    let (v1, v2) = (at("v1"), at("v2beta1"));
    served(s, &v1, 200).await;
    served(s, &v2, 200).await;
    let object = thing(s, "t", json!({"n": 1}));
    s.post(&v1, object).await.is(201);
    s.get(&format!("{v2}/t")).await.is(200);
    s.merge(&format!("{v2}/t"), json!({"spec": {"n": 2}})).await.is(200);
    s.get(&v1).await.is(200);
    discovered(s, &["v1", "v2beta1"]).await;
    s.get(&format!("/apis/{group}")).await.is(200);
}

async fn d47_table_of_columns(s: &mut Session) {
    s.post(
        "widgets",
        json!({"metadata": {"name": "w", "creationTimestamp": null}, "spec": {"mode": "Fast"}}),
    )
    .await
    .is(201);
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    s.send("GET", "widgets/w", "", table, Value::Null).await.is(200);
    s.send("GET", "widgets?includeObject=None", "", table, Value::Null)
        .await
        .is(200);
    s.send("GET", "widgets?includeObject=Odd", "", table, Value::Null).await;
}

async fn d47_rules_with_messages(s: &mut Session) {
    let rules = json!({
        "type": "object",
        "properties": {"spec": {
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "integer"}, "list": {"type": "array", "maxItems": 5, "items": {"type": "string", "maxLength": 10}}},
            "x-kubernetes-validations": [
                {"rule": "self.b >= 0", "message": "b is negative", "reason": "FieldValueForbidden", "fieldPath": ".b"},
                {"rule": "!has(self.list) || self.list.all(x, x.startsWith('x'))", "message": "list"},
                {"rule": "!has(oldSelf.a) || has(self.a)", "message": "a may not go"},
            ],
        }},
    });
    let (_, things) = define(s, &rules).await;
    served(s, &things, 200).await;
    let object = thing(s, "bad", json!({"b": -1, "list": ["x", "y"]}));
    s.post(&things, object).await.refused(422, "Invalid");
    let object = thing(s, "missing", json!({}));
    s.post(&things, object).await;
    let object = thing(s, "good", json!({"a": "x", "b": 1}));
    s.post(&things, object).await.is(201);
    s.merge(&format!("{things}/good"), json!({"spec": {"a": null}}))
        .await
        .refused(422, "Invalid");
}
