//! A client without manners: it sends any message at any time and shows what comes back.

use std::{net::SocketAddr, time::Duration};

use bytes::BytesMut;
use neo4j_devcluster::neo4j::{
    bolt::packstream,
    value::{Value, ValueMap},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Name of this client in the server's tables.
pub const AGENT: &str = "conformance/1";
/// The version of Bolt that everything but the handshake is tested in.
const V4_4: [u8; 16] = [0, 0, 4, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// No server is this slow.
const PATIENCE: Duration = Duration::from_secs(30);

pub const HELLO: u8 = 0x01;
pub const GOODBYE: u8 = 0x02;
pub const RESET: u8 = 0x0F;
pub const RUN: u8 = 0x10;
pub const BEGIN: u8 = 0x11;
pub const COMMIT: u8 = 0x12;
pub const ROLLBACK: u8 = 0x13;
pub const DISCARD: u8 = 0x2F;
pub const PULL: u8 = 0x3F;

/// What the server sends.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Success(ValueMap),
    Record(Vec<Value>),
    Ignored,
    Failure(Failure),
    /// The server has closed the connection.
    Closed,
}

/// A FAILURE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: String,
    pub message: String,
}

/// The rows of a statement, or why there are none.
pub type Rows = Result<Vec<Vec<Value>>, Failure>;

pub struct Raw(TcpStream);

impl Answer {
    pub fn success(self) -> ValueMap {
        match self {
            Self::Success(entries) => entries,
            other => panic!("not a SUCCESS: {other:?}"),
        }
    }

    pub fn failure(self) -> Failure {
        match self {
            Self::Failure(failure) => failure,
            other => panic!("not a FAILURE: {other:?}"),
        }
    }

    pub fn record(self) -> Vec<Value> {
        match self {
            Self::Record(row) => row,
            other => panic!("not a RECORD: {other:?}"),
        }
    }
}

impl Failure {
    /// Without what every code begins with.
    pub fn short(&self) -> &str {
        self.code.strip_prefix("Neo.").unwrap_or(&self.code)
    }
}

impl Raw {
    /// Connects and offers versions; the answer is that of the server.
    pub async fn offer(address: SocketAddr, proposals: [u8; 16]) -> (Self, [u8; 4]) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(&[0x60, 0x60, 0xB0, 0x17]).await.unwrap();
        stream.write_all(&proposals).await.unwrap();
        let mut version = [0; 4];
        stream.read_exact(&mut version).await.unwrap();
        (Self(stream), version)
    }

    /// A connection that speaks 4.4 and has not logged in.
    pub async fn connect(address: SocketAddr) -> Self {
        let (raw, version) = Self::offer(address, V4_4).await;
        assert_eq!(version, [0, 0, 4, 4]);
        raw
    }

    /// The answer to a login with these entries.
    pub async fn hello(&mut self, entries: &[(&str, &str)]) -> Answer {
        self.ask(HELLO, [map(entries.iter().map(|(key, text)| (*key, (*text).into())))])
            .await
    }

    /// The answer to a login as drivers send it.
    pub async fn try_login(address: SocketAddr, (user, password): (&str, &str)) -> (Self, Answer) {
        let mut raw = Self::connect(address).await;
        let entries = [
            ("scheme", "basic"),
            ("principal", user),
            ("credentials", password),
            ("user_agent", AGENT),
        ];
        let answer = raw.hello(&entries).await;
        (raw, answer)
    }

    /// A login that succeeds.
    pub async fn login(address: SocketAddr, login: (&str, &str)) -> Self {
        let (raw, answer) = Self::try_login(address, login).await;
        answer.success();
        raw
    }

    /// Sends a message.
    pub async fn send(&mut self, tag: u8, fields: impl Into<Vec<Value>>) {
        self.send_in_chunks(tag, fields, usize::from(u16::MAX)).await;
    }

    /// Sends a message in chunks of this size.
    pub async fn send_in_chunks(&mut self, tag: u8, fields: impl Into<Vec<Value>>, size: usize) {
        let mut message = BytesMut::new();
        packstream::encode(&Value::Struct(tag, fields.into()), &mut message);
        let chunks: Vec<&[u8]> = message.chunks(size).collect();
        self.send_chunks(&chunks).await;
    }

    /// Sends bytes as a message of these chunks.
    pub async fn send_chunks(&mut self, chunks: &[&[u8]]) {
        for chunk in chunks {
            self.0.write_u16(u16::try_from(chunk.len()).unwrap()).await.unwrap();
            self.0.write_all(chunk).await.unwrap();
        }
        self.0.write_u16(0).await.unwrap();
    }

    /// Sends bytes as they are.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// The next answer.
    pub async fn receive(&mut self) -> Answer {
        let read = tokio::time::timeout(PATIENCE, self.read()).await;
        match read.expect("an answer in time") {
            Ok(message) => answer(packstream::decode(&message).expect("PackStream")),
            Err(_) => Answer::Closed,
        }
    }

    async fn read(&mut self) -> std::io::Result<Vec<u8>> {
        let mut message = Vec::new();
        loop {
            let length = self.0.read_u16().await?;
            if length == 0 && !message.is_empty() {
                return Ok(message);
            }
            let at = message.len();
            message.resize(at + usize::from(length), 0);
            self.0.read_exact(&mut message[at..]).await?;
        }
    }

    pub async fn ask(&mut self, tag: u8, fields: impl Into<Vec<Value>>) -> Answer {
        self.send(tag, fields).await;
        self.receive().await
    }

    /// Sends RUN with this `extra` besides the database.
    pub async fn run(&mut self, database: &str, text: &str, extra: &[(&str, Value)]) {
        self.run_with(database, text, ValueMap::new(), extra).await;
    }

    async fn run_with(&mut self, database: &str, text: &str, parameters: ValueMap, extra: &[(&str, Value)]) {
        let own = [("db", database.into()), ("mode", "w".into())];
        let extra = map(own.into_iter().chain(extra.iter().cloned()));
        self.send(RUN, [text.into(), Value::Map(parameters), extra]).await;
    }

    /// Sends PULL for so many rows; -1 is all.
    pub async fn pull(&mut self, n: i64) {
        self.send(PULL, [map([("n", Value::Int(n)), ("qid", Value::Int(-1))])])
            .await;
    }

    /// Rows of a statement. After a failure the session is reset.
    pub async fn query(&mut self, database: &str, text: &str) -> Rows {
        self.query_with(database, text, ValueMap::new()).await
    }

    pub async fn query_with(&mut self, database: &str, text: &str, parameters: ValueMap) -> Rows {
        self.run_with(database, text, parameters, &[]).await;
        self.pull(-1).await;
        let mut rows = Vec::new();
        let mut failure = None;
        let mut summaries = 0;
        while summaries < 2 {
            match self.receive().await {
                Answer::Record(row) => rows.push(row),
                Answer::Failure(why) => {
                    failure = Some(why);
                    summaries += 1;
                }
                Answer::Success(_) | Answer::Ignored => summaries += 1,
                Answer::Closed => panic!("{text}: the server closed the connection"),
            }
        }
        let Some(failure) = failure else { return Ok(rows) };
        self.ask(RESET, []).await.success();
        Err(failure)
    }
}

pub fn map<'a>(entries: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::Map(
        entries
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    )
}

fn answer(message: Value) -> Answer {
    let Value::Struct(tag, mut fields) = message else {
        panic!("not a message: {message:?}")
    };
    match (tag, fields.pop()) {
        (0x70, Some(Value::Map(entries))) => Answer::Success(entries),
        (0x71, Some(Value::List(row))) => Answer::Record(row),
        (0x7E, None) => Answer::Ignored,
        (0x7F, Some(Value::Map(entries))) => {
            let text = |key: &str| entries.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            Answer::Failure(Failure {
                code: text("code"),
                message: text("message"),
            })
        }
        other => panic!("no message of a server: {other:?}"),
    }
}
