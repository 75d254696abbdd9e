//! Errors as problem documents.

use axum::{
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use neo4j_operator_shared::problem::{CONTENT_TYPE as PROBLEM, Problem};

use super::writes::Note;

/// The answer for an error: what is wrong and what to do.
pub fn problem(status: StatusCode, detail: &str) -> Response {
    problem_of(status, detail, None)
}

/// The same, with the id of the change that it is about.
pub fn problem_of(status: StatusCode, detail: &str, operation: Option<String>) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    let problem = Problem {
        operation,
        ..Problem::new(status.as_u16(), title, detail)
    };
    let body = serde_json::to_string(&problem).unwrap_or_default();
    let mut response = (status, [(CONTENT_TYPE, PROBLEM)], body).into_response();
    response.extensions_mut().insert(Note(problem.detail));
    response
}
