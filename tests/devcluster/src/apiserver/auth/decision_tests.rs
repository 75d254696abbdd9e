//! Paths against what they want, rules against wishes, grants against rules.

use http::Method;
use serde_json::{Value, json};

use super::{
    attributes::Attributes,
    rbac::{Decision, Grant, Granted, authorize},
    rules::{self, Rule},
};

fn rules(value: &Value) -> Vec<Rule> {
    Rule::of_role(&json!({"rules": value}))
}

#[test]
fn a_path_says_what_its_request_wants() {
    for (method, path, query, wanted) in [
        ("GET", "/api/v1/pods", "", "list //pods//"),
        ("GET", "/api/v1/pods", "watch=1", "watch //pods//"),
        ("GET", "/api/v1/namespaces/n/pods", "watch=false", "list n//pods//"),
        ("GET", "/api/v1/namespaces/n/pods/a", "watch=1", "get n//pods/a/"),
        ("HEAD", "/api/v1/namespaces/n/pods/a", "", "get n//pods/a/"),
        (
            "GET",
            "/api/v1/namespaces/n/pods",
            "fieldSelector=metadata.name%3Da",
            "list n//pods/a/",
        ),
        (
            "GET",
            "/api/v1/namespaces/n/pods",
            "fieldSelector=spec.nodeName%3Da",
            "list n//pods//",
        ),
        (
            "POST",
            "/apis/apps/v1/namespaces/n/statefulsets",
            "",
            "create n/apps/statefulsets//",
        ),
        (
            "PUT",
            "/apis/apps/v1/namespaces/n/statefulsets/a/status",
            "",
            "update n/apps/statefulsets/a/status",
        ),
        (
            "PATCH",
            "/apis/apps/v1/namespaces/n/statefulsets/a/scale",
            "",
            "patch n/apps/statefulsets/a/scale",
        ),
        ("DELETE", "/api/v1/namespaces/n/pods", "", "deletecollection n//pods//"),
        ("DELETE", "/api/v1/namespaces/n/pods/a", "", "delete n//pods/a/"),
        // A namespace is in itself, so that a Role in it can speak about it.
        ("GET", "/api/v1/namespaces/n", "", "get n//namespaces/n/"),
        (
            "PUT",
            "/api/v1/namespaces/n/finalize",
            "",
            "update n//namespaces/n/finalize",
        ),
        ("GET", "/api/v1/namespaces", "", "list //namespaces//"),
        (
            "GET",
            "/apis/example.com/v1/widgets/a%20b",
            "",
            "get /example.com/widgets/a b/",
        ),
    ] {
        let got = Attributes::of(&method.parse().unwrap(), path, query);
        let shown = format!(
            "{} {}/{}/{}/{}/{}",
            got.verb, got.namespace, got.group, got.resource, got.name, got.subresource
        );
        assert_eq!((shown.as_str(), got.path), (wanted, None), "{method} {path}?{query}");
    }
    for (method, path) in [
        ("GET", "/api/v1"),
        ("GET", "/apis/apps/v1"),
        ("POST", "/healthz"),
        ("GET", "/"),
    ] {
        let got = Attributes::of(&method.parse().unwrap(), path, "");
        assert_eq!((got.verb, got.path.as_deref()), (method.to_lowercase(), Some(path)));
    }
}

#[test]
fn a_rule_allows_what_it_names() {
    let get = |path: &str| Attributes::of(&Method::GET, path, "");
    let pods = json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"]});
    let named = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["secrets"], "resourceNames": ["a"]});
    let scale = json!({"verbs": ["get"], "apiGroups": ["apps"], "resources": ["*/scale"]});
    let all = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]});
    let paths = json!({"verbs": ["get"], "nonResourceURLs": ["/healthz", "/metrics/*"]});
    for (rule, path, allowed) in [
        (&pods, "/api/v1/namespaces/n/pods/a", true),
        (&pods, "/api/v1/namespaces/n/pods", true),
        (&pods, "/api/v1/namespaces/n/pods/a/log", true),
        (&pods, "/api/v1/namespaces/n/pods/a/status", false),
        (&pods, "/api/v1/namespaces/n/secrets/a", false),
        (&pods, "/apis/other.io/v1/namespaces/n/pods/a", false),
        (&named, "/api/v1/namespaces/n/secrets/a", true),
        (&named, "/api/v1/namespaces/n/secrets/b", false),
        // A list is about no name in particular.
        (&named, "/api/v1/namespaces/n/secrets", false),
        (&named, "/api/v1/namespaces/n/secrets/a/status", false),
        (&scale, "/apis/apps/v1/namespaces/n/statefulsets/a/scale", true),
        (&scale, "/apis/apps/v1/namespaces/n/statefulsets/a", false),
        (&scale, "/apis/apps/v1/namespaces/n/statefulsets/a/autoscale", false),
        (&all, "/apis/apps/v1/namespaces/n/statefulsets/a/scale", true),
        (&all, "/healthz", false),
        (&paths, "/healthz", true),
        (&paths, "/healthz/etcd", false),
        (&paths, "/metrics/slis", true),
        (&paths, "/metrics", false),
        (&paths, "/api/v1/namespaces/n/pods/a", false),
    ] {
        assert_eq!(rules(&json!([rule]))[0].allows(&get(path)), allowed, "{rule} {path}");
    }
    let post = Attributes::of(&Method::POST, "/api/v1/namespaces/n/pods", "");
    assert!(!rules(&json!([pods]))[0].allows(&post));
    assert!(rules(&json!([named]))[0].allows(&Attributes {
        name: "a".into(),
        ..Attributes::of(&Method::DELETE, "/api/v1/namespaces/n/secrets/a", "")
    }));
    // What is no rule allows nothing.
    assert!(rules(&json!([{"verbs": "get"}, 7])).is_empty());
}

#[test]
fn the_first_grant_that_allows_is_the_reason_and_problems_are_told_only_with_a_refusal() {
    let wanted = Attributes::of(&Method::GET, "/api/v1/namespaces/n/pods/a", "");
    let grant = |source: &str, verb: &str| Grant {
        source: source.into(),
        rules: rules(&json!([{"verbs": [verb], "apiGroups": [""], "resources": ["pods"]}])),
    };
    let mut granted = Granted {
        grants: vec![grant("A", "list"), grant("B", "get"), grant("C", "*")],
        absent: ["x", "y", "x"].map(|name| ("Role".into(), name.into())).into(),
    };
    let allowed = Decision {
        allowed: true,
        reason: "RBAC: allowed by B".into(),
    };
    assert_eq!(authorize(&wanted, &granted), allowed);
    granted.grants.truncate(1);
    assert_eq!(
        authorize(&wanted, &granted).reason,
        "RBAC: [role.rbac.authorization.k8s.io \"x\" not found, role.rbac.authorization.k8s.io \"y\" not found]"
    );
    granted.absent.clear();
    assert_eq!(authorize(&wanted, &granted), Decision::default());
}

#[test]
fn what_is_missing_is_named_by_resource() {
    let held = rules(&json!([
        {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]},
        {"verbs": ["*"], "apiGroups": ["apps"], "resources": ["*/scale"]},
        {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"]},
        {"verbs": ["get"], "nonResourceURLs": ["/metrics/*"]},
    ]));
    for (wanted, missing) in [
        (
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}),
            vec![],
        ),
        (
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["x"]}),
            vec![],
        ),
        (
            json!({"verbs": ["patch"], "apiGroups": ["apps"], "resources": ["statefulsets/scale"]}),
            vec![],
        ),
        (json!({"verbs": ["get"], "nonResourceURLs": ["/metrics/slis"]}), vec![]),
        (
            json!({"verbs": ["get", "watch", "create"], "apiGroups": [""], "resources": ["pods"]}),
            vec![r#"{APIGroups:[""], Resources:["pods"], Verbs:["watch" "create"]}"#],
        ),
        (
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]}),
            vec![r#"{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}"#],
        ),
        (
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a", "b"]}),
            vec![r#"{APIGroups:[""], Resources:["secrets"], ResourceNames:["b"], Verbs:["get"]}"#],
        ),
        (
            json!({"verbs": ["get"], "nonResourceURLs": ["/metrics"]}),
            vec![r#"{NonResourceURLs:["/metrics"], Verbs:["get"]}"#],
        ),
    ] {
        assert_eq!(rules::missing(&held, &rules(&json!([wanted]))), missing, "{wanted}");
    }
}
