//! Page 1: are all goals met? If not: why, and which cluster needs somebody.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::Line,
};

use super::{View, header, panels, put, theme::Role};
use crate::{
    model::text::fit,
    widget::{count, percent, seconds},
};

/// Draws the page into a terminal of at least 80x24.
pub fn draw(view: &View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let clusters = view
        .app
        .model
        .sample
        .as_ref()
        .map_or(0, |sample| sample.clusters.items.len()) as u16;
    let tall = area.height >= 34;
    let numbers = if tall { 6 } else { 5 };
    let most = if tall { 12 } else { 6 };
    let [title, pages, goals, first, second, table, events, notice, verdict, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(numbers),
        Constraint::Length(numbers),
        Constraint::Length((clusters + 3).clamp(4, most)),
        Constraint::Min(3),
        Constraint::Length(header::notice_rows(view)),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(area);
    let halves = |area| Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)]).areas::<2>(area);
    header::top(view, frame, [title, pages, goals]);
    let [left, right] = halves(first);
    put(view, frame, left, |width, _| panels::latency(view, width));
    put(view, frame, right, |width, _| panels::queue(view, width));
    let [left, right] = halves(second);
    put(view, frame, left, |width, _| panels::cache(view, width));
    put(view, frame, right, |width, _| panels::memory_panel(view, width));
    put(view, frame, table, |width, height| {
        panels::clusters(view, width, height)
    });
    put(view, frame, events, |width, height| panels::events(view, width, height));
    header::bottom(view, frame, notice, verdict, keys);
}

/// The most urgent facts, for a terminal that is too small for panels.
pub fn compact<'a>(view: &View<'a>, width: usize, height: usize) -> Vec<Line<'a>> {
    let model = &view.app.model;
    let mut lines = Vec::new();
    if let Some(sample) = &model.sample {
        let latency = model.latency().map_or_else(|| "-".to_owned(), |q| seconds(q.p95));
        let hit = sample.cache.hit_rate.map_or_else(|| "-".to_owned(), percent);
        let depth = model.series.depth.last().map_or_else(|| "-".to_owned(), count);
        lines.push(Line::from(
            view.value(fit(&format!("p95 {latency}  hit {hit}  queue {depth}"), width)),
        ));
        let waiting = sample.clusters.items.iter().filter(|cluster| !cluster.ready);
        for cluster in waiting.take(height) {
            let text = crate::model::text::clean(&format!("{}/{} {}", cluster.namespace, cluster.name, cluster.phase));
            lines.push(Line::from(view.span(fit(&text, width), Role::Warn)));
        }
    }
    lines
}
