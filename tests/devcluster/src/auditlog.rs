//! The audit log as a file: one JSON line for each request, with the fields of `audit.k8s.io/v1` that tests read.

use std::{
    fs::File,
    io::{self, Write as _},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::{Value, json};

use crate::apiserver::{Listener, RequestRecord};

/// Creates the file, and a listener that writes to it.
///
/// # Errors
/// If the file cannot be created. A line that cannot be written later is lost, and that is logged.
pub fn to_file(path: &Path) -> io::Result<Listener> {
    let file = Mutex::new(File::create(path)?);
    let next = AtomicU64::new(0);
    Ok(Arc::new(move |record: &RequestRecord| {
        let mut line = event(next.fetch_add(1, Ordering::Relaxed), record).to_string();
        line.push('\n');
        // Whole lines: who reads meanwhile sees at most one that is torn, at the end.
        let written = file
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(line.as_bytes());
        if let Err(error) = written {
            tracing::error!(%error, "the audit log lost a line");
        }
    }))
}

fn event(id: u64, record: &RequestRecord) -> Value {
    let mut event = json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata",
        "auditID": id.to_string(), "stage": "ResponseComplete", "verb": record.verb,
        "requestURI": "", "user": {"username": record.user}, "userAgent": record.user_agent,
        "responseStatus": {"code": record.code},
    });
    if record.resource.starts_with('/') {
        event["requestURI"] = json!(record.resource);
        return event;
    }
    event["objectRef"] = json!({
        "apiGroup": record.group, "resource": record.resource, "subresource": record.subresource,
        "namespace": record.namespace, "name": record.name,
    });
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_line_and_a_path_that_is_no_resource_has_no_object() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let listener = to_file(&path).unwrap();
        listener(&RequestRecord {
            verb: "get".into(),
            resource: "/version".into(),
            code: 200,
            ..RequestRecord::default()
        });
        listener(&RequestRecord {
            verb: "list".into(),
            resource: "pods".into(),
            user: "somebody".into(),
            code: 403,
            ..RequestRecord::default()
        });
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["requestURI"], "/version");
        assert!(lines[0].get("objectRef").is_none());
        assert_eq!(lines[1]["objectRef"]["resource"], "pods");
        assert_eq!(
            (&lines[1]["user"]["username"], &lines[1]["responseStatus"]["code"]),
            (&"somebody".into(), &403.into())
        );
        assert_ne!(lines[0]["auditID"], lines[1]["auditID"]);
    }
}
