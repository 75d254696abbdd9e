//! An API server of a few lines for unit tests: a function from request to reply.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{Request, Response, Uri};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// What the server does with a request.
pub(crate) enum Reply {
    /// Answers.
    Json(u16, Value),
    /// Sends these events and closes the connection.
    Events(Vec<Value>),
    /// Sends events as they come, and stays open.
    Feed(mpsc::UnboundedReceiver<Value>),
    /// Never answers.
    Silence,
}

/// The requests so far, as `METHOD path?query`.
pub(crate) type Log = Arc<Mutex<Vec<String>>>;

type AnyBody = UnsyncBoxBody<Bytes, Infallible>;

/// A service that replies by `handler`.
pub(crate) fn service(
    handler: impl FnMut(&str, &Uri) -> Reply + Send + 'static,
) -> (
    impl tower::Service<Request<Body>, Response = Response<AnyBody>, Error = Infallible, Future: Send + 'static>
    + Clone
    + Send
    + 'static,
    Log,
) {
    let log = Log::default();
    let handler = Arc::new(Mutex::new(handler));
    let service = {
        let log = Arc::clone(&log);
        tower::service_fn(move |request: Request<Body>| {
            let (log, handler) = (Arc::clone(&log), Arc::clone(&handler));
            async move {
                log.lock()
                    .unwrap()
                    .push(format!("{} {}", request.method(), request.uri()));
                let reply = (*handler.lock().unwrap())(request.method().as_str(), request.uri());
                Ok(match reply {
                    Reply::Json(code, body) => Response::builder()
                        .status(code)
                        .body(Full::new(Bytes::from(body.to_string())).boxed_unsync())
                        .unwrap(),
                    Reply::Events(events) => lines(stream::iter(events)),
                    Reply::Feed(feed) => lines(tokio_stream::wrappers::UnboundedReceiverStream::new(feed)),
                    Reply::Silence => std::future::pending().await,
                })
            }
        })
    };
    (service, log)
}

fn lines(events: impl futures::Stream<Item = Value> + Send + 'static) -> Response<AnyBody> {
    let frames = events.map(|event| Ok(Frame::data(Bytes::from(format!("{event}\n")))));
    Response::new(StreamBody::new(frames).boxed_unsync())
}

/// A client of such a server, without our layers.
pub(crate) fn client(handler: impl FnMut(&str, &Uri) -> Reply + Send + 'static) -> (Client, Log) {
    let (service, log) = service(handler);
    (Client::new(service, "default"), log)
}

/// Whether a request opens a watch.
pub(crate) fn is_watch(uri: &Uri) -> bool {
    uri.query().unwrap_or_default().contains("watch=true")
}

/// A list of objects at a resourceVersion.
pub(crate) fn list(version: u64, items: &[Value]) -> Reply {
    Reply::Json(
        200,
        json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": version.to_string()}, "items": items}),
    )
}

/// An error of the server.
pub(crate) fn error(code: u16) -> Reply {
    Reply::Json(code, status(code))
}

/// A Status with that code.
pub(crate) fn status(code: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Test", "message": "test", "code": code})
}

/// An object in namespace `n` with our label.
pub(crate) fn object(name: &str, version: u64) -> Value {
    json!({"metadata": {
        "namespace": "n", "name": name, "uid": format!("uid-{name}"), "resourceVersion": version.to_string(),
        "labels": {"app.kubernetes.io/managed-by": "neo4j-operator", "neo4j.com/cluster": "c"},
    }})
}

/// A watch event.
pub(crate) fn event(kind: &str, object: Value) -> Value {
    json!({"type": kind, "object": object})
}
