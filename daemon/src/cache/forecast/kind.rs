//! What a strategy would do with one kind.

use neo4j_operator_shared::{
    Strategy,
    cache::{Form, MissReason as Miss},
};

use super::{
    Input,
    input::KindInput,
    pace,
    sizes::{self, Kept},
};
use crate::cache::{
    counts::{Ended, Op},
    policy::IDLE,
};

/// Decoded objects that are kept beside the full ones of a kind, bytes.
const DECODED: f64 = 4.0 * 1024.0 * 1024.0;

/// The part of one kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::cache) struct Part {
    /// What would be kept of each object.
    pub kept: Kept,
    /// Whether objects that the selector does not select would be kept too.
    pub whole: bool,
    /// `kept`, as the control API says it.
    pub form: Form,
    /// Objects that would be kept.
    pub objects: f64,
    /// Bytes of them, the decoded ones included.
    pub bytes: f64,
    /// ± so many bytes.
    pub bytes_off: f64,
    /// How well the bytes are known, 0..1.
    pub known: f64,
    /// Cacheable reads that were seen.
    pub reads: f64,
    /// Share of the reads of one object, and of lists, that the store would answer.
    pub get_hits: f64,
    /// The same of lists.
    pub list_hits: f64,
    /// Requests per second of reads that the store could not answer.
    pub api_rate: f64,
    /// Requests per second of lists that fill the store again.
    pub list_rate: f64,
    /// Pages and bytes on the wire of one complete list.
    pub pages: f64,
    /// Bytes on the wire of one complete list.
    pub wire: f64,
    /// Seconds that such a list takes.
    pub seconds: f64,
    /// Whether these rest on what was measured.
    pub timed: bool,
}

impl Part {
    /// Hits ÷ cacheable reads.
    pub fn hit_rate(&self, kind: &KindInput) -> Option<f64> {
        let (gets, lists) = (kind.observed.gets.reads() as f64, kind.observed.lists.reads() as f64);
        (gets + lists > 0.0).then(|| (gets * self.get_hits + lists * self.list_hits) / (gets + lists))
    }

    /// Share of an operation that the store would answer.
    pub fn hits(&self, op: Op) -> f64 {
        match op {
            Op::Get => self.get_hits,
            Op::List => self.list_hits,
        }
    }
}

/// What a strategy keeps of a kind while the kind is read.
fn kept(kind: &KindInput, strategy: Strategy) -> Kept {
    match strategy {
        _ if kind.primary() => Kept::Projection,
        Strategy::None => Kept::Key,
        Strategy::Full if !kind.metadata_only => Kept::Full,
        _ => Kept::Projection,
    }
}

fn form(kind: &KindInput, kept: Kept) -> Form {
    match kept {
        Kept::Full => Form::Full,
        Kept::Projection => kind.projected,
        Kept::Key => Form::Metadata,
    }
}

/// Share of reads that the store cannot answer though it has the object: it is behind, or was not ready.
fn troubled(kind: &KindInput) -> f64 {
    let observed = &kind.observed;
    let tried =
        observed.gets.hits + observed.lists.hits + observed.missed(Miss::Stale) + observed.missed(Miss::Unsynced);
    let troubled = observed.missed(Miss::Stale) + observed.missed(Miss::Unsynced);
    // A handful of reads during the start says nothing.
    if tried < 50 {
        0.0
    } else {
        troubled as f64 / tried as f64
    }
}

/// How much of the time, and for which share of the reads, `lazy` keeps a kind raised: reads come as they
/// come, and a kind is lowered once none came for [`IDLE`].
fn raised(kind: &KindInput) -> f64 {
    let rate = kind.observed.rate(kind.observed.reads() as f64);
    let expected = rate * IDLE.as_secs_f64();
    match kind.observed.unread {
        None => 0.0,
        Some(unread) if unread >= IDLE && expected < 1.0 => 0.0,
        Some(_) => 1.0 - (-expected).exp(),
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The part of a kind under one of the four strategies.
pub(in crate::cache) fn part(input: &Input, kind: &KindInput, strategy: Strategy) -> Part {
    let kept = kept(kind, strategy);
    let whole = strategy == Strategy::Full && !kind.primary();
    let objects = match kind.total {
        Some(total) if whole => total.max(kind.selected) as f64,
        _ => kind.selected as f64,
    };
    let raised = if strategy == Strategy::Lazy && !kind.primary() {
        raised(kind)
    } else {
        1.0
    };
    let (gets, lists) = (&kind.observed.gets, &kind.observed.lists);
    let fine = 1.0 - troubled(kind);
    let answered = |ended: &Ended| {
        if strategy == Strategy::None && !kind.primary() {
            0.0
        } else if whole || kind.primary() {
            fine
        } else {
            share(ended.covered, ended.reads()) * fine * raised
        }
    };
    let (get_hits, list_hits) = (answered(gets), answered(lists));
    let misses = |ended: &Ended, hits: f64| ended.reads() as f64 * (1.0 - hits) * ended.requests_each();
    let observed = &kind.observed;

    let page = input.process.page.max(1) as f64;
    let watches = kind.watches.max(1) as f64;
    let pages = (objects / watches / page).ceil().max(1.0) * watches;
    let relists = if kind.since.is_zero() {
        0.0
    } else {
        // Lists since the first ones; each watch lists for itself.
        kind.relists as f64 / watches / kind.since.as_secs_f64()
    };
    // Each time that `lazy` raises a kind anew it lists it.
    let raises = if raised < 1.0 {
        observed.rate(observed.reads() as f64) * (1.0 - raised) * raised
    } else {
        0.0
    };

    let size = sizes::size(input, kind, kept);
    let lowered = sizes::size(input, kind, Kept::Key);
    let each = size.bytes * raised + lowered.bytes * (1.0 - raised);
    let decoded = if kept != Kept::Full {
        0.0
    } else if kind.form == Form::Full && kind.decoded > 0 {
        kind.decoded as f64
    } else {
        // What reconciles read is hardly more than what the selector selects.
        (kind.selected as f64 * sizes::size(input, kind, Kept::Projection).bytes).min(DECODED)
    };
    let lasts = pace::lasts(input, kind, kept, objects, pages);
    let kept = if raised < 0.5 { Kept::Key } else { kept };
    let uncounted = whole && kind.total.is_none();
    Part {
        kept,
        whole,
        form: form(kind, kept),
        objects,
        bytes: objects * each + decoded,
        bytes_off: objects * each * size.off + decoded * 0.5,
        known: if uncounted { size.known * 0.3 } else { size.known },
        reads: observed.reads() as f64,
        get_hits,
        list_hits,
        api_rate: observed.rate(misses(gets, get_hits) + misses(lists, list_hits)),
        list_rate: (relists + raises) * pages,
        pages,
        wire: objects * sizes::wire(kind),
        seconds: lasts.seconds,
        timed: lasts.measured,
    }
}
