//! What every write goes through: it names its content and an `Idempotency-Key`, is answered within five
//! seconds, and is told of in the log and in the event stream, whether it was done or refused.
//!
//! A write that was begun is ended even if the client leaves or has waited too long: a repetition with the
//! same key gets its answer. Who has no token is not a writer: that is refused before, and not told of, lest a
//! stranger push out the events of others.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    body::{self, Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header::CONTENT_TYPE, request::Parts},
    middleware::Next,
    response::Response,
};
use futures::FutureExt as _;
use jiff::Timestamp;
use neo4j_operator_shared::events::{Event, Payload, Severity};
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{
    Control,
    answers::{self, Answer, Answers, Known, Pending},
    problem::problem,
};

/// How long a client waits at most.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);
/// The longest body.
const LONGEST_BODY: usize = 64 << 10;
/// The longest key.
const LONGEST_KEY: usize = 128;
/// The longest path that is told of.
const LONGEST_PATH: usize = 200;

/// One line about an answer for people who read the audit; an extension of the response.
#[derive(Clone, Debug)]
pub(super) struct Note(pub String);

/// The answers of the last writes.
#[derive(Clone, Default)]
pub(super) struct Book(Arc<Mutex<Answers>>);

impl Book {
    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The middleware around the routes that write. Reads of the same paths pass.
pub(super) async fn write(State(control): State<Control>, request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let deadline = Instant::now() + DEADLINE;
    let (parts, body) = request.into_parts();
    let path: String = parts.uri.path().chars().take(LONGEST_PATH).collect();
    let name = format!("{} {path}", parts.method);
    match admitted(&parts, body, deadline).await {
        Ok((key, body)) => perform(control, name, key, Request::from_parts(parts, body), next, deadline).await,
        Err(refused) => {
            audit(&control, &name, refused.status(), &note(&refused));
            refused
        }
    }
}

/// The key and the body, if the request has the form of a write.
async fn admitted(parts: &Parts, body: Body, deadline: Instant) -> Result<(String, Bytes), Response> {
    // The content type, like the key, is what a page in a browser cannot send elsewhere without being asked.
    if parts.method != Method::DELETE && !is_json(&parts.headers) {
        return Err(problem(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "send the request with Content-Type: application/json",
        ));
    }
    let key = key(&parts.headers).map_err(|detail| problem(StatusCode::BAD_REQUEST, detail))?;
    match timeout_at(deadline, body::to_bytes(body, LONGEST_BODY)).await {
        Ok(Ok(bytes)) => Ok((key, bytes)),
        Ok(Err(_)) => Err(problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!("the body could not be read, or has more than {LONGEST_BODY} bytes"),
        )),
        Err(_) => Err(problem(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = given.and_then(|text| text.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn key(headers: &HeaderMap) -> Result<String, &'static str> {
    let given = headers.get("idempotency-key").and_then(|value| value.to_str().ok());
    match given.map(str::trim) {
        Some(key) if key.len() > LONGEST_KEY => Err("the Idempotency-Key has more than 128 characters"),
        Some(key) if !key.is_empty() => Ok(key.to_owned()),
        _ => Err("send an Idempotency-Key, such as a new UUID for each request and the same one to repeat it"),
    }
}

/// Does it once, or waits for the one that does.
async fn perform(
    control: Control,
    name: String,
    key: String,
    request: Request<Bytes>,
    next: Next,
    deadline: Instant,
) -> Response {
    let known = control.book.answers().begin(&key, digest(&request), Instant::now());
    match known {
        Known::Other => {
            let refused = problem(
                StatusCode::UNPROCESSABLE_ENTITY,
                "this Idempotency-Key was sent with another request in the last 10 minutes; send a new one",
            );
            audit(&control, &name, refused.status(), &note(&refused));
            refused
        }
        Known::Same(pending) => {
            let answer = wait(pending, deadline).await;
            audit(&control, &name, answer.status, &format!("repeated: {}", answer.note));
            answer.response()
        }
        Known::Nothing(sender) => {
            let pending = sender.subscribe();
            tokio::spawn(carry_out(control.clone(), name.clone(), key, request, next, sender));
            let answer = wait(pending, deadline).await;
            if answer.status == StatusCode::GATEWAY_TIMEOUT {
                audit(&control, &name, answer.status, &answer.note);
            }
            answer.response()
        }
    }
}

async fn carry_out(
    control: Control,
    name: String,
    key: String,
    request: Request<Bytes>,
    next: Next,
    sender: watch::Sender<Option<Answer>>,
) {
    let ran = AssertUnwindSafe(next.run(request.map(Body::from))).catch_unwind();
    let response = ran.await.unwrap_or_else(|_| {
        problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the daemon failed at this; its log says where",
        )
    });
    let answer = answer(response).await;
    audit(&control, &name, answer.status, &answer.note);
    if !answer.lasts() {
        control.book.answers().forget(&key);
    }
    sender.send_replace(Some(answer));
}

/// The answer, or that it takes longer.
async fn wait(mut pending: Pending, deadline: Instant) -> Answer {
    let late = match timeout_at(deadline, pending.wait_for(Option::is_some)).await {
        Ok(Ok(answer)) => match answer.as_ref() {
            Some(answer) => return answer.clone(),
            None => StatusCode::INTERNAL_SERVER_ERROR,
        },
        Ok(Err(_)) => StatusCode::INTERNAL_SERVER_ERROR,
        Err(_) => StatusCode::GATEWAY_TIMEOUT,
    };
    let detail = format!(
        "no answer within {} s; it goes on: repeat the request with the same Idempotency-Key to get its answer",
        DEADLINE.as_secs()
    );
    answer(problem(late, &detail)).await
}

async fn answer(response: Response) -> Answer {
    let note = note(&response);
    let (parts, body) = response.into_parts();
    Answer {
        status: parts.status,
        headers: parts.headers,
        // The bodies are made in memory by the handlers.
        body: body::to_bytes(body, usize::MAX).await.unwrap_or_default(),
        note,
    }
}

fn note(response: &Response) -> String {
    let note = response.extensions().get::<Note>();
    note.map(|note| note.0.clone()).unwrap_or_default()
}

fn digest(request: &Request<Bytes>) -> answers::Request {
    let uri = request.uri().path_and_query().map_or("", |path| path.as_str());
    let mut hash = Sha256::new();
    for part in [request.method().as_str().as_bytes(), uri.as_bytes(), request.body()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Tells the log and the stream. The log line is no warning: those go into the stream by themselves.
fn audit(control: &Control, name: &str, code: StatusCode, note: &str) {
    // The caller asked for something that this path does not do: no write.
    if code == StatusCode::METHOD_NOT_ALLOWED {
        return;
    }
    let code = code.as_u16();
    tracing::info!(request = name, code, note, "asked through the control API");
    control.facts.telemetry().stream.publish(Event {
        time: Timestamp::now(),
        severity: if code < 400 { Severity::Info } else { Severity::Warning },
        cluster: None,
        message: if note.is_empty() {
            format!("{name}: {code}")
        } else {
            format!("{name}: {code}, {note}")
        },
        payload: Payload::ControlAudit {
            request: name.to_owned(),
            code,
        },
    });
}
