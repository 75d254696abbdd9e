//! What the manager sees of the process and does to it, behind a trait so that tests have a process of their own.

use neo4j_operator_shared::memory::{Cgroup, Sizes};

use super::{
    allocator::{self, Decay, Refused},
    limit::Groups,
};
use crate::telemetry::memory::ProcessMemory;

/// The process.
pub trait Host: Send + Sync + 'static {
    /// Its figures; what is not known is absent.
    fn sizes(&self) -> Sizes;
    /// Its control group, if that has a limit.
    fn cgroup(&self) -> Option<Cgroup>;
    /// Returns free pages to the operating system. May block.
    fn purge(&self) -> Result<(), Refused>;
    /// Changes how fast free pages are returned by themselves.
    fn set_decay(&self, decay: Decay) -> Result<(), Refused>;
    /// Whether free pages are returned by themselves.
    fn returns_by_itself(&self) -> bool;
}

/// This process.
#[derive(Default)]
pub struct Process {
    memory: ProcessMemory,
    groups: Groups,
}

impl Host for Process {
    fn sizes(&self) -> Sizes {
        Sizes {
            rss: self.memory.resident(),
            ..allocator::sizes()
        }
    }

    fn cgroup(&self) -> Option<Cgroup> {
        self.groups.read()
    }

    fn purge(&self) -> Result<(), Refused> {
        allocator::purge()
    }

    fn set_decay(&self, decay: Decay) -> Result<(), Refused> {
        allocator::set_decay(decay)
    }

    fn returns_by_itself(&self) -> bool {
        // Without the allocator there is nothing that could be told to return them.
        allocator::settings().is_none_or(|settings| settings.background_thread)
    }
}
