//! How many reads the cache answers, in time and by kind, and why it does not answer the others.

use neo4j_operator_shared::{Kind, cache::MissReason};
use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{
    View,
    chart::{self, Chart},
    panels::Panel,
    theme::Role,
};
use crate::{
    app::cache::Focus,
    model::{
        axis,
        text::{clean, fit, wrap},
    },
    widget::{bar, count, percent, seconds, spark},
};

/// The goal of the hit rate.
const GOAL: f64 = 0.8;

/// The hit rate: a chart where there is room for one, else one row of columns.
pub fn draw(view: &View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let model = &view.app.model;
    let now = model.sample.as_ref().and_then(|sample| sample.cache.hit_rate);
    let range = axis::name(view.window().range);
    let now = now.map_or_else(|| "no reads".to_owned(), percent);
    let inside = view.panel(frame, area, &format!("Hit rate {now}"), &format!("{range}, goal 80%"));
    let chart = Chart {
        line: (&model.series.hit_rate, "hit"),
        dotted: None,
        goal: GOAL,
        top: Some(1.0),
        write: percent,
    };
    let width = usize::from(inside.width);
    let by_kind = Line::from(view.span(fit(&by_kind(view), width), Role::Text));
    if inside.height > chart::LEAST_ROWS {
        let plot = Rect {
            height: inside.height - 1,
            ..inside
        };
        chart::draw(view, frame, plot, &chart);
        let row = Rect {
            y: plot.bottom(),
            height: 1,
            ..inside
        };
        frame.render_widget(by_kind, row);
        return;
    }
    let cells = width.saturating_sub(1).max(1);
    let window = view.window();
    let columns = chart::spread(
        model.series.hit_rate.columns(window, cells),
        window.column_length(cells),
    );
    let last = match view.app.axis.cursor() {
        Some(at) => Line::from(view.span(
            fit(&format!(" {}", chart::at_cursor(view, &chart, at)), width),
            Role::Text,
        )),
        None => by_kind,
    };
    let lines = vec![
        Line::from(vec![Span::raw(" "), view.span(spark(&columns, 1.0), Role::Mark)]),
        Line::from(Span::styled(
            format!(" {}", chart::marks_row(view, cells)),
            view.theme.style(Role::Title),
        )),
        last,
    ];
    frame.render_widget(Paragraph::new(lines), inside);
}

/// The kinds that are answered worst.
fn by_kind(view: &View<'_>) -> String {
    let sample = view.app.model.sample.iter();
    let rows = sample.flat_map(|sample| &sample.cache.kinds);
    let mut rows: Vec<_> = rows.filter_map(|row| Some((row.kind, row.hit_rate?))).collect();
    rows.sort_by(|a, b| a.1.total_cmp(&b.1));
    let each: Vec<_> = rows
        .iter()
        .map(|(kind, rate)| {
            let mark = if *rate < GOAL { " !!" } else { "" };
            format!("{kind} {}{mark}", percent(*rate))
        })
        .collect();
    if each.is_empty() {
        " no kind was read in the last 5 min".to_owned()
    } else {
        format!(" lowest: {}", each.join("  "))
    }
}

const fn meaning(reason: MissReason) -> &'static str {
    match reason {
        MissReason::Cold => "nothing kept yet",
        MissReason::Unsynced => "no whole list yet",
        MissReason::Evicted => "was dropped",
        MissReason::Stale => "older than known",
        MissReason::Filtered => "outside the selection",
    }
}

/// Why reads miss: of all kinds within the window; of the chosen kind since the daemon started.
pub fn misses<'a>(view: &View<'a>, width: usize, height: usize) -> Panel<'a> {
    let app = view.app;
    let kind = app.chosen_kind().filter(|_| app.cache.focus == Focus::Kinds);
    let title = match kind {
        Some(kind) => format!("Why reads of {kind} miss"),
        None => "Why reads miss".to_owned(),
    };
    if app.model.sample.is_none() {
        return Panel {
            title,
            remark: String::new(),
            lines: vec![Line::from(view.label(" waiting for the daemon"))],
        };
    }
    let (reasons, of) = if let Some(kind) = kind {
        (of_kind(view, kind), "since start".to_owned())
    } else {
        let window = view.window();
        let why = app.model.reads.why(window);
        // Less than the window was watched: say so, or few misses would look like good news.
        let of = if why.watched.as_secs_f64() < window.range.as_secs_f64() * 0.95 {
            format!("last {}", seconds(why.watched.as_secs_f64().floor()))
        } else {
            axis::name(window.range)
        };
        (why.reasons, of)
    };
    let total: u64 = reasons.iter().map(|(_, misses)| misses).sum();
    let advice = advice(view, width);
    // Advice is what to do: of many reasons the rare ones give way to its first lines.
    let room = height.saturating_sub(advice.len().min(2)).max(1);
    let mut lines: Vec<_> = reasons
        .iter()
        .take(room)
        .map(|(reason, misses)| reason_row(view, *reason, *misses, total, width))
        .collect();
    if lines.is_empty() {
        lines.push(Line::from(view.label(&fit(&format!(" no read missed, {of}"), width))));
    }
    lines.extend(advice);
    lines.truncate(height.max(1));
    Panel {
        title,
        remark: format!("{of}, n {}", count(total as f64)),
        lines,
    }
}

fn of_kind(view: &View<'_>, kind: Kind) -> Vec<(MissReason, u64)> {
    let kinds = view.app.kinds();
    let row = kinds.iter().find(|row| row.kind == kind);
    let misses = row.into_iter().flat_map(|row| &row.misses);
    let mut reasons: Vec<_> = misses.map(|(reason, misses)| (*reason, *misses)).collect();
    reasons.retain(|(_, misses)| *misses > 0);
    reasons.sort_by_key(|(_, misses)| std::cmp::Reverse(*misses));
    reasons
}

fn reason_row<'a>(view: &View<'a>, reason: MissReason, misses: u64, total: u64, width: usize) -> Line<'a> {
    let share = misses as f64 / total.max(1) as f64;
    let cells = width.saturating_sub(42).min(20);
    Line::from(vec![
        view.label(&format!(" {:<9}", reason.as_str())),
        view.span(bar(share, cells), Role::Mark),
        view.value(format!(" {:>5} {:>8}", percent(share), count(misses as f64))),
        view.label(&fit(
            &format!("  {}", meaning(reason)),
            width.saturating_sub(26 + cells),
        )),
    ])
}

/// What the daemon advises, wrapped; without advice what a warm-up does.
fn advice<'a>(view: &View<'a>, width: usize) -> Vec<Line<'a>> {
    let strategies = view.app.model.pages.strategies.get();
    let told = strategies.map_or(&[][..], |strategies| &strategies.advice);
    let mut lines = Vec::new();
    for advice in told {
        for (index, part) in wrap(&clean(advice), width.saturating_sub(3)).into_iter().enumerate() {
            let mark = if index == 0 { " > " } else { "   " };
            lines.push(Line::from(view.span(format!("{mark}{part}"), Role::Text)));
        }
    }
    if lines.is_empty() && view.app.read_only_reason().is_none() {
        lines.push(Line::from(
            view.label(&fit(" w lists what is kept but not read yet", width)),
        ));
    }
    lines
}
