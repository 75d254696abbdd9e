//! Bytes to the terminal: what a second costs on each page, and that a screen that stands still costs nothing.
//! Times are measured by the bench `promises`.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crossterm::event::{Event as TermEvent, KeyCode, KeyEvent, KeyModifiers};
use neo4j_operator_shared::{events::Severity, golden};
use ratatui::{Terminal, TerminalOptions, Viewport, backend::CrosstermBackend, layout::Rect};
use tokio::time::{Duration, Instant};

use crate::{
    app::{App, Effect, Msg, Page},
    model::fixture,
    source::{
        LinkReport, StreamItem,
        page::{Fetched, PageItem},
    },
    view::{self, theme::Theme},
};

/// Largest mean of bytes per second, and largest frame that is not the first (TG2).
const MEAN: usize = 1_500;
const FRAME: usize = 4_096;
/// Marks of synchronized output around each frame.
const BRACKETS: usize = 16;

#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.fetch_add(bytes.len(), Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What comes in one second: the sample, an event, and what the page asked for.
fn second(app: &mut App, start: Instant, second: u32) -> Vec<Effect> {
    let now = start + Duration::from_secs(u64::from(second));
    let mut effects = app.update(Msg::Link(LinkReport::Up(Arc::new(fixture::sample(start, second)))));
    let event = fixture::event(i64::from(second), Severity::Info, "reconciled in 10 ms");
    let id = Some(format!("b1-{second}"));
    effects.extend(app.update(Msg::Stream(StreamItem::Event(id, Box::new(event)))));
    let read = serde_json::from_str(golden::MEMORY).unwrap();
    effects.extend(app.update(Msg::Page(PageItem::Memory(now, Fetched::Got(Arc::new(read))))));
    let read = serde_json::from_str(golden::STRATEGIES).unwrap();
    effects.extend(app.update(Msg::Page(PageItem::Strategies(now, Fetched::Got(Arc::new(read))))));
    effects.extend(app.update(Msg::Tick));
    effects
}

fn press(app: &mut App, char: char) -> Vec<Effect> {
    let key = KeyEvent::new(KeyCode::Char(char), KeyModifiers::NONE);
    app.update(Msg::Term(TermEvent::Key(key)))
}

/// Bytes of each of 60 frames, a second apart, after the first minute.
fn frames(page: Page) -> Vec<usize> {
    let start = Instant::now();
    let mut app = App { page, ..App::default() };
    let count = Count::default();
    let options = TerminalOptions {
        viewport: Viewport::Fixed(Rect::new(0, 0, 120, 40)),
    };
    let mut terminal = Terminal::with_options(CrosstermBackend::new(count.clone()), options).unwrap();
    let mut bytes = Vec::new();
    for n in 0..120 {
        second(&mut app, start, n);
        let now = start + Duration::from_secs(u64::from(n)) + Duration::from_millis(10);
        terminal
            .draw(|frame| view::draw(&app, now, Theme::new(true), frame))
            .unwrap();
        bytes.push(count.0.swap(0, Ordering::Relaxed) + BRACKETS);
    }
    bytes.split_off(60)
}

#[tokio::test(start_paused = true)]
async fn a_second_of_any_page_stays_within_the_bytes_that_are_promised() {
    for page in Page::ALL {
        let bytes = frames(page);
        let mean = bytes.iter().sum::<usize>() / bytes.len();
        let largest = bytes.iter().max().copied().unwrap_or_default();
        eprintln!("{}: mean {mean} B/s, largest {largest} B", page.title());
        assert!(
            mean <= MEAN && largest <= FRAME,
            "{}: mean {mean} of {MEAN}, largest {largest} of {FRAME}",
            page.title()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn for_half_a_minute_without_focus_or_paused_nothing_is_drawn_and_no_timer_runs() {
    let start = Instant::now();
    for paused in [true, false] {
        let mut app = App::default();
        second(&mut app, start, 0);
        if paused {
            press(&mut app, ' ');
        } else {
            app.update(Msg::Term(TermEvent::FocusLost));
        }
        for n in 1..=30 {
            let effects = second(&mut app, start, n);
            let draws = effects.iter().any(|effect| matches!(effect, Effect::Draw { .. }));
            assert!(!draws, "{effects:?}");
        }
        assert!(!app.ticks());
        assert!(app.model.events.len() > 29, "data is still taken in");
        let again = if paused {
            press(&mut app, ' ')
        } else {
            app.update(Msg::Term(TermEvent::FocusGained))
        };
        assert_eq!(again, [Effect::Draw { at_once: true }]);
    }
}
