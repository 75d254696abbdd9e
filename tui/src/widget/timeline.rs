//! A line in time: the smallest and the largest value per dot column, so that no spike is lost, gaps as
//! gaps, a second series as a dotted line, a goal line, and a row of marks below.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Style},
    symbols::Marker,
    widgets::{
        Widget,
        canvas::{Canvas, Painter, Shape},
    },
};

/// Cells left of the chart for the numbers of the axis.
pub const AXIS: u16 = 6;

/// What is drawn. Two dot columns make a cell.
#[derive(Debug)]
pub struct Timeline<'a> {
    /// The line: smallest and largest value per dot column, oldest first.
    pub line: &'a [Option<(f64, f64)>],
    /// A second series, one value per cell column, drawn where the line leaves room.
    pub dotted: &'a [Option<f64>],
    /// The goal.
    pub goal: f64,
    /// The value at the upper edge; without it all values and the goal fit below.
    pub top: Option<f64>,
    /// The cell column of the time cursor.
    pub cursor: Option<usize>,
    /// Writes a value at the axis.
    pub write: fn(f64) -> String,
    /// Style of the line.
    pub line_style: Style,
    /// Style of everything else.
    pub rest_style: Style,
}

/// A mark in the row below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Cell column.
    pub column: usize,
    /// What it says; the first character stands at the column.
    pub text: String,
}

struct Dots<'a> {
    line: &'a [Option<(f64, f64)>],
    top: f64,
    color: Color,
}

impl Shape for Dots<'_> {
    fn draw(&self, painter: &mut Painter<'_, '_>) {
        let mut before: Option<(usize, usize)> = None;
        for (column, span) in self.line.iter().enumerate() {
            let Some((low, high)) = *span else {
                before = None;
                continue;
            };
            let row = |value: f64| painter.get_point(column as f64, share(value, self.top));
            let (Some((x, lowest)), Some((_, highest))) = (row(low), row(high)) else {
                before = None;
                continue;
            };
            // Dot rows count from the top: what lies between this column and the one before belongs to the line.
            let (mut from, mut to) = (highest, lowest);
            if let Some((above, below)) = before {
                if below < from {
                    from = below + 1;
                } else if above > to {
                    to = above - 1;
                }
            }
            for y in from.min(highest)..=to.max(lowest) {
                painter.paint(x, y, self.color);
            }
            before = Some((highest, lowest));
        }
    }
}

/// A value as a share of the upper edge. The canvas gets shares: with huge numbers its own scaling overflows.
fn share(value: f64, top: f64) -> f64 {
    let share = value / top;
    if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }
}

impl Timeline<'_> {
    /// The value at the upper edge: all values and the goal fit below it.
    pub fn top(&self) -> f64 {
        if let Some(top) = self.top.filter(|top| top.is_finite() && *top > 0.0) {
            return top;
        }
        let values = self.line.iter().flatten().map(|(_, high)| *high);
        let values = values.chain(self.dotted.iter().flatten().copied()).chain([self.goal]);
        let top = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        if top > 0.0 { (top * 1.05).min(f64::MAX) } else { 1.0 }
    }

    fn row(value: f64, top: f64, height: u16) -> u16 {
        let rows = f64::from(height.saturating_sub(1));
        (rows - share(value, top) * rows).round() as u16
    }
}

impl Widget for Timeline<'_> {
    fn render(self, area: Rect, buf: &mut Buffer) {
        let area = area.intersection(buf.area);
        if area.width <= AXIS + 1 || area.height < 2 {
            return;
        }
        let top = self.top();
        let chart = Rect {
            x: area.x + AXIS,
            width: area.width - AXIS,
            ..area
        };
        let goal = Self::row(self.goal, top, area.height);
        for y in 0..area.height {
            let label = if y == goal {
                (self.write)(self.goal)
            } else if y + 1 == area.height {
                "0".to_owned()
            } else {
                String::new()
            };
            let label = format!("{label:>width$}│", width = usize::from(AXIS) - 1);
            buf.set_stringn(area.x, area.y + y, label, usize::from(AXIS), self.rest_style);
        }
        let dots = usize::from(chart.width) * 2;
        let line = &self.line[self.line.len().saturating_sub(dots)..];
        let color = self.line_style.fg.unwrap_or(Color::Reset);
        let shape = Dots { line, top, color };
        Canvas::default()
            .marker(Marker::Braille)
            .x_bounds([0.0, (dots.max(2) - 1) as f64])
            .y_bounds([0.0, 1.0])
            .paint(|context| context.draw(&shape))
            .render(chart, buf);
        // What is no line goes into cells that the line leaves empty.
        let free = |buf: &Buffer, x: u16, y: u16| matches!(buf[(x, y)].symbol(), " " | "\u{2800}");
        let cells = usize::from(chart.width);
        let dotted = &self.dotted[self.dotted.len().saturating_sub(cells)..];
        for (column, value) in dotted.iter().enumerate() {
            let Some(value) = value.filter(|value| value.is_finite()) else {
                continue;
            };
            let (x, y) = (chart.x + column as u16, chart.y + Self::row(value, top, chart.height));
            if free(buf, x, y) {
                buf[(x, y)].set_char('┄').set_style(self.rest_style);
            }
        }
        let column = self.cursor.and_then(|column| u16::try_from(column).ok());
        if let Some(x) = column.filter(|column| *column < chart.width) {
            for y in chart.y..chart.bottom() {
                if free(buf, chart.x + x, y) {
                    buf[(chart.x + x, y)].set_char('│').set_style(self.rest_style);
                }
            }
        }
        let y = chart.y + goal;
        for x in (chart.x..chart.right()).step_by(2) {
            if free(buf, x, y) {
                buf[(x, y)].set_char('-').set_style(self.rest_style);
            }
        }
    }
}

/// Writes marks into a row of `cells` cells. Where two do not fit beside each other, the later one keeps its
/// text and the earlier one its letter, if there is room for that.
pub fn marks(ticks: &[Tick], cells: usize) -> String {
    let mut row = vec![' '; cells];
    let mut ticks: Vec<_> = ticks.iter().filter(|tick| tick.column < cells).collect();
    ticks.sort_by_key(|tick| tick.column);
    let mut end = cells;
    for tick in ticks.into_iter().rev() {
        // At the right edge the text stands left of its column.
        let length = tick.text.chars().count();
        let column = tick.column.min(cells.saturating_sub(length));
        if column >= end {
            continue;
        }
        let room = (end - column).saturating_sub(usize::from(end < cells));
        let shown = if length <= room { length } else { 1.min(end - column) };
        for (offset, char) in tick.text.chars().take(shown).enumerate() {
            row[column + offset] = char;
        }
        end = column;
    }
    row.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(timeline: Timeline<'_>, width: u16, height: u16) -> Vec<String> {
        let area = Rect::new(0, 0, width, height);
        let mut buf = Buffer::empty(area);
        timeline.render(area, &mut buf);
        let row = |y| (0..width).map(|x| buf[(x, y)].symbol().to_owned()).collect::<String>();
        (0..height).map(row).collect()
    }

    fn timeline<'a>(line: &'a [Option<(f64, f64)>], dotted: &'a [Option<f64>], goal: f64) -> Timeline<'a> {
        Timeline {
            line,
            dotted,
            goal,
            top: None,
            cursor: None,
            write: crate::widget::bytes,
            line_style: Style::new(),
            rest_style: Style::new(),
        }
    }

    #[test]
    fn a_spike_of_one_sample_is_drawn_and_a_gap_is_a_gap() {
        let mut line = vec![Some((20.0, 20.0)); 40];
        line[10] = Some((20.0, 95.0));
        line[20..24].fill(None);
        let rows = text(timeline(&line, &[Some(5.0); 20], 100.0), 26, 8);
        insta::assert_snapshot!("timeline", rows.join("\n"));
    }

    #[test]
    fn the_cursor_stands_where_the_line_leaves_room() {
        let line = vec![Some((50.0, 50.0)); 40];
        let with = Timeline {
            cursor: Some(3),
            top: Some(100.0),
            ..timeline(&line, &[], 100.0)
        };
        let rows = text(with, 26, 6);
        let column = usize::from(AXIS) + 3;
        let cells: Vec<_> = rows.iter().map(|row| row.chars().nth(column).unwrap()).collect();
        assert_eq!(cells.iter().filter(|cell| **cell == '│').count(), 5, "{rows:#?}");
    }

    #[test]
    fn marks_keep_their_column_and_lose_their_text_first() {
        let tick = |column, text: &str| Tick {
            column,
            text: text.into(),
        };
        let row = marks(&[tick(2, "G-14M"), tick(4, "Y"), tick(18, "G-9M"), tick(99, "C")], 20);
        assert_eq!(row, "  G Y           G-9M");
        assert_eq!(marks(&[], 3), "   ");
    }

    proptest! {
        #[test]
        fn any_size_and_any_number_is_survived(
            width in 0_u16..140,
            height in 0_u16..50,
            values in proptest::collection::vec(any::<f64>(), 0..300),
            goal in any::<f64>(),
            columns in proptest::collection::vec(0_usize..200, 0..20),
            top in proptest::option::of(any::<f64>()),
        ) {
            let line: Vec<_> = values.iter().map(|value| value.is_finite().then_some((*value, *value))).collect();
            let dotted: Vec<_> = values.iter().map(|value| Some(*value)).collect();
            let cursor = columns.first().copied();
            text(Timeline { top, cursor, ..timeline(&line, &dotted, goal) }, width, height);
            let ticks: Vec<_> = columns.iter().map(|column| Tick { column: *column, text: "G-14M".into() }).collect();
            prop_assert_eq!(marks(&ticks, usize::from(width)).chars().count(), usize::from(width));
        }
    }
}
