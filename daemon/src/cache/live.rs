//! Reads from the API server: the projection is decoded straight from the answer.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kube::{
    Client,
    api::{GetParams, ListParams},
    core::Request,
};
use neo4j_operator_shared::Kind;
use serde::{Deserialize, de::DeserializeOwned};

use super::{select::Select, views::View};
use crate::reconcile::{ErrorType, Failure, Requests, Resource, category};

/// Objects per page: a page lives as text and as objects at once (K10).
const PAGE: u32 = 250;
/// Pages of one list; more than this is no list of a reconciler.
const PAGES: usize = 400;

/// Why a read has no answer. It is never "there is none": that is `Ok(None)`.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The API server answered with an error, or could not be reached.
    #[error("{verb} {what}: {source}")]
    Api {
        /// What was asked.
        verb: &'static str,
        /// Of what.
        what: String,
        /// The error.
        source: Box<kube::Error>,
    },
    /// No complete answer in time.
    #[error("no answer to {verb} {what} within {} s", .deadline.as_secs())]
    Timeout {
        /// What was asked.
        verb: &'static str,
        /// Of what.
        what: String,
        /// The deadline.
        deadline: Duration,
    },
    /// The answer could not be read; its text is not repeated, for it may hold a secret.
    #[error("the answer to {verb} {what} could not be read: {reason}")]
    Decode {
        /// What was asked.
        verb: &'static str,
        /// Of what.
        what: String,
        /// Where it went wrong.
        reason: String,
    },
}

impl ReadError {
    /// The category for metrics.
    pub fn category(&self) -> ErrorType {
        match self {
            Self::Api { source, .. } => category(source),
            Self::Timeout { .. } => ErrorType::Timeout,
            Self::Decode { .. } => ErrorType::ApiServer,
        }
    }

    /// The operator lacks the right to read this.
    pub fn is_forbidden(&self) -> bool {
        self.code() == Some(403)
    }

    fn code(&self) -> Option<u16> {
        match self {
            Self::Api { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            _ => None,
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let failure = Failure::new(error.category(), error.to_string());
        if error.is_forbidden() {
            // Rights do not come back by asking often (K37).
            failure.after(Duration::from_secs(60))
        } else {
            failure
        }
    }
}

/// Reads past every cache. Cheap to clone.
#[derive(Clone)]
pub(super) struct Live {
    client: Client,
}

#[derive(Deserialize)]
struct Page<V> {
    #[serde(default)]
    metadata: PageMeta,
    items: Option<Vec<V>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PageMeta {
    #[serde(rename = "continue")]
    next: Option<String>,
    resource_version: Option<String>,
}

#[derive(Deserialize)]
struct SecretData {
    data: Option<BTreeMap<String, String>>,
}

impl Live {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        verb: &'static str,
        kind: Kind,
        what: &str,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
        requests: &Requests,
    ) -> Result<T, ReadError> {
        let api = |source: kube::Error| ReadError::Api {
            verb,
            what: what.to_owned(),
            source: Box::new(source),
        };
        let deadline = Duration::from_secs(if verb == "list" { 30 } else { 10 });
        let mut request = request.map_err(|error| api(kube::Error::BuildRequest(error)))?;
        request.extensions_mut().insert(verb);
        requests.count(verb, kind.plural());
        // Text and own decoding instead of `request`, which logs the whole answer if it cannot be read.
        let text = tokio::time::timeout(deadline, self.client.request_text(request))
            .await
            .map_err(|_| ReadError::Timeout {
                verb,
                what: what.to_owned(),
                deadline,
            })?
            .map_err(api)?;
        serde_json::from_str(&text).map_err(|error| ReadError::Decode {
            verb,
            what: what.to_owned(),
            reason: format!("{} at line {} column {}", class(&error), error.line(), error.column()),
        })
    }

    /// One object with the most recent state the server has (a quorum read).
    pub(super) async fn get<V: View>(
        &self,
        namespace: &str,
        name: &str,
        requests: &Requests,
    ) -> Result<Option<Arc<V>>, ReadError> {
        let what = format!("{} {namespace}/{name}", V::KIND.kind());
        let path = Request::new(Resource::of(V::KIND).collection(namespace));
        let request = if V::METADATA_ONLY {
            path.get_metadata(name, &GetParams::default())
        } else {
            path.get(name, &GetParams::default())
        };
        match self.ask("get", V::KIND, &what, request, requests).await {
            Ok(object) => Ok(Some(Arc::new(object))),
            Err(error) if error.code() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Objects of a namespace, by name, and the resourceVersion of the list.
    pub(super) async fn list<V: View>(
        &self,
        namespace: &str,
        select: &Select,
        requests: &Requests,
    ) -> Result<(Vec<Arc<V>>, Option<String>), ReadError> {
        let what = format!("{} in {namespace}", V::KIND.plural());
        let path = Request::new(Resource::of(V::KIND).collection(namespace));
        let mut parameters = ListParams {
            label_selector: select.selector(),
            limit: Some(PAGE),
            ..ListParams::default()
        };
        let mut objects = Vec::new();
        for _ in 0..PAGES {
            let request = if V::METADATA_ONLY {
                path.list_metadata(&parameters)
            } else {
                path.list(&parameters)
            };
            let page: Page<V> = self.ask("list", V::KIND, &what, request, requests).await?;
            let chosen = page
                .items
                .into_iter()
                .flatten()
                .filter(|object| select.matches(object.meta()));
            objects.extend(chosen.map(Arc::new));
            match page.metadata.next.filter(|next| !next.is_empty()) {
                Some(next) => parameters.continue_token = Some(next),
                None => return Ok((objects, page.metadata.resource_version)),
            }
        }
        // A list that is cut off must not look complete.
        Err(ReadError::Decode {
            verb: "list",
            what,
            reason: format!("more than {PAGES} pages"),
        })
    }

    /// The data of a Secret.
    pub(super) async fn secret(
        &self,
        namespace: &str,
        name: &str,
        requests: &Requests,
    ) -> Result<Option<BTreeMap<String, Vec<u8>>>, ReadError> {
        let what = format!("Secret {namespace}/{name}");
        let request = Request::new(Resource::of(Kind::Secret).collection(namespace)).get(name, &GetParams::default());
        let secret: SecretData = match self.ask("get", Kind::Secret, &what, request, requests).await {
            Ok(secret) => secret,
            Err(error) if error.code() == Some(404) => return Ok(None),
            Err(error) => return Err(error),
        };
        secret
            .data
            .into_iter()
            .flatten()
            .map(|(key, value)| match STANDARD.decode(value) {
                Ok(bytes) => Ok((key, bytes)),
                Err(_) => Err(ReadError::Decode {
                    verb: "get",
                    what: what.clone(),
                    reason: format!("the value of {key:?} is not base64"),
                }),
            })
            .collect::<Result<_, _>>()
            .map(Some)
    }
}

fn class(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Io => "not readable",
        serde_json::error::Category::Syntax => "not JSON",
        serde_json::error::Category::Data => "not the expected shape",
        serde_json::error::Category::Eof => "cut off",
    }
}
