//! The list of keys, from the action table.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{View, over, theme::Role};
use crate::{
    app::actions::{ACTIONS, Scope},
    model::text::fit,
};

/// Draws the keys of the page over it. What cannot be done now is not listed.
pub fn draw(view: &View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let place = Scope::On(view.app.page);
    let mut lines: Vec<_> = ACTIONS
        .iter()
        .filter(|row| row.scope.works_in(place) && view.app.offers(row))
        .map(|row| {
            let keys: Vec<_> = row.keys.iter().map(|key| key.name()).collect();
            Line::from(vec![
                Span::styled(format!(" {:<12}", keys.join(" ")), view.theme.style(Role::Title)),
                Span::styled(row.title, view.theme.style(Role::Text)),
            ])
        })
        .collect();
    if let Some(reason) = view.app.read_only_reason() {
        let text = fit(&format!(" READ-ONLY: {reason}"), 76);
        lines.push(Line::from(Span::styled(text, view.theme.style(Role::Warn))));
    }
    let size = (78, lines.len() as u16 + 2);
    let inside = over(view, frame, area, size, "Keys of this page", "Esc closes");
    frame.render_widget(Paragraph::new(lines), inside);
}
