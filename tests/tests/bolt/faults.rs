//! What can be ordered of the fake alone, seen by the operator's driver library.

use std::time::Duration;

use neo4j_devcluster::neo4j::{
    failure::{Neo4jFailure, code},
    faults::{Fault, Rule, Stage},
    model::Edition,
};
use neo4j_operator::neo4j::{BoltError, ErrorKind, Rows, Value};

use super::{
    peer::{Deadline, PASSWORD, Peer, statement},
    raw::{Answer, RESET},
};

const BUDGET: Duration = Duration::from_secs(20);

/// One statement on a connection of its own.
async fn once(peer: &Peer, database: &str, text: &str) -> Result<Rows, BoltError> {
    let mut session = peer.session(PASSWORD).await?;
    session.execute(database, &statement(text, BUDGET)).await
}

#[tokio::test]
async fn injected_failures_leave_the_connection_usable() {
    let (peer, model) = Peer::fake(Edition::Enterprise).await;
    let mut session = peer.session(PASSWORD).await.unwrap();
    let one = statement("RETURN 1 AS n", BUDGET);
    for stage in [Stage::Run, Stage::Pull] {
        let fault = Fault::Fail(Neo4jFailure::argument("injected"));
        model.faults.add(Rule::once(stage, fault));
        let failed = session.execute("neo4j", &one).await.unwrap_err();
        assert_eq!(failed.code.as_deref(), Some(code::ARGUMENT));
        let rows = session.execute("neo4j", &one).await.unwrap();
        assert_eq!(rows.0[0].get("n"), Some(&Value::Int(1)));
    }
}

#[tokio::test]
async fn a_lost_reply_breaks_the_connection_but_not_the_effect() {
    let (peer, model) = Peer::fake(Edition::Enterprise).await;
    model
        .faults
        .add(Rule::once(Stage::Run, Fault::LoseReply).on("create database"));
    let lost = once(&peer, "system", "CREATE DATABASE orders").await.unwrap_err();
    assert_eq!(lost.kind, ErrorKind::Connect, "{lost}");
    let again = once(&peer, "system", "CREATE DATABASE orders").await.unwrap_err();
    assert_eq!(again.kind, ErrorKind::AlreadyExists, "{again}");
}

#[tokio::test]
async fn a_reset_ends_a_waiting_statement_and_its_effect_stays() {
    let (peer, model) = Peer::fake(Edition::Enterprise).await;
    // A store copy that takes for ever lets WAIT wait.
    model.with(|cluster, _| {
        cluster.seeds.insert("https://seeds/big.backup".into(), u64::MAX >> 20);
    });
    let mut raw = peer.raw().await;
    let text =
        "CREATE DATABASE big OPTIONS {existingData: 'use', seedURI: 'https://seeds/big.backup'} WAIT 300 SECONDS";
    raw.run("system", text, &[]).await;
    raw.pull(-1).await;
    let exists = || model.with(|cluster, _| cluster.databases.contains_key("big"));
    let deadline = Deadline::new("the database");
    while !exists() {
        deadline.pause().await;
    }
    raw.send(RESET, []).await;
    assert_eq!(raw.receive().await.failure().code, code::TERMINATED);
    assert_eq!(raw.receive().await, Answer::Ignored);
    raw.receive().await.success();
    assert_eq!(raw.query("neo4j", "RETURN 1").await.unwrap().len(), 1);
    assert!(exists());
}

#[tokio::test]
async fn ordered_faults_look_like_broken_servers_to_the_driver() {
    let (peer, model) = Peer::fake(Edition::Enterprise).await;
    let faults = &model.faults;
    for (stage, fault) in [
        (Stage::Accept, Fault::Reset),
        (Stage::Accept, Fault::Close),
        (Stage::Handshake, Fault::NoCommonVersion),
        (Stage::Hello, Fault::HalfAnswer),
        (Stage::Run, Fault::Reset),
        (Stage::Pull, Fault::Close),
    ] {
        faults.add(Rule::once(stage, fault.clone()).at("c-server-0"));
        let broken = once(&peer, "neo4j", "RETURN 1").await;
        assert!(broken.is_err(), "{stage:?} {fault:?} went unnoticed");
        let whole = once(&peer, "neo4j", "RETURN 1").await;
        assert!(whole.is_ok(), "{stage:?} {fault:?} struck twice");
    }
    faults.add(Rule::once(Stage::Run, Fault::Drip(Duration::from_millis(1))));
    assert!(once(&peer, "neo4j", "RETURN 1").await.is_ok(), "slow is not broken");
    faults.add(Rule::once(Stage::Run, Fault::BlackHole).on("return 2"));
    let mut session = peer.session(PASSWORD).await.unwrap();
    let silent = session
        .execute("neo4j", &statement("RETURN 2", Duration::from_millis(300)))
        .await;
    assert_eq!(
        silent.unwrap_err().kind,
        ErrorKind::Timeout,
        "a black hole never answers"
    );
}
