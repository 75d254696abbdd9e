//! Who is told what the cache does, and asked what it cannot know itself.

use std::time::Duration;

use super::Over;
use neo4j_operator_shared::{
    Kind, Strategy,
    cache::WarmupResult,
    reconciles::Reconcile,
    switch::{Choice, Measured, Operation, SwitchOutcome},
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
    /// What came of a change.
    fn came_of(&self, _operation: &str, _outcome: &SwitchOutcome) {}
    /// What a change left of the old stores is freed.
    fn freed(&self) {}
    /// A change of strategy was refused.
    fn refused(&self, _from: Strategy, _to: Strategy) {}
    /// A change moved a kind of `adaptive`, or left it: why.
    fn chosen(&self, _choice: &Choice) {}
    /// Stores take more than they may since now, and nothing more can be dropped.
    fn over_budget(&self, _over: &Over) {}
    /// What is, in the quantities of a forecast.
    fn measured(&self) -> Measured {
        Measured::default()
    }
    /// Requests to the API server since the start.
    fn requests(&self) -> u64 {
        0
    }
    /// The last reconciles, the newest first.
    fn reconciles(&self) -> Vec<Reconcile> {
        Vec::new()
    }
    /// Bytes that the process may still take before it is short of memory; absent where nobody knows.
    fn room(&self) -> Option<u64> {
        None
    }
    /// Level of memory, 0 to 3.
    fn level(&self) -> u8 {
        0
    }
}

/// Nobody.
impl CacheObserver for () {}
