//! The flight recorder: the last reconciles, and besides them the last errors and the slowest of the hour,
//! which a flood of uneventful ones must not push out.
//!
//! Records hold paths, names and counts, no bodies and no secrets. Memory is bounded by count and by bytes.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use neo4j_operator_shared::{
    Kind,
    reconciles::{Outcome, Reconcile, ReconcileList},
};
use tokio::time::Instant;

/// Records in the ring.
pub const MAX_RECORDS: usize = 4096;
/// Bytes of the ring, estimated.
pub const MAX_BYTES: usize = 8 << 20;
const MAX_ERRORS: usize = 256;
const MAX_SLOWEST: usize = 64;
const SLOWEST_AGE: Duration = Duration::from_secs(3600);
/// Records in one answer where the caller asks for no number.
pub const DEFAULT_LIMIT: usize = 100;

/// Keeps records of reconciles.
#[derive(Default)]
pub struct Recorder(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    total: u64,
    bytes: usize,
    ring: VecDeque<Arc<Reconcile>>,
    errors: VecDeque<Arc<Reconcile>>,
    slowest: Vec<(Instant, Arc<Reconcile>)>,
}

/// Which records to hand out.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Of this kind.
    pub kind: Option<Kind>,
    /// In this namespace.
    pub namespace: Option<String>,
    /// With this name.
    pub name: Option<String>,
    /// That ended so.
    pub outcome: Option<Outcome>,
    /// The slowest of the last hour, slowest first, instead of the newest.
    pub slowest: bool,
    /// At most so many.
    pub limit: Option<usize>,
}

impl Recorder {
    /// Takes the record of a reconcile that ended now.
    pub fn record(&self, record: Arc<Reconcile>) {
        let now = Instant::now();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.total += 1;
        kept.bytes += weight(&record);
        if record.error.is_some() {
            kept.errors.push_back(Arc::clone(&record));
            if kept.errors.len() > MAX_ERRORS {
                kept.errors.pop_front();
            }
        }
        kept.slowest
            .retain(|(at, _)| now.saturating_duration_since(*at) < SLOWEST_AGE);
        let place = kept
            .slowest
            .partition_point(|(_, other)| other.seconds >= record.seconds);
        if place < MAX_SLOWEST {
            kept.slowest.insert(place, (now, Arc::clone(&record)));
            kept.slowest.truncate(MAX_SLOWEST);
        }
        kept.ring.push_back(record);
        while kept.ring.len() > MAX_RECORDS || kept.bytes > MAX_BYTES {
            let Some(oldest) = kept.ring.pop_front() else { break };
            kept.bytes -= weight(&oldest);
        }
    }

    /// Records that fit the query, newest first.
    pub fn list(&self, query: &Query) -> ReconcileList {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = query.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_RECORDS);
        let fits = |record: &&Arc<Reconcile>| query.fits(record);
        let items = if query.slowest {
            let slowest = kept.slowest.iter().map(|(_, record)| record);
            slowest
                .filter(fits)
                .take(limit)
                .map(|record| (**record).clone())
                .collect()
        } else {
            let older_errors = kept.errors.iter().rev().filter(|error| {
                kept.ring
                    .front()
                    .is_some_and(|oldest| (error.started_at, &error.id) < (oldest.started_at, &oldest.id))
            });
            let newest = kept.ring.iter().rev().chain(older_errors);
            newest
                .filter(fits)
                .take(limit)
                .map(|record| (**record).clone())
                .collect()
        };
        ReconcileList {
            items,
            kept: kept.ring.len() as u64,
            total: kept.total,
        }
    }

    /// Bytes of the ring, estimated.
    pub fn bytes(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).bytes as u64
    }

    /// One record, if it is still kept.
    pub fn get(&self, id: &str) -> Option<Arc<Reconcile>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let slowest = kept.slowest.iter().map(|(_, record)| record);
        let mut all = kept.ring.iter().rev().chain(&kept.errors).chain(slowest);
        all.find(|record| record.id == id).map(Arc::clone)
    }
}

impl Query {
    fn fits(&self, record: &Reconcile) -> bool {
        self.kind.is_none_or(|kind| kind == record.kind)
            && self.namespace.as_ref().is_none_or(|wanted| *wanted == record.namespace)
            && self.name.as_ref().is_none_or(|wanted| *wanted == record.name)
            && self.outcome.is_none_or(|outcome| outcome == record.outcome)
    }
}

/// Bytes of a record, roughly: what it owns on the heap is mostly short strings.
fn weight(record: &Reconcile) -> usize {
    let actions: usize = record
        .actions
        .iter()
        .map(|action| {
            std::mem::size_of_val(action)
                + action.action.len()
                + action.target.len()
                + action.reason.len()
                + action.message.as_ref().map_or(0, String::len)
        })
        .sum();
    std::mem::size_of_val(record)
        + record.namespace.len()
        + record.name.len()
        + record.trigger.len()
        + record.error.as_ref().map_or(0, String::len)
        + record.phases.len() * 64
        + record.api_requests.len() * 96
        + record.reads.len() * 72
        + actions
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn record(id: &str, second: i64, seconds: f64, error: Option<&str>) -> Arc<Reconcile> {
        Arc::new(Reconcile {
            id: id.into(),
            kind: Kind::Neo4jDatabase,
            namespace: "n".into(),
            name: "d".into(),
            generation: None,
            trigger: "t".into(),
            started_at: Timestamp::from_second(second).unwrap(),
            queue_seconds: 0.0,
            seconds,
            phases: Vec::new(),
            api_requests: Vec::new(),
            reads: Vec::new(),
            actions: Vec::new(),
            outcome: if error.is_some() {
                Outcome::Failed
            } else {
                Outcome::Converged
            },
            error_type: None,
            error: error.map(str::to_owned),
            next_run: None,
        })
    }

    fn ids(list: &ReconcileList) -> Vec<&str> {
        list.items.iter().map(|record| record.id.as_str()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_and_the_slowest_outlive_a_flood() {
        let recorder = Recorder::default();
        recorder.record(record("bad", 0, 0.1, Some("no")));
        recorder.record(record("slow", 1, 9.0, None));
        for n in 0..MAX_RECORDS {
            recorder.record(record(&format!("r{n}"), 2 + n as i64, 0.01, None));
        }
        let failed = Query {
            outcome: Some(Outcome::Failed),
            ..Query::default()
        };
        assert_eq!(ids(&recorder.list(&failed)), ["bad"]);
        let slowest = Query {
            slowest: true,
            limit: Some(1),
            ..Query::default()
        };
        assert_eq!(ids(&recorder.list(&slowest)), ["slow"]);
        assert_eq!(recorder.get("slow").map(|record| record.seconds), Some(9.0));
        let all = recorder.list(&Query {
            limit: Some(1),
            ..Query::default()
        });
        assert_eq!((all.kept, all.total), (MAX_RECORDS as u64, MAX_RECORDS as u64 + 2));
        assert_eq!(all.items[0].id, format!("r{}", MAX_RECORDS - 1));
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_are_bounded_too() {
        let recorder = Recorder::default();
        let long = "x".repeat(1 << 20);
        for n in 0..40 {
            recorder.record(record(&n.to_string(), n, 0.0, Some(&long)));
        }
        let kept = recorder.list(&Query::default()).kept;
        assert!((1..=8).contains(&kept), "{kept}");
    }
}
