//! Page 3: which strategy is best now, at what cost? The switcher, the change under way, hits and misses,
//! and what is kept of each kind.

use neo4j_operator_shared::cache::{Form, KindCache, MissReason};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
};

use super::{View, header, panels::Panel, put, switcher, theme::Role};
use crate::{
    app::cache::Focus,
    model::{
        RANGE, switching,
        text::{clean, fit},
    },
    widget::{bar, bytes, count, percent, seconds, spark},
};

/// Draws the page into a terminal of at least 80x24.
pub fn draw(view: &View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let tall = area.height >= 34;
    let rows = view.app.choices().len() as u16;
    let [title, pages, goals, switch, middle, kinds, notice, verdict, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(u16::from(tall)),
        Constraint::Length(rows + if tall { 7 } else { 5 }),
        Constraint::Length(if tall { 9 } else { 4 }),
        Constraint::Min(3),
        Constraint::Length(header::notice_rows(view)),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(area);
    header::top(view, frame, [title, pages, goals]);
    put(view, frame, switch, |width, height| {
        switcher::panel(view, width, height)
    });
    let [left, right] = Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)]).areas(middle);
    put(view, frame, left, |width, height| match &view.app.model.switching {
        Some(switching) => switcher::operation(view, switching, width, height),
        None => hits(view, width),
    });
    put(view, frame, right, |width, height| misses(view, width, height));
    put(view, frame, kinds, |width, height| entries(view, width, height));
    header::bottom(view, frame, notice, verdict, keys);
}

fn hits<'a>(view: &View<'a>, width: usize) -> Panel<'a> {
    let model = &view.app.model;
    let ring = &model.series.hit_rate;
    let columns = width.saturating_sub(12).max(1);
    let line = spark(
        &ring.columns(
            view.now,
            (RANGE / columns as u32).max(std::time::Duration::from_secs(1)),
            columns,
        ),
        1.0,
    );
    let now = model.sample.as_ref().and_then(|sample| sample.cache.hit_rate);
    let by_kind = model.sample.as_ref().map_or_else(String::new, |sample| {
        let rows = sample
            .cache
            .kinds
            .iter()
            .filter_map(|row| Some((row.kind, row.hit_rate?)));
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by(|a, b| a.1.total_cmp(&b.1));
        let each: Vec<_> = rows
            .iter()
            .map(|(kind, rate)| format!("{kind} {}", percent(*rate)))
            .collect();
        each.join("  ")
    });
    Panel {
        title: "Hit rate".into(),
        remark: "15 min, goal 80%".into(),
        lines: vec![
            Line::from(vec![
                Span::raw(" "),
                view.padded(now.map_or_else(|| "no reads".to_owned(), percent), 9),
                view.span(line, Role::Mark),
            ]),
            Line::from(view.span(fit(&format!(" lowest: {by_kind}"), width), Role::Text)),
        ],
    }
}

/// Misses of all kinds by reason since the daemon started, most frequent first.
fn reasons(kinds: &[KindCache]) -> Vec<(MissReason, u64)> {
    let sum = |reason: MissReason| kinds.iter().filter_map(|row| row.misses.get(&reason)).sum();
    let mut all: Vec<(MissReason, u64)> = MissReason::ALL
        .into_iter()
        .map(|reason| (reason, sum(reason)))
        .collect();
    all.retain(|(_, count)| *count > 0);
    all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    all
}

const fn meaning(reason: MissReason) -> &'static str {
    match reason {
        MissReason::Cold => "nothing kept yet",
        MissReason::Unsynced => "no whole list yet",
        MissReason::Evicted => "was dropped",
        MissReason::Stale => "older than known",
        MissReason::Filtered => "outside the selection",
    }
}

fn misses<'a>(view: &View<'a>, width: usize, height: usize) -> Panel<'a> {
    let title = "Why reads miss".to_owned();
    let Some(sample) = &view.app.model.sample else {
        return Panel {
            title,
            remark: String::new(),
            lines: vec![Line::from(view.label(" waiting for the daemon"))],
        };
    };
    let reasons = reasons(&sample.cache.kinds);
    let total: u64 = reasons.iter().map(|(_, count)| count).sum();
    let cells = width.saturating_sub(42).min(20);
    let mut lines: Vec<_> = reasons
        .iter()
        .take(height)
        .map(|(reason, misses)| {
            let share = *misses as f64 / total.max(1) as f64;
            Line::from(vec![
                view.label(&format!(" {:<9}", reason.as_str())),
                view.span(bar(share, cells), Role::Mark),
                view.value(format!(" {:>5} {:>8}", percent(share), count(*misses as f64))),
                view.label(&fit(
                    &format!("  {}", meaning(*reason)),
                    width.saturating_sub(26 + cells),
                )),
            ])
        })
        .collect();
    if lines.is_empty() {
        lines.push(Line::from(view.label(" no read missed so far")));
    }
    if height > reasons.len() + 1 && view.app.read_only_reason().is_none() {
        lines.push(Line::from(
            view.label(&fit(" w lists what is kept but not read yet", width)),
        ));
    }
    Panel {
        title,
        remark: format!("since start, n {}", count(total as f64)),
        lines,
    }
}

fn entries<'a>(view: &View<'a>, width: usize, height: usize) -> Panel<'a> {
    let title = "Kinds".to_owned();
    let Some(sample) = &view.app.model.sample else {
        return Panel {
            title,
            remark: String::new(),
            lines: vec![Line::from(view.label(" waiting for the daemon"))],
        };
    };
    let cache = &sample.cache;
    let wide = width >= 110;
    let head = if wide {
        format!(
            "   {:<23}{:<11}{:<11}{:>8}{:>8}{:>7}{:>7}{:>7}  {}",
            "kind", "strategy", "keeps", "objects", "bytes", "hit", "lists", "age", "misses; selector"
        )
    } else {
        format!(
            "   {:<22}{:<11}{:>8}{:>7}{:>7}{:>6}  {}",
            "kind", "strategy", "objects", "bytes", "hit", "age", "misses"
        )
    };
    let mut lines = vec![Line::from(view.label(&fit(&head, width)))];
    let rows = height.saturating_sub(1).max(1);
    let chosen = view.app.cache.kind.min(cache.kinds.len().saturating_sub(1));
    let from = (chosen + 1).saturating_sub(rows);
    for (index, row) in cache.kinds.iter().enumerate().skip(from).take(rows) {
        let cursor = index == chosen && view.app.cache.focus == Focus::Kinds;
        lines.push(kind_row(view, row, cursor, width, wide));
    }
    if cache.kinds.is_empty() {
        lines.push(Line::from(view.label(" no kind is kept")));
    }
    let budget = cache
        .budget
        .map_or_else(String::new, |budget| format!(" of {}", bytes(budget as f64)));
    let shown = cache.kinds.len().saturating_sub(from).min(rows);
    let more = if shown < cache.kinds.len() {
        format!(", rows {}-{} of {}", from + 1, from + shown, cache.kinds.len())
    } else {
        String::new()
    };
    Panel {
        title,
        remark: format!(
            "{} objects, {}{budget}{more}",
            count(cache.objects as f64),
            bytes(cache.bytes as f64)
        ),
        lines,
    }
}

fn kind_row<'a>(view: &View<'a>, row: &KindCache, cursor: bool, width: usize, wide: bool) -> Line<'a> {
    // A kind with a strategy of its own has a mark; one whose store cannot be read has a word.
    let own = if row.pinned { "!" } else { "" };
    let strategy = format!("{}{own}", row.strategy);
    let kept = row.form != Form::None;
    let age = match (&row.age, row.synced) {
        (_, false) if kept => "SYNCS".to_owned(),
        (Some(age), _) => seconds(age.0.as_secs_f64().floor()),
        (None, _) => "-".to_owned(),
    };
    let hit = row.hit_rate.map_or_else(|| "-".to_owned(), percent);
    let misses: Vec<_> = row
        .misses
        .iter()
        .filter(|(_, misses)| **misses > 0)
        .map(|(reason, misses)| format!("{} {misses}", reason.as_str()))
        .collect();
    let misses = if misses.is_empty() {
        "no misses".to_owned()
    } else {
        misses.join(" ")
    };
    let selector = row
        .selector
        .as_deref()
        .map_or_else(String::new, |selector| format!("; {}", clean(selector)));
    let mark = if cursor { " > " } else { "   " };
    let text = if wide {
        format!(
            "{:<23}{strategy:<11}{:<11}{:>8}{:>8}{hit:>7}{:>7}{age:>7}  {misses}{selector}",
            fit(row.kind.plural(), 22),
            row.form.as_str(),
            count(row.objects as f64),
            bytes(row.bytes as f64),
            row.lists,
        )
    } else {
        format!(
            "{:<22}{strategy:<11}{:>8}{:>7}{hit:>7}{age:>6}  {misses}",
            fit(row.kind.plural(), 21),
            count(row.objects as f64),
            bytes(row.bytes as f64),
        )
    };
    let role = match row.synced || !kept {
        true if cursor => Role::Title,
        true => Role::Text,
        false => Role::Warn,
    };
    Line::from(vec![
        Span::styled(mark, view.theme.style(Role::Title)),
        view.span(fit(&text, width.saturating_sub(3)), role),
    ])
}

/// The most urgent facts, for a terminal that is too small for panels.
pub fn compact<'a>(view: &View<'a>, width: usize) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    let Some(sample) = &view.app.model.sample else {
        return lines;
    };
    let hit = sample.cache.hit_rate.map_or_else(|| "-".to_owned(), percent);
    let text = format!(
        "{}  hit {hit}  {}",
        sample.cache.strategy,
        bytes(sample.cache.bytes as f64)
    );
    lines.push(Line::from(view.value(fit(&text, width))));
    let wanted = view.app.choices()[view.app.chosen()];
    let verdict = view
        .app
        .forecast(wanted)
        .map_or("no forecast", |forecast| forecast.verdict.as_str());
    lines.push(Line::from(
        view.span(fit(&format!("> {wanted}: {}", clean(verdict)), width), Role::Text),
    ));
    if let Some(switching) = &view.app.model.switching {
        let role = if switching::ended(switching.operation.state) {
            Role::Text
        } else {
            Role::Warn
        };
        lines.push(Line::from(view.span(fit(&clean(&switching.line()), width), role)));
    }
    lines
}
