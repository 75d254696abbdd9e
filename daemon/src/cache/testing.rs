//! For the tests that weigh what is kept: a kind's store, filled from the JSON of a list as a watch fills it.

use std::sync::Arc;

use serde::Deserialize;

use super::{
    backing::{Keep, Kept},
    meta::Meta,
    packed::Packed,
    pump::Slim,
    store::Store,
    text,
    views::View,
};

/// A store of one kind, without its watch.
pub struct Held<V: View>(Kept<V>);

impl<V: View> Held<V> {
    /// Of each object the little that triggers need.
    pub fn keys() -> Self {
        Self(Kept::new(Keep::Keys))
    }

    /// Of each object the fields that are read.
    pub fn selected() -> Self {
        Self(Kept::new(Keep::Selected))
    }

    /// Each object whole; of Secrets the metadata.
    pub fn whole() -> Self {
        Self(Kept::new(Keep::All))
    }

    /// Takes a complete list, an object after the other; every list has a higher number than the one before.
    ///
    /// # Errors
    /// An object that cannot be decoded, with the reason.
    pub fn list<T: AsRef<[u8]>>(&self, number: u32, texts: impl Iterator<Item = T>) -> Result<(), serde_json::Error> {
        match &self.0 {
            Kept::Keys(store) => fill(store, number, texts),
            Kept::Projected(store) => fill(store, number, texts),
            Kept::Whole(store, _) => fill(store, number, texts),
        }
    }

    /// Objects, and bytes as the store counts them.
    pub fn totals(&self) -> (u64, u64) {
        self.0.table().totals()
    }

    /// Moves what is kept into fresh memory.
    pub fn compact(&self) -> u64 {
        self.0.table().compact()
    }

    /// Shows the metadata of every object.
    pub fn each(&self, look: &mut dyn FnMut(&Meta)) {
        self.0.table().each(look);
    }

    /// Every object as it is read.
    pub fn read(&self, namespace: &str) -> Vec<Arc<V>> {
        let everything = super::Select::All;
        self.0
            .list(namespace, &everything)
            .map(|(objects, _)| objects)
            .unwrap_or_default()
    }
}

fn fill<V: View, T: AsRef<[u8]>>(
    store: &Store<V>,
    number: u32,
    texts: impl Iterator<Item = T>,
) -> Result<(), serde_json::Error> {
    let began = store.tick();
    for text in texts {
        store.apply(serde_json::from_slice(text.as_ref())?, Some(number));
    }
    store.sweep(None, number, began);
    Ok(())
}

/// Decodes an object to what triggers need of it, and drops it.
///
/// # Errors
/// As of [`Held::list`].
pub fn decode_key<V: View>(text: &[u8]) -> Result<(), serde_json::Error> {
    Slim::<V>::deserialize(&mut serde_json::Deserializer::from_slice(text)).map(drop)
}

/// What would be kept of an object as a whole, as text.
///
/// # Errors
/// As of [`Held::list`].
pub fn whole_text<V: View>(text: &[u8]) -> Result<String, String> {
    let packed: Packed<V> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    packed.text()
}

/// Bytes of the strings that objects share.
pub fn shared_bytes() -> u64 {
    text::bytes()
}

/// Drops the strings that nobody shares any more.
pub fn sweep_shared() -> u64 {
    text::sweep()
}
