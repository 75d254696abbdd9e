//! What happened, in order, so that a violation comes with how it came about.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex},
};

use serde::Deserialize;
use tokio::time::Instant;

use crate::truth::Object;

/// Lines that are kept.
const LINES: usize = 200_000;

/// Lines about objects and keys. Clones are the same story.
#[derive(Clone, Debug)]
pub struct Story {
    began: Instant,
    lines: Arc<Mutex<VecDeque<(String, String)>>>,
}

impl Story {
    pub fn begin() -> Self {
        Self {
            began: Instant::now(),
            lines: Arc::default(),
        }
    }

    pub fn tell(&self, subject: String, line: impl fmt::Display) {
        let mut lines = self.lines.lock().unwrap();
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back((subject, format!("{:>9.3} s {line}", self.began.elapsed().as_secs_f64())));
    }

    /// The last lines about any of these.
    pub fn about(&self, subjects: &[String]) -> String {
        let lines = self.lines.lock().unwrap();
        let about = lines.iter().rev().filter(|(subject, _)| subjects.contains(subject));
        let mut last: Vec<&str> = about.map(|(_, line)| line.as_str()).take(40).collect();
        last.reverse();
        format!("\n    {}", last.join("\n    "))
    }
}

/// The subject that an object is.
pub fn object((kind, namespace, name): &Object) -> String {
    format!("{kind}/{namespace}/{name}")
}

/// The subject that the key of a cluster is.
pub fn key(namespace: &str, cluster: &str) -> String {
    format!("key/{namespace}/{cluster}")
}

/// Subject and text of an event of a watch, or `None` if it is about no object.
pub fn event(plural: &str, line: &str) -> Option<(String, String)> {
    #[derive(Deserialize)]
    struct Event<'a> {
        r#type: &'a str,
        object: Object,
    }
    #[derive(Deserialize)]
    struct Object {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Metadata {
        namespace: String,
        name: String,
        resource_version: String,
    }
    let event: Event<'_> = serde_json::from_str(line).ok()?;
    let metadata = event.object.metadata;
    let subject = format!("{plural}/{}/{}", metadata.namespace, metadata.name);
    Some((subject, format!("{} {}", event.r#type, metadata.resource_version)))
}
