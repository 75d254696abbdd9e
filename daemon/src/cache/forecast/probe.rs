//! One cheap look at a kind: how many objects there are, and how large they are on the wire.
//!
//! A list of 20 objects tells the number of the others (`remainingItemCount`) and, by the length of the
//! answer, their size. Nothing is kept of the objects. What cannot be learnt stays unknown.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, Limited};
use kube::{Client, api::ListParams, client::Body, core::Request};
use neo4j_operator_shared::Kind;
use serde::{Deserialize, de::IgnoredAny};
use tokio::time::Instant;

use crate::reconcile::Resource;

/// Objects that are asked for.
const LOOKED_AT: u32 = 20;
/// Namespaces of a scope that are asked; what is in the others is taken to be alike.
const NAMESPACES: usize = 8;
/// Requests at a time.
const AT_ONCE: usize = 2;
/// A kind is looked at once in so much time.
const PAUSE: Duration = Duration::from_secs(60);
/// How long a look may take.
const DEADLINE: Duration = Duration::from_secs(2);
/// Bytes of an answer; what is longer is not worth the memory.
const LONGEST: usize = 8 * 1024 * 1024;

/// What was seen of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::cache) struct Seen {
    /// Objects in scope.
    pub total: Option<u64>,
    /// Mean bytes of an object on the wire; of Secrets that of their metadata.
    pub wire: Option<f64>,
    /// Seconds that a request took.
    pub rtt: Option<f64>,
}

/// The last look at each kind.
#[derive(Debug, Default)]
pub(in crate::cache) struct Probes {
    last: Mutex<HashMap<Kind, (Option<Instant>, Seen)>>,
}

/// The answer for one namespace, or for all.
struct Answer {
    items: u64,
    total: Option<u64>,
    bytes: u64,
    seconds: f64,
}

#[derive(Deserialize)]
struct Page {
    metadata: PageMeta,
    items: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMeta {
    #[serde(rename = "continue")]
    next: Option<String>,
    remaining_item_count: Option<u64>,
}

// === impl Probes ===

impl Probes {
    /// What is known of a kind, without asking.
    pub fn known(&self, kind: Kind) -> Seen {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.get(&kind).map(|(_, seen)| *seen).unwrap_or_default()
    }

    /// Looks at a kind, unless that was done within the last minute. `scope` is [`crate::kube::scope::Scope::watched`].
    /// Takes two seconds at most. Where the server does not answer, or refuses, what was known before stays.
    pub async fn look(&self, client: &Client, kind: Kind, scope: &[Option<Arc<str>>]) -> Seen {
        let now = Instant::now();
        {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            let (at, seen) = last.entry(kind).or_default();
            if at.is_some_and(|at| now.saturating_duration_since(at) < PAUSE) {
                return *seen;
            }
            // Before asking, so that two at a time do not both ask.
            *at = Some(now);
        }
        let found = look(client, kind, scope).await;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, seen) = last.entry(kind).or_default();
        *seen = Seen {
            total: found.total.or(seen.total),
            wire: found.wire.or(seen.wire),
            rtt: found.rtt.or(seen.rtt),
        };
        *seen
    }
}

async fn look(client: &Client, kind: Kind, scope: &[Option<Arc<str>>]) -> Seen {
    let asked = scope
        .iter()
        .take(NAMESPACES)
        .map(|namespace| ask(client, kind, namespace.as_deref()));
    let answers = stream::iter(asked.collect::<Vec<_>>())
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<Option<Answer>>>();
    match tokio::time::timeout(DEADLINE, answers).await {
        Ok(answers) => sum(&answers, scope.len()),
        Err(_) => Seen::default(),
    }
}

/// Adds answers up. One that is missing makes the total unknown: a guess too low would be worse than none.
fn sum(answers: &[Option<Answer>], namespaces: usize) -> Seen {
    let known: Vec<&Answer> = answers.iter().flatten().collect();
    let total = answers.iter().map(|answer| answer.as_ref()?.total).sum::<Option<u64>>();
    let items: u64 = known.iter().map(|answer| answer.items).sum();
    let bytes: u64 = known.iter().map(|answer| answer.bytes).sum();
    let alike = namespaces as f64 / answers.len().max(1) as f64;
    Seen {
        total: total
            .filter(|_| !answers.is_empty())
            .map(|total| (total as f64 * alike).round() as u64),
        wire: (items > 0).then(|| bytes as f64 / items as f64),
        rtt: (!known.is_empty()).then(|| known.iter().map(|answer| answer.seconds).sum::<f64>() / known.len() as f64),
    }
}

fn path(kind: Kind, namespace: Option<&str>) -> String {
    let resource = Resource::of(kind);
    if let Some(namespace) = namespace {
        return resource.collection(namespace);
    }
    let root = if resource.group.is_empty() { "/api" } else { "/apis" };
    format!("{root}/{}/{}", resource.api_version(), kind.plural())
}

/// Asks for a few objects; `None` for whatever is no complete answer.
async fn ask(client: &Client, kind: Kind, namespace: Option<&str>) -> Option<Answer> {
    let request = Request::new(path(kind, namespace));
    // No resourceVersion: from its cache the server would send all of them, limit or not.
    let parameters = ListParams::default().limit(LOOKED_AT);
    let request = if kind == Kind::Secret {
        request.list_metadata(&parameters)
    } else {
        request.list(&parameters)
    };
    let mut request = request.ok()?;
    request.extensions_mut().insert("list");
    let begun = Instant::now();
    let answer = client.send(request.map(Body::from)).await.ok()?;
    if !answer.status().is_success() {
        return None;
    }
    let body = Limited::new(answer.into_body(), LONGEST)
        .collect()
        .await
        .ok()?
        .to_bytes();
    let seconds = begun.elapsed().as_secs_f64();
    read(&body, seconds)
}

fn read(body: &[u8], seconds: f64) -> Option<Answer> {
    let page: Page = serde_json::from_slice(body).ok()?;
    let items = page.items.map_or(0, |items| items.len() as u64);
    let more = page.metadata.next.is_some_and(|next| !next.is_empty());
    let total = match (page.metadata.remaining_item_count, more) {
        (Some(others), _) => Some(items.saturating_add(others)),
        (None, false) => Some(items),
        // The server does not say how many more there are.
        (None, true) => None,
    };
    Some(Answer {
        items,
        total,
        bytes: body.len() as u64,
        seconds,
    })
}

#[cfg(test)]
mod tests;
