//! The screen: `&App -> Buffer`. Nothing is computed here that a test of the model could not see.

pub mod answer;
pub mod cache;
pub mod chart;
pub mod compact;
pub mod dialog;
pub mod goals;
pub mod header;
pub mod help;
pub mod history;
pub mod hits;
pub mod kinds;
pub mod leak;
pub mod memory;
pub mod overview;
pub mod panels;
pub mod reclaims;
pub mod switcher;
pub mod theme;

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::{Block, Borders, Clear, Paragraph},
};
use tokio::time::Instant;

use self::theme::{Role, Theme};
use crate::{
    app::{App, Mode, Page},
    model::{Link, axis::Window, mark, text::fit},
};

/// Smallest terminal that gets panels; below it a list of lines is shown.
pub const MIN_COLUMNS: u16 = 80;
/// Smallest terminal that gets panels.
pub const MIN_ROWS: u16 = 24;

/// What every drawing function gets.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// State.
    pub app: &'a App,
    /// The moment that is drawn.
    pub now: Instant,
    /// Styles.
    pub theme: Theme,
    /// Whether the data is old: values are dimmed and get a `?`.
    pub stale: bool,
}

/// Draws everything.
pub fn draw(app: &App, now: Instant, theme: Theme, frame: &mut Frame<'_>) {
    let stale = app.model.link_state(now) != Link::Live;
    let view = View { app, now, theme, stale };
    let area = frame.area();
    if area.width < MIN_COLUMNS || area.height < MIN_ROWS {
        compact::draw(&view, frame, area);
    } else {
        match app.page {
            Page::Overview => overview::draw(&view, frame, area),
            Page::Cache => cache::draw(&view, frame, area),
            Page::Memory => memory::draw(&view, frame, area),
        }
    }
    for mode in &app.modes {
        match mode {
            Mode::Help => help::draw(&view, frame, area),
            Mode::History => history::draw(&view, frame, area),
            Mode::Goals => goals::draw(&view, frame, area),
            Mode::Leak => leak::draw(&view, frame, area),
            Mode::Reclaimed => reclaims::draw(&view, frame, area),
            Mode::Confirm(confirm) => dialog::draw(&view, confirm, frame, area),
        }
    }
}

/// Frames a panel that is made for the room that there is.
pub fn put<'a>(
    view: &View<'a>,
    frame: &mut Frame<'_>,
    area: Rect,
    make: impl FnOnce(usize, usize) -> panels::Panel<'a>,
) {
    let inside = area.height.saturating_sub(2);
    let panel = make(usize::from(area.width.saturating_sub(2)), usize::from(inside));
    let area = view.panel(frame, area, &panel.title, &panel.remark);
    frame.render_widget(Paragraph::new(panel.lines), area);
}

/// Cells from the left to the right frame of a sheet.
fn sheet_width(area: Rect) -> u16 {
    area.width.saturating_sub(2).clamp(1, 100)
}

/// Lays lines over the page, as many as there is room for, from where the reader has scrolled to.
pub fn sheet(view: &View<'_>, frame: &mut Frame<'_>, area: Rect, title: &str, lines: Vec<Line<'_>>) {
    let width = sheet_width(area);
    let room = usize::from(area.height.saturating_sub(4)).max(1);
    let from = view.app.scroll.min(lines.len().saturating_sub(room));
    let shown = lines.len().min(room);
    let remark = if lines.len() > room {
        format!(
            "rows {}-{} of {}, j k scroll, Esc closes",
            from + 1,
            from + shown,
            lines.len()
        )
    } else {
        "Esc closes".to_owned()
    };
    let inside = over(view, frame, area, (width, shown as u16 + 2), title, &remark);
    let lines: Vec<_> = lines.into_iter().skip(from).take(shown).collect();
    frame.render_widget(Paragraph::new(lines), inside);
}

/// Clears the middle of the screen for something that lies over the page, and frames it.
pub fn over(view: &View<'_>, frame: &mut Frame<'_>, area: Rect, size: (u16, u16), title: &str, remark: &str) -> Rect {
    let (width, height) = (size.0.min(area.width), size.1.min(area.height));
    let over = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, over);
    view.panel(frame, over, title, remark)
}

impl<'a> View<'a> {
    /// What is shown of the time.
    pub fn window(&self) -> Window {
        self.app.axis.window(self.now)
    }

    /// A moment by the daemon's clock, as `14:02:31`.
    pub fn clock(&self, at: Instant) -> Option<String> {
        let sample = self.app.model.sample.as_ref()?;
        let time = mark::theirs(at, (sample.at, sample.status.now))?;
        Some(time.strftime("%H:%M:%S").to_string())
    }

    /// A span in a role; values of an old sample are dimmed.
    pub fn span(&self, text: impl Into<String>, role: Role) -> Span<'a> {
        let role = if self.stale && role != Role::Bad {
            Role::Muted
        } else {
            role
        };
        Span::styled(text.into(), self.theme.style(role))
    }

    /// A value; one of an old sample ends in `?`.
    pub fn value(&self, text: impl Into<String>) -> Span<'a> {
        self.valued(text, Role::Text)
    }

    /// A value in a role.
    pub fn valued(&self, text: impl Into<String>, role: Role) -> Span<'a> {
        let text = text.into();
        self.span(
            if self.stale && text != "-" {
                format!("{text}?")
            } else {
                text
            },
            role,
        )
    }

    /// A value in a column of its own.
    pub fn padded(&self, text: impl Into<String>, cells: usize) -> Span<'a> {
        let value = self.value(text);
        Span::styled(format!("{:<cells$}", value.content), value.style)
    }

    /// A label in front of a value.
    pub fn label(&self, text: &str) -> Span<'a> {
        Span::styled(text.to_owned(), self.theme.style(Role::Muted))
    }

    /// Draws a frame with a title left and a remark right, and returns the inside.
    pub fn panel(&self, frame: &mut Frame<'_>, area: Rect, title: &str, remark: &str) -> Rect {
        let room = usize::from(area.width).saturating_sub(6);
        let title = fit(title, room);
        let remark = fit(remark, room.saturating_sub(title.chars().count() + 2));
        let mut block = Block::new()
            .borders(Borders::ALL)
            .border_style(self.theme.style(Role::Border))
            .title_top(Line::from(Span::styled(
                format!(" {title} "),
                self.theme.style(Role::Title),
            )));
        if !remark.is_empty() {
            block = block.title_top(Line::from(self.span(format!(" {remark} "), Role::Text)).right_aligned());
        }
        let inside = block.inner(area);
        frame.render_widget(block, area);
        inside
    }
}

#[cfg(test)]
mod budget;
#[cfg(test)]
mod tests;
