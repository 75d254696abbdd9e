//! Reads of the reconcilers: from a store where the kind has one, else from the API server.
//!
//! Triggers and reads are apart. Watches of the custom resources always run and wake reconciles; a strategy
//! only decides what is kept of the other kinds and where a read comes from. [`Router`] is the one door: it
//! knows per kind what is kept, never answers older than what this process has written or already handed out,
//! and never takes "not in the store" for "not there".
//!
//! What is kept of a kind is a [`backing`]: a store with the watches that fill it. A strategy is a [`policy`]
//! that says which backing each kind has, and a change of it, whoever wants it ([`switch`], [`lazy`]), [`fill`]s
//! another backing beside the one that is read and then swaps the two ([`source`], [`table`]).
//!
//! An object is kept as small as it can be read from: its metadata as numbers, a [`shape`] that it shares with all
//! like it, and its texts in one [piece](pieces) of memory. What that takes is counted as the allocator rounds it
//! ([`weight`]) and weighed in `daemon/tests/bytes`.

mod adaptive;
mod adviser;
mod answer;
mod backing;
mod budgets;
mod counts;
mod custom;
mod decoded;
mod fill;
mod filter;
mod follow;
mod forecast;
mod ident;
mod lazy;
mod lists;
mod live;
mod meta;
mod noted;
mod observer;
mod packed;
mod pieces;
mod pod;
mod policy;
mod pump;
mod record;
mod router;
mod select;
mod shape;
mod source;
mod store;
mod switch;
mod table;
#[doc(hidden)]
pub mod testing;
pub(crate) mod text;
mod transcode;
mod triggers;
mod views;
mod weight;

pub use answer::{Answer, Freshness, ReadSource};
pub use budgets::{Budgets, Over};
pub use custom::{Custom, CustomKind};
pub use filter::{Selector, SelectorError};
pub use ident::{Uid, Version};
pub use live::ReadError;
pub use meta::{Annotations, Labels, Meta, Owner};
pub use observer::CacheObserver;
pub use pod::{ContainerState, Ended, PodView};
pub use router::{Router, Settings};
pub use select::Select;
pub use switch::{Limits, Refused};
pub use views::{
    ConfigMapView, CronJobView, JobView, PdbView, PvcView, SecretMeta, ServiceAccountView, ServiceView,
    StatefulSetView, View,
};
