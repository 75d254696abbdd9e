//! Marks on the time axis: what happened when a line moved.

use neo4j_operator_shared::{
    Timestamp,
    events::{Event, Payload},
};
use tokio::time::{Duration, Instant};

/// What a mark tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    /// A list was read anew, or a strategy changed.
    Cache,
    /// Memory was given back: bytes, the larger of freed and returned.
    Reclaim(u64),
    /// Something was asked for here.
    You,
}

/// A mark.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// When, by our clock.
    pub at: Instant,
    /// What.
    pub what: What,
}

impl What {
    /// As on the axis.
    pub const fn letter(self) -> char {
        match self {
            Self::Cache => 'C',
            Self::Reclaim(_) => 'G',
            Self::You => 'Y',
        }
    }
}

/// The mark of an event, if it has one. `now` is the same moment by both clocks.
pub fn of(event: &Event, now: (Instant, Timestamp)) -> Option<Mark> {
    let what = match &event.payload {
        Payload::Relist { .. } => What::Cache,
        Payload::CacheSwitch { kind: None, .. } => What::Cache,
        Payload::MemoryReclaim { freed, returned, .. } => What::Reclaim(*freed.max(returned)),
        _ => return None,
    };
    Some(Mark {
        at: ours(event.time, now)?,
        what,
    })
}

/// A moment by our clock as a time by the daemon's.
pub fn theirs(at: Instant, now: (Instant, Timestamp)) -> Option<Timestamp> {
    match now.0.checked_duration_since(at) {
        Some(ago) => now.1.checked_sub(ago).ok(),
        None => now.1.checked_add(at.saturating_duration_since(now.0)).ok(),
    }
}

/// A time by the daemon's clock as one by ours; absent before the start of ours.
pub fn ours(time: Timestamp, now: (Instant, Timestamp)) -> Option<Instant> {
    let ago = now.1.duration_since(time).as_secs_f64();
    let distance = Duration::try_from_secs_f64(ago.abs()).ok()?;
    if ago < 0.0 {
        now.0.checked_add(distance)
    } else {
        now.0.checked_sub(distance)
    }
}
