//! What gives memory back, and what is slowed down while it is short: joins the memory manager with the rest.
//!
//! The flight recorder and the event stream are bounded by design and tell what
//! happened last, which matters most when something is wrong: they are shown, and never dropped.

use std::{sync::Arc, time::Duration};

use neo4j_operator_shared::Kind;

use crate::{
    cache::{Router, text},
    memory::{Reclaimable, manager::Brakes},
    neo4j::Registry,
    queue::{Priority, Queue},
    telemetry::Telemetry,
};

/// A connection that was idle for so long is closed when memory gets short.
const IDLE: Duration = Duration::from_secs(60);
/// Bytes of an open Bolt connection, estimated: buffers of TLS in both directions, and the driver's own.
const CONNECTION: u64 = 40 << 10;

/// The connections to Neo4j.
pub struct BoltPool(pub Registry);

impl Reclaimable for BoltPool {
    fn name(&self) -> String {
        "bolt_pool".to_owned()
    }

    fn bytes(&self) -> u64 {
        self.0.connections().0 as u64 * CONNECTION
    }

    fn droppable(&self) -> u64 {
        self.0.connections().1 as u64 * CONNECTION
    }

    fn trim(&self) -> u64 {
        self.0.close_idle(IDLE) as u64 * CONNECTION
    }

    fn evict(&self) -> u64 {
        self.0.close_idle(Duration::ZERO) as u64 * CONNECTION
    }
}

/// What is kept of one kind.
pub struct CachedKind {
    /// The cache.
    pub cache: Router,
    /// The kind.
    pub kind: Kind,
}

impl Reclaimable for CachedKind {
    fn name(&self) -> String {
        format!("cache:{}", self.kind)
    }

    fn bytes(&self) -> u64 {
        self.cache.bytes(self.kind).0
    }

    fn droppable(&self) -> u64 {
        self.cache.bytes(self.kind).1
    }

    fn evict(&self) -> u64 {
        self.cache.evict_decoded(self.kind)
    }

    fn compact(&self) -> u64 {
        self.cache.compact(self.kind)
    }
}

/// The kinds that are kept because they were read; their bytes are those of the kinds. They are let go as a
/// change of strategy is, which takes a moment longer than the reclaim that asks for it.
pub struct LazyKinds(pub Router);

impl Reclaimable for LazyKinds {
    fn name(&self) -> String {
        "lazy".to_owned()
    }

    fn evict(&self) -> u64 {
        if self.0.lazy_bytes() > 0 {
            self.0.let_go_lazy();
        }
        0
    }
}

/// The strings that cached objects share.
pub struct Texts;

impl Reclaimable for Texts {
    fn name(&self) -> String {
        "texts".to_owned()
    }

    fn bytes(&self) -> u64 {
        text::bytes()
    }

    fn trim(&self) -> u64 {
        text::sweep()
    }
}

/// The work queue.
pub struct Tables(pub Queue);

impl Reclaimable for Tables {
    fn name(&self) -> String {
        "queue".to_owned()
    }

    fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    fn trim(&self) -> u64 {
        self.0.shrink()
    }
}

/// The flight recorder.
pub struct Recorder(pub Arc<Telemetry>);

impl Reclaimable for Recorder {
    fn name(&self) -> String {
        "recorder".to_owned()
    }

    fn bytes(&self) -> u64 {
        self.0.recorder.bytes()
    }
}

/// The event stream.
pub struct Events(pub Arc<Telemetry>);

impl Reclaimable for Events {
    fn name(&self) -> String {
        "events".to_owned()
    }

    fn bytes(&self) -> u64 {
        self.0.stream.bytes()
    }
}

/// The work queue, slowed down while memory is short. What somebody changed is always seen to.
pub struct QueueBrakes {
    /// The queue.
    pub queue: Queue,
    /// Its workers.
    pub workers: usize,
}

impl Brakes for QueueBrakes {
    fn halve(&self, half: bool) {
        self.queue.limit(half.then_some((self.workers / 2).max(1)));
    }

    fn hold_back(&self, held: bool) {
        self.queue.hold(held.then_some(Priority::Requeued));
    }

    fn idle(&self) -> bool {
        self.queue.idle()
    }
}
