//! The operator's own driver and pool: what they promise, they promise of a real server.

use std::time::Duration;

use neo4j_devcluster::neo4j::model::Edition;
use neo4j_operator::neo4j::{
    BoltError, ClusterClient, Command, ErrorKind, ModeConstraint, Rows, Topology, Value, admin::NewDatabase,
    fold_databases,
};

use super::{
    peer::{Deadline, PASSWORD, Peer, VERSION, editions, statement},
    protocol::{SLOW, connections, until_connections},
    raw::Raw,
};

/// What the driver calls itself.
const AGENT: &str = "neo4rs";
/// More than any statement here needs.
const BUDGET: Duration = Duration::from_secs(20);

/// One server for all that leaves it alive.
#[tokio::test]
async fn the_client_finds_of_both_servers_what_it_promises() {
    for edition in editions() {
        let peer = Peer::start(*edition).await;
        databases_are_decoded(&peer).await;
        failures_keep_their_kind_and_the_connection(&peer).await;
        a_wrong_password_is_tried_once_and_locks_nobody(&peer).await;
        the_pool_keeps_to_its_bound_and_closes_what_is_trimmed(&peer).await;
        the_server_ends_what_takes_longer_than_its_budget(&peer).await;
        a_cancelled_call_leaves_nothing_running(&peer).await;
        statements_say_who_sends_them(&peer).await;
        if *edition == Edition::Community {
            community_is_told_from_enterprise(&peer).await;
        }
    }
}

async fn databases_are_decoded(peer: &Peer) {
    let (_registry, client) = peer.client();
    let databases = fold_databases(client.databases().await.unwrap());
    let names: Vec<_> = databases.keys().map(String::as_str).collect();
    assert_eq!(names, ["neo4j", "system"]);
    for (name, database) in &databases {
        assert!(database.is_online(), "{database:?}");
        assert_eq!(
            (database.access.as_str(), database.default),
            ("read-write", name == "neo4j")
        );
        assert_eq!(database.kind, if name == "system" { "system" } else { "standard" });
        let copy = &database.allocations[0];
        assert_eq!((copy.role.as_deref(), copy.writer), (Some("primary"), true));
        assert!(copy.server_id.is_some(), "{copy:?}");
        assert_eq!((copy.current_primaries, copy.current_secondaries), (Some(1), Some(0)));
        // Null in Community, and for `system` everywhere.
        let requested = (peer.edition == Edition::Enterprise && name == "neo4j").then_some(Topology {
            primaries: 1,
            secondaries: 0,
        });
        assert_eq!(database.requested, requested);
    }
    let (versions, edition) = client.components().await.unwrap();
    assert_eq!(
        (versions, edition.as_str()),
        (vec![VERSION.to_owned()], peer.edition.as_str())
    );
    let mut session = peer.session(PASSWORD).await.unwrap();
    let text = "SHOW DATABASES YIELD name, aliases, constituents, options, replicationLag WHERE name = 'neo4j'";
    let rows = session.execute("system", &statement(text, BUDGET)).await.unwrap();
    assert_eq!(rows.0[0].get("aliases"), Some(&Value::List(Vec::new())));
    assert_eq!(rows.0[0].get("constituents"), Some(&Value::List(Vec::new())));
    assert_eq!(rows.0[0].get("options"), Some(&Value::Map(Vec::new())));
    // What the driver cannot read is an error of that column, and never a wrong value.
    let temporal = statement("SHOW DATABASES YIELD name, creationTime", BUDGET);
    let error = session.execute("system", &temporal).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Decode, "{error}");
}

async fn failures_keep_their_kind_and_the_connection(peer: &Peer) {
    let mut session = peer.session(PASSWORD).await.unwrap();
    let mut raw = peer.raw().await;
    session.execute("neo4j", &statement("RETURN 1", BUDGET)).await.unwrap();
    until_connections(&mut raw, AGENT, 1).await;
    let cases = [
        ("system", "SHOW SERVRS", ErrorKind::Client),
        ("system", "DROP USER nope", ErrorKind::Client),
        ("nope", "RETURN 1", ErrorKind::DatabaseNotFound),
        ("neo4j", "UNWIND [1, 0] AS i RETURN 1/i", ErrorKind::Client),
    ];
    for (database, text, kind) in cases {
        let error = session.execute(database, &statement(text, BUDGET)).await.unwrap_err();
        assert_eq!(error.kind, kind, "{text}: {error}");
        assert!(error.code.is_some(), "{error:?}");
        let rows = session
            .execute("neo4j", &statement("RETURN 1 AS n", BUDGET))
            .await
            .unwrap();
        assert_eq!(rows.0[0].get("n"), Some(&Value::Int(1)));
    }
    assert_eq!(connections(&mut raw, AGENT).await, 1, "it is the same connection still");
}

async fn a_wrong_password_is_tried_once_and_locks_nobody(peer: &Peer) {
    let mut session = peer.session("wrong-password").await.unwrap();
    let error = session
        .execute("neo4j", &statement("RETURN 1", BUDGET))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Auth, "{error}");
    peer.raw().await;
    let (registry, _) = peer.client();
    let mut target = peer.target();
    target.credentials = neo4j_operator::neo4j::Credentials::new("neo4j", "wrong-password");
    let client = registry.cluster(target);
    assert_eq!(client.databases().await.unwrap_err().kind, ErrorKind::Auth);
    for _ in 0..5 {
        assert_eq!(client.databases().await.unwrap_err().kind, ErrorKind::CredentialsHeld);
    }
    // A person with the right password is let in.
    peer.raw().await;
}

async fn the_pool_keeps_to_its_bound_and_closes_what_is_trimmed(peer: &Peer) {
    let mut raw = peer.raw().await;
    until_connections(&mut raw, AGENT, 0).await;
    let (registry, client) = peer.client();
    let asked = (0..12).map(|_| client.components());
    for answer in futures::future::join_all(asked).await {
        answer.unwrap();
    }
    let snapshot = registry.snapshot();
    assert!((1..=2).contains(&snapshot.sockets), "{snapshot:?}");
    assert_eq!(
        connections(&mut raw, AGENT).await,
        snapshot.sockets,
        "what the pool counts is what the server sees"
    );
    registry.forget_cluster("uid");
    assert_eq!(registry.snapshot().sockets, 0);
    until_connections(&mut raw, AGENT, 0).await;
}

async fn slow_statements(raw: &mut Raw) -> Vec<Vec<neo4j_devcluster::neo4j::value::Value>> {
    let text = "SHOW TRANSACTIONS YIELD currentQuery, metaData";
    let mut rows = raw.query("system", text).await.unwrap();
    rows.retain(|row| row[0].as_str() == Some(SLOW));
    rows
}

async fn the_server_ends_what_takes_longer_than_its_budget(peer: &Peer) {
    let deadline = Deadline::new("the server's own end of a statement");
    loop {
        let mut session = peer.session(PASSWORD).await.unwrap();
        let error = session
            .execute("neo4j", &statement(SLOW, Duration::from_secs(2)))
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Timeout, "{error}");
        // The server is told less than this, so its answer comes before we give up; one that has no processor for a
        // moment is late.
        if let Some(code) = error.code.as_deref() {
            let expected = "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration";
            assert_eq!(code, expected, "{error}");
            let rows = session
                .execute("neo4j", &statement("RETURN 1 AS n", BUDGET))
                .await
                .unwrap();
            assert_eq!(rows.0.len(), 1);
            return;
        }
        deadline.pause().await;
    }
}

async fn a_cancelled_call_leaves_nothing_running(peer: &Peer) {
    let mut raw = peer.raw().await;
    let mut session = peer.session(PASSWORD).await.unwrap();
    let slow = statement(SLOW, BUDGET);
    {
        let call = session.execute("neo4j", &slow);
        let seen = async {
            let deadline = Deadline::new("the slow statement");
            while slow_statements(&mut raw).await.is_empty() {
                deadline.pause().await;
            }
        };
        tokio::select! {
            ended = call => panic!("it takes longer than that: {ended:?}"),
            () = seen => {}
        }
    }
    // What the pool does with a slot whose call was cancelled.
    drop(session);
    let deadline = Deadline::new("the end of the slow statement");
    while !slow_statements(&mut raw).await.is_empty() {
        deadline.pause().await;
    }
}

async fn statements_say_who_sends_them(peer: &Peer) {
    use neo4j_devcluster::neo4j::value::Value;
    let mut raw = peer.raw().await;
    let mut session = peer.session(PASSWORD).await.unwrap();
    let slow = statement(SLOW, BUDGET);
    let call = session.execute("neo4j", &slow);
    let seen = async {
        let deadline = Deadline::new("the slow statement");
        loop {
            if let Some(row) = slow_statements(&mut raw).await.pop() {
                return row;
            }
            deadline.pause().await;
        }
    };
    let row = tokio::select! {
        ended = call => panic!("it takes longer than that: {ended:?}"),
        row = seen => row,
    };
    let metadata = [("app", "neo4j-operator"), ("op", "components"), ("reconcile_id", "r-1")];
    let metadata = metadata.map(|(key, text)| (key.to_owned(), Value::from(text)));
    assert_eq!(row[1], Value::Map(metadata.into()));
}

/// Every command that Community lacks is refused in words that the operator understands.
async fn community_is_told_from_enterprise(peer: &Peer) {
    let (_registry, client) = peer.client();
    let refused = |what: &str, answer: Result<(), BoltError>| {
        let error = answer.unwrap_err();
        assert_eq!(error.kind, ErrorKind::UnsupportedEdition, "{what}: {error}");
        assert!(!error.is_transient() && !error.outcome_unknown, "{what}: {error:?}");
    };
    let one = Topology {
        primaries: 1,
        secondaries: 0,
    };
    let orders = NewDatabase {
        name: "orders".into(),
        if_not_exists: true,
        topology: Some(one),
        options: Vec::new(),
    };
    let id = "25a7efc7-d063-44b8-bdee-f23357f89f01";
    refused("SHOW SERVERS", client.servers().await.map(drop));
    refused("ENABLE SERVER", client.enable_server(id, ModeConstraint::None).await);
    refused("CREATE DATABASE", client.create_database(&orders).await);
    refused("ALTER DATABASE", client.alter_topology("neo4j", one).await);
    refused("STOP DATABASE", client.stop_database("neo4j").await);
    refused("START DATABASE", client.start_database("neo4j").await);
    refused("DROP DATABASE", client.drop_database("orders").await);
    // A procedure that is not there says no more than that.
    let error = client.status_check(&["system"]).await.unwrap_err();
    assert_eq!(
        error.code.as_deref(),
        Some("Neo.ClientError.Procedure.ProcedureNotFound"),
        "{error}"
    );
}

/// This one is killed and stopped, so it is another server.
#[tokio::test]
async fn the_client_outlives_a_server_that_dies_and_one_that_hangs() {
    for edition in editions() {
        let mut peer = Peer::start(*edition).await;
        let (registry, client) = peer.client();
        ask(&client, &Command::Components).await.unwrap();

        peer.kill();
        let broken = ask(&client, &Command::Components).await.unwrap_err();
        assert_eq!(broken.kind, ErrorKind::Connect, "{broken}");
        let held = ask(&client, &Command::Components).await.unwrap_err();
        assert_eq!(
            held.kind,
            ErrorKind::CircuitOpen,
            "it is left alone for a while: {held}"
        );
        assert_eq!(registry.snapshot().sockets, 0);
        peer.restart().await;
        heals(&client).await;

        peer.freeze(true);
        let silent = ask(&client, &Command::Ping).await.unwrap_err();
        assert_eq!(silent.kind, ErrorKind::Timeout, "{silent}");
        assert!(silent.outcome_unknown, "it may have been done");
        let held = ask(&client, &Command::Ping).await.unwrap_err();
        assert_eq!(held.kind, ErrorKind::CircuitOpen, "{held}");
        // A new connection is taken by the kernel and answered by nobody.
        let dialled = tokio::time::timeout(Duration::from_secs(1), peer.session(PASSWORD)).await;
        assert!(dialled.is_err(), "nobody shakes hands");
        peer.freeze(false);
        heals(&client).await;
        let counted = registry.snapshot();
        assert!(counted.sockets <= 2, "{counted:?}");
    }
}

async fn ask(client: &ClusterClient, command: &Command) -> Result<Rows, BoltError> {
    client.execute_on(&client.target().members[0], command).await
}

/// The breaker lets one try through now and then; the first that succeeds closes it.
async fn heals(client: &ClusterClient) {
    let deadline = Deadline::new("a server that answers again");
    while let Err(error) = ask(client, &Command::Components).await {
        let passing = [
            ErrorKind::CircuitOpen,
            ErrorKind::Connect,
            ErrorKind::Timeout,
            ErrorKind::Transient,
        ];
        assert!(passing.contains(&error.kind), "{error:?}");
        deadline.pause().await;
    }
}
