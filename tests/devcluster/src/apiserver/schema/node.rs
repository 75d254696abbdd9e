//! The compiled form of one schema node, and its reading from an `openAPIV3Schema`.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};

use super::{
    cel::Rule,
    formats::{Format, Pattern},
};

/// A schema nested deeper than this is refused: nothing real is, and every walk below recurses.
pub(super) const MAX_DEPTH: usize = 64;

/// `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Type {
    pub(super) const NAMES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "object" => Self::Object,
            "array" => Self::Array,
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// `additionalProperties`.
#[derive(Debug, Clone, Default)]
pub(super) enum Additional {
    #[default]
    None,
    /// `true`: keys are allowed, their values have no schema.
    Any,
    Schema(Box<Node>),
}

/// `x-kubernetes-list-type`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum ListType {
    #[default]
    Atomic,
    Set,
    Map(Vec<String>),
}

/// Bounds and enumerations.
#[derive(Debug, Clone, Default)]
pub(super) struct Checks {
    pub(super) format: Option<Format>,
    pub(super) minimum: Option<f64>,
    pub(super) exclusive_minimum: bool,
    pub(super) maximum: Option<f64>,
    pub(super) exclusive_maximum: bool,
    pub(super) multiple_of: Option<f64>,
    pub(super) min_length: Option<u64>,
    pub(super) max_length: Option<u64>,
    pub(super) pattern: Option<Pattern>,
    pub(super) min_items: Option<u64>,
    pub(super) max_items: Option<u64>,
    pub(super) min_properties: Option<u64>,
    pub(super) max_properties: Option<u64>,
    pub(super) enumeration: Vec<Value>,
    pub(super) required: Vec<String>,
    pub(super) all_of: Vec<Node>,
    pub(super) any_of: Vec<Node>,
    pub(super) one_of: Vec<Node>,
    pub(super) not: Option<Box<Node>>,
}

/// A schema node; the branches of `allOf`, `anyOf`, `oneOf` and `not` are nodes too.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    pub(super) ty: Option<Type>,
    pub(super) int_or_string: bool,
    pub(super) nullable: bool,
    pub(super) preserve_unknown: bool,
    pub(super) embedded: bool,
    pub(super) default: Option<Value>,
    pub(super) properties: BTreeMap<String, Node>,
    pub(super) additional: Additional,
    pub(super) items: Option<Box<Node>>,
    pub(super) list: ListType,
    pub(super) checks: Checks,
    pub(super) rules: Vec<Arc<Rule>>,
    /// Whether this node or one below has rules: the CEL walk skips the rest.
    pub(super) has_rules: bool,
}

impl Node {
    /// Reads a schema that [`super::structural`] found to be sound; what is unsound all the same is left out.
    pub(super) fn read(openapi: &Value, depth: usize) -> Self {
        let Some(map) = openapi.as_object().filter(|_| depth < MAX_DEPTH) else {
            return Self::default();
        };
        let below = |value: &Value| Self::read(value, depth + 1);
        let properties: BTreeMap<String, Node> = map
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, schema)| (name.clone(), below(schema)))
            .collect();
        let additional = match map.get("additionalProperties") {
            Some(Value::Bool(true)) => Additional::Any,
            Some(schema @ Value::Object(_)) => Additional::Schema(Box::new(below(schema))),
            _ => Additional::None,
        };
        let items = map.get("items").filter(|i| i.is_object()).map(|i| Box::new(below(i)));
        let ty = text(map, "type").and_then(Type::parse);
        let rules: Vec<Arc<Rule>> = map
            .get("x-kubernetes-validations")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|rule| Rule::read(rule).ok())
            .map(Arc::new)
            .collect();
        let has_rules = !rules.is_empty()
            || properties.values().any(|p| p.has_rules)
            || items.as_ref().is_some_and(|i| i.has_rules)
            || matches!(&additional, Additional::Schema(s) if s.has_rules);
        Self {
            ty,
            int_or_string: flag(map, "x-kubernetes-int-or-string"),
            nullable: flag(map, "nullable"),
            preserve_unknown: flag(map, "x-kubernetes-preserve-unknown-fields"),
            embedded: flag(map, "x-kubernetes-embedded-resource"),
            default: map.get("default").filter(|d| !d.is_null()).cloned(),
            list: match text(map, "x-kubernetes-list-type") {
                Some("set") => ListType::Set,
                Some("map") => ListType::Map(texts(map, "x-kubernetes-list-map-keys")),
                _ => ListType::Atomic,
            },
            checks: Checks::read(map, ty, depth),
            properties,
            additional,
            items,
            rules,
            has_rules,
        }
    }

    /// The schema of a key: a property, or what free keys have.
    pub(super) fn below(&self, key: &str) -> Option<&Node> {
        self.properties.get(key).or(match &self.additional {
            Additional::Schema(node) => Some(node),
            _ => None,
        })
    }
}

impl Checks {
    fn read(map: &Map<String, Value>, ty: Option<Type>, depth: usize) -> Self {
        let number = |key: &str| map.get(key).and_then(Value::as_f64);
        let count = |key: &str| map.get(key).and_then(Value::as_u64);
        let nodes = |key: &str| -> Vec<Node> {
            let branches = map.get(key).and_then(Value::as_array);
            branches
                .into_iter()
                .flatten()
                .map(|branch| Node::read(branch, depth + 1))
                .collect()
        };
        Self {
            format: text(map, "format").and_then(|name| Format::supported(name, ty)),
            minimum: number("minimum"),
            exclusive_minimum: flag(map, "exclusiveMinimum"),
            maximum: number("maximum"),
            exclusive_maximum: flag(map, "exclusiveMaximum"),
            multiple_of: number("multipleOf"),
            min_length: count("minLength"),
            max_length: count("maxLength"),
            pattern: text(map, "pattern")
                .filter(|p| !p.is_empty())
                .and_then(|p| Pattern::compile(p).ok()),
            min_items: count("minItems"),
            max_items: count("maxItems"),
            min_properties: count("minProperties"),
            max_properties: count("maxProperties"),
            enumeration: map.get("enum").and_then(Value::as_array).cloned().unwrap_or_default(),
            required: texts(map, "required"),
            all_of: nodes("allOf"),
            any_of: nodes("anyOf"),
            one_of: nodes("oneOf"),
            not: map.get("not").map(|n| Box::new(Node::read(n, depth + 1))),
        }
    }
}

pub(super) fn text<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    map.get(key).and_then(Value::as_str)
}

pub(super) fn texts(map: &Map<String, Value>, key: &str) -> Vec<String> {
    let list = map.get(key).and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

pub(super) fn flag(map: &Map<String, Value>, key: &str) -> bool {
    map.get(key).and_then(Value::as_bool).unwrap_or(false)
}
