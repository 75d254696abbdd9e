//! What objects have in common, kept once: which labels, annotations and finalizers they have, and the values
//! that do not tell one from the other. All pods of all clusters of a version have one shape.

use std::{
    borrow::Cow,
    hash::{BuildHasher, Hash, Hasher},
    sync::Arc,
};

use super::{
    text::{self, Shared, intern},
    weight,
};

/// Labels whose value is the same for many objects. The value of any other is taken to be the object's own.
const COMMON: [&str; 7] = [
    "app.kubernetes.io/component",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/name",
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/version",
    "neo4j.com/clustering",
    "neo4j.com/server-name",
];

/// A key and a value as they are read.
pub(super) type Lent<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Key of a label, and its value unless that is the object's own.
pub(super) type Label = (Arc<str>, Option<Arc<str>>);

/// What objects have in common.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shape {
    hash: u64,
    traits: Traits,
    /// Kind of the controller owner.
    owner: Option<Arc<str>>,
    finalizers: Box<[Arc<str>]>,
    /// Sorted by key.
    labels: Box<[Label]>,
    /// Keys, sorted; the values are the object's own.
    annotations: Box<[Arc<str>]>,
}

/// What is there, and what is a text where it is a number as a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Traits {
    pub(super) generation: bool,
    pub(super) update_entry: bool,
    pub(super) uid_is_text: bool,
    pub(super) version_is_text: bool,
    pub(super) owner_uid_is_text: bool,
}

/// A shape before it is known whether there is one like it; labels and annotations sorted by key.
#[derive(Clone, Copy, Default)]
pub(super) struct Outline<'o> {
    pub(super) traits: Traits,
    pub(super) owner: Option<&'o str>,
    pub(super) finalizers: &'o [Cow<'o, str>],
    pub(super) labels: &'o [Lent<'o>],
    pub(super) annotations: &'o [Lent<'o>],
}

/// Whether the value of a label is part of the shape.
pub(super) fn is_common(key: &str) -> bool {
    COMMON.contains(&key)
}

impl Outline<'_> {
    fn labels(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let common = |key: &str, value| is_common(key).then_some(value);
        self.labels
            .iter()
            .map(move |(key, value)| (&**key, common(key, &**value)))
    }

    fn is(&self, shape: &Shape) -> bool {
        let labels = shape.labels.iter().map(|(key, value)| (&**key, value.as_deref()));
        let (finalizers, annotations) = (self.finalizers.iter(), self.annotations.iter());
        self.traits == shape.traits
            && self.owner == shape.owner.as_deref()
            && finalizers
                .map(|text| &**text)
                .eq(shape.finalizers.iter().map(|text| &**text))
            && self.labels().eq(labels)
            && annotations
                .map(|(key, _)| &**key)
                .eq(shape.annotations.iter().map(|key| &**key))
    }

    fn shape(&self, hash: u64) -> Shape {
        Shape {
            hash,
            traits: self.traits,
            owner: self.owner.map(intern),
            finalizers: self.finalizers.iter().map(|text| intern(text)).collect(),
            labels: self
                .labels()
                .map(|(key, value)| (intern(key), value.map(intern)))
                .collect(),
            annotations: self.annotations.iter().map(|(key, _)| intern(key)).collect(),
        }
    }

    /// The shape that all such objects share.
    pub(super) fn share(&self) -> Arc<Shape> {
        let hash = text::hasher().hash_one(self);
        text::share_shape(hash, |shape| self.is(shape), || self.shape(hash))
    }
}

impl Hash for Outline<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.traits, self.owner, self.finalizers).hash(state);
        self.labels().for_each(|label| label.hash(state));
        self.annotations.iter().for_each(|(key, _)| key.hash(state));
    }
}

impl Shape {
    pub(super) fn traits(&self) -> Traits {
        self.traits
    }

    pub(super) fn owner(&self) -> Option<&Arc<str>> {
        self.owner.as_ref()
    }

    pub(super) fn finalizers(&self) -> &[Arc<str>] {
        &self.finalizers
    }

    pub(super) fn labels(&self) -> &[Label] {
        &self.labels
    }

    pub(super) fn annotations(&self) -> &[Arc<str>] {
        &self.annotations
    }

    /// Labels whose value is the object's own.
    pub(super) fn own_labels(&self) -> usize {
        self.labels.iter().filter(|(_, value)| value.is_none()).count()
    }
}

impl Shared for Shape {
    fn hashed(&self) -> u64 {
        self.hash
    }

    fn bytes(&self) -> usize {
        weight::shared(size_of::<Self>())
            + weight::slice(&self.finalizers)
            + weight::slice(&self.labels)
            + weight::slice(&self.annotations)
    }
}
