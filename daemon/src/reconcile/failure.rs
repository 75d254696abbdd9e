//! Why a reconcile failed: one category for metrics and the flight recorder, one sentence for people,
//! and whether trying again can help.

use std::{fmt, time::Duration};

/// Category of an error; the label `error_type` of the error counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorType {
    /// The resource asks for something that is wrong or not supported.
    Validation,
    /// An object of somebody else, or a write that lost against another one.
    Conflict,
    /// Something referred to does not exist.
    NotFound,
    /// The API server refuses a request for lack of rights.
    Forbidden,
    /// The API server asks for fewer requests.
    Throttled,
    /// A deadline passed.
    Timeout,
    /// Any other error of the API server.
    ApiServer,
    /// No connection to Neo4j.
    BoltConnect,
    /// Neo4j refuses the credentials.
    BoltAuth,
    /// Neo4j refuses a statement.
    BoltQuery,
    /// The circuit breaker is open.
    BreakerOpen,
    /// The step would endanger a quorum.
    QuorumGuard,
    /// A fault of the operator itself.
    Internal,
}

impl ErrorType {
    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::Conflict => "conflict",
            Self::NotFound => "not_found",
            Self::Forbidden => "forbidden",
            Self::Throttled => "throttled",
            Self::Timeout => "timeout",
            Self::ApiServer => "api_server",
            Self::BoltConnect => "bolt_connect",
            Self::BoltAuth => "bolt_auth",
            Self::BoltQuery => "bolt_query",
            Self::BreakerOpen => "breaker_open",
            Self::QuorumGuard => "quorum_guard",
            Self::Internal => "internal",
        }
    }

    /// Every category, in the order of the catalogue.
    pub const ALL: [Self; 13] = [
        Self::Validation,
        Self::Conflict,
        Self::NotFound,
        Self::Forbidden,
        Self::Throttled,
        Self::Timeout,
        Self::ApiServer,
        Self::BoltConnect,
        Self::BoltAuth,
        Self::BoltQuery,
        Self::BreakerOpen,
        Self::QuorumGuard,
        Self::Internal,
    ];
}

impl fmt::Display for ErrorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A reconcile that ended with an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Category.
    pub error_type: ErrorType,
    /// What went wrong; never a secret value.
    pub message: String,
    /// Only a new generation can heal it: the key is not tried again by itself.
    pub terminal: bool,
    /// When to try again; without it the queue's own backoff decides.
    pub requeue: Option<Duration>,
}

impl Failure {
    /// An error that is tried again with the queue's backoff.
    pub fn new(error_type: ErrorType, message: impl Into<String>) -> Self {
        Self {
            error_type,
            message: message.into(),
            terminal: false,
            requeue: None,
        }
    }

    /// An error that only a new generation can heal.
    pub fn terminal(error_type: ErrorType, message: impl Into<String>) -> Self {
        Self {
            terminal: true,
            ..Self::new(error_type, message)
        }
    }

    /// The same error, tried again after `delay`.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.requeue = Some(delay);
        self
    }
}

/// The category of an error of the Kubernetes client.
pub fn category(error: &kube::Error) -> ErrorType {
    match error {
        kube::Error::Api(status) => match status.code {
            401 | 403 => ErrorType::Forbidden,
            404 => ErrorType::NotFound,
            409 => ErrorType::Conflict,
            400 | 422 => ErrorType::Validation,
            429 => ErrorType::Throttled,
            408 | 504 => ErrorType::Timeout,
            _ => ErrorType::ApiServer,
        },
        kube::Error::SerdeError(_) | kube::Error::BuildRequest(_) | kube::Error::HttpError(_) => ErrorType::Internal,
        _ => ErrorType::ApiServer,
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        Self::new(category(&error), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_category_has_a_label_of_its_own() {
        let mut labels: Vec<_> = ErrorType::ALL.iter().map(|kind| kind.as_str()).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), ErrorType::ALL.len());
    }
}
