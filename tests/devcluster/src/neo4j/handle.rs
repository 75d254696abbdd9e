//! The one place where a cluster's model is shared: behind a lock, with its clock and its faults.
//!
//! Statements reach it over Bolt ([`super::process`]) or directly ([`super::FakeNeo4j::execute`]); both come through
//! [`ClusterHandle::run`], so what one sees, the other sees.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    bolt::session::{Outcome, Run, Work},
    failure::{Neo4jFailure, code},
    faults::Faults,
    model::{Cluster, Tuning, sessions::Transaction},
};

/// How often a statement with `WAIT` looks whether it may go on.
const WAIT_STEP: Duration = Duration::from_millis(50);

/// Time as tokio sees it: tests that pause tokio's clock pause the fake's as well.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    epoch: jiff::Timestamp,
}

impl Clock {
    /// A clock that reads `epoch` now.
    pub fn new(epoch: jiff::Timestamp) -> Self {
        Self {
            start: Instant::now(),
            epoch,
        }
    }

    /// Time since it was made.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The same as a point in time.
    pub fn timestamp(&self) -> jiff::Timestamp {
        self.epoch.saturating_add(self.now()).unwrap_or(jiff::Timestamp::MAX)
    }
}

/// A statement that stands among those that run.
struct Listed<'a> {
    handle: &'a ClusterHandle,
    number: u64,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.handle.with(|cluster, _| cluster.sessions.ended(self.number));
    }
}

/// A Neo4j cluster that several servers, tests and backups share.
pub struct ClusterHandle {
    clock: Clock,
    model: Mutex<Cluster>,
    /// Faults ordered for it.
    pub faults: Faults,
}

impl ClusterHandle {
    /// A cluster without servers.
    pub fn new(name: impl Into<String>, tuning: Tuning, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            clock,
            model: Mutex::new(Cluster::new(name, tuning, clock.epoch)),
            faults: Faults::default(),
        })
    }

    /// Its clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Looks at the model, or changes it, as of now.
    pub fn with<T>(&self, act: impl FnOnce(&mut Cluster, Duration) -> T) -> T {
        let now = self.clock.now();
        let mut model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        model.advance(now);
        act(&mut model, now)
    }

    /// Begins it anew: all servers, databases and users are gone, the load stays.
    pub fn reset(&self, name: &str, tuning: Tuning) {
        let mut new = Cluster::new(name, tuning, self.clock.epoch);
        let now = self.clock.now();
        let mut model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        new.load = model.load;
        new.edition = model.edition;
        new.advance(now);
        *model = new;
    }

    /// Whether a server's Bolt port is open.
    pub fn serves(&self, server: &str) -> bool {
        self.with(|cluster, _| cluster.servers.get(server).is_some_and(|server| server.serving))
    }

    /// Runs a statement at a server, and waits where it says `WAIT`. Dropped while waiting, its effect goes on.
    pub async fn run(&self, server: &str, run: &Run) -> Result<Outcome, Neo4jFailure> {
        if !self.serves(server) {
            return Err(Neo4jFailure::new(
                code::DATABASE_UNAVAILABLE,
                "The server is shutting down.",
            ));
        }
        let mut executed = self.with(|cluster, now| cluster.execute(server, run, now))?;
        let Some(waiting) = executed.waiting else {
            return Ok(executed.outcome);
        };
        let _listed = self.list(server, run);
        while !self.with(|cluster, now| cluster.has_come(&waiting, now)) {
            tokio::time::sleep(WAIT_STEP).await;
        }
        executed.outcome.rows = self.with(|cluster, _| cluster.waited(&waiting));
        Ok(executed.outcome)
    }

    /// Does the work of a statement at a server, until its time limit.
    pub async fn work(&self, server: &str, work: &Work) -> Result<(), Neo4jFailure> {
        let _listed = self.list(server, &work.run);
        let limit = work.run.timeout.unwrap_or(Duration::MAX);
        tokio::time::sleep(work.time.min(limit)).await;
        if work.time > limit {
            return Err(Neo4jFailure::timed_out());
        }
        Ok(())
    }

    /// Lists a statement among those that run, for as long as the value lives.
    fn list(&self, server: &str, run: &Run) -> Listed<'_> {
        let number = self.with(|cluster, now| {
            cluster.sessions.began(Transaction {
                server: server.to_owned(),
                run: run.clone(),
                since: now,
            })
        });
        Listed { handle: self, number }
    }
}
