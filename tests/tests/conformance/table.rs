//! The table of rules in `tests/devcluster/README.md`: which cases are about which rule, and whether they run.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use crate::cases::THEMES;

/// Rules without a case, with the reason.
const WITHOUT: &[(usize, &str)] = &[
    (
        10,
        "when a server closes watches is up to it; that it does is tested in the server",
    ),
    (
        44,
        "the real server throttles under load only; the faults of the server answer 429",
    ),
];

const BEGIN: &str = "<!-- rules: begin -->";
const END: &str = "<!-- rules: end -->";

/// Numbers of cases by rule: `d15_…` is about D15.
fn cases() -> BTreeMap<usize, usize> {
    let mut out = BTreeMap::new();
    for case in THEMES.iter().flat_map(|t| t.cases) {
        let number = case.name[1..].split('_').next().unwrap().parse().unwrap();
        *out.entry(number).or_default() += 1;
    }
    out
}

/// Recorded exchanges of cases by rule, in the golden files.
fn recorded() -> BTreeMap<usize, usize> {
    let mut out = BTreeMap::new();
    for theme in THEMES {
        for (name, exchanges) in crate::golden::read(theme.name) {
            let number: usize = name[1..].split('_').next().unwrap().parse().unwrap();
            *out.entry(number).or_default() += exchanges.len();
        }
    }
    out
}

fn table() -> String {
    let (cases, recorded) = (cases(), recorded());
    let mut out = "| rule | cases, embedded and real | exchanges in transcripts |\n|---|---|---|\n".to_owned();
    for rule in 1..=54 {
        match (cases.get(&rule), WITHOUT.iter().find(|(n, _)| *n == rule)) {
            (Some(count), None) => {
                writeln!(out, "| D{rule} | {count} | {} |", recorded.get(&rule).unwrap_or(&0)).unwrap();
            }
            (None, Some((_, reason))) => writeln!(out, "| D{rule} | none: {reason} | |").unwrap(),
            (found, _) => panic!("D{rule}: {found:?} cases; a rule has cases or a reason"),
        }
    }
    let total = (cases.values().sum::<usize>(), recorded.values().sum::<usize>());
    writeln!(out, "| all | {} | {} |", total.0, total.1).unwrap();
    out
}

#[test]
fn every_rule_has_cases_and_the_readme_says_which() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("devcluster/README.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (found, after) = rest.split_once(END).unwrap();
    let wanted = format!("\n{}", table());
    if crate::golden::writes() {
        std::fs::write(&path, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(found, wanted, "GOLDEN=write writes it anew");
}
