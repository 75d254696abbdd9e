//! Messages of Bolt 4 and their framing.
//!
//! Source: <https://neo4j.com/docs/bolt/current/bolt/message/>. Requests are what neo4rs sends (neo4j.md §3); anything else is kept
//! as what it is, so that the session can refuse it by its rules.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::Decoder;

use super::packstream;
use crate::neo4j::{
    failure::{Neo4jFailure, code},
    value::{Value, ValueMap},
};

/// A message longer than this closes the connection.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// What a client sends.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Opens the session, with credentials.
    Hello(ValueMap),
    /// Closes the session.
    Goodbye,
    /// Back to READY, whatever runs.
    Reset,
    /// A statement.
    Run {
        /// Its text.
        query: String,
        /// Its parameters.
        parameters: ValueMap,
        /// `db`, `mode`, `tx_timeout`, `tx_metadata`, `imp_user`.
        extra: ValueMap,
    },
    /// Opens a transaction.
    Begin(ValueMap),
    /// Ends it well.
    Commit,
    /// Takes it back.
    Rollback,
    /// Throws rows away.
    Discard(Fetch),
    /// Asks for rows.
    Pull(Fetch),
    /// Asks who serves what.
    Route(Vec<Value>),
    /// Bytes that are no message, or fields that do not fit it.
    Malformed(Neo4jFailure),
    /// A tag that Bolt 4 does not know.
    Unknown(u8),
}

/// How many rows of which result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetch {
    /// Rows at most; `None` is all.
    pub n: Option<usize>,
    /// Result of this id; `None` is the last one.
    pub qid: Option<i64>,
}

/// What the server sends.
#[derive(Debug, Clone, PartialEq)]
pub enum Response {
    /// It worked.
    Success(ValueMap),
    /// One row.
    Record(Vec<Value>),
    /// Not looked at, because of an earlier failure.
    Ignored,
    /// It did not.
    Failure(Neo4jFailure),
}

impl Request {
    /// Reads a message's bytes.
    pub fn decode(bytes: &[u8]) -> Self {
        let (tag, mut fields) = match packstream::decode(bytes) {
            Ok(Value::Struct(tag, fields)) => (tag, fields),
            Ok(other) => {
                let failure = format!("Unexpected type: Expected STRUCT but got {other:?}");
                return Self::Malformed(Neo4jFailure::new(code::INVALID_REQUEST, failure));
            }
            Err(error) => return Self::Malformed(Neo4jFailure::new(code::INVALID_FORMAT, error)),
        };
        match (tag, fields.as_mut_slice()) {
            (0x01, [Value::Map(extra)]) => Self::Hello(std::mem::take(extra)),
            (0x02, []) => Self::Goodbye,
            (0x0F, []) => Self::Reset,
            (0x10, [Value::String(query), Value::Map(parameters), Value::Map(extra)]) => Self::Run {
                query: std::mem::take(query),
                parameters: std::mem::take(parameters),
                extra: std::mem::take(extra),
            },
            (0x11, [Value::Map(extra)]) => Self::Begin(std::mem::take(extra)),
            (0x12, []) => Self::Commit,
            (0x13, []) => Self::Rollback,
            (0x2F, [Value::Map(extra)]) => Self::Discard(Fetch::new(extra)),
            (0x3F, [Value::Map(extra)]) => Self::Pull(Fetch::new(extra)),
            (0x66, _) => Self::Route(fields),
            (0x01 | 0x02 | 0x0F..=0x13 | 0x2F | 0x3F, fields) => {
                let failure = format!("Illegal struct size or fields: got {}", fields.len());
                Self::Malformed(Neo4jFailure::new(code::INVALID_FORMAT, failure))
            }
            (other, _) => Self::Unknown(other),
        }
    }

    /// Its name, as failures call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "HelloMessage",
            Self::Goodbye => "GoodbyeMessage",
            Self::Reset => "ResetMessage",
            Self::Run { .. } => "RunMessage",
            Self::Begin(_) => "BeginMessage",
            Self::Commit => "CommitMessage",
            Self::Rollback => "RollbackMessage",
            Self::Discard(_) => "DiscardMessage",
            Self::Pull(_) => "PullMessage",
            Self::Route(_) => "RouteMessage",
            Self::Malformed(_) | Self::Unknown(_) => "the message",
        }
    }
}

impl Fetch {
    fn new(extra: &ValueMap) -> Self {
        let number = |key: &str| extra.get(key).and_then(Value::as_int);
        Self {
            n: number("n").and_then(|n| usize::try_from(n).ok()),
            qid: number("qid").filter(|qid| *qid >= 0),
        }
    }
}

impl Response {
    /// A SUCCESS with these entries.
    pub fn success<const N: usize>(entries: [(&str, Value); N]) -> Self {
        Self::Success(
            entries
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
        )
    }

    /// The message in chunks, with its end.
    pub fn encode(&self, out: &mut BytesMut) {
        let message = match self {
            Self::Success(entries) => Value::Struct(0x70, vec![Value::Map(entries.clone())]),
            Self::Record(row) => Value::Struct(0x71, vec![Value::List(row.clone())]),
            Self::Ignored => Value::Struct(0x7E, vec![]),
            Self::Failure(failure) => {
                let entries = [("code", &failure.code), ("message", &failure.message)];
                let entries = entries.map(|(key, text)| (key.to_owned(), Value::from(text.as_str())));
                Value::Struct(0x7F, vec![Value::Map(entries.into())])
            }
        };
        let mut bytes = BytesMut::new();
        packstream::encode(&message, &mut bytes);
        for chunk in bytes.chunks(usize::from(u16::MAX)) {
            out.put_u16(chunk.len() as u16);
            out.put_slice(chunk);
        }
        out.put_u16(0);
    }
}

/// Cuts a stream into messages. Cancellation safe, as every decoder is: half a message stays in the buffer.
#[derive(Debug, Default)]
pub struct Chunks;

impl Decoder for Chunks {
    type Item = Bytes;
    type Error = std::io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> std::io::Result<Option<Bytes>> {
        while buffer.starts_with(&[0, 0]) {
            buffer.advance(2); // A lone end is a NOOP.
        }
        let mut at = 0;
        let mut length = 0;
        while let Some(&[high, low]) = buffer.get(at..at + 2) {
            let chunk = usize::from(u16::from_be_bytes([high, low]));
            at += 2 + chunk;
            length += chunk;
            if length > MAX_MESSAGE {
                return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "message too long"));
            }
            if chunk == 0 {
                let mut raw = buffer.split_to(at);
                let mut message = BytesMut::with_capacity(length);
                while raw.remaining() > 2 {
                    let chunk = usize::from(raw.get_u16());
                    message.extend_from_slice(&raw.split_to(chunk));
                }
                return Ok(Some(message.freeze()));
            }
        }
        Ok(None)
    }
}

/// The versions spoken here, newest first.
const VERSIONS: [(u8, u8); 5] = [(4, 4), (4, 3), (4, 2), (4, 1), (4, 0)];
/// What every handshake begins with.
const MAGIC: [u8; 4] = [0x60, 0x60, 0xB0, 0x17];

/// Chooses a version from a client's 20 bytes: its first proposal, or range of minors, that we speak. `None`: it does not speak Bolt.
pub fn negotiate(hello: [u8; 20]) -> Option<Option<(u8, u8)>> {
    if hello[..4] != MAGIC {
        return None;
    }
    let version = hello[4..]
        .as_chunks::<4>()
        .0
        .iter()
        .find_map(|[zero, range, minor, major]| {
            let minors = minor.saturating_sub(*range)..=*minor;
            VERSIONS
                .into_iter()
                .find(|(ours, our_minor)| *zero == 0 && ours == major && minors.contains(our_minor))
        });
    Some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(proposals: [[u8; 4]; 4]) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..].copy_from_slice(proposals.as_flattened());
        bytes
    }

    #[test]
    fn the_clients_order_decides_and_five_is_refused_cleanly() {
        let neo4rs = [[0, 0, 4, 4], [0, 0, 3, 4], [0, 0, 1, 4], [0, 0, 0, 4]];
        assert_eq!(negotiate(offer(neo4rs)), Some(Some((4, 4))));
        let newer = [[0, 0, 1, 0xFF], [0, 8, 8, 5], [0, 2, 4, 4], [0, 0, 0, 3]];
        assert_eq!(negotiate(offer(newer)), Some(Some((4, 4))));
        let only_five = [[0, 8, 8, 5], [0; 4], [0; 4], [0; 4]];
        assert_eq!(negotiate(offer(only_five)), Some(None));
        assert_eq!(negotiate(*b"GET / HTTP/1.1\r\nHost"), None);
    }

    #[test]
    fn a_message_over_several_chunks_arrives_whole_and_noops_are_skipped() {
        let mut wire = BytesMut::new();
        let mut messages = Vec::new();
        for byte in [0, 0, 0, 1, 0xB0, 0, 1, 0x0F, 0, 0, 0, 2, 0xB0, 0x02, 0, 0] {
            wire.put_u8(byte);
            messages.extend(Chunks.decode(&mut wire).unwrap());
        }
        let requests: Vec<_> = messages.iter().map(|message| Request::decode(message)).collect();
        assert_eq!(requests, [Request::Reset, Request::Goodbye]);
    }
}
