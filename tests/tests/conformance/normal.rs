//! What a server makes up, made comparable: two servers that behave alike yield equal text.
//!
//! | made up | becomes |
//! |---|---|
//! | uids, cluster addresses, continue tokens, hashes of stored versions, generated suffixes | `‹uid-1›`, `‹ip-1›`, `‹continue-1›`, `‹hash-1›`, `‹name-1›`: numbered by first appearance in the case |
//! | resourceVersion of an object | `‹rv-3›`: its rank among the versions of objects that the case saw |
//! | resourceVersion of a list or bookmark | `‹rv-3+›`: at least the third. Others write too, so only that is promised |
//! | times within two days of now | `‹time›`, `‹microtime›`: a time of another shape stays and differs |
//! | the case's namespace | `‹ns›` |
//! | order of managedFields | sorted: it depends on whether a second passed between two writes |
//! | order of several causes, and their repetition in the message | sorted, `[‹causes›]`: the order is that of a Go map |
//! | numbers in messages about resource versions | `N` |
//!
//! Nothing else is hidden.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::{Value, json};

/// Versions that a case makes up to mean "long ago" or "far ahead" stay as they are.
const ANCIENT: u64 = 1;
const FAR: u64 = 900_000_000;

/// What stands for what, over one case.
pub struct Normaliser {
    namespace: String,
    uid: Regex,
    time: Regex,
    numbered: Regex,
    versions: BTreeSet<u64>,
    /// What names were generated from.
    bases: BTreeSet<String>,
    /// Words of the server by kind and order.
    words: BTreeMap<String, String>,
    counts: BTreeMap<&'static str, usize>,
    now: jiff::Timestamp,
}

impl Normaliser {
    pub fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            uid: Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").unwrap(),
            time: Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z").unwrap(),
            numbered: Regex::new(
                r#"(?i)((?:resource ?version|current|in record|in the precondition|revision)[:(]? ?\(?|resourceVersion[\\"]+:[\\"]+|too old resource version: \d+ \()\d+"#,
            )
            .unwrap(),
            versions: BTreeSet::new(),
            bases: BTreeSet::new(),
            words: BTreeMap::new(),
            counts: BTreeMap::new(),
            now: jiff::Timestamp::now(),
        }
    }

    /// Everything that a case saw, normalised as one whole.
    pub fn all(mut self, mut exchanges: Vec<Value>) -> Vec<Value> {
        for exchange in &exchanges {
            self.collect(&exchange["request"]);
            self.collect(exchange);
        }
        for exchange in &mut exchanges {
            self.rewrite(exchange, "");
        }
        exchanges
    }

    fn learn(&mut self, kind: &'static str, word: &str) {
        if !word.is_empty() && !self.words.contains_key(word) {
            let count = self.counts.entry(kind).or_default();
            *count += 1;
            self.words.insert(word.to_owned(), format!("‹{kind}-{count}›"));
        }
    }

    /// First pass: versions of objects, and words in order of appearance.
    fn collect(&mut self, value: &Value) {
        match value {
            Value::String(text) => {
                self.collect_uids(text);
                self.collect_generated(text);
            }
            Value::Array(items) => items.iter().for_each(|item| self.collect(item)),
            Value::Object(fields) => {
                self.collect_metadata(value);
                for (key, kind) in [
                    ("clusterIP", "ip"),
                    ("continue", "continue"),
                    ("storageVersionHash", "hash"),
                ] {
                    match fields.get(key).and_then(Value::as_str) {
                        Some("None") | None => {}
                        Some(word) => self.learn(kind, word),
                    }
                }
                // Sorted: where a server writes a field is not what it says.
                for (key, below) in fields.iter().collect::<BTreeMap<_, _>>() {
                    self.collect_uids(key);
                    self.collect(below);
                }
            }
            _ => {}
        }
    }

    fn collect_uids(&mut self, text: &str) {
        let found: Vec<String> = self.uid.find_iter(text).map(|m| m.as_str().to_owned()).collect();
        for uid in &found {
            self.learn("uid", uid);
        }
    }

    fn collect_metadata(&mut self, object: &Value) {
        let metadata = &object["metadata"];
        if let Some(version) = number(&metadata["resourceVersion"])
            && object["items"].is_null()
            // An object that a server answered, not one that a case sends.
            && metadata["uid"].is_string()
            && metadata["creationTimestamp"].is_string()
        {
            self.versions.insert(version);
        }
        // A long base is cut.
        if let Some(base) = metadata["generateName"].as_str() {
            self.bases.insert(base.chars().take(58).collect());
        }
    }

    /// What follows a known base of names, in objects and in messages.
    fn collect_generated(&mut self, text: &str) {
        const ALPHABET: &str = "bcdfghjklmnpqrstvwxz2456789";
        let after = |base: &String| text.split(base.as_str()).skip(1).map(str::to_owned).collect::<Vec<_>>();
        let rests: Vec<String> = self.bases.iter().flat_map(after).collect();
        for rest in rests {
            let suffix: String = rest.chars().take_while(|c| ALPHABET.contains(*c)).collect();
            if suffix.len() == 5 {
                self.learn("name", &suffix);
            }
        }
    }

    /// Second pass. `key` is the field in which the value stands.
    fn rewrite(&self, value: &mut Value, key: &str) {
        match value {
            Value::String(text) => *text = self.text(text, key),
            Value::Array(items) => {
                if key == "managedFields" {
                    items.sort_by_key(|entry| {
                        ["operation", "manager", "apiVersion", "subresource"].map(|k| entry[k].to_string())
                    });
                }
                for item in items {
                    self.rewrite(item, key);
                }
            }
            Value::Object(fields) => {
                sort_causes(fields);
                let mut old = std::mem::take(fields);
                // An operation of a JSON patch on the version.
                if old.get("path").is_some_and(|p| p == "/metadata/resourceVersion")
                    && let Some(Value::String(version)) = old.get_mut("value")
                {
                    *version = self.version(version);
                }
                for (name, mut below) in old {
                    self.rewrite(&mut below, &name);
                    fields.insert(self.text(&name, ""), below);
                }
                if fields.contains_key("items") || fields.contains_key("rows") {
                    at_least(value.pointer_mut("/metadata/resourceVersion"));
                } else if fields.get("type").is_some_and(|t| t == "BOOKMARK") {
                    at_least(value.pointer_mut("/object/metadata/resourceVersion"));
                }
            }
            _ => {}
        }
    }

    fn text(&self, text: &str, key: &str) -> String {
        match key {
            "resourceVersion" => return self.version(text),
            "path" => return self.path(text),
            _ => {}
        }
        let mut text = text.replace(&self.namespace, "‹ns›");
        for (word, name) in &self.words {
            text = text.replace(word, name);
        }
        if key == "message" {
            text = self.numbered.replace_all(&text, "${1}N").into_owned();
        }
        self.times(&text)
    }

    fn times(&self, text: &str) -> String {
        let mask = |found: &regex::Captures| {
            let time: jiff::Timestamp = found[0].parse().unwrap();
            let distance = (time.as_second() - self.now.as_second()).abs();
            match (distance < 172_800, found.get(1)) {
                (false, _) => found[0].to_owned(),
                (true, None) => "‹time›".to_owned(),
                (true, Some(_)) => "‹microtime›".to_owned(),
            }
        };
        self.time.replace_all(text, mask).into_owned()
    }

    /// A version of an object by rank, any other by the newest object's at or below it.
    fn version(&self, text: &str) -> String {
        match text.parse::<u64>() {
            Ok(version) if version > ANCIENT && version < FAR => {
                let rank = self.versions.range(..=version).count();
                let exact = self.versions.contains(&version);
                format!("‹rv-{rank}{}›", if exact { "" } else { "+" })
            }
            _ => text.to_owned(),
        }
    }

    /// A path in which parameters may carry versions and tokens.
    fn path(&self, path: &str) -> String {
        let Some((before, query)) = path.split_once('?') else {
            return self.text(path, "");
        };
        let parts: Vec<String> = query
            .split('&')
            .map(|pair| match pair.split_once('=') {
                Some(("resourceVersion", version)) => format!("resourceVersion={}", self.version(version)),
                _ => self.text(pair, ""),
            })
            .collect();
        format!("{}?{}", self.text(before, ""), parts.join("&"))
    }
}

/// Several causes of one refusal: in one order, and the message leaves them to be told by the causes.
fn sort_causes(fields: &mut serde_json::Map<String, Value>) {
    let causes = fields.get_mut("details").and_then(|d| d["causes"].as_array_mut());
    let Some(causes) = causes.filter(|c| c.len() > 1) else {
        return;
    };
    causes.sort_by_key(|c| [&c["field"], &c["message"]].map(Value::to_string));
    if let Some(Value::String(message)) = fields.get_mut("message")
        && let Some(at) = message.find("is invalid: [")
    {
        message.truncate(at);
        message.push_str("is invalid: [‹causes›]");
    }
}

/// The version of a list or bookmark, rewritten: whether it is just that of an object depends on what else goes on.
fn at_least(version: Option<&mut Value>) {
    if let Some(Value::String(text)) = version
        && let Some(rank) = text.strip_suffix('›').filter(|rank| !rank.ends_with('+'))
    {
        *text = format!("{rank}+›");
    }
}

fn number(value: &Value) -> Option<u64> {
    value.as_str()?.parse().ok()
}

/// The places at which two normalised values differ, as readable lines.
pub fn differences(golden: &Value, ours: &Value) -> Vec<String> {
    let mut out = Vec::new();
    compare("", golden, ours, &mut out);
    out
}

fn compare(path: &str, golden: &Value, ours: &Value, out: &mut Vec<String>) {
    match (golden, ours) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let here = format!("{path}/{key}");
                match (a.get(key), b.get(key)) {
                    (Some(x), Some(y)) => compare(&here, x, y, out),
                    (Some(x), None) => out.push(format!("{here}: golden {x}, ours has none")),
                    (None, Some(y)) => out.push(format!("{here}: golden has none, ours {y}")),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            if a.len() != b.len() {
                out.push(format!("{path}: golden has {} items, ours {}", a.len(), b.len()));
            }
            for i in 0..a.len().max(b.len()) {
                let (x, y) = (
                    a.get(i).unwrap_or(&json!(null)).clone(),
                    b.get(i).cloned().unwrap_or(json!(null)),
                );
                compare(&format!("{path}/{i}"), &x, &y, out);
            }
        }
        _ if golden == ours => {}
        _ => out.push(format!("{path}: golden {golden}, ours {ours}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, version: &str, uid: &str) -> Value {
        json!({"metadata": {"name": name, "uid": uid, "resourceVersion": version, "creationTimestamp": "2001-01-01T00:00:00Z"}})
    }

    const A: &str = "62ab2c22-e1fa-466e-a663-20bf50d05a5d";
    const B: &str = "693fca8a-8da2-4115-8742-aacdc78ba648";

    fn normal(exchanges: Vec<Value>) -> Vec<Value> {
        Normaliser::new("the-ns").all(exchanges)
    }

    #[test]
    fn versions_become_ranks_and_a_list_is_at_least_its_newest_object() {
        let list = |version| json!({"items": [], "metadata": {"resourceVersion": version}});
        let out = normal(vec![
            object("b", "70", A),
            object("a", "30", B),
            list("69"),
            list("70"),
            list("999"),
        ]);
        let version = |i: usize| out[i]["metadata"]["resourceVersion"].clone();
        let versions: Vec<Value> = (0..5).map(version).collect();
        assert_eq!(versions, ["‹rv-2›", "‹rv-1›", "‹rv-1+›", "‹rv-2+›", "‹rv-2+›"]);
    }

    #[test]
    fn a_uid_keeps_its_number_wherever_it_stands() {
        let out = normal(vec![
            object("x", "5", B),
            json!({"message": format!("{A} is not {B}"), (format!("k:{A}")): 1}),
        ]);
        assert_eq!(out[0]["metadata"]["uid"], "‹uid-1›");
        assert_eq!(out[1], json!({"message": "‹uid-2› is not ‹uid-1›", "k:‹uid-2›": 1}));
    }

    #[test]
    fn times_of_now_are_masked_by_their_shape_and_old_ones_stay() {
        let now = jiff::Timestamp::now();
        let out = normal(vec![json!([
            format!("{now:.0}"),
            format!("{now:.6}"),
            format!("{now:.3}"),
            "2001-01-01T00:00:00Z",
        ])]);
        assert_eq!(out[0][0], "‹time›");
        assert_eq!(out[0][1], "‹microtime›");
        assert_eq!(out[0][2], format!("{now:.3}"));
        assert_eq!(out[0][3], "2001-01-01T00:00:00Z");
    }

    #[test]
    fn names_of_the_case_are_masked_and_made_up_versions_are_not() {
        let made = json!({"metadata": {"generateName": "g-", "name": "g-x7k2p"}});
        let get =
            json!({"path": "/api/the-ns/g-x7k2p?resourceVersion=1&continue=t0ken", "metadata": {"continue": "t0ken"}});
        let out = normal(vec![made, get]);
        assert_eq!(out[0]["metadata"]["name"], "g-‹name-1›");
        assert_eq!(
            out[1]["path"],
            "/api/‹ns›/g-‹name-1›?resourceVersion=1&continue=‹continue-1›"
        );
    }

    #[test]
    fn a_difference_is_named_by_its_place() {
        let lines = differences(
            &json!({"a": [1, {"b": 2}], "c": 1}),
            &json!({"a": [1, {"b": 3}], "d": 1}),
        );
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0], "/a/1/b: golden 2, ours 3");
    }
}
