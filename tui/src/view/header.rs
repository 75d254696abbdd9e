//! The two rows above the panels, the verdict and the row of keys below them.

use neo4j_operator_shared::goals::{Goal, GoalId, Verdict};
use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};

use super::{View, theme::Role};
use crate::{
    app::actions::ACTIONS,
    model::{Link, goal_name, text::fit},
    widget::{in_unit, seconds},
};

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
        let mode = if sample.status.read_only { "RO" } else { "RW" };
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
pub fn goals(view: &View<'_>, frame: &mut Frame<'_>, area: Rect) {
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

/// The answer to the page's question.
pub fn verdict(view: &View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let text = format!(" {}", view.app.model.verdict(view.now));
    frame.render_widget(
        Line::from(Span::styled(
            fit(&text, usize::from(area.width)),
            view.theme.style(Role::Title),
        )),
        area,
    );
}

/// Keys, from the action table.
pub fn footer(view: &View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let mut spans = vec![Span::raw(" ")];
    for row in ACTIONS {
        if let (Some(footer), Some(key)) = (row.footer, row.keys.first()) {
            spans.push(Span::styled(key.name(), view.theme.style(Role::Title)));
            spans.push(view.label(&format!(" {footer}  ")));
        }
    }
    frame.render_widget(Line::from(spans), area);
}
