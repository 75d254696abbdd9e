//! A process and parts of which tests decide what they hold.

use std::sync::{Arc, Mutex, PoisonError};

use neo4j_operator_shared::memory::{Cgroup, Sizes};

use super::{
    Reclaimable,
    allocator::{Decay, Refused},
    host::Host,
};

const MB: u64 = 1_000_000;

/// A process: parts allocate from it, free pages stay resident until they are returned.
pub struct FakeHost(Mutex<Fake>);

struct Fake {
    allocated: u64,
    /// Free pages.
    free: u64,
    /// Whether the allocator can be told to return them.
    ours: bool,
    log: Vec<String>,
    cgroup: Option<Cgroup>,
}

impl FakeHost {
    /// One with ten megabytes in use.
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Fake {
            allocated: 10 * MB,
            free: 0,
            ours: true,
            log: Vec::new(),
            cgroup: None,
        })))
    }

    fn fake(&self) -> std::sync::MutexGuard<'_, Fake> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Allocates.
    pub fn allocate(&self, megabytes: u64) {
        self.fake().allocated += megabytes * MB;
    }

    /// Frees; the pages stay.
    pub fn free(&self, megabytes: u64) {
        let mut fake = self.fake();
        fake.allocated -= megabytes * MB;
        fake.free += megabytes * MB;
    }

    /// Runs on another allocator.
    pub fn foreign(&self) {
        self.fake().ours = false;
    }

    /// Is in this control group.
    pub fn confine(&self, cgroup: Cgroup) {
        self.fake().cgroup = Some(cgroup);
    }

    /// Notes something in the order of what happened.
    pub fn note(&self, what: impl Into<String>) {
        self.fake().log.push(what.into());
    }

    /// What happened since the last call, in order.
    pub fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.fake().log)
    }
}

impl Host for FakeHost {
    fn sizes(&self) -> Sizes {
        let fake = self.fake();
        let resident = fake.allocated + fake.free;
        let of_allocator = |bytes| fake.ours.then_some(bytes);
        Sizes {
            rss: Some(resident),
            allocated: of_allocator(fake.allocated),
            active: of_allocator(fake.allocated),
            resident: of_allocator(resident),
            retained: of_allocator(0),
            metadata: of_allocator(0),
        }
    }

    fn cgroup(&self) -> Option<Cgroup> {
        self.fake().cgroup
    }

    fn purge(&self) -> Result<(), Refused> {
        let mut fake = self.fake();
        if !fake.ours {
            return Err(Refused::NotOurs);
        }
        fake.free = 0;
        fake.log.push("purge".into());
        Ok(())
    }

    fn set_decay(&self, decay: Decay) -> Result<(), Refused> {
        self.note(format!("decay {decay:?}"));
        Ok(())
    }

    fn returns_by_itself(&self) -> bool {
        true
    }
}

/// A part that holds megabytes of each sort.
pub struct FakePart {
    name: &'static str,
    host: Arc<FakeHost>,
    held: Mutex<[u64; 3]>,
}

impl FakePart {
    /// Holds so many megabytes that trimming, evicting and compacting give back.
    pub fn new(name: &'static str, host: &Arc<FakeHost>, held: [u64; 3]) -> Arc<Self> {
        host.allocate(held.iter().sum());
        Arc::new(Self {
            name,
            host: Arc::clone(host),
            held: Mutex::new(held),
        })
    }

    fn held(&self) -> std::sync::MutexGuard<'_, [u64; 3]> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self, what: &str, sort: usize) -> u64 {
        let megabytes = std::mem::take(&mut self.held()[sort]);
        self.host.free(megabytes);
        self.host.note(format!("{what} {}", self.name));
        megabytes * MB
    }
}

impl Reclaimable for FakePart {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn bytes(&self) -> u64 {
        self.held().iter().sum::<u64>() * MB
    }

    fn droppable(&self) -> u64 {
        self.held()[..2].iter().sum::<u64>() * MB
    }

    fn trim(&self) -> u64 {
        self.give("trim", 0)
    }

    fn evict(&self) -> u64 {
        self.give("evict", 1)
    }

    fn compact(&self) -> u64 {
        self.give("compact", 2)
    }
}
