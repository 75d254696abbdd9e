//! The layer that every request passes: what it is, how many are in flight, how it ended.
//!
//! It stands inside our own retry and outside nothing that retries, so each call it sees is one attempt on
//! the wire. Reads are tried again within their deadline; a write never is: the queue retries its key, and a
//! write without an answer has an unknown outcome.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use http::{Method, Request, Response, StatusCode, Uri, header::RETRY_AFTER};
use http_body::{Body as HttpBody, Frame, SizeHint};
use kube::client::Body;
use neo4j_operator_shared::Kind;
use tokio::{sync::Semaphore, time::Instant};
use tower::{BoxError, Layer, Service, ServiceExt as _, buffer::Buffer};

use super::client::{ApiCall, ApiObserver, Limits};

/// Pause before a second attempt, at least and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Watches that may start at once for one path and selector, and how many more per second (K23).
const WATCH_STARTS: (f64, f64) = (5.0, 1.0);
/// Paths whose watch starts are remembered.
const WATCH_PATHS: usize = 4096;

/// No answer within the deadline; of a write nobody knows whether it was done.
#[derive(Debug, thiserror::Error)]
#[error("no answer to {verb} {resource} within {} s", .deadline.as_secs())]
pub struct NoAnswer {
    verb: &'static str,
    resource: &'static str,
    deadline: Duration,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) verb: &'static str,
    pub(super) resource: &'static str,
    pub(super) subresource: Option<&'static str>,
}

/// Reads verb, resource and subresource from method and path (K33); neither names nor namespaces.
pub(super) fn classify(method: &Method, uri: &Uri) -> Asked {
    let mut parts = uri.path().split('/').filter(|part| !part.is_empty());
    let group = match parts.next() {
        Some("api") => Some(""),
        Some("apis") => parts.next(),
        _ => None,
    };
    let mut rest: Vec<&str> = parts.skip(1).collect();
    if rest.len() >= 3 && rest[0] == "namespaces" {
        rest.drain(..2);
    }
    let resource = group
        .and_then(|_| rest.first())
        .and_then(|plural| {
            Kind::all()
                .map(Kind::plural)
                .chain(["leases", "customresourcedefinitions", "namespaces"])
                .find(|known| known == plural)
        })
        .unwrap_or("other");
    let named = rest.len() >= 2;
    let subresource = rest.get(2).map(|sub| match *sub {
        "status" => "status",
        "scale" => "scale",
        "log" => "log",
        "eviction" => "eviction",
        _ => "other",
    });
    let watch = uri
        .query()
        .is_some_and(|query| query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1")));
    let verb = match (method.as_str(), named) {
        ("GET", _) if watch => "watch",
        ("GET", true) => "get",
        ("GET", false) => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => "other",
    };
    Asked {
        verb,
        resource,
        subresource,
    }
}

struct Shared {
    limits: Limits,
    observer: Arc<dyn ApiObserver>,
    in_flight: Semaphore,
    watch_starts: Mutex<HashMap<u64, (f64, Instant)>>,
    seed: RandomState,
}

impl Shared {
    fn deadline(&self, verb: &str) -> Duration {
        match verb {
            "get" => self.limits.get,
            "list" | "watch" => self.limits.list,
            _ => self.limits.write,
        }
    }

    /// A number in 0..1 to spread retries.
    fn jitter(&self) -> f64 {
        (self.seed.hash_one(Instant::now()) % 1024) as f64 / 1024.0
    }

    /// How long the start of this watch has to wait; a server that ends watches at once is not hammered.
    fn watch_pause(&self, uri: &Uri) -> Duration {
        let query = uri.query().unwrap_or_default();
        let stable: Vec<&str> = query
            .split('&')
            .filter(|pair| !pair.starts_with("resourceVersion="))
            .collect();
        let path = self.seed.hash_one((uri.path(), stable));
        let now = Instant::now();
        let mut starts = self.watch_starts.lock().unwrap_or_else(PoisonError::into_inner);
        if starts.len() >= WATCH_PATHS {
            starts.retain(|_, (_, last)| now.saturating_duration_since(*last) < Duration::from_secs(60));
        }
        let (tokens, last) = starts.entry(path).or_insert((WATCH_STARTS.0, now));
        let earned = now.saturating_duration_since(*last).as_secs_f64() * WATCH_STARTS.1;
        *tokens = (*tokens + earned).min(WATCH_STARTS.0) - 1.0;
        *last = now;
        Duration::from_secs_f64((-*tokens / WATCH_STARTS.1).max(0.0))
    }

    fn observe(&self, asked: Asked, method: &Method, code: Option<u16>, since: Instant) {
        self.observer.request(&ApiCall {
            verb: asked.verb,
            resource: asked.resource,
            subresource: asked.subresource,
            method: match method.as_str() {
                "GET" => "GET",
                "POST" => "POST",
                "PUT" => "PUT",
                "PATCH" => "PATCH",
                "DELETE" => "DELETE",
                _ => "OTHER",
            },
            code,
            seconds: since.elapsed().as_secs_f64(),
        });
    }
}

/// Wraps a service of the API server; it may as well be one in this process.
#[derive(Clone)]
pub struct ApiLayer {
    shared: Arc<Shared>,
}

impl ApiLayer {
    /// A layer with these limits; everything it wraps shares them.
    pub fn new(limits: &Limits, observer: Arc<dyn ApiObserver>) -> Self {
        Self {
            shared: Arc::new(Shared {
                limits: *limits,
                observer,
                in_flight: Semaphore::new(limits.in_flight.max(1)),
                watch_starts: Mutex::default(),
                seed: RandomState::new(),
            }),
        }
    }
}

type Answering<B> = Pin<Box<dyn Future<Output = Result<Response<B>, BoxError>> + Send>>;

impl<S, B> Layer<S> for ApiLayer
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + Send + Sync + 'static,
{
    type Service = ApiService<S::Future>;

    fn layer(&self, inner: S) -> Self::Service {
        ApiService {
            // Retries call the service again from within an answer, hence the buffer.
            inner: Buffer::new(inner, 1024),
            shared: Arc::clone(&self.shared),
        }
    }
}

/// The body of an answer; a watch hears of each of its frames, bookmarks included (K34).
pub struct Measured<B> {
    inner: B,
    of_watch: bool,
}

impl<B: HttpBody + Unpin> HttpBody for Measured<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        if self.of_watch && matches!(frame, Poll::Ready(Some(Ok(_)))) {
            super::watch::beat();
        }
        frame
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}

/// The wrapped service.
pub struct ApiService<F> {
    inner: Buffer<Request<Body>, F>,
    shared: Arc<Shared>,
}

impl<F, B, E> Service<Request<Body>> for ApiService<F>
where
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    E: Into<BoxError> + 'static,
    B: Send + 'static,
{
    type Response = Response<Measured<B>>;
    type Error = BoxError;
    type Future = Answering<Measured<B>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Service::<Request<Body>>::poll_ready(&mut self.inner, context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The buffer's place that `poll_ready` reserved is given back; attempts reserve their own.
        let inner = self.inner.clone();
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let asked = classify(request.method(), request.uri());
            let deadline = shared.deadline(asked.verb);
            if asked.verb == "watch" {
                tokio::time::sleep(shared.watch_pause(request.uri())).await;
            }
            match tokio::time::timeout(deadline, attempts(inner, &shared, asked, request, deadline)).await {
                Ok(answer) => answer.map(|answer| {
                    let of_watch = asked.verb == "watch" && answer.status().is_success();
                    if of_watch {
                        super::watch::beat();
                    }
                    answer.map(|inner| Measured { inner, of_watch })
                }),
                Err(_) => Err(Box::new(NoAnswer {
                    verb: asked.verb,
                    resource: asked.resource,
                    deadline,
                }) as BoxError),
            }
        })
    }
}

/// Attempts until one gives an answer to keep.
async fn attempts<F, B, E>(
    inner: Buffer<Request<Body>, F>,
    shared: &Shared,
    asked: Asked,
    request: Request<Body>,
    deadline: Duration,
) -> Result<Response<B>, BoxError>
where
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    let began = Instant::now();
    let repeatable = matches!(asked.verb, "get" | "list");
    let (parts, body) = request.into_parts();
    let mut body = Some(body);
    let mut pause = PAUSE.0;
    let mut attempt = 1;
    loop {
        let body = if repeatable {
            Body::empty()
        } else {
            body.take().unwrap_or_else(Body::empty)
        };
        let permit = match asked.verb {
            "watch" => None,
            _ => shared.in_flight.acquire().await.ok(),
        };
        let since = Instant::now();
        let answer = inner.clone().oneshot(Request::from_parts(parts.clone(), body)).await;
        drop(permit);
        let code = answer.as_ref().ok().map(|answer| answer.status().as_u16());
        shared.observe(asked, &parts.method, code, since);
        if !repeatable || attempt >= shared.limits.attempts || !worth_repeating(&answer) {
            return answer;
        }
        attempt += 1;
        // Decorrelated jitter: between the shortest pause and three times the last one.
        let span = (pause * 3).min(PAUSE.1).saturating_sub(PAUSE.0);
        pause = PAUSE.0 + span.mul_f64(shared.jitter());
        let pause = answer.as_ref().ok().and_then(retry_after).unwrap_or(pause);
        if began.elapsed() + pause >= deadline {
            return answer;
        }
        tokio::time::sleep(pause).await;
    }
}

/// The server is busy or away; any other answer stands.
fn worth_repeating<B>(answer: &Result<Response<B>, BoxError>) -> bool {
    answer.as_ref().map_or(true, |answer| {
        matches!(
            answer.status(),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
        )
    })
}

fn retry_after<B>(answer: &Response<B>) -> Option<Duration> {
    let seconds: u64 = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests;
