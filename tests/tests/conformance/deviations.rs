//! The suite would notice: each deviation planted in devcluster's server makes a case differ from its golden file.

use std::collections::BTreeSet;

use neo4j_devcluster::apiserver::{
    Options,
    deviation::{Deviation, Planted},
};

use crate::{
    cases::{Case, THEMES},
    golden, play,
    target::{self, Target},
};

/// Each deviation with a case that must notice it.
const CAUGHT_BY: &[(Deviation, &str)] = &[
    (Deviation::EqualUpdateIsStored, "d2_equal_writes_do_nothing"),
    (Deviation::DeletedKeepsItsVersion, "d8_deleted_has_a_version_of_its_own"),
    (Deviation::StaleVersionPasses, "d3_stale_version"),
    (
        Deviation::ApplyForgetsOthers,
        "d30_dropped_field_that_another_apply_owns",
    ),
    (Deviation::DeletionIsNoGeneration, "d13_deletion_bumps_generation"),
    (Deviation::LastFinalizerLeavesObject, "d15_last_finalizer_removed"),
    (Deviation::NoDefaults, "d26_custom_defaults"),
    (Deviation::ImmutableFieldsChange, "d25_statefulset_claims"),
    (Deviation::PagesAreNotPinned, "d11_pages_are_one_snapshot"),
    (
        Deviation::LeavingASelectorIsSilent,
        "d7_leaving_and_entering_a_selector",
    ),
];

fn find(name: &str) -> (&'static str, &'static Case) {
    let mut all = THEMES.iter().flat_map(|t| t.cases.iter().map(|c| (t.name, c)));
    all.find(|(_, case)| case.name == name).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_planted_deviation_is_noticed() {
    if target::real() {
        return;
    }
    let none = BTreeSet::new();
    let listed = golden::listed();
    for (deviation, name) in CAUGHT_BY {
        let (theme, case) = find(name);
        let golden = golden::read(theme).remove(*name).unwrap();
        let may_differ = listed.get(*name).unwrap_or(&none);
        let planted = |deviation| Options {
            planted: Planted(deviation),
            ..Options::default()
        };
        let honest = play(&Target::alone(planted(None)).await, case).await.unwrap();
        assert_eq!(
            golden::compare(&golden, &honest, may_differ),
            Vec::<String>::new(),
            "{name}"
        );
        // Either an answer differs, or the case does not get that far.
        let noticed = match play(&Target::alone(planted(Some(*deviation))).await, case).await {
            Ok(ours) => golden::compare(&golden, &ours, may_differ),
            Err(broken) => vec![broken],
        };
        assert!(!noticed.is_empty(), "{deviation:?} is not noticed by {name}");
        println!("{deviation:?}: {}", noticed[0]);
    }
}
