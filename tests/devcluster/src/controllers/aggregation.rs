//! ClusterRoles that gather the rules of others: whatever the roles say that their selectors find, in order of their names.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    Context, Error, meta,
    queue::{self, Queue},
    view::{Change, Key, View},
};

/// Runs the controller until `stop`.
pub(super) async fn run(context: Context, stop: CancellationToken) {
    let roles = Arc::clone(&context.views.cluster_roles);
    let queue = Arc::new(Queue::<Key>::default());
    let (to, all) = (Arc::clone(&queue), Arc::clone(&roles));
    roles.subscribe(move |change| {
        let (Change::Applied { now: role, .. } | Change::Deleted(role)) = change;
        to.add(Key::of(*role));
        // Any of these may gather from it, or have done so.
        for gathering in all.list("", |role| role.aggregation_rule.is_some()) {
            to.add(Key::of(&*gathering));
        }
    });
    if stop.run_until_cancelled(roles.synced()).await.is_some() {
        queue::run(&queue, stop, 1, |key| gather(&roles, key)).await;
    }
}

async fn gather(roles: &View<ClusterRole>, key: Key) -> Result<Option<Duration>, Error> {
    let Some(role) = roles.get(&key).filter(|role| role.aggregation_rule.is_some()) else {
        return Ok(None);
    };
    let rules = gathered(&role, &roles.all());
    if role.rules.as_deref().unwrap_or_default() != rules {
        roles.merge(&*role, json!({"rules": rules}), true).await?;
    }
    Ok(None)
}

/// The rules of all roles that the selectors find, each once.
fn gathered(role: &ClusterRole, all: &[Arc<ClusterRole>]) -> Vec<PolicyRule> {
    let mut out: Vec<PolicyRule> = Vec::new();
    let rule = role.aggregation_rule.as_ref();
    for selector in rule
        .into_iter()
        .flat_map(|rule| rule.cluster_role_selectors.iter().flatten())
    {
        let found = all.iter().filter(|other| {
            meta::name(&***other) != meta::name(role) && meta::selects(selector, other.metadata.labels.as_ref())
        });
        for rule in found.flat_map(|other| other.rules.iter().flatten()) {
            if !out.contains(rule) {
                out.push(rule.clone());
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn role(name: &str, labels: Value, verbs: &[&str]) -> Arc<ClusterRole> {
        let rules: Vec<Value> = verbs.iter().map(|verb| json!({"verbs": [verb]})).collect();
        let selectors = json!({"clusterRoleSelectors": [{"matchLabels": {"to": name}}]});
        let role = json!({"metadata": {"name": name, "labels": labels}, "rules": rules, "aggregationRule": selectors});
        Arc::new(serde_json::from_value(role).unwrap())
    }

    #[test]
    fn a_role_gathers_the_rules_of_others_once_and_never_its_own() {
        let all = [
            role("a", json!({"to": "a"}), &["own"]),
            role("b", json!({"to": "a"}), &["get", "list"]),
            role("c", json!({"to": "a"}), &["list", "watch"]),
            role("d", json!({"to": "b"}), &["delete"]),
        ];
        let verbs =
            |role: &ClusterRole| -> Vec<String> { gathered(role, &all).into_iter().flat_map(|r| r.verbs).collect() };
        assert_eq!(verbs(&all[0]), ["get", "list", "watch"]);
        assert_eq!(verbs(&all[1]), ["delete"]);
        assert!(verbs(&all[3]).is_empty());
    }
}
