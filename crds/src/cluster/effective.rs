//! What an absent field of a cluster means: the one place that says so.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::ResourceRequirements,
    apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString},
};

use super::{
    Neo4jEnterpriseClusterSpec as Spec,
    service::ServiceType,
    storage::{PullPolicy, RetentionPolicy},
    tls::TlsMode,
    topology::{AntiAffinityType, ModeConstraint, WhenUnsatisfiable},
};
use crate::rules::given;

/// The Secret with the administrator's credentials when the spec names none.
pub const DEFAULT_ADMIN_SECRET: &str = "neo4j-admin-secret";
/// The time a server gets to stop when the spec says none: a checkpoint of a large store is slow.
pub const DEFAULT_GRACE_SECONDS: i64 = 3600;
/// The node label by which members are kept apart.
pub const HOST_TOPOLOGY_KEY: &str = "kubernetes.io/hostname";
/// The node label over which members are spread.
pub const ZONE_TOPOLOGY_KEY: &str = "topology.kubernetes.io/zone";
/// The weight of preferred anti-affinity.
pub const ANTI_AFFINITY_WEIGHT: i32 = 100;

/// The pools of a cluster with their counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One pool of servers that may host anything, unless their modes say otherwise.
    Servers(i32),
    /// A pool of primaries and one of secondaries.
    Pools {
        /// Servers of the primary pool.
        primaries: i32,
        /// Servers of the secondary pool.
        secondaries: i32,
    },
}

/// How members are kept apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AntiAffinity {
    /// The node label that names a domain.
    pub topology_key: String,
    /// Whether a pod waits rather than share a domain.
    pub required: bool,
}

/// How members are spread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologySpread {
    /// The node label that names a domain.
    pub topology_key: String,
    /// How uneven the spread may be.
    pub max_skew: i32,
    /// What happens to a pod that finds no place.
    pub when_unsatisfiable: WhenUnsatisfiable,
    /// Domains that must exist.
    pub min_domains: Option<i32>,
}

/// Where TLS comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsSource {
    /// There is none.
    Disabled,
    /// A Secret with tls.crt, tls.key and ca.crt.
    Secret(String),
    /// A Certificate of cert-manager.
    CertManager,
}

/// A cluster's spec with nothing left open.
#[derive(Clone, Debug, PartialEq)]
pub struct EffectiveCluster {
    /// Repository and tag.
    pub image: String,
    /// When the image is pulled.
    pub pull_policy: PullPolicy,
    /// The pools; `None` when the spec names none or both, which a rule refuses.
    pub layout: Option<Layout>,
    /// Members that must meet before the cluster forms.
    pub min_system_primaries: i32,
    /// Requests and limits of each server.
    pub resources: ResourceRequirements,
    /// What becomes of the volumes when the cluster is deleted.
    pub retention: RetentionPolicy,
    /// The Secret with the administrator's credentials.
    pub admin_secret: String,
    /// Where TLS comes from.
    pub tls: TlsSource,
    /// Whether servers verify each other's certificates.
    pub strict_peer_validation: bool,
    /// The type of the client Service.
    pub service_type: ServiceType,
    /// Pods that a budget keeps; `None` writes no budget.
    pub min_available: Option<IntOrString>,
    /// Seconds that a server gets to stop.
    pub grace_seconds: i64,
    /// How members are kept apart, if they are.
    pub anti_affinity: Option<AntiAffinity>,
    /// How members are spread, if they are.
    pub topology_spread: Option<TopologySpread>,
}

// === impl Layout ===

impl Layout {
    /// All servers.
    pub fn servers(self) -> i32 {
        match self {
            Self::Servers(servers) => servers,
            Self::Pools { primaries, secondaries } => primaries + secondaries,
        }
    }
}

// === impl Spec ===

impl Spec {
    /// The spec with nothing left open.
    pub fn effective(&self) -> EffectiveCluster {
        let layout = self.layout();
        let budget = self.pod_disruption_budget.as_ref();
        let primary_capable = self.primary_capable_servers();
        // Never all members: such a budget would stop every node drain for ever.
        let quorum = (primary_capable / 2 + 1).min(layout.map_or(0, Layout::servers) - 1);
        let budget_on = budget.and_then(|budget| budget.enabled).unwrap_or(true);
        let min_available = budget
            .and_then(|budget| budget.min_available.clone())
            .or_else(|| (quorum > 0).then_some(IntOrString::Int(quorum)));
        let tls = self.tls.as_ref();
        EffectiveCluster {
            image: format!("{}:{}", self.image.repo, self.image.tag),
            pull_policy: self.image.pull_policy.clone().unwrap_or(PullPolicy::IfNotPresent),
            layout,
            min_system_primaries: self
                .topology
                .min_system_primaries
                .unwrap_or_else(|| primary_capable.clamp(1, 3)),
            resources: self.resources.clone().unwrap_or_else(default_resources),
            retention: self.storage.retention_policy.clone().unwrap_or_default(),
            admin_secret: self.admin_secret().to_owned(),
            tls: self.tls_source(),
            strict_peer_validation: tls.and_then(|tls| tls.strict_peer_validation).unwrap_or(true),
            service_type: self
                .service
                .as_ref()
                .and_then(|service| service.type_.clone())
                .unwrap_or(ServiceType::ClusterIp),
            min_available: min_available.filter(|_| budget_on),
            grace_seconds: self.termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE_SECONDS),
            anti_affinity: self.anti_affinity(),
            topology_spread: self.topology_spread(),
        }
    }

    /// The pools; `None` when the spec names none or both.
    pub fn layout(&self) -> Option<Layout> {
        match (self.topology.servers, self.topology.primaries) {
            (Some(servers), None) => Some(Layout::Servers(servers)),
            (None, Some(primaries)) => Some(Layout::Pools {
                primaries,
                secondaries: self.topology.secondaries.unwrap_or(0),
            }),
            _ => None,
        }
    }

    /// What the server at an ordinal of the single pool may host.
    pub fn mode_of_server(&self, ordinal: i32) -> ModeConstraint {
        let role = self
            .topology
            .server_roles
            .iter()
            .find(|role| role.server_index == ordinal);
        role.map(|role| role.mode_constraint.clone())
            .or_else(|| self.topology.server_mode_constraint.clone())
            .unwrap_or_default()
    }

    /// How many servers may host primaries.
    pub fn primary_capable_servers(&self) -> i32 {
        match self.layout() {
            Some(Layout::Servers(servers)) => {
                let capable = (0..servers)
                    .filter(|o| self.mode_of_server(*o) != ModeConstraint::Secondary)
                    .count();
                i32::try_from(capable).unwrap_or(i32::MAX)
            }
            Some(Layout::Pools { primaries, .. }) => primaries,
            None => 0,
        }
    }

    /// The Secret with the administrator's credentials.
    pub fn admin_secret(&self) -> &str {
        let named = self.auth.as_ref().and_then(|auth| auth.admin_secret.as_deref());
        named.filter(|name| !name.is_empty()).unwrap_or(DEFAULT_ADMIN_SECRET)
    }

    /// Where TLS comes from. A block that is present means TLS.
    pub fn tls_source(&self) -> TlsSource {
        match &self.tls {
            None => TlsSource::Disabled,
            Some(tls) if tls.mode == Some(TlsMode::Disabled) => TlsSource::Disabled,
            Some(tls) => match &tls.certificate_secret {
                Some(name) if given(Some(name)) => TlsSource::Secret(name.clone()),
                _ => TlsSource::CertManager,
            },
        }
    }

    fn anti_affinity(&self) -> Option<AntiAffinity> {
        let block = self
            .topology
            .placement
            .as_ref()
            .and_then(|placement| placement.anti_affinity.clone());
        let block = block.unwrap_or_default();
        block.enabled.unwrap_or(true).then(|| AntiAffinity {
            topology_key: block.topology_key.unwrap_or_else(|| HOST_TOPOLOGY_KEY.to_owned()),
            required: block.type_ == Some(AntiAffinityType::Required),
        })
    }

    fn topology_spread(&self) -> Option<TopologySpread> {
        let block = self.topology.placement.as_ref()?.topology_spread.clone()?;
        block.enabled.unwrap_or(false).then(|| TopologySpread {
            topology_key: block.topology_key.unwrap_or_else(|| ZONE_TOPOLOGY_KEY.to_owned()),
            max_skew: block.max_skew.unwrap_or(1),
            when_unsatisfiable: block.when_unsatisfiable.unwrap_or(WhenUnsatisfiable::DoNotSchedule),
            min_domains: block.min_domains,
        })
    }
}

/// Requests and limits of a server when the spec gives none.
pub fn default_resources() -> ResourceRequirements {
    resources([("cpu", "500m"), ("memory", "1Gi")], [("cpu", "1"), ("memory", "2Gi")])
}

/// Requests and limits from texts.
pub(crate) fn resources(requests: [(&str, &str); 2], limits: [(&str, &str); 2]) -> ResourceRequirements {
    let map = |entries: [(&str, &str); 2]| -> BTreeMap<String, Quantity> {
        entries
            .into_iter()
            .map(|(name, value)| (name.to_owned(), Quantity(value.to_owned())))
            .collect()
    };
    ResourceRequirements {
        requests: Some(map(requests)),
        limits: Some(map(limits)),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(extra: &serde_json::Value) -> Spec {
        let mut value = json!({
            "image": {"repo": "neo4j", "tag": "5.26.0-enterprise"},
            "topology": {"servers": 3},
            "storage": {"size": "10Gi"}
        });
        json_patch::merge(&mut value, extra);
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn every_block_may_be_absent() {
        let effective = spec(&json!({})).effective();
        assert_eq!(effective.image, "neo4j:5.26.0-enterprise");
        assert_eq!(effective.pull_policy, PullPolicy::IfNotPresent);
        assert_eq!(effective.layout, Some(Layout::Servers(3)));
        assert_eq!(effective.min_system_primaries, 3);
        assert_eq!(effective.retention, RetentionPolicy::Retain);
        assert_eq!(effective.admin_secret, "neo4j-admin-secret");
        assert_eq!(effective.tls, TlsSource::Disabled);
        assert_eq!(effective.service_type, ServiceType::ClusterIp);
        assert_eq!(effective.min_available, Some(IntOrString::Int(2)));
        assert_eq!(effective.grace_seconds, 3600);
        let apart = AntiAffinity {
            topology_key: HOST_TOPOLOGY_KEY.to_owned(),
            required: false,
        };
        assert_eq!(effective.anti_affinity, Some(apart));
        assert_eq!(effective.topology_spread, None);
        assert_eq!(effective.resources.limits.unwrap()["memory"].0, "2Gi");
    }

    #[test]
    fn an_explicit_false_survives() {
        let effective = spec(&json!({
            "topology": {"placement": {"antiAffinity": {"enabled": false}, "topologySpread": {"enabled": true}}},
            "podDisruptionBudget": {"enabled": false},
            "tls": {"mode": "disabled"},
            "terminationGracePeriodSeconds": 0
        }))
        .effective();
        assert_eq!(effective.anti_affinity, None);
        assert_eq!(effective.min_available, None);
        assert_eq!(effective.tls, TlsSource::Disabled);
        assert_eq!(effective.grace_seconds, 0);
        assert_eq!(effective.topology_spread.unwrap().topology_key, ZONE_TOPOLOGY_KEY);
    }

    #[test]
    fn a_budget_always_lets_one_member_go() {
        let kept = |topology| spec(&json!({ "topology": topology })).effective().min_available;
        assert_eq!(kept(json!({"servers": 2})), Some(IntOrString::Int(1)));
        assert_eq!(kept(json!({"servers": 5})), Some(IntOrString::Int(3)));
        assert_eq!(kept(json!({"servers": null, "primaries": 1})), None);
        assert_eq!(
            kept(json!({"servers": null, "primaries": 1, "secondaries": 2})),
            Some(IntOrString::Int(1))
        );
    }

    #[test]
    fn the_formation_gate_counts_servers_that_may_host_primaries() {
        let gate = |extra| spec(&extra).effective().min_system_primaries;
        assert_eq!(gate(json!({"topology": {"servers": 2}})), 2);
        assert_eq!(gate(json!({"topology": {"servers": 5}})), 3);
        assert_eq!(
            gate(json!({"topology": {"servers": null, "primaries": 1, "secondaries": 4}})),
            1
        );
        let roles = json!([{"serverIndex": 0, "modeConstraint": "PRIMARY"}]);
        assert_eq!(
            gate(json!({"topology": {"serverModeConstraint": "SECONDARY", "serverRoles": roles}})),
            1
        );
        assert_eq!(gate(json!({"topology": {"servers": 5, "minSystemPrimaries": 5}})), 5);
    }

    #[test]
    fn a_tls_block_means_tls() {
        let source = |tls| spec(&json!({ "tls": tls })).tls_source();
        assert_eq!(
            source(json!({"certificateSecret": "certs"})),
            TlsSource::Secret("certs".to_owned())
        );
        assert_eq!(source(json!({"issuerRef": {"name": "ca"}})), TlsSource::CertManager);
        assert_eq!(
            source(json!({"mode": "disabled", "certificateSecret": "certs"})),
            TlsSource::Disabled
        );
    }
}
