//! Promises about the generated definitions, the rules and the examples.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod admission;
mod compatibility;
mod examples;
mod manifests;
mod rules;
mod world;
