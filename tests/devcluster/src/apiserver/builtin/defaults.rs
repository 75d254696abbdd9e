//! Reads `defaults.txt` and fills in what it says, along the types of server-side apply's table: outer types first, as the server does.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use serde_json::{Map, Value, json};

use super::{object_at, text_at};
use crate::apiserver::smd::{
    TypeSchema,
    types::{Form, Schema, TypeId},
};

type Object = Map<String, Value>;

/// One entry of a line.
#[derive(Debug)]
enum Rule {
    Field {
        path: Vec<String>,
        value: Value,
        zero_counts: bool,
    },
    Code(fn(&mut Object)),
}

struct Table {
    schema: Arc<Schema>,
    rules: HashMap<TypeId, Vec<Rule>>,
}

static TABLE: LazyLock<Option<Table>> = LazyLock::new(|| {
    let schema = TypeSchema::builtin("v1", "Pod")?.schema;
    let rules = parse(include_str!("defaults.txt"), &schema);
    Some(Table { schema, rules })
});

/// Fills in the defaults of a built-in kind.
pub(super) fn fill(types: &TypeSchema, object: &mut Value) {
    if let Some(table) = &*TABLE {
        table.walk(types.root, object);
    }
}

impl Table {
    fn walk(&self, ty: TypeId, value: &mut Value) {
        match (self.schema.atom(ty).form(value), value) {
            (Form::Map(map), Value::Object(object)) => {
                for rule in self.rules.get(&ty).into_iter().flatten() {
                    rule.apply(object);
                }
                for (key, below) in object.iter_mut() {
                    if let Some(ty) = map.type_of(key) {
                        self.walk(ty, below);
                    }
                }
            }
            (Form::List(list), Value::Array(items)) => {
                for item in items {
                    self.walk(list.item, item);
                }
            }
            _ => {}
        }
    }
}

impl Rule {
    fn apply(&self, object: &mut Object) {
        match self {
            Self::Code(code) => code(object),
            Self::Field {
                path,
                value,
                zero_counts,
            } => put(object, path, value, *zero_counts),
        }
    }
}

fn put(object: &mut Object, path: &[String], value: &Value, zero_counts: bool) {
    match path {
        [] => {}
        [field] => {
            let there = object.get(field);
            let is_zero = there.is_some_and(|v| matches!(v, Value::String(s) if s.is_empty()) || v.as_i64() == Some(0));
            if there.is_none_or(Value::is_null) || zero_counts && is_zero {
                object.insert(field.clone(), value.clone());
            }
        }
        [parent, rest @ ..] => put(object_at(object, parent), rest, value, zero_counts),
    }
}

fn parse(text: &str, schema: &Schema) -> HashMap<TypeId, Vec<Rule>> {
    let mut rules: HashMap<TypeId, Vec<Rule>> = HashMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let Some(ty) = words.next().and_then(|name| schema.names.get(name)) else {
            continue;
        };
        rules.entry(*ty).or_default().extend(words.filter_map(parse_rule));
    }
    rules
}

/// The table is compiled in and a test reads it, so a word that makes no sense is skipped.
fn parse_rule(word: &str) -> Option<Rule> {
    if let Some(name) = word.strip_prefix('!') {
        return code(name).map(Rule::Code);
    }
    let at = word.find(['=', '~'])?;
    let (path, value) = word.split_at(at);
    Some(Rule::Field {
        path: path.split('.').map(str::to_owned).collect(),
        zero_counts: value.starts_with('~'),
        value: serde_json::from_str(value.get(1..)?).ok()?,
    })
}

fn code(name: &str) -> Option<fn(&mut Object)> {
    Some(match name {
        "pod" => pod,
        "pull-policy" => pull_policy,
        "volume-source" => volume_source,
        "service" => service,
        "target-port" => target_port,
        "namespace" => namespace,
        "node" => node,
        "rolling-partition" => rolling_partition,
        "rolling-surge" => rolling_surge,
        "claim-templates" => claim_templates,
        "job" => job,
        "policy-types" => policy_types,
        "subject-group" => subject_group,
        "definition-names" => definition_names,
        _ => return None,
    })
}

fn is_absent(object: &Object, field: &str) -> bool {
    object.get(field).is_none_or(Value::is_null)
}

/// Only for pods themselves, not for templates: requests follow limits, host ports follow container ports.
fn pod(object: &mut Object) {
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    if is_absent(spec, "enableServiceLinks") {
        spec.insert("enableServiceLinks".into(), json!(true));
    }
    let on_host = spec.get("hostNetwork") == Some(&json!(true));
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
            requests_from_limits(container);
            let ports = container.get_mut("ports").and_then(Value::as_array_mut);
            for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
                if on_host && port.get("hostPort").and_then(Value::as_i64).unwrap_or(0) == 0 {
                    let same = port.get("containerPort").cloned().unwrap_or(Value::Null);
                    port.insert("hostPort".into(), same);
                }
            }
        }
    }
}

fn requests_from_limits(container: &mut Object) {
    let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut) else {
        return;
    };
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else {
        return;
    };
    let requests = resources.entry("requests").or_insert_with(|| json!({}));
    if let Value::Object(requests) = requests {
        for (name, limit) in limits {
            requests.entry(name).or_insert(limit);
        }
    }
}

/// `latest` is pulled always, any other tag or digest once.
fn pull_policy(container: &mut Object) {
    if !text_at(container, "imagePullPolicy").is_empty() {
        return;
    }
    let image = text_at(container, "image");
    let (name, digest) = image
        .split_once('@')
        .map_or((image, ""), |(name, digest)| (name, digest));
    let last = name.rsplit('/').next().unwrap_or_default();
    let tag = last.split_once(':').map_or("", |(_, tag)| tag);
    let is_latest = tag == "latest" || tag.is_empty() && digest.is_empty();
    let policy = if is_latest { "Always" } else { "IfNotPresent" };
    container.insert("imagePullPolicy".into(), json!(policy));
}

fn volume_source(volume: &mut Object) {
    if volume.keys().all(|key| key == "name") {
        volume.insert("emptyDir".into(), json!({}));
    }
}

fn service(object: &mut Object) {
    let spec = object_at(object, "spec");
    for (field, value) in [("sessionAffinity", "None"), ("type", "ClusterIP")] {
        if text_at(spec, field).is_empty() {
            spec.insert(field.into(), json!(value));
        }
    }
    if text_at(spec, "sessionAffinity") == "None" {
        spec.shift_remove("sessionAffinityConfig");
    } else if text_at(spec, "sessionAffinity") == "ClientIP" {
        let path: Vec<String> = ["sessionAffinityConfig", "clientIP", "timeoutSeconds"]
            .map(str::to_owned)
            .into();
        put(spec, &path, &json!(10800), false);
    }
    let kind = text_at(spec, "type").to_owned();
    let has_external = spec
        .get("externalIPs")
        .and_then(Value::as_array)
        .is_some_and(|ips| !ips.is_empty());
    let outside = matches!(kind.as_str(), "NodePort" | "LoadBalancer") || kind == "ClusterIP" && has_external;
    if outside && text_at(spec, "externalTrafficPolicy").is_empty() {
        spec.insert("externalTrafficPolicy".into(), json!("Cluster"));
    }
    if kind != "ExternalName" && is_absent(spec, "internalTrafficPolicy") {
        spec.insert("internalTrafficPolicy".into(), json!("Cluster"));
    }
    if kind == "LoadBalancer" && is_absent(spec, "allocateLoadBalancerNodePorts") {
        spec.insert("allocateLoadBalancerNodePorts".into(), json!(true));
    }
}

fn target_port(port: &mut Object) {
    let target = port.get("targetPort").unwrap_or(&Value::Null);
    if target.is_null() || target == &json!(0) || target == &json!("") {
        let same = port.get("port").cloned().unwrap_or(Value::Null);
        port.insert("targetPort".into(), same);
    }
}

fn namespace(object: &mut Object) {
    let meta = object_at(object, "metadata");
    let name = text_at(meta, "name").to_owned();
    if !name.is_empty() {
        object_at(meta, "labels").insert("kubernetes.io/metadata.name".into(), json!(name));
    }
}

fn node(object: &mut Object) {
    let status = object_at(object, "status");
    if let (true, Some(capacity)) = (is_absent(status, "allocatable"), status.get("capacity").cloned()) {
        status.insert("allocatable".into(), capacity);
    }
}

fn rolling_partition(object: &mut Object) {
    let strategy = object_at(object_at(object, "spec"), "updateStrategy");
    if text_at(strategy, "type") == "RollingUpdate" {
        put(
            strategy,
            &["rollingUpdate".into(), "partition".into()],
            &json!(0),
            false,
        );
    }
}

fn rolling_surge(object: &mut Object) {
    let strategy = object_at(object_at(object, "spec"), "strategy");
    if text_at(strategy, "type") == "RollingUpdate" {
        for field in ["maxUnavailable", "maxSurge"] {
            put(strategy, &["rollingUpdate".into(), field.into()], &json!("25%"), false);
        }
    }
}

fn claim_templates(object: &mut Object) {
    let templates = object_at(object, "spec")
        .get_mut("volumeClaimTemplates")
        .and_then(Value::as_array_mut);
    for template in templates.into_iter().flatten().filter_map(Value::as_object_mut) {
        template.insert("apiVersion".into(), json!("v1"));
        template.insert("kind".into(), json!("PersistentVolumeClaim"));
    }
}

fn job(object: &mut Object) {
    let spec = object_at(object, "spec");
    match (is_absent(spec, "completions"), is_absent(spec, "parallelism")) {
        (true, true) => {
            spec.insert("completions".into(), json!(1));
            spec.insert("parallelism".into(), json!(1));
        }
        (_, true) => {
            spec.insert("parallelism".into(), json!(1));
        }
        _ => {}
    }
    if is_absent(spec, "backoffLimit") {
        let limit = if is_absent(spec, "backoffLimitPerIndex") {
            6
        } else {
            i32::MAX
        };
        spec.insert("backoffLimit".into(), json!(limit));
    }
    if is_absent(spec, "podReplacementPolicy") {
        let policy = if is_absent(spec, "podFailurePolicy") {
            "TerminatingOrFailed"
        } else {
            "Failed"
        };
        spec.insert("podReplacementPolicy".into(), json!(policy));
    }
    let labels = spec
        .get("template")
        .and_then(|template| template.pointer("/metadata/labels"))
        .and_then(Value::as_object)
        .filter(|labels| !labels.is_empty())
        .cloned();
    let meta = object_at(object, "metadata");
    let has_labels = meta
        .get("labels")
        .and_then(Value::as_object)
        .is_some_and(|l| !l.is_empty());
    if let (false, Some(labels)) = (has_labels, labels) {
        meta.insert("labels".into(), Value::Object(labels));
    }
}

fn policy_types(object: &mut Object) {
    let spec = object_at(object, "spec");
    let is_empty = |field: &str, spec: &Object| spec.get(field).and_then(Value::as_array).is_none_or(Vec::is_empty);
    if is_empty("policyTypes", spec) {
        let types = if is_empty("egress", spec) {
            json!(["Ingress"])
        } else {
            json!(["Ingress", "Egress"])
        };
        spec.insert("policyTypes".into(), types);
    }
}

fn subject_group(subject: &mut Object) {
    if text_at(subject, "apiGroup").is_empty() && matches!(text_at(subject, "kind"), "User" | "Group") {
        subject.insert("apiGroup".into(), json!("rbac.authorization.k8s.io"));
    }
}

fn definition_names(object: &mut Object) {
    let names = object_at(object_at(object, "spec"), "names");
    let kind = text_at(names, "kind").to_owned();
    if text_at(names, "singular").is_empty() {
        names.insert("singular".into(), json!(kind.to_lowercase()));
    }
    if text_at(names, "listKind").is_empty() && !kind.is_empty() {
        names.insert("listKind".into(), json!(format!("{kind}List")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_reads_whole() {
        let table = TABLE.as_ref().unwrap();
        for line in include_str!("defaults.txt")
            .lines()
            .filter(|line| !line.starts_with('#'))
        {
            let mut words = line.split_whitespace();
            let ty = words.next().unwrap();
            assert!(table.schema.names.contains_key(ty), "type {ty} is unknown");
            for word in words {
                assert!(parse_rule(word).is_some(), "{ty}: {word} makes no sense");
            }
        }
    }
}
