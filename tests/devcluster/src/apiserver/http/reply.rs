//! Replies: objects in the form that the client accepts, lists, watch streams, failures.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::{Value, json};

use super::{
    super::{
        clock::Clock,
        kinds::Resource,
        registry::{Page, present},
        status::Failure,
        watch::{Told, Watcher},
    },
    Disconnected, Reply, ReplyBody,
    request::Form,
    table, whole,
};

fn reply(code: u16, content_type: &'static str, body: ReplyBody) -> Reply {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A JSON document under a content type of its own.
pub(super) fn typed_json(code: u16, content_type: &'static str, value: &Value) -> Reply {
    reply(code, content_type, whole(value.to_string()))
}

pub(super) fn json(code: u16, value: &Value) -> Reply {
    typed_json(code, "application/json", value)
}

pub(super) fn text(code: u16, text: &'static str) -> Reply {
    reply(code, "text/plain; charset=utf-8", whole(text))
}

/// What the router says to paths of groups that it does not know.
pub(super) fn not_found() -> Reply {
    text(404, "404 page not found\n")
}

pub(super) fn failure(failure: &Failure) -> Reply {
    let mut response = json(failure.code, &failure.body());
    let retry = failure
        .details
        .as_deref()
        .and_then(|d| d["retryAfterSeconds"].as_u64())
        .filter(|_| failure.code == 429 || failure.code == 504);
    if let Some(seconds) = retry {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    warn(&mut response, &failure.warnings);
    if failure.code == 401 {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn warn(response: &mut Reply, warnings: &[String]) {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
}

/// Only the metadata of an object.
fn partial(value: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": value.get("metadata").cloned().unwrap_or_else(|| json!({})),
    })
}

/// One object, with warnings.
pub(super) fn object(
    code: u16,
    resource: &Resource,
    value: Value,
    form: Form,
    clock: &Arc<dyn Clock>,
    warnings: &[String],
) -> Reply {
    let mut response = match form {
        Form::Plain => json(code, &value),
        Form::Partial => json(code, &partial(&value)),
        Form::Table(include) => {
            let metadata = json!({"resourceVersion": value["metadata"]["resourceVersion"]});
            json(
                code,
                &table::table(resource, std::slice::from_ref(&value), &metadata, include, clock.now()),
            )
        }
    };
    warn(&mut response, warnings);
    response
}

/// A page of a list.
pub(super) fn list(resource: &Resource, page: Page, form: Form, clock: &Arc<dyn Clock>) -> Reply {
    if form == Form::Plain {
        return json(200, &page.into_list(resource));
    }
    let metadata = page.metadata(resource);
    let items: Vec<Value> = page.items.iter().map(|o| present::shown(resource, o)).collect();
    if let Form::Table(include) = form {
        let mut metadata = metadata;
        if metadata["continue"] == ""
            && let Value::Object(map) = &mut metadata
        {
            map.shift_remove("continue");
        }
        return json(200, &table::table(resource, &items, &metadata, include, clock.now()));
    }
    let items: Vec<Value> = items.iter().map(partial).collect();
    json(
        200,
        &json!({
            "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": items,
        }),
    )
}

/// A watch: one JSON document a line.
pub(super) fn stream(watcher: Watcher, resource: Arc<Resource>, form: Form, clock: Arc<dyn Clock>) -> Reply {
    let lines = futures::stream::unfold(watcher, move |mut watcher| {
        let (resource, clock) = (Arc::clone(&resource), Arc::clone(&clock));
        async move {
            let told = watcher.next().await?;
            let line = line(&resource, told, form, &clock);
            Some((Ok::<_, Disconnected>(Frame::data(line)), watcher))
        }
    });
    reply(200, "application/json", StreamBody::new(lines).boxed_unsync())
}

fn line(resource: &Resource, told: Told, form: Form, clock: &Arc<dyn Clock>) -> Bytes {
    let shown = |value: Value| match form {
        Form::Plain => value,
        Form::Partial => partial(&value),
        Form::Table(include) => {
            let metadata = json!({"resourceVersion": value["metadata"]["resourceVersion"]});
            table::table(resource, std::slice::from_ref(&value), &metadata, include, clock.now())
        }
    };
    let (kind, object) = match told {
        Told::Added(value) => ("ADDED", shown(value)),
        Told::Modified(value) => ("MODIFIED", shown(value)),
        Told::Deleted(value) => ("DELETED", shown(value)),
        Told::Bookmark(value) if form == Form::Partial => ("BOOKMARK", partial(&value)),
        Told::Bookmark(value) => ("BOOKMARK", value),
        Told::Error(status) => ("ERROR", status),
    };
    let mut text = json!({"type": kind, "object": object}).to_string();
    text.push('\n');
    Bytes::from(text)
}
