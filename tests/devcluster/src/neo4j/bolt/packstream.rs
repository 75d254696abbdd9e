//! PackStream, the encoding of Bolt values (version 1, big endian).
//!
//! Decoding takes bytes from a network: nothing is allocated by a declared length before the bytes are there, and depth is bounded.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::neo4j::value::{Value, ValueMap};

/// Deeper nesting than this is refused.
const MAX_DEPTH: usize = 32;

/// Why bytes are no PackStream value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a value.
    #[error("the message ends inside a value")]
    Truncated,
    /// A marker byte without meaning.
    #[error("unknown marker {0:#04x}")]
    Marker(u8),
    /// Text that is not UTF-8.
    #[error("a string is not UTF-8")]
    Utf8,
    /// A key that is not a string.
    #[error("a map key is not a string")]
    Key,
    /// Nested too deeply.
    #[error("nested deeper than {MAX_DEPTH}")]
    Depth,
    /// More bytes than the value needs.
    #[error("bytes after the message")]
    Trailing,
}

/// Decodes one value that fills `bytes`.
pub fn decode(bytes: &[u8]) -> Result<Value, DecodeError> {
    let mut bytes = Bytes::copy_from_slice(bytes);
    let value = read(&mut bytes, 0)?;
    if bytes.has_remaining() {
        return Err(DecodeError::Trailing);
    }
    Ok(value)
}

fn read(bytes: &mut Bytes, depth: usize) -> Result<Value, DecodeError> {
    if depth > MAX_DEPTH {
        return Err(DecodeError::Depth);
    }
    let marker = bytes.try_get_u8().map_err(|_| DecodeError::Truncated)?;
    match marker {
        0xC0 => Ok(Value::Null),
        0xC1 => bytes
            .try_get_f64()
            .map(Value::Float)
            .map_err(|_| DecodeError::Truncated),
        0xC2 => Ok(Value::Bool(false)),
        0xC3 => Ok(Value::Bool(true)),
        0xC8 => integer(bytes, 1),
        0xC9 => integer(bytes, 2),
        0xCA => integer(bytes, 4),
        0xCB => integer(bytes, 8),
        0xCC..=0xCE => {
            let length = length(bytes, marker - 0xCC)?;
            take(bytes, length).map(|raw| Value::Bytes(raw.to_vec()))
        }
        0x80..=0x8F => string(bytes, usize::from(marker & 0x0F)).map(Value::String),
        0xD0..=0xD2 => {
            let length = length(bytes, marker - 0xD0)?;
            string(bytes, length).map(Value::String)
        }
        0x90..=0x9F => list(bytes, usize::from(marker & 0x0F), depth),
        0xD4..=0xD6 => {
            let length = length(bytes, marker - 0xD4)?;
            list(bytes, length, depth)
        }
        0xA0..=0xAF => map(bytes, usize::from(marker & 0x0F), depth),
        0xD8..=0xDA => {
            let length = length(bytes, marker - 0xD8)?;
            map(bytes, length, depth)
        }
        0xB0..=0xBF => {
            let tag = bytes.try_get_u8().map_err(|_| DecodeError::Truncated)?;
            let fields = items(bytes, usize::from(marker & 0x0F), depth)?;
            Ok(Value::Struct(tag, fields))
        }
        0x00..=0x7F => Ok(Value::Int(i64::from(marker))),
        0xF0..=0xFF => Ok(Value::Int(i64::from(marker.cast_signed()))),
        _ => Err(DecodeError::Marker(marker)),
    }
}

fn integer(bytes: &mut Bytes, size: usize) -> Result<Value, DecodeError> {
    bytes
        .try_get_int(size)
        .map(Value::Int)
        .map_err(|_| DecodeError::Truncated)
}

/// A length of 1, 2 or 4 bytes.
fn length(bytes: &mut Bytes, size: u8) -> Result<usize, DecodeError> {
    bytes
        .try_get_uint(1 << size)
        .map(|n| n as usize)
        .map_err(|_| DecodeError::Truncated)
}

fn take(bytes: &mut Bytes, length: usize) -> Result<Bytes, DecodeError> {
    if bytes.remaining() < length {
        return Err(DecodeError::Truncated);
    }
    Ok(bytes.split_to(length))
}

fn string(bytes: &mut Bytes, length: usize) -> Result<String, DecodeError> {
    let raw = take(bytes, length)?;
    String::from_utf8(raw.to_vec()).map_err(|_| DecodeError::Utf8)
}

fn items(bytes: &mut Bytes, count: usize, depth: usize) -> Result<Vec<Value>, DecodeError> {
    // Each item takes a byte at least, so a count beyond the rest is a lie.
    if count > bytes.remaining() {
        return Err(DecodeError::Truncated);
    }
    (0..count).map(|_| read(bytes, depth + 1)).collect()
}

fn list(bytes: &mut Bytes, count: usize, depth: usize) -> Result<Value, DecodeError> {
    items(bytes, count, depth).map(Value::List)
}

fn map(bytes: &mut Bytes, count: usize, depth: usize) -> Result<Value, DecodeError> {
    if count > bytes.remaining() {
        return Err(DecodeError::Truncated);
    }
    let mut entries = ValueMap::new();
    for _ in 0..count {
        let Value::String(key) = read(bytes, depth + 1)? else {
            return Err(DecodeError::Key);
        };
        let value = read(bytes, depth + 1)?;
        entries.insert(key, value);
    }
    Ok(Value::Map(entries))
}

/// Appends the encoding of `value`.
pub fn encode(value: &Value, out: &mut BytesMut) {
    match value {
        Value::Null => out.put_u8(0xC0),
        Value::Bool(truth) => out.put_u8(if *truth { 0xC3 } else { 0xC2 }),
        Value::Int(n) => encode_int(*n, out),
        Value::Float(x) => {
            out.put_u8(0xC1);
            out.put_f64(*x);
        }
        Value::String(text) => {
            header(out, text.len(), Some(0x80), 0xD0);
            out.put_slice(text.as_bytes());
        }
        Value::Bytes(raw) => {
            header(out, raw.len(), None, 0xCC);
            out.put_slice(raw);
        }
        Value::List(items) => {
            header(out, items.len(), Some(0x90), 0xD4);
            for item in items {
                encode(item, out);
            }
        }
        Value::Map(entries) => {
            header(out, entries.len(), Some(0xA0), 0xD8);
            for (key, value) in entries {
                header(out, key.len(), Some(0x80), 0xD0);
                out.put_slice(key.as_bytes());
                encode(value, out);
            }
        }
        Value::Struct(tag, fields) => {
            out.put_u8(0xB0 | (fields.len() as u8 & 0x0F));
            out.put_u8(*tag);
            for field in fields {
                encode(field, out);
            }
        }
    }
}

fn encode_int(n: i64, out: &mut BytesMut) {
    if (-16..128).contains(&n) {
        out.put_i8(n as i8);
    } else if let Ok(n) = i8::try_from(n) {
        out.put_u8(0xC8);
        out.put_i8(n);
    } else if let Ok(n) = i16::try_from(n) {
        out.put_u8(0xC9);
        out.put_i16(n);
    } else if let Ok(n) = i32::try_from(n) {
        out.put_u8(0xCA);
        out.put_i32(n);
    } else {
        out.put_u8(0xCB);
        out.put_i64(n);
    }
}

/// Marker and length: in the marker's low half where it fits, else in 1, 2 or 4 bytes.
fn header(out: &mut BytesMut, length: usize, tiny: Option<u8>, sized: u8) {
    match (length, tiny) {
        (0..16, Some(tiny)) => out.put_u8(tiny | length as u8),
        (0..0x100, _) => {
            out.put_u8(sized);
            out.put_u8(length as u8);
        }
        (0x100..0x1_0000, _) => {
            out.put_u8(sized + 1);
            out.put_u16(length as u16);
        }
        _ => {
            out.put_u8(sized + 2);
            out.put_u32(length as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            (-1e9..1e9_f64).prop_map(Value::Float),
            ".{0,300}".prop_map(Value::String),
            prop::collection::vec(any::<u8>(), 0..300).prop_map(Value::Bytes),
        ];
        leaf.prop_recursive(4, 64, 20, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..20).prop_map(Value::List),
                prop::collection::btree_map(".{0,20}", inner.clone(), 0..20).prop_map(Value::Map),
                (any::<u8>(), prop::collection::vec(inner, 0..15)).prop_map(|(tag, fields)| Value::Struct(tag, fields)),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn what_is_encoded_decodes_to_itself(value in values()) {
            let mut bytes = BytesMut::new();
            encode(&value, &mut bytes);
            prop_assert_eq!(decode(&bytes), Ok(value));
        }

        #[test]
        fn bad_bytes_are_an_error_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn a_declared_length_beyond_the_message_is_refused_before_anything_is_allocated() {
        for marker in [0xCE, 0xD2, 0xD6, 0xDA] {
            assert_eq!(
                decode(&[marker, 0xFF, 0xFF, 0xFF, 0xFF, 0x00]),
                Err(DecodeError::Truncated)
            );
        }
        assert_eq!(decode(&[0x91; 64]), Err(DecodeError::Depth));
    }
}
