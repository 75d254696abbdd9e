//! Databases end to end in one process: the embedded API server, the modelled Neo4j, paused time.

use std::sync::Arc;

use base64::Engine as _;
use jiff::Timestamp;
use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{Event, Namespace, Pod, Secret},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use neo4j_devcluster::apiserver::{Options, Server, TokioClock};
use neo4j_operator_crds::{DATABASE_FINALIZER, Neo4jEnterpriseCluster};
use serde_json::{Value as Json, json};

use super::*;
use crate::{
    cache::Router,
    neo4j::{
        fold_databases,
        testing::{FakeCluster, PASSWORD},
    },
    reconcile::{Board, Clock, Events, Executor, StatusWriter, executor},
};

struct World {
    server: Server,
    client: kube::Client,
    neo4j: FakeCluster,
    context: Context,
    reconciler: DatabaseReconciler,
}

async fn create<K>(client: &kube::Client, object: Json) -> K
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>
        + serde::de::DeserializeOwned
        + serde::Serialize
        + Clone
        + std::fmt::Debug,
    K::DynamicType: Default,
{
    let object: K = serde_json::from_value(object).unwrap();
    let api: Api<K> = Api::namespaced(client.clone(), "ns");
    api.create(&PostParams::default(), &object).await.unwrap()
}

fn owner(kind: &str, version: &str, name: &str, uid: &str) -> Json {
    json!([{"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": true}])
}

impl World {
    /// A formed cluster `c` of three servers in the namespace `ns`.
    async fn new() -> Self {
        Box::pin(Self::build()).await
    }

    async fn build() -> Self {
        let neo4j = FakeCluster::new(3, "92.1");
        neo4j.formed().await;
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let server = Server::new(Options {
            clock: Arc::new(TokioClock::starting_at(start)),
            ..Options::default()
        });
        let client = server.client("ns");
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        for definition in neo4j_operator_crds::definition::definitions().unwrap() {
            definitions.create(&PostParams::default(), &definition).await.unwrap();
        }
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace = serde_json::from_value(json!({"metadata": {"name": "ns"}})).unwrap();
        namespaces.create(&PostParams::default(), &namespace).await.unwrap();
        let began = tokio::time::Instant::now();
        let clock: Clock = Arc::new(move || start.saturating_add(began.elapsed()).unwrap());
        let executor = Executor::new(client.clone(), executor::Options::default());
        let (events, writer) = Events::new(executor.clone(), clock.clone());
        tokio::spawn(writer.run());
        let context = Context {
            client: client.clone(),
            cache: Router::direct(client.clone()),
            status: StatusWriter::new(executor.clone()),
            executor,
            events,
            board: Board::new(Vec::new()),
            neo4j: neo4j.registry(),
            clock,
        };
        let world = Self {
            server,
            client,
            neo4j,
            context,
            reconciler: DatabaseReconciler::default(),
        };
        Box::pin(world.cluster()).await;
        world
    }

    async fn cluster(&self) {
        let client = &self.client;
        let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let secret = json!({"metadata": {"name": "neo4j-admin-secret"},
            "data": {"username": encode("neo4j"), "password": encode(PASSWORD)}});
        create::<Secret>(client, secret).await;
        let cluster: Neo4jEnterpriseCluster = create(
            client,
            json!({"apiVersion": "neo4j.neo4j.com/v1beta1", "kind": "Neo4jEnterpriseCluster",
                "metadata": {"name": "c"},
                "spec": {"image": {"repo": "neo4j", "tag": "5.26.0-enterprise"}, "topology": {"servers": 3},
                    "storage": {"size": "1Gi"}, "acceptLicenseAgreement": "yes"}}),
        )
        .await;
        let clusters: Api<Neo4jEnterpriseCluster> = Api::namespaced(client.clone(), "ns");
        let formed = json!({"status": {"conditions": [{"type": "ClusterFormed", "status": "True", "reason": "Formed",
            "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
        clusters
            .patch_status("c", &PatchParams::default(), &Patch::Merge(&formed))
            .await
            .unwrap();
        let labels = json!({"neo4j.com/cluster": "c", "neo4j.com/server-name": "server"});
        let container = json!({"name": "neo4j", "image": "neo4j"});
        let set: StatefulSet = create(
            client,
            json!({"metadata": {"name": "c-server", "labels": labels,
                    "ownerReferences": owner("Neo4jEnterpriseCluster", "neo4j.neo4j.com/v1beta1", "c", cluster.meta().uid.as_deref().unwrap())},
                "spec": {"replicas": 3, "serviceName": "c-headless", "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}}}),
        )
        .await;
        let pods: Api<Pod> = Api::namespaced(client.clone(), "ns");
        for (n, ip) in self.neo4j.ips.iter().enumerate() {
            let name = format!("c-server-{n}");
            let pod = json!({"metadata": {"name": name, "labels": labels,
                    "ownerReferences": owner("StatefulSet", "apps/v1", "c-server", set.meta().uid.as_deref().unwrap())},
                "spec": {"containers": [container]}});
            create::<Pod>(client, pod).await;
            let status = json!({"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]}});
            pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))
                .await
                .unwrap();
        }
    }

    fn api(&self) -> Api<Neo4jDatabase> {
        Api::namespaced(self.client.clone(), "ns")
    }

    async fn database(&self, name: &str, spec: Json) {
        let mut whole = json!({"clusterRef": "c", "name": "orders"});
        for (key, value) in spec.as_object().unwrap() {
            whole[key] = value.clone();
        }
        let object = json!({"apiVersion": "neo4j.neo4j.com/v1beta1", "kind": "Neo4jDatabase",
            "metadata": {"name": name}, "spec": whole});
        create::<Neo4jDatabase>(&self.client, object).await;
    }

    async fn pass(&self, name: &str) -> Result<Done, Failure> {
        let key = Key {
            kind: Kind::Neo4jDatabase,
            namespace: "ns".into(),
            name: name.into(),
        };
        let mut run = Run::begin(key.kind, "ns", name, "test", Duration::ZERO, self.context.now());
        self.reconciler.reconcile(&self.context, &key, &mut run).await
    }

    /// Passes, each when the one before asked for it, until nothing is on its way.
    async fn settle(&self, name: &str) -> Done {
        for _ in 0..60 {
            let done = match self.pass(name).await {
                Ok(done) => done,
                Err(failure) if failure.terminal => return Done::idle(Outcome::Terminal),
                Err(failure) => Done::waiting(failure.requeue.unwrap_or(Duration::from_secs(1))),
            };
            match done.requeue {
                Some(delay) if delay < Duration::from_secs(60) => tokio::time::sleep(delay).await,
                _ => return done,
            }
        }
        panic!("never settles: {:#?}", self.status(name).await);
    }

    async fn status(&self, name: &str) -> Neo4jDatabaseStatus {
        self.api().get(name).await.unwrap().status.unwrap_or_default()
    }

    /// Phase, Ready and its reason.
    async fn told(&self, name: &str) -> (String, String, String) {
        let status = self.status(name).await;
        let ready = status.conditions.iter().find(|known| known.type_ == "Ready").unwrap();
        (
            status.phase.unwrap().to_string(),
            ready.status.clone(),
            ready.reason.clone(),
        )
    }

    /// The database as Neo4j has it.
    async fn in_neo4j(&self, name: &str) -> Option<crate::neo4j::DatabaseView> {
        let client = self.context.neo4j.cluster(self.neo4j.target());
        fold_databases(client.databases().await.unwrap()).remove(name)
    }

    fn writes(&self) -> usize {
        self.server.requests().iter().filter(|record| record.is_write()).count()
    }

    async fn events(&self) -> Vec<String> {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let events: Api<Event> = Api::namespaced(self.client.clone(), "ns");
        let list = events.list(&ListParams::default()).await.unwrap();
        let mut reasons: Vec<_> = list.items.into_iter().filter_map(|event| event.reason).collect();
        reasons.sort();
        reasons
    }
}

fn ready() -> (String, String, String) {
    ("Ready".into(), "True".into(), "DatabaseReady".into())
}

#[tokio::test(start_paused = true)]
async fn a_database_is_claimed_first_then_created_and_then_left_in_peace() {
    let world = World::new().await;
    world.database("d", json!({"topology": {"primaries": 3}})).await;
    world.pass("d").await.unwrap();
    assert!(
        world.in_neo4j("orders").await.is_none(),
        "the claim comes before the effect"
    );
    let object = world.api().get("d").await.unwrap();
    assert_eq!(object.finalizers(), [DATABASE_FINALIZER]);
    let claim = object.status.unwrap().claim.unwrap();
    assert_eq!(
        (claim.database.as_deref(), claim.uid.as_ref()),
        (Some("orders"), object.metadata.uid.as_ref())
    );
    world.settle("d").await;
    assert_eq!(world.told("d").await, ready());
    let status = world.status("d").await;
    assert_eq!(
        (status.current_primaries, status.requested_primaries),
        (Some(3), Some(3))
    );
    assert_eq!(status.servers, ["c-server-0", "c-server-1", "c-server-2"]);
    assert_eq!(status.observed_generation, Some(1));
    assert!(status.creation_time.is_some());
    assert_eq!(
        world.events().await,
        ["DatabaseCreated", "DatabaseReady", "TopologyWarning"]
    );
    let before = world.writes();
    let done = world.pass("d").await.unwrap();
    assert_eq!(done.outcome, Outcome::Converged);
    assert_eq!(world.writes(), before, "a second pass writes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_topology_that_drifts_or_is_edited_is_brought_back() {
    let world = World::new().await;
    world.database("d", json!({"topology": {"primaries": 2}})).await;
    world.settle("d").await;
    let topology = crate::neo4j::Topology {
        primaries: 3,
        secondaries: 0,
    };
    let client = world.context.neo4j.cluster(world.neo4j.target());
    client.alter_topology("orders", topology).await.unwrap();
    world.settle("d").await;
    assert_eq!(world.in_neo4j("orders").await.unwrap().current.primaries, 2);
    let edit = json!({"spec": {"topology": {"primaries": 2, "secondaries": 1}}});
    world
        .api()
        .patch("d", &PatchParams::default(), &Patch::Merge(&edit))
        .await
        .unwrap();
    world.settle("d").await;
    let current = world.in_neo4j("orders").await.unwrap().current;
    assert_eq!((current.primaries, current.secondaries), (2, 1));
    assert_eq!(world.status("d").await.observed_generation, Some(2));
    assert!(world.events().await.contains(&"DatabaseTopologyChanged".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_said_and_nothing_is_done() {
    let cases = [
        (
            json!({"seedURI": "s3://bucket/x.backup"}),
            "UnsupportedFeature",
            "UnsupportedFeature",
        ),
        (json!({"name": "systematic"}), "ValidationFailed", "ValidationFailed"),
        (json!({"options": {"odd": "1"}}), "ValidationFailed", "ValidationFailed"),
        (json!({"name": "2fast"}), "ValidationFailed", "ValidationFailed"),
    ];
    let world = World::new().await;
    for (n, (spec, reason, event)) in cases.into_iter().enumerate() {
        let name = format!("d{n}");
        world.database(&name, spec.clone()).await;
        let known = world.events().await.len();
        let failure = world.pass(&name).await.unwrap_err();
        assert!(failure.terminal, "{spec}");
        assert_eq!(
            world.told(&name).await,
            ("Failed".into(), "False".into(), reason.into()),
            "{spec}"
        );
        let events = world.events().await;
        assert_eq!(events.len(), known + 1, "{spec}: {events:?}");
        assert!(events.contains(&event.to_owned()), "{spec}: {events:?}");
        assert!(world.api().get(&name).await.unwrap().finalizers().is_empty(), "{spec}");
        let before = world.writes();
        world.pass(&name).await.unwrap_err();
        world.events().await;
        assert_eq!(world.writes(), before, "said once: {spec}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_missing_is_waited_for() {
    let world = World::new().await;
    world.database("d", json!({"clusterRef": "other"})).await;
    let done = world.pass("d").await.unwrap();
    assert_eq!(done.outcome, Outcome::Waiting);
    assert_eq!(
        world.told("d").await,
        ("Pending".into(), "False".into(), "ClusterNotFound".into())
    );
}

#[tokio::test(start_paused = true)]
async fn the_elder_of_two_resources_owns_the_database_and_the_younger_drops_nothing() {
    let world = World::new().await;
    world.database("elder", json!({})).await;
    world.settle("elder").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.database("younger", json!({"name": "Orders"})).await;
    world.settle("younger").await;
    assert_eq!(
        world.told("younger").await,
        ("Failed".into(), "False".into(), "DuplicateOwner".into())
    );
    world.api().delete("younger", &DeleteParams::default()).await.unwrap();
    let _ = world.settle("younger").await;
    assert!(world.in_neo4j("orders").await.is_some());
    assert_eq!(world.told("elder").await, ready());
}

#[tokio::test(start_paused = true)]
async fn deletion_drops_the_database_unless_it_is_to_stay() {
    let world = World::new().await;
    for (name, policy, stays) in [("stays", "Retain", true), ("goes", "Delete", false)] {
        world
            .database(name, json!({"name": name, "deletionPolicy": policy}))
            .await;
        world.settle(name).await;
        world.api().delete(name, &DeleteParams::default()).await.unwrap();
        assert_eq!(world.settle(name).await.outcome, Outcome::Gone);
        assert!(world.api().get_opt(name).await.unwrap().is_none(), "{policy}");
        assert_eq!(world.in_neo4j(name).await.is_some(), stays, "{policy}");
        let events = world.events().await;
        assert_eq!(events.contains(&"DatabaseDeleted".to_owned()), !stays, "{policy}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deletion_waits_for_a_silent_cluster_but_not_for_ever() {
    let world = World::new().await;
    world.database("d", json!({})).await;
    world.settle("d").await;
    for ordinal in 0..3 {
        world.neo4j.kill(ordinal);
    }
    world.api().delete("d", &DeleteParams::default()).await.unwrap();
    let done = world.pass("d").await.unwrap();
    assert_eq!(done.outcome, Outcome::Waiting);
    let status = world.status("d").await;
    let blocked = status.conditions.iter().find(|known| known.type_ == "DeletionBlocked");
    assert_eq!(blocked.unwrap().status, "True");
    assert_eq!(status.phase, Some(DatabasePhase::Deleting));
    tokio::time::sleep(Duration::from_secs(301)).await;
    assert_eq!(world.pass("d").await.unwrap().outcome, Outcome::Gone);
    assert!(world.api().get_opt("d").await.unwrap().is_none());
    assert!(world.events().await.contains(&"DeletionBlocked".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn the_deletion_of_a_database_whose_cluster_is_gone_ends_at_once() {
    let world = World::new().await;
    world.database("d", json!({})).await;
    world.settle("d").await;
    let clusters: Api<Neo4jEnterpriseCluster> = Api::namespaced(world.client.clone(), "ns");
    clusters.delete("c", &DeleteParams::default()).await.unwrap();
    world.api().delete("d", &DeleteParams::default()).await.unwrap();
    assert_eq!(world.pass("d").await.unwrap().outcome, Outcome::Gone);
}

#[tokio::test(start_paused = true)]
async fn an_existing_database_is_taken_over_only_if_allowed() {
    let world = World::new().await;
    world
        .database("d", json!({"name": "neo4j", "ifNotExists": false}))
        .await;
    world.settle("d").await;
    assert_eq!(
        world.told("d").await,
        ("Failed".into(), "False".into(), "DatabaseCreationFailed".into())
    );
    assert_eq!(world.events().await, ["CreationFailed"]);
    let again = world.pass("d").await.unwrap();
    assert!(
        again.requeue.is_some(),
        "no event tells that it was dropped in Neo4j: {again:?}"
    );
    world.database("e", json!({"name": "neo4j"})).await;
    world.api().delete("d", &DeleteParams::default()).await.unwrap();
    world.settle("e").await;
    assert_eq!(world.told("e").await, ready());
    world.api().delete("e", &DeleteParams::default()).await.unwrap();
    world.settle("e").await;
    assert!(
        world.in_neo4j("neo4j").await.is_some(),
        "the default database is never dropped"
    );
}

#[tokio::test(start_paused = true)]
async fn a_paused_resource_is_observed_and_not_changed() {
    let world = World::new().await;
    world.database("d", json!({})).await;
    let pause = |value: &str| json!({"metadata": {"annotations": {"neo4j.neo4j.com/reconcile": value}}});
    let parameters = PatchParams::default();
    world
        .api()
        .patch("d", &parameters, &Patch::Merge(&pause("paused")))
        .await
        .unwrap();
    world.settle("d").await;
    assert!(world.in_neo4j("orders").await.is_none());
    assert!(world.status("d").await.message.unwrap().contains("CREATE DATABASE"));
    world
        .api()
        .patch("d", &parameters, &Patch::Merge(&pause("enabled")))
        .await
        .unwrap();
    world.settle("d").await;
    assert_eq!(world.told("d").await, ready());
    let events = world.events().await;
    assert!(
        events.contains(&"ReconcilePaused".to_owned()) && events.contains(&"ReconcileResumed".to_owned()),
        "{events:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_stops_answering_makes_the_state_unknown_and_changes_nothing() {
    let world = World::new().await;
    world.database("d", json!({})).await;
    world.settle("d").await;
    for ordinal in 0..3 {
        world.neo4j.kill(ordinal);
    }
    let failure = world.pass("d").await.unwrap_err();
    assert!(!failure.terminal);
    assert_eq!(
        world.told("d").await,
        ("Degraded".into(), "Unknown".into(), "BoltUnavailable".into())
    );
    assert_eq!(world.status("d").await.servers.len(), 1, "what was known stays");
}

#[tokio::test(start_paused = true)]
async fn a_held_resource_and_a_read_only_operator_drop_nothing() {
    let world = World::new().await;
    for name in ["held", "kept"] {
        world.database(name, json!({"name": name})).await;
        world.settle(name).await;
    }
    let paused = json!({"metadata": {"annotations": {"neo4j.neo4j.com/reconcile": "paused"}}});
    world
        .api()
        .patch("held", &PatchParams::default(), &Patch::Merge(paused))
        .await
        .unwrap();
    world.api().delete("held", &DeleteParams::default()).await.unwrap();
    assert_eq!(world.settle("held").await.outcome, Outcome::Gone);
    assert!(world.in_neo4j("held").await.is_some());

    let switch = world.context.executor.read_only_switch();
    switch.store(true, std::sync::atomic::Ordering::Relaxed);
    world.api().delete("kept", &DeleteParams::default()).await.unwrap();
    let failure = world.pass("kept").await.unwrap_err();
    assert!(failure.message.contains("read-only"), "{failure}");
    assert!(world.in_neo4j("kept").await.is_some());
}
