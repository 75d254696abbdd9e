//! Trouble between the server and the cache: late events, cut streams, lists that fail.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt as _};
use neo4j_devcluster::apiserver::{Delivery, Failure, Hooks, Point, Verdict};

/// Numbers from a seed.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// So often in a hundred.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A plan of trouble.
#[derive(Debug)]
pub(super) struct Storm {
    dice: Mutex<Dice>,
    /// Off: all is well.
    pub(super) on: AtomicBool,
    /// Lists fail with this code, unless it is zero.
    pub(super) lists: AtomicU16,
    /// A planted fault: events are left out without a word, which no server does.
    pub(super) skips: bool,
}

impl Storm {
    pub(super) fn new(seed: u64, skips: bool) -> Self {
        Self {
            dice: Mutex::new(Dice::new(seed)),
            on: AtomicBool::new(false),
            lists: AtomicU16::new(0),
            skips,
        }
    }

    fn roll<T>(&self, look: impl FnOnce(&mut Dice) -> T) -> T {
        look(&mut self.dice.lock().unwrap())
    }
}

impl Hooks for Storm {
    fn serve_read<'a>(&'a self, point: Point<'a>) -> BoxFuture<'a, Verdict> {
        async move {
            if !self.on.load(Ordering::SeqCst) {
                return Verdict::Proceed;
            }
            let code = self.lists.load(Ordering::SeqCst);
            if point.verb == "list" && code != 0 {
                return Verdict::Fail(if code == 403 {
                    Failure::denied(point.group, point.resource, point.name, "the campaign says no")
                } else {
                    Failure::internal("the campaign says no")
                });
            }
            let (late, broken) = self.roll(|dice| (dice.below(30), dice.chance(1)));
            tokio::time::sleep(Duration::from_millis(late)).await;
            if broken { Verdict::Disconnect } else { Verdict::Proceed }
        }
        .boxed()
    }

    fn deliver_event(&self, _watcher: u64, _version: u64) -> BoxFuture<'_, Delivery> {
        async move {
            if !self.on.load(Ordering::SeqCst) {
                return Delivery::Deliver;
            }
            let (late, fate) = self.roll(|dice| (50 + dice.below(450), dice.below(1000)));
            if late % 3 == 0 {
                tokio::time::sleep(Duration::from_millis(late)).await;
            }
            match fate {
                0..10 => Delivery::Close,
                10..310 if self.skips => Delivery::Skip,
                _ => Delivery::Deliver,
            }
        }
        .boxed()
    }
}
