//! `GET /v1/cache`.

use serde::{Deserialize, Serialize};

use crate::{Kind, Span, Strategy};

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
    /// What is kept per object: `none`, `metadata`, `projection` or `full`.
    pub form: Form,
    /// Label selector of the watch, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Objects kept.
    pub objects: u64,
    /// Bytes kept.
    pub bytes: u64,
    /// Reads since the start, by result.
    pub reads: Reads,
    /// Hits ÷ (hits + misses + fallbacks) over the last 5 minutes; absent without such reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hit_rate: Option<f64>,
    /// Whether the store holds a complete list.
    pub synced: bool,
    /// Age of the last event or bookmark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<Span>,
}

/// What a backing keeps of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
