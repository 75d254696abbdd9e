//! The control API: `/v1/…` on a loopback address, JSON, behind a bearer token.
//!
//! The types are in the crate `neo4j-operator-shared`; here they are filled in from [`Facts`] at each request.
//! Errors are problem documents (RFC 9457). What can be changed is in [`acts::Acts`]; every change goes through
//! [`writes`]. `--read-only` forbids writes to Kubernetes and Neo4j, which none of these is: a reclaim or another
//! strategy changes this process alone.
//!
//! [`Facts`]: crate::http::facts::Facts

use std::sync::Arc;

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{StatusCode, header::AUTHORIZATION},
    middleware::{self, Next},
    response::Response,
    routing::{delete, get, post, put},
};
use tokio_util::sync::CancellationToken;

pub mod acts;
mod answers;
mod cache;
mod events;
mod memory;
mod problem;
mod reads;
pub mod token;
mod writes;

use acts::SharedActs;
use problem::problem;
use token::Token;

use crate::{http::facts::SharedFacts, memory::Manager};

/// What the handlers share.
#[derive(Clone)]
struct Control {
    facts: SharedFacts,
    acts: SharedActs,
    memory: Manager,
    token: Arc<Token>,
    book: writes::Book,
    stop: CancellationToken,
}

/// The routes. Event streams end when `stop` is cancelled.
pub fn router(facts: SharedFacts, acts: SharedActs, memory: Manager, token: Token, stop: CancellationToken) -> Router {
    let control = Control {
        facts,
        acts,
        memory,
        token: Arc::new(token),
        book: writes::Book::default(),
        stop,
    };
    let writing = Router::new()
        .route("/v1/cache/strategy", put(cache::switch))
        .route("/v1/cache/strategy/{operation}", delete(cache::cancel))
        .route("/v1/cache/warmup", post(cache::warm_up))
        .route("/v1/memory/gc", post(memory::reclaim))
        .route_layer(middleware::from_fn_with_state(control.clone(), writes::write));
    Router::new()
        .merge(writing)
        .route("/v1/status", get(reads::status))
        .route("/v1/clusters", get(reads::clusters))
        .route("/v1/clusters/{namespace}/{name}", get(reads::cluster))
        .route("/v1/reconciles", get(reads::reconciles))
        .route("/v1/reconciles/{id}", get(reads::reconcile))
        .route("/v1/cache", get(reads::cache))
        .route("/v1/cache/strategies", get(cache::strategies))
        .route("/v1/memory", get(memory::memory))
        .route("/v1/watches", get(reads::watches))
        .route("/v1/events", get(events::events))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(middleware::from_fn_with_state(control.clone(), authenticate))
        .layer(middleware::from_fn_with_state(control.clone(), count))
        .with_state(control)
}

/// Counts by template of the path: paths themselves are an open set.
async fn count(State(control): State<Control>, path: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let endpoint = path.as_ref().map_or("other", MatchedPath::as_str);
    let code = response.status().as_u16();
    control.facts.telemetry().controlled(endpoint, code);
    response
}

async fn authenticate(State(control): State<Control>, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    match given {
        Some(given) if control.token.is(given) => next.run(request).await,
        Some(_) => {
            unauthorized("the bearer token is not the one in the token file; the daemon may have been restarted")
        }
        None => unauthorized("send the content of the token file as bearer token"),
    }
}

fn unauthorized(detail: &str) -> Response {
    let mut response = problem(StatusCode::UNAUTHORIZED, detail);
    let challenge = axum::http::HeaderValue::from_static("Bearer");
    response
        .headers_mut()
        .insert(axum::http::header::WWW_AUTHENTICATE, challenge);
    response
}

async fn unknown_path(request: Request) -> Response {
    problem(
        StatusCode::NOT_FOUND,
        &format!("there is no {}; see /v1/status", request.uri().path()),
    )
}

async fn unknown_method(request: Request) -> Response {
    problem(
        StatusCode::METHOD_NOT_ALLOWED,
        &format!("{} does not answer {}", request.uri().path(), request.method()),
    )
}

#[cfg(test)]
mod tests;
