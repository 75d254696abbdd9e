//! The roles and bindings that a new server has; `defaults.txt` lists them.

use serde_json::{Map, Value, json};

use super::GROUP;

const TABLE: &str = include_str!("defaults.txt");

/// The objects of a new server, by stored resource.
pub(in crate::apiserver) fn all() -> [(String, Vec<Value>); 2] {
    [
        (format!("clusterroles.{GROUP}"), roles()),
        (format!("clusterrolebindings.{GROUP}"), bindings()),
    ]
}

/// The ClusterRoles of a new server.
fn roles() -> Vec<Value> {
    let mut out: Vec<Value> = Vec::new();
    for line in lines() {
        match line.as_slice() {
            ["role", name, labels @ ..] => out.push(role(name, labels)),
            ["gather", label] => {
                let labels: Map<String, Value> = [((*label).to_owned(), json!("true"))].into_iter().collect();
                set(
                    &mut out,
                    "aggregationRule",
                    json!({"clusterRoleSelectors": [{"matchLabels": labels}]}),
                );
            }
            ["rule", verbs, groups, resources] => {
                let groups: Vec<&str> = groups.split(',').map(|g| if g == "core" { "" } else { g }).collect();
                let resources: Vec<&str> = resources.split(',').collect();
                add(
                    &mut out,
                    json!({"verbs": self::verbs(verbs), "apiGroups": groups, "resources": resources}),
                );
            }
            ["paths", verbs, paths] => {
                let paths: Vec<&str> = paths.split(',').collect();
                add(&mut out, json!({"verbs": self::verbs(verbs), "nonResourceURLs": paths}));
            }
            _ => {}
        }
    }
    out
}

/// The ClusterRoleBindings of a new server.
fn bindings() -> Vec<Value> {
    let binding = |name: &str, groups: &[&str]| {
        let subjects: Vec<Value> = groups
            .iter()
            .map(|group| json!({"kind": "Group", "apiGroup": GROUP, "name": group}))
            .collect();
        let mut out = object("ClusterRoleBinding", name, &[]);
        out["roleRef"] = json!({"apiGroup": GROUP, "kind": "ClusterRole", "name": name});
        out["subjects"] = json!(subjects);
        out
    };
    lines()
        .filter_map(|line| match line.as_slice() {
            ["binding", name, groups @ ..] => Some(binding(name, groups)),
            _ => None,
        })
        .collect()
}

fn lines() -> impl Iterator<Item = Vec<&'static str>> {
    TABLE
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_whitespace().collect())
}

fn object(kind: &str, name: &str, labels: &[&str]) -> Value {
    let mut marks = Map::new();
    marks.insert("kubernetes.io/bootstrapping".into(), json!("rbac-defaults"));
    marks.extend(labels.iter().map(|label| ((*label).to_owned(), json!("true"))));
    json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": kind,
        "metadata": {
            "name": name, "labels": marks,
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        },
    })
}

fn role(name: &str, labels: &[&str]) -> Value {
    let mut out = object("ClusterRole", name, labels);
    out["rules"] = Value::Null;
    out
}

fn set(roles: &mut [Value], field: &str, value: Value) {
    if let Some(role) = roles.last_mut() {
        role[field] = value;
    }
}

/// Adds a rule to the last role.
fn add(roles: &mut [Value], rule: Value) {
    if let Some(role) = roles.last_mut() {
        match &mut role["rules"] {
            Value::Array(rules) => rules.push(rule),
            other => *other = json!([rule]),
        }
    }
}

fn verbs(text: &str) -> Vec<&str> {
    const READ: [&str; 3] = ["get", "list", "watch"];
    const WRITE: [&str; 5] = ["create", "delete", "deletecollection", "patch", "update"];
    match text {
        "READ" => READ.to_vec(),
        "WRITE" => WRITE.to_vec(),
        "ALL" => [&WRITE[..], &READ[..]].concat(),
        list => list.split(',').collect(),
    }
}
