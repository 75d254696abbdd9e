//! The objects of a cluster, each a small pure function of what is wanted.
//!
//! Rendering declares exactly the fields that are ours: what is not here belongs to the server's defaults or to
//! others. Nothing observed goes in but what has to stay as it is (replicas of a held scale-in, the partition).

pub mod conf;
mod config_map;
pub mod memory;
pub mod pod;
mod services;
pub mod stateful_set;

use std::collections::BTreeMap;

use neo4j_operator_shared::Kind;
use serde_json::{Value, json};

use super::{
    desired::{Desired, Role},
    names,
};
use crate::reconcile::{Manifest, manifest};

pub use pod::Part;

/// What rendering has to know besides the resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// The credential that the servers start with; absent where the Secret with it is there already, for what is
    /// in it works and must not be overwritten.
    pub credential: Option<Credential>,
    /// Fingerprint of the certificate, with TLS.
    pub tls_fingerprint: Option<String>,
    /// Replicas and partition of each pool, where they differ from what is wanted.
    pub pools: BTreeMap<Role, PoolState>,
}

/// How a StatefulSet is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolState {
    /// Pods.
    pub replicas: u32,
    /// Ordinals below keep their revision.
    pub partition: u32,
}

/// User name and password of the administrator. Never shown: `Debug` hides the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// One StatefulSet with what its template was made from.
#[derive(Clone, Debug, PartialEq)]
pub struct RenderedPool {
    /// The pool.
    pub role: Role,
    /// The object.
    pub manifest: Manifest,
    /// Hash of each part that the pod template comes from.
    pub parts: BTreeMap<Part, String>,
}

/// Every object of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// Objects that pods need before they start.
    pub first: Vec<Manifest>,
    /// Services for clients, which pods do without.
    pub services: Vec<Manifest>,
    /// neo4j.conf; held back together with the pod template.
    pub config_map: Manifest,
    /// The StatefulSets.
    pub pools: Vec<RenderedPool>,
    /// The credential, which outlives the cluster; only to be created, never changed.
    pub operator_auth: Option<Manifest>,
    /// The disruption budget, unless it is switched off.
    pub pdb: Option<Manifest>,
    /// Settings of the user that had to give way.
    pub dropped: Vec<String>,
}

/// Renders everything.
pub fn render(desired: &Desired, inputs: &Inputs) -> Result<Rendered, serde_json::Error> {
    let confs: Vec<(Role, conf::Conf)> = desired
        .pools
        .iter()
        .map(|pool| (pool.role, conf(desired, pool.role)))
        .collect();
    let config_map = child(
        desired,
        Kind::ConfigMap,
        &names::config_map(&desired.name),
        config_map::body(desired, &confs),
    )?;
    let mut dropped: Vec<String> = confs.iter().flat_map(|(_, conf)| conf.dropped.clone()).collect();
    dropped.sort();
    dropped.dedup();
    let pools = desired
        .pools
        .iter()
        .zip(&confs)
        .map(|(pool, (_, conf))| stateful_set::render(desired, pool, conf, inputs))
        .collect::<Result<_, _>>()?;
    let first = vec![
        child(desired, Kind::ServiceAccount, &desired.name, service_account(desired))?,
        child(
            desired,
            Kind::Service,
            &names::headless(&desired.name),
            services::headless(desired),
        )?,
    ];
    let services = vec![
        child(
            desired,
            Kind::Service,
            &names::client(&desired.name),
            services::client(desired),
        )?,
        child(
            desired,
            Kind::Service,
            &names::metrics(&desired.name),
            services::metrics(desired),
        )?,
    ];
    let operator_auth = inputs
        .credential
        .as_ref()
        .map(|credential| {
            Manifest::new(
                Kind::Secret,
                &desired.namespace,
                &names::operator_auth(&desired.name),
                None,
                &operator_auth(desired, credential),
            )
        })
        .transpose()?;
    let pdb = pdb(desired)
        .map(|body| child(desired, Kind::PodDisruptionBudget, &names::pdb(&desired.name), body))
        .transpose()?;
    Ok(Rendered {
        first,
        services,
        config_map,
        pools,
        operator_auth,
        pdb,
        dropped,
    })
}

/// neo4j.conf of a pool.
pub fn conf(desired: &Desired, role: Role) -> conf::Conf {
    conf::render(conf::Input {
        version: desired.version,
        role,
        bootstrap: &desired.bootstrap,
        memory_limit: desired.memory_limit(),
        tls: desired.tls().map(|(_, strictness)| strictness),
        config: &desired.spec().config,
    })
}

fn child(desired: &Desired, kind: Kind, name: &str, body: Value) -> Result<Manifest, serde_json::Error> {
    Manifest::new(kind, &desired.namespace, name, Some(&desired.owner()), &body)
}

/// Metadata with the cluster's labels.
fn metadata(desired: &Desired) -> Value {
    json!({"labels": names::labels(&desired.name)})
}

/// The identity of the pods; no role and no token, for they never talk to the API server.
fn service_account(desired: &Desired) -> Value {
    let annotations = &desired.spec().pod_service_account_annotations;
    let mut metadata = metadata(desired);
    if !annotations.is_empty() {
        metadata["annotations"] = json!(annotations);
    }
    json!({"metadata": metadata, "automountServiceAccountToken": false})
}

/// The credential that the servers were started with: in the form that the operator reads, and in the one that
/// the image takes on an empty volume.
fn operator_auth(desired: &Desired, credential: &Credential) -> Value {
    let text = |text: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(text)
    };
    let Credential { username, password } = credential;
    json!({
        "metadata": metadata(desired),
        "type": "Opaque",
        "data": {
            "username": text(username),
            "password": text(password),
            "NEO4J_AUTH": text(&format!("{username}/{password}")),
        },
    })
}

/// Keeps a majority of the members that may vote, or what the user says.
fn pdb(desired: &Desired) -> Option<Value> {
    let min_available = desired.effective.min_available.as_ref()?;
    Some(json!({
        "metadata": metadata(desired),
        "spec": {
            "minAvailable": min_available,
            "selector": {"matchLabels": names::member_selector(&desired.name)},
        },
    }))
}

/// Hash of a value, short enough for a list of them.
fn mark(value: &Value) -> String {
    let mut mark = manifest::hash(value);
    mark.truncate(10);
    mark
}

#[cfg(test)]
pub(super) mod tests;
