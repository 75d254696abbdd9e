//! Which fields act, which are accepted without effect, and which are refused.
//!
//! A field is of class S when the operator acts on it, I when it is accepted and only named in the
//! status, X when it is refused because neglecting it would give wrong data or false safety. Only S
//! and X are listed here; every other field is I, so a field that nobody wired cannot pass for one
//! that acts. Paths are reported, never values.

use kube::Resource;
use serde_json::{Map, Value};

use crate::{Neo4jBackup, Neo4jDatabase, Neo4jEnterpriseCluster, config_policy::RESERVED_ENV};

/// What the operator does with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// It acts on it.
    Supported,
    /// It accepts it without effect and names it in the status.
    Ignored,
    /// It refuses it.
    Unsupported,
}

/// A field, or a value of a field, that is refused.
pub struct Refusal {
    /// The path that is reported; `[]` stands for any item.
    pub path: &'static str,
    /// When it is refused, in words.
    pub when: &'static str,
    /// Why, and what to do.
    pub why: &'static str,
    /// The class of its other values: supported when what they ask for is so anyway.
    pub others: Class,
    /// Whether a spec asks for it.
    asked: fn(&Value) -> bool,
}

/// The classes of one kind's fields.
pub struct Classes {
    /// The kind.
    pub kind: &'static str,
    /// Paths that act, with all below them. The rest is ignored or refused.
    pub supported: &'static [&'static str],
    /// What is refused.
    pub refusals: &'static [Refusal],
}

/// A kind whose fields have classes.
pub trait Classified: Resource {
    /// The classes of its fields.
    const CLASSES: &'static Classes;
}

impl Classified for Neo4jEnterpriseCluster {
    const CLASSES: &'static Classes = &CLUSTER;
}

impl Classified for Neo4jDatabase {
    const CLASSES: &'static Classes = &DATABASE;
}

impl Classified for Neo4jBackup {
    const CLASSES: &'static Classes = &BACKUP;
}

/// The classes of all kinds.
pub static ALL: [&Classes; 3] = [&CLUSTER, &DATABASE, &BACKUP];

/// Fields of a cluster.
pub static CLUSTER: Classes = Classes {
    kind: "Neo4jEnterpriseCluster",
    supported: &[
        "spec.image",
        "spec.acceptLicenseAgreement",
        "spec.topology.servers",
        "spec.topology.primaries",
        "spec.topology.secondaries",
        "spec.topology.minSystemPrimaries",
        "spec.topology.serverModeConstraint",
        "spec.topology.serverRoles",
        "spec.topology.placement.topologySpread",
        "spec.topology.placement.antiAffinity",
        "spec.storage",
        "spec.resources",
        "spec.config",
        "spec.env",
        "spec.extraEnvFrom",
        "spec.auth.adminSecret",
        "spec.tls.mode",
        "spec.tls.certificateSecret",
        "spec.tls.strictPeerValidation",
        "spec.service.type",
        "spec.service.annotations",
        "spec.service.loadBalancerIP",
        "spec.service.externalTrafficPolicy",
        "spec.nodeSelector",
        "spec.tolerations",
        "spec.affinity",
        "spec.securityContext",
        "spec.extraVolumes",
        "spec.extraVolumeMounts",
        "spec.podServiceAccountAnnotations",
        "spec.podDisruptionBudget",
        "spec.terminationGracePeriodSeconds",
        "spec.clusterDomain",
    ],
    refusals: &[
        Refusal {
            path: "spec.tls",
            when: "present, mode not disabled, no certificateSecret",
            why: "certificates are not requested from cert-manager yet, and the cluster would run without TLS; name a \
                  Secret in spec.tls.certificateSecret",
            others: Class::Supported,
            asked: |spec| {
                at(spec, "tls")
                    .is_some_and(|tls| text(tls, "mode") != "disabled" && text(tls, "certificateSecret").is_empty())
            },
        },
        Refusal {
            path: "spec.networkPolicy.enabled",
            when: "true",
            why: "network policies are not written yet, and the cluster would stay open to the network; leave it out \
                  and write a NetworkPolicy",
            others: Class::Supported,
            asked: |spec| is_true(spec, "networkPolicy.enabled"),
        },
        Refusal {
            path: "spec.audit.enabled",
            when: "true",
            why: "the security log is not set up yet, and logins would go unrecorded; leave it out and give the \
                  settings in spec.config",
            others: Class::Supported,
            asked: |spec| is_true(spec, "audit.enabled"),
        },
        Refusal {
            path: "spec.service.loadBalancerSourceRanges",
            when: "not empty",
            why: "source ranges are not written yet, and the load balancer would serve everyone; leave it out",
            others: Class::Supported,
            asked: |spec| at(spec, "service.loadBalancerSourceRanges").is_some_and(|value| !is_empty(value)),
        },
        Refusal {
            path: "spec.propertySharding.enabled",
            when: "true",
            why: "property sharding is not supported; leave it out",
            others: Class::Supported,
            asked: |spec| is_true(spec, "propertySharding.enabled"),
        },
        Refusal {
            path: "spec.autoScaling.primaries.metrics[]",
            when: "type custom",
            why: "custom metrics are not supported; use cpu, memory, query_latency, connection_count or throughput",
            others: Class::Supported,
            asked: |spec| has_custom_metric(spec, "autoScaling.primaries.metrics"),
        },
        Refusal {
            path: "spec.autoScaling.secondaries.metrics[]",
            when: "type custom",
            why: "custom metrics are not supported; use cpu, memory, query_latency, connection_count or throughput",
            others: Class::Supported,
            asked: |spec| has_custom_metric(spec, "autoScaling.secondaries.metrics"),
        },
    ],
};

/// Fields of a database.
pub static DATABASE: Classes = Classes {
    kind: "Neo4jDatabase",
    supported: &[
        "spec.clusterRef",
        "spec.name",
        "spec.topology",
        "spec.wait",
        "spec.ifNotExists",
        "spec.options",
        "spec.deletionPolicy",
        "spec.state",
    ],
    refusals: &[
        Refusal {
            path: "spec.access",
            when: "readOnly",
            why: "read-only access is not set yet, and clients could write; leave it out and run ALTER DATABASE",
            others: Class::Ignored,
            asked: |spec| text(spec, "access") == "readOnly",
        },
        Refusal {
            path: "spec.defaultCypherLanguage",
            when: "present",
            why: "the default version of Cypher is not set yet and cannot be changed later; leave it out",
            others: Class::Supported,
            asked: |spec| at(spec, "defaultCypherLanguage").is_some(),
        },
        Refusal {
            path: "spec.seedURI",
            when: "present",
            why: "databases are not seeded yet, and this one would be empty; leave it out",
            others: Class::Supported,
            asked: |spec| at(spec, "seedURI").is_some(),
        },
        Refusal {
            path: "spec.seedConfig",
            when: "present",
            why: "databases are not seeded yet; leave it out",
            others: Class::Supported,
            asked: |spec| at(spec, "seedConfig").is_some(),
        },
        Refusal {
            path: "spec.seedCredentials",
            when: "present",
            why: "databases are not seeded yet; leave it out",
            others: Class::Supported,
            asked: |spec| at(spec, "seedCredentials").is_some(),
        },
        Refusal {
            path: "spec.initialData",
            when: "present",
            why: "initial data is not imported yet, and the database would be empty; leave it out",
            others: Class::Supported,
            asked: |spec| at(spec, "initialData").is_some(),
        },
    ],
};

/// Fields of a backup.
pub static BACKUP: Classes = Classes {
    kind: "Neo4jBackup",
    supported: &[
        "spec.instanceRef",
        "spec.database",
        "spec.allDatabases",
        "spec.storage.type",
        "spec.storage.bucket",
        "spec.storage.path",
        "spec.storage.pvc",
        "spec.storage.cloud.provider",
        "spec.storage.cloud.credentialsSecretRef",
        "spec.storage.cloud.endpointURL",
        "spec.storage.cloud.forcePathStyle",
        "spec.schedule",
        "spec.suspend",
        "spec.retention",
        "spec.options",
        "spec.mode",
    ],
    refusals: &[
        Refusal {
            path: "spec.shardedDatabase",
            when: "present",
            why: "sharded databases are not supported; name a database, or set allDatabases",
            others: Class::Supported,
            asked: |spec| at(spec, "shardedDatabase").is_some(),
        },
        Refusal {
            path: "spec.storage.type",
            when: "gcs or azure",
            why: "only pvc and s3 are written yet; choose one of them",
            others: Class::Supported,
            asked: |spec| matches!(text(spec, "storage.type"), "gcs" | "azure"),
        },
        Refusal {
            path: "spec.chainFromBackup",
            when: "present",
            why: "chains of another backup are not continued yet; leave it out, and the first run copies everything",
            others: Class::Supported,
            asked: |spec| at(spec, "chainFromBackup").is_some(),
        },
        Refusal {
            path: "spec.options.validate",
            when: "true",
            // Taking it without checking anything would be false safety.
            why: "artifacts are not checked after a run yet; leave it out",
            others: Class::Supported,
            asked: |spec| is_true(spec, "options.validate"),
        },
        Refusal {
            path: "spec.mode",
            when: "replication-source",
            why: "replication is not supported; use standard",
            others: Class::Supported,
            asked: |spec| text(spec, "mode") == "replication-source",
        },
    ],
};

// === impl Classes ===

impl Classes {
    /// The class of the field at a path, apart from single values that are refused.
    pub fn class_of(&self, path: &str) -> Class {
        if self.supported.iter().any(|supported| covers(supported, path)) {
            Class::Supported
        } else if self
            .refusals
            .iter()
            .any(|refusal| covers(refusal.path, path) && !self.is_mixed(refusal.path))
        {
            Class::Unsupported
        } else {
            Class::Ignored
        }
    }

    /// The paths of fields in a spec that are accepted without effect, sorted, the topmost of each.
    pub fn ignored(&self, spec: &Value) -> Vec<String> {
        let mut found = Vec::new();
        if let Value::Object(fields) = spec {
            self.walk(fields, "spec", spec, &mut found);
        }
        found.extend(reserved_variables(spec));
        found.sort();
        found.dedup();
        found
    }

    /// What a spec asks for that is refused: paths and why.
    pub fn unsupported(&self, spec: &Value) -> Vec<(&'static str, &'static str)> {
        self.refusals
            .iter()
            .filter(|refusal| (refusal.asked)(spec))
            .map(|refusal| (refusal.path, refusal.why))
            .collect()
    }

    fn walk(&self, fields: &Map<String, Value>, prefix: &str, spec: &Value, found: &mut Vec<String>) {
        for (name, value) in fields {
            let path = format!("{prefix}.{name}");
            if is_empty(value) || self.class_of(&path) == Class::Supported || self.is_refused_or_met(&path, spec) {
                continue;
            }
            match value {
                Value::Object(fields) if self.is_mixed(&path) => self.walk(fields, &path, spec, found),
                _ => found.push(path),
            }
        }
    }

    /// Whether a field is refused as it stands, or asks only for what is so anyway.
    fn is_refused_or_met(&self, path: &str, spec: &Value) -> bool {
        let mut refusals = self.refusals.iter().filter(|refusal| covers(refusal.path, path));
        self.class_of(path) == Class::Unsupported
            && refusals.any(|refusal| refusal.others == Class::Supported || (refusal.asked)(spec))
    }

    /// Whether fields of other classes lie below a path. A refused value inside a list does not count.
    pub fn is_mixed(&self, path: &str) -> bool {
        let refused = self
            .refusals
            .iter()
            .map(|refusal| refusal.path)
            .filter(|path| !path.contains("[]"));
        self.supported
            .iter()
            .copied()
            .chain(refused)
            .any(|other| other.len() > path.len() && covers(path, other))
    }
}

impl std::fmt::Debug for Classes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Classes")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refusal")
            .field("path", &self.path)
            .field("when", &self.when)
            .finish_non_exhaustive()
    }
}

/// Whether `path` is `prefix` or lies below it.
fn covers(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Variables that the operator sets from other fields are dropped from `env`, so they are named.
fn reserved_variables(spec: &Value) -> Vec<String> {
    let names = spec
        .get("env")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|v| v.get("name")?.as_str());
    names
        .filter(|name| RESERVED_ENV.contains(name))
        .map(|name| format!("spec.env[{name}]"))
        .collect()
}

/// The value at a dotted path, unless it is null.
fn at<'a>(spec: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.')
        .try_fold(spec, |value, name| value.get(name))
        .filter(|value| !value.is_null())
}

fn text<'a>(spec: &'a Value, path: &str) -> &'a str {
    at(spec, path).and_then(Value::as_str).unwrap_or_default()
}

fn is_true(spec: &Value, path: &str) -> bool {
    at(spec, path) == Some(&Value::Bool(true))
}

/// Whether a value says nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(_) | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn has_custom_metric(spec: &Value, path: &str) -> bool {
    at(spec, path)
        .and_then(Value::as_array)
        .is_some_and(|metrics| metrics.iter().any(|m| text(m, "type") == "custom"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_without_effect_are_named_at_the_topmost_place_that_has_none() {
        let spec = json!({
            "image": {"repo": "neo4j", "tag": "5.26.0"},
            "topology": {"servers": 3, "availabilityZones": ["a"], "placement": {"nodeSelector": {"a": "b"}}},
            "storage": {"size": "1Gi"},
            "auth": {"adminSecret": "s", "ldap": {"host": "ldaps://x"}},
            "tls": {"certificateSecret": "c", "duration": "1h"},
            "monitoring": {"enabled": true},
            "env": [{"name": "NEO4J_AUTH", "value": "secret"}, {"name": "TZ", "value": "UTC"}],
            "mcp": {"enabled": false},
            "extraVolumes": [],
            "affinity": null
        });
        assert_eq!(
            CLUSTER.ignored(&spec),
            [
                "spec.auth.ldap",
                "spec.env[NEO4J_AUTH]",
                "spec.mcp",
                "spec.monitoring",
                "spec.tls.duration",
                "spec.topology.availabilityZones",
                "spec.topology.placement.nodeSelector"
            ]
        );
        assert!(CLUSTER.unsupported(&spec).is_empty());
    }

    #[test]
    fn what_would_give_false_safety_or_wrong_data_is_refused() {
        let paths = |classes: &Classes, spec: Value| -> Vec<&'static str> {
            assert!(classes.ignored(&spec).is_empty(), "{:?}", classes.ignored(&spec));
            classes.unsupported(&spec).into_iter().map(|(path, _)| path).collect()
        };
        assert_eq!(paths(&CLUSTER, json!({"tls": {"mode": "cert-manager"}})), ["spec.tls"]);
        assert_eq!(
            paths(&CLUSTER, json!({"networkPolicy": {"enabled": true}})),
            ["spec.networkPolicy.enabled"]
        );
        assert_eq!(
            paths(&CLUSTER, json!({"audit": {"enabled": true}})),
            ["spec.audit.enabled"]
        );
        assert_eq!(
            paths(
                &CLUSTER,
                json!({"service": {"loadBalancerSourceRanges": ["10.0.0.0/8"]}})
            ),
            ["spec.service.loadBalancerSourceRanges"]
        );
        assert_eq!(
            paths(&CLUSTER, json!({"propertySharding": {"enabled": true}})),
            ["spec.propertySharding.enabled"]
        );
        assert_eq!(paths(&DATABASE, json!({"access": "readOnly"})), ["spec.access"]);
        assert_eq!(paths(&DATABASE, json!({"seedURI": "s3://x"})), ["spec.seedURI"]);
        assert_eq!(
            paths(&DATABASE, json!({"initialData": {"source": "csv"}})),
            ["spec.initialData"]
        );
        assert_eq!(
            paths(&BACKUP, json!({"storage": {"type": "gcs"}})),
            ["spec.storage.type"]
        );
        assert_eq!(paths(&BACKUP, json!({"mode": "replication-source"})), ["spec.mode"]);
        assert_eq!(
            paths(&BACKUP, json!({"options": {"validate": true}})),
            ["spec.options.validate"]
        );
        for harmless in [
            json!({"networkPolicy": {"enabled": false}}),
            json!({"tls": {"mode": "disabled"}}),
            json!({}),
        ] {
            assert!(paths(&CLUSTER, harmless).is_empty());
        }
    }

    #[test]
    fn an_accepted_autoscaling_block_is_named_whole() {
        let spec = json!({"autoScaling": {"mode": "Recommend", "secondaries": {"maxReplicas": 4}}});
        assert_eq!(CLUSTER.ignored(&spec), ["spec.autoScaling"]);
        let custom = json!({"autoScaling": {"secondaries": {"metrics": [{"type": "custom", "target": "1"}]}}});
        assert_eq!(
            CLUSTER.unsupported(&custom)[0].0,
            "spec.autoScaling.secondaries.metrics[]"
        );
    }
}
