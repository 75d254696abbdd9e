//! The states of one Bolt 4 session, without any I/O.
//!
//! [`Session::receive`] says what a request asks for: an answer at once, a login or a statement. The caller does that and reports
//! with [`Session::logged_in`] or [`Session::ran`]. Source: <https://neo4j.com/docs/bolt/current/bolt/server-state/>.

use std::collections::{BTreeMap, VecDeque};

use super::message::{Fetch, Request, Response};
use crate::neo4j::{
    failure::{Neo4jFailure, code},
    value::{Value, ValueMap},
};

/// Seconds of silence after which a client may give the connection up.
const RECEIVE_TIMEOUT: (&str, i64) = ("connection.recv_timeout_seconds", 120);
/// Results that one transaction may hold open.
const MAX_OPEN_RESULTS: usize = 64;

/// Where a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// HELLO is awaited.
    Negotiation,
    /// Idle.
    Ready,
    /// An auto-commit result has rows left.
    Streaming,
    /// A transaction is open.
    TxReady,
    /// A transaction is open and has a result with rows left.
    TxStreaming,
    /// Something failed; all is ignored until RESET.
    Failed,
    /// A RESET was seen ahead; all is ignored until it is its turn.
    Interrupted,
    /// Over.
    Defunct,
}

/// A statement to run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Run {
    /// Who asks.
    pub user: String,
    /// Whether the password had to be changed when the session began; a session never learns that it was.
    pub expired: bool,
    /// The connection's id; empty without one.
    pub connection: String,
    /// The statement.
    pub query: String,
    /// Its parameters.
    pub parameters: ValueMap,
    /// Database by name; `None` is the user's home database.
    pub database: Option<String>,
    /// Inside an explicit transaction.
    pub in_transaction: bool,
    /// The client wants a write (`mode` is not `r`).
    pub write: bool,
    /// Time after which the server ends it.
    pub timeout: Option<std::time::Duration>,
    /// What the client noted about it.
    pub metadata: ValueMap,
}

/// What a statement gives.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Work that has to be done before the first row comes.
    pub work: Option<Box<Work>>,
    /// Whether it changed the database `system`.
    pub updates: bool,
    /// Columns.
    pub fields: Vec<String>,
    /// Rows.
    pub rows: VecDeque<Vec<Value>>,
    /// Fails after the rows: a runtime error, or an injected one.
    pub failure: Option<Neo4jFailure>,
    /// Database it ran on.
    pub database: String,
    /// `r`, `w`, `rw` or `s`.
    pub kind: &'static str,
}

/// What a statement does between RUN and its first row.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// The statement.
    pub run: Run,
    /// The time that it takes.
    pub time: std::time::Duration,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// These answers, nothing else.
    Reply(Vec<Response>),
    /// A check of these credentials.
    Login(ValueMap),
    /// A statement.
    Run(Run),
    /// Whether a transaction on this database may begin; the statement is empty.
    Begin(Box<Run>),
    /// This work; then [`Session::worked`] answers the fetch.
    Work(Box<Work>, Portion),
    /// Routing information for a database.
    Route(Option<String>),
    /// The end, after these answers.
    Close(Vec<Response>),
}

/// Rows that a client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Portion {
    fetch: Fetch,
    /// PULL keeps them, DISCARD does not.
    keep: bool,
}

/// One session.
#[derive(Debug)]
pub struct Session {
    state: State,
    connection_id: String,
    user: String,
    expired: bool,
    transaction: ValueMap,
    results: BTreeMap<i64, Outcome>,
    next_qid: i64,
    bookmarks: u64,
}

impl Session {
    /// A session that waits for HELLO.
    pub fn new(connection_id: String) -> Self {
        Self {
            state: State::Negotiation,
            connection_id,
            user: String::new(),
            expired: false,
            transaction: ValueMap::new(),
            results: BTreeMap::new(),
            next_qid: 0,
            bookmarks: 0,
        }
    }

    /// Where it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// A RESET has arrived while a statement runs: what comes before it is ignored.
    pub fn interrupt(&mut self) {
        if self.state != State::Defunct {
            self.results.clear();
            self.state = State::Interrupted;
        }
    }

    /// Takes the next request.
    pub fn receive(&mut self, request: Request) -> Step {
        match (self.state, request) {
            (State::Defunct, _) | (_, Request::Goodbye) => {
                self.state = State::Defunct;
                Step::Close(vec![])
            }
            (_, Request::Unknown(_)) => {
                self.state = State::Defunct;
                Step::Close(vec![])
            }
            (State::Negotiation, Request::Hello(extra)) => Step::Login(extra),
            (State::Negotiation, other) => self.violation(&other),
            (_, Request::Reset) => {
                self.results.clear();
                self.transaction.clear();
                self.state = State::Ready;
                Step::Reply(vec![Response::success([])])
            }
            (State::Failed, other @ (Request::Hello(_) | Request::Begin(_))) => self.violation(&other),
            (State::Failed | State::Interrupted, _) => Step::Reply(vec![Response::Ignored]),
            (_, Request::Malformed(failure)) => Step::Reply(vec![self.fail(failure)]),
            (
                State::Ready,
                Request::Run {
                    query,
                    parameters,
                    extra,
                },
            ) => Step::Run(self.run(query, parameters, &extra)),
            (State::TxReady | State::TxStreaming, Request::Run { query, parameters, .. }) => {
                if self.results.len() >= MAX_OPEN_RESULTS {
                    return Step::Reply(vec![self.fail(Neo4jFailure::new(
                        code::INVALID_REQUEST,
                        "too many open results in one transaction",
                    ))]);
                }
                let extra = self.transaction.clone();
                Step::Run(self.run(query, parameters, &extra))
            }
            (State::Ready, Request::Begin(extra)) => {
                let run = self.run(String::new(), ValueMap::new(), &extra);
                self.transaction = extra;
                Step::Begin(Box::new(run))
            }
            (State::TxReady, Request::Commit) => {
                let bookmark = self.bookmark();
                self.end_transaction();
                Step::Reply(vec![Response::success([("bookmark", bookmark)])])
            }
            (State::TxReady, Request::Rollback) => {
                self.end_transaction();
                Step::Reply(vec![Response::success([])])
            }
            (State::Streaming | State::TxStreaming, Request::Pull(fetch)) => self.fetch(Portion { fetch, keep: true }),
            (State::Streaming | State::TxStreaming, Request::Discard(fetch)) => {
                self.fetch(Portion { fetch, keep: false })
            }
            (State::Ready, Request::Route(fields)) => Step::Route(route_database(&fields)),
            (_, other) => self.violation(&other),
        }
    }

    /// The credentials of [`Step::Login`] were checked. A refusal ends the session.
    pub fn logged_in(&mut self, agent: &str, login: Result<(String, bool), Neo4jFailure>) -> Response {
        match login {
            Ok((user, expired)) => {
                let hints = [(RECEIVE_TIMEOUT.0.to_owned(), Value::Int(RECEIVE_TIMEOUT.1))].into();
                self.user = user;
                self.expired = expired;
                self.state = State::Ready;
                let mut entries = ValueMap::from([
                    ("server".to_owned(), agent.into()),
                    ("connection_id".to_owned(), self.connection_id.as_str().into()),
                    ("hints".to_owned(), Value::Map(hints)),
                ]);
                if expired {
                    entries.insert("credentials_expired".to_owned(), true.into());
                }
                Response::Success(entries)
            }
            Err(failure) => {
                self.state = State::Defunct;
                Response::Failure(failure)
            }
        }
    }

    /// The transaction of [`Step::Begin`] may begin, or may not.
    pub fn begun(&mut self, may: Result<(), Neo4jFailure>) -> Response {
        match may {
            Ok(()) => {
                self.state = State::TxReady;
                Response::success([])
            }
            Err(failure) => self.fail(failure),
        }
    }

    /// The statement of [`Step::Run`] was run.
    pub fn ran(&mut self, outcome: Result<Outcome, Neo4jFailure>) -> Response {
        if self.state == State::Interrupted {
            return match outcome {
                Err(failure) => Response::Failure(failure),
                Ok(_) => Response::Ignored,
            };
        }
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(failure) => return self.fail(failure),
        };
        let qid = self.next_qid;
        self.next_qid += 1;
        let fields = Value::strings(outcome.fields.iter().cloned());
        self.results.insert(qid, outcome);
        self.state = match self.state {
            State::TxReady | State::TxStreaming => State::TxStreaming,
            _ => State::Streaming,
        };
        if self.state == State::TxStreaming {
            return Response::success([("fields", fields), ("t_first", Value::Int(0)), ("qid", Value::Int(qid))]);
        }
        Response::success([("fields", fields), ("t_first", Value::Int(0))])
    }

    /// The work of [`Step::Work`] was done, or ended early: the answers to the fetch.
    pub fn worked(&mut self, portion: Portion, ended: Result<(), Neo4jFailure>) -> Vec<Response> {
        match ended {
            Ok(()) => self.deliver(portion),
            Err(failure) if self.state == State::Interrupted => vec![Response::Failure(failure)],
            Err(failure) => vec![self.fail(failure)],
        }
    }

    /// The answer to [`Step::Route`].
    pub fn routed(&mut self, table: Result<Value, Neo4jFailure>) -> Response {
        match table {
            Ok(table) => Response::success([("rt", table)]),
            Err(failure) => self.fail(failure),
        }
    }

    /// Fails the session: everything up to RESET is ignored.
    pub fn fail(&mut self, failure: Neo4jFailure) -> Response {
        self.results.clear();
        self.state = State::Failed;
        Response::Failure(failure)
    }

    fn run(&self, query: String, parameters: ValueMap, extra: &ValueMap) -> Run {
        let text = |key: &str| extra.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let millis = extra.get("tx_timeout").and_then(Value::as_int);
        Run {
            user: self.user.clone(),
            expired: self.expired,
            connection: self.connection_id.clone(),
            query,
            parameters,
            database: text("db").map(str::to_owned),
            in_transaction: self.state != State::Ready,
            write: text("mode") != Some("r"),
            timeout: millis
                .and_then(|ms| u64::try_from(ms).ok())
                .filter(|ms| *ms > 0)
                .map(std::time::Duration::from_millis),
            metadata: match extra.get("tx_metadata") {
                Some(Value::Map(metadata)) => metadata.clone(),
                _ => ValueMap::new(),
            },
        }
    }

    /// The result that a fetch means.
    fn result(&mut self, fetch: Fetch) -> Option<(i64, &mut Outcome)> {
        let qid = fetch.qid.or_else(|| self.results.keys().next_back().copied())?;
        Some((qid, self.results.get_mut(&qid)?))
    }

    fn fetch(&mut self, portion: Portion) -> Step {
        match self.result(portion.fetch).and_then(|(_, result)| result.work.take()) {
            Some(work) => Step::Work(work, portion),
            None => Step::Reply(self.deliver(portion)),
        }
    }

    fn deliver(&mut self, Portion { fetch, keep }: Portion) -> Vec<Response> {
        let Some((qid, result)) = self.result(fetch) else {
            let message = format!("No such statement: {}", fetch.qid.unwrap_or(-1));
            return vec![self.fail(Neo4jFailure::new(code::INVALID_FORMAT, message))];
        };
        let wanted = fetch.n.unwrap_or(usize::MAX);
        let count = wanted.min(result.rows.len());
        let rows = result.rows.drain(..count).filter(|_| keep);
        let mut responses: Vec<_> = rows.map(Response::Record).collect();
        // A failure comes where the next row would: the rows before it may be just those asked for.
        if !result.rows.is_empty() || (result.failure.is_some() && count == wanted) {
            responses.push(Response::success([("has_more", Value::Bool(true))]));
            return responses;
        }
        let failure = result.failure.take();
        let summary = (result.kind, std::mem::take(&mut result.database), result.updates);
        self.results.remove(&qid);
        if let Some(failure) = failure {
            responses.push(self.fail(failure));
            return responses;
        }
        let mut entries = ValueMap::from([
            ("type".to_owned(), summary.0.into()),
            ("t_last".to_owned(), Value::Int(0)),
            ("db".to_owned(), summary.1.into()),
        ]);
        if summary.2 {
            let stats = [
                ("contains-system-updates", true.into()),
                ("system-updates", Value::Int(1)),
            ];
            let stats = stats.map(|(key, value)| (key.to_owned(), value));
            entries.insert("stats".to_owned(), Value::Map(stats.into()));
        }
        if self.state == State::Streaming {
            self.state = State::Ready;
            entries.insert("bookmark".to_owned(), self.bookmark());
        } else if self.results.is_empty() {
            self.state = State::TxReady;
        }
        responses.push(Response::Success(entries));
        responses
    }

    fn bookmark(&mut self) -> Value {
        self.bookmarks += 1;
        format!("FB:{}:{}", self.connection_id, self.bookmarks).into()
    }

    fn end_transaction(&mut self) {
        self.transaction.clear();
        self.state = State::Ready;
    }

    fn violation(&mut self, request: &Request) -> Step {
        let name = request.name();
        let message = format!(
            "Message of type {name} cannot be handled by a session in the {} state.",
            self.state.name()
        );
        self.state = State::Defunct;
        Step::Close(vec![Response::Failure(Neo4jFailure::new(
            code::INVALID_REQUEST,
            message,
        ))])
    }
}

impl State {
    /// As failures call it.
    fn name(self) -> &'static str {
        match self {
            Self::Negotiation => "AUTHENTICATION",
            Self::Ready => "READY",
            Self::Streaming => "AUTO_COMMIT",
            Self::TxReady | Self::TxStreaming => "IN_TRANSACTION",
            Self::Failed => "FAILED",
            Self::Interrupted => "INTERRUPTED",
            Self::Defunct => "DEFUNCT",
        }
    }
}

/// ROUTE carries the database as text in Bolt 4.3 and in a map from 4.4 on.
fn route_database(fields: &[Value]) -> Option<String> {
    match fields.get(2) {
        Some(Value::String(name)) => Some(name.clone()),
        Some(Value::Map(extra)) => extra.get("db").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ready() -> Session {
        let mut session = Session::new("bolt-1".into());
        assert!(matches!(
            session.receive(Request::Hello(ValueMap::new())),
            Step::Login(_)
        ));
        session.logged_in("Neo4j/5.26.0", Ok(("neo4j".into(), false)));
        session
    }

    fn run() -> Request {
        Request::Run {
            query: "RETURN 1".into(),
            parameters: ValueMap::new(),
            extra: ValueMap::new(),
        }
    }

    fn pull(n: usize) -> Request {
        Request::Pull(Fetch { n: Some(n), qid: None })
    }

    fn rows(count: i64) -> Outcome {
        Outcome {
            fields: vec!["n".into()],
            rows: (0..count).map(|n| vec![Value::Int(n)]).collect(),
            kind: "r",
            ..Outcome::default()
        }
    }

    fn answers(session: &mut Session, request: Request) -> Vec<Response> {
        match session.receive(request) {
            Step::Reply(answers) | Step::Close(answers) => answers,
            Step::Run(_) => vec![session.ran(Ok(rows(3)))],
            Step::Begin(_) => vec![session.begun(Ok(()))],
            other => panic!("unexpected {other:?}"),
        }
    }

    #[test]
    fn rows_come_in_the_portions_asked_for() {
        let mut session = ready();
        answers(&mut session, run());
        let first = answers(&mut session, pull(2));
        assert_eq!(first.len(), 3);
        assert_eq!(first[2], Response::success([("has_more", Value::Bool(true))]));
        assert_eq!(session.state(), State::Streaming);
        let last = answers(&mut session, pull(2));
        assert!(
            matches!(&last[..], [Response::Record(_), Response::Success(_)]),
            "{last:?}"
        );
        assert_eq!(session.state(), State::Ready);
    }

    #[test]
    fn after_a_failure_all_is_ignored_until_reset() {
        let mut session = ready();
        session.receive(run());
        session.ran(Err(Neo4jFailure::syntax("no")));
        assert_eq!(answers(&mut session, pull(1)), [Response::Ignored]);
        assert_eq!(answers(&mut session, run()), [Response::Ignored]);
        assert_eq!(answers(&mut session, Request::Reset), [Response::success([])]);
        assert_eq!(session.state(), State::Ready);
    }

    #[test]
    fn a_failure_at_pull_comes_after_the_rows_before_it() {
        let mut session = ready();
        session.receive(run());
        session.ran(Ok(Outcome {
            failure: Some(Neo4jFailure::new(code::ARITHMETIC, "/ by zero")),
            ..rows(1)
        }));
        let answers = answers(&mut session, pull(10));
        assert!(
            matches!(&answers[..], [Response::Record(_), Response::Failure(_)]),
            "{answers:?}"
        );
        assert_eq!(session.state(), State::Failed);
    }

    #[test]
    fn an_interrupted_statement_leaves_nothing_and_reset_makes_ready() {
        let mut session = ready();
        session.receive(run());
        session.interrupt();
        let answer = session.ran(Err(Neo4jFailure::new(code::TERMINATED, "terminated")));
        assert!(matches!(answer, Response::Failure(_)));
        assert_eq!(answers(&mut session, pull(1)), [Response::Ignored]);
        answers(&mut session, Request::Reset);
        assert_eq!(session.state(), State::Ready);
    }

    #[test]
    fn a_transaction_streams_two_results_by_id() {
        let mut session = ready();
        answers(&mut session, Request::Begin(ValueMap::new()));
        answers(&mut session, run());
        answers(&mut session, run());
        for qid in [0, 1] {
            let fetch = Fetch {
                n: None,
                qid: Some(qid),
            };
            assert_eq!(answers(&mut session, Request::Discard(fetch)).len(), 1);
        }
        assert_eq!(session.state(), State::TxReady);
        answers(&mut session, Request::Commit);
        assert_eq!(session.state(), State::Ready);
    }

    fn requests() -> impl Strategy<Value = Request> {
        prop_oneof![
            Just(Request::Hello(ValueMap::new())),
            Just(Request::Reset),
            Just(run()),
            Just(Request::Begin(ValueMap::new())),
            Just(Request::Commit),
            Just(Request::Rollback),
            Just(Request::Malformed(Neo4jFailure::syntax("no"))),
            (0..4_usize, -1..3_i64).prop_map(|(n, qid)| Request::Pull(Fetch {
                n: Some(n),
                qid: (qid >= 0).then_some(qid)
            })),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// Clients count summaries: one too few and they hang, one too many and they are out of step.
        #[test]
        fn every_request_gets_exactly_one_summary(requests in prop::collection::vec(requests(), 1..40)) {
            let mut session = ready();
            for request in requests {
                if session.state() == State::Defunct {
                    break;
                }
                let answers = answers(&mut session, request);
                let summaries = answers.iter().filter(|answer| !matches!(answer, Response::Record(_))).count();
                prop_assert_eq!(summaries, 1);
            }
        }
    }
}
