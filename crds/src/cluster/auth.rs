//! Who may log in: the administrator's Secret, and directories and identity providers.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{tolerant::null_as_empty, words::words};

words! {
    /// The flow of an OIDC login.
    AuthFlow {
        /// Authorization code with proof key.
        Pkce = "pkce",
        /// Implicit.
        Implicit = "implicit",
    }
}

words! {
    /// The kind of a secret store.
    SecretStoreKind {
        /// A store of this namespace.
        SecretStore = "SecretStore",
        /// A store of the whole cluster.
        ClusterSecretStore = "ClusterSecretStore",
    }
}

/// Authentication and authorization.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Auth {
    /// A Secret of this namespace with username (neo4j) and password; neo4j-admin-secret when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub admin_secret: Option<String>,
    /// Who checks passwords, in order: native, ldap, kerberos, oidc-‹name›; native when absent.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub authentication_providers: Vec<String>,
    /// Who grants roles, in order: native, ldap, oidc-‹name›; native when absent.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub authorization_providers: Vec<String>,
    /// The administrator's Secret from an external store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_secrets: Option<ExternalSecrets>,
    /// A directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ldap: Option<Ldap>,
    /// Identity providers by name.
    #[serde(
        default,
        deserialize_with = "null_as_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub oidc: BTreeMap<String, OidcProvider>,
    /// How long an answer of a provider is kept.
    #[serde(default, rename = "authCacheTTL", skip_serializing_if = "Option::is_none")]
    pub auth_cache_ttl: Option<String>,
    /// A trust store for the connections to providers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_store: Option<SecretKeyRef>,
}

/// One key of a Secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// The Secret.
    pub name: String,
    /// The key in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Secrets that an external store fills.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalSecrets {
    /// Whether an ExternalSecret is written; false when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_store_ref: Option<SecretStoreRef>,
    /// How often the store is read; 1h when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_interval: Option<String>,
    /// Which keys come from where.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<ExternalSecretData>,
}

/// A secret store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretStoreRef {
    /// Its name.
    pub name: String,
    /// Its kind; SecretStore when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<SecretStoreKind>,
}

/// One key and its source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalSecretData {
    /// The key in the Secret.
    pub secret_key: String,
    /// Its place in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_ref: Option<ExternalSecretRemoteRef>,
}

/// A place in a secret store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalSecretRemoteRef {
    /// The entry.
    pub key: String,
    /// The property of the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub property: Option<String>,
    /// The version of the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// A directory; the fields are those of dbms.security.ldap.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ldap {
    /// The address, with ldap:// or ldaps://.
    pub host: String,
    /// Whether an ldap:// connection is upgraded to TLS.
    #[serde(default, rename = "useStartTLS", skip_serializing_if = "Option::is_none")]
    pub use_start_tls: Option<bool>,
    /// How passwords are checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<LdapAuthentication>,
    /// How groups become roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<LdapAuthorization>,
    /// Whether the groups of a login are logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debug_group_logging: Option<bool>,
}

/// How a directory checks passwords.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LdapAuthentication {
    /// The pattern of a user's distinguished name.
    #[serde(default, rename = "userDNTemplate", skip_serializing_if = "Option::is_none")]
    pub user_dn_template: Option<String>,
    /// Whether a user is searched by attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search_for_attribute: Option<bool>,
    /// The attribute that is searched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// Whether answers are cached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_enabled: Option<bool>,
}

/// How groups of a directory become roles.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LdapAuthorization {
    /// Where users are searched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_search_base: Option<String>,
    /// The filter of that search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_search_filter: Option<String>,
    /// Attributes that name groups.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub group_membership_attributes: Vec<String>,
    /// Roles by group.
    #[serde(
        default,
        deserialize_with = "null_as_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub group_to_role_mapping: BTreeMap<String, String>,
    /// The group that may log in at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_permitted_group: Option<String>,
    /// Whether an account of its own searches the groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_system_account: Option<bool>,
    /// A Secret with that account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_account_secret_ref: Option<String>,
    /// Whether groups in groups count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nested_groups_enabled: Option<bool>,
    /// The filter for groups in groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nested_groups_search_filter: Option<String>,
}

/// An identity provider; the fields are those of dbms.security.oidc.‹name›.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OidcProvider {
    /// The name shown at login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The discovery document.
    #[serde(default, rename = "wellKnownDiscoveryURI", skip_serializing_if = "Option::is_none")]
    pub well_known_discovery_uri: Option<String>,
    /// The authorization endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_endpoint: Option<String>,
    /// The token endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint: Option<String>,
    /// The signing keys.
    #[serde(default, rename = "jwksURI", skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// The user info endpoint.
    #[serde(default, rename = "userInfoURI", skip_serializing_if = "Option::is_none")]
    pub user_info_uri: Option<String>,
    /// The issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The audience that a token must name.
    pub audience: String,
    /// The flow; pkce when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_flow: Option<AuthFlow>,
    /// Which claims name the user and the groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<OidcClaims>,
    /// Whether groups come from the user info endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub get_groups_from_user_info: Option<bool>,
    /// Whether the user name comes from the user info endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub get_username_from_user_info: Option<bool>,
    /// Roles by group.
    #[serde(
        default,
        deserialize_with = "null_as_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub group_to_role_mapping: BTreeMap<String, String>,
    /// Parameters of the authorization request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_params: Option<String>,
    /// Parameters of the token request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_params: Option<String>,
}

/// Which claims name the user and the groups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OidcClaims {
    /// The claim with the user name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The claim with the groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<String>,
}
