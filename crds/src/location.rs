//! Where backups and seeds are kept: a claim in the cluster or a bucket outside.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{tolerant::null_as_empty, words::words};

words! {
    /// The kind of place.
    #[derive(Default)]
    StorageType {
        /// A bucket that speaks S3.
        S3 = "s3",
        /// Google Cloud Storage.
        Gcs = "gcs",
        /// Azure Blob Storage.
        Azure = "azure",
        /// A persistent volume claim.
        #[default]
        Pvc = "pvc",
    }
}

words! {
    /// A cloud.
    CloudProvider {
        /// Amazon Web Services and what speaks S3.
        Aws = "aws",
        /// Google Cloud.
        Gcp = "gcp",
        /// Microsoft Azure.
        Azure = "azure",
    }
}

/// A place for artifacts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StorageLocation {
    /// The kind of place: s3, gcs, azure or pvc.
    #[serde(rename = "type")]
    pub type_: StorageType,
    /// The bucket or container; required unless the type is pvc.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub bucket: Option<String>,
    /// The folder inside; "backups" when absent. No ".." and no leading "-".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub path: Option<String>,
    /// The claim; required when the type is pvc.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pvc: Option<BackupClaim>,
    /// How the bucket is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud: Option<CloudAccess>,
}

/// A claim that exists, or one that the operator creates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupClaim {
    /// The name of the claim; one named after the resource is created when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The storage class of a claim that the operator creates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
    /// The size of a claim that the operator creates, such as 50Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
}

/// Access to a bucket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloudAccess {
    /// The cloud: aws, gcp or azure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<CloudProvider>,
    /// The identity of the pods, where the cloud offers one instead of keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<CloudIdentity>,
    /// A Secret of this namespace with the keys of the cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<String>,
    /// The address of a store that speaks S3, such as a MinIO of one's own.
    #[serde(default, rename = "endpointURL", skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<String>,
    /// Whether the bucket is part of the path instead of the host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_path_style: Option<bool>,
}

/// An identity that the cloud gives to a service account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloudIdentity {
    /// The cloud: aws, gcp or azure.
    pub provider: CloudProvider,
    /// A service account that exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// A service account that the operator creates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_create: Option<AutoCreate>,
}

/// A service account that the operator creates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoCreate {
    /// Whether it is created; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Annotations of the service account.
    #[serde(
        default,
        deserialize_with = "null_as_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
}
