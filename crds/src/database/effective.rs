//! What an absent field of a database means.

use super::{DatabaseState, DeletionPolicy, Neo4jDatabaseSpec as Spec, rules::canonical_name};

/// A database's spec with nothing left open but what Neo4j itself decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveDatabase {
    /// The name as Neo4j keeps it.
    pub name: String,
    /// Primaries, if managed.
    pub primaries: Option<i32>,
    /// Secondaries, if managed: 0 when only primaries are given.
    pub secondaries: Option<i32>,
    /// Whether Ready waits until the database is online.
    pub wait: bool,
    /// Whether a database that exists is taken over.
    pub if_not_exists: bool,
    /// What becomes of the database when the resource is deleted.
    pub deletion_policy: DeletionPolicy,
    /// Whether it should run, if managed.
    pub state: Option<DatabaseState>,
}

impl Spec {
    /// The spec with nothing left open but what Neo4j itself decides.
    pub fn effective(&self) -> EffectiveDatabase {
        let topology = self.topology.as_ref();
        let primaries = topology.and_then(|topology| topology.primaries);
        let secondaries = topology.and_then(|topology| topology.secondaries);
        EffectiveDatabase {
            name: canonical_name(&self.name),
            primaries: primaries.or(secondaries.map(|_| 1)),
            secondaries: secondaries.or(primaries.map(|_| 0)),
            wait: self.wait.unwrap_or(true),
            if_not_exists: self.if_not_exists.unwrap_or(true),
            deletion_policy: self.deletion_policy.clone().unwrap_or(DeletionPolicy::Delete),
            state: self.state.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_topology_is_managed_whole_or_not_at_all() {
        let of = |topology| {
            let spec: Spec =
                serde_json::from_value(json!({"clusterRef": "c", "name": "Orders", "topology": topology})).unwrap();
            let effective = spec.effective();
            assert_eq!(effective.name, "orders");
            (effective.primaries, effective.secondaries)
        };
        assert_eq!(of(json!(null)), (None, None));
        assert_eq!(of(json!({"primaries": 3})), (Some(3), Some(0)));
        assert_eq!(of(json!({"secondaries": 2})), (Some(1), Some(2)));
    }

    #[test]
    fn an_explicit_false_survives() {
        let spec: Spec = serde_json::from_value(
            json!({"clusterRef": "c", "name": "orders", "wait": false, "ifNotExists": false, "deletionPolicy": "Retain"}),
        )
        .unwrap();
        let effective = spec.effective();
        assert!(!effective.wait && !effective.if_not_exists);
        assert_eq!(effective.deletion_policy, DeletionPolicy::Retain);
    }
}
