//! Reads of the reconcilers: from a store where the kind has one, else from the API server.
//!
//! Triggers and reads are apart. Watches of the custom resources always run and wake reconciles; a strategy
//! only decides what is kept of the other kinds and where a read comes from. [`Router`] is the one door: it
//! knows per kind what is kept, never answers older than what this process has written or already handed out,
//! and never takes "not in the store" for "not there".

mod counts;
mod custom;
mod follow;
mod live;
mod meta;
mod pod;
mod pump;
mod router;
mod select;
mod source;
mod store;
pub(crate) mod text;
mod triggers;
mod views;

pub use custom::{Custom, CustomKind};
pub use live::ReadError;
pub use meta::{Meta, Owner, Pairs};
pub use pod::{ContainerState, Ended, PodView};
pub use router::{Router, Settings, Unsupported};
pub use select::Select;
pub use views::{
    ConfigMapView, CronJobSpec, CronJobStatus, CronJobView, JobView, PdbStatus, PdbView, PvcView, SecretMeta,
    ServiceAccountView, ServiceView, StatefulSetView, View,
};
