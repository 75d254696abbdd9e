//! Trouble between the API server and the cache, whichever server it is: a layer of the cache's client.
//!
//! Events come late, each by 50 to 500 ms, in order; some twice, some in two pieces. Streams end before an event, within
//! one, or with an error of the server in them: 410, which makes the watch list anew, and 500. Reads come late or break,
//! and lists fail or take long while a change is to be turned back. None of it is what a server or a network cannot do;
//! what they cannot do is [`Planted`], to see that the campaign would notice.
//!
//! What happens to a request, and to an event, depends on the seed, on what is asked for, and on the how many-th of its
//! kind it is; not on what else is under way.

use std::{
    collections::HashMap,
    convert::Infallible,
    hash::{DefaultHasher, Hash, Hasher as _},
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use kube::{Client, client::Body};
use neo4j_operator::kube::{ApiLayer, client};
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::{
    codec::{FramedRead, LinesCodec},
    io::StreamReader,
};
use tower::Layer as _;

use crate::{
    dice::Dice,
    story::{self, Story},
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type AnyBody = UnsyncBoxBody<Bytes, BoxError>;

/// Parts in a thousand of the events of a watch.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// The stream ends before it.
    pub ends: u64,
    /// The stream ends within it.
    pub cut: u64,
    /// The server says 410 instead of it.
    pub gone: u64,
    /// The server says 500 instead of it.
    pub failed: u64,
    /// It comes twice.
    pub twice: u64,
    /// It comes in two pieces, with a pause between them.
    pub pieces: u64,
}

/// What happens to lists while a change is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lists {
    /// What happens to every read.
    #[default]
    Usual,
    /// They are refused with this code.
    Refused(u16),
    /// Those of all ConfigMaps, as their watch needs them, take so long.
    Slow(Duration),
}

/// A fault that no server has, or none that the cache may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Planted {
    /// None.
    #[default]
    Nothing,
    /// Some events are left out without a word.
    EventsLost,
    /// All deletions are left out without a word.
    DeletesLost,
    /// A store is taken for complete before it is: lists of whole kinds lack half of what is there.
    TornLists,
    /// Floors are not kept: the cache does not hear of what others were told past it.
    FloorsForgotten,
    /// The cache does not hear of our own writes.
    OwnWritesForgotten,
    /// Some keys are taken from the queue and not run.
    KeysLost,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Write,
    Get,
    /// Whether it is of a whole kind, as the watches need it.
    List(bool),
    Watch,
}

/// A plan of trouble.
#[derive(Debug)]
pub struct Storm {
    seed: u64,
    rates: Rates,
    planted: Planted,
    on: AtomicBool,
    lists: Mutex<Lists>,
    /// How often each thing was asked for.
    asked: Mutex<HashMap<u64, u64>>,
    story: Story,
}

impl Storm {
    pub fn new(seed: u64, rates: Rates, planted: Planted, story: &Story) -> Arc<Self> {
        Arc::new(Self {
            seed,
            rates,
            planted,
            on: AtomicBool::new(false),
            lists: Mutex::default(),
            asked: Mutex::default(),
            story: story.clone(),
        })
    }

    /// Begins, or ends: then all is well.
    pub fn blow(&self, on: bool) {
        self.on.store(on, Ordering::SeqCst);
    }

    fn blows(&self) -> bool {
        self.on.load(Ordering::SeqCst)
    }

    /// What happens to lists from now on.
    pub fn trouble_lists(&self, lists: Lists) {
        *self.lists.lock().unwrap() = lists;
    }

    /// A client as the daemon builds its own, on the way of whose requests the storm blows.
    pub fn through(self: &Arc<Self>, inner: &Client) -> Client {
        let (storm, inner) = (Arc::clone(self), inner.clone());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (storm, inner) = (Arc::clone(&storm), inner.clone());
            async move { storm.pass(&inner, request).await }
        });
        let layer = ApiLayer::new(&client::Limits::default(), Arc::new(client::Unobserved));
        Client::new(layer.layer(service), "default")
    }

    async fn pass(self: Arc<Self>, inner: &Client, request: Request<Body>) -> Result<Response<AnyBody>, BoxError> {
        let asked = Asked::of(&request);
        if asked == Asked::Write || !self.blows() {
            let answer = inner.send(request).await?;
            return Ok(answer.map(plain));
        }
        let thing = thing(&request);
        let time = self.another(thing);
        let mut dice = Dice::of(self.seed, (thing, time));
        tokio::time::sleep(Duration::from_millis(dice.below(30))).await;
        if dice.chance(1) {
            return Err("the campaign breaks the connection".into());
        }
        if let Asked::List(whole) = asked {
            let lists = *self.lists.lock().unwrap();
            match lists {
                Lists::Refused(code) => return Ok(refusal(code)),
                Lists::Slow(time) if whole && request.uri().path().ends_with("/configmaps") => {
                    tokio::time::sleep(time).await;
                }
                _ => {}
            }
        }
        if asked == Asked::Watch && dice.chance(1) {
            return Ok(refusal(410));
        }
        let what = format!("{}?{}", request.uri().path(), request.uri().query().unwrap_or_default());
        let answer = inner.send(request).await?;
        if !answer.status().is_success() {
            return Ok(answer.map(plain));
        }
        match asked {
            Asked::Watch => Ok(answer.map(|body| self.follow(body, (thing, time), what))),
            Asked::List(true) if self.planted == Planted::TornLists => torn(answer).await,
            _ => Ok(answer.map(plain)),
        }
    }

    /// How often this was asked for before.
    fn another(&self, thing: u64) -> u64 {
        let mut asked = self.asked.lock().unwrap();
        let times = asked.entry(thing).or_default();
        *times += 1;
        *times - 1
    }

    /// The stream of a watch. It is read as it comes, so that what comes late holds up nothing behind it.
    fn follow(self: Arc<Self>, body: Body, which: (u64, u64), what: String) -> AnyBody {
        let (sender, receiver) = mpsc::unbounded_channel::<(Instant, Piece)>();
        tokio::spawn(async move {
            let bytes = body.into_data_stream().map_err(io::Error::other);
            let mut lines = FramedRead::new(StreamReader::new(bytes), LinesCodec::new());
            let mut due = Instant::now();
            for number in 0_u64.. {
                let line = tokio::select! {
                    biased;
                    () = sender.closed() => return,
                    line = lines.next() => line,
                };
                let Some(Ok(line)) = line else { return };
                let mut dice = Dice::of(self.seed, (which, number));
                let late = Duration::from_millis(if self.blows() { 50 + dice.below(450) } else { 0 });
                due = due.max(Instant::now() + late);
                self.note(&what, which.1, &line, due);
                for piece in self.pieces(line, &mut dice) {
                    let ends = matches!(piece, Piece::Broken | Piece::End);
                    if let Piece::Pause = piece {
                        due += Duration::from_millis(20);
                    } else if sender.send((due, piece)).is_err() || ends {
                        return;
                    }
                }
            }
        });
        let frames = stream::unfold(receiver, |mut receiver| async move {
            let (due, piece) = receiver.recv().await?;
            tokio::time::sleep_until(due).await;
            let frame = match piece {
                Piece::Bytes(bytes) => Ok(Frame::data(bytes)),
                Piece::Broken => Err::<_, BoxError>("the campaign breaks the stream".into()),
                Piece::Pause | Piece::End => return None,
            };
            Some((frame, receiver))
        });
        StreamBody::new(frames).boxed_unsync()
    }

    fn note(&self, what: &str, time: u64, line: &str, due: Instant) {
        let plural = what
            .split('?')
            .next()
            .and_then(|path| path.rsplit('/').next())
            .unwrap_or_default();
        if let Some((subject, event)) = story::event(plural, line) {
            let filter = if what.contains("labelSelector") { "ours" } else { "all" };
            let late = due.saturating_duration_since(Instant::now()).as_millis();
            let text = format!("watch {time} of {filter} gets {event} and has it in {late} ms");
            self.story.tell(subject, text);
        }
    }

    /// What becomes of a line.
    fn pieces(&self, line: String, dice: &mut Dice) -> Vec<Piece> {
        let bookmark = line.starts_with(r#"{"type":"BOOKMARK""#);
        let deleted = line.starts_with(r#"{"type":"DELETED""#);
        let lost = match self.planted {
            Planted::EventsLost => dice.chance(30),
            Planted::DeletesLost => deleted,
            _ => false,
        };
        let whole = |text: &str| Piece::Bytes(Bytes::from(format!("{text}\n")));
        if !self.blows() || bookmark {
            return vec![whole(&line)];
        }
        if lost {
            return Vec::new();
        }
        let mut fate = dice.below(1000);
        let mut is = |rate: u64| {
            let is = fate < rate;
            fate = fate.saturating_sub(rate);
            is
        };
        let (first, second) = line.as_bytes().split_at(line.len() / 2);
        let first = Piece::Bytes(Bytes::copy_from_slice(first));
        if is(self.rates.ends) {
            vec![Piece::End]
        } else if is(self.rates.cut) {
            // Some connections end, others break.
            vec![first, if dice.chance(50) { Piece::End } else { Piece::Broken }]
        } else if is(self.rates.gone) {
            vec![whole(&error(410).to_string()), Piece::End]
        } else if is(self.rates.failed) {
            vec![whole(&error(500).to_string()), Piece::End]
        } else if is(self.rates.twice) {
            vec![whole(&line), whole(&line)]
        } else if is(self.rates.pieces) {
            let second = Bytes::from([second, b"\n"].concat());
            vec![first, Piece::Pause, Piece::Bytes(second)]
        } else {
            vec![whole(&line)]
        }
    }
}

/// What is delivered.
enum Piece {
    Bytes(Bytes),
    /// What follows comes later.
    Pause,
    /// The connection breaks.
    Broken,
    /// The stream ends.
    End,
}

impl Asked {
    fn of(request: &Request<Body>) -> Self {
        if request.method() != Method::GET {
            return Self::Write;
        }
        let query = request.uri().query().unwrap_or_default();
        if query.split('&').any(|pair| pair == "watch=true") {
            return Self::Watch;
        }
        let parts: Vec<&str> = request.uri().path().split('/').skip(1).collect();
        let after_version = if parts[0] == "api" { 2 } else { 3 };
        match parts.get(after_version..).unwrap_or_default() {
            ["namespaces", _, _] => Self::List(false),
            [_] => Self::List(true),
            _ => Self::Get,
        }
    }
}

/// What a request asks for, without what differs from one time to the next.
fn thing(request: &Request<Body>) -> u64 {
    let query = request.uri().query().unwrap_or_default().split('&');
    let stable = query.filter(|pair| {
        let key = pair.split('=').next().unwrap_or_default();
        !["resourceVersion", "continue", "timeoutSeconds"].contains(&key)
    });
    let mut hasher = DefaultHasher::new();
    (request.uri().path(), stable.collect::<Vec<_>>()).hash(&mut hasher);
    hasher.finish()
}

fn plain(body: Body) -> AnyBody {
    body.map_err(Into::into).boxed_unsync()
}

fn full(value: &Value) -> AnyBody {
    let never = |error: Infallible| match error {};
    Full::new(Bytes::from(value.to_string())).map_err(never).boxed_unsync()
}

fn status(code: u16) -> Value {
    let reason = match code {
        403 => "Forbidden",
        410 => "Expired",
        _ => "InternalError",
    };
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "the campaign says no", "reason": reason, "code": code,
    })
}

/// A frame of a watch that tells of an error.
fn error(code: u16) -> Value {
    json!({"type": "ERROR", "object": status(code)})
}

fn refusal(code: u16) -> Response<AnyBody> {
    let mut answer = Response::new(full(&status(code)));
    *answer.status_mut() = StatusCode::from_u16(code).unwrap();
    answer
}

/// A list that lacks every second object.
async fn torn(answer: Response<Body>) -> Result<Response<AnyBody>, BoxError> {
    let (head, body) = answer.into_parts();
    let mut list: Value = serde_json::from_slice(&body.collect().await?.to_bytes())?;
    let mut keep = false;
    if let Some(items) = list["items"].as_array_mut() {
        items.retain(|_| {
            keep = !keep;
            keep
        });
    }
    let mut answer = Response::new(full(&list));
    answer.headers_mut().extend(
        head.headers
            .get("content-type")
            .cloned()
            .map(|kind| (http::header::CONTENT_TYPE, kind)),
    );
    Ok(answer)
}
