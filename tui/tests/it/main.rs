//! Black-box tests: neotop as a process under a pseudo-terminal, in front of a daemon that speaks HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod acts;
mod daemon;
mod golden;
mod once;
mod pty;
// The tests of the real operator share it, and ask more of it.
#[allow(dead_code)]
mod screen;
mod writes;
