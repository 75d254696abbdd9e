//! What the control API can ask of the cache, beside what it can ask about it.
//!
//! An implementation decides and answers at once: what takes longer goes on by itself and is told by events.

use std::{sync::Arc, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use futures::future::BoxFuture;
use neo4j_operator_shared::{
    Kind,
    cache::{WarmupRequest, Warmups},
    switch::{DryRun, Operation, Strategies, SwitchRequest},
};

use super::problem::{problem, problem_of};

/// Changes of the cache.
pub trait Acts: Send + Sync + 'static {
    /// Changes the strategy, or says what would come of it. `strategy: default` comes with kinds only, the kinds
    /// are not empty and none of them is a custom resource.
    fn switch(&self, request: SwitchRequest) -> BoxFuture<'_, Result<SwitchAnswer, Refusal>>;
    /// Cancels the change with this id, as long as nothing was swapped; answers how it ended.
    fn cancel(&self, id: &str) -> Result<Operation, Refusal>;
    /// Warms kinds up; how each ends is told by events.
    fn warm_up(&self, request: WarmupRequest) -> Result<Warmups, Refusal>;
    /// What each strategy would bring for these kinds, or for all without one of their own; and what past changes
    /// brought. The kinds are not empty and none of them is a custom resource.
    fn strategies(&self, kinds: Option<Vec<Kind>>) -> BoxFuture<'_, Result<Strategies, Refusal>>;
}

/// Shared by the handlers.
pub type SharedActs = Arc<dyn Acts>;

/// What came of asking for another strategy.
#[derive(Clone, Debug, PartialEq)]
pub enum SwitchAnswer {
    /// It was only asked what would come: 200.
    Forecast(DryRun),
    /// It has begun: 202.
    Started(Operation),
    /// All of it is so already: 200, with a change that is done.
    Unchanged(Operation),
}

/// Why something is not done. Every text says what to do instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 400: what is asked for does not exist.
    Bad(String),
    /// 404: nothing has this id.
    Unknown(String),
    /// 409: a change is under way.
    Running {
        /// Its id.
        operation: String,
        /// What it does, and what to do.
        detail: String,
    },
    /// 409: as things stand it cannot be done, for instance because of what it would cost.
    Conflict(String),
    /// 429: the last one is too short a time ago.
    TooSoon {
        /// How long to wait.
        wait: Duration,
        /// What was too soon.
        detail: String,
    },
    /// 503: a part of the daemon has not begun yet.
    NotYet(String),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Bad(detail) => problem(StatusCode::BAD_REQUEST, &detail),
            Self::Unknown(detail) => problem(StatusCode::NOT_FOUND, &detail),
            Self::Running { operation, detail } => problem_of(StatusCode::CONFLICT, &detail, Some(operation)),
            Self::Conflict(detail) => problem(StatusCode::CONFLICT, &detail),
            Self::TooSoon { wait, detail } => later(StatusCode::TOO_MANY_REQUESTS, &detail, wait),
            Self::NotYet(detail) => later(StatusCode::SERVICE_UNAVAILABLE, &detail, Duration::from_secs(1)),
        }
    }
}

/// A problem that passes by itself. `Retry-After` has whole seconds: rounded up, so that who obeys is not refused again.
fn later(status: StatusCode, detail: &str, wait: Duration) -> Response {
    let seconds = (wait.as_millis().div_ceil(1000)).max(1) as u64;
    let mut response = problem(status, detail);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}
