//! How clients reach the cluster.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{tolerant::null_as_empty, words::words};

words! {
    /// The type of the client Service.
    ServiceType {
        /// Reachable inside the Kubernetes cluster.
        ClusterIp = "ClusterIP",
        /// A port on every node.
        NodePort = "NodePort",
        /// An address of the cloud.
        LoadBalancer = "LoadBalancer",
    }
}

words! {
    /// Which endpoints traffic from outside may reach.
    ExternalTrafficPolicy {
        /// All of them.
        Cluster = "Cluster",
        /// Those of the node it arrived at.
        Local = "Local",
    }
}

words! {
    /// Where a Route ends TLS.
    RouteTermination {
        /// At the router.
        Edge = "edge",
        /// At the router, then encrypted anew.
        Reencrypt = "reencrypt",
        /// At the pod.
        Passthrough = "passthrough",
    }
}

words! {
    /// What a Route does with plain HTTP.
    InsecurePolicy {
        /// Refuse.
        None = "None",
        /// Serve.
        Allow = "Allow",
        /// Redirect to HTTPS.
        Redirect = "Redirect",
    }
}

/// The client Service and what stands before it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// The type; ClusterIP when absent.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<ServiceType>,
    /// Annotations of the Service.
    #[serde(
        default,
        deserialize_with = "null_as_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// The address to ask the cloud for.
    #[serde(default, rename = "loadBalancerIP", skip_serializing_if = "Option::is_none")]
    pub load_balancer_ip: Option<String>,
    /// Networks that may reach a LoadBalancer.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub load_balancer_source_ranges: Vec<String>,
    /// Which endpoints traffic from outside may reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<ExternalTrafficPolicy>,
    /// A DNS name of the cluster, added to its certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_name: Option<String>,
    /// An Ingress for HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,
    /// An OpenShift Route for HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Route>,
}

/// An Ingress for HTTP; Bolt is no HTTP and does not pass it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// Whether it is written; false when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The ingress class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_name: Option<String>,
    /// Annotations of the Ingress.
    #[serde(
        default,
        deserialize_with = "null_as_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// The host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// A Secret with the certificate of that host.
    #[serde(default, rename = "tlsSecretName", skip_serializing_if = "Option::is_none")]
    pub tls_secret_name: Option<String>,
}

/// An OpenShift Route for HTTP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Whether it is written; false when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Annotations of the Route.
    #[serde(
        default,
        deserialize_with = "null_as_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// Where TLS ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<RouteTls>,
    /// The port of the Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_port: Option<i32>,
}

/// TLS of a Route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteTls {
    /// Where TLS ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination: Option<RouteTermination>,
    /// What happens to plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure_edge_termination_policy: Option<InsecurePolicy>,
    /// A Secret with the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
}
