//! What is behind the goals: values, bounds, what cures a broken one, and the phases of the start.

use neo4j_operator_shared::goals::{Goal, GoalId, Verdict};
use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};

use super::{View, sheet, theme::Role};
use crate::{
    model::{
        goal_name,
        text::{clean, fit},
    },
    widget::{bar, in_unit, percent, seconds},
};

/// Draws the goals over the page.
pub fn draw(view: &View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let mut lines: Vec<_> = view
        .app
        .model
        .goals()
        .iter()
        .flat_map(|goal| goal_lines(view, goal))
        .collect();
    if lines.is_empty() {
        lines.push(Line::from(view.label(" no goals read yet")));
    }
    lines.extend(start(view));
    sheet(view, frame, area, "What is behind the goals", lines);
}

fn goal_lines<'a>(view: &View<'a>, goal: &Goal) -> Vec<Line<'a>> {
    let (mark, role) = match goal.verdict {
        Verdict::Ok => ("OK", Role::Ok),
        Verdict::Broken => ("!!", Role::Bad),
        Verdict::Unknown => ("--", Role::Muted),
    };
    let value = goal
        .value
        .map_or_else(|| "-".to_owned(), |value| in_unit(value, goal.unit));
    let relation = if goal.goal == GoalId::HitRate { '>' } else { '<' };
    let bound = format!("{relation} {}", in_unit(goal.target, goal.unit));
    let mut lines = vec![Line::from(vec![
        Span::raw(" "),
        view.span(mark, role),
        view.label(&format!(" {:<9}", goal_name(goal.goal))),
        view.padded(value, 8),
        view.label(&format!("{bound:<8} {}", meaning(goal.goal))),
    ])];
    if goal.verdict == Verdict::Broken {
        let text = format!("    {:<9}→ {}", "", cure(goal.goal));
        lines.push(Line::from(view.span(text, Role::Text)));
    }
    lines
}

const fn meaning(goal: GoalId) -> &'static str {
    match goal {
        GoalId::Startup => "from the start of the process to ready",
        GoalId::MemoryBase => "resident with nothing to look after",
        GoalId::MemoryLoad => "resident now",
        GoalId::Reconcile => "95th percentile of reconciles, 5 min",
        GoalId::Scaling => "collect and decide",
        GoalId::HitRate => "reads that the cache answered, 5 min",
        GoalId::ApiRate => "requests to the API server, 5 min",
    }
}

const fn cure(goal: GoalId) -> &'static str {
    match goal {
        GoalId::Startup => "the longest phase below; a strategy that waits for less starts sooner",
        GoalId::MemoryBase | GoalId::MemoryLoad => {
            "C-g reclaims; 4 Memory shows who holds it; 3 Cache: a smaller strategy"
        }
        GoalId::Reconcile => "1 Overview: oldest key, retries, and the clusters that wait",
        GoalId::Scaling => "the collectors that answer late",
        GoalId::HitRate => "3 Cache: why reads miss, w warms up, s another strategy",
        GoalId::ApiRate => "3 Cache: a strategy that keeps more asks less",
    }
}

/// How long each phase of the start took, as a share of the longest.
fn start<'a>(view: &View<'a>) -> Vec<Line<'a>> {
    let Some(sample) = &view.app.model.sample else {
        return Vec::new();
    };
    let status = &sample.status;
    let ready = if status.ready { "ready" } else { "NOT READY" };
    let up = seconds(status.uptime.0.as_secs_f64());
    let started = status.started_at.strftime("%Y-%m-%d %H:%M:%S");
    let mut lines = vec![Line::from(view.span(
        format!(" Start at {started}, up {up}, {ready}; phases overlap"),
        Role::Title,
    ))];
    let longest = status
        .startup
        .iter()
        .filter_map(|phase| phase.seconds)
        .fold(0.0, f64::max);
    for phase in &status.startup {
        let (took, share) = match phase.seconds {
            Some(took) => (seconds(took), if longest > 0.0 { took / longest } else { 0.0 }),
            None => ("not over".to_owned(), 0.0),
        };
        lines.push(Line::from(vec![
            view.label(&format!("   {:<12}", fit(&clean(&phase.phase), 12))),
            view.value(format!("{took:>9} ")),
            view.span(format!(" {} {}", bar(share, 30), percent(share)), Role::Mark),
        ]));
    }
    if status.startup.is_empty() {
        lines.push(Line::from(view.label("   this daemon tells no phases")));
    }
    lines
}
