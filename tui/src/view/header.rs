//! The rows above the panels; the line about acts, the answer and the row of keys below them.

use neo4j_operator_shared::goals::{Goal, GoalId, Verdict};
use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};

use super::{View, answer, theme::Role};
use crate::{
    app::{
        Page,
        actions::{ACTIONS, Action},
    },
    model::{
        Link,
        axis::{self, Axis},
        goal_name,
        text::fit,
    },
    widget::{in_unit, seconds},
};

/// The lines above every page. Goals that have no line are left out.
pub fn top(view: &View<'_>, frame: &mut Frame<'_>, [name, names, slo]: [Rect; 3]) {
    title(view, frame, name);
    pages(view, frame, names);
    if !slo.is_empty() {
        goals(view, frame, slo);
    }
}

/// Name, link, uptime, clock.
pub fn title(view: &View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let sample = view.app.model.sample.as_ref();
    let left = sample.map_or_else(
        || " neotop".to_owned(),
        |sample| {
            format!(
                " neotop  neo4j-operator {} at {}",
                sample.status.version, sample.status.listeners.control
            )
        },
    );
    let (badge, role) = badge(view);
    let mut right = vec![Span::styled(badge, view.theme.style(role))];
    if let Some(sample) = sample {
        let read_only = view.app.read_only_reason().is_some();
        let mode = if read_only { "READ-ONLY" } else { "RW" };
        let clock = sample.status.now.strftime("%H:%M:%S");
        right.push(view.span(
            format!(
                "  up {}  {mode}  {clock} ",
                seconds(sample.status.uptime.0.as_secs_f64())
            ),
            Role::Text,
        ));
    }
    let right = Line::from(right).right_aligned();
    let room = usize::from(area.width).saturating_sub(right.width() + 2);
    frame.render_widget(
        Line::from(Span::styled(fit(&left, room), view.theme.style(Role::Title))),
        area,
    );
    frame.render_widget(right, area);
}

fn badge(view: &View<'_>) -> (String, Role) {
    let model = &view.app.model;
    let paused = if view.app.paused { "PAUSED " } else { "" };
    let in_time = |next: tokio::time::Instant| seconds(next.saturating_duration_since(view.now).as_secs_f64().ceil());
    let age = || {
        model
            .age(view.now)
            .map_or_else(|| "-".to_owned(), |age| seconds(age.as_secs_f64().floor()))
    };
    let (text, role) = match model.link_state(view.now) {
        Link::Connecting { tries: 0, .. } => ("○ CONNECTING".to_owned(), Role::Warn),
        Link::Connecting { tries, next, .. } => (
            format!(
                "○ CONNECTING (try {}, next in {})",
                tries + 1,
                next.map_or_else(|| "-".to_owned(), in_time)
            ),
            Role::Warn,
        ),
        Link::Live if model.sample.as_ref().is_some_and(|sample| sample.scrape.is_partial()) => {
            ("● LIVE (metrics partial)".to_owned(), Role::Warn)
        }
        Link::Live => ("● LIVE".to_owned(), Role::Ok),
        Link::Stale => (format!("◌ STALE {}", age()), Role::Warn),
        Link::Down { next, .. } => (format!("✕ DOWN {}, next try in {}", age(), in_time(next)), Role::Bad),
        Link::Refused { .. } => ("✕ REFUSED".to_owned(), Role::Bad),
    };
    (format!("{paused}{text}"), role)
}

/// One entry per goal: verdict, value, bound.
fn goals(view: &View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let goals = view.app.model.goals();
    let mut spans = vec![view.label(" SLO ")];
    if goals.is_empty() {
        spans.push(view.span(" no goals read yet", Role::Muted));
    }
    // The load bound only says something that the base bound does not while the base bound is broken.
    let base_broken = goals
        .iter()
        .any(|goal| goal.goal == GoalId::MemoryBase && goal.verdict == Verdict::Broken);
    let shown: Vec<_> = goals
        .iter()
        .filter(|goal| goal.goal != GoalId::MemoryLoad || base_broken)
        .collect();
    let wide = spans_width(view, &shown, true) + 6 <= usize::from(area.width);
    for goal in shown {
        spans.push(Span::raw(" "));
        spans.extend(goal_spans(view, goal, wide));
    }
    frame.render_widget(Line::from(spans), area);
}

fn spans_width(view: &View<'_>, goals: &[&Goal], bounds: bool) -> usize {
    goals
        .iter()
        .map(|goal| goal_spans(view, goal, bounds).iter().map(Span::width).sum::<usize>() + 1)
        .sum()
}

fn goal_spans<'a>(view: &View<'a>, goal: &Goal, bound: bool) -> Vec<Span<'a>> {
    let (mark, role) = match goal.verdict {
        Verdict::Ok => ("OK", Role::Ok),
        Verdict::Broken => ("!!", Role::Bad),
        Verdict::Unknown => ("--", Role::Muted),
    };
    let value = goal
        .value
        .map_or_else(|| "-".to_owned(), |value| in_unit(value, goal.unit));
    let mut spans = vec![
        view.span(mark, role),
        view.label(&format!(" {} ", goal_name(goal.goal))),
        view.value(value),
    ];
    if bound {
        let relation = if goal.goal == GoalId::HitRate { '>' } else { '<' };
        spans.push(view.label(&format!("{relation}{}", in_unit(goal.target, goal.unit))));
    }
    spans.push(Span::raw(" "));
    spans
}

/// The pages there are, the open one in brackets.
fn pages(view: &View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let mut spans = vec![Span::raw(" ")];
    for row in ACTIONS {
        let (Action::Go(page), Some(key)) = (row.action, row.keys.first()) else {
            continue;
        };
        let text = format!("{} {}", key.name(), page.title());
        if page == view.app.page {
            spans.push(Span::styled(format!("[{text}]"), view.theme.style(Role::Title)));
        } else {
            spans.push(view.label(&format!(" {text} ")));
        }
        spans.push(Span::raw(" "));
    }
    let question = match view.app.page {
        Page::Overview => "are all goals met?",
        Page::Cache => "which strategy is best now, at what cost?",
        Page::Memory => "a leak? what does a reclaim give?",
    };
    let time = time(view);
    let used: usize = spans.iter().map(Span::width).sum();
    let room = usize::from(area.width).saturating_sub(used + 2);
    // What differs from the usual range matters more than the question; where both fit, both stand there.
    if room >= question.chars().count() + time.chars().count() + 4 || view.app.axis == Axis::default() {
        spans.push(view.label(&fit(&format!(" {question}"), room)));
    }
    frame.render_widget(Line::from(spans), area);
    if room >= question.chars().count() + time.chars().count() + 4 || view.app.axis != Axis::default() {
        frame.render_widget(Line::from(view.label(&format!("{time} "))).right_aligned(), area);
    }
}

/// What is shown of the time.
fn time(view: &View<'_>) -> String {
    let axis = &view.app.axis;
    let range = axis::name(axis.range());
    match axis.cursor().and_then(|at| view.clock(at)) {
        Some(clock) => format!("range {range}, cursor {clock}, 0 now"),
        None => format!("range {range}, + - zoom"),
    }
}

/// The line about acts, if there is something to say; the answer to the page's question; keys.
pub fn bottom(view: &View<'_>, frame: &mut Frame<'_>, notice: Rect, answer: Rect, keys: Rect) {
    if let Some((bad, text)) = view.app.notice_line() {
        let (mark, role) = if bad { ("!! ", Role::Bad) } else { (">> ", Role::Mark) };
        let line = Line::from(vec![
            Span::raw(" "),
            Span::styled(mark, view.theme.style(role)),
            Span::styled(
                fit(&text, usize::from(notice.width).saturating_sub(4)),
                view.theme.style(Role::Title),
            ),
        ]);
        frame.render_widget(line, notice);
    }
    let text = format!(" {}", answer::of(view));
    frame.render_widget(
        Line::from(Span::styled(
            fit(&text, usize::from(answer.width)),
            view.theme.style(Role::Title),
        )),
        answer,
    );
    footer(view, frame, keys);
}

/// Rows that the line about acts takes.
pub fn notice_rows(view: &View<'_>) -> u16 {
    u16::from(view.app.notice_line().is_some())
}

/// Keys that do something here and now, from the action table, as many as fit. Help and how to leave always fit.
fn footer(view: &View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let place = view.app.place();
    let rows: Vec<_> = ACTIONS
        .iter()
        .filter(|row| row.scope.works_in(place) && view.app.offers(row))
        .filter_map(|row| Some((row.keys.first()?.name(), row.footer?)))
        .collect();
    let width = |(key, text): &(String, &str)| key.chars().count() + text.chars().count() + 3;
    let mut room = usize::from(area.width).saturating_sub(1);
    let mut spans = vec![Span::raw(" ")];
    for (index, row) in rows.iter().enumerate() {
        let last: usize = rows
            .iter()
            .skip((index + 1).max(rows.len().saturating_sub(2)))
            .map(width)
            .sum();
        if width(row) + last > room {
            continue;
        }
        room -= width(row);
        spans.push(Span::styled(row.0.clone(), view.theme.style(Role::Title)));
        spans.push(view.label(&format!(" {}  ", row.1)));
    }
    frame.render_widget(Line::from(spans), area);
}
