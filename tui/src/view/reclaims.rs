//! The past reclaims, what each did, and whether it lasted.

use neo4j_operator_shared::memory::{Reclaim, Sizes};
use ratatui::{Frame, layout::Rect, text::Line};

use super::{View, memory, panels::Panel, sheet, sheet_width, theme::Role};
use crate::{
    model::{
        mark,
        text::{clean, fit},
    },
    widget::{bytes, seconds},
};

/// The chosen one.
fn chosen<'a>(view: &View<'a>) -> Option<&'a Reclaim> {
    let reclaims = &memory::report(view)?.reclaims;
    reclaims.get(view.app.reclaim.min(reclaims.len().saturating_sub(1)))
}

/// What it gave back, in one word: the larger of what it freed and what left the process.
pub fn gave_back(reclaim: &Reclaim) -> String {
    let less = |read: fn(&Sizes) -> Option<u64>| {
        let (before, after) = (read(&reclaim.before)?, read(&reclaim.after)?);
        Some(before.saturating_sub(after))
    };
    let back = less(|sizes| sizes.allocated).max(less(|sizes| sizes.rss));
    match back {
        None => "-".to_owned(),
        Some(0) => "nothing".to_owned(),
        Some(back) => format!("-{}", bytes(back as f64)),
    }
}

/// Less than this part of the resident size comes and goes by itself.
const NOISE: u64 = 100;

/// Whether the resident size is back where it was before a reclaim; absent where that was not watched, or gave
/// nothing worth mentioning back.
pub fn lasted(view: &View<'_>, reclaim: &Reclaim) -> Option<String> {
    let sample = view.app.model.sample.as_ref()?;
    let ended = mark::ours(reclaim.time, (sample.at, sample.status.now))?;
    let (before, after) = (reclaim.before.rss?, reclaim.after.rss?);
    let rss = &view.app.model.series.rss;
    let watched = rss.first().is_some_and(|first| first <= ended);
    if !watched || before.saturating_sub(after) <= before / NOISE {
        return None;
    }
    let grown = rss.first_reach(ended, before as f64);
    let since = |moment: tokio::time::Instant| seconds(moment.saturating_duration_since(ended).as_secs_f64().floor());
    Some(match grown {
        Some(moment) => format!("grew back within {}", since(moment)),
        None => format!("has not grown back in {}", since(view.now)),
    })
}

/// Everything about the chosen reclaim, over the page.
pub fn draw(view: &View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let room = usize::from(sheet_width(area)).saturating_sub(2);
    let line = |text: String, role: Role| Line::from(view.span(fit(&text, room), role));
    let Some(reclaim) = chosen(view) else {
        let none = vec![line(" there was none yet".to_owned(), Role::Muted)];
        sheet(view, frame, area, "What a reclaim did", none);
        return;
    };
    let mut lines = vec![
        line(
            format!(
                " {} {} at level {} {}, took {}",
                reclaim.time.strftime("%H:%M:%S"),
                reclaim.trigger.as_str(),
                reclaim.level,
                super::answer::level(reclaim.level),
                seconds(reclaim.seconds)
            ),
            Role::Title,
        ),
        line(format!(" {}", clean(&reclaim.message)), Role::Text),
    ];
    lines.extend(lasted(view, reclaim).map(|text| line(format!(" rss {text}"), Role::Text)));
    for (name, read) in SIZES {
        let text = |sizes: &Sizes| read(sizes).map_or_else(|| "-".to_owned(), |size| bytes(size as f64));
        let (before, after) = (text(&reclaim.before), text(&reclaim.after));
        lines.push(line(format!("   {name:<10} {before:>7} → {after}"), Role::Text));
    }
    lines.push(line(" steps, in order".to_owned(), Role::Title));
    lines.extend(
        steps(reclaim)
            .into_iter()
            .map(|step| line(format!("   {step}"), Role::Text)),
    );
    if reclaim.actions.is_empty() {
        lines.push(line("   none".to_owned(), Role::Muted));
    }
    sheet(view, frame, area, &format!("What reclaim #{} did", reclaim.id), lines);
}

/// A size, and how it is read.
type Size = (&'static str, fn(&Sizes) -> Option<u64>);

const SIZES: [Size; 4] = [
    ("rss", |sizes| sizes.rss),
    ("in use", |sizes| sizes.allocated),
    ("resident", |sizes| sizes.resident),
    ("active", |sizes| sizes.active),
];

/// The past reclaims, the newest first.
pub fn panel<'a>(view: &View<'a>, width: usize, height: usize) -> Panel<'a> {
    let Some(memory) = memory::report(view) else {
        return memory::missing(view, "Reclaims", width);
    };
    let wide = width >= 55;
    let mut lines = vec![Line::from(view.label(&fit(
        &if wide {
            format!(
                "   {:<4}{:<9}{:<9}{:>15}  {:>6} {:>6}",
                "#", "time", "trigger", "rss", "back", "took"
            )
        } else {
            format!("   {:<4}{:<9}{:<9}{:>6} {:>6}", "#", "time", "trigger", "back", "took")
        },
        width,
    )))];
    let rows = height.saturating_sub(1).max(1);
    let chosen = view.app.reclaim.min(memory.reclaims.len().saturating_sub(1));
    let from = (chosen + 1).saturating_sub(rows);
    for (index, reclaim) in memory.reclaims.iter().enumerate().skip(from).take(rows) {
        let (before, after) = (reclaim.before.rss, reclaim.after.rss);
        let text = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| bytes(value as f64));
        let back = match (before, after) {
            (Some(before), Some(after)) if before > after => format!("-{}", bytes((before - after) as f64)),
            (Some(_), Some(_)) => "0".to_owned(),
            _ => "-".to_owned(),
        };
        let mark = if index == chosen { '>' } else { ' ' };
        let sizes = if wide {
            format!("{:>15}  ", format!("{} → {}", text(before), text(after)))
        } else {
            String::new()
        };
        let line = format!(
            " {mark} {:<4}{:<9}{:<9}{sizes}{back:>6} {:>6}",
            reclaim.id,
            reclaim.time.strftime("%H:%M:%S").to_string(),
            reclaim.trigger.as_str(),
            seconds(reclaim.seconds),
        );
        let role = if index == chosen { Role::Title } else { Role::Text };
        lines.push(Line::from(view.span(fit(&line, width), role)));
    }
    if memory.reclaims.is_empty() {
        lines.push(Line::from(view.label(" none since the daemon started")));
    }
    let manager = if memory.enabled {
        "the manager acts by itself"
    } else {
        "the manager is off: only by hand"
    };
    Panel {
        title: "Reclaims".into(),
        remark: manager.into(),
        lines,
    }
}

/// The steps of the chosen reclaim.
pub fn what_it_did<'a>(view: &View<'a>, width: usize, height: usize) -> Panel<'a> {
    let Some(reclaim) = chosen(view) else {
        return Panel {
            title: "What a reclaim did".into(),
            remark: String::new(),
            lines: vec![Line::from(view.label(" there was none yet"))],
        };
    };
    let mut lines = vec![Line::from(
        view.span(fit(&format!(" {}", clean(&reclaim.message)), width), Role::Text),
    )];
    let steps = steps(reclaim);
    if height > reclaim.actions.len() {
        lines.extend(
            steps
                .iter()
                .map(|step| Line::from(view.span(fit(&format!(" {step}"), width), Role::Text))),
        );
    } else {
        lines.push(Line::from(
            view.span(fit(&format!(" {}", steps.join("; ")), width), Role::Text),
        ));
    }
    lines.truncate(height.max(1));
    Panel {
        title: format!("What reclaim #{} did", reclaim.id),
        remark: seconds(reclaim.seconds),
        lines,
    }
}

fn steps(reclaim: &Reclaim) -> Vec<String> {
    let step = reclaim.actions.iter().map(|step| {
        let back = if step.bytes == 0 {
            "nothing".to_owned()
        } else {
            bytes(step.bytes as f64)
        };
        format!(
            "{} {} {back} in {}",
            step.action.as_str(),
            clean(&step.part),
            seconds(step.seconds)
        )
    });
    step.collect()
}
