//! The strategies beside each other: what is, what is forecast and how far that may be off; and the change
//! that is under way.

use neo4j_operator_shared::{
    goals::GoalId,
    switch::{Estimate, Forecast, KindProgress, Measured, Wanted},
};
use ratatui::text::{Line, Span};

use super::{View, answer, dialog, panels::Panel, theme::Role};
use crate::{
    app::cache::Focus,
    model::{
        goal_name,
        switching::{self, Switching},
        text::{clean, fit},
    },
    widget::{bytes, count, percent, rate, seconds},
};

/// From this width on each cell also says what is now.
const WIDE: usize = 110;

/// A row of the table as texts: `now → forecast ±margin`.
#[derive(Debug, Default)]
pub struct Cells {
    /// Hit rate.
    pub hit: String,
    /// Resident bytes.
    pub memory: String,
    /// Requests per second.
    pub api: String,
    /// 99th percentile.
    pub p99: String,
    /// Seconds until the stores are read.
    pub warmup: String,
}

/// Writes a forecast; without `now` only what is forecast.
pub fn cells(now: Option<&Measured>, forecast: &Forecast) -> Cells {
    let arrow = |now: Option<f64>, then: Option<Estimate>, write: fn(f64) -> String| {
        let Some(then) = then else { return "-".to_owned() };
        let now = now.map_or_else(String::new, |now| format!("{} → ", write(now)));
        let margin = if then.margin > 0.0 {
            format!(" ±{}", write(then.margin))
        } else {
            String::new()
        };
        format!("{now}{}{margin}", write(then.value))
    };
    let of = |read: fn(&Measured) -> Option<f64>| now.and_then(read);
    let number = |value: f64| rate(Some(value)).trim_end_matches("/s").to_owned();
    Cells {
        hit: arrow(of(|now| now.hit_rate), forecast.hit_rate, whole_percent),
        memory: arrow(of(|now| now.memory), Some(forecast.memory), bytes),
        api: arrow(of(|now| now.api_rate), Some(forecast.api_rate), number),
        p99: arrow(of(|now| now.p99), forecast.p99, seconds),
        warmup: arrow(None, Some(forecast.warmup), seconds),
    }
}

/// A forecast is not known to a tenth of a percent.
fn whole_percent(value: f64) -> String {
    percent((value * 100.0).round() / 100.0)
}

/// The switcher.
pub fn panel<'a>(view: &View<'a>, width: usize, height: usize) -> Panel<'a> {
    let app = view.app;
    let held = &app.model.pages.strategies;
    let title = app.cache.scope.map_or_else(
        || "Strategy switcher".to_owned(),
        |kind| format!("Strategy switcher of {kind}"),
    );
    let remark = held.get().map_or_else(String::new, |strategies| {
        let age = held.age(view.now).map_or(0.0, |age| age.as_secs_f64().floor());
        let old = if held.trouble().is_some() { "!! old, " } else { "" };
        format!(
            "{old}{} reads in {}, asked {} ago",
            count(strategies.reads as f64),
            seconds(strategies.observed.0.as_secs_f64()),
            seconds(age)
        )
    });
    let mut lines = vec![head(view, width)];
    for (index, wanted) in app.choices().into_iter().enumerate() {
        lines.push(row(view, index, wanted, width));
    }
    if app.forecasts().is_none() {
        let role = if held.trouble().is_some() {
            Role::Warn
        } else {
            Role::Muted
        };
        lines.push(Line::from(view.span(
            fit(&format!(" {}", answer::missing(held.trouble(), "forecasts")), width),
            role,
        )));
    } else {
        // The options below always keep their line.
        lines.extend(selected(view, width, width >= WIDE && height > lines.len() + 3));
    }
    lines.push(options(view, width));
    lines.truncate(height);
    Panel { title, remark, lines }
}

fn head<'a>(view: &View<'a>, width: usize) -> Line<'a> {
    let text = match (view.app.cache.scope.is_some(), width >= WIDE) {
        (true, _) => format!(
            "   {:<10} {:<11} {:>8} {:>8} {:>7} {:>9}  {}",
            "strategy",
            "keeps",
            "objects",
            "bytes",
            "hit",
            "api/s",
            // A daemon of an older version only forecasts a change of all kinds.
            if view.app.forecasts_fit() {
                "goals"
            } else {
                "of all kinds"
            }
        ),
        (false, true) => format!(
            "   {:<10}{:<18}{:<19}{:<16}{:<21}{:<13}{:<5}{}",
            "strategy", "hit now → then", "memory", "api/s", "p99 reconcile", "warm-up", "sure", "goals"
        ),
        (false, false) => format!(
            "   {:<10}{:<11}{:<13}{:<12}{:<7}{:<6}{:<5}{}",
            "strategy", "hit then", "memory", "api/s", "p99", "warm", "sure", "goals"
        ),
    };
    Line::from(view.label(&fit(&text, width)))
}

fn row<'a>(view: &View<'a>, index: usize, wanted: Wanted, width: usize) -> Line<'a> {
    let app = view.app;
    let chosen = index == app.chosen();
    let runs = matches!(wanted, Wanted::Strategy(strategy) if Some(strategy) == app.in_force());
    let cursor = if chosen && app.cache.focus == Focus::Strategies {
        '>'
    } else {
        ' '
    };
    let mark = format!("{cursor}{} ", if runs { '*' } else { ' ' });
    let name = Span::styled(
        format!("{mark}{:<10}", wanted.to_string()),
        view.theme.style(if chosen { Role::Title } else { Role::Text }),
    );
    let Some(forecast) = app.forecast(wanted) else {
        let text = if runs { "in force" } else { "-" };
        return Line::from(vec![name, view.label(text)]);
    };
    let mut spans = vec![name];
    let broken: Vec<_> = forecast.broken.iter().map(|goal| goal_name(*goal)).collect();
    let (goals, role) = if broken.is_empty() {
        ("meets all".to_owned(), Role::Ok)
    } else {
        let (few, many) = (broken.join(" "), format!("{} goals", broken.len()));
        (format!("breaks {}", if few.len() > 4 { many } else { few }), Role::Bad)
    };
    if let Some(kind) = app.cache.scope {
        let part = forecast.kinds.iter().find(|part| part.kind == kind);
        let text = part.map_or_else(
            || "nothing is known of this kind".to_owned(),
            |part| {
                format!(
                    " {:<11} {:>8} {:>8} {:>7} {:>9} ",
                    part.form.as_str(),
                    count(part.objects as f64),
                    bytes(part.bytes),
                    part.hit_rate.map_or_else(|| "-".to_owned(), percent),
                    rate(Some(part.api_rate)),
                )
            },
        );
        spans.push(view.span(text, Role::Text));
        spans.push(view.span(format!(" {}", fit(&goals, width.saturating_sub(65))), role));
        return Line::from(spans);
    }
    let wide = width >= WIDE;
    let now = app
        .model
        .pages
        .strategies
        .get()
        .map(|all| &all.now)
        .filter(|_| wide && !runs);
    let cells = cells(now, forecast);
    let widths = if wide { [18, 19, 16, 21, 13] } else { [11, 13, 12, 7, 6] };
    let breaks = |goals: &[GoalId]| forecast.broken.iter().any(|goal| goals.contains(goal));
    let marked = [
        (cells.hit, breaks(&[GoalId::HitRate])),
        (cells.memory, breaks(&[GoalId::MemoryBase, GoalId::MemoryLoad])),
        (cells.api, breaks(&[GoalId::ApiRate])),
        (cells.p99, breaks(&[GoalId::Reconcile])),
        (cells.warmup, breaks(&[GoalId::Startup])),
    ];
    for ((text, bad), cells) in marked.into_iter().zip(widths) {
        // A narrow table leaves the margin of what has least room to the question and the line below.
        let text = if wide || cells >= 11 {
            text
        } else {
            text.split(" ±").next().unwrap_or_default().to_owned()
        };
        let text = if bad { format!("{text} !!") } else { text };
        let role = if bad { Role::Bad } else { Role::Text };
        spans.push(view.span(fit(&text, cells - 1), role));
        let gap = cells - fit(&text, cells - 1).chars().count();
        spans.push(Span::raw(" ".repeat(gap)));
    }
    // A tenth of a percent would say more than is known, and touch the next column.
    let sure = format!("{:.0}%", forecast.confidence * 100.0);
    spans.push(view.span(format!("{sure:<5}"), Role::Text));
    spans.push(view.span(fit(&goals, width.saturating_sub(if wide { 105 } else { 67 })), role));
    Line::from(spans)
}

/// What is to be known of the chosen row.
fn selected<'a>(view: &View<'a>, width: usize, all: bool) -> Vec<Line<'a>> {
    let app = view.app;
    let wanted = app.choices()[app.chosen()];
    let Some(forecast) = app.forecast(wanted) else {
        return vec![Line::from(view.label(" no forecast for this strategy"))];
    };
    let request = app.request(true);
    let tried = app.cache.dry_run.as_ref().filter(|(asked, _)| *asked == request);
    let dry = tried.map_or_else(String::new, |(_, answer)| {
        let kinds: Vec<_> = answer.kinds.iter().map(|kind| kind.plural()).collect();
        if kinds.is_empty() {
            "; dry run: nothing would change".to_owned()
        } else {
            format!("; dry run: would change {}", kinds.join(", "))
        }
    });
    let text = format!(" {wanted}: {}{dry}", clean(&forecast.verdict));
    let mut lines = vec![Line::from(view.span(fit(&text, width), Role::Text))];
    if all {
        let text = format!(" cost: {}; sure {}", dialog::costs(forecast), dialog::sure(forecast));
        lines.push(Line::from(view.span(fit(&text, width), Role::Text)));
        lines.push(past(view, width));
    }
    lines
}

/// How good forecasts were so far.
fn past<'a>(view: &View<'a>, width: usize) -> Line<'a> {
    let strategies = view.app.model.pages.strategies.get();
    let errors = strategies.map_or(&[][..], |all| &all.errors);
    let text = if errors.is_empty() {
        " past forecasts: none could be compared yet (a change needs 5 min and 100 reads)".to_owned()
    } else {
        let each: Vec<_> = errors
            .iter()
            .map(|error| format!("{} {}", error.quantity.as_str(), percent(error.error)))
            .collect();
        format!(" past forecasts were off by: {}  (H: each change)", each.join("  "))
    };
    Line::from(view.span(fit(&text, width), Role::Text))
}

fn options<'a>(view: &View<'a>, width: usize) -> Line<'a> {
    if let Some(reason) = view.app.read_only_reason() {
        let text = fit(
            &format!(" READ-ONLY: {reason}; d tries a strategy without starting it"),
            width,
        );
        return Line::from(view.span(text, Role::Warn));
    }
    let mark = if view.app.cache.rollback { 'x' } else { ' ' };
    let kind = if view.app.cache.scope.is_some() {
        "s all kinds"
    } else {
        "s one kind"
    };
    let text = if width >= WIDE {
        format!(
            " [{mark}] b: back in 5 min if the hit rate falls below 80% or memory is over a limit   d dry run  \
             H history  {kind}"
        )
    } else {
        format!(" [{mark}] b: back in 5 min if a goal breaks  d dry run  H history  {kind}")
    };
    Line::from(view.label(&fit(&text, width)))
}

/// The change that is under way or ended last, kind by kind.
pub fn operation<'a>(view: &View<'a>, switching: &Switching, width: usize, height: usize) -> Panel<'a> {
    let operation = &switching.operation;
    let mut lines = Vec::new();
    let (word, role) = if switching.gone {
        ("NO LONGER LISTED", Role::Warn)
    } else {
        let role = match operation.state {
            state if state.swapped() => Role::Ok,
            state if switching::ended(state) => Role::Bad,
            _ => Role::Warn,
        };
        (switching::word(operation.state), role)
    };
    lines.push(Line::from(vec![
        Span::raw(" "),
        view.span(word, role),
        view.span(
            fit(
                &format!(
                    "  {} → {}  {}  by {}",
                    operation.from,
                    operation.to,
                    seconds(operation.seconds),
                    operation.by.as_str()
                ),
                width.saturating_sub(word.len() + 1),
            ),
            Role::Text,
        ),
    ]));
    let last = if switching.cancellable() {
        " x cancels it; reads go on as before".to_owned()
    } else if let Some(reason) = &operation.reason {
        format!(" {}", clean(reason))
    } else if let Some(until) = operation.rollback_at {
        let until = until.strftime("%H:%M:%S");
        format!(" x: back now; {until}: if a goal breaks")
    } else {
        format!(" {}", switching::meaning(operation.state))
    };
    let room = height.saturating_sub(2);
    // What is not ready yet is what people wait for.
    let mut progress: Vec<&KindProgress> = operation.progress.iter().collect();
    progress.sort_by_key(|kind| kind.synced);
    let more = progress.len().saturating_sub(room);
    lines.extend(progress.iter().take(room).map(|kind| progress_row(view, kind, width)));
    lines.push(Line::from(view.span(fit(&last, width), Role::Text)));
    lines.truncate(height.max(1));
    let (ready, all) = switching.ready();
    let hidden = if more > 0 {
        format!(", {more} more rows")
    } else {
        String::new()
    };
    Panel {
        title: format!("Change {}", clean(&operation.id)),
        remark: format!("{ready} of {all} kinds ready{hidden}"),
        lines,
    }
}

fn progress_row<'a>(view: &View<'a>, kind: &KindProgress, width: usize) -> Line<'a> {
    let (word, role) = if kind.synced {
        ("ready  ", Role::Ok)
    } else {
        ("filling", Role::Warn)
    };
    let trouble = kind
        .trouble
        .as_deref()
        .map_or_else(String::new, |trouble| format!("  {}", clean(trouble)));
    let text = format!(
        "  {} {}→{}  {} objects{trouble}",
        kind.kind,
        kind.from,
        kind.to,
        count(kind.objects as f64)
    );
    Line::from(vec![
        Span::raw("  "),
        view.span(word, role),
        view.span(fit(&text, width.saturating_sub(9)), Role::Text),
    ])
}
