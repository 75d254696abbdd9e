//! Page 3: which strategy is best now, at what cost? The switcher, the change under way, hits and misses,
//! and what is kept of each kind.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::Line,
};
use tokio::time::Duration;

use super::{View, header, hits, kinds, put, switcher, theme::Role};
use crate::{
    model::{
        switching::{self, Switching},
        text::{clean, fit},
    },
    widget::{bytes, percent},
};

/// So long a change that is over stays beside the hit rate.
const AFTER_END: Duration = Duration::from_secs(120);

/// Draws the page into a terminal of at least 80x24.
pub fn draw(view: &View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let tall = area.height >= 34;
    let rows = view.app.choices().len() as u16;
    let [title, pages, goals, switch, middle, table, notice, verdict, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(u16::from(tall)),
        Constraint::Length(rows + if tall { 7 } else { 5 }),
        Constraint::Length(if tall { 11 } else { 5 }),
        Constraint::Min(3),
        Constraint::Length(header::notice_rows(view)),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(area);
    header::top(view, frame, [title, pages, goals]);
    put(view, frame, switch, |width, height| {
        switcher::panel(view, width, height)
    });
    draw_middle(view, frame, middle);
    put(view, frame, table, |width, height| kinds::panel(view, width, height));
    header::bottom(view, frame, notice, verdict, keys);
}

/// Hit rate and misses; a change takes the place of the misses where there is no room for all three.
fn draw_middle(view: &View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let change = shown_change(view);
    let thirds = change.is_some() && area.width >= 110;
    let parts = if thirds {
        let [first, second, third] = Layout::horizontal([Constraint::Percentage(33); 3])
            .flex(ratatui::layout::Flex::SpaceBetween)
            .areas(area);
        vec![first, second, third]
    } else {
        let [first, second] = Layout::horizontal([Constraint::Percentage(50); 2]).areas(area);
        vec![first, second]
    };
    hits::draw(view, frame, parts[0]);
    if let Some(change) = change {
        put(view, frame, parts[1], |width, height| {
            switcher::operation(view, change, width, height)
        });
    }
    let last = parts[parts.len() - 1];
    if change.is_none() || thirds {
        put(view, frame, last, |width, height| hits::misses(view, width, height));
    }
}

/// The change that is under way, or that ended a moment ago.
fn shown_change<'a>(view: &View<'a>) -> Option<&'a Switching> {
    view.app.model.switching.as_ref().filter(|switching| {
        let over = switching::ended(switching.operation.state);
        !over || view.now.saturating_duration_since(switching.heard) < AFTER_END
    })
}

/// The most urgent facts, for a terminal that is too small for panels.
pub fn compact<'a>(view: &View<'a>, width: usize) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    let Some(sample) = &view.app.model.sample else {
        return lines;
    };
    let hit = sample.cache.hit_rate.map_or_else(|| "-".to_owned(), percent);
    let text = format!(
        "{}  hit {hit}  {}",
        sample.cache.strategy,
        bytes(sample.cache.bytes as f64)
    );
    lines.push(Line::from(view.value(fit(&text, width))));
    let wanted = view.app.choices()[view.app.chosen()];
    let verdict = view
        .app
        .forecast(wanted)
        .map_or("no forecast", |forecast| forecast.verdict.as_str());
    lines.push(Line::from(
        view.span(fit(&format!("> {wanted}: {}", clean(verdict)), width), Role::Text),
    ));
    if let Some(switching) = &view.app.model.switching {
        let role = if switching::ended(switching.operation.state) {
            Role::Text
        } else {
            Role::Warn
        };
        lines.push(Line::from(view.span(fit(&clean(&switching.line()), width), role)));
    }
    lines
}
