//! The driver against servers that misbehave on purpose: each call ends in time, with the right kind of
//! error. Real sockets, real time, short budgets.

use std::time::Instant;

use tokio::net::TcpListener;

use super::*;
use crate::neo4j::{
    driver::{Password, TlsTrust},
    pool::{EndpointKey, Limits, Pool},
    statements::{Command, Operation},
};

/// What a server that says nothing costs.
const SHORT: Duration = Duration::from_millis(300);
/// What is never spent on a server that answers.
const LONG: Duration = Duration::from_secs(60);

fn endpoint(port: u16, tls: Option<TlsTrust>) -> Endpoint {
    Endpoint {
        host: "127.0.0.1".into(),
        port,
        tls,
    }
}

fn credentials() -> Credentials {
    Credentials {
        user: "neo4j".into(),
        password: Password::new("secret-of-tests"),
        version: "1".into(),
    }
}

fn statement(budget: Duration) -> Statement {
    let mut statement = Command::ShowServers.statement(&Arc::from("r1")).unwrap();
    assert_eq!(statement.op, Operation::ShowServers);
    statement.budget = budget;
    statement
}

/// What a scripted server does after it accepted.
#[derive(Clone, Copy)]
enum Server {
    /// Says nothing.
    Silent,
    /// Closes at once with unread bytes in the socket, which is a reset.
    Reset,
    /// Answers the handshake with these bytes.
    Handshake([u8; 4]),
    /// Agrees on 4.4 and says nothing more.
    SilentAfterHandshake,
    /// Agrees on 4.4 and answers HELLO with these bytes.
    Hello(&'static [u8]),
}

/// Serves every connection like this; the port.
async fn serve(server: Server) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let mut hello = [0_u8; 20];
            match server {
                Server::Silent => {}
                Server::Reset => {
                    socket_reset(stream);
                    continue;
                }
                Server::Handshake(answer) => {
                    stream.read_exact(&mut hello).await.unwrap();
                    stream.write_all(&answer).await.unwrap();
                }
                Server::SilentAfterHandshake => {
                    stream.read_exact(&mut hello).await.unwrap();
                    stream.write_all(&[0, 0, 4, 4]).await.unwrap();
                }
                Server::Hello(answer) => {
                    stream.read_exact(&mut hello).await.unwrap();
                    stream.write_all(&[0, 0, 4, 4]).await.unwrap();
                    let mut byte = [0];
                    // The preflight hangs up here; the second connection sends HELLO.
                    if stream.read(&mut byte).await.unwrap_or(0) > 0 {
                        stream.write_all(answer).await.unwrap();
                    }
                }
            }
            open.push(stream);
        }
    });
    port
}

fn socket_reset(stream: TcpStream) {
    let stream = stream.into_std().unwrap();
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
}

/// Connects and runs through a pool with this budget for each step.
async fn attempt(port: u16, tls: Option<TlsTrust>, budget: Duration) -> (BoltError, Duration) {
    let limits = Limits {
        connect: budget,
        first_statement: budget,
        acquire: LONG,
        ..Limits::default()
    };
    let pool = Pool::new(Arc::new(Neo4rsDriver), limits);
    let key = EndpointKey {
        cluster_uid: "u".into(),
        pod_uid: "p".into(),
        endpoint: endpoint(port, tls),
        user: "neo4j".into(),
        credentials_version: "1".into(),
    };
    let began = Instant::now();
    let error = pool
        .execute(&key, &credentials(), "system", &statement(budget))
        .await
        .unwrap_err();
    (error, began.elapsed())
}

#[tokio::test]
async fn a_server_that_misbehaves_costs_its_budget_and_no_more() {
    // FAILURE {code, message} as a chunk, with the text of a refused password.
    const UNAUTHORIZED: &[u8] = b"\x00\x2c\xb1\x7f\xa1\x87message\xd0\x1fThe client is unauthorized now.\x00\x00";
    const MALFORMED: &[u8] = b"\x00\x02\xb1\x7f\x00\x00";
    let cases = [
        ("silent", Server::Silent, SHORT, ErrorKind::Connect),
        ("reset", Server::Reset, LONG, ErrorKind::Connect),
        (
            "no common version",
            Server::Handshake([0; 4]),
            LONG,
            ErrorKind::Protocol,
        ),
        ("http", Server::Handshake(*b"HTTP"), LONG, ErrorKind::Protocol),
        (
            "silent at HELLO",
            Server::SilentAfterHandshake,
            SHORT,
            ErrorKind::Timeout,
        ),
        ("unauthorized", Server::Hello(UNAUTHORIZED), LONG, ErrorKind::Auth),
        ("malformed", Server::Hello(MALFORMED), LONG, ErrorKind::Protocol),
    ];
    for (name, server, budget, kind) in cases {
        let port = serve(server).await;
        let (error, took) = attempt(port, None, budget).await;
        assert_eq!(error.kind, kind, "{name}: {error}");
        // Who says nothing is waited for, who answers is not.
        assert_eq!(took >= budget, budget == SHORT, "{name} took {took:?}");
        assert!(took < LONG / 2, "{name} took {took:?}");
        assert!(!error.to_string().contains("secret-of-tests"), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_closed_port_is_refused_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let (error, took) = attempt(port, None, LONG).await;
    assert_eq!(
        (error.kind, &*error.message),
        (ErrorKind::Connect, "connection refused")
    );
    assert!(took < LONG);
}

#[tokio::test]
async fn trust_without_a_certificate_is_an_error_and_never_no_trust() {
    let port = serve(Server::Silent).await;
    for pem in [
        "",
        "no certificate here",
        "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
    ] {
        let trust = TlsTrust { ca_pem: pem.into() };
        let (error, _) = attempt(port, Some(trust), LONG).await;
        assert_eq!(error.kind, ErrorKind::Tls, "{pem:?}: {error}");
    }
}

#[test]
fn every_kind_of_value_is_encoded_and_decoded() {
    let value = Value::Map(vec![(
        "a".into(),
        Value::List(vec![
            Value::Null,
            Value::Bool(true),
            Value::Int(-7),
            Value::Float(0.5),
            Value::Text("ü".into()),
        ]),
    )]);
    let fields = BoltList {
        value: vec!["empty".into(), "full".into()],
    };
    let row = neo4rs::Row::new(
        fields,
        BoltList {
            value: vec![encode(&Value::Null), encode(&value)],
        },
    );
    let mut bytes = 0;
    let row = decode(&row, &mut bytes).unwrap();
    assert_eq!(row.get("empty"), Some(&Value::Null));
    assert_eq!(row.get("full"), Some(&value));
    assert_eq!(bytes, 2);
}
