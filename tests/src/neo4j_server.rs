//! A real Neo4j Community server as a process: started, killed, stopped and restarted by a test.
//!
//! The folder with the program is what `tests/neo4j/build.sh` prints; `NEO4J_SERVER` names it. Every server has a
//! loopback address of its own, so that it can have the port which the operator dials, and a home on a memory disk
//! where there is one. It is killed with its owner, whatever ends that.

use std::{
    ffi::OsString,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tempfile::TempDir;

use crate::harness::{Ending, Process, ProcessError, StackError, scratch, wait_until};

/// The environment variable that names the folder.
pub const VARIABLE: &str = "NEO4J_SERVER";
/// The port of Bolt, as in a pod.
pub const BOLT_PORT: u16 = 7687;
/// User of a new home, and its password, which has to be changed first.
pub const FIRST_LOGIN: (&str, &str) = ("neo4j", "neo4j");

/// The program in the folder.
const PROGRAM: &str = "neo4j-server";
/// Folder beside the home for its certificate.
const CERTIFICATES: &str = "certificates";
/// A start takes 4 s, and several times that while the machine compiles.
const START_LIMIT: Duration = Duration::from_secs(120);
/// Second parts of the addresses, beside those of the fake's networks (127.16 and on).
const NETWORKS: std::ops::Range<u8> = 8..16;

/// There is no server.
#[derive(Debug, thiserror::Error)]
pub enum Neo4jServerError {
    /// Nobody said where it is.
    #[error("no real Neo4j: run `make test-e2e`, or set {VARIABLE} to the folder that tests/neo4j/build.sh prints")]
    NotNamed,
    /// It is not where it was said to be.
    #[error("{VARIABLE}={} has no {PROGRAM}; build it with tests/neo4j/build.sh", .0.display())]
    NotThere(PathBuf),
    /// A file or socket.
    #[error("{what}: {source}")]
    Io {
        /// What was done.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A certificate.
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The process.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It did not become ready.
    #[error(transparent)]
    Slow(#[from] StackError),
}

/// A running server.
pub struct Neo4jServer {
    process: Process,
    program: PathBuf,
    address: SocketAddr,
    starts: u32,
    certificate: Option<String>,
    folder: TempDir,
}

impl Neo4jServer {
    /// Starts one with a fresh home and waits until it answers.
    ///
    /// # Errors
    /// If it is not built, cannot be started, or ends or does not answer.
    pub async fn start() -> Result<Self, Neo4jServerError> {
        Self::start_on(false).await
    }

    /// The same with a certificate of its own: its port takes TLS and nothing else.
    ///
    /// # Errors
    /// As [`Neo4jServer::start`].
    pub async fn start_with_tls() -> Result<Self, Neo4jServerError> {
        Self::start_on(true).await
    }

    async fn start_on(tls: bool) -> Result<Self, Neo4jServerError> {
        let program = program(std::env::var_os(VARIABLE))?;
        let folder = scratch::folder("neo4j-operator-neo4j-").map_err(|source| Neo4jServerError::Io {
            what: "a temporary folder",
            source,
        })?;
        let address = free_address()?;
        let certificate = if tls {
            Some(certify(folder.path(), address.ip())?)
        } else {
            None
        };
        let process = launch(&program, folder.path(), 1, address)?;
        let mut server = Self {
            process,
            program,
            address,
            starts: 1,
            certificate,
            folder,
        };
        server.ready().await?;
        Ok(server)
    }

    /// Where it listens: an address of its own, port 7687.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its certificate as PEM, where it has one.
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Kills it (SIGKILL). Its home stays.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Stops it (SIGSTOP): it keeps its connections and answers nobody.
    pub fn freeze(&mut self) {
        self.process.signal(libc::SIGSTOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn thaw(&mut self) {
        self.process.signal(libc::SIGCONT);
    }

    /// Starts it again on the same home and address, killing it first if it runs, and waits until it answers.
    ///
    /// # Errors
    /// As [`Neo4jServer::start`].
    pub async fn restart(&mut self) -> Result<(), Neo4jServerError> {
        self.kill();
        self.starts += 1;
        self.process = launch(&self.program, self.folder.path(), self.starts, self.address)?;
        self.ready().await
    }

    async fn ready(&mut self) -> Result<(), Neo4jServerError> {
        let process = &mut self.process;
        wait_until("a ready Neo4j", START_LIMIT, || {
            let ready = process
                .check()
                .map(|()| process.tail().lines().any(|line| line == "ready").then_some(()));
            async move { Ok(ready?) }
        })
        .await?;
        Ok(())
    }
}

/// Each start has a folder for its log, so that an old "ready" is not taken for a new one.
fn launch(program: &Path, folder: &Path, start: u32, address: SocketAddr) -> Result<Process, Neo4jServerError> {
    let log = folder.join(format!("start-{start}"));
    std::fs::create_dir_all(&log).map_err(|source| Neo4jServerError::Io {
        what: "the folder of a log",
        source,
    })?;
    let mut arguments = vec![folder.join("home").into_os_string(), address.to_string().into()];
    let certificates = folder.join(CERTIFICATES);
    if certificates.is_dir() {
        arguments.push(certificates.into_os_string());
    }
    Ok(Process::start_at(
        "neo4j",
        program,
        Ending::Killed,
        &arguments,
        &[],
        &log,
    )?)
}

/// Writes a self-signed pair for an address to where [`launch`] looks for one; the answer is the certificate.
fn certify(folder: &Path, ip: IpAddr) -> Result<String, Neo4jServerError> {
    let pair = rcgen::generate_simple_self_signed([ip.to_string()])?;
    let certificate = pair.cert.pem();
    let folder = folder.join(CERTIFICATES);
    let write = || {
        std::fs::create_dir(&folder)?;
        std::fs::write(folder.join("tls.crt"), &certificate)?;
        std::fs::write(folder.join("tls.key"), pair.signing_key.serialize_pem())
    };
    write().map_err(|source| Neo4jServerError::Io {
        what: "the folder of a certificate",
        source,
    })?;
    Ok(certificate)
}

fn program(folder: Option<OsString>) -> Result<PathBuf, Neo4jServerError> {
    let folder = folder.filter(|folder| !folder.is_empty());
    let folder = PathBuf::from(folder.ok_or(Neo4jServerError::NotNamed)?);
    let program = folder.join(PROGRAM);
    if program.is_file() {
        Ok(program)
    } else {
        Err(Neo4jServerError::NotThere(folder))
    }
}

/// A loopback address with a free Bolt port; 127.0.0.1 where there are no others.
fn free_address() -> Result<SocketAddr, Neo4jServerError> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(7) % 60_000;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for network in NETWORKS {
        let n = (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 60_000 + 1;
        let [_, _, high, low] = n.to_be_bytes();
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, network, high, low)), BOLT_PORT);
        match TcpListener::bind(address) {
            Ok(_) => return Ok(address),
            Err(error) => last = error,
        }
    }
    let fallback = TcpListener::bind((Ipv4Addr::LOCALHOST, BOLT_PORT));
    let address = fallback.and_then(|listener| listener.local_addr());
    address.map_err(|_| Neo4jServerError::Io {
        what: "a loopback address with a free port 7687",
        source: last,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_not_built_is_told_with_the_command_that_builds_it() {
        let unnamed = program(None).unwrap_err().to_string();
        assert!(
            unnamed.contains("make test-e2e") && unnamed.contains("tests/neo4j/build.sh"),
            "{unnamed}"
        );
        assert!(matches!(program(Some("".into())), Err(Neo4jServerError::NotNamed)));
        let empty = tempfile::tempdir().unwrap();
        let error = program(Some(empty.path().into())).unwrap_err();
        assert!(matches!(error, Neo4jServerError::NotThere(_)), "{error}");
        std::fs::write(empty.path().join(PROGRAM), "").unwrap();
        assert_eq!(program(Some(empty.path().into())).unwrap(), empty.path().join(PROGRAM));
    }

    #[test]
    fn two_servers_have_two_addresses() {
        let one = free_address().unwrap();
        let _held = TcpListener::bind(one).unwrap();
        assert_ne!(free_address().unwrap(), one);
    }
}
