use std::time::Duration;

use neo4j_operator_shared::cache::{Form, MissReason as Miss};

use super::*;
use crate::cache::counts::{Ended, Latency, Observed, Op};

/// Reads of one object, so many covered, over an hour.
pub(in crate::cache) fn observed(reads: u64, covered: u64, hits: u64) -> Observed {
    let mut gets = Ended {
        hits,
        covered,
        ..Ended::default()
    };
    gets.misses[Miss::Cold as usize] = reads - hits;
    let latency = |count, median| Latency {
        count,
        median,
        p99: median * 3.0,
    };
    Observed {
        span: Duration::from_secs(3600),
        gets,
        live_get: latency(100, 0.004),
        cached: latency(100, 10e-6),
        unread: Some(Duration::from_secs(5)),
        ..Observed::default()
    }
}

/// One kind with 100 objects of our own among 10 100.
pub(in crate::cache) fn kind(kind: Kind, running: Strategy) -> KindInput {
    KindInput {
        selected: 100,
        total: Some(10_100),
        wire: Some(8000.0),
        bytes: PerForm {
            key: Some(200.0),
            projection: Some(500.0),
            full: Some(2000.0),
        },
        observed: observed(3600, 3500, 0),
        since: Duration::from_secs(3600),
        ..KindInput::new(kind, running)
    }
}

pub(in crate::cache) fn input(kinds: Vec<KindInput>) -> Input {
    Input {
        current: Strategy::Selective,
        process: ProcessInput {
            rss: Some(30e6),
            cache_bytes: 50_000.0,
            api_rate: Some(1.4),
            other_rate: Some(0.4),
            page: 250,
            list_rtt: Some(0.01),
            workers: 2,
            needed: adaptive::READS,
            ..ProcessInput::default()
        },
        kinds,
    }
}

fn near(value: f64, wanted: f64) -> bool {
    (value - wanted).abs() <= wanted.abs() * 0.01 + 1e-9
}

#[test]
fn each_strategy_keeps_and_answers_what_it_is_for() {
    let input = input(vec![kind(Kind::Pod, Strategy::None)]);
    let of = |strategy| forecast(&input, strategy);
    let none = of(Strategy::None);
    assert!(near(none.hit_rate.unwrap().value, 0.0) && near(none.cache_bytes.value, 20_000.0));
    assert!(near(none.api_rate.value, 1.4), "{:?}", none.api_rate);
    assert_eq!((none.warmup_requests, none.kinds[0].form), (0, Form::Metadata));
    let selective = of(Strategy::Selective);
    assert!(near(selective.hit_rate.unwrap().value, 3500.0 / 3600.0));
    assert!(near(selective.cache_bytes.value, 50_000.0));
    assert!(near(selective.api_rate.value, 0.4 + 100.0 / 3600.0));
    assert_eq!(
        (selective.warmup_requests, selective.kinds[0].form),
        (1, Form::Projection)
    );
    let full = of(Strategy::Full);
    assert!(near(full.hit_rate.unwrap().value, 1.0) && near(full.api_rate.value, 0.4));
    assert!(near(full.cache_bytes.value, 10_100.0 * 2000.0 + 100.0 * 500.0));
    assert_eq!((full.warmup_requests, full.kinds[0].objects), (41, 10_100));
    assert!(
        near(full.warmup.value, 41.0 * 0.01 + 10_100.0 * 8000.0 / 100e6),
        "{:?}",
        full.warmup
    );
    assert!(full.memory.value > selective.memory.value + 20e6);
    let lazy = of(Strategy::Lazy);
    assert!(
        near(lazy.cache_bytes.value, 50_000.0),
        "a kind in use is as under selective"
    );
}

#[test]
fn lazy_keeps_keys_of_a_kind_that_nobody_reads() {
    let mut idle = kind(Kind::Job, Strategy::Selective);
    idle.observed = Observed {
        span: Duration::from_secs(3600),
        ..Observed::default()
    };
    let said = forecast(&input(vec![idle]), Strategy::Lazy);
    assert_eq!((said.kinds[0].form, said.hit_rate), (Form::Metadata, None));
    assert!(near(said.cache_bytes.value, 20_000.0));
    assert!(said.confidence < 0.5, "nothing was read");
}

#[test]
fn custom_resources_and_secrets_are_not_kept_otherwise_than_they_may_be() {
    let primary = kind(Kind::Neo4jDatabase, Strategy::Selective);
    let secret = kind(Kind::Secret, Strategy::Selective);
    let input = input(vec![primary, secret]);
    let none = forecast(&input, Strategy::None);
    assert_eq!(none.kinds[0].form, Form::Projection);
    assert!(none.kinds[0].hit_rate.is_some_and(|rate| rate > 0.99));
    let full = forecast(&input, Strategy::Full);
    assert_eq!(full.kinds[1].form, Form::Metadata);
    assert_eq!((full.kinds[0].objects, full.kinds[1].objects), (100, 10_100));
    assert!(near(full.kinds[1].bytes, 10_100.0 * 500.0));
    assert!(full.warmup_requests >= 41, "another selection is another list");
}

#[test]
fn a_kind_set_by_hand_keeps_its_strategy_unless_it_is_named() {
    let mut pinned = kind(Kind::Pod, Strategy::Full);
    pinned.pinned = true;
    let input = input(vec![pinned, kind(Kind::Service, Strategy::Selective)]);
    let said = forecast(&input, Strategy::None);
    assert_eq!((said.kinds[0].form, said.kinds[1].form), (Form::Full, Form::Metadata));
    let named = forecast_change(&input, Wanted::Strategy(Strategy::None), Some(&[Kind::Pod]));
    assert_eq!(
        (named.kinds[0].form, named.kinds[1].form),
        (Form::Metadata, Form::Projection)
    );
    let back = forecast_change(&input, Wanted::Default, Some(&[Kind::Pod]));
    assert_eq!(back.kinds[0].form, Form::Projection);
    assert_eq!(back.strategy, Strategy::Selective);
}

#[test]
fn goals_are_judged_and_the_verdict_says_so() {
    let mut busy = kind(Kind::Pod, Strategy::Selective);
    busy.observed = observed(3600 * 200, 3600 * 200, 3600 * 200);
    let mut input = input(vec![busy]);
    let none = forecast(&input, Strategy::None);
    assert_eq!(none.broken, [GoalId::HitRate, GoalId::ApiRate]);
    assert_eq!(none.verdict, "breaks hit_rate, api_rate; spares 30 kB");
    let now = forecast(&input, Strategy::Selective);
    assert!(now.broken.is_empty());
    assert_eq!(now.verdict, "meets all goals; runs now");
    input.process.budget = Some(1e6);
    let full = forecast(&input, Strategy::Full);
    assert_eq!(
        full.verdict,
        "meets all goals; over the cache's budget of 1.0 MB; takes 20.2 MB more"
    );
    input.process.budget = None;
    input.kinds[0].budget = Some(2e6);
    assert_eq!(
        forecast(&input, Strategy::Full).verdict,
        "meets all goals; pods over their budget of 2.0 MB; takes 20.2 MB more"
    );
    assert_eq!(
        forecast(&input, Strategy::Selective).verdict,
        "meets all goals; runs now"
    );
    input.kinds[0].total = None;
    let full = forecast(&input, Strategy::Full);
    assert!(
        full.confidence < 0.5 && full.verdict.contains("nobody has counted pods"),
        "{full:?}"
    );
}

#[test]
fn a_change_of_one_kind_is_judged_by_what_it_alone_changes() {
    let mut busy = kind(Kind::Pod, Strategy::Selective);
    busy.observed = observed(3600 * 200, 3600 * 200, 3600 * 200);
    let mut quiet = kind(Kind::Job, Strategy::Selective);
    quiet.observed = observed(100, 100, 100);
    let input = input(vec![busy, quiet]);
    let all = &forecasts(&input, None)[Strategy::None as usize];
    assert_eq!(all.broken, [GoalId::HitRate, GoalId::ApiRate]);
    let one = &forecasts(&input, Some(&[Kind::Job]))[Strategy::None as usize];
    assert!(
        one.broken.is_empty() && one.verdict.starts_with("meets all goals; spares"),
        "{one:?}"
    );
    assert_eq!(
        (one.kinds[0].form, one.kinds[1].form),
        (Form::Projection, Form::Metadata)
    );
    let mut pinned = input.clone();
    (
        pinned.kinds[1].strategy,
        pinned.kinds[1].running,
        pinned.kinds[1].pinned,
    ) = (Strategy::None, Strategy::None, true);
    let same = &forecasts(&pinned, Some(&[Kind::Job]))[Strategy::None as usize];
    assert_eq!(same.verdict, "meets all goals; would change nothing");
}

#[test]
fn reconciles_get_longer_by_the_reads_that_the_server_has_to_answer() {
    let mut input = input(vec![kind(Kind::Pod, Strategy::Selective)]);
    assert_eq!(forecast(&input, Strategy::None).p99, None);
    let reads = ReadsOf {
        kind: Kind::Pod,
        op: Op::Get,
        cached: 10,
        live: 0,
    };
    input.process.reconciles = vec![
        Recorded {
            seconds: 0.05,
            reads: vec![reads]
        };
        100
    ];
    let p99 = |strategy| forecast(&input, strategy).p99.unwrap().value;
    assert!(near(p99(Strategy::Selective), 0.05), "what stays is as it was");
    assert!(near(p99(Strategy::None), 0.05 + 10.0 * (0.004 - 10e-6)));
    assert!(near(p99(Strategy::Full), 0.05));
}

#[test]
fn old_stores_are_the_peak_while_new_ones_are_filled() {
    let input = input(vec![kind(Kind::Pod, Strategy::Full)]);
    let down = forecast(&input, Strategy::Selective);
    assert!(down.peak_bytes > 20_000_000, "{}", down.peak_bytes);
    let stays = forecast(&input, Strategy::Full);
    assert_eq!(stays.peak_bytes, 250 * 8000 * 3);
}

#[test]
fn too_little_seen_and_past_errors_cost_confidence() {
    let mut input = input(vec![kind(Kind::Pod, Strategy::Selective)]);
    let sure = forecast(&input, Strategy::Selective);
    assert!(sure.confidence > 0.9);
    input.process.past_error = Some(0.4);
    let unsure = forecast(&input, Strategy::Selective);
    assert!(unsure.confidence < 0.7 && unsure.api_rate.margin > sure.api_rate.margin);
    input.kinds[0].bytes = PerForm::default();
    let guess = forecast(&input, Strategy::Full);
    assert!(guess.confidence < 0.5);
    assert!(guess.cache_bytes.margin > guess.cache_bytes.value * 0.5);
}

#[test]
fn adaptive_forecasts_what_it_would_choose() {
    let mut foreign = kind(Kind::ConfigMap, Strategy::Selective);
    foreign.observed = observed(3600, 1000, 1000);
    let mut little = kind(Kind::Job, Strategy::Selective);
    little.observed = observed(20, 20, 20);
    let input = input(vec![kind(Kind::Pod, Strategy::Full), foreign, little]);
    let said = forecast(&input, Strategy::Adaptive);
    let forms: Vec<Form> = said.kinds.iter().map(|kind| kind.form).collect();
    assert_eq!(forms, [Form::Projection, Form::Full, Form::Projection]);
    assert_eq!(
        said.verdict.split("; ").nth(1),
        Some("would choose selective for pods, jobs, full for configmaps"),
        "{}",
        said.verdict
    );
    assert_eq!(forecasts(&input, None).len(), 5);
}

#[test]
fn advice_names_the_cause_and_what_it_would_take() {
    let input = input(vec![kind(Kind::Pod, Strategy::None)]);
    assert_eq!(
        advice(&input, &input.kinds[0]).as_deref(),
        Some("100 % of the misses are cold reads: warm pods, 100 objects, ≈ 0.0 s")
    );
    let mut foreign = kind(Kind::Pod, Strategy::Selective);
    foreign.observed.gets.misses = [10, 0, 0, 0, 90];
    assert_eq!(
        advice(&input, &foreign).as_deref(),
        Some("90 % of the misses are outside the selection: full would keep pods, 10100 objects, 20.2 MB")
    );
    for reason in [Miss::Unsynced, Miss::Evicted, Miss::Stale] {
        foreign.observed.gets.misses = [0; 5];
        foreign.observed.gets.misses[reason as usize] = 30;
        assert!(advice(&input, &foreign).unwrap().starts_with("100 % of the misses "));
    }
    foreign.observed.gets.hits = 1000;
    assert_eq!(advice(&input, &foreign), None, "the hit rate is as it should be");
}
