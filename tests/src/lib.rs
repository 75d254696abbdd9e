//! Black-box tests of the two programs, and the launcher behind `make dev-*`.
//!
//! Both start the same processes (embedded cluster, daemon, neotop) through [`harness`], so that what people
//! run every day is what the tests prove.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod controlplane;
pub mod harness;
pub mod model_driver;
pub mod neo4j_server;
pub mod rights;
pub mod usage;
pub mod workload;
