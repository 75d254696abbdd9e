//! The operator's client leads a cluster: only the fake has one. Over sockets with the real driver, and without
//! them on paused time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use neo4j_devcluster::neo4j::{FakeNeo4j, Options, model::Boot, pod};
use neo4j_operator::neo4j::{
    ClusterClient, ClusterTarget, Command, Credentials, Driver, EndpointResolver, ErrorKind, Limits, Member,
    ModeConstraint, Neo4rsDriver, Registry, Topology, admin::NewDatabase, fold_databases,
};
use neo4j_operator_tests::model_driver::ModelDriver;

const SERVERS: u32 = 3;
const ONE: Topology = Topology {
    primaries: 1,
    secondaries: 0,
};

struct World {
    fake: Arc<FakeNeo4j>,
    client: ClusterClient,
}

async fn boot(fake: &Arc<FakeNeo4j>, ordinal: u32) -> Member {
    let host = |ordinal: u32| format!("c-server-{ordinal}.c-headless.ns.svc.cluster.local");
    let endpoints: Vec<_> = (0..SERVERS).map(|ordinal| format!("{}:6000", host(ordinal))).collect();
    let boot = Boot {
        volume: format!("pvc-{ordinal}"),
        pod: format!("c-server-{ordinal}"),
        host: host(ordinal),
        version: "2025.08.0".into(),
        settings: BTreeMap::from([("dbms.cluster.endpoints".into(), endpoints.join(","))]),
        initial_password: Some("correct-horse".into()),
        auth_disabled: false,
    };
    let start = pod::Server {
        boot,
        claim: None,
        tls: None,
    };
    let ip = fake.boot("ns", "c", "server", start).await.expect("boots");
    Member {
        pod: format!("c-server-{ordinal}").into(),
        pod_uid: format!("uid-{ordinal}").into(),
        host: host(ordinal).into(),
        ip: Some(ip.to_string().into()),
    }
}

async fn world(sockets: bool) -> World {
    let config = kube::Config::new("http://127.0.0.1:9".parse().unwrap());
    let client = kube::Client::try_from(config).expect("nothing is sent");
    let options = Options {
        listen: sockets,
        epoch: jiff::Timestamp::UNIX_EPOCH,
        ..Options::default()
    };
    let fake = FakeNeo4j::new(client, options).expect("a loopback network");
    let mut members = Vec::new();
    for ordinal in 0..SERVERS {
        members.push(boot(&fake, ordinal).await);
    }
    let driver: Arc<dyn Driver> = if sockets {
        Arc::new(Neo4rsDriver)
    } else {
        Arc::new(ModelDriver(Arc::clone(&fake)))
    };
    let resolver = EndpointResolver::PodIp {
        cluster_domain: "cluster.local".into(),
    };
    let target = ClusterTarget {
        cluster: "ns/c".into(),
        uid: "uid".into(),
        members,
        tls: None,
        credentials: Credentials::new("neo4j", "correct-horse"),
    };
    let client = Registry::new(driver, resolver, Limits::default())
        .cluster(target)
        .for_reconcile("r-1");
    let world = World { fake, client };
    world.until(|world| world.fake.serves("c-server-2")).await;
    world
}

impl World {
    async fn until(&self, done: impl Fn(&Self) -> bool) {
        let wait = async {
            while !done(self) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait)
            .await
            .expect("in time");
    }

    /// The life of a cluster as the operator leads it, in its own commands.
    async fn story(&self) {
        let servers = self.client.servers().await.unwrap();
        assert_eq!(servers.len(), 3);
        for server in &servers {
            self.client
                .enable_server(&server.server_id, ModeConstraint::None)
                .await
                .unwrap();
        }
        let names = ["dbms.cluster.minimum_initial_system_primaries_count"];
        assert_eq!(self.client.settings(&names).await.unwrap()[names[0]], "3");
        let topology = Topology {
            primaries: 3,
            secondaries: 0,
        };
        self.client.default_allocation(topology).await.unwrap();
        assert_eq!(self.client.default_topology().await.unwrap(), Some(topology));
        let orders = NewDatabase {
            name: "orders".into(),
            if_not_exists: true,
            topology: Some(topology),
            options: Vec::new(),
        };
        self.client.create_database(&orders).await.unwrap();
        self.client.create_database(&orders).await.expect("if not exists");
        self.until(|world| {
            world
                .fake
                .cluster("ns", "c")
                .with(|cluster, _| cluster.has_majority("orders"))
        })
        .await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let databases = fold_databases(self.client.databases().await.unwrap());
        assert!(databases["orders"].is_online(), "{:?}", databases["orders"]);
        let checked = self.client.status_check(&["orders"]).await.unwrap();
        assert_eq!(checked.len(), 3);
        let refused = self.client.alter_topology("orders", ONE).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Client, "{refused}");
        self.client.drop_database("orders").await.unwrap();
    }

    /// The leader goes: changes find the next one.
    async fn lose_the_leader(&self) {
        let leader = self.fake.cluster("ns", "c").with(|cluster, _| {
            let leader = cluster.databases["system"].leader.clone().unwrap();
            cluster.servers[&leader].boot.pod.clone()
        });
        assert!(self.fake.crash(&leader));
        let again = async {
            while let Err(error) = self.client.default_allocation(ONE).await {
                // What a reconcile does: it waits, and comes again.
                assert!(error.is_transient(), "{error}");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(30), again).await;
        assert!(found.is_ok(), "another one leads, but the client does not find it");
    }

    async fn every_command_is_understood(&self) {
        for command in Command::samples() {
            let member = &self.client.target().members[0];
            if let Err(error) = self.client.execute_on(member, &command).await {
                let code = error.code.clone().unwrap_or_default();
                assert!(
                    !code.contains("Syntax") && !code.contains("Procedure"),
                    "{command:?}: {error}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_operators_client_leads_a_cluster_on_paused_time() {
    let world = world(false).await;
    world.story().await;
    world.every_command_is_understood().await;
    world.lose_the_leader().await;
}

#[tokio::test]
async fn the_operators_client_leads_a_cluster_over_sockets() {
    let world = world(true).await;
    world.story().await;
    world.every_command_is_understood().await;
    world.lose_the_leader().await;
}
