//! Bounds the one open set among the label values: the namespaces of reconciled resources.
//!
//! Up to [`MAX`] namespaces keep their name, all later ones share `_other` until room is made by
//! [`Namespaces::retain`], which is called when resources are gone.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

/// Namespaces with series of their own.
pub const MAX: usize = 200;

/// Value of the label for everything beyond the bound.
pub const OTHER: &str = "_other";

/// The namespaces that have series of their own.
#[derive(Debug, Default)]
pub struct Namespaces(Mutex<HashSet<Arc<str>>>);

impl Namespaces {
    /// The label's value for this namespace.
    pub fn label(&self, namespace: &str) -> Arc<str> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = known.get(namespace) {
            return Arc::clone(name);
        }
        if known.len() >= MAX {
            return OTHER.into();
        }
        let name: Arc<str> = namespace.into();
        known.insert(Arc::clone(&name));
        name
    }

    /// Keeps the namespaces that are `alive` and hands out the others, whose series can go.
    pub fn retain(&self, alive: impl Fn(&str) -> bool) -> Vec<Arc<str>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<_> = known.iter().filter(|name| !alive(name)).map(Arc::clone).collect();
        known.retain(|name| alive(name));
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_bound_namespaces_share_one_label_until_others_are_gone() {
        let namespaces = Namespaces::default();
        for n in 0..MAX {
            assert_eq!(&*namespaces.label(&format!("n{n}")), format!("n{n}"));
        }
        assert_eq!(&*namespaces.label("late"), OTHER);
        assert_eq!(&*namespaces.label("n7"), "n7");
        let gone = namespaces.retain(|name| name != "n7");
        assert_eq!(gone, [Arc::from("n7")]);
        assert_eq!(&*namespaces.label("late"), "late");
    }
}
