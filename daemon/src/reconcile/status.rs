//! The one writer of status, for all kinds: server-side apply of the whole status on the subresource, at most
//! once per reconcile (the caller's part) and only when it differs from what the server has (STA1).
//!
//! The writer remembers what it wrote per resource. A reconcile that starts from a view older than our own last
//! write gets that write back from [`StatusWriter::latest`], so a lagging cache never makes a step be taken twice
//! or a condition flip back.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use neo4j_operator_shared::Kind;
use serde_json::Value;

use super::{EffectError, Executor, Requests, manifest};

/// The resource whose status is written.
#[derive(Clone, Copy, Debug)]
pub struct StatusTarget<'a> {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its uid: a resource that was created anew is not written.
    pub uid: &'a str,
    /// The status as last seen, null if it has none.
    pub current: &'a Value,
}

/// What became of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusWrite {
    /// It was written.
    Written,
    /// The server has it already.
    Equal,
    /// A status about a newer generation was written already: nothing was written.
    Stale,
}

/// Writes statuses. Cheap to clone.
#[derive(Clone)]
pub struct StatusWriter {
    executor: Executor,
    last: Arc<Mutex<HashMap<String, Last>>>,
}

#[derive(Clone)]
struct Last {
    resource_version: u128,
    hash: String,
    status: Value,
}

impl StatusWriter {
    /// A writer that writes through `executor`.
    pub fn new(executor: Executor) -> Self {
        Self {
            executor,
            last: Arc::default(),
        }
    }

    /// The newer of what was seen at `resource_version` and what this writer wrote.
    pub fn latest(&self, uid: &str, resource_version: &str, seen: &Value) -> Value {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match (last.get(uid), resource_version.parse::<u128>()) {
            (Some(last), Ok(seen_at)) if last.resource_version > seen_at => last.status.clone(),
            _ => seen.clone(),
        }
    }

    /// Makes `status` the status of the target.
    pub async fn write(
        &self,
        target: StatusTarget<'_>,
        status: &Value,
        requests: &Requests,
    ) -> Result<StatusWrite, EffectError> {
        let status = without_nulls(status);
        let current = without_nulls(target.current);
        // Only what this process wrote is believed: a status that came with a restored object may speak of a generation
        // that this object will not have for long.
        if self.newest(target.uid) > generation(&status) {
            return Ok(StatusWrite::Stale);
        }
        let hash = manifest::hash(&status);
        if current == status {
            return Ok(StatusWrite::Equal);
        }
        // Fields of other managers may stand beside ours. What we wrote last and is all there needs no write.
        let applied = {
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            last.get(target.uid).is_some_and(|last| last.hash == hash)
        };
        if applied && contains(&current, &status) {
            return Ok(StatusWrite::Equal);
        }
        let answer = self
            .executor
            .apply_status(
                target.kind,
                target.namespace,
                target.name,
                target.uid,
                &status,
                requests,
            )
            .await?;
        if let Some(Ok(resource_version)) = answer["metadata"]["resourceVersion"].as_str().map(str::parse) {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            let entry = Last {
                resource_version,
                hash,
                status: answer["status"].clone(),
            };
            last.insert(target.uid.to_owned(), entry);
        }
        Ok(StatusWrite::Written)
    }

    /// The generation that the last written status speaks of.
    fn newest(&self, uid: &str) -> i64 {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.get(uid).map_or(0, |last| generation(&last.status))
    }

    /// Forgets a resource that is gone.
    pub fn forget(&self, uid: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.remove(uid);
    }
}

/// A status as it can be true of an object of this generation: one that came with a restored object may speak of a later one,
/// which nothing that is written from it may repeat.
pub fn believable(status: &Value, generation: Option<i64>) -> Value {
    let Some(generation) = generation else {
        return status.clone();
    };
    let lower = |part: &mut Value| {
        if let Some(seen) = part.get_mut("observedGeneration")
            && seen.as_i64().is_some_and(|seen| seen > generation)
        {
            *seen = Value::from(generation);
        }
    };
    let mut status = status.clone();
    lower(&mut status);
    let conditions = status.get_mut("conditions").and_then(Value::as_array_mut);
    conditions.into_iter().flatten().for_each(lower);
    status
}

fn generation(status: &Value) -> i64 {
    status["observedGeneration"].as_i64().unwrap_or(0)
}

/// The value as the server keeps it: without nulls, and without the objects that become empty by that.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key.clone(), without_nulls(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        scalar => scalar.clone(),
    }
}

/// Whether everything that `part` says is said by `whole`; lists are compared as one value.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part
            .iter()
            .all(|(key, value)| whole.get(key).is_some_and(|other| contains(other, value))),
        (whole, part) => whole == part,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::reconcile::testing::{Scripted, client};

    fn target(current: &Value) -> StatusTarget<'_> {
        StatusTarget {
            kind: Kind::Neo4jDatabase,
            namespace: "n",
            name: "d",
            uid: "u",
            current,
        }
    }

    fn writer(server: &Scripted) -> StatusWriter {
        StatusWriter::new(Executor::new(
            client(server),
            crate::reconcile::executor::Options::default(),
        ))
    }

    #[tokio::test]
    async fn an_equal_status_is_not_written_and_a_null_says_nothing() {
        let server = Scripted::default();
        let current = json!({"phase": "Ready", "observedGeneration": 2});
        let desired = json!({"observedGeneration": 2, "phase": "Ready", "message": null});
        let wrote = writer(&server)
            .write(target(&current), &desired, &Requests::default())
            .await
            .unwrap();
        assert_eq!(wrote, StatusWrite::Equal);
        assert!(server.seen().is_empty());
    }

    #[tokio::test]
    async fn a_status_about_an_older_generation_is_not_written() {
        let newer = json!({"phase": "Ready", "observedGeneration": 3});
        let older = json!({"phase": "Pending", "observedGeneration": 2});
        let server = Scripted::default();
        server.answer(200, json!({"metadata": {"resourceVersion": "10"}, "status": newer}));
        let (writer, requests) = (writer(&server), Requests::default());
        let wrote = writer.write(target(&older), &newer, &requests).await.unwrap();
        assert_eq!(wrote, StatusWrite::Written);
        let wrote = writer.write(target(&newer), &older, &requests).await.unwrap();
        assert_eq!(wrote, StatusWrite::Stale);
        assert_eq!(server.seen().len(), 1);
    }

    #[tokio::test]
    async fn a_status_that_was_restored_with_its_object_does_not_stop_ours() {
        let ours = json!({"phase": "Pending", "observedGeneration": 1});
        let server = Scripted::default();
        server.answer(200, json!({"metadata": {"resourceVersion": "10"}, "status": ours}));
        let restored = json!({"phase": "Ready", "observedGeneration": 7});
        let wrote = writer(&server)
            .write(target(&restored), &ours, &Requests::default())
            .await
            .unwrap();
        assert_eq!(wrote, StatusWrite::Written);
    }

    #[test]
    fn what_a_restored_status_says_of_later_generations_is_not_repeated() {
        let of = |own, condition| json!({"observedGeneration": own, "phase": "Ready", "conditions": [{"type": "Ready", "observedGeneration": condition}]});
        assert_eq!(believable(&of(7, 6), Some(2)), of(2, 2));
        assert_eq!(believable(&of(2, 1), Some(2)), of(2, 1));
        assert_eq!(believable(&of(7, 6), None), of(7, 6));
        assert_eq!(believable(&Value::Null, Some(1)), Value::Null);
    }

    #[tokio::test]
    async fn a_lagging_view_gets_our_own_last_write_and_a_newer_one_wins() {
        let status = json!({"phase": "Forming", "observedGeneration": 1});
        let server = Scripted::default();
        server.answer(200, json!({"metadata": {"resourceVersion": "10"}, "status": status}));
        let writer = writer(&server);
        let wrote = writer
            .write(target(&Value::Null), &status, &Requests::default())
            .await
            .unwrap();
        assert_eq!(wrote, StatusWrite::Written);
        assert_eq!(
            server.seen()[0].path,
            "/apis/neo4j.neo4j.com/v1beta1/namespaces/n/neo4jdatabases/d/status"
        );
        assert_eq!(writer.latest("u", "9", &Value::Null), status);
        let newer = json!({"phase": "Ready"});
        assert_eq!(writer.latest("u", "11", &newer), newer);
        writer.forget("u");
        assert_eq!(writer.latest("u", "9", &Value::Null), Value::Null);
    }

    #[tokio::test]
    async fn a_field_of_another_manager_does_not_make_us_write_for_ever() {
        let status = json!({"phase": "Ready"});
        let server = Scripted::default();
        server.answer(
            200,
            json!({"metadata": {"resourceVersion": "10"}, "status": {"phase": "Ready", "theirs": 1}}),
        );
        let writer = writer(&server);
        let beside = json!({"phase": "Ready", "theirs": 1});
        let requests = Requests::default();
        let first = writer.write(target(&beside), &status, &requests).await.unwrap();
        let second = writer.write(target(&beside), &status, &requests).await.unwrap();
        assert_eq!((first, second), (StatusWrite::Written, StatusWrite::Equal));
    }
}
