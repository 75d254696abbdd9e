//! Where faults enter: a plan implements [`Hooks`] and decides at each numbered point whether the server goes on, answers with an error,
//! or loses the connection; waiting inside a hook is delay.
//!
//! Points are numbered from 0 in the order in which the server reaches them, so that a plan replays. With [`NoFaults`] the server is
//! well; nothing in the server knows more about faults than this trait.

use futures::future::{BoxFuture, FutureExt as _, ready};

use super::status::Failure;

/// What happens at a point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Proceed,
    /// The client gets this failure instead.
    Fail(Failure),
    /// The connection breaks.
    Disconnect,
}

/// What happens to a watch event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It is sent.
    Deliver,
    /// It is left out: the watcher never sees it.
    Skip,
    /// The stream ends before it.
    Close,
}

/// What a point is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point<'a> {
    /// Number of this point among those of its kind.
    pub n: u64,
    /// `create`, `update`, `patch`, `delete`, `get`, `list`, …
    pub verb: &'a str,
    /// API group, empty for the core group.
    pub group: &'a str,
    /// Plural name.
    pub resource: &'a str,
    /// Empty for cluster-scoped objects and for lists over all namespaces.
    pub namespace: &'a str,
    /// Empty where there is none.
    pub name: &'a str,
    /// The field manager or user agent of the request.
    pub manager: &'a str,
}

/// A plan of faults. Every method has the healthy answer as its default.
pub trait Hooks: Send + Sync + 'static {
    /// Before a write is committed: `Fail` and `Disconnect` leave the store as it was.
    fn before_commit<'a>(&'a self, point: Point<'a>) -> BoxFuture<'a, Verdict> {
        let _ = point;
        ready(Verdict::Proceed).boxed()
    }

    /// After the commit and before the reply: the write stands, whatever the client hears.
    fn after_commit_before_reply<'a>(&'a self, point: Point<'a>) -> BoxFuture<'a, Verdict> {
        let _ = point;
        ready(Verdict::Proceed).boxed()
    }

    /// Before a read (get, list, start of a watch) is served.
    fn serve_read<'a>(&'a self, point: Point<'a>) -> BoxFuture<'a, Verdict> {
        let _ = point;
        ready(Verdict::Proceed).boxed()
    }

    /// Before an event goes to a watcher (numbered by their start).
    fn deliver_event(&self, watcher: u64, resource_version: u64) -> BoxFuture<'_, Delivery> {
        let _ = (watcher, resource_version);
        ready(Delivery::Deliver).boxed()
    }
}

/// No faults at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFaults;

impl Hooks for NoFaults {}
