//! Typed metric families: the labels of a family are a struct, so that a wrong number of label values does
//! not compile (the `prometheus` crate panics on it at run time).
//!
//! A label value is a variant of an enum or a bounded identity, never a message, an address or a foreign
//! name. The one open set here is the namespace, which [`super::namespaces::Namespaces`] bounds.

use std::marker::PhantomData;

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

/// The label values of one series.
pub trait Labels {
    /// Hands the values to `then` in the order of the names.
    fn with<R>(&self, then: impl FnOnce(&[&str]) -> R) -> R;
}

/// A set of label names, given by the label struct with any lifetime.
pub trait LabelSet {
    /// The label struct.
    type Of<'a>: Labels;
    /// Label names.
    const NAMES: &'static [&'static str];
}

/// Declares label structs whose field names are the label names.
macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident { $($field:ident),+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        #[allow(missing_docs)] // the fields are the label names of the catalogue
        pub struct $name<'a> { $(pub $field: &'a str),+ }

        impl $crate::telemetry::family::Labels for $name<'_> {
            fn with<R>(&self, then: impl FnOnce(&[&str]) -> R) -> R {
                then(&[$(self.$field),+])
            }
        }

        impl $crate::telemetry::family::LabelSet for $name<'static> {
            type Of<'a> = $name<'a>;
            const NAMES: &'static [&'static str] = &[$(stringify!($field)),+];
        }
    )+};
}
pub(crate) use labels;

/// Counters of one family.
pub struct Counters<L> {
    vec: IntCounterVec,
    labels: PhantomData<fn(L)>,
}

/// Distributions of one family.
pub struct Histograms<L> {
    vec: HistogramVec,
    labels: PhantomData<fn(L)>,
}

// === impl Counters ===

impl<L: LabelSet> Counters<L> {
    /// Registers the family.
    pub fn register(registry: &Registry, name: &str, help: &str) -> prometheus::Result<Self> {
        let vec = IntCounterVec::new(Opts::new(name, help), L::NAMES)?;
        registry.register(Box::new(vec.clone()))?;
        Ok(Self {
            vec,
            labels: PhantomData,
        })
    }

    /// The counter with these labels.
    pub fn of(&self, labels: L::Of<'_>) -> IntCounter {
        labels.with(|values| self.vec.with_label_values(values))
    }

    /// Removes the series with these labels.
    pub fn forget(&self, labels: L::Of<'_>) {
        // An error means that there is none, which is what was asked for.
        let _ = labels.with(|values| self.vec.remove_label_values(values));
    }
}

// === impl Histograms ===

impl<L: LabelSet> Histograms<L> {
    /// Registers the family with these upper bounds, seconds.
    pub fn register(registry: &Registry, name: &str, help: &str, bounds: Vec<f64>) -> prometheus::Result<Self> {
        let vec = HistogramVec::new(HistogramOpts::new(name, help).buckets(bounds), L::NAMES)?;
        registry.register(Box::new(vec.clone()))?;
        Ok(Self {
            vec,
            labels: PhantomData,
        })
    }

    /// The distribution with these labels.
    pub fn of(&self, labels: L::Of<'_>) -> Histogram {
        labels.with(|values| self.vec.with_label_values(values))
    }

    /// Removes the series with these labels.
    pub fn forget(&self, labels: L::Of<'_>) {
        // As for counters.
        let _ = labels.with(|values| self.vec.remove_label_values(values));
    }
}
