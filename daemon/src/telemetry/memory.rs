//! What the process takes of memory, by the operating system. The allocator's own figures: [`crate::memory`].

use std::sync::{Mutex, PoisonError};

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// Reads the figure of this process.
pub struct ProcessMemory {
    pid: Pid,
    // Absent where the operating system is not supported.
    system: Mutex<Option<System>>,
}

impl Default for ProcessMemory {
    fn default() -> Self {
        Self {
            pid: Pid::from_u32(std::process::id()),
            system: Mutex::new(System::new().ok()),
        }
    }
}

impl ProcessMemory {
    /// Resident bytes; absent where the operating system does not say.
    pub fn resident(&self) -> Option<u64> {
        let mut system = self.system.lock().unwrap_or_else(PoisonError::into_inner);
        let system = system.as_mut()?;
        system.refresh_processes_specifics(
            ProcessesToUpdate::Some(&[self.pid]),
            true,
            ProcessRefreshKind::nothing().with_memory(),
        );
        system.process(self.pid).map(sysinfo::Process::memory)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_has_resident_memory() {
        let bytes = super::ProcessMemory::default().resident();
        assert!(bytes.is_some_and(|bytes| bytes > 1 << 20), "{bytes:?}");
    }
}
