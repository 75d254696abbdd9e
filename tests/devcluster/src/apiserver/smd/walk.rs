//! Walks over a typed value: check it against its type, list its paths, remove paths.

use serde_json::{Map, Value};

use super::{
    path::{Node, Set, Step},
    types::{Default, Form, ListType, MapType, Relation, Scalar, Schema, TypeId},
};

/// The step that leads to an item of a set or list map.
pub(super) fn item_step(schema: &Schema, list: &ListType, item: &Value) -> Result<Step, String> {
    match &list.relation {
        Relation::Atomic => Err("invalid indexing of non-associative list".into()),
        Relation::Set => match item {
            Value::Object(_) => Err("associative list without keys has an element that's a map type".into()),
            Value::Array(_) => Err("not supported: associative list with lists as elements".into()),
            Value::Null => Err("associative list without keys has an element that's an explicit null".into()),
            scalar => Ok(Step::Item(scalar.clone())),
        },
        Relation::Map(keys) => {
            let object = match item {
                Value::Null => return Err("associative list with keys may not have a null element".into()),
                Value::Object(object) => object,
                _ => return Err("associative list with keys may not have non-map elements".into()),
            };
            let fields = schema.atom(list.item).map.as_ref().map(|m| &m.fields);
            let mut found = Vec::with_capacity(keys.len());
            for key in keys {
                if let Some(value) = object.get(key) {
                    found.push((key.clone(), value.clone()));
                } else if let Some(Default::Key(default) | Default::Zero(default)) =
                    fields.and_then(|f| f.get(key)).map(|f| &f.default)
                {
                    found.push((key.clone(), default.clone()));
                }
            }
            if found.is_empty() {
                let keys = keys.iter().map(|k| format!("{k:?}")).collect::<Vec<_>>().join(" ");
                return Err(format!(
                    "associative list with keys has an element that omits all key fields [{keys}] (and doesn't have default values for any key fields)"
                ));
            }
            Ok(Step::Key(found))
        }
    }
}

/// A value as Go's `%v` prints it.
fn go(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::String(s) => s.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let mut entries: Vec<String> = map.iter().map(|(k, v)| format!("{k}:{}", go(v))).collect();
            entries.sort();
            format!("map[{}]", entries.join(" "))
        }
        scalar => scalar.to_string(),
    }
}

/// A value as Go's `%#v` prints the inside of an interface.
fn go_syntax(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            format!(
                "[]interface {{}}{{{}}}",
                items.iter().map(go_syntax).collect::<Vec<_>>().join(", ")
            )
        }
        Value::Object(map) => {
            let mut entries: Vec<String> = map.iter().map(|(k, v)| format!("{k:?}:{}", go_syntax(v))).collect();
            entries.sort();
            format!("map[string]interface {{}}{{{}}}", entries.join(", "))
        }
        scalar => scalar.to_string(),
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// What does not fit the type, as `path: message`; empty if all does. Duplicate items are an error here (in stored objects they are not).
pub(super) fn errors(schema: &Schema, ty: TypeId, value: &Value) -> Vec<String> {
    let mut out = Vec::new();
    check(schema, ty, value, "", &mut out);
    out
}

fn check(schema: &Schema, ty: TypeId, value: &Value, path: &str, out: &mut Vec<String>) {
    match (schema.atom(ty).form(value), value) {
        (_, Value::Null) => {}
        (Form::Map(map), Value::Object(object)) => {
            for (key, below) in object {
                let here = format!("{path}.{key}");
                let Some(ty) = map.type_of(key) else {
                    out.push(format!("{here}: field not declared in schema"));
                    break;
                };
                check(schema, ty, below, &here, out);
            }
        }
        (Form::List(list), Value::Array(items)) => {
            let mut seen = Set::default();
            for (i, item) in items.iter().enumerate() {
                let step = match &list.relation {
                    Relation::Atomic => Step::Index(i),
                    _ => match item_step(schema, list, item) {
                        Ok(step) => step,
                        Err(why) => {
                            out.push(format!("{path}: element {i}: {why}"));
                            continue;
                        }
                    },
                };
                if seen.has(&step) {
                    out.push(format!("{path}: duplicate entries for key {step}"));
                }
                check(schema, list.item, item, &format!("{path}{step}"), out);
                seen.put(step, Node::leaf());
            }
        }
        (Form::Map(_), other) => out.push(format!("{path}: expected map, got &{{{}}}", go(other))),
        (Form::List(_), other) => out.push(format!("{path}: expected list, got &{{{}}}", go(other))),
        (Form::Scalar(scalar), other) => {
            let wrong = match scalar {
                Scalar::Numeric if !other.is_number() => {
                    format!("expected numeric (int or float), got {}", go_type(other))
                }
                Scalar::String if !other.is_string() => {
                    format!(
                        "expected string, got &value.valueUnstructured{{Value:{}}}",
                        go_syntax(other)
                    )
                }
                Scalar::Boolean if !other.is_boolean() => format!("expected boolean, got &{{{}}}", go(other)),
                Scalar::Untyped if other.is_array() || other.is_object() => {
                    format!("expected any scalar, got &{{{}}}", go(other))
                }
                _ => return,
            };
            out.push(format!("{path}: {wrong}"));
        }
    }
}

/// The paths of an applied configuration: its leaves, items of lists, keys of maps without a schema.
pub(super) fn paths(schema: &Schema, ty: TypeId, value: &Value) -> Set {
    node(schema, ty, value).children
}

fn node(schema: &Schema, ty: TypeId, value: &Value) -> Node {
    match (schema.atom(ty).form(value), value) {
        (Form::Map(map), _) if map.atomic => Node::leaf(),
        (Form::List(list), _) if list.relation == Relation::Atomic => Node::leaf(),
        (Form::Map(map), Value::Object(object)) => {
            let mut out = Node::default();
            for (key, below) in object {
                let mut child = map.type_of(key).map_or_else(Node::leaf, |ty| node(schema, ty, below));
                let hollow = below.is_null() || below.as_object().is_some_and(Map::is_empty);
                if hollow || !map.fields.contains_key(key) {
                    child.member = true;
                }
                out.children.put(Step::Field(key.clone()), child);
            }
            out
        }
        (Form::List(list), Value::Array(items)) => {
            let mut out = Node::default();
            for item in items {
                if let Ok(step) = item_step(schema, list, item) {
                    let mut child = node(schema, list.item, item);
                    child.member = true;
                    let merged = out.children.get(&step).map(|old| old.children.union(&child.children));
                    child.children = merged.unwrap_or(child.children);
                    out.children.put(step, child);
                }
            }
            out
        }
        (Form::Scalar(_), _) => Node::leaf(),
        _ => Node::default(),
    }
}

/// `set` with the fields of structs that lead to its members made members too (`spec` of `spec.replicas`).
pub(super) fn with_named_fields(schema: &Schema, ty: Option<TypeId>, set: &Set) -> Set {
    let map: Option<&MapType> = ty.and_then(|ty| schema.atom(ty).map.as_ref());
    let mut out = Set::default();
    for (step, node) in set.nodes() {
        let named = !node.children.is_empty()
            && matches!(step, Step::Field(name) if map.is_some_and(|m| m.fields.contains_key(name)));
        let below = ty.and_then(|ty| schema.below(ty, step));
        out.put(
            step.clone(),
            Node {
                member: node.member || named,
                children: with_named_fields(schema, below, &node.children),
            },
        );
    }
    out
}

/// `value` without the members of `gone`. A container that held only removed things below kept parents becomes empty, not absent.
pub(super) fn remove(schema: &Schema, ty: TypeId, value: &Value, gone: &Set) -> Value {
    match (schema.atom(ty).form(value), value) {
        (Form::Map(map), Value::Object(object)) if !map.atomic => {
            let mut out = Map::new();
            for (key, below) in object {
                let step = Step::Field(key.clone());
                match (gone.get(&step), map.type_of(key)) {
                    (Some(node), _) if node.member => {}
                    (Some(node), Some(ty)) if !node.children.is_empty() => {
                        out.insert(key.clone(), remove(schema, ty, below, &node.children));
                    }
                    _ => {
                        out.insert(key.clone(), below.clone());
                    }
                }
            }
            Value::Object(out)
        }
        (Form::List(list), Value::Array(items)) if list.relation != Relation::Atomic => {
            let mut out = Vec::new();
            for item in items {
                match item_step(schema, list, item).ok().and_then(|step| gone.get(&step)) {
                    Some(node) if node.member => {}
                    Some(node) => out.push(remove(schema, list.item, item, &node.children)),
                    None => out.push(item.clone()),
                }
            }
            Value::Array(out)
        }
        _ => value.clone(),
    }
}
