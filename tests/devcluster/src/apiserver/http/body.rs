//! Bodies: read with a bound; JSON with its duplicate keys noticed, YAML, a little protobuf, patches by their media type.

use std::{cell::RefCell, fmt, pin::pin};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::super::{
    kinds::Resource,
    registry::{Decoded, Input, patch::Patch},
    status::Failure,
};
use super::protobuf::{self, ProtobufError};

/// A request body may have this many bytes.
pub(super) const MAX: usize = 3 << 20;
/// Of a body that is too large this many bytes are read to the end and thrown away.
///
/// A connection that is answered and closed with bytes unread is reset, and the client sees a broken pipe in place of the answer.
const DRAINED: usize = 16 << 20;

/// Why there are no bytes of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It has more than [`MAX`] bytes.
    TooLarge,
    /// The connection broke within it.
    Broken,
}

/// Reads a body of up to [`MAX`] bytes, and a larger one to its end.
pub(super) async fn read<B: http_body::Body<Data = Bytes>>(body: B) -> Result<Bytes, Unread> {
    let mut body = pin!(body);
    let mut kept = BytesMut::new();
    let mut length = 0;
    while length <= DRAINED
        && let Some(frame) = body.frame().await
    {
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else {
            continue;
        };
        length += data.len();
        if length <= MAX {
            kept.extend_from_slice(&data);
        } else {
            kept = BytesMut::new();
        }
    }
    if length > MAX {
        Err(Unread::TooLarge)
    } else {
        Ok(kept.freeze())
    }
}

/// What the body of an object may be.
const OBJECT_TYPES: &str = "application/json, application/yaml";
/// What the body of a patch of a custom resource may be.
const PATCH_TYPES: &str = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
/// How much of an unreadable body the message shows.
const SHOWN: usize = 30;

/// Reads the body of a POST, PUT or DELETE.
pub(super) fn object(media: &str, bytes: &[u8], kind: &str) -> Result<Decoded, Failure> {
    let decoded = match media {
        "" | "application/json" => json(bytes),
        "application/yaml" => yaml(bytes),
        "application/vnd.kubernetes.protobuf" => match protobuf::object(bytes) {
            Ok(value) => Ok(Decoded {
                value,
                duplicates: Vec::new(),
            }),
            Err(ProtobufError::Unknown { .. }) => return Err(Failure::unsupported_media_type(OBJECT_TYPES)),
            Err(error) => return Err(Failure::bad_request(error.to_string())),
        },
        _ => return Err(Failure::unsupported_media_type(OBJECT_TYPES)),
    };
    decoded.map_err(|error| {
        Failure::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse error: {error} ({})",
            excerpt(bytes)
        ))
    })
}

/// Reads the body of a PATCH.
pub(super) fn patch(resource: &Resource, media: &str, bytes: &[u8]) -> Result<Input, Failure> {
    let unreadable = |error: String| Failure::bad_request(format!("error decoding patch: {error}"));
    match media {
        "application/json-patch+json" => {
            let value = json(bytes).map_err(unreadable)?.value;
            Ok(Input::Patch(Patch::json(value)?))
        }
        "application/merge-patch+json" => Ok(Input::Patch(Patch::Merge(json(bytes).map_err(unreadable)?))),
        "application/strategic-merge-patch+json" if resource.custom.is_none() => {
            Ok(Input::Patch(Patch::Strategic(json(bytes).map_err(unreadable)?)))
        }
        "application/apply-patch+yaml" | "application/apply-patch+json" => {
            let decoded = yaml(bytes).map_err(|error| Failure::bad_request(format!("error decoding YAML: {error}")))?;
            Ok(Input::Apply(decoded))
        }
        _ if resource.custom.is_some() => Err(Failure::unsupported_media_type(PATCH_TYPES)),
        _ => Err(Failure::unsupported_route()),
    }
}

fn excerpt(bytes: &[u8]) -> String {
    match bytes {
        [] => "<empty>".into(),
        [b'{', ..] => {
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]).into_owned();
            if bytes.len() > SHOWN {
                format!("{text} ...")
            } else {
                text
            }
        }
        other => {
            let hex: String = other.iter().take(SHOWN).map(|b| format!("{b:02x}")).collect();
            if other.len() > SHOWN { format!("{hex} ...") } else { hex }
        }
    }
}

fn yaml(bytes: &[u8]) -> Result<Decoded, String> {
    // JSON is YAML, and reading it as JSON also finds duplicate keys.
    if let Ok(decoded) = json(bytes) {
        return Ok(decoded);
    }
    let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
    let value = serde_saphyr::from_str(text).map_err(|e| e.to_string())?;
    Ok(Decoded {
        value,
        duplicates: Vec::new(),
    })
}

fn json(bytes: &[u8]) -> Result<Decoded, String> {
    let duplicates = RefCell::new(Vec::new());
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let seed = Node {
        path: String::new(),
        duplicates: &duplicates,
    };
    let value = seed
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|e| {
            if e.is_eof() {
                "unexpected end of JSON input".to_owned()
            } else {
                e.to_string()
            }
        })?;
    Ok(Decoded {
        value,
        duplicates: duplicates.into_inner(),
    })
}

/// Builds a [`Value`] and notes the keys that stand twice.
struct Node<'a> {
    path: String,
    duplicates: &'a RefCell<Vec<String>>,
}

impl Node<'_> {
    fn child(&self, step: &str) -> String {
        if self.path.is_empty() {
            step.to_owned()
        } else {
            format!("{}.{step}", self.path)
        }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(Node {
            path: format!("{}[{}]", self.path, items.len()),
            duplicates: self.duplicates,
        })? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let path = self.child(&key);
            let value = access.next_value_seed(Node {
                path: path.clone(),
                duplicates: self.duplicates,
            })?;
            if fields.insert(key, value).is_some() {
                let mut duplicates = self.duplicates.borrow_mut();
                if duplicates.len() >= MAX_DUPLICATES {
                    return Err(A::Error::custom("too many duplicate keys"));
                }
                duplicates.push(path);
            }
        }
        Ok(Value::Object(fields))
    }
}

/// Beyond this many duplicates a body is garbage.
const MAX_DUPLICATES: usize = 1_000;
