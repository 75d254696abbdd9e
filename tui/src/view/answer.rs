//! The answer to the question of the open page, in one sentence.

use neo4j_operator_shared::{
    Timestamp,
    memory::Memory,
    switch::{Forecast, Operation, OperationState, Strategies},
};

use super::{View, leak, reclaims};
use crate::{
    app::Page,
    model::{Link, goal_name, leak::Verdict, pages::Trouble},
    widget::{bytes, percent},
};

/// The sentence. While the link is not live it says that, on every page.
pub fn of(view: &View<'_>) -> String {
    let model = &view.app.model;
    let live = model.link_state(view.now) == Link::Live;
    match view.app.page {
        Page::Cache if live => cache(view),
        Page::Memory if live => memory(view),
        _ => model.verdict(view.now),
    }
}

/// Why a page has nothing to show of what only it asks for.
pub fn missing(trouble: Option<&Trouble>, what: &str) -> String {
    match trouble {
        None => format!("asking the daemon for {what}"),
        Some(Trouble::NotOffered) => format!("this daemon does not offer {what}: it is of an older version"),
        Some(Trouble::Failed(reason)) => format!("{what} could not be read: {reason}; C-r asks again"),
    }
}

fn cache(view: &View<'_>) -> String {
    let model = &view.app.model;
    if let Some(switching) = &model.switching
        && !switching.gone
    {
        match switching.operation.state {
            OperationState::Preparing => {
                let (ready, all) = switching.ready();
                return format!(
                    "{} is being prepared, {ready} of {all} kinds are ready; reads go on as before; x cancels it.",
                    switching.operation.to
                );
            }
            OperationState::Watching => {
                return format!(
                    "{} is in force{}; x goes back now.",
                    switching.operation.to,
                    goes_back(&switching.operation)
                );
            }
            _ => {}
        }
    }
    match view.app.forecasts() {
        None => format!("{}.", missing(model.pages.strategies.trouble(), "forecasts")),
        Some(strategies) => best(view, strategies),
    }
}

/// When a change that is watched goes back by itself.
pub fn goes_back(operation: &Operation) -> String {
    let at = |time: Timestamp| {
        format!(
            "; goes back by itself until {} if a goal breaks",
            time.strftime("%H:%M:%S")
        )
    };
    operation.rollback_at.map_or_else(String::new, at)
}

/// What the forecasts say: whether the strategy in force is fine, and what would be better.
fn best(view: &View<'_>, strategies: &Strategies) -> String {
    // Forecasts of a change of one kind are compared with what that kind runs.
    let of_kind = strategies.kinds.as_ref().and(view.app.in_force());
    let now = of_kind.unwrap_or(strategies.current);
    let current = strategies.forecasts.iter().find(|forecast| forecast.strategy == now);
    let fine: Vec<_> = strategies
        .forecasts
        .iter()
        .filter(|forecast| forecast.broken.is_empty())
        .collect();
    let smallest = fine.iter().min_by(|a, b| a.memory.value.total_cmp(&b.memory.value));
    match (current, smallest) {
        (Some(current), _) if current.broken.is_empty() => {
            format!("{now} meets every goal{}: there is no need to switch.", guess(current))
        }
        (Some(current), Some(other)) => {
            let names: Vec<_> = current.broken.iter().map(|goal| goal_name(*goal)).collect();
            let more = other.memory.value - current.memory.value;
            let cost = if more < 0.0 {
                format!("{} less memory", bytes(-more))
            } else {
                format!("{} more memory", bytes(more))
            };
            format!(
                "{now} breaks {}; {} is forecast to meet every goal for {cost}{}.",
                names.join(", "),
                other.strategy,
                guess(other)
            )
        }
        (Some(_), None) => "no strategy is forecast to meet every goal; compare what each breaks.".to_owned(),
        (None, _) => "the daemon gives no forecast for the strategy in force.".to_owned(),
    }
}

fn guess(forecast: &Forecast) -> String {
    if forecast.confidence < 0.5 {
        format!(" (a guess, {:.0}% sure)", forecast.confidence * 100.0)
    } else {
        String::new()
    }
}

/// The name of a memory level.
pub const fn level(level: u8) -> &'static str {
    match level {
        0 => "none",
        1 => "trim",
        2 => "evict",
        3 => "protect",
        _ => "unknown",
    }
}

fn memory(view: &View<'_>) -> String {
    let held = &view.app.model.pages.memory;
    let Some(memory) = held.get() else {
        return format!("{}.", missing(held.trouble(), "the memory report"));
    };
    let pressure = memory
        .pressure
        .map_or_else(String::new, |pressure| format!(" ({} of the limit)", percent(pressure)));
    let pressed = match memory.level {
        0 => format!("no pressure{pressure}"),
        n => format!("level {n} {}{pressure}: the daemon gives back by itself", level(n)),
    };
    let check = view.app.model.floors.check();
    let leak = match check.verdict {
        // That it takes some minutes stands in its panel.
        Verdict::TooShort => String::new(),
        _ => format!("{}; ", leak::phrase(&check)),
    };
    format!("{leak}{pressed}; {}.", reclaim(view, memory))
}

fn reclaim(view: &View<'_>, memory: &Memory) -> String {
    let key = if view.app.read_only_reason().is_none() {
        "C-g: "
    } else {
        ""
    };
    if memory.expected.most == 0 {
        return "there is nothing to give back now".to_owned();
    }
    let last = memory.reclaims.first();
    let lasted = last.and_then(|last| reclaims::lasted(view, last));
    let lasted = lasted.map_or_else(String::new, |text| format!("; after the last one it {text}"));
    format!("{key}a reclaim gives back {}{lasted}", expected(memory))
}

/// What a reclaim would give back.
pub fn expected(memory: &Memory) -> String {
    let (least, most) = (bytes(memory.expected.least as f64), bytes(memory.expected.most as f64));
    if memory.expected.most == 0 {
        "nothing".to_owned()
    } else if least == most {
        most
    } else {
        format!("{least} to {most}")
    }
}
