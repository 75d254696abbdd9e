//! How many servers a cluster has, what each may host and where its pods may run.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{opaque::Opaque, tolerant::null_as_empty, words::words};

words! {
    /// What a server may host.
    #[derive(Default)]
    ModeConstraint {
        /// Primaries and secondaries.
        #[default]
        None = "NONE",
        /// Primaries only.
        Primary = "PRIMARY",
        /// Secondaries only.
        Secondary = "SECONDARY",
    }
}

words! {
    /// What happens to a pod that would break a spread constraint.
    WhenUnsatisfiable {
        /// It waits.
        DoNotSchedule = "DoNotSchedule",
        /// It runs where it breaks the constraint least.
        ScheduleAnyway = "ScheduleAnyway",
    }
}

words! {
    /// How strict anti-affinity is.
    AntiAffinityType {
        /// A pod waits rather than share a domain.
        Required = "required",
        /// Pods share a domain when there is no other place.
        Preferred = "preferred",
    }
}

/// The layout: either one pool of equal servers, or a pool of primaries and one of secondaries.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Topology {
    /// Servers in one pool, 2 to 100. Exactly one of servers and primaries is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 100))]
    pub servers: Option<i32>,
    /// Servers of the primary pool, 1 to 11. Exactly one of servers and primaries is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 11))]
    pub primaries: Option<i32>,
    /// Servers of the secondary pool, 0 to 20; absent counts as 0, but the scale subresource needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 20))]
    pub secondaries: Option<i32>,
    /// Members that must meet before the cluster forms; min(3, servers that may host primaries) when absent.
    /// Only formation reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub min_system_primaries: Option<i32>,
    /// What each server may host, unless serverRoles says otherwise; NONE when absent. Only with servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_mode_constraint: Option<ModeConstraint>,
    /// What single servers may host. Only with servers.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["serverIndex"])
    )]
    pub server_roles: Vec<ServerRole>,
    /// Where pods may run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// Zones over which servers are spread.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub availability_zones: Vec<String>,
    /// Whether servers must be spread evenly over the zones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforce_distribution: Option<bool>,
}

/// What one server may host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerRole {
    /// The ordinal of the server, from 0.
    #[schemars(range(min = 0, max = 99))]
    pub server_index: i32,
    /// What it may host.
    pub mode_constraint: ModeConstraint,
}

/// Where pods may run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Spread over failure domains; off when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology_spread: Option<TopologySpread>,
    /// Keeping members apart; on, by host and preferred when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anti_affinity: Option<AntiAffinity>,
    /// Accepted without effect; use spec.nodeSelector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<Opaque>,
    /// Accepted without effect; use antiAffinity.type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_during_scheduling: Option<Opaque>,
}

/// Spread of members over failure domains.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopologySpread {
    /// Whether the constraint is written; false when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The node label that names a domain; topology.kubernetes.io/zone when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology_key: Option<String>,
    /// How uneven the spread may be; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_skew: Option<i32>,
    /// What happens to a pod that finds no place; DoNotSchedule when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_unsatisfiable: Option<WhenUnsatisfiable>,
    /// Domains that must exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub min_domains: Option<i32>,
}

/// Keeping members apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AntiAffinity {
    /// Whether the term is written; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The node label that names a domain; kubernetes.io/hostname when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology_key: Option<String>,
    /// required or preferred; preferred when absent.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<AntiAffinityType>,
}

/// Maps of node labels, annotations and settings.
pub type Labels = BTreeMap<String, String>;
