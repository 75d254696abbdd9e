//! From whatever a watch is decoded with into JSON text, without a tree of the object in between.
//!
//! The text is what was received, but for `metadata.managedFields` (ST2). A number that fits neither 64 signed
//! nor 64 unsigned bits becomes the nearest float, as in every other reader of this process.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::meta::{UpdateEntry, ours};

/// What is written of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// Type and metadata, and of the annotations our own only: what a Secret says about itself.
    Metadata,
}

/// Where the metadata stands in the written text, and what is not written of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Byte of its opening brace.
    pub(super) start: usize,
    /// The byte behind its closing brace; zero if the object has none.
    pub(super) end: usize,
    /// Whether managedFields had an entry `Update` of ours.
    pub(super) update_entry: bool,
}

/// Writes an object to the end of `out`.
pub(super) fn object<'de, D: Deserializer<'de>>(
    deserializer: D,
    extent: Extent,
    out: &mut Vec<u8>,
) -> Result<Place, D::Error> {
    deserializer.deserialize_map(Object { extent, out })
}

struct Object<'b> {
    extent: Extent,
    out: &'b mut Vec<u8>,
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = Place;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Place, A::Error> {
        let Self { extent, out } = self;
        let mut place = Place::default();
        let mut separator = b'{';
        while let Some(key) = map.next_key::<Key<'de>>()? {
            let key = key.0.as_ref();
            if extent == Extent::Metadata && !matches!(key, "metadata" | "apiVersion" | "kind") {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            begin_field(out, &mut separator, key);
            if key == "metadata" {
                place.start = out.len();
                place.update_entry = map.next_value_seed(Metadata { extent, out })?;
                place.end = out.len();
            } else {
                map.next_value_seed(Json(out))?;
            }
        }
        end_fields(out, separator);
        Ok(place)
    }
}

/// Writes metadata and says whether there is an entry `Update` of ours.
struct Metadata<'b> {
    extent: Extent,
    out: &'b mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Metadata<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Metadata<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("metadata")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let Self { extent, out } = self;
        let mut update_entry = false;
        let mut separator = b'{';
        while let Some(key) = map.next_key::<Key<'de>>()? {
            let key = key.0.as_ref();
            if key == "managedFields" {
                update_entry = map.next_value::<Option<UpdateEntry>>()?.is_some_and(|entry| entry.0);
                continue;
            }
            begin_field(out, &mut separator, key);
            if key == "annotations" && extent == Extent::Metadata {
                map.next_value_seed(OurAnnotations(out))?;
            } else {
                map.next_value_seed(Json(out))?;
            }
        }
        end_fields(out, separator);
        Ok(update_entry)
    }
}

/// Writes the annotations with one of our prefixes. Others may repeat the whole object, as kubectl's do.
struct OurAnnotations<'b>(&'b mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for OurAnnotations<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for OurAnnotations<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("annotations")
    }

    fn visit_none<E>(self) -> Result<(), E> {
        self.0.extend_from_slice(b"null");
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.extend_from_slice(b"null");
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut separator = b'{';
        while let Some(key) = map.next_key::<Key<'de>>()? {
            if ours(&key.0) {
                begin_field(self.0, &mut separator, &key.0);
                map.next_value_seed(Json(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        end_fields(self.0, separator);
        Ok(())
    }
}

// === any value ===

/// Writes one value.
struct Json<'b>(&'b mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Json<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Json<'_> {
    fn write<T: serde::Serialize, E: Error>(self, value: T) -> Result<(), E> {
        serde_json::to_writer(self.0, &value).map_err(E::custom)
    }
}

impl<'de> Visitor<'de> for Json<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.write(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.write(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.write(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.write(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.write(value)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.write(())
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.write(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let start = self.0.len();
        self.0.push(b'[');
        while items.next_element_seed(Item { out: self.0, start })?.is_some() {}
        self.0.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut separator = b'{';
        while let Some(key) = map.next_key::<Key<'de>>()? {
            begin_field(self.0, &mut separator, &key.0);
            map.next_value_seed(Json(self.0))?;
        }
        end_fields(self.0, separator);
        Ok(())
    }
}

/// An item of the list that begins at `start`: all but the first follow a comma.
struct Item<'b> {
    out: &'b mut Vec<u8>,
    start: usize,
}

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.out.len() > self.start + 1 {
            self.out.push(b',');
        }
        Json(self.out).deserialize(deserializer)
    }
}

/// A key of a map, borrowed where the text allows it.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

fn begin_field(out: &mut Vec<u8>, separator: &mut u8, key: &str) {
    out.push(*separator);
    *separator = b',';
    // Writing text to memory cannot fail.
    let _ = serde_json::to_writer(&mut *out, key);
    out.push(b':');
}

fn end_fields(out: &mut Vec<u8>, separator: u8) {
    if separator == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
}
