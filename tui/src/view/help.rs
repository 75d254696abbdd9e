//! The list of keys, from the action table. Actions with one title stand in one line.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};

use super::{View, sheet, theme::Role};
use crate::{
    app::actions::{ACTIONS, Scope},
    model::text::fit,
};

/// Draws the keys of the page over it. What cannot be done now is not listed.
pub fn draw(view: &View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let mut lines: Vec<_> = rows(view)
        .into_iter()
        .map(|(keys, title)| {
            Line::from(vec![
                Span::styled(format!(" {:<16}", keys.join(" ")), view.theme.style(Role::Title)),
                Span::styled(title, view.theme.style(Role::Text)),
            ])
        })
        .collect();
    if let Some(reason) = view.app.read_only_reason() {
        let text = fit(&format!(" READ-ONLY: {reason}"), 76);
        lines.push(Line::from(Span::styled(text, view.theme.style(Role::Warn))));
    }
    sheet(view, frame, area, "Keys of this page", lines);
}

/// Keys and what they do, in the order of the table.
pub fn rows(view: &View<'_>) -> Vec<(Vec<String>, &'static str)> {
    let place = Scope::On(view.app.page);
    let mut rows: Vec<(Vec<String>, &'static str)> = Vec::new();
    for row in ACTIONS {
        if !row.scope.works_in(place) || !view.app.offers(row) {
            continue;
        }
        let keys = row.keys.iter().map(|key| key.name());
        match rows.iter_mut().find(|(_, title)| *title == row.title) {
            Some((have, _)) => have.extend(keys),
            None => rows.push((keys.collect(), row.title)),
        }
    }
    rows
}
