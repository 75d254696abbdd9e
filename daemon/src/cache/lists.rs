//! The complete lists of a kind: how many there were, and how long those took that say something of the next.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::{backing::Keep, forecast::PerForm, noted::Noted};

/// A list of fewer objects, two pages, says how long the server takes to answer at all.
const TELLING: u64 = 500;

/// Shared by all watches of a kind.
#[derive(Debug, Default)]
pub(super) struct Lists {
    complete: AtomicU64,
    /// Seconds per object of the last telling list.
    pace: Noted,
}

impl Lists {
    /// A list was complete, of so many objects.
    pub(super) fn note(&self, keep: Keep, objects: u64, took: Duration) {
        self.complete.fetch_add(1, Ordering::Relaxed);
        if objects >= TELLING {
            self.pace.note(keep, took.as_secs_f64(), objects);
        }
    }

    /// How many there were.
    pub(super) fn complete(&self) -> u64 {
        self.complete.load(Ordering::Relaxed)
    }

    /// Seconds per object of the last list that filled a store of a form.
    pub(super) fn pace(&self) -> PerForm {
        self.pace.last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_many_objects_tells_how_long_the_next_one_of_its_form_takes() {
        let lists = Lists::default();
        assert_eq!(lists.pace(), PerForm::default());
        lists.note(Keep::All, 10_000, Duration::from_secs(2));
        lists.note(Keep::All, TELLING - 1, Duration::from_secs(9));
        lists.note(Keep::Keys, 1_000, Duration::from_secs(1));
        let wanted = PerForm {
            key: Some(0.001),
            projection: None,
            full: Some(0.0002),
        };
        assert_eq!((lists.complete(), lists.pace()), (3, wanted));
    }
}
