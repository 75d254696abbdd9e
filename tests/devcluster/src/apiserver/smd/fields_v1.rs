//! The JSON form of a field set: `f:name`, `k:{"key":"value"}`, `v:value`, `i:index`, and `.` for a path that ends at its parent.

use serde_json::{Map, Value};

use super::path::{Node, Set, Step};

/// Why a `fieldsV1` could not be read.
#[derive(Debug, thiserror::Error)]
#[error("invalid fieldsV1 key {0:?}")]
pub(super) struct BadFields(String);

/// Writes a set.
pub(super) fn encode(set: &Set) -> Value {
    let mut out = Map::new();
    for (step, node) in set.nodes() {
        let mut value = encode(&node.children);
        if node.member
            && !node.children.is_empty()
            && let Value::Object(map) = &mut value
        {
            map.shift_insert(0, ".".to_owned(), Value::Object(Map::new()));
        }
        out.insert(key(step), value);
    }
    Value::Object(out)
}

fn key(step: &Step) -> String {
    match step {
        Step::Field(name) => format!("f:{name}"),
        Step::Key(keys) => {
            let map: Map<String, Value> = keys.iter().cloned().collect();
            format!("k:{}", Value::Object(map))
        }
        Step::Item(value) => format!("v:{value}"),
        Step::Index(i) => format!("i:{i}"),
    }
}

/// Reads a set.
pub(super) fn decode(fields: &Value) -> Result<Set, BadFields> {
    let mut set = Set::default();
    let Value::Object(map) = fields else {
        return Err(BadFields(fields.to_string()));
    };
    for (key, below) in map {
        if key == "." {
            continue; // read by the parent
        }
        let children = decode(below)?;
        // A key without anything below it is a leaf, whether or not it says so.
        let member = children.is_empty() || below.get(".").is_some();
        set.put(step(key)?, Node { member, children });
    }
    Ok(set)
}

fn step(key: &str) -> Result<Step, BadFields> {
    let bad = || BadFields(key.to_owned());
    let (kind, rest) = key.split_at_checked(2).ok_or_else(bad)?;
    match kind {
        "f:" => Ok(Step::Field(rest.to_owned())),
        "i:" => rest.parse().map(Step::Index).map_err(|_| bad()),
        "v:" => serde_json::from_str(rest).map(Step::Item).map_err(|_| bad()),
        "k:" => {
            let Ok(Value::Object(map)) = serde_json::from_str(rest) else {
                return Err(bad());
            };
            let mut keys: Vec<(String, Value)> = map.into_iter().collect();
            keys.sort_by(|a, b| a.0.cmp(&b.0));
            Ok(Step::Key(keys))
        }
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_back_what_it_writes() {
        let fields = json!({"f:metadata": {"f:labels": {".": {}, "f:a": {}}, "f:finalizers": {"v:\"x\"": {}}},
            "f:spec": {"f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}}});
        let set = decode(&fields).unwrap();
        assert_eq!(encode(&set), fields);
        assert!(
            set.paths()
                .contains(&".spec.ports[port=80,protocol=\"TCP\"].port".to_owned()),
            "{:?}",
            set.paths()
        );
    }
}
