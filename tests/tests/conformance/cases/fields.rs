//! D25–D28: what may not change, what is filled in, and the form in which values are kept.

use serde_json::{Value, json};

use super::{cases, life::set};
use crate::session::Session;

cases![
    d25_statefulset,
    d25_statefulset_claims,
    d25_service_address,
    d25_job,
    d25_claim,
    d25_immutable_maps,
    d25_pod,
    d25_secret_type,
    d26_statefulset_defaults,
    d26_pod_defaults,
    d26_service_defaults,
    d26_job_defaults,
    d26_claim_defaults,
    d26_budget_and_lease_defaults,
    d26_custom_defaults,
    d27_string_data,
    d27_empty_maps_and_nulls,
    d27_times_of_a_lease,
    d28_quantities,
    d28_bad_quantities,
];

async fn d25_statefulset(s: &mut Session) {
    s.post("statefulsets", set("s")).await.is(201);
    for spec in [
        json!({"serviceName": "other"}),
        json!({"podManagementPolicy": "Parallel"}),
        json!({"selector": {"matchLabels": {"app": "other"}}}),
        json!({"selector": {"matchLabels": {"app": "other"}}, "serviceName": "other"}),
        json!({"replicas": -1}),
        json!({"template": {"metadata": {"labels": {"app": "other"}}}}),
    ] {
        s.merge("statefulsets/s", json!({"spec": spec}))
            .await
            .refused(422, "Invalid");
    }
    for spec in [
        json!({"replicas": 5}),
        json!({"template": {"spec": {"terminationGracePeriodSeconds": 9}}}),
        json!({"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}}),
        json!({"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"}}),
        json!({"minReadySeconds": 3}),
        json!({"ordinals": {"start": 2}}),
        json!({"revisionHistoryLimit": 2}),
    ] {
        s.merge("statefulsets/s", json!({"spec": spec})).await.is(200);
    }
}

async fn d25_statefulset_claims(s: &mut Session) {
    let claim = |name: &str, size: &str| json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}});
    let mut object = set("s");
    object["spec"]["volumeClaimTemplates"] = json!([claim("data", "1024Mi")]);
    let created = s.post("statefulsets", object.clone()).await.is(201);
    // The same amount in other words is no change.
    object["spec"]["volumeClaimTemplates"] = json!([claim("data", "1Gi")]);
    assert_eq!(s.put("statefulsets/s", object.clone()).await.is(200).rv(), created.rv());
    object["spec"]["volumeClaimTemplates"] = json!([claim("data", "2Gi")]);
    s.put("statefulsets/s", object.clone()).await.refused(422, "Invalid");
    object["spec"]["volumeClaimTemplates"] = json!([claim("data", "1Gi"), claim("more", "1Gi")]);
    s.apply("statefulsets/s?fieldManager=m&force=true", object)
        .await
        .refused(422, "Invalid");
}

async fn d25_service_address(s: &mut Session) {
    let port = json!([{"port": 80}]);
    let made = s
        .post("services", json!({"metadata": {"name": "a"}, "spec": {"ports": port}}))
        .await
        .is(201);
    assert!(!made.text("/spec/clusterIP").is_empty());
    // A PUT without the address keeps it.
    let kept = s
        .put(
            "services/a",
            json!({"metadata": {"name": "a"}, "spec": {"ports": [{"port": 81}]}}),
        )
        .await
        .is(200);
    assert_eq!(kept.text("/spec/clusterIP"), made.text("/spec/clusterIP"));
    s.merge("services/a", json!({"spec": {"clusterIP": "None"}})).await;
    s.merge(
        "services/a",
        json!({"spec": {"clusterIP": "10.0.0.77", "clusterIPs": ["10.0.0.77"]}}),
    )
    .await
    .refused(422, "Invalid");
    s.post(
        "services",
        json!({"metadata": {"name": "h"}, "spec": {"clusterIP": "None", "ports": port}}),
    )
    .await
    .is(201);
    s.merge(
        "services/h",
        json!({"spec": {"clusterIP": "10.0.0.78", "clusterIPs": ["10.0.0.78"]}}),
    )
    .await;
    s.post("services", json!({"metadata": {"name": "none"}, "spec": {}}))
        .await;
    s.post(
        "services",
        json!({"metadata": {"name": "two"}, "spec": {"ports": [{"port": 1}, {"port": 2}]}}),
    )
    .await
    .refused(422, "Invalid");
}

fn job(name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}},
    })
}

async fn d25_job(s: &mut Session) {
    s.post("jobs", job("j")).await.is(201);
    for spec in [
        json!({"template": {"spec": {"containers": [{"name": "c", "image": "other"}]}}}),
        json!({"selector": {"matchLabels": {"a": "b"}}}),
        json!({"completions": 3}),
        json!({"backoffLimit": 3}),
        json!({"ttlSecondsAfterFinished": 3}),
        json!({"parallelism": 0}),
        json!({"suspend": true}),
        json!({"activeDeadlineSeconds": 3}),
    ] {
        s.merge("jobs/j", json!({"spec": spec})).await;
    }
    let mut always = job("k");
    always["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
    s.post("jobs", always).await.refused(422, "Invalid");
}

fn claim(name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "none", "resources": {"requests": {"storage": "1Gi"}}},
    })
}

async fn d25_claim(s: &mut Session) {
    s.post("persistentvolumeclaims", claim("c")).await.is(201);
    for spec in [
        json!({"resources": {"requests": {"storage": "1024Mi"}}}),
        json!({"resources": {"requests": {"storage": "2Gi"}}}),
        json!({"resources": {"requests": {"storage": "1Mi"}}}),
        json!({"accessModes": ["ReadOnlyMany"]}),
        json!({"storageClassName": "other"}),
        json!({"volumeName": "v"}),
    ] {
        s.merge("persistentvolumeclaims/c", json!({"spec": spec})).await;
    }
    s.post("persistentvolumeclaims", json!({"metadata": {"name": "d"}, "spec": {}}))
        .await
        .refused(422, "Invalid");
}

async fn d25_immutable_maps(s: &mut Session) {
    for kind in ["configmaps", "secrets"] {
        s.post(
            kind,
            json!({"metadata": {"name": "o"}, "data": {"k": "YQ=="}, "immutable": true}),
        )
        .await
        .is(201);
        let one = format!("{kind}/o");
        s.merge(&one, json!({"data": {"k": "Yg=="}}))
            .await
            .refused(422, "Invalid");
        s.merge(&one, json!({"immutable": false})).await.refused(422, "Invalid");
        s.merge(&one, json!({"immutable": null})).await.refused(422, "Invalid");
        s.merge(&one, json!({"metadata": {"labels": {"a": "b"}}})).await.is(200);
        s.delete(&one, Value::Null).await.is(200);
    }
}

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"serviceAccountName": "default", "containers": [{"name": "c", "image": "i"}]}})
}

async fn d25_pod(s: &mut Session) {
    s.post("pods", pod("p")).await.is(201);
    s.strategic("pods/p", json!({"spec": {"containers": [{"name": "c", "image": "j"}]}}))
        .await
        .is(200);
    for spec in [
        json!({"nodeName": "n"}),
        json!({"terminationGracePeriodSeconds": 5}),
        json!({"activeDeadlineSeconds": 5}),
        json!({"containers": [{"name": "c", "command": ["x"]}]}),
        json!({"restartPolicy": "Never"}),
        json!({"tolerations": [{"key": "k", "operator": "Exists"}]}),
    ] {
        s.strategic("pods/p", json!({"spec": spec})).await;
    }
}

async fn d25_secret_type(s: &mut Session) {
    s.post("secrets", json!({"metadata": {"name": "o"}, "type": "neo4j.com/x"}))
        .await
        .is(201);
    s.merge("secrets/o", json!({"type": "Opaque"}))
        .await
        .refused(422, "Invalid");
    s.post(
        "secrets",
        json!({"metadata": {"name": "t"}, "type": "kubernetes.io/tls", "data": {"tls.crt": "YQ=="}}),
    )
    .await;
    s.post(
        "secrets",
        json!({"metadata": {"name": "b"}, "type": "kubernetes.io/basic-auth", "stringData": {"x": "y"}}),
    )
    .await;
    s.post(
        "secrets",
        json!({"metadata": {"name": "k"}, "data": {"bad key": "YQ=="}}),
    )
    .await
    .refused(422, "Invalid");
    s.post(
        "secrets",
        json!({"metadata": {"name": "v"}, "data": {"k": "no base64!"}}),
    )
    .await;
}

async fn d26_statefulset_defaults(s: &mut Session) {
    s.post("statefulsets", set("bare")).await.is(201);
    let mut full = set("full");
    full["spec"]["volumeClaimTemplates"] = json!([claim("data")]);
    full["spec"]["template"]["spec"]["containers"] = json!([{
        "name": "c", "image": "repo:5000/i:1",
        "ports": [{"containerPort": 7687}],
        "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "readinessProbe": {"httpGet": {"port": 1}},
        "livenessProbe": {"tcpSocket": {"port": 1}, "periodSeconds": 3},
        "startupProbe": {"exec": {"command": ["x"]}},
        "lifecycle": {"preStop": {"httpGet": {"port": 2}}},
    }]);
    full["spec"]["template"]["spec"]["initContainers"] = json!([{"name": "i", "image": "i:latest"}]);
    full["spec"]["template"]["spec"]["volumes"] = json!([
        {"name": "a", "configMap": {"name": "x"}},
        {"name": "b", "secret": {"secretName": "x"}},
        {"name": "c", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}, {"secret": {"name": "x"}}]}},
        {"name": "d", "downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"name": "e"},
    ]);
    s.post("statefulsets", full).await.is(201);
}

async fn d26_pod_defaults(s: &mut Session) {
    let mut object = pod("p");
    object["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
    object["spec"]["topologySpreadConstraints"] = json!([{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"a": "b"}}}]);
    object["spec"]["hostNetwork"] = json!(false);
    s.post("pods", object).await.is(201);
}

async fn d26_service_defaults(s: &mut Session) {
    s.post(
        "services",
        json!({"metadata": {"name": "a"}, "spec": {"ports": [{"port": 1}]}}),
    )
    .await
    .is(201);
    let ports = json!([{"name": "x", "port": 1, "targetPort": "y"}, {"name": "z", "port": 2, "targetPort": 3}]);
    s.post("services", json!({"metadata": {"name": "h"}, "spec": {"clusterIP": "None", "publishNotReadyAddresses": true, "selector": {"a": "b"}, "ports": ports}})).await.is(201);
    s.post(
        "services",
        json!({"metadata": {"name": "e"}, "spec": {"type": "ExternalName", "externalName": "x.example.com"}}),
    )
    .await
    .is(201);
    s.post(
        "services",
        json!({"metadata": {"name": "s"}, "spec": {"sessionAffinity": "ClientIP", "ports": [{"port": 1}]}}),
    )
    .await
    .is(201);
}

async fn d26_job_defaults(s: &mut Session) {
    s.post("jobs", job("j")).await.is(201);
    let mut indexed = job("i");
    indexed["spec"]["completionMode"] = json!("Indexed");
    indexed["spec"]["completions"] = json!(2);
    s.post("jobs", indexed).await.is(201);
}

async fn d26_claim_defaults(s: &mut Session) {
    s.post("persistentvolumeclaims", claim("c")).await.is(201);
}

async fn d26_budget_and_lease_defaults(s: &mut Session) {
    let budget =
        json!({"metadata": {"name": "b"}, "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"a": "b"}}}});
    s.post("poddisruptionbudgets", budget).await.is(201);
    s.post(
        "poddisruptionbudgets",
        json!({"metadata": {"name": "c"}, "spec": {"maxUnavailable": 1, "minAvailable": "50%"}}),
    )
    .await
    .refused(422, "Invalid");
    s.post("leases", json!({"metadata": {"name": "l"}, "spec": {}}))
        .await
        .is(201);
    s.post(
        "serviceaccounts",
        json!({"metadata": {"name": "x"}, "automountServiceAccountToken": false}),
    )
    .await
    .is(201);
    s.post(
        "roles",
        json!({"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
    )
    .await
    .is(201);
    let binding = json!({"metadata": {"name": "r"}, "roleRef": {"kind": "Role", "name": "r", "apiGroup": ""}, "subjects": [{"kind": "ServiceAccount", "name": "x"}]});
    s.post("rolebindings", binding).await;
    s.post(
        "roles",
        json!({"metadata": {"name": "bad"}, "rules": [{"apiGroups": [""], "resources": ["pods"]}]}),
    )
    .await
    .refused(422, "Invalid");
}

async fn d26_custom_defaults(s: &mut Session) {
    s.post("widgets", json!({"metadata": {"name": "none"}})).await.is(201);
    s.post("widgets", json!({"metadata": {"name": "empty"}, "spec": {}}))
        .await
        .is(201);
    s.post(
        "widgets",
        json!({"metadata": {"name": "null"}, "spec": {"plain": null, "mode": null, "nick": null}}),
    )
    .await
    .is(201);
    s.merge("widgets/empty", json!({"spec": {"mode": null}})).await.is(200);
    s.json_patch("widgets/empty", json!([{"op": "remove", "path": "/spec/plain"}]))
        .await
        .is(200);
    s.get("widgets/none").await.is(200);
}

async fn d27_string_data(s: &mut Session) {
    let secret = json!({"metadata": {"name": "o"}, "data": {"a": "YQ==", "b": "Yg=="}, "stringData": {"b": "written", "c": "C"}});
    let made = s.post("secrets", secret).await.is(201);
    assert!(made.body.get("stringData").is_none());
    s.merge("secrets/o", json!({"stringData": {"a": "again"}}))
        .await
        .is(200);
    s.apply(
        "secrets/o?fieldManager=m",
        json!({"metadata": {"name": "o"}, "stringData": {"d": "D"}}),
    )
    .await
    .is(200);
    s.apply(
        "secrets/o?fieldManager=m",
        json!({"metadata": {"name": "o"}, "stringData": {"d": "E"}}),
    )
    .await
    .is(200);
    s.strategic("secrets/o", json!({"stringData": {"d": "F"}}))
        .await
        .is(200);
}

async fn d27_empty_maps_and_nulls(s: &mut Session) {
    let object = json!({"metadata": {"name": "o", "labels": {}, "annotations": null, "finalizers": [], "ownerReferences": null}, "data": {}, "binaryData": null});
    s.post("configmaps", object).await.is(201);
    let object = json!({"metadata": {"name": "w", "labels": {}, "annotations": null}, "spec": {"granular": {}, "set": [], "any": {}, "nick": null}});
    s.post("widgets", object).await.is(201);
    let mut object = set("s");
    object["spec"]["template"]["spec"]["volumes"] = json!([]);
    object["spec"]["template"]["spec"]["nodeSelector"] = json!({});
    object["spec"]["template"]["spec"]["affinity"] = json!({});
    object["spec"]["template"]["spec"]["securityContext"] = json!({"fsGroup": null});
    s.post("statefulsets", object).await.is(201);
    s.merge("configmaps/o", json!({"data": {"k": null}})).await.is(200);
    s.post("configmaps", json!({"metadata": {"name": "empty"}, "data": {"k": ""}}))
        .await
        .is(201);
    s.post("configmaps", json!({"metadata": {"name": "null"}, "data": {"k": null}}))
        .await;
}

async fn d27_times_of_a_lease(s: &mut Session) {
    let with = |time: &str| json!({"metadata": {"name": "l"}, "spec": {"renewTime": time, "acquireTime": time, "leaseDurationSeconds": 15}});
    s.post("leases", with("2001-01-01T00:00:00Z")).await;
    s.put("leases/l", with("2001-01-01T00:00:00.123456Z")).await;
    for time in [
        "2001-01-01T00:00:00.123456Z",
        "2001-01-01T00:00:00.1Z",
        "2001-01-01T02:00:00.123456789+02:00",
        "yesterday",
        "",
    ] {
        s.merge("leases/l", json!({"spec": {"renewTime": time}})).await;
    }
    s.merge("leases/l", json!({"spec": {"leaseDurationSeconds": 0}}))
        .await
        .refused(422, "Invalid");
    s.merge("leases/l", json!({"spec": {"leaseTransitions": -1}}))
        .await
        .refused(422, "Invalid");
}

async fn d28_quantities(s: &mut Session) {
    for (i, size) in [
        "1000m",
        "1024Mi",
        "0.5",
        "1.5Gi",
        "1e3",
        "1000000",
        "100k",
        "1234567Ki",
        "12E2",
        "0",
        "1Ki",
        "1.0",
    ]
    .iter()
    .enumerate()
    {
        let mut object = pod(&format!("p{i}"));
        object["spec"]["containers"][0]["resources"] =
            json!({"requests": {"memory": size, "cpu": size}, "limits": {"memory": size}});
        s.post("pods", object).await;
    }
}

async fn d28_bad_quantities(s: &mut Session) {
    for size in [
        json!("1 Gi"),
        json!("1gb"),
        json!("-1"),
        json!(""),
        json!(2),
        json!(1.5),
        json!(true),
        json!("1.2.3"),
    ] {
        let mut object = pod("p");
        object["spec"]["containers"][0]["resources"] = json!({"requests": {"memory": size}});
        s.post("pods", object).await;
    }
    let mut object = pod("more");
    object["spec"]["containers"][0]["resources"] = json!({"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}});
    s.post("pods", object).await.refused(422, "Invalid");
}
