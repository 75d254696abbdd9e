//! A random sequence of operations from a seed: the same seed is the same plan for ever.

use serde_json::{Value, json};

/// splitmix64: small, and its numbers never change with a dependency.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    /// True in `percent` of a hundred.
    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// Which version a write names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    None,
    /// The newest that the sequence saw of the object.
    Current,
    /// The first that it saw.
    First,
}

/// One operation on `path` (resource and name).
#[derive(Clone, Debug)]
pub enum Step {
    Create(Value),
    Put(Value, Version),
    Merge(Value, Version),
    Strategic(Value),
    JsonPatch(Value),
    Apply {
        manager: &'static str,
        force: bool,
        body: Value,
        version: Version,
    },
    Status(Value),
    Delete {
        options: Value,
        version: Version,
    },
    Get,
    List(&'static str),
}

pub const KINDS: [&str; 4] = ["configmaps", "services", "widgets", "neo4jdatabases"];
const NAMES: [&str; 2] = ["a", "b"];
const MANAGERS: [&str; 3] = ["m1", "m2", "m3"];

/// The whole plan: 5 to 40 operations, each with the resource and the name of its object, and whether watches select.
pub fn plan(seed: u64) -> (bool, Vec<(&'static str, &'static str, Step)>) {
    let mut dice = Dice::new(seed);
    let selective = dice.chance(50);
    let length = 5 + dice.below(36);
    // Two kinds at a time meet more often.
    let kinds = [dice.one(&KINDS), dice.one(&KINDS)];
    let steps = (0..length)
        .map(|_| {
            let (kind, name) = (dice.one(&kinds), dice.one(&NAMES));
            (kind, name, step(&mut dice, kind, name))
        })
        .collect();
    (selective, steps)
}

fn version(dice: &mut Dice) -> Version {
    dice.one(&[Version::None, Version::Current, Version::Current, Version::First])
}

fn step(dice: &mut Dice, kind: &str, name: &str) -> Step {
    match dice.below(100) {
        0..18 => Step::Create(object(dice, kind, name)),
        18..28 => Step::Put(object(dice, kind, name), version(dice)),
        28..40 => Step::Merge(
            change(dice, kind),
            dice.one(&[Version::None, Version::None, Version::Current, Version::First]),
        ),
        40..46 => Step::Strategic(change(dice, kind)),
        46..54 => Step::JsonPatch(json_patch(dice)),
        54..76 => Step::Apply {
            manager: dice.one(&MANAGERS),
            force: dice.chance(30),
            body: object(dice, kind, name),
            version: dice.one(&[Version::None, Version::None, Version::None, Version::First]),
        },
        76..80 => Step::Status(status(dice, kind)),
        80..90 => Step::Delete {
            options: dice.one(&[
                Value::Null,
                Value::Null,
                json!({"propagationPolicy": "Background"}),
                json!({"propagationPolicy": "Foreground"}),
                json!({"propagationPolicy": "Orphan"}),
                json!({"gracePeriodSeconds": 0}),
                json!({"dryRun": ["All"]}),
                json!({"preconditions": {"uid": "00000000-0000-4000-8000-000000000000"}}),
            ]),
            version: dice.one(&[Version::None, Version::None, Version::Current, Version::First]),
        },
        90..95 => Step::Get,
        _ => Step::List(dice.one(&[
            "",
            "?labelSelector=t%3D1",
            "?labelSelector=t",
            "?labelSelector=%21t",
            "?limit=1",
            "?fieldSelector=metadata.name%3Da",
        ])),
    }
}

fn labels(dice: &mut Dice) -> Value {
    let mut labels = json!({});
    for key in ["t", "u"] {
        if dice.chance(50) {
            labels[key] = json!(dice.one(&["1", "2"]));
        }
    }
    labels
}

fn metadata(dice: &mut Dice) -> Value {
    let mut metadata = json!({});
    if dice.chance(60) {
        metadata["labels"] = labels(dice);
    }
    if dice.chance(20) {
        metadata["annotations"] = json!({"n": dice.one(&["x", "y"])});
    }
    if dice.chance(25) {
        metadata["finalizers"] = dice.one(&[json!(["e.com/a"]), json!(["e.com/b"]), json!(["e.com/a", "e.com/b"])]);
    }
    metadata
}

fn object(dice: &mut Dice, kind: &str, name: &str) -> Value {
    let mut object = json!({"metadata": metadata(dice)});
    object["metadata"]["name"] = json!(name);
    let part = if kind == "configmaps" { "data" } else { "spec" };
    if kind != "widgets" || dice.chance(80) {
        object[part] = body(dice, kind);
    }
    object
}

/// The part of an object that says what it is.
fn body(dice: &mut Dice, kind: &str) -> Value {
    let mut out = json!({});
    let mut maybe = |dice: &mut Dice, field: &str, values: &[Value]| {
        if dice.chance(45) {
            out[field] = dice.one(values);
        }
    };
    match kind {
        "configmaps" => {
            for field in ["x", "y", "z"] {
                maybe(dice, field, &[json!("1"), json!("2")]);
            }
        }
        "services" => {
            maybe(dice, "publishNotReadyAddresses", &[json!(true), json!(false)]);
            maybe(dice, "sessionAffinity", &[json!("None"), json!("Odd")]);
            let one = json!({"name": "one", "port": 1});
            let two = json!({"name": "two", "port": 2, "protocol": "UDP"});
            out["ports"] = dice.one(&[
                json!([one]),
                json!([two]),
                json!([one, two]),
                json!([{"name": "one", "port": 3}]),
                json!([{"name": "uno", "port": 1}]),
            ]);
            out["clusterIP"] = json!("None");
            // Always one: a headless Service without is taken for one of two families.
            out["selector"] = dice.one(&[json!({"app": "a"}), json!({"app": "b"}), json!({"tier": "c"})]);
        }
        "widgets" => {
            maybe(dice, "n", &[json!(1), json!(2), json!(101)]);
            maybe(dice, "min", &[json!(1), json!(2)]);
            maybe(dice, "mode", &[json!("Fast"), json!("Safe"), json!("Odd"), Value::Null]);
            maybe(dice, "fixed", &[json!("a"), json!("b")]);
            maybe(dice, "size", &[json!(1), json!("1Gi")]);
            maybe(dice, "set", &[json!(["a"]), json!(["b", "a"]), json!(["c"])]);
            maybe(dice, "atomic", &[json!(["x"]), json!(["x", "y"])]);
            maybe(
                dice,
                "ports",
                &[
                    json!([{"port": 1}]),
                    json!([{"port": 1, "label": "l"}, {"port": 2}]),
                    json!([{"port": 2, "protocol": "UDP"}]),
                ],
            );
            maybe(dice, "granular", &[json!({"a": "1"}), json!({"b": "2"}), json!({})]);
            maybe(dice, "whole", &[json!({"a": "1"}), json!({"b": "2"})]);
            maybe(dice, "any", &[json!({"x": {"y": 1}}), json!({"x": {"z": [1]}})]);
            maybe(dice, "odd", &[json!(1)]);
        }
        _ => {
            maybe(dice, "access", &[json!("readWrite"), json!("readOnly"), json!("odd")]);
            maybe(dice, "deletionPolicy", &[json!("Delete"), json!("Retain"), Value::Null]);
            maybe(dice, "ifNotExists", &[json!(true), json!(false)]);
            maybe(dice, "defaultCypherLanguage", &[json!("5"), json!("25")]);
            out["name"] = dice.one(&[json!("db"), json!("db"), json!("other")]);
            out["clusterRef"] = dice.one(&[json!("c"), json!("c"), json!("d")]);
        }
    }
    out
}

/// A patch: some metadata, some body, some of it null.
fn change(dice: &mut Dice, kind: &str) -> Value {
    let mut out = json!({});
    if dice.chance(50) {
        out["metadata"] = metadata(dice);
        if dice.chance(30) {
            out["metadata"]["finalizers"] = Value::Null;
        }
        if dice.chance(20) {
            out["metadata"]["labels"] = Value::Null;
        }
    }
    if dice.chance(70) {
        let part = if kind == "configmaps" { "data" } else { "spec" };
        out[part] = body(dice, kind);
        if dice.chance(20) {
            let field = match kind {
                "configmaps" => "x",
                "services" => "publishNotReadyAddresses",
                "widgets" => "mode",
                _ => "deletionPolicy",
            };
            out[part][field] = Value::Null;
        }
    }
    out
}

fn json_patch(dice: &mut Dice) -> Value {
    let one = |dice: &mut Dice| {
        dice.one(&[
            json!({"op": "add", "path": "/metadata/labels", "value": {"t": "1"}}),
            json!({"op": "remove", "path": "/metadata/labels"}),
            json!({"op": "replace", "path": "/metadata/labels/t", "value": "2"}),
            json!({"op": "test", "path": "/metadata/labels/t", "value": "1"}),
            json!({"op": "test", "path": "/metadata/finalizers", "value": null}),
            json!({"op": "add", "path": "/metadata/finalizers", "value": ["e.com/a"]}),
            json!({"op": "remove", "path": "/metadata/finalizers"}),
            json!({"op": "add", "path": "/metadata/annotations", "value": {"n": "z"}}),
            json!({"op": "replace", "path": "/metadata/managedFields", "value": [{}]}),
        ])
    };
    let first = one(dice);
    if dice.chance(40) {
        json!([first, one(dice)])
    } else {
        json!([first])
    }
}

fn status(dice: &mut Dice, kind: &str) -> Value {
    match kind {
        "services" => json!({"status": {"odd": 1}, "spec": {"publishNotReadyAddresses": dice.one(&[true, false])}}),
        "neo4jdatabases" => {
            json!({"status": {"phase": dice.one(&["Pending", "Ready"])}, "spec": {"access": "readOnly"}})
        }
        _ => json!({"status": {"phase": dice.one(&["x", "y"]), "odd": 1}, "metadata": {"labels": {"t": "2"}}}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_one_plan_and_plans_differ() {
        let text = |seed| format!("{:?}", plan(seed));
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
        let lengths: Vec<usize> = (0..200).map(|seed| plan(seed).1.len()).collect();
        assert!(lengths.iter().all(|n| (5..=40).contains(n)));
        assert!(lengths.iter().any(|n| *n < 10) && lengths.iter().any(|n| *n > 35));
    }
}
