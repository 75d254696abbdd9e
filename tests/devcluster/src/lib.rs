//! An embedded Kubernetes cluster for tests and demonstrations: an API server, the controllers that matter to a database operator, and a fake Neo4j.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod apiserver;
pub mod auditlog;
pub mod cluster;
pub mod controllers;
pub mod kubectl;
pub mod neo4j;
pub mod node;
