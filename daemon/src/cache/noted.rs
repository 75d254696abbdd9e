//! Quantities per object that are noted now and then and read at any time, by what is kept of the objects.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{backing::Keep, forecast::PerForm};

/// The last value for each [`Keep`]: the bits of an `f64`, and zero as long as there is none.
#[derive(Debug, Default)]
pub(super) struct Noted([AtomicU64; 3]);

impl Noted {
    /// Something of so many objects; of none it says nothing.
    pub(super) fn note(&self, keep: Keep, sum: f64, objects: u64) {
        if objects > 0 {
            let each = sum / objects as f64;
            self.0[keep as usize].store(each.to_bits(), Ordering::Relaxed);
        }
    }

    /// What was noted last.
    pub(super) fn last(&self) -> PerForm {
        let of = |keep: Keep| {
            let value = f64::from_bits(self.0[keep as usize].load(Ordering::Relaxed));
            (value > 0.0).then_some(value)
        };
        PerForm {
            key: of(Keep::Keys),
            projection: of(Keep::Selected),
            full: of(Keep::All),
        }
    }
}
