//! What a forecast rests on: plain data, taken by the caller at one moment.

use std::time::Duration;

use neo4j_operator_shared::{Kind, Strategy, cache::Form};

use crate::cache::counts::{Observed, Op};

/// Everything.
#[derive(Clone, Debug, Default)]
pub(in crate::cache) struct Input {
    /// The strategy of kinds without one of their own.
    pub current: Strategy,
    /// Every kind that is read, custom resources too.
    pub kinds: Vec<KindInput>,
    /// The process.
    pub process: ProcessInput,
}

/// One kind.
#[derive(Clone, Debug)]
pub(in crate::cache) struct KindInput {
    /// The kind.
    pub kind: Kind,
    /// Its strategy, which may be `adaptive`.
    pub strategy: Strategy,
    /// What it runs: one of the four.
    pub running: Strategy,
    /// Whether the strategy was set for this kind by hand.
    pub pinned: bool,
    /// What is kept of each object now.
    pub form: Form,
    /// Whether no strategy keeps more than metadata (Secrets).
    pub metadata_only: bool,
    /// What is kept where no more is kept than reads need: a projection, or metadata where that is enough.
    pub projected: Form,
    /// Objects that the selector selects.
    pub selected: u64,
    /// Objects in scope, if somebody looked.
    pub total: Option<u64>,
    /// Mean bytes of an object on the wire, if somebody looked.
    pub wire: Option<f64>,
    /// Measured bytes per object, of those forms of which any are or were kept.
    pub bytes: PerForm,
    /// Seconds per object of the last list of many objects that filled a store of a form.
    pub pace: PerForm,
    /// Bytes of decoded objects beside the full ones.
    pub decoded: u64,
    /// Reads.
    pub observed: Observed,
    /// Complete lists since the first one of each watch.
    pub relists: u64,
    /// Over so much time.
    pub since: Duration,
    /// Bytes that it may take.
    pub budget: Option<f64>,
    /// Watches: one, or one per namespace of the scope.
    pub watches: u64,
}

/// A quantity per object, of those forms for which it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::cache) struct PerForm {
    /// Of a key entry: what the triggers need.
    pub key: Option<f64>,
    /// Of what a read needs: the projection, or of Secrets the metadata.
    pub projection: Option<f64>,
    /// Of the whole object, compressed.
    pub full: Option<f64>,
}

/// The process.
#[derive(Clone, Debug, Default)]
pub(in crate::cache) struct ProcessInput {
    /// Resident bytes.
    pub rss: Option<f64>,
    /// Bytes of all stores.
    pub cache_bytes: f64,
    /// Requests per second to the API server, over the time of the observed reads.
    pub api_rate: Option<f64>,
    /// Of those the ones that no strategy changes: writes, leases, watches, polls, guard reads and Secret data.
    /// Without it what is left of `api_rate` after the reads and lists is taken.
    pub other_rate: Option<f64>,
    /// Recent reconciles.
    pub reconciles: Vec<Recorded>,
    /// Objects per page of a list.
    pub page: u64,
    /// Seconds for one page of a list.
    pub list_rtt: Option<f64>,
    /// Kinds that are filled at a time.
    pub workers: u64,
    /// Bytes that all stores may take.
    pub budget: Option<f64>,
    /// Mean error of past forecasts, 0..; `None` if there is none to compare.
    pub past_error: Option<f64>,
    /// Reads of a kind below which `adaptive` leaves it as it is.
    pub needed: u64,
}

/// A reconcile that ran.
#[derive(Clone, Debug, Default)]
pub(in crate::cache) struct Recorded {
    /// How long it took.
    pub seconds: f64,
    /// What it read, each kind and operation once.
    pub reads: Vec<ReadsOf>,
}

/// The cacheable reads of one reconcile.
#[derive(Clone, Copy, Debug)]
pub(in crate::cache) struct ReadsOf {
    /// Of this kind.
    pub kind: Kind,
    /// One or many objects.
    pub op: Op,
    /// Answered by the store.
    pub cached: u32,
    /// Answered by the server.
    pub live: u32,
}

impl PerForm {
    /// Of a kind of which no more than metadata is kept, a store of all is one of metadata too.
    #[must_use]
    pub fn metadata_only(self) -> Self {
        Self {
            projection: self.projection.or(self.full),
            ..self
        }
    }
}

impl KindInput {
    /// A kind of which nothing is known yet.
    pub fn new(kind: Kind, running: Strategy) -> Self {
        Self {
            kind,
            strategy: running,
            running,
            pinned: false,
            form: Form::None,
            metadata_only: kind == Kind::Secret,
            projected: if kind == Kind::Secret {
                Form::Metadata
            } else {
                Form::Projection
            },
            selected: 0,
            total: None,
            wire: None,
            bytes: PerForm::default(),
            pace: PerForm::default(),
            decoded: 0,
            observed: Observed::default(),
            relists: 0,
            since: Duration::ZERO,
            budget: None,
            watches: 1,
        }
    }

    /// Custom resources are kept under every strategy.
    pub fn primary(&self) -> bool {
        Kind::PRIMARY.contains(&self.kind)
    }
}
