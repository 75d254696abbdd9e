//! Memory: what is known of it, and giving it back now.

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use neo4j_operator_shared::memory::Memory;

use super::{Control, acts::Refusal, problem::problem, writes::Note};
use crate::memory::manager::Denied;

pub(super) async fn memory(State(control): State<Control>) -> Json<Memory> {
    Json(control.facts.memory())
}

pub(super) async fn reclaim(State(control): State<Control>, body: Bytes) -> Result<Response, Response> {
    // Nothing can be chosen; a body that chooses something would be disappointed.
    let nothing: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_slice(&body);
    if !(body.is_empty() || nothing.is_ok_and(|fields| fields.is_empty())) {
        let detail = "a reclaim takes no options: send no body, or {}".to_owned();
        return Err(Refusal::Bad(detail).into_response());
    }
    match control.memory.reclaim().await {
        Ok(reclaim) => {
            let note = Note(reclaim.message.clone());
            let mut response = Json(reclaim).into_response();
            response.extensions_mut().insert(note);
            Ok(response)
        }
        Err(error @ Denied::TooSoon { wait, .. }) => Err(Refusal::TooSoon {
            wait,
            detail: format!("{error}; try again in {:.1} s", wait.as_secs_f64()),
        }
        .into_response()),
        Err(error @ Denied::Failed) => Err(problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())),
    }
}
