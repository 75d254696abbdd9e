//! The real driver against the fake over real sockets: what neo4rs needs is what is tested, in its own words.

use std::{sync::Arc, time::Duration};

use neo4rs::{ConfigBuilder, Graph, query};
use tokio::net::TcpListener;

use super::{
    failure::{Neo4jFailure, code},
    faults::{Fault, Rule, Stage},
    handle::{Clock, ClusterHandle},
    model::{Boot, Tuning},
    process::Process,
    value::Value,
};

/// One running server that forms a cluster alone, and the address of its Bolt port.
async fn server() -> (Arc<Process>, String) {
    let tuning = Tuning {
        start: Duration::ZERO,
        ..Tuning::default()
    };
    let cluster = ClusterHandle::new("ns/c", tuning, Clock::new(jiff::Timestamp::UNIX_EPOCH));
    let boot = Boot {
        volume: "v".into(),
        pod: "c-server-0".into(),
        host: "c-server-0.c-headless".into(),
        version: "5.26.0".into(),
        initial_password: Some("correct-horse".into()),
        ..Boot::default()
    };
    let id = cluster.with(|cluster, now| cluster.process_started(boot, now));
    let process = Process::new(id, cluster, vec!["c-server-0".into()], "5.26.0");
    assert!(process.started().await);
    // The default database starts a moment after the server.
    while !cluster_is_online(&process) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(Arc::clone(&process).serve_bolt(listener, None));
    (process, address)
}

fn cluster_is_online(process: &Process) -> bool {
    process.cluster.with(|cluster, _| cluster.has_majority("neo4j"))
}

fn graph(address: &str, password: &str) -> Graph {
    let config = ConfigBuilder::default()
        .uri(format!("bolt://{address}"))
        .user("neo4j")
        .password(password)
        .max_connections(1)
        .connection_timeout(Duration::from_secs(5))
        .fetch_size(2)
        .build()
        .unwrap();
    Graph::connect(config).unwrap()
}

async fn rows(graph: &Graph, database: &str, text: &str) -> Result<Vec<neo4rs::Row>, neo4rs::Error> {
    let mut stream = graph.execute_on(database, query(text)).await?;
    let mut rows = Vec::new();
    while let Some(row) = stream.next().await? {
        rows.push(row);
    }
    Ok(rows)
}

fn code_of(error: neo4rs::Error) -> String {
    match error {
        neo4rs::Error::Neo4j(error) => error.code().to_owned(),
        other => panic!("not a failure of the server: {other}"),
    }
}

#[tokio::test]
async fn the_driver_logs_in_and_decodes_the_tables_of_servers_and_databases() {
    let (_process, address) = server().await;
    let graph = graph(&address, "correct-horse");
    let servers = rows(
        &graph,
        "system",
        "SHOW SERVERS YIELD name, address, state, health, hosting, tags",
    )
    .await
    .unwrap();
    assert_eq!(servers.len(), 1);
    assert_eq!(servers[0].get::<String>("state").unwrap(), "Enabled");
    assert_eq!(servers[0].get::<Vec<String>>("hosting").unwrap(), ["neo4j", "system"]);
    assert_eq!(
        servers[0].get::<String>("address").unwrap(),
        "c-server-0.c-headless:7687"
    );
    let text = "SHOW DATABASES YIELD name, role, writer, requestedPrimariesCount, replicationLag, constituents";
    let databases = rows(&graph, "system", text).await.unwrap();
    let names: Vec<String> = databases.iter().map(|row| row.get("name").unwrap()).collect();
    assert_eq!(names, ["neo4j", "system"]);
    assert_eq!(
        databases[1].get::<Option<i64>>("requestedPrimariesCount").unwrap(),
        None
    );
}

#[tokio::test]
async fn a_wrong_password_is_told_at_the_first_statement() {
    let (_process, address) = server().await;
    let error = rows(&graph(&address, "wrong-password"), "system", "RETURN 1")
        .await
        .unwrap_err();
    assert!(
        matches!(&error, neo4rs::Error::AuthenticationError(text) if text.contains("unauthorized")),
        "{error}"
    );
}

#[tokio::test]
async fn rows_beyond_the_fetch_size_come_in_further_pulls() {
    let (_process, address) = server().await;
    let graph = graph(&address, "correct-horse");
    let settings = rows(&graph, "system", "SHOW SETTINGS YIELD name, value").await.unwrap();
    assert!(settings.len() > 4, "fetch size is two");
}

#[tokio::test]
async fn failures_at_run_and_at_pull_leave_the_connection_usable() {
    let (process, address) = server().await;
    let graph = graph(&address, "correct-horse");
    let error = rows(&graph, "system", "ENABLE SERVR 'a'").await.unwrap_err();
    assert_eq!(code_of(error), code::SYNTAX);
    let mut stream = graph
        .execute_on("neo4j", query("UNWIND [1, 1, 1, 0] AS i RETURN 1/i"))
        .await
        .expect("RUN succeeds");
    assert!(stream.next().await.unwrap().is_some());
    assert!(stream.next().await.unwrap().is_some());
    assert_eq!(code_of(stream.next().await.unwrap_err()), code::ARITHMETIC);
    drop(stream);
    process
        .cluster
        .faults
        .add(Rule::once(Stage::Pull, Fault::Fail(Neo4jFailure::argument("injected"))));
    assert_eq!(
        code_of(rows(&graph, "neo4j", "RETURN 1 AS n").await.unwrap_err()),
        code::ARGUMENT
    );
    let one = rows(&graph, "neo4j", "RETURN 1 AS n").await.unwrap();
    assert_eq!(one[0].get::<i64>("n").unwrap(), 1);
}

#[tokio::test]
async fn a_lost_reply_breaks_the_connection_but_not_the_effect() {
    let (process, address) = server().await;
    let graph = graph(&address, "correct-horse");
    process
        .cluster
        .faults
        .add(Rule::once(Stage::Run, Fault::LoseReply).on("create database"));
    rows(&graph, "system", "CREATE DATABASE orders").await.unwrap_err();
    let error = rows(&graph, "system", "CREATE DATABASE orders").await.unwrap_err();
    assert_eq!(code_of(error), code::DATABASE_EXISTS);
}

#[tokio::test]
async fn a_transaction_reads_commits_and_rolls_back() {
    let (_process, address) = server().await;
    let graph = graph(&address, "correct-horse");
    let mut transaction = graph.start_txn_on("neo4j").await.unwrap();
    let mut stream = transaction.execute(query("RETURN 7 AS n")).await.unwrap();
    let row = stream.next(transaction.handle()).await.unwrap().unwrap();
    assert_eq!(row.get::<i64>("n").unwrap(), 7);
    assert!(stream.next(transaction.handle()).await.unwrap().is_none());
    transaction.commit().await.unwrap();
    graph.start_txn().await.unwrap().rollback().await.unwrap();
}

#[tokio::test]
async fn bytes_that_are_no_bolt_end_the_connection_and_nothing_else() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (_process, address) = server().await;
    let garbage: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &[0x60, 0x60, 0xB0, 0x17, 0, 8, 8, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[
            0x60, 0x60, 0xB0, 0x17, 0, 0, 4, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0xFF, 0xD2, 0x99, 0, 0,
        ],
        &[
            0x60, 0x60, 0xB0, 0x17, 0, 0, 4, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0xB0, 0x6B, 0, 0,
        ],
    ];
    for bytes in garbage {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer))
            .await
            .expect("closed");
    }
    assert_eq!(
        rows(&graph(&address, "correct-horse"), "neo4j", "RETURN 1")
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_reset_ends_a_waiting_statement_and_its_effect_stays() {
    let (process, address) = server().await;
    // A store copy that takes for ever lets WAIT wait.
    process.cluster.with(|cluster, _| {
        cluster.seeds.insert("https://seeds/big.backup".into(), u64::MAX >> 20);
    });
    let mut client = raw(&address).await;
    let text =
        "CREATE DATABASE big OPTIONS {existingData: 'use', seedURI: 'https://seeds/big.backup'} WAIT 300 SECONDS";
    client.send(&run_message(text)).await;
    client.send(&[0xB1, 0x3F, 0xA1, 0x81, b'n', 0xFF]).await; // PULL all
    while !process.cluster.with(|cluster, _| cluster.databases.contains_key("big")) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    client.send(&[0xB0, 0x0F]).await; // RESET
    assert_eq!(client.tag().await, 0x7F, "RUN fails: terminated");
    assert_eq!(client.tag().await, 0x7E, "PULL is ignored");
    assert_eq!(client.tag().await, 0x70, "RESET succeeds");
    client.send(&run_message("RETURN 1")).await;
    assert_eq!(client.tag().await, 0x70);
    assert!(process.cluster.with(|cluster, _| cluster.databases.contains_key("big")));
}

#[tokio::test]
async fn ordered_faults_look_like_broken_servers_to_the_driver() {
    let (process, address) = server().await;
    let faults = &process.cluster.faults;
    for (stage, fault) in [
        (Stage::Accept, Fault::Reset),
        (Stage::Accept, Fault::Close),
        (Stage::Handshake, Fault::NoCommonVersion),
        (Stage::Hello, Fault::HalfAnswer),
        (Stage::Run, Fault::Reset),
        (Stage::Pull, Fault::Close),
    ] {
        faults.add(Rule::once(stage, fault.clone()).at("c-server-0"));
        let broken = rows(&graph(&address, "correct-horse"), "neo4j", "RETURN 1").await;
        assert!(broken.is_err(), "{stage:?} {fault:?} went unnoticed");
        let whole = rows(&graph(&address, "correct-horse"), "neo4j", "RETURN 1").await;
        assert!(whole.is_ok(), "{stage:?} {fault:?} struck twice");
    }
    faults.add(Rule::once(Stage::Run, Fault::Drip(Duration::from_millis(1))));
    assert!(
        rows(&graph(&address, "correct-horse"), "neo4j", "RETURN 1")
            .await
            .is_ok(),
        "slow is not broken"
    );
    let silent = Rule::once(Stage::Run, Fault::BlackHole).on("return 2");
    faults.add(silent);
    let graph = graph(&address, "correct-horse");
    let call = tokio::time::timeout(Duration::from_millis(300), rows(&graph, "neo4j", "RETURN 2")).await;
    assert!(call.is_err(), "a black hole never answers");
}

/// A client without manners: it sends bytes and reads the tags of answers.
struct Raw(tokio::net::TcpStream);

async fn raw(address: &str) -> Raw {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let hello = [0x60, 0x60, 0xB0, 0x17, 0, 0, 4, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    stream.write_all(&hello).await.unwrap();
    let mut version = [0; 4];
    stream.read_exact(&mut version).await.unwrap();
    assert_eq!(version, [0, 0, 4, 4]);
    let mut client = Raw(stream);
    let entries = [
        ("scheme", "basic"),
        ("principal", "neo4j"),
        ("credentials", "correct-horse"),
    ];
    let map = entries.map(|(key, text)| (key.to_owned(), text.into()));
    client.send(&encoded(0x01, vec![Value::Map(map.into())])).await;
    assert_eq!(client.tag().await, 0x70, "HELLO");
    client
}

fn encoded(tag: u8, fields: Vec<Value>) -> Vec<u8> {
    let mut bytes = bytes::BytesMut::new();
    super::bolt::packstream::encode(&Value::Struct(tag, fields), &mut bytes);
    bytes.to_vec()
}

fn run_message(text: &str) -> Vec<u8> {
    let extra = [("db".to_owned(), "system".into())].into();
    encoded(0x10, vec![text.into(), Value::Map([].into()), Value::Map(extra)])
}

impl Raw {
    async fn send(&mut self, message: &[u8]) {
        use tokio::io::AsyncWriteExt;
        self.0.write_u16(message.len() as u16).await.unwrap();
        self.0.write_all(message).await.unwrap();
        self.0.write_u16(0).await.unwrap();
    }

    /// The tag of the next answer.
    async fn tag(&mut self) -> u8 {
        use tokio::io::AsyncReadExt;
        let read = async {
            let mut message = Vec::new();
            loop {
                let length = self.0.read_u16().await.unwrap();
                if length == 0 {
                    return message[1];
                }
                let mut chunk = vec![0; usize::from(length)];
                self.0.read_exact(&mut chunk).await.unwrap();
                message.extend(chunk);
            }
        };
        tokio::time::timeout(Duration::from_secs(10), read)
            .await
            .expect("an answer")
    }
}
