//! Page 4: a leak? What does a reclaim give? The line of the last quarter of an hour with its reclaims, who
//! holds what, and what the last reclaims did.

use neo4j_operator_shared::memory::{LimitSource, Memory, Reclaim};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
};
use tokio::time::Duration;

use super::{View, answer, header, panels::Panel, put, theme::Role};
use crate::{
    model::{
        RANGE,
        mark::What,
        text::{clean, fit},
    },
    widget::{
        bar, bytes, percent, seconds,
        timeline::{self, AXIS, Tick, Timeline},
    },
};

/// The goal of a quiet daemon.
const GOAL: f64 = 100e6;

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
    put(view, frame, left, |width, height| reclaims(view, width, height));
    put(view, frame, right, |width, height| owners(view, width, height));
    let [left, right] = Layout::horizontal([Constraint::Percentage(54), Constraint::Percentage(46)]).areas(bottom);
    put(view, frame, left, |width, height| what_it_did(view, width, height));
    put(view, frame, right, |width, height| allocator(view, width, height));
    header::bottom(view, frame, notice, verdict, keys);
}

fn report<'a>(view: &View<'a>) -> Option<&'a Memory> {
    view.app.model.pages.memory.get()
}

/// What stands where the report should be.
fn missing<'a>(view: &View<'a>, title: &str, width: usize) -> Panel<'a> {
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
    let inside = view.panel(
        frame,
        area,
        &format!("Memory, 15 min: rss {}", text(series.rss.last())),
        &remark,
    );
    if inside.height < 4 {
        return;
    }
    let chart = Rect {
        height: inside.height - 3,
        ..inside
    };
    let cells = usize::from(chart.width.saturating_sub(AXIS)).max(1);
    let span = |columns: usize| RANGE.checked_div(columns as u32).unwrap_or(RANGE);
    let line = series.rss.spans(view.now, span(cells * 2), cells * 2);
    let dotted = series.allocated.columns(view.now, span(cells), cells);
    frame.render_widget(
        Timeline {
            line: &joined(&line, span(cells * 2)),
            dotted: &dotted,
            goal: GOAL,
            write: bytes,
            line_style: view.theme.style(if view.stale { Role::Muted } else { Role::Mark }),
            rest_style: view.theme.style(Role::Muted),
        },
        chart,
    );
    let ticks: Vec<_> = view
        .app
        .model
        .marks
        .iter()
        .filter_map(|mark| tick(view, mark.at, mark.what, span(cells), cells))
        .collect();
    let indent = " ".repeat(usize::from(AXIS));
    let rows = [
        (
            chart.bottom(),
            format!("{indent}{}", timeline::marks(&ticks, cells)),
            Role::Title,
        ),
        (chart.bottom() + 1, axis(cells), Role::Muted),
        (chart.bottom() + 2, promise(view), Role::Text),
    ];
    for (y, text, role) in rows {
        let row = Rect { y, height: 1, ..inside };
        let text = fit(&text, usize::from(inside.width));
        frame.render_widget(Line::from(Span::styled(text, view.theme.style(role))), row);
    }
}

/// Columns that are narrower than the time between two samples have none: a single one is no gap.
fn joined(line: &[Option<(f64, f64)>], column: Duration) -> Vec<Option<(f64, f64)>> {
    let most = (2.5 / column.as_secs_f64().max(1e-3)).ceil() as usize;
    let mut out = line.to_vec();
    let mut last: Option<usize> = None;
    for index in 0..line.len() {
        if line[index].is_some() {
            if let Some(before) = last.filter(|before| index - before <= most) {
                out[before + 1..index].fill(line[before]);
            }
            last = Some(index);
        }
    }
    out
}

fn tick(view: &View<'_>, at: tokio::time::Instant, what: What, column: Duration, cells: usize) -> Option<Tick> {
    let age = view.now.saturating_duration_since(at).as_secs_f64() / column.as_secs_f64().max(1e-9);
    let column = cells.checked_sub(age as usize + 1)?;
    let text = match what {
        What::Reclaim(0) => "G 0".to_owned(),
        What::Reclaim(given) => format!("G-{}", bytes(given as f64)),
        other => other.letter().to_string(),
    };
    Some(Tick { column, text })
}

fn axis(cells: usize) -> String {
    let legend = "  ⠒ rss  ┄ in use  - goal  G reclaim  C cache  Y you";
    let left = format!("{:>width$}-15m", "", width = usize::from(AXIS));
    let clock = "now";
    let room = (cells + usize::from(AXIS)).saturating_sub(left.len() + clock.len());
    let middle = fit(legend, room);
    let gap = room.saturating_sub(middle.chars().count());
    format!("{left}{middle}{}{clock}", " ".repeat(gap))
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
    let forced = memory.reclaims.first().map_or_else(String::new, |last| {
        format!("  (last: {} in {})", clean(&last.message), seconds(last.seconds))
    });
    format!(" {key}expected to give back {}{forced}", answer::expected(memory))
}

fn reclaims<'a>(view: &View<'a>, width: usize, height: usize) -> Panel<'a> {
    let Some(memory) = report(view) else {
        return missing(view, "Reclaims", width);
    };
    let wide = width >= 55;
    let mut lines = vec![Line::from(view.label(&fit(
        &if wide {
            format!(
                "   {:<4}{:<9}{:<9}{:>15}  {:>6} {:>6}",
                "#", "time", "trigger", "rss", "back", "took"
            )
        } else {
            format!("   {:<4}{:<9}{:<9}{:>6} {:>6}", "#", "time", "trigger", "back", "took")
        },
        width,
    )))];
    let rows = height.saturating_sub(1).max(1);
    let chosen = view.app.reclaim.min(memory.reclaims.len().saturating_sub(1));
    let from = (chosen + 1).saturating_sub(rows);
    for (index, reclaim) in memory.reclaims.iter().enumerate().skip(from).take(rows) {
        let (before, after) = (reclaim.before.rss, reclaim.after.rss);
        let text = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| bytes(value as f64));
        let back = match (before, after) {
            (Some(before), Some(after)) if before > after => format!("-{}", bytes((before - after) as f64)),
            (Some(_), Some(_)) => "0".to_owned(),
            _ => "-".to_owned(),
        };
        let mark = if index == chosen { '>' } else { ' ' };
        let sizes = if wide {
            format!("{:>15}  ", format!("{} → {}", text(before), text(after)))
        } else {
            String::new()
        };
        let line = format!(
            " {mark} {:<4}{:<9}{:<9}{sizes}{back:>6} {:>6}",
            reclaim.id,
            reclaim.time.strftime("%H:%M:%S").to_string(),
            reclaim.trigger.as_str(),
            seconds(reclaim.seconds),
        );
        let role = if index == chosen { Role::Title } else { Role::Text };
        lines.push(Line::from(view.span(fit(&line, width), role)));
    }
    if memory.reclaims.is_empty() {
        lines.push(Line::from(view.label(" none since the daemon started")));
    }
    let manager = if memory.enabled {
        "the manager acts by itself"
    } else {
        "the manager is off: only by hand"
    };
    Panel {
        title: "Reclaims".into(),
        remark: manager.into(),
        lines,
    }
}

/// The steps of the chosen reclaim.
fn what_it_did<'a>(view: &View<'a>, width: usize, height: usize) -> Panel<'a> {
    let chosen = report(view).and_then(|memory| {
        memory
            .reclaims
            .get(view.app.reclaim.min(memory.reclaims.len().saturating_sub(1)))
    });
    let Some(reclaim) = chosen else {
        return Panel {
            title: "What a reclaim did".into(),
            remark: String::new(),
            lines: vec![Line::from(view.label(" there was none yet"))],
        };
    };
    let mut lines = vec![Line::from(
        view.span(fit(&format!(" {}", clean(&reclaim.message)), width), Role::Text),
    )];
    let steps = steps(reclaim);
    if height > reclaim.actions.len() {
        lines.extend(
            steps
                .iter()
                .map(|step| Line::from(view.span(fit(&format!(" {step}"), width), Role::Text))),
        );
    } else {
        lines.push(Line::from(
            view.span(fit(&format!(" {}", steps.join("; ")), width), Role::Text),
        ));
    }
    lines.truncate(height.max(1));
    Panel {
        title: format!("What reclaim #{} did", reclaim.id),
        remark: seconds(reclaim.seconds),
        lines,
    }
}

fn steps(reclaim: &Reclaim) -> Vec<String> {
    let step = reclaim.actions.iter().map(|step| {
        let back = if step.bytes == 0 {
            "nothing".to_owned()
        } else {
            bytes(step.bytes as f64)
        };
        format!(
            "{} {} {back} in {}",
            step.action.as_str(),
            clean(&step.part),
            seconds(step.seconds)
        )
    });
    step.collect()
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
    rows.sort_by_key(|(_, bytes, _)| std::cmp::Reverse(*bytes));
    if whole > held {
        rows.push(("not accounted for".to_owned(), whole - held, false));
    }
    let cells = width.saturating_sub(43).min(16);
    let named = if cells > 0 { 18 } else { 14 };
    let lines = rows.iter().take(height).map(|(name, owned, droppable)| {
        let share = *owned as f64 / whole.max(1) as f64;
        Line::from(vec![
            view.label(&format!(" {:<named$}", fit(name, named - 1))),
            view.value(format!("{:>6}", bytes(*owned as f64))),
            view.span(format!(" {:>6} {}", percent(share), bar(share, cells)), Role::Mark),
            view.label(match droppable {
                true if width >= 44 => " droppable",
                true => "drop",
                false => "",
            }),
        ])
    });
    Panel {
        title: "Where it is".into(),
        remark: "share of what is in use".into(),
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
        title: "Allocator".into(),
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
