//! The metadata that the operator reads of an object, decoded without keeping anything else.
//!
//! What is not named here is skipped while the JSON is read and never allocated: other people's annotations
//! and above all `managedFields`, of which one bit stays (whether our field manager still owns fields under
//! the operation `Update`, see [`crate::reconcile::executor`]). An object cannot be written back from it.
//!
//! Numbers stand as numbers, what many objects have in common in a [`Shape`] that they share, and the texts
//! that are left in one piece of memory ([`Pieces`]): of an own pod that is a tenth of what a field each takes.

use std::{collections::BTreeMap, fmt, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use super::{
    ident::{Uid, Version},
    pieces::Pieces,
    shape::{Shape, Traits},
};
use crate::reconcile::{Live, manifest::APPLIED_HASH};

mod raw;

pub(super) use raw::{Extent, RawMeta, UpdateEntry, ours};

/// Metadata of an object.
#[derive(Clone, PartialEq, Eq)]
pub struct Meta {
    namespace: Arc<str>,
    /// The name; then, in this order and each only where there is one: the owner's name, what is a text instead
    /// of a number (uid, version, the owner's uid), the labels' own values, the annotations' values.
    pieces: Pieces,
    shape: Arc<Shape>,
    uid: Uuid,
    owner_uid: Uuid,
    version: u64,
    generation: i64,
    created: Second,
    deleting: Second,
}

/// The controller owner of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner<'a> {
    /// Kind as in a manifest.
    pub kind: &'a str,
    /// Name.
    pub name: &'a str,
    /// Uid.
    pub uid: Uid,
}

/// Labels of an object.
#[derive(Clone, Copy)]
pub struct Labels<'a>(&'a Meta);

/// Annotations of an object that have one of our prefixes.
#[derive(Clone, Copy)]
pub struct Annotations<'a>(&'a Meta);

/// A time as API servers write it, to the second, from 1970 to 2106; zero is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Second(u32);

// === impl Second ===

impl From<Timestamp> for Second {
    fn from(time: Timestamp) -> Self {
        Self(time.as_second().clamp(1, u32::MAX.into()) as u32)
    }
}

impl Second {
    fn time(self) -> Option<Timestamp> {
        let seconds = (self.0 > 0).then_some(self.0.into())?;
        Timestamp::from_second(seconds).ok()
    }
}

// === impl Labels, Annotations ===

impl<'a> Labels<'a> {
    /// The value of `key`.
    pub fn get(self, key: &str) -> Option<&'a str> {
        let labels = self.0.shape.labels();
        let place = labels.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
        if let Some(common) = &labels[place].1 {
            return Some(common);
        }
        let own = labels[..place].iter().filter(|(_, common)| common.is_none());
        Some(self.0.pieces.get(self.0.first_label() + own.count()))
    }

    /// Whether `key` has this value.
    pub fn has(self, key: &str, value: &str) -> bool {
        self.get(key) == Some(value)
    }

    /// Every pair, sorted by key.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let mut own = self.0.pieces.from(self.0.first_label());
        let labels = self.0.shape.labels().iter();
        labels.map_while(move |(key, common)| Some((&**key, common.as_deref().or_else(|| own.next())?)))
    }

    /// As an owned map.
    pub fn to_map(self) -> BTreeMap<String, String> {
        self.iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }
}

impl<'a> Annotations<'a> {
    /// The value of `key`.
    pub fn get(self, key: &str) -> Option<&'a str> {
        let keys = self.0.shape.annotations();
        let place = keys.binary_search_by(|known| (**known).cmp(key)).ok()?;
        Some(self.0.pieces.get(self.0.first_annotation() + place))
    }

    /// Whether `key` has this value.
    pub fn has(self, key: &str, value: &str) -> bool {
        self.get(key) == Some(value)
    }

    /// Every pair but the applied hash, sorted by key.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let keys = self.0.shape.annotations().iter().map(|key| &**key);
        keys.zip(self.0.pieces.from(self.0.first_annotation()))
            .filter(|(key, _)| *key != APPLIED_HASH)
    }
}

impl PartialEq for Labels<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl PartialEq for Annotations<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl fmt::Debug for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl fmt::Debug for Annotations<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

// === impl Meta ===

impl<'de> Deserialize<'de> for Meta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        RawMeta::deserialize(deserializer).map(|raw| raw.keep(Extent::Reads))
    }
}

impl Default for Meta {
    fn default() -> Self {
        RawMeta::default().keep(Extent::Reads)
    }
}

#[allow(clippy::missing_fields_in_debug)] // As it is read, not as it is kept.
impl fmt::Debug for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meta")
            .field("namespace", &self.namespace)
            .field("name", &self.name())
            .field("uid", &self.uid())
            .field("resource_version", &self.resource_version())
            .field("generation", &self.generation())
            .field("labels", &self.labels())
            .field("annotations", &self.annotations())
            .field("applied_hash", &self.applied_hash())
            .field("owner", &self.owner())
            .field("created", &self.created())
            .field("deleting", &self.deleting())
            .field("finalizers", &self.finalizers())
            .field("update_entry", &self.update_entry())
            .finish()
    }
}

impl Meta {
    /// Namespace; empty for an object without one.
    pub fn namespace(&self) -> &Arc<str> {
        &self.namespace
    }

    /// Name.
    pub fn name(&self) -> &str {
        self.pieces.first()
    }

    /// Uid.
    pub fn uid(&self) -> Uid {
        if self.traits().uid_is_text {
            Uid::Text(self.pieces.get(self.first_text()).into())
        } else {
            Uid::Uuid(self.uid)
        }
    }

    /// resourceVersion.
    pub fn resource_version(&self) -> Version {
        let traits = self.traits();
        if traits.version_is_text {
            let place = self.first_text() + usize::from(traits.uid_is_text);
            Version::Text(self.pieces.get(place).into())
        } else {
            Version::Number(self.version)
        }
    }

    /// The resourceVersion as a number; `None` means that it cannot be compared (K51).
    pub fn version(&self) -> Option<u128> {
        self.resource_version().number()
    }

    /// Generation, of kinds that have one.
    pub fn generation(&self) -> Option<i64> {
        self.traits().generation.then_some(self.generation)
    }

    /// Every label.
    pub fn labels(&self) -> Labels<'_> {
        Labels(self)
    }

    /// Annotations with one of our prefixes.
    pub fn annotations(&self) -> Annotations<'_> {
        Annotations(self)
    }

    /// Hash of what we wrote last.
    pub fn applied_hash(&self) -> Option<&str> {
        self.annotations().get(APPLIED_HASH)
    }

    /// The controller owner.
    pub fn owner(&self) -> Option<Owner<'_>> {
        let uid = if self.traits().owner_uid_is_text {
            Uid::Text(self.pieces.get(self.first_label() - 1).into())
        } else {
            Uid::Uuid(self.owner_uid)
        };
        let kind = self.shape.owner()?;
        let name = self.pieces.get(0);
        Some(Owner { kind, name, uid })
    }

    /// When it was created.
    pub fn created(&self) -> Option<Timestamp> {
        self.created.time()
    }

    /// When its deletion was asked for.
    pub fn deleting(&self) -> Option<Timestamp> {
        self.deleting.time()
    }

    /// Finalizers.
    pub fn finalizers(&self) -> &[Arc<str>] {
        self.shape.finalizers()
    }

    /// Our field manager has an entry `Update` for the main resource, left by a POST.
    pub fn update_entry(&self) -> bool {
        self.traits().update_entry
    }

    /// What the executor has to know before it writes the object.
    pub fn live(&self) -> Live {
        Live {
            uid: self.uid().to_string(),
            resource_version: self.resource_version().to_string(),
            owner_uid: self.owner().map(|owner| owner.uid.to_string()),
            labels: self.labels().to_map(),
            applied_hash: self.applied_hash().map(str::to_owned),
            update_entry: self.update_entry(),
            deleting: self.deleting().is_some(),
        }
    }

    /// Bytes on the heap that belong to this object alone.
    pub fn bytes(&self) -> usize {
        self.pieces.bytes()
    }

    fn traits(&self) -> Traits {
        self.shape.traits()
    }

    // === places of pieces ===

    /// Of what is a text instead of a number.
    fn first_text(&self) -> usize {
        usize::from(self.shape.owner().is_some())
    }

    fn first_label(&self) -> usize {
        let traits = self.traits();
        let texts = [traits.uid_is_text, traits.version_is_text, traits.owner_uid_is_text];
        self.first_text() + texts.map(usize::from).iter().sum::<usize>()
    }

    fn first_annotation(&self) -> usize {
        self.first_label() + self.shape.own_labels()
    }
}

#[cfg(test)]
mod tests;
