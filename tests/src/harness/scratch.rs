//! Folders of processes that a test starts: on a memory disk where there is one, and gone when the test is.

use std::{fs, io, path::PathBuf};

use tempfile::TempDir;

/// Where a memory disk usually is.
const MEMORY_DISK: &str = "/dev/shm";

/// A new empty folder, readable by us alone. Its name begins with `prefix`, which says what it is for.
pub fn folder(prefix: &str) -> io::Result<TempDir> {
    remove_leftovers(prefix);
    let prefix = format!("{prefix}{}-", std::process::id());
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix);
    // A memory disk that cannot be written to is as good as none.
    builder.tempdir_in(MEMORY_DISK).or_else(|_| builder.tempdir())
}

/// Removes the folders of runs that were killed: nobody else will.
fn remove_leftovers(prefix: &str) {
    for place in [PathBuf::from(MEMORY_DISK), std::env::temp_dir()] {
        let entries = fs::read_dir(place).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            let owner = name.to_str().and_then(|name| owner(prefix, name));
            if owner.is_some_and(|process| !runs(process)) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// The process that made a folder of this name; `None` if the folder is not one of ours.
fn owner(prefix: &str, name: &str) -> Option<i32> {
    let (process, _) = name.strip_prefix(prefix)?.split_once('-')?;
    process.parse().ok()
}

fn runs(process: i32) -> bool {
    let Some(process) = rustix::process::Pid::from_raw(process) else {
        return false;
    };
    // "Not permitted" means that it is there and another's.
    rustix::process::test_kill_process(process) != Err(rustix::io::Errno::SRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_processes_that_are_gone_are_left_over() {
        const PREFIX: &str = "neo4j-operator-scratch-test-";
        let mine = folder(PREFIX).unwrap();
        // No process has the largest id there is.
        let gone = mine.path().with_file_name(format!("{PREFIX}{}-x", i32::MAX));
        let strange = mine.path().with_file_name(format!("{PREFIX}x"));
        fs::create_dir(&gone).unwrap();
        fs::create_dir_all(&strange).unwrap();
        remove_leftovers(PREFIX);
        let there = [mine.path(), &gone, &strange].map(std::path::Path::exists);
        fs::remove_dir(&strange).unwrap();
        assert_eq!(there, [true, false, true]);
    }
}
