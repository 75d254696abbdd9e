//! A fake Neo4j: real Bolt on the outside, one cluster model per Neo4j cluster inside.
//!
//! - [`bolt`]: the protocol, without a notion of what statements mean.
//! - [`statement`]: the grammar of what an operator sends; all else is a syntax error.
//! - [`model`]: servers, databases, leaders, users on a clock that is injected.
//! - [`handle`], [`process`]: the model shared, and the servers that listen.
//! - [`faults`], [`load`]: what tests and demonstrations set.

pub mod bolt;
pub mod failure;
pub mod faults;
pub mod handle;
pub mod load;
pub mod model;
pub mod process;
pub mod statement;
pub mod value;

#[cfg(test)]
mod conformance;
