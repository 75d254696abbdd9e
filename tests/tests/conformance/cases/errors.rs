//! D41–D46, D50–D52: refusals, limits, rights, and the small kinds with rules of their own.

use serde_json::{Value, json};

use super::cases;
use crate::session::{APPLY, JSON, JSON_PATCH, MERGE, STRATEGIC, Session};

cases![
    d41_not_found,
    d41_conflict_and_already_exists,
    d41_bodies_that_cannot_be_read,
    d41_methods_and_media_types,
    d41_many_causes,
    d42_unknown_fields,
    d42_duplicate_keys,
    d42_validation_of_custom_resources,
    d43_large_bodies,
    d43_large_objects,
    d43_large_annotations,
    d45_event_series,
    d46_lease_is_a_lock,
    d50_role_escalation,
    d51_test_of_a_missing_member,
    d51_json_patch_errors,
    d52_events_of_both_groups,
    d52_event_refusals,
    d41_merge_and_strategic_patches,
    d41_strategic_directives,
];

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"k": "v"}})
}

async fn d41_not_found(s: &mut Session) {
    s.get("configmaps/none").await.refused(404, "NotFound");
    s.get("widgets/none").await.refused(404, "NotFound");
    s.delete("statefulsets/none", Value::Null)
        .await
        .refused(404, "NotFound");
    s.get("/api/v1/namespaces/none-at-all").await.refused(404, "NotFound");
    s.get("/api/v1/nonsense").await.is(404);
    s.get("/apis/nonsense.example.com/v1/things").await.is(404);
    s.get("/apis/conformance.neo4j.com/v7/widgets").await.is(404);
    s.get("configmaps/none/status").await.is(404);
    s.get("plains/none/status").await.is(404);
    s.post("/api/v1/namespaces/none-at-all/configmaps", map("a"))
        .await
        .refused(404, "NotFound");
    s.get("/api/v1/namespaces/none-at-all/configmaps").await.is(200);
}

async fn d41_conflict_and_already_exists(s: &mut Session) {
    let first = s.post("configmaps", map("a")).await.is(201);
    s.post("configmaps", map("a")).await.refused(409, "AlreadyExists");
    s.post("configmaps?dryRun=All", map("a"))
        .await
        .refused(409, "AlreadyExists");
    s.merge("configmaps/a", json!({"data": {"k": "w"}})).await.is(200);
    s.put("configmaps/a", first.body).await.refused(409, "Conflict");
}

async fn d41_bodies_that_cannot_be_read(s: &mut Session) {
    for body in [
        json!("{"),
        json!("[]"),
        json!("\"text\""),
        json!("null"),
        Value::Null,
        json!({}),
        json!({"apiVersion": "v1", "kind": "Secret"}),
    ] {
        let path = s.path("configmaps");
        s.send("POST", &path, JSON, "", body).await;
    }
    let path = s.path("configmaps");
    for body in [
        json!({"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "a"}}),
        json!({"apiVersion": "v1", "kind": "Nonsense", "metadata": {"name": "a"}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": []}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": 5}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": "x"}),
        json!({"kind": "ConfigMap", "metadata": {"name": "without-version"}}),
        json!({"apiVersion": "v1", "metadata": {"name": "without-kind"}}),
    ] {
        s.send("POST", &path, JSON, "", body).await;
    }
    let widgets = s.path("widgets");
    s.send("POST", &widgets, JSON, "", json!({"metadata": {"name": "bare"}}))
        .await;
    s.post("widgets", json!({"metadata": {"name": "typed"}, "spec": "text"}))
        .await;
    s.post("widgets", json!({"metadata": {"name": "typed", "labels": {"a": 1}}}))
        .await;
}

async fn d41_methods_and_media_types(s: &mut Session) {
    s.send("PUT", "configmaps", JSON, "", json!({})).await.is(405);
    s.send("POST", "configmaps/a", JSON, "", json!({})).await.is(405);
    s.send("DELETE", "/api/v1/namespaces", JSON, "", Value::Null).await;
    s.post("configmaps", map("a")).await.is(201);
    let patch = json!({"data": {"k": "w"}});
    s.send("PATCH", "configmaps/a", JSON, "", patch.clone()).await.is(415);
    s.send("PATCH", "configmaps/a", "", "", patch.clone()).await.is(415);
    s.post("widgets", json!({"metadata": {"name": "w"}})).await.is(201);
    s.send("PATCH", "widgets/w", STRATEGIC, "", json!({"spec": {}}))
        .await
        .is(415);
    s.send("POST", "configmaps", "text/plain", "", json!("x")).await;
    s.send(
        "POST",
        "configmaps",
        "application/yaml",
        "",
        json!("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yaml}\n"),
    )
    .await
    .is(201);
    s.send("GET", "configmaps/a", "", "text/html", Value::Null)
        .await
        .is(406);
    s.send(
        "GET",
        "configmaps/a",
        "",
        "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
        Value::Null,
    )
    .await
    .is(200);
    s.send(
        "GET",
        "configmaps/a",
        "",
        "application/json;as=Nonsense;v=v1;g=meta.k8s.io",
        Value::Null,
    )
    .await;
    s.send("GET", "configmaps/a", "", "text/html, */*", Value::Null)
        .await
        .is(200);
}

async fn d41_many_causes(s: &mut Session) {
    let spec = json!({"n": 101, "mode": "Wild", "nick": "Too-Long", "size": 1.5, "replicas": "x", "set": ["a", "a"], "ports": [{"port": 1}, {"port": 1, "protocol": "TCP"}]});
    s.post("widgets", json!({"metadata": {"name": "w"}, "spec": spec}))
        .await
        .is(422);
    s.post(
        "widgets",
        json!({"metadata": {"name": "w"}, "spec": {"n": 1, "min": 2}}),
    )
    .await
    .refused(422, "Invalid");
    s.post(
        "widgets",
        json!({"metadata": {"name": "w"}, "spec": {"nick": "UPPER", "n": -1}}),
    )
    .await
    .refused(422, "Invalid");
    s.post(
        "widgets",
        json!({"metadata": {"name": "w"}, "spec": {"ports": [{"label": "x"}]}}),
    )
    .await
    .refused(422, "Invalid");
    s.post(
        "widgets",
        json!({"metadata": {"name": "w"}, "spec": {"fixed": "a", "n": 1}}),
    )
    .await
    .is(201);
    s.merge("widgets/w", json!({"spec": {"fixed": "b"}}))
        .await
        .refused(422, "Invalid");
    s.merge("widgets/w", json!({"spec": {"fixed": null}})).await.is(200);
    s.post("services", json!({"metadata": {"name": "Bad"}, "spec": {"type": "Odd", "ports": [{"port": 0}, {"port": 70000, "name": "UP"}]}})).await.refused(422, "Invalid");
}

async fn d42_unknown_fields(s: &mut Session) {
    let object = |name: &str| json!({"metadata": {"name": name, "odd": 1}, "data": {}, "unknown": {"deep": 1}});
    s.post("configmaps?fieldValidation=Strict", object("strict"))
        .await
        .refused(400, "BadRequest");
    let warned = s.post("configmaps?fieldValidation=Warn", object("warn")).await.is(201);
    assert_eq!(warned.warnings.len(), 2);
    assert_eq!(s.post("configmaps", object("default")).await.is(201).warnings.len(), 2);
    assert_eq!(
        s.post("configmaps?fieldValidation=Ignore", object("ignore"))
            .await
            .is(201)
            .warnings
            .len(),
        0
    );
    s.post("configmaps?fieldValidation=Odd", object("odd")).await.is(422);
    for path in ["configmaps/warn?fieldValidation=Strict", "configmaps/warn"] {
        s.merge(path, json!({"unknown": 1})).await;
        s.strategic(path, json!({"unknown": 1})).await;
        s.json_patch(path, json!([{"op": "add", "path": "/unknown", "value": 1}]))
            .await;
        s.put(path, object("warn")).await;
    }
}

async fn d42_duplicate_keys(s: &mut Session) {
    let text = |name: &str| {
        json!(format!(
            "{{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {{\"name\": \"{name}\"}}, \"data\": {{\"k\": \"1\", \"k\": \"2\"}}}}"
        ))
    };
    let path = s.path("configmaps");
    for (validation, name) in [("Strict", "a"), ("Warn", "b"), ("Ignore", "c")] {
        s.send(
            "POST",
            &format!("{path}?fieldValidation={validation}"),
            JSON,
            "",
            text(name),
        )
        .await;
    }
    s.send(
        "PATCH",
        &format!("{path}/b?fieldValidation=Strict"),
        MERGE,
        "",
        json!("{\"data\": {\"k\": \"1\", \"k\": \"2\"}}"),
    )
    .await;
    s.send(
        "PATCH",
        &format!("{path}/b"),
        MERGE,
        "",
        json!("{\"data\": {\"k\": \"1\", \"k\": \"2\"}}"),
    )
    .await;
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: b\ndata:\n  k: a\n  k: b\n";
    s.send(
        "PATCH",
        &format!("{path}/b?fieldManager=m&force=true&fieldValidation=Strict"),
        APPLY,
        "",
        json!(yaml),
    )
    .await;
    let widget = "{\"apiVersion\": \"conformance.neo4j.com/v1\", \"kind\": \"Widget\", \"metadata\": {\"name\": \"w\"}, \"spec\": {\"n\": 1, \"n\": 2}}";
    let widgets = s.path("widgets");
    s.send(
        "POST",
        &format!("{widgets}?fieldValidation=Strict"),
        JSON,
        "",
        json!(widget),
    )
    .await;
    s.send("POST", &widgets, JSON, "", json!(widget)).await;
}

async fn d42_validation_of_custom_resources(s: &mut Session) {
    let object = |name: &str| json!({"metadata": {"name": name}, "spec": {"odd": 1, "ports": [{"port": 1, "odd": 2}], "any": {"free": 1}}, "more": 1});
    s.post("widgets?fieldValidation=Strict", object("a"))
        .await
        .refused(400, "BadRequest");
    s.post("widgets", object("a")).await.is(201);
    s.merge("widgets/a?fieldValidation=Strict", json!({"spec": {"odd": 1}}))
        .await;
    s.merge("widgets/a", json!({"spec": {"odd": 1}})).await.is(200);
    s.put("widgets/a?fieldValidation=Strict", object("a")).await;
    s.json_patch(
        "widgets/a?fieldValidation=Strict",
        json!([{"op": "add", "path": "/spec/odd", "value": 1}]),
    )
    .await;
}

async fn d43_large_bodies(s: &mut Session) {
    let body = |bytes: usize| {
        json!(format!(
            "{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{{\"name\":\"a\"}},\"data\":{{\"k\":\"{}\"}}}}",
            "x".repeat(bytes)
        ))
    };
    s.send("POST", "configmaps", JSON, "", body(4 << 20)).await;
    s.send("POST", "configmaps", JSON, "", body((1 << 20) + 10)).await;
}

async fn d43_large_objects(s: &mut Session) {
    let body = |bytes: usize| {
        json!(format!(
            "{{\"apiVersion\":\"conformance.neo4j.com/v1\",\"kind\":\"Widget\",\"metadata\":{{\"name\":\"a\"}},\"spec\":{{\"any\":{{\"k\":\"{}\"}}}}}}",
            "x".repeat(bytes)
        ))
    };
    s.send("POST", "widgets", JSON, "", body(2 << 20)).await;
}

async fn d43_large_annotations(s: &mut Session) {
    let object = json!(format!(
        "{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{{\"name\":\"a\",\"annotations\":{{\"k\":\"{}\"}}}}}}",
        "x".repeat(256 << 10)
    ));
    s.send("POST", "configmaps", JSON, "", object)
        .await
        .refused(422, "Invalid");
}

fn event(s: &Session, name: &str) -> Value {
    json!({
        "metadata": {"name": name}, "reason": "Because", "message": "text", "type": "Normal", "count": 1,
        "involvedObject": {"kind": "ConfigMap", "namespace": s.namespace, "name": "c", "apiVersion": "v1"},
        "firstTimestamp": "2001-01-01T00:00:00Z", "lastTimestamp": "2001-01-01T00:00:00Z",
        "source": {"component": "test"},
    })
}

async fn d45_event_series(s: &mut Session) {
    let first = event(s, "e");
    s.post("events", first).await.is(201);
    s.merge("events/e", json!({"count": 2, "lastTimestamp": "2001-01-01T00:00:09Z"}))
        .await
        .is(200);
    s.strategic("events/e", json!({"count": 3})).await.is(200);
    s.get("events?fieldSelector=involvedObject.name%3Dc%2CinvolvedObject.kind%3DConfigMap")
        .await
        .is(200);
    s.get("events?fieldSelector=involvedObject.name%3Dother").await.is(200);
    s.get("events?fieldSelector=reason%3DBecause%2Ctype%21%3DNormal")
        .await
        .is(200);
    let series = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "n"}, "reason": "Because", "note": "text", "type": "Warning", "action": "Do",
        "regarding": {"kind": "ConfigMap", "namespace": s.namespace, "name": "c"}, "eventTime": "2001-01-01T00:00:00.000000Z",
        "reportingController": "neo4j.com/test", "reportingInstance": "test-1",
    });
    let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", s.namespace);
    s.post(&path, series).await.is(201);
    let count = json!({"series": {"count": 2, "lastObservedTime": "2001-01-01T00:01:00.000000Z"}});
    s.merge(&format!("{path}/n"), count).await.is(200);
    s.merge(&format!("{path}/n"), json!({"note": "changed"})).await;
}

async fn d46_lease_is_a_lock(s: &mut Session) {
    let mut lease = s
        .post(
            "leases",
            json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15}}),
        )
        .await
        .is(201)
        .body;
    let mine = lease.clone();
    lease["spec"]["holderIdentity"] = json!("b");
    s.put("leases/l", lease.clone()).await.is(200);
    s.put("leases/l", mine).await.refused(409, "Conflict");
    s.post("leases", json!({"metadata": {"name": "l"}}))
        .await
        .refused(409, "AlreadyExists");
    s.merge("leases/l", json!({"spec": {"holderIdentity": ""}})).await;
}

async fn d50_role_escalation(s: &mut Session) {
    let role = json!({"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]});
    s.post("roles", role).await.is(201);
    let review = |verb: &str, user: &str, namespace: &str| {
        json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {"user": user, "resourceAttributes": {"namespace": namespace, "verb": verb, "resource": "configmaps"}},
        })
    };
    let user = format!("system:serviceaccount:{}:a", s.namespace);
    let binding = json!({"metadata": {"name": "r"}, "roleRef": {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"}, "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": s.namespace}]});
    s.post("rolebindings", binding).await.is(201);
    let reviews = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let namespace = s.namespace.clone();
    // The authorizer learns of the binding by a watch: wait, unrecorded, until it has.
    while s.quiet_post(reviews, &review("get", &user, &namespace)).await.body["status"]["allowed"] != true {}
    s.post(reviews, review("get", &user, &namespace)).await.is(201);
    s.post(reviews, review("delete", &user, &namespace)).await.is(201);
    s.post(reviews, review("get", &user, "default")).await.is(201);
    s.merge("rolebindings/r", json!({"roleRef": {"name": "other"}}))
        .await
        .refused(422, "Invalid");
}

async fn d51_test_of_a_missing_member(s: &mut Session) {
    s.post("configmaps", map("a")).await.is(201);
    let patch = json!([
        {"op": "test", "path": "/metadata/finalizers", "value": null},
        {"op": "add", "path": "/metadata/finalizers", "value": ["e.com/f"]},
    ]);
    s.json_patch("configmaps/a", patch.clone()).await.is(200);
    s.json_patch("configmaps/a", patch).await.refused(422, "Invalid");
    let remove = json!([
        {"op": "test", "path": "/metadata/finalizers/0", "value": "e.com/f"},
        {"op": "remove", "path": "/metadata/finalizers/0", "value": "e.com/f"},
    ]);
    s.json_patch("configmaps/a", remove).await.is(200);
}

async fn d51_json_patch_errors(s: &mut Session) {
    s.post("configmaps", map("a")).await.is(201);
    for patch in [
        json!([{"op": "test", "path": "/data/k", "value": "other"}]),
        json!([{"op": "remove", "path": "/data/none"}]),
        json!([{"op": "replace", "path": "/data/none", "value": "x"}]),
        json!([{"op": "replace", "path": "/none/deep", "value": "x"}]),
        json!([{"op": "add", "path": "/data/x~1y", "value": "slash"}]),
        json!([{"op": "copy", "from": "/data/k", "path": "/data/copy"}]),
        json!([{"op": "move", "from": "/data/copy", "path": "/data/moved"}]),
        json!([{"op": "odd", "path": "/data/k"}]),
        json!([{"op": "add", "path": "no-slash", "value": "x"}]),
        json!({"op": "add"}),
        json!("["),
        json!([{"op": "add", "path": "/data/n", "value": 5}]),
        json!([{"op": "replace", "path": "/metadata/name", "value": "b"}]),
        json!([{"op": "replace", "path": "/kind", "value": "Secret"}]),
    ] {
        s.send("PATCH", "configmaps/a", JSON_PATCH, "", patch).await;
    }
}

async fn d52_events_of_both_groups(s: &mut Session) {
    let first = event(s, "e");
    s.post("events", first).await.is(201);
    let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", s.namespace);
    let seen = s.get(&format!("{path}/e")).await.is(200);
    assert_eq!((seen.text("/note"), seen.text("/regarding/name")), ("text", "c"));
    s.get(&path).await.is(200);
    s.delete(&format!("{path}/e"), Value::Null).await.is(200);
    s.get("events/e").await.refused(404, "NotFound");
}

async fn d52_event_refusals(s: &mut Session) {
    let mut elsewhere = event(s, "e");
    elsewhere["involvedObject"]["namespace"] = json!("default");
    s.post("events", elsewhere).await.refused(422, "Invalid");
    let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", s.namespace);
    let new = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "n"}, "reason": "Because", "type": "Normal", "action": "Do",
        "regarding": {"kind": "ConfigMap", "namespace": s.namespace, "name": "c"}, "eventTime": "2001-01-01T00:00:00.000000Z",
        "reportingController": "neo4j.com/test", "reportingInstance": "test-1",
    });
    for (field, value) in [
        ("deprecatedCount", json!(1)),
        ("deprecatedLastTimestamp", json!("2001-01-01T00:00:00Z")),
        ("action", json!("")),
        ("type", json!("Odd")),
        ("reportingController", json!("no name!")),
        ("eventTime", Value::Null),
        ("reason", json!("x".repeat(129))),
        ("note", json!("x".repeat(1025))),
    ] {
        let mut object = new.clone();
        object[field] = value;
        s.post(&path, object).await;
    }
}

async fn d41_merge_and_strategic_patches(s: &mut Session) {
    s.post("configmaps", map("a")).await.is(201);
    for body in [
        json!("{"),
        json!("[]"),
        json!("\"x\""),
        json!({"data": []}),
        json!({"metadata": {"name": "b"}}),
        json!({"kind": "Secret"}),
        json!({"apiVersion": "v2"}),
        json!({}),
    ] {
        s.send("PATCH", "configmaps/a", MERGE, "", body.clone()).await;
        s.send("PATCH", "configmaps/a", STRATEGIC, "", body).await;
    }
}

async fn d41_strategic_directives(s: &mut Session) {
    let object = json!({"metadata": {"name": "a"}, "spec": {"clusterIP": "None", "selector": {"a": "1", "b": "2"}, "ports": [{"name": "x", "port": 1}, {"name": "y", "port": 2}]}});
    s.post("services", object).await.is(201);
    for spec in [
        json!({"ports": [{"name": "z", "port": 3}]}),
        json!({"ports": [{"port": 1, "$patch": "delete"}]}),
        json!({"$setElementOrder/ports": [{"port": 3}, {"port": 2}], "ports": [{"port": 2, "name": "yy"}]}),
        json!({"selector": {"$patch": "replace", "c": "3"}}),
        json!({"selector": {"c": null}}),
        json!({"ports": [{"$patch": "replace"}, {"port": 9}]}),
        json!({"ports": [{"name": "no-key"}]}),
        json!({"ports": "text"}),
        json!({"ports": [{"port": 9, "$patch": "odd"}]}),
    ] {
        s.strategic("services/a", json!({"spec": spec})).await;
    }
    s.post(
        "configmaps",
        json!({"metadata": {"name": "c", "finalizers": ["e.com/a", "e.com/b"]}}),
    )
    .await
    .is(201);
    s.strategic(
        "configmaps/c",
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["e.com/a"]}}),
    )
    .await
    .is(200);
    s.strategic("configmaps/c", json!({"metadata": {"finalizers": ["e.com/c"]}}))
        .await
        .is(200);
    s.strategic("configmaps/c", json!({"$retainKeys": ["metadata"], "data": {"k": "v"}}))
        .await;
}
