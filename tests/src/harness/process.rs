//! One process with its log file. Dropping it ends it.

#![allow(unsafe_code)] // `pre_exec`: the child asks the kernel to end it when its parent is gone

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        LazyLock,
        mpsc::{Sender, channel},
    },
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

/// How a process is ended when its owner is done with it, or gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is asked (SIGTERM) and has time to clean up; ours do that in a moment.
    Asked,
    /// It is killed: a kube-apiserver with open watches, or a database, would take up to a minute to end.
    Killed,
}

/// A running process.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    ending: Ending,
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
    /// Starts a program of this workspace in the background; what it prints goes to a file in `folder`.
    pub fn start(
        program: Program,
        arguments: &[impl AsRef<OsStr>],
        environment: &[(&str, &OsStr)],
        folder: &Path,
    ) -> Result<Self, ProcessError> {
        let (name, path) = (program.name(), program.path()?);
        Self::start_at(name, &path, Ending::Asked, arguments, environment, folder)
    }

    /// Starts any program in the background; what it prints goes to `<name>.log` in `folder`.
    pub fn start_at(
        name: &'static str,
        path: &Path,
        ending: Ending,
        arguments: &[impl AsRef<OsStr>],
        environment: &[(&str, &OsStr)],
        folder: &Path,
    ) -> Result<Self, ProcessError> {
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
        let mut command = Command::new(path);
        command
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            // A group of its own: C-c in the terminal is for neotop, we end the rest in order.
            .process_group(0);
        end_with_parent(&mut command, ending);
        let child = spawn(command).map_err(failed(path))?;
        Ok(Self {
            name,
            ending,
            child,
            log,
        })
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

    /// Sends a signal, if it still runs.
    pub fn signal(&mut self, signal: i32) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // SAFETY: no memory is touched; the process is ours and has just been seen running, so the id is its own.
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
        match (self.child.try_wait(), self.ending) {
            (Ok(None), Ending::Asked) => drop(self.stop()),
            (Ok(None), Ending::Killed) => self.kill(),
            _ => {}
        }
    }
}

/// Starts a child from a thread that lives as long as this process.
///
/// The kernel's word to the child is bound to the *thread* that started it: a child started by a test, or by a
/// worker of a runtime that is later dropped, would end with that.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, Sender<io::Result<Child>>);
    static STARTER: LazyLock<Sender<Order>> = LazyLock::new(|| {
        let (orders, taken) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in taken {
                let _ = reply.send(command.spawn());
            }
        });
        orders
    });
    let gone = || io::Error::other("the thread that starts processes is gone");
    let (reply, child) = channel();
    STARTER.send((command, reply)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}

/// Lets the kernel end the child when we are gone, whatever ended us.
fn end_with_parent(command: &mut Command, ending: Ending) {
    let signal = match ending {
        Ending::Asked => libc::SIGTERM,
        Ending::Killed => libc::SIGKILL,
    };
    #[cfg(target_os = "linux")]
    // SAFETY: between fork and exec only an async-signal-safe call is made.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, signal) == -1 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (command, signal);
}
