//! The definitions of the kinds as an API server gets them.
//!
//! The derive gives names, columns and the schema of the types. Three things are added here: `null`
//! is no value of any field (the API server drops it instead, so no rule has to think of it), the
//! long descriptions of Kubernetes' own types are left out (the manifests must stay below the size
//! that `kubectl apply` can remember), and the rules of [`crate::rules`] are put where they belong.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Map, Value, json};

use crate::{Neo4jBackup, Neo4jDatabase, Neo4jEnterpriseCluster, backup, cluster, database, rules::Rule};

/// Fields whose type is Kubernetes' own; their documentation stands in its API reference.
const KUBERNETES_TYPES: [&str; 11] = [
    "spec.resources",
    "spec.env",
    "spec.extraEnvFrom",
    "spec.tolerations",
    "spec.affinity",
    "spec.extraVolumes",
    "spec.extraVolumeMounts",
    "spec.securityContext.podSecurityContext",
    "spec.securityContext.containerSecurityContext",
    "spec.options.resources",
    "status.conditions",
];

/// The definitions of all kinds as JSON, in the order of their manifests.
pub fn manifests() -> [Value; 3] {
    [
        definition::<Neo4jEnterpriseCluster>(cluster::rules::RULES),
        definition::<Neo4jDatabase>(database::rules::RULES),
        definition::<Neo4jBackup>(backup::rules::RULES),
    ]
}

/// The definitions of all kinds, ready to be applied.
///
/// # Errors
/// Never with the types of this crate; a test holds it.
pub fn definitions() -> Result<Vec<CustomResourceDefinition>, serde_json::Error> {
    manifests().into_iter().map(serde_json::from_value).collect()
}

/// The schema of a definition: the `openAPIV3Schema` of its one version.
pub fn schema(definition: &Value) -> &Value {
    &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

fn definition<K: CustomResourceExt>(rules: &[Rule<K>]) -> Value {
    let mut definition = json!(K::crd());
    let schema = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    clean(schema);
    for path in KUBERNETES_TYPES {
        if let Some(node) = node_mut(schema, path) {
            for child in children_mut(node) {
                drop_descriptions(child);
            }
        }
    }
    for rule in rules {
        if let Some(Value::Object(node)) = node_mut(schema, rule.at) {
            let list = node.entry("x-kubernetes-validations").or_insert_with(|| json!([]));
            if let Value::Array(list) = list {
                list.push(validation(rule));
            }
        }
    }
    definition
}

fn validation<K>(rule: &Rule<K>) -> Value {
    let mut entry = Map::new();
    entry.insert("rule".to_owned(), json!(rule.cel));
    entry.insert("message".to_owned(), json!(rule.message));
    // The schema does not know the fields of metadata, so a path to them would be refused.
    if !rule.field.is_empty() && !rule.field.starts_with("metadata") {
        entry.insert("fieldPath".to_owned(), json!(format!(".{}", rule.field)));
    }
    Value::Object(entry)
}

/// The node at a path such as `spec.items[].name`; the empty path is the root.
pub(crate) fn node_mut<'a>(schema: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    path.split('.')
        .filter(|part| !part.is_empty())
        .try_fold(schema, |node, part| {
            let (name, item) = part.strip_suffix("[]").map_or((part, false), |name| (name, true));
            let node = node.get_mut("properties")?.get_mut(name)?;
            if item { node.get_mut("items") } else { Some(node) }
        })
}

/// The schemas right below a schema.
fn children_mut(node: &mut Value) -> Vec<&mut Value> {
    let Value::Object(node) = node else { return Vec::new() };
    let mut children = Vec::new();
    for (keyword, value) in node {
        match (keyword.as_str(), value) {
            ("properties", Value::Object(properties)) => children.extend(properties.values_mut()),
            ("items" | "additionalProperties", value @ Value::Object(_)) => children.push(value),
            _ => {}
        }
    }
    children
}

fn clean(node: &mut Value) {
    if let Value::Object(keywords) = node {
        keywords.remove("nullable");
        keywords.remove("title");
        require_keys(keywords);
        if let Some(Value::Array(words)) = keywords.get_mut("enum") {
            words.retain(|word| !word.is_null());
        }
        for bound in ["minimum", "maximum"] {
            // The schema types hold bounds as floating point; people write whole numbers.
            if let Some(number) = keywords.get(bound).and_then(Value::as_f64) {
                keywords.insert(bound.to_owned(), json!(number as i64));
            }
        }
    }
    for child in children_mut(node) {
        clean(child);
    }
}

/// The keys of a list that is a map must be present in each item.
fn require_keys(keywords: &mut Map<String, Value>) {
    let keys = keywords
        .get("x-kubernetes-list-map-keys")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let Some(Value::Object(items)) = keywords.get_mut("items").filter(|_| !keys.is_empty()) else {
        return;
    };
    if let Value::Array(required) = items.entry("required").or_insert_with(|| json!([])) {
        let missing: Vec<Value> = keys.into_iter().filter(|key| !required.contains(key)).collect();
        required.extend(missing);
    }
}

fn drop_descriptions(node: &mut Value) {
    if let Value::Object(keywords) = node {
        keywords.remove("description");
    }
    for child in children_mut(node) {
        drop_descriptions(child);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_finds_its_place() {
        fn check<K: CustomResourceExt>(rules: &[Rule<K>]) {
            let definition = definition::<K>(rules);
            let text = schema(&definition).to_string();
            for rule in rules {
                let cel = Value::String(rule.cel.to_owned()).to_string();
                assert!(
                    text.contains(&cel),
                    "{} has no place {:?} in the schema",
                    rule.id,
                    rule.at
                );
            }
        }
        check::<Neo4jEnterpriseCluster>(cluster::rules::RULES);
        check::<Neo4jDatabase>(database::rules::RULES);
        check::<Neo4jBackup>(backup::rules::RULES);
    }

    #[test]
    fn definitions_are_typed_ones_with_the_short_names_of_the_api() {
        let short = |definition: &CustomResourceDefinition| definition.spec.names.short_names.clone().unwrap();
        let definitions = definitions().unwrap();
        assert_eq!(short(&definitions[0]), ["n4jc", "n4jcluster"]);
        assert_eq!(short(&definitions[1]), ["n4jdb"]);
        assert_eq!(short(&definitions[2]), ["n4jbackup"]);
        for definition in &definitions {
            assert_eq!(definition.spec.group, crate::GROUP);
            assert_eq!(
                definition.spec.names.categories.as_deref(),
                Some(&["neo4j".to_owned()][..])
            );
        }
    }
}
