//! A fake Neo4j: real Bolt on the outside, one cluster model per Neo4j cluster inside.
//!
//! - [`bolt`]: the protocol, without a notion of what statements mean.
//! - [`statement`]: the grammar of what an operator sends; all else is a syntax error.
//! - [`model`]: servers, databases, leaders, users on a clock that is injected.
//! - [`handle`], [`process`], [`metrics_port`]: the model shared, and the servers that listen.
//! - [`fake`], [`runtime`], [`pod`], [`backup`]: the processes of pods, for the kubelet and for tests.
//! - [`addresses`], [`certificates`], [`conf`]: what a server needs to start.
//! - [`faults`], [`load`]: what tests and demonstrations set.

pub mod addresses;
pub mod backup;
pub mod bolt;
pub mod certificates;
pub mod conf;
pub mod failure;
pub mod fake;
pub mod faults;
pub mod handle;
pub mod load;
pub mod metrics_port;
pub mod model;
pub mod pod;
pub mod process;
pub mod runtime;
pub mod statement;
pub mod value;

pub use fake::{Call, CallError, FakeNeo4j, Options, Rows};
pub use runtime::NeoRuntime;

#[cfg(test)]
mod runtime_tests;
