//! A sliding window without a lock: a ring of slots, each of which counts one span of time.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// What a slot counts.
pub(super) trait Slot: Default {
    /// Forgets everything.
    fn empty(&self);
}

/// Slots of equal length. Times are given as the time since the ring was made.
#[derive(Debug)]
pub(super) struct Ring<T, const N: usize> {
    length: Duration,
    slots: [(AtomicU64, T); N],
}

impl<T: Slot, const N: usize> Ring<T, N> {
    /// A ring of slots that count `length` each.
    pub(super) fn new(length: Duration) -> Self {
        Self {
            length,
            slots: std::array::from_fn(|_| (AtomicU64::new(0), T::default())),
        }
    }

    fn round(&self, now: Duration) -> u64 {
        // The first round is one, so that an untouched slot belongs to none.
        (now.as_millis() / self.length.as_millis().max(1)) as u64 + 1
    }

    /// The slot that counts now, emptied if it still held an earlier round.
    pub(super) fn at(&self, now: Duration) -> &T {
        let round = self.round(now);
        let (of, counted) = &self.slots[round as usize % N];
        let known = of.load(Ordering::Acquire);
        // Whoever turns the slot over empties it; a read counted in the same instant may be lost, no more.
        if known != round
            && of
                .compare_exchange(known, round, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
        {
            counted.empty();
        }
        counted
    }

    fn rounds(&self, window: Duration) -> u64 {
        let rounds = window.as_millis() / self.length.as_millis().max(1);
        (rounds as u64).clamp(1, N as u64)
    }

    /// The slots of the last `window`, the one that is being filled among them.
    pub(super) fn within(&self, now: Duration, window: Duration) -> impl Iterator<Item = &T> {
        let (round, rounds) = (self.round(now), self.rounds(window));
        self.slots.iter().filter_map(move |(of, counted)| {
            let known = of.load(Ordering::Acquire);
            (known > 0 && known + rounds > round).then_some(counted)
        })
    }

    /// How much time these slots cover: at most the window, and at most one slot less.
    pub(super) fn covered(&self, now: Duration, window: Duration) -> Duration {
        let before = self.round(now).saturating_sub(self.rounds(window));
        now.saturating_sub(self.length * u32::try_from(before).unwrap_or(u32::MAX))
    }
}
