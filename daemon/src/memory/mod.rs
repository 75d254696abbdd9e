//! What the process takes of memory, and how it gives some of it back.
//!
//! There is no garbage to collect in this program. "Giving memory back" is three things: dropping live state
//! that can be had again, moving together what is left, and returning free pages to the operating system. What
//! can be dropped is registered by its owner as a [`Reclaimable`]; [`levels`] decides when, as a pure function;
//! [`reclaim`] does it, and says of each step how many bytes it brought; [`manager`] is the task around them.
//!
//! Never dropped: the custom resources, what runs, key sets, cooldowns.

pub mod allocator;
pub mod host;
pub mod levels;
pub mod limit;
pub mod manager;
pub mod reclaim;
#[cfg(test)]
pub mod testing;

pub use manager::Manager;

/// A part of the daemon that can give memory back. Sizes are bytes; a part says what it knows.
///
/// The methods are called on a thread that may block, one part after the other.
pub trait Reclaimable: Send + Sync + 'static {
    /// As in `cache:<kind>`, `decoded`, `bolt_pool`: part of metric labels, so one of a small set.
    fn name(&self) -> String;

    /// What it holds.
    fn bytes(&self) -> u64 {
        0
    }

    /// Of [`Reclaimable::bytes`], what trimming and evicting would drop now.
    fn droppable(&self) -> u64 {
        0
    }

    /// Closes what is idle, lets expire what is old, shrinks what has grown; says how much it freed.
    fn trim(&self) -> u64 {
        0
    }

    /// Drops what can be had again; says how much it freed.
    fn evict(&self) -> u64 {
        0
    }

    /// Moves what is left together; says how much less it holds. What that is worth beyond it is seen only once
    /// the free pages are returned.
    fn compact(&self) -> u64 {
        0
    }
}
