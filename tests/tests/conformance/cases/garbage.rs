//! D19, D20, D24: deletion that takes controllers: grace, namespaces, dependants.

use serde_json::{Value, json};

use super::cases;
use crate::session::{Answer, Session};

cases![
    d24_background,
    d24_orphan,
    d24_absent_owner,
    d24_owner_of_another_namespace,
    d24_one_of_two_owners,
    d24_foreground_without_block,
    d18_owner_by_uid_not_by_name,
    d20_namespace_is_drained,
];

/// A uid that nothing has.
const ABSENT: &str = "00000000-0000-4000-8000-000000000000";

fn owned(name: &str, owners: &[(&str, &str, bool)]) -> Value {
    let owner = |(name, uid, block): &(&str, &str, bool)| {
        let mut owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid});
        if *block {
            owner["blockOwnerDeletion"] = json!(true);
        }
        owner
    };
    json!({"metadata": {"name": name, "ownerReferences": owners.iter().map(owner).collect::<Vec<_>>()}})
}

async fn owner(s: &mut Session, name: &str) -> String {
    s.post("configmaps", json!({"metadata": {"name": name}}))
        .await
        .is(201)
        .uid()
}

/// Owner and child are known by two watches: of a child that it has not seen the collector does not take the owner away. Once it has
/// collected a later Secret it has seen the earlier ones.
async fn collector_knows_secrets(s: &mut Session) {
    let canary = owned("canary", &[("o", ABSENT, false)]);
    assert_eq!(s.quiet_post("secrets", &canary).await.code, 201);
    s.until_quietly("secrets/canary", gone).await;
}

fn gone(answer: &Answer) -> bool {
    answer.code == 404
}

async fn d24_background(s: &mut Session) {
    let uid = owner(s, "o").await;
    s.post("secrets", owned("child", &[("o", &uid, false)])).await.is(201);
    s.delete("configmaps/o", json!({"propagationPolicy": "Background"}))
        .await
        .is(200);
    s.get("configmaps/o").await.is(404);
    s.until("secrets/child", gone).await;
}

async fn d24_foreground_without_block(s: &mut Session) {
    let uid = owner(s, "o").await;
    let mut child = owned("child", &[("o", &uid, false)]);
    child["metadata"]["finalizers"] = json!(["e.com/f"]);
    s.post("secrets", child).await.is(201);
    s.delete("configmaps/o", json!({"propagationPolicy": "Foreground"}))
        .await
        .is(200);
    s.until("configmaps/o", gone).await;
    s.until("secrets/child", |a| !a.text("/metadata/deletionTimestamp").is_empty())
        .await;
}

async fn d24_orphan(s: &mut Session) {
    let uid = owner(s, "o").await;
    s.post("secrets", owned("child", &[("o", &uid, true)])).await.is(201);
    collector_knows_secrets(s).await;
    s.delete("configmaps/o", json!({"propagationPolicy": "Orphan"}))
        .await
        .is(200);
    s.until("configmaps/o", gone).await;
    s.until("secrets/child", |a| {
        a.code == 200 && a.body["metadata"].get("ownerReferences").is_none()
    })
    .await;
}

async fn d24_absent_owner(s: &mut Session) {
    s.post("secrets", owned("child", &[("o", ABSENT, false)])).await.is(201);
    s.until("secrets/child", gone).await;
}

async fn d24_owner_of_another_namespace(s: &mut Session) {
    let name = s.namespace.clone();
    let elsewhere = "/api/v1/namespaces/default/configmaps";
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    let uid = s.post(elsewhere, map).await.is(201).uid();
    s.post("secrets", owned("child", &[(&name, &uid, false)])).await.is(201);
    s.until("secrets/child", gone).await;
    s.delete(&format!("{elsewhere}/{name}"), Value::Null).await.is(200);
}

async fn d24_one_of_two_owners(s: &mut Session) {
    let (a, b) = (owner(s, "a").await, owner(s, "b").await);
    s.post("secrets", owned("child", &[("a", &a, false), ("b", &b, false)]))
        .await
        .is(201);
    s.delete("configmaps/a", json!({"propagationPolicy": "Background"}))
        .await
        .is(200);
    let one = |x: &Answer| {
        x.body["metadata"]["ownerReferences"]
            .as_array()
            .is_some_and(|o| o.len() == 1)
    };
    s.until("secrets/child", one).await;
    s.delete("configmaps/b", json!({"propagationPolicy": "Background"}))
        .await
        .is(200);
    s.until("secrets/child", gone).await;
}

async fn d18_owner_by_uid_not_by_name(s: &mut Session) {
    let uid = owner(s, "o").await;
    s.post("secrets", owned("child", &[("o", &uid, false)])).await.is(201);
    s.delete("configmaps/o", json!({"propagationPolicy": "Background"}))
        .await
        .is(200);
    owner(s, "o").await;
    s.until("secrets/child", gone).await;
    s.get("configmaps/o").await.is(200);
}

async fn d20_namespace_is_drained(s: &mut Session) {
    s.post(
        "configmaps",
        json!({"metadata": {"name": "a", "finalizers": ["e.com/f"]}}),
    )
    .await
    .is(201);
    s.post("widgets", json!({"metadata": {"name": "b"}})).await.is(201);
    let namespace = format!("/api/v1/namespaces/{}", s.namespace);
    s.delete(&namespace, Value::Null).await.is(200);
    s.until("widgets/b", gone).await;
    s.until("configmaps/a", |a| !a.text("/metadata/deletionTimestamp").is_empty())
        .await;
    s.post("configmaps", json!({"metadata": {"name": "late"}}))
        .await
        .refused(403, "Forbidden");
    s.merge("configmaps/a", json!({"metadata": {"finalizers": null}}))
        .await
        .is(200);
    s.until(&namespace, gone).await;
}
