use super::*;

impl Counts {
    fn hit(&self) {
        self.read(Op::Get, Outcome::Hit, true, None);
    }

    fn miss(&self, reason: Miss) {
        self.read(Op::Get, Outcome::Miss(reason), reason != Miss::Filtered, None);
    }

    fn bypass(&self) {
        self.read(Op::Get, Outcome::Bypass, false, None);
    }
}

#[tokio::test(start_paused = true)]
async fn the_hit_rate_is_that_of_the_last_five_minutes_and_absent_without_reads() {
    let counts = Counts::default();
    assert_eq!(rate(counts.recent()), None);
    counts.miss(Miss::Cold);
    counts.bypass();
    tokio::time::advance(Duration::from_secs(200)).await;
    counts.hit();
    assert_eq!(rate(counts.recent()), Some(0.5));
    tokio::time::advance(Duration::from_secs(150)).await;
    assert_eq!(rate(counts.recent()), Some(1.0));
    tokio::time::advance(Duration::from_secs(300)).await;
    assert_eq!(rate(counts.recent()), None);
    assert_eq!(
        counts.reads(),
        Reads {
            hit: 1,
            miss: 1,
            fallback: 0,
            bypass: 1
        }
    );
}

#[test]
fn every_miss_has_one_reason_and_filtered_ones_are_the_fallbacks() {
    let counts = Counts::default();
    for miss in Miss::ALL {
        counts.miss(miss);
    }
    let reads = counts.reads();
    assert_eq!((reads.miss, reads.fallback), (4, 1));
    assert!(counts.misses().values().all(|count| *count == 1));
    assert_eq!(counts.misses().len(), Miss::ALL.len());
}

#[tokio::test(start_paused = true)]
async fn what_is_observed_tells_operations_outcomes_and_times_apart() {
    let counts = Counts::default();
    let ms = Duration::from_millis;
    for _ in 0..30 {
        counts.read(Op::Get, Outcome::Hit, true, Duration::from_micros(2));
    }
    for _ in 0..10 {
        counts.read(Op::Get, Outcome::Miss(Miss::Filtered), false, ms(4));
        counts.read(Op::List, Outcome::Miss(Miss::Cold), true, ms(40));
    }
    counts.read(Op::Get, Outcome::Bypass, true, ms(4));
    counts.more_requests(Op::List, 20);
    tokio::time::advance(Duration::from_secs(60)).await;
    for window in [RECENT, Duration::from_secs(6 * 3600)] {
        let seen = counts.observed(window);
        assert_eq!(seen.span, Duration::from_secs(60));
        assert_eq!((seen.gets.hits, seen.gets.live(), seen.gets.bypasses), (30, 10, 1));
        assert_eq!((seen.gets.covered, seen.lists.covered), (30, 10));
        assert_eq!(seen.missed(Miss::Filtered), 10);
        assert!((seen.lists.requests_each() - 3.0).abs() < 1e-9);
        assert!((seen.hit_rate().unwrap() - 0.6).abs() < 1e-9);
        assert_eq!(
            (seen.live_get.count, seen.live_list.count, seen.cached.count),
            (11, 10, 30)
        );
        assert!((0.003..0.005).contains(&seen.live_get.median), "{seen:?}");
        assert!((0.03..0.05).contains(&seen.live_list.median), "{seen:?}");
        assert!((1e-6..3e-6).contains(&seen.cached.median), "{seen:?}");
        assert_eq!(seen.unread, Some(Duration::from_secs(60)));
        assert!((seen.rate(seen.reads() as f64) - 50.0 / 60.0).abs() < 1e-9);
    }
}

#[tokio::test(start_paused = true)]
async fn six_hours_are_remembered_and_no_more() {
    let counts = Counts::default();
    counts.hit();
    for _ in 0..11 {
        tokio::time::advance(COARSE).await;
        counts.miss(Miss::Cold);
    }
    let hours = Duration::from_secs(6 * 3600);
    let seen = counts.observed(hours);
    assert_eq!(seen.reads(), 12);
    assert_eq!(seen.span, COARSE * 11);
    tokio::time::advance(COARSE).await;
    let seen = counts.observed(hours);
    assert_eq!(
        (seen.reads(), seen.gets.hits),
        (11, 0),
        "the oldest half hour is forgotten"
    );
    assert!(seen.span <= hours);
    tokio::time::advance(2 * hours).await;
    assert_eq!(counts.observed(hours).reads(), 0);
    assert_eq!(counts.unread(), Some(2 * hours + COARSE));
}

#[test]
fn a_kind_that_was_only_read_as_a_guard_counts_as_unread() {
    let counts = Counts::default();
    counts.bypass();
    assert_eq!(counts.unread(), None);
    counts.hit();
    assert!(counts.unread().is_some());
}

#[test]
fn the_counters_of_a_kind_stay_small() {
    assert!(size_of::<Counts>() < 10_000, "{}", size_of::<Counts>());
}
