//! Acts leave from here and nowhere else: a request with an idempotency key and a deadline, in a task of
//! its own, so that neither keys nor data ever wait for it.
//!
//! This is the second lock of the read-only mode: whatever the screen decided, nothing that changes the
//! daemon is sent while neotop or the daemon says that nothing may be changed.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Method, StatusCode};
use neo4j_operator_shared::{cache::WarmupRequest, problem::Problem};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use uuid::Uuid;

use crate::{
    app::acts::{Act, Answer, Answered, Refusal},
    source::{
        LinkReport,
        discover::Target,
        http::{FetchError, Http, Reply, Write},
    },
};

/// Until then the daemon must have answered.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// So long an act without an answer is repeated under the key that it had.
const REPEAT: Duration = Duration::from_secs(60);

/// What sends acts.
#[derive(Debug)]
pub struct Control {
    target: Target,
    read_only: bool,
    polled: watch::Receiver<LinkReport>,
    answers: mpsc::Sender<Answered>,
    unanswered: Arc<Mutex<Option<Unanswered>>>,
}

/// An act of which nobody knows whether it was done.
#[derive(Clone, Debug)]
struct Unanswered {
    act: Act,
    key: String,
    at: Instant,
}

/// How an act looks on the wire.
#[derive(Debug, PartialEq, Eq)]
pub struct Wire {
    /// Method.
    pub method: Method,
    /// Path, with its slash.
    pub path: String,
    /// JSON.
    pub body: Option<String>,
}

/// How an act looks on the wire.
pub fn wire(act: &Act) -> Wire {
    let (method, path, body) = match act {
        Act::Switch(request) | Act::DryRun(request) => (Method::PUT, "/v1/cache/strategy".to_owned(), json(request)),
        // An id is the daemon's own word, but it came over the wire: it must not lead to another path.
        Act::Cancel(id) => (Method::DELETE, format!("/v1/cache/strategy/{}", escaped(id)), None),
        Act::WarmUp(kind) => {
            let kinds = kind.map(|kind| vec![kind]);
            (
                Method::POST,
                "/v1/cache/warmup".to_owned(),
                json(&WarmupRequest { kinds }),
            )
        }
        Act::Reclaim => (Method::POST, "/v1/memory/gc".to_owned(), Some("{}".to_owned())),
    };
    Wire { method, path, body }
}

fn json(body: &impl Serialize) -> Option<String> {
    serde_json::to_string(body).ok()
}

fn escaped(segment: &str) -> String {
    let mut out = String::new();
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}"); // into a String: cannot fail
        }
    }
    out
}

/// Reads the answer to an act.
fn read(act: &Act, reply: &Reply) -> Result<Answer, Refusal> {
    if !reply.status.is_success() {
        return Err(refusal(reply));
    }
    let body = &reply.body;
    Ok(match act {
        Act::Switch(_) => Answer::Switching(parse(body)?),
        Act::DryRun(_) => Answer::Forecast(parse(body)?),
        Act::Cancel(_) => Answer::Cancelled(serde_json::from_str(body).ok()),
        Act::WarmUp(_) => Answer::Warming(parse(body)?),
        Act::Reclaim => Answer::Reclaimed(parse(body)?),
    })
}

fn parse<T: DeserializeOwned>(body: &str) -> Result<T, Refusal> {
    serde_json::from_str(body).map_err(|error| Refusal {
        detail: format!("the daemon took it, but its answer is none that this version knows: {error}"),
        ..Refusal::default()
    })
}

fn refusal(reply: &Reply) -> Refusal {
    let phrase = || reply.status.canonical_reason().unwrap_or("unknown status").to_owned();
    let said = serde_json::from_str::<Problem>(&reply.body).map_or_else(|_| phrase(), |problem| problem.detail);
    let detail = match reply.status {
        StatusCode::UNAUTHORIZED => format!("{said}; the daemon wants another token, give it with --token-file"),
        StatusCode::NOT_FOUND => format!("{said}; a daemon of an older version does not offer this"),
        _ => said,
    };
    Refusal {
        code: Some(reply.status.as_u16()),
        detail,
        retry_after: reply.retry_after,
    }
}

// === impl Control ===

impl Control {
    /// For one daemon; what comes of acts goes to `answers`.
    pub fn new(
        target: Target,
        read_only: bool,
        polled: watch::Receiver<LinkReport>,
        answers: mpsc::Sender<Answered>,
    ) -> Self {
        Self {
            target,
            read_only,
            polled,
            answers,
            unanswered: Arc::default(),
        }
    }

    /// Why an act is not sent, if so.
    fn lock(&self, act: &Act) -> Option<&'static str> {
        if !act.changes() {
            return None;
        }
        if self.read_only {
            return Some("neotop was started with --read-only: nothing was sent");
        }
        match &*self.polled.borrow() {
            LinkReport::Up(sample) if sample.status.read_only => {
                Some("the daemon is in read-only mode: nothing was sent")
            }
            _ => None,
        }
    }

    /// Sends an act, or answers at once that it is not sent. Never waits.
    pub fn send(&self, id: u64, act: Act) {
        let answers = self.answers.clone();
        if let Some(reason) = self.lock(&act) {
            let refusal = Refusal {
                detail: reason.to_owned(),
                ..Refusal::default()
            };
            tokio::spawn(async move { answer(&answers, id, Err(refusal)).await });
            return;
        }
        let key = self.key(&act);
        let (target, unanswered) = (self.target.clone(), Arc::clone(&self.unanswered));
        tokio::spawn(async move {
            let result = request(&target, &act, key.clone()).await;
            let result = match result {
                Ok(reply) => read(&act, &reply),
                Err(error) => {
                    let open = Unanswered {
                        act,
                        key,
                        at: Instant::now(),
                    };
                    if let Ok(mut unanswered) = unanswered.lock() {
                        *unanswered = Some(open);
                    }
                    Err(Refusal {
                        detail: format!(
                            "{error}; it may have been done all the same, and is not done twice if repeated"
                        ),
                        ..Refusal::default()
                    })
                }
            };
            answer(&answers, id, result).await;
        });
    }

    /// A new key; that of the last try if this repeats an act that got no answer.
    fn key(&self, act: &Act) -> String {
        let open = self.unanswered.lock().ok().and_then(|mut open| open.take());
        open.filter(|open| open.act == *act && open.at.elapsed() < REPEAT)
            .map_or_else(|| Uuid::new_v4().to_string(), |open| open.key)
    }
}

async fn request(target: &Target, act: &Act, key: String) -> Result<Reply, FetchError> {
    let token = target.reread_token().or_else(|| target.token.clone());
    let Wire { method, path, body } = wire(act);
    let write = Write {
        method,
        url: format!("{}{path}", target.url),
        body,
        key,
        deadline: DEADLINE,
    };
    Http::new(token).write(write).await
}

async fn answer(answers: &mpsc::Sender<Answered>, id: u64, result: Result<Answer, Refusal>) {
    let answered = Answered {
        id,
        at: Instant::now(),
        result,
    };
    // Nobody listens once neotop ends.
    let _ = answers.send(answered).await;
}

#[cfg(test)]
mod tests;
