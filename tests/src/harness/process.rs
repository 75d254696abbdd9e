//! One process with its log file. Dropping it ends it.

#![allow(unsafe_code)] // `pre_exec`: the child asks the kernel to end it when its parent is gone

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long a process may take to end after SIGTERM before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// Bytes of a log that an error shows.
const LOG_TAIL: u64 = 2_000;

/// A program of this workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The embedded cluster.
    Devcluster,
    /// The operator.
    Daemon,
    /// The dashboard.
    Neotop,
}

/// A process could not be started, or ended when it should run.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It is not built.
    #[error("{0} is not built; run: cargo build --workspace --bins")]
    NotBuilt(PathBuf),
    /// The operating system refuses.
    #[error("cannot start {what}: {source}")]
    Start {
        /// Program or file.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// It ended.
    #[error("{name} ended with {status}; its last lines:\n{tail}")]
    Ended {
        /// Which.
        name: &'static str,
        /// How.
        status: ExitStatus,
        /// The end of its log.
        tail: String,
    },
}

/// A running process.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Its file name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Devcluster => "devcluster",
            Self::Daemon => "neo4j-operator",
            Self::Neotop => "neotop",
        }
    }

    /// Where it was built: beside the program that runs now, or one folder up from a test's.
    pub fn path(self) -> Result<PathBuf, ProcessError> {
        let here = std::env::current_exe().map_err(|source| ProcessError::Start {
            what: self.name().to_owned(),
            source,
        })?;
        let mut folders = here.ancestors().skip(1).take(2);
        let found = folders.find_map(|folder| {
            let path = folder.join(self.name());
            path.is_file().then_some(path)
        });
        found.ok_or_else(|| ProcessError::NotBuilt(here.with_file_name(self.name())))
    }
}

impl Process {
    /// Starts a program in the background; what it prints goes to a file in `folder`.
    pub fn start(
        program: Program,
        arguments: &[impl AsRef<OsStr>],
        environment: &[(&str, &OsStr)],
        folder: &Path,
    ) -> Result<Self, ProcessError> {
        let name = program.name();
        let log = folder.join(format!("{name}.log"));
        let failed = |what: &Path| {
            let what = what.display().to_string();
            move |source| ProcessError::Start { what, source }
        };
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(failed(&log))?;
        let errors = file.try_clone().map_err(failed(&log))?;
        let path = program.path()?;
        let mut command = Command::new(&path);
        command
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            // A group of its own: C-c in the terminal is for neotop, we end the rest in order.
            .process_group(0);
        end_with_parent(&mut command);
        let child = command.spawn().map_err(failed(&path))?;
        Ok(Self { name, child, log })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error if it has ended.
    pub fn check(&mut self) -> Result<(), ProcessError> {
        match self.child.try_wait() {
            Ok(Some(status)) => Err(ProcessError::Ended {
                name: self.name,
                status,
                tail: self.tail(),
            }),
            _ => Ok(()),
        }
    }

    /// Waits until it has ended by itself, or the time is up.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + limit;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(20)),
                _ => return None,
            }
        }
    }

    /// Asks it to end, kills it if it does not, and returns how it ended.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        self.signal(libc::SIGTERM);
        let ended = self.wait(STOP_GRACE);
        if ended.is_none() {
            self.kill();
        }
        ended
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // SAFETY: no memory is touched; the process is ours and was not waited for yet, so the id is its own.
            unsafe { libc::kill(pid, signal) };
        }
    }

    /// The end of what it printed.
    pub fn tail(&self) -> String {
        let read = || -> io::Result<String> {
            let mut file = File::open(&self.log)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.stop();
        }
    }
}

/// Lets the kernel end the child when we are gone, whatever ended us.
fn end_with_parent(command: &mut Command) {
    #[cfg(target_os = "linux")]
    // SAFETY: between fork and exec only an async-signal-safe call is made.
    unsafe {
        command.pre_exec(|| {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) == -1 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}
