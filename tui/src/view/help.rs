//! The list of keys, from the action table.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::{Clear, Paragraph},
};

use super::{View, theme::Role};
use crate::app::actions::{ACTIONS, Scope};

/// Draws the list over the page.
pub fn draw(view: &View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let lines: Vec<_> = ACTIONS
        .iter()
        .filter(|row| row.scope != Scope::Help)
        .map(|row| {
            let keys: Vec<_> = row.keys.iter().map(|key| key.name()).collect();
            Line::from(vec![
                Span::styled(format!(" {:<12}", keys.join(" ")), view.theme.style(Role::Title)),
                Span::styled(row.title, view.theme.style(Role::Text)),
            ])
        })
        .collect();
    let height = (lines.len() as u16 + 2).min(area.height);
    let width = 66.min(area.width);
    let over = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, over);
    let inside = view.panel(frame, over, "Keys", "Esc closes");
    frame.render_widget(Paragraph::new(lines), inside);
}
