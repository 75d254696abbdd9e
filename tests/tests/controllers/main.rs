//! The controllers of Kubernetes on our API server, and ours beside them.
//!
//! Each scenario runs twice on the embedded API server with the same fake kubelet: once with kube-controller-manager,
//! a real Go client with its own discovery, informers, patches and garbage collector, and once with the controllers of
//! devcluster. It must work with the first, or our API server is wrong; and what it leaves behind must be the same,
//! or our controllers are. With `TARGET=real` only: it needs a program that `make test-e2e` builds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod operator;
mod scenarios;
mod world;

use std::collections::BTreeMap;

use futures::future::join_all;
use neo4j_operator_tests::harness::target::Target;
use serde_json::Value;

use world::World;

fn real() -> bool {
    Target::from_env().unwrap() == Target::Real
}

/// What each scenario leaves behind, by its name.
async fn outcomes(world: &World) -> BTreeMap<&'static str, Value> {
    let runs = scenarios::ALL.iter().map(|(name, run)| async {
        let place = world.place(name).await;
        (*name, run(place).await)
    });
    join_all(runs).await.into_iter().collect()
}

#[tokio::test]
async fn the_controllers_of_kubernetes_and_ours_leave_the_same_behind() {
    if !real() {
        return;
    }
    let theirs = World::with_kube_controller_manager().await;
    let expected = outcomes(&theirs).await;
    theirs.stop().await;
    let ours = World::with_our_controllers().await;
    let found = outcomes(&ours).await;
    ours.stop().await;
    let differences: Vec<String> = expected
        .iter()
        .filter(|(name, expected)| found[*name] != **expected)
        .map(|(name, expected)| {
            let found = &found[name];
            format!("{name}: kube-controller-manager leaves\n{expected:#}\nand ours\n{found:#}")
        })
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
