use neo4j_operator_shared::{
    Strategy, Timestamp,
    switch::{By, Estimate, OperationState},
};

use super::*;

fn estimate(value: f64) -> Estimate {
    Estimate { value, margin: 0.0 }
}

fn operation(id: &str) -> Operation {
    Operation {
        id: id.to_owned(),
        by: By::User,
        from: Strategy::None,
        to: Strategy::Selective,
        kinds: None,
        state: OperationState::Preparing,
        started: Timestamp::UNIX_EPOCH,
        seconds: 0.0,
        progress: Vec::new(),
        rollback_at: None,
        reason: None,
        forecast: Some(Forecast {
            strategy: Strategy::Selective,
            hit_rate: Some(estimate(0.9)),
            cache_bytes: estimate(1_100_000.0),
            memory: estimate(30e6),
            peak_bytes: 0,
            api_rate: estimate(1.2),
            p99: None,
            warmup: estimate(0.5),
            warmup_requests: 3,
            confidence: 0.9,
            broken: Vec::new(),
            verdict: String::new(),
            kinds: Vec::new(),
        }),
    }
}

/// As over the last five minutes; rates of hits and of requests are taken from the counts.
fn measured() -> Measured {
    Measured {
        hit_rate: Some(0.5),
        cache_bytes: Some(1_000_000.0),
        api_rate: Some(100.0),
        p99: Some(0.1),
        ..Measured::default()
    }
}

/// Of the reads nineteen of twenty were hits.
fn counted(reads: u64, requests: u64) -> Counted {
    Counted {
        hits: reads / 20 * 19,
        reads,
        requests,
    }
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn of(errors: &[QuantityError], quantity: Quantity) -> Option<f64> {
    errors
        .iter()
        .find(|error| error.quantity == quantity)
        .map(|error| error.error)
}

#[test]
fn what_came_is_compared_after_five_and_after_fifteen_minutes() {
    let (mut record, begun) = (Record::default(), Instant::now());
    record.begin(operation("a"), Measured::default());
    assert!(!record.due(begun + seconds(5000)), "before the swap nothing is due");
    record.swapped("a", 0.4, counted(1000, 5000), begun);
    assert!(!record.due(begun + seconds(299)) && record.due(begun + seconds(300)));
    let (id, first) = record
        .observe(&measured(), counted(1200, 5301), begun + seconds(301))
        .unwrap();
    assert_eq!(
        (first.measured.hit_rate, first.measured.api_rate),
        (Some(0.95), Some(1.0)),
        "of the time since the swap, whatever was before"
    );
    assert_eq!((id.as_str(), first.after, first.reads), ("a", Span(seconds(300)), 200));
    assert!(
        (of(&first.errors, Quantity::HitRate).unwrap() - 0.05).abs() < 1e-9,
        "the difference"
    );
    assert!((of(&first.errors, Quantity::Memory).unwrap() - 0.1).abs() < 1e-9);
    assert!((of(&first.errors, Quantity::ApiRate).unwrap() - 0.2).abs() < 1e-9);
    assert!((of(&first.errors, Quantity::Warmup).unwrap() - 0.25).abs() < 1e-9);
    assert_eq!(of(&first.errors, Quantity::P99), None, "none was forecast");
    assert_eq!(
        record.observe(&measured(), counted(1300, 5302), begun + seconds(302)),
        None
    );
    let (_, second) = record
        .observe(&measured(), counted(5000, 5000 + 1080), begun + seconds(900))
        .unwrap();
    assert_eq!(second.after, Span(seconds(900)));
    assert!(!record.due(begun + seconds(90_000)));
    assert_eq!(record.records()[0].outcomes.len(), 2);
    assert!(
        of(&record.errors(), Quantity::ApiRate).unwrap() < 1e-9,
        "the last outcome of a change counts"
    );
    assert!((record.mean_error().unwrap() - 0.05).abs() < 1e-9);
}

#[test]
fn few_reads_say_nothing() {
    let (mut record, begun) = (Record::default(), Instant::now());
    record.begin(operation("a"), Measured::default());
    record.swapped("a", 0.4, counted(1000, 0), begun);
    let (_, outcome) = record
        .observe(&measured(), counted(1100, 0), begun + seconds(300))
        .unwrap();
    assert_eq!((outcome.reads, outcome.errors.len()), (100, 0));
    assert_eq!((record.errors().len(), record.mean_error()), (0, None));
}

#[test]
fn a_change_in_between_ends_the_comparison() {
    let (mut record, begun) = (Record::default(), Instant::now());
    record.begin(operation("a"), Measured::default());
    record.swapped("a", 0.4, Counted::default(), begun);
    record.begin(operation("b"), Measured::default());
    assert!(
        record.due(begun + seconds(300)),
        "one that is only prepared changes nothing"
    );
    record.swapped("b", 0.4, counted(500, 0), begun + seconds(200));
    assert!(!record.due(begun + seconds(499)));
    let (id, _) = record
        .observe(&measured(), counted(900, 0), begun + seconds(500))
        .unwrap();
    assert_eq!(id, "b");
    assert!(record.records()[1].outcomes.is_empty());
}

#[test]
fn the_latest_due_outcome_is_taken_after_a_pause() {
    let (mut record, begun) = (Record::default(), Instant::now());
    record.begin(operation("a"), Measured::default());
    record.swapped("a", 0.4, Counted::default(), begun);
    let (_, outcome) = record
        .observe(&measured(), counted(900, 0), begun + seconds(2000))
        .unwrap();
    assert_eq!(outcome.after, Span(seconds(900)));
    assert!(!record.due(begun + seconds(4000)));
}

#[test]
fn the_ring_keeps_the_newest_and_shows_how_each_stands() {
    let mut record = Record::default();
    for number in 0..300 {
        record.begin(operation(&number.to_string()), Measured::default());
    }
    let done = Operation {
        state: OperationState::Done,
        ..operation("299")
    };
    record.update(&done);
    let records = record.records();
    assert_eq!((records.len(), records[0].operation.id.as_str()), (KEPT, "299"));
    assert_eq!(records[0].operation.state, OperationState::Done);
    assert_eq!(records[KEPT - 1].operation.id, "44");
}

#[test]
fn next_to_nothing_is_no_divisor() {
    let forecast = operation("a").forecast.unwrap();
    let idle = Measured {
        api_rate: Some(0.0),
        cache_bytes: Some(0.0),
        ..Measured::default()
    };
    let errors = errors(&forecast, &idle);
    assert!(errors.iter().all(|error| error.error.is_finite()));
    assert!((of(&errors, Quantity::ApiRate).unwrap() - 12.0).abs() < 1e-9);
}

#[test]
fn the_settings_say_when_what_came_is_compared() {
    let (mut record, begun) = (Record::after(seconds(3)), Instant::now());
    record.begin(operation("a"), Measured::default());
    record.swapped("a", 0.4, Counted::default(), begun);
    assert!(!record.due(begun + seconds(2)) && record.due(begun + seconds(3)));
    let (_, first) = record
        .observe(&measured(), counted(200, 0), begun + seconds(3))
        .unwrap();
    assert!(!record.due(begun + seconds(8)) && record.due(begun + seconds(9)));
    let (_, second) = record
        .observe(&measured(), counted(200, 0), begun + seconds(9))
        .unwrap();
    assert_eq!((first.after, second.after), (Span(seconds(3)), Span(seconds(9))));
}

#[test]
fn percentiles_of_the_time_before_a_change_are_not_compared() {
    let mut record = Record::after(seconds(100));
    let begun = Instant::now();
    let mut forecast = operation("a");
    forecast.forecast.as_mut().unwrap().p99 = Some(estimate(0.2));
    record.begin(forecast, Measured::default());
    record.swapped("a", 0.4, Counted::default(), begun);
    let mut outcome = |at| {
        record
            .observe(&measured(), counted(200, 100), begun + seconds(at))
            .unwrap()
            .1
    };
    let (early, late) = (outcome(299), outcome(300));
    assert_eq!((early.measured.p99, of(&early.errors, Quantity::P99)), (None, None));
    assert_eq!(late.measured.p99, Some(0.1), "five minutes later they are of what is");
    assert!((of(&late.errors, Quantity::P99).unwrap() - 1.0).abs() < 1e-9);
}
