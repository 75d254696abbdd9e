//! Reads `builtin.txt`, the table of facts about the built-in kinds.
//!
//! A line `kind G/V KIND TYPE` names a root; `any TYPE` is untyped; `type TYPE [!] FIELD:REF[=DEFAULT][~PATCH]…` is a map (`!`: atomic).
//! REF is `s`, `n`, `b` (string, number, boolean), `u` (any scalar), `*` (anything, maps granular), `*a` (anything, atomic), `@TYPE`,
//! `[]REF` (atomic list), `[=]REF` (set), `[key,key]REF` (list map), `{}REF` or `{!}REF` (map with free keys, granular or atomic).
//! DEFAULT is empty for a struct that is always written, a zero scalar or `null` for a field that is always written, or a default that
//! completes the keys of list items. PATCH is `m` (merge), `r` (retainKeys), `p` (replace) and the merge key in brackets.

use serde_json::Value;

use super::types::{Atom, Default, Field, ListType, MapType, Patch, Relation, Scalar, Schema, TypeId};

/// Reads the whole table. The table is compiled in and a test reads it, so a line that makes no sense is skipped.
pub(super) fn parse(text: &str) -> Schema {
    let mut schema = Schema::default();
    untyped(&mut schema);
    let lines = || {
        text.lines()
            .map(str::trim)
            .filter(|l| !l.is_empty() && !l.starts_with('#'))
    };
    for line in lines() {
        let mut words = line.split_whitespace();
        if let (Some("type" | "any"), Some(name)) = (words.next(), words.next()) {
            let id = schema.add(Atom::default());
            schema.names.insert(name.to_owned(), id);
        }
    }
    let anything = schema.names.get("*").copied().unwrap_or_default();
    for line in lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("kind") => {
                if let (Some(version), Some(kind), Some(ty)) = (words.next(), words.next(), words.next())
                    && let Some(id) = schema.names.get(ty)
                {
                    schema.kinds.insert((version.to_owned(), kind.to_owned()), *id);
                }
            }
            Some("any") => {
                if let Some(id) = words.next().and_then(|n| schema.names.get(n)).copied() {
                    schema.types[id] = schema.types[anything].clone();
                }
            }
            Some("type") => {
                let Some(id) = words.next().and_then(|n| schema.names.get(n)).copied() else {
                    continue;
                };
                let mut map = MapType::default();
                for word in words {
                    if word == "!" {
                        map.atomic = true;
                    } else if let Some((name, rest)) = word.split_once(':') {
                        let field = field(&mut schema, rest);
                        map.fields.insert(name.to_owned(), field);
                    }
                }
                schema.types[id] = Atom {
                    map: Some(map),
                    ..Atom::default()
                };
            }
            _ => {}
        }
    }
    schema
}

/// The two types without a schema.
fn untyped(schema: &mut Schema) {
    let atomic = schema.types.len();
    let deduced = atomic + 1;
    let any = |element, list_item, is_atomic| Atom {
        scalar: Some(Scalar::Untyped),
        list: Some(ListType {
            item: list_item,
            relation: Relation::Atomic,
        }),
        map: Some(MapType {
            element: Some(element),
            atomic: is_atomic,
            ..MapType::default()
        }),
    };
    schema.add(any(atomic, atomic, true));
    schema.add(any(deduced, atomic, false));
    schema.names.insert("*a".to_owned(), atomic);
    schema.names.insert("*".to_owned(), deduced);
}

fn field(schema: &mut Schema, text: &str) -> Field {
    let (text, patch) = match text.split_once('~') {
        Some((text, patch)) => (text, parse_patch(patch)),
        None => (text, Patch::default()),
    };
    let (ty, rest) = reference(schema, text);
    let default = match rest.strip_prefix('=') {
        None => Default::None,
        Some("") => Default::Struct,
        Some("null") => Default::Zero(Value::Null),
        Some("\"\"") => Default::Zero(Value::String(String::new())),
        Some("false") => Default::Zero(Value::Bool(false)),
        Some("0") => Default::Zero(Value::from(0)),
        Some(word) => Default::Key(Value::String(word.to_owned())),
    };
    Field { ty, default, patch }
}

fn parse_patch(text: &str) -> Patch {
    let (flags, key) = match text.split_once('(') {
        Some((flags, key)) => (flags, Some(key.trim_end_matches(')').to_owned())),
        None => (text, None),
    };
    Patch {
        merge: flags.contains('m'),
        replace: flags.contains('p'),
        retain_keys: flags.contains('r'),
        key,
    }
}

/// One REF; answers what follows it.
fn reference<'a>(schema: &mut Schema, text: &'a str) -> (TypeId, &'a str) {
    let scalar = |scalar| Atom {
        scalar: Some(scalar),
        ..Atom::default()
    };
    if let Some(rest) = text.strip_prefix('[')
        && let Some((keys, rest)) = rest.split_once(']')
    {
        let relation = match keys {
            "" => Relation::Atomic,
            "=" => Relation::Set,
            keys => {
                let mut keys: Vec<String> = keys.split(',').map(str::to_owned).collect();
                keys.sort();
                Relation::Map(keys)
            }
        };
        let (item, rest) = reference(schema, rest);
        return (
            schema.add(Atom {
                list: Some(ListType { item, relation }),
                ..Atom::default()
            }),
            rest,
        );
    }
    if let Some(rest) = text.strip_prefix('{')
        && let Some((flag, rest)) = rest.split_once('}')
    {
        let (element, rest) = reference(schema, rest);
        let map = MapType {
            element: Some(element),
            atomic: flag == "!",
            ..MapType::default()
        };
        return (
            schema.add(Atom {
                map: Some(map),
                ..Atom::default()
            }),
            rest,
        );
    }
    if let Some(rest) = text.strip_prefix('@') {
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '.' || c == '_' || c == '-'))
            .unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        return (schema.names.get(name).copied().unwrap_or_default(), rest);
    }
    if let Some(rest) = text.strip_prefix("*a") {
        return (schema.names.get("*a").copied().unwrap_or_default(), rest);
    }
    let (word, rest) = text.split_at(text.len().min(1));
    let ty = match word {
        "s" => schema.add(scalar(Scalar::String)),
        "n" => schema.add(scalar(Scalar::Numeric)),
        "b" => schema.add(scalar(Scalar::Boolean)),
        "u" => schema.add(scalar(Scalar::Untyped)),
        _ => schema.names.get("*").copied().unwrap_or_default(),
    };
    (ty, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_reads_whole() {
        let text = include_str!("builtin.txt");
        let schema = parse(text);
        assert_eq!(
            schema.kinds.len(),
            text.lines().filter(|l| l.starts_with("kind ")).count()
        );
        for word in text
            .split_whitespace()
            .filter_map(|w| w.split_once('@'))
            .map(|(_, rest)| rest)
        {
            let end = word
                .find(|c: char| !(c.is_alphanumeric() || c == '.'))
                .unwrap_or(word.len());
            assert!(
                schema.names.contains_key(&word[..end]),
                "type {word} is used and not declared"
            );
        }
        let service = &schema.types[schema.names["ServiceSpec"]];
        let ports = &schema.types[service.map.as_ref().unwrap().fields["ports"].ty];
        assert_eq!(
            ports.list.as_ref().unwrap().relation,
            Relation::Map(vec!["port".into(), "protocol".into()])
        );
    }
}
