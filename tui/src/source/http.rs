//! A small HTTP/1.1 client: requests with a deadline, a bearer token and a bound on the body.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use neo4j_operator_shared::problem::Problem;
use serde::de::DeserializeOwned;

/// Deadline of one request, body included.
pub const TIMEOUT: Duration = Duration::from_secs(3);

/// Longest body that is read.
pub const MAX_BODY: usize = 8 << 20;

/// Why a request brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No connection, or it broke.
    #[error("{0}")]
    Link(String),
    /// No answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The token is missing or wrong.
    #[error("{0}")]
    Refused(String),
    /// Any other status that is not 200.
    #[error("HTTP {0}: {1}")]
    Status(u16, String),
    /// A body that is too long or not what was asked for.
    #[error("{0}")]
    Body(String),
    /// A URL that cannot be used.
    #[error("{url:?} is no URL that neotop can use ({reason}); write it as http://127.0.0.1:8083")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A client for one daemon.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    token: Option<String>,
}

/// Something to be changed.
#[derive(Debug)]
pub struct Write {
    /// `PUT`, `POST` or `DELETE`.
    pub method: Method,
    /// The whole URL.
    pub url: String,
    /// JSON; none for a `DELETE`.
    pub body: Option<String>,
    /// By which the daemon knows a repetition.
    pub key: String,
    /// Until the whole answer is there.
    pub deadline: Duration,
}

/// What came of a [`Write`], whatever its status.
#[derive(Debug)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// Seconds after which to ask again, if the daemon says so.
    pub retry_after: Option<u64>,
    /// The body as text.
    pub body: String,
}

/// Checks a base URL and strips what would double a slash.
pub fn base_url(url: &str) -> Result<String, FetchError> {
    let bad = |reason: &str| FetchError::Url {
        url: url.chars().take(128).collect(),
        reason: reason.to_owned(),
    };
    let uri: Uri = url.parse().map_err(|_| bad("it does not parse"))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => return Err(bad("TLS comes with the connection into a cluster, in a later version")),
        _ => return Err(bad("it does not begin with http://")),
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(bad("it names no host"));
    }
    if uri.query().is_some() {
        return Err(bad("it has a query"));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

// === impl Http ===

impl Http {
    /// A client that sends the token, if there is one, to the control API.
    pub fn new(token: Option<String>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(TIMEOUT));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(2)
            .build(connector);
        Self { client, token }
    }

    /// Sends a GET and returns the head, whatever its status.
    pub async fn open(
        &self,
        url: &str,
        accept: &str,
        last_event_id: Option<&str>,
    ) -> Result<Response<Incoming>, FetchError> {
        self.open_within(TIMEOUT, url, accept, last_event_id).await
    }

    async fn open_within(
        &self,
        deadline: Duration,
        url: &str,
        accept: &str,
        last_event_id: Option<&str>,
    ) -> Result<Response<Incoming>, FetchError> {
        let mut request = self.authorized(Request::get(url).header(header::ACCEPT, accept));
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let request = request
            .body(Full::default())
            .map_err(|error| FetchError::Link(error.to_string()))?;
        match tokio::time::timeout(deadline, self.client.request(request)).await {
            Err(_) => Err(FetchError::Timeout(deadline)),
            Ok(Err(error)) => Err(FetchError::Link(root_cause(&error))),
            Ok(Ok(response)) => Ok(response),
        }
    }

    fn authorized(&self, request: http::request::Builder) -> http::request::Builder {
        match &self.token {
            Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }

    /// Reads a whole body as text.
    pub async fn text(&self, url: &str, accept: &str) -> Result<String, FetchError> {
        self.text_within(TIMEOUT, url, accept).await
    }

    async fn text_within(&self, deadline: Duration, url: &str, accept: &str) -> Result<String, FetchError> {
        let response = self.open_within(deadline, url, accept, None).await?;
        let status = response.status();
        let body = tokio::time::timeout(TIMEOUT, read_all(response))
            .await
            .map_err(|_| FetchError::Timeout(TIMEOUT))??;
        let text = String::from_utf8_lossy(&body);
        if status == StatusCode::OK {
            Ok(text.into_owned())
        } else {
            Err(failure(status, &text))
        }
    }

    /// Reads a JSON answer.
    pub async fn json<T: DeserializeOwned>(&self, url: &str) -> Result<T, FetchError> {
        self.json_within(TIMEOUT, url).await
    }

    /// Reads a JSON answer that may take longer to begin than others.
    pub async fn json_within<T: DeserializeOwned>(&self, deadline: Duration, url: &str) -> Result<T, FetchError> {
        let text = self.text_within(deadline, url, "application/json").await?;
        serde_json::from_str(&text)
            .map_err(|error| FetchError::Body(format!("{url} did not answer as this version expects: {error}")))
    }

    /// Sends a write, and reads the whole answer within its deadline.
    pub async fn write(&self, write: Write) -> Result<Reply, FetchError> {
        let request = Request::builder()
            .method(write.method)
            .uri(&write.url)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", &write.key);
        let request = self
            .authorized(request)
            .body(write.body.map(Full::from).unwrap_or_default())
            .map_err(|error| FetchError::Link(error.to_string()))?;
        let answer = async {
            let sent = self.client.request(request).await;
            let response = sent.map_err(|error| FetchError::Link(root_cause(&error)))?;
            let status = response.status();
            let seconds = response.headers().get(header::RETRY_AFTER);
            let retry_after = seconds.and_then(|value| value.to_str().ok()?.trim().parse().ok());
            let body = read_all(response).await?;
            Ok(Reply {
                status,
                retry_after,
                body: String::from_utf8_lossy(&body).into_owned(),
            })
        };
        tokio::time::timeout(write.deadline, answer)
            .await
            .map_err(|_| FetchError::Timeout(write.deadline))?
    }
}

/// Turns an answer that is not 200 into an error that says what to do.
pub fn failure(status: StatusCode, body: &str) -> FetchError {
    let detail = serde_json::from_str::<Problem>(body).map_or_else(
        |_| status.canonical_reason().unwrap_or("unknown status").to_owned(),
        |problem| problem.detail,
    );
    match status {
        StatusCode::UNAUTHORIZED => FetchError::Refused(format!(
            "the daemon wants another token ({detail}); give it with --token-file"
        )),
        StatusCode::FORBIDDEN => FetchError::Refused(format!("not allowed ({detail})")),
        _ => FetchError::Status(status.as_u16(), detail),
    }
}

async fn read_all(response: Response<Incoming>) -> Result<Bytes, FetchError> {
    let mut body = response.into_body();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| FetchError::Link(root_cause(&error)))?;
        if let Some(data) = frame.data_ref() {
            if all.len() + data.len() > MAX_BODY {
                return Err(FetchError::Body(format!(
                    "an answer of more than {MAX_BODY} bytes was given up"
                )));
            }
            all.extend_from_slice(data);
        }
    }
    Ok(all.freeze())
}

/// The innermost cause: `Connection refused` says more than `client error (Connect)`.
pub fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_cannot_work_are_refused_with_an_example() {
        for url in [
            "",
            "127.0.0.1:8083",
            "https://x",
            "ftp://x",
            "http://",
            "http://x/?a=1",
            "::",
        ] {
            let error = base_url(url).expect_err(url).to_string();
            assert!(error.contains("http://127.0.0.1:8083"), "{error}");
        }
        assert_eq!(base_url("http://127.0.0.1:8083/").unwrap(), "http://127.0.0.1:8083");
    }

    #[test]
    fn a_problem_document_is_shown_by_its_detail() {
        let body = serde_json::to_string(&Problem::new(401, "Unauthorized", "no token")).unwrap();
        assert!(
            matches!(failure(StatusCode::UNAUTHORIZED, &body), FetchError::Refused(text) if text.contains("no token"))
        );
        assert!(matches!(
            failure(StatusCode::BAD_GATEWAY, "<html>"),
            FetchError::Status(502, _)
        ));
    }
}
