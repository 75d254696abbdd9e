//! The typed schema that server-side apply walks along, for built-in kinds from the committed table and for custom resources from
//! their OpenAPI schema.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use serde_json::{Map, Value};

use super::{path::Step, table};

/// Index of a type in its [`Schema`].
pub(in crate::apiserver) type TypeId = usize;

/// What a scalar may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::apiserver) enum Scalar {
    Numeric,
    String,
    Boolean,
    Untyped,
}

/// How the items of a list relate to owners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::apiserver) enum Relation {
    /// The list is one value with one owner.
    Atomic,
    /// Each item is its own key.
    Set,
    /// Items are found by these fields.
    Map(Vec<String>),
}

/// A list type.
#[derive(Debug, Clone)]
pub(in crate::apiserver) struct ListType {
    pub(in crate::apiserver) item: TypeId,
    pub(in crate::apiserver) relation: Relation,
}

/// What the Go struct's zero value has for a field.
#[derive(Debug, Clone, PartialEq, std::default::Default)]
pub(in crate::apiserver) enum Default {
    /// Nothing: the field is optional.
    #[default]
    None,
    /// A struct that is always written.
    Struct,
    /// A zero scalar (or null list) that is always written.
    Zero(Value),
    /// A default that only completes the keys of list items.
    Key(Value),
}

/// How strategic merge patch treats a field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::apiserver) struct Patch {
    pub(in crate::apiserver) merge: bool,
    pub(in crate::apiserver) replace: bool,
    pub(in crate::apiserver) retain_keys: bool,
    pub(in crate::apiserver) key: Option<String>,
}

/// A field of a map type.
#[derive(Debug, Clone)]
pub(in crate::apiserver) struct Field {
    pub(in crate::apiserver) ty: TypeId,
    pub(in crate::apiserver) default: Default,
    pub(in crate::apiserver) patch: Patch,
}

/// A map type: fields, free keys, or both.
#[derive(Debug, Clone, Default)]
pub(in crate::apiserver) struct MapType {
    pub(in crate::apiserver) fields: BTreeMap<String, Field>,
    pub(in crate::apiserver) element: Option<TypeId>,
    pub(in crate::apiserver) atomic: bool,
}

impl MapType {
    /// The type of a key, if the map may have it.
    pub(in crate::apiserver) fn type_of(&self, key: &str) -> Option<TypeId> {
        self.fields.get(key).map(|f| f.ty).or(self.element)
    }
}

/// A type: any combination of the three forms (an untyped value has all of them).
#[derive(Debug, Clone, std::default::Default)]
pub(in crate::apiserver) struct Atom {
    pub(in crate::apiserver) scalar: Option<Scalar>,
    pub(in crate::apiserver) list: Option<ListType>,
    pub(in crate::apiserver) map: Option<MapType>,
}

/// One of the three forms, chosen by the value.
#[derive(Debug, Clone, Copy)]
pub(in crate::apiserver) enum Form<'a> {
    Scalar(Scalar),
    List(&'a ListType),
    Map(&'a MapType),
}

impl Atom {
    /// The form that a value has; where the type does not allow the value's, the first form the type has.
    pub(in crate::apiserver) fn form(&self, value: &Value) -> Form<'_> {
        match (value, &self.map, &self.scalar, &self.list) {
            (Value::Object(_), Some(map), _, _) => Form::Map(map),
            (Value::Array(_), _, _, Some(list)) => Form::List(list),
            (Value::String(_) | Value::Number(_) | Value::Bool(_), _, Some(scalar), _) => Form::Scalar(*scalar),
            (_, Some(map), _, _) => Form::Map(map),
            (_, _, Some(scalar), _) => Form::Scalar(*scalar),
            (_, _, _, Some(list)) => Form::List(list),
            _ => Form::Scalar(Scalar::Untyped),
        }
    }
}

/// All types of one or more kinds.
#[derive(Debug, Clone, std::default::Default)]
pub(in crate::apiserver) struct Schema {
    pub(in crate::apiserver) types: Vec<Atom>,
    pub(in crate::apiserver) names: BTreeMap<String, TypeId>,
    pub(in crate::apiserver) kinds: BTreeMap<(String, String), TypeId>,
}

impl Schema {
    pub(in crate::apiserver) fn add(&mut self, atom: Atom) -> TypeId {
        self.types.push(atom);
        self.types.len() - 1
    }

    pub(in crate::apiserver) fn atom(&self, ty: TypeId) -> &Atom {
        &self.types[ty]
    }

    /// The type of what a step leads to.
    pub(super) fn below(&self, ty: TypeId, step: &Step) -> Option<TypeId> {
        let atom = self.atom(ty);
        match step {
            Step::Field(name) => atom.map.as_ref().and_then(|m| m.type_of(name)),
            Step::Key(_) => atom.list.as_ref().map(|l| l.item),
            Step::Item(_) | Step::Index(_) => None,
        }
    }

    /// The zero value of a type as Go writes it.
    fn zero(&self, ty: TypeId) -> Value {
        let mut out = Map::new();
        if let Some(map) = &self.atom(ty).map {
            for (name, field) in &map.fields {
                match &field.default {
                    Default::Struct => {
                        out.insert(name.clone(), self.zero(field.ty));
                    }
                    Default::Zero(value) => {
                        out.insert(name.clone(), value.clone());
                    }
                    Default::None | Default::Key(_) => {}
                }
            }
        }
        Value::Object(out)
    }

    /// See [`TypeSchema::canonicalize`].
    fn canonicalize(&self, ty: TypeId, value: &mut Value) {
        match (self.atom(ty).form(value), value) {
            (Form::Map(map), Value::Object(object)) => {
                if map.element.is_none() {
                    object.retain(|k, _| map.fields.contains_key(k));
                }
                for (key, below) in object.iter_mut() {
                    if let Some(ty) = map.type_of(key) {
                        self.canonicalize(ty, below);
                    }
                }
                object.retain(|key, below| match map.fields.get(key) {
                    Some(field) if matches!(field.default, Default::Zero(_)) => true,
                    Some(field) => !self.is_omitted(field.ty, below),
                    None => true,
                });
                for (name, field) in &map.fields {
                    match &field.default {
                        Default::Struct if !object.contains_key(name) => {
                            object.insert(name.clone(), self.zero(field.ty));
                        }
                        Default::Zero(zero) if object.get(name).is_none_or(Value::is_null) => {
                            object.insert(name.clone(), zero.clone());
                        }
                        _ => {}
                    }
                }
            }
            (Form::List(list), Value::Array(items)) => {
                for item in items {
                    self.canonicalize(list.item, item);
                }
            }
            _ => {}
        }
    }

    /// Whether Go's `omitempty` would leave the value out: null, an empty list, an empty map with free keys.
    fn is_omitted(&self, ty: TypeId, value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Array(items) => items.is_empty() && self.atom(ty).scalar.is_none(),
            Value::Object(map) if map.is_empty() => {
                let atom = self.atom(ty);
                atom.scalar.is_none()
                    && atom
                        .map
                        .as_ref()
                        .is_some_and(|m| m.element.is_some() && m.fields.is_empty())
            }
            _ => false,
        }
    }

    fn unknown(&self, ty: TypeId, value: &Value, path: &str, out: &mut Vec<String>) {
        match (self.atom(ty).form(value), value) {
            (Form::Map(map), Value::Object(object)) => {
                for (key, below) in object {
                    let here = if path.is_empty() {
                        key.clone()
                    } else {
                        format!("{path}.{key}")
                    };
                    match map.type_of(key) {
                        Some(ty) => self.unknown(ty, below, &here, out),
                        None => out.push(here),
                    }
                }
            }
            (Form::List(list), Value::Array(items)) => {
                for (i, item) in items.iter().enumerate() {
                    self.unknown(list.item, item, &format!("{path}[{i}]"), out);
                }
            }
            _ => {}
        }
    }
}

static BUILTIN: LazyLock<Arc<Schema>> = LazyLock::new(|| Arc::new(table::parse(include_str!("builtin.txt"))));

/// The schema of one kind: which lists are sets or maps, which maps are atomic, which fields exist.
#[derive(Debug, Clone)]
pub struct TypeSchema {
    pub(in crate::apiserver) schema: Arc<Schema>,
    pub(in crate::apiserver) root: TypeId,
    pub(super) builtin: bool,
    pub(super) status: bool,
}

impl TypeSchema {
    /// The schema of a built-in kind that this server stores.
    pub fn builtin(api_version: &str, kind: &str) -> Option<Self> {
        let root = *BUILTIN.kinds.get(&(api_version.to_owned(), kind.to_owned()))?;
        let status = BUILTIN
            .atom(root)
            .map
            .as_ref()
            .is_some_and(|m| m.fields.contains_key("status"));
        Some(Self {
            schema: Arc::clone(&BUILTIN),
            root,
            builtin: true,
            status,
        })
    }

    /// The schema of a custom resource from its `openAPIV3Schema`. A `status` property counts as a status subresource.
    pub fn from_openapi(openapi: &Value) -> Self {
        let mut schema = Schema::clone(&BUILTIN);
        let root = super::convert::root(&mut schema, openapi);
        let status = schema
            .atom(root)
            .map
            .as_ref()
            .is_some_and(|m| m.fields.contains_key("status"));
        Self {
            schema: Arc::new(schema),
            root,
            builtin: false,
            status,
        }
    }

    /// Says whether the kind has a status subresource: then neither endpoint tracks the other's fields.
    #[must_use]
    pub fn with_status_subresource(mut self, status: bool) -> Self {
        self.status = status;
        self
    }

    /// No schema at all: every map granular, every list atomic.
    pub fn deduced() -> Self {
        let root = BUILTIN.names.get("*").copied().unwrap_or_default();
        Self {
            schema: Arc::clone(&BUILTIN),
            root,
            builtin: false,
            status: false,
        }
    }

    /// Fields of `object` that the schema does not declare, as strict decoding names them (`spec.ports[0].nope`).
    pub fn unknown_fields(&self, object: &Value) -> Vec<String> {
        let mut out = Vec::new();
        self.schema.unknown(self.root, object, "", &mut out);
        out
    }

    /// Gives an object of a built-in kind the form that decoding into the Go type and encoding it again gives it: unknown fields,
    /// nulls, empty lists and empty maps go; structs and required fields that are always written come.
    /// An object of any other kind stays as it is.
    pub fn canonicalize(&self, object: &mut Value) {
        if self.builtin {
            self.schema.canonicalize(self.root, object);
        }
    }

    /// What an object is compared with when it is created.
    pub(super) fn empty(&self) -> Value {
        if self.builtin {
            self.schema.zero(self.root)
        } else {
            Value::Object(Map::new())
        }
    }
}
