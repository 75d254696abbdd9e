//! The objects of a backup, each a pure function of the spec and of the cluster it copies from.
//!
//! Nothing observed goes in: the addresses of the servers come from the cluster's spec, so that the same spec gives
//! the same bytes and a second pass has nothing to write. There is no shell anywhere (BK2), and no credential in
//! an argument (BK6).

use neo4j_operator_crds::{
    Neo4jBackupSpec,
    backup::{EffectiveBackup, IncludeMetadata, effective::Scope},
    cluster::topology::ModeConstraint,
    location::{StorageLocation, StorageType},
    version::Version,
};
use neo4j_operator_shared::Kind;
use serde_json::{Value, json};

use super::{
    names,
    schedule::{Schedule, TIME_ZONE},
};
use crate::reconcile::{
    Manifest,
    cluster::{
        desired::Desired,
        names::{BACKUP as BACKUP_PORT, pod_host},
    },
    ownership::owner_reference,
};

/// Finished Jobs are removed after so long; their results are in the status by then.
pub const TTL_SECONDS: i64 = 1800;
/// A run that takes longer is ended: nobody waits for it any more.
pub const DEADLINE_SECONDS: i64 = 86_400;
/// Attempts after the first.
pub const RETRIES: i32 = 3;

/// Keys of the Secret that become variables, and whether they may be missing.
const S3_KEYS: [(&str, bool); 4] = [
    ("AWS_ACCESS_KEY_ID", false),
    ("AWS_SECRET_ACCESS_KEY", false),
    ("AWS_SESSION_TOKEN", true),
    ("AWS_REGION", true),
];

/// What rendering needs.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Namespace of all objects.
    pub namespace: &'a str,
    /// Name of the backup.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
    /// Its spec, for what has no default.
    pub spec: &'a Neo4jBackupSpec,
    /// Its spec with nothing left open.
    pub desired: &'a EffectiveBackup,
    /// The cluster that is copied from.
    pub cluster: &'a Desired,
    /// Image that carries this program.
    pub operator_image: &'a str,
}

/// The claim that artifacts go to; `None` for a bucket.
pub fn claim_name(storage: &StorageLocation, backup: &str) -> Option<String> {
    let claim = storage.pvc.as_ref().filter(|_| storage.type_ == StorageType::Pvc)?;
    let named = claim.name.clone().filter(|name| !name.is_empty());
    Some(named.unwrap_or_else(|| names::claim(backup)))
}

/// Where the artifacts go, as the status says it: a folder of the claim, or an address in a bucket. One folder
/// for each backup and none for each run: a chain is in one place and has one writer (BK3).
pub fn folder(storage: &StorageLocation, desired: &EffectiveBackup, backup: &str) -> String {
    let folder = format!("{}/{backup}", desired.path);
    match (&storage.type_, &storage.bucket) {
        (StorageType::S3, Some(bucket)) => format!("s3://{bucket}/{folder}/"),
        _ => folder,
    }
}

/// The identity of the pods; no role and no token, for they never talk to the API server.
pub fn service_account(namespace: &str) -> Result<Manifest, serde_json::Error> {
    let body = json!({"metadata": {"labels": names::common()}, "automountServiceAccountToken": false});
    Manifest::new(Kind::ServiceAccount, namespace, names::SERVICE_ACCOUNT, None, &body)
}

/// The claim, without an owner: artifacts outlive the resource that asked for them (BK6).
pub fn claim(input: Input<'_>, name: &str) -> Result<Manifest, serde_json::Error> {
    let given = input.spec.storage.pvc.clone().unwrap_or_default();
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": given.size}},
    });
    if let Some(class) = given.storage_class_name.filter(|class| !class.is_empty()) {
        spec["storageClassName"] = json!(class);
    }
    let body = json!({"metadata": {"labels": labels(input)}, "spec": spec});
    Manifest::new(Kind::PersistentVolumeClaim, input.namespace, name, None, &body)
}

/// The Job of a backup that runs once.
pub fn job(input: Input<'_>) -> Result<Manifest, serde_json::Error> {
    let body = json!({"metadata": {"labels": labels(input)}, "spec": job_spec(input)});
    child(input, Kind::Job, &names::job(input.name), &body)
}

/// The CronJob. Its Jobs are born suspended, and the operator lets them go one after the other: a CronJob knows
/// nothing of the other backups of the same instance (BK3).
pub fn cron_job(input: Input<'_>, schedule: &Schedule) -> Result<Manifest, serde_json::Error> {
    let mut job = job_spec(input);
    job["suspend"] = json!(true);
    let body = json!({
        "metadata": {"labels": labels(input)},
        "spec": {
            "schedule": schedule.expression(),
            "timeZone": TIME_ZONE,
            "suspend": input.desired.suspend,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 60,
            "successfulJobsHistoryLimit": 10,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {"metadata": {"labels": labels(input)}, "spec": job},
        },
    });
    child(input, Kind::CronJob, &names::cron_job(input.name), &body)
}

fn child(input: Input<'_>, kind: Kind, name: &str, body: &Value) -> Result<Manifest, serde_json::Error> {
    let owner = owner_reference(Kind::Neo4jBackup, input.name, input.uid);
    Manifest::new(kind, input.namespace, name, Some(&owner), body)
}

fn labels(input: Input<'_>) -> Value {
    json!(names::labels(input.name, &input.cluster.name))
}

fn job_spec(input: Input<'_>) -> Value {
    json!({
        "backoffLimit": RETRIES,
        "activeDeadlineSeconds": DEADLINE_SECONDS,
        "ttlSecondsAfterFinished": TTL_SECONDS,
        "template": {"metadata": {"labels": labels(input)}, "spec": pod_spec(input)},
    })
}

fn pod_spec(input: Input<'_>) -> Value {
    let image = &input.cluster.effective;
    let mut pod = json!({
        "restartPolicy": "Never",
        "serviceAccountName": names::SERVICE_ACCOUNT,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "securityContext": {
            "runAsUser": 7474,
            "runAsGroup": 7474,
            "fsGroup": 7474,
            "fsGroupChangePolicy": "OnRootMismatch",
            "runAsNonRoot": true,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [{
            "name": names::PROGRAM_CONTAINER,
            "image": input.operator_image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["neo4j-operator", "copy-self", program()],
            "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
            "securityContext": container_security(),
            "volumeMounts": [{"name": "program", "mountPath": names::PROGRAM_PATH}],
        }],
        "containers": [{
            "name": names::CONTAINER,
            "image": image.image,
            "imagePullPolicy": image.pull_policy,
            "command": command(input),
            "env": env(input),
            "resources": input.desired.resources,
            "securityContext": container_security(),
            "volumeMounts": mounts(input),
        }],
        "volumes": volumes(input),
    });
    let secrets = &input.cluster.spec().image.pull_secrets;
    if !secrets.is_empty() {
        pod["imagePullSecrets"] = secrets.iter().map(|name| json!({"name": name})).collect();
    }
    pod
}

fn container_security() -> Value {
    json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "privileged": false})
}

fn program() -> String {
    format!("{}/neo4j-operator", names::PROGRAM_PATH)
}

/// The argument vector: ours, then what `neo4j-admin` gets as it is.
fn command(input: Input<'_>) -> Vec<String> {
    let mut words = vec![
        program(),
        "backup-run".to_owned(),
        format!("--from={}", addresses(input.cluster).join(",")),
        format!("--to-path={}", target(input)),
        format!("--databases={}", databases(input.desired)),
        format!("--type={}", input.desired.backup_type),
    ];
    if claim_name(&input.spec.storage, input.name).is_some()
        && let Some(retention) = &input.spec.retention
    {
        words.extend(retention.max_count.map(|count| format!("--keep-count={count}")));
        words.extend(retention.max_age.iter().map(|age| format!("--keep-age={age}")));
    }
    let inspect = if input.cluster.version.is_calendar() {
        "backup-inspect"
    } else {
        "inspect-path"
    };
    words.push(format!("--inspect={inspect}"));
    words.push("--".to_owned());
    words.extend(further(input));
    words
}

fn databases(desired: &EffectiveBackup) -> &str {
    match &desired.scope {
        Some(Scope::Database(name)) => name,
        _ => "*",
    }
}

/// Options of `neo4j-admin database backup`.
fn further(input: Input<'_>) -> Vec<String> {
    let options = input.spec.options.clone().unwrap_or_default();
    let metadata = options.include_metadata.unwrap_or(IncludeMetadata::All);
    let mut words = vec![
        format!("--compress={}", input.desired.compress),
        format!("--include-metadata={metadata}"),
    ];
    words.extend(temp_path(input).map(|path| format!("--temp-path={path}")));
    words.extend(options.page_cache.map(|size| format!("--pagecache={size}")));
    let switches = [
        ("--parallel-recovery", options.parallel_recovery),
        ("--keep-failed", options.keep_failed),
        ("--prefer-diff-as-parent", options.prefer_diff_as_parent),
        ("--remote-address-resolution", options.remote_address_resolution),
        ("--parallel-download", options.parallel_download),
        ("--skip-recovery", options.skip_recovery),
    ];
    words.extend(
        switches
            .into_iter()
            // An older version does not know the newest of them, not even to switch it off.
            .filter(|(name, on)| *on == Some(true) || (on.is_some() && known_from(name) <= input.cluster.version))
            .map(|(name, on)| format!("{name}={}", on == Some(true))),
    );
    words.extend(options.additional_args);
    words
}

fn known_from(switch: &str) -> Version {
    match switch {
        "--prefer-diff-as-parent" => Version::new(2025, 4, 0),
        "--remote-address-resolution" => Version::new(2025, 9, 0),
        "--parallel-download" | "--skip-recovery" => Version::new(2025, 11, 0),
        _ => Version::new(5, 26, 0),
    }
}

/// Backup addresses of the servers, in the order in which they are tried: those that only host secondaries
/// first, for reading from them costs no writer anything.
fn addresses(cluster: &Desired) -> Vec<String> {
    let mut servers: Vec<(bool, String)> = cluster
        .pools
        .iter()
        .flat_map(|pool| (0..pool.replicas).map(move |ordinal| (pool, ordinal)))
        .map(|(pool, ordinal)| {
            let writes = cluster.constraint(pool.role, ordinal) != ModeConstraint::Secondary;
            let host = pod_host(
                &pool.pod(ordinal),
                &cluster.name,
                &cluster.namespace,
                &cluster.cluster_domain,
            );
            (writes, format!("{host}:{BACKUP_PORT}"))
        })
        .collect();
    servers.sort_by_key(|(writes, _)| *writes);
    servers.into_iter().map(|(_, address)| address).collect()
}

fn target(input: Input<'_>) -> String {
    let storage = &input.spec.storage;
    let folder = folder(storage, input.desired, input.name);
    if claim_name(storage, input.name).is_some() {
        format!("{}/{folder}", names::CLAIM_PATH)
    } else {
        folder
    }
}

/// Where temporary files go. Without one they are made beside the artifacts, which is right for a claim and
/// impossible in a bucket.
fn temp_path(input: Input<'_>) -> Option<String> {
    let options = input.spec.options.as_ref();
    let named = options
        .and_then(|options| options.temp_path.clone())
        .filter(|path| !path.is_empty());
    let sized = options.is_some_and(|options| options.temp_storage.is_some());
    let bucket = claim_name(&input.spec.storage, input.name).is_none();
    named.or_else(|| (sized || bucket).then(|| names::TEMP_PATH.to_owned()))
}

fn mounts(input: Input<'_>) -> Vec<Value> {
    let mut mounts = vec![json!({"name": "program", "mountPath": names::PROGRAM_PATH, "readOnly": true})];
    if claim_name(&input.spec.storage, input.name).is_some() {
        mounts.push(json!({"name": "backups", "mountPath": names::CLAIM_PATH}));
    }
    mounts.extend(temp_path(input).map(|path| json!({"name": "temp", "mountPath": path})));
    mounts
}

fn volumes(input: Input<'_>) -> Vec<Value> {
    let mut volumes = vec![json!({"name": "program", "emptyDir": {}})];
    if let Some(claim) = claim_name(&input.spec.storage, input.name) {
        volumes.push(json!({"name": "backups", "persistentVolumeClaim": {"claimName": claim}}));
    }
    if temp_path(input).is_some() {
        let storage = input
            .spec
            .options
            .as_ref()
            .and_then(|options| options.temp_storage.as_ref());
        volumes.push(match storage {
            None => json!({"name": "temp", "emptyDir": {}}),
            Some(storage) => {
                let mut spec = json!({
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": storage.size}},
                });
                if let Some(class) = storage.storage_class_name.as_ref().filter(|class| !class.is_empty()) {
                    spec["storageClassName"] = json!(class);
                }
                json!({"name": "temp", "ephemeral": {"volumeClaimTemplate": {"spec": spec}}})
            }
        });
    }
    volumes
}

/// Variables of the run: the licence, and how the bucket is reached. Credentials come from the Secret by
/// reference, key by key: whatever else is in it stays out of the pod.
fn env(input: Input<'_>) -> Vec<Value> {
    let mut env = vec![json!({"name": "NEO4J_EDITION", "value": "enterprise"})];
    if let Some(license) = input.cluster.license() {
        env.push(json!({"name": "NEO4J_ACCEPT_LICENSE_AGREEMENT", "value": license}));
    }
    let storage = &input.spec.storage;
    let Some(cloud) = storage.cloud.as_ref().filter(|_| storage.type_ == StorageType::S3) else {
        return env;
    };
    if let Some(secret) = secret_name(storage) {
        env.extend(S3_KEYS.into_iter().map(|(key, optional)| {
            let mut reference = json!({"name": secret, "key": key});
            if optional {
                reference["optional"] = json!(true);
            }
            json!({"name": key, "valueFrom": {"secretKeyRef": reference}})
        }));
    }
    if let Some(url) = cloud.endpoint_url.as_ref().filter(|url| !url.is_empty()) {
        env.push(json!({"name": "AWS_ENDPOINT_URL_S3", "value": url}));
    }
    if cloud.force_path_style == Some(true) {
        env.push(json!({"name": "JAVA_TOOL_OPTIONS", "value": "-Daws.s3.forcePathStyle=true"}));
    }
    env
}

/// The Secret with the keys of the cloud, where one is named.
pub fn secret_name(storage: &StorageLocation) -> Option<&str> {
    let cloud = storage.cloud.as_ref().filter(|_| storage.type_ != StorageType::Pvc)?;
    cloud.credentials_secret_ref.as_deref().filter(|name| !name.is_empty())
}
