//! The StatefulSet of a pool.
//!
//! Pods start in parallel, for members wait for each other. The partition is held at the number of replicas, so
//! that no change of the template ever replaces a pod by itself: that is a sequence with gates. Claims are never
//! deleted by the StatefulSet controller, whatever happens to the set.

use std::collections::BTreeMap;

use neo4j_operator_shared::Kind;
use serde_json::json;

use super::{Desired, Inputs, Part, PoolState, RenderedPool, child, conf::Conf, metadata, names, pod};
use crate::reconcile::cluster::desired::Pool;

/// Renders one.
pub fn render(desired: &Desired, pool: &Pool, conf: &Conf, inputs: &Inputs) -> Result<RenderedPool, serde_json::Error> {
    let (template, parts) = pod::template(desired, pool.role, conf, inputs);
    let state = inputs.pools.get(&pool.role).copied().unwrap_or(PoolState {
        replicas: pool.replicas,
        partition: pool.replicas,
    });
    let storage = &desired.spec().storage;
    let mut claim = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": storage.size}},
    });
    if let Some(class) = storage.class_name.as_ref().filter(|class| !class.is_empty()) {
        claim["storageClassName"] = json!(class);
    }
    let mut metadata = metadata(desired);
    metadata["annotations"] = json!({names::TEMPLATE_PARTS: write_parts(&parts)});
    let body = json!({
        "metadata": metadata,
        "spec": {
            "replicas": state.replicas,
            "podManagementPolicy": "Parallel",
            "serviceName": names::headless(&desired.name),
            "selector": {"matchLabels": names::pool_selector(&desired.name, pool.role.as_str())},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": state.partition}},
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "template": template,
            "volumeClaimTemplates": [{
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": names::DATA, "labels": names::labels(&desired.name)},
                "spec": claim,
            }],
        },
    });
    Ok(RenderedPool {
        role: pool.role,
        manifest: child(desired, Kind::StatefulSet, &pool.stateful_set, body)?,
        parts,
    })
}

/// `key=hash` of every part, for the annotation.
fn write_parts(parts: &BTreeMap<Part, String>) -> String {
    let list: Vec<String> = parts
        .iter()
        .map(|(part, hash)| format!("{}={hash}", part.key()))
        .collect();
    list.join(",")
}

/// Reads the annotation; parts that this version does not know are left out.
pub fn read_parts(text: &str) -> BTreeMap<Part, String> {
    text.split(',')
        .filter_map(|entry| {
            let (key, hash) = entry.split_once('=')?;
            let part = Part::ALL.into_iter().find(|part| part.key() == key)?;
            Some((part, hash.to_owned()))
        })
        .collect()
}

/// Parts of the template that differ from what is on the live object. The template as a whole is named only
/// where no part of the spec explains the difference.
pub fn changed_parts(live: &BTreeMap<Part, String>, rendered: &BTreeMap<Part, String>) -> Vec<Part> {
    let mut changed: Vec<Part> = Part::ALL
        .into_iter()
        .filter(|part| live.get(part) != rendered.get(part))
        .collect();
    if changed.len() > 1 {
        changed.retain(|part| *part != Part::Template);
    }
    changed
}
