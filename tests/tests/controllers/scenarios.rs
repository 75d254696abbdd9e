//! What is asked of controllers, and what they leave behind, as JSON without what differs from run to run.

use futures::future::{BoxFuture, FutureExt as _};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    batch::v1::Job,
    core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Pod, Secret},
};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, PropagationPolicy},
};
use neo4j_operator_crds::Neo4jEnterpriseCluster;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::world::{Place, until};

type Scenario = fn(Place) -> BoxFuture<'static, Value>;

/// Every scenario; its name is that of its namespace.
pub const ALL: &[(&str, Scenario)] = &[
    ("statefulset-scales", |place| scales(place).boxed()),
    ("statefulset-rolls-to-its-partition", |place| rolls(place).boxed()),
    ("statefulset-brings-back-a-pod", |place| brings_back(place).boxed()),
    ("job-completes", |place| completes(place).boxed()),
    ("job-gives-up", |place| gives_up(place).boxed()),
    ("job-is-suspended", |place| suspended(place).boxed()),
    ("garbage-in-the-background", |place| {
        collected(place, PropagationPolicy::Background).boxed()
    }),
    ("garbage-in-the-foreground", |place| {
        collected(place, PropagationPolicy::Foreground).boxed()
    }),
    ("garbage-orphaned", |place| orphaned(place).boxed()),
    ("garbage-of-a-cluster", |place| of_a_cluster(place).boxed()),
    ("garbage-of-an-unknown-owner", |place| of_nobody(place).boxed()),
    ("namespace-is-emptied", |place| emptied(place).boxed()),
];

impl Place {
    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn create<K>(&self, object: Value) -> K
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + Serialize
            + DeserializeOwned,
    {
        let object = serde_json::from_value(object).unwrap();
        self.api().create(&PostParams::default(), &object).await.unwrap()
    }

    /// Waits until an object is as wanted.
    async fn when<K>(&self, name: &str, what: &str, wanted: impl Fn(&K) -> bool) -> K
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let api = self.api::<K>();
        until(&format!("{}/{name}: {what}", self.namespace), || {
            let api = api.clone();
            let wanted = &wanted;
            async move { api.get_opt(name).await.ok().flatten().filter(|object| wanted(object)) }
        })
        .await
    }

    async fn gone<K>(&self, name: &str)
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let api = self.api::<K>();
        until(&format!("{}/{name} being gone", self.namespace), || {
            let api = api.clone();
            async move { matches!(api.get_opt(name).await, Ok(None)).then_some(()) }
        })
        .await;
    }

    async fn merge<K>(&self, name: &str, patch: Value)
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
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

    /// Pods by name, as far as controllers decide about them.
    async fn pods(&self) -> Value {
        let pods = self.api::<Pod>().list(&ListParams::default()).await.unwrap();
        let rows = pods.items.iter().map(|pod| {
            let spec = pod.spec.as_ref().unwrap();
            let owner = pod.owner_references().first();
            json!({
                "name": if pod.metadata.generate_name.is_some() { Value::Null } else { pod.name_any().into() },
                "owner": owner.map(|owner| json!([owner.kind, owner.name, owner.controller, owner.block_owner_deletion])),
                "labels": labels(pod),
                "image": spec.containers[0].image,
                "hostname": spec.hostname,
                "subdomain": spec.subdomain,
                "volumes": spec.volumes.iter().flatten().map(|volume| &volume.name).collect::<Vec<_>>(),
                "phase": pod.status.as_ref().and_then(|status| status.phase.clone()),
            })
        });
        rows.collect()
    }
}

/// Labels without hashes and uids, which differ from run to run: only whether they are there counts.
fn labels(pod: &Pod) -> Value {
    let hashed = [
        "controller-revision-hash",
        "batch.kubernetes.io/controller-uid",
        "controller-uid",
    ];
    let row = pod.labels().iter().map(|(key, value)| {
        let value = if hashed.contains(&key.as_str()) {
            "…"
        } else {
            value.as_str()
        };
        (key.clone(), Value::from(value))
    });
    Value::Object(row.collect())
}

fn set(replicas: u32, partition: u32) -> Value {
    json!({
        "metadata": {"name": "set"},
        "spec": {
            "replicas": replicas,
            "serviceName": "headless",
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": "set"}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}},
            "template": {
                "metadata": {"labels": {"app": "set"}},
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{
                        "name": "main",
                        "image": "one",
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    }],
                },
            },
            "volumeClaimTemplates": [{
                "metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            }],
        },
    })
}

/// A StatefulSet's own counts, once it has seen its newest generation and so many pods are ready.
async fn settled(place: &Place, ready: i32, updated: i32) -> Value {
    let set = place
        .when(
            "set",
            &format!("{ready} ready, {updated} updated"),
            |set: &StatefulSet| {
                let Some(status) = &set.status else { return false };
                status.observed_generation == set.metadata.generation
                    && status.replicas == ready
                    && status.ready_replicas.unwrap_or_default() == ready
                    && status.updated_replicas.unwrap_or_default() == updated
            },
        )
        .await;
    let status = set.status.unwrap();
    json!({
        "replicas": status.replicas,
        "ready": status.ready_replicas,
        "available": status.available_replicas,
        "current": status.current_replicas,
        "updated": status.updated_replicas,
        "collisions": status.collision_count,
        "one revision": status.current_revision == status.update_revision,
    })
}

async fn scales(place: Place) -> Value {
    place.create::<StatefulSet>(set(3, 0)).await;
    let three = settled(&place, 3, 3).await;
    place
        .merge::<StatefulSet>("set", json!({"spec": {"replicas": 1}}))
        .await;
    let one = settled(&place, 1, 1).await;
    place.gone::<Pod>("set-1").await;
    place
        .merge::<StatefulSet>("set", json!({"spec": {"replicas": 2}}))
        .await;
    let two = settled(&place, 2, 2).await;
    let claims = place
        .api::<PersistentVolumeClaim>()
        .list(&ListParams::default())
        .await
        .unwrap();
    let claims: Vec<Value> = claims
        .iter()
        .map(|claim| json!([claim.name_any(), claim.labels(), claim.owner_references().len()]))
        .collect();
    json!({"three": three, "one": one, "two": two, "pods": place.pods().await, "claims": claims})
}

async fn rolls(place: Place) -> Value {
    place.create::<StatefulSet>(set(3, 1)).await;
    let before = settled(&place, 3, 3).await;
    let image = json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "two"}]);
    let patch: json_patch::Patch = serde_json::from_value(image).unwrap();
    let sets = place.api::<StatefulSet>();
    sets.patch("set", &PatchParams::default(), &Patch::Json::<()>(patch))
        .await
        .unwrap();
    let partly = settled(&place, 3, 2).await;
    let pods = place.pods().await;
    let all = json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}});
    place.merge::<StatefulSet>("set", all).await;
    let after = settled(&place, 3, 3).await;
    json!({"before": before, "partly": partly, "pods": pods, "after": after, "all": place.pods().await})
}

async fn brings_back(place: Place) -> Value {
    place.create::<StatefulSet>(set(2, 0)).await;
    settled(&place, 2, 2).await;
    let pods = place.api::<Pod>();
    let old = pods.get("set-0").await.unwrap().uid();
    pods.delete("set-0", &DeleteParams::default()).await.unwrap();
    // The status of the set says two until its controller has counted anew.
    let anew = |pod: &Pod| pod.uid() != old && is_ready(pod);
    place.when("set-0", "a new pod that is ready", anew).await;
    json!({"status": settled(&place, 2, 2).await, "pods": place.pods().await})
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions
        .filter(|condition| condition.type_ == "Ready")
        .any(|condition| condition.status == "True")
}

fn job(spec: Value, fault: Option<&str>) -> Value {
    let annotations = fault.map(|fault| json!({"devcluster.neo4j.com/fault": fault}));
    let template = json!({
        "metadata": {"annotations": annotations},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "one"}]},
    });
    let mut job = json!({"metadata": {"name": "job"}, "spec": spec});
    job["spec"]["template"] = template;
    job
}

/// Counts and conditions of a finished Job; when is not what.
fn finished(job: &Job) -> Value {
    let status = job.status.clone().unwrap_or_default();
    let conditions: Vec<Value> = status
        .conditions
        .iter()
        .flatten()
        .map(|condition| json!([condition.type_, condition.status, condition.reason]))
        .collect();
    json!({
        "active": status.active,
        "succeeded": status.succeeded,
        "failed": status.failed,
        "ready": status.ready,
        "conditions": conditions,
        "completed": status.completion_time.is_some(),
        "started": status.start_time.is_some(),
    })
}

fn has(job: &Job, kind: &str) -> bool {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == kind && condition.status == "True")
}

async fn completes(place: Place) -> Value {
    place.create::<Job>(job(json!({"backoffLimit": 1}), None)).await;
    let done = place.when("job", "complete", |job: &Job| has(job, "Complete")).await;
    json!({"status": finished(&done), "pods": place.pods().await})
}

async fn gives_up(place: Place) -> Value {
    place
        .create::<Job>(job(json!({"backoffLimit": 0}), Some("crash")))
        .await;
    let done = place.when("job", "failed", |job: &Job| has(job, "Failed")).await;
    json!({"status": finished(&done), "pods": place.pods().await})
}

async fn suspended(place: Place) -> Value {
    place.create::<Job>(job(json!({"suspend": true}), None)).await;
    let held = place.when("job", "suspended", |job: &Job| has(job, "Suspended")).await;
    let held = (finished(&held), place.pods().await);
    place.merge::<Job>("job", json!({"spec": {"suspend": false}})).await;
    let done = place.when("job", "complete", |job: &Job| has(job, "Complete")).await;
    json!({"held": held, "status": finished(&done)})
}

/// Something owned by `owner`, blocking its deletion in the foreground.
fn owned(name: &str, owner: &impl Resource<DynamicType = ()>) -> Value {
    let mut reference = serde_json::to_value(owner.controller_owner_ref(&()).unwrap()).unwrap();
    reference["blockOwnerDeletion"] = true.into();
    json!({"metadata": {"name": name, "ownerReferences": [reference]}})
}

async fn collected(place: Place, policy: PropagationPolicy) -> Value {
    let owner: ConfigMap = place.create(json!({"metadata": {"name": "owner"}})).await;
    let child: Secret = place.create(owned("child", &owner)).await;
    place.create::<ConfigMap>(owned("grandchild", &child)).await;
    place
        .create::<ConfigMap>(json!({"metadata": {"name": "stranger"}}))
        .await;
    let params = DeleteParams {
        propagation_policy: Some(policy),
        ..DeleteParams::default()
    };
    let answer = place.api::<ConfigMap>().delete("owner", &params).await.unwrap();
    let finalizers = answer.left().map(|object| object.metadata.finalizers);
    place.gone::<Secret>("child").await;
    place.gone::<ConfigMap>("grandchild").await;
    place.gone::<ConfigMap>("owner").await;
    json!({"finalizers": finalizers, "left": left(&place).await})
}

/// Names of the ConfigMaps that are still there, but for the authority that every namespace may get.
async fn left(place: &Place) -> Vec<String> {
    let maps = place.api::<ConfigMap>().list(&ListParams::default()).await.unwrap();
    let names = maps.iter().map(kube::ResourceExt::name_any);
    names.filter(|name| name != "kube-root-ca.crt").collect()
}

async fn orphaned(place: Place) -> Value {
    let owner: ConfigMap = place.create(json!({"metadata": {"name": "owner"}})).await;
    place.create::<Secret>(owned("child", &owner)).await;
    // Once a later Secret is collected, the collector has seen the child.
    let mut canary = owned("canary", &owner);
    canary["metadata"]["ownerReferences"][0]["uid"] = json!("00000000-0000-4000-8000-000000000000");
    place.create::<Secret>(canary).await;
    place.gone::<Secret>("canary").await;
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    place.api::<ConfigMap>().delete("owner", &params).await.unwrap();
    place.gone::<ConfigMap>("owner").await;
    let child = place
        .when("child", "without an owner", |child: &Secret| {
            child.owner_references().is_empty()
        })
        .await;
    json!({"deleted": child.metadata.deletion_timestamp.is_some()})
}

async fn of_a_cluster(place: Place) -> Value {
    let cluster: Neo4jEnterpriseCluster = place
        .create(json!({
            "metadata": {"name": "cluster"},
            "spec": {
                "image": {"repo": "neo4j", "tag": "2025.08.0-enterprise"},
                "acceptLicenseAgreement": "eval",
                "topology": {"servers": 3},
                "storage": {"size": "1Gi"},
            },
        }))
        .await;
    place.create::<ConfigMap>(owned("child", &cluster)).await;
    let clusters = place.api::<Neo4jEnterpriseCluster>();
    clusters.delete("cluster", &DeleteParams::foreground()).await.unwrap();
    place.gone::<ConfigMap>("child").await;
    place.gone::<Neo4jEnterpriseCluster>("cluster").await;
    json!({"left": left(&place).await})
}

async fn of_nobody(place: Place) -> Value {
    let owner: ConfigMap = place.create(json!({"metadata": {"name": "owner"}})).await;
    let mut stale = owned("stale", &owner);
    stale["metadata"]["ownerReferences"][0]["uid"] = "00000000-0000-4000-8000-000000000000".into();
    place.create::<Secret>(stale).await;
    place.gone::<Secret>("stale").await;
    json!({"left": left(&place).await})
}

async fn emptied(place: Place) -> Value {
    place.create::<StatefulSet>(set(2, 0)).await;
    settled(&place, 2, 2).await;
    let held: ConfigMap = place
        .create(json!({"metadata": {"name": "held", "finalizers": ["example.com/held"]}}))
        .await;
    let namespaces: Api<Namespace> = Api::all(place.client.clone());
    namespaces
        .delete(&place.namespace, &DeleteParams::default())
        .await
        .unwrap();
    place.gone::<StatefulSet>("set").await;
    place.gone::<Pod>("set-0").await;
    let late = serde_json::from_value(json!({"metadata": {"name": "late"}})).unwrap();
    let refused = place.api::<ConfigMap>().create(&PostParams::default(), &late).await;
    let Err(kube::Error::Api(refused)) = refused else {
        panic!("a namespace that is being deleted took something new: {refused:?}");
    };
    let causes = refused.details.iter().flat_map(|details| &details.causes);
    let causes: Vec<_> = causes.map(|cause| cause.reason.clone()).collect();
    place
        .merge::<ConfigMap>(&held.name_any(), json!({"metadata": {"finalizers": null}}))
        .await;
    until("the namespace being gone", || {
        let namespaces = namespaces.clone();
        let name = place.namespace.clone();
        async move { matches!(namespaces.get_opt(&name).await, Ok(None)).then_some(()) }
    })
    .await;
    json!({"refused": refused.code, "reason": refused.reason, "causes": causes})
}
