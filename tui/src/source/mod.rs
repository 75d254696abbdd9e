//! Where data comes from: the daemon's `/metrics` and its control API, over plain HTTP/1.1.
//!
//! [`poll`] asks once a second and keeps only the newest answer, [`page`] asks for what only the open
//! page shows, [`sse`] follows the event stream, [`discover`] finds daemon and token. Nothing here knows
//! the screen; everything ends in a [`Sample`], a [`page::PageItem`], a [`StreamItem`] or a [`LinkReport`].

pub mod discover;
pub mod http;
pub mod page;
pub mod poll;
pub mod prom;
pub mod sse;

use std::sync::Arc;

use neo4j_operator_shared::{cache::Cache, clusters::ClusterList, events::Event, status::Status};
use tokio::time::Instant;

use self::prom::Scrape;

/// Everything that one round of questions brought.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When the answers were complete, by our clock.
    pub at: Instant,
    /// `/metrics`.
    pub scrape: Scrape,
    /// `/v1/status`.
    pub status: Status,
    /// `/v1/clusters`.
    pub clusters: ClusterList,
    /// `/v1/cache`.
    pub cache: Cache,
}

/// How the last round went.
#[derive(Clone, Debug)]
pub enum LinkReport {
    /// No round has ended yet.
    Connecting,
    /// It went well.
    Up(Arc<Sample>),
    /// It failed.
    Failed {
        /// Why, for people.
        reason: String,
        /// Whether trying again cannot help until somebody changes something (401, 403).
        refused: bool,
        /// Failures in a row.
        tries: u32,
        /// When the next round begins.
        next: Instant,
    },
}

/// Something from the event stream.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamItem {
    /// An event, with its id where it has a place in the sequence.
    Event(Option<String>, Box<Event>),
    /// The stream ended; it will be opened again and resume.
    Lost,
}
