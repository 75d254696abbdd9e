//! Page 4: a leak? What does a reclaim give? The line in time with its reclaims, who holds what, what the last
//! reclaims did, and whether the floor under it all rises.

use neo4j_operator_shared::memory::{LimitSource, Memory};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
};

use super::{
    View, answer,
    chart::{self, Chart},
    header, leak,
    panels::Panel,
    put, reclaims,
    theme::Role,
};
use crate::{
    model::{
        axis,
        text::{clean, fit},
    },
    widget::{bar, bytes, percent, seconds},
};

/// The goal of a quiet daemon.
pub(super) const GOAL: f64 = 100e6;

/// Draws the page into a terminal of at least 80x24.
pub fn draw(view: &View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let tall = area.height >= 34;
    let [title, pages, goals, chart, middle, bottom, notice, verdict, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(u16::from(tall)),
        Constraint::Min(8),
        Constraint::Length(if tall { 9 } else { 6 }),
        Constraint::Length(if tall { 7 } else { 4 }),
        Constraint::Length(header::notice_rows(view)),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(area);
    header::top(view, frame, [title, pages, goals]);
    timeline_panel(view, frame, chart);
    let [left, right] = Layout::horizontal([Constraint::Percentage(54), Constraint::Percentage(46)]).areas(middle);
    put(view, frame, left, |width, height| reclaims::panel(view, width, height));
    put(view, frame, right, |width, height| owners(view, width, height));
    let [left, right] = Layout::horizontal([Constraint::Percentage(54), Constraint::Percentage(46)]).areas(bottom);
    put(view, frame, left, |width, height| {
        reclaims::what_it_did(view, width, height)
    });
    put(view, frame, right, |width, height| allocator(view, width, height));
    header::bottom(view, frame, notice, verdict, keys);
}

pub(super) fn report<'a>(view: &View<'a>) -> Option<&'a Memory> {
    view.app.model.pages.memory.get()
}

/// What stands where the report should be.
pub(super) fn missing<'a>(view: &View<'a>, title: &str, width: usize) -> Panel<'a> {
    let trouble = view.app.model.pages.memory.trouble();
    let role = if trouble.is_some() { Role::Warn } else { Role::Muted };
    let text = fit(&format!(" {}", answer::missing(trouble, "the memory report")), width);
    Panel {
        title: title.into(),
        remark: String::new(),
        lines: vec![Line::from(view.span(text, role))],
    }
}

fn timeline_panel(view: &View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let series = &view.app.model.series;
    let text = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), bytes);
    let limit = report(view).map_or_else(String::new, |memory| {
        let level = match memory.level {
            0 => "level 0 none".to_owned(),
            n => format!("!! level {n} {}", answer::level(n)),
        };
        let source = match memory.limit_source {
            LimitSource::Setting => "set",
            LimitSource::Cgroup => "control group",
            LimitSource::Default => "default",
        };
        format!(", limit {} ({source}), {level}", bytes(memory.limit as f64))
    });
    let remark = format!("goal {}{limit}", bytes(GOAL));
    let range = axis::name(view.window().range);
    let title = format!("Memory, {range}: rss {}", text(series.rss.last()));
    let inside = view.panel(frame, area, &title, &remark);
    if inside.height < 4 {
        return;
    }
    let plot = Rect {
        height: inside.height - 1,
        ..inside
    };
    let chart = Chart {
        line: (&series.rss, "rss"),
        dotted: Some((&series.allocated, "in use")),
        goal: GOAL,
        top: None,
        write: bytes,
    };
    chart::draw(view, frame, plot, &chart);
    let row = Rect {
        y: plot.bottom(),
        height: 1,
        ..inside
    };
    let promise = fit(&promise(view), usize::from(inside.width));
    frame.render_widget(Line::from(Span::styled(promise, view.theme.style(Role::Text))), row);
}

fn promise(view: &View<'_>) -> String {
    let Some(memory) = report(view) else {
        return format!(
            " {}",
            answer::missing(view.app.model.pages.memory.trouble(), "the memory report")
        );
    };
    let key = match view.app.read_only_reason() {
        None => "[C-g] reclaim now: ".to_owned(),
        Some(reason) => format!("READ-ONLY ({reason}); a reclaim "),
    };
    let last = memory.reclaims.first().map_or_else(String::new, |last| {
        format!("  (last: {} in {})", reclaims::gave_back(last), seconds(last.seconds))
    });
    format!(" {key}expected to give back {}{last}", answer::expected(memory))
}

fn owners<'a>(view: &View<'a>, width: usize, height: usize) -> Panel<'a> {
    let Some(memory) = report(view) else {
        return missing(view, "Where it is", width);
    };
    let held: u64 = memory.owners.iter().map(|owner| owner.bytes).sum();
    let whole = memory.sizes.allocated.unwrap_or(held).max(held);
    let mut rows: Vec<_> = memory
        .owners
        .iter()
        .map(|owner| (clean(&owner.name), owner.bytes, owner.reclaimable))
        .collect();
    if whole > held {
        rows.push(("not accounted for".to_owned(), whole - held, false));
    }
    rows.sort_by_key(|(_, bytes, _)| std::cmp::Reverse(*bytes));
    let cells = width.saturating_sub(44).min(16);
    let named = if cells > 0 { 24 } else { 14 };
    let lines = rows.iter().take(height).map(|(name, owned, droppable)| {
        let share = *owned as f64 / whole.max(1) as f64;
        Line::from(vec![
            view.label(&format!(" {:<named$}", fit(name, named - 1))),
            view.value(format!("{:>6}", bytes(*owned as f64))),
            view.span(format!(" {:>6} {}", percent(share), bar(share, cells)), Role::Mark),
            view.label(if *droppable { " drop" } else { "" }),
        ])
    });
    Panel {
        title: "Where it is".into(),
        remark: "drop: a reclaim may".into(),
        lines: lines.collect(),
    }
}

fn allocator<'a>(view: &View<'a>, width: usize, height: usize) -> Panel<'a> {
    let Some(memory) = report(view) else {
        return missing(view, "Allocator", width);
    };
    let sizes = &memory.sizes;
    let text = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| bytes(value as f64));
    let mut lines = vec![
        format!(" {}", leak::phrase(&view.app.model.floors.check())),
        format!(
            " in use {}  resident {}  active {}  own {}",
            text(sizes.allocated),
            text(sizes.resident),
            text(sizes.active),
            text(sizes.metadata)
        ),
        format!(" retained {} (address space only)", text(sizes.retained)),
        " these figures overlap: they do not add up".to_owned(),
    ];
    if let Some(group) = &memory.cgroup {
        let stalled = group
            .stalled
            .map_or_else(String::new, |stalled| format!(", waited for memory {stalled:.1}%"));
        lines.push(format!(
            " control group {} of {}{stalled}",
            bytes(group.current as f64),
            bytes(group.max as f64)
        ));
    }
    lines.truncate(height.max(1));
    let held = &view.app.model.pages.memory;
    let age = held.age(view.now).map_or(0.0, |age| age.as_secs_f64().floor());
    let old = if held.trouble().is_some() { "!! old, " } else { "" };
    Panel {
        title: "Leak check (L), allocator".into(),
        remark: format!("{old}asked {} ago", seconds(age)),
        lines: lines
            .iter()
            .map(|line| Line::from(view.span(fit(line, width), Role::Text)))
            .collect(),
    }
}

/// The most urgent facts, for a terminal that is too small for panels.
pub fn compact<'a>(view: &View<'a>, width: usize) -> Vec<Line<'a>> {
    let rss = view.app.model.series.rss.last().map_or_else(|| "-".to_owned(), bytes);
    let mut lines = vec![Line::from(
        view.value(fit(&format!("rss {rss} of {}", bytes(GOAL)), width)),
    )];
    lines.push(Line::from(
        view.span(fit(promise(view).trim_start(), width), Role::Text),
    ));
    lines
}
