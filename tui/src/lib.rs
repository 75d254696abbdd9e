//! `neotop`: the terminal dashboard of `neo4j-operator`.
//!
//! Arrows go one way: [`source`] reads the daemon, [`model`] keeps what was read, [`app`] decides what
//! keys and messages do, [`view`] draws; [`control`] sends what is to be changed. `model` and `app` are pure: no I/O, no clock but the one they
//! are handed, so every state of the screen can be made in a test.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod app;
pub mod cli;
pub mod control;
pub mod live;
pub mod model;
pub mod once;
pub mod source;
pub mod terminal;
pub mod view;
pub mod widget;
