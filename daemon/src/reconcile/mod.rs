//! Reconciling: one key from the queue to written status, as observe → plan → act, per kind.
//!
//! Observing reads through the cache router and over Bolt; planning is pure; acting goes through the one
//! [`Executor`]; the status is written once and only when it differs. Each kind is a folder of its own with
//! the same files. What is common lives here: the [`Reconciler`] trait that the workers call, the
//! [`Context`] with everything a reconcile may use, the flight record ([`Run`]), the categories of errors
//! ([`Failure`]), ownership and the writers of objects, status and events.
//!
//! Nothing else in the daemon writes to Kubernetes or Neo4j.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use jiff::Timestamp;
use neo4j_operator_shared::{Kind, reconciles::Outcome};

use crate::cache::Router;

pub mod backup;
pub mod board;
pub mod cluster;
pub mod conditions;
pub mod database;
pub mod effect;
pub mod events;
pub mod executor;
mod failure;
mod managed_fields;
pub mod manifest;
pub mod ownership;
mod run;
pub mod status;
pub mod target;
#[cfg(test)]
pub(crate) mod testing;
pub mod worker;

pub use board::{Board, BoardObserver};
pub use conditions::Conditions;
pub use effect::{Effect, EffectError, How, Live, Written};
pub use events::{EventReason, Events, Subject};
pub use executor::Executor;
pub use failure::{ErrorType, Failure, category};
pub use manifest::{Claim, Manifest, Resource};
pub use run::{Phase, Requests, Run};
pub use status::{StatusTarget, StatusWrite, StatusWriter};

/// The name of our field manager, and the value of `app.kubernetes.io/managed-by`.
pub const MANAGER: &str = "neo4j-operator";

/// Reconciles the objects of one kind.
pub trait Reconciler: Send + Sync + 'static {
    /// The kind whose keys it takes.
    fn kind(&self) -> Kind;

    /// Brings one object nearer to its desired state. Cancelling it between two effects is safe: every
    /// effect is one request, and the next run starts from what it then observes.
    fn reconcile<'a>(
        &'a self,
        context: &'a Context,
        key: &'a Key,
        run: &'a mut Run,
    ) -> BoxFuture<'a, Result<Done, Failure>>;
}

/// The object that a reconcile is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// Wall time, given from outside so that tests decide what it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a reconcile may use. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// Client of the API server; reads go through the cache, writes through the executor.
    pub client: kube::Client,
    /// Answers every read of Kubernetes.
    pub cache: Router,
    /// Performs every write to Kubernetes.
    pub executor: Executor,
    /// Writes statuses.
    pub status: StatusWriter,
    /// Takes events about custom resources.
    pub events: Events,
    /// What is known of the clusters.
    pub board: Board,
    /// Clusters of Neo4j and the connections to them.
    pub neo4j: crate::neo4j::Registry,
    /// Wall time.
    pub clock: Clock,
}

impl Context {
    /// The time now.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }
}

/// A reconcile that ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// How it ended.
    pub outcome: Outcome,
    /// When to run again by itself, without anything having changed.
    pub requeue: Option<Duration>,
}

impl Done {
    /// Desired and observed agree; run again after `resync`.
    pub const fn converged(resync: Duration) -> Self {
        Self {
            outcome: Outcome::Converged,
            requeue: Some(resync),
        }
    }

    /// Something was changed; run again after `delay`.
    pub const fn changed(delay: Duration) -> Self {
        Self {
            outcome: Outcome::Changed,
            requeue: Some(delay),
        }
    }

    /// Something else has to happen first; look again after `delay`.
    pub const fn waiting(delay: Duration) -> Self {
        Self {
            outcome: Outcome::Waiting,
            requeue: Some(delay),
        }
    }

    /// The object is gone.
    pub const fn gone() -> Self {
        Self {
            outcome: Outcome::Gone,
            requeue: None,
        }
    }

    /// Nothing to do until something changes.
    pub const fn idle(outcome: Outcome) -> Self {
        Self { outcome, requeue: None }
    }
}
