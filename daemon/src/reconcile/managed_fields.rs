//! Handing what a POST set over to server-side apply.
//!
//! The server records the fields of a POST under `{manager, operation: Update}`. As long as that entry
//! stands, a field that a later apply no longer declares keeps this owner and stays. Renaming the entry to
//! `Apply` once makes POST and apply one owner.

use serde_json::{Map, Value};

use super::MANAGER;

fn is_ours(entry: &Value, operation: &str) -> bool {
    entry["manager"] == MANAGER && entry["operation"] == operation && entry["subresource"].is_null()
}

/// Whether the metadata holds an `Update` entry of our field manager for the main resource.
pub fn has_update_entry(metadata: &Value) -> bool {
    metadata["managedFields"]
        .as_array()
        .is_some_and(|entries| entries.iter().any(|entry| is_ours(entry, "Update")))
}

/// The managedFields with our `Update` entry as part of our `Apply` entry; `None` if there is none.
pub fn hand_over(metadata: &Value) -> Option<Value> {
    let entries = metadata["managedFields"].as_array()?;
    let (updates, mut rest): (Vec<Value>, Vec<Value>) =
        entries.iter().cloned().partition(|entry| is_ours(entry, "Update"));
    let mut updates = updates.into_iter();
    let mut renamed = updates.next()?;
    renamed["operation"] = "Apply".into();
    for other in updates {
        unite(&mut renamed["fieldsV1"], &other["fieldsV1"]);
    }
    if let Some(apply) = rest.iter_mut().find(|entry| is_ours(entry, "Apply")) {
        unite(&mut apply["fieldsV1"], &renamed["fieldsV1"]);
    } else {
        rest.insert(0, renamed);
    }
    Some(Value::Array(rest))
}

/// Adds the paths of `from` to `into`.
fn unite(into: &mut Value, from: &Value) {
    let Value::Object(from) = from else { return };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    if let Value::Object(into) = into {
        for (key, value) in from {
            unite(
                into.entry(key.clone()).or_insert_with(|| Value::Object(Map::new())),
                value,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(manager: &str, operation: &str, fields: &Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    #[test]
    fn the_entry_of_our_post_is_renamed_and_others_stay() {
        let other = entry("kubectl", "Update", &json!({"f:data": {"f:y": {}}}));
        let metadata = json!({"managedFields": [
            entry(MANAGER, "Update", &json!({"f:data": {"f:a": {}}})), other,
        ]});
        assert!(has_update_entry(&metadata));
        let entries = hand_over(&metadata).unwrap();
        assert_eq!(
            entries,
            json!([entry(MANAGER, "Apply", &json!({"f:data": {"f:a": {}}})), other])
        );
        assert!(!has_update_entry(&json!({"managedFields": entries})));
    }

    #[test]
    fn an_update_beside_an_apply_becomes_part_of_it() {
        let metadata = json!({"managedFields": [
            entry(MANAGER, "Apply", &json!({"f:data": {"f:a": {}}})),
            entry(MANAGER, "Update", &json!({"f:data": {"f:b": {}}})),
        ]});
        assert_eq!(
            hand_over(&metadata).unwrap(),
            json!([entry(MANAGER, "Apply", &json!({"f:data": {"f:a": {}, "f:b": {}}}))])
        );
    }

    #[test]
    fn an_entry_of_the_status_subresource_is_not_touched() {
        let mut status = entry(MANAGER, "Update", &json!({"f:status": {}}));
        status["subresource"] = "status".into();
        let metadata = json!({"managedFields": [status]});
        assert!(!has_update_entry(&metadata));
        assert_eq!(hand_over(&metadata), None);
    }
}
