//! Performing a plan, and writing down how each action ended.

use neo4j_operator_shared::{
    Kind,
    clusters::{ActionResult, PlannedAction},
};
use serde_json::Value;

use super::{
    formation::{Enable, Step},
    plan::Plan,
};
use crate::{
    neo4j::{BoltError, ClusterClient, Topology},
    reconcile::{Context, EffectError, How, Run, effect::Ended},
};

/// How a plan ended.
#[derive(Debug, Default)]
pub struct Acted {
    /// Objects that were written.
    pub written: usize,
    /// Objects of others under our names.
    pub conflicts: Vec<String>,
    /// The first other error.
    pub error: Option<EffectError>,
    /// The mark of each object that was written, to tell our own changes from those of others.
    pub marks: Vec<((Kind, String), String)>,
}

/// Writes the plan into the record without performing anything.
pub fn record(plan: &Plan, run: &mut Run) -> Vec<Vec<usize>> {
    plan.levels
        .iter()
        .map(|level| {
            level
                .iter()
                .map(|action| {
                    let label = action.effect.label();
                    let (kind, target) = label.split_once(' ').unwrap_or(("", &label));
                    run.action(PlannedAction {
                        action: format!("{} {kind}", action.verb),
                        target: target.to_owned(),
                        reason: action.reason.clone(),
                        result: ActionResult::Pending,
                        message: None,
                    })
                })
                .collect()
        })
        .collect()
}

/// Performs a plan.
pub async fn perform(context: &Context, plan: &Plan, run: &mut Run) -> Acted {
    let places = record(plan, run);
    let levels: Vec<Vec<_>> = plan
        .levels
        .iter()
        .map(|level| level.iter().map(|action| action.effect.clone()).collect())
        .collect();
    let ended = context.executor.perform(&levels, run.requests()).await;
    let mut acted = Acted::default();
    for ((places, effects), ended) in places.into_iter().zip(&levels).zip(ended) {
        for ((place, effect), ended) in places.into_iter().zip(effects).zip(ended) {
            let key = match effect {
                crate::reconcile::Effect::Ensure { manifest, .. } => {
                    Some((manifest.resource.kind, manifest.name.clone()))
                }
                crate::reconcile::Effect::Delete { .. } => None,
            };
            acted.take(place, key, ended, run);
        }
    }
    acted
}

impl Acted {
    fn take(&mut self, place: usize, key: Option<(Kind, String)>, ended: Ended, run: &mut Run) {
        match ended {
            None => run.result(
                place,
                ActionResult::Pending,
                Some("an earlier action failed".to_owned()),
            ),
            Some(Ok(written)) => {
                if written.how == How::Unchanged {
                    run.result(place, ActionResult::Unchanged, None);
                    return;
                }
                self.written += 1;
                run.result(place, ActionResult::Done, None);
                if let Some(key) = key {
                    self.marks.push((key, mark(&written.object, &written.resource_version)));
                }
            }
            Some(Err(error)) => {
                let refused = matches!(error, EffectError::NameConflict { .. });
                let result = if refused {
                    ActionResult::Refused
                } else {
                    ActionResult::Failed
                };
                run.result(place, result, Some(error.to_string()));
                match error {
                    EffectError::NameConflict { what } => self.conflicts.push(what),
                    error => {
                        self.error.get_or_insert(error);
                    }
                }
            }
        }
    }
}

/// The same mark as [`super::observe`] makes of a view.
fn mark(object: &Value, resource_version: &str) -> String {
    object["metadata"]["generation"]
        .as_i64()
        .map_or_else(|| resource_version.to_owned(), |generation| format!("g{generation}"))
}

/// What a step over Bolt did.
#[derive(Debug, Default)]
pub struct Stepped {
    /// Servers that were enabled.
    pub enabled: Vec<String>,
    /// The cluster's defaults were set: it is formed.
    pub formed: bool,
    /// What went wrong.
    pub error: Option<BoltError>,
}

/// Does what the step asks of Neo4j, if anything. Every statement can be repeated.
pub async fn step(client: &ClusterClient, step: &Step, run: &mut Run) -> Stepped {
    let mut stepped = Stepped::default();
    match step {
        Step::Enable(servers) => {
            for server in servers {
                let place = run.action(action("ENABLE SERVER", server, "its server is free and wanted"));
                match client.enable_server(&server.server_id, server.mode).await {
                    Ok(()) => {
                        run.result(place, ActionResult::Done, None);
                        stepped.enabled.push(server.pod.clone());
                    }
                    Err(error) => {
                        run.result(place, ActionResult::Failed, Some(error.to_string()));
                        stepped.error = Some(error);
                        break;
                    }
                }
            }
        }
        Step::SetDefaultAllocation { primaries } => {
            let place = run.action(PlannedAction {
                action: "set default allocation".to_owned(),
                target: format!("{primaries} primaries"),
                reason: "every server takes part for the first time".to_owned(),
                result: ActionResult::Pending,
                message: None,
            });
            let topology = Topology {
                primaries: *primaries,
                secondaries: 0,
            };
            match client.default_allocation(topology).await {
                Ok(()) => {
                    run.result(place, ActionResult::Done, None);
                    stepped.formed = true;
                }
                Err(error) => {
                    run.result(place, ActionResult::Failed, Some(error.to_string()));
                    stepped.error = Some(error);
                }
            }
        }
        _ => {}
    }
    stepped
}

fn action(name: &str, server: &Enable, reason: &str) -> PlannedAction {
    PlannedAction {
        action: name.to_owned(),
        target: server.pod.clone(),
        reason: reason.to_owned(),
        result: ActionResult::Pending,
        message: None,
    }
}

/// Plans in words, for the status of a dry run.
pub fn describe(plan: &Plan) -> Vec<String> {
    const LISTED: usize = 50;
    plan.actions()
        .take(LISTED)
        .map(|action| format!("{} {}: {}", action.verb, action.effect.label(), action.reason))
        .collect()
}
