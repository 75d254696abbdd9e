//! What the reconciler remembers of each cluster between two passes: enough to leave an unchanged one alone, to
//! notice the edits of others, and not to read a credential again that did not change. Losing it costs reads, and the
//! edits that others made meanwhile are only noticed where they touched what is compared with what was applied.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use neo4j_operator_shared::Kind;
use tokio::time::Instant;

use super::render::Credential;
use crate::reconcile::Key;

/// What is remembered of one cluster.
#[derive(Clone, Debug, Default)]
pub struct Memo {
    /// Uid of the resource.
    pub uid: String,
    /// The pass that left nothing to do.
    pub converged: Option<Converged>,
    /// Marks of the objects as we last left or saw them.
    pub marks: BTreeMap<(Kind, String), String>,
    /// The last good credential and the version of its Secret.
    pub credential: Option<(String, Credential)>,
}

/// A pass that left nothing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converged {
    /// What it looked at: resource and children.
    pub fingerprint: String,
    /// When it looked.
    pub at: Instant,
}

/// The memos of all clusters.
#[derive(Debug, Default)]
pub struct Memos(Mutex<HashMap<Key, Memo>>);

impl Memos {
    /// The memo of a key; that of a resource that was created anew is empty.
    pub fn get(&self, key: &Key, uid: &str) -> Memo {
        let memos = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memos
            .get(key)
            .filter(|memo| memo.uid == uid)
            .cloned()
            .unwrap_or_else(|| Memo {
                uid: uid.to_owned(),
                ..Memo::default()
            })
    }

    /// Replaces the memo of a key.
    pub fn put(&self, key: &Key, memo: Memo) {
        let mut memos = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memos.insert(key.clone(), memo);
    }

    /// Forgets a key; the answer is the uid that it had.
    pub fn forget(&self, key: &Key) -> Option<String> {
        let mut memos = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memos.remove(key).map(|memo| memo.uid)
    }
}

impl Memo {
    /// How long the cluster can still be left alone, if nothing that was looked at changed.
    pub fn rests(&self, fingerprint: &str, drift_check: Duration, now: Instant) -> Option<Duration> {
        let converged = self.converged.as_ref()?;
        let elapsed = now.saturating_duration_since(converged.at);
        if converged.fingerprint != fingerprint {
            return None;
        }
        drift_check.checked_sub(elapsed).filter(|rest| !rest.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_unchanged_cluster_rests_until_the_drift_check() {
        let drift_check = Duration::from_secs(300);
        let memo = Memo {
            converged: Some(Converged {
                fingerprint: "a".into(),
                at: Instant::now(),
            }),
            ..Memo::default()
        };
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!(
            memo.rests("a", drift_check, Instant::now()),
            Some(Duration::from_secs(200))
        );
        assert_eq!(memo.rests("b", drift_check, Instant::now()), None);
        tokio::time::advance(Duration::from_secs(200)).await;
        assert_eq!(memo.rests("a", drift_check, Instant::now()), None);
    }
}
