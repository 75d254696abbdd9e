//! The Kubernetes operator for Neo4j Enterprise, as a library with a thin `main`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod acts;
pub mod backup_run;
pub mod cache;
pub mod control;
pub mod facts;
pub mod generated;
pub mod http;
pub mod kube;
pub mod memory;
pub mod neo4j;
pub mod observer;
pub mod operator;
mod parts;
pub mod queue;
pub mod rbac;
pub mod reconcile;
pub mod settings;
pub mod telemetry;
