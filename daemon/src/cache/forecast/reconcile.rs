//! How long reconciles would take: recorded ones, with the time of each read replaced by the median of the
//! source that would answer it (PR6).

use neo4j_operator_shared::Kind;

use super::{Input, input::Recorded, kind::Part};
use crate::cache::counts::{Latency, Op};

/// Seconds of a read from a store, and from the server, as long as none was measured.
const CACHED: f64 = 20e-6;
const LIVE: f64 = 5e-3;

/// Median seconds of the reads of a kind by source; those of all kinds where it has none.
struct Times {
    cached: f64,
    get: f64,
    list: f64,
}

fn median(input: &Input, kind: Kind, of: impl Fn(&crate::cache::counts::Observed) -> Latency) -> Option<f64> {
    let own = input
        .kinds
        .iter()
        .filter(|other| other.kind == kind)
        .map(|own| of(&own.observed));
    if let Some(own) = own
        .filter(|latency| latency.count >= 5)
        .map(|latency| latency.median)
        .next()
    {
        return Some(own);
    }
    let all: Vec<Latency> = input.kinds.iter().map(|other| of(&other.observed)).collect();
    let count: u64 = all.iter().map(|latency| latency.count).sum();
    let sum: f64 = all.iter().map(|latency| latency.median * latency.count as f64).sum();
    (count > 0).then(|| sum / count as f64)
}

fn times(input: &Input, kind: Kind) -> Times {
    let rtt = input.process.list_rtt;
    let get = median(input, kind, |observed| observed.live_get)
        .or(rtt)
        .unwrap_or(LIVE);
    Times {
        cached: median(input, kind, |observed| observed.cached).unwrap_or(CACHED),
        get,
        list: median(input, kind, |observed| observed.live_list)
            .or(rtt)
            .unwrap_or(get),
    }
}

/// The 99th percentile of reconciles if these parts were in force, seconds; `None` if none was recorded. A kind
/// whose strategy stays has the reads that it had.
pub(super) fn p99<'a>(
    input: &Input,
    part: impl Fn(Kind) -> Option<&'a Part>,
    same: impl Fn(Kind) -> bool,
) -> Option<f64> {
    let times: Vec<(Kind, Times)> = input
        .kinds
        .iter()
        .map(|kind| (kind.kind, times(input, kind.kind)))
        .collect();
    let run = |recorded: &Recorded| {
        let change: f64 = recorded
            .reads
            .iter()
            .filter(|reads| !same(reads.kind))
            .filter_map(|reads| {
                let (_, times) = times.iter().find(|(kind, _)| *kind == reads.kind)?;
                let live = match reads.op {
                    Op::Get => times.get,
                    Op::List => times.list,
                };
                let count = f64::from(reads.cached + reads.live);
                let missed = count * (1.0 - part(reads.kind)?.hits(reads.op));
                Some((missed - f64::from(reads.live)) * (live - times.cached))
            })
            .sum();
        (recorded.seconds + change).max(0.0)
    };
    let mut seconds: Vec<f64> = input.process.reconciles.iter().map(run).collect();
    seconds.sort_by(f64::total_cmp);
    let place = (seconds.len() as f64 * 0.99).ceil() as usize;
    seconds.get(place.saturating_sub(1)).copied()
}
