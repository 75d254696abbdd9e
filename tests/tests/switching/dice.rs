//! Numbers from a seed.

use std::{
    hash::{DefaultHasher, Hash, Hasher as _},
    time::Duration,
};

/// Numbers from a seed.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Those that belong to one thing: which they are does not depend on what else was asked before.
    pub fn of(seed: u64, thing: impl Hash) -> Self {
        // The keys of this hasher are fixed: the same thing gives the same numbers in every process.
        let mut hasher = DefaultHasher::new();
        (seed, thing).hash(&mut hasher);
        Self::new(hasher.finish())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// So often in a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A pause of up to so many milliseconds.
    pub fn pause(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.below(most))
    }

    /// In another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for place in (1..items.len()).rev() {
            items.swap(place, self.below(place as u64 + 1) as usize);
        }
    }
}
