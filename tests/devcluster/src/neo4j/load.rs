//! Load that a test or demonstration sets, and the metrics of a server that follow from it.
//!
//! The load is that of a whole cluster; the servers that run share it, so a further server makes each of them lighter. It swings
//! slowly around what was set, so that a graph of it has something to show.

use std::{fmt::Write as _, time::Duration};

use super::model::{Cluster, SYSTEM, Server};

/// The load swings once in this time.
const PERIOD: f64 = 90.0;
/// Busier than this a server does not get.
const MAX_CPU: f64 = 0.97;
/// Heap of a server, in bytes.
const HEAP: f64 = 512.0 * 1024.0 * 1024.0;

/// What a cluster's clients do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Queries in a second, all servers together.
    pub queries_per_second: f64,
    /// Of them, transactions that write.
    pub writes_per_second: f64,
    /// Median time of a query on an idle server.
    pub latency: Duration,
    /// Open Bolt connections, all servers together.
    pub connections: u32,
    /// CPU that it takes, in servers: 1.5 keeps three servers half busy.
    pub cpu: f64,
    /// How far it swings around these, 0 to 1.
    pub swing: f64,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            queries_per_second: 60.0,
            writes_per_second: 2.0,
            latency: Duration::from_millis(4),
            connections: 12,
            cpu: 0.3,
            swing: 0.2,
        }
    }
}

/// One server's share at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// Queries in a second.
    pub queries: f64,
    /// CPU, 0 to 1.
    pub cpu: f64,
    /// Median time of a query, in milliseconds.
    pub latency_millis: f64,
    /// Open connections.
    pub connections: f64,
}

/// What a server has served since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Traffic {
    /// Queries.
    pub queries: f64,
    /// Time spent on them, in milliseconds.
    pub processing_millis: f64,
    /// Time they waited for a thread, in milliseconds.
    pub queue_millis: f64,
    /// Connections opened.
    pub connections: f64,
}

impl std::str::FromStr for Load {
    type Err = String;

    /// Reads `queries=200,writes=10,latency=8,connections=40,cpu=1.2,swing=0.1`: latency in milliseconds, what is absent as by default.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut load = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| format!("'{part}' is not key=number"))?;
            let number = value
                .trim()
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite() && *number >= 0.0);
            let number = number.ok_or_else(|| format!("'{value}' is not a number of zero or more"))?;
            match key.trim() {
                "queries" => load.queries_per_second = number,
                "writes" => load.writes_per_second = number,
                "latency" => load.latency = Duration::from_secs_f64(number.min(3.6e6) / 1000.0),
                "connections" => load.connections = number as u32,
                "cpu" => load.cpu = number,
                "swing" => load.swing = number.min(1.0),
                other => {
                    return Err(format!(
                        "'{other}' is none of queries, writes, latency, connections, cpu, swing"
                    ));
                }
            }
        }
        Ok(load)
    }
}

impl Load {
    /// The share of the `n`th of so many servers.
    pub fn at(&self, now: Duration, n: u32, servers: usize) -> Share {
        let phase = now.as_secs_f64() / PERIOD + f64::from(n) / 7.0;
        let factor = (1.0 + self.swing * (phase * std::f64::consts::TAU).sin()) / servers.max(1) as f64;
        let cpu = (self.cpu * factor).clamp(0.0, MAX_CPU);
        Share {
            queries: self.queries_per_second * factor,
            cpu,
            // A queue before one server: the busier, the longer.
            latency_millis: self.latency.as_secs_f64() * 1000.0 / (1.0 - cpu),
            connections: f64::from(self.connections) * factor,
        }
    }
}

impl Traffic {
    /// Time passes under this share.
    pub fn flow(&mut self, share: &Share, elapsed: Duration) {
        let queries = share.queries * elapsed.as_secs_f64();
        self.queries += queries;
        self.processing_millis += queries * share.latency_millis;
        self.queue_millis += queries * share.latency_millis * share.cpu * share.cpu;
        self.connections += share.connections * elapsed.as_secs_f64() / 60.0;
    }
}

/// The page of a server's metrics port, in the text format of Prometheus.
pub fn page(cluster: &Cluster, server: &Server) -> String {
    let serving = cluster.servers.values().filter(|server| server.serving).count();
    let share = cluster.load.at(cluster.now(), server.order(), serving);
    let traffic = server.traffic;
    let prefix = server
        .boot
        .settings
        .get("server.metrics.prefix")
        .map_or("neo4j", String::as_str);
    let mut page = Page {
        prefix: prefix.replace('.', "_"),
        text: String::new(),
    };
    page.gauge("dbms.vm.cpu_load.process", "CPU load of the process", share.cpu);
    page.gauge(
        "dbms.vm.heap.used",
        "Heap in use, in bytes",
        HEAP * (0.3 + 0.5 * share.cpu),
    );
    page.gauge("dbms.vm.heap.max", "Largest heap, in bytes", HEAP);
    page.counter(
        "dbms.vm.gc.time.g1_young_generation",
        "Time of garbage collection, in milliseconds",
        traffic.processing_millis / 200.0,
    );
    page.counter(
        "dbms.vm.pause_time",
        "Time of pauses of the JVM, in milliseconds",
        traffic.processing_millis / 400.0,
    );
    page.gauge(
        "dbms.page_cache.hit_ratio",
        "Share of pages found in the cache",
        1.0 - 0.02 * share.cpu,
    );
    page.gauge(
        "dbms.page_cache.usage_ratio",
        "Share of the cache in use",
        0.4 + 0.3 * share.cpu,
    );
    page.counter(
        "dbms.page_cache.page_faults",
        "Pages that were not in the cache",
        traffic.queries * 0.1,
    );
    page.counter(
        "dbms.page_cache.hits",
        "Pages that were in the cache",
        traffic.queries * 20.0,
    );
    page.gauge(
        "dbms.bolt.connections_running",
        "Connections that run something",
        (share.connections * share.cpu).ceil(),
    );
    page.gauge(
        "dbms.bolt.connections_idle",
        "Connections that wait",
        (share.connections * (1.0 - share.cpu)).floor(),
    );
    page.counter(
        "dbms.bolt.connections_opened",
        "Connections opened",
        traffic.connections + share.connections,
    );
    page.counter(
        "dbms.bolt.connections_closed",
        "Connections closed",
        traffic.connections,
    );
    page.counter(
        "dbms.bolt.messages_received",
        "Messages received",
        traffic.queries * 2.0,
    );
    page.counter("dbms.bolt.messages_started", "Messages begun", traffic.queries * 2.0);
    page.counter("dbms.bolt.messages_done", "Messages done", traffic.queries * 2.0);
    page.counter(
        "dbms.bolt.accumulated_queue_time",
        "Time that messages waited, in milliseconds",
        traffic.queue_millis,
    );
    page.counter(
        "dbms.bolt.accumulated_processing_time",
        "Time that messages took, in milliseconds",
        traffic.processing_millis,
    );
    let unreachable = cluster
        .servers
        .values()
        .filter(|server| server.joined && !server.serving)
        .count();
    page.gauge(
        "dbms.cluster.discovery.memberset.unreachable",
        "Members that cannot be reached",
        unreachable as f64,
    );
    for (name, database) in &cluster.databases {
        let Some(copy) = database.copies.get(&server.id) else {
            continue;
        };
        let part = |metric: &str| format!("database.{name}.{metric}");
        let leads = database.leader.as_ref() == Some(&server.id);
        page.gauge(
            &part("cluster.raft.is_leader"),
            "Leads the database",
            f64::from(u8::from(leads)),
        );
        page.gauge(
            &part("cluster.raft.commit_index"),
            "Last committed entry",
            database.last_tx as f64,
        );
        page.gauge(
            &part("cluster.raft.applied_index"),
            "Last applied entry",
            copy.applied as f64,
        );
        page.gauge(
            &part("transaction.last_committed_tx_id"),
            "Last committed transaction",
            copy.applied as f64,
        );
        page.gauge(
            &part("store.size.full"),
            "Size of store and logs, in bytes",
            database.bytes as f64,
        );
        if name == SYSTEM {
            continue;
        }
        page.gauge(
            &part("transaction.active"),
            "Open transactions",
            (share.queries * share.latency_millis / 1000.0).ceil(),
        );
        page.counter(
            &part("db.query.execution.success"),
            "Queries that succeeded",
            traffic.queries,
        );
        page.counter(
            &part("db.query.execution.failure"),
            "Queries that failed",
            traffic.queries * 0.001,
        );
        page.quantiles(
            &part("db.query.execution.latency.millis"),
            "Time of queries that succeeded, in milliseconds",
            share.latency_millis,
            traffic,
        );
    }
    page.text
}

struct Page {
    prefix: String,
    text: String,
}

impl Page {
    fn name(&self, metric: &str) -> String {
        let legal = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        format!("{}_{}", self.prefix, metric.chars().map(legal).collect::<String>())
    }

    fn head(&mut self, name: &str, metric: &str, help: &str, kind: &str) {
        // Writing to a string cannot fail. The dotted name stands in HELP: spellings differ by version (N53).
        let _ = writeln!(self.text, "# HELP {name} {help} (neo4j.{metric})\n# TYPE {name} {kind}");
    }

    fn gauge(&mut self, metric: &str, help: &str, value: f64) {
        let name = self.name(metric);
        self.head(&name, metric, help, "gauge");
        let _ = writeln!(self.text, "{name} {value}");
    }

    fn counter(&mut self, metric: &str, help: &str, value: f64) {
        let name = format!("{}_total", self.name(metric));
        self.head(&name, metric, help, "counter");
        let _ = writeln!(self.text, "{name} {}", value.floor());
    }

    fn quantiles(&mut self, metric: &str, help: &str, median: f64, traffic: Traffic) {
        let name = self.name(metric);
        self.head(&name, metric, help, "summary");
        for (quantile, times) in [
            ("0.5", 1.0),
            ("0.75", 1.6),
            ("0.95", 3.2),
            ("0.99", 5.5),
            ("0.999", 11.0),
        ] {
            let _ = writeln!(self.text, "{name}{{quantile=\"{quantile}\"}} {:.3}", median * times);
        }
        let _ = writeln!(
            self.text,
            "{name}_sum {:.3}\n{name}_count {}",
            traffic.processing_millis,
            traffic.queries.floor()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_read_from_text_and_nonsense_is_named() {
        let load: Load = "queries=200, latency=8,cpu=1.5".parse().unwrap();
        assert_eq!(
            (load.queries_per_second, load.latency, load.cpu),
            (200.0, Duration::from_millis(8), 1.5)
        );
        for wrong in ["queries", "queries=many", "qps=1", "cpu=-1", "latency=NaN"] {
            wrong.parse::<Load>().expect_err(wrong);
        }
    }

    #[test]
    fn a_further_server_makes_each_lighter_and_a_busy_one_slower() {
        let load = Load {
            swing: 0.0,
            cpu: 1.8,
            ..Load::default()
        };
        let (two, three) = (load.at(Duration::ZERO, 0, 2), load.at(Duration::ZERO, 0, 3));
        assert!(two.cpu > three.cpu && two.queries > three.queries);
        assert!(two.latency_millis > three.latency_millis);
        let alone = load.at(Duration::ZERO, 0, 1);
        assert!(alone.cpu <= MAX_CPU && alone.latency_millis.is_finite());
    }
}
