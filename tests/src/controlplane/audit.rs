//! The audit log of kube-apiserver: who asked for what, and what was answered.

use std::collections::HashSet;

use serde::Deserialize;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// Who asked, as the server knows it: `system:serviceaccount:<namespace>:<name>`, `admin`.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; the HTTP method in lower
    /// case where the path is no resource.
    pub verb: String,
    /// API group, empty for core.
    pub group: String,
    /// Plural of the kind; empty where the path is no resource.
    pub resource: String,
    /// `status`, `scale`, …; empty for the object itself.
    pub subresource: String,
    /// Empty for all, or none.
    pub namespace: String,
    /// Empty for a collection.
    pub name: String,
    /// The path with its query.
    pub uri: String,
    /// HTTP status.
    pub code: u16,
    /// When it came in, RFC 3339.
    pub received: String,
    /// When it was answered or, a watch, opened; RFC 3339.
    pub answered: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(rename = "auditID")]
    id: String,
    verb: String,
    #[serde(rename = "requestURI")]
    uri: String,
    user: User,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: ResponseStatus,
    #[serde(default)]
    request_received_timestamp: String,
    #[serde(default)]
    stage_timestamp: String,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    resource: String,
    namespace: String,
    name: String,
    api_group: String,
    subresource: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResponseStatus {
    code: u16,
}

/// The requests of a log, one each, in the order in which they were answered or, for watches, opened.
///
/// A watch has two lines, one at its start and one at its end: the first counts. A last line that is still being
/// written is left out.
pub fn records(log: &str) -> Vec<AuditRecord> {
    let mut seen = HashSet::new();
    log.lines()
        .filter_map(|line| serde_json::from_str::<Line>(line).ok())
        .filter(|line| seen.insert(line.id.clone()))
        .map(|line| AuditRecord {
            user: line.user.username,
            verb: line.verb,
            group: line.object_ref.api_group,
            resource: line.object_ref.resource,
            subresource: line.object_ref.subresource,
            namespace: line.object_ref.namespace,
            name: line.object_ref.name,
            uri: line.uri,
            code: line.response_status.code,
            received: line.request_received_timestamp,
            answered: line.stage_timestamp,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_counts_once_and_a_torn_line_not_at_all() {
        let log = concat!(
            r#"{"auditID":"a","stage":"ResponseStarted","requestURI":"/api/v1/pods?watch=true","verb":"watch","user":{"username":"u"},"objectRef":{"resource":"pods","apiVersion":"v1"},"responseStatus":{"code":200}}"#,
            "\n",
            r#"{"auditID":"a","stage":"ResponseComplete","requestURI":"/api/v1/pods?watch=true","verb":"watch","user":{"username":"u"},"objectRef":{"resource":"pods","apiVersion":"v1"},"responseStatus":{"code":200}}"#,
            "\n",
            r#"{"auditID":"b","stage":"ResponseComplete","requestURI":"/version","verb":"get","user":{"username":"u"},"responseStatus":{"code":403}}"#,
            "\n",
            r#"{"auditID":"c","sta"#,
        );
        let records = records(log);
        assert_eq!(records.len(), 2);
        assert_eq!(
            (records[0].resource.as_str(), records[0].verb.as_str()),
            ("pods", "watch")
        );
        assert_eq!((records[1].resource.as_str(), records[1].code), ("", 403));
    }
}
