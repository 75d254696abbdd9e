//! The image that runs and the volumes it writes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{tolerant::null_as_empty, words::words};

words! {
    /// When the image is pulled.
    PullPolicy {
        /// At every start.
        Always = "Always",
        /// When the node lacks it.
        IfNotPresent = "IfNotPresent",
        /// Never; the node must have it.
        Never = "Never",
    }
}

words! {
    /// What becomes of the volumes when the cluster is deleted.
    #[derive(Default)]
    RetentionPolicy {
        /// They stay.
        #[default]
        Retain = "Retain",
        /// They are deleted, and the data with them.
        Delete = "Delete",
    }
}

/// The image of the Neo4j container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// The repository, such as neo4j.
    #[schemars(length(min = 1, max = 512))]
    pub repo: String,
    /// The tag: 5.26.x-enterprise, or a calendar version from 2025.01 on with "-enterprise".
    #[schemars(length(min = 1, max = 128))]
    pub tag: String,
    /// When the image is pulled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "IfNotPresent"))]
    pub pull_policy: Option<PullPolicy>,
    /// Secrets of this namespace with registry credentials.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub pull_secrets: Vec<String>,
}

/// The data volume of each server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// The storage class; the cluster's default when absent. Fixed once set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub class_name: Option<String>,
    /// The size of each volume, such as 10Gi. It may grow, never shrink.
    #[schemars(length(min = 1, max = 32))]
    pub size: String,
    /// What becomes of the volumes when the cluster is deleted. Retain keeps them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Retain"))]
    pub retention_policy: Option<RetentionPolicy>,
}
