//! The part of the small daemon that can be told to do something: a change of strategy that stays as far as
//! the test lets it, a reclaim, a warm-up, and refusals.

use std::{
    sync::{Condvar, Mutex},
    time::Duration,
};

use neo4j_operator_shared::golden;
use serde_json::{Value, json};

#[derive(Default)]
pub struct Acts {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What was asked, as `METHOD path body`.
    log: Vec<String>,
    keys: Vec<String>,
    /// The change, as `/v1/cache` shows it.
    operation: Option<Value>,
    /// The strategy in force.
    strategy: Option<String>,
    /// Ended changes, the newest first.
    record: Vec<Value>,
    refuse: Option<(u16, &'static str, Option<u32>)>,
    hang: bool,
    over: bool,
}

impl Acts {
    /// The next writes are refused with this status, detail and `Retry-After`.
    pub fn refuse(&self, code: u16, detail: &'static str, retry_after: Option<u32>) {
        self.state.lock().unwrap().refuse = Some((code, detail, retry_after));
    }

    /// The next writes get no answer.
    pub fn hang(&self) {
        self.state.lock().unwrap().hang = true;
    }

    /// Ends what hangs.
    pub fn release(&self) {
        self.state.lock().unwrap().over = true;
        self.changed.notify_all();
    }

    /// The change that is prepared is in force, and its outcome on record.
    pub fn swap(&self) {
        let mut state = self.state.lock().unwrap();
        let mut operation = state.operation.take().unwrap();
        operation["state"] = json!("done");
        state.strategy = Some("full".to_owned());
        let mut record = serde_json::from_str::<Value>(golden::STRATEGIES).unwrap()["record"][0].clone();
        record["operation"] = operation;
        state.record.insert(0, record);
    }

    /// Waits until a request with this beginning came.
    pub fn wait_for(&self, start: &str) {
        let mut state = self.state.lock().unwrap();
        while !state.log.iter().any(|line| line.starts_with(start)) {
            let (next, timeout) = self.changed.wait_timeout(state, Duration::from_secs(30)).unwrap();
            assert!(!timeout.timed_out(), "no {start} for 30 s: {:?}", next.log);
            state = next;
        }
    }

    /// Every write so far.
    pub fn writes(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let writes = state.log.iter().filter(|line| !line.starts_with("GET"));
        writes.cloned().collect()
    }

    /// The idempotency keys so far.
    pub fn keys(&self) -> Vec<String> {
        self.state.lock().unwrap().keys.clone()
    }

    /// The whole answer to a request, if it is one of these.
    pub fn answer(&self, method: &str, path: &str, body: &str, key: Option<&str>) -> Option<String> {
        if !path.starts_with("/v1/cache") && !path.starts_with("/v1/memory") {
            return None;
        }
        let mut state = self.state.lock().unwrap();
        state.log.push(format!("{method} {path} {body}"));
        state.keys.extend(key.map(str::to_owned));
        self.changed.notify_all();
        if method != "GET" {
            assert!(key.is_some(), "{method} {path} without an Idempotency-Key");
            if state.hang {
                while !state.over {
                    state = self.changed.wait(state).unwrap();
                }
                return Some(String::new());
            }
            if let Some((code, detail, again)) = state.refuse.take() {
                let again = again.map_or_else(String::new, |seconds| format!("retry-after: {seconds}\r\n"));
                let problem = json!({"title": "no", "status": code, "detail": detail}).to_string();
                return Some(http(code, &again, &problem));
            }
        }
        let (code, answer) = state.reply(method, path, body)?;
        Some(http(code, "", &answer))
    }
}

fn http(code: u16, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {code} x\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

impl State {
    fn reply(&mut self, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        let strategy = self.strategy.as_deref().unwrap_or("selective");
        match (method, path) {
            ("GET", "/v1/cache") => {
                let mut cache: Value = serde_json::from_str(golden::CACHE).unwrap();
                cache["strategy"] = json!(strategy);
                cache["hitRate"] = json!(0.9);
                if let Some(operation) = &self.operation {
                    cache["operation"] = operation.clone();
                }
                Some((200, cache.to_string()))
            }
            ("GET", "/v1/cache/strategies") => {
                let mut all: Value = serde_json::from_str(golden::STRATEGIES).unwrap();
                all.as_object_mut().unwrap().remove("operation");
                all["current"] = json!(strategy);
                all["record"] = json!(self.record);
                Some((200, all.to_string()))
            }
            ("GET", "/v1/memory") => Some((200, golden::MEMORY.to_owned())),
            ("PUT", "/v1/cache/strategy") if body.contains("\"dryRun\":true") => {
                Some((200, golden::DRY_RUN.to_owned()))
            }
            ("PUT", "/v1/cache/strategy") => {
                self.operation = Some(serde_json::from_str(golden::OPERATION).unwrap());
                Some((202, golden::OPERATION.to_owned()))
            }
            ("DELETE", "/v1/cache/strategy/sw-7") => {
                let mut operation = self.operation.take()?;
                operation["state"] = json!("cancelled");
                Some((200, operation.to_string()))
            }
            ("POST", "/v1/cache/warmup") => Some((202, golden::WARMUPS.to_owned())),
            ("POST", "/v1/memory/gc") => Some((200, golden::RECLAIM.to_owned())),
            _ => None,
        }
    }
}
