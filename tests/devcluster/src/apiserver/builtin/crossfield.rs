//! The rules of `rules.txt` that are code: what the fields of one type owe each other.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{meta, names, quantity::Quantity, rules, text_at};
use crate::apiserver::schema::{
    FieldError,
    errors::{child, index},
};

type Object = Map<String, Value>;
type Out = Vec<FieldError>;

/// The rule of a name in the table.
pub(super) fn code(name: &str) -> Option<rules::Code> {
    Some(match name {
        "selector" => selector,
        "template-metadata" => template_metadata,
        "pod-spec" => pod_spec,
        "mounts" => mounts,
        "env" => env,
        "env-from" => env_from,
        "volume" => volume,
        "handler" => handler,
        "resources" => resources,
        "toleration" => toleration,
        "weight" => weight,
        "claim" => claim,
        "volume-capacity" => volume_capacity,
        "service" => service,
        "statefulset" => statefulset,
        "job" => job,
        "cronjob" => cronjob,
        "budget" => budget,
        "policy-types" => policy_types,
        "peer" => peer,
        "ingress" => ingress,
        "backend" => backend,
        "policy-rule" => policy_rule,
        _ => return None,
    })
}

/// The items of a list, with their places.
fn items<'a>(object: &'a Object, field: &str) -> impl Iterator<Item = (usize, &'a Object)> {
    let list = object.get(field).and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .enumerate()
        .filter_map(|(i, item)| Some((i, item.as_object()?)))
}

fn is_set(object: &Object, field: &str) -> bool {
    object.get(field).is_some_and(|value| !value.is_null())
}

fn is_empty(object: &Object, field: &str) -> bool {
    match object.get(field) {
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(map)) => map.is_empty(),
        Some(Value::String(text)) => text.is_empty(),
        other => other.is_none_or(Value::is_null),
    }
}

/// Items that have a name must each have their own.
fn unique(object: &Object, list: &str, path: &str, out: &mut Out) {
    let mut seen = BTreeSet::new();
    for (i, item) in items(object, list) {
        let name = text_at(item, "name");
        if !name.is_empty() && !seen.insert(name) {
            let here = child(&index(&child(path, list), i), "name");
            out.push(FieldError::duplicate(&here, Some(&json!(name))));
        }
    }
}

fn selector(selector: &Object, path: &str, out: &mut Out) {
    meta::check_selector(&Value::Object(selector.clone()), path, out);
}

fn template_metadata(template: &Object, path: &str, out: &mut Out) {
    let of = |field: &str| template.get("metadata").and_then(|meta| meta.get(field));
    meta::check_labels(of("labels"), &child(path, "metadata.labels"), out);
    meta::check_annotations(of("annotations"), &child(path, "metadata.annotations"), out);
}

fn pod_spec(spec: &Object, path: &str, out: &mut Out) {
    unique(spec, "volumes", path, out);
    unique(spec, "containers", path, out);
    unique(spec, "initContainers", path, out);
    let taken: BTreeSet<&str> = items(spec, "containers").map(|(_, c)| text_at(c, "name")).collect();
    for (i, container) in items(spec, "initContainers") {
        let name = text_at(container, "name");
        if !name.is_empty() && taken.contains(name) {
            let here = child(&index(&child(path, "initContainers"), i), "name");
            out.push(FieldError::duplicate(&here, Some(&json!(name))));
        }
    }
    if !is_set(spec, "terminationGracePeriodSeconds") {
        out.push(FieldError::required(&child(path, "terminationGracePeriodSeconds"), ""));
    }
    let servers = spec
        .get("dnsConfig")
        .and_then(|c| c.get("nameservers"))
        .and_then(Value::as_array);
    if text_at(spec, "dnsPolicy") == "None" && servers.is_none_or(Vec::is_empty) {
        let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        out.push(FieldError::required(&child(path, "dnsConfig.nameservers"), detail));
    }
}

fn mounts(container: &Object, path: &str, out: &mut Out) {
    let mut paths = BTreeSet::new();
    for (i, mount) in items(container, "volumeMounts") {
        let here = index(&child(path, "volumeMounts"), i);
        let at = text_at(mount, "mountPath");
        if !paths.insert(at) {
            out.push(FieldError::invalid(
                &child(&here, "mountPath"),
                &json!(at),
                "must be unique",
            ));
        }
        for field in ["subPath", "subPathExpr"] {
            let sub = text_at(mount, field);
            let list = child(&child(path, "volumeMounts"), field);
            if sub.starts_with('/') {
                out.push(FieldError::invalid(&list, &json!(sub), "must be a relative path"));
            }
            if sub.split('/').any(|part| part == "..") {
                out.push(FieldError::invalid(&list, &json!(sub), "must not contain '..'"));
            }
        }
    }
    let mut ports = BTreeSet::new();
    for (i, port) in items(container, "ports") {
        let name = text_at(port, "name");
        if !name.is_empty() && !ports.insert(name) {
            let here = child(&index(&child(path, "ports"), i), "name");
            out.push(FieldError::duplicate(&here, Some(&json!(name))));
        }
    }
}

const ENV_SOURCES: [&str; 5] = [
    "fieldRef",
    "resourceFieldRef",
    "configMapKeyRef",
    "secretKeyRef",
    "fileKeyRef",
];

fn env(variable: &Object, path: &str, out: &mut Out) {
    let Some(from) = variable.get("valueFrom").and_then(Value::as_object) else {
        return;
    };
    let here = child(path, "valueFrom");
    let sources = ENV_SOURCES.iter().filter(|source| is_set(from, source)).count();
    if sources == 0 {
        let detail =
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        out.push(FieldError::invalid(&here, &json!(""), detail));
    } else if !text_at(variable, "value").is_empty() {
        out.push(FieldError::invalid(
            &here,
            &json!(""),
            "may not be specified when `value` is not empty",
        ));
    } else if sources > 1 {
        out.push(FieldError::invalid(
            &here,
            &json!(""),
            "may not have more than one field specified at a time",
        ));
    }
}

fn env_from(source: &Object, path: &str, out: &mut Out) {
    let sources = ["configMapRef", "secretRef"]
        .iter()
        .filter(|s| is_set(source, s))
        .count();
    if sources == 0 {
        let detail = "must specify one of: `configMapRef` or `secretRef`";
        out.push(FieldError::invalid(path, &json!(""), detail));
    } else if sources > 1 {
        out.push(FieldError::invalid(
            path,
            &json!(""),
            "may not have more than one field specified at a time",
        ));
    }
    for reference in ["configMapRef", "secretRef"] {
        if let Some(target) = source.get(reference).and_then(Value::as_object)
            && text_at(target, "name").is_empty()
        {
            out.push(FieldError::required(&child(&child(path, reference), "name"), ""));
        }
    }
}

fn volume(volume: &Object, path: &str, out: &mut Out) {
    let mut sources = volume.iter().filter(|(key, value)| *key != "name" && !value.is_null());
    if sources.next().is_none() {
        out.push(FieldError::required(path, "must specify a volume type"));
    }
    for (source, _) in sources {
        out.push(FieldError::forbidden(
            &child(path, source),
            "may not specify more than 1 volume type",
        ));
    }
}

fn handler(probe: &Object, path: &str, out: &mut Out) {
    let kinds = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"];
    let mut handlers = kinds.iter().filter(|kind| is_set(probe, kind));
    if handlers.next().is_none() {
        out.push(FieldError::required(path, "must specify a handler type"));
    }
    for kind in handlers {
        out.push(FieldError::forbidden(
            &child(path, kind),
            "may not specify more than 1 handler type",
        ));
    }
}

fn resources(resources: &Object, path: &str, out: &mut Out) {
    let list = |field: &str| {
        resources
            .get(field)
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    };
    let limits = list("limits");
    for field in ["limits", "requests"] {
        for (name, value) in list(field) {
            let here = index(&child(path, field), &name);
            for message in rules::quantity(&value) {
                out.push(FieldError::invalid(&here, &value, &message));
            }
            let is_standard =
                matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
            if !is_standard && !name.contains('/') {
                let detail = "must be a standard resource type or fully qualified";
                out.push(FieldError::invalid(&here, &json!(name), detail));
            }
        }
    }
    for (name, value) in list("requests") {
        let number = |value: Option<&Value>| value.and_then(Value::as_str).and_then(Quantity::parse);
        if let (Some(request), Some(limit)) = (number(Some(&value)), number(limits.get(&name)))
            && request > limit
        {
            let detail = format!("must be less than or equal to {name} limit of {}", limit.canonical());
            out.push(FieldError::invalid(&child(path, "requests"), &value, &detail));
        }
    }
}

fn toleration(toleration: &Object, path: &str, out: &mut Out) {
    let (key, operator, value) = (
        text_at(toleration, "key"),
        text_at(toleration, "operator"),
        text_at(toleration, "value"),
    );
    let here = child(path, "operator");
    if key.is_empty() && operator != "Exists" {
        let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        out.push(FieldError::invalid(&here, &json!(operator), detail));
    }
    if is_set(toleration, "tolerationSeconds") && text_at(toleration, "effect") != "NoExecute" {
        let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        out.push(FieldError::invalid(
            &child(path, "effect"),
            &json!(text_at(toleration, "effect")),
            detail,
        ));
    }
    match operator {
        "" | "Equal" => {
            let messages = names::label_value(value);
            if !messages.is_empty() {
                out.push(FieldError::invalid(&here, &json!(value), &messages.join(";")));
            }
        }
        "Exists" if !value.is_empty() => {
            out.push(FieldError::invalid(
                &here,
                &json!(value),
                "value must be empty when `operator` is 'Exists'",
            ));
        }
        "Exists" => {}
        other => out.push(FieldError::not_supported(&here, &json!(other), &["Equal", "Exists"])),
    }
}

fn weight(term: &Object, path: &str, out: &mut Out) {
    if let Some(weight) = term
        .get("weight")
        .filter(|w| !(1..=100).contains(&w.as_i64().unwrap_or(0)))
    {
        out.push(FieldError::invalid(
            &child(path, "weight"),
            weight,
            "must be in the range 1-100",
        ));
    }
}

const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

fn claim(spec: &Object, path: &str, out: &mut Out) {
    let modes = spec
        .get("accessModes")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let here = child(path, "accessModes");
    if modes.is_empty() {
        out.push(FieldError::required(&here, "at least 1 access mode is required"));
    }
    for mode in &modes {
        if !ACCESS_MODES.iter().any(|m| mode == m) {
            out.push(FieldError::not_supported(&here, mode, &ACCESS_MODES));
        }
    }
    if modes.len() > 1 && modes.iter().any(|m| m == "ReadWriteOncePod") {
        out.push(FieldError::forbidden(
            &here,
            "may not use ReadWriteOncePod with other access modes",
        ));
    }
    let storage = spec
        .get("resources")
        .and_then(|r| r.get("requests"))
        .and_then(|r| r.get("storage"));
    let here = index(&child(path, "resources"), "storage");
    match storage {
        None => out.push(FieldError::required(&here, "")),
        Some(value) => {
            let quantity = value.as_str().and_then(Quantity::parse);
            if quantity.is_some_and(|q| !q.is_positive()) {
                out.push(FieldError::invalid(&here, value, "must be greater than zero"));
            } else if quantity.is_none() {
                out.extend(
                    rules::quantity(value)
                        .iter()
                        .map(|m| FieldError::invalid(&here, value, m)),
                );
            }
        }
    }
}

fn volume_capacity(spec: &Object, path: &str, out: &mut Out) {
    let here = child(path, "capacity");
    let capacity = spec
        .get("capacity")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    match capacity.get("storage") {
        None if capacity.is_empty() => out.push(FieldError::required(&here, "")),
        None => out.push(FieldError::not_supported(&here, &json!(capacity), &["storage"])),
        Some(value) => {
            if value
                .as_str()
                .and_then(Quantity::parse)
                .is_some_and(|q| !q.is_positive())
            {
                out.push(FieldError::invalid(
                    &index(&here, "storage"),
                    value,
                    "must be greater than zero",
                ));
            }
        }
    }
    let modes = spec.get("accessModes").and_then(Value::as_array);
    for mode in modes.into_iter().flatten() {
        if !ACCESS_MODES.iter().any(|m| mode == m) {
            out.push(FieldError::not_supported(
                &child(path, "accessModes"),
                mode,
                &ACCESS_MODES,
            ));
        }
    }
}

fn service(spec: &Object, path: &str, out: &mut Out) {
    let kind = text_at(spec, "type");
    let headless = text_at(spec, "clusterIP") == "None";
    let ports_at = child(path, "ports");
    if is_empty(spec, "ports") && !headless && kind != "ExternalName" {
        out.push(FieldError::required(&ports_at, ""));
    }
    if headless && matches!(kind, "LoadBalancer" | "NodePort") {
        let detail = format!("may not be set to 'None' for {kind} services");
        out.push(FieldError::invalid(
            &child(path, "clusterIPs[0]"),
            &json!("None"),
            &detail,
        ));
    }
    if kind == "ExternalName" {
        for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            if !is_empty(spec, field) {
                out.push(FieldError::forbidden(
                    &child(path, field),
                    "may not be set for ExternalName services",
                ));
            }
        }
        let name = text_at(spec, "externalName").trim_end_matches('.');
        let here = child(path, "externalName");
        if name.is_empty() {
            out.push(FieldError::required(&here, ""));
        }
        for message in names::subdomain(name).into_iter().filter(|_| !name.is_empty()) {
            out.push(FieldError::invalid(&here, &json!(name), &message));
        }
    }
    service_ports(spec, &ports_at, out);
    let address = text_at(spec, "clusterIP");
    let first = spec
        .get("clusterIPs")
        .and_then(|ips| ips.get(0))
        .and_then(Value::as_str)
        .unwrap_or(address);
    if address != first {
        let detail = "first value must match `clusterIP`";
        out.push(FieldError::invalid(
            &child(path, "clusterIPs[0]"),
            &json!(first),
            detail,
        ));
    }
    if !matches!(address, "" | "None") && address.parse::<std::net::IpAddr>().is_err() {
        let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        out.push(FieldError::invalid(
            &child(path, "clusterIPs[0]"),
            &json!(address),
            detail,
        ));
    }
    let only_balanced = "may only be used when `type` is 'LoadBalancer'";
    if kind != "LoadBalancer" {
        if is_set(spec, "allocateLoadBalancerNodePorts") {
            out.push(FieldError::forbidden(
                &child(path, "allocateLoadBalancerNodePorts"),
                only_balanced,
            ));
        }
        if !is_empty(spec, "loadBalancerSourceRanges") {
            out.push(FieldError::forbidden(
                &child(path, "LoadBalancerSourceRanges"),
                only_balanced,
            ));
        }
        if !is_empty(spec, "loadBalancerClass") {
            out.push(FieldError::forbidden(
                &child(path, "loadBalancerClass"),
                "may only be used when `type` is 'LoadBalancer'",
            ));
        }
    }
    let outside = matches!(kind, "LoadBalancer" | "NodePort") || !is_empty(spec, "externalIPs");
    if !outside && !is_empty(spec, "externalTrafficPolicy") {
        let value = json!(text_at(spec, "externalTrafficPolicy"));
        let detail = "may only be set for externally-accessible services";
        out.push(FieldError::invalid(
            &child(path, "externalTrafficPolicy"),
            &value,
            detail,
        ));
    }
}

fn service_ports(spec: &Object, path: &str, out: &mut Out) {
    let count = items(spec, "ports").count();
    let (mut named, mut pairs, mut node_ports) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (i, port) in items(spec, "ports") {
        let here = index(path, i);
        let name = text_at(port, "name");
        if count > 1 && name.is_empty() {
            out.push(FieldError::required(&child(&here, "name"), ""));
        } else if !name.is_empty() && !named.insert(name) {
            out.push(FieldError::duplicate(&child(&here, "name"), Some(&json!(name))));
        }
        let number = |field: &str| port.get(field).and_then(Value::as_i64).unwrap_or(0);
        let protocol = text_at(port, "protocol");
        if !pairs.insert((protocol, number("port"))) {
            let pair = json!({"protocol": protocol, "port": number("port")});
            out.push(FieldError::duplicate(&here, Some(&pair)));
        }
        let node_port = number("nodePort");
        if node_port != 0 {
            if text_at(spec, "type") == "ClusterIP" {
                let detail = "may not be used when `type` is 'ClusterIP'";
                out.push(FieldError::forbidden(&child(&here, "nodePort"), detail));
            }
            if !node_ports.insert((protocol, node_port)) {
                out.push(FieldError::duplicate(
                    &child(&here, "nodePort"),
                    Some(&json!(node_port)),
                ));
            }
        }
    }
}

/// The selector of a workload must select its own pods.
fn own_pods(spec: &Object, path: &str, out: &mut Out) {
    let labels = spec.get("template").and_then(|t| t.pointer("/metadata/labels"));
    if let Some(selector) = spec.get("selector").filter(|s| s.is_object())
        && !meta::selects(selector, labels)
    {
        let detail = "`selector` does not match template `labels`";
        let here = child(path, "template.metadata.labels");
        out.push(FieldError::invalid(&here, labels.unwrap_or(&Value::Null), detail));
    }
}

fn statefulset(spec: &Object, path: &str, out: &mut Out) {
    let policy = text_at(spec, "podManagementPolicy");
    let here = child(path, "podManagementPolicy");
    match policy {
        "" => out.push(FieldError::required(&here, "")),
        "OrderedReady" | "Parallel" => {}
        other => {
            let detail = "must be 'OrderedReady' or 'Parallel'";
            out.push(FieldError::invalid(&here, &json!(other), detail));
        }
    }
    let strategy = spec
        .get("updateStrategy")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let here = child(path, "updateStrategy");
    match text_at(&strategy, "type") {
        "" => out.push(FieldError::required(&here, "")),
        "OnDelete" => {
            if let Some(rolling) = strategy.get("rollingUpdate").filter(|r| !r.is_null()) {
                let detail = "only allowed for updateStrategy 'RollingUpdate'";
                out.push(FieldError::invalid(&child(&here, "rollingUpdate"), rolling, detail));
            }
        }
        "RollingUpdate" => {}
        _ => {
            let detail = "must be 'RollingUpdate' or 'OnDelete'";
            out.push(FieldError::invalid(&here, &Value::Object(strategy), detail));
        }
    }
    let here = child(path, "selector");
    match spec.get("selector").and_then(Value::as_object) {
        None => out.push(FieldError::required(&here, "")),
        Some(selector) if is_empty(selector, "matchLabels") && is_empty(selector, "matchExpressions") => {
            let detail = "empty selector is invalid for statefulset";
            out.push(FieldError::invalid(&here, &json!(selector), detail));
        }
        Some(_) => own_pods(spec, path, out),
    }
    let pod = spec
        .get("template")
        .and_then(|t| t.get("spec"))
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let restart = text_at(&pod, "restartPolicy");
    if restart != "Always" {
        let here = child(path, "template.spec.restartPolicy");
        out.push(FieldError::not_supported(&here, &json!(restart), &["Always"]));
    }
    if is_set(&pod, "activeDeadlineSeconds") {
        let detail = "activeDeadlineSeconds in StatefulSet is not Supported";
        out.push(FieldError::forbidden(
            &child(path, "template.spec.activeDeadlineSeconds"),
            detail,
        ));
    }
}

fn job(spec: &Object, path: &str, out: &mut Out) {
    let restart = spec
        .get("template")
        .and_then(|t| t.pointer("/spec/restartPolicy"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    let here = child(path, "template.spec.restartPolicy");
    match restart {
        "" | "Always" => out.push(FieldError::required(&here, "valid values: \"OnFailure\", \"Never\"")),
        "OnFailure" | "Never" => {}
        other => out.push(FieldError::not_supported(&here, &json!(other), &["OnFailure", "Never"])),
    }
    let indexed = text_at(spec, "completionMode") == "Indexed";
    if indexed && !is_set(spec, "completions") {
        out.push(FieldError::required(
            &child(path, "completions"),
            "when completion mode is Indexed",
        ));
    }
    for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
        if let (false, Some(value)) = (indexed, spec.get(field).filter(|v| !v.is_null())) {
            out.push(FieldError::invalid(
                &child(path, field),
                value,
                "requires indexed completion mode",
            ));
        }
    }
    own_pods(spec, path, out);
}

fn cronjob(spec: &Object, path: &str, out: &mut Out) {
    let schedule = text_at(spec, "schedule");
    let here = child(path, "schedule");
    if schedule.contains("TZ") {
        let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        out.push(FieldError::invalid(&here, &json!(schedule), detail));
    } else if !schedule.is_empty() && !is_schedule(schedule) {
        let detail = format!(
            "expected exactly 5 fields, found {}: [{schedule}]",
            schedule.split_whitespace().count()
        );
        out.push(FieldError::invalid(&here, &json!(schedule), &detail));
    }
    if let Some(zone) = spec.get("timeZone").and_then(Value::as_str) {
        let here = child(path, "timeZone");
        if zone.is_empty() {
            out.push(FieldError::invalid(
                &here,
                &json!(zone),
                "timeZone must be nil or non-empty string",
            ));
        } else if jiff::tz::TimeZone::get(zone).is_err() && !jiff::tz::db().is_definitively_empty() {
            // (A machine without a time zone database knows none, and refuses none.)
            let detail = format!("unknown time zone {zone}");
            out.push(FieldError::invalid(&here, &json!(zone), &detail));
        }
    }
}

fn is_schedule(schedule: &str) -> bool {
    if let Some(name) = schedule.strip_prefix('@') {
        let known = ["yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly"];
        return known.contains(&name) || name.starts_with("every ");
    }
    // A `?` is a `*` there.
    schedule.split_whitespace().count() == 5 && schedule.replace('?', "*").parse::<croner::Cron>().is_ok()
}

fn budget(spec: &Object, path: &str, out: &mut Out) {
    if is_set(spec, "minAvailable") && is_set(spec, "maxUnavailable") {
        let detail = "minAvailable and maxUnavailable cannot be both set";
        out.push(FieldError::invalid(path, &Value::Object(spec.clone()), detail));
    }
}

fn policy_types(spec: &Object, path: &str, out: &mut Out) {
    let types = spec
        .get("policyTypes")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let here = child(path, "policyTypes");
    if types.len() > 2 {
        out.push(FieldError::invalid(
            &here,
            &json!(types),
            "may not specify more than two policyTypes",
        ));
        return;
    }
    for (i, ty) in types.iter().enumerate() {
        if !matches!(ty.as_str(), Some("Ingress" | "Egress")) {
            out.push(FieldError::not_supported(&index(&here, i), ty, &["Ingress", "Egress"]));
        }
    }
}

fn peer(peer: &Object, path: &str, out: &mut Out) {
    let selectors = ["podSelector", "namespaceSelector"]
        .iter()
        .filter(|s| is_set(peer, s))
        .count();
    if selectors == 0 && !is_set(peer, "ipBlock") {
        out.push(FieldError::required(path, "must specify a peer"));
    } else if selectors > 0 && is_set(peer, "ipBlock") {
        out.push(FieldError::forbidden(
            path,
            "may not specify both ipBlock and another peer",
        ));
    }
}

fn ingress(spec: &Object, path: &str, out: &mut Out) {
    if is_empty(spec, "rules") && !is_set(spec, "defaultBackend") {
        let detail = "either `defaultBackend` or `rules` must be specified";
        out.push(FieldError::invalid(path, &Value::Null, detail));
    }
    for (i, rule) in items(spec, "rules") {
        let host = text_at(rule, "host");
        let here = child(&index(&child(path, "rules"), i), "host");
        if host.parse::<std::net::IpAddr>().is_ok() {
            out.push(FieldError::invalid(
                &here,
                &json!(host),
                "must be a DNS name, not an IP address",
            ));
        }
        let name = host.strip_prefix("*.").unwrap_or(host);
        for message in names::subdomain(name).into_iter().filter(|_| !host.is_empty()) {
            out.push(FieldError::invalid(&here, &json!(host), &message));
        }
    }
}

fn backend(backend: &Object, path: &str, out: &mut Out) {
    let Some(service) = backend.get("service").and_then(Value::as_object) else {
        if !is_set(backend, "resource") {
            out.push(FieldError::invalid(
                path,
                &json!(""),
                "resource or service backend is required",
            ));
        }
        return;
    };
    if is_set(backend, "resource") {
        out.push(FieldError::invalid(
            path,
            &json!(""),
            "cannot set both resource and service backends",
        ));
        return;
    }
    let port = service
        .get("port")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let number = port.get("number").and_then(Value::as_i64).unwrap_or(0);
    match (text_at(&port, "name"), number) {
        ("", 0) => out.push(FieldError::required(path, "port name or number is required")),
        ("", number) => {
            for message in names::port_number(number) {
                out.push(FieldError::invalid(
                    &child(path, "service.port.number"),
                    &json!(number),
                    &message,
                ));
            }
        }
        (name, 0) => {
            for message in names::port_name(name) {
                out.push(FieldError::invalid(
                    &child(path, "service.port.name"),
                    &json!(name),
                    &message,
                ));
            }
        }
        _ => out.push(FieldError::invalid(
            path,
            &json!(""),
            "cannot set both port name & port number",
        )),
    }
}

fn policy_rule(rule: &Object, path: &str, out: &mut Out) {
    if is_empty(rule, "verbs") {
        out.push(FieldError::required(
            &child(path, "verbs"),
            "verbs must contain at least one value",
        ));
    }
    if !is_empty(rule, "nonResourceURLs") {
        if ["apiGroups", "resources", "resourceNames"]
            .iter()
            .any(|field| !is_empty(rule, field))
        {
            let detail = "rules cannot apply to both regular resources and non-resource URLs";
            let urls = rule.get("nonResourceURLs").unwrap_or(&Value::Null);
            out.push(FieldError::invalid(&child(path, "nonResourceURLs"), urls, detail));
        }
        return;
    }
    for (field, detail) in [
        ("apiGroups", "resource rules must supply at least one api group"),
        ("resources", "resource rules must supply at least one resource"),
    ] {
        if is_empty(rule, field) {
            out.push(FieldError::required(&child(path, field), detail));
        }
    }
}
