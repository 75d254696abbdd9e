//! The protocol itself, in raw frames: versions, states, portions of rows, failures, RESET.

use neo4j_devcluster::neo4j::value::Value;

use super::{
    peer::{Deadline, PASSWORD, Peer, VERSION, editions},
    raw::{AGENT, Answer, BEGIN, COMMIT, DISCARD, GOODBYE, PULL, RESET, ROLLBACK, RUN, Raw, map},
};

/// Takes longer than any test waits.
pub const SLOW: &str = "UNWIND range(1, 100000) AS a UNWIND range(1, 100000) AS b RETURN count(*) AS n";
const INVALID: &str = "Neo.ClientError.Request.Invalid";
const INVALID_FORMAT: &str = "Neo.ClientError.Request.InvalidFormat";

/// One server for all of it: a JVM takes seconds to start.
#[tokio::test]
async fn both_servers_speak_the_same_protocol() {
    for edition in editions() {
        let peer = Peer::start(*edition).await;
        versions_are_agreed_on(&peer).await;
        a_login_tells_who_the_server_is(&peer).await;
        values_of_every_type_go_both_ways(&peer).await;
        rows_come_in_the_portions_asked_for(&peer).await;
        rows_can_be_thrown_away(&peer).await;
        a_failure_comes_at_run(&peer).await;
        a_failure_comes_at_pull_behind_the_rows_before_it(&peer).await;
        everything_is_ignored_until_reset(&peer).await;
        a_transaction_holds_two_results(&peer).await;
        a_message_out_of_turn_ends_the_connection(&peer).await;
        a_message_that_is_none_fails_and_can_be_reset(&peer).await;
        chunks_and_noops_are_put_together(&peer).await;
        a_reset_ends_what_runs(&peer).await;
        a_client_that_leaves_ends_what_runs(&peer).await;
        a_time_limit_ends_what_runs(&peer).await;
        what_runs_is_listed_with_its_metadata(&peer).await;
        connections_are_listed_while_they_are_open(&peer).await;
        goodbye_closes(&peer).await;
    }
}

async fn versions_are_agreed_on(peer: &Peer) {
    let four = |range: u8, minor: u8| [0, range, minor, 4];
    let one = |first: [u8; 4]| [first, [0; 4], [0; 4], [0; 4]];
    let cases = [
        ("4.4", one(four(0, 4)), [0, 0, 4, 4]),
        ("4.1", one(four(0, 1)), [0, 0, 1, 4]),
        ("4.2 to 4.4", one(four(2, 4)), [0, 0, 4, 4]),
        ("4.0 to 4.3", one(four(3, 3)), [0, 0, 3, 4]),
        (
            "what the operator's driver offers",
            [four(0, 4), four(0, 3), four(0, 1), four(0, 0)],
            [0, 0, 4, 4],
        ),
        (
            "3.0, then 4.4",
            [[0, 0, 0, 3], four(0, 4), [0; 4], [0; 4]],
            [0, 0, 4, 4],
        ),
        ("3.0", one([0, 0, 0, 3]), [0; 4]),
        ("6.0", one([0, 0, 0, 6]), [0; 4]),
        ("nothing", one([0; 4]), [0; 4]),
    ];
    for (what, proposals, agreed) in cases {
        let proposals = proposals.as_flattened().try_into().unwrap();
        let (mut raw, version) = Raw::offer(peer.address(), proposals).await;
        assert_eq!(version, agreed, "{what}");
        if agreed == [0; 4] {
            assert_eq!(raw.receive().await, Answer::Closed, "{what}");
        }
    }
}

async fn a_login_tells_who_the_server_is(peer: &Peer) {
    let (_raw, answer) = Raw::try_login(peer.address(), ("neo4j", PASSWORD)).await;
    let told = answer.success();
    assert_eq!(told["server"], format!("Neo4j/{VERSION}").into());
    assert!(
        told["connection_id"].as_str().is_some_and(|id| id.starts_with("bolt-")),
        "{told:?}"
    );
    assert_eq!(
        told["hints"],
        map([("connection.recv_timeout_seconds", Value::Int(120))])
    );
    assert!(!told.contains_key("credentials_expired"), "{told:?}");
}

async fn values_of_every_type_go_both_ways(peer: &Peer) {
    let mut raw = peer.raw().await;
    let text = "RETURN 1.5 AS f, 'it\\'s' AS s, [1, 'a'] AS l, {k: null} AS m, true AS b, null AS n, -7 AS i";
    let row = raw.query("neo4j", text).await.unwrap().remove(0);
    let list = Value::List(vec![Value::Int(1), "a".into()]);
    let expected = [
        Value::Float(1.5),
        "it's".into(),
        list.clone(),
        map([("k", Value::Null)]),
        Value::Bool(true),
        Value::Null,
        Value::Int(-7),
    ];
    assert_eq!(row, expected);
    let values = [
        Value::Null,
        Value::Int(i64::MAX),
        Value::Float(-0.25),
        list,
        "ü".into(),
        map([("k", "v".into())]),
    ];
    for value in values {
        let parameters = [("x".to_owned(), value.clone())].into();
        let rows = raw.query_with("neo4j", "RETURN $x AS x", parameters).await.unwrap();
        assert_eq!(rows, [[value]]);
    }
    let missing = raw.query("neo4j", "RETURN $x AS x").await.unwrap_err();
    assert_eq!(missing.short(), "ClientError.Statement.ParameterMissing");
}

async fn rows_come_in_the_portions_asked_for(peer: &Peer) {
    let mut raw = peer.raw().await;
    raw.run("neo4j", "UNWIND [1, -1, 1] AS i RETURN 1/i", &[]).await;
    raw.pull(2).await;
    let told = raw.receive().await.success();
    assert_eq!(told["fields"], Value::strings(["1/i"]));
    assert!(
        !told.contains_key("qid"),
        "only a transaction numbers its results: {told:?}"
    );
    for expected in [1, -1] {
        assert_eq!(raw.receive().await.record(), [Value::Int(expected)]);
    }
    assert_eq!(
        raw.receive().await.success(),
        [("has_more".to_owned(), true.into())].into()
    );
    raw.pull(2).await;
    assert_eq!(raw.receive().await.record(), [Value::Int(1)]);
    let summary = raw.receive().await.success();
    assert_eq!((&summary["db"], &summary["type"]), (&"neo4j".into(), &"r".into()));
    assert!(
        summary.contains_key("bookmark") && !summary.contains_key("has_more"),
        "{summary:?}"
    );
    // A portion that takes the last row is the last one.
    raw.run("neo4j", "UNWIND [1, -1] AS i RETURN 1/i", &[]).await;
    raw.pull(2).await;
    raw.receive().await.success();
    raw.receive().await.record();
    raw.receive().await.record();
    assert!(!raw.receive().await.success().contains_key("has_more"));
}

async fn rows_can_be_thrown_away(peer: &Peer) {
    let mut raw = peer.raw().await;
    raw.run("neo4j", "UNWIND [1, -1, 1] AS i RETURN 1/i", &[]).await;
    raw.send(DISCARD, [map([("n", Value::Int(-1))])]).await;
    raw.receive().await.success();
    assert!(!raw.receive().await.success().contains_key("has_more"));
    assert_eq!(raw.query("neo4j", "RETURN 2").await.unwrap(), [[Value::Int(2)]]);
}

async fn a_failure_comes_at_run(peer: &Peer) {
    let mut raw = peer.raw().await;
    let cases = [
        ("neo4j", "RETRUN 1", "ClientError.Statement.SyntaxError"),
        ("nope", "RETURN 1", "ClientError.Database.DatabaseNotFound"),
        ("system", "RETURN 1", "ClientError.Statement.SemanticError"),
        ("system", "DROP USER nope", "ClientError.Statement.ArgumentError"),
        ("neo4j", "DROP USER nope", "ClientError.Statement.ArgumentError"),
        ("system", "CALL dbms.nope()", "ClientError.Procedure.ProcedureNotFound"),
    ];
    for (database, text, code) in cases {
        raw.run(database, text, &[]).await;
        raw.pull(-1).await;
        let failure = raw.receive().await.failure();
        assert_eq!(failure.short(), code, "{text}: {failure:?}");
        assert_eq!(
            raw.receive().await,
            Answer::Ignored,
            "{text}: the PULL that was sent along"
        );
        raw.ask(RESET, []).await.success();
    }
    assert_eq!(raw.query("neo4j", "RETURN 1").await.unwrap(), [[Value::Int(1)]]);
}

async fn a_failure_comes_at_pull_behind_the_rows_before_it(peer: &Peer) {
    let mut raw = peer.raw().await;
    for (portion, has_more) in [(-1, false), (3, false), (2, true)] {
        raw.run("neo4j", "UNWIND [1, -1, 0] AS i RETURN 1/i", &[]).await;
        raw.pull(portion).await;
        raw.receive().await.success();
        raw.receive().await.record();
        raw.receive().await.record();
        if has_more {
            assert!(raw.receive().await.success().contains_key("has_more"));
            raw.pull(portion).await;
        }
        let failure = raw.receive().await.failure();
        assert_eq!(failure.short(), "ClientError.Statement.ArithmeticError");
        assert_eq!(failure.message, "/ by zero");
        raw.ask(RESET, []).await.success();
    }
}

async fn everything_is_ignored_until_reset(peer: &Peer) {
    let mut raw = peer.raw().await;
    for _ in 0..2 {
        raw.run("neo4j", "RETRUN 1", &[]).await;
        raw.receive().await.failure();
        raw.pull(-1).await;
        raw.run("neo4j", "RETURN 1", &[]).await;
        raw.send(ROLLBACK, []).await;
        raw.send(COMMIT, []).await;
        for _ in 0..4 {
            assert_eq!(raw.receive().await, Answer::Ignored);
        }
        raw.ask(RESET, []).await.success();
    }
    assert_eq!(raw.query("neo4j", "RETURN 1").await.unwrap(), [[Value::Int(1)]]);
    // RESET is fine at any time, also twice.
    raw.ask(RESET, []).await.success();
    raw.ask(RESET, []).await.success();
}

async fn a_transaction_holds_two_results(peer: &Peer) {
    let mut raw = peer.raw().await;
    raw.ask(BEGIN, [map([("db", "neo4j".into())])]).await.success();
    for qid in [0, 1] {
        let text = if qid == 0 { "RETURN 7" } else { "RETURN 8" };
        let told = raw.ask(RUN, [text.into(), map([]), map([])]).await.success();
        assert_eq!(told["qid"], Value::Int(qid));
    }
    for qid in [0, 1] {
        let row = raw
            .ask(PULL, [map([("n", Value::Int(-1)), ("qid", Value::Int(qid))])])
            .await;
        assert_eq!(row.record(), [Value::Int(7 + qid)]);
        assert!(
            !raw.receive().await.success().contains_key("bookmark"),
            "only COMMIT gives one"
        );
    }
    assert!(raw.ask(COMMIT, []).await.success().contains_key("bookmark"));
    raw.ask(BEGIN, [map([("db", "neo4j".into())])]).await.success();
    raw.ask(ROLLBACK, []).await.success();
    let unknown = raw.ask(BEGIN, [map([("db", "nope".into())])]).await.failure();
    assert_eq!(unknown.short(), "ClientError.Database.DatabaseNotFound");
    raw.ask(RESET, []).await.success();
    // An open transaction is gone after RESET.
    raw.ask(BEGIN, [map([("db", "neo4j".into())])]).await.success();
    raw.ask(RESET, []).await.success();
    assert_eq!(raw.query("neo4j", "RETURN 1").await.unwrap().len(), 1);
}

async fn a_message_out_of_turn_ends_the_connection(peer: &Peer) {
    let all = || vec![map([("n", Value::Int(-1))])];
    let run = || vec!["RETURN 1".into(), map([]), map([("db", "neo4j".into())])];
    let mut raw = Raw::connect(peer.address()).await;
    assert_eq!(raw.ask(RUN, run()).await.failure().code, INVALID, "RUN before HELLO");
    assert_eq!(raw.receive().await, Answer::Closed);
    for (tag, fields) in [(PULL, all()), (COMMIT, vec![]), (ROLLBACK, vec![])] {
        let mut raw = peer.raw().await;
        assert_eq!(
            raw.ask(tag, fields).await.failure().code,
            INVALID,
            "{tag:#04x} when idle"
        );
        assert_eq!(raw.receive().await, Answer::Closed);
    }
    let mut raw = peer.raw().await;
    raw.run("neo4j", "UNWIND [1, -1] AS i RETURN 1/i", &[]).await;
    raw.receive().await.success();
    assert_eq!(
        raw.ask(RUN, run()).await.failure().code,
        INVALID,
        "RUN while there are rows"
    );
    assert_eq!(raw.receive().await, Answer::Closed);
    let mut raw = peer.raw().await;
    raw.run("neo4j", "RETRUN 1", &[]).await;
    raw.receive().await.failure();
    assert_eq!(
        raw.ask(BEGIN, [map([])]).await.failure().code,
        INVALID,
        "BEGIN after a failure"
    );
    assert_eq!(raw.receive().await, Answer::Closed);
    let mut raw = peer.raw().await;
    let hello = [
        ("scheme", "basic"),
        ("principal", "x"),
        ("credentials", "x"),
        ("user_agent", AGENT),
    ];
    assert_eq!(raw.hello(&hello).await.failure().code, INVALID, "a second HELLO");
    assert_eq!(raw.receive().await, Answer::Closed);
    for logged_in in [false, true] {
        let mut raw = if logged_in {
            peer.raw().await
        } else {
            Raw::connect(peer.address()).await
        };
        assert_eq!(
            raw.ask(0x55, []).await,
            Answer::Closed,
            "an unknown tag is not even answered"
        );
    }
}

async fn a_message_that_is_none_fails_and_can_be_reset(peer: &Peer) {
    let mut raw = peer.raw().await;
    let cases: [(&[u8], &str); 3] = [
        (&[0xB1, RUN, 0x05], INVALID_FORMAT),
        (&[0xB1, RESET, 0x81, b'x'], INVALID_FORMAT),
        (&[0xFF], INVALID),
    ];
    for (bytes, code) in cases {
        raw.send_chunks(&[bytes]).await;
        assert_eq!(raw.receive().await.failure().code, code, "{bytes:02x?}");
        raw.ask(RESET, []).await.success();
    }
    raw.run("neo4j", "UNWIND [1, -1] AS i RETURN 1/i", &[]).await;
    raw.receive().await.success();
    let strange = raw
        .ask(PULL, [map([("n", Value::Int(-1)), ("qid", Value::Int(7))])])
        .await;
    assert_eq!(strange.failure().code, INVALID_FORMAT, "a result that is not open");
    raw.ask(RESET, []).await.success();
    assert_eq!(raw.query("neo4j", "RETURN 1").await.unwrap().len(), 1);
}

async fn chunks_and_noops_are_put_together(peer: &Peer) {
    let mut raw = peer.raw().await;
    raw.send_bytes(&[0, 0, 0, 0]).await;
    let message = b"\xB3\x10\x88RETURN 3\xA0\xA1\x82db\x85neo4j";
    let bytes: Vec<&[u8]> = message.chunks(1).collect();
    raw.send_chunks(&bytes).await;
    raw.pull(-1).await;
    raw.receive().await.success();
    assert_eq!(raw.receive().await.record(), [Value::Int(3)]);
    raw.receive().await.success();
    // More than one chunk can hold.
    let text = Value::from("x".repeat(100_000));
    let run = [
        "RETURN $x AS x".into(),
        map([("x", text.clone())]),
        map([("db", "neo4j".into())]),
    ];
    raw.send_in_chunks(RUN, run, 40_000).await;
    raw.pull(-1).await;
    raw.receive().await.success();
    assert_eq!(raw.receive().await.record(), [text]);
    raw.receive().await.success();
}

/// Statements that run besides the one that asks.
async fn running(raw: &mut Raw) -> Vec<Vec<Value>> {
    let text = "SHOW TRANSACTIONS YIELD currentQuery, username, database, status, metaData";
    let mut rows = raw.query("system", text).await.unwrap();
    rows.retain(|row| row[0].as_str() == Some(SLOW));
    rows
}

async fn until_running(raw: &mut Raw, count: usize) -> Vec<Vec<Value>> {
    let deadline = Deadline::new("statements that run");
    loop {
        let rows = running(raw).await;
        if rows.len() == count {
            return rows;
        }
        deadline.pause().await;
    }
}

async fn a_reset_ends_what_runs(peer: &Peer) {
    let (mut raw, mut other) = (peer.raw().await, peer.raw().await);
    raw.run("neo4j", SLOW, &[]).await;
    raw.pull(-1).await;
    raw.receive().await.success();
    until_running(&mut other, 1).await;
    raw.send(RESET, []).await;
    let ended = raw.receive().await.failure();
    assert_eq!(ended.short(), "ClientError.Transaction.Terminated");
    raw.receive().await.success();
    until_running(&mut other, 0).await;
    assert_eq!(raw.query("neo4j", "RETURN 1").await.unwrap().len(), 1);
}

async fn a_client_that_leaves_ends_what_runs(peer: &Peer) {
    let (mut raw, mut other) = (peer.raw().await, peer.raw().await);
    raw.run("neo4j", SLOW, &[]).await;
    raw.pull(-1).await;
    until_running(&mut other, 1).await;
    drop(raw);
    until_running(&mut other, 0).await;
}

async fn a_time_limit_ends_what_runs(peer: &Peer) {
    let mut raw = peer.raw().await;
    raw.run("neo4j", SLOW, &[("tx_timeout", Value::Int(300))]).await;
    raw.pull(-1).await;
    raw.receive().await.success();
    let failure = raw.receive().await.failure();
    assert_eq!(
        failure.short(),
        "ClientError.Transaction.TransactionTimedOutClientConfiguration"
    );
    raw.ask(RESET, []).await.success();
    assert_eq!(running(&mut raw).await.len(), 0);
    // One that is quick enough is not touched, and counts right.
    raw.run(
        "neo4j",
        "UNWIND range(1, 3) AS a UNWIND range(1, 4) AS b RETURN count(*) AS n",
        &[("tx_timeout", Value::Int(20_000))],
    )
    .await;
    raw.pull(-1).await;
    raw.receive().await.success();
    assert_eq!(raw.receive().await.record(), [Value::Int(12)]);
    raw.receive().await.success();
}

async fn what_runs_is_listed_with_its_metadata(peer: &Peer) {
    let (mut raw, mut other) = (peer.raw().await, peer.raw().await);
    let metadata = map([("app", "conformance".into()), ("n", Value::Int(7))]);
    raw.run("neo4j", SLOW, &[("tx_metadata", metadata.clone())]).await;
    raw.pull(-1).await;
    let row = until_running(&mut other, 1).await.remove(0);
    assert_eq!(row[1..], ["neo4j".into(), "neo4j".into(), "Running".into(), metadata]);
    raw.send(RESET, []).await;
}

async fn connections_are_listed_while_they_are_open(peer: &Peer) {
    let mut raw = peer.raw().await;
    // Those of earlier cases go when the server sees that they were closed.
    until_connections(&mut raw, AGENT, 1).await;
    let more = [peer.raw().await, peer.raw().await];
    assert_eq!(connections(&mut raw, AGENT).await, 3);
    drop(more);
    until_connections(&mut raw, AGENT, 1).await;
}

/// Waits until so many are open.
pub async fn until_connections(raw: &mut Raw, agent: &str, count: usize) {
    let deadline = Deadline::new("closed connections");
    while connections(raw, agent).await != count {
        deadline.pause().await;
    }
}

/// Open connections of clients that call themselves so.
pub async fn connections(raw: &mut Raw, agent: &str) -> usize {
    let text = "CALL dbms.listConnections() YIELD connectionId, username, userAgent, clientAddress";
    let rows = raw.query("system", text).await.unwrap();
    let ours = rows.iter().filter(|row| row[2].as_str() == Some(agent));
    ours.inspect(|row| {
        assert_eq!(row[1], "neo4j".into());
        assert!(
            row[3].as_str().is_some_and(|address| address.starts_with("127.")),
            "{row:?}"
        );
    })
    .count()
}

async fn goodbye_closes(peer: &Peer) {
    let mut raw = peer.raw().await;
    assert_eq!(raw.ask(GOODBYE, []).await, Answer::Closed);
    // Before a login, too.
    let mut raw = Raw::connect(peer.address()).await;
    assert_eq!(raw.ask(GOODBYE, []).await, Answer::Closed);
}
