//! From a custom resource's OpenAPI schema to the types that server-side apply knows.

use serde_json::Value;

use super::types::{Atom, Default, Field, ListType, MapType, Patch, Relation, Scalar, Schema, TypeId};

/// Adds the type of a custom resource: its schema, and what every object has.
pub(super) fn root(schema: &mut Schema, openapi: &Value) -> TypeId {
    let mut map = map(schema, openapi);
    object_fields(schema, &mut map);
    map.atomic = false;
    schema.add(Atom {
        map: Some(map),
        ..Atom::default()
    })
}

/// `apiVersion`, `kind` and `metadata`, as embedded resources have them too.
fn object_fields(schema: &mut Schema, map: &mut MapType) {
    let string = schema.add(Atom {
        scalar: Some(Scalar::String),
        ..Atom::default()
    });
    let meta = schema.names.get("meta.ObjectMeta").copied().unwrap_or_default();
    for (name, ty) in [("apiVersion", string), ("kind", string), ("metadata", meta)] {
        map.fields.insert(
            name.to_owned(),
            Field {
                ty,
                default: Default::None,
                patch: Patch::default(),
            },
        );
    }
}

fn is(schema: &Value, flag: &str) -> bool {
    schema.get(flag).and_then(Value::as_bool).unwrap_or(false)
}

fn map(schema: &mut Schema, openapi: &Value) -> MapType {
    let mut out = MapType::default();
    if let Some(properties) = openapi.get("properties").and_then(Value::as_object) {
        for (name, property) in properties {
            let ty = convert(schema, property);
            let default = property.get("default").cloned().map_or(Default::None, Default::Key);
            out.fields.insert(
                name.clone(),
                Field {
                    ty,
                    default,
                    patch: Patch::default(),
                },
            );
        }
    }
    out.element = match openapi.get("additionalProperties") {
        Some(Value::Bool(true)) => schema.names.get("*").copied(),
        Some(element @ Value::Object(_)) => Some(convert(schema, element)),
        _ => None,
    };
    if is(openapi, "x-kubernetes-preserve-unknown-fields") {
        out.element = schema.names.get("*").copied();
    }
    if is(openapi, "x-kubernetes-embedded-resource") {
        object_fields(schema, &mut out);
    }
    out.atomic = openapi.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic");
    out
}

fn convert(schema: &mut Schema, openapi: &Value) -> TypeId {
    let scalar = |scalar| Atom {
        scalar: Some(scalar),
        ..Atom::default()
    };
    if is(openapi, "x-kubernetes-int-or-string") {
        return schema.add(scalar(Scalar::Untyped));
    }
    let atom = match openapi.get("type").and_then(Value::as_str) {
        Some("string") => scalar(Scalar::String),
        Some("integer" | "number") => scalar(Scalar::Numeric),
        Some("boolean") => scalar(Scalar::Boolean),
        Some("array") => {
            let item = match openapi.get("items") {
                Some(items) => convert(schema, items),
                None => schema.names.get("*a").copied().unwrap_or_default(),
            };
            let relation = match openapi.get("x-kubernetes-list-type").and_then(Value::as_str) {
                Some("set") => Relation::Set,
                Some("map") => {
                    let keys = openapi.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
                    let mut keys: Vec<String> = keys
                        .into_iter()
                        .flatten()
                        .filter_map(Value::as_str)
                        .map(str::to_owned)
                        .collect();
                    keys.sort();
                    Relation::Map(keys)
                }
                _ => Relation::Atomic,
            };
            Atom {
                list: Some(ListType { item, relation }),
                ..Atom::default()
            }
        }
        Some("object") => Atom {
            map: Some(map(schema, openapi)),
            ..Atom::default()
        },
        _ => return schema.names.get("*").copied().unwrap_or_default(),
    };
    schema.add(atom)
}
