//! Failures as the API writes them: a `Status` object with reason, code and causes.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::schema::{FieldError, Reason};

/// A request's failure. [`Failure::body`] is the `Status` that the client sees.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The HTTP status.
    pub code: u16,
    /// `NotFound`, `Conflict`, …; empty where the real server gives none.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// `details`, where the real server sends any (an empty object counts).
    pub details: Option<Box<Value>>,
    /// `metadata.continue` of an expired list, to go on without consistency.
    pub resume: Option<String>,
    /// Texts of `Warning` headers.
    pub warnings: Vec<String>,
}

impl Failure {
    /// A failure without details.
    pub fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code: code.as_u16(),
            reason,
            message: message.into(),
            details: None,
            resume: None,
            warnings: Vec::new(),
        }
    }

    fn with(mut self, details: Value) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// 404: the object is not there.
    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NotFound",
            format!("{} \"{name}\" not found", qualified(group, resource)),
        )
        .with(named(group, resource, name))
    }

    /// 404: there is no such resource.
    pub fn unknown_resource() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NotFound",
            "the server could not find the requested resource",
        )
        .with(json!({}))
    }

    /// 405: the resource does not have this verb.
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
        .with(json!({}))
    }

    /// 409: the name is taken.
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "AlreadyExists",
            format!("{} \"{name}\" already exists", qualified(group, resource)),
        )
        .with(named(group, resource, name))
    }

    /// 409: a precondition does not hold.
    pub fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "Conflict",
            format!(
                "Operation cannot be fulfilled on {} \"{name}\": {why}",
                qualified(group, resource)
            ),
        )
        .with(named(group, resource, name))
    }

    /// 409: the object moved on since it was read.
    pub fn modified(group: &str, resource: &str, name: &str) -> Self {
        Self::conflict(
            group,
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 403 with one cause.
    pub fn forbidden(group: &str, resource: &str, name: &str, why: &str, cause: Option<Value>) -> Self {
        let mut details = named(group, resource, name);
        if let (Some(cause), Value::Object(map)) = (cause, &mut details) {
            map.insert("causes".into(), json!([cause]));
        }
        Self::new(
            StatusCode::FORBIDDEN,
            "Forbidden",
            format!("{} \"{name}\" is forbidden: {why}", qualified(group, resource)),
        )
        .with(details)
    }

    /// 403: the user may not. Without a resource it is about a path, and without a name about no object in particular.
    pub fn denied(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let message = match (qualified(group, resource).as_str(), name) {
            ("", _) => format!("forbidden: {why}"),
            (resource, "") => format!("{resource} is forbidden: {why}"),
            (resource, name) => format!("{resource} {name:?} is forbidden: {why}"),
        };
        let mut details = Map::new();
        for (field, value) in [("name", name), ("group", group), ("kind", resource)] {
            if !value.is_empty() {
                details.insert(field.into(), json!(value));
            }
        }
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).with(Value::Object(details))
    }

    /// 422: fields are not valid. The message names each error once, the causes name all.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let mut lines: Vec<String> = Vec::new();
        for e in errors {
            let line = format!("{}: {}", e.field, e.message);
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        let list = match lines.as_slice() {
            [only] => only.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let causes: Vec<Value> = errors
            .iter()
            .map(|e| json!({"reason": e.reason.as_str(), "message": e.message, "field": e.field}))
            .collect();
        let mut details = named(group, kind, name);
        if let Value::Object(map) = &mut details {
            map.retain(|_, value| *value != "");
            map.insert("causes".into(), Value::Array(causes));
        }
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Invalid",
            format!("{} \"{name}\" is invalid: {list}", qualified(group, kind)),
        )
        .with(details)
    }

    /// 409: an apply meets fields of other managers.
    pub fn apply_conflict(message: String, causes: Vec<Value>) -> Self {
        Self::new(StatusCode::CONFLICT, "Conflict", message).with(json!({"causes": causes}))
    }

    /// 429 with one cause; `retry`: after how many seconds it may be worth asking again.
    pub fn too_many_requests(message: &str, retry: Option<u64>, cause: &Value) -> Self {
        let mut details = json!({"causes": [cause]});
        if let Some(seconds) = retry {
            details["retryAfterSeconds"] = json!(seconds);
        }
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message).with(details)
    }

    /// 410: the version is no longer known.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// 413.
    pub fn too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            format!("Request entity too large: limit is {limit}"),
        )
    }

    /// 500 without a reason: what the server says to what it did not expect.
    pub fn unexpected(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "", message)
    }

    /// 500 with the reason `InternalError`.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            format!("Internal error occurred: {}", message.into()),
        )
    }

    /// 504: the client asks for a version that this server has not reached.
    pub fn version_too_large(asked: u64, current: u64) -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "Timeout",
            format!("Timeout: Too large resource version: {asked}, current: {current}"),
        )
        .with(json!({
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        }))
    }

    /// 415 as the router says it: no route of the resource takes this content type.
    pub fn unsupported_route() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaType",
            "415: Unsupported Media Type",
        )
        .with(json!({}))
    }

    /// 415 as the decoder says it.
    pub fn unsupported_media_type(accepted: &str) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaType",
            format!("the body of the request was in an unknown format - accepted media types include: {accepted}"),
        )
    }

    /// 406: nothing that the client accepts can be written.
    pub fn not_acceptable(accepted: &str) -> Self {
        Self::new(
            StatusCode::NOT_ACCEPTABLE,
            "NotAcceptable",
            format!("only the following media types are accepted: {accepted}"),
        )
    }

    /// 401.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    /// The `Status` object.
    pub fn body(&self) -> Value {
        let mut metadata = Map::new();
        if let Some(resume) = &self.resume {
            metadata.insert("continue".into(), json!(resume));
        }
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": metadata, "status": "Failure", "message": self.message,
        });
        if let Value::Object(map) = &mut status {
            if !self.reason.is_empty() {
                map.insert("reason".into(), json!(self.reason));
            }
            if let Some(details) = &self.details {
                map.insert("details".into(), (**details).clone());
            }
            map.insert("code".into(), json!(self.code));
        }
        status
    }
}

/// One cause of a 422.
pub fn field_error(field: impl Into<String>, reason: Reason, message: impl Into<String>) -> FieldError {
    FieldError {
        field: field.into(),
        reason,
        message: message.into(),
    }
}

/// `resource` or `resource.group`.
pub fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() {
        resource.to_owned()
    } else {
        format!("{resource}.{group}")
    }
}

fn named(group: &str, resource: &str, name: &str) -> Value {
    let mut details = Map::new();
    details.insert("name".into(), json!(name));
    if !group.is_empty() {
        details.insert("group".into(), json!(group));
    }
    details.insert("kind".into(), json!(resource));
    Value::Object(details)
}
