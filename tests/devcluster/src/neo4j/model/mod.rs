//! One Neo4j cluster as its servers see it together: servers, databases, copies, leaders, users.
//!
//! The model is plain data on a clock that the caller owns: every verb takes `now`, and [`Cluster::advance`] lets happen, in order,
//! what fell due since. Nothing sleeps and nothing is random, so a test on paused time sees the same story in every run.
//!
//! - [`servers`]: processes that start and stop, forming the cluster, enable, cordon, deallocate, drop.
//! - [`databases`]: create, alter, drop, start, stop; [`placement`] says where copies go.
//! - [`progress`]: what time does: starting, store copies, elections, catching up.
//! - [`users`]: passwords and lock-out.
//! - [`sessions`]: who is connected, what runs; [`edition`]: what Community refuses.
//! - [`execute`]: statements on all this; [`show`] and [`procedures`] their tables.

mod databases;
mod edition;
mod execute;
pub mod placement;
mod procedures;
mod progress;
mod servers;
pub mod sessions;
mod show;
mod users;

use std::{collections::BTreeMap, time::Duration};

pub use edition::Edition;
pub use execute::{Executed, Waiting};
pub use placement::Mode;
pub use servers::Boot;
use sha2::{Digest, Sha256};

use super::{
    load::{Load, Traffic},
    statement::ServerOptions,
};

/// The database that holds the cluster's own state.
pub const SYSTEM: &str = "system";

/// How fast things go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuning {
    /// From the start of a process to its open Bolt port.
    pub start: Duration,
    /// A database's start or stop on one server.
    pub database_start: Duration,
    /// Electing a leader once there is a majority.
    pub election: Duration,
    /// Bytes that one store copy moves in a second.
    pub copy_bytes_per_second: u64,
    /// Size of a new store.
    pub new_store_bytes: u64,
    /// Transactions that a copy behind its leader applies in a second.
    pub catch_up_per_second: u64,
    /// Whether the servers that form the cluster are enabled at once, as real ones are.
    pub enable_at_formation: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(1),
            database_start: Duration::from_millis(200),
            election: Duration::from_millis(500),
            copy_bytes_per_second: 64 * 1024 * 1024,
            new_store_bytes: 8 * 1024 * 1024,
            catch_up_per_second: 5_000,
            enable_at_formation: true,
        }
    }
}

/// A server's id: a UUID that stays with its volume.
pub type ServerId = String;

/// Where a server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerState {
    /// Known, not used.
    Free,
    /// Takes databases.
    Enabled,
    /// Keeps what it has, takes nothing.
    Cordoned,
    /// Gives away what it has.
    Deallocating,
    /// Has given all away.
    Deallocated,
    /// Not a member any more.
    Dropped,
}

impl ServerState {
    /// As `SHOW SERVERS` writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Free => "Free",
            Self::Enabled => "Enabled",
            Self::Cordoned => "Cordoned",
            Self::Deallocating => "Deallocating",
            Self::Deallocated => "Deallocated",
            Self::Dropped => "Dropped",
        }
    }
}

/// One server.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its id.
    pub id: ServerId,
    /// Its name; the id until renamed.
    pub name: String,
    /// Where it is in its life.
    pub state: ServerState,
    /// Options of ENABLE or ALTER.
    pub options: ServerOptions,
    /// How its process was started last.
    pub boot: Boot,
    /// Since when its process runs; `None`: it does not.
    pub process: Option<Duration>,
    /// Its Bolt port is open.
    pub serving: bool,
    /// Its volume holds a copy of the system database.
    pub joined: bool,
    /// Order of first sight.
    /// What it has served since its process started.
    pub traffic: Traffic,
    order: u32,
    attempts: BTreeMap<String, users::Attempts>,
}

/// What a copy of a database is doing on its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Gets the store from another server, until then.
    Copying(Duration),
    /// Starts, until then.
    Starting(Duration),
    /// Serves.
    Online,
    /// Stops, until then.
    Stopping(Duration),
    /// Stopped.
    Offline,
    /// Goes away, until then.
    Leaving(Duration),
    /// Could not be made; the database says why.
    Failed,
}

/// One copy of a database.
#[derive(Debug, Clone)]
pub struct Copy {
    /// Votes or only reads.
    pub mode: Mode,
    /// What it is doing.
    pub phase: Phase,
    /// Must go once enough others are online.
    pub unwanted: bool,
    /// Last transaction applied.
    pub applied: u64,
    /// Transactions it stays behind its leader, set by a test.
    pub lag: u64,
}

/// One database.
#[derive(Debug, Clone)]
pub struct Database {
    /// Its id.
    pub id: String,
    /// Copies wanted; the system database has no number.
    pub requested: Option<(u32, u32)>,
    /// Only reads are allowed.
    pub read_only: bool,
    /// Is to be online.
    pub started: bool,
    /// Copies by server.
    pub copies: BTreeMap<ServerId, Copy>,
    /// Who leads.
    pub leader: Option<ServerId>,
    /// Terms so far.
    pub term: u64,
    /// Size of its store.
    pub bytes: u64,
    /// Last transaction committed.
    pub last_tx: u64,
    /// Time of its creation.
    pub created: Duration,
    /// Why it could not be seeded.
    pub failure: Option<String>,
    election: Option<Duration>,
}

/// A user of the cluster. No `Debug`: it holds a password.
#[derive(Clone)]
pub struct User {
    /// Password.
    pub password: String,
    /// Must be changed before anything else.
    pub change_required: bool,
    /// May not log in.
    pub suspended: bool,
    /// Home database; `None` is the default one.
    pub home: Option<String>,
}

/// One cluster.
pub struct Cluster {
    /// `namespace/name`; ids come from it.
    pub name: String,
    /// How fast things go.
    pub tuning: Tuning,
    /// Servers by id.
    pub servers: BTreeMap<ServerId, Server>,
    /// Databases by name.
    pub databases: BTreeMap<String, Database>,
    /// Users by name.
    pub users: BTreeMap<String, User>,
    /// Copies of a database that does not say: primaries, secondaries.
    pub default_topology: (u32, u32),
    /// Database of those who name none.
    pub default_database: String,
    /// Free servers are enabled without being told.
    pub enable_free_servers: bool,
    /// Edition of its servers.
    pub edition: Edition,
    /// Who is connected, and what runs.
    pub sessions: sessions::Sessions,
    /// What the cluster's clients do.
    pub load: Load,
    /// Stores that `seedURI` can fetch, by URI, with their bytes.
    pub seeds: BTreeMap<String, u64>,
    now: Duration,
    epoch: jiff::Timestamp,
    ids: u64,
}

impl Cluster {
    /// A cluster without servers. `epoch` is what its clock's zero is called.
    pub fn new(name: impl Into<String>, tuning: Tuning, epoch: jiff::Timestamp) -> Self {
        Self {
            name: name.into(),
            tuning,
            servers: BTreeMap::new(),
            databases: BTreeMap::new(),
            users: BTreeMap::new(),
            default_topology: (1, 0),
            default_database: "neo4j".to_owned(),
            enable_free_servers: false,
            edition: Edition::default(),
            sessions: sessions::Sessions::default(),
            load: Load::default(),
            seeds: BTreeMap::new(),
            now: Duration::ZERO,
            epoch,
            ids: 0,
        }
    }

    /// The cluster's time.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// What its time is called.
    pub fn timestamp(&self, at: Duration) -> jiff::Timestamp {
        self.epoch.saturating_add(at).unwrap_or(jiff::Timestamp::MAX)
    }

    /// The system database exists.
    pub fn is_formed(&self) -> bool {
        self.databases.contains_key(SYSTEM)
    }

    /// A UUID that depends on the cluster and `key` alone.
    fn uuid(&self, key: &str) -> String {
        let digest = Sha256::digest(format!("{}/{key}", self.name));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        uuid(bytes)
    }

    fn fresh_id(&mut self) -> String {
        self.ids += 1;
        self.uuid(&format!("id-{}", self.ids))
    }

    /// A copy on this server can be used now.
    fn is_online(&self, server: &str, copy: &Copy) -> bool {
        let up = self.servers.get(server).is_some_and(|server| server.serving);
        up && matches!(copy.phase, Phase::Online | Phase::Leaving(_))
    }

    /// The online share of a database's voters is a majority.
    pub fn has_majority(&self, database: &str) -> bool {
        let Some(database) = self.databases.get(database) else {
            return false;
        };
        let voters = database.copies.iter().filter(|(_, copy)| copy.mode == Mode::Primary);
        let (mut all, mut online) = (0, 0);
        for (server, copy) in voters {
            all += 1;
            online += usize::from(self.is_online(server, copy));
        }
        online * 2 > all
    }
}

/// Writes a version 4 UUID.
fn uuid(mut bytes: [u8; 16]) -> String {
    use std::fmt::Write;
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&at) {
            text.push('-');
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests;
