//! Reading what a pass needs: the resource, its cluster, its Jobs with their pods, and who else wants the instance.

use std::sync::Arc;

use jiff::Timestamp;
use neo4j_operator_crds::{
    Neo4jBackup, Neo4jBackupSpec, Neo4jBackupStatus, Neo4jEnterpriseCluster, backup::validate_on, location::StorageType,
};
use neo4j_operator_shared::Kind;
use serde_json::Value;

use super::{
    names,
    plan::Gate,
    render,
    runs::{self, Observed},
};
use crate::{
    cache::{
        CronJobView, Custom, JobView, Meta, PodView, PvcView, ReadError, SecretMeta, Select, ServiceAccountView, Uid,
    },
    reconcile::{
        Context, Failure, Key, MANAGER, Requests, Subject,
        cluster::{RECONCILE, desired::Desired, names::CLUSTER},
        status::believable,
    },
};

/// The resource of a pass.
pub(super) struct Resource {
    /// As it was read.
    pub custom: Arc<Custom<Neo4jBackup>>,
    /// Decoded.
    pub object: Arc<Neo4jBackup>,
    /// Its status, never older than what this process wrote.
    pub status: Neo4jBackupStatus,
    /// The same as JSON.
    pub raw_status: Value,
    /// For events.
    pub subject: Subject,
}

impl Resource {
    /// Takes what was read apart; an error is what cannot be decoded.
    pub fn new(context: &Context, custom: Arc<Custom<Neo4jBackup>>) -> Result<Self, String> {
        let object = custom.object.clone()?;
        let meta = &custom.meta;
        let seen = serde_json::to_value(&object.status).unwrap_or_default();
        let raw_status = context
            .status
            .latest(&meta.uid().to_string(), &meta.resource_version().to_string(), &seen);
        let status = serde_json::from_value::<Option<Neo4jBackupStatus>>(believable(&raw_status, meta.generation()))
            .ok()
            .flatten()
            .unwrap_or_default();
        Ok(Self {
            subject: subject(meta),
            object,
            status,
            raw_status,
            custom,
        })
    }

    /// Its metadata.
    pub fn meta(&self) -> &Meta {
        &self.custom.meta
    }

    /// Its spec.
    pub fn spec(&self) -> &Neo4jBackupSpec {
        &self.object.spec
    }
}

/// What events are about.
pub(super) fn subject(meta: &Meta) -> Subject {
    Subject {
        kind: Kind::Neo4jBackup,
        namespace: meta.namespace().to_string(),
        name: meta.name().to_string(),
        uid: meta.uid().to_string(),
    }
}

/// What there is of a backup, and of others on the same instance.
pub(super) struct World {
    /// Jobs of all backups of the instance.
    jobs: Vec<Arc<JobView>>,
    /// Pods of this backup.
    pods: Vec<Arc<PodView>>,
    /// Our CronJob.
    pub cron_job: Option<Arc<CronJobView>>,
    /// Runs under way by the status whose Jobs the server does not have any more.
    pub gone: Vec<String>,
    uid: Uid,
}

impl World {
    /// Reads it.
    pub async fn observe(
        context: &Context,
        resource: &Resource,
        instance: &str,
        requests: &Requests,
    ) -> Result<Self, ReadError> {
        let meta = resource.meta();
        let (namespace, name) = (meta.namespace(), meta.name());
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let of_instance = pair(CLUSTER, instance);
        let of_backup = pair(names::BACKUP, name);
        let jobs = Select::Labels(vec![pair("app.kubernetes.io/managed-by", MANAGER), of_instance.clone()]);
        let pods = Select::Labels(vec![of_instance, of_backup.clone()]);
        let cron_jobs = Select::Owner {
            uid: meta.uid(),
            labels: vec![of_backup],
        };
        let (jobs, pods, cron_jobs) = futures::try_join!(
            context.cache.list::<JobView>(namespace, &jobs, requests),
            context.cache.list::<PodView>(namespace, &pods, requests),
            context.cache.list::<CronJobView>(namespace, &cron_jobs, requests),
        )?;
        let cron_job = cron_jobs
            .into_iter()
            .find(|cron| cron.metadata.deleting().is_none() && cron.metadata.name() == names::cron_job(name));
        let mut world = Self {
            jobs,
            pods,
            cron_job,
            gone: Vec::new(),
            uid: meta.uid(),
        };
        world.look_for_missing(context, resource, requests).await?;
        Ok(world)
    }

    /// A Job that the status knows and the list does not hold is asked for by name: that it is gone is recorded
    /// for good, so the answer has to come from the server itself (K53).
    async fn look_for_missing(
        &mut self,
        context: &Context,
        resource: &Resource,
        requests: &Requests,
    ) -> Result<(), ReadError> {
        let under_way = resource.status.history.iter().filter(|run| !runs::is_finished(run));
        let known = under_way.filter_map(|run| run.run_id.clone());
        let leased = resource
            .status
            .run_lease
            .iter()
            .filter_map(|lease| lease.run_id.clone());
        let mut ids: Vec<String> = known.clone().chain(leased).collect();
        ids.sort();
        ids.dedup();
        let recorded: Vec<String> = known.collect();
        for id in ids {
            if self.jobs.iter().any(|job| job.metadata.name() == id) {
                continue;
            }
            let namespace = resource.meta().namespace();
            match context.cache.live::<JobView>(namespace, &id, requests).await? {
                Some(job) if self.owns(&job.metadata) => self.jobs.push(job),
                _ if recorded.contains(&id) => self.gone.push(id),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether a Job is one of this backup: its own, or its CronJob's.
    fn owns(&self, meta: &Meta) -> bool {
        let cron = self.cron_job.as_ref().map(|cron| cron.metadata.uid());
        meta.owner()
            .is_some_and(|owner| owner.uid == self.uid || Some(owner.uid) == cron)
    }

    /// The Jobs of this backup with their pods.
    pub fn own(&self) -> Vec<Observed<'_>> {
        let pods_of = |job: &JobView| {
            let owned = |pod: &&Arc<PodView>| {
                let owner = pod.metadata.owner();
                owner.is_some_and(|owner| owner.uid == job.metadata.uid())
            };
            self.pods.iter().filter(owned).map(|pod| &**pod).collect()
        };
        self.jobs
            .iter()
            .filter(|job| self.owns(&job.metadata) && job.metadata.deleting().is_none())
            .map(|job| Observed {
                job,
                pods: pods_of(job),
            })
            .collect()
    }

    /// Another run on the instance that is under way, in words.
    pub fn busy(&self, now: Timestamp) -> Option<String> {
        let mut others = self.jobs.iter().filter(|job| !self.owns(&job.metadata));
        let running = others.find(|job| !job.suspended && !runs::is_over(job, now))?;
        Some(format!("{} of the same instance is under way", running.metadata.name()))
    }
}

/// An older backup of the same instance that waits for its turn, in words.
pub(super) async fn elder(
    context: &Context,
    resource: &Resource,
    instance: &str,
    requests: &Requests,
) -> Result<Option<String>, ReadError> {
    let meta = resource.meta();
    let age = |meta: &Meta| (meta.created(), meta.uid());
    let all = context.cache.customs::<Neo4jBackup>(meta.namespace(), requests).await?;
    let elder = all
        .iter()
        .filter(|other| {
            other.meta.deleting().is_none()
                && other.spec["instanceRef"].as_str() == Some(instance)
                && !matches!(other.meta.annotations().get(RECONCILE), Some("paused" | "dry-run"))
                && age(&other.meta) < age(meta)
                && waits_for_its_turn(other)
        })
        .min_by_key(|other| age(&other.meta));
    Ok(elder.map(|elder| format!("{} is older and waits for its turn", elder.meta.name())))
}

fn waits_for_its_turn(backup: &Custom<Neo4jBackup>) -> bool {
    let Ok(object) = &backup.object else { return false };
    let mut conditions = object.status.iter().flat_map(|status| &status.conditions);
    conditions.any(|condition| condition.type_ == "Ready" && condition.reason == "AnotherBackupRunning")
}

/// The cluster, if runs can begin on it, or why not.
pub(super) async fn target(
    context: &Context,
    key: &Key,
    resource: &Resource,
    instance: &str,
    domain: &str,
    requests: &Requests,
) -> Result<Result<Desired, Gate>, Failure> {
    context
        .cache
        .refers(key, Kind::Neo4jEnterpriseCluster, &key.namespace, instance);
    let closed = |message: String| {
        Ok(Err(Gate::Closed {
            reason: "WaitingForTarget",
            message,
        }))
    };
    let found = context
        .cache
        .custom::<Neo4jEnterpriseCluster>(&key.namespace, instance, requests)
        .await?;
    let Some(cluster) = found else {
        return closed(format!(
            "there is no Neo4jEnterpriseCluster {instance:?} in this namespace"
        ));
    };
    if cluster.meta.deleting().is_some() {
        return closed(format!("cluster {instance:?} is being deleted"));
    }
    let Ok(object) = &cluster.object else {
        return closed(format!("cluster {instance:?} cannot be decoded"));
    };
    let conditions = object.status.iter().flat_map(|status| &status.conditions);
    let formed = conditions
        .into_iter()
        .any(|condition| condition.type_ == "ClusterFormed" && condition.status == "True");
    if !formed {
        return closed(format!("cluster {instance:?} is not formed yet"));
    }
    let Ok(desired) = Desired::new(Arc::clone(object), domain) else {
        return closed(format!(
            "the image tag of cluster {instance:?} names no version that can be run"
        ));
    };
    let problems = validate_on(&resource.object, desired.version);
    if !problems.is_empty() {
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        return Ok(Err(Gate::Refused(problems.join("; "))));
    }
    Ok(Ok(desired))
}

/// What a run writes to and is allowed by.
#[derive(Default)]
pub(super) struct Place {
    /// The service account, if it is there.
    pub account: Option<Arc<ServiceAccountView>>,
    /// A claim to create.
    pub new_claim: Option<String>,
}

/// Looks at what a run needs besides its cluster.
pub(super) async fn place(
    context: &Context,
    key: &Key,
    resource: &Resource,
    requests: &Requests,
) -> Result<(Place, Gate), ReadError> {
    let namespace = &*key.namespace;
    let storage = &resource.spec().storage;
    let account = context
        .cache
        .get::<ServiceAccountView>(namespace, names::SERVICE_ACCOUNT, requests)
        .await?;
    let mut place = Place {
        account,
        new_claim: None,
    };
    let closed = |message: String| Gate::Closed {
        reason: "Pending",
        message,
    };
    let mut gate = Gate::Open;
    if let Some(secret) = render::secret_name(storage) {
        context.cache.refers(key, Kind::Secret, namespace, secret);
        if context
            .cache
            .get::<SecretMeta>(namespace, secret, requests)
            .await?
            .is_none()
        {
            gate = closed(format!("Secret {secret:?} with the keys of the bucket does not exist"));
        }
    }
    if storage.type_ == StorageType::Pvc
        && let Some(name) = render::claim_name(storage, &key.name)
    {
        let size = storage.pvc.as_ref().and_then(|claim| claim.size.as_ref());
        match context.cache.get::<PvcView>(namespace, &name, requests).await? {
            Some(claim) if claim.metadata.deleting().is_some() => {
                gate = closed(format!("PersistentVolumeClaim {name:?} is being deleted"));
            }
            Some(claim) if claim.phase.as_deref() == Some("Lost") => {
                gate = closed(format!("PersistentVolumeClaim {name:?} has lost its volume"));
            }
            Some(_) => {}
            None if size.is_some_and(|size| !size.is_empty()) => place.new_claim = Some(name),
            None => {
                gate = closed(format!(
                    "PersistentVolumeClaim {name:?} does not exist; create it, or give spec.storage.pvc.size"
                ));
            }
        }
    }
    Ok((place, gate))
}
