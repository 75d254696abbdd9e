//! Tables: what `kubectl get` prints.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::kinds::Resource;

/// How much of an object goes with its row (`includeObject`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Include {
    /// Nothing.
    None,
    /// Its metadata, which is what absence means.
    Metadata,
    /// All of it, for clients that sort by a field.
    Object,
}

/// Objects as rows.
pub(super) fn table(
    resource: &Resource,
    objects: &[Value],
    metadata: &Value,
    include: Include,
    now: Timestamp,
) -> Value {
    let columns = columns(resource);
    let definitions: Vec<Value> = columns
        .iter()
        .map(|c| {
            json!({"name": c.name, "type": c.kind, "format": c.format, "description": c.description, "priority": c.priority})
        })
        .collect();
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let cells: Vec<Value> = columns.iter().map(|c| cell(c, object, now)).collect();
            let object = match include {
                Include::None => Value::Null,
                Include::Metadata => json!({
                    "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"],
                }),
                Include::Object => object.clone(),
            };
            json!({"cells": cells, "object": object})
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": definitions, "rows": rows,
    })
}

/// A column and where its cells come from.
struct Shown {
    name: String,
    kind: String,
    format: String,
    description: String,
    priority: i64,
    source: Source,
}

enum Source {
    /// A path in the object (`.spec.n`), with simple filters (`.status.conditions[?(@.type=="Ready")].status`).
    Path(String),
    /// How long ago the time at the path was.
    Age(String),
    Computed(fn(&Value) -> Value),
}

fn shown(name: &str, kind: &str, source: Source) -> Shown {
    Shown {
        name: name.into(),
        kind: kind.into(),
        format: String::new(),
        description: String::new(),
        priority: 0,
        source,
    }
}

fn columns(resource: &Resource) -> Vec<Shown> {
    let path = |p: &str| Source::Path(p.into());
    let mut out = vec![Shown {
        format: "name".into(),
        ..shown("Name", "string", path(".metadata.name"))
    }];
    if let Some(custom) = &resource.custom {
        out.extend(custom.columns.iter().map(|c| Shown {
            name: c.name.clone(),
            kind: c.kind.clone(),
            format: c.format.clone(),
            description: c.description.clone(),
            priority: c.priority,
            source: if c.kind == "date" {
                Source::Age(c.path.clone())
            } else {
                path(&c.path)
            },
        }));
        return out;
    }
    match &*resource.id {
        "pods" => {
            out.push(shown("Ready", "string", Source::Computed(ready_containers)));
            out.push(shown("Status", "string", Source::Computed(pod_status)));
            out.push(shown("Restarts", "integer", Source::Computed(restarts)));
        }
        "statefulsets.apps" => out.push(shown("Ready", "string", Source::Computed(ready_replicas))),
        "jobs.batch" => {
            out.push(shown("Status", "string", Source::Computed(job_status)));
            out.push(shown("Completions", "string", Source::Computed(completions)));
        }
        "services" => {
            out.push(shown("Type", "string", path(".spec.type")));
            out.push(shown("Cluster-IP", "string", path(".spec.clusterIP")));
            out.push(shown("Port(s)", "string", Source::Computed(ports)));
        }
        "namespaces" | "persistentvolumes" | "persistentvolumeclaims" => {
            out.push(shown("Status", "string", path(".status.phase")));
        }
        "poddisruptionbudgets.policy" => {
            out.push(shown("Min Available", "string", Source::Computed(min_available)));
            out.push(shown("Max Unavailable", "string", Source::Computed(max_unavailable)));
            out.push(shown(
                "Allowed Disruptions",
                "integer",
                path(".status.disruptionsAllowed"),
            ));
        }
        "events" => {
            out.push(shown("Type", "string", path(".type")));
            out.push(shown("Reason", "string", path(".reason")));
            out.push(shown("Object", "string", Source::Computed(involved)));
            out.push(shown("Message", "string", Source::Computed(event_text)));
        }
        "configmaps" => out.push(shown("Data", "integer", Source::Computed(entries))),
        "secrets" => {
            out.push(shown("Type", "string", path(".type")));
            out.push(shown("Data", "integer", Source::Computed(entries)));
        }
        "nodes" => out.push(shown("Status", "string", Source::Computed(node_status))),
        _ => {}
    }
    out.push(shown(
        "Age",
        "string",
        Source::Age(".metadata.creationTimestamp".into()),
    ));
    if resource.is("nodes") {
        out.push(shown("Version", "string", path(".status.nodeInfo.kubeletVersion")));
    }
    out
}

fn cell(column: &Shown, object: &Value, now: Timestamp) -> Value {
    match &column.source {
        Source::Path(path) => match find(object, path).first() {
            None => Value::Null,
            Some(found) => match (column.kind.as_str(), found) {
                ("string", Value::String(_)) | ("integer" | "number" | "boolean", _) => (*found).clone(),
                ("string", other) => json!(other.to_string()),
                (_, other) => (*other).clone(),
            },
        },
        Source::Age(path) => find(object, path)
            .first()
            .and_then(|v| v.as_str()?.parse::<Timestamp>().ok())
            .map_or_else(|| json!("<unknown>"), |then| json!(age(now, then))),
        Source::Computed(compute) => compute(object),
    }
}

/// How long ago, in at most two units.
fn age(now: Timestamp, then: Timestamp) -> String {
    let s = now.as_second().saturating_sub(then.as_second()).max(0);
    let (m, h, d) = (s / 60, s / 3600, s / 86_400);
    let two = |big: i64, unit: &str, small: i64, below: &str| {
        if small == 0 {
            format!("{big}{unit}")
        } else {
            format!("{big}{unit}{small}{below}")
        }
    };
    match s {
        0..120 => format!("{s}s"),
        120..600 => two(m, "m", s % 60, "s"),
        600..10_800 => format!("{m}m"),
        10_800..28_800 => two(h, "h", m % 60, "m"),
        28_800..172_800 => format!("{h}h"),
        172_800..691_200 => two(d, "d", h % 24, "h"),
        _ => format!("{d}d"),
    }
}

/// The values at a JSON path of the form that printer columns use: fields, `[*]`, `[n]`, `[?(@.field=="value")]`.
fn find<'a>(object: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut found = vec![object];
    let mut rest = path.trim().trim_start_matches('$');
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let Some((inside, after)) = after.split_once(']') else {
                return Vec::new();
            };
            found = found.into_iter().flat_map(|v| select(v, inside)).collect();
            rest = after;
        } else {
            let after = rest.strip_prefix('.').unwrap_or(rest);
            let (mut end, mut name) = (0, String::new());
            let mut chars = after.char_indices();
            while let Some((at, c)) = chars.next() {
                match c {
                    // An escaped dot belongs to the name: labels and annotations have them.
                    '\\' => name.extend(chars.next().map(|(_, c)| c)),
                    '.' | '[' => {
                        end = at;
                        break;
                    }
                    c => name.push(c),
                }
                end = chars.offset();
            }
            if name.is_empty() {
                return found;
            }
            found = found.into_iter().filter_map(|v| v.get(&name)).collect();
            rest = &after[end..];
        }
    }
    found
}

fn select<'a>(value: &'a Value, inside: &str) -> Vec<&'a Value> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    if inside == "*" {
        return items.iter().collect();
    }
    if let Ok(index) = inside.parse::<usize>() {
        return items.get(index).into_iter().collect();
    }
    let quoted = inside.trim_matches(['\'', '"']);
    if quoted != inside {
        return value.get(quoted).into_iter().collect();
    }
    let condition = inside.trim_start_matches("?(").trim_end_matches(')');
    let Some((field, wanted)) = condition.split_once("==") else {
        return Vec::new();
    };
    let field = field.trim().trim_start_matches("@.");
    let wanted = wanted.trim().trim_matches(['\'', '"']);
    items
        .iter()
        .filter(|item| match item.get(field) {
            Some(Value::String(text)) => text == wanted,
            Some(other) => other.to_string().as_str() == wanted,
            None => false,
        })
        .collect()
}

fn containers(pod: &Value) -> &[Value] {
    pod["status"]["containerStatuses"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn ready_containers(pod: &Value) -> Value {
    let ready = containers(pod).iter().filter(|c| c["ready"] == true).count();
    let all = pod["spec"]["containers"].as_array().map_or(0, Vec::len);
    json!(format!("{ready}/{all}"))
}

fn pod_status(pod: &Value) -> Value {
    if pod["metadata"]["deletionTimestamp"].is_string() {
        return json!("Terminating");
    }
    let reason = containers(pod).iter().find_map(|c| {
        let state = &c["state"];
        state["waiting"]["reason"]
            .as_str()
            .or_else(|| state["terminated"]["reason"].as_str())
    });
    json!(reason.or_else(|| pod["status"]["phase"].as_str()).unwrap_or("Unknown"))
}

fn restarts(pod: &Value) -> Value {
    json!(
        containers(pod)
            .iter()
            .filter_map(|c| c["restartCount"].as_i64())
            .sum::<i64>()
    )
}

fn ready_replicas(set: &Value) -> Value {
    let ready = set["status"]["readyReplicas"].as_i64().unwrap_or(0);
    let wanted = set["spec"]["replicas"].as_i64().unwrap_or(1);
    json!(format!("{ready}/{wanted}"))
}

fn job_status(job: &Value) -> Value {
    let conditions = job["status"]["conditions"].as_array().into_iter().flatten();
    let ended = conditions.filter(|c| c["status"] == "True").find_map(|c| {
        c["type"]
            .as_str()
            .filter(|t| ["Complete", "Failed", "Suspended"].contains(t))
    });
    json!(ended.unwrap_or("Running"))
}

fn completions(job: &Value) -> Value {
    let done = job["status"]["succeeded"].as_i64().unwrap_or(0);
    let wanted = job["spec"]["completions"].as_i64().unwrap_or(1);
    json!(format!("{done}/{wanted}"))
}

fn ports(service: &Value) -> Value {
    let ports: Vec<String> = service["spec"]["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|p| {
            let node = p["nodePort"].as_u64().map(|n| format!(":{n}")).unwrap_or_default();
            format!("{}{node}/{}", p["port"], p["protocol"].as_str().unwrap_or("TCP"))
        })
        .collect();
    json!(ports.join(","))
}

fn min_available(budget: &Value) -> Value {
    number_or_none(&budget["spec"]["minAvailable"])
}

fn max_unavailable(budget: &Value) -> Value {
    number_or_none(&budget["spec"]["maxUnavailable"])
}

fn number_or_none(value: &Value) -> Value {
    match value {
        Value::Null => json!("N/A"),
        Value::String(text) => json!(text),
        number => json!(number.to_string()),
    }
}

fn entries(object: &Value) -> Value {
    let count = |field: &str| object[field].as_object().map_or(0, serde_json::Map::len);
    json!(count("data") + count("binaryData"))
}

fn node_status(node: &Value) -> Value {
    let mut conditions = node["status"]["conditions"].as_array().into_iter().flatten();
    let ready = conditions.find(|c| c["type"] == "Ready").map(|c| c["status"] == "True");
    let ready = match ready {
        Some(true) => "Ready",
        Some(false) => "NotReady",
        None => "Unknown",
    };
    let closed = node["spec"]["unschedulable"] == true;
    json!(format!("{ready}{}", if closed { ",SchedulingDisabled" } else { "" }))
}

fn involved(event: &Value) -> Value {
    let object = event.get("involvedObject").unwrap_or(&event["regarding"]);
    let part = |name: &str| object[name].as_str().unwrap_or_default().to_lowercase();
    json!(format!("{}/{}", part("kind"), part("name")))
}

fn event_text(event: &Value) -> Value {
    event.get("message").unwrap_or(&event["note"]).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_ready_or_not_or_silent_and_may_be_cordoned() {
        let node =
            |conditions: Value, spec: Value| node_status(&json!({"spec": spec, "status": {"conditions": conditions}}));
        let ready =
            |status: &str| json!([{"type": "MemoryPressure", "status": "True"}, {"type": "Ready", "status": status}]);
        assert_eq!(node(ready("True"), json!({})), "Ready");
        assert_eq!(node(ready("Unknown"), json!({})), "NotReady");
        assert_eq!(node(json!([]), json!({})), "Unknown");
        assert_eq!(node_status(&json!({})), "Unknown");
        assert_eq!(
            node(ready("True"), json!({"unschedulable": true})),
            "Ready,SchedulingDisabled"
        );
    }

    #[test]
    fn entries_of_both_forms_count() {
        assert_eq!(entries(&json!({})), 0);
        assert_eq!(
            entries(&json!({"data": {"a": "", "b": ""}, "binaryData": {"c": ""}})),
            3
        );
    }
}
