//! Screens as text, and that no size and no data breaks one.

use std::sync::Arc;

use proptest::prelude::*;
use ratatui::{Terminal, backend::TestBackend};
use tokio::time::{Duration, Instant};

use super::*;
use crate::{
    app::Msg,
    model::fixture,
    source::{LinkReport, StreamItem},
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn no_size_and_no_data_breaks_a_screen(
        width in 1_u16..300,
        height in 1_u16..100,
        text in "(?s).{0,60}",
        number in any::<f64>(),
        help in any::<bool>(),
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
            if help {
                app.modes.push(Mode::Help);
            }
            let text = screen(&app, now, width, height);
            assert!(!text.chars().any(|char| char.is_control() && char != '\n'));
        });
    }
}
