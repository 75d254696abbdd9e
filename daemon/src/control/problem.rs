//! Errors as problem documents.

use axum::{
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use neo4j_operator_shared::problem::{CONTENT_TYPE as PROBLEM, Problem};

/// The answer for an error: what is wrong and what to do.
pub fn problem(status: StatusCode, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    let problem = Problem::new(status.as_u16(), title, detail);
    let body = serde_json::to_string(&problem).unwrap_or_default();
    (status, [(CONTENT_TYPE, PROBLEM)], body).into_response()
}
