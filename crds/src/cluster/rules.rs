//! What a cluster's spec must satisfy beyond the type of each field.

use neo4j_operator_shared::duration::Span;

use super::{
    Neo4jEnterpriseCluster as Cluster,
    autoscaling::{MetricType, ScalingMetric, ScalingMode, ScalingPolicy},
    checks,
    tls::TlsMode,
    topology::{ModeConstraint, Topology},
};
use crate::{
    quantity::Quantity,
    rules::{Check, Problem, Rule, broken, broken_by_change, given},
};

/// The longest name with one pool: `‹name›-server` has at most 52 characters.
pub const MAX_NAME_SERVERS: usize = 45;
/// The longest name with two pools: `‹name›-secondary` has at most 52 characters.
pub const MAX_NAME_POOLS: usize = 42;

/// The rules that the schema carries.
pub static RULES: &[Rule<Cluster>] = &[
    Rule {
        id: "V1",
        at: "spec.topology",
        field: "servers",
        cel: "has(self.servers) != has(self.primaries)",
        message: "set exactly one of spec.topology.servers (one pool) and spec.topology.primaries (two pools)",
        check: Check::Breaks(|c| topology(c).servers.is_some() == topology(c).primaries.is_some()),
    },
    Rule {
        id: "V1",
        at: "spec.topology",
        field: "servers",
        cel: "has(self.servers) == has(oldSelf.servers)",
        message: "the layout is fixed: spec.topology.servers cannot become spec.topology.primaries or the reverse; \
                  create another cluster and restore into it",
        check: Check::Change(|old, new| topology(old).servers.is_some() != topology(new).servers.is_some()),
    },
    Rule {
        id: "V2",
        at: "spec.topology",
        field: "secondaries",
        cel: "!has(self.secondaries) || has(self.primaries)",
        message: "spec.topology.secondaries needs spec.topology.primaries; with servers leave it out",
        check: Check::Breaks(|c| topology(c).secondaries.is_some() && topology(c).primaries.is_none()),
    },
    Rule {
        id: "V3",
        at: "",
        field: "metadata.name",
        cel: "size(self.metadata.name) <= (has(self.spec.topology.primaries) ? 42 : 45)",
        message: "metadata.name is too long for the names of pods: at most 45 characters with servers, 42 with primaries",
        check: Check::Breaks(|c| {
            let longest = if topology(c).primaries.is_some() {
                MAX_NAME_POOLS
            } else {
                MAX_NAME_SERVERS
            };
            c.metadata
                .name
                .as_ref()
                .is_some_and(|name| name.chars().count() > longest)
        }),
    },
    Rule {
        id: "V4",
        at: "spec.topology",
        field: "primaries",
        cel: "!has(oldSelf.primaries) || !has(self.primaries) || (oldSelf.primaries == 1) == (self.primaries == 1)",
        message: "spec.topology.primaries cannot go from 1 to more or from more to 1: the system database cannot \
                  follow; create another cluster and restore into it",
        check: Check::Change(|old, new| match (topology(old).primaries, topology(new).primaries) {
            (Some(old), Some(new)) => (old == 1) != (new == 1),
            _ => false,
        }),
    },
    Rule {
        id: "V5",
        at: "spec.topology",
        field: "minSystemPrimaries",
        cel: "!has(self.minSystemPrimaries) || (has(self.servers) && self.minSystemPrimaries <= self.servers) || \
              (has(self.primaries) && self.minSystemPrimaries <= self.primaries)",
        message: "spec.topology.minSystemPrimaries must not exceed servers or primaries: the cluster would never form",
        check: Check::Breaks(|c| {
            let topology = topology(c);
            let enough = |count: Option<i32>| count.is_some_and(|count| topology.min_system_primaries <= Some(count));
            topology.min_system_primaries.is_some() && !enough(topology.servers) && !enough(topology.primaries)
        }),
    },
    Rule {
        id: "V6",
        at: "spec.topology",
        field: "serverModeConstraint",
        cel: "!has(self.serverModeConstraint) || self.serverModeConstraint == 'NONE' || has(self.servers)",
        message: "spec.topology.serverModeConstraint is for servers; primaries and secondaries have their modes already",
        check: Check::Breaks(|c| {
            topology(c).servers.is_none()
                && !matches!(topology(c).server_mode_constraint, None | Some(ModeConstraint::None))
        }),
    },
    Rule {
        id: "V6",
        at: "spec.topology",
        field: "serverModeConstraint",
        cel: "!has(self.serverModeConstraint) || self.serverModeConstraint != 'SECONDARY' || \
              (has(self.serverRoles) && self.serverRoles.exists(r, r.modeConstraint != 'SECONDARY'))",
        message: "spec.topology.serverModeConstraint SECONDARY leaves no server for primaries; give one another mode \
                  in spec.topology.serverRoles",
        check: Check::Breaks(|c| {
            topology(c).server_mode_constraint == Some(ModeConstraint::Secondary)
                && topology(c)
                    .server_roles
                    .iter()
                    .all(|role| role.mode_constraint == ModeConstraint::Secondary)
        }),
    },
    Rule {
        id: "V7",
        at: "spec.topology",
        field: "serverRoles",
        cel: "!has(self.serverRoles) || size(self.serverRoles) == 0 || has(self.servers)",
        message: "spec.topology.serverRoles is for servers; primaries and secondaries have their modes already",
        check: Check::Breaks(|c| !topology(c).server_roles.is_empty() && topology(c).servers.is_none()),
    },
    Rule {
        id: "V7",
        at: "spec.topology",
        field: "serverRoles",
        cel: "!has(self.serverRoles) || !has(self.servers) || self.serverRoles.all(r, r.serverIndex < self.servers)",
        message: "spec.topology.serverRoles: each serverIndex must be below spec.topology.servers",
        check: Check::Breaks(|c| match topology(c).servers {
            Some(servers) => topology(c).server_roles.iter().any(|role| role.server_index >= servers),
            None => false,
        }),
    },
    Rule {
        id: "V7",
        at: "spec.topology",
        field: "serverRoles",
        cel: "!has(self.serverRoles) || !has(self.servers) || size(self.serverRoles) < self.servers || \
              self.serverRoles.exists(r, r.modeConstraint != 'SECONDARY')",
        message: "spec.topology.serverRoles makes every server SECONDARY; leave at least one for primaries",
        check: Check::Breaks(|c| {
            let roles = &topology(c).server_roles;
            topology(c)
                .servers
                .is_some_and(|servers| roles.len() >= usize::try_from(servers).unwrap_or(0))
                && roles
                    .iter()
                    .all(|role| role.mode_constraint == ModeConstraint::Secondary)
        }),
    },
    Rule {
        id: "V8",
        at: "spec.storage",
        field: "size",
        cel: "isQuantity(self.size) && quantity(self.size).isGreaterThan(quantity('0'))",
        message: "spec.storage.size must be a size such as 10Gi",
        check: Check::Breaks(|c| Quantity::parse(&c.spec.storage.size).is_none_or(|size| size.thousandths() <= 0)),
    },
    Rule {
        id: "V8",
        at: "spec.storage",
        field: "size",
        cel: "!isQuantity(self.size) || !isQuantity(oldSelf.size) || \
              !quantity(self.size).isLessThan(quantity(oldSelf.size))",
        message: "spec.storage.size cannot shrink; volumes only grow",
        check: Check::Change(|old, new| matches!((size(old), size(new)), (Some(old), Some(new)) if new < old)),
    },
    Rule {
        id: "V9",
        at: "spec.storage",
        field: "className",
        cel: "!has(oldSelf.className) || oldSelf.className == '' || \
              (has(self.className) && self.className == oldSelf.className)",
        message: "spec.storage.className is fixed once set: volumes cannot change their class; create another cluster \
                  and restore into it",
        check: Check::Change(|old, new| {
            given(old.spec.storage.class_name.as_ref()) && old.spec.storage.class_name != new.spec.storage.class_name
        }),
    },
    Rule {
        id: "V10",
        at: "spec.tls",
        field: "issuerRef",
        cel: "(has(self.mode) && self.mode == 'disabled') || \
              (has(self.certificateSecret) && size(self.certificateSecret) > 0) || \
              (has(self.issuerRef) && size(self.issuerRef.name) > 0)",
        message: "spec.tls needs spec.tls.certificateSecret or spec.tls.issuerRef.name; to run without TLS set mode \
                  disabled",
        check: Check::Breaks(|c| {
            c.spec.tls.as_ref().is_some_and(|tls| {
                tls.mode != Some(TlsMode::Disabled)
                    && !given(tls.certificate_secret.as_ref())
                    && tls.issuer_ref.as_ref().is_none_or(|issuer| issuer.name.is_empty())
            })
        }),
    },
    Rule {
        id: "V11",
        at: "spec.tls",
        field: "usages",
        cel: "!has(self.usages) || size(self.usages) == 0 || \
              (self.usages.exists(u, u == 'server auth') && self.usages.exists(u, u == 'client auth'))",
        message: "spec.tls.usages must hold both \"server auth\" and \"client auth\": servers are clients of each other",
        check: Check::Breaks(|c| {
            c.spec.tls.as_ref().is_some_and(|tls| {
                let has = |usage: &str| tls.usages.iter().any(|given| given == usage);
                !tls.usages.is_empty() && (!has("server auth") || !has("client auth"))
            })
        }),
    },
    Rule {
        id: "V21",
        at: "spec.autoScaling.primaries.metrics[]",
        field: "target",
        cel: TARGET_CEL,
        message: TARGET_MESSAGE,
        check: Check::Items(|c| {
            scaling(c)
                .and_then(|s| s.primaries.as_ref())
                .map_or_else(Vec::new, |pool| bad_targets(&pool.metrics))
        }),
    },
    Rule {
        id: "V21",
        at: "spec.autoScaling.secondaries.metrics[]",
        field: "target",
        cel: TARGET_CEL,
        message: TARGET_MESSAGE,
        check: Check::Items(|c| {
            scaling(c)
                .and_then(|s| s.secondaries.as_ref())
                .map_or_else(Vec::new, |pool| bad_targets(&pool.metrics))
        }),
    },
    Rule {
        id: "V23",
        at: "spec.autoScaling.primaries",
        field: "minReplicas",
        cel: "(has(self.minReplicas) ? self.minReplicas : 3) <= (has(self.maxReplicas) ? self.maxReplicas : 7)",
        message: "spec.autoScaling.primaries.minReplicas (3 when absent) must not exceed maxReplicas (7 when absent)",
        check: Check::Breaks(|c| {
            scaling(c)
                .and_then(|s| s.primaries.as_ref())
                .is_some_and(|pool| pool.min_replicas.unwrap_or(3) > pool.max_replicas.unwrap_or(7))
        }),
    },
    Rule {
        id: "V23",
        at: "spec.autoScaling.primaries",
        field: "maxReplicas",
        cel: "(!has(self.minReplicas) || self.minReplicas % 2 == 1) && \
              (!has(self.maxReplicas) || self.maxReplicas % 2 == 1)",
        message: "spec.autoScaling.primaries: minReplicas and maxReplicas must be odd, so that a majority is never a tie",
        check: Check::Breaks(|c| {
            let even = |count: Option<i32>| count.is_some_and(|count| count % 2 != 1);
            scaling(c)
                .and_then(|s| s.primaries.as_ref())
                .is_some_and(|pool| even(pool.min_replicas) || even(pool.max_replicas))
        }),
    },
    Rule {
        id: "V23",
        at: "spec.autoScaling.secondaries",
        field: "minReplicas",
        cel: "(has(self.minReplicas) ? self.minReplicas : 1) <= (has(self.maxReplicas) ? self.maxReplicas : 20)",
        message: "spec.autoScaling.secondaries.minReplicas (1 when absent) must not exceed maxReplicas (20 when absent)",
        check: Check::Breaks(|c| {
            scaling(c)
                .and_then(|s| s.secondaries.as_ref())
                .is_some_and(|pool| pool.min_replicas.unwrap_or(1) > pool.max_replicas.unwrap_or(20))
        }),
    },
    Rule {
        id: "V24",
        at: "spec",
        field: "autoScaling",
        cel: "!has(self.autoScaling) || \
              !(has(self.autoScaling.secondaries) || (has(self.autoScaling.mode) && self.autoScaling.mode == 'Auto')) || \
              (has(self.topology.primaries) && has(self.topology.secondaries))",
        message: "spec.autoScaling with a secondaries block or mode Auto needs spec.topology.primaries and an explicit \
                  spec.topology.secondaries (0 will do)",
        check: Check::Breaks(|c| {
            scaling(c).is_some_and(|s| s.secondaries.is_some() || s.mode == Some(ScalingMode::Auto))
                && (topology(c).primaries.is_none() || topology(c).secondaries.is_none())
        }),
    },
    Rule {
        id: "V25",
        at: "spec.autoScaling.behavior.scaleUp",
        field: "stabilizationWindow",
        cel: WINDOW_CEL,
        message: "spec.autoScaling.behavior.scaleUp.stabilizationWindow must be at most 1h",
        check: Check::Breaks(|c| direction(c, true).is_some_and(|d| too_long(d.stabilization_window.as_ref()))),
    },
    Rule {
        id: "V25",
        at: "spec.autoScaling.behavior.scaleDown",
        field: "stabilizationWindow",
        cel: WINDOW_CEL,
        message: "spec.autoScaling.behavior.scaleDown.stabilizationWindow must be at most 1h",
        check: Check::Breaks(|c| direction(c, false).is_some_and(|d| too_long(d.stabilization_window.as_ref()))),
    },
    Rule {
        id: "V25",
        at: "spec.autoScaling.behavior.scaleUp.policies[]",
        field: "period",
        cel: PERIOD_CEL,
        message: "spec.autoScaling.behavior.scaleUp.policies: period must be from 15s to 30m",
        check: Check::Items(|c| direction(c, true).map_or_else(Vec::new, |d| bad_periods(&d.policies))),
    },
    Rule {
        id: "V25",
        at: "spec.autoScaling.behavior.scaleDown.policies[]",
        field: "period",
        cel: PERIOD_CEL,
        message: "spec.autoScaling.behavior.scaleDown.policies: period must be from 15s to 30m",
        check: Check::Items(|c| direction(c, false).map_or_else(Vec::new, |d| bad_periods(&d.policies))),
    },
];

const TARGET_CEL: &str = "self.type in ['cpu', 'memory'] ? self.target.matches('^(0{0,2}[1-9]|0?[1-9][0-9]|100)%?$') : \
    self.type == 'query_latency' ? self.target.matches('^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?([0-9]+us)?$') && \
    self.target.matches('[1-9]') : \
    self.type == 'custom' || (self.target.matches('^[0-9]+([.][0-9]+)?$') && self.target.matches('[1-9]'))";
const TARGET_MESSAGE: &str = "target must be 1 to 100, with or without %, for cpu and memory; a duration such as 100ms \
    for query_latency; a positive number for connection_count and throughput";
const WINDOW_CEL: &str = "!has(self.stabilizationWindow) || duration(self.stabilizationWindow) <= duration('1h')";
const PERIOD_CEL: &str = "duration(self.period) >= duration('15s') && duration(self.period) <= duration('30m')";

/// What is wrong with a cluster: every rule of the schema that needs no former state, and those that
/// only the operator checks.
pub fn validate(cluster: &Cluster) -> Vec<Problem> {
    let mut problems = broken(RULES, cluster);
    problems.extend(checks::reconciler(&cluster.spec));
    problems
}

/// What is wrong with a change of a cluster.
pub fn validate_change(old: &Cluster, new: &Cluster) -> Vec<Problem> {
    broken_by_change(RULES, old, new)
}

fn topology(cluster: &Cluster) -> &Topology {
    &cluster.spec.topology
}

fn size(cluster: &Cluster) -> Option<Quantity> {
    Quantity::parse(&cluster.spec.storage.size)
}

fn scaling(cluster: &Cluster) -> Option<&super::AutoScaling> {
    cluster.spec.auto_scaling.as_ref()
}

fn direction(cluster: &Cluster, up: bool) -> Option<&super::autoscaling::ScalingDirection> {
    let behavior = scaling(cluster)?.behavior.as_ref()?;
    if up {
        behavior.scale_up.as_ref()
    } else {
        behavior.scale_down.as_ref()
    }
}

fn seconds(text: &str) -> Option<f64> {
    text.parse::<Span>().ok().map(|span| span.0.as_secs_f64())
}

fn too_long(window: Option<&String>) -> bool {
    window.is_some_and(|text| seconds(text).is_none_or(|seconds| seconds > 3600.0))
}

fn bad_periods(policies: &[ScalingPolicy]) -> Vec<usize> {
    let bad = |policy: &ScalingPolicy| seconds(&policy.period).is_none_or(|s| !(15.0..=1800.0).contains(&s));
    policies
        .iter()
        .enumerate()
        .filter(|(_, policy)| bad(policy))
        .map(|(index, _)| index)
        .collect()
}

fn bad_targets(metrics: &[ScalingMetric]) -> Vec<usize> {
    metrics
        .iter()
        .enumerate()
        .filter(|(_, metric)| !target_fits(metric))
        .map(|(index, _)| index)
        .collect()
}

fn target_fits(metric: &ScalingMetric) -> bool {
    let text = metric.target.as_str();
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match &metric.type_ {
        MetricType::Cpu | MetricType::Memory => {
            let number = text.strip_suffix('%').unwrap_or(text);
            number.len() <= 3 && plain(number) && number.parse().is_ok_and(|n: u32| (1..=100).contains(&n))
        }
        MetricType::QueryLatency => seconds(text).is_some_and(|seconds| seconds > 0.0),
        MetricType::Custom => true,
        MetricType::ConnectionCount | MetricType::Throughput | MetricType::Unknown(_) => {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
            plain(whole) && plain(fraction) && text.bytes().any(|byte| (b'1'..=b'9').contains(&byte))
        }
    }
}
