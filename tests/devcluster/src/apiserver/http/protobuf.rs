//! Bodies in protobuf, for the few kinds that kubectl sends in no other form (`create`, `auth can-i`, `create token`, `drain`).
//!
//! The table `protobuf.txt` says which kinds, and under which number each of their fields goes. Answers are JSON, which such clients take.

use std::{collections::BTreeMap, sync::LazyLock};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

/// What every body begins with.
const MAGIC: &[u8] = b"k8s\0";
/// Messages lie within messages only this deep.
const MAX_DEPTH: usize = 16;

/// Why a body cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProtobufError {
    /// Not what its length, or its types, say.
    #[error("malformed protobuf: {0}")]
    Malformed(&'static str),
    /// A kind that is read in JSON and YAML only.
    #[error("no kind {kind} of {api_version} is read from protobuf")]
    Unknown { api_version: String, kind: String },
}

type Result<T> = std::result::Result<T, ProtobufError>;

/// How a field is written.
#[derive(Debug, Clone)]
enum Form {
    Text,
    Bytes,
    Bool,
    Integer,
    Message(&'static str),
    Repeated(Box<Form>),
    Map(Box<Form>),
}

#[derive(Debug, Default)]
struct Table {
    /// The type of an API version and kind.
    kinds: BTreeMap<(&'static str, &'static str), &'static str>,
    /// Name and form of each number of a type.
    types: BTreeMap<&'static str, BTreeMap<u64, (&'static str, Form)>>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table::default();
    for line in include_str!("protobuf.txt").lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["kind", api_version, kind, ty] => drop(table.kinds.insert((api_version, kind), ty)),
            ["type", name, fields @ ..] => {
                let field = |text: &&'static str| {
                    let mut parts = text.splitn(3, ':');
                    let number = parts.next()?.parse().ok()?;
                    Some((number, (parts.next()?, form(parts.next()?)?)))
                };
                table.types.insert(name, fields.iter().filter_map(field).collect());
            }
            _ => {}
        }
    }
    table
});

fn form(text: &'static str) -> Option<Form> {
    if let Some(item) = text.strip_prefix("[]") {
        return form(item).map(|item| Form::Repeated(Box::new(item)));
    }
    if let Some(item) = text.strip_prefix("{}") {
        return form(item).map(|item| Form::Map(Box::new(item)));
    }
    Some(match text {
        "s" => Form::Text,
        "y" => Form::Bytes,
        "b" => Form::Bool,
        "i" => Form::Integer,
        message => Form::Message(message.strip_prefix('@')?),
    })
}

/// Reads an object: its envelope names version and kind, and holds the message.
pub(super) fn object(bytes: &[u8]) -> Result<Value> {
    let envelope = bytes
        .strip_prefix(MAGIC)
        .ok_or(ProtobufError::Malformed("it does not begin with k8s"))?;
    let (mut names, mut raw): (&[u8], &[u8]) = (&[], &[]);
    for field in Fields(envelope) {
        match field? {
            (1, Wire::Bytes(bytes)) => names = bytes,
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let (mut api_version, mut kind) = (String::new(), String::new());
    for field in Fields(names) {
        match field? {
            (1, Wire::Bytes(bytes)) => api_version = text(bytes)?,
            (2, Wire::Bytes(bytes)) => kind = text(bytes)?,
            _ => {}
        }
    }
    let Some(ty) = TABLE.kinds.get(&(api_version.as_str(), kind.as_str())) else {
        return Err(ProtobufError::Unknown { api_version, kind });
    };
    let mut out = message(ty, raw, 0)?;
    out.insert("apiVersion".into(), json!(api_version));
    out.insert("kind".into(), json!(kind));
    Ok(Value::Object(out))
}

fn message(ty: &str, bytes: &[u8], depth: usize) -> Result<Map<String, Value>> {
    if depth > MAX_DEPTH {
        return Err(ProtobufError::Malformed("messages lie too deep"));
    }
    let mut out = Map::new();
    let Some(known) = TABLE.types.get(ty) else {
        return Ok(out);
    };
    for field in Fields(bytes) {
        let (number, wire) = field?;
        let Some((name, form)) = known.get(&number) else {
            continue;
        };
        match form {
            Form::Repeated(item) => {
                let item = value(item, &wire, depth)?;
                match out.entry(*name).or_insert_with(|| json!([])) {
                    Value::Array(items) => items.push(item),
                    other => *other = json!([item]),
                }
            }
            Form::Map(item) => {
                let (key, item) = entry(item, &wire, depth)?;
                out.entry(*name).or_insert_with(|| json!({}))[key] = item;
            }
            form => {
                let value = value(form, &wire, depth)?;
                // Absent and empty are one, except for what may be given as zero.
                if value != "" {
                    out.insert((*name).to_owned(), value);
                }
            }
        }
    }
    Ok(out)
}

fn value(form: &Form, wire: &Wire<'_>, depth: usize) -> Result<Value> {
    Ok(match (form, wire) {
        (Form::Text, Wire::Bytes(bytes)) => json!(text(bytes)?),
        (Form::Bytes, Wire::Bytes(bytes)) => json!(BASE64_STANDARD.encode(bytes)),
        (Form::Bool, Wire::Number(number)) => json!(*number != 0),
        // Negative numbers go as their two's complement.
        (Form::Integer, Wire::Number(number)) => json!(number.cast_signed()),
        (Form::Message(ty), Wire::Bytes(bytes)) => Value::Object(message(ty, bytes, depth + 1)?),
        _ => return Err(ProtobufError::Malformed("a field is of another type than its own")),
    })
}

/// An entry of a map: a message of key and value.
fn entry(form: &Form, wire: &Wire<'_>, depth: usize) -> Result<(String, Value)> {
    let Wire::Bytes(bytes) = wire else {
        return Err(ProtobufError::Malformed("an entry of a map is no message"));
    };
    let (mut key, mut item) = (String::new(), json!(""));
    for field in Fields(bytes) {
        match field? {
            (1, Wire::Bytes(bytes)) => key = text(bytes)?,
            (2, wire) => item = value(form, &wire, depth)?,
            _ => {}
        }
    }
    Ok((key, item))
}

fn text(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| ProtobufError::Malformed("a text is not UTF-8"))
}

/// What goes with a number.
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a fixed width: no field of ours.
    Fixed,
}

/// The fields of a message, in their order.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Result<u64> {
        let mut out = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self
                .0
                .split_first()
                .ok_or(ProtobufError::Malformed("it ends too soon"))?;
            self.0 = rest;
            out |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(out);
            }
        }
        Err(ProtobufError::Malformed("a number is too long"))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8]> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let taken = self.0.split_at_checked(length);
        let (taken, rest) = taken.ok_or(ProtobufError::Malformed("it ends too soon"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<(u64, Wire<'a>)> {
        let tag = self.varint()?;
        let wire = match tag & 7 {
            0 => Wire::Number(self.varint()?),
            1 => self.take(8).map(|_| Wire::Fixed)?,
            2 => {
                let length = self.varint()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Wire::Fixed)?,
            _ => return Err(ProtobufError::Malformed("a field is of no known type")),
        };
        Ok((tag >> 3, wire))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Wire<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A field of bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
        out.extend_from_slice(bytes);
        out
    }

    fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let names = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), field(1, &names), field(2, raw)].concat()
    }

    #[test]
    fn every_kind_of_the_table_has_its_types() {
        assert_eq!(TABLE.kinds.len(), 13);
        let lines = include_str!("protobuf.txt").lines();
        let fields = lines
            .filter(|l| l.starts_with("type "))
            .map(|l| l.split_whitespace().count() - 2);
        assert_eq!(
            fields.sum::<usize>(),
            TABLE.types.values().map(BTreeMap::len).sum::<usize>()
        );
        for form in TABLE.types.values().flat_map(BTreeMap::values).map(|(_, form)| form) {
            let mut form = form;
            while let Form::Repeated(item) | Form::Map(item) = form {
                form = item;
            }
            assert!(
                !matches!(form, Form::Message(ty) if !TABLE.types.contains_key(ty)),
                "{form:?}"
            );
        }
    }

    #[test]
    fn an_object_is_read_as_its_json_would_be() {
        let meta = field(
            1,
            &[field(1, b"s"), field(11, &[field(1, b"k"), field(2, b"v")].concat())].concat(),
        );
        let data = field(2, &[field(1, b"key"), field(2, &[0, 255])].concat());
        let raw = [
            meta,
            data,
            field(3, b"Opaque"),
            vec![5 << 3, 1],
            field(9, b"passed over"),
        ]
        .concat();
        assert_eq!(
            object(&body("v1", "Secret", &raw)).unwrap(),
            json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "labels": {"k": "v"}},
                "data": {"key": "AP8="}, "type": "Opaque", "immutable": true,
            })
        );
        let options = [vec![1 << 3, 0], field(5, b"All")].concat();
        let eviction = object(&body("policy/v1", "Eviction", &field(2, &options))).unwrap();
        assert_eq!(
            eviction["deleteOptions"],
            json!({"gracePeriodSeconds": 0, "dryRun": ["All"]})
        );
    }

    #[test]
    fn what_is_cut_off_or_unknown_is_refused() {
        let whole = body("v1", "ConfigMap", &field(1, &field(1, b"name")));
        assert!(object(&whole).is_ok());
        for end in 0..whole.len() {
            let cut = object(&whole[..end]);
            assert!(cut.is_err() || end == MAGIC.len() + 17, "{end}: {cut:?}");
        }
        assert!(matches!(
            object(&body("v1", "Pod", &[])),
            Err(ProtobufError::Unknown { .. })
        ));
        assert!(object(&body("v1", "ConfigMap", &[1 << 3 | 3])).is_err());
        assert!(object(&body("v1", "ConfigMap", &[1 << 3, 1])).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = object(&body("v1", "Secret", &raw[..raw.len().min(120)]));
            let _ = object(&raw);
        }
    }
}
