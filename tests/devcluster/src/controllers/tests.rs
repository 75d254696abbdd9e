//! Promises of the controllers together, in process and under paused time.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    batch::v1::{CronJob, Job},
    core::v1::{ConfigMap, Event, Namespace, PersistentVolume, PersistentVolumeClaim, Pod, Secret},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, PropagationPolicy},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{plain::PlainRuntime, runtime::Exit};
use crate::{
    apiserver::{Hooks, NoFaults},
    cluster::{Cluster, Options, Pods},
};

mod stateful_sets;
mod views;

/// A cluster without Neo4j, and what plays its pods.
struct World {
    cluster: Cluster,
    runtime: Arc<PlainRuntime>,
    client: Client,
}

impl World {
    async fn new() -> Self {
        Self::with(Arc::new(NoFaults)).await
    }

    async fn with(hooks: Arc<dyn Hooks>) -> Self {
        let runtime = Arc::new(PlainRuntime::default());
        let options = Options {
            hooks,
            ..Options::in_process(Pods::Played(runtime.clone()))
        };
        let cluster = Cluster::start(options).await.unwrap();
        let client = cluster.client("default");
        Self {
            cluster,
            runtime,
            client,
        }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::default_namespaced(self.client.clone())
    }

    async fn create<K>(&self, object: Value) -> K
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + Serialize
            + DeserializeOwned,
    {
        let object: K = serde_json::from_value(object).unwrap();
        self.api().create(&PostParams::default(), &object).await.unwrap()
    }

    async fn merge<K>(&self, name: &str, patch: Value)
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let params = PatchParams::default();
        self.api::<K>()
            .patch(name, &params, &Patch::Merge(patch))
            .await
            .unwrap();
    }

    async fn delete<K>(&self, name: &str, params: DeleteParams)
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        self.api::<K>().delete(name, &params).await.unwrap();
    }

    async fn names<K>(&self) -> BTreeSet<String>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let list = self.api::<K>().list(&ListParams::default()).await.unwrap();
        list.items.iter().map(ResourceExt::name_any).collect()
    }

    async fn pod(&self, name: &str) -> Pod {
        self.api::<Pod>().get(name).await.unwrap()
    }

    /// Waits, ten virtual minutes at most, until `holds`; fails with what was to come true.
    async fn until<F: AsyncFn() -> bool>(&self, what: &str, holds: F) {
        let look = async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(600), look).await;
        assert!(
            in_time.is_ok(),
            "not in ten minutes: {what}; last writes: {:#?}",
            self.last_writes()
        );
    }

    fn last_writes(&self) -> Vec<String> {
        let requests = self.cluster.server().requests();
        let writes = requests.iter().filter(|request| request.is_write());
        let lines = writes.map(|request| {
            let path = [
                &request.resource,
                &request.namespace,
                &request.name,
                &request.subresource,
            ]
            .map(String::as_str);
            format!("{} {} {}", request.code, request.verb, path.join("/"))
        });
        let lines: Vec<_> = lines.collect();
        lines[lines.len().saturating_sub(20)..].to_vec()
    }

    async fn ready_pods(&self, set: &str) -> i32 {
        let set = self.api::<StatefulSet>().get(set).await.unwrap();
        set.status.and_then(|status| status.ready_replicas).unwrap_or(0)
    }

    async fn stop(self) {
        let Self {
            cluster,
            runtime,
            client,
        } = self;
        drop(client);
        cluster.stop().await;
        assert_eq!(runtime.running(), 0, "a process outlived its cluster");
    }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn set(replicas: i32, policy: &str) -> Value {
    json!({
        "metadata": {"name": "db"},
        "spec": {
            "replicas": replicas,
            "podManagementPolicy": policy,
            "serviceName": "db-headless",
            "selector": {"matchLabels": {"app": "db"}},
            "template": {
                "metadata": {"labels": {"app": "db"}},
                "spec": {"containers": [{"name": "neo4j", "image": "neo4j:5", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]},
            },
            "volumeClaimTemplates": [{
                "metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            }],
        },
    })
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_crashes_is_started_again_in_place_and_one_that_failed_is_replaced() {
    let world = World::new().await;
    world.create::<StatefulSet>(set(1, "Parallel")).await;
    world
        .until("a ready pod", async || world.ready_pods("db").await == 1)
        .await;
    let pod = world.pod("db-0").await;
    world.runtime.exit(&pod, Exit::failed(3, "out of heap"));
    let container = async || {
        world
            .pod("db-0")
            .await
            .status
            .unwrap()
            .container_statuses
            .unwrap()
            .remove(0)
    };
    world
        .until("ready again", async || {
            let container = container().await;
            container.restart_count == 1 && container.ready
        })
        .await;
    let ended = container().await.last_state.unwrap().terminated.unwrap();
    assert_eq!((ended.exit_code, ended.message.as_deref()), (3, Some("out of heap")));
    assert_eq!(world.pod("db-0").await.uid(), pod.uid());
    world.delete::<Pod>("db-0", DeleteParams::default()).await;
    world
        .until("another pod", async || {
            let other = world.api::<Pod>().get_opt("db-0").await.unwrap();
            other.is_some_and(|other| other.uid() != pod.uid()) && world.ready_pods("db").await == 1
        })
        .await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_for_the_secret_that_it_reads_and_says_so() {
    let world = World::new().await;
    world
        .create::<Pod>(json!({
            "metadata": {"name": "reader"},
            "spec": {"containers": [{"name": "c", "image": "i", "env": [
                {"name": "P", "valueFrom": {"secretKeyRef": {"name": "late", "key": "password"}}},
            ]}]},
        }))
        .await;
    let waiting = async || {
        let statuses = world
            .pod("reader")
            .await
            .status
            .unwrap()
            .container_statuses
            .unwrap_or_default();
        let waiting = statuses.first().and_then(|status| status.state.clone()?.waiting);
        waiting.and_then(|waiting| waiting.reason)
    };
    world
        .until("it says what it lacks", async || {
            waiting().await.as_deref() == Some("CreateContainerConfigError")
        })
        .await;
    world
        .create::<Secret>(json!({"metadata": {"name": "late"}, "data": {"password": "eA=="}}))
        .await;
    world
        .until("it runs", async || {
            world.pod("reader").await.status.unwrap().phase.as_deref() == Some("Running")
        })
        .await;
    world.stop().await;
}

fn job(name: &str, fault: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "backoffLimit": 1,
            "ttlSecondsAfterFinished": 100,
            "template": {
                "metadata": {"annotations": {super::plain::FAULT_ANNOTATION: fault}},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]},
            },
        },
    })
}

async fn job_condition(world: &World, name: &str, condition: &str) -> bool {
    let job = world.api::<Job>().get_opt(name).await.unwrap();
    let conditions = job.and_then(|job| job.status?.conditions).unwrap_or_default();
    conditions
        .iter()
        .any(|known| known.type_ == condition && known.status == "True")
}

#[tokio::test(start_paused = true)]
async fn a_job_completes_or_fails_after_its_tries_and_goes_after_its_time() {
    let world = World::new().await;
    world.create::<Job>(job("good", "none")).await;
    world.create::<Job>(job("bad", "crash")).await;
    world
        .until("good is complete", async || {
            job_condition(&world, "good", "Complete").await
        })
        .await;
    let pods = world
        .api::<Pod>()
        .list(&ListParams::default().labels("batch.kubernetes.io/job-name=good"))
        .await
        .unwrap();
    assert_eq!(pods.items.len(), 1);
    world
        .until("bad has failed", async || job_condition(&world, "bad", "Failed").await)
        .await;
    let bad = world.api::<Job>().get("bad").await.unwrap();
    let status = bad.status.unwrap();
    assert_eq!(status.failed, Some(2), "one try and one more");
    assert_eq!(status.active, None, "what no longer runs is not counted");
    world
        .until("both are gone with their pods", async || {
            world.names::<Job>().await.is_empty() && world.names::<Pod>().await.is_empty()
        })
        .await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cron_job_runs_at_its_times_and_keeps_a_short_history() {
    let world = World::new().await;
    let spec = job("unused", "none")["spec"].clone();
    world.create::<CronJob>(json!({
        "metadata": {"name": "nightly"},
        "spec": {
            "schedule": "*/10 * * * *", "concurrencyPolicy": "Forbid", "startingDeadlineSeconds": 60,
            "successfulJobsHistoryLimit": 2, "jobTemplate": {"spec": {"backoffLimit": 0, "template": spec["template"]}},
        },
    }))
    .await;
    tokio::time::sleep(Duration::from_secs(45 * 60)).await;
    let jobs = world.api::<Job>().list(&ListParams::default()).await.unwrap();
    assert_eq!(jobs.items.len(), 2, "four runs, two kept");
    let status = world.api::<CronJob>().get("nightly").await.unwrap().status.unwrap();
    assert!(status.last_successful_time >= status.last_schedule_time, "{status:?}");
    let runs = jobs
        .items
        .iter()
        .map(|job| job.creation_timestamp().unwrap().0.as_second() / 60 % 10)
        .collect::<Vec<_>>();
    assert_eq!(runs, [0, 0], "at full tens of minutes");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_grows_and_stays_while_a_pod_uses_it() {
    let world = World::new().await;
    world.create::<StatefulSet>(set(1, "Parallel")).await;
    world
        .until("a ready pod", async || world.ready_pods("db").await == 1)
        .await;
    let claim = async || world.api::<PersistentVolumeClaim>().get("data-db-0").await.unwrap();
    assert_eq!(claim().await.status.unwrap().phase.as_deref(), Some("Bound"));
    world
        .merge::<PersistentVolumeClaim>(
            "data-db-0",
            json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}}),
        )
        .await;
    world
        .until("2Gi", async || {
            claim().await.status.unwrap().capacity.unwrap()["storage"].0 == "2Gi"
        })
        .await;
    world
        .delete::<PersistentVolumeClaim>("data-db-0", DeleteParams::default())
        .await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(claim().await.metadata.deletion_timestamp.is_some(), "held by its pod");
    world.merge::<StatefulSet>("db", json!({"spec": {"replicas": 0}})).await;
    world
        .until("the claim is gone", async || {
            world.names::<PersistentVolumeClaim>().await.is_empty()
        })
        .await;
    world.stop().await;
}

fn config(name: &str, owners: Value) -> Value {
    json!({"metadata": {"name": name, "ownerReferences": owners}})
}

#[tokio::test(start_paused = true)]
async fn children_go_with_the_last_owner_and_not_before() {
    let world = World::new().await;
    let owner = async |name: &str| {
        let made = world.create::<ConfigMap>(config(name, json!([]))).await;
        json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": made.uid(), "blockOwnerDeletion": true})
    };
    let (a, b) = (owner("a").await, owner("b").await);
    world.create::<ConfigMap>(config("of-both", json!([a, b]))).await;
    let mut stale = a.clone();
    stale["uid"] = json!("00000000-0000-4000-8000-000000000000");
    world.create::<ConfigMap>(config("of-a-former-a", json!([stale]))).await;
    world
        .until("whose owner never was goes", async || {
            !world.names::<ConfigMap>().await.contains("of-a-former-a")
        })
        .await;
    world.delete::<ConfigMap>("a", DeleteParams::background()).await;
    world
        .until("the dead reference goes", async || {
            let child = world.api::<ConfigMap>().get("of-both").await.unwrap();
            child.owner_references().len() == 1
        })
        .await;
    world.delete::<ConfigMap>("b", DeleteParams::foreground()).await;
    world
        .until("child and owner go", async || {
            let left = world.names::<ConfigMap>().await;
            !left.contains("of-both") && !left.contains("b")
        })
        .await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_namespace_is_emptied_and_goes() {
    let world = World::new().await;
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "doomed"}})).unwrap();
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    let sets: Api<StatefulSet> = Api::namespaced(world.client.clone(), "doomed");
    sets.create(
        &PostParams::default(),
        &serde_json::from_value(set(2, "Parallel")).unwrap(),
    )
    .await
    .unwrap();
    world
        .until("two ready pods", async || {
            sets.get("db")
                .await
                .unwrap()
                .status
                .is_some_and(|status| status.ready_replicas == Some(2))
        })
        .await;
    namespaces.delete("doomed", &DeleteParams::default()).await.unwrap();
    world
        .until("the namespace is gone", async || {
            namespaces.get_opt("doomed").await.unwrap().is_none()
        })
        .await;
    let claims: Api<PersistentVolumeClaim> = Api::all(world.client.clone());
    assert_eq!(claims.list(&ListParams::default()).await.unwrap().items.len(), 0);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_quiet_cluster_is_written_to_by_nobody() {
    let world = World::new().await;
    world.create::<StatefulSet>(set(3, "Parallel")).await;
    world
        .until("three ready pods", async || world.ready_pods("db").await == 3)
        .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.cluster.server().forget_requests();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let writes: Vec<_> = world
        .cluster
        .server()
        .requests()
        .into_iter()
        .filter(crate::apiserver::RequestRecord::is_write)
        .collect();
    assert_eq!(writes, [], "ten quiet minutes");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn events_say_what_happened_and_count_what_happened_again() {
    let world = World::new().await;
    world.create::<StatefulSet>(set(1, "Parallel")).await;
    world
        .until("a ready pod", async || world.ready_pods("db").await == 1)
        .await;
    for _ in 0..2 {
        let pod = world.pod("db-0").await;
        world.runtime.exit(&pod, Exit::failed(1, ""));
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
    let events = world
        .api::<Event>()
        .list(&ListParams::default().fields("involvedObject.name=db-0"))
        .await
        .unwrap();
    let reasons: BTreeSet<_> = events.items.iter().filter_map(|event| event.reason.clone()).collect();
    assert!(
        reasons.is_superset(&names(&["Scheduled", "Started", "BackOff"])),
        "{reasons:?}"
    );
    let started = events
        .items
        .iter()
        .find(|event| event.reason.as_deref() == Some("Started"))
        .unwrap();
    assert_eq!(started.count, Some(3));
    assert!(started.last_timestamp.as_ref().unwrap().0 > started.first_timestamp.as_ref().unwrap().0);
    world.stop().await;
}
