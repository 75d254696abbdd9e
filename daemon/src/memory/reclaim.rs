//! One reclaim: drop, compact, purge, measure, in this order, with bytes and time of each step.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use neo4j_operator_shared::memory::{Action, Reclaim, ReclaimAction, Sizes, Trigger};
use tokio::time::Instant;

use super::{Reclaimable, host::Host};

/// Less than this is nothing.
const LITTLE: u64 = 256 << 10;
/// The part that a purge is done to.
const ALLOCATOR: &str = "allocator";

/// Which actions are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Drop what can be had again.
    pub evict: bool,
    /// Move what is left together.
    pub compact: bool,
    /// Return free pages.
    pub purge: bool,
}

impl Scope {
    /// Everything.
    pub const ALL: Self = Self {
        evict: true,
        compact: true,
        purge: true,
    };
    /// Nothing that a later read would have to make up for.
    pub const GENTLE: Self = Self {
        evict: false,
        compact: true,
        purge: true,
    };

    /// What a level does.
    pub fn of_level(level: u8) -> Self {
        if level >= 2 {
            Self::ALL
        } else {
            Self {
                compact: false,
                ..Self::GENTLE
            }
        }
    }
}

/// What one is about.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Its number.
    pub id: u64,
    /// When it begins.
    pub time: Timestamp,
    /// What brings it about.
    pub trigger: Trigger,
    /// The level now.
    pub level: u8,
    /// What it does.
    pub scope: Scope,
}

/// Does it. Blocks: call it on a thread that may.
pub fn reclaim(order: &Order, host: &dyn Host, parts: &[Arc<dyn Reclaimable>]) -> Reclaim {
    let begun = Instant::now();
    let before = host.sizes();
    let mut actions = Vec::new();
    run(&mut actions, Action::Trim, parts, Reclaimable::trim);
    if order.scope.evict {
        run(&mut actions, Action::Evict, parts, Reclaimable::evict);
    }
    if order.scope.compact {
        run(&mut actions, Action::Compact, parts, Reclaimable::compact);
    }
    if order.scope.purge {
        actions.extend(purge(host));
    }
    let after = host.sizes();
    let mut message = message(&before, &after, &actions);
    if order.scope.purge && !actions.iter().any(|action| action.action == Action::Purge) {
        message.push_str("; the allocator could not be told to return free pages");
    }
    Reclaim {
        id: order.id,
        time: order.time,
        trigger: order.trigger,
        level: order.level,
        before,
        after,
        seconds: begun.elapsed().as_secs_f64(),
        actions,
        message,
    }
}

/// One kind of step over all parts. A part that gave nothing back is left out, unless it took its time.
fn run(
    actions: &mut Vec<ReclaimAction>,
    action: Action,
    parts: &[Arc<dyn Reclaimable>],
    act: fn(&dyn Reclaimable) -> u64,
) {
    for part in parts {
        let begun = Instant::now();
        let bytes = act(part.as_ref());
        let took = begun.elapsed();
        if bytes > 0 || took >= Duration::from_millis(1) {
            actions.push(ReclaimAction {
                action,
                part: part.name(),
                bytes,
                seconds: took.as_secs_f64(),
            });
        }
    }
}

/// Without an allocator that can be told to, there is no such step.
fn purge(host: &dyn Host) -> Option<ReclaimAction> {
    let before = host.sizes();
    let begun = Instant::now();
    match host.purge() {
        Ok(()) => {
            let took = begun.elapsed();
            Some(ReclaimAction {
                action: Action::Purge,
                part: ALLOCATOR.to_owned(),
                bytes: fell(resident(&before), resident(&host.sizes())),
                seconds: took.as_secs_f64(),
            })
        }
        Err(super::allocator::Refused::NotOurs) => None,
        Err(error) => {
            tracing::warn!(%error, "free pages were not returned");
            None
        }
    }
}

/// Resident bytes: by the operating system, else by the allocator's own count.
pub fn resident(sizes: &Sizes) -> Option<u64> {
    sizes.rss.or(sizes.resident)
}

fn fell(before: Option<u64>, after: Option<u64>) -> u64 {
    before.unwrap_or_default().saturating_sub(after.unwrap_or_default())
}

/// Bytes in use no longer: by the allocator, or where it does not say what the parts say.
pub fn freed(reclaim: &Reclaim) -> u64 {
    freed_by(&reclaim.before, &reclaim.after, &reclaim.actions)
}

fn freed_by(before: &Sizes, after: &Sizes, actions: &[ReclaimAction]) -> u64 {
    if let (Some(before), Some(after)) = (before.allocated, after.allocated) {
        return before.saturating_sub(after);
    }
    let parts = actions.iter().filter(|action| action.action != Action::Purge);
    parts.map(|action| action.bytes).sum()
}

/// Resident bytes returned to the operating system.
pub fn returned(reclaim: &Reclaim) -> u64 {
    fell(resident(&reclaim.before), resident(&reclaim.after))
}

/// Whether it brought anything worth telling.
pub fn mattered(reclaim: &Reclaim) -> bool {
    freed(reclaim) >= LITTLE || returned(reclaim) >= LITTLE
}

/// One line for people.
fn message(before: &Sizes, after: &Sizes, actions: &[ReclaimAction]) -> String {
    let freed = freed_by(before, after, actions);
    let returned = fell(resident(before), resident(after));
    if freed < LITTLE && returned < LITTLE {
        let held = [("in use", after.allocated), ("resident", resident(after))];
        let held: Vec<_> = held
            .iter()
            .filter_map(|(what, bytes)| bytes.map(|bytes| format!("{} {what}", written(bytes))))
            .collect();
        format!("there was nothing to free: {}", held.join(", "))
    } else {
        format!(
            "{} freed, {} returned to the operating system",
            written(freed),
            written(returned)
        )
    }
}

/// Bytes for people, in the units of the goals.
pub fn written(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}
