//! devcluster's API server against the real kube-apiserver: the same requests, equal answers.
//!
//! A *case* is a function that talks raw HTTP through one [`Session`](session::Session), in a namespace of its own; its name begins with
//! the numbers of the rules it is about (the table in `tests/devcluster/README.md`). It asserts the promise in short; every answer is
//! recorded whole, [normalised](normal) and compared with a *golden file*, which is what the real server answered:
//!
//! | run | does |
//! |---|---|
//! | plain | cases on devcluster's server, compared with the golden files: Rust only |
//! | `TARGET=real` | cases on a real control plane, compared with the golden files |
//! | `TARGET=real GOLDEN=write` | the same, and writes the golden files |
//!
//! `CASE=d15` runs only cases whose name begins so. A difference is a bug of devcluster, or it is listed in
//! `tests/devcluster/DIFFERENCES.md` with its reason; one that is listed and has gone fails too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod cases;
mod definitions;
mod deviations;
mod golden;
mod normal;
mod sequences;
mod session;
mod table;
mod target;

use std::collections::BTreeSet;

use neo4j_devcluster::apiserver::Options;

use crate::{
    cases::{Case, THEMES, Theme},
    session::Session,
    target::Target,
};

fn wanted(case: &Case) -> bool {
    std::env::var("CASE").map_or(true, |prefix| case.name.starts_with(&prefix))
}

async fn target_of(theme: &Theme) -> Target {
    match (target::real(), theme.controllers) {
        (true, controllers) => Target::real(controllers).await,
        (false, false) => Target::alone(Options::default()).await,
        (false, true) => Target::with_controllers().await,
    }
}

/// The exchanges of one case; `Err` with the message of a broken promise.
async fn play(target: &Target, case: &Case) -> Result<Vec<serde_json::Value>, String> {
    let (target, run, name) = (target.clone(), case.run, case.name);
    let playing = tokio::spawn(async move {
        let mut session = Session::begin(&target, name).await;
        run(&mut session).await;
        session.end()
    });
    playing.await.map_err(|error| match error.try_into_panic() {
        Ok(panic) => match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
            (Some(text), _) => text.clone(),
            (_, Some(text)) => (*text).to_owned(),
            _ => "panicked".to_owned(),
        },
        Err(error) => error.to_string(),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_answers_as_the_real_server_does() {
    let listed = golden::listed();
    let none = BTreeSet::new();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (controllers, themes) in [false, true].map(|c| (c, THEMES.iter().filter(move |t| t.controllers == c))) {
        let mut target = None;
        for theme in themes {
            let names: Vec<&str> = theme.cases.iter().map(|c| c.name).collect();
            let mut recorded = golden::read(theme.name);
            for case in theme.cases.iter().filter(|c| wanted(c)) {
                if target.is_none() {
                    target = Some(target_of(theme).await);
                }
                let Some(target) = &target else { unreachable!() };
                count += 1;
                let ours = match play(target, case).await {
                    Ok(ours) => ours,
                    Err(broken) => {
                        wrong.push(format!("{}: {broken}", case.name));
                        continue;
                    }
                };
                if target::real() && golden::writes() {
                    recorded.insert(case.name.to_owned(), ours);
                    continue;
                }
                // The real server has no excuse.
                let may_differ = listed.get(case.name).filter(|_| !target::real()).unwrap_or(&none);
                let golden = recorded.get(case.name).map(Vec::as_slice).unwrap_or_default();
                let lines = golden::compare(golden, &ours, may_differ);
                if !lines.is_empty() {
                    wrong.push(format!("{}\n  {}", case.name, lines.join("\n  ")));
                }
            }
            if target::real() && golden::writes() {
                golden::write(theme.name, &names, &recorded);
            }
        }
        println!(
            "{count} cases after those {} controllers",
            if controllers { "with" } else { "without" }
        );
    }
    assert!(
        wrong.is_empty(),
        "{} of {count} cases differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn differences_name_cases_that_exist() {
    let names: BTreeSet<&str> = THEMES.iter().flat_map(|t| t.cases).map(|c| c.name).collect();
    let unknown: Vec<String> = golden::listed()
        .into_keys()
        .filter(|n| !names.contains(n.as_str()))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
