//! Whose an object is: by the uid of its controller owner, never by its name (OW3).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use neo4j_operator_shared::Kind;
use serde_json::Value;

use super::manifest::Resource;

/// The owner reference that children of a custom resource carry.
pub fn owner_reference(kind: Kind, name: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: Resource::of(kind).api_version(),
        kind: kind.kind().to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The uid of the controller owner of an object, if it has one.
pub fn controller_uid(object: &Value) -> Option<&str> {
    object["metadata"]["ownerReferences"]
        .as_array()?
        .iter()
        .find(|owner| owner["controller"] == true)?["uid"]
        .as_str()
}

/// Whether an object is controlled by the owner with this uid.
pub fn is_controlled_by(object: &Value, uid: &str) -> bool {
    !uid.is_empty() && controller_uid(object) == Some(uid)
}

/// Whether an object without owner carries all these labels.
pub fn has_labels<'a>(object: &Value, labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> bool {
    labels
        .into_iter()
        .all(|(key, value)| object["metadata"]["labels"][key] == value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_owner_that_is_no_controller_proves_nothing() {
        let object = json!({"metadata": {"ownerReferences": [{"uid": "u"}, {"uid": "v", "controller": true}]}});
        assert!(!is_controlled_by(&object, "u"));
        assert!(is_controlled_by(&object, "v"));
        assert!(!is_controlled_by(&json!({"metadata": {}}), ""));
    }

    #[test]
    fn all_labels_are_asked_for() {
        let object = json!({"metadata": {"labels": {"a": "1", "b": "2"}}});
        assert!(has_labels(&object, [("a", "1"), ("b", "2")]));
        assert!(!has_labels(&object, [("a", "1"), ("c", "3")]));
    }
}
