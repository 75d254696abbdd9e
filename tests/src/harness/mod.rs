//! Starts the programs as processes and sees to it that none outlives us: not on an error, not on a panic,
//! and (where the kernel can tell) not when we are killed.

mod cluster;
mod process;
pub mod scratch;
mod stack;
pub mod target;

pub use cluster::{ClusterError, TestCluster};
pub use process::{Ending, Process, ProcessError, Program};
pub use stack::{Daemon, DaemonOptions, Devcluster, StackError, client_of, install_crds, wait_until};
