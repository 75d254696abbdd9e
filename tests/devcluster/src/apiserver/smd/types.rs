//! The typed schema that server-side apply walks along.

use serde_json::Value;

/// The schema of one kind: which lists are sets or maps, which maps are atomic, which fields exist.
#[derive(Debug, Clone)]
pub struct TypeSchema {}

impl TypeSchema {
    /// The schema of a built-in kind that this server stores.
    pub fn builtin(api_version: &str, kind: &str) -> Option<Self> {
        let _ = (api_version, kind);
        Some(Self {})
    }

    /// The schema of a custom resource from its `openAPIV3Schema`.
    pub fn from_openapi(openapi: &Value) -> Self {
        let _ = openapi;
        Self {}
    }

    /// No schema at all: every map granular, every list atomic.
    pub fn deduced() -> Self {
        Self {}
    }

    /// Fields of `object` that the schema does not declare, as strict decoding names them (`spec.ports[0].nope`).
    pub fn unknown_fields(&self, object: &Value) -> Vec<String> {
        let _ = object;
        Vec::new()
    }
}
