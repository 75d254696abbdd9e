//! Frames in this process: an hour of history behind every page, a new sample before each frame, drawn as the terminal
//! gets it.

use std::{
    io::Write,
    sync::Arc,
    time::{Duration, Instant as Clock},
};

use neo4j_operator_shared::golden;
use neotop::{
    app::{App, Msg, Page},
    source::{
        LinkReport, Sample,
        page::{Fetched, PageItem},
        prom::Scrape,
    },
    view::{self, theme::Theme},
};
use ratatui::{Terminal, TerminalOptions, Viewport, backend::CrosstermBackend, layout::Rect};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{Plan, Row, milliseconds, quantile, server::exposition};

/// Samples before the first frame.
const HISTORY: u64 = 3_600;
const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (240, 70)];

struct Nowhere;

impl Write for Nowhere {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn read<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap()
}

fn sample(at: Instant, second: u64) -> Msg {
    Msg::Link(LinkReport::Up(Arc::new(Sample {
        at,
        scrape: Scrape::parse(&exposition(second)),
        status: read(golden::STATUS),
        clusters: read(golden::CLUSTERS),
        cache: read(golden::CACHE),
    })))
}

pub fn measure(plan: &Plan) -> Vec<Row> {
    let start = Instant::now();
    let mut app = App::default();
    for second in 0..HISTORY {
        app.update(sample(start + Duration::from_secs(second), second));
    }
    let mut second = HISTORY;
    let mut rows = Vec::new();
    for (width, height) in SIZES {
        for page in Page::ALL {
            app.page = page;
            let mut times = Vec::new();
            let options = TerminalOptions {
                viewport: Viewport::Fixed(Rect::new(0, 0, width, height)),
            };
            let mut terminal = Terminal::with_options(CrosstermBackend::new(Nowhere), options).unwrap();
            for _ in 0..plan.frames {
                second += 1;
                let now = start + Duration::from_secs(second);
                app.update(sample(now, second));
                app.update(Msg::Page(PageItem::Strategies(
                    now,
                    Fetched::Got(Arc::new(read(golden::STRATEGIES))),
                )));
                app.update(Msg::Page(PageItem::Memory(
                    now,
                    Fetched::Got(Arc::new(read(golden::MEMORY))),
                )));
                let began = Clock::now();
                terminal
                    .draw(|frame| view::draw(&app, now, Theme::new(true), frame))
                    .unwrap();
                times.push(began.elapsed());
            }
            times.sort_unstable();
            rows.push(Row {
                promise: "TG8",
                what: format!(
                    "frame of {} at {width}x{height}, an hour of history, p50 / p99",
                    page.title()
                ),
                limit: "p99 ≤ 1 ms",
                measured: format!(
                    "{} / {}",
                    milliseconds(quantile(&times, 0.5)),
                    milliseconds(quantile(&times, 0.99))
                ),
            });
        }
    }
    rows
}
