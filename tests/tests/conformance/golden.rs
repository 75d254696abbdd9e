//! Golden files: what the real server answered, one JSON line for each exchange, one file for each theme.
//!
//! The first line is a header: versions and flags of the recording. `TARGET=real GOLDEN=write` writes the files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::PathBuf,
};

use serde_json::{Value, json};

use crate::normal;

/// The files of one theme by case.
pub type Cases = BTreeMap<String, Vec<Value>>;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("devcluster")
}

fn file(theme: &str) -> PathBuf {
    folder().join("transcripts/golden").join(format!("{theme}.jsonl"))
}

/// Whether this run records.
pub fn writes() -> bool {
    std::env::var("GOLDEN").is_ok_and(|v| v == "write")
}

/// What was recorded; empty where nothing was.
pub fn read(theme: &str) -> Cases {
    let text = std::fs::read_to_string(file(theme)).unwrap_or_default();
    let mut cases = Cases::new();
    for line in text.lines().skip(1) {
        let mut exchange: Value = serde_json::from_str(line).unwrap();
        let fields = exchange.as_object_mut().unwrap();
        let case = fields.remove("case").unwrap().as_str().unwrap().to_owned();
        cases.entry(case).or_default().push(exchange);
    }
    cases
}

/// Writes the cases in the order of `names`.
pub fn write(theme: &str, names: &[&str], cases: &Cases) {
    let header = json!({
        "recorded": "kube-apiserver v1.36.3, etcd 3.6.12",
        "with": "flags of tests/src/controlplane/flags.rs, --etcd-compaction-interval=10000ms",
        "theme": theme,
    });
    let mut text = format!("{header}\n");
    for name in names {
        for exchange in cases.get(*name).into_iter().flatten() {
            let mut line = json!({"case": name});
            line.as_object_mut()
                .unwrap()
                .extend(exchange.as_object().unwrap().clone());
            writeln!(text, "{line}").unwrap();
        }
    }
    let path = file(theme);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Exchanges of a case that may differ, from DIFFERENCES.md: rows `| case | 2, 5 | reason |`.
pub fn listed() -> BTreeMap<String, BTreeSet<usize>> {
    let text = std::fs::read_to_string(folder().join("DIFFERENCES.md")).unwrap();
    let mut listed = BTreeMap::new();
    for line in text.lines().filter(|l| l.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let numbers = cells[2].split(',').map(|n| n.trim().parse().unwrap()).collect();
        assert!(cells[3].len() > 10, "a reason, please: {line}");
        listed.insert(cells[1].trim_matches('`').to_owned(), numbers);
    }
    listed
}

/// Compares one case, exchange by exchange (numbered from 1); the lines say what differs.
/// Those in `may_differ` must, and are not told.
pub fn compare(golden: &[Value], ours: &[Value], may_differ: &BTreeSet<usize>) -> Vec<String> {
    let mut out = Vec::new();
    if golden.len() != ours.len() {
        out.push(format!("golden has {} exchanges, ours {}", golden.len(), ours.len()));
    }
    for (i, (golden, ours)) in golden.iter().zip(ours).enumerate() {
        let differences = normal::differences(golden, ours);
        match (differences.is_empty(), may_differ.contains(&(i + 1))) {
            (true, false) | (false, true) => {}
            (true, true) => out.push(format!("#{} is equal now, and still listed in DIFFERENCES.md", i + 1)),
            (false, false) => {
                let request = &golden["request"];
                out.push(format!("#{} {} {}", i + 1, request["method"], request["path"]));
                out.extend(differences.into_iter().map(|line| format!("    {line}")));
            }
        }
    }
    out
}
