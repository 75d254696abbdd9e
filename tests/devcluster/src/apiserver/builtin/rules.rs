//! Reads `rules.txt` and checks an object by it, along the types of server-side apply's table.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use serde_json::{Map, Value, json};

use super::{crossfield, labels, names, quantity::Quantity};
use crate::apiserver::{
    schema::{
        FieldError,
        errors::{child, index},
    },
    smd::{
        TypeSchema,
        types::{Form, Schema, TypeId},
    },
};

/// What a field must be.
#[derive(Debug, Clone)]
enum Check {
    Required,
    Text(fn(&str) -> Vec<String>),
    Labels,
    Port,
    PortOrName,
    Absolute,
    Natural,
    Positive,
    Percent,
    Quantity,
    Quantities,
    Enum(Vec<String>),
}

/// A rule across the fields of a type: the map, its path, where errors go.
pub(super) type Code = fn(&Map<String, Value>, &str, &mut Vec<FieldError>);

#[derive(Debug)]
enum Rule {
    Field(String, Vec<Check>),
    Code(Code),
}

struct Table {
    schema: Arc<Schema>,
    rules: HashMap<TypeId, Vec<Rule>>,
}

static TABLE: LazyLock<Option<Table>> = LazyLock::new(|| {
    let schema = TypeSchema::builtin("v1", "Pod")?.schema;
    let mut rules: HashMap<TypeId, Vec<Rule>> = HashMap::new();
    for line in lines() {
        let mut words = line.split_whitespace();
        if let Some(ty) = words.next().and_then(|name| schema.names.get(name)) {
            rules.entry(*ty).or_default().extend(words.filter_map(parse));
        }
    }
    Some(Table { schema, rules })
});

fn lines() -> impl Iterator<Item = &'static str> {
    include_str!("rules.txt").lines().filter(|line| !line.starts_with('#'))
}

/// The table is compiled in and a test reads it, so a word that makes no sense is skipped.
fn parse(word: &str) -> Option<Rule> {
    if let Some(name) = word.strip_prefix('!') {
        return crossfield::code(name).map(Rule::Code);
    }
    let (field, checks) = word.split_once(':')?;
    let checks: Option<Vec<Check>> = checks.split(',').map(parse_check).collect();
    Some(Rule::Field(field.to_owned(), checks?))
}

fn parse_check(word: &str) -> Option<Check> {
    if let Some(values) = word.strip_prefix("enum(").and_then(|rest| rest.strip_suffix(')')) {
        return Some(Check::Enum(values.split('|').map(str::to_owned).collect()));
    }
    Some(match word {
        "required" => Check::Required,
        "label" => Check::Text(names::label),
        "subdomain" => Check::Text(names::subdomain),
        "segment" => Check::Text(names::path_segment),
        "key" => Check::Text(names::label_key),
        "env" => Check::Text(names::env_name),
        "config-key" => Check::Text(names::config_key),
        "port-name" => Check::Text(names::port_name),
        "labels" => Check::Labels,
        "port" => Check::Port,
        "port-or-name" => Check::PortOrName,
        "absolute" => Check::Absolute,
        "natural" => Check::Natural,
        "positive" => Check::Positive,
        "percent" => Check::Percent,
        "quantity" => Check::Quantity,
        "quantities" => Check::Quantities,
        _ => return None,
    })
}

/// Checks all of an object but its metadata.
pub(super) fn check(types: &TypeSchema, object: &Value, out: &mut Vec<FieldError>) {
    if let Some(table) = &*TABLE {
        table.walk(types.root, object, "", out);
    }
}

impl Table {
    fn walk(&self, ty: TypeId, value: &Value, path: &str, out: &mut Vec<FieldError>) {
        match (self.schema.atom(ty).form(value), value) {
            (Form::Map(map), Value::Object(object)) => {
                for rule in self.rules.get(&ty).into_iter().flatten() {
                    match rule {
                        Rule::Field(field, checks) => check_field(object, field, checks, path, out),
                        Rule::Code(code) => code(object, path, out),
                    }
                }
                for (key, below) in object {
                    // Metadata and status have their own checks.
                    if path.is_empty() && matches!(key.as_str(), "metadata" | "status") {
                        continue;
                    }
                    if let Some(ty) = map.type_of(key) {
                        self.walk(ty, below, &child(path, key), out);
                    }
                }
            }
            (Form::List(list), Value::Array(items)) => {
                for (i, item) in items.iter().enumerate() {
                    self.walk(list.item, item, &index(path, i), out);
                }
            }
            _ => {}
        }
    }
}

fn check_field(object: &Map<String, Value>, field: &str, checks: &[Check], path: &str, out: &mut Vec<FieldError>) {
    let here = child(path, field);
    let required = checks.iter().any(|check| matches!(check, Check::Required));
    let value = object.get(field).unwrap_or(&Value::Null);
    let is_absent = match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Number(number) => required && number.as_i64() == Some(0),
        _ => false,
    };
    if is_absent {
        if required {
            out.push(FieldError::required(&here, ""));
        }
        return;
    }
    for check in checks {
        check_value(check, value, &here, out);
    }
}

fn check_value(check: &Check, value: &Value, here: &str, out: &mut Vec<FieldError>) {
    let mut refuse = |messages: Vec<String>| {
        for message in messages {
            out.push(FieldError::invalid(here, value, &message));
        }
    };
    let number = value.as_i64();
    match check {
        Check::Required => {}
        Check::Text(check) => refuse(value.as_str().map(check).unwrap_or_default()),
        Check::Labels => labels::check_labels(Some(value), here, out),
        Check::Port => refuse(number.filter(|n| *n != 0).map(names::port_number).unwrap_or_default()),
        Check::PortOrName => refuse(match (number, value.as_str()) {
            (Some(number), _) => names::port_number(number),
            (_, Some(name)) => names::port_name(name),
            _ => Vec::new(),
        }),
        Check::Absolute => {
            if value.as_str().is_some_and(|path| !path.starts_with('/')) {
                refuse(vec!["must be an absolute path".to_owned()]);
            }
        }
        Check::Natural => {
            if number.is_some_and(|n| n < 0) {
                refuse(vec!["must be greater than or equal to 0".to_owned()]);
            }
        }
        Check::Positive => {
            if number.is_some_and(|n| n <= 0) {
                refuse(vec!["must be greater than 0".to_owned()]);
            }
        }
        Check::Percent => refuse(percent(value)),
        Check::Quantity => refuse(quantity(value)),
        Check::Quantities => {
            for (name, value) in value.as_object().into_iter().flatten() {
                for message in quantity(value) {
                    out.push(FieldError::invalid(&index(here, name), value, &message));
                }
            }
        }
        Check::Enum(allowed) => {
            let text = value.as_str().unwrap_or_default();
            if !allowed.iter().any(|a| a == text) {
                out.push(FieldError::not_supported(here, &json!(text), allowed));
            }
        }
    }
}

fn percent(value: &Value) -> Vec<String> {
    match value {
        Value::Number(number) if number.as_i64().is_some_and(|n| n < 0) => {
            vec!["must be greater than or equal to 0".to_owned()]
        }
        Value::String(text) => match text.strip_suffix('%').map(str::parse::<u32>) {
            Some(Ok(percent)) if percent > 100 => vec!["must not be greater than 100%".to_owned()],
            Some(Ok(_)) => Vec::new(),
            _ => vec![
                "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')".to_owned(),
            ],
        },
        _ => Vec::new(),
    }
}

/// What is wrong with a quantity, as far as validation and not decoding says so.
pub(super) fn quantity(value: &Value) -> Vec<String> {
    let quantity = value.as_str().map(Quantity::parse);
    match quantity {
        Some(Some(quantity)) if quantity.is_negative() => vec!["must be greater than or equal to 0".to_owned()],
        Some(Some(_)) => Vec::new(),
        _ => vec![
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'".to_owned(),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_reads_whole() {
        let table = TABLE.as_ref().unwrap();
        for line in lines() {
            let mut words = line.split_whitespace();
            let ty = words.next().unwrap();
            let id = table
                .schema
                .names
                .get(ty)
                .unwrap_or_else(|| panic!("type {ty} is unknown"));
            for word in words {
                let rule = parse(word).unwrap_or_else(|| panic!("{ty}: {word} makes no sense"));
                if let Rule::Field(field, _) = rule {
                    let map = table.schema.atom(*id).map.as_ref().unwrap();
                    assert!(map.fields.contains_key(&field), "{ty} has no field {field}");
                }
            }
        }
    }
}
