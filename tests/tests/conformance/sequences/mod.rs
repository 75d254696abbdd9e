//! Random sequences: the same operations on devcluster's server and on the real one, equal answers and equal watch events.
//!
//! | run | does |
//! |---|---|
//! | plain | replays [`COMMITTED`] sequences on devcluster's server against `transcripts/golden/sequences.jsonl` |
//! | `TARGET=real` | runs 200 sequences (`SEQUENCES=n`) on both servers live, and those of `failing-seeds.txt` first |
//! | `TARGET=real GOLDEN=write` | also writes the golden file |
//!
//! `SEED=n` runs that one. A failing sequence is told up to its first difference, which is its shortest failing prefix, and its seed is
//! added to `failing-seeds.txt`, where it stays.

mod plan;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use serde_json::{Value, json};

use self::plan::{Step, Version};
use crate::{
    golden,
    session::{Answer, Session},
    target::{self, Target},
};

/// How many sequences have golden answers.
const COMMITTED: usize = 50;
/// How many are run live.
const LIVE: u64 = 200;

/// What a sequence knows of its objects: first version, newest version, uid.
type Seen = BTreeMap<String, (String, String)>;

fn named(version: Version, seen: &Seen, path: &str) -> Option<String> {
    let (first, current) = seen.get(path)?;
    match version {
        Version::None => None,
        Version::Current => Some(current.clone()),
        Version::First => Some(first.clone()),
    }
}

/// The body with the version in its metadata.
fn at(mut body: Value, version: Option<String>) -> Value {
    if let Some(version) = version {
        body["metadata"]["resourceVersion"] = json!(version);
    }
    body
}

async fn act(s: &mut Session, kind: &str, path: &str, step: Step, seen: &Seen) -> Answer {
    let version = |version| named(version, seen, path);
    match step {
        Step::Create(body) => s.post(kind, body).await,
        Step::Put(body, v) => s.put(path, at(body, version(v))).await,
        Step::Merge(body, v) => s.merge(path, at(body, version(v))).await,
        Step::Strategic(body) => s.strategic(path, body).await,
        Step::JsonPatch(body) => s.json_patch(path, body).await,
        Step::Apply {
            manager,
            force,
            body,
            version: v,
        } => {
            let force = if force { "&force=true" } else { "" };
            s.apply(&format!("{path}?fieldManager={manager}{force}"), at(body, version(v)))
                .await
        }
        Step::Status(body) => s.merge(&format!("{path}/status"), body).await,
        Step::Delete { options, version: v } => {
            let mut options = options;
            if let Some(version) = version(v) {
                options["preconditions"]["resourceVersion"] = json!(version);
            }
            s.delete(path, options).await
        }
        Step::Get => s.get(path).await,
        Step::List(query) => s.get(&format!("{kind}{query}")).await,
    }
}

/// Runs one sequence; what was said, normalised.
async fn run(target: &Target, seed: u64) -> Vec<Value> {
    let mut s = Session::begin(target, &format!("sequence_{seed}")).await;
    let (selective, steps) = plan::plan(seed);
    let kinds: BTreeSet<&str> = steps.iter().map(|(kind, _, _)| *kind).collect();
    let selector = if selective { "?labelSelector=t%3D1" } else { "" };
    let mut watches = Vec::new();
    for kind in &kinds {
        watches.push((*kind, s.watch(&format!("{kind}{selector}")).await));
    }
    let mut seen = Seen::new();
    for (kind, name, step) in steps {
        let path = format!("{kind}/{name}");
        let answer = act(&mut s, kind, &path, step, &seen).await;
        if answer.code < 300 && answer.text("/metadata/name") == name {
            seen.entry(path).or_insert_with(|| (answer.rv(), String::new())).1 = answer.rv();
        }
    }
    for (kind, watch) in watches {
        let spec = match kind {
            "services" => json!({"clusterIP": "None"}),
            "neo4jdatabases" => json!({"clusterRef": "c", "name": "db"}),
            _ => json!({}),
        };
        let mut last = json!({"metadata": {"name": "last", "labels": {"t": "1"}}, "spec": spec});
        if kind == "configmaps" {
            last.as_object_mut().unwrap().remove("spec");
        }
        s.post(kind, last).await.is(201);
        s.events_to(watch, "ADDED", "last").await;
    }
    s.end()
}

/// The first exchange that differs, with what came before it.
fn first_difference(seed: u64, golden: &[Value], ours: &[Value]) -> Option<String> {
    let none = BTreeSet::new();
    let differs = |i: &usize| golden.get(*i) != ours.get(*i);
    let at = (0..golden.len().max(ours.len())).find(differs)?;
    let mut out = format!("seed {seed}, exchange {}:", at + 1);
    for exchange in &golden[..at.min(golden.len())] {
        let request = &exchange["request"];
        write!(
            out,
            "\n    {} {} {} -> {}",
            request["method"], request["path"], request["body"], exchange["status"]
        )
        .unwrap();
    }
    let one = |all: &[Value]| all.get(at).cloned().into_iter().collect::<Vec<_>>();
    let lines = golden::compare(&one(golden), &one(ours), &none);
    Some(format!("{out}\n  {}", lines.join("\n  ")))
}

fn seeds_file() -> std::path::PathBuf {
    std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/sequences/failing-seeds.txt")
}

/// Seeds that failed once.
fn failing() -> BTreeSet<u64> {
    let text = std::fs::read_to_string(seeds_file()).unwrap();
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with('#'));
    lines.map(|l| l.split(' ').next().unwrap().parse().unwrap()).collect()
}

/// Whether the file gives a reason for this one.
fn explained(seed: u64) -> bool {
    let text = std::fs::read_to_string(seeds_file()).unwrap();
    text.lines().any(|line| line.starts_with(&format!("{seed} ")))
}

fn remember(seeds: &BTreeSet<u64>) {
    let new: Vec<u64> = seeds.difference(&failing()).copied().collect();
    let mut text = std::fs::read_to_string(seeds_file()).unwrap();
    for seed in new {
        writeln!(text, "{seed}").unwrap();
    }
    std::fs::write(seeds_file(), text).unwrap();
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_sequences_answer_as_on_the_real_server() {
    let embedded = Target::alone(neo4j_devcluster::apiserver::Options::default()).await;
    let mut wrong = Vec::new();
    if !target::real() {
        let recorded = golden::read("sequences");
        let known = recorded.keys().map(|seed| seed.parse::<u64>().unwrap());
        let seeds: Vec<u64> = known.filter(|s| number("SEED").is_none_or(|one| one == *s)).collect();
        assert!(
            number("SEED").is_some() || seeds.len() == COMMITTED,
            "{} recorded",
            seeds.len()
        );
        for seed in &seeds {
            let golden = recorded.get(&seed.to_string()).map(Vec::as_slice).unwrap_or_default();
            wrong.extend(first_difference(*seed, golden, &run(&embedded, *seed).await));
        }
        println!("{} sequences replayed", seeds.len());
        assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
        return;
    }
    let real = Target::real(false).await;
    let count = number("SEQUENCES").unwrap_or(LIVE);
    let seeds: BTreeSet<u64> = match number("SEED") {
        Some(seed) => [seed].into(),
        None => failing().into_iter().chain(0..count).collect(),
    };
    let (mut recorded, mut failed, mut operations) = (golden::Cases::new(), BTreeSet::new(), 0);
    for seed in &seeds {
        let golden = run(&real, *seed).await;
        operations += golden.len();
        if let Some(difference) = first_difference(*seed, &golden, &run(&embedded, *seed).await) {
            // A seed with a reason behind it is a difference that is left.
            if explained(*seed) {
                println!("{difference}");
            } else {
                wrong.push(difference);
            }
            failed.insert(*seed);
        }
        recorded.insert(seed.to_string(), golden);
    }
    println!(
        "{} sequences, {operations} exchanges on both servers, {} differ",
        seeds.len(),
        failed.len()
    );
    if golden::writes() && number("SEED").is_none() {
        let equal = seeds.iter().filter(|s| !failed.contains(s)).take(COMMITTED);
        let names: Vec<String> = equal.map(u64::to_string).collect();
        golden::write(
            "sequences",
            &names.iter().map(String::as_str).collect::<Vec<_>>(),
            &recorded,
        );
    }
    remember(&failed);
    assert!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        seeds.len(),
        wrong.join("\n")
    );
}
