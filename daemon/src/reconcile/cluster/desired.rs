//! What a resource asks for, with every default filled in: the one place that says what an absent field means.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::{api::resource::Quantity as Size, apis::meta::v1::OwnerReference};
use neo4j_operator_crds::{
    Neo4jEnterpriseCluster, Neo4jEnterpriseClusterSpec, Neo4jEnterpriseClusterStatus,
    cluster::{
        LicenseAgreement,
        effective::{EffectiveCluster, TlsSource},
        topology::ModeConstraint,
    },
    quantity::Quantity,
    version::{Version, VersionError},
};
use neo4j_operator_shared::Kind;

use super::{names, render::conf::Strictness};
use crate::reconcile::ownership::owner_reference;

/// A pool of equal servers: one StatefulSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The one pool of the layout with `servers`.
    Server,
    /// The primaries of the layout with two pools.
    Primary,
    /// Its secondaries.
    Secondary,
}

impl Role {
    /// The name in labels and in the StatefulSet's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        }
    }
}

/// One pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// What its servers are for.
    pub role: Role,
    /// Its StatefulSet.
    pub stateful_set: String,
    /// Servers that are wanted.
    pub replicas: u32,
}

impl Pool {
    /// The pod of an ordinal.
    pub fn pod(&self, ordinal: u32) -> String {
        format!("{}-{ordinal}", self.stateful_set)
    }
}

/// How the cluster forms; constant once recorded, so that scaling changes no neo4j.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// Members that must meet.
    pub min_system_primaries: u32,
    /// Discovery addresses of the first members.
    pub endpoints: Vec<String>,
}

impl Bootstrap {
    /// Primaries of a database that names no topology: three where three can be, else one. Two would tolerate no
    /// fault and cost a write twice (N47).
    pub fn default_primaries(&self) -> u8 {
        if self.endpoints.len() >= 3 && self.min_system_primaries >= 3 {
            3
        } else {
            1
        }
    }
}

/// A cluster as it is wanted.
#[derive(Clone, Debug)]
pub struct Desired {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid of the resource.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// The spec, for what has no default of its own.
    pub resource: Arc<Neo4jEnterpriseCluster>,
    /// The spec with nothing left open.
    pub effective: EffectiveCluster,
    /// Version of the servers.
    pub version: Version,
    /// The pools, primaries first.
    pub pools: Vec<Pool>,
    /// How it forms.
    pub bootstrap: Bootstrap,
    /// The domain of the cluster's DNS.
    pub cluster_domain: String,
}

impl Desired {
    /// Fills in every default. `cluster_domain` is the operator's own setting.
    pub fn new(resource: Arc<Neo4jEnterpriseCluster>, cluster_domain: &str) -> Result<Self, VersionError> {
        let version = Version::from_tag(&resource.spec.image.tag)?;
        let metadata = &resource.metadata;
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let (namespace, name) = (text(&metadata.namespace), text(&metadata.name));
        let cluster_domain = resource
            .spec
            .cluster_domain
            .clone()
            .unwrap_or_else(|| cluster_domain.to_owned());
        let pools = pools(&resource.spec, &name);
        let bootstrap = recorded(resource.status.as_ref())
            .unwrap_or_else(|| first(&resource.spec, &pools, &name, &namespace, &cluster_domain));
        Ok(Self {
            uid: text(&metadata.uid),
            generation: metadata.generation.unwrap_or(0),
            namespace,
            name,
            version,
            pools,
            bootstrap,
            cluster_domain,
            effective: resource.spec.effective(),
            resource,
        })
    }

    /// The spec.
    pub fn spec(&self) -> &Neo4jEnterpriseClusterSpec {
        &self.resource.spec
    }

    /// The owner of its children.
    pub fn owner(&self) -> OwnerReference {
        owner_reference(Kind::Neo4jEnterpriseCluster, &self.name, &self.uid)
    }

    /// Servers that are wanted in all.
    pub fn servers(&self) -> u32 {
        self.pools.iter().map(|pool| pool.replicas).sum()
    }

    /// The word for the licence, if it was accepted.
    pub fn license(&self) -> Option<&'static str> {
        match self.spec().accept_license_agreement {
            Some(LicenseAgreement::Yes) => Some("yes"),
            Some(LicenseAgreement::Eval) => Some("eval"),
            _ => None,
        }
    }

    /// The bytes that a server may use: its limit, else its request, else the default.
    pub fn memory_limit(&self) -> u64 {
        let resources = &self.effective.resources;
        let of = |sizes: &Option<std::collections::BTreeMap<String, Size>>| {
            let size = Quantity::parse(&sizes.as_ref()?.get("memory")?.0)?;
            u64::try_from(size.whole()).ok().filter(|bytes| *bytes > 0)
        };
        of(&resources.limits)
            .or_else(|| of(&resources.requests))
            .unwrap_or(2 << 30)
    }

    /// The Secret with the certificate and how strictly it is used; `None` without TLS.
    pub fn tls(&self) -> Option<(&str, Strictness)> {
        let TlsSource::Secret(secret) = &self.effective.tls else {
            return None;
        };
        let strictness = if self.effective.strict_peer_validation {
            Strictness::Strict
        } else {
            Strictness::TrustAll
        };
        Some((secret, strictness))
    }

    /// What a server may host, by pool and ordinal.
    pub fn constraint(&self, role: Role, ordinal: u32) -> ModeConstraint {
        match role {
            Role::Primary => ModeConstraint::Primary,
            Role::Secondary => ModeConstraint::Secondary,
            Role::Server => self.spec().mode_of_server(i32::try_from(ordinal).unwrap_or(i32::MAX)),
        }
    }
}

fn pools(spec: &Neo4jEnterpriseClusterSpec, name: &str) -> Vec<Pool> {
    let count = |count: Option<i32>| u32::try_from(count.unwrap_or(0)).unwrap_or(0);
    let pool = |role: Role, replicas| Pool {
        role,
        stateful_set: format!("{name}-{}", role.as_str()),
        replicas,
    };
    let topology = &spec.topology;
    if topology.primaries.is_none() {
        return vec![pool(Role::Server, count(topology.servers))];
    }
    let mut pools = vec![pool(Role::Primary, count(topology.primaries))];
    // Absent counts as none, and a pool that was never asked for needs no StatefulSet; an explicit 0 keeps one
    // that a scaler can raise.
    if topology.secondaries.is_some() {
        pools.push(pool(Role::Secondary, count(topology.secondaries)));
    }
    pools
}

fn recorded(status: Option<&Neo4jEnterpriseClusterStatus>) -> Option<Bootstrap> {
    let bootstrap = status?.bootstrap.as_ref()?;
    let min_system_primaries = u32::try_from(bootstrap.min_system_primaries?).ok()?;
    (!bootstrap.endpoints.is_empty()).then(|| Bootstrap {
        min_system_primaries,
        endpoints: bootstrap.endpoints.clone(),
    })
}

/// How a cluster that was never reconciled forms: its first system primaries are the fixed seed set (CF3).
fn first(
    spec: &Neo4jEnterpriseClusterSpec,
    pools: &[Pool],
    name: &str,
    namespace: &str,
    cluster_domain: &str,
) -> Bootstrap {
    let seeds = pools.iter().filter(|pool| pool.role != Role::Secondary);
    let endpoints = seeds
        .flat_map(|pool| (0..pool.replicas).map(|ordinal| pool.pod(ordinal)))
        .map(|pod| {
            let host = names::pod_host(&pod, name, namespace, cluster_domain);
            format!("{host}:{}", names::CLUSTER_PORT)
        })
        .collect();
    Bootstrap {
        min_system_primaries: u32::try_from(spec.effective().min_system_primaries).unwrap_or(1),
        endpoints,
    }
}
