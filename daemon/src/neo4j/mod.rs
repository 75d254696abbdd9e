//! Talking to Neo4j: a bounded pool of Bolt connections and typed admin commands on a cluster.
//!
//! From the ground up: [`Driver`] (what is needed of a driver; `neo4rs` is the one in use), `pool` (slots and
//! their bounds, behind two `gate`s), [`Registry`] (one for the process: clusters, their leaders, their
//! slots), and [`ClusterClient`], which is what a reconcile uses: typed reads that ask another server when
//! one fails, and changes that go to the leader of `system`. `statements` holds every statement there is.
//!
//! ```text
//! registry.cluster(target).for_reconcile(run.id()).servers().await?
//! ```
//!
//! When to do what is for the reconcilers; nothing here waits for an effect.

pub mod admin;
mod cluster;
mod driver;
mod error;
mod gate;
mod keyring;
mod neo4rs;
mod pool;
mod resolver;
pub mod statements;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use admin::{AllocationRow, DatabaseView, ServerRow, fold_databases};
pub use cluster::{ClusterClient, ClusterTarget, Member, Registry};
pub use driver::{Credentials, Driver, Endpoint, Password, Row, Rows, Session, Statement, TlsTrust, Value};
pub use error::{BoltError, ErrorKind};
pub use keyring::Keyring;
pub use neo4rs::Neo4rsDriver;
pub use pool::{EndpointSnapshot, Limits, PoolSnapshot};
pub use resolver::EndpointResolver;
pub use statements::{Command, ModeConstraint, Operation, Topology};

/// Port of Bolt in every pod.
pub const BOLT_PORT: u16 = 7687;
