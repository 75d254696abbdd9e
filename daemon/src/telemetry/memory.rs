//! What the process takes of memory: resident bytes from the operating system, and the allocator's own
//! figures where it is ours (feature `jemalloc`). The figures overlap and are never summed.

use std::sync::{Mutex, PoisonError};

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// Reads the figures of this process.
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

    /// Bytes by component, as in the label of `neo4j_operator_memory_usage_bytes`.
    pub fn components(&self) -> Vec<(&'static str, u64)> {
        let mut components: Vec<_> = self.resident().map(|bytes| ("rss", bytes)).into_iter().collect();
        components.extend(allocator());
        components
    }
}

#[cfg(feature = "jemalloc")]
fn allocator() -> Vec<(&'static str, u64)> {
    use tikv_jemalloc_ctl::{epoch, stats};
    // The statistics are a copy that only an epoch refreshes.
    if epoch::advance().is_err() {
        return Vec::new();
    }
    [
        ("allocated", stats::allocated::read()),
        ("active", stats::active::read()),
        ("resident", stats::resident::read()),
        ("retained", stats::retained::read()),
        ("metadata", stats::metadata::read()),
    ]
    .into_iter()
    .filter_map(|(name, bytes)| bytes.ok().map(|bytes| (name, bytes as u64)))
    .collect()
}

#[cfg(not(feature = "jemalloc"))]
fn allocator() -> Vec<(&'static str, u64)> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_has_resident_memory() {
        let bytes = super::ProcessMemory::default().resident();
        assert!(bytes.is_some_and(|bytes| bytes > 1 << 20), "{bytes:?}");
    }
}
