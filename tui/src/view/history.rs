//! Past changes of the strategy: what was forecast, what came, how far it was off.

use neo4j_operator_shared::switch::{Measured, Quantity, QuantityError, SwitchOutcome, SwitchRecord};
use ratatui::{Frame, layout::Rect, text::Line, widgets::Paragraph};

use super::{View, answer, over, theme::Role};
use crate::{
    model::{
        switching,
        text::{clean, fit},
    },
    widget::{bytes, count, percent, rate, seconds},
};

/// Draws the record over the page.
pub fn draw(view: &View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let size = (
        area.width.saturating_sub(4).max(1),
        area.height.saturating_sub(2).max(1),
    );
    let width = usize::from(size.0).saturating_sub(2);
    let held = &view.app.model.pages.strategies;
    let remark = held.get().map_or_else(String::new, |strategies| {
        format!("{} changes; j k scroll, Esc closes", strategies.record.len())
    });
    let inside = over(view, frame, area, size, "Past changes: forecast → outcome", &remark);
    frame.render_widget(Paragraph::new(lines(view, width, usize::from(inside.height))), inside);
}

fn lines<'a>(view: &View<'a>, width: usize, height: usize) -> Vec<Line<'a>> {
    let held = &view.app.model.pages.strategies;
    let line = |text: String, role: Role| Line::from(view.span(fit(&text, width), role));
    let Some(strategies) = held.get() else {
        return vec![line(
            format!(" {}", answer::missing(held.trouble(), "the record")),
            Role::Muted,
        )];
    };
    let mut lines = Vec::new();
    if strategies.record.is_empty() {
        lines.push(line(
            " no change was made since the daemon started".to_owned(),
            Role::Muted,
        ));
    }
    let from = view
        .app
        .cache
        .history_from
        .min(strategies.record.len().saturating_sub(1));
    for record in strategies.record.iter().skip(from) {
        lines.push(line(title(record), Role::Title));
        if let Some(reason) = &record.operation.reason {
            lines.push(line(format!("   {}", clean(reason)), Role::Warn));
        }
        if record.outcomes.is_empty() {
            let why = if record.operation.state.swapped() {
                "not compared yet: that needs 5 min without another change"
            } else {
                "the old stores stayed in force: there is nothing to compare"
            };
            lines.push(line(format!("   {why}"), Role::Muted));
        }
        for outcome in &record.outcomes {
            lines.push(line(
                format!("   after {}, {} reads", outcome.after, count(outcome.reads as f64)),
                Role::Text,
            ));
            for quantity in Quantity::ALL {
                if let Some(text) = compared(record, outcome, quantity) {
                    lines.push(line(format!("     {text}"), Role::Text));
                }
            }
        }
    }
    if !strategies.choices.is_empty() {
        lines.push(line(" What adaptive decided".to_owned(), Role::Title));
        for choice in &strategies.choices {
            let what = if choice.acted { "changed" } else { "stays" };
            lines.push(line(
                format!(
                    "   {} {} {} → {} ({what}): {}",
                    choice.time.strftime("%H:%M:%S"),
                    choice.kind,
                    choice.from,
                    choice.to,
                    clean(&choice.reason)
                ),
                Role::Text,
            ));
        }
    }
    lines.truncate(height);
    lines
}

fn title(record: &SwitchRecord) -> String {
    let operation = &record.operation;
    let kinds = operation.kinds.as_ref().map_or_else(String::new, |kinds| {
        format!(
            " of {}",
            kinds.iter().map(|kind| kind.plural()).collect::<Vec<_>>().join(", ")
        )
    });
    format!(
        " {} {} {} → {}{kinds}: {} after {}, by {}",
        operation.started.strftime("%H:%M:%S"),
        clean(&operation.id),
        operation.from,
        operation.to,
        switching::word(operation.state),
        seconds(operation.seconds),
        operation.by.as_str()
    )
}

/// `before → forecast, came measured, off by error` of one quantity; absent if nothing was measured.
fn compared(record: &SwitchRecord, outcome: &SwitchOutcome, quantity: Quantity) -> Option<String> {
    let write: fn(f64) -> String = match quantity {
        Quantity::HitRate => percent,
        Quantity::Memory => bytes,
        Quantity::ApiRate => |value| rate(Some(value)),
        Quantity::P99 | Quantity::Warmup => seconds,
    };
    let read = |measured: &Measured| match quantity {
        Quantity::HitRate => measured.hit_rate,
        Quantity::Memory => measured.cache_bytes,
        Quantity::ApiRate => measured.api_rate,
        Quantity::P99 => measured.p99,
        Quantity::Warmup => measured.warmup,
    };
    let forecast = record.operation.forecast.as_ref();
    let forecast = forecast.and_then(|forecast| match quantity {
        Quantity::HitRate => forecast.hit_rate,
        Quantity::Memory => Some(forecast.cache_bytes),
        Quantity::ApiRate => Some(forecast.api_rate),
        Quantity::P99 => forecast.p99,
        Quantity::Warmup => Some(forecast.warmup),
    });
    let came = write(read(&outcome.measured)?);
    let text = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), write);
    let of_quantity = |error: &&QuantityError| error.quantity == quantity;
    let off = outcome.errors.iter().find(of_quantity).map_or_else(
        || "not compared".to_owned(),
        |error| format!("off by {}", percent(error.error)),
    );
    Some(format!(
        "{:<9} was {:<7} forecast {:<7} came {came:<7} {off}",
        quantity.as_str(),
        text(read(&record.before)),
        text(forecast.map(|forecast| forecast.value)),
    ))
}
