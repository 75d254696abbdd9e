//! Screens as text, and that no size and no data breaks one.

use std::sync::Arc;

use proptest::prelude::*;
use ratatui::{Terminal, backend::TestBackend};
use tokio::time::{Duration, Instant};

use super::*;
use crossterm::event::{Event as TermEvent, KeyCode, KeyEvent, KeyModifiers};
use neo4j_operator_shared::{
    events::{Event, Payload, Severity},
    golden,
    memory::Trigger,
    switch::OperationState,
};

use crate::{
    app::{
        Msg,
        acts::{Answer, Answered, Refusal},
    },
    model::fixture,
    source::{
        LinkReport, StreamItem,
        page::{Fetched, PageItem},
    },
};

fn screen(app: &App, now: Instant, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(app, now, Theme::new(false), frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let rows = (0..height).map(|y| {
        let row: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
        row.trim_end().to_owned()
    });
    rows.collect::<Vec<_>>().join("\n")
}

fn live(start: Instant) -> (App, Instant) {
    (
        App {
            model: fixture::live(start),
            ..App::default()
        },
        start + Duration::from_secs(29),
    )
}

fn down(app: &mut App, now: Instant) {
    let report = LinkReport::Failed {
        reason: "Connection refused".into(),
        refused: false,
        tries: 2,
        next: now + Duration::from_secs(2),
    };
    app.update(Msg::Link(report));
}

#[tokio::test(start_paused = true)]
async fn overview_live() {
    let (app, now) = live(Instant::now());
    insta::assert_snapshot!("live_120x40", screen(&app, now, 120, 40));
    insta::assert_snapshot!("live_80x24", screen(&app, now, 80, 24));
    insta::assert_snapshot!("live_40x10", screen(&app, now, 40, 10));
}

#[tokio::test(start_paused = true)]
async fn overview_without_a_daemon() {
    let now = Instant::now();
    let mut app = App::default();
    insta::assert_snapshot!("first_80x24", screen(&app, now, 80, 24));
    down(&mut app, now);
    insta::assert_snapshot!("connecting_80x24", screen(&app, now, 80, 24));
}

#[tokio::test(start_paused = true)]
async fn overview_stale_and_down() {
    let (mut app, now) = live(Instant::now());
    insta::assert_snapshot!("stale_80x24", screen(&app, now + Duration::from_secs(41), 80, 24));
    down(&mut app, now);
    insta::assert_snapshot!("down_120x40", screen(&app, now, 120, 40));
}

#[tokio::test(start_paused = true)]
async fn help_over_the_page() {
    let (mut app, now) = live(Instant::now());
    app.modes.push(Mode::Help);
    insta::assert_snapshot!("help_80x24", screen(&app, now, 80, 24));
}

/// What differs in meaning must differ in words, not only in colour.
#[tokio::test(start_paused = true)]
async fn without_colour_a_broken_goal_still_reads_otherwise() {
    let (app, now) = live(Instant::now());
    let text = screen(&app, now, 120, 40);
    assert!(text.contains("!! hit 76.4%") && text.contains("OK recon"), "{text}");
}

fn press(app: &mut App, code: KeyCode) {
    let modifiers = KeyModifiers::NONE;
    app.update(Msg::Term(TermEvent::Key(KeyEvent::new(code, modifiers))));
}

fn keys(app: &mut App, keys: &str) {
    for key in keys.chars() {
        press(app, KeyCode::Char(key));
    }
}

/// On a page whose answers are there.
fn on(page: char) -> (App, Instant) {
    let (mut app, now) = live(Instant::now());
    fixture::pages(&mut app.model, now);
    keys(&mut app, &page.to_string());
    (app, now)
}

fn both(name: &str, app: &App, now: Instant) {
    insta::assert_snapshot!(format!("{name}_120x40"), screen(app, now, 120, 40));
    insta::assert_snapshot!(format!("{name}_80x24"), screen(app, now, 80, 24));
}

/// Sends what the keys ask for and lets the daemon answer.
fn answer(app: &mut App, now: Instant, result: Result<Answer, Refusal>) {
    let id = app.sent;
    app.update(Msg::Answered(Answered { id, at: now, result }));
}

#[tokio::test(start_paused = true)]
async fn cache_page_idle_chosen_and_asked() {
    let (mut app, now) = on('3');
    both("cache_idle", &app, now);
    keys(&mut app, "jd");
    answer(
        &mut app,
        now,
        Ok(Answer::Forecast(serde_json::from_str(golden::DRY_RUN).unwrap())),
    );
    both("cache_chosen", &app, now);
    press(&mut app, KeyCode::Enter);
    both("cache_confirm", &app, now);
    insta::assert_snapshot!("cache_confirm_40x10", screen(&app, now, 40, 10));
}

#[tokio::test(start_paused = true)]
async fn a_kind_over_its_budget_is_told_without_colour_too() {
    let (mut app, now) = on('3');
    let row = |app: &mut App, budget| {
        let sample = app.model.sample.as_mut().unwrap();
        Arc::make_mut(sample).cache.kinds[0].budget = Some(budget);
        let screen = screen(app, now, 120, 40);
        screen.lines().find(|line| line.contains(" pods  ")).unwrap().to_owned()
    };
    let within = row(&mut app, 16_000);
    assert!(within.contains("  of 16k; -;"), "{within}");
    let over = row(&mut app, 4_000);
    assert!(over.contains("  OVER 4.0k; -;"), "{over}");
}

#[tokio::test(start_paused = true)]
async fn cache_page_of_one_kind() {
    let (mut app, now) = on('3');
    press(&mut app, KeyCode::Tab);
    keys(&mut app, "s");
    let before = screen(&app, now, 80, 24);
    assert!(
        before.contains("of all kinds"),
        "not yet forecast for this kind\n{before}"
    );
    // What none breaks for all kinds it does not break for one.
    let mut strategies = app.model.pages.strategies.get().unwrap().clone();
    strategies.kinds = Some(vec![neo4j_operator_shared::Kind::Pod]);
    strategies.forecasts[0].broken.clear();
    strategies.forecasts[0].verdict = "meets all goals; spares 2.8 kB".into();
    app.update(Msg::Page(PageItem::Strategies(now, Fetched::Got(Arc::new(strategies)))));
    both("cache_kind", &app, now);
    keys(&mut app, "kk");
    press(&mut app, KeyCode::Enter);
    both("cache_kind_confirm", &app, now);
    press(&mut app, KeyCode::Esc);
    press(&mut app, KeyCode::Esc);
    let after = screen(&app, now, 80, 24);
    assert!(
        after.contains("asking the daemon for forecasts"),
        "those were of one kind\n{after}"
    );
}

#[tokio::test(start_paused = true)]
async fn cache_page_while_a_change_runs_and_after_it_failed() {
    let (mut app, now) = on('3');
    keys(&mut app, "j");
    press(&mut app, KeyCode::Enter);
    press(&mut app, KeyCode::Tab);
    press(&mut app, KeyCode::Enter);
    answer(
        &mut app,
        now,
        Ok(Answer::Switching(Box::new(fixture::operation(
            OperationState::Preparing,
        )))),
    );
    both("cache_running", &app, now);
    let mut failed = fixture::operation(OperationState::RolledBack);
    failed.reason = Some("pods: the watch did not begin: 403 Forbidden".into());
    crate::model::switching::take(&mut app.model.switching, now, Some(&failed));
    both("cache_rolled_back", &app, now);
    insta::assert_snapshot!("cache_rolled_back_40x10", screen(&app, now, 40, 10));
}

/// Charts of another range, and what was at the time cursor.
#[tokio::test(start_paused = true)]
async fn charts_zoomed_and_at_the_time_cursor() {
    let (mut app, now) = on('4');
    let event = Event {
        payload: Payload::MemoryReclaim {
            id: 3,
            trigger: Trigger::Forced,
            freed: 2_100_000,
            returned: 14_000_000,
            seconds: 0.006,
        },
        ..fixture::event(10, Severity::Info, "reclaimed")
    };
    app.update(Msg::Stream(StreamItem::Event(Some("b1-8".into()), Box::new(event))));
    keys(&mut app, "++'");
    both("memory_cursor", &app, now);
    keys(&mut app, "3");
    both("cache_cursor", &app, now);
    keys(&mut app, "0");
    assert!(
        !screen(&app, now, 80, 24).contains(" ago: "),
        "0 goes back to the present"
    );
}

/// A daemon that grows by 300 kB a minute beside a cache that does not.
#[tokio::test(start_paused = true)]
async fn memory_page_with_a_leak() {
    let start = Instant::now();
    let mut app = App::default();
    for second in 0..1_200 {
        let mut sample = fixture::sample(start, second);
        for (id, value) in &mut sample.scrape.values {
            if id.label("component") == Some("allocated") {
                *value = 15e6 + f64::from(second) * 5e3;
            }
        }
        app.update(Msg::Link(LinkReport::Up(Arc::new(sample))));
    }
    let now = start + Duration::from_secs(1_199);
    fixture::pages(&mut app.model, start);
    let mut memory: neo4j_operator_shared::memory::Memory = serde_json::from_str(golden::MEMORY).unwrap();
    memory.owners[1].bytes += 5_500_000;
    app.update(Msg::Page(PageItem::Memory(now, Fetched::Got(Arc::new(memory)))));
    keys(&mut app, "4");
    both("memory_leak", &app, now);
    keys(&mut app, "L");
    both("memory_leak_check", &app, now);
    press(&mut app, KeyCode::Esc);
    press(&mut app, KeyCode::Enter);
    insta::assert_snapshot!("memory_detail_80x24", screen(&app, now, 80, 24));
}

#[tokio::test(start_paused = true)]
async fn what_is_behind_the_goals() {
    let (mut app, now) = live(Instant::now());
    press(&mut app, KeyCode::Enter);
    both("goals", &app, now);
    press(&mut app, KeyCode::Esc);
    let mut starting = fixture::sample(now, 31);
    starting.status.ready = false;
    starting.status.startup[0].seconds = None;
    app.update(Msg::Link(LinkReport::Up(Arc::new(starting))));
    let text = screen(&app, now, 80, 24);
    assert!(text.contains("The daemon is starting: phase ready."), "{text}");
    down(&mut app, now);
    let enter = TermEvent::Key(KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE));
    let effects = app.update(Msg::Term(enter));
    assert!(effects.contains(&crate::app::Effect::RetryNow), "{effects:?}");
}

#[tokio::test(start_paused = true)]
async fn cache_page_history() {
    let (mut app, now) = on('3');
    keys(&mut app, "H");
    both("cache_history", &app, now);
}

#[tokio::test(start_paused = true)]
async fn pages_of_a_daemon_that_refuses_is_old_or_gone() {
    let (mut app, now) = on('3');
    keys(&mut app, "w");
    let refusal = Refusal {
        code: Some(429),
        detail: "the last one began 3 s ago".into(),
        retry_after: Some(7),
    };
    answer(&mut app, now, Err(refusal));
    insta::assert_snapshot!("cache_stale_80x24", screen(&app, now + Duration::from_secs(41), 80, 24));
    app.read_only = true;
    keys(&mut app, "w");
    insta::assert_snapshot!("cache_read_only_80x24", screen(&app, now, 80, 24));
    app.update(Msg::Page(PageItem::Strategies(now, Fetched::NotOffered)));
    app.update(Msg::Page(PageItem::Memory(now, Fetched::NotOffered)));
    insta::assert_snapshot!("cache_not_offered_80x24", screen(&app, now, 80, 24));
    keys(&mut app, "4");
    insta::assert_snapshot!("memory_not_offered_80x24", screen(&app, now, 80, 24));
    let mut first = App::default();
    keys(&mut first, "3");
    insta::assert_snapshot!("cache_first_80x24", screen(&first, now, 80, 24));
    keys(&mut first, "4");
    insta::assert_snapshot!("memory_first_80x24", screen(&first, now, 80, 24));
}

#[tokio::test(start_paused = true)]
async fn memory_page_after_a_reclaim_and_with_nothing_to_give_back() {
    let (mut app, now) = on('4');
    let event = Event {
        payload: Payload::MemoryReclaim {
            id: 3,
            trigger: Trigger::Forced,
            freed: 2_100_000,
            returned: 14_000_000,
            seconds: 0.006,
        },
        ..fixture::event(10, Severity::Info, "reclaimed")
    };
    app.update(Msg::Stream(StreamItem::Event(Some("b1-8".into()), Box::new(event))));
    let ctrl_g = KeyEvent::new(KeyCode::Char('g'), KeyModifiers::CONTROL);
    app.update(Msg::Term(TermEvent::Key(ctrl_g)));
    answer(
        &mut app,
        now,
        Ok(Answer::Reclaimed(serde_json::from_str(golden::RECLAIM).unwrap())),
    );
    both("memory_reclaimed", &app, now);
    insta::assert_snapshot!("memory_40x10", screen(&app, now, 40, 10));
    press(&mut app, KeyCode::Esc);
    let mut memory: neo4j_operator_shared::memory::Memory = serde_json::from_str(golden::MEMORY).unwrap();
    memory.expected = neo4j_operator_shared::memory::Expected::default();
    app.update(Msg::Page(PageItem::Memory(now, Fetched::Got(Arc::new(memory)))));
    insta::assert_snapshot!("memory_nothing_80x24", screen(&app, now, 80, 24));
}

/// The smallest screen that has panels shows every key of every page, if need be after scrolling.
#[tokio::test(start_paused = true)]
async fn help_shows_every_key_of_every_page() {
    for page in ['1', '3', '4'] {
        let (mut app, now) = on(page);
        let view = View {
            app: &app,
            now,
            theme: Theme::new(false),
            stale: false,
        };
        let rows: Vec<_> = help::rows(&view).into_iter().map(|(_, title)| title).collect();
        keys(&mut app, "?");
        let first = screen(&app, now, 80, 24);
        keys(&mut app, &"j".repeat(30));
        let last = screen(&app, now, 80, 24);
        for title in rows {
            assert!(title.chars().count() <= 59, "{title:?} is cut at 80 columns");
            assert!(
                first.contains(title) || last.contains(title),
                "no {title:?} in\n{first}\n{last}"
            );
        }
    }
}

/// The pages with any text and any number.
fn pages_of(app: &mut App, now: Instant, text: &str, number: f64) {
    fixture::pages(&mut app.model, now);
    let mut strategies = app.model.pages.strategies.get().unwrap().clone();
    for forecast in &mut strategies.forecasts {
        forecast.verdict = text.to_owned();
        forecast.memory.value = number;
        forecast.api_rate.margin = number;
        forecast.confidence = number;
        forecast.warmup.value = number;
    }
    strategies.now.memory = Some(number);
    strategies.record[0].operation.reason = Some(text.to_owned());
    strategies.record[0].operation.id = text.to_owned();
    let mut memory = app.model.pages.memory.get().unwrap().clone();
    memory.owners[0].name = text.to_owned();
    memory.reclaims[0].message = text.to_owned();
    memory.pressure = Some(number);
    app.update(Msg::Page(PageItem::Strategies(now, Fetched::Got(Arc::new(strategies)))));
    app.update(Msg::Page(PageItem::Memory(now, Fetched::Got(Arc::new(memory)))));
    let mut operation = fixture::operation(OperationState::Watching);
    operation.id = text.to_owned();
    operation.progress[0].trouble = Some(text.to_owned());
    operation.seconds = number;
    crate::model::switching::take(&mut app.model.switching, now, Some(&operation));
    app.notice = Some(crate::app::acts::Notice::Switching);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn no_size_and_no_data_breaks_a_screen(
        width in 1_u16..=140,
        height in 1_u16..=50,
        page in 0_usize..3,
        over in 0_usize..7,
        zoom in 0_usize..5,
        text in "(?s).{0,60}",
        number in any::<f64>(),
        back in 0_usize..20,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let start = Instant::now();
            let (mut app, now) = live(start);
            let mut sample = fixture::sample(start, 30);
            sample.clusters.items[0].name.clone_from(&text);
            sample.clusters.items[1].waiting_for = Some(text.clone());
            sample.cache.hit_rate = Some(number);
            for value in sample.scrape.values.values_mut() {
                *value = number;
            }
            app.update(Msg::Link(LinkReport::Up(Arc::new(sample))));
            app.update(Msg::Stream(StreamItem::Event(None, Box::new(fixture::event(1, neo4j_operator_shared::events::Severity::Info, &text)))));
            app.events_back = back;
            app.clusters_from = back;
            pages_of(&mut app, now, &text, number);
            app.page = Page::ALL[page];
            match over {
                1 => app.modes.push(Mode::Help),
                2 => app.modes.push(Mode::History),
                4 => app.modes.push(Mode::Goals),
                5 => app.modes.push(Mode::Leak),
                6 => app.modes.push(Mode::Reclaimed),
                3 => {
                    app.page = Page::Cache;
                    app.cache.cursor = Some(back % 5);
                    press(&mut app, KeyCode::Enter);
                }
                _ => app.cache.scope = Some(neo4j_operator_shared::Kind::Pod),
            }
            app.reclaim = back;
            app.scroll = back;
            for _ in 0..zoom {
                app.axis.zoom(zoom % 2 == 0);
            }
            for _ in 0..back {
                keys(&mut app, ",");
            }
            let text = screen(&app, now, width, height);
            assert!(!text.chars().any(|char| char.is_control() && char != '\n'));
        });
    }
}
