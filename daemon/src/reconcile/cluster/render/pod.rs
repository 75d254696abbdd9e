//! The pod template of a pool, and the parts of the spec that it is made from.

use std::collections::BTreeMap;

use neo4j_operator_crds::cluster::effective::ANTI_AFFINITY_WEIGHT;
use serde_json::{Map, Value, json};

use super::{
    Desired, Inputs, Role,
    conf::{Conf, START_SCRIPT, Strictness},
    config_map::{ROLES_KEY, SCRIPT_KEY, conf_key},
    mark, names,
};

/// A part of the spec that a StatefulSet's pods are made from; what a held change is named by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// `spec.image`.
    Image,
    /// `spec.resources`.
    Resources,
    /// `spec.config`.
    Config,
    /// `spec.env` and `spec.extraEnvFrom`.
    Env,
    /// `spec.tls`.
    Tls,
    /// The certificate itself.
    Certificate,
    /// Where pods may run.
    Placement,
    /// `spec.securityContext`.
    Security,
    /// `spec.extraVolumes` and their mounts.
    Volumes,
    /// `spec.storage.size`.
    Storage,
    /// Everything of the template; alone it means that the operator itself renders another one.
    Template,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 11] = [
        Self::Image,
        Self::Resources,
        Self::Config,
        Self::Env,
        Self::Tls,
        Self::Certificate,
        Self::Placement,
        Self::Security,
        Self::Volumes,
        Self::Storage,
        Self::Template,
    ];

    /// The key in the annotation.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Resources => "resources",
            Self::Config => "config",
            Self::Env => "env",
            Self::Tls => "tls",
            Self::Certificate => "certificate",
            Self::Placement => "placement",
            Self::Security => "security",
            Self::Volumes => "volumes",
            Self::Storage => "storage",
            Self::Template => "template",
        }
    }

    /// The field as people know it.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Image => "spec.image",
            Self::Resources => "spec.resources",
            Self::Config => "spec.config",
            Self::Env => "spec.env",
            Self::Tls => "spec.tls",
            Self::Certificate => "the certificate of spec.tls.certificateSecret",
            Self::Placement => "the placement of the pods",
            Self::Security => "spec.securityContext",
            Self::Volumes => "spec.extraVolumes",
            Self::Storage => "spec.storage.size",
            Self::Template => "the operator's pod template",
        }
    }
}

/// The pod template of a pool and the hash of each of its parts.
pub fn template(desired: &Desired, role: Role, conf: &Conf, inputs: &Inputs) -> (Value, BTreeMap<Part, String>) {
    let spec = desired.spec();
    let env = env(desired);
    let config_hash = mark(&json!([
        conf.text,
        START_SCRIPT,
        env,
        spec.extra_env_from,
        inputs.tls_fingerprint
    ]));
    let mut labels = names::labels(&desired.name);
    labels.extend(names::member_selector(&desired.name));
    labels.insert(names::SERVER_NAME.to_owned(), role.as_str().to_owned());
    labels.insert("app.kubernetes.io/version".to_owned(), desired.version.to_string());
    let annotations: BTreeMap<String, String> = [
        (names::CONFIG_HASH, config_hash),
        ("prometheus.io/scrape", "true".to_owned()),
        ("prometheus.io/port", names::METRICS.to_string()),
        ("prometheus.io/path", "/metrics".to_owned()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    let pod = json!({
        "metadata": {"labels": labels, "annotations": annotations},
        "spec": pod_spec(desired, role, &env),
    });
    let tls = spec.tls.as_ref().filter(|_| desired.tls().is_some());
    let placement = json!([
        spec.topology.placement,
        spec.node_selector,
        spec.tolerations,
        spec.affinity,
        desired.effective.grace_seconds,
    ]);
    let parts = [
        (
            Part::Image,
            json!([
                desired.effective.image,
                desired.effective.pull_policy,
                spec.image.pull_secrets
            ]),
        ),
        (Part::Resources, json!(desired.effective.resources)),
        (Part::Config, json!(spec.config)),
        (Part::Env, json!([env, spec.extra_env_from])),
        (Part::Tls, json!(tls)),
        (Part::Certificate, json!(inputs.tls_fingerprint)),
        (Part::Placement, placement),
        (Part::Security, json!(spec.security_context)),
        (Part::Volumes, json!([spec.extra_volumes, spec.extra_volume_mounts])),
        (Part::Storage, json!([spec.storage.size, spec.storage.class_name])),
        (Part::Template, pod.clone()),
    ]
    .into_iter()
    .map(|(part, value)| (part, mark(&value)))
    .collect();
    (pod, parts)
}

fn pod_spec(desired: &Desired, role: Role, env: &[Value]) -> Value {
    let spec = desired.spec();
    let mut pod = Map::new();
    let mut set = |key: &str, value: Value| {
        if !matches!(&value, Value::Null) && value != json!([]) && value != json!({}) {
            pod.insert(key.to_owned(), value);
        }
    };
    set("serviceAccountName", json!(desired.name));
    set("automountServiceAccountToken", json!(false));
    set("enableServiceLinks", json!(false));
    set("terminationGracePeriodSeconds", json!(desired.effective.grace_seconds));
    let pull_secrets = spec.image.pull_secrets.iter().map(|name| json!({"name": name}));
    set("imagePullSecrets", pull_secrets.collect());
    set("nodeSelector", json!(spec.node_selector));
    set("tolerations", json!(spec.tolerations));
    set("affinity", affinity(desired));
    set("topologySpreadConstraints", spread(desired));
    set("securityContext", pod_security(desired));
    set("containers", json!([container(desired, env)]));
    set("volumes", volumes(desired, role));
    Value::Object(pod)
}

fn container(desired: &Desired, env: &[Value]) -> Value {
    let spec = desired.spec();
    let mut ports = vec![("bolt", names::BOLT), ("http", names::HTTP)];
    if desired.tls().is_some() {
        ports.push(("https", names::HTTPS));
    }
    ports.extend([
        ("cluster", names::CLUSTER_PORT),
        ("routing", names::ROUTING),
        ("raft", names::RAFT),
        ("backup", names::BACKUP),
        ("metrics", names::METRICS),
    ]);
    let ports: Vec<Value> = ports
        .into_iter()
        .map(|(name, port)| json!({"name": name, "containerPort": port, "protocol": "TCP"}))
        .collect();
    // Whether a server is well is asked over Bolt; a probe that looked at the quorum or at log text would kill
    // servers just when they are needed.
    let probe = |failures: u32| {
        json!({
            "tcpSocket": {"port": "bolt"},
            "periodSeconds": 5,
            "timeoutSeconds": 10,
            "failureThreshold": failures,
        })
    };
    let mut container = json!({
        "name": names::CONTAINER,
        "image": desired.effective.image,
        "imagePullPolicy": desired.effective.pull_policy,
        "command": ["/bin/sh", format!("/config/{SCRIPT_KEY}")],
        "env": env,
        "ports": ports,
        "resources": desired.effective.resources,
        "startupProbe": probe(1000),
        "readinessProbe": probe(20),
        "livenessProbe": probe(40),
        "securityContext": container_security(desired),
        "volumeMounts": mounts(desired),
    });
    if !spec.extra_env_from.is_empty() {
        container["envFrom"] = json!(spec.extra_env_from);
    }
    container
}

/// Our variables, then the user's; each name once.
fn env(desired: &Desired) -> Vec<Value> {
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}});
    let mut env = vec![
        field("POD_NAME", "metadata.name"),
        field("POD_NAMESPACE", "metadata.namespace"),
        json!({"name": "HEADLESS_SERVICE", "value": names::headless(&desired.name)}),
        json!({"name": "CLUSTER_DOMAIN", "value": desired.cluster_domain}),
        json!({"name": "NEO4J_EDITION", "value": "enterprise"}),
    ];
    if let Some(license) = desired.license() {
        env.push(json!({"name": "NEO4J_ACCEPT_LICENSE_AGREEMENT", "value": license}));
    }
    env.push(json!({"name": "NEO4J_AUTH", "valueFrom": {"secretKeyRef": {
        "name": names::operator_auth(&desired.name), "key": "NEO4J_AUTH",
    }}}));
    let given = &desired.spec().env;
    for (index, variable) in given.iter().enumerate() {
        let repeated = given[index + 1..].iter().any(|later| later.name == variable.name);
        if !repeated && !is_ours(&variable.name) {
            env.push(json!(variable));
        }
    }
    env
}

/// Whether a variable is set by the operator alone.
pub fn is_ours(name: &str) -> bool {
    matches!(
        name,
        "POD_NAME"
            | "POD_NAMESPACE"
            | "HEADLESS_SERVICE"
            | "CLUSTER_DOMAIN"
            | "NEO4J_EDITION"
            | "NEO4J_ACCEPT_LICENSE_AGREEMENT"
            | "NEO4J_AUTH"
    )
}

fn mounts(desired: &Desired) -> Vec<Value> {
    let mut mounts: Vec<Value> = [
        (names::DATA, "/data"),
        ("logs", "/logs"),
        ("plugins", "/plugins"),
        ("conf", "/conf"),
    ]
    .into_iter()
    .map(|(name, path)| json!({"name": name, "mountPath": path}))
    .collect();
    mounts.push(json!({"name": "config", "mountPath": "/config", "readOnly": true}));
    if desired.tls().is_some() {
        mounts.push(json!({"name": "ssl", "mountPath": "/ssl", "readOnly": true}));
    }
    mounts.extend(desired.spec().extra_volume_mounts.iter().map(|mount| json!(mount)));
    mounts
}

/// Modes as the API writes them, in decimal.
const READ_ONLY: u32 = 0o440;
const EXECUTABLE: u32 = 0o550;

fn volumes(desired: &Desired, role: Role) -> Value {
    let mut items = vec![
        json!({"key": conf_key(role), "path": "neo4j.conf"}),
        json!({"key": SCRIPT_KEY, "path": SCRIPT_KEY, "mode": EXECUTABLE}),
    ];
    if role == Role::Server {
        items.push(json!({"key": ROLES_KEY, "path": ROLES_KEY}));
    }
    let mut volumes: Vec<Value> = ["logs", "plugins", "conf"]
        .into_iter()
        .map(|name| json!({"name": name, "emptyDir": {}}))
        .collect();
    volumes.push(json!({"name": "config", "configMap": {
        "name": names::config_map(&desired.name), "defaultMode": READ_ONLY, "items": items,
    }}));
    if let Some((secret, strictness)) = desired.tls() {
        let mut volume = json!({"secretName": secret, "defaultMode": READ_ONLY});
        // Items must exist, and ca.crt may be missing where nobody verifies: then the Secret is mounted as it is.
        if strictness == Strictness::Strict {
            volume["items"] = [
                ("tls.crt", "tls.crt"),
                ("tls.key", "tls.key"),
                ("ca.crt", "ca.crt"),
                ("ca.crt", "trusted/ca.crt"),
            ]
            .into_iter()
            .map(|(key, path)| json!({"key": key, "path": path}))
            .collect();
        }
        volumes.push(json!({"name": "ssl", "secret": volume}));
    }
    volumes.extend(desired.spec().extra_volumes.iter().map(|volume| json!(volume)));
    Value::Array(volumes)
}

/// Ours below, the user's fields over it.
fn over(ours: Value, given: Option<Value>) -> Value {
    let (Value::Object(mut ours), Some(Value::Object(given))) = (ours.clone(), given) else {
        return ours;
    };
    ours.extend(given);
    Value::Object(ours)
}

fn pod_security(desired: &Desired) -> Value {
    let given = desired.spec().security_context.as_ref();
    over(
        json!({
            "runAsUser": 7474,
            "runAsGroup": 7474,
            "fsGroup": 7474,
            "fsGroupChangePolicy": "OnRootMismatch",
            "runAsNonRoot": true,
            "seccompProfile": {"type": "RuntimeDefault"},
        }),
        given.and_then(|given| given.pod_security_context.as_ref().map(|context| json!(context))),
    )
}

fn container_security(desired: &Desired) -> Value {
    let given = desired.spec().security_context.as_ref();
    over(
        json!({
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "privileged": false,
        }),
        given.and_then(|given| given.container_security_context.as_ref().map(|context| json!(context))),
    )
}

/// The user's affinity, and ours that keeps members apart.
fn affinity(desired: &Desired) -> Value {
    let mut affinity = desired
        .spec()
        .affinity
        .as_ref()
        .map_or_else(|| json!({}), |affinity| json!(affinity));
    let Some(apart) = &desired.effective.anti_affinity else {
        return affinity;
    };
    let term = json!({
        "labelSelector": {"matchLabels": names::member_selector(&desired.name)},
        "topologyKey": apart.topology_key,
    });
    let (list, entry) = if apart.required {
        ("requiredDuringSchedulingIgnoredDuringExecution", term)
    } else {
        (
            "preferredDuringSchedulingIgnoredDuringExecution",
            json!({"weight": ANTI_AFFINITY_WEIGHT, "podAffinityTerm": term}),
        )
    };
    let terms = &mut affinity["podAntiAffinity"][list];
    match terms {
        Value::Array(terms) => terms.push(entry),
        _ => *terms = json!([entry]),
    }
    affinity
}

fn spread(desired: &Desired) -> Value {
    let Some(spread) = &desired.effective.topology_spread else {
        return Value::Null;
    };
    let mut constraint = json!({
        "maxSkew": spread.max_skew,
        "topologyKey": spread.topology_key,
        "whenUnsatisfiable": spread.when_unsatisfiable,
        "labelSelector": {"matchLabels": names::member_selector(&desired.name)},
    });
    if let Some(domains) = spread.min_domains {
        constraint["minDomains"] = json!(domains);
    }
    json!([constraint])
}
