//! The screen: `&App -> Buffer`. Nothing is computed here that a test of the model could not see.

pub mod header;
pub mod help;
pub mod overview;
pub mod panels;
pub mod theme;

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::{Block, Borders},
};
use tokio::time::Instant;

use self::theme::{Role, Theme};
use crate::{
    app::{App, Mode},
    model::{Link, text::fit},
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
        overview::compact(&view, frame, area);
    } else {
        overview::draw(&view, frame, area);
    }
    for mode in &app.modes {
        match mode {
            Mode::Help => help::draw(&view, frame, area),
        }
    }
}

impl<'a> View<'a> {
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
mod tests;
