//! Black-box tests: embedded cluster, operator and dashboard as processes, used as people use them.
//!
//! The programs must be built: `cargo build --workspace --bins` (`make test` does it); a test says so where one
//! is missing. Begin with `scene.rs`, then `spine.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conflicts;
mod dashboard;
mod held;
mod kubectl;
mod lifecycle;
mod scene;
mod screen;
mod spine;
