//! One Bolt connection: bytes in, bytes out, with the faults that were ordered.
//!
//! A single task per connection owns the session. While a statement runs it goes on reading, so that a RESET is seen ahead of its turn.

use std::{collections::VecDeque, os::fd::OwnedFd, time::Duration};

use bytes::BytesMut;
use futures::{StreamExt, future::BoxFuture};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::codec::FramedRead;

use super::{
    message::{Chunks, Request, Response, negotiate},
    session::{Outcome, Run, Session, State, Step, Work},
};
use crate::neo4j::{
    failure::Neo4jFailure,
    faults::{Fault, Stage},
    value::{Value, ValueMap},
};

/// Requests read ahead while a statement runs.
const READ_AHEAD: usize = 64;
/// A client must finish handshake and HELLO within this time.
const LOGIN_WITHIN: Duration = Duration::from_secs(30);

/// Who answers what a session asks for: one Neo4j server.
pub trait Backend: Send + Sync + 'static {
    /// `Neo4j/5.26.0`.
    fn agent(&self) -> String;

    /// Checks the credentials of a HELLO: the user, and whether the password must be changed first.
    fn login(&self, connection: &str, hello: &ValueMap) -> Result<(String, bool), Neo4jFailure>;

    /// Whether a transaction may begin on the database of this empty statement.
    fn begin(&self, run: &Run) -> Result<(), Neo4jFailure>;

    /// Runs a statement. Dropping the future ends the waiting, never an effect.
    fn run<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, Result<Outcome, Neo4jFailure>>;

    /// Does the work of a statement, until its time limit. Dropping the future ends it.
    fn work<'a>(&'a self, work: &'a Work) -> BoxFuture<'a, Result<(), Neo4jFailure>>;

    /// The routing table for a database.
    fn route(&self, database: Option<&str>) -> Result<Value, Neo4jFailure>;

    /// The fault due at this point, if any.
    fn strike(&self, stage: Stage, statement: Option<&str>) -> Option<Fault>;

    /// Resolves when the process is not stopped: a hung server answers nobody, but keeps its connections.
    fn runs(&self) -> BoxFuture<'_, ()>;
}

/// Resets a connection instead of closing it, through a second handle to its socket.
pub struct Abort(Option<OwnedFd>);

impl Abort {
    /// A handle on `socket`; where there is none, reset means close.
    pub fn new(socket: Option<OwnedFd>) -> Self {
        Self(socket)
    }

    fn arm(&self) {
        if let Some(socket) = &self.0 {
            // Without lingering, close sends RST.
            let _ = rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO));
        }
    }
}

/// Why a conversation ended early.
enum End {
    Closed,
    Io,
}

impl From<std::io::Error> for End {
    fn from(_: std::io::Error) -> Self {
        Self::Io
    }
}

/// How answers of one request leave.
#[derive(Default)]
struct Delivery {
    drip: Option<Duration>,
    half: bool,
    lose: bool,
}

struct Connection<'a, R, W> {
    requests: FramedRead<R, Chunks>,
    ahead: VecDeque<Request>,
    writer: W,
    session: Session,
    id: String,
    backend: &'a dyn Backend,
    abort: &'a Abort,
}

/// Serves one client until it leaves, errs, or a fault ends it.
pub async fn serve<S>(stream: S, id: String, backend: &dyn Backend, abort: &Abort)
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let (mut reader, mut writer) = tokio::io::split(stream);
    match tokio::time::timeout(LOGIN_WITHIN, handshake(&mut reader, &mut writer, backend, abort)).await {
        Ok(Ok(())) => {}
        _ => return,
    }
    let mut connection = Connection {
        requests: FramedRead::new(reader, Chunks),
        ahead: VecDeque::new(),
        writer,
        session: Session::new(id.clone()),
        id,
        backend,
        abort,
    };
    // However it ended, the connection is closed by dropping it.
    let _ = connection.converse().await;
}

async fn handshake<R, W>(reader: &mut R, writer: &mut W, backend: &dyn Backend, abort: &Abort) -> Result<(), End>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    backend.runs().await;
    if let Some(fault) = backend.strike(Stage::Accept, None) {
        early(fault, abort).await?;
    }
    let mut hello = [0; 20];
    reader.read_exact(&mut hello).await?;
    backend.runs().await;
    let version = negotiate(hello).ok_or(End::Closed)?;
    match backend.strike(Stage::Handshake, None) {
        Some(Fault::NoCommonVersion) => {
            writer.write_all(&[0; 4]).await?;
            return Err(End::Closed);
        }
        Some(fault) => early(fault, abort).await?,
        None => {}
    }
    let Some((major, minor)) = version else {
        writer.write_all(&[0; 4]).await?;
        writer.flush().await?;
        return Err(End::Closed);
    };
    writer.write_all(&[0, 0, minor, major]).await?;
    writer.flush().await?;
    Ok(())
}

/// A fault before there is any message to answer.
async fn early(fault: Fault, abort: &Abort) -> Result<(), End> {
    match fault {
        Fault::Delay(time) | Fault::Drip(time) => tokio::time::sleep(time).await,
        Fault::BlackHole | Fault::OnlyNoops => std::future::pending().await,
        Fault::Reset | Fault::LoseReply => {
            abort.arm();
            return Err(End::Closed);
        }
        Fault::Close | Fault::HalfAnswer | Fault::Fail(_) | Fault::NoCommonVersion => return Err(End::Closed),
    }
    Ok(())
}

impl<R, W> Connection<'_, R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    async fn converse(&mut self) -> Result<(), End> {
        loop {
            let Some(request) = self.next().await? else {
                return Ok(());
            };
            self.backend.runs().await;
            let mut delivery = Delivery::default();
            if let Some(fault) = self.due(&request) {
                match self.suffer(fault, &mut delivery).await? {
                    None => {}
                    // A server that fails a HELLO closes; any other failure waits for RESET.
                    Some(failure) if matches!(request, Request::Hello(_)) => {
                        let answer = self.session.logged_in("", Err(failure));
                        self.answer(&[answer], &delivery).await?;
                        return Ok(());
                    }
                    Some(failure) => {
                        let answer = self.session.fail(failure);
                        self.answer(&[answer], &delivery).await?;
                        continue;
                    }
                }
            }
            let answers = match self.session.receive(request) {
                Step::Reply(answers) => answers,
                Step::Close(answers) => {
                    self.answer(&answers, &delivery).await?;
                    return Ok(());
                }
                Step::Login(hello) => {
                    let login = self.backend.login(&self.id, &hello);
                    vec![self.session.logged_in(&self.backend.agent(), login)]
                }
                Step::Run(run) => {
                    let limit = run.timeout.unwrap_or(Duration::MAX);
                    let running = tokio::time::timeout(limit, self.backend.run(&run));
                    let ended = self.interruptible(running).await?;
                    let timed_out = |_| Err(Neo4jFailure::timed_out());
                    let outcome = ended.map_or_else(Err, |ended| ended.unwrap_or_else(timed_out));
                    vec![self.session.ran(outcome)]
                }
                Step::Begin(run) => {
                    let may = self.backend.begin(&run);
                    vec![self.session.begun(may)]
                }
                Step::Work(work, portion) => {
                    let ended = self.interruptible(self.backend.work(&work)).await?;
                    self.session.worked(portion, ended.unwrap_or_else(Err))
                }
                Step::Route(database) => {
                    let table = self.backend.route(database.as_deref());
                    vec![self.session.routed(table)]
                }
            };
            self.answer(&answers, &delivery).await?;
            if self.session.state() == State::Defunct {
                return Ok(());
            }
        }
    }

    async fn next(&mut self) -> Result<Option<Request>, End> {
        if let Some(request) = self.ahead.pop_front() {
            return Ok(Some(request));
        }
        let message = match self.requests.next().await {
            Some(message) => message?,
            None => return Ok(None),
        };
        Ok(Some(Request::decode(&message)))
    }

    /// Waits for a statement and goes on reading: a RESET that arrives meanwhile interrupts it, and a client that
    /// leaves ends what is only computed.
    async fn interruptible<T>(&mut self, running: impl Future<Output = T>) -> Result<Result<T, Neo4jFailure>, End> {
        let mut running = std::pin::pin!(running);
        loop {
            tokio::select! {
                biased;
                ended = &mut running => return Ok(Ok(ended)),
                message = self.requests.next(), if self.ahead.len() < READ_AHEAD => {
                    let Some(message) = message else {
                        return Err(End::Closed);
                    };
                    let request = Request::decode(&message?);
                    let reset = request == Request::Reset;
                    self.ahead.push_back(request);
                    if reset {
                        self.session.interrupt();
                        return Ok(Err(Neo4jFailure::terminated()));
                    }
                }
            }
        }
    }

    fn due(&self, request: &Request) -> Option<Fault> {
        match request {
            Request::Hello(_) => self.backend.strike(Stage::Hello, None),
            Request::Run { query, .. } => self.backend.strike(Stage::Run, Some(query)),
            Request::Pull(_) | Request::Discard(_) if self.session.state() != State::Failed => {
                self.backend.strike(Stage::Pull, None)
            }
            _ => None,
        }
    }

    /// Lets a fault happen; `Some` is a failure to answer with.
    async fn suffer(&mut self, fault: Fault, delivery: &mut Delivery) -> Result<Option<Neo4jFailure>, End> {
        match fault {
            Fault::Delay(time) => tokio::time::sleep(time).await,
            Fault::BlackHole => std::future::pending().await,
            Fault::OnlyNoops => loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                self.writer.write_all(&[0, 0]).await?;
                self.writer.flush().await?;
            },
            Fault::Reset => {
                self.abort.arm();
                return Err(End::Closed);
            }
            Fault::Close | Fault::NoCommonVersion => return Err(End::Closed),
            Fault::HalfAnswer => delivery.half = true,
            Fault::Drip(pause) => delivery.drip = Some(pause),
            Fault::LoseReply => delivery.lose = true,
            Fault::Fail(failure) => return Ok(Some(failure)),
        }
        Ok(None)
    }

    async fn answer(&mut self, answers: &[Response], delivery: &Delivery) -> Result<(), End> {
        let mut bytes = BytesMut::new();
        for answer in answers {
            answer.encode(&mut bytes);
        }
        if delivery.lose {
            self.abort.arm();
            return Err(End::Closed);
        }
        if delivery.half {
            self.writer.write_all(&bytes[..bytes.len() / 2]).await?;
            self.writer.flush().await?;
            return Err(End::Closed);
        }
        if let Some(pause) = delivery.drip {
            for byte in &bytes {
                self.writer.write_all(&[*byte]).await?;
                self.writer.flush().await?;
                tokio::time::sleep(pause).await;
            }
            return Ok(());
        }
        self.writer.write_all(&bytes).await?;
        self.writer.flush().await?;
        Ok(())
    }
}
