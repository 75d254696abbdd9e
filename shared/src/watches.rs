//! `GET /v1/watches`.

use serde::{Deserialize, Serialize};

use crate::{Kind, Span};

/// Answer of `GET /v1/watches`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WatchList {
    /// One row per watch.
    pub items: Vec<Watch>,
}

/// State of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WatchState {
    /// Not yet begun.
    Starting,
    /// Reading the initial list.
    Listing,
    /// Following changes.
    Live,
    /// In trouble; `reason` says which.
    Degraded,
    /// Ended for good.
    Stopped,
}

/// One watch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Watch {
    /// What is watched.
    pub kind: Kind,
    /// Namespace in scope; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Label selector, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Whether only metadata is transferred.
    pub metadata_only: bool,
    /// State.
    pub state: WatchState,
    /// Why it is degraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// resourceVersion of the last event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// Events since the start.
    pub events: u64,
    /// Times it had to begin anew.
    pub restarts: u64,
    /// Age of the last event or bookmark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<Span>,
}
