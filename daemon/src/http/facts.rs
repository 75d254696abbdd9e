//! What the HTTP side asks the operator.

use std::sync::Arc;

use neo4j_operator_shared::{
    Kind, Strategy, cache::Cache, clusters::Cluster, memory::Memory, status::Listeners, switch::QuantityError,
    watches::WatchList,
};

use crate::{
    queue,
    telemetry::{GoalInputs, Telemetry},
};

/// What the operator knows, computed when it is asked for.
pub trait Facts: Send + Sync + 'static {
    /// Whether it can reconcile.
    fn ready(&self) -> bool;
    /// Whether it writes nothing.
    fn read_only(&self) -> bool;
    /// The strategy of kinds without one of their own.
    fn strategy(&self) -> Strategy;
    /// Caches by kind.
    fn cache(&self) -> Cache;
    /// Memory.
    fn memory(&self) -> Memory;
    /// Mean errors of past forecasts.
    fn cache_errors(&self) -> Vec<QuantityError>;
    /// Watches.
    fn watches(&self) -> WatchList;
    /// The work queue.
    fn queue(&self) -> queue::Figures;
    /// Every cluster with all that is known of it, by namespace and name.
    fn clusters(&self) -> Vec<Arc<Cluster>>;
    /// Whether each custom resource is ready.
    fn resources(&self) -> Vec<ResourceReady>;
    /// Where it listens.
    fn listeners(&self) -> Listeners;
    /// Namespaces in scope; empty means all.
    fn namespaces(&self) -> Vec<String>;
    /// The API server's version.
    fn kubernetes(&self) -> Option<String>;
    /// Metrics, records, events.
    fn telemetry(&self) -> &Telemetry;

    /// What the goals need.
    fn goal_inputs(&self) -> GoalInputs {
        GoalInputs {
            resources: self.resources().len(),
            hit_rate: self.cache().hit_rate,
        }
    }
}

/// A custom resource and whether its condition Ready is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceReady {
    /// Its kind.
    pub kind: Kind,
    /// The cluster that it is or belongs to, as `namespace/name`.
    pub cluster: String,
    /// Whether it is ready.
    pub ready: bool,
}

/// Shared by all handlers.
pub type SharedFacts = Arc<dyn Facts>;
