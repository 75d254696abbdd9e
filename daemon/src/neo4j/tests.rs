//! Registry, pool and neo4rs against a modelled cluster over real Bolt on loopback.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use neo4j_devcluster::neo4j::{
    failure::Neo4jFailure,
    faults::{Fault, Rule, Stage},
    statement::Statement as FakeStatement,
};

use super::{
    admin::NewDatabase,
    testing::{FakeCluster, resolver},
    *,
};

async fn over_tcp(network: &str) -> (FakeCluster, Registry) {
    let cluster = FakeCluster::new(3, network);
    cluster.formed().await;
    cluster.listen(None).await;
    let registry = Registry::new(Arc::new(Neo4rsDriver), resolver(), Limits::default());
    (cluster, registry)
}

fn orders() -> NewDatabase {
    NewDatabase {
        name: "orders".into(),
        if_not_exists: true,
        topology: Some(Topology {
            primaries: 3,
            secondaries: 0,
        }),
        options: Vec::new(),
    }
}

async fn online(client: &ClusterClient, name: &str) -> DatabaseView {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let databases = fold_databases(client.databases().await.unwrap());
        if let Some(found) = databases.get(name)
            && found.is_online()
            && found.is_settled()
        {
            return found.clone();
        }
        assert!(Instant::now() < deadline, "{databases:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn the_fake_accepts_every_statement_that_we_can_send() {
    for command in Command::samples() {
        let text = command.text().unwrap();
        if let Err(failure) = FakeStatement::parse(&text) {
            panic!("{text}: {} {}", failure.code, failure.message);
        }
    }
}

#[tokio::test]
async fn servers_and_databases_are_read_and_changed_over_bolt() {
    let (cluster, registry) = over_tcp("91.1").await;
    let client = registry.cluster(cluster.target()).for_reconcile("r1");
    let servers = client.servers().await.unwrap();
    assert_eq!(servers.len(), 3);
    for server in &servers {
        assert_eq!(
            (server.state.as_str(), server.health.as_str()),
            ("Enabled", "Available")
        );
        let address = server.address.as_deref().unwrap();
        assert!(client.member_at(address).is_some(), "{address}");
    }
    client.create_database(&orders()).await.unwrap();
    client.create_database(&orders()).await.unwrap();
    let found = online(&client, "orders").await;
    assert_eq!(found.current.primaries, 3);
    client
        .alter_topology(
            "orders",
            Topology {
                primaries: 2,
                secondaries: 1,
            },
        )
        .await
        .unwrap();
    let found = online(&client, "orders").await;
    assert_eq!((found.current.primaries, found.current.secondaries), (2, 1));
    let replicated = client.status_check(&["system"]).await.unwrap();
    assert!(!replicated.is_empty() && replicated.iter().all(|row| row.successful));
    client
        .default_allocation(Topology {
            primaries: 3,
            secondaries: 0,
        })
        .await
        .unwrap();
    assert_eq!(
        client.default_topology().await.unwrap(),
        Some(Topology {
            primaries: 3,
            secondaries: 0
        })
    );
    assert_eq!(client.components().await.unwrap().0, ["5.26.0"]);
    client.drop_database("orders").await.unwrap();
    client.drop_database("orders").await.unwrap();
    let snapshot = registry.snapshot();
    assert!(snapshot.sockets <= 6, "{snapshot:#?}");
    assert!(snapshot.reused > snapshot.opened, "{snapshot:#?}");
    registry.forget_cluster("cluster-uid");
    assert_eq!(registry.snapshot().sockets, 0);
}

#[tokio::test]
async fn a_dead_server_costs_a_read_nothing_and_a_change_finds_the_new_leader() {
    let (cluster, registry) = over_tcp("91.2").await;
    let client = registry.cluster(cluster.target());
    client.create_database(&orders()).await.unwrap();
    online(&client, "orders").await;
    let leader = cluster
        .handle
        .with(|model, _| model.databases["system"].leader.clone())
        .unwrap();
    cluster.kill(cluster.ids.iter().position(|id| *id == leader).unwrap());
    let began = Instant::now();
    assert_eq!(client.servers().await.unwrap().len(), 3);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(error) = client.stop_database("orders").await {
        assert!(error.is_transient(), "{error:?}");
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_and_the_user_stays_unlocked() {
    let (cluster, registry) = over_tcp("91.3").await;
    let mut target = cluster.target();
    target.credentials = Credentials::new("neo4j", "wrong-password");
    let client = registry.cluster(target);
    assert_eq!(client.servers().await.unwrap_err().kind, ErrorKind::Auth);
    for _ in 0..20 {
        assert_eq!(client.servers().await.unwrap_err().kind, ErrorKind::CredentialsHeld);
    }
    // A person logs in on every server, and so does the operator once it knows the password.
    let client = registry.cluster(cluster.target());
    for member in &client.target().members {
        client.execute_on(member, &Command::Ping).await.unwrap();
    }
}

#[tokio::test]
async fn a_lost_reply_leaves_the_outcome_unknown_and_the_state_tells() {
    let (cluster, registry) = over_tcp("91.4").await;
    let client = registry.cluster(cluster.target());
    client.servers().await.unwrap();
    cluster
        .handle
        .faults
        .add(Rule::once(Stage::Run, Fault::LoseReply).on("DATABASE `orders`"));
    let error = client.create_database(&orders()).await.unwrap_err();
    assert!(error.outcome_unknown, "{error:?}");
    assert_eq!(error.kind, ErrorKind::Connect);
    // It was done, and reading the state again shows it.
    online(&client, "orders").await;
}

#[tokio::test]
async fn failures_at_run_and_at_pull_keep_their_code_and_the_connection() {
    let (cluster, registry) = over_tcp("91.5").await;
    let client = registry.cluster(cluster.target());
    let member = client.target().members[0].clone();
    client.execute_on(&member, &Command::ShowServers).await.unwrap();
    let opened = registry.snapshot().opened;
    for stage in [Stage::Run, Stage::Pull] {
        let failure = Neo4jFailure::new("Neo.ClientError.Statement.ArgumentError", "scripted");
        cluster.handle.faults.add(Rule::once(stage, Fault::Fail(failure)));
        let error = client.execute_on(&member, &Command::ShowServers).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Client, "{stage:?}: {error}");
        assert_eq!(error.code.as_deref(), Some("Neo.ClientError.Statement.ArgumentError"));
        client.execute_on(&member, &Command::ShowServers).await.unwrap();
    }
    assert_eq!(registry.snapshot().opened, opened);
}

#[tokio::test]
async fn the_statement_layer_without_sockets_answers_the_same() {
    let cluster = FakeCluster::new(3, "91.6");
    cluster.formed().await;
    let client = cluster.registry().cluster(cluster.target());
    assert_eq!(client.servers().await.unwrap().len(), 3);
    client.create_database(&orders()).await.unwrap();
    assert_eq!(online(&client, "orders").await.current.primaries, 3);
}

/// A certificate of its own for these addresses: PEM, and what serves it.
fn certificate(ips: &[String]) -> (String, tokio_rustls::TlsAcceptor) {
    let signed = rcgen::generate_simple_self_signed(ips.to_vec()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .unwrap();
    (signed.cert.pem(), tokio_rustls::TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn a_server_is_trusted_by_its_certificate_and_by_no_other() {
    let cluster = FakeCluster::new(1, "91.7");
    cluster.formed().await;
    let (pem, acceptor) = certificate(&cluster.ips);
    cluster.listen(Some(&acceptor)).await;
    let registry = || Registry::new(Arc::new(Neo4rsDriver), resolver(), Limits::default());
    let trusting = |pem: &str| {
        let mut target = cluster.target();
        target.tls = Some(TlsTrust { ca_pem: pem.into() });
        registry().cluster(target)
    };
    assert_eq!(trusting(&pem).servers().await.unwrap().len(), 1);
    let (other, _) = certificate(&cluster.ips);
    let error = trusting(&other).servers().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Tls, "{error}");
    let (elsewhere, acceptor) = certificate(&["127.91.8.9".to_owned()]);
    let wrong_name = FakeCluster::new(1, "91.8");
    wrong_name.formed().await;
    wrong_name.listen(Some(&acceptor)).await;
    let mut target = wrong_name.target();
    target.tls = Some(TlsTrust {
        ca_pem: elsewhere.as_str().into(),
    });
    let error = registry().cluster(target).servers().await.unwrap_err();
    assert_eq!(
        error.kind,
        ErrorKind::Tls,
        "the certificate is for another address: {error}"
    );
    // Without TLS, a server that wants it never gets as far as the password.
    let error = registry().cluster(cluster.target()).servers().await.unwrap_err();
    assert!(
        matches!(error.kind, ErrorKind::Connect | ErrorKind::Protocol),
        "{error:?}"
    );
}
