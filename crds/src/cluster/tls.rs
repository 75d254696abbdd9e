//! Encryption: which certificate the servers show and whom they trust.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::ExternalSecrets;
use crate::{tolerant::null_as_empty, words::words};

words! {
    /// Where certificates come from.
    TlsMode {
        /// cert-manager issues one, unless certificateSecret names a Secret.
        CertManager = "cert-manager",
        /// No encryption.
        Disabled = "disabled",
    }
}

/// Encryption of Bolt, HTTPS and the traffic between servers. A block that is present means TLS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// cert-manager or disabled; cert-manager when the block is present without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<TlsMode>,
    /// The issuer that signs the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<IssuerRef>,
    /// A Secret of this namespace with tls.crt, tls.key and ca.crt, used instead of a Certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub certificate_secret: Option<String>,
    /// A Secret with further authorities to trust.
    #[serde(default, rename = "trustedCASecret", skip_serializing_if = "Option::is_none")]
    pub trusted_ca_secret: Option<String>,
    /// Secrets that an external store fills.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_secrets: Option<ExternalSecrets>,
    /// How long a certificate is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// How long before its end a certificate is renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_before: Option<String>,
    /// The subject of the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<CertificateSubject>,
    /// Key usages; both "server auth" and "client auth" when absent.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 64)))]
    pub usages: Vec<String>,
    /// Whether servers verify each other's certificates; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict_peer_validation: Option<bool>,
}

/// An issuer of cert-manager, or of a group that extends it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuerRef {
    /// The name of the issuer.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its kind; ClusterIssuer when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its group; cert-manager.io when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// The subject of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateSubject {
    /// Organizations.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub organizations: Vec<String>,
    /// Countries.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub countries: Vec<String>,
    /// Organizational units.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub organizational_units: Vec<String>,
    /// Localities.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub localities: Vec<String>,
    /// Provinces.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub provinces: Vec<String>,
}
