//! D1–D12: revisions, lists and watches.

use serde_json::{Value, json};

use super::{cases, life::set};
use crate::session::Session;

cases![
    d1_one_counter_for_all_kinds,
    d2_equal_writes_do_nothing,
    d2_equal_after_defaulting,
    d3_update_without_version,
    d3_stale_version,
    d4_version_in_a_patch,
    d4_version_in_an_apply,
    d5_list_versions,
    d5_future_version,
    d5_match_without_version,
    d6_watch_from_long_ago,
    d6_list_at_a_forgotten_version,
    d7_leaving_and_entering_a_selector,
    d7_fields_of_a_watch,
    d8_deleted_has_a_version_of_its_own,
    d9_bookmarks_end_a_watch_list,
    d9_watch_list_needs_its_parameters,
    d11_pages_are_one_snapshot,
    d11_pages_with_selectors,
    d11_expired_page,
    d12_lists_in_order_of_keys,
    d5_watch_parameters,
];

fn map(name: &str, value: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"k": value}})
}

async fn d1_one_counter_for_all_kinds(s: &mut Session) {
    let number = |text: String| text.parse::<u64>().unwrap();
    let a = s.post("configmaps", map("a", "1")).await.is(201);
    let b = s.post("widgets", json!({"metadata": {"name": "b"}})).await.is(201);
    let c = s
        .post(
            "services",
            json!({"metadata": {"name": "c"}, "spec": {"clusterIP": "None"}}),
        )
        .await
        .is(201);
    assert!(number(a.rv()) < number(b.rv()) && number(b.rv()) < number(c.rv()));
    let list = s.get("configmaps").await.is(200);
    assert!(number(list.rv()) >= number(c.rv()));
}

async fn d2_equal_writes_do_nothing(s: &mut Session) {
    for kind in ["configmaps", "widgets"] {
        let object = json!({"metadata": {"name": "o", "labels": {"a": "b"}}});
        let created = s.post(kind, object.clone()).await.is(201);
        let one = format!("{kind}/o");
        let watch = s.watch(&format!("{kind}?resourceVersion={}", created.rv())).await;
        assert_eq!(s.put(&one, created.body.clone()).await.is(200).rv(), created.rv());
        assert_eq!(
            s.merge(&one, json!({"metadata": {"labels": {"a": "b"}}})).await.rv(),
            created.rv()
        );
        assert_eq!(s.json_patch(&one, json!([])).await.rv(), created.rv());
        let first = s.apply(&format!("{one}?fieldManager=m"), object.clone()).await.is(200);
        assert_eq!(s.apply(&format!("{one}?fieldManager=m"), object).await.rv(), first.rv());
        s.delete(&one, Value::Null).await.is(200);
        let events = s.events_to(watch, "DELETED", "o").await;
        assert_eq!(events.len(), 2);
    }
}

async fn d2_equal_after_defaulting(s: &mut Session) {
    let created = s.post("statefulsets", set("s")).await.is(201);
    let mut sparse = set("s");
    sparse["metadata"]["resourceVersion"] = json!(created.rv());
    assert_eq!(s.put("statefulsets/s", sparse).await.is(200).rv(), created.rv());
    let widget = json!({"metadata": {"name": "w"}, "spec": {"n": 1}});
    let created = s.post("widgets", widget.clone()).await.is(201);
    let mut sparse = widget;
    sparse["metadata"]["resourceVersion"] = json!(created.rv());
    sparse["spec"]["unknown"] = json!("pruned");
    assert_eq!(s.put("widgets/w", sparse).await.is(200).rv(), created.rv());
}

async fn d3_update_without_version(s: &mut Session) {
    s.post("configmaps", map("a", "1")).await.is(201);
    s.put("configmaps/a", map("a", "2")).await.is(200);
    s.put("configmaps/none", map("none", "2"))
        .await
        .refused(404, "NotFound");
    s.post("widgets", json!({"metadata": {"name": "a"}})).await.is(201);
    s.put("widgets/a", json!({"metadata": {"name": "a", "labels": {"x": "y"}}}))
        .await
        .refused(422, "Invalid");
    s.put("widgets/none", json!({"metadata": {"name": "none"}}))
        .await
        .refused(404, "NotFound");
    s.post(
        "leases",
        json!({"metadata": {"name": "a"}, "spec": {"holderIdentity": "x"}}),
    )
    .await
    .is(201);
    s.put(
        "leases/a",
        json!({"metadata": {"name": "a"}, "spec": {"holderIdentity": "y"}}),
    )
    .await;
    s.post("statefulsets", set("a")).await.is(201);
    s.put("statefulsets/a", set("a")).await.is(200);
    s.post(
        "poddisruptionbudgets",
        json!({"metadata": {"name": "a"}, "spec": {"minAvailable": 1}}),
    )
    .await
    .is(201);
    s.put(
        "poddisruptionbudgets/a",
        json!({"metadata": {"name": "a"}, "spec": {"minAvailable": 2}}),
    )
    .await;
}

async fn d3_stale_version(s: &mut Session) {
    for kind in ["configmaps", "widgets", "leases"] {
        let created = s.post(kind, json!({"metadata": {"name": "o"}})).await.is(201);
        let one = format!("{kind}/o");
        s.merge(&one, json!({"metadata": {"labels": {"a": "b"}}})).await.is(200);
        s.put(&one, created.body).await.refused(409, "Conflict");
        s.put(&one, json!({"metadata": {"name": "o", "resourceVersion": "word"}}))
            .await;
        s.put(&one, json!({"metadata": {"name": "o", "resourceVersion": "0"}}))
            .await;
    }
    s.post(
        "configmaps",
        json!({"metadata": {"name": "versioned", "resourceVersion": "1"}}),
    )
    .await;
}

async fn d4_version_in_a_patch(s: &mut Session) {
    let created = s.post("configmaps", map("a", "1")).await.is(201);
    s.merge("configmaps/a", json!({"data": {"k": "2"}})).await.is(200);
    let stale = json!({"metadata": {"resourceVersion": created.rv()}, "data": {"k": "3"}});
    s.merge("configmaps/a", stale.clone()).await.refused(409, "Conflict");
    s.strategic("configmaps/a", stale).await.refused(409, "Conflict");
    let patch = json!([{"op": "replace", "path": "/metadata/resourceVersion", "value": created.rv()}]);
    s.json_patch("configmaps/a", patch).await.refused(409, "Conflict");
    let test = json!([{"op": "test", "path": "/metadata/resourceVersion", "value": created.rv()}]);
    s.json_patch("configmaps/a", test).await;
}

async fn d4_version_in_an_apply(s: &mut Session) {
    let created = s.post("configmaps", map("a", "1")).await.is(201);
    let moved = s.merge("configmaps/a", json!({"data": {"k": "2"}})).await.is(200);
    let at = |version: String| json!({"metadata": {"name": "a", "resourceVersion": version}, "data": {"other": "x"}});
    s.apply("configmaps/a?fieldManager=m", at(created.rv()))
        .await
        .refused(409, "Conflict");
    s.apply("configmaps/a?fieldManager=m", at(moved.rv())).await.is(200);
}

async fn d5_list_versions(s: &mut Session) {
    let a = s.post("configmaps", map("a", "1")).await.is(201);
    s.post("configmaps", map("b", "1")).await.is(201);
    s.delete("configmaps/a", Value::Null).await.is(200);
    let at = |rest: &str| format!("configmaps?resourceVersion={}{rest}", a.rv());
    let exact = s.get(&at("&resourceVersionMatch=Exact")).await.is(200);
    assert_eq!((exact.names(), exact.rv()), (vec!["a"], a.rv()));
    // What is not exact comes from a cache, which may be as old as `a`.
    s.until_quietly("configmaps?resourceVersion=0", |list| list.names() == ["b"])
        .await;
    let newer = s.get(&at("&resourceVersionMatch=NotOlderThan")).await.is(200);
    assert_eq!(newer.names(), ["b"]);
    assert_eq!(s.get(&at("")).await.is(200).names(), ["b"]);
    assert_eq!(s.get("configmaps?resourceVersion=").await.is(200).names(), ["b"]);
    s.until("configmaps?resourceVersion=0", |list| list.names() == ["b"])
        .await;
    s.get("configmaps/b?resourceVersion=0").await.is(200);
    s.get(&format!("configmaps/b?resourceVersion={}", a.rv())).await.is(200);
}

async fn d5_future_version(s: &mut Session) {
    let list = "configmaps?resourceVersion=999999999&timeoutSeconds=1";
    s.get(list).await.refused(504, "Timeout");
    s.get("configmaps?resourceVersion=999999999&resourceVersionMatch=NotOlderThan&timeoutSeconds=1")
        .await;
    s.get("configmaps?resourceVersion=word").await;
    s.get("configmaps/a?resourceVersion=word").await;
}

async fn d5_match_without_version(s: &mut Session) {
    for query in [
        "resourceVersionMatch=Exact",
        "resourceVersionMatch=NotOlderThan",
        "resourceVersion=0&resourceVersionMatch=Exact",
        "resourceVersion=1&resourceVersionMatch=Newest",
        "resourceVersion=0&resourceVersionMatch=NotOlderThan&continue=x",
        "continue=nonsense",
        "limit=word",
        "labelSelector=a+in+b",
        "labelSelector=a%3Db%2C%21c%2Cd+notin+%28e%2Cf%29",
        "fieldSelector=data.k%3D1",
        "fieldSelector=metadata.name",
    ] {
        s.get(&format!("configmaps?{query}")).await;
    }
}

async fn d5_watch_parameters(s: &mut Session) {
    for query in [
        "resourceVersion=word",
        "resourceVersionMatch=Exact&resourceVersion=1",
        "sendInitialEvents=false",
        "sendInitialEvents=true&resourceVersionMatch=Exact",
        "labelSelector=a+in+b",
    ] {
        s.get(&format!("configmaps?watch=true&{query}")).await;
    }
}

async fn d6_watch_from_long_ago(s: &mut Session) {
    let a = s.post("widgets", json!({"metadata": {"name": "a"}})).await.is(201);
    s.merge("widgets/a", json!({"spec": {"n": 1}})).await.is(200);
    s.forget(&a.rv()).await;
    // The cache of this kind began with its definition, later than that.
    let watch = s.watch("widgets?resourceVersion=1").await;
    let events = s.events(watch, |_| false).await;
    assert_eq!(
        (&events[0]["type"], &events[0]["object"]["code"]),
        (&json!("ERROR"), &json!(410))
    );
    assert_eq!(events.len(), 1);
}

async fn d6_list_at_a_forgotten_version(s: &mut Session) {
    let a = s.post("configmaps", map("a", "1")).await.is(201);
    s.merge("configmaps/a", json!({"data": {"k": "2"}})).await.is(200);
    s.forget(&a.rv()).await;
    let exact = format!("configmaps?resourceVersion={}&resourceVersionMatch=Exact", a.rv());
    s.get(&exact).await.refused(410, "Expired");
    s.get(&format!("configmaps?resourceVersion={}", a.rv())).await.is(200);
}

async fn d7_leaving_and_entering_a_selector(s: &mut Session) {
    let watch = s.watch("configmaps?labelSelector=in%3Dyes").await;
    let mut object = map("a", "1");
    object["metadata"]["labels"] = json!({"in": "no"});
    s.post("configmaps", object).await.is(201);
    let labels = |value: &str| json!({"metadata": {"labels": {"in": value}}});
    s.merge("configmaps/a", labels("yes")).await.is(200);
    s.merge("configmaps/a", json!({"data": {"k": "2"}})).await.is(200);
    s.merge("configmaps/a", labels("no")).await.is(200);
    s.merge("configmaps/a", json!({"data": {"k": "3"}})).await.is(200);
    s.delete("configmaps/a", Value::Null).await.is(200);
    let mut marker = map("marker", "1");
    marker["metadata"]["labels"] = json!({"in": "yes"});
    s.post("configmaps", marker).await.is(201);
    let events = s.events_to(watch, "ADDED", "marker").await;
    let types: Vec<&str> = events.iter().filter_map(|e| e["type"].as_str()).collect();
    assert_eq!(types, ["ADDED", "MODIFIED", "DELETED", "ADDED"]);
}

async fn d7_fields_of_a_watch(s: &mut Session) {
    let watch = s.watch("configmaps?fieldSelector=metadata.name%3Db").await;
    for name in ["a", "b", "c"] {
        s.post("configmaps", map(name, "1")).await.is(201);
    }
    s.merge("configmaps/a", json!({"data": {"k": "2"}})).await.is(200);
    s.delete("configmaps/b", Value::Null).await.is(200);
    assert_eq!(s.events_to(watch, "DELETED", "b").await.len(), 2);
    s.get("configmaps?fieldSelector=metadata.name%21%3Da").await.is(200);
    s.get("configmaps?fieldSelector=metadata.name%3Da%2Cmetadata.namespace%3Dnone")
        .await
        .is(200);
}

async fn d8_deleted_has_a_version_of_its_own(s: &mut Session) {
    for kind in ["configmaps", "widgets"] {
        let created = s.post(kind, json!({"metadata": {"name": "o"}})).await.is(201);
        let watch = s.watch(&format!("{kind}?resourceVersion={}", created.rv())).await;
        let moved = s
            .merge(&format!("{kind}/o"), json!({"metadata": {"labels": {"a": "b"}}}))
            .await
            .is(200);
        s.delete(&format!("{kind}/o"), Value::Null).await.is(200);
        let events = s.events_to(watch, "DELETED", "o").await;
        let deleted: u64 = events[1]["object"]["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!(deleted > moved.rv().parse().unwrap());
    }
}

async fn d9_bookmarks_end_a_watch_list(s: &mut Session) {
    for name in ["b", "a"] {
        s.post("configmaps", map(name, "1")).await.is(201);
    }
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let watch = s.watch(&format!("configmaps?{query}")).await;
    let events = s.events(watch, |e| e["type"] == "BOOKMARK").await;
    assert_eq!(events.len(), 3);
    let last = &events[2]["object"]["metadata"]["annotations"];
    assert_eq!(last["k8s.io/initial-events-end"], "true");
    let watch = s.watch(&format!("widgets?{query}")).await;
    s.events(watch, |e| e["type"] == "BOOKMARK").await;
}

async fn d9_watch_list_needs_its_parameters(s: &mut Session) {
    for query in [
        "sendInitialEvents=true",
        "sendInitialEvents=true&allowWatchBookmarks=true",
        "resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
    ] {
        s.get(&format!("configmaps?watch=true&{query}")).await;
    }
    s.get("configmaps?sendInitialEvents=true").await;
}

fn token(list: &crate::session::Answer) -> String {
    list.text("/metadata/continue").to_owned()
}

async fn d11_pages_are_one_snapshot(s: &mut Session) {
    for name in ["a", "b", "c", "d"] {
        s.post("configmaps", map(name, "1")).await.is(201);
    }
    let first = s.get("configmaps?limit=2").await.is(200);
    s.delete("configmaps/c", Value::Null).await.is(200);
    s.post("configmaps", map("cc", "new")).await.is(201);
    s.merge("configmaps/d", json!({"data": {"k": "changed"}})).await.is(200);
    let second = s
        .get(&format!("configmaps?limit=1&continue={}", token(&first)))
        .await
        .is(200);
    assert_eq!((second.names(), second.rv()), (vec!["c"], first.rv()));
    let third = s
        .get(&format!("configmaps?limit=5&continue={}", token(&second)))
        .await
        .is(200);
    assert_eq!(
        (third.names(), &third.body["items"][0]["data"]["k"]),
        (vec!["d"], &json!("1"))
    );
    s.get(&format!(
        "configmaps?limit=5&continue={}&resourceVersion=1",
        token(&second)
    ))
    .await;
    s.get(&format!("secrets?limit=5&continue={}", token(&second))).await;
    s.get("configmaps?limit=4").await.is(200);
    s.get("configmaps?limit=2&resourceVersion=0").await.is(200);
}

async fn d11_pages_with_selectors(s: &mut Session) {
    for name in ["a", "b", "c"] {
        let mut object = map(name, "1");
        object["metadata"]["labels"] = json!({"app": "x"});
        s.post("configmaps", object).await.is(201);
    }
    let first = s.get("configmaps?limit=1&labelSelector=app%3Dx").await.is(200);
    assert!(first.body["metadata"].get("remainingItemCount").is_none());
    s.get(&format!(
        "configmaps?limit=1&labelSelector=app%3Dx&continue={}",
        token(&first)
    ))
    .await
    .is(200);
    s.get("configmaps?limit=1&labelSelector=app%3Dnone").await.is(200);
}

async fn d11_expired_page(s: &mut Session) {
    for name in ["a", "b", "c"] {
        s.post("configmaps", map(name, "1")).await.is(201);
    }
    let first = s.get("configmaps?limit=1").await.is(200);
    s.delete("configmaps/b", Value::Null).await.is(200);
    s.forget(&first.rv()).await;
    let expired = s
        .get(&format!("configmaps?limit=1&continue={}", token(&first)))
        .await
        .refused(410, "Expired");
    let resumed = s
        .get(&format!("configmaps?limit=1&continue={}", token(&expired)))
        .await
        .is(200);
    assert_eq!(resumed.names(), ["c"]);
}

async fn d12_lists_in_order_of_keys(s: &mut Session) {
    for name in ["b", "a-b", "a.b", "a", "ab", "10", "9"] {
        s.post("configmaps", map(name, "1")).await.is(201);
    }
    let list = s.get("configmaps").await.is(200);
    assert_eq!(list.names(), ["10", "9", "a", "a-b", "a.b", "ab", "b"]);
}
