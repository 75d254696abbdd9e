//! What `neo4j-operator` and `neotop` say to each other: the answers of the control API, the event
//! stream, the names of metrics, strategies and goals, and the report of a backup run.
//!
//! Pure data: no I/O, no Kubernetes types, nothing of either program. JSON is camelCase, times are
//! RFC 3339, durations are written as in the custom resources (`5m`), sizes are whole bytes, kinds are
//! lower-case plurals (`pods`). A field that a daemon does not know is absent, never a made-up zero.
//!
//! `shared/golden/` holds one JSON file per answer; the tests of both programs read them, so neither
//! side can change the language alone.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod backup;
pub mod cache;
pub mod clusters;
pub mod duration;
pub mod events;
pub mod goals;
pub mod golden;
pub mod kinds;
pub mod memory;
pub mod metrics;
pub mod problem;
pub mod reconciles;
pub mod status;
pub mod strategy;
pub mod switch;
pub mod token;
pub mod watches;

pub use duration::Span;
pub use jiff::Timestamp;
pub use kinds::Kind;
pub use strategy::Strategy;
