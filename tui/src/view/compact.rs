//! A terminal that is too small for panels: the same facts as a list, the most urgent first.

use ratatui::{Frame, layout::Rect, text::Line, widgets::Paragraph};

use super::{View, answer, cache, header, memory, overview, theme::Role};
use crate::{app::Page, model::text::fit};

/// Draws the list of the open page.
pub fn draw(view: &View<'_>, frame: &mut Frame<'_>, area: Rect) {
    if area.height == 0 {
        return;
    }
    let width = usize::from(area.width);
    let mut lines = Vec::new();
    if view.app.page != Page::Overview {
        lines.push(Line::from(view.label(&fit(view.app.page.title(), width))));
    }
    if let Some((bad, text)) = view.app.notice_line() {
        let mark = if bad { "!!" } else { ">>" };
        let role = if bad { Role::Bad } else { Role::Mark };
        lines.push(Line::from(view.span(fit(&format!("{mark} {text}"), width), role)));
    }
    lines.extend(match view.app.page {
        Page::Overview => overview::compact(view, width, usize::from(area.height)),
        Page::Cache => cache::compact(view, width),
        Page::Memory => memory::compact(view, width),
    });
    lines.push(Line::from(view.span(fit(&answer::of(view), width), Role::Title)));
    lines.push(Line::from(view.label(&fit(
        &format!("terminal {}x{} is below 80x24: list shown", area.width, area.height),
        width,
    ))));
    header::title(view, frame, Rect { height: 1, ..area });
    let rest = Rect {
        y: area.y + 1,
        height: area.height - 1,
        ..area
    };
    frame.render_widget(Paragraph::new(lines), rest);
}
