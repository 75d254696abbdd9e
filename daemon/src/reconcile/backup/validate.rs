//! What only the reconciler sees to be wrong with a spec, beyond the rules of the definition. Pure.
//!
//! Everything here ends up in an argument vector, a path or a name: what would be read as an option, leave its
//! folder or not fit is refused before anything is created.

use neo4j_operator_crds::{
    Neo4jBackup,
    backup::{BackupOptions, effective::Scope, validate},
    location::{StorageLocation, StorageType},
};

use super::{names, schedule::Schedule};

/// Folders of the pod that a temporary folder must not hide.
const TAKEN: [&str; 5] = [
    names::CLAIM_PATH,
    names::PROGRAM_PATH,
    "/var/lib/neo4j",
    "/dev",
    "/proc",
];

/// All that is wrong, each with its field.
pub fn problems(backup: &Neo4jBackup) -> Vec<String> {
    let mut problems: Vec<String> = validate(backup).iter().map(ToString::to_string).collect();
    let spec = &backup.spec;
    let desired = spec.effective();
    if let Some(schedule) = &desired.schedule
        && let Err(why) = Schedule::parse(schedule)
    {
        problems.push(format!("spec.schedule: {why}"));
    }
    let name = backup.metadata.name.as_deref().unwrap_or_default();
    let longest = names::longest(desired.schedule.is_some());
    if name.len() > longest {
        problems.push(format!(
            "metadata.name: has {} characters; the objects named after it leave room for {longest}",
            name.len()
        ));
    }
    if let Some(Scope::Database(database)) = &desired.scope
        && let Some(why) = database_name(database)
    {
        problems.push(format!("spec.database: {why}"));
    }
    problems.extend(storage(&spec.storage));
    problems.extend(spec.options.as_ref().and_then(options));
    problems
}

fn database_name(name: &str) -> Option<&'static str> {
    if name.starts_with('-') {
        Some("must not begin with a dash: it would read as an option")
    } else if name.contains(['*', '?', ',']) {
        Some("must be the name of one database; for all of them set spec.allDatabases")
    } else if !name
        .chars()
        .all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
    {
        Some("must consist of letters, digits, dots, dashes and underscores")
    } else {
        None
    }
}

fn storage(storage: &StorageLocation) -> Option<String> {
    match (&storage.type_, &storage.pvc) {
        (StorageType::Pvc, Some(claim)) => {
            let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
            (!given(&claim.name) && !given(&claim.size))
                .then(|| "spec.storage.pvc: name a claim that exists, or give the size of a new one".to_owned())
        }
        (StorageType::S3, _) => {
            let bucket = storage.bucket.as_deref().unwrap_or_default();
            let plain = bucket
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
            (!plain).then(|| {
                "spec.storage.bucket: must be the bucket's name alone; folders belong into spec.storage.path".to_owned()
            })
        }
        _ => None,
    }
}

fn options(options: &BackupOptions) -> Option<String> {
    let path = options.temp_path.as_deref().filter(|path| !path.is_empty())?;
    let within = |folder: &str| path == folder || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    let why = if !path.starts_with('/') || path.trim_matches('/').is_empty() {
        "must be an absolute path of a folder"
    } else if path.split('/').any(|part| part == "..")
        || path.contains([':', ','])
        || path.chars().any(char::is_control)
    {
        "must not hold \"..\", colons, commas or control characters"
    } else if TAKEN.into_iter().any(within) {
        "is in a folder that the pod needs for something else"
    } else {
        return None;
    };
    Some(format!("spec.options.tempPath: {why}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(name: &str, spec: &Value) -> Vec<String> {
        let mut whole = json!({"instanceRef": "c", "allDatabases": true,
            "storage": {"type": "pvc", "pvc": {"name": "claim"}}});
        json_patch::merge(&mut whole, spec);
        let object = json!({"apiVersion": "neo4j.neo4j.com/v1beta1", "kind": "Neo4jBackup",
            "metadata": {"name": name}, "spec": whole});
        problems(&serde_json::from_value(object).unwrap())
    }

    #[test]
    fn each_problem_names_its_field_and_what_to_do() {
        let one = |name: Value| json!({"allDatabases": null, "database": name});
        let temp = |path: &str| json!({"options": {"tempPath": path}});
        let cases = [
            (json!({"schedule": "every night"}), "spec.schedule:"),
            (one("--help".into()), "spec.database: must not begin"),
            (one("*".into()), "set spec.allDatabases"),
            (one("a b".into()), "spec.database: must consist"),
            (
                json!({"storage": {"pvc": {"name": null}}}),
                "spec.storage.pvc: name a claim",
            ),
            (
                json!({"storage": {"type": "s3", "bucket": "a/b"}}),
                "spec.storage.bucket:",
            ),
            (json!({"storage": {"path": "../x"}}), "spec.storage.path"),
            (json!({"instanceRef": null}), "spec.instanceRef"),
            (temp("tmp"), "spec.options.tempPath: must be an absolute"),
            (temp("/a/../b"), "spec.options.tempPath: must not hold"),
            (temp("/backups/tmp"), "spec.options.tempPath: is in a folder"),
        ];
        for (spec, needle) in cases {
            let found = of("b", &spec);
            assert_eq!(found.len(), 1, "{spec}: {found:?}");
            assert!(found[0].contains(needle), "{spec}: {found:?}");
        }
        assert_eq!(of("b", &one("orders.2025".into())), Vec::<String>::new());
        assert_eq!(of("b", &temp("/scratch")), Vec::<String>::new());
    }

    #[test]
    fn a_name_that_leaves_no_room_is_refused() {
        assert!(of(&"x".repeat(56), &json!({})).is_empty());
        assert!(of(&"x".repeat(57), &json!({}))[0].contains("room for 56"));
        assert!(of(&"x".repeat(41), &json!({"schedule": "0 2 * * *"}))[0].contains("room for 40"));
    }
}
