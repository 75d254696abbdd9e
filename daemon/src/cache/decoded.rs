//! Objects decoded from a store that keeps them compressed, the least recently read of them dropped first.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hashbrown::{Equivalent, HashMap};

use super::{ident::Version, meta::Meta, packed::Packed, views::View, weight};

/// Bytes that are kept decoded per kind, unless said otherwise.
pub(super) const BOUND: u64 = 4 << 20;

/// Namespace and name.
type Key = (Arc<str>, Arc<str>);

/// The same, lent.
#[derive(Hash)]
struct Place<'a>(&'a str, &'a str);

impl Equivalent<Key> for Place<'_> {
    fn equivalent(&self, (namespace, name): &Key) -> bool {
        *self.0 == **namespace && *self.1 == **name
    }
}

/// Decoded objects of one kind.
#[derive(Debug)]
pub(super) struct Decoded<V> {
    bound: u64,
    inner: Mutex<Inner<V>>,
}

#[derive(Debug)]
struct Inner<V> {
    slots: HashMap<Key, Slot<V>>,
    /// Which key was read when; the first was not read for longest.
    order: BTreeMap<u64, Key>,
    clock: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Slot<V> {
    object: Arc<V>,
    /// One that is no number identifies as well.
    version: Version,
    read: u64,
    bytes: u64,
}

impl<V: View> Default for Decoded<V> {
    fn default() -> Self {
        Self::new(BOUND)
    }
}

impl<V: View> Decoded<V> {
    /// Keeps at most `bound` bytes.
    pub(super) fn new(bound: u64) -> Self {
        Self {
            bound,
            inner: Mutex::new(Inner {
                slots: HashMap::new(),
                order: BTreeMap::new(),
                clock: 0,
                bytes: 0,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<V>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The decoded object, decoded now unless this version of it is at hand. Two readers at once may both
    /// decode it. An object that its projection cannot read is an error, with the reason.
    pub(super) fn get_or(&self, packed: &Packed<V>) -> Result<Arc<V>, String> {
        let meta = packed.meta();
        if let Some(object) = self.lock().find(meta) {
            return Ok(object);
        }
        let object = Arc::new(packed.unpack()?);
        let bytes = size(&*object);
        if bytes <= self.bound {
            let slot = Slot {
                object: Arc::clone(&object),
                version: meta.resource_version(),
                read: 0,
                bytes,
            };
            let key = (Arc::clone(meta.namespace()), meta.name().into());
            self.lock().keep(key, slot, self.bound);
        }
        Ok(object)
    }

    /// Bytes that are kept.
    pub(super) fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    /// Drops everything; how many bytes that were.
    pub(super) fn clear(&self) -> u64 {
        let mut inner = self.lock();
        let bytes = std::mem::take(&mut inner.bytes);
        let slots = std::mem::take(&mut inner.slots);
        inner.order.clear();
        drop(inner);
        // Outside the lock: freeing takes as long as there are objects.
        drop(slots);
        bytes
    }
}

impl<V> Inner<V> {
    fn find(&mut self, meta: &Meta) -> Option<Arc<V>> {
        let slot = self.slots.get_mut(&Place(meta.namespace(), meta.name()))?;
        if slot.version != meta.resource_version() {
            return None;
        }
        self.clock += 1;
        let key = self.order.remove(&slot.read)?;
        slot.read = self.clock;
        self.order.insert(self.clock, key);
        Some(Arc::clone(&slot.object))
    }

    fn keep(&mut self, key: Key, mut slot: Slot<V>, bound: u64) {
        self.clock += 1;
        slot.read = self.clock;
        self.bytes += slot.bytes;
        self.order.insert(self.clock, key.clone());
        if let Some(before) = self.slots.insert(key, slot) {
            self.bytes -= before.bytes;
            self.order.remove(&before.read);
        }
        while self.bytes > bound
            && let Some((_, oldest)) = self.order.pop_first()
            && let Some(dropped) = self.slots.remove(&oldest)
        {
            self.bytes -= dropped.bytes;
        }
    }
}

/// Bytes of a kept object with its slots in both tables.
fn size<V: View>(object: &V) -> u64 {
    let counted = weight::shared(size_of::<V>()) + weight::shared(object.meta().name().len());
    let slots = size_of::<Key>() + size_of::<Slot<V>>() + size_of::<(u64, Key)>();
    // Both tables are about three quarters full.
    (counted + slots + slots / 3 + object.bytes()) as u64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cache::{ConfigMapView, PodView};

    fn packed(name: &str, version: u64) -> Packed<PodView> {
        let text = json!({
            "metadata": {"namespace": "n", "name": name, "resourceVersion": version.to_string()},
            "spec": {"nodeName": "x".repeat(100)},
        });
        serde_json::from_str(&text.to_string()).unwrap()
    }

    #[test]
    fn a_version_is_decoded_once_and_the_next_one_takes_its_place() {
        let decoded = Decoded::<PodView>::default();
        let first = decoded.get_or(&packed("a", 1)).unwrap();
        assert!(Arc::ptr_eq(&first, &decoded.get_or(&packed("a", 1)).unwrap()));
        let one = decoded.bytes();
        assert_eq!(one, size(&*first));
        let second = decoded.get_or(&packed("a", 2)).unwrap();
        assert_eq!(second.metadata.version(), Some(2));
        assert_eq!(decoded.bytes(), one);
        assert_eq!(decoded.clear(), one);
        assert_eq!((decoded.bytes(), decoded.clear()), (0, 0));
    }

    #[test]
    fn the_least_recently_read_goes_first_and_the_bound_holds() {
        let room = size(&*packed("a", 1).unpack().map(Arc::new).unwrap());
        let decoded = Decoded::<PodView>::new(3 * room);
        let kept: Vec<_> = ["a", "b", "c"]
            .map(|name| decoded.get_or(&packed(name, 1)).unwrap())
            .into();
        decoded.get_or(&packed("a", 1)).unwrap();
        decoded.get_or(&packed("d", 1)).unwrap();
        assert!(decoded.bytes() <= 3 * room);
        assert!(Arc::ptr_eq(&kept[0], &decoded.get_or(&packed("a", 1)).unwrap()));
        assert!(Arc::ptr_eq(&kept[2], &decoded.get_or(&packed("c", 1)).unwrap()));
        assert!(!Arc::ptr_eq(&kept[1], &decoded.get_or(&packed("b", 1)).unwrap()));
        for number in 0..1000 {
            decoded.get_or(&packed(&format!("p{number}"), number)).unwrap();
            let inner = decoded.lock();
            assert!(inner.bytes <= 3 * room && inner.slots.len() == inner.order.len());
        }
    }

    #[test]
    fn what_is_larger_than_the_bound_is_handed_out_and_not_kept() {
        let decoded = Decoded::<PodView>::new(100);
        assert_eq!(decoded.get_or(&packed("a", 1)).unwrap().metadata.name(), "a");
        assert_eq!(decoded.bytes(), 0);
    }

    #[test]
    fn an_object_that_cannot_be_read_says_why() {
        let text = r#"{"metadata": {"name": "a"}, "status": {"conditions": "soon"}}"#;
        let broken: Packed<PodView> = serde_json::from_str(text).unwrap();
        let reason = Decoded::default().get_or(&broken).unwrap_err();
        assert!(reason.contains("cannot be read"), "{reason}");
        let text = r#"{"metadata": {"name": "a"}, "data": {"k": "v"}}"#;
        let plain: Packed<ConfigMapView> = serde_json::from_str(text).unwrap();
        assert!(Decoded::default().get_or(&plain).is_ok());
    }
}
