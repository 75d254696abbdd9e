//! Events are kept for an hour after they were last told: else a cluster that runs for days fills up with its own past.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use jiff::Timestamp;
use serde_json::Value;

use super::super::store::Store;

/// How long an Event lives.
const LIFETIME_SECONDS: i64 = 3_600;
/// Expired events are looked for this often, when new ones come.
const SWEEP_SECONDS: i64 = 60;

/// When the last sweep was.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    last_sweep: AtomicI64,
}

impl Expiry {
    /// Called when an Event comes; removes those that are too old, at most once a minute.
    pub(super) fn sweep(&self, store: &Store, now: Timestamp) {
        let (now, last) = (now.as_second(), self.last_sweep.load(Ordering::Relaxed));
        if now - last < SWEEP_SECONDS {
            return;
        }
        self.last_sweep.store(now, Ordering::Relaxed);
        let id: Arc<str> = "events".into();
        for event in &store.list(&id, None).objects {
            if now - last_told(&event.value).unwrap_or(now) > LIFETIME_SECONDS && store.delete(event).is_err() {
                tracing::debug!(name = event.key.name, "an old event was told again");
            }
        }
    }
}

/// The newest of the times that an Event carries.
fn last_told(event: &Value) -> Option<i64> {
    [
        "/metadata/creationTimestamp",
        "/eventTime",
        "/firstTimestamp",
        "/lastTimestamp",
        "/series/lastObservedTime",
    ]
    .into_iter()
    .filter_map(|pointer| event.pointer(pointer)?.as_str()?.parse::<Timestamp>().ok())
    .map(Timestamp::as_second)
    .max()
}
