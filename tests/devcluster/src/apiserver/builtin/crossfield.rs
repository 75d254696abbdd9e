//! The rules of `rules.txt` that are code: what the fields of one type owe each other. Those of pods are in [`podrules`].

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{labels, names, podrules, rules, text_at};
use crate::apiserver::schema::{
    FieldError,
    errors::{child, index},
};

pub(super) type Object = Map<String, Value>;
pub(super) type Out = Vec<FieldError>;

/// The rule of a name in the table.
pub(super) fn code(name: &str) -> Option<rules::Code> {
    Some(match name {
        "selector" => selector,
        "template-metadata" => podrules::template_metadata,
        "pod-spec" => podrules::pod_spec,
        "mounts" => podrules::mounts,
        "env" => podrules::env,
        "env-from" => podrules::env_from,
        "volume" => podrules::volume,
        "handler" => podrules::handler,
        "resources" => podrules::resources,
        "toleration" => podrules::toleration,
        "weight" => podrules::weight,
        "claim" => podrules::claim,
        "volume-capacity" => podrules::volume_capacity,
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
pub(super) fn items<'a>(object: &'a Object, field: &str) -> impl Iterator<Item = (usize, &'a Object)> {
    let list = object.get(field).and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .enumerate()
        .filter_map(|(i, item)| Some((i, item.as_object()?)))
}

pub(super) fn is_set(object: &Object, field: &str) -> bool {
    object.get(field).is_some_and(|value| !value.is_null())
}

pub(super) fn is_empty(object: &Object, field: &str) -> bool {
    match object.get(field) {
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(map)) => map.is_empty(),
        Some(Value::String(text)) => text.is_empty(),
        other => other.is_none_or(Value::is_null),
    }
}

/// Items that have a name must each have their own.
pub(super) fn unique(object: &Object, list: &str, path: &str, out: &mut Out) {
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
    labels::check_selector(&Value::Object(selector.clone()), path, out);
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
        && !labels::selects(selector, labels)
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
