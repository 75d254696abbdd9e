//! OpenAPI v3.

use serde_json::{Value, json};

use super::{
    super::{kinds::Catalog, registry::Stop},
    Reply, reply,
};

/// `/openapi/v3`.
pub(super) fn index(catalog: &Catalog) -> Value {
    let _ = catalog;
    json!({"paths": {}})
}

/// One group and version.
pub(super) fn document(catalog: &Catalog, group: &str, version: &str, minor: u16) -> Result<Reply, Stop> {
    let _ = (catalog, group, version, minor);
    Ok(reply::not_found())
}
