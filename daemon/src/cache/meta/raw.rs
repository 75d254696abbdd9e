//! Metadata as it is read: nothing is copied that stands in the text as it is meant.

use std::{borrow::Cow, fmt};

use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{Meta, Second};
use crate::{
    cache::{
        ident::{number, uuid},
        pieces::Builder,
        shape::{Lent, Outline, Traits, is_common},
        text::intern,
    },
    reconcile::MANAGER,
};

/// Prefixes of the annotations that are kept.
const OURS: [&str; 2] = ["neo4j.neo4j.com/", "neo4j.com/"];

/// Whether an annotation is one of those that are kept.
pub(in crate::cache) fn ours(annotation: &str) -> bool {
    OURS.iter().any(|prefix| annotation.starts_with(prefix))
}

/// How much of the metadata is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) enum Extent {
    /// What reconcilers read.
    Reads,
    /// What triggers need: no annotations, no finalizers.
    Triggers,
}

/// Metadata that borrows from the text that it is read from.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::cache) struct RawMeta<'a> {
    #[serde(borrow)]
    namespace: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    uid: Text<'a>,
    #[serde(borrow)]
    resource_version: Text<'a>,
    generation: Option<i64>,
    #[serde(borrow, deserialize_with = "or_nothing")]
    labels: Pairs<'a, false>,
    #[serde(borrow, deserialize_with = "or_nothing")]
    annotations: Pairs<'a, true>,
    #[serde(borrow, deserialize_with = "or_nothing")]
    owner_references: Controller<'a>,
    #[serde(borrow)]
    creation_timestamp: Text<'a>,
    #[serde(borrow)]
    deletion_timestamp: Text<'a>,
    #[serde(borrow)]
    finalizers: Option<Vec<Text<'a>>>,
    #[serde(deserialize_with = "or_nothing")]
    pub(in crate::cache) managed_fields: UpdateEntry,
}

/// A text, borrowed where that is possible; absent and null are empty.
#[derive(Default)]
struct Text<'a>(Cow<'a, str>);

/// Pairs of texts, of which those that are not ours may be passed over.
#[derive(Default)]
struct Pairs<'a, const OURS: bool>(Vec<Lent<'a>>);

/// The owner that is the controller.
#[derive(Default)]
struct Controller<'a>(Option<RawOwner<'a>>);

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawOwner<'a> {
    #[serde(borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    uid: Text<'a>,
    controller: Option<bool>,
}

/// Whether one of the entries of managedFields is ours with the operation `Update`.
#[derive(Default)]
pub(in crate::cache) struct UpdateEntry(pub(in crate::cache) bool);

#[derive(Default, Deserialize)]
#[serde(default)]
struct ManagedField<'a> {
    #[serde(borrow)]
    manager: Text<'a>,
    #[serde(borrow)]
    operation: Text<'a>,
    #[serde(borrow)]
    subresource: Option<Text<'a>>,
}

// === impl RawMeta ===

impl RawMeta<'_> {
    /// What stays of it.
    pub(in crate::cache) fn keep(mut self, extent: Extent) -> Meta {
        let owner = self.owner_references.0.unwrap_or_default();
        let controlled = owner.controller.is_some();
        if extent == Extent::Triggers {
            self.annotations.0.clear();
            self.finalizers = None;
        }
        for pairs in [&mut self.labels.0, &mut self.annotations.0] {
            pairs.sort_unstable();
            pairs.dedup_by(|later, earlier| later.0 == earlier.0);
        }
        let (uid, version) = (uuid(&self.uid.0), number(&self.resource_version.0));
        let owner_uid = uuid(&owner.uid.0);
        let finalizers: Vec<Cow<'_, str>> = self.finalizers.into_iter().flatten().map(|text| text.0).collect();
        let outline = Outline {
            traits: Traits {
                generation: self.generation.is_some(),
                update_entry: self.managed_fields.0,
                uid_is_text: uid.is_none(),
                version_is_text: version.is_none(),
                owner_uid_is_text: controlled && owner_uid.is_none(),
            },
            owner: controlled.then_some(&owner.kind.0),
            finalizers: &finalizers,
            labels: &self.labels.0,
            annotations: &self.annotations.0,
        };
        let mut pieces = Builder::new(&self.name.0);
        let texts = [
            (controlled, &owner.name),
            (outline.traits.uid_is_text, &self.uid),
            (outline.traits.version_is_text, &self.resource_version),
            (outline.traits.owner_uid_is_text, &owner.uid),
        ];
        for (_, text) in texts.into_iter().filter(|(there, _)| *there) {
            pieces.push(&text.0);
        }
        let own = self.labels.0.iter().filter(|(key, _)| !is_common(key));
        for (_, value) in own.chain(&self.annotations.0) {
            pieces.push(value);
        }
        let deleting = &*self.deletion_timestamp.0;
        Meta {
            namespace: intern(&self.namespace.0),
            pieces: pieces.done(),
            shape: outline.share(),
            uid: uid.unwrap_or_default(),
            owner_uid: owner_uid.unwrap_or_default(),
            version: version.unwrap_or_default(),
            generation: self.generation.unwrap_or_default(),
            created: self.creation_timestamp.time().unwrap_or_default(),
            deleting: match deleting {
                "" => Second::default(),
                // A time that cannot be read still says that the object is going.
                text => text.parse().unwrap_or(Timestamp::UNIX_EPOCH).into(),
            },
        }
    }
}

impl Text<'_> {
    fn time(&self) -> Option<Second> {
        self.0.parse::<Timestamp>().ok().map(Second::from)
    }
}

// === decoding ===

/// What is null is as if it were absent.
fn or_nothing<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(text.into()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(text.to_owned().into()))
            }

            fn visit_string<E>(self, text: String) -> Result<Text<'de>, E> {
                Ok(Text(text.into()))
            }

            fn visit_none<E>(self) -> Result<Text<'de>, E> {
                Ok(Text::default())
            }

            fn visit_unit<E>(self) -> Result<Text<'de>, E> {
                Ok(Text::default())
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Text<'de>, D::Error> {
                deserializer.deserialize_str(self)
            }
        }
        deserializer.deserialize_option(Texts)
    }
}

impl<'de: 'a, 'a, const OURS: bool> Deserialize<'de> for Pairs<'a, OURS> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Maps<const OURS: bool>;
        impl<'de, const OURS: bool> Visitor<'de> for Maps<OURS> {
            type Value = Pairs<'de, OURS>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(Text(key)) = map.next_key()? {
                    if OURS && !ours(&key) {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        pairs.push((key, map.next_value::<Text<'de>>()?.0));
                    }
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Maps)
    }
}

/// Reads a list, an element after the other.
struct Each<T, F>(F, std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>, F: FnMut(T)> Visitor<'de> for Each<T, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element()? {
            (self.0)(item);
        }
        Ok(())
    }
}

fn each<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D, take: impl FnMut(T)) -> Result<(), D::Error> {
    deserializer.deserialize_seq(Each(take, std::marker::PhantomData))
}

impl<'de: 'a, 'a> Deserialize<'de> for Controller<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut found = None;
        each(deserializer, |owner: RawOwner<'de>| {
            if owner.controller == Some(true) {
                found.get_or_insert(owner);
            }
        })?;
        Ok(Self(found))
    }
}

impl<'de> Deserialize<'de> for UpdateEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut found = false;
        each(deserializer, |entry: ManagedField<'de>| {
            found |= entry.manager.0 == MANAGER && entry.operation.0 == "Update" && entry.subresource.is_none();
        })?;
        Ok(Self(found))
    }
}
