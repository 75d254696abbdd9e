//! What is reported of a cluster: the status. Pure. Which events a change of it is worth is in `announce`.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use neo4j_operator_crds::{
    Neo4jEnterpriseClusterStatus,
    cluster::status::{
        AppliedTopology, Bootstrap, ClaimRecord, ClusterPhase, ConnectionExamples, Endpoints, InternalEndpoints,
        LastApplied, Operation, OperationType, PoolStatus, Replicas, Scale,
    },
};

use super::{
    desired::{Desired, Role},
    diagnostics::diagnostics,
    formation::{Expected, Step, server_of},
    names,
    observe::{Bolt, Children, Facts},
    validate::Refusal,
};
use crate::{
    neo4j::DatabaseView,
    reconcile::conditions::{Conditions, Status},
};

/// What a reconcile found and did.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// What is wanted.
    pub desired: &'a Desired,
    /// The status before.
    pub previous: &'a Neo4jEnterpriseClusterStatus,
    /// The objects.
    pub children: &'a Children,
    /// What Neo4j says.
    pub bolt: &'a Bolt,
    /// What is to be done next.
    pub step: &'a Step,
    /// The pods that are wanted.
    pub expected: &'a [Expected],
    /// Fields whose change is held.
    pub held: &'a [String],
    /// Objects of others under names of ours.
    pub conflicts: &'a [String],
    /// The cluster is complete, now or once before.
    pub formed: bool,
    /// More servers are wanted than there are.
    pub grows_to: Option<u32>,
    /// Fields without effect.
    pub ignored: &'a [String],
    /// A doubtful topology.
    pub warning: Option<&'a (&'static str, String)>,
    /// Now.
    pub now: Timestamp,
}

/// Reason of `Ready` while the servers are of another edition.
const NOT_ENTERPRISE: &str = "NotEnterprise";

/// Whether the cluster was complete once.
pub fn was_formed(status: &Neo4jEnterpriseClusterStatus) -> bool {
    status
        .bootstrap
        .as_ref()
        .is_some_and(|bootstrap| bootstrap.formed_at.is_some())
}

/// Whether its servers were last found to be of an edition that cannot form a cluster.
pub fn is_of_another_edition(status: &Neo4jEnterpriseClusterStatus) -> bool {
    let mut conditions = status.conditions.iter();
    conditions.any(|condition| condition.type_ == "Ready" && condition.reason == NOT_ENTERPRISE)
}

/// What a growing cluster is on its way to.
fn growth_target(servers: u32) -> String {
    format!("{servers} servers")
}

/// Whether the intent to grow to what is wanted is in the status.
pub fn is_growing(status: &Neo4jEnterpriseClusterStatus, desired: &Desired) -> bool {
    status.operation.as_ref().is_some_and(|operation| {
        operation.type_ == Some(OperationType::ScaleOut)
            && operation.target.as_deref() == Some(&growth_target(desired.servers()))
    })
}

/// The operation under way after this reconcile.
fn operation(report: &Report<'_>) -> Option<Operation> {
    if matches!(report.step, Step::NotEnterprise { .. }) {
        return None;
    }
    let before = report.previous.operation.as_ref();
    let complete = *report.step == Step::Complete;
    let (kind, target) = if report.formed {
        match report.grows_to {
            Some(servers) if report.held.is_empty() => (OperationType::ScaleOut, growth_target(servers)),
            _ if complete => return None,
            // Only what was begun is under way: a server that is down is no operation.
            _ => match before.filter(|operation| operation.type_ == Some(OperationType::ScaleOut)) {
                Some(before) => (OperationType::ScaleOut, before.target.clone().unwrap_or_default()),
                None => return None,
            },
        }
    } else {
        (OperationType::Formation, growth_target(report.desired.servers()))
    };
    let same = before.filter(|operation| operation.type_.as_ref() == Some(&kind));
    let generation = report.desired.generation;
    Some(Operation {
        id: same
            .and_then(|operation| operation.id.clone())
            .or_else(|| Some(format!("{}-{generation}", kind.as_str().to_ascii_lowercase()))),
        generation: same.and_then(|operation| operation.generation).or(Some(generation)),
        started_at: same
            .and_then(|operation| operation.started_at.clone())
            .or(Some(Time(report.now))),
        step: Some(report.step.name().to_owned()),
        target: Some(target),
        detail: report.step.waits_for(),
        type_: Some(kind),
        ..Operation::default()
    })
}

/// The status after a reconcile that observed and planned.
pub fn build(report: &Report<'_>) -> Neo4jEnterpriseClusterStatus {
    let Report {
        desired,
        previous,
        children,
        ..
    } = *report;
    let facts = match report.bolt {
        Bolt::Known(facts) => Some(facts),
        _ => None,
    };
    let mut conditions = Conditions::from(&previous.conditions, desired.generation, report.now);
    let ready = set_conditions(&mut conditions, report, facts);
    let mut status = base(desired, previous);
    status.phase = Some(phase(report, ready));
    status.message = Some(message(report, &conditions, ready));
    status.conditions = conditions.into_list();
    status.ignored_fields = report.ignored.to_vec();
    status.ready = Some(ready);
    status.version = version(report, facts);
    let pods_ready = i32::try_from(children.ready()).unwrap_or(i32::MAX);
    let wanted = i32::try_from(desired.servers()).unwrap_or(i32::MAX);
    status.replicas = Some(Replicas {
        servers: Some(children.pods.len() as i32),
        ready: Some(pods_ready),
        desired: Some(wanted),
        summary: Some(format!("{pods_ready}/{wanted}")),
    });
    status.pools = pools(report, facts);
    status.scale = scale(desired, children);
    status.operation = operation(report);
    status.bootstrap = Some(Bootstrap {
        min_system_primaries: i32::try_from(desired.bootstrap.min_system_primaries).ok(),
        endpoints: desired.bootstrap.endpoints.clone(),
        formed_at: previous
            .bootstrap
            .as_ref()
            .and_then(|bootstrap| bootstrap.formed_at.clone())
            .or_else(|| report.formed.then_some(Time(report.now))),
    });
    if report.held.is_empty() {
        status.last_applied = Some(last_applied(desired));
    }
    status.claims = children
        .claims
        .iter()
        .map(|claim| ClaimRecord {
            name: Some(claim.name.clone()),
            uid: Some(claim.uid.clone()),
        })
        .collect();
    status.diagnostics = diagnostics(previous, report.bolt, report.now);
    status
}

/// The status of a cluster for which nothing is done.
pub fn refused(
    desired: Option<&Desired>,
    previous: &Neo4jEnterpriseClusterStatus,
    generation: i64,
    refusal: &Refusal,
    ignored: &[String],
    now: Timestamp,
) -> Neo4jEnterpriseClusterStatus {
    let mut status = previous.clone();
    let mut conditions = Conditions::from(&previous.conditions, generation, now);
    conditions.set("Ready", Status::False, refusal.reason, refusal.message.clone());
    if refusal.reason == "LicenseNotAccepted" {
        conditions.set("LicenseValid", Status::False, refusal.reason, refusal.message.clone());
    }
    if refusal.reason == "CertificateNotReady" {
        conditions.set("TLSReady", Status::False, refusal.reason, refusal.message.clone());
    }
    set_ignored(&mut conditions, ignored);
    status.conditions = conditions.into_list();
    status.phase = Some(refusal.phase.clone());
    status.message = Some(refusal.message.clone());
    status.ready = Some(false);
    status.observed_generation = Some(generation);
    status.ignored_fields = ignored.to_vec();
    if let Some(desired) = desired {
        status.effective_retention_policy = Some(desired.effective.retention.as_str().to_owned());
        if status.replicas.is_none() {
            status.replicas = Some(Replicas {
                servers: Some(0),
                ready: Some(0),
                desired: i32::try_from(desired.servers()).ok(),
                summary: Some(format!("0/{}", desired.servers())),
            });
        }
        status.version = status.version.or_else(|| Some(desired.version.to_string()));
    }
    status
}

/// Fields that follow from the resource alone.
fn base(desired: &Desired, previous: &Neo4jEnterpriseClusterStatus) -> Neo4jEnterpriseClusterStatus {
    Neo4jEnterpriseClusterStatus {
        observed_generation: Some(desired.generation),
        last_handled_reconcile_at: requested(desired).or_else(|| previous.last_handled_reconcile_at.clone()),
        effective_retention_policy: Some(desired.effective.retention.as_str().to_owned()),
        endpoints: Some(endpoints(desired)),
        last_upgrade_time: previous.last_upgrade_time.clone(),
        upgrade_status: previous.upgrade_status.clone(),
        last_applied: previous.last_applied.clone(),
        ..Neo4jEnterpriseClusterStatus::default()
    }
}

/// The token of a reconcile that was asked for.
pub fn requested(desired: &Desired) -> Option<String> {
    let annotations = desired.resource.metadata.annotations.as_ref()?;
    let token = annotations.get(super::REQUESTED_AT)?;
    Some(token.chars().take(128).collect())
}

fn set_ignored(conditions: &mut Conditions, ignored: &[String]) {
    if ignored.is_empty() {
        conditions.remove("SpecFieldsIgnored");
    } else {
        let message = format!("accepted without effect: {}", ignored.join(", "));
        conditions.set("SpecFieldsIgnored", Status::True, "UnsupportedFields", message);
    }
}

/// States every condition; the answer is whether the cluster is ready.
fn set_conditions(conditions: &mut Conditions, report: &Report<'_>, facts: Option<&Facts>) -> bool {
    let Report { desired, children, .. } = *report;
    conditions.set("LicenseValid", Status::True, "Accepted", "");
    if desired.tls().is_some() {
        conditions.set(
            "TLSReady",
            Status::True,
            "CertificateIssued",
            "the Secret holds a certificate",
        );
    } else {
        conditions.remove("TLSReady");
    }
    let unbound: Vec<&str> = children
        .claims
        .iter()
        .filter(|claim| !claim.bound)
        .map(|claim| claim.name.as_str())
        .collect();
    if unbound.is_empty() && children.claims.len() >= report.expected.len() {
        conditions.set("StorageReady", Status::True, "Bound", "every claim has its volume");
    } else if unbound.is_empty() {
        conditions.set("StorageReady", Status::False, "Pending", "claims are being created");
    } else {
        let message = format!("without a volume yet: {}", unbound.join(", "));
        conditions.set("StorageReady", Status::False, "Pending", message);
    }
    let servers = servers_healthy(conditions, report, facts);
    let databases = databases_healthy(conditions, facts);
    if report.formed {
        conditions.set("ClusterFormed", Status::True, "Formed", "every first server takes part");
    } else {
        let message = report
            .step
            .waits_for()
            .unwrap_or_else(|| "servers are being enabled".to_owned());
        conditions.set("ClusterFormed", Status::False, "WaitingForMembers", message);
    }
    match report.warning {
        Some((reason, message)) => conditions.set("TopologyWarning", Status::True, reason, message.clone()),
        None => conditions.remove("TopologyWarning"),
    }
    set_ignored(conditions, report.ignored);
    if !report.held.is_empty() {
        let message = format!(
            "held, because the operator cannot do it safely yet: {}; set it back, or wait for a version that can",
            report.held.join(", ")
        );
        conditions.set("Progressing", Status::False, "ChangeHeld", message);
    } else if let Some(operation) = operation(report) {
        let kind = operation.type_.as_ref().map_or("", |kind| kind.as_str()).to_owned();
        let message = operation.detail.unwrap_or_else(|| report.step.name().to_owned());
        conditions.set("Progressing", Status::True, &kind, message);
    } else {
        conditions.set("Progressing", Status::False, "Idle", "");
    }
    conditions.remove("Paused");
    let ready = *report.step == Step::Complete
        && report.formed
        && servers
        && databases
        && report.conflicts.is_empty()
        && (report.grows_to.is_none() || !report.held.is_empty());
    let (reason, message) = if !report.conflicts.is_empty() {
        ("NameConflict", conflict_message(report.conflicts))
    } else if let Step::NotEnterprise { .. } = report.step {
        (NOT_ENTERPRISE, report.step.waits_for().unwrap_or_default())
    } else if ready {
        ("ClusterReady", "all servers and databases are well".to_owned())
    } else if !report.formed {
        let message = report
            .step
            .waits_for()
            .unwrap_or_else(|| "servers are being enabled".to_owned());
        ("ClusterForming", message)
    } else if let Bolt::Unknown { reason, .. } = report.bolt {
        ("BoltUnavailable", reason.clone())
    } else {
        let not_well = ["ServersHealthy", "DatabasesHealthy"]
            .into_iter()
            .find_map(|kind| conditions.get(kind).filter(|condition| condition.status != "True"))
            .map(|condition| condition.message.clone());
        let message = not_well
            .or_else(|| report.step.waits_for())
            .unwrap_or_else(|| "servers are being added".to_owned());
        ("ClusterNotReady", message)
    };
    let degraded = report.formed && !(servers && databases) || !report.conflicts.is_empty();
    conditions.set(
        "Degraded",
        degraded.into(),
        if degraded { reason } else { "Healthy" },
        if degraded { message.as_str() } else { "" },
    );
    conditions.set("Ready", ready.into(), reason, message);
    ready
}

fn conflict_message(conflicts: &[String]) -> String {
    format!(
        "not touched, because it is not owned by this resource: {}; rename or delete it",
        conflicts.join(", ")
    )
}

fn servers_healthy(conditions: &mut Conditions, report: &Report<'_>, facts: Option<&Facts>) -> bool {
    let crashing = report
        .children
        .pods
        .iter()
        .find_map(|pod| Some((pod, pod.crash.as_ref()?)));
    if let Some((pod, crash)) = crashing {
        let message = format!("{}: {crash}", pod.name);
        conditions.set("ServersHealthy", Status::False, "PodCrashLooping", message);
        return false;
    }
    let Some(facts) = facts else {
        let why = match report.bolt {
            Bolt::Unknown { reason, .. } | Bolt::NotEnterprise { reason } => reason.clone(),
            Bolt::NotAsked | Bolt::Known(_) => "no server was asked yet".to_owned(),
        };
        conditions.set("ServersHealthy", Status::Unknown, "DiagnosticsUnavailable", why);
        return false;
    };
    let unwell: Vec<String> = report
        .expected
        .iter()
        .filter_map(|expected| {
            let pod = report.children.pods.iter().find(|pod| pod.name == expected.pod);
            match server_of(facts, &expected.pod, pod.and_then(|pod| pod.ip.as_deref())) {
                None => Some(format!("{} is not known to Neo4j", expected.pod)),
                Some(server) if server.state != "Enabled" || server.health != "Available" => {
                    Some(format!("{} is {}/{}", expected.pod, server.state, server.health))
                }
                Some(_) => None,
            }
        })
        .collect();
    if unwell.is_empty() {
        conditions.set(
            "ServersHealthy",
            Status::True,
            "AllServersHealthy",
            format!("{} servers are enabled and available", report.expected.len()),
        );
        true
    } else {
        conditions.set("ServersHealthy", Status::False, "ServerDegraded", unwell.join(", "));
        false
    }
}

/// A database that is as it was asked to be: online with all its copies, or stopped on purpose.
fn is_well(database: &DatabaseView) -> bool {
    if database.requested_status == "offline" {
        return database.is_offline();
    }
    database.is_online() && database.is_settled()
}

fn databases_healthy(conditions: &mut Conditions, facts: Option<&Facts>) -> bool {
    let Some(databases) = facts.and_then(|facts| facts.databases.as_ref()) else {
        let why = facts.and_then(|facts| facts.problem.clone());
        let why = why.unwrap_or_else(|| "no server was asked yet".to_owned());
        conditions.set("DatabasesHealthy", Status::Unknown, "DiagnosticsUnavailable", why);
        return false;
    };
    let unwell: Vec<&DatabaseView> = databases.values().filter(|database| !is_well(database)).collect();
    let Some(first) = unwell.first() else {
        let message = format!("{} databases are as they were asked to be", databases.len());
        conditions.set("DatabasesHealthy", Status::True, "AllDatabasesOnline", message);
        return true;
    };
    let reason = if first.is_online() {
        "AllocationMissing"
    } else {
        "DatabaseOffline"
    };
    let list: Vec<String> = unwell
        .iter()
        .take(10)
        .map(|database| format!("{} is {}", database.name, database.status))
        .collect();
    conditions.set("DatabasesHealthy", Status::False, reason, list.join(", "));
    false
}

fn phase(report: &Report<'_>, ready: bool) -> ClusterPhase {
    if matches!(report.step, Step::NotEnterprise { .. }) {
        return ClusterPhase::Failed;
    }
    if !report.formed {
        let forming = report.previous.phase == Some(ClusterPhase::Forming) || matches!(report.bolt, Bolt::Known(_));
        return if forming {
            ClusterPhase::Forming
        } else {
            ClusterPhase::Initializing
        };
    }
    let growing = report.grows_to.is_some()
        || report
            .previous
            .operation
            .as_ref()
            .is_some_and(|operation| operation.type_ == Some(OperationType::ScaleOut));
    // Scaling is no phase: a cluster that serves and grows is Ready, though not all that is wanted is there.
    let old_servers_well = match report.bolt {
        Bolt::Known(facts) => facts
            .servers
            .iter()
            .filter(|server| server.state == "Enabled")
            .all(|server| server.health == "Available"),
        _ => false,
    };
    if ready || (growing && old_servers_well && report.conflicts.is_empty()) {
        ClusterPhase::Ready
    } else {
        ClusterPhase::Degraded
    }
}

fn message(report: &Report<'_>, conditions: &Conditions, ready: bool) -> String {
    let held = conditions
        .get("Progressing")
        .filter(|condition| condition.reason == "ChangeHeld")
        .map(|condition| condition.message.clone());
    if let Some(held) = held {
        return held;
    }
    let said = conditions
        .get("Ready")
        .map(|ready| ready.message.clone())
        .unwrap_or_default();
    match (&report.step, ready) {
        (Step::Enable(servers), false) => format!("enabling {} servers", servers.len()),
        _ => said,
    }
}

/// The version that runs: what the servers say when they agree, else what was last known, else the image's.
fn version(report: &Report<'_>, facts: Option<&Facts>) -> Option<String> {
    let mut versions = facts
        .into_iter()
        .flat_map(|facts| facts.servers.iter())
        .filter_map(|server| server.version.as_deref());
    let first = versions.next();
    match first {
        Some(version) if versions.all(|other| other == version) => Some(version.to_owned()),
        _ => report
            .previous
            .version
            .clone()
            .filter(|_| report.formed)
            .or_else(|| Some(report.desired.version.to_string())),
    }
}

fn pools(report: &Report<'_>, facts: Option<&Facts>) -> Vec<PoolStatus> {
    let Report { desired, children, .. } = *report;
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    desired
        .pools
        .iter()
        .map(|pool| {
            let pods = || children.pods.iter().filter(|pod| pod.set == pool.stateful_set);
            let in_state = |state: &str| {
                let facts = facts?;
                let servers = pods().filter_map(|pod| server_of(facts, &pod.name, pod.ip.as_deref()));
                Some(count(servers.filter(|server| server.state == state).count()))
            };
            PoolStatus {
                name: Some(pool.role.as_str().to_owned()),
                stateful_set: Some(pool.stateful_set.clone()),
                desired: i32::try_from(pool.replicas).ok(),
                ready: Some(count(pods().filter(|pod| pod.ready).count())),
                enabled: in_state("Enabled"),
                cordoned: in_state("Cordoned"),
            }
        })
        .collect()
}

/// What the scale subresource reads; only where there are secondaries to scale.
fn scale(desired: &Desired, children: &Children) -> Option<Scale> {
    let pool = desired.pools.iter().find(|pool| pool.role == Role::Secondary)?;
    let selector: Vec<String> = names::pool_selector(&desired.name, pool.role.as_str())
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let pods = children.pods.iter().filter(|pod| pod.set == pool.stateful_set).count();
    Some(Scale {
        replicas: i32::try_from(pods).ok(),
        selector: Some(selector.join(",")),
    })
}

fn last_applied(desired: &Desired) -> LastApplied {
    let topology = &desired.spec().topology;
    LastApplied {
        image_tag: Some(desired.spec().image.tag.clone()),
        storage_size: Some(desired.spec().storage.size.clone()),
        topology: Some(AppliedTopology {
            servers: topology.servers,
            primaries: topology.primaries,
            secondaries: topology.secondaries,
        }),
    }
}

fn endpoints(desired: &Desired) -> Endpoints {
    let host = |service: String| format!("{service}.{}.svc.{}", desired.namespace, desired.cluster_domain);
    let client = host(names::client(&desired.name));
    let tls = desired.tls().is_some();
    let (bolt, routed) = if tls { ("bolt+s", "neo4j+s") } else { ("bolt", "neo4j") };
    let local_bolt = format!("{bolt}://localhost:{}", names::BOLT);
    let routed = format!("{routed}://{client}:{}", names::BOLT);
    Endpoints {
        bolt: Some(format!("{bolt}://{client}:{}", names::BOLT)),
        http: Some(format!("http://{client}:{}", names::HTTP)),
        https: tls.then(|| format!("https://{client}:{}", names::HTTPS)),
        internal: Some(InternalEndpoints {
            headless: Some(host(names::headless(&desired.name))),
            client: Some(client),
        }),
        connection_examples: Some(ConnectionExamples {
            port_forward: Some(format!(
                "kubectl port-forward -n {} svc/{} 7474:7474 7687:7687",
                desired.namespace,
                names::client(&desired.name)
            )),
            browser_url: Some("http://localhost:7474".to_owned()),
            bolt_uri: Some(local_bolt),
            neo4j_uri: Some(routed.clone()),
            python_example: Some(format!(
                "GraphDatabase.driver(\"{routed}\", auth=(\"neo4j\", password))"
            )),
            java_example: Some(format!(
                "GraphDatabase.driver(\"{routed}\", AuthTokens.basic(\"neo4j\", password))"
            )),
        }),
    }
}
