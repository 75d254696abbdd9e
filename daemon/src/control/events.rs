//! `GET /v1/events`: server-sent events. `Last-Event-ID` resumes; what is gone for good is said by a `gap`.
//!
//! Every connection begins with `hello`. Heartbeat comments keep proxies from closing it. A client that does
//! not read costs nothing: it pulls from the ring, and where it falls out of it, it is told so.

use std::{convert::Infallible, str::FromStr, time::Duration};

use axum::{
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event as Frame, KeepAlive},
    },
};
use futures::{Stream, StreamExt as _, stream};
use jiff::Timestamp;
use neo4j_operator_shared::events::{Event, EventId, Payload, Severity};
use serde::Deserialize;

use super::{Control, problem::problem};
use crate::{
    http::facts::Facts,
    telemetry::stream::{Batch, Gap, Reader, Stored},
};

const HEARTBEAT: Duration = Duration::from_secs(15);

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct EventQuery {
    r#type: Option<String>,
    cluster: Option<String>,
    severity: Option<Severity>,
}

/// Which events a client wants. Gaps are always told.
struct Filter {
    types: Vec<String>,
    cluster: Option<String>,
    severity: Option<Severity>,
}

pub(super) async fn events(
    State(control): State<Control>,
    headers: HeaderMap,
    query: Result<Query<EventQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let filter = match query
        .map_err(|error| error.body_text())
        .and_then(|Query(query)| Filter::of(query))
    {
        Ok(filter) => filter,
        Err(detail) => {
            return problem(
                StatusCode::BAD_REQUEST,
                &format!("{detail}; the filters are type, cluster and severity"),
            );
        }
    };
    let last = match headers
        .get("last-event-id")
        .map(|value| value.to_str().unwrap_or_default())
    {
        None | Some("") => None,
        Some(text) => match EventId::from_str(text) {
            Ok(id) => Some(id),
            Err(error) => return problem(StatusCode::BAD_REQUEST, &error.to_string()),
        },
    };
    let Ok(reader) = control.facts.telemetry().stream.reader(last.as_ref()) else {
        return problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many clients follow the events; try again when one has left",
        );
    };
    let hello = frame(None, &hello(control.facts.as_ref()));
    let boot = control.facts.telemetry().stream.boot_id().to_owned();
    let frames = stream::iter(hello)
        .chain(follow(reader, boot, filter))
        .take_until(control.stop.clone().cancelled_owned());
    Sse::new(frames.map(Ok::<_, Infallible>))
        .keep_alive(KeepAlive::new().interval(HEARTBEAT).text("heartbeat"))
        .into_response()
}

fn follow(reader: Reader, boot: String, filter: Filter) -> impl Stream<Item = Frame> + Send {
    stream::unfold((reader, boot, filter), |(mut reader, boot, filter)| async move {
        let batch = reader.next().await;
        let frames = frames(&batch, &boot, &filter);
        Some((stream::iter(frames), (reader, boot, filter)))
    })
    .flatten()
}

fn frames(batch: &Batch, boot: &str, filter: &Filter) -> Vec<Frame> {
    let gap = batch.gap.and_then(|gap| frame(None, &gap_event(gap)));
    let events = batch.events.iter().filter(|stored| filter.wants(&stored.event));
    gap.into_iter()
        .chain(events.map(|stored| stored_frame(boot, stored)))
        .collect()
}

fn stored_frame(boot: &str, stored: &Stored) -> Frame {
    let id = EventId {
        boot: boot.to_owned(),
        sequence: stored.sequence,
    };
    Frame::default()
        .id(id.to_string())
        .event(stored.event.payload.name())
        .data(&stored.json)
}

fn frame(id: Option<EventId>, event: &Event) -> Option<Frame> {
    let frame = Frame::default()
        .event(event.payload.name())
        .data(serde_json::to_string(event).ok()?);
    Some(match id {
        Some(id) => frame.id(id.to_string()),
        None => frame,
    })
}

fn hello(facts: &dyn Facts) -> Event {
    let telemetry = facts.telemetry();
    Event {
        time: Timestamp::now(),
        severity: Severity::Info,
        cluster: None,
        message: format!("neo4j-operator {}", env!("CARGO_PKG_VERSION")),
        payload: Payload::Hello {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: telemetry.started_at,
            leader: true,
            read_only: facts.read_only(),
            strategy: facts.strategy(),
            goals: telemetry.goals(facts.goal_inputs()),
        },
    }
}

fn gap_event(gap: Gap) -> Event {
    let (missed, message) = match gap {
        Gap::Missed(count) => (Some(count), format!("{count} events are gone")),
        Gap::Unknown => (None, "the daemon was restarted: events before that are gone".to_owned()),
    };
    Event {
        time: Timestamp::now(),
        severity: Severity::Warning,
        cluster: None,
        message,
        payload: Payload::Gap { missed },
    }
}

impl Filter {
    fn of(query: EventQuery) -> Result<Self, String> {
        let types: Vec<String> = query
            .r#type
            .iter()
            .flat_map(|list| list.split(','))
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        if let Some(unknown) = types.iter().find(|name| !Payload::NAMES.contains(&name.as_str())) {
            let unknown: String = unknown.chars().take(64).collect();
            return Err(format!(
                "{unknown:?} is no type of event: they are {}",
                Payload::NAMES.join(", ")
            ));
        }
        Ok(Self {
            types,
            cluster: query.cluster,
            severity: query.severity,
        })
    }

    fn wants(&self, event: &Event) -> bool {
        (self.types.is_empty() || self.types.iter().any(|name| name == event.payload.name()))
            && self
                .cluster
                .as_ref()
                .is_none_or(|cluster| event.cluster.as_ref() == Some(cluster))
            && self.severity.is_none_or(|severity| event.severity >= severity)
    }
}
