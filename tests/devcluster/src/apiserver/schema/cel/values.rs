//! Values as rules see them.

use std::{cell::OnceCell, collections::HashMap, sync::Arc};

use base64::Engine as _;
use kube_cel::cel::{
    Program, Value as Cel,
    objects::{Key, Map as CelMap},
};
use serde_json::Value;

use super::{
    super::{
        formats::Kind,
        node::{Additional, Node, Type},
    },
    FUNCTIONS,
};

thread_local! {
    /// The programs that read timestamps and durations.
    static TIMES: OnceCell<Option<(Program, Program)>> = const { OnceCell::new() };
}

/// The biggest list, map or text: what a loop could run over.
pub(super) fn widest(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(widest).max().unwrap_or(0).max(items.len()),
        Value::Object(map) => map.values().map(widest).max().unwrap_or(0).max(map.len()),
        _ => 1,
    }
}

/// A value as its rules see it: only what the schema declares, of the resource's own fields only the type and the name.
pub(super) fn to_cel(node: &Node, value: &Value, is_root: bool) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(bool) => Cel::Bool(*bool),
        Value::Number(number) => match (node.ty, number.as_i64(), number.as_f64()) {
            (Some(Type::Number), _, Some(float)) => Cel::Float(float),
            (_, Some(int), _) => Cel::Int(int),
            (Some(Type::Integer), None, Some(float)) => Cel::Int(float as i64),
            (_, None, float) => Cel::Float(float.unwrap_or(f64::NAN)),
        },
        Value::String(text) => text_to_cel(node, text),
        Value::Array(items) => {
            let below = Node::default();
            let below = node.items.as_deref().unwrap_or(&below);
            Cel::List(Arc::new(items.iter().map(|item| to_cel(below, item, false)).collect()))
        }
        Value::Object(map) => {
            let mut out: HashMap<Key, Cel> = HashMap::with_capacity(map.len());
            let mut put = |key: String, value: Cel| out.insert(Key::String(Arc::new(key)), value);
            for (key, value) in map {
                if let Some(below) = node.properties.get(key) {
                    if let Some(name) = escape(key) {
                        put(name, to_cel(below, value, false));
                    }
                } else if let Additional::Schema(below) = &node.additional {
                    put(key.clone(), to_cel(below, value, false));
                }
            }
            if is_root || node.embedded {
                let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
                for key in ["apiVersion", "kind"] {
                    put(key.to_owned(), text_or_empty(text(&format!("/{key}"))));
                }
                let names = ["name", "generateName"]
                    .into_iter()
                    .filter_map(|key| Some((key, text(&format!("/metadata/{key}"))?)))
                    .map(|(key, name)| (Key::String(Arc::new(key.to_owned())), text_or_empty(Some(name))))
                    .collect();
                put("metadata".to_owned(), Cel::Map(CelMap { map: Arc::new(names) }));
            }
            Cel::Map(CelMap { map: Arc::new(out) })
        }
    }
}

fn text_or_empty(text: Option<&str>) -> Cel {
    Cel::String(Arc::new(text.unwrap_or_default().to_owned()))
}

fn text_to_cel(node: &Node, text: &str) -> Cel {
    let plain = || text_or_empty(Some(text));
    match node.checks.format.as_ref().map(|f| f.kind) {
        Some(Kind::Byte) => base64::engine::general_purpose::STANDARD
            .decode(text)
            .map_or_else(|_| plain(), |bytes| Cel::Bytes(Arc::new(bytes))),
        Some(Kind::DateTime) => convert_time(true, text).unwrap_or_else(plain),
        Some(Kind::Date) => convert_time(true, &format!("{text}T00:00:00Z")).unwrap_or_else(plain),
        Some(Kind::Duration) => convert_time(false, text).unwrap_or_else(plain),
        _ => plain(),
    }
}

/// Lets the language itself read a timestamp or a duration.
fn convert_time(is_timestamp: bool, text: &str) -> Option<Cel> {
    TIMES.with(|times| {
        let programs = times.get_or_init(|| {
            Some((
                Program::compile("timestamp(text)").ok()?,
                Program::compile("duration(text)").ok()?,
            ))
        });
        let (timestamp, duration) = programs.as_ref()?;
        FUNCTIONS.with(|functions| {
            let mut context = functions.new_inner_scope();
            context.add_variable_from_value("text", text_or_empty(Some(text)));
            let program = if is_timestamp { timestamp } else { duration };
            program.execute(&context).ok()
        })
    })
}

/// The identifier that a property has in a rule; none if it cannot be named.
fn escape(name: &str) -> Option<String> {
    const RESERVED: [&str; 21] = [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ];
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    if !name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
    {
        return None;
    }
    // Left to right: a pair of underscores is one sign.
    let marked = name.replace("__", "\0");
    Some(
        marked
            .replace('.', "__dot__")
            .replace('-', "__dash__")
            .replace('/', "__slash__")
            .replace('\0', "__underscores__"),
    )
}
