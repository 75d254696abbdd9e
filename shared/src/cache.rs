//! `GET /v1/cache`, `POST /v1/cache/warmup`. What a strategy would cost and how one is changed: [`crate::switch`].

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{Kind, Span, Strategy, switch::Operation};

/// Answer of `GET /v1/cache`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cache {
    /// The strategy of kinds without one of their own.
    pub strategy: Strategy,
    /// Hits ÷ cacheable reads over the last 5 minutes, all kinds; absent without such reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hit_rate: Option<f64>,
    /// Sum over the kinds.
    pub objects: u64,
    /// Sum over the kinds.
    pub bytes: u64,
    /// Bytes that all kinds together may take; absent without such a bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<u64>,
    /// The change of strategy that is under way, or that may still be rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// One row per kind.
    pub kinds: Vec<KindCache>,
}

/// The cache of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KindCache {
    /// The kind.
    pub kind: Kind,
    /// Its strategy now.
    pub strategy: Strategy,
    /// Whether the strategy is its own, set for this kind by hand, and not the default.
    #[serde(default)]
    pub pinned: bool,
    /// What is kept per object: `none`, `metadata`, `projection` or `full`.
    pub form: Form,
    /// Label selector of the watch, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Objects kept.
    pub objects: u64,
    /// Bytes kept.
    pub bytes: u64,
    /// Bytes that it may take; absent without such a bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<u64>,
    /// Of those, bytes of objects that were decoded for reads and can be dropped at any time.
    #[serde(default)]
    pub decoded_bytes: u64,
    /// Reads since the start, by result.
    pub reads: Reads,
    /// Misses and fallbacks since the start, by reason; a reason that never occurred is left out.
    #[serde(default)]
    pub misses: BTreeMap<MissReason, u64>,
    /// Hits ÷ (hits + misses + fallbacks) over the last 5 minutes; absent without such reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hit_rate: Option<f64>,
    /// Complete lists since the start, the first ones included.
    #[serde(default)]
    pub lists: u64,
    /// Whether the store holds a complete list.
    pub synced: bool,
    /// Age of the last event or bookmark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<Span>,
    /// How long ago a reconcile last read it; absent if none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<Span>,
}

/// What a backing keeps of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Form {
    /// Nothing; reads ask the API server.
    None,
    /// Metadata only.
    Metadata,
    /// The fields that are read.
    Projection,
    /// The whole object.
    Full,
}

impl Form {
    /// As in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Metadata => "metadata",
            Self::Projection => "projection",
            Self::Full => "full",
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Reads by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reads {
    /// Answered from the store.
    pub hit: u64,
    /// Could have been answered by a cache, was not.
    pub miss: u64,
    /// A filtered store had none, so the server was asked.
    pub fallback: u64,
    /// Never answerable from the cache.
    pub bypass: u64,
}

impl Reads {
    /// Those that a cache could answer.
    pub const fn cacheable(&self) -> u64 {
        self.hit + self.miss + self.fallback
    }
}

/// Why a read that a cache could have answered went to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MissReason {
    /// Nothing of this kind is kept.
    Cold,
    /// The store has no complete or no trusted list.
    Unsynced,
    /// What was kept has been dropped.
    Evicted,
    /// The store is older than what was written or read before.
    Stale,
    /// The store holds a selection and has no such object.
    Filtered,
}

impl MissReason {
    /// Every reason.
    pub const ALL: [Self; 5] = [Self::Cold, Self::Unsynced, Self::Evicted, Self::Stale, Self::Filtered];

    /// As in JSON and in the label `reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Unsynced => "unsynced",
            Self::Evicted => "evicted",
            Self::Stale => "stale",
            Self::Filtered => "filtered",
        }
    }
}

/// Body of `POST /v1/cache/warmup`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WarmupRequest {
    /// Kinds to warm; without it every kind that the strategy in force keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Vec<Kind>>,
}

/// Answer of `POST /v1/cache/warmup`; how each ends is told by events of type `cache_warmup`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Warmups {
    /// One row per kind asked for, in the order in which they begin.
    pub kinds: Vec<KindWarmup>,
}

/// What a warm-up does for one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KindWarmup {
    /// The kind.
    pub kind: Kind,
    /// What was done.
    pub state: WarmupState,
    /// Objects that it holds now, if it is warm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<u64>,
}

/// What a warm-up does for one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WarmupState {
    /// It will be listed, in turn.
    Queued,
    /// It holds a complete list already.
    Warm,
    /// Its strategy keeps nothing to read from.
    NotKept,
    /// The queue of warm-ups is full; ask again.
    Dropped,
}

/// How a warm-up ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WarmupResult {
    /// The kind is read from its store.
    Ok,
    /// The queue was full.
    Dropped,
    /// It did not get ready in time; reads go on asking the server.
    Failed,
}

impl WarmupResult {
    /// As in JSON and in the label `result`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Dropped => "dropped",
            Self::Failed => "failed",
        }
    }
}
