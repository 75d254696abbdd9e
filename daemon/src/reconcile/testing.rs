//! A scripted API server for unit tests: records each request and answers from a list.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::Value;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// HTTP method.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Body as JSON, null without one.
    pub body: Value,
}

/// The script and what was seen. Clones share both.
#[derive(Clone, Default)]
pub struct Scripted {
    answers: Arc<Mutex<VecDeque<(u16, Value)>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Scripted {
    /// Adds an answer to the script.
    pub fn answer(&self, code: u16, body: Value) {
        self.answers.lock().unwrap().push_back((code, body));
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// A client of the scripted server. Without an answer left it answers 500.
pub fn client(server: &Scripted) -> kube::Client {
    let server = server.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let server = server.clone();
        async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect().await.unwrap().to_bytes();
            server.seen.lock().unwrap().push(Seen {
                method: parts.method.to_string(),
                path: parts.uri.path().to_owned(),
                body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            });
            let (code, answer) = server.answers.lock().unwrap().pop_front().unwrap_or((500, Value::Null));
            let answer = Response::builder()
                .status(code)
                .body(Body::from(serde_json::to_vec(&answer).unwrap()))
                .unwrap();
            Ok::<_, Infallible>(answer)
        }
    });
    kube::Client::new(service, "default")
}
