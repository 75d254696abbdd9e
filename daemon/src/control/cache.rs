//! Changing the cache: strategies, their forecasts, warm-ups.

use std::str::FromStr as _;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use neo4j_operator_shared::{
    Kind,
    cache::WarmupRequest,
    switch::{Strategies, SwitchRequest, Wanted},
};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    Control,
    acts::{Refusal, SwitchAnswer},
    writes::Note,
};

const SWITCH_FORM: &str = r#"{"strategy": "full", "kinds": ["pods"], "dryRun": false, "rollbackAfter": "5m"}, of which only the strategy is needed"#;
const WARMUP_FORM: &str = r#"{"kinds": ["pods"]}, or {} for all"#;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct StrategiesQuery {
    kinds: Option<String>,
}

pub(super) async fn strategies(
    State(control): State<Control>,
    query: Result<Query<StrategiesQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Strategies>, Refusal> {
    let Query(query) = query.map_err(|error| {
        Refusal::Bad(format!(
            "{}; the only parameter is kinds, such as kinds=pods,services",
            error.body_text()
        ))
    })?;
    let named = query.kinds.as_deref().map(|names| {
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(Kind::from_str).collect::<Result<Vec<_>, _>>()
    });
    let kinds = named.transpose().map_err(|error| Refusal::Bad(error.to_string()))?;
    may_change(kinds.as_deref())?;
    control.acts.strategies(kinds).await.map(Json)
}

pub(super) async fn switch(State(control): State<Control>, body: Bytes) -> Result<Response, Refusal> {
    let request = read::<SwitchRequest>(&body, SWITCH_FORM)?;
    check(&request)?;
    let asked = format!("strategy {} for {}", request.strategy, named(request.kinds.as_deref()));
    Ok(match control.acts.switch(request).await? {
        SwitchAnswer::Forecast(forecast) => noted(StatusCode::OK, forecast, format!("forecast of {asked}")),
        SwitchAnswer::Started(operation) => {
            let note = format!("{asked}: {} has begun", operation.id);
            noted(StatusCode::ACCEPTED, operation, note)
        }
        SwitchAnswer::Unchanged(operation) => noted(StatusCode::OK, operation, format!("{asked} is so already")),
    })
}

pub(super) async fn cancel(State(control): State<Control>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let operation = control.acts.cancel(&id)?;
    let note = format!("{} is {}", operation.id, operation.state.as_str());
    Ok(noted(StatusCode::OK, operation, note))
}

pub(super) async fn warm_up(State(control): State<Control>, body: Bytes) -> Result<Response, Refusal> {
    let request: WarmupRequest = if body.is_empty() {
        WarmupRequest::default()
    } else {
        read(&body, WARMUP_FORM)?
    };
    some_kinds(request.kinds.as_deref())?;
    let note = format!("warm-up of {}", named(request.kinds.as_deref()));
    Ok(noted(StatusCode::OK, control.acts.warm_up(request)?, note))
}

fn read<T: DeserializeOwned>(body: &[u8], form: &str) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::Bad(format!("{error}; the body is {form}")))
}

/// What the form cannot say by itself.
fn check(request: &SwitchRequest) -> Result<(), Refusal> {
    may_change(request.kinds.as_deref())?;
    if request.strategy == Wanted::Default && request.kinds.is_none() {
        return Err(Refusal::Bad(
            "the strategy default takes their own strategy from kinds: name the kinds".to_owned(),
        ));
    }
    if request.rollback_after.is_some_and(|span| span.0.is_zero()) {
        return Err(Refusal::Bad(
            "rollbackAfter is the time until the goals are looked at: more than zero, such as 5m".to_owned(),
        ));
    }
    Ok(())
}

/// Kinds whose strategy can be another one.
fn may_change(kinds: Option<&[Kind]>) -> Result<(), Refusal> {
    some_kinds(kinds)?;
    match kinds.into_iter().flatten().find(|kind| Kind::PRIMARY.contains(kind)) {
        Some(primary) => Err(Refusal::Bad(format!(
            "{primary} are always watched: their changes are what the operator reacts to; name other kinds"
        ))),
        None => Ok(()),
    }
}

fn some_kinds(kinds: Option<&[Kind]>) -> Result<(), Refusal> {
    match kinds {
        Some([]) => Err(Refusal::Bad(
            "kinds is empty: name some, or leave it out for all".to_owned(),
        )),
        _ => Ok(()),
    }
}

fn named(kinds: Option<&[Kind]>) -> String {
    match kinds {
        None => "all kinds".to_owned(),
        Some(kinds) => kinds.iter().map(|kind| kind.plural()).collect::<Vec<_>>().join(", "),
    }
}

fn noted(status: StatusCode, answer: impl serde::Serialize, note: String) -> Response {
    let mut response = (status, Json(answer)).into_response();
    response.extensions_mut().insert(Note(note));
    response
}
