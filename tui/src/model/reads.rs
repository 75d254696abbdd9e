//! What came of reads, as differences of the daemon's counters: per kind over the last seconds, and the reasons
//! of misses within a window. Pure.

use std::collections::{BTreeMap, VecDeque};

use neo4j_operator_shared::{
    Kind,
    cache::{Cache, MissReason},
};
use tokio::time::{Duration, Instant};

use super::axis::{RANGES, Window};

/// Rates are of the samples of this time.
const RECENT: Duration = Duration::from_secs(10);
/// Time between two points of the reasons that are kept.
const POINT: Duration = Duration::from_secs(5);

/// Misses by reason, in the order of [`MissReason::ALL`].
type Reasons = [u64; MissReason::ALL.len()];

/// Reads per second of one kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Answered from the store.
    pub hits: f64,
    /// Asked of the server although a cache could have answered.
    pub misses: f64,
}

/// Misses within a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Why {
    /// By reason, most frequent first; without those that did not occur.
    pub reasons: Vec<(MissReason, u64)>,
    /// Sum.
    pub misses: u64,
    /// How much of the window was watched.
    pub watched: Duration,
}

/// Hits and misses since the daemon's start.
type Counters = BTreeMap<Kind, (u64, u64)>;

/// The counters that are kept, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    recent: VecDeque<(Instant, Counters)>,
    reasons: VecDeque<(Instant, Reasons)>,
}

impl Reads {
    /// Takes the counters of a sample. `uptime` is the daemon's: what a young one counted lies inside.
    pub fn push(&mut self, at: Instant, cache: &Cache, uptime: Duration) {
        let counters = cache.kinds.iter().map(|row| {
            let misses = row.reads.miss + row.reads.fallback;
            (row.kind, (row.reads.hit, misses))
        });
        self.recent.push_back((at, counters.collect()));
        while self
            .recent
            .front()
            .is_some_and(|(first, _)| at.saturating_duration_since(*first) > RECENT)
        {
            self.recent.pop_front();
        }
        if self.reasons.is_empty()
            && let Some(start) = at.checked_sub(uptime).filter(|_| uptime <= RANGES[RANGES.len() - 1])
        {
            self.reasons.push_back((start, Reasons::default()));
        }
        let due = |(last, _): &(Instant, Reasons)| at.saturating_duration_since(*last) >= POINT;
        if self.reasons.back().is_none_or(due) {
            self.reasons.push_back((at, reasons(cache)));
        }
        // One more than the longest window needs, so that there is something to begin from.
        while self
            .reasons
            .get(1)
            .is_some_and(|(second, _)| at.saturating_duration_since(*second) > RANGES[RANGES.len() - 1])
        {
            self.reasons.pop_front();
        }
    }

    /// Forgets everything: another process counts anew.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Reads per second of a kind over the last seconds; absent until there are two samples.
    pub fn rate(&self, kind: Kind) -> Option<Rate> {
        let ((first, before), (last, after)) = (self.recent.front()?, self.recent.back()?);
        let seconds = last.saturating_duration_since(*first).as_secs_f64();
        let ((hits, misses), (hits_now, misses_now)) = (before.get(&kind)?, after.get(&kind)?);
        let per_second = |before: u64, now: u64| now.saturating_sub(before) as f64 / seconds;
        (seconds > 0.0).then(|| Rate {
            hits: per_second(*hits, *hits_now),
            misses: per_second(*misses, *misses_now),
        })
    }

    /// Why reads missed within a window.
    pub fn why(&self, window: Window) -> Why {
        let upto = |moment: Instant| self.reasons.partition_point(|(at, _)| *at <= moment).checked_sub(1);
        let from = window.start().and_then(upto).unwrap_or(0);
        let to = upto(window.end).unwrap_or(0);
        let point = |place: usize| self.reasons.get(place).copied();
        let ((began, before), (ended, after)) = match (point(from), point(to)) {
            (Some(before), Some(after)) if from <= to => (before, after),
            _ => ((window.end, Reasons::default()), (window.end, Reasons::default())),
        };
        let counted = MissReason::ALL.into_iter().zip(before.iter().zip(after));
        let mut reasons: Vec<_> = counted
            .map(|(reason, (before, after))| (reason, after.saturating_sub(*before)))
            .filter(|(_, misses)| *misses > 0)
            .collect();
        reasons.sort_by_key(|(_, misses)| std::cmp::Reverse(*misses));
        Why {
            misses: reasons.iter().map(|(_, misses)| misses).sum(),
            reasons,
            watched: ended.saturating_duration_since(began).min(window.range),
        }
    }
}

fn reasons(cache: &Cache) -> Reasons {
    MissReason::ALL.map(|reason| cache.kinds.iter().filter_map(|row| row.misses.get(&reason)).sum())
}

#[cfg(test)]
mod tests {
    use neo4j_operator_shared::golden;

    use super::*;

    fn cache(hit: u64, cold: u64, stale: u64) -> Cache {
        let mut cache: Cache = serde_json::from_str(golden::CACHE).unwrap();
        cache.kinds.truncate(1);
        let row = &mut cache.kinds[0];
        (row.kind, row.reads.hit, row.reads.miss, row.reads.fallback) = (Kind::Pod, hit, cold, stale);
        row.misses = [(MissReason::Cold, cold), (MissReason::Stale, stale)].into();
        cache
    }

    #[tokio::test(start_paused = true)]
    async fn rates_are_of_the_last_seconds_and_reasons_of_the_window() {
        let (start, second) = (Instant::now() + Duration::from_secs(7_200), Duration::from_secs(1));
        let mut reads = Reads::default();
        let old = Duration::from_secs(90_000);
        for n in 0..=1_200_u32 {
            let cold = if n < 60 { 100 + u64::from(n) } else { 160 };
            reads.push(
                start + n * second,
                &cache(u64::from(n) * 4, cold, u64::from(n / 100)),
                old,
            );
        }
        let now = start + 1_200 * second;
        assert!((reads.rate(Kind::Pod).unwrap().hits - 4.0).abs() < 1e-9);
        assert_eq!(reads.rate(Kind::Secret), None);
        let window = |end, range| Window { end, range };
        let recent = reads.why(window(now, 300 * second));
        assert_eq!((recent.reasons, recent.misses), (vec![(MissReason::Stale, 3)], 3));
        let all = reads.why(window(now, 3_600 * second));
        assert_eq!(
            all.reasons[0],
            (MissReason::Cold, 60),
            "what was before we looked does not count"
        );
        assert_eq!(all.watched, 1_200 * second);
        let past = reads.why(window(start + 60 * second, 60 * second));
        assert_eq!(past.reasons, [(MissReason::Cold, 60)]);
    }

    #[tokio::test(start_paused = true)]
    async fn all_that_a_young_daemon_counted_lies_inside_and_a_restart_counts_anew() {
        let now = Instant::now() + Duration::from_secs(7_200);
        let mut reads = Reads::default();
        reads.push(now, &cache(4, 40, 2), Duration::from_secs(30));
        let window = Window {
            end: now,
            range: Duration::from_secs(900),
        };
        let why = reads.why(window);
        assert_eq!((why.misses, why.watched), (42, Duration::from_secs(30)));
        reads.clear();
        assert_eq!(reads.why(window).misses, 0);
    }
}
