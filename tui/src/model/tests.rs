use super::{fixture::*, *};

fn up(start: Instant, second: u32) -> LinkReport {
    LinkReport::Up(Arc::new(sample(start, second)))
}

fn failed(reason: &str, refused: bool, tries: u32, now: Instant) -> LinkReport {
    LinkReport::Failed {
        reason: reason.into(),
        refused,
        tries,
        next: now + Duration::from_secs(1),
    }
}

#[tokio::test(start_paused = true)]
async fn rates_come_from_two_samples_of_one_daemon() {
    let start = Instant::now();
    let mut model = Model::default();
    model.link(up(start, 0));
    assert_eq!(model.rates, Rates::default());
    model.link(up(start, 1));
    assert_eq!(
        (model.rates.adds, model.rates.done, model.rates.api),
        (Some(38.0), Some(39.0), Some(4.0))
    );
    let mut restarted = sample(start, 2);
    restarted.status.boot_id = "b2".into();
    model.link(LinkReport::Up(Arc::new(restarted)));
    assert_eq!(model.rates, Rates::default(), "no rate across a restart");
    assert_eq!(model.restarts, 1);
}

#[tokio::test(start_paused = true)]
async fn the_link_is_connecting_then_live_then_stale_or_down() {
    let now = Instant::now();
    let mut model = Model::default();
    assert!(matches!(model.link_state(now), Link::Connecting { tries: 0, .. }));
    model.link(failed("Connection refused", false, 3, now));
    assert!(matches!(model.link_state(now), Link::Connecting { tries: 3, .. }));
    model.link(up(now, 0));
    assert_eq!(model.link_state(now), Link::Live);
    assert_eq!(model.link_state(now + STALE_AFTER * 2), Link::Stale);
    model.link(failed("Connection refused", false, 1, now));
    assert!(matches!(model.link_state(now), Link::Down { .. }));
    model.link(failed("wrong token", true, 2, now));
    assert!(matches!(model.link_state(now), Link::Refused { .. }));
    model.link(up(now, 1));
    assert_eq!(model.link_state(now + Duration::from_secs(1)), Link::Live);
}

#[tokio::test(start_paused = true)]
async fn a_lost_link_breaks_the_series() {
    let start = Instant::now();
    let mut model = Model::default();
    model.link(up(start, 0));
    assert!(model.series.rss.last().is_some());
    model.link(failed("gone", false, 1, start));
    assert_eq!(model.series.rss.last(), None);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_comes_twice_is_shown_once() {
    let mut model = Model::default();
    let item = StreamItem::Event(Some("b-1".into()), Box::new(event(0, Severity::Info, "x")));
    model.stream(item.clone());
    model.stream(item);
    assert_eq!(model.events.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn hostile_text_is_cleaned_before_it_is_kept() {
    let mut model = Model::default();
    model.stream(StreamItem::Event(
        None,
        Box::new(event(0, Severity::Info, "\u{1b}]0;title\u{7}")),
    ));
    assert!(!model.events[0].text.contains('\u{1b}'));
}

#[tokio::test(start_paused = true)]
async fn the_verdict_names_what_is_broken() {
    let start = Instant::now();
    let model = live(start);
    let verdict = model.verdict(start + Duration::from_secs(29));
    assert_eq!(
        verdict,
        "1 of 6 goals broken: hit; 1 Neo4j cluster is not ready, see its row."
    );
}
