//! Writes: form, keys, audit, refusals.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use axum::http::{HeaderMap, HeaderValue};
use futures::future::BoxFuture;
use neo4j_operator_shared::{
    cache::{WarmupRequest, Warmups},
    switch::{Operation, Strategies, SwitchRequest, Wanted},
};
use serde_json::json;

use super::*;
use crate::{
    control::acts::{Acts, Refusal, SwitchAnswer},
    memory::{Reclaimable, manager::Brakes, testing::FakePart},
};

/// Nothing to slow down.
pub(super) struct NoBrakes;

impl Brakes for NoBrakes {
    fn halve(&self, _: bool) {}
    fn hold_back(&self, _: bool) {}
    fn idle(&self) -> bool {
        false
    }
}

/// A cache that answers from the golden files, and counts what it was asked to do.
#[derive(Default)]
pub(super) struct Cached {
    pub switches: AtomicU32,
}

impl Acts for Cached {
    fn switch(&self, request: SwitchRequest) -> BoxFuture<'_, Result<SwitchAnswer, Refusal>> {
        Box::pin(async move {
            self.switches.fetch_add(1, Ordering::SeqCst);
            if request.dry_run {
                return Ok(SwitchAnswer::Forecast(example(golden::DRY_RUN)));
            }
            match request.strategy {
                Wanted::Strategy(Strategy::None) => Err(Refusal::Running {
                    operation: "op-7".into(),
                    detail: "op-7 is under way".into(),
                }),
                Wanted::Strategy(Strategy::Lazy) => Err(Refusal::TooSoon {
                    wait: Duration::from_millis(8_200),
                    detail: "the last change began 1.8 s ago".into(),
                }),
                Wanted::Strategy(Strategy::Adaptive) => panic!("broken on purpose"),
                Wanted::Strategy(Strategy::Selective) => Ok(SwitchAnswer::Unchanged(example(golden::OPERATION))),
                _ => Ok(SwitchAnswer::Started(example(golden::OPERATION))),
            }
        })
    }

    fn cancel(&self, id: &str) -> Result<Operation, Refusal> {
        match id {
            "op-7" => Ok(example(golden::OPERATION)),
            _ => Err(Refusal::Unknown(format!("there is no change {id}"))),
        }
    }

    fn warm_up(&self, _: WarmupRequest) -> Result<Warmups, Refusal> {
        Ok(example(golden::WARMUPS))
    }

    fn strategies(&self, kinds: Option<Vec<Kind>>) -> BoxFuture<'_, Result<Strategies, Refusal>> {
        Box::pin(async {
            Ok(Strategies {
                kinds,
                ..example(golden::STRATEGIES)
            })
        })
    }
}

pub(super) struct Answered {
    pub code: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answered {
    fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or_default()
    }
}

impl World {
    /// A write in good form.
    pub(super) async fn send(&self, method: &str, path: &str, key: &str, body: &str) -> Answered {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        self.write(method, path, &headers, body).await
    }

    async fn write(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answered {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", self.token));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answered {
            code: parts.status.as_u16(),
            headers: parts.headers,
            body: serde_json::from_slice(&body).unwrap(),
        }
    }

    /// The events of writes so far: request, code, message.
    pub(super) async fn audited(&self) -> Vec<(String, u16, String)> {
        let stream = &self.facts.telemetry().stream;
        stream.publish(note("end", Severity::Info));
        let mut reader = stream.reader(Some(&stream.id(0))).unwrap();
        let mut audited = Vec::new();
        loop {
            for stored in reader.next().await.events {
                match &stored.event.payload {
                    Payload::ControlAudit { request, code } => {
                        audited.push((request.clone(), *code, stored.event.message.clone()));
                    }
                    Payload::Log { .. } if stored.event.message == "end" => return audited,
                    _ => {}
                }
            }
        }
    }
}

const SWITCH: &str = "/v1/cache/strategy";

#[tokio::test]
async fn every_answer_to_a_write_has_the_form_of_its_golden_file() {
    let world = world();
    for (method, path, body, code, form) in [
        ("PUT", SWITCH, r#"{"strategy":"full"}"#, 202, golden::OPERATION),
        ("PUT", SWITCH, r#"{"strategy":"selective"}"#, 200, golden::OPERATION),
        (
            "PUT",
            SWITCH,
            r#"{"strategy":"full","dryRun":true}"#,
            200,
            golden::DRY_RUN,
        ),
        ("DELETE", "/v1/cache/strategy/op-7", "", 200, golden::OPERATION),
        ("POST", "/v1/cache/warmup", r#"{"kinds":["po"]}"#, 200, golden::WARMUPS),
        ("POST", "/v1/cache/warmup", "", 200, golden::WARMUPS),
    ] {
        let answer = world.send(method, path, &format!("{method}{path}{body}"), body).await;
        assert_eq!(
            (answer.code, answer.body),
            (code, example(form)),
            "{method} {path} {body}"
        );
    }
    assert_eq!(
        world.get("/v1/cache/strategies").await,
        (200, example(golden::STRATEGIES))
    );
}

#[tokio::test]
async fn forecasts_of_some_kinds_are_asked_for_by_name() {
    let world = world();
    let (code, answer) = world.get("/v1/cache/strategies?kinds=po,services").await;
    assert_eq!((code, &answer["kinds"]), (200, &json!(["pods", "services"])));
    for (query, needle) in [
        ("kinds=widgets", "statefulsets"),
        ("kinds=", "kinds is empty"),
        ("kinds=neo4jdatabases", "always watched"),
        ("kind=pods", "the only parameter is kinds"),
    ] {
        let (code, answer) = world.get(&format!("/v1/cache/strategies?{query}")).await;
        let detail = answer["detail"].as_str().unwrap_or_default();
        assert!(code == 400 && detail.contains(needle), "{query}: {code} {detail}");
    }
}

#[tokio::test]
async fn a_bad_body_is_answered_with_what_to_write() {
    let world = world();
    for (path, body, needle) in [
        (SWITCH, "", "rollbackAfter"),
        (SWITCH, "[]", "rollbackAfter"),
        (
            SWITCH,
            r#"{"strategy":"eager"}"#,
            "none, lazy, selective, full, adaptive",
        ),
        (
            SWITCH,
            r#"{"strategy":"full","dry_run":true}"#,
            "unknown field `dry_run`",
        ),
        (SWITCH, r#"{"strategy":"full","kinds":["widgets"]}"#, "statefulsets"),
        (SWITCH, r#"{"strategy":"full","kinds":[]}"#, "kinds is empty"),
        (
            SWITCH,
            r#"{"strategy":"full","kinds":["neo4jdatabases"]}"#,
            "always watched",
        ),
        (SWITCH, r#"{"strategy":"default"}"#, "name the kinds"),
        (SWITCH, r#"{"strategy":"full","rollbackAfter":"5"}"#, "1h30m"),
        (SWITCH, r#"{"strategy":"full","rollbackAfter":"0s"}"#, "such as 5m"),
        ("/v1/cache/warmup", r#"{"kind":"pods"}"#, "unknown field `kind`"),
        ("/v1/cache/warmup", r#"{"kinds":["widgets"]}"#, "statefulsets"),
    ] {
        let method = if path == SWITCH { "PUT" } else { "POST" };
        // A request that was refused uses up no key.
        let answer = world.send(method, path, "k", body).await;
        assert_eq!(answer.code, 400, "{path} {body}");
        assert!(answer.detail().contains(needle), "{path} {body}: {}", answer.detail());
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
    assert_eq!(world.acts.switches.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_write_names_its_content_and_a_key() {
    let world = world();
    let (json, key) = (("content-type", "application/json"), ("idempotency-key", "k"));
    let body = r#"{"strategy":"full"}"#;
    let long = "k".repeat(129);
    for (headers, code) in [
        (vec![key], 415),
        (vec![key, ("content-type", "text/plain")], 415),
        (vec![json], 400),
        (vec![json, ("idempotency-key", " ")], 400),
        (vec![json, ("idempotency-key", long.as_str())], 400),
        (vec![key, ("content-type", "application/json; charset=utf-8")], 202),
    ] {
        assert_eq!(
            world.write("PUT", SWITCH, &headers, body).await.code,
            code,
            "{headers:?}"
        );
    }
    let huge = format!("{{\"strategy\":\"full\"{}}}", " ".repeat(64 << 10));
    assert_eq!(world.send("PUT", SWITCH, "huge", &huge).await.code, 413);
    // No body, no content type.
    let cancelled = world
        .write("DELETE", "/v1/cache/strategy/op-7", &[("idempotency-key", "d")], "")
        .await;
    assert_eq!(cancelled.code, 200);
    let read = world.write("GET", SWITCH, &[], "").await;
    assert_eq!(read.code, 405);
}

#[tokio::test]
async fn a_repeated_key_gets_the_same_answer_and_another_request_is_refused() {
    let world = world();
    let body = r#"{"strategy":"full"}"#;
    let first = world.send("PUT", SWITCH, "k", body).await;
    let again = world.send("PUT", SWITCH, "k", body).await;
    assert_eq!((again.code, &again.body), (202, &first.body));
    assert_eq!(again.headers["content-type"], first.headers["content-type"]);
    assert_eq!(world.acts.switches.load(Ordering::SeqCst), 1);
    for (method, path, body) in [
        ("PUT", SWITCH, r#"{"strategy":"full","dryRun":true}"#),
        ("POST", "/v1/cache/warmup", body),
    ] {
        let other = world.send(method, path, "k", body).await;
        assert_eq!(other.code, 422, "{}", other.detail());
    }
    assert_eq!(world.acts.switches.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn refusals_say_what_runs_and_when_to_come_back_and_may_be_repeated() {
    let world = world();
    let running = world.send("PUT", SWITCH, "a", r#"{"strategy":"none"}"#).await;
    assert_eq!((running.code, &running.body["operation"]), (409, &json!("op-7")));
    for _ in 0..2 {
        let soon = world.send("PUT", SWITCH, "b", r#"{"strategy":"lazy"}"#).await;
        assert_eq!((soon.code, &soon.headers["retry-after"]), (429, &HeaderValue::from(9)));
    }
    assert_eq!(world.acts.switches.load(Ordering::SeqCst), 3, "asked again each time");
    let unknown = world.send("DELETE", "/v1/cache/strategy/op-1", "c", "").await;
    assert_eq!(unknown.code, 404);
    for _ in 0..2 {
        let broken = world.send("PUT", SWITCH, "d", r#"{"strategy":"adaptive"}"#).await;
        assert_eq!(broken.code, 500);
    }
    assert_eq!(
        world.acts.switches.load(Ordering::SeqCst),
        4,
        "nobody knows what was done: not again"
    );
}

#[tokio::test]
async fn every_write_is_told_of_whatever_came_of_it() {
    let world = world();
    world
        .send("PUT", SWITCH, "a", r#"{"strategy":"full","kinds":["po"]}"#)
        .await;
    world
        .send("PUT", SWITCH, "a", r#"{"strategy":"full","kinds":["po"]}"#)
        .await;
    world.send("PUT", SWITCH, "b", r#"{"strategy":"none"}"#).await;
    world.write("POST", "/v1/cache/warmup", &[], "").await;
    world.write("POST", SWITCH, &[], "").await;
    let audited = world.audited().await;
    let codes: Vec<_> = audited
        .iter()
        .map(|(request, code, _)| (request.as_str(), *code))
        .collect();
    assert_eq!(
        codes,
        [
            ("PUT /v1/cache/strategy", 202),
            ("PUT /v1/cache/strategy", 202),
            ("PUT /v1/cache/strategy", 409),
            ("POST /v1/cache/warmup", 415),
        ]
    );
    let operation: Operation = example(golden::OPERATION);
    let id = operation.id;
    assert_eq!(
        audited[0].2,
        format!("PUT /v1/cache/strategy: 202, strategy full for pods: {id} has begun")
    );
    assert!(audited[1].2.contains("202, repeated: strategy full"), "{audited:?}");
    assert!(audited[2].2.contains("op-7 is under way"), "{audited:?}");
}

const RECLAIM: &str = "/v1/memory/gc";

#[tokio::test(start_paused = true)]
async fn a_reclaim_answers_what_it_did_and_one_too_soon_when_to_come_back() {
    let world = world();
    world
        .manager
        .register(FakePart::new("decoded", &world.memory, [0, 7, 0]));
    let done = world.send("POST", RECLAIM, "a", "").await;
    assert_eq!(done.code, 200);
    assert_eq!(shape(&done.body), shape(&example(golden::RECLAIM)));
    assert_eq!(done.body["after"]["allocated"], json!(10_000_000));
    let again = world.send("POST", RECLAIM, "a", "").await;
    assert_eq!(
        (again.code, again.body),
        (200, done.body),
        "the answer of the first, not a second one"
    );
    let soon = world.send("POST", RECLAIM, "b", "{}").await;
    assert_eq!((soon.code, &soon.headers["retry-after"]), (429, &HeaderValue::from(10)));
    let option = world.send("POST", RECLAIM, "c", r#"{"force":true}"#).await;
    assert_eq!(option.code, 400);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(world.send("POST", RECLAIM, "b", "{}").await.code, 200);
    let audited = world.audited().await;
    assert_eq!(
        audited.iter().map(|(_, code, _)| *code).collect::<Vec<_>>(),
        [200, 200, 429, 400, 200]
    );
    assert_eq!(
        audited[0].2,
        "POST /v1/memory/gc: 200, 7.0 MB freed, 7.0 MB returned to the operating system"
    );
}

/// Gives back when it is told to.
struct Slow(std::sync::Mutex<std::sync::mpsc::Receiver<()>>);

impl Reclaimable for Slow {
    fn name(&self) -> String {
        "slow".to_owned()
    }

    fn trim(&self) -> u64 {
        self.0.lock().unwrap().recv().unwrap();
        0
    }
}

#[tokio::test(start_paused = true)]
async fn what_takes_longer_goes_on_and_is_answered_to_whoever_asks_again() {
    let world = world();
    let (go, wait) = std::sync::mpsc::channel();
    world.manager.register(Arc::new(Slow(std::sync::Mutex::new(wait))));
    // Time does not pass by itself while a thread is busy.
    let (late, ()) = tokio::join!(
        world.send("POST", RECLAIM, "a", ""),
        tokio::time::advance(crate::control::writes::DEADLINE)
    );
    assert_eq!(late.code, 504);
    assert!(late.detail().contains("same Idempotency-Key"), "{}", late.detail());
    go.send(()).unwrap();
    let done = world.send("POST", RECLAIM, "a", "").await;
    assert_eq!((done.code, &done.body["trigger"]), (200, &json!("forced")));
    assert_eq!(world.manager.memory().reclaims.len(), 1);
}
