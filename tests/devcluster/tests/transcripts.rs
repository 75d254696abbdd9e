//! Replays the recorded exchanges of a real kube-apiserver, in order, and compares status, reason and the whole answer.
//!
//! What a server makes up must be made up alike, not equal: each recorded uid, address and resourceVersion stands for one of ours, the
//! same one every time, and versions keep their order. Times are compared as they are: before each line the clock is set to the newest
//! time of the recorded answer. Recorded uids and versions inside requests are translated on their way.
//!
//! The recording had a kube-controller-manager beside it. This harness does what that did where later lines need it: it writes what a
//! binder wrote between two lines (nothing that is seen but a version), lives the life of the Widget that two watches saw, and collects
//! the dependants of the owner that line 177 deletes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;

use http_body_util::BodyExt as _;
use kube::client::Body;
use std::sync::Arc;

use neo4j_devcluster::apiserver::{ManualClock, Options, Server};
use serde_json::{Value, json};

/// Lines that differ, each with its reason. A line listed here that does not differ any more fails the test.
const DIFFERENT: &[(u64, &str)] = &[
    (188, "the version says honestly what this server is"),
    (
        192,
        "the document has what kubectl asks for, not every description of the real one",
    ),
    (196, "conditions of a terminating namespace are its controller's"),
];

fn transcript() -> Vec<Value> {
    include_str!("../transcripts/kube-apiserver-1.36.3.jsonl")
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

/// What recorded values stand for.
#[derive(Default)]
struct Names {
    /// Recorded uids, addresses and continue tokens.
    words: BTreeMap<String, String>,
    versions: BTreeMap<u64, u64>,
}

impl Names {
    fn word(&mut self, recorded: &str, ours: &str) -> bool {
        let known = self.words.entry(recorded.to_owned()).or_insert_with(|| ours.to_owned());
        known == ours
    }

    /// Equal versions stay equal, and order is kept.
    fn version(&mut self, recorded: u64, ours: u64) -> bool {
        if let Some(known) = self.versions.get(&recorded) {
            return *known == ours;
        }
        let below = self
            .versions
            .range(..recorded)
            .next_back()
            .is_none_or(|(_, v)| *v <= ours);
        let above = self.versions.range(recorded..).next().is_none_or(|(_, v)| *v >= ours);
        self.versions.insert(recorded, ours);
        below && above
    }

    /// Our version for a recorded one: the newest known at or below it. Versions far out of the recorded range mean something by being so.
    fn translate_version(&self, recorded: &str) -> String {
        let Ok(number) = recorded.parse::<u64>() else {
            return recorded.to_owned();
        };
        let last = self.versions.keys().next_back().copied().unwrap_or(0);
        match self.versions.range(..=number).next_back() {
            Some((_, ours)) if number < last + 1_000 => ours.to_string(),
            _ => recorded.to_owned(),
        }
    }

    /// A request with our uids and versions.
    fn translate(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                for (recorded, ours) in &self.words {
                    *text = text.replace(recorded, ours);
                }
            }
            Value::Array(items) => {
                let versioned = items.iter().any(|i| i["path"] == "/metadata/resourceVersion");
                for item in items {
                    if versioned && item["path"] == "/metadata/resourceVersion" {
                        item["value"] = json!(self.translate_version(item["value"].as_str().unwrap()));
                    }
                    self.translate(item);
                }
            }
            Value::Object(fields) => {
                for (key, below) in fields {
                    match below {
                        Value::String(text) if key == "resourceVersion" => *text = self.translate_version(text),
                        other => self.translate(other),
                    }
                }
            }
            _ => {}
        }
    }

    fn translate_path(&self, path: &str) -> String {
        let Some((before, after)) = path.split_once("resourceVersion=") else {
            return path.to_owned();
        };
        let (version, rest) = after.split_at(after.find('&').unwrap_or(after.len()));
        format!("{before}resourceVersion={}{rest}", self.translate_version(version))
    }
}

/// When the recorded server answered, as far as its answer tells: the newest time of the day of the recording.
fn newest_time(value: &Value) -> Option<jiff::Timestamp> {
    match value {
        Value::String(text) if text.starts_with("2026-11-23T") => text.parse().ok(),
        Value::Array(items) => items.iter().filter_map(newest_time).max(),
        Value::Object(fields) => fields.values().filter_map(newest_time).max(),
        _ => None,
    }
}

/// Texts in which versions of the moment are named.
fn without_numbers(text: &str) -> String {
    if text.contains("resource version") {
        text.chars().filter(|c| !c.is_ascii_digit()).collect()
    } else {
        text.to_owned()
    }
}

/// The places at which two answers differ.
fn compare(path: &str, recorded: &Value, ours: &Value, names: &mut Names, out: &mut Vec<String>) {
    match (recorded, ours) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|k| !a.contains_key(*k))) {
                let here = format!("{path}/{key}");
                // Uids may be in keys of ownership.
                let mut translated = json!(key);
                names.translate(&mut translated);
                match (a.get(key), b.get(translated.as_str().unwrap()).or_else(|| b.get(key))) {
                    (Some(x), Some(y)) => compare_field(&here, key, x, y, names, out),
                    (Some(x), None) => out.push(format!("{here}: missing {x}")),
                    (None, Some(y))
                        if !a.keys().any(|k| {
                            let mut t = json!(k);
                            names.translate(&mut t);
                            t == key.as_str()
                        }) =>
                    {
                        out.push(format!("{here}: not recorded, ours {y}"));
                    }
                    _ => {}
                }
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            if a.len() != b.len() {
                out.push(format!("{path}: {} items, ours {}: {ours}", a.len(), b.len()));
            }
            for (i, (x, y)) in a.iter().zip(b).enumerate() {
                compare(&format!("{path}/{i}"), x, y, names, out);
            }
        }
        (Value::String(a), Value::String(b)) => {
            let mut translated = json!(a);
            names.translate(&mut translated);
            let same = a == b
                || translated == b.as_str()
                || (path.ends_with("/message") && without_numbers(a) == without_numbers(b));
            if !same {
                out.push(format!("{path}: {a:?}, ours {b:?}"));
            }
        }
        _ if recorded == ours => {}
        _ => out.push(format!("{path}: {recorded}, ours {ours}")),
    }
}

fn compare_field(path: &str, key: &str, recorded: &Value, ours: &Value, names: &mut Names, out: &mut Vec<String>) {
    let texts = recorded.as_str().zip(ours.as_str());
    let alike = match (key, texts) {
        ("resourceVersion", Some((a, b))) => match (a.parse(), b.parse()) {
            (Ok(a), Ok(b)) => Some(names.version(a, b)),
            _ => None,
        },
        ("uid", Some((a, b))) => Some(names.word(a, b)),
        ("clusterIP", Some((a, b))) if a != "None" => Some(names.word(a, b)),
        ("continue", Some((a, b))) => Some(a.is_empty() == b.is_empty()),
        // It carries a hash of the document.
        ("serverRelativeURL", Some((a, b))) => Some(a.split('?').next() == b.split('?').next()),
        ("description", Some(_)) => Some(true),
        _ => None,
    };
    match alike {
        Some(true) => {}
        Some(false) => out.push(format!("{path}: {recorded} stands for another than {ours}")),
        None => compare(path, recorded, ours, names, out),
    }
}

/// Of discovery, the recording has three groups, and this server not every kind in them.
fn cut_discovery(recorded: &mut Value, ours: &mut Value) {
    let group = |item: &Value| item["metadata"]["name"].clone();
    let known: Vec<Value> = recorded["items"].as_array().unwrap().iter().map(group).collect();
    ours["items"]
        .as_array_mut()
        .unwrap()
        .retain(|item| known.contains(&group(item)));
    for (theirs, item) in recorded["items"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .zip(ours["items"].as_array().unwrap())
    {
        let served: Vec<&Value> = item["versions"][0]["resources"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| &r["resource"])
            .collect();
        let resources = theirs["versions"][0]["resources"].as_array_mut().unwrap();
        resources.retain(|r| served.contains(&&r["resource"]));
    }
}

struct Replay {
    client: kube::Client,
    names: Names,
}

impl Replay {
    async fn send(
        &self,
        method: &str,
        path: &str,
        media: &str,
        accept: &str,
        body: Vec<u8>,
    ) -> (u16, Option<String>, String) {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in [("content-type", media), ("accept", accept)] {
            if !value.is_empty() {
                request = request.header(name, value);
            }
        }
        let response = self.client.send(request.body(Body::from(body)).unwrap()).await.unwrap();
        let code = response.status().as_u16();
        let warning = response
            .headers()
            .get("warning")
            .map(|w| w.to_str().unwrap().to_owned());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (code, warning, String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn act(&self, method: &str, path: &str, media: &str, body: &Value) -> Value {
        let (code, _, text) = self.send(method, path, media, "", body.to_string().into_bytes()).await;
        assert!(code < 300, "{method} {path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// What others did before this line.
    async fn meanwhile(&self, n: u64) {
        let widgets = "/apis/example.com/v1/namespaces/t/widgets";
        let merge = "application/merge-patch+json";
        match n {
            // The binder looked at the claim: its version moved, nothing else.
            64 => {
                let claim = "/api/v1/namespaces/t/persistentvolumeclaims/o-pvc";
                for note in [json!("1"), Value::Null] {
                    let body = json!({"metadata": {"annotations": {"binder": note}}});
                    self.act("PATCH", claim, merge, &body).await;
                }
            }
            163 => {
                let body = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w1"}, "spec": {"n": 1}});
                self.act("POST", widgets, "application/json", &body).await;
                let one = format!("{widgets}/w1");
                for body in [
                    json!({"metadata": {"labels": {"s": "1"}}}),
                    json!({"spec": {"n": 2}}),
                    json!({"metadata": {"labels": null}}),
                ] {
                    self.act("PATCH", &one, merge, &body).await;
                }
                self.act("DELETE", &one, "application/json", &json!({})).await;
            }
            178 => self.collect_dependants().await,
            _ => {}
        }
    }

    async fn collect_dependants(&self) {
        for kind in ["serviceaccounts", "secrets", "configmaps", "services"] {
            let path = format!("/api/v1/namespaces/t/{kind}");
            let list = self.act("GET", &path, "", &Value::Null).await;
            for item in list["items"].as_array().unwrap() {
                if item["metadata"]["ownerReferences"].is_array() {
                    let one = format!("{path}/{}", item["metadata"]["name"].as_str().unwrap());
                    self.act("DELETE", &one, "application/json", &json!({})).await;
                }
            }
        }
    }

    /// Replays one line; answers what differs.
    async fn line(&mut self, line: &Value) -> Vec<String> {
        let text = |key: &str| line[key].as_str().unwrap_or_default();
        let mut body = line["body"].clone();
        self.names.translate(&mut body);
        let bytes = match &body {
            Value::Null => Vec::new(),
            Value::String(raw) => raw.clone().into_bytes(),
            other => other.to_string().into_bytes(),
        };
        let path = self.names.translate_path(text("path"));
        let (code, warning, answer) = self
            .send(text("method"), &path, text("contentType"), text("accept"), bytes)
            .await;
        let mut out = Vec::new();
        if json!(code) != line["status"] {
            out.push(format!("status {}, ours {code}: {answer}", line["status"]));
            return out;
        }
        if line.get("warning").and_then(Value::as_str) != warning.as_deref() {
            out.push(format!("warning {}, ours {warning:?}", line["warning"]));
        }
        if let Some(events) = line.get("events") {
            let ours: Vec<Value> = answer.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
            compare("", events, &json!(ours), &mut self.names, &mut out);
        } else {
            let mut ours = serde_json::from_str(&answer).unwrap_or_else(|_| json!(answer));
            let mut recorded = line["response"].clone();
            // The recording leaves descriptions of columns out.
            if recorded["kind"] == "Table" {
                for column in recorded["columnDefinitions"].as_array_mut().unwrap() {
                    column["description"] = json!("");
                }
            }
            // Of the index of documents, the recording has three.
            if line["path"] == "/openapi/v3"
                && let (Some(paths), Some(known)) = (ours["paths"].as_object_mut(), recorded["paths"].as_object())
            {
                paths.retain(|path, _| known.contains_key(path));
            }
            if line["path"] == "/apis" {
                cut_discovery(&mut recorded, &mut ours);
            }
            compare("", &recorded, &ours, &mut self.names, &mut out);
        }
        out
    }
}

#[tokio::test(start_paused = true)]
async fn the_recorded_exchanges_come_out_equal() {
    let clock = Arc::new(ManualClock::new("2026-11-23T16:13:40Z".parse().unwrap()));
    let server = Server::new(Options {
        clock: Arc::clone(&clock) as _,
        ..Options::default()
    });
    let mut replay = Replay {
        client: server.client("default"),
        names: Names::default(),
    };
    let lines = transcript();
    let (mut equal, mut unexpected) = (0, Vec::new());
    for line in &lines {
        let n = line["n"].as_u64().unwrap();
        if n == 167 {
            server.compact();
        }
        if let Some(now) = newest_time(&line["response"]).max(newest_time(&line["events"])) {
            clock.set(now);
        }
        replay.meanwhile(n).await;
        let differences = replay.line(line).await;
        let reason = DIFFERENT.iter().find(|(m, _)| *m == n).map(|(_, reason)| *reason);
        let case = line["case"].as_str().unwrap();
        match (differences.is_empty(), reason) {
            (true, None) => equal += 1,
            (false, Some(reason)) => println!("{n} {case}: differs, {reason}"),
            (true, Some(_)) => unexpected.push(format!("{n} {case}: is equal now, and still listed as different")),
            (false, None) => unexpected.push(format!("{n} {case}\n    {}", differences.join("\n    "))),
        }
    }
    println!("{equal} of {} equal", lines.len());
    assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
}
