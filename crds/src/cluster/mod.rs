//! `Neo4jEnterpriseCluster`: servers of Neo4j Enterprise that form one cluster.
//!
//! One file per block of the spec; [`status`] is what the operator reports.

pub mod auth;
pub mod autoscaling;
mod checks;
pub mod diagnostics;
pub mod effective;
pub mod operations;
pub mod rules;
pub mod service;
pub mod status;
pub mod storage;
pub mod tls;
pub mod topology;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, EnvFromSource, EnvVar, ResourceRequirements, Toleration, Volume, VolumeMount,
};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    auth::Auth,
    autoscaling::AutoScaling,
    effective::{EffectiveCluster, Layout, TlsSource},
    operations::{
        Audit, Monitoring, NetworkPolicy, PodDisruptionBudget, PropertySharding, SecurityContexts, TrustedCaSecret,
        UpgradeStrategy,
    },
    rules::{validate, validate_change},
    service::Service,
    status::Neo4jEnterpriseClusterStatus,
    storage::{Image, Storage},
    tls::Tls,
    topology::Topology,
};
use crate::{opaque::Opaque, tolerant::null_as_empty, words::words};

words! {
    /// Consent to the licence of Neo4j Enterprise.
    LicenseAgreement {
        /// A licence has been bought.
        Yes = "yes",
        /// Evaluation.
        Eval = "eval",
    }
}

/// A cluster of Neo4j Enterprise servers.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "neo4j.neo4j.com",
    version = "v1beta1",
    kind = "Neo4jEnterpriseCluster",
    plural = "neo4jenterpriseclusters",
    shortname = "n4jc",
    shortname = "n4jcluster",
    category = "neo4j",
    namespaced,
    status = "Neo4jEnterpriseClusterStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A cluster of Neo4j Enterprise servers.",
    scale(
        spec_replicas_path = ".spec.topology.secondaries",
        status_replicas_path = ".status.scale.replicas",
        label_selector_path = ".status.scale.selector"
    ),
    printcolumn(name = "Servers", type_ = "string", json_path = ".status.replicas.summary"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Primaries",
        type_ = "integer",
        json_path = ".spec.topology.primaries",
        priority = 1
    ),
    printcolumn(
        name = "Secondaries",
        type_ = "integer",
        json_path = ".spec.topology.secondaries",
        priority = 1
    ),
    printcolumn(
        name = "Scaling",
        type_ = "string",
        json_path = ".status.autoScaling.decision",
        priority = 1
    ),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct Neo4jEnterpriseClusterSpec {
    /// The image of the Neo4j container.
    pub image: Image,
    /// Consent to the licence: yes or eval. Never assumed; nothing is deployed without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_license_agreement: Option<LicenseAgreement>,
    /// The layout of the cluster.
    pub topology: Topology,
    /// The data volume of each server.
    pub storage: Storage,
    /// Requests and limits of each server; 500m and 1Gi, limited to 1 and 2Gi when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Settings of neo4j.conf; those that the operator writes itself are refused.
    #[serde(
        default,
        deserialize_with = "null_as_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    #[schemars(extend("maxProperties" = 1000))]
    pub config: BTreeMap<String, String>,
    /// Environment of the Neo4j container.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Environment from ConfigMaps and Secrets.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub extra_env_from: Vec<EnvFromSource>,
    /// Authentication and authorization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Encryption; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// How clients reach the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// How the cluster is upgraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade_strategy: Option<UpgradeStrategy>,
    /// Metrics and the query log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
    /// The security log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
    /// The network policy of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicy>,
    /// Labels that a node must carry.
    #[serde(
        default,
        deserialize_with = "null_as_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pods tolerate.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// Affinity of the pods, added to the anti-affinity of the topology.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// Security contexts of pods and containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_context: Option<SecurityContexts>,
    /// Certificate authorities to trust, each name once.
    #[serde(
        default,
        rename = "trustedCASecrets",
        deserialize_with = "null_as_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub trusted_ca_secrets: Vec<TrustedCaSecret>,
    /// Further volumes of the pods.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub extra_volumes: Vec<Volume>,
    /// Where they are mounted; the folders of Neo4j are reserved.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub extra_volume_mounts: Vec<VolumeMount>,
    /// Annotations of the pods' service account.
    #[serde(
        default,
        deserialize_with = "null_as_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub pod_service_account_annotations: BTreeMap<String, String>,
    /// Protection from voluntary disruption; on when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_disruption_budget: Option<PodDisruptionBudget>,
    /// Seconds that a server gets to stop; 3600 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86400))]
    pub termination_grace_period_seconds: Option<i64>,
    /// The DNS domain of the Kubernetes cluster; that of the operator's settings when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub cluster_domain: Option<String>,
    /// What the autoscaler may do; off when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_scaling: Option<AutoScaling>,
    /// Not supported; true is refused by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub property_sharding: Option<PropertySharding>,
    /// Accepted without effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcp: Option<Opaque>,
    /// Accepted without effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aura_fleet_management: Option<Opaque>,
}
