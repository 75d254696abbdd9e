//! What is kept of each kind, what it is read for, and how well that is answered.

use neo4j_operator_shared::cache::{Form, KindCache};
use ratatui::text::{Line, Span};

use super::{View, panels::Panel, theme::Role};
use crate::{
    app::cache::Focus,
    model::text::{clean, fit},
    widget::{bytes, count, percent, seconds},
};

/// From this width on each row has all columns.
const WIDE: usize = 110;

/// The table, in the order that the reader chose.
pub fn panel<'a>(view: &View<'a>, width: usize, height: usize) -> Panel<'a> {
    let title = "Kinds".to_owned();
    let Some(sample) = &view.app.model.sample else {
        return Panel {
            title,
            remark: String::new(),
            lines: vec![Line::from(view.label(" waiting for the daemon"))],
        };
    };
    let (app, cache) = (view.app, &sample.cache);
    let wide = width >= WIDE;
    let mut lines = vec![Line::from(view.label(&fit(&head(wide), width)))];
    let kinds = app.kinds();
    let rows = height.saturating_sub(1).max(1);
    let chosen = app.chosen_row();
    let from = (chosen + 1).saturating_sub(rows);
    for (index, row) in kinds.iter().enumerate().skip(from).take(rows) {
        let cursor = index == chosen && app.cache.focus == Focus::Kinds;
        lines.push(kind_row(view, row, cursor, width, wide));
    }
    if kinds.is_empty() {
        lines.push(Line::from(view.label(" no kind is kept")));
    }
    let shown = kinds.len().saturating_sub(from).min(rows);
    let more = if shown < kinds.len() {
        format!(", rows {}-{} of {}", from + 1, from + shown, kinds.len())
    } else {
        String::new()
    };
    let budget = cache
        .budget
        .map_or_else(String::new, |budget| format!(" of {}", bytes(budget as f64)));
    let order = if app.cache.reversed { " reversed" } else { "" };
    Panel {
        title,
        remark: format!(
            "{} objects, {}{budget}; by {}{order} (o){more}",
            count(cache.objects as f64),
            bytes(cache.bytes as f64),
            app.cache.sort.name(),
        ),
        lines,
    }
}

fn head(wide: bool) -> String {
    if wide {
        format!(
            "   {:<24}{:<11}{:<11}{:>8}{:>7}{:>7}{:>8}{:>8}{:>7}{:>7}  {}",
            "kind",
            "strategy",
            "keeps",
            "objects",
            "bytes",
            "hit",
            "hits/s",
            "miss/s",
            "idle",
            "age",
            "budget; misses; selector"
        )
    } else {
        format!(
            "   {:<19}{:<11}{:>8}{:>7}{:>7}{:>8}{:>6}  {}",
            "kind", "strategy", "objects", "bytes", "hit", "miss/s", "age", "misses"
        )
    }
}

fn kind_row<'a>(view: &View<'a>, row: &KindCache, cursor: bool, width: usize, wide: bool) -> Line<'a> {
    // A kind with a strategy of its own has a mark; one whose store cannot be read has a word.
    let own = if row.pinned { "!" } else { "" };
    let strategy = format!("{}{own}", row.strategy);
    let kept = row.form != Form::None;
    let since = |span: &neo4j_operator_shared::Span| seconds(span.0.as_secs_f64().floor());
    let age = match (&row.age, row.synced) {
        (_, false) if kept => "SYNCS".to_owned(),
        (Some(age), _) => since(age),
        (None, _) => "-".to_owned(),
    };
    let idle = row.unread.as_ref().map_or_else(|| "never".to_owned(), since);
    let hit = row.hit_rate.map_or_else(|| "-".to_owned(), percent);
    let rate = view.app.model.reads.rate(row.kind);
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), per_second);
    let (hits, missed) = (number(rate.map(|rate| rate.hits)), number(rate.map(|rate| rate.misses)));
    let over = row.budget.is_some_and(|budget| row.bytes > budget);
    let may = row.budget.map_or_else(String::new, |budget| {
        let word = if over { "OVER" } else { "of" };
        format!("{word} {}; ", bytes(budget as f64))
    });
    let why = format!("{may}{}", misses(row));
    let mark = if cursor { " > " } else { "   " };
    let text = if wide {
        let selector = row.selector.as_deref();
        let selector = selector.map_or_else(String::new, |selector| format!("; {}", clean(selector)));
        format!(
            "{:<24}{strategy:<11}{:<11}{:>8}{:>7}{hit:>7}{hits:>8}{missed:>8}{idle:>7}{age:>7}  {why}{selector}",
            fit(row.kind.plural(), 23),
            row.form.as_str(),
            count(row.objects as f64),
            bytes(row.bytes as f64),
        )
    } else {
        format!(
            "{:<19}{strategy:<11}{:>8}{:>7}{hit:>7}{missed:>8}{age:>6}  {why}",
            fit(row.kind.plural(), 18),
            count(row.objects as f64),
            bytes(row.bytes as f64),
        )
    };
    let role = match (row.synced || !kept) && !over {
        true if cursor => Role::Title,
        true => Role::Text,
        false => Role::Warn,
    };
    Line::from(vec![
        Span::styled(mark, view.theme.style(Role::Title)),
        view.span(fit(&text, width.saturating_sub(3)), role),
    ])
}

fn per_second(value: f64) -> String {
    if value == 0.0 || value >= 9.95 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

fn misses(row: &KindCache) -> String {
    let occurred = row.misses.iter().filter(|(_, misses)| **misses > 0);
    let each: Vec<_> = occurred
        .map(|(reason, misses)| format!("{} {misses}", reason.as_str()))
        .collect();
    if each.is_empty() {
        "-".to_owned()
    } else {
        each.join(" ")
    }
}
