//! Which events a change of the status is worth. Pure.

use neo4j_operator_crds::{Neo4jEnterpriseClusterStatus, cluster::status::OperationType};

use crate::reconcile::{EventReason, conditions::changed};

/// The events that the way from one status to the next is worth.
pub fn announcements(
    before: &Neo4jEnterpriseClusterStatus,
    after: &Neo4jEnterpriseClusterStatus,
) -> Vec<(EventReason, String)> {
    let mut events = Vec::new();
    let after_is = |kind: &str, reason: &str| {
        let condition = after.conditions.iter().find(|condition| condition.type_ == kind)?;
        (condition.reason == reason).then(|| condition.message.clone())
    };
    let turned = |kind: &str, reason: &str| {
        let message = after_is(kind, reason)?;
        changed(&before.conditions, &after.conditions, kind).then_some(message)
    };
    let operation = |status: &Neo4jEnterpriseClusterStatus| {
        status
            .operation
            .as_ref()
            .and_then(|operation| Some((operation.type_.clone()?, operation.target.clone().unwrap_or_default())))
    };
    match (operation(before), operation(after)) {
        (None, Some((OperationType::Formation, target))) => {
            events.push((
                EventReason::ClusterFormationStarted,
                format!("forming a cluster of {target}"),
            ));
        }
        (None, Some((OperationType::ScaleOut, target))) => {
            events.push((EventReason::ScaleOutStarted, format!("growing to {target}")));
        }
        (Some((OperationType::ScaleOut, target)), None) => {
            events.push((EventReason::ScaleOutCompleted, format!("grown to {target}")));
        }
        _ => {}
    }
    let paused = |status: &Neo4jEnterpriseClusterStatus| {
        let mut conditions = status.conditions.iter();
        conditions.any(|condition| condition.type_ == "Paused" && condition.reason == "ReconcilePaused")
    };
    if paused(before) && !paused(after) {
        events.push((EventReason::ReconcileResumed, "reconciled again".to_owned()));
    }
    if let Some(message) = turned("Ready", "ClusterReady") {
        events.push((EventReason::ClusterReady, message));
    }
    if let Some(message) = turned("Ready", "NotEnterprise") {
        events.push((EventReason::UnsupportedFeature, message));
    }
    if let Some(message) = turned("Ready", "NameConflict") {
        events.push((EventReason::NameConflict, message));
    }
    if let Some(message) = turned("ServersHealthy", "PodCrashLooping") {
        events.push((EventReason::PodCrashLooping, message));
    }
    if let Some(message) = after_is("Progressing", "ChangeHeld") {
        let said = before
            .conditions
            .iter()
            .any(|condition| condition.type_ == "Progressing" && condition.message == message);
        if !said {
            events.push((EventReason::UnsupportedFeature, message));
        }
    }
    if let Some(condition) = after
        .conditions
        .iter()
        .find(|condition| condition.type_ == "TopologyWarning")
        && changed(&before.conditions, &after.conditions, "TopologyWarning")
    {
        events.push((EventReason::TopologyWarning, condition.message.clone()));
    }
    // Once per generation, and again when other fields are ignored.
    if !after.ignored_fields.is_empty()
        && (before.ignored_fields != after.ignored_fields || before.observed_generation != after.observed_generation)
    {
        events.push((
            EventReason::FieldIgnored,
            format!("accepted without effect: {}", after.ignored_fields.join(", ")),
        ));
    }
    events
}
