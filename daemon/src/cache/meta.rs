//! The metadata that the operator reads of an object, decoded without keeping anything else.
//!
//! What is not named here is skipped while the JSON is read and never allocated: other people's annotations
//! and above all `managedFields`, of which one bit stays (whether our field manager still owns fields under
//! the operation `Update`, see [`crate::reconcile::executor`]). An object cannot be written back from it.

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc};

use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{
    text::{Pair, intern, intern_set},
    weight,
};
use crate::reconcile::{Live, MANAGER, manifest::APPLIED_HASH};

/// Labels that number the pods of a StatefulSet or of a Job.
const INDEXES: [&str; 2] = [
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/job-completion-index",
];

/// Prefixes of the annotations that are kept.
const OURS: [&str; 2] = ["neo4j.neo4j.com/", "neo4j.com/"];

/// Whether an annotation is one of those that are kept.
pub(super) fn ours(annotation: &str) -> bool {
    OURS.iter().any(|prefix| annotation.starts_with(prefix))
}

/// Metadata of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Namespace; empty for an object without one.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Uid.
    pub uid: Box<str>,
    /// resourceVersion.
    pub resource_version: Box<str>,
    /// Generation, of kinds that have one.
    pub generation: Option<i64>,
    /// Every label.
    pub labels: Pairs,
    /// Annotations with one of our prefixes, but for the applied hash.
    pub annotations: Pairs,
    /// The controller owner.
    pub owner: Option<Owner>,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When its deletion was asked for.
    pub deleting: Option<Timestamp>,
    /// Finalizers.
    pub finalizers: Box<[Arc<str>]>,
    /// Hash of what we wrote last.
    pub applied_hash: Option<Box<str>>,
    /// Our field manager has an entry `Update` for the main resource, left by a POST.
    pub update_entry: bool,
}

/// The controller owner of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Kind as in a manifest.
    pub kind: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Uid; siblings share it.
    pub uid: Arc<str>,
}

/// A small sorted map of shared strings. Once it is [divided](Pairs::divide), the part that does not tell siblings
/// apart is shared with them.
#[derive(Clone, Default)]
pub struct Pairs {
    own: Box<[Pair]>,
    shared: Option<Arc<[Pair]>>,
}

// === impl Pairs ===

impl Pairs {
    fn of(mut pairs: Vec<Pair>) -> Self {
        pairs.sort_unstable();
        Self {
            own: pairs.into_boxed_slice(),
            shared: None,
        }
    }

    /// Shares what other objects of the same owner carry too; the pairs that tell this one apart stay its own.
    fn divide(&mut self, name: &Arc<str>) {
        let (own, shared): (Vec<Pair>, Vec<Pair>) = std::mem::take(&mut self.own)
            .into_iter()
            .partition(|(key, value)| INDEXES.contains(&&**key) || *value == *name);
        let named = |(key, value)| {
            if value == *name {
                (key, Arc::clone(name))
            } else {
                (key, value)
            }
        };
        self.own = own.into_iter().map(named).collect();
        self.shared = (!shared.is_empty()).then(|| intern_set(&shared));
    }

    fn find(&self, key: &str) -> Option<&Arc<str>> {
        [&*self.own, self.shared.as_deref().unwrap_or_default()]
            .into_iter()
            .find_map(|pairs| {
                let place = pairs.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
                Some(&pairs[place].1)
            })
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.find(key).map(|value| &**value)
    }

    /// The shared value of `key`.
    pub fn shared(&self, key: &str) -> Option<Arc<str>> {
        self.find(key).map(Arc::clone)
    }

    /// Whether `key` has this value.
    pub fn has(&self, key: &str, value: &str) -> bool {
        self.get(key) == Some(value)
    }

    /// Every pair, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut own = self.own.iter().peekable();
        let mut shared = self.shared.iter().flat_map(|shared| shared.iter()).peekable();
        std::iter::from_fn(move || {
            let from_own = match (own.peek(), shared.peek()) {
                (Some((left, _)), Some((right, _))) => left < right,
                (left, _) => left.is_some(),
            };
            if from_own { own.next() } else { shared.next() }
        })
        .map(|(key, value)| (&**key, &**value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.own.is_empty() && self.shared.is_none()
    }

    /// As an owned map.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    /// Bytes on the heap that are not shared.
    pub fn bytes(&self) -> usize {
        weight::slice(&self.own)
    }
}

impl PartialEq for Pairs {
    fn eq(&self, other: &Self) -> bool {
        let known = |pairs: &Self| pairs.shared.as_ref().map(Arc::as_ptr);
        (known(self) == known(other) && self.own == other.own) || self.iter().eq(other.iter())
    }
}

impl Eq for Pairs {}

impl fmt::Debug for Pairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Pairs {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        let pairs = pairs.into_iter();
        Self::of(pairs.map(|(key, value)| (intern(key), intern(value))).collect())
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_option(PairsVisitor { only: None })
    }
}

/// Annotations: those with our prefixes.
#[derive(Default)]
struct Annotations(Pairs);

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_option(PairsVisitor { only: Some(&OURS) })
            .map(Self)
    }
}

struct PairsVisitor {
    only: Option<&'static [&'static str]>,
}

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of strings")
    }

    fn visit_none<E>(self) -> Result<Pairs, E> {
        Ok(Pairs::default())
    }

    fn visit_unit<E>(self) -> Result<Pairs, E> {
        Ok(Pairs::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Pairs, D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
        let mut pairs = Vec::new();
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            if self
                .only
                .is_some_and(|only| !only.iter().any(|prefix| key.starts_with(prefix)))
            {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map.next_value::<Option<Cow<'_, str>>>()?.unwrap_or_default();
            pairs.push((intern(&key), intern(&value)));
        }
        Ok(Pairs::of(pairs))
    }
}

// === impl Meta ===

/// Whether one of the entries of managedFields is ours with the operation `Update`.
#[derive(Default)]
pub(super) struct UpdateEntry(pub(super) bool);

impl<'de> Deserialize<'de> for UpdateEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Entry<'a> {
            #[serde(borrow, default)]
            manager: Cow<'a, str>,
            #[serde(borrow, default)]
            operation: Cow<'a, str>,
            #[serde(borrow, default)]
            subresource: Option<Cow<'a, str>>,
        }
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = UpdateEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of managed fields")
            }

            fn visit_unit<E>(self) -> Result<UpdateEntry, E> {
                Ok(UpdateEntry(false))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<UpdateEntry, A::Error> {
                let mut found = false;
                while let Some(entry) = entries.next_element::<Entry<'_>>()? {
                    found |= entry.manager == MANAGER && entry.operation == "Update" && entry.subresource.is_none();
                }
                Ok(UpdateEntry(found))
            }
        }
        deserializer.deserialize_any(Entries)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMeta<'a> {
    #[serde(borrow, default)]
    namespace: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(default)]
    uid: Option<Box<str>>,
    #[serde(default)]
    resource_version: Option<Box<str>>,
    #[serde(default)]
    generation: Option<i64>,
    #[serde(default)]
    labels: Pairs,
    #[serde(default)]
    annotations: Annotations,
    #[serde(default)]
    owner_references: Option<Vec<RawOwner>>,
    #[serde(borrow, default)]
    creation_timestamp: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    deletion_timestamp: Option<Cow<'a, str>>,
    #[serde(default)]
    finalizers: Option<Vec<String>>,
    #[serde(default)]
    managed_fields: UpdateEntry,
}

#[derive(Deserialize)]
struct RawOwner {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    uid: Box<str>,
    #[serde(default)]
    controller: Option<bool>,
}

impl<'de> Deserialize<'de> for Meta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawMeta::deserialize(deserializer)?;
        let applied_hash = raw.annotations.0.get(APPLIED_HASH).map(Box::from);
        let annotations = raw
            .annotations
            .0
            .iter()
            .filter(|(key, _)| *key != APPLIED_HASH)
            .collect();
        let owner = raw
            .owner_references
            .into_iter()
            .flatten()
            .find(|owner| owner.controller == Some(true))
            .map(|owner| Owner {
                kind: intern(&owner.kind),
                name: intern(&owner.name),
                uid: intern(&owner.uid),
            });
        let name: Arc<str> = raw.name.as_deref().unwrap_or_default().into();
        let mut labels = raw.labels;
        labels.divide(&name);
        Ok(Self {
            namespace: intern(raw.namespace.as_deref().unwrap_or_default()),
            name,
            uid: raw.uid.unwrap_or_default(),
            resource_version: raw.resource_version.unwrap_or_default(),
            generation: raw.generation,
            labels,
            annotations,
            owner,
            created: raw.creation_timestamp.and_then(|text| text.parse().ok()),
            // A time that cannot be read still says that the object is going.
            deleting: raw
                .deletion_timestamp
                .map(|text| text.parse().unwrap_or(Timestamp::UNIX_EPOCH)),
            finalizers: raw
                .finalizers
                .into_iter()
                .flatten()
                .map(|finalizer| intern(&finalizer))
                .collect(),
            applied_hash,
            update_entry: raw.managed_fields.0,
        })
    }
}

impl Meta {
    /// What the executor has to know before it writes the object.
    pub fn live(&self) -> Live {
        Live {
            uid: self.uid.to_string(),
            resource_version: self.resource_version.to_string(),
            owner_uid: self.owner.as_ref().map(|owner| owner.uid.to_string()),
            labels: self.labels.to_map(),
            applied_hash: self.applied_hash.as_deref().map(str::to_owned),
            update_entry: self.update_entry,
            deleting: self.deleting.is_some(),
        }
    }

    /// The resourceVersion as a number; `None` means that it cannot be compared (K51).
    pub fn version(&self) -> Option<u128> {
        self.resource_version.parse().ok()
    }

    /// Bytes on the heap that belong to this object alone.
    pub fn bytes(&self) -> usize {
        weight::shared(self.name.len())
            + weight::text(Some(&self.uid))
            + weight::text(Some(&self.resource_version))
            + self.labels.bytes()
            + self.annotations.bytes()
            + weight::slice(&self.finalizers)
            + weight::text(self.applied_hash.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample() -> serde_json::Value {
        json!({
            "namespace": "n", "name": "c-server", "uid": "u1", "resourceVersion": "42", "generation": 3,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "deletionTimestamp": "2026-01-02T00:00:00Z",
            "labels": {"b": "2", "a": "1"},
            "annotations": {"neo4j.com/x": "y", "kubectl.kubernetes.io/last-applied-configuration": "{}",
                            "neo4j.neo4j.com/applied-hash": "abc"},
            "ownerReferences": [
                {"kind": "Other", "name": "o", "uid": "u0"},
                {"kind": "Neo4jEnterpriseCluster", "name": "c", "uid": "u2", "controller": true},
            ],
            "finalizers": ["f"],
            "managedFields": [
                {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {}}},
                {"manager": "neo4j-operator", "operation": "Update", "fieldsV1": {"f:spec": {}}},
            ],
        })
    }

    #[test]
    fn what_is_read_is_kept_and_nothing_else() {
        let meta: Meta = serde_json::from_str(&sample().to_string()).unwrap();
        assert_eq!(meta.labels.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
        assert_eq!(meta.annotations.iter().collect::<Vec<_>>(), [("neo4j.com/x", "y")]);
        assert_eq!(meta.applied_hash.as_deref(), Some("abc"));
        assert_eq!(meta.owner.as_ref().unwrap().uid.as_ref(), "u2");
        assert!(meta.update_entry);
        assert_eq!(meta.version(), Some(42));
        assert_eq!(meta.live(), Live::of(&json!({ "metadata": sample() })));
    }

    #[test]
    fn siblings_share_what_does_not_tell_them_apart() {
        let pod = |name: &str, index: &str| -> Meta {
            serde_json::from_value(json!({"name": name, "labels": {
                "apps.kubernetes.io/pod-index": index, "app": "x", "statefulset.kubernetes.io/pod-name": name, "z": "y",
            }}))
            .unwrap()
        };
        let (first, second) = (pod("c-server-0", "0").labels, pod("c-server-1", "1").labels);
        assert!(Arc::ptr_eq(
            first.shared.as_ref().unwrap(),
            second.shared.as_ref().unwrap()
        ));
        assert_ne!(first, second);
        assert_eq!(first, first.iter().collect());
        assert_eq!(second.get("apps.kubernetes.io/pod-index"), Some("1"));
        let keys: Vec<&str> = first.iter().map(|(key, _)| key).collect();
        assert!(keys.is_sorted() && keys.len() == 4, "{keys:?}");
    }

    #[test]
    fn absent_and_null_fields_are_the_same() {
        let meta: Meta = serde_json::from_value(json!({
            "name": "x", "labels": null, "annotations": null, "managedFields": null, "ownerReferences": null,
        }))
        .unwrap();
        assert_eq!(meta, serde_json::from_str(r#"{"name": "x"}"#).unwrap());
    }

    #[test]
    fn a_deletion_time_that_cannot_be_read_still_means_deleting() {
        let meta: Meta = serde_json::from_str(r#"{"name": "x", "deletionTimestamp": "soon"}"#).unwrap();
        assert!(meta.deleting.is_some());
    }
}
