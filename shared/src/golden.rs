//! One example of each answer, as a daemon gave it: what both programs hold their side of the language to.
//!
//! The daemon's tests show that it answers in this form, neotop's that it reads it. A change of the language
//! is a change of these files.

macro_rules! golden {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = include_str!(concat!("../golden/", $file));)*
    };
}

golden! {
    /// `GET /v1/status`: [`crate::status::Status`].
    STATUS = "status.json";
    /// `GET /v1/clusters`: [`crate::clusters::ClusterList`].
    CLUSTERS = "clusters.json";
    /// `GET /v1/clusters/{namespace}/{name}`: [`crate::clusters::Cluster`].
    CLUSTER = "cluster.json";
    /// `GET /v1/reconciles`: [`crate::reconciles::ReconcileList`].
    RECONCILES = "reconciles.json";
    /// `GET /v1/cache`: [`crate::cache::Cache`].
    CACHE = "cache.json";
    /// `GET /v1/cache/strategies`: [`crate::switch::Strategies`].
    STRATEGIES = "strategies.json";
    /// 202 of `PUT /v1/cache/strategy`: [`crate::switch::Operation`].
    OPERATION = "operation.json";
    /// 200 of `PUT /v1/cache/strategy` with `dryRun`: [`crate::switch::DryRun`].
    DRY_RUN = "dry-run.json";
    /// `POST /v1/cache/warmup`: [`crate::cache::Warmups`].
    WARMUPS = "warmups.json";
    /// `GET /v1/memory`: [`crate::memory::Memory`].
    MEMORY = "memory.json";
    /// `POST /v1/memory/gc`: [`crate::memory::Reclaim`].
    RECLAIM = "reclaim.json";
    /// `GET /v1/watches`: [`crate::watches::WatchList`].
    WATCHES = "watches.json";
    /// The `data:` lines of `GET /v1/events`, one of each type that was seen: [`crate::events::Event`].
    EVENTS = "events.json";
    /// Any error: [`crate::problem::Problem`].
    PROBLEM = "problem.json";
    /// The termination message of a backup: [`crate::backup::BackupReport`].
    BACKUP_REPORT = "backup-report.json";
}

#[cfg(test)]
mod tests {
    use serde::{Serialize, de::DeserializeOwned};
    use serde_json::Value;

    use super::*;
    use crate::{backup, cache, clusters, events, memory, problem, reconciles, status, switch, watches};

    /// Reads it as the type and writes it again: nothing is lost, nothing is added.
    fn holds<T: Serialize + DeserializeOwned>(name: &str, text: &str) {
        let value: Value = serde_json::from_str(text).expect(name);
        let typed: T = serde_json::from_str(text).expect(name);
        assert_eq!(serde_json::to_value(&typed).expect(name), value, "{name}");
    }

    #[test]
    fn every_example_is_read_and_written_without_loss() {
        holds::<status::Status>("status", STATUS);
        holds::<clusters::ClusterList>("clusters", CLUSTERS);
        holds::<clusters::Cluster>("cluster", CLUSTER);
        holds::<reconciles::ReconcileList>("reconciles", RECONCILES);
        holds::<cache::Cache>("cache", CACHE);
        holds::<switch::Strategies>("strategies", STRATEGIES);
        holds::<switch::Operation>("operation", OPERATION);
        holds::<switch::DryRun>("dry run", DRY_RUN);
        holds::<cache::Warmups>("warm-ups", WARMUPS);
        holds::<memory::Memory>("memory", MEMORY);
        holds::<memory::Reclaim>("reclaim", RECLAIM);
        holds::<watches::WatchList>("watches", WATCHES);
        holds::<Vec<events::Event>>("events", EVENTS);
        holds::<problem::Problem>("problem", PROBLEM);
        holds::<backup::BackupReport>("backup report", BACKUP_REPORT);
    }
}
