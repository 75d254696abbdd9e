//! `GET /v1/memory` and `POST /v1/memory/gc`. All sizes are bytes. The allocator's figures overlap and are
//! never summed; `retained` is address space, not memory.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Answer of `GET /v1/memory`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// Whether the manager acts by itself (`ENABLE_MEMORY_MANAGER`).
    pub enabled: bool,
    /// What the process may take.
    pub limit: u64,
    /// Where the limit comes from.
    pub limit_source: LimitSource,
    /// Resident bytes ÷ limit; absent where the operating system does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pressure: Option<f64>,
    /// 0 none, 1 trim, 2 evict, 3 protect.
    pub level: u8,
    /// The figures now.
    pub sizes: Sizes,
    /// The control group of the process, where it is in one with a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<Cgroup>,
    /// Who holds what, the largest first, as far as it is accounted for.
    pub owners: Vec<Holder>,
    /// What a forced reclaim could give back now at least and at most.
    pub expected: Expected,
    /// Past reclaims, the newest first.
    pub reclaims: Vec<Reclaim>,
}

/// Where the limit comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LimitSource {
    /// `--memory-limit`.
    Setting,
    /// Nine tenths of the limit of the control group.
    Cgroup,
    /// Neither is given: 500 MB.
    #[default]
    Default,
}

/// Sizes of the process. What is not known is absent: without our allocator only `rss` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sizes {
    /// Resident bytes, by the operating system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss: Option<u64>,
    /// Bytes in use by the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocated: Option<u64>,
    /// Bytes of pages with something in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<u64>,
    /// Bytes of pages that the allocator has, by its own count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident: Option<u64>,
    /// Address space kept for later; not memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retained: Option<u64>,
    /// The allocator's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<u64>,
}

/// A control group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cgroup {
    /// `memory.current`.
    pub current: u64,
    /// `memory.max`.
    pub max: u64,
    /// `memory.high`, if set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<u64>,
    /// Percent of the last 10 s in which some task waited for memory, where the kernel says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stalled: Option<f64>,
}

/// Who holds memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// `cache:<kind>`, `decoded`, `bolt_pool`, `recorder`, `events`, `texts` and the like.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// Whether a reclaim may drop it.
    pub reclaimable: bool,
}

/// What a reclaim can give back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expected {
    /// At least.
    pub least: u64,
    /// At most.
    pub most: u64,
}

/// A reclaim, also the answer of `POST /v1/memory/gc`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reclaim {
    /// Its number since the start.
    pub id: u64,
    /// When it began.
    pub time: Timestamp,
    /// What brought it about.
    pub trigger: Trigger,
    /// The level it acted for.
    pub level: u8,
    /// Sizes before.
    pub before: Sizes,
    /// Sizes after.
    pub after: Sizes,
    /// How long it took, seconds.
    pub seconds: f64,
    /// What it did, in order.
    pub actions: Vec<ReclaimAction>,
    /// One line for people; says so when there was nothing to free.
    pub message: String,
}

/// What brings a reclaim about. The serialized names are the values of the label `trigger`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The time was up.
    Tick,
    /// A level was reached.
    Pressure,
    /// Nothing else to do, and much to give back.
    Idle,
    /// A change of the cache strategy.
    Switch,
    /// Somebody asked.
    Forced,
}

impl Trigger {
    /// As in JSON and in the label `trigger`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tick => "tick",
            Self::Pressure => "pressure",
            Self::Idle => "idle",
            Self::Switch => "switch",
            Self::Forced => "forced",
        }
    }
}

/// One step of a reclaim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReclaimAction {
    /// What was done.
    pub action: Action,
    /// To what: `bolt_pool`, `decoded`, `cache:pods`, `allocator` and the like.
    pub part: String,
    /// Bytes that it gave back: of a purge resident ones, else bytes no longer in use.
    pub bytes: u64,
    /// How long it took, seconds.
    pub seconds: f64,
}

/// What a step does. The serialized names are the values of the label `action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Close what is idle, expire, shrink buffers.
    Trim,
    /// Drop what can be read again.
    Evict,
    /// Move what is left together.
    Compact,
    /// Return free pages to the operating system.
    Purge,
    /// Step a kind down to a smaller strategy.
    Demote,
}

impl Action {
    /// As in JSON and in the label `action`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trim => "trim",
            Self::Evict => "evict",
            Self::Compact => "compact",
            Self::Purge => "purge",
            Self::Demote => "demote",
        }
    }
}
