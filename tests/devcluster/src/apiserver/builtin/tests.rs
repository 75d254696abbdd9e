use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn transcripts() -> Vec<Value> {
    include_str!("../../../transcripts/kube-apiserver-1.36.3.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What the request path does to a body before it is stored.
fn stored(api_version: &str, kind: &str, body: &Value, uid: &Value) -> Value {
    let mut object = body.clone();
    object["metadata"]["uid"] = uid.clone();
    canonicalize(api_version, kind, &mut object);
    default(api_version, kind, &mut object);
    prepare_create(api_version, kind, &mut object);
    object
}

/// Both without what the registry adds.
fn compared(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(meta) = object["metadata"].as_object_mut() {
        for field in [
            "managedFields",
            "resourceVersion",
            "creationTimestamp",
            "namespace",
            "uid",
        ] {
            meta.shift_remove(field);
        }
    }
    // The address is allocated.
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut)
        && spec.get("clusterIP").is_some_and(|ip| ip != "None")
    {
        spec.shift_remove("clusterIP");
        spec.shift_remove("clusterIPs");
    }
    object
}

#[test]
fn creates_give_the_recorded_objects() {
    let mut seen = std::collections::BTreeSet::new();
    for line in transcripts() {
        let body = &line["body"];
        let (Some(api_version), Some(kind)) = (body["apiVersion"].as_str(), body["kind"].as_str()) else {
            continue;
        };
        if line["status"] != 201
            || kind == "CustomResourceDefinition"
            // It comes back with an answer.
            || kind == "SelfSubjectAccessReview"
            || TypeSchema::builtin(api_version, kind).is_none()
        {
            continue;
        }
        let object = stored(api_version, kind, body, &line["response"]["metadata"]["uid"]);
        let (mut ours, mut theirs) = (compared(&object), compared(&line["response"]));
        if let (Some(ours), Some(theirs)) = (ours["metadata"].as_object_mut(), theirs["metadata"].as_object_mut()) {
            ours.retain(|_, v| !v.is_null());
            theirs.retain(|_, v| !v.is_null());
        }
        assert_eq!(ours, theirs, "transcript {}", line["n"]);
        seen.insert(kind.to_owned());
    }
    assert!(seen.len() >= 15, "{seen:?}");
}

#[test]
fn pods_get_what_only_pods_get() {
    let body = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"serviceAccountName": "sa", "containers": [
        {"name": "c", "image": "localhost:5000/x", "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}},
         "livenessProbe": {"httpGet": {"port": 80}}, "env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}],
        "volumes": [{"name": "s", "secret": {"secretName": "s"}}, {"name": "e"}]}});
    let pod = stored("v1", "Pod", &body, &json!("u"));
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["imagePullPolicy"], "Always");
    assert_eq!(
        container["resources"],
        json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}})
    );
    assert_eq!(
        container["livenessProbe"],
        json!({"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1,
            "failureThreshold": 3})
    );
    assert_eq!(container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"], "v1");
    assert_eq!(
        pod["spec"]["volumes"],
        json!([{"name": "s", "secret": {"secretName": "s", "defaultMode": 420}}, {"name": "e", "emptyDir": {}}])
    );
    assert_eq!(pod["spec"]["serviceAccount"], "sa");
    assert_eq!(pod["spec"]["enableServiceLinks"], true);
    assert_eq!(pod["spec"]["tolerations"].as_array().map(Vec::len), Some(2));
    assert_eq!(pod["status"], json!({"phase": "Pending"}));
}

#[test]
fn an_update_keeps_what_the_server_owns_and_counts_changes_of_the_spec() {
    let old = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"type": "ClusterIP", "clusterIP": "10.0.0.7",
        "clusterIPs": ["10.0.0.7"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "ports": [{"port": 1}]},
        "status": {"loadBalancer": {}}});
    let mut new =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 2}]}});
    canonicalize("v1", "Service", &mut new);
    default("v1", "Service", &mut new);
    prepare_update("v1", "Service", &old, &mut new);
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        assert_eq!(new["spec"][field], old["spec"][field], "{field}");
    }
    let old = json!({"metadata": {"generation": 3}, "spec": {"replicas": 1}, "status": {"replicas": 1, "availableReplicas": 1}});
    for (replicas, generation) in [(1, 3), (2, 4)] {
        let mut new = json!({"metadata": {"generation": 9}, "spec": {"replicas": replicas}, "status": {"replicas": 7}});
        let mut old = old.clone();
        prepare_update("apps/v1", "StatefulSet", &json!({}), &mut old);
        old["metadata"]["generation"] = json!(3);
        prepare_update("apps/v1", "StatefulSet", &old, &mut new);
        assert_eq!(new["metadata"]["generation"], generation);
        assert_eq!(new["status"], old["status"]);
    }
}

/// Fields and messages of errors.
fn told(errors: &[FieldError]) -> Vec<(String, String)> {
    errors.iter().map(|e| (e.field.clone(), e.message.clone())).collect()
}

fn recorded(line: &Value) -> Vec<(String, String)> {
    let causes = line["response"]["details"]["causes"].as_array().unwrap();
    let text = |cause: &Value, key: &str| cause[key].as_str().unwrap().to_owned();
    let mut out: Vec<_> = causes.iter().map(|c| (text(c, "field"), text(c, "message"))).collect();
    out.dedup();
    out
}

#[test]
fn recorded_objects_are_valid_and_recorded_refusals_are_ours() {
    let lines = transcripts();
    let line = |n: u64| lines.iter().find(|line| line["n"] == n).unwrap();
    for line in &lines {
        let object = &line["response"];
        let (Some(api_version), Some(kind)) = (object["apiVersion"].as_str(), object["kind"].as_str()) else {
            continue;
        };
        if line["status"] == 201 && kind != "CustomResourceDefinition" {
            assert_eq!(
                validate_create(api_version, kind, object),
                [],
                "transcript {}",
                line["n"]
            );
            assert_eq!(
                validate_update(api_version, kind, object, object),
                [],
                "transcript {}",
                line["n"]
            );
        }
    }
    for n in [173, 176] {
        let line = line(n);
        let api_version = if n == 173 { "events.k8s.io/v1" } else { "v1" };
        let mut object = line["body"].clone();
        object["metadata"]["namespace"] = json!(if n == 176 { "default" } else { "t" });
        assert_eq!(
            told(&validate_create(api_version, "Event", &object)),
            recorded(line),
            "transcript {n}"
        );
    }
    // 117: the service name of a StatefulSet.
    let old = &line(112)["response"];
    let mut new = old.clone();
    new["spec"]["serviceName"] = json!("other");
    assert_eq!(
        told(&validate_update("apps/v1", "StatefulSet", old, &new)),
        recorded(line(117))
    );
}

#[test]
fn mistakes_are_refused_with_field_and_reason() {
    let sts = transcripts().into_iter().find(|line| line["n"] == 43).unwrap()["response"].clone();
    let cases = [
        (
            "/spec/selector/matchLabels",
            json!({"a": "b"}),
            "spec.template.metadata.labels",
            "Invalid value: {\"neo4j.com/cluster\":\"c\"}: `selector` does not match template `labels`",
        ),
        (
            "/spec/template/spec/containers/0/name",
            json!("A"),
            "spec.template.spec.containers[0].name",
            "Invalid value: \"A\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
        ),
        (
            "/spec/template/spec/containers/0/ports/0/containerPort",
            json!(70000),
            "spec.template.spec.containers[0].ports[0].containerPort",
            "Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            "/spec/template/spec/containers/0/volumeMounts/0/name",
            json!("x"),
            "spec.template.spec.containers[0].volumeMounts[0].name",
            "Not found: \"x\"",
        ),
        (
            "/spec/template/spec/containers/0/resources/requests/memory",
            json!("3Gi"),
            "spec.template.spec.containers[0].resources.requests",
            "Invalid value: \"3Gi\": must be less than or equal to memory limit of 2Gi",
        ),
        (
            "/spec/template/spec/restartPolicy",
            json!("Never"),
            "spec.template.spec.restartPolicy",
            "Unsupported value: \"Never\": supported values: \"Always\"",
        ),
        (
            "/spec/podManagementPolicy",
            json!("All"),
            "spec.podManagementPolicy",
            "Invalid value: \"All\": must be 'OrderedReady' or 'Parallel'",
        ),
        (
            "/spec/replicas",
            json!(-1),
            "spec.replicas",
            "Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            "/spec/volumeClaimTemplates/0/spec/accessModes",
            json!([]),
            "spec.volumeClaimTemplates[0].spec.accessModes",
            "Required value: at least 1 access mode is required",
        ),
    ];
    for (pointer, value, field, message) in cases {
        let mut object = sts.clone();
        *object.pointer_mut(pointer).unwrap() = value;
        let told = told(&validate_create("apps/v1", "StatefulSet", &object));
        assert_eq!(told, [(field.to_owned(), message.to_owned())], "{pointer}");
    }
}

#[test]
fn what_may_not_change_is_refused_on_update() {
    let claim = |size: &str, class: &str, phase: &str| {
        json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem", "storageClassName": class,
            "resources": {"requests": {"storage": size}}}, "status": {"phase": phase, "capacity": {"storage": "10Gi"}}})
    };
    let update = |kind: &str, old: &Value, new: &Value| {
        let version = match kind {
            "Job" => "batch/v1",
            _ => "v1",
        };
        told(&validate_update(version, kind, old, new))
            .into_iter()
            .map(|(field, _)| field)
            .collect::<Vec<_>>()
    };
    let bound = claim("10Gi", "a", "Bound");
    let none: [&str; 0] = [];
    assert_eq!(
        update("PersistentVolumeClaim", &bound, &claim("20Gi", "a", "Bound")),
        none
    );
    assert_eq!(
        update("PersistentVolumeClaim", &bound, &claim("5Gi", "a", "Bound")),
        ["spec.resources.requests.storage"]
    );
    assert_eq!(
        update("PersistentVolumeClaim", &bound, &claim("10Gi", "b", "Bound")),
        ["spec"]
    );
    assert_eq!(
        update(
            "PersistentVolumeClaim",
            &claim("10Gi", "a", "Pending"),
            &claim("20Gi", "a", "Pending")
        ),
        ["spec"]
    );
    let job = transcripts().into_iter().find(|line| line["n"] == 48).unwrap()["response"].clone();
    let mut other = job.clone();
    other["spec"]["template"]["spec"]["containers"][0]["image"] = json!("y");
    assert_eq!(update("Job", &job, &other), ["spec.template"]);
    let secret = json!({"metadata": {"name": "s"}, "type": "Opaque", "immutable": true, "data": {"a": "eA=="}});
    let mut other = secret.clone();
    other["data"]["a"] = json!("eQ==");
    other["immutable"] = json!(false);
    assert_eq!(update("Secret", &secret, &other), ["immutable", "data"]);
    let service = transcripts().into_iter().find(|line| line["n"] == 33).unwrap()["response"].clone();
    let mut other = service.clone();
    other["spec"]["clusterIP"] = json!("10.0.0.9");
    other["spec"]["clusterIPs"] = json!(["10.0.0.9"]);
    assert_eq!(update("Service", &service, &other), ["spec.clusterIPs[0]"]);
}

/// Any object with names that the tables know.
fn any_object() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z0-9.:-]{0,6}".prop_map(Value::from),
        prop_oneof![
            Just("1Gi"),
            Just("ClientIP"),
            Just("LoadBalancer"),
            Just("None"),
            Just("RollingUpdate"),
            Just("2026-01-01T00:00:00Z"),
            Just("Never"),
            Just("0 2 * * *")
        ]
        .prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("metadata"),
        Just("name"),
        Just("labels"),
        Just("annotations"),
        Just("spec"),
        Just("template"),
        Just("containers"),
        Just("image"),
        Just("ports"),
        Just("port"),
        Just("containerPort"),
        Just("resources"),
        Just("limits"),
        Just("requests"),
        Just("cpu"),
        Just("storage"),
        Just("selector"),
        Just("matchLabels"),
        Just("matchExpressions"),
        Just("clusterIP"),
        Just("clusterIPs"),
        Just("type"),
        Just("status"),
        Just("stringData"),
        Just("data"),
        Just("jobTemplate"),
        Just("schedule"),
        Just("volumeClaimTemplates"),
        Just("volumes"),
        Just("volumeMounts"),
        Just("readinessProbe"),
        Just("updateStrategy"),
        Just("rules"),
        Just("subjects"),
        Just("roleRef"),
        Just("ownerReferences"),
        Just("finalizers"),
        Just("tolerations"),
        Just("immutable"),
        Just("accessModes"),
        Just("env"),
    ]
    .prop_map(str::to_owned);
    leaf.prop_recursive(7, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

const KINDS: [(&str, &str); 23] = [
    ("v1", "Namespace"),
    ("v1", "Secret"),
    ("v1", "ConfigMap"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    ("v1", "Pod"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "PersistentVolume"),
    ("v1", "Node"),
    ("v1", "Event"),
    ("coordination.k8s.io/v1", "Lease"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "ControllerRevision"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
    ("policy/v1", "PodDisruptionBudget"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("networking.k8s.io/v1", "Ingress"),
    ("storage.k8s.io/v1", "StorageClass"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
];

#[test]
fn every_kind_that_is_served_has_a_table() {
    for (api_version, kind) in KINDS {
        assert!(TypeSchema::builtin(api_version, kind).is_some(), "{kind}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn canonical_and_defaulted_objects_stay_as_they_are_and_nothing_panics(object in any_object(), old in any_object()) {
        for (api_version, kind) in KINDS {
            let mut once = object.clone();
            canonicalize(api_version, kind, &mut once);
            let canonical = once.clone();
            canonicalize(api_version, kind, &mut once);
            prop_assert_eq!(&once, &canonical, "{} canonical", kind);
            default(api_version, kind, &mut once);
            let defaulted = once.clone();
            default(api_version, kind, &mut once);
            prop_assert_eq!(&once, &defaulted, "{} defaulted", kind);
            prepare_create(api_version, kind, &mut once);
            prepare_update(api_version, kind, &old, &mut once);
            let _ = unknown_fields(api_version, kind, &object);
            let _ = validate_create(api_version, kind, &once);
            let _ = validate_create(api_version, kind, &object);
            let _ = validate_update(api_version, kind, &old, &once);
        }
    }
}
