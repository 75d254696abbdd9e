//! Black-box tests: cluster, operator and dashboard as processes, used as people use them. The cluster is embedded, or with
//! `TARGET=real` a real control plane; a test that is for one of them only says why.
//!
//! The programs must be built: `cargo build --workspace --bins` (`make test` does it); a test says so where one
//! is missing. Begin with `scene.rs`, then `spine.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conflicts;
mod dashboard;
mod held;
mod kubectl;
mod lifecycle;
mod neotop;
mod rights;
mod scene;
// The terminal of neotop's own tests; it can do more than is asked of it here.
#[allow(dead_code)]
#[path = "../../../tui/tests/it/screen.rs"]
mod screen;
mod spine;
