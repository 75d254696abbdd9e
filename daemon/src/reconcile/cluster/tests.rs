//! Clusters end to end in one process: the embedded API server with its controllers, the modelled Neo4j, paused
//! time.

use std::{sync::Arc, time::Duration};

use base64::Engine as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, Event, Namespace, PersistentVolumeClaim, Pod, Secret, Service},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use neo4j_devcluster::{
    apiserver::{self, Server, TokioClock},
    controllers::{Controllers, clock::Clock as ControllerClock},
    neo4j::{self as fake, Call, CallError, FakeNeo4j, NeoRuntime},
};
use serde_json::{Value as Json, json};

use super::*;
use crate::{
    cache::Router,
    neo4j::{
        BoltError, Credentials, Driver, Endpoint, ErrorKind, Limits, Registry, Row, Rows, Session, Statement,
        testing::{from_wire, resolver},
    },
    reconcile::{Board, Clock, Events, Executor, StatusWriter, executor},
};

const PASSWORD: &str = "correct-horse";
const GENEROUS: Duration = Duration::from_secs(600);

mod edition;
mod healing;
mod replacing;

/// Reaches the modelled servers by the addresses of their pods, without sockets.
struct ModelDriver(Arc<FakeNeo4j>);

struct ModelSession {
    fake: Arc<FakeNeo4j>,
    server: String,
    credentials: Credentials,
}

impl Driver for ModelDriver {
    fn connect<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        credentials: &'a Credentials,
    ) -> BoxFuture<'a, Result<Box<dyn Session>, BoltError>> {
        let session = ModelSession {
            fake: Arc::clone(&self.0),
            server: endpoint.host.to_string(),
            credentials: credentials.clone(),
        };
        Box::pin(async { Ok(Box::new(session) as Box<dyn Session>) })
    }
}

impl Session for ModelSession {
    fn execute<'a>(
        &'a mut self,
        database: &'a str,
        statement: &'a Statement,
    ) -> BoxFuture<'a, Result<Rows, BoltError>> {
        Box::pin(async move {
            let call = Call {
                server: self.server.clone(),
                user: self.credentials.user.to_string(),
                password: self.credentials.password.expose().to_owned(),
                database: Some(database.to_owned()),
                statement: statement.text.to_string(),
                timeout: Some(statement.server_timeout()),
                ..Call::default()
            };
            let rows = self.fake.execute(call).await.map_err(|error| match error {
                CallError::Neo4j(failure) => BoltError::from_code(&failure.code, &failure.message),
                CallError::Login(failure) => BoltError::from_login(&failure.message),
                other => BoltError::new(ErrorKind::Connect, other.to_string()),
            })?;
            let row = |values: Vec<_>| {
                Row(rows
                    .fields
                    .iter()
                    .cloned()
                    .zip(values.into_iter().map(from_wire))
                    .collect())
            };
            Ok(Rows(rows.rows.iter().cloned().map(row).collect()))
        })
    }
}

struct World {
    _server: Server,
    client: kube::Client,
    fake: Arc<FakeNeo4j>,
    context: Context,
    reconciler: ClusterReconciler,
    _controllers: Controllers,
}

impl World {
    async fn new() -> Self {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let server = Server::new(apiserver::Options {
            clock: Arc::new(TokioClock::starting_at(start)),
            ..apiserver::Options::default()
        });
        let client = server.client("prod");
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        for definition in neo4j_operator_crds::definition::definitions().unwrap() {
            definitions.create(&PostParams::default(), &definition).await.unwrap();
        }
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace = serde_json::from_value(json!({"metadata": {"name": "prod"}})).unwrap();
        namespaces.create(&PostParams::default(), &namespace).await.unwrap();
        let options = fake::Options {
            listen: false,
            epoch: start,
            ..fake::Options::default()
        };
        let fake = FakeNeo4j::new(server.client("prod"), options).unwrap();
        let runtime = Arc::new(NeoRuntime(Arc::clone(&fake)));
        let controllers = Controllers::start(server.client("prod"), ControllerClock::at(start), runtime);
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
            neo4j: Registry::new(Arc::new(ModelDriver(Arc::clone(&fake))), resolver(), Limits::default()),
            clock,
        };
        let world = Self {
            _server: server,
            client,
            fake,
            context,
            reconciler: ClusterReconciler::new(Options {
                drift_check: Duration::from_secs(300),
                cluster_domain: "cluster.local".into(),
            }),
            _controllers: controllers,
        };
        let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let secret = json!({"metadata": {"name": "neo4j-admin-secret"},
            "data": {"username": encode("neo4j"), "password": encode(PASSWORD)}});
        let secret: Secret = serde_json::from_value(secret).unwrap();
        world
            .api::<Secret>()
            .create(&PostParams::default(), &secret)
            .await
            .unwrap();
        world
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), "prod")
    }

    async fn cluster(&self, spec: Json) {
        let mut whole = json!({"image": {"repo": "neo4j", "tag": "2025.08.0-enterprise"}, "topology": {"servers": 3},
            "storage": {"size": "1Gi"}, "acceptLicenseAgreement": "eval"});
        json_patch::merge(&mut whole, &spec);
        let object = json!({"apiVersion": "neo4j.neo4j.com/v1beta1", "kind": "Neo4jEnterpriseCluster",
            "metadata": {"name": "graph"}, "spec": whole});
        let object: Neo4jEnterpriseCluster = serde_json::from_value(object).unwrap();
        self.api().create(&PostParams::default(), &object).await.unwrap();
    }

    async fn change(&self, spec: Json) {
        let patch = Patch::Merge(json!({"spec": spec}));
        let api = self.api::<Neo4jEnterpriseCluster>();
        api.patch("graph", &PatchParams::default(), &patch).await.unwrap();
    }

    async fn pass_recorded(&self) -> (Result<Done, Failure>, neo4j_operator_shared::reconciles::Reconcile) {
        let key = Key {
            kind: Kind::Neo4jEnterpriseCluster,
            namespace: "prod".into(),
            name: "graph".into(),
        };
        let mut run = Run::begin(key.kind, "prod", "graph", "test", Duration::ZERO, self.context.now());
        let ended = self.reconciler.reconcile(&self.context, &key, &mut run).await;
        let record = run.finish(&ended);
        (ended, record)
    }

    async fn pass(&self) -> Result<Done, Failure> {
        self.pass_recorded().await.0
    }

    /// Passes, each when the one before asked for it, until the condition holds.
    async fn until(&self, what: &str, holds: impl Fn(&Neo4jEnterpriseClusterStatus) -> bool) {
        let mut last = None;
        for _ in 0..200 {
            let ended = self.pass().await;
            if holds(&self.status().await) {
                return;
            }
            let delay = match &ended {
                Ok(done) => done.requeue.unwrap_or(Duration::from_secs(1)),
                Err(failure) => failure.requeue.unwrap_or(Duration::from_secs(1)),
            };
            last = Some(ended);
            tokio::time::sleep(delay.min(Duration::from_secs(2))).await;
        }
        let pods: Vec<_> = self.api::<Pod>().list(&ListParams::default()).await.unwrap().items;
        let pods: Vec<_> = pods.iter().map(|pod| json!([pod.name_any(), pod.status])).collect();
        let claims = self
            .api::<PersistentVolumeClaim>()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items;
        let claims: Vec<_> = claims
            .iter()
            .map(|claim| json!([claim.name_any(), claim.status]))
            .collect();
        let events = self.api::<Event>().list(&ListParams::default()).await.unwrap().items;
        let events: Vec<_> = events
            .iter()
            .map(|event| json!([event.involved_object.name, event.reason, event.message]).to_string())
            .collect();
        panic!(
            "{what} never happened: {last:?}\n{}\n{pods:#?}\n{claims:#?}\n{events:#?}",
            serde_json::to_string_pretty(&self.status().await).unwrap()
        );
    }

    async fn ready(&self) {
        let generation = self
            .api::<Neo4jEnterpriseCluster>()
            .get("graph")
            .await
            .unwrap()
            .metadata
            .generation;
        self.until("Ready", |status| {
            status.observed_generation == generation && condition(status, "Ready").0 == "True"
        })
        .await;
    }

    async fn status(&self) -> Neo4jEnterpriseClusterStatus {
        let api = self.api::<Neo4jEnterpriseCluster>();
        api.get_opt("graph")
            .await
            .unwrap()
            .and_then(|cluster| cluster.status)
            .unwrap_or_default()
    }

    async fn reasons(&self) -> Vec<String> {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let events = self.api::<Event>().list(&ListParams::default()).await.unwrap();
        events
            .items
            .into_iter()
            .filter(|event| event.involved_object.kind.as_deref() == Some("Neo4jEnterpriseCluster"))
            .filter_map(|event| event.reason)
            .collect()
    }
}

/// Status and reason of a condition.
fn condition(status: &Neo4jEnterpriseClusterStatus, kind: &str) -> (String, String) {
    let found = status.conditions.iter().find(|condition| condition.type_ == kind);
    found.map_or_else(Default::default, |condition| {
        (condition.status.clone(), condition.reason.clone())
    })
}

fn of(text: (&str, &str)) -> (String, String) {
    (text.0.to_owned(), text.1.to_owned())
}

async fn within<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(GENEROUS, what).await.expect("not in time")
}

#[tokio::test(start_paused = true)]
async fn a_cluster_forms_rests_and_heals() {
    within(Box::pin(async {
        let world = World::new().await;
        world.cluster(json!({})).await;
        let (ended, record) = world.pass_recorded().await;
        ended.unwrap();
        let requests: u32 = record.api_requests.iter().map(|requests| requests.count).sum();
        assert!(requests <= 16, "{:#?}", record.api_requests);
        assert_eq!(
            condition(&world.status().await, "Ready"),
            of(("False", "ClusterForming"))
        );
        world.ready().await;
        let status = world.status().await;
        assert_eq!(status.phase, Some(ClusterPhase::Ready));
        assert_eq!(status.replicas.as_ref().unwrap().summary.as_deref(), Some("3/3"));
        assert_eq!(status.pools[0].enabled, Some(3));
        assert_eq!(status.claims.len(), 3);
        assert!(status.operation.is_none());
        assert_eq!(
            condition(&status, "DatabasesHealthy"),
            of(("True", "AllDatabasesOnline"))
        );
        let reasons = world.reasons().await;
        assert!(reasons.contains(&"ClusterReady".to_owned()), "{reasons:?}");

        // Nothing changes: no write, and the next pass is not even one.
        let mut rests = false;
        for _ in 0..20 {
            rests = world.pass().await.unwrap().outcome == Outcome::Skipped;
            if rests {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(rests, "{:#?}", world.status().await);
        let version = |object: Neo4jEnterpriseCluster| object.metadata.resource_version;
        let before = version(world.api().get("graph").await.unwrap());
        let set_before = world
            .api::<StatefulSet>()
            .get("graph-server")
            .await
            .unwrap()
            .metadata
            .resource_version;
        tokio::time::sleep(Duration::from_secs(400)).await;
        let (ended, record) = world.pass_recorded().await;
        assert_eq!(ended.unwrap().outcome, Outcome::Converged);
        let writes = record
            .api_requests
            .iter()
            .filter(|r| !matches!(r.verb.as_str(), "get" | "list"));
        assert_eq!(writes.count(), 0, "{:#?}", record.api_requests);
        assert_eq!(version(world.api().get("graph").await.unwrap()), before);
        let set_after = world
            .api::<StatefulSet>()
            .get("graph-server")
            .await
            .unwrap()
            .metadata
            .resource_version;
        assert_eq!(set_after, set_before);

        // What was deleted by hand comes back, and what was edited too.
        world
            .api::<Service>()
            .delete("graph-client", &DeleteParams::default())
            .await
            .unwrap();
        let edit = Patch::Merge(json!({"data": {"server.conf": "broken"}}));
        world
            .api::<ConfigMap>()
            .patch("graph-config", &PatchParams::default(), &edit)
            .await
            .unwrap();
        world.pass().await.unwrap();
        assert!(world.api::<Service>().get_opt("graph-client").await.unwrap().is_some());
        let conf = world
            .api::<ConfigMap>()
            .get("graph-config")
            .await
            .unwrap()
            .data
            .unwrap();
        assert!(conf["server.conf"].contains("dbms.cluster.endpoints="), "{conf:?}");
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_object_of_somebody_else_is_told_and_not_touched() {
    within(Box::pin(async {
        let world = World::new().await;
        let foreign = json!({"metadata": {"name": "graph-client"}, "spec": {"ports": [{"port": 80}]}});
        let foreign: Service = serde_json::from_value(foreign).unwrap();
        let foreign = world.api().create(&PostParams::default(), &foreign).await.unwrap();
        world.cluster(json!({})).await;
        world
            .until("the conflict", |status| condition(status, "Ready").1 == "NameConflict")
            .await;
        let after = world.api::<Service>().get("graph-client").await.unwrap();
        assert_eq!(after.metadata.resource_version, foreign.metadata.resource_version);
        assert!(world.reasons().await.contains(&"NameConflict".to_owned()));
        // It goes on once the name is free.
        world
            .api::<Service>()
            .delete("graph-client", &DeleteParams::default())
            .await
            .unwrap();
        world.ready().await;
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn more_servers_join_and_fewer_are_held() {
    within(Box::pin(async {
        let world = World::new().await;
        world.cluster(json!({})).await;
        world.ready().await;
        let conf = world.api::<ConfigMap>().get("graph-config").await.unwrap().data;
        world.change(json!({"topology": {"servers": 5}})).await;
        world.pass().await.unwrap();
        // The intent comes before the effect.
        let status = world.status().await;
        assert_eq!(status.operation.unwrap().target.as_deref(), Some("5 servers"));
        let set = world.api::<StatefulSet>().get("graph-server").await.unwrap();
        assert_eq!(set.spec.unwrap().replicas, Some(3));
        world.ready().await;
        let status = world.status().await;
        assert_eq!(status.pools[0].enabled, Some(5));
        assert_eq!(world.api::<ConfigMap>().get("graph-config").await.unwrap().data, conf);
        let reasons = world.reasons().await;
        assert!(reasons.contains(&"ScaleOutCompleted".to_owned()), "{reasons:?}");
        // The first members take part by themselves; those that join are enabled.
        let enabled = reasons.iter().filter(|reason| *reason == "ServerEnabled").count();
        assert_eq!(enabled, 2, "{reasons:?}");

        world.change(json!({"topology": {"servers": 3}})).await;
        world
            .until("the hold", |status| condition(status, "Progressing").1 == "ChangeHeld")
            .await;
        let status = world.status().await;
        assert_eq!(status.phase, Some(ClusterPhase::Ready));
        assert_eq!(condition(&status, "Ready").0, "True");
        let set = world.api::<StatefulSet>().get("graph-server").await.unwrap();
        assert_eq!(set.spec.unwrap().replicas, Some(5));
        assert!(world.reasons().await.contains(&"UnsupportedFeature".to_owned()));
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_changed_template_and_password_are_held_and_named() {
    within(Box::pin(async {
        let world = World::new().await;
        world.cluster(json!({})).await;
        world.ready().await;
        let set = world
            .api::<StatefulSet>()
            .get("graph-server")
            .await
            .unwrap()
            .metadata
            .generation;
        world
            .change(json!({"image": {"tag": "2025.09.0-enterprise"}, "storage": {"size": "2Gi"}}))
            .await;
        let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let secret = Patch::Merge(json!({"data": {"password": encode("another-horse")}}));
        world
            .api::<Secret>()
            .patch("neo4j-admin-secret", &PatchParams::default(), &secret)
            .await
            .unwrap();
        world
            .until("the hold", |status| condition(status, "Progressing").1 == "ChangeHeld")
            .await;
        let status = world.status().await;
        let message = status.message.clone().unwrap();
        for field in [
            "spec.image",
            "spec.storage.size",
            "the password in Secret neo4j-admin-secret",
        ] {
            assert!(message.contains(field), "{field}: {message}");
        }
        assert!(!message.contains("another-horse"));
        assert_eq!(condition(&status, "Ready").0, "True");
        let after = world
            .api::<StatefulSet>()
            .get("graph-server")
            .await
            .unwrap()
            .metadata
            .generation;
        assert_eq!(after, set);
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_creates_nothing() {
    within(Box::pin(async {
        let world = World::new().await;
        world.cluster(json!({"networkPolicy": {"enabled": true}})).await;
        assert!(world.pass().await.unwrap_err().terminal);
        let status = world.status().await;
        assert_eq!(status.phase, Some(ClusterPhase::Failed));
        assert_eq!(condition(&status, "Ready"), of(("False", "UnsupportedFeature")));
        world
            .change(json!({"networkPolicy": null, "auth": {"adminSecret": "missing"}}))
            .await;
        world.pass().await.unwrap();
        assert_eq!(
            condition(&world.status().await, "Ready"),
            of(("False", "AuthSecretMissing"))
        );
        let sets = world.api::<StatefulSet>().list(&ListParams::default()).await.unwrap();
        let services = world.api::<Service>().list(&ListParams::default()).await.unwrap();
        assert_eq!((sets.items.len(), services.items.len()), (0, 0));
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn deletion_follows_the_recorded_retention() {
    within(Box::pin(async {
        for (policy, left) in [("Retain", 3), ("Delete", 0)] {
            let world = World::new().await;
            world.cluster(json!({"storage": {"retentionPolicy": policy}})).await;
            world.ready().await;
            // A late edit must not arm a wipe.
            let clusters = world.api::<Neo4jEnterpriseCluster>();
            clusters.delete("graph", &DeleteParams::default()).await.unwrap();
            if policy == "Retain" {
                world.change(json!({"storage": {"retentionPolicy": "Delete"}})).await;
            }
            for _ in 0..20 {
                let _ = world.pass().await;
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            assert!(clusters.get_opt("graph").await.unwrap().is_none(), "{policy}");
            let claims = world
                .api::<PersistentVolumeClaim>()
                .list(&ListParams::default())
                .await
                .unwrap();
            assert_eq!(claims.items.len(), left, "{policy}");
            let auth = world.api::<Secret>().get_opt("graph-operator-auth").await.unwrap();
            assert_eq!(auth.is_some(), policy == "Retain");
        }
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_no_longer_well_is_asked_until_it_is() {
    within(Box::pin(async {
        let world = World::new().await;
        world.cluster(json!({})).await;
        world.ready().await;
        let pods = world.api::<Pod>();
        let fault = |fault: Option<&str>| json!({"metadata": {"annotations": {"devcluster.neo4j.com/fault": fault}}});
        for what in [Some("crash"), None] {
            let patch = Patch::Merge(fault(what));
            pods.patch("graph-server-1", &PatchParams::default(), &patch)
                .await
                .unwrap();
            if what.is_some() {
                world
                    .until("not Ready", |status| condition(status, "Ready").0 == "False")
                    .await;
            }
        }
        for _ in 0..100 {
            let ended = world.pass().await.unwrap();
            if condition(&world.status().await, "Ready").0 == "True" {
                return;
            }
            assert_ne!(ended.outcome, Outcome::Skipped, "nobody would see it recover");
            let delay = ended.requeue.unwrap();
            assert!(delay <= Duration::from_secs(15), "{delay:?}");
            tokio::time::sleep(delay).await;
        }
        panic!("it did not recover: {:?}", world.status().await.conditions);
    }))
    .await;
}
