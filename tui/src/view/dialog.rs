//! The question before a change: what would be changed, what is forecast, how it is undone, what is sent.

use neo4j_operator_shared::switch::Forecast;
use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{View, over, switcher, theme::Role};
use crate::{
    app::{acts::Act, cache::Confirm},
    control,
    model::{
        goal_name,
        text::{clean, fit},
    },
    widget::{bytes, percent, rate, seconds},
};

/// Width of the box.
const WIDTH: u16 = 78;

/// Draws the question over the page. In a terminal too small for all of it the answers stay visible.
pub fn draw(view: &View<'_>, confirm: &Confirm, frame: &mut Frame<'_>, area: Rect) {
    let daemon = view
        .app
        .model
        .sample
        .as_ref()
        .map_or_else(String::new, |sample| clean(&sample.status.listeners.control));
    let width = usize::from(WIDTH.min(area.width)).saturating_sub(2);
    let mut lines = body(view, confirm, width);
    let room = usize::from(area.height).saturating_sub(2);
    let buttons = buttons(view, confirm, width);
    lines.truncate(room.saturating_sub(buttons.len()));
    lines.extend(buttons);
    let size = (WIDTH, lines.len() as u16 + 2);
    let inside = over(view, frame, area, size, "Confirm: switch cache strategy", &daemon);
    frame.render_widget(Paragraph::new(lines), inside);
}

fn body<'a>(view: &View<'a>, confirm: &Confirm, width: usize) -> Vec<Line<'a>> {
    let row = |label: &str, text: &str, role: Role| {
        Line::from(vec![
            view.label(&format!(" {label:<10} ")),
            Span::styled(fit(text, width.saturating_sub(12)), view.theme.style(role)),
        ])
    };
    let of = confirm.request.kinds.as_ref().map_or_else(
        || "every kind without a strategy of its own".to_owned(),
        |kinds| kinds.iter().map(|kind| kind.plural()).collect::<Vec<_>>().join(", "),
    );
    // A daemon of an older version forecasts costs and goals of all kinds together.
    let all = if confirm.request.kinds.is_some() && !confirm.exact {
        "for all kinds: "
    } else {
        ""
    };
    let undo = if confirm.request.rollback_after.is_some() {
        "[x] goes back by itself within 5 min if a goal breaks   (b: off)"
    } else {
        "[ ] stays, whatever goals break   (b: on)"
    };
    let wire = control::wire(&Act::Switch(confirm.request.clone()));
    let sends = format!("{} {} {}", wire.method, wire.path, wire.body.unwrap_or_default());
    let change = format!("{} → {}", confirm.from, confirm.request.strategy);
    let mut rows = vec![row("change", &change, Role::Title), row("of", &of, Role::Text)];
    match &confirm.forecast {
        None => {
            let text = if confirm.exact {
                "!! nothing is forecast: the daemon has observed too little"
            } else {
                "!! nothing is forecast: the forecast of this change is not read yet"
            };
            rows.push(row("risk", text, Role::Bad));
        }
        Some(forecast) => {
            let broken: Vec<_> = forecast.broken.iter().map(|goal| goal_name(*goal)).collect();
            let (risk, role) = if broken.is_empty() {
                ("no goal is forecast to break".to_owned(), Role::Ok)
            } else {
                (format!("!! forecast to break: {}", broken.join(", ")), Role::Bad)
            };
            let verdict = format!("{all}{}", clean(&forecast.verdict));
            rows.extend([
                row("predicted", &predicted(view, confirm, forecast), Role::Text),
                row("costs", &format!("{all}{}", costs(forecast)), Role::Text),
                row("sure", &sure(forecast), Role::Text),
                row("risk", &risk, role),
                row("verdict", &verdict, Role::Text),
            ]);
        }
    }
    rows.extend([
        row("undo", undo, Role::Text),
        row("sends", &sends, Role::Muted),
        Line::default(),
    ]);
    rows
}

/// Hit rate, memory, requests and p99: of one kind what is forecast of it.
fn predicted(view: &View<'_>, confirm: &Confirm, forecast: &Forecast) -> String {
    if let Some(kinds) = &confirm.request.kinds {
        let part = forecast.kinds.iter().find(|part| kinds.contains(&part.kind));
        return part.map_or_else(
            || "nothing is known of this kind".to_owned(),
            |part| {
                let hit = part.hit_rate.map_or_else(|| "-".to_owned(), percent);
                let api = rate(Some(part.api_rate));
                let (form, memory) = (part.form, bytes(part.bytes));
                format!("keeps {form}, {} objects, {memory}  hit {hit}  api {api}", part.objects)
            },
        );
    }
    let cells = switcher::cells(view.app.model.pages.strategies.get().map(|all| &all.now), forecast);
    format!(
        "hit {}  mem {}  api {}  p99 {}",
        cells.hit, cells.memory, cells.api, cells.p99
    )
}

/// What the change itself takes.
pub fn costs(forecast: &Forecast) -> String {
    if forecast.warmup_requests == 0 {
        return "nothing has to be listed".to_owned();
    }
    format!(
        "{} ±{} of lists: {} requests, at most {} more while filling",
        seconds(forecast.warmup.value),
        seconds(forecast.warmup.margin),
        forecast.warmup_requests,
        bytes(forecast.peak_bytes as f64)
    )
}

/// How much the forecast rests on.
pub fn sure(forecast: &Forecast) -> String {
    let word = if forecast.confidence < 0.5 { ": a guess" } else { "" };
    format!("{:.0}%{word}", forecast.confidence * 100.0)
}

fn buttons<'a>(view: &View<'a>, confirm: &Confirm, width: usize) -> Vec<Line<'a>> {
    let button = |text: &str, marked: bool| {
        let text = if marked {
            format!("[ {text} ]")
        } else {
            format!("  {text}  ")
        };
        let role = if marked { Role::Title } else { Role::Muted };
        Span::styled(text, view.theme.style(role))
    };
    let help = "Enter takes the one in brackets, Tab marks the other, Esc cancels";
    vec![
        Line::from(vec![
            Span::raw("   "),
            button("Cancel", !confirm.yes),
            Span::raw("   "),
            button("Confirm", confirm.yes),
        ]),
        Line::from(view.label(&fit(&format!(" {help}"), width))),
    ]
}
