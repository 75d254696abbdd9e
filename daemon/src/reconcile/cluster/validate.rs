//! Whether a resource can be acted on at all, before anything is read or written for it.

use std::fmt::Write as _;

use neo4j_operator_crds::{
    Neo4jEnterpriseCluster,
    classes::Classified,
    cluster::{rules::validate, status::ClusterPhase},
};
use serde_json::Value;

use super::{
    desired::{Desired, Role},
    render::{self, memory},
};
use crate::reconcile::EventReason;

/// Why nothing is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The phase to show.
    pub phase: ClusterPhase,
    /// The reason of the condition Ready.
    pub reason: &'static str,
    /// The event that says so.
    pub event: Option<EventReason>,
    /// What is wrong and what to do; never with a secret value.
    pub message: String,
    /// Whether only another generation can help.
    pub terminal: bool,
}

impl Refusal {
    /// Something that others must bring; looked for again.
    pub fn waits(reason: &'static str, event: Option<EventReason>, message: impl Into<String>) -> Self {
        Self {
            phase: ClusterPhase::Pending,
            reason,
            event,
            message: message.into(),
            terminal: false,
        }
    }

    fn fails(reason: &'static str, event: EventReason, message: String) -> Self {
        Self {
            phase: ClusterPhase::Failed,
            reason,
            event: Some(event),
            message,
            terminal: true,
        }
    }
}

/// Problems that are named before "and N more".
const SHOWN: usize = 5;

fn join(lines: Vec<String>) -> String {
    let more = lines.len().saturating_sub(SHOWN);
    let mut text = lines.into_iter().take(SHOWN).collect::<Vec<_>>().join("; ");
    if more > 0 {
        let _ = write!(text, "; and {more} more");
    }
    text
}

/// Fields that are accepted without effect, as the status shows them.
pub fn ignored(spec: &Value) -> Vec<String> {
    const LISTED: usize = 20;
    let mut ignored = Neo4jEnterpriseCluster::CLASSES.ignored(spec);
    let more = ignored.len().saturating_sub(LISTED);
    ignored.truncate(LISTED);
    if more > 0 {
        ignored.push(format!("and {more} more"));
    }
    ignored
}

/// What the schema's rules, and those only the operator knows, say.
pub fn check(resource: &Neo4jEnterpriseCluster, spec: &Value) -> Result<(), Refusal> {
    let unsupported = Neo4jEnterpriseCluster::CLASSES.unsupported(spec);
    if !unsupported.is_empty() {
        let lines = unsupported.into_iter().map(|(path, why)| format!("{path}: {why}"));
        return Err(Refusal::fails(
            "UnsupportedFeature",
            EventReason::UnsupportedFeature,
            join(lines.collect()),
        ));
    }
    let problems = validate(resource);
    if !problems.is_empty() {
        let lines = problems.iter().map(ToString::to_string).collect();
        return Err(Refusal::fails(
            "ValidationFailed",
            EventReason::ValidationFailed,
            join(lines),
        ));
    }
    Ok(())
}

/// What only shows once every default is filled in.
pub fn check_desired(desired: &Desired) -> Result<(), Refusal> {
    if desired.license().is_none() {
        return Err(Refusal::waits(
            "LicenseNotAccepted",
            None,
            "spec.acceptLicenseAgreement must be yes or eval; nothing is deployed before",
        ));
    }
    let role = desired.pools.first().map_or(Role::Server, |pool| pool.role);
    let memory = render::conf(desired, role).memory;
    let fixed = desired
        .spec()
        .config
        .keys()
        .any(|key| key.starts_with("server.memory."));
    let limit = desired.memory_limit();
    if fixed && !memory::fits(memory, limit) {
        return Err(Refusal::fails(
            "ValidationFailed",
            EventReason::ValidationFailed,
            format!(
                "spec.config: heap ({} MiB), page cache ({} MiB) and a reserve of a quarter do not fit the memory limit \
                 of {} MiB; raise spec.resources.limits.memory or lower server.memory.*",
                memory.heap_mib,
                memory.page_cache_mib,
                limit / memory::MIB
            ),
        ));
    }
    Ok(())
}

/// A topology that works and yet deserves a word.
pub fn topology_warning(desired: &Desired) -> Option<(&'static str, String)> {
    let primaries: u32 = desired
        .pools
        .iter()
        .filter(|pool| pool.role != Role::Secondary)
        .map(|pool| pool.replicas)
        .sum();
    let gate = desired
        .spec()
        .topology
        .min_system_primaries
        .and_then(|gate| u32::try_from(gate).ok());
    if gate.is_some_and(|gate| gate != desired.bootstrap.min_system_primaries) {
        return Some((
            "GateChangeIgnored",
            format!(
                "spec.topology.minSystemPrimaries only matters while the cluster forms; it formed with {}",
                desired.bootstrap.min_system_primaries
            ),
        ));
    }
    match primaries {
        2 => Some((
            "TwoServers",
            "two servers tolerate no fault: a majority needs both; use three".to_owned(),
        )),
        count if count > 7 => Some((
            "ManySystemPrimaries",
            format!("{count} members vote on the system database; more than seven make every change slow"),
        )),
        count if count % 2 == 0 && count > 0 => Some((
            "EvenServers",
            format!("{count} voting servers tolerate no more faults than {}", count - 1),
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::reconcile::cluster::render::tests::desired;

    fn verdict(spec: Value) -> Result<(), Refusal> {
        let desired = desired(spec);
        let spec = serde_json::to_value(desired.spec()).unwrap();
        check(&desired.resource, &spec).and_then(|()| check_desired(&desired))
    }

    #[test]
    fn what_would_give_false_safety_is_refused_by_name() {
        let refusal = verdict(json!({"networkPolicy": {"enabled": true}})).unwrap_err();
        assert_eq!(
            (refusal.reason, refusal.phase.as_str()),
            ("UnsupportedFeature", "Failed")
        );
        assert!(
            refusal.message.contains("spec.networkPolicy.enabled"),
            "{}",
            refusal.message
        );
        assert!(refusal.terminal);
    }

    #[test]
    fn a_forbidden_setting_is_named_without_its_value() {
        let refusal = verdict(json!({"config": {"dbms.cluster.endpoints": "evil:6000"}})).unwrap_err();
        assert_eq!(refusal.reason, "ValidationFailed");
        assert!(
            refusal.message.contains("dbms.cluster.endpoints"),
            "{}",
            refusal.message
        );
        assert!(!refusal.message.contains("evil"));
    }

    #[test]
    fn without_a_licence_it_waits_for_one() {
        let refusal = verdict(json!({"acceptLicenseAgreement": null})).unwrap_err();
        assert_eq!((refusal.reason, refusal.terminal), ("LicenseNotAccepted", false));
    }

    #[test]
    fn memory_that_cannot_fit_is_refused_before_it_kills_servers() {
        let refusal = verdict(json!({"config": {"server.memory.heap.max_size": "1800m"}})).unwrap_err();
        assert!(refusal.message.contains("1800 MiB"), "{}", refusal.message);
        assert_eq!(verdict(json!({})), Ok(()));
    }

    #[test]
    fn doubtful_topologies_get_a_word_and_good_ones_none() {
        let reason = |servers: i32| topology_warning(&desired(json!({"topology": {"servers": servers}}))).map(|w| w.0);
        assert_eq!(
            [2, 3, 4, 5, 9].map(reason),
            [
                Some("TwoServers"),
                None,
                Some("EvenServers"),
                None,
                Some("ManySystemPrimaries")
            ]
        );
    }
}
