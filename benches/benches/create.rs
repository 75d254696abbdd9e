//! From new resources to their StatefulSets, with the whole operator in process: one cluster, and a hundred at once.
#![allow(clippy::expect_used, reason = "a bench that cannot measure ends")]

use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, SamplingMode, measurement::WallTime};
use neo4j_operator_benches::{
    operated::Operated,
    runtime,
    samples::{Samples, quantile},
};
use tokio::runtime::Runtime;

/// Requests that a cluster may cost until it waits for its pods.
const REQUESTS: usize = 16;

fn names(clusters: u64, round: u64) -> Vec<String> {
    (0..clusters).map(|n| format!("c{round}-{n}")).collect()
}

/// Creates so many clusters at once, again and again. Each sample has an operator of its own, so that none pays for the
/// clusters of those before it.
async fn creates(clusters: u64, rounds: u64) -> Duration {
    let world = Operated::start().await.expect("the operator");
    let mut whole = Duration::ZERO;
    for round in 0..rounds {
        let burst = world.create(names(clusters, round)).await.expect("StatefulSets");
        whole += burst.whole;
        world.requests_until_waiting(&burst).await.expect("they wait for pods");
    }
    world.stop().await;
    whole
}

async fn create_calls(calls: u64) -> Duration {
    let world = Operated::start().await.expect("the operator");
    let mut whole = Duration::ZERO;
    for n in 0..calls {
        whole += world.create_config_map(&format!("c-{n}")).await.expect("a create call");
    }
    world.stop().await;
    whole
}

/// Counts requests, and the times of the single clusters of one burst.
async fn count(clusters: u64) {
    let world = Operated::start().await.expect("the operator");
    let mut burst = world.create(names(clusters, 0)).await.expect("StatefulSets");
    let counted = world.requests_until_waiting(&burst).await.expect("they wait for pods");
    world.stop().await;
    let each = |of| quantile(&mut burst.each, of).unwrap_or_default();
    let [p50, p99] = [0.5, 0.99].map(each);
    println!("create {clusters} at once: StatefulSet after {p50:.1?} (p50), {p99:.1?} (p99)");
    let total: usize = counted.values().sum();
    let per_cluster = total as f64 / clusters as f64;
    println!(
        "create {clusters} at once: {per_cluster:.2} API requests per cluster until it waits for pods: {counted:?}"
    );
    assert!(
        per_cluster <= REQUESTS as f64,
        "{per_cluster} requests per cluster are more than {REQUESTS}"
    );
}

fn bench(group: &mut BenchmarkGroup<'_, WallTime>, runtime: &Runtime, clusters: u64) -> Samples {
    let samples = Samples::default();
    group.bench_function(format!("{clusters} → StatefulSet"), |bencher| {
        bencher.iter_custom(|n| samples.note(n, runtime.block_on(creates(clusters, n))));
    });
    samples
}

fn main() {
    let runtime = runtime().expect("a runtime");
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("create");
    group
        .sample_size(10)
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(5));
    let floor = Samples::default();
    group.bench_function("floor: one create call", |bencher| {
        bencher.iter_custom(|n| floor.note(n, runtime.block_on(create_calls(n))));
    });
    let one = bench(&mut group, &runtime, 1);
    let hundred = bench(&mut group, &runtime, 100);
    group.finish();

    let lines = [one.line("1 cluster", &floor), hundred.line("100 clusters", &floor)];
    for line in lines.into_iter().flatten() {
        println!("create, median of the samples: {line}");
    }
    for clusters in [1, 100] {
        runtime.block_on(count(clusters));
    }
    criterion.final_summary();
}
