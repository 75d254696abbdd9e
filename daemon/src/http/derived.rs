//! The families that are derived from what the operator knows, at the moment of the scrape: they cannot be
//! stale, and none outlives its object.

use std::collections::BTreeMap;

use neo4j_operator_shared::{Strategy, goals::GoalId, metrics, watches::WatchState};

use super::{exposition::Exposition, facts::Facts};
use crate::{queue::Priority, telemetry::startup::Startup};

/// Phases of a cluster; the one-hot family has a sample for each.
const PHASES: [&str; 10] = [
    "Pending",
    "Initializing",
    "Forming",
    "Ready",
    "Degraded",
    "Upgrading",
    "Expanding",
    "Paused",
    "Failed",
    "Deleting",
];

/// Databases of one cluster with a sample of their own; what is beyond shares `_other`.
const MAX_DATABASES: usize = 100;

/// Writes every derived family.
pub fn write(out: &mut Exposition, facts: &dyn Facts) {
    process(out, facts);
    memory(out, facts);
    queue(out, facts);
    cache(out, facts);
    clusters(out, facts);
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

fn process(out: &mut Exposition, facts: &dyn Facts) {
    let telemetry = facts.telemetry();
    let features = if cfg!(feature = "jemalloc") { "jemalloc" } else { "" };
    out.gauge(metrics::BUILD_INFO, "What runs: always 1.").sample(
        &[
            ("version", env!("CARGO_PKG_VERSION")),
            ("commit", option_env!("NEO4J_OPERATOR_COMMIT").unwrap_or("unknown")),
            ("rustc", option_env!("NEO4J_OPERATOR_RUSTC").unwrap_or("unknown")),
            ("features", features),
        ],
        1.0,
    );
    out.gauge(metrics::READY, "Whether the operator can reconcile.")
        .sample(&[], flag(facts.ready()));
    out.gauge(metrics::READ_ONLY, "Whether the operator writes nothing.")
        .sample(&[], flag(facts.read_only()));
    let mut startup = out.gauge(metrics::STARTUP_DURATION, "Seconds per phase of the start.");
    for phase in Startup::ALL {
        if let Some(seconds) = telemetry.startup.seconds(phase) {
            startup.sample(&[("phase", phase.as_str())], seconds);
        }
    }
    let mut targets = out.gauge(metrics::SLO_TARGET, "Bounds of the goals, in their base unit.");
    for goal in GoalId::ALL {
        targets.sample(&[("slo", goal.as_str())], goal.target().1);
    }
}

/// Figures of memory overlap and must not be summed; what is not known is absent.
fn memory(out: &mut Exposition, facts: &dyn Facts) {
    let memory = facts.memory();
    let last = memory.reclaims.first();
    let sizes = memory.sizes;
    let mut usage = out.gauge(
        metrics::MEMORY_USAGE,
        "Bytes by component; components overlap and must not be summed.",
    );
    for (component, bytes) in [
        ("rss", sizes.rss),
        ("allocated", sizes.allocated),
        ("active", sizes.active),
        ("resident", sizes.resident),
        ("retained", sizes.retained),
        ("metadata", sizes.metadata),
        ("after_gc", last.and_then(|reclaim| reclaim.after.allocated)),
    ] {
        if let Some(bytes) = bytes {
            usage.sample(&[("component", component)], bytes as f64);
        }
    }
    for kind in facts.cache().kinds {
        usage.sample(&[("component", &format!("cache:{}", kind.kind))], kind.bytes as f64);
    }
    for owner in memory.owners.iter().filter(|owner| owner.name == "bolt_pool") {
        usage.sample(&[("component", &owner.name)], owner.bytes as f64);
    }
    out.gauge(metrics::MEMORY_LIMIT, "Bytes that the process may take.")
        .sample(&[], memory.limit as f64);
    out.gauge(
        metrics::MEMORY_PRESSURE_LEVEL,
        "How short memory is: 0 not, 1 trim, 2 evict, 3 protect.",
    )
    .sample(&[], f64::from(memory.level));
    if let Some(last) = last {
        out.gauge(
            metrics::MEMORY_LAST_RECLAIM,
            "When memory was last given back, seconds since 1970.",
        )
        .sample(&[], last.time.as_millisecond() as f64 / 1e3);
    }
}

fn queue(out: &mut Exposition, facts: &dyn Facts) {
    let figures = facts.queue();
    let mut depth = out.gauge(metrics::WORKQUEUE_DEPTH, "Keys that are due.");
    for kind in &figures.kinds {
        let name = kind.kind.plural();
        for (priority, count) in Priority::ALL.iter().zip(kind.depth) {
            let labels = [("name", name), ("controller", name), ("priority", priority.as_str())];
            depth.sample(&labels, count as f64);
        }
    }
    let mut adds = out.counter(metrics::WORKQUEUE_ADDS, "Keys added, those already there included.");
    for kind in &figures.kinds {
        adds.sample(
            &[("name", kind.kind.plural()), ("controller", kind.kind.plural())],
            kind.adds as f64,
        );
    }
    let mut retries = out.counter(metrics::WORKQUEUE_RETRIES, "Keys run again after a failure.");
    for kind in &figures.kinds {
        retries.sample(
            &[("name", kind.kind.plural()), ("controller", kind.kind.plural())],
            kind.retries as f64,
        );
    }
    let mut unfinished = out.gauge(
        metrics::WORKQUEUE_UNFINISHED_WORK,
        "Seconds that the running reconciles have taken so far, summed.",
    );
    for kind in &figures.kinds {
        unfinished.sample(
            &[("name", kind.kind.plural()), ("controller", kind.kind.plural())],
            kind.unfinished.as_secs_f64(),
        );
    }
    let mut longest = out.gauge(
        metrics::WORKQUEUE_LONGEST_RUNNING,
        "Seconds that the longest running reconcile has taken so far.",
    );
    for kind in &figures.kinds {
        longest.sample(
            &[("name", kind.kind.plural()), ("controller", kind.kind.plural())],
            kind.longest_running.unwrap_or_default().as_secs_f64(),
        );
    }
    let mut oldest = out.gauge(metrics::QUEUE_OLDEST, "Seconds that the oldest due key has waited.");
    for kind in &figures.kinds {
        oldest.sample(
            &[("controller", kind.kind.plural())],
            kind.oldest.unwrap_or_default().as_secs_f64(),
        );
    }
}

fn cache(out: &mut Exposition, facts: &dyn Facts) {
    let cache = facts.cache();
    let mut default = out.gauge(
        metrics::CACHE_STRATEGY,
        "Strategy of kinds without one of their own: 1 for the one in force.",
    );
    for strategy in Strategy::ALL {
        let labels = [("strategy", strategy.as_str())];
        default.sample(&labels, flag(strategy == cache.strategy));
    }
    let kinds = cache.kinds;
    let mut budgets = out.gauge(
        metrics::CACHE_BUDGET,
        "Bytes that a kind may take; without a kind, all of them together.",
    );
    if let Some(budget) = cache.budget {
        budgets.sample(&[], budget as f64);
    }
    for kind in &kinds {
        if let Some(budget) = kind.budget {
            budgets.sample(&[("resource_type", kind.kind.plural())], budget as f64);
        }
    }
    let mut strategies = out.gauge(
        metrics::CACHE_KIND_STRATEGY,
        "Strategy of a kind: 1 for the one in force.",
    );
    for kind in &kinds {
        for strategy in Strategy::ALL {
            let labels = [("resource_type", kind.kind.plural()), ("strategy", strategy.as_str())];
            strategies.sample(&labels, flag(strategy == kind.strategy));
        }
    }
    let mut errors = out.gauge(
        metrics::CACHE_PREDICTION_ERROR,
        "Mean error of past forecasts by quantity: relative, of the hit rate absolute.",
    );
    for error in facts.cache_errors() {
        errors.sample(&[("quantity", error.quantity.as_str())], error.error);
    }
    let mut hit_rate = out.gauge(
        metrics::CACHE_HIT_RATE,
        "Hits divided by cacheable reads over five minutes; absent without such reads.",
    );
    for kind in &kinds {
        if let Some(rate) = kind.hit_rate {
            hit_rate.sample(&[("resource_type", kind.kind.plural())], rate);
        }
    }
    let mut requests = out.counter(metrics::CACHE_REQUESTS, "Reads by result.");
    for kind in &kinds {
        let reads = [
            ("hit", kind.reads.hit),
            ("miss", kind.reads.miss),
            ("fallback", kind.reads.fallback),
            ("bypass", kind.reads.bypass),
        ];
        for (result, count) in reads {
            requests.sample(
                &[("resource_type", kind.kind.plural()), ("result", result)],
                count as f64,
            );
        }
    }
    let mut misses = out.counter(metrics::CACHE_MISSES, "Misses and fallbacks by reason.");
    for kind in &kinds {
        for (reason, count) in &kind.misses {
            let labels = [("resource_type", kind.kind.plural()), ("reason", reason.as_str())];
            misses.sample(&labels, *count as f64);
        }
    }
    let mut objects = out.gauge(metrics::CACHE_OBJECTS, "Objects kept.");
    for kind in &kinds {
        objects.sample(&[("resource_type", kind.kind.plural())], kind.objects as f64);
    }
    let mut bytes = out.gauge(metrics::CACHE_BYTES, "Bytes kept.");
    for kind in &kinds {
        bytes.sample(&[("resource_type", kind.kind.plural())], kind.bytes as f64);
    }
    let mut synced = out.gauge(
        metrics::CACHE_SYNCED,
        "Whether the watch of a kind is complete and live.",
    );
    for watch in facts.watches().items {
        synced.sample(
            &[("resource_type", watch.kind.plural())],
            flag(watch.state == WatchState::Live),
        );
    }
    let mut lag = out.gauge(metrics::CACHE_LAG, "Seconds since the last event or bookmark.");
    for kind in &kinds {
        if let Some(age) = kind.age {
            lag.sample(&[("resource_type", kind.kind.plural())], age.0.as_secs_f64());
        }
    }
}

fn clusters(out: &mut Exposition, facts: &dyn Facts) {
    let clusters: Vec<_> = facts
        .clusters()
        .into_iter()
        .map(|cluster| (format!("{}/{}", cluster.namespace, cluster.name), cluster))
        .collect();
    let mut phases = out.gauge(metrics::CLUSTER_PHASE, "Phase of a cluster: 1 for the one it is in.");
    for (name, cluster) in &clusters {
        for phase in PHASES {
            phases.sample(&[("cluster", name), ("phase", phase)], flag(cluster.phase == phase));
        }
    }
    let mut servers = out.gauge(metrics::CLUSTER_SERVERS, "Servers of a cluster by state.");
    for (name, cluster) in &clusters {
        let counts = cluster.servers;
        servers.sample(&[("cluster", name), ("state", "desired")], f64::from(counts.desired));
        servers.sample(&[("cluster", name), ("state", "ready")], f64::from(counts.ready));
        if let Some(enabled) = counts.enabled {
            servers.sample(&[("cluster", name), ("state", "enabled")], f64::from(enabled));
        }
        for (state, label) in [("Cordoned", "cordoned"), ("Deallocating", "deallocating")] {
            let count = cluster
                .server_list
                .iter()
                .filter(|server| server.state == state)
                .count();
            if !cluster.server_list.is_empty() {
                servers.sample(&[("cluster", name), ("state", label)], count as f64);
            }
        }
    }
    let mut online = out.gauge(metrics::DATABASE_ONLINE, "Whether all copies of a database are online.");
    for (name, cluster) in &clusters {
        for database in cluster.database_list.iter().take(MAX_DATABASES) {
            let labels = [("cluster", name.as_str()), ("database", database.name.as_str())];
            online.sample(&labels, flag(database.status == "online"));
        }
        if let Some(rest) = cluster
            .database_list
            .get(MAX_DATABASES..)
            .filter(|rest| !rest.is_empty())
        {
            let all = rest.iter().all(|database| database.status == "online");
            online.sample(&[("cluster", name), ("database", "_other")], flag(all));
        }
    }
    // Several databases or backups of a cluster share one sample: it is 1 if all of them are ready.
    let mut ready = BTreeMap::new();
    for resource in facts.resources() {
        *ready.entry((resource.kind, resource.cluster)).or_insert(true) &= resource.ready;
    }
    let mut cr_ready = out.gauge(
        metrics::CR_READY,
        "Whether the resources of a kind that belong to a cluster are ready.",
    );
    for ((kind, cluster), ready) in ready {
        cr_ready.sample(&[("resource", kind.plural()), ("cluster", &cluster)], flag(ready));
    }
}
