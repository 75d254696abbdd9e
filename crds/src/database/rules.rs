//! What a database's spec must satisfy beyond the type of each field.

use super::{Neo4jDatabase as Database, Neo4jDatabaseSpec as Spec};
use crate::{
    rules::{Check, Problem, Rule, broken, broken_by_change, changed, given},
    version::Version,
};

/// The rules that the schema carries.
pub static RULES: &[Rule<Database>] = &[
    Rule {
        id: "D1",
        at: "spec",
        field: "clusterRef",
        cel: "self.clusterRef == oldSelf.clusterRef",
        message: "spec.clusterRef is fixed: a database does not move between clusters; create another resource",
        check: Check::Change(|old, new| changed(&old.spec.cluster_ref, &new.spec.cluster_ref)),
    },
    Rule {
        id: "D2",
        at: "spec",
        field: "name",
        cel: "self.name == oldSelf.name",
        message: "spec.name is fixed: Neo4j does not rename databases; create another resource",
        check: Check::Change(|old, new| changed(&old.spec.name, &new.spec.name)),
    },
    Rule {
        id: "D3",
        at: "spec",
        field: "defaultCypherLanguage",
        cel: "has(self.defaultCypherLanguage) == has(oldSelf.defaultCypherLanguage) && \
              (!has(self.defaultCypherLanguage) || self.defaultCypherLanguage == oldSelf.defaultCypherLanguage)",
        message: "spec.defaultCypherLanguage is fixed: only the creation of a database reads it",
        check: Check::Change(|old, new| changed(&old.spec.default_cypher_language, &new.spec.default_cypher_language)),
    },
    Rule {
        id: "D4",
        at: "spec.topology",
        field: "primaries",
        cel: "!has(oldSelf.primaries) || oldSelf.primaries <= 1 || !has(self.primaries) || self.primaries > 1",
        message: "spec.topology.primaries cannot go from many to 1: Neo4j refuses it; create another database",
        check: Check::Change(|old, new| {
            let primaries =
                |database: &Database| database.spec.topology.as_ref().and_then(|topology| topology.primaries);
            matches!((primaries(old), primaries(new)), (Some(old), Some(new)) if old > 1 && new <= 1)
        }),
    },
    Rule {
        id: "D5",
        at: "spec",
        field: "seedURI",
        cel: "!(has(self.seedURI) && size(self.seedURI) > 0 && has(self.initialData))",
        message: "spec.seedURI and spec.initialData exclude each other: a seed is the initial data",
        check: Check::Breaks(|d| given(d.spec.seed_uri.as_ref()) && d.spec.initial_data.is_some()),
    },
];

/// Options of CREATE DATABASE that may be given.
const OPTIONS: [&str; 3] = ["storeFormat", "txLogEnrichment", "existingMetadata"];

/// What is wrong with a database, apart from what its cluster decides.
pub fn validate(database: &Database) -> Vec<Problem> {
    let mut problems = broken(RULES, database);
    let spec = &database.spec;
    problems.extend(check_name(&spec.name).map(|why| Problem::of_reconciler("spec.name", why)));
    problems.extend(options(spec));
    problems
}

/// What is wrong with a change of a database.
pub fn validate_change(old: &Database, new: &Database) -> Vec<Problem> {
    broken_by_change(RULES, old, new)
}

/// What is wrong with a database on a cluster of this version.
pub fn validate_on(database: &Database, version: Version) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !version.is_calendar() && database.spec.name.starts_with(|first: char| first.is_ascii_digit()) {
        let why = format!("begins with a digit, which Neo4j {version} refuses; begin with a letter");
        problems.push(Problem::of_reconciler("spec.name", why));
    }
    problems
}

/// The name as Neo4j keeps it: in lower case.
pub fn canonical_name(name: &str) -> String {
    name.to_lowercase()
}

fn check_name(name: &str) -> Option<String> {
    let name = canonical_name(name);
    let length = name.chars().count();
    let odd = name
        .chars()
        .find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_')));
    if !(3..=63).contains(&length) {
        Some(format!("must have 3 to 63 characters, not {length}"))
    } else if odd.is_some() {
        Some("must consist of letters, digits, dots, dashes and underscores".to_owned())
    } else if !name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        Some("must begin with a letter or a digit".to_owned())
    } else if name.ends_with(['.', '-']) {
        Some("must not end with a dot or a dash".to_owned())
    } else if name.starts_with("system") {
        Some("must not begin with system, which Neo4j keeps for itself".to_owned())
    } else {
        None
    }
}

fn options(spec: &Spec) -> Vec<Problem> {
    let why = |key: &str| match key {
        known if OPTIONS.contains(&known) => None,
        "seedURI" | "existingData" | "seedConfig" | "seedCredentials" => {
            Some("is refused here: a seed belongs in spec.seedURI".to_owned())
        }
        _ => Some(format!("is no option of a database; known are {}", OPTIONS.join(", "))),
    };
    spec.options
        .keys()
        .filter_map(|key| why(key).map(|why| Problem::of_reconciler(format!("spec.options[{key}]"), why)))
        .collect()
}
