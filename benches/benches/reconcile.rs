//! One pass of the reconciler over a cluster that exists: with nothing to do, at a drift check, and after a change.
#![allow(clippy::expect_used, reason = "a bench that cannot measure ends")]

use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use neo4j_operator_benches::{
    formed::{Check, Formed},
    operated::Operated,
    runtime,
    samples::Samples,
};
use neo4j_operator_shared::reconciles::Outcome;
use tokio::runtime::Runtime;

/// Passes of a cluster that did not change: no request at all.
async fn rests(world: &Formed, passes: u64) -> Duration {
    world.settle().await.expect("it settles");
    world.forget_requests();
    let mut whole = Duration::ZERO;
    for _ in 0..passes {
        let pass = world.pass(Check::WhenChanged).await.expect("a pass");
        assert_eq!(pass.done.outcome, Outcome::Skipped);
        whole += pass.took;
    }
    assert_eq!(world.requests(), 0, "a cluster that did not change costs no request");
    whole
}

/// Passes that compare all objects and ask Neo4j: no write.
async fn drift_checks(world: &Formed, passes: u64) -> Duration {
    world.forget_requests();
    let mut whole = Duration::ZERO;
    for _ in 0..passes {
        let pass = world.pass(Check::Always).await.expect("a pass");
        assert_eq!(pass.done.outcome, Outcome::Converged);
        whole += pass.took;
    }
    world.ensure_no_writes().expect("no write");
    whole
}

/// Passes after a change of one annotation of one Service: one apply, one status.
async fn changes(world: &Formed, first: u64, passes: u64) -> Duration {
    let mut whole = Duration::ZERO;
    for n in 0..passes {
        world.annotate_client_service(first + n).await.expect("a change");
        world.forget_requests();
        whole += world.pass(Check::WhenChanged).await.expect("a pass").took;
        let writes = world.writes();
        assert_eq!(writes, ["patch services/", "patch neo4jenterpriseclusters/status"]);
        world.settle().await.expect("it settles");
    }
    whole
}

fn floor(group: &mut BenchmarkGroup<'_, WallTime>, runtime: &Runtime) -> Samples {
    let samples = Samples::default();
    let world = runtime.block_on(Operated::start()).expect("the operator");
    let mut created = 0;
    group.bench_function("floor: one create call", |bencher| {
        bencher.iter_custom(|n| {
            let mut whole = Duration::ZERO;
            for _ in 0..n {
                created += 1;
                let name = format!("c-{created}");
                let call = world.create_config_map(&name);
                whole += runtime.block_on(call).expect("a create call");
            }
            samples.note(n, whole)
        });
    });
    runtime.block_on(world.stop());
    samples
}

fn main() {
    let runtime = runtime().expect("a runtime");
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("reconcile");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    let floor = floor(&mut group, &runtime);
    let world = runtime.block_on(Formed::start()).expect("a formed cluster");

    let (no_op, drift, change) = (Samples::default(), Samples::default(), Samples::default());
    group.bench_function("no-op", |bencher| {
        bencher.iter_custom(|n| no_op.note(n, runtime.block_on(rests(&world, n))));
    });
    group.bench_function("drift check without a change", |bencher| {
        bencher.iter_custom(|n| drift.note(n, runtime.block_on(drift_checks(&world, n))));
    });
    let mut made = 0;
    // The first apply of an object that was created also hands its fields over; that happens once in its life.
    runtime.block_on(async {
        world.annotate_client_service(made).await.expect("a change");
        world.settle().await.expect("it settles");
    });
    group.bench_function("change of one annotation", |bencher| {
        bencher.iter_custom(|n| {
            let first = made + 1;
            made += n;
            change.note(n, runtime.block_on(changes(&world, first, n)))
        });
    });
    group.finish();
    runtime.block_on(world.stop());

    let lines = [
        no_op.line("no-op", &floor),
        drift.line("drift check", &floor),
        change.line("change", &floor),
    ];
    for line in lines.into_iter().flatten() {
        println!("reconcile, median of the samples: {line}");
    }
    criterion.final_summary();
}
