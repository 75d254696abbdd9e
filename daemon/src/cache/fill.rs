//! Filling a store beside the one that is read: the first half of every change, asked for or not.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    CacheObserver,
    backing::{Keep, synced},
    source::{AnySource, Leftovers},
};

/// How often a watch in trouble is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Why a store did not get ready. It is dropped, and what was read is read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotReady {
    /// It will not get ready by itself.
    #[error("{0}")]
    Hopeless(String),
    /// It was not complete in time.
    #[error("no complete list within {} s{}", .0.as_secs(), .1.as_deref().map(|trouble| format!(": {trouble}")).unwrap_or_default())]
    Timeout(Duration, Option<String>),
    /// Nobody wants it any more.
    #[error("cancelled")]
    Cancelled,
}

/// Fills a store and waits until it has a complete list. A kind that cannot be listed now either loses nothing
/// by the change: of such a kind the answer is `false`, and the new store may be taken as it is.
pub(super) async fn fill(
    source: &Arc<dyn AnySource>,
    keep: Keep,
    allowed: Duration,
    cancel: &CancellationToken,
) -> Result<bool, NotReady> {
    source.prepare(keep);
    let deadline = Instant::now() + allowed;
    loop {
        let Some((feeds, _)) = source.prepared() else {
            return Err(NotReady::Cancelled);
        };
        tokio::select! {
            ready = tokio::time::timeout(LOOK, synced(&feeds)) => {
                if ready.is_ok() {
                    return Ok(true);
                }
            }
            () = cancel.cancelled() => return Err(NotReady::Cancelled),
        }
        let hopeless = feeds.iter().find_map(|feed| feed.hopeless());
        let late = Instant::now() >= deadline;
        if (hopeless.is_some() || late) && !source.is_synced() {
            return Ok(false);
        }
        if let Some(trouble) = hopeless {
            return Err(NotReady::Hopeless(trouble));
        }
        if late {
            let trouble = feeds.iter().find_map(|feed| feed.trouble());
            return Err(NotReady::Timeout(allowed, trouble));
        }
    }
}

/// Frees what changes left, on a thread that has nothing else to do, and says when it is done.
pub(super) fn free(leftovers: Vec<Leftovers>, observer: &Arc<dyn CacheObserver>) {
    let observer = Arc::clone(observer);
    tokio::task::spawn_blocking(move || {
        drop(leftovers);
        observer.freed();
    });
}
