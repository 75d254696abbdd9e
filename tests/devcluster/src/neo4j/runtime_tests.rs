//! The runtime as the kubelet uses it, on a stub of the API: pods in, processes out.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, Response, StatusCode};
use k8s_openapi::api::core::v1::Pod;
use kube::{Client, client::Body};
use serde_json::{Value as Json, json};

use super::*;
use crate::{
    controllers::runtime::{Exit, Process, Runtime},
    neo4j::{
        backup::BackupFault,
        failure::code,
        faults::{Fault, Rule, Stage},
        value::Value,
    },
};

/// Objects by path, served as they are.
#[derive(Clone, Default)]
struct Objects(Arc<Mutex<BTreeMap<String, Json>>>);

impl Objects {
    fn put(&self, plural: &str, name: &str, mut object: Json) {
        object["metadata"] = json!({"name": name, "namespace": "ns", "uid": object["uid"]});
        self.0
            .lock()
            .unwrap()
            .insert(format!("/api/v1/namespaces/ns/{plural}/{name}"), object);
    }

    fn client(&self) -> Client {
        let objects = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let object = objects.0.lock().unwrap().get(request.uri().path()).cloned();
            let missing = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound",
                "code": 404, "message": format!("{} not found", request.uri().path())});
            let status = if object.is_some() {
                StatusCode::OK
            } else {
                StatusCode::NOT_FOUND
            };
            let body = Body::from(serde_json::to_vec(&object.unwrap_or(missing)).unwrap());
            let response = Response::builder().status(status).body(body).unwrap();
            std::future::ready(Ok::<_, std::convert::Infallible>(response))
        });
        Client::new(service, "ns")
    }
}

struct World {
    objects: Objects,
    fake: Arc<FakeNeo4j>,
    runtime: NeoRuntime,
}

const PASSWORD: &str = "correct-horse";

impl World {
    fn new(listen: bool, more: &str) -> Self {
        let objects = Objects::default();
        let endpoints: Vec<_> = (0..3)
            .map(|n| format!("c-server-{n}.c-headless.ns.svc.cluster.local:6000"))
            .collect();
        let conf = format!(
            "dbms.cluster.endpoints={}\ndbms.cluster.minimum_initial_system_primaries_count=3\n{more}",
            endpoints.join(",")
        );
        objects.put(
            "configmaps",
            "c-config",
            json!({"data": {"server.conf": conf, "roles": "default=NONE\n2=SECONDARY\n"}}),
        );
        let auth = k8s_openapi::ByteString(format!("neo4j/{PASSWORD}").into_bytes());
        objects.put("secrets", "c-operator-auth", json!({"data": {"NEO4J_AUTH": auth}}));
        for n in 0..4 {
            objects.put(
                "persistentvolumeclaims",
                &format!("data-c-server-{n}"),
                json!({"uid": format!("pvc-{n}"), "spec": {}}),
            );
        }
        let options = Options {
            listen,
            epoch: jiff::Timestamp::UNIX_EPOCH,
            ..Options::default()
        };
        let fake = FakeNeo4j::new(objects.client(), options).unwrap();
        let runtime = NeoRuntime(Arc::clone(&fake));
        Self { objects, fake, runtime }
    }

    fn pod(n: u32) -> Pod {
        let pod = json!({
            "metadata": {"name": format!("c-server-{n}"), "namespace": "ns", "uid": format!("pod-{n}"),
                "labels": {"neo4j.com/cluster": "c", "neo4j.com/server-name": "server", "neo4j.com/clustering": "true"}},
            "spec": {
                "containers": [{"name": "neo4j", "image": "neo4j:2025.08.0-enterprise", "env": [
                    {"name": "HEADLESS_SERVICE", "value": "c-headless"},
                    {"name": "CLUSTER_DOMAIN", "value": "cluster.local"},
                    {"name": "NEO4J_ACCEPT_LICENSE_AGREEMENT", "value": "yes"},
                    {"name": "NEO4J_AUTH", "valueFrom": {"secretKeyRef": {"name": "c-operator-auth", "key": "NEO4J_AUTH"}}},
                ]}],
                "volumes": [
                    {"name": "data", "persistentVolumeClaim": {"claimName": format!("data-c-server-{n}")}},
                    {"name": "config", "configMap": {"name": "c-config", "items": [
                        {"key": "server.conf", "path": "neo4j.conf"}, {"key": "roles", "path": "roles"}]}},
                    {"name": "ssl", "secret": {"secretName": "c-tls"}},
                ],
            },
        });
        serde_json::from_value(pod).unwrap()
    }

    async fn start(&self, pods: std::ops::Range<u32>) {
        for n in pods.clone() {
            self.runtime.start(&Self::pod(n), 0).await.unwrap();
        }
        for n in pods {
            let pod = Self::pod(n);
            let ready = async {
                while self.runtime.observe(&pod) != (Process::Running { ready: true }) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(30), ready)
                .await
                .expect("ready");
        }
    }

    fn call(n: u32, statement: &str) -> Call {
        Call {
            server: format!("c-server-{n}"),
            user: "neo4j".into(),
            password: PASSWORD.into(),
            database: Some("system".into()),
            statement: statement.into(),
            ..Call::default()
        }
    }
}

#[tokio::test(start_paused = true)]
async fn three_pods_form_a_cluster_with_the_constraints_and_names_of_their_pods() {
    let world = World::new(false, "");
    world.runtime.start(&World::pod(0), 0).await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(
        world.runtime.observe(&World::pod(0)),
        Process::Running { ready: false },
        "alone it waits"
    );
    world.start(1..3).await;
    let rows = world
        .fake
        .execute(World::call(1, "SHOW SERVERS YIELD address, modeConstraint, state"))
        .await
        .unwrap()
        .rows;
    let address = |n: u32| Value::from(format!("c-server-{n}.c-headless.ns.svc.cluster.local:7687"));
    assert_eq!(rows[0], [address(0), "NONE".into(), "Enabled".into()]);
    assert_eq!(rows[2], [address(2), "SECONDARY".into(), "Enabled".into()]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_ends_the_process_and_its_server_returns_with_its_volume() {
    let world = World::new(false, "");
    world.start(0..3).await;
    let crashed: Pod = {
        let mut pod = World::pod(1);
        pod.metadata.annotations = Some([(runtime::FAULT.to_owned(), "crash".to_owned())].into());
        pod
    };
    assert!(matches!(
        world.runtime.observe(&crashed),
        Process::Exited(Exit { code: 1, .. })
    ));
    let error = world.fake.execute(World::call(1, "SHOW SERVERS")).await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable(_)), "{error}");
    let down = World::call(0, "SHOW SERVERS YIELD health WHERE health = 'Unavailable'");
    assert_eq!(world.fake.execute(down).await.unwrap().rows.len(), 1);
    world.start(1..2).await;
    assert_eq!(
        world
            .fake
            .execute(World::call(1, "SHOW SERVERS"))
            .await
            .unwrap()
            .rows
            .len(),
        3
    );
}

#[tokio::test(start_paused = true)]
async fn a_cluster_whose_volumes_are_gone_begins_anew_and_one_whose_volumes_stay_does_not() {
    let world = World::new(false, "");
    world.start(0..3).await;
    let leader = World::call(0, "CREATE DATABASE orders");
    world.fake.execute(leader).await.unwrap();
    let stop_all = async || {
        for n in 0..3 {
            world.runtime.stop(&World::pod(n), Duration::from_secs(30)).await;
        }
    };
    let databases = async || {
        let rows = world
            .fake
            .execute(World::call(0, "SHOW DATABASES YIELD name"))
            .await
            .unwrap()
            .rows;
        rows.iter().filter(|row| row[0] == Value::from("orders")).count()
    };
    stop_all().await;
    world.start(0..3).await;
    assert_eq!(databases().await, 1);
    stop_all().await;
    for n in 0..3 {
        let claim = json!({"uid": format!("other-{n}"), "spec": {}});
        world
            .objects
            .put("persistentvolumeclaims", &format!("data-c-server-{n}"), claim);
    }
    world.start(0..3).await;
    assert_eq!(databases().await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_real_server_would_not_start_with_ends_the_process_with_its_message() {
    for (more, word) in [
        ("server.memory.heap.maxsize=1g", "maxsize"),
        ("db.format=block\ndb.format=block", "multiple times"),
        ("server.bolt.tls_level=REQUIRED", "SSL policy"),
    ] {
        let world = World::new(false, more);
        if word == "SSL policy" {
            world.objects.put("secrets", "c-tls", json!({"data": {}}));
        }
        world.runtime.start(&World::pod(0), 0).await.unwrap();
        match world.runtime.observe(&World::pod(0)) {
            Process::Exited(exit) => assert!(exit.message.as_ref().unwrap().contains(word), "{exit:?}"),
            running @ Process::Running { .. } => panic!("{more}: {running:?}"),
        }
    }
    let world = World::new(false, "");
    let mut pod = World::pod(0);
    pod.spec.as_mut().unwrap().containers[0].env.as_mut().unwrap().remove(2);
    world.runtime.start(&pod, 0).await.unwrap();
    assert!(
        matches!(world.runtime.observe(&pod), Process::Exited(ref exit) if exit.message.as_ref().unwrap().contains("license"))
    );
}

#[tokio::test(start_paused = true)]
async fn faults_strike_calls_without_sockets_as_they_do_connections() {
    let world = World::new(false, "");
    world.start(0..3).await;
    let faults = &world.fake.cluster("ns", "c").faults;
    faults.add(Rule::once(Stage::Run, Fault::LoseReply).on("create"));
    let lost = world
        .fake
        .execute(World::call(0, "CREATE DATABASE orders"))
        .await
        .unwrap_err();
    assert!(matches!(lost, CallError::Lost(_)), "{lost}");
    let exists = world
        .fake
        .execute(World::call(0, "CREATE DATABASE orders"))
        .await
        .unwrap_err();
    assert!(
        matches!(&exists, CallError::Neo4j(failure) if failure.code == code::DATABASE_EXISTS),
        "{exists}"
    );
    faults.add(Rule::once(Stage::Accept, Fault::BlackHole).at("c-server-1"));
    let silent = tokio::time::timeout(
        Duration::from_secs(60),
        world.fake.execute(World::call(1, "CALL db.ping()")),
    )
    .await;
    assert!(silent.is_err(), "never answers");
    let wrong = Call {
        password: "wrong-password".into(),
        ..World::call(1, "CALL db.ping()")
    };
    let refused = world.fake.execute(wrong).await.unwrap_err();
    assert!(
        matches!(&refused, CallError::Login(failure) if failure.code == code::UNAUTHORIZED),
        "{refused}"
    );
    assert!(world.fake.hang("c-server-2", true));
    let hung = tokio::time::timeout(
        Duration::from_secs(60),
        world.fake.execute(World::call(2, "CALL db.ping()")),
    )
    .await;
    assert!(hung.is_err());
    world.fake.hang("c-server-2", false);
    assert!(world.fake.execute(World::call(2, "CALL db.ping()")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_backup_pod_leaves_its_report_as_termination_message() {
    let world = World::new(false, "");
    world.start(0..3).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    world
        .objects
        .put("persistentvolumeclaims", "b-claim", json!({"uid": "pvc-b", "spec": {}}));
    let pod = |uid: &str| -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "b-backup-x", "namespace": "ns", "uid": uid,
                "labels": {"neo4j.com/cluster": "c", "neo4j.com/backup": "b"}},
            "spec": {"restartPolicy": "Never",
                "containers": [{"name": "backup", "command": ["/tools/neo4j-operator"], "args": ["backup-run",
                    "--from", "c-server-0.c-headless.ns.svc.cluster.local:6362", "--to-path", "/backups/b", "--databases", "*"]}],
                "volumes": [{"name": "backup", "persistentVolumeClaim": {"claimName": "b-claim"}}]},
        }))
        .unwrap()
    };
    let run = async |uid: &str| {
        world.runtime.start(&pod(uid), 0).await.unwrap();
        loop {
            match world.runtime.observe(&pod(uid)) {
                Process::Exited(exit) => return exit,
                Process::Running { .. } => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    };
    let exit = run("one").await;
    assert_eq!(exit.code, 0, "{exit:?}");
    let report = neo4j_operator_shared::backup::BackupReport::from_message(&exit.message.unwrap()).unwrap();
    let files: Vec<_> = report.artifacts.iter().map(|artifact| artifact.file.clone()).collect();
    assert_eq!(world.fake.backup_files("pvc-b", "/backups/b"), files);
    world.fake.set_backup_fault("ns", "c", Some(BackupFault::Killed));
    assert_eq!(run("two").await.code, 137);
}

#[tokio::test]
async fn over_tls_the_driver_trusts_the_issued_authority_and_the_metrics_port_answers() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let _ = rustls::crypto::ring::default_provider().install_default();
    let world = World::new(true, "server.bolt.tls_level=REQUIRED");
    let issued = world.fake.certificate("ns", "c").unwrap();
    let secret = |text: &str| k8s_openapi::ByteString(text.as_bytes().to_vec());
    let data = json!({"tls.crt": secret(&issued.tls_crt), "tls.key": secret(&issued.tls_key)});
    world.objects.put("secrets", "c-tls", json!({"data": data}));
    world.start(0..3).await;
    let ip = world.runtime.address(&World::pod(0)).unwrap();
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), &issued.ca_crt).unwrap();
    let config = neo4rs::ConfigBuilder::default()
        .uri(format!("bolt+s://{ip}:7687"))
        .user("neo4j")
        .password(PASSWORD)
        .with_client_certificate(ca.path())
        .connection_timeout(Duration::from_secs(10))
        .build()
        .unwrap();
    let graph = neo4rs::Graph::connect(config).unwrap();
    let mut rows = graph
        .execute_on("system", neo4rs::query("SHOW SERVERS YIELD name"))
        .await
        .unwrap();
    let mut count = 0;
    while rows.next().await.unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 3);
    let mut metrics = tokio::net::TcpStream::connect((ip, metrics_port::METRICS_PORT))
        .await
        .unwrap();
    metrics
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut page = String::new();
    metrics.read_to_string(&mut page).await.unwrap();
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(
        page.contains("neo4j_dbms_vm_cpu_load_process ")
            && page.contains("neo4j_database_system_cluster_raft_is_leader ")
    );
    world.runtime.stop(&World::pod(0), Duration::from_secs(5)).await;
    assert!(
        tokio::net::TcpStream::connect((ip, 7687)).await.is_err(),
        "its ports close with it"
    );
}
