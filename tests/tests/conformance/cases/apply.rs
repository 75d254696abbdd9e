//! D29–D40: server-side apply and who owns what.

use serde_json::{Value, json};

use super::{cases, life::set};
use crate::session::Session;

cases![
    d29_ports_by_defaulted_keys,
    d29_list_map_of_a_custom_resource,
    d29_sets_and_atomic_lists,
    d29_containers_and_their_env,
    d30_dropped_field_that_nobody_else_owns,
    d30_dropped_field_that_an_update_owns,
    d30_dropped_field_that_another_apply_owns,
    d30_dropped_list_item,
    d31_conflict_only_over_values,
    d31_conflict_with_an_update,
    d32_force_moves_ownership,
    d33_updates_by_manager_and_subresource,
    d33_many_updaters,
    d34_managed_fields_cleared,
    d34_managed_fields_in_an_apply,
    d35_manager_of_an_apply,
    d36_apply_through_status,
    d37_apply_to_an_absent_object,
    d38_atomic_and_granular_maps,
    d38_selector_of_a_service,
    d39_repeated_apply,
    d40_name_and_namespace_of_the_path,
    d53_apply_that_cannot_be_typed,
    d54_post_leaves_an_update_entry,
];

fn map(data: Value) -> Value {
    json!({"metadata": {"name": "a"}, "data": data})
}

fn widget(spec: Value) -> Value {
    json!({"metadata": {"name": "a"}, "spec": spec})
}

fn service(ports: Value) -> Value {
    json!({"metadata": {"name": "a"}, "spec": {"clusterIP": "None", "ports": ports}})
}

const CM: &str = "configmaps/a?fieldManager=";
const W: &str = "widgets/a?fieldManager=";

async fn apply(s: &mut Session, path: &str, manager: &str, body: Value) -> crate::session::Answer {
    s.apply(&format!("{path}{manager}"), body).await
}

async fn d29_ports_by_defaulted_keys(s: &mut Session) {
    let path = "services/a?fieldManager=";
    let tcp = json!([{"name": "x", "port": 80}]);
    apply(s, path, "m1", service(tcp)).await.is(201);
    let udp = json!([{"name": "y", "port": 80, "protocol": "UDP"}]);
    let both = apply(s, path, "m2", service(udp)).await.is(200);
    assert_eq!(both.body["spec"]["ports"].as_array().unwrap().len(), 2);
    let renamed = json!([{"name": "z", "port": 80, "protocol": "TCP"}]);
    apply(s, path, "m2", service(renamed)).await.refused(409, "Conflict");
    apply(
        s,
        path,
        "m1",
        service(json!([{"name": "x", "port": 80, "protocol": "TCP"}])),
    )
    .await
    .is(200);
}

async fn d29_list_map_of_a_custom_resource(s: &mut Session) {
    apply(
        s,
        W,
        "m1",
        widget(json!({"ports": [{"port": 1, "label": "a"}, {"port": 2}]})),
    )
    .await
    .is(201);
    apply(
        s,
        W,
        "m2",
        widget(json!({"ports": [{"port": 3}, {"port": 2, "label": "b"}]})),
    )
    .await
    .is(200);
    apply(s, W, "m2", widget(json!({"ports": [{"port": 1, "label": "c"}]})))
        .await
        .refused(409, "Conflict");
    apply(s, W, "m1", widget(json!({"ports": [{"port": 2}]}))).await.is(200);
    apply(s, W, "m3", widget(json!({"ports": [{"port": 7}, {"port": 7}]}))).await;
    s.merge("widgets/a", json!({"spec": {"ports": [{"port": 9}]}}))
        .await
        .is(200);
}

async fn d29_sets_and_atomic_lists(s: &mut Session) {
    apply(s, W, "m1", widget(json!({"set": ["b", "a"], "atomic": ["x", "y"]})))
        .await
        .is(201);
    apply(s, W, "m2", widget(json!({"set": ["c", "a"]}))).await.is(200);
    apply(s, W, "m2", widget(json!({"atomic": ["x"]})))
        .await
        .refused(409, "Conflict");
    apply(s, W, "m1", widget(json!({"set": ["b"]}))).await.is(200);
    apply(s, W, "m2", widget(json!({"set": ["d", "d"]}))).await;
    s.merge("widgets/a", json!({"spec": {"set": ["d", "d"]}}))
        .await
        .refused(422, "Invalid");
}

async fn d29_containers_and_their_env(s: &mut Session) {
    let path = "statefulsets/s?fieldManager=";
    let with = |containers: Value| {
        let mut object = set("s");
        object["spec"]["template"]["spec"]["containers"] = containers;
        object
    };
    let first = json!([{"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}]);
    apply(s, path, "m1", with(first)).await.is(201);
    let mut second = with(
        json!([{"name": "side", "image": "j"}, {"name": "c", "image": "i", "env": [{"name": "C", "value": "3"}]}]),
    );
    second["spec"].as_object_mut().unwrap().remove("serviceName");
    apply(s, path, "m2", second).await.is(200);
    apply(
        s,
        path,
        "m1",
        with(json!([{"name": "c", "image": "i", "env": [{"name": "B", "value": "2"}]}])),
    )
    .await
    .is(200);
    apply(
        s,
        path,
        "m1",
        with(json!([{"name": "c", "image": "i", "ports": [{"containerPort": 1}, {"containerPort": 1}]}])),
    )
    .await;
}

async fn d30_dropped_field_that_nobody_else_owns(s: &mut Session) {
    apply(s, CM, "m1", map(json!({"x": "1", "y": "2"}))).await.is(201);
    let dropped = apply(s, CM, "m1", map(json!({"x": "1"}))).await.is(200);
    assert_eq!(dropped.body["data"], json!({"x": "1"}));
    let all = s
        .apply("configmaps/a?fieldManager=m1", json!({"metadata": {"name": "a"}}))
        .await
        .is(200);
    assert!(all.body.get("data").is_none());
}

async fn d30_dropped_field_that_an_update_owns(s: &mut Session) {
    s.post("configmaps?fieldManager=poster", map(json!({"x": "1", "y": "2"})))
        .await
        .is(201);
    apply(s, CM, "m1", map(json!({"x": "1", "y": "2"}))).await.is(200);
    let kept = apply(s, CM, "m1", map(json!({"x": "1"}))).await.is(200);
    assert_eq!(kept.body["data"]["y"], "2");
}

async fn d30_dropped_field_that_another_apply_owns(s: &mut Session) {
    apply(s, CM, "m1", map(json!({"x": "1", "y": "2"}))).await.is(201);
    apply(s, CM, "m2", map(json!({"y": "2"}))).await.is(200);
    apply(s, CM, "m1", map(json!({"x": "1"}))).await.is(200);
    let gone = apply(s, CM, "m2", map(json!({}))).await.is(200);
    assert_eq!(gone.body["data"], json!({"x": "1"}));
}

async fn d30_dropped_list_item(s: &mut Session) {
    let owner = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": format!("00000000-0000-4000-8000-00000000000{name}")});
    let with = |owners: Value| json!({"metadata": {"name": "a", "ownerReferences": owners, "finalizers": ["e.com/a"]}});
    apply(s, CM, "m1", with(json!([owner("1"), owner("2")]))).await.is(201);
    apply(s, CM, "m1", with(json!([owner("2")]))).await.is(200);
    apply(
        s,
        CM,
        "m2",
        json!({"metadata": {"name": "a", "finalizers": ["e.com/b"]}}),
    )
    .await
    .is(200);
    apply(s, CM, "m1", json!({"metadata": {"name": "a"}})).await.is(200);
}

async fn d31_conflict_only_over_values(s: &mut Session) {
    apply(s, CM, "m1", map(json!({"x": "1", "y": "2"}))).await.is(201);
    apply(s, CM, "m2", map(json!({"x": "1"}))).await.is(200);
    let conflict = apply(s, CM, "m2", map(json!({"x": "other", "y": "other"})))
        .await
        .refused(409, "Conflict");
    assert_eq!(conflict.body["details"]["causes"].as_array().unwrap().len(), 2);
    apply(s, CM, "m1", map(json!({"x": "mine"})))
        .await
        .refused(409, "Conflict");
}

async fn d31_conflict_with_an_update(s: &mut Session) {
    apply(s, CM, "m1", map(json!({"x": "1"}))).await.is(201);
    s.merge("configmaps/a?fieldManager=hand", json!({"data": {"x": "2"}}))
        .await
        .is(200);
    apply(s, CM, "m1", map(json!({"x": "1"})))
        .await
        .refused(409, "Conflict");
    apply(s, CM, "m1", map(json!({"x": "2"}))).await.is(200);
}

async fn d32_force_moves_ownership(s: &mut Session) {
    apply(s, CM, "m1", map(json!({"x": "1", "y": "2"}))).await.is(201);
    apply(s, CM, "m2&force=true", map(json!({"x": "other"}))).await.is(200);
    apply(s, CM, "m1", map(json!({"y": "2"}))).await.is(200);
    s.merge("configmaps/a?force=true", json!({"data": {"x": "3"}})).await;
}

async fn d33_updates_by_manager_and_subresource(s: &mut Session) {
    s.post("widgets?fieldManager=m1", widget(json!({"n": 1}))).await.is(201);
    s.merge("widgets/a?fieldManager=m1", json!({"spec": {"min": 0}}))
        .await
        .is(200);
    s.merge("widgets/a/status?fieldManager=m1", json!({"status": {"phase": "x"}}))
        .await
        .is(200);
    s.merge("widgets/a?fieldManager=m2", json!({"spec": {"n": 2}}))
        .await
        .is(200);
    s.merge("widgets/a/scale?fieldManager=m3", json!({"spec": {"replicas": 4}}))
        .await
        .is(200);
    let long = "m".repeat(129);
    s.merge(&format!("widgets/a?fieldManager={long}"), json!({"spec": {"n": 3}}))
        .await
        .refused(422, "Invalid");
    s.get("widgets/a").await.is(200);
}

async fn d33_many_updaters(s: &mut Session) {
    s.post("configmaps?fieldManager=m00", map(json!({"k": "0"})))
        .await
        .is(201);
    for i in 1..=11 {
        s.merge(
            &format!("configmaps/a?fieldManager=m{i:02}"),
            json!({"data": {(format!("k{i}")): "1"}}),
        )
        .await
        .is(200);
    }
    let last = s.get("configmaps/a").await.is(200);
    assert_eq!(last.body["metadata"]["managedFields"].as_array().unwrap().len(), 10);
}

async fn d34_managed_fields_cleared(s: &mut Session) {
    apply(s, CM, "m1", map(json!({"x": "1"}))).await.is(201);
    s.merge("configmaps/a", json!({"metadata": {"managedFields": null}}))
        .await
        .is(200);
    let cleared = s
        .merge("configmaps/a", json!({"metadata": {"managedFields": [{}]}}))
        .await
        .is(200);
    assert!(cleared.body["metadata"].get("managedFields").is_none());
    apply(s, CM, "m2", map(json!({"y": "1"}))).await;
    s.json_patch(
        "configmaps/a",
        json!([{"op": "replace", "path": "/metadata/managedFields", "value": []}]),
    )
    .await;
}

async fn d34_managed_fields_in_an_apply(s: &mut Session) {
    let created = apply(s, CM, "m1", map(json!({"x": "1"}))).await.is(201);
    apply(s, CM, "m1", created.body).await.refused(400, "BadRequest");
    let mut empty = map(json!({"x": "2"}));
    empty["metadata"]["managedFields"] = json!([]);
    apply(s, CM, "m1", empty).await;
}

async fn d35_manager_of_an_apply(s: &mut Session) {
    s.apply("configmaps/a", map(json!({}))).await;
    s.apply(
        &format!("configmaps/a?fieldManager={}", "m".repeat(128)),
        map(json!({})),
    )
    .await
    .is(201);
    s.apply(
        &format!("configmaps/a?fieldManager={}", "m".repeat(129)),
        map(json!({})),
    )
    .await;
    s.apply("configmaps/a?fieldManager=a%01b", map(json!({}))).await;
}

async fn d36_apply_through_status(s: &mut Session) {
    apply(s, W, "m1", widget(json!({"n": 1}))).await.is(201);
    let mut status = json!({"metadata": {"name": "a"}, "status": {"phase": "x"}});
    s.apply("widgets/a/status?fieldManager=m1", status.clone())
        .await
        .is(200);
    status["spec"] = json!({"n": 5});
    let ignored = s.apply("widgets/a/status?fieldManager=m1", status).await.is(200);
    assert_eq!(ignored.body["spec"]["n"], 1);
    let mut main = widget(json!({"n": 1}));
    main["status"] = json!({"phase": "main"});
    apply(s, W, "m1", main).await.is(200);
    s.apply(
        "widgets/none/status?fieldManager=m1",
        json!({"metadata": {"name": "none"}, "status": {}}),
    )
    .await;
}

async fn d37_apply_to_an_absent_object(s: &mut Session) {
    apply(s, CM, "m1", map(json!({}))).await.is(201);
    let uid = "00000000-0000-4000-8000-000000000000";
    let with_uid = json!({"metadata": {"name": "b", "uid": uid}});
    s.apply("configmaps/b?fieldManager=m1", with_uid)
        .await
        .refused(409, "Conflict");
    let with_version = json!({"metadata": {"name": "c", "resourceVersion": "1"}});
    s.apply("configmaps/c?fieldManager=m1", with_version).await;
    s.merge("configmaps/d", json!({"data": {}}))
        .await
        .refused(404, "NotFound");
    s.strategic("configmaps/d", json!({"data": {}}))
        .await
        .refused(404, "NotFound");
    s.json_patch("configmaps/d", json!([])).await.refused(404, "NotFound");
}

async fn d38_atomic_and_granular_maps(s: &mut Session) {
    let spec = json!({"granular": {"a": "1"}, "whole": {"a": "1"}, "any": {"deep": {"x": 1}}});
    apply(s, W, "m1", widget(spec)).await.is(201);
    apply(
        s,
        W,
        "m2",
        widget(json!({"granular": {"b": "2"}, "any": {"deep": {"y": 2}}})),
    )
    .await
    .is(200);
    apply(s, W, "m2", widget(json!({"whole": {"b": "2"}})))
        .await
        .refused(409, "Conflict");
    apply(s, W, "m2&force=true", widget(json!({"whole": {"b": "2"}})))
        .await
        .is(200);
    let labels = |labels: Value| json!({"metadata": {"name": "a", "labels": labels}});
    apply(s, W, "m3", labels(json!({"x": "1"}))).await.is(200);
    apply(s, W, "m4", labels(json!({"y": "1"}))).await.is(200);
}

async fn d38_selector_of_a_service(s: &mut Session) {
    let with =
        |selector: Value| json!({"metadata": {"name": "a"}, "spec": {"selector": selector, "ports": [{"port": 1}]}});
    let path = "services/a?fieldManager=";
    apply(s, path, "m1", with(json!({"app": "x"}))).await.is(201);
    apply(s, path, "m2", with(json!({"tier": "y"})))
        .await
        .refused(409, "Conflict");
    let forced = apply(s, path, "m2&force=true", with(json!({"tier": "y"})))
        .await
        .is(200);
    assert_eq!(forced.body["spec"]["selector"], json!({"tier": "y"}));
}

async fn d39_repeated_apply(s: &mut Session) {
    let path = "statefulsets/s?fieldManager=m1";
    let first = s.apply(path, set("s")).await.is(201);
    assert_eq!(s.apply(path, set("s")).await.is(200).rv(), first.rv());
    assert_eq!(
        s.apply(&format!("{path}&force=true"), set("s")).await.is(200).rv(),
        first.rv()
    );
    let first = apply(s, W, "m1", widget(json!({"n": 1, "size": "1Gi"}))).await.is(201);
    assert_eq!(
        apply(s, W, "m1", widget(json!({"n": 1, "size": "1Gi"}))).await.rv(),
        first.rv()
    );
}

async fn d40_name_and_namespace_of_the_path(s: &mut Session) {
    let other = json!({"metadata": {"name": "other"}});
    apply(s, CM, "m1", other.clone()).await.refused(400, "BadRequest");
    apply(s, CM, "m1", json!({"metadata": {}})).await;
    apply(s, CM, "m1", json!({"metadata": {"name": "a", "namespace": "other"}})).await;
    s.put("configmaps/a", other.clone()).await.refused(400, "BadRequest");
    s.merge("configmaps/a", other).await;
    s.put("configmaps/a", json!({"metadata": {"name": "a", "namespace": "other"}}))
        .await;
    s.put("configmaps/a", json!({"metadata": {}})).await;
}

async fn d53_apply_that_cannot_be_typed(s: &mut Session) {
    apply(s, CM, "m1", json!({"metadata": {"name": "a"}, "unknown": 1})).await;
    apply(s, CM, "m1", map(json!({"x": 1}))).await;
    apply(s, W, "m1", widget(json!({"n": "text"}))).await;
    apply(s, W, "m1", widget(json!({"unknown": 1}))).await;
    apply(
        s,
        "services/a?fieldManager=",
        "m1",
        service(json!([{"port": 1}, {"port": 1}])),
    )
    .await;
    apply(
        s,
        CM,
        "m1",
        json!("{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": "),
    )
    .await;
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  x: text\n";
    apply(s, CM, "m1", json!(yaml)).await.is(201);
}

async fn d54_post_leaves_an_update_entry(s: &mut Session) {
    let mut object = map(json!({"x": "1", "y": "2"}));
    object["metadata"]["managedFields"] = json!([{
        "manager": "claimed", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {}},
    }]);
    let created = s.post("configmaps?fieldManager=m1", object).await.is(201);
    let renamed = json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": created.rv()},
        {"op": "replace", "path": "/metadata/managedFields/0/operation", "value": "Apply"},
    ]);
    s.json_patch("configmaps/a?fieldManager=m1", renamed).await.is(200);
    let dropped = apply(s, CM, "m1", map(json!({"x": "1"}))).await.is(200);
    assert_eq!(dropped.body["data"], json!({"x": "1"}));
}
