//! A chart on the shared time axis: the line, its marks, the clock at both ends, and what was at the cursor.

use ratatui::{Frame, layout::Rect, text::Line, text::Span};
use tokio::time::{Duration, Instant};

use super::{View, theme::Role};
use crate::{
    model::{
        axis::{self, Window},
        mark::{Mark, What},
        ring::Ring,
        text::fit,
    },
    widget::{
        bytes, seconds,
        timeline::{self, AXIS, Tick, Timeline},
    },
};

/// Fewer rows than this have no room for a line: the caller draws something smaller.
pub const LEAST_ROWS: u16 = 4;

/// A value that was measured longer before the cursor than this is no longer the one at the cursor.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is drawn.
pub struct Chart<'a> {
    /// The line, and what it is called.
    pub line: (&'a Ring, &'static str),
    /// A second series, dotted, and what it is called.
    pub dotted: Option<(&'a Ring, &'static str)>,
    /// The goal.
    pub goal: f64,
    /// The value at the upper edge; without it all values fit below.
    pub top: Option<f64>,
    /// Writes a value.
    pub write: fn(f64) -> String,
}

/// Draws it. The last two rows are the marks, and the axis with the legend or with what was at the cursor.
pub fn draw(view: &View<'_>, frame: &mut Frame<'_>, area: Rect, chart: &Chart<'_>) {
    if area.height < LEAST_ROWS {
        return;
    }
    let window = view.window();
    let plot = Rect {
        height: area.height - 2,
        ..area
    };
    let cells = usize::from(plot.width.saturating_sub(AXIS)).max(1);
    let line = joined(&chart.line.0.spans(window, cells * 2), window.column_length(cells * 2));
    let dotted = chart
        .dotted
        .map(|(ring, _)| spread(ring.columns(window, cells), window.column_length(cells)));
    frame.render_widget(
        Timeline {
            line: &line,
            dotted: dotted.as_deref().unwrap_or_default(),
            goal: chart.goal,
            top: chart.top,
            cursor: view.app.axis.cursor().and_then(|at| window.column(at, cells)),
            write: chart.write,
            line_style: view.theme.style(if view.stale { Role::Muted } else { Role::Mark }),
            rest_style: view.theme.style(Role::Muted),
        },
        plot,
    );
    let indent = " ".repeat(usize::from(AXIS));
    let marks = format!("{indent}{}", marks_row(view, cells));
    let below = foot(view, chart, cells + usize::from(AXIS));
    let role = if view.app.axis.cursor().is_some() {
        Role::Text
    } else {
        Role::Muted
    };
    for (y, text, role) in [(plot.bottom(), marks, Role::Title), (plot.bottom() + 1, below, role)] {
        let row = Rect { y, height: 1, ..area };
        let text = fit(&text, usize::from(area.width));
        frame.render_widget(Line::from(Span::styled(text, view.theme.style(role))), row);
    }
}

/// The marks inside the window, and the cursor.
pub fn marks_row(view: &View<'_>, cells: usize) -> String {
    let window = view.window();
    let cursor = view.app.axis.cursor().and_then(|at| window.column(at, cells));
    let cursor = cursor.map(|column| Tick {
        column,
        text: "^".to_owned(),
    });
    let marks = view.app.model.marks.iter();
    let ticks: Vec<_> = marks
        .filter_map(|mark| tick(mark, window, cells))
        .chain(cursor)
        .collect();
    timeline::marks(&ticks, cells)
}

fn tick(mark: &Mark, window: Window, cells: usize) -> Option<Tick> {
    let column = window.column(mark.at, cells)?;
    Some(Tick {
        column,
        text: name(mark.what),
    })
}

/// As in the row of marks.
fn name(what: What) -> String {
    match what {
        What::Reclaim(0) => "G 0".to_owned(),
        What::Reclaim(given) => format!("G-{}", bytes(given as f64)),
        other => other.letter().to_string(),
    }
}

/// The clock at both ends, and between them the legend.
fn foot(view: &View<'_>, chart: &Chart<'_>, width: usize) -> String {
    let window = view.window();
    let left = format!("-{}", axis::name(window.range));
    let clock = |at: Instant| view.clock(at).map_or_else(String::new, |clock| format!(" {clock}"));
    let left = match window.start() {
        Some(start) => format!("{left}{}", clock(start)),
        None => left,
    };
    let right = if window.end == view.now {
        "now".to_owned()
    } else {
        clock(window.end).trim_start().to_owned()
    };
    let dotted = chart.dotted.map_or_else(String::new, |(_, name)| format!("┄ {name}  "));
    let middle = match view.app.axis.cursor() {
        Some(at) => at_cursor(view, chart, at),
        None => format!("⠒ {}  {dotted}- goal  G reclaim C cache Y you", chart.line.1),
    };
    let room = width.saturating_sub(left.chars().count() + right.chars().count() + 3);
    let middle = fit(&middle, room);
    let gap = room.saturating_sub(middle.chars().count());
    format!(" {left}  {middle}{}{right}", " ".repeat(gap))
}

/// `13:57:12 5m ago: rss 27M, in use 14M, C`.
pub fn at_cursor(view: &View<'_>, chart: &Chart<'_>, at: Instant) -> String {
    let value = |ring: &Ring| ring.at(at, PATIENCE).map_or_else(|| "no data".to_owned(), chart.write);
    let mut parts = vec![format!("{} {}", chart.line.1, value(chart.line.0))];
    parts.extend(chart.dotted.map(|(ring, name)| format!("{name} {}", value(ring))));
    let step = view.app.axis.range() / 100;
    let near = |mark: &&Mark| {
        let (earlier, later) = (mark.at.min(at), mark.at.max(at));
        later - earlier <= step
    };
    let marks = view.app.model.marks.iter().filter(near);
    parts.extend(marks.map(|mark| name(mark.what)).next_back());
    let clock = view.clock(at).unwrap_or_default();
    let ago = seconds(view.now.saturating_duration_since(at).as_secs_f64().floor());
    format!("^ {clock} {ago} ago: {}", parts.join(", "))
}

/// Fills columns that are narrower than the time between two samples with the value before; a longer gap stays one.
pub fn spread(mut columns: Vec<Option<f64>>, column: Duration) -> Vec<Option<f64>> {
    let most = (2.5 / column.as_secs_f64().max(1e-3)) as usize;
    let mut empty = 0;
    for index in 1..columns.len() {
        empty = if columns[index].is_some() { 0 } else { empty + 1 };
        if columns[index].is_none() && empty <= most {
            columns[index] = columns[index - 1];
        }
    }
    columns
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
