//! Whether a pool of byte buffers would pay: bodies as the operator writes them, into a new buffer, into a new one of the
//! size of the last, and into one from a pool. The operator has no pool; the README says why, with figures from here.
//!
//! The pool is the one that the operator would have: bounded in count and bytes, nothing above 256 KiB comes back.
#![allow(clippy::expect_used, reason = "a bench that cannot measure ends")]

use std::{
    fmt::Write as _,
    hint::black_box,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use criterion::{Criterion, Throughput};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Buffers that wait.
const MOST: usize = 64;
/// Bytes of all that wait.
const MOST_BYTES: usize = 4 << 20;
/// A longer buffer is not taken back.
const LONGEST: usize = 256 << 10;

#[derive(Default)]
struct Pool {
    waiting: Mutex<(Vec<Vec<u8>>, usize)>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Pool {
    fn take(&self) -> Vec<u8> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let buffer = waiting.0.pop();
        waiting.1 -= buffer.as_ref().map_or(0, Vec::capacity);
        drop(waiting);
        let counter = if buffer.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        buffer.unwrap_or_default()
    }

    fn give(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let size = buffer.capacity();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if size <= LONGEST && waiting.0.len() < MOST && waiting.1 + size <= MOST_BYTES {
            waiting.1 += size;
            waiting.0.push(buffer);
        }
    }
}

/// Something the operator writes.
trait Body {
    fn write(&self, buffer: &mut Vec<u8>);
}

struct Json(Value);

impl Body for Json {
    fn write(&self, buffer: &mut Vec<u8>) {
        serde_json::to_writer(buffer, &self.0).expect("JSON");
    }
}

/// Lines as `/metrics` has them.
struct Lines(usize);

impl Body for Lines {
    fn write(&self, buffer: &mut Vec<u8>) {
        let mut text = String::from_utf8(std::mem::take(buffer)).expect("text");
        for n in 0..self.0 {
            let _ = writeln!(
                text,
                "neo4j_operator_cluster_phase{{cluster=\"team-{n}/graph\",phase=\"Ready\"}} {}",
                n % 2
            );
        }
        *buffer = text.into_bytes();
    }
}

/// A StatefulSet with three containers, about as long as a rendered one.
fn stateful_set() -> Value {
    let variables: Vec<_> = (0..24)
        .map(|n| json!({"name": format!("NEO4J_server_setting_{n}"), "value": format!("value of the setting {n}")}))
        .collect();
    let mounts: Vec<_> = (0..8)
        .map(|n| json!({"name": format!("volume-{n}"), "mountPath": format!("/var/lib/neo4j/{n}")}))
        .collect();
    let probe = json!({"tcpSocket": {"port": 7687}, "periodSeconds": 5, "failureThreshold": 40});
    let containers: Vec<_> = ["neo4j", "backup", "metrics"]
        .map(|name| {
            json!({"name": name, "image": "neo4j:5.26-enterprise", "env": variables, "volumeMounts": mounts,
                "livenessProbe": probe, "readinessProbe": probe, "startupProbe": probe})
        })
        .into();
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "graph", "namespace": "team"},
        "spec": {"replicas": 3, "serviceName": "graph-headless", "template": {"spec": {"containers": containers}}}})
}

fn status() -> Value {
    let conditions: Vec<_> = (0..6)
        .map(|n| {
            json!({"type": format!("Condition{n}"), "status": "True", "reason": "AsItShouldBe",
            "message": "everything is as it should be", "lastTransitionTime": "2026-01-01T00:00:00Z"})
        })
        .collect();
    json!({"status": {"phase": "Ready", "conditions": conditions}})
}

fn compare(criterion: &mut Criterion, what: &str, body: &dyn Body) {
    let mut buffer = Vec::new();
    body.write(&mut buffer);
    let size = buffer.len();
    let pool = Pool::default();
    let mut group = criterion.benchmark_group(format!("{what}, {size} bytes"));
    group.throughput(Throughput::Bytes(size as u64));
    group.bench_function("new buffer", |bencher| {
        bencher.iter(|| {
            let mut buffer = Vec::new();
            body.write(&mut buffer);
            black_box(&buffer);
        });
    });
    group.bench_function("new buffer of the last size", |bencher| {
        bencher.iter(|| {
            let mut buffer = Vec::with_capacity(black_box(size));
            body.write(&mut buffer);
            black_box(&buffer);
        });
    });
    group.bench_function("pool", |bencher| {
        bencher.iter(|| {
            let mut buffer = pool.take();
            body.write(&mut buffer);
            pool.give(black_box(buffer));
        });
    });
    group.finish();
    println!(
        "{what}: {} hits, {} misses of the pool",
        pool.hits.load(Ordering::Relaxed),
        pool.misses.load(Ordering::Relaxed)
    );
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    compare(&mut criterion, "StatefulSet", &Json(stateful_set()));
    compare(&mut criterion, "status", &Json(status()));
    compare(&mut criterion, "metrics of 20 clusters", &Lines(200));
    compare(&mut criterion, "metrics of 1,000 clusters", &Lines(10_000));
    criterion.final_summary();
}
