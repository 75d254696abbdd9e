//! Small questions about objects' metadata that every controller asks, in the words of the API.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    LabelSelector, LabelSelectorRequirement, ObjectMeta, OwnerReference,
};
use kube::Resource;
use sha2::{Digest, Sha256};

use std::collections::BTreeMap;

/// The letters that Kubernetes makes generated names of: no vowels, so no words.
const NAME_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// The object's name; empty where it has none.
pub fn name<K: Resource>(object: &K) -> &str {
    object.meta().name.as_deref().unwrap_or_default()
}

/// The object's namespace; empty for a cluster-wide object.
pub fn namespace<K: Resource>(object: &K) -> &str {
    object.meta().namespace.as_deref().unwrap_or_default()
}

/// The object's uid; empty only before it was created.
pub fn uid<K: Resource>(object: &K) -> &str {
    object.meta().uid.as_deref().unwrap_or_default()
}

/// Whether its deletion was asked for.
pub fn is_deleting<K: Resource>(object: &K) -> bool {
    object.meta().deletion_timestamp.is_some()
}

/// The reference of its managing controller.
pub fn controller(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true))
}

/// Whether `owner` (a uid) is its managing controller.
pub fn is_controlled_by<K: Resource>(object: &K, owner: &str) -> bool {
    controller(object.meta()).is_some_and(|reference| reference.uid == owner)
}

/// A reference to `owner` as the managing controller.
pub fn controlled_by<K: Resource<DynamicType = ()>>(owner: &K) -> OwnerReference {
    OwnerReference {
        controller: Some(true),
        block_owner_deletion: Some(true),
        ..owned_by(owner)
    }
}

/// A plain reference to `owner`.
pub fn owned_by<K: Resource<DynamicType = ()>>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: name(owner).to_owned(),
        uid: uid(owner).to_owned(),
        controller: None,
        block_owner_deletion: None,
    }
}

/// A label's value.
pub fn label<'a, K: Resource>(object: &'a K, key: &str) -> Option<&'a str> {
    object.meta().labels.as_ref()?.get(key).map(String::as_str)
}

/// An annotation's value.
pub fn annotation<'a, K: Resource>(object: &'a K, key: &str) -> Option<&'a str> {
    object.meta().annotations.as_ref()?.get(key).map(String::as_str)
}

/// Whether the labels satisfy the selector. An empty selector matches everything, as in the API.
pub fn selects(selector: &LabelSelector, labels: Option<&BTreeMap<String, String>>) -> bool {
    let value = |key: &str| labels.and_then(|labels| labels.get(key));
    let exact = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, wanted)| value(key) == Some(wanted));
    exact
        && selector
            .match_expressions
            .iter()
            .flatten()
            .all(|requirement| holds(requirement, value(&requirement.key)))
}

fn holds(requirement: &LabelSelectorRequirement, value: Option<&String>) -> bool {
    let listed = value.is_some_and(|value| requirement.values.iter().flatten().any(|wanted| wanted == value));
    match requirement.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}

/// `letters` letters that depend on `content` alone, fit for a name.
pub fn name_hash(content: &[u8], letters: usize) -> String {
    Sha256::digest(content)
        .iter()
        .take(letters)
        .map(|byte| char::from(NAME_LETTERS[usize::from(*byte) % NAME_LETTERS.len()]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_needs_all_of_its_labels_and_expressions() {
        let selector: LabelSelector = serde_json::from_value(serde_json::json!({
            "matchLabels": {"app": "neo4j"},
            "matchExpressions": [{"key": "role", "operator": "NotIn", "values": ["backup"]}, {"key": "pod", "operator": "Exists"}],
        }))
        .unwrap();
        let labels = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        assert!(selects(&selector, Some(&labels(&[("app", "neo4j"), ("pod", "0")]))));
        assert!(!selects(
            &selector,
            Some(&labels(&[("app", "neo4j"), ("pod", "0"), ("role", "backup")]))
        ));
        assert!(!selects(&selector, Some(&labels(&[("app", "neo4j")]))));
        assert!(!selects(&selector, None));
    }

    #[test]
    fn a_name_hash_is_stable_and_made_of_name_letters() {
        assert_eq!(name_hash(b"x", 10), name_hash(b"x", 10));
        assert_ne!(name_hash(b"x", 10), name_hash(b"y", 10));
        assert!(name_hash(b"x", 10).bytes().all(|letter| NAME_LETTERS.contains(&letter)));
    }
}
