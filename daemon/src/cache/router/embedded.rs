//! The router against the embedded API server, in process.

use std::time::Duration;

use k8s_openapi::{api::core::v1::Service, apiextensions_apiserver::pkg::apis::apiextensions::v1 as extensions};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use neo4j_devcluster::apiserver::{Options, Server};
use neo4j_operator_crds::Neo4jEnterpriseCluster;
use serde_json::json;

use super::*;
use crate::{
    cache::ServiceView,
    queue::Verdict,
    reconcile::{Executor, Manifest, executor},
};

struct World {
    server: Server,
    client: Client,
    router: Router,
    queue: Queue,
    executor: Executor,
}

impl World {
    async fn new(strategy: Strategy) -> Self {
        let server = Server::new(Options::default());
        let client = server.client("default");
        let definitions: Api<extensions::CustomResourceDefinition> = Api::all(client.clone());
        for definition in neo4j_operator_crds::definition::definitions().unwrap() {
            definitions.create(&PostParams::default(), &definition).await.unwrap();
        }
        let queue = Queue::default();
        let settings = Settings {
            strategy,
            ..Settings::default()
        };
        let router = Router::start(client.clone(), &settings, queue.clone(), Arc::new(()));
        router.synced().await;
        let executor = Executor::new(client.clone(), executor::Options::default()).telling(router.clone());
        Self {
            server,
            client,
            router,
            queue,
            executor,
        }
    }

    async fn cluster(&self, name: &str) -> Neo4jEnterpriseCluster {
        let cluster = json!({
            "apiVersion": "neo4j.neo4j.com/v1beta1", "kind": "Neo4jEnterpriseCluster",
            "metadata": {"name": name},
            "spec": {
                "image": {"repo": "neo4j", "tag": "5.26.0-enterprise"},
                "topology": {"servers": 3},
                "storage": {"className": "standard", "size": "1Gi"},
                "auth": {"adminSecret": "neo4j-admin-secret"},
            },
        });
        let api: Api<Neo4jEnterpriseCluster> = Api::namespaced(self.client.clone(), "default");
        let cluster = serde_json::from_value(cluster).unwrap();
        api.create(&PostParams::default(), &cluster).await.unwrap()
    }

    fn service(owner: &Neo4jEnterpriseCluster, port: u16) -> Manifest {
        let name = owner.metadata.name.clone().unwrap();
        let reference = kube::Resource::controller_owner_ref(owner, &()).unwrap();
        let labels = json!({"neo4j.com/cluster": name, "app.kubernetes.io/managed-by": "neo4j-operator"});
        let body = json!({"metadata": {"labels": labels}, "spec": {"ports": [{"port": port}]}});
        Manifest::new(
            Kind::Service,
            "default",
            &format!("{name}-client"),
            Some(&reference),
            &body,
        )
        .unwrap()
    }

    async fn services(&self, owner: &Neo4jEnterpriseCluster) -> Vec<Arc<ServiceView>> {
        let select = Select::Owner {
            uid: owner.metadata.uid.as_deref().unwrap().into(),
            labels: Vec::new(),
        };
        let requests = Requests::default();
        self.router.list("default", &select, &requests).await.unwrap()
    }

    /// The next key that is woken.
    async fn woken(&self) -> String {
        let job = tokio::time::timeout(Duration::from_secs(60), self.queue.next()).await;
        let job = job.expect("a key within a minute").unwrap();
        self.queue.finish(&job.key, Verdict::Done(None));
        format!("{} {}: {}", job.key.kind, job.key.name, job.trigger)
    }

    /// Waits until a key is woken by that; what our own writes wake before they are known as ours is passed.
    async fn woken_by(&self, trigger: &str) {
        while !self.woken().await.ends_with(trigger) {}
    }

    fn reads(&self) -> usize {
        let requests = self.server.requests();
        let reads = requests.iter().filter(|request| !request.watch && !request.is_write());
        reads.count()
    }
}

#[tokio::test(start_paused = true)]
async fn what_we_write_is_read_back_at_once_and_without_a_request() {
    let world = World::new(Strategy::Selective).await;
    let cluster = world.cluster("c").await;
    assert_eq!(
        world.woken().await,
        "neo4jenterpriseclusters c: neo4jenterpriseclusters appeared"
    );
    world.server.forget_requests();
    let requests = Requests::default();
    for port in 1..20 {
        let before = world.services(&cluster).await;
        let live = before.first().map(|service| service.metadata.live());
        let manifest = World::service(&cluster, port);
        world
            .executor
            .ensure(&manifest, live.as_ref(), &requests)
            .await
            .unwrap();
        let after = world.services(&cluster).await;
        assert_eq!(after[0].metadata.applied_hash(), Some(manifest.hash.as_str()));
    }
    // One GET of the executor's own, to hand over what the POST set; none of the router.
    assert_eq!(world.reads(), 1, "{:?}", world.server.requests());
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_deleted_by_hand_wakes_its_owner_under_every_strategy() {
    for strategy in [Strategy::None, Strategy::Selective] {
        let world = World::new(strategy).await;
        let cluster = world.cluster("c").await;
        world.woken().await;
        let manifest = World::service(&cluster, 1);
        world
            .executor
            .ensure(&manifest, None, &Requests::default())
            .await
            .unwrap();
        let api: Api<Service> = Api::namespaced(world.client.clone(), "default");
        let label = json!({"metadata": {"labels": {"touched": "yes"}}});
        api.patch("c-client", &PatchParams::default(), &Patch::Merge(&label))
            .await
            .unwrap();
        world.woken_by("services changed").await;
        api.delete("c-client", &DeleteParams::default()).await.unwrap();
        world.woken_by("services gone").await;
        assert_eq!(world.services(&cluster).await, []);
    }
}

#[tokio::test(start_paused = true)]
async fn the_key_of_a_deleted_resource_reaches_its_reconciler() {
    let world = World::new(Strategy::Selective).await;
    world.cluster("c").await;
    world.woken().await;
    let api: Api<Neo4jEnterpriseCluster> = Api::namespaced(world.client.clone(), "default");
    api.delete("c", &DeleteParams::default()).await.unwrap();
    assert_eq!(
        world.woken().await,
        "neo4jenterpriseclusters c: neo4jenterpriseclusters gone"
    );
    let requests = Requests::default();
    let found = world
        .router
        .custom::<Neo4jEnterpriseCluster>("default", "c", &requests)
        .await
        .unwrap();
    assert!(found.is_none());
    assert_eq!(requests.total(), 0, "a list without a filter is complete");
}

#[tokio::test(start_paused = true)]
async fn foreign_objects_are_not_kept() {
    let world = World::new(Strategy::Selective).await;
    let api: Api<Service> = Api::namespaced(world.client.clone(), "default");
    for number in 0..50 {
        let service = json!({"metadata": {"name": format!("foreign-{number}")}, "spec": {"ports": [{"port": 1}]}});
        let service = serde_json::from_value(service).unwrap();
        api.create(&PostParams::default(), &service).await.unwrap();
    }
    let cluster = world.cluster("c").await;
    world.woken().await;
    world
        .executor
        .ensure(&World::service(&cluster, 1), None, &Requests::default())
        .await
        .unwrap();
    world.services(&cluster).await;
    let rows = world.router.snapshot().kinds;
    let services = rows.iter().find(|row| row.kind == Kind::Service).unwrap();
    assert_eq!(services.objects, 1);
    assert!(services.bytes < 2048, "{} bytes", services.bytes);
}
