//! OpenAPI v3: enough for kubectl. `apply` looks whether a kind's PATCH takes `fieldValidation`, `explain` follows the schema of a GET.
//!
//! Schemas of built-in kinds are written from the table of server-side apply, which knows fields, lists and keys but no descriptions.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    super::{
        kinds::{Catalog, Resource},
        registry::scale,
        smd::types::{Patch, Relation, Scalar, Schema, TypeId},
    },
    Reply, reply,
};

/// `/openapi/v3`: where the documents are.
pub(super) fn index(catalog: &Catalog) -> Value {
    let mut paths = Map::new();
    for (group, versions) in catalog.groups() {
        for version in versions {
            let path = if group.is_empty() {
                format!("api/{version}")
            } else {
                format!("apis/{group}/{version}")
            };
            let url = format!("/openapi/v3/{path}?hash={}", hash(catalog, group, version));
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    json!({"paths": paths})
}

/// Changes whenever the document does: built-in documents never do, custom ones with their definitions.
fn hash(catalog: &Catalog, group: &str, version: &str) -> String {
    let mut hasher = Sha256::new();
    for resource in catalog.of(group, version) {
        let since = resource.custom.as_ref().map_or(0, |c| c.since);
        hasher.update(format!("{group}/{version}/{}@{since};", resource.plural));
    }
    hasher.finalize().iter().map(|b| format!("{b:02X}")).collect()
}

/// One group and version.
pub(super) fn document(catalog: &Catalog, group: &str, version: &str, minor: u16) -> Reply {
    let resources = catalog.of(group, version);
    if resources.is_empty() {
        return reply::not_found();
    }
    let (mut paths, mut schemas) = (Map::new(), BTreeMap::new());
    for resource in resources {
        add_paths(resource, &mut paths);
        add_schemas(resource, &mut schemas);
    }
    let document = json!({
        "openapi": "3.0.0",
        "info": {"title": "devcluster", "version": format!("v1.{minor}.0")},
        "paths": paths,
        "components": {"schemas": schemas},
    });
    reply::json(200, &document)
}

/// `com.example.v1.Widget`; built-in kinds under names of their own.
fn component(resource: &Resource) -> String {
    let reversed: Vec<&str> = resource.group.rsplit('.').filter(|p| !p.is_empty()).collect();
    match (resource.custom.is_some(), reversed.as_slice()) {
        (true, _) => format!("{}.{}.{}", reversed.join("."), resource.version, resource.kind),
        (false, []) => format!("io.k8s.api.core.{}.{}", resource.version, resource.kind),
        (false, group) => format!(
            "io.k8s.api.{}.{}.{}",
            group.last().copied().unwrap_or_default(),
            resource.version,
            resource.kind
        ),
    }
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// The parameters of an operation, by type.
fn parameters(names: &[(&str, &str)]) -> Value {
    names
        .iter()
        .map(|(name, kind)| json!({"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": true}}))
        .collect()
}

const WRITE: &[(&str, &str)] = &[
    ("dryRun", "string"),
    ("fieldManager", "string"),
    ("fieldValidation", "string"),
];
const PATCH_QUERY: &[(&str, &str)] = &[
    ("dryRun", "string"),
    ("fieldManager", "string"),
    ("fieldValidation", "string"),
    ("force", "boolean"),
];
const DELETE: &[(&str, &str)] = &[
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
];
const LIST: &[(&str, &str)] = &[
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
];

/// One operation on a kind.
struct Operation<'a> {
    resource: &'a Resource,
    /// The schema of the answer.
    answer: &'a str,
}

impl Operation<'_> {
    fn write(&self, action: &str, query: &[(&str, &str)], body: Option<Value>) -> Value {
        let resource = self.resource;
        let media = |schema: Value| json!({"application/json": {"schema": schema}});
        let mut out = json!({
            "operationId": format!("{action}{}{}{}", resource.group, resource.version, self.answer),
            "parameters": parameters(query),
            "responses": {"200": {"description": "OK", "content": media(reference(self.answer))}},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {
                "group": resource.group, "version": resource.version, "kind": resource.kind,
            },
        });
        if let Some(content) = body {
            out["requestBody"] = json!({"content": content, "required": true});
        }
        out
    }

    fn patch(&self) -> Value {
        let mut content = Map::new();
        let mut types = vec![
            "application/apply-patch+yaml",
            "application/json-patch+json",
            "application/merge-patch+json",
        ];
        if self.resource.custom.is_none() {
            types.push("application/strategic-merge-patch+json");
        }
        for media in types {
            content.insert(media.into(), json!({"schema": {"type": "object"}}));
        }
        self.write("patch", PATCH_QUERY, Some(Value::Object(content)))
    }

    /// An operation that takes a whole object.
    fn put(&self, action: &str) -> Value {
        let body = json!({"application/json": {"schema": reference(self.answer)}});
        self.write(action, WRITE, Some(body))
    }
}

fn add_paths(resource: &Resource, paths: &mut Map<String, Value>) {
    let root = if resource.group.is_empty() { "/api" } else { "/apis" };
    let base = format!("{root}/{}", resource.api_version());
    let (kind, list) = (component(resource), format!("{}List", component(resource)));
    let object = Operation {
        resource,
        answer: &kind,
    };
    let collection = Operation {
        resource,
        answer: &list,
    };
    let plural = &resource.plural;
    if resource.unstored {
        let scope = if resource.namespaced {
            "/namespaces/{namespace}"
        } else {
            ""
        };
        paths.insert(format!("{base}{scope}/{plural}"), json!({"post": object.put("post")}));
        return;
    }
    let all = if resource.namespaced {
        let path = format!("{base}/{plural}");
        paths.insert(path, json!({"get": collection.write("list", LIST, None)}));
        format!("{base}/namespaces/{{namespace}}/{plural}")
    } else {
        format!("{base}/{plural}")
    };
    let one = format!("{all}/{{name}}");
    paths.insert(
        all,
        json!({
            "get": collection.write("list", LIST, None),
            "post": object.put("post"),
        }),
    );
    paths.insert(
        one.clone(),
        json!({
            "get": object.write("get", &[], None),
            "put": object.put("put"),
            "patch": object.patch(),
            "delete": object.write("delete", DELETE, None),
        }),
    );
    let below = json!({
        "get": object.write("get", &[], None),
        "put": object.put("put"),
        "patch": object.patch(),
    });
    if resource.status {
        paths.insert(format!("{one}/status"), below.clone());
    }
    if scale::exists(resource) {
        paths.insert(format!("{one}/scale"), below);
    }
}

fn add_schemas(resource: &Resource, schemas: &mut BTreeMap<String, Value>) {
    let name = component(resource);
    let marks = |kind: &str| json!([{"group": resource.group, "version": resource.version, "kind": kind}]);
    let mut schema = if let Some(custom) = &resource.custom {
        let mut schema = custom.openapi.clone();
        for (field, below) in [
            ("apiVersion", json!({"type": "string"})),
            ("kind", json!({"type": "string"})),
            ("metadata", json!({"type": "object"})),
        ] {
            schema["properties"][field] = below;
        }
        schema
    } else {
        let table = &resource.types.schema;
        let mut writer = Writer {
            schema: table,
            names: table.names.iter().map(|(n, id)| (*id, n.as_str())).collect(),
            wanted: BTreeSet::new(),
        };
        let root = writer.write(resource.types.root);
        writer.finish(schemas);
        root
    };
    schema["x-kubernetes-group-version-kind"] = marks(&resource.kind);
    let list = json!({
        "type": "object", "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
            "items": {"type": "array", "items": reference(&name)},
        },
        "x-kubernetes-group-version-kind": marks(&resource.list_kind),
    });
    schemas.insert(format!("{name}List"), list);
    schemas.insert(name, schema);
}

/// How strategic merge treats the field: kubectl reads it here when it makes its patches.
fn mark_patch(schema: &mut Value, patch: &Patch) {
    let strategy: Vec<&str> = [(patch.merge, "merge"), (patch.retain_keys, "retainKeys")]
        .into_iter()
        .filter_map(|(has, name)| has.then_some(name))
        .collect();
    if !strategy.is_empty() {
        schema["x-kubernetes-patch-strategy"] = json!(strategy.join(","));
    }
    if let Some(key) = &patch.key {
        schema["x-kubernetes-patch-merge-key"] = json!(key);
    }
}

/// Writes types of the table as OpenAPI: named types as components of their own.
struct Writer<'a> {
    schema: &'a Schema,
    names: BTreeMap<TypeId, &'a str>,
    wanted: BTreeSet<TypeId>,
}

impl Writer<'_> {
    /// Writes the named types that were met, and those that they meet.
    fn finish(mut self, schemas: &mut BTreeMap<String, Value>) {
        while let Some(id) = self.wanted.pop_first() {
            let name = self.component(id);
            if !schemas.contains_key(&name) {
                // Put in first: types may contain themselves.
                schemas.insert(name.clone(), Value::Null);
                let written = self.write(id);
                schemas.insert(name, written);
            }
        }
    }

    fn component(&self, id: TypeId) -> String {
        format!("io.k8s.table.{}", self.names.get(&id).copied().unwrap_or_default())
    }

    fn below(&mut self, id: TypeId) -> Value {
        let is_struct = self.schema.atom(id).map.as_ref().is_some_and(|m| !m.fields.is_empty());
        if is_struct && self.names.contains_key(&id) {
            self.wanted.insert(id);
            return json!({"allOf": [reference(&self.component(id))]});
        }
        self.write(id)
    }

    fn write(&mut self, id: TypeId) -> Value {
        let atom = self.schema.atom(id);
        if atom.list.is_some() && atom.map.is_some() {
            return json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        }
        if let Some(list) = &atom.list {
            let mut out = json!({"type": "array", "items": self.below(list.item)});
            match &list.relation {
                Relation::Map(keys) => {
                    out["x-kubernetes-list-type"] = json!("map");
                    out["x-kubernetes-list-map-keys"] = json!(keys);
                }
                Relation::Set => out["x-kubernetes-list-type"] = json!("set"),
                Relation::Atomic => out["x-kubernetes-list-type"] = json!("atomic"),
            }
            return out;
        }
        if let Some(map) = &atom.map {
            let mut out = json!({"type": "object"});
            for (name, field) in &map.fields {
                let mut below = self.below(field.ty);
                mark_patch(&mut below, &field.patch);
                out["properties"][name] = below;
            }
            if let Some(element) = map.element {
                out["additionalProperties"] = self.below(element);
            }
            if map.atomic {
                out["x-kubernetes-map-type"] = json!("atomic");
            }
            return out;
        }
        match atom.scalar {
            Some(Scalar::String) => json!({"type": "string"}),
            Some(Scalar::Numeric) => json!({"type": "integer"}),
            Some(Scalar::Boolean) => json!({"type": "boolean"}),
            _ => json!({"x-kubernetes-int-or-string": true}),
        }
    }
}
