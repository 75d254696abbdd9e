//! An object as it was received, compressed: what a store keeps that holds every object of a kind.
//!
//! The whole object but its managedFields is kept as JSON under zstd, beside the metadata that triggers,
//! selections and floors look at (ST5, ST10). A read decodes the projection from it, with [`Decoded`] in front.
//! Of a Secret nothing but metadata is ever written, whatever the server sends (CA9).
//!
//! [`Decoded`]: super::decoded::Decoded

use std::{cell::RefCell, io, marker::PhantomData};

use neo4j_operator_shared::Kind;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use zstd::bulk::{Compressor, Decompressor};

use super::{
    meta::{Extent as Kept, Meta, RawMeta, UpdateEntry},
    transcode::{self, Extent},
    views::View,
    weight,
};
use crate::reconcile::MANAGER;

/// Level of compression.
const LEVEL: i32 = 3;
/// A buffer of a thread that has grown larger than this is given back after use.
const LARGEST_BUFFER: usize = 256 << 10;
/// Longest text that is unpacked: objects are at most 3 MiB in etcd, and JSON spells some bytes with six.
const LONGEST: usize = 32 << 20;

/// A compressed object, from which `V` can be decoded.
#[derive(Clone, Debug)]
pub(super) struct Packed<V> {
    metadata: Meta,
    blob: Box<[u8]>,
    /// Bytes of the text.
    length: u32,
    /// The byte behind the opening brace of the metadata.
    inside: u32,
    of: PhantomData<fn() -> V>,
}

/// What a thread needs to pack and unpack.
#[derive(Default)]
struct Bench {
    text: Vec<u8>,
    packed: Vec<u8>,
    compressor: Option<Compressor<'static>>,
    decompressor: Option<Decompressor<'static>>,
}

thread_local! {
    static BENCH: RefCell<Bench> = RefCell::default();
}

/// Runs `work` with what the thread keeps for it. Decoding may come here again from within: then, with
/// something new.
fn with_bench<T>(work: impl FnOnce(&mut Bench) -> T) -> T {
    let mut bench = BENCH.with(RefCell::take);
    let done = work(&mut bench);
    for buffer in [&mut bench.text, &mut bench.packed] {
        buffer.clear();
        if buffer.capacity() > LARGEST_BUFFER {
            *buffer = Vec::new();
        }
    }
    BENCH.with(|place| place.replace(bench));
    done
}

impl Bench {
    fn compress(&mut self) -> io::Result<Box<[u8]>> {
        let compressor = match &mut self.compressor {
            Some(compressor) => compressor,
            none => none.insert(Compressor::new(LEVEL)?),
        };
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(self.text.len()));
        compressor.compress_to_buffer(&self.text, &mut self.packed)?;
        Ok(self.packed.as_slice().into())
    }

    fn decompress(&mut self, blob: &[u8], length: usize) -> io::Result<()> {
        let decompressor = match &mut self.decompressor {
            Some(decompressor) => decompressor,
            none => none.insert(Decompressor::new()?),
        };
        self.text.clear();
        self.text.reserve(length);
        decompressor.decompress_to_buffer(blob, &mut self.text)?;
        Ok(())
    }
}

impl<V: View> Packed<V> {
    /// By the kind alone, so that no view can forget it.
    const EXTENT: Extent = match V::KIND {
        Kind::Secret => Extent::Metadata,
        _ => Extent::Whole,
    };

    /// Decodes the projection. An object that its projection cannot read is an error, with the reason.
    pub(super) fn unpack(&self) -> Result<V, String> {
        self.decode(self.metadata.update_entry())
    }

    /// The text that is kept.
    pub(super) fn text(&self) -> Result<String, String> {
        let value: serde_json::Value = self.decode(false)?;
        Ok(value.to_string())
    }

    /// Bytes of the object as JSON text without its managedFields.
    pub(super) fn length(&self) -> usize {
        self.length as usize
    }

    fn decode<T: DeserializeOwned>(&self, with_update_entry: bool) -> Result<T, String> {
        with_bench(|bench| {
            bench
                .decompress(&self.blob, self.length())
                .map_err(|error| format!("a kept object cannot be unpacked: {error}"))?;
            if with_update_entry {
                let inside = self.inside as usize;
                bench
                    .text
                    .splice(inside..inside, entry(&bench.text[inside..]).into_bytes());
            }
            serde_json::from_slice(&bench.text).map_err(|error| format!("a kept object cannot be read: {error}"))
        })
    }
}

/// The one entry of managedFields that anybody asks for, to stand in front of other fields of the metadata.
fn entry(follows: &[u8]) -> String {
    let comma = if follows.starts_with(b"}") { "" } else { "," };
    format!(r#""managedFields":[{{"manager":"{MANAGER}","operation":"Update"}}]{comma}"#)
}

impl<'de, V: View> Deserialize<'de> for Packed<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        with_bench(|bench| {
            let place = transcode::object(deserializer, Self::EXTENT, &mut bench.text)?;
            if place.end == 0 {
                return Err(D::Error::missing_field("metadata"));
            }
            if bench.text.len() > LONGEST {
                return Err(D::Error::custom("the object is too large to be kept"));
            }
            let mut raw: RawMeta<'_> =
                serde_json::from_slice(&bench.text[place.start..place.end]).map_err(D::Error::custom)?;
            raw.managed_fields = UpdateEntry(place.update_entry);
            Ok(Self {
                metadata: raw.keep(Kept::Triggers),
                blob: bench.compress().map_err(D::Error::custom)?,
                length: bench.text.len() as u32,
                inside: place.start as u32 + 1,
                of: PhantomData,
            })
        })
    }
}

impl<V: View> View for Packed<V> {
    const KIND: Kind = V::KIND;
    const METADATA_ONLY: bool = matches!(Self::EXTENT, Extent::Metadata);
    fn meta(&self) -> &Meta {
        &self.metadata
    }
    fn bytes(&self) -> usize {
        self.metadata.bytes() + weight::slice(&self.blob)
    }
}

#[cfg(test)]
mod tests;
