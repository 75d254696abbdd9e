//! One case's talk with a server: raw HTTP requests, each recorded with its answer.

use std::time::Duration;

use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::{Map, Value, json};

use crate::{normal::Normaliser, target::Target};

/// How long a watch may take until it has brought what a case waits for, and a condition until it holds.
const DEADLINE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(50);

pub const JSON: &str = "application/json";
pub const MERGE: &str = "application/merge-patch+json";
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub const JSON_PATCH: &str = "application/json-patch+json";
pub const APPLY: &str = "application/apply-patch+yaml";

/// Resources that a path may begin with instead of a slash: resource, group and version, kind.
const KINDS: &[(&str, &str, &str)] = &[
    ("configmaps", "v1", "ConfigMap"),
    ("secrets", "v1", "Secret"),
    ("services", "v1", "Service"),
    ("pods", "v1", "Pod"),
    ("persistentvolumeclaims", "v1", "PersistentVolumeClaim"),
    ("serviceaccounts", "v1", "ServiceAccount"),
    ("events", "v1", "Event"),
    ("statefulsets", "apps/v1", "StatefulSet"),
    ("jobs", "batch/v1", "Job"),
    ("leases", "coordination.k8s.io/v1", "Lease"),
    ("poddisruptionbudgets", "policy/v1", "PodDisruptionBudget"),
    ("roles", "rbac.authorization.k8s.io/v1", "Role"),
    ("rolebindings", "rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("widgets", "conformance.neo4j.com/v1", "Widget"),
    ("plains", "conformance.neo4j.com/v1", "Plain"),
    ("neo4jdatabases", "neo4j.neo4j.com/v1beta1", "Neo4jDatabase"),
];

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub code: u16,
    pub body: Value,
    pub warnings: Vec<String>,
}

impl Answer {
    /// Asserts the status, and hands the answer on.
    #[track_caller]
    pub fn is(self, code: u16) -> Self {
        assert_eq!(self.code, code, "{}", self.body);
        self
    }

    /// Asserts status and reason of a refusal.
    #[track_caller]
    pub fn refused(self, code: u16, reason: &str) -> Self {
        assert_eq!((self.code, self.text("/reason")), (code, reason), "{}", self.body);
        self
    }

    pub fn text(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    pub fn rv(&self) -> String {
        self.text("/metadata/resourceVersion").to_owned()
    }

    pub fn uid(&self) -> String {
        self.text("/metadata/uid").to_owned()
    }

    pub fn generation(&self) -> i64 {
        self.body["metadata"]["generation"].as_i64().unwrap_or_default()
    }

    pub fn names(&self) -> Vec<&str> {
        let items = self.body["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(|i| i["metadata"]["name"].as_str()).collect()
    }
}

/// A watch that has begun.
pub struct Watch {
    request: Value,
    code: u16,
    body: Body,
    bytes: Vec<u8>,
    events: Vec<Value>,
}

/// One case's requests.
pub struct Session {
    pub namespace: String,
    client: kube::Client,
    target: Target,
    log: Vec<Value>,
}

impl Session {
    /// A session in a fresh namespace, the making of which is not recorded.
    pub async fn begin(target: &Target, case: &str) -> Self {
        let base: String = case.replace('_', "-").chars().take(48).collect();
        let suffix = &uuid::Uuid::new_v4().simple().to_string()[..6];
        let mut session = Self {
            namespace: format!("{base}-{suffix}"),
            client: target.client(),
            target: target.clone(),
            log: Vec::new(),
        };
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": session.namespace}});
        session.post("/api/v1/namespaces", namespace).await.is(201);
        session.log.clear();
        session
    }

    /// What was said, normalised.
    pub fn end(self) -> Vec<Value> {
        Normaliser::new(&self.namespace).all(self.log)
    }

    /// `configmaps/a?x=y` in full; a path with a slash in front stays.
    pub fn path(&self, path: &str) -> String {
        if path.starts_with('/') {
            return path.to_owned();
        }
        let (_, version, _) = kind_of(path).unwrap_or_else(|| panic!("{path} is none of the known resources"));
        let root = if version.contains('/') { "/apis" } else { "/api" };
        format!("{root}/{version}/namespaces/{}/{path}", self.namespace)
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, "", "", Value::Null).await
    }

    pub async fn post(&mut self, path: &str, body: Value) -> Answer {
        self.send("POST", path, JSON, "", filled(path, body)).await
    }

    pub async fn put(&mut self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, JSON, "", filled(path, body)).await
    }

    /// An RFC 7396 patch.
    pub async fn merge(&mut self, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, MERGE, "", body).await
    }

    pub async fn strategic(&mut self, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, STRATEGIC, "", body).await
    }

    pub async fn json_patch(&mut self, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, JSON_PATCH, "", body).await
    }

    /// A server-side apply; the path carries `fieldManager`.
    pub async fn apply(&mut self, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, APPLY, "", filled(path, body)).await
    }

    /// `options` may be null.
    pub async fn delete(&mut self, path: &str, options: Value) -> Answer {
        self.send("DELETE", path, JSON, "", options).await
    }

    /// Any request. A string as body is sent as it is.
    pub async fn send(&mut self, method: &str, path: &str, media: &str, accept: &str, body: Value) -> Answer {
        let path = self.path(path);
        let mut exchange = request(method, &path, media, accept, &body);
        let answer = self.exchange(method, &path, media, accept, &body).await;
        exchange["status"] = json!(answer.code);
        if !answer.warnings.is_empty() {
            exchange["warnings"] = json!(answer.warnings);
        }
        exchange["answer"] = answer.body.clone();
        self.log.push(exchange);
        answer
    }

    /// Asks without recording.
    async fn exchange(&self, method: &str, path: &str, media: &str, accept: &str, body: &Value) -> Answer {
        let response = self.response(method, path, media, accept, body).await;
        let code = response.status().as_u16();
        let warnings = response.headers().get_all("warning").iter();
        let warnings = warnings.map(|w| w.to_str().unwrap().to_owned()).collect();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes);
        let body = serde_json::from_str(&text).unwrap_or_else(|_| json!(text));
        Answer { code, body, warnings }
    }

    async fn response(
        &self,
        method: &str,
        path: &str,
        media: &str,
        accept: &str,
        body: &Value,
    ) -> http::Response<Body> {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in [("content-type", media), ("accept", accept)] {
            if !value.is_empty() {
                request = request.header(name, value);
            }
        }
        let bytes = match body {
            Value::Null => Vec::new(),
            Value::String(raw) => raw.clone().into_bytes(),
            other => other.to_string().into_bytes(),
        };
        self.client
            .send(request.body(Body::from(bytes)).unwrap())
            .await
            .unwrap()
    }

    /// Asks again until `holds`; only the answer that holds is recorded.
    pub async fn until(&mut self, path: &str, holds: impl Fn(&Answer) -> bool) -> Answer {
        let end = tokio::time::Instant::now() + DEADLINE;
        let full = self.path(path);
        loop {
            let answer = self.exchange("GET", &full, "", "", &Value::Null).await;
            if holds(&answer) {
                let mut exchange = request("GET", &full, "", "", &Value::Null);
                exchange["status"] = json!(answer.code);
                exchange["answer"] = answer.body.clone();
                self.log.push(exchange);
                return answer;
            }
            assert!(tokio::time::Instant::now() < end, "{path}: still {}", answer.body);
            tokio::time::sleep(STEP).await;
        }
    }

    /// The same, nothing recorded.
    pub async fn until_quietly(&mut self, path: &str, holds: impl Fn(&Answer) -> bool) {
        self.until(path, holds).await;
        self.log.pop();
    }

    /// A POST that is not recorded, after a short while: for questions to be asked until the answer is another.
    pub async fn quiet_post(&self, path: &str, body: &Value) -> Answer {
        tokio::time::sleep(STEP).await;
        self.exchange("POST", &self.path(path), JSON, "", body).await
    }

    /// Begins a watch; `path` without `watch=true`.
    pub async fn watch(&mut self, path: &str) -> Watch {
        let separator = if path.contains('?') { '&' } else { '?' };
        let path = self.path(&format!("{path}{separator}watch=true"));
        let response = self.response("GET", &path, "", "", &Value::Null).await;
        Watch {
            request: request("GET", &path, "", "", &Value::Null),
            code: response.status().as_u16(),
            body: response.into_body(),
            bytes: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Takes events up to the first for which `last` holds, records them, and ends the watch.
    pub async fn events(&mut self, mut watch: Watch, last: impl Fn(&Value) -> bool) -> Vec<Value> {
        let collecting = async { while !watch.events.last().is_some_and(&last) && watch.next().await {} };
        let in_time = tokio::time::timeout(DEADLINE, collecting).await;
        assert!(in_time.is_ok(), "the watch brought only {:?}", watch.events);
        let mut exchange = watch.request;
        exchange["status"] = json!(watch.code);
        exchange["events"] = json!(watch.events);
        self.log.push(exchange);
        watch.events
    }

    /// Events up to the one about `name` of type `kind`.
    pub async fn events_to(&mut self, watch: Watch, kind: &str, name: &str) -> Vec<Value> {
        self.events(watch, |e| e["type"] == kind && e["object"]["metadata"]["name"] == name)
            .await
    }

    /// Makes the server forget its history: after this, `version` cannot be listed any more.
    pub async fn forget(&mut self, version: &str) {
        let path = self.path(&format!(
            "configmaps?resourceVersion={version}&resourceVersionMatch=Exact&limit=1"
        ));
        let end = tokio::time::Instant::now() + DEADLINE;
        self.target.compact();
        while self.exchange("GET", &path, "", "", &Value::Null).await.code != 410 {
            assert!(
                tokio::time::Instant::now() < end,
                "history up to {version} is still there"
            );
            tokio::time::sleep(STEP).await;
        }
    }
}

impl Watch {
    /// Reads until one more event is there; false at the end of the stream.
    async fn next(&mut self) -> bool {
        loop {
            if let Some(end) = self.bytes.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=end).collect();
                self.events.push(serde_json::from_slice(&line).unwrap());
                return true;
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self
                    .bytes
                    .extend_from_slice(frame.data_ref().map(|d| &d[..]).unwrap_or_default()),
                // A refusal is one document without a line end.
                _ if self.bytes.is_empty() => return false,
                _ => self.bytes.push(b'\n'),
            }
        }
    }
}

fn request(method: &str, path: &str, media: &str, accept: &str, body: &Value) -> Value {
    let mut out = Map::new();
    out.insert("method".into(), json!(method));
    out.insert("path".into(), json!(path));
    for (key, value) in [("type", media), ("accept", accept)] {
        if !value.is_empty() {
            out.insert(key.into(), json!(value));
        }
    }
    match body {
        Value::Null => {}
        // What matters of a huge body is how huge it is.
        Value::String(raw) if raw.len() > 10_000 => {
            out.insert("body".into(), json!(format!("‹{} bytes›", raw.len())));
        }
        body => {
            out.insert("body".into(), body.clone());
        }
    }
    json!({"request": out})
}

fn kind_of(path: &str) -> Option<(&'static str, &'static str, &'static str)> {
    let resource = path.split(['/', '?']).next()?;
    KINDS.iter().copied().find(|(name, _, _)| *name == resource)
}

/// The object with the apiVersion and kind of its path, where it has none.
fn filled(path: &str, mut body: Value) -> Value {
    if let (Some((_, version, kind)), Some(object)) = (kind_of(path), body.as_object_mut()) {
        object.entry("apiVersion").or_insert_with(|| json!(version));
        object.entry("kind").or_insert_with(|| json!(kind));
    }
    body
}
