//! Who is told what the cache does, and asked what it cannot know itself.

use std::time::Duration;

use neo4j_operator_shared::{
    Kind, Strategy,
    cache::WarmupResult,
    switch::{Measured, Operation},
};

/// Is told what the cache does. Calls come from the watches and must not block.
pub trait CacheObserver: Send + Sync + 'static {
    /// A list was read anew.
    fn relisted(&self, _kind: Kind, _objects: u64, _took: Duration) {}
    /// A kind was raised to be read from its store, or was not.
    fn warmed(&self, _kind: Kind, _result: WarmupResult, _objects: u64, _took: Duration) {}
    /// A kind was let go.
    fn evicted(&self, _kind: Kind, _reason: &'static str) {}
    /// A change of strategy got on; `kind` got ready, if one is named.
    fn switched(&self, _operation: &Operation, _kind: Option<Kind>) {}
    /// What a change left of the old stores is freed.
    fn freed(&self) {}
    /// A change of strategy was refused.
    fn refused(&self, _from: Strategy, _to: Strategy) {}
    /// What is, in the quantities of a forecast.
    fn measured(&self) -> Measured {
        Measured::default()
    }
    /// Whether the process takes more memory than it may.
    fn over_budget(&self) -> bool {
        false
    }
}

/// Nobody.
impl CacheObserver for () {}
