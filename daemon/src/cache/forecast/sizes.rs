//! Bytes per object of a form: measured, else taken from what resembles it, else by the ratios to the bytes on
//! the wire that were measured once for Pods and Secrets.

use neo4j_operator_shared::Kind;

use super::{
    Input,
    input::{KindInput, PerForm},
};

/// A key entry hardly depends on the object: uid, version, owner, name and its slot.
const KEY: f64 = 240.0;
/// Projection ÷ wire bytes: Pods 0.03; small kinds are read almost whole, so that the middle is taken.
const PROJECTION: f64 = 0.06;
/// Metadata ÷ wire bytes, of an answer that is metadata already.
const METADATA: f64 = 0.5;
/// Whole and compressed without a dictionary ÷ wire bytes: lz4 0.28, zstd less.
const FULL: f64 = 0.25;

/// Bytes per object, and by how much of it they may be off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::cache) struct Size {
    /// Bytes.
    pub bytes: f64,
    /// ± this share.
    pub off: f64,
    /// How well it is known, 0..1.
    pub known: f64,
}

/// Mean bytes of an object on the wire, by kind: only for want of a look.
fn usual_wire(kind: Kind) -> f64 {
    match kind {
        Kind::Pod => 9_000.0,
        Kind::Secret => 1_500.0,
        Kind::StatefulSet => 6_000.0,
        Kind::ConfigMap => 3_000.0,
        _ => 2_000.0,
    }
}

/// What is kept of an object. Of Secrets the projection is their metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) enum Kept {
    /// What the triggers need.
    Key,
    /// What reads need.
    Projection,
    /// The whole object, compressed.
    Full,
}

impl Kept {
    /// A quantity of objects that are kept so.
    pub(super) fn of(self, known: &PerForm) -> Option<f64> {
        match self {
            Self::Key => known.key,
            Self::Projection => known.projection,
            Self::Full => known.full,
        }
    }
}

/// Bytes per object.
pub(in crate::cache) fn size(input: &Input, kind: &KindInput, kept: Kept) -> Size {
    match kept.of(&kind.bytes) {
        Some(bytes) => Size {
            bytes,
            off: 0.05,
            known: 1.0,
        },
        None if kept == Kept::Key => key_like(input),
        None => by_ratio(input, kind, kept),
    }
}

/// Key entries of other kinds are as large.
fn key_like(input: &Input) -> Size {
    let known: Vec<f64> = input.kinds.iter().filter_map(|other| other.bytes.key).collect();
    let (bytes, off, known) = if known.is_empty() {
        (KEY, 0.4, 0.6)
    } else {
        (known.iter().sum::<f64>() / known.len() as f64, 0.15, 0.85)
    };
    Size { bytes, off, known }
}

/// Wire bytes × a ratio: that of other kinds which keep this form where there are any, else the one of record.
fn by_ratio(input: &Input, kind: &KindInput, kept: Kept) -> Size {
    let ratios: Vec<f64> = input
        .kinds
        .iter()
        .filter(|other| other.metadata_only == kind.metadata_only)
        .filter_map(|other| Some(kept.of(&other.bytes)? / other.wire.filter(|wire| *wire > 0.0)?))
        .collect();
    // What is compressed shrinks alike in all kinds; what is projected does not.
    let (ratio, off) = match kept {
        Kept::Full if !ratios.is_empty() => (ratios.iter().sum::<f64>() / ratios.len() as f64, 0.3),
        Kept::Full => (FULL, 0.6),
        _ if kind.metadata_only => (METADATA, 0.5),
        _ => (PROJECTION, 0.7),
    };
    match kind.wire {
        Some(wire) => Size {
            bytes: wire * ratio,
            off,
            known: 0.5,
        },
        None => Size {
            bytes: usual_wire(kind.kind) * ratio,
            off: 0.9,
            known: 0.2,
        },
    }
}

/// Mean bytes of an object on the wire.
pub(in crate::cache) fn wire(kind: &KindInput) -> f64 {
    kind.wire.unwrap_or_else(|| usual_wire(kind.kind))
}
