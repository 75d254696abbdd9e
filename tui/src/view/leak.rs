//! Does memory leak? The sentence on the page, and the sheet with what it rests on.

use ratatui::{Frame, layout::Rect, text::Line};

use super::{View, memory, sheet, sheet_width, theme::Role};
use crate::{
    model::{
        leak::{Check, ENOUGH, Verdict},
        text::{clean, fit},
    },
    widget::{bytes, percent, seconds},
};

/// Owners in the sheet.
const OWNERS: usize = 8;

/// One phrase: whether there is a signal, and what it rests on.
pub fn phrase(check: &Check) -> String {
    let over = format!("in {}", minutes(check.minutes));
    match check.verdict {
        Verdict::TooShort => format!("leak check: watched {} of {ENOUGH}m", check.minutes),
        Verdict::None => format!("no leak signal: {}/min {over}", signed(check.slope)),
        Verdict::Cache => format!("grows with the cache: {}/min {over}", signed(check.slope)),
        Verdict::Leak => format!("!! LEAK SIGNAL: {}/min {over}", signed(check.slope)),
    }
}

fn minutes(minutes: usize) -> String {
    seconds(minutes as f64 * 60.0).replace("m00s", "m")
}

fn signed(value: f64) -> String {
    let sign = if value < 0.0 { '-' } else { '+' };
    format!("{sign}{}", bytes(value.abs()))
}

/// What the phrase rests on, over the page.
pub fn draw(view: &View<'_>, frame: &mut Frame<'_>, area: Rect) {
    let check = view.app.model.floors.check();
    let room = usize::from(sheet_width(area)).saturating_sub(2);
    let line = |text: String, role: Role| Line::from(view.span(fit(&text, room), role));
    let role = if check.verdict == Verdict::Leak {
        Role::Bad
    } else {
        Role::Title
    };
    let mut lines = vec![line(format!(" {}", phrase(&check)), role)];
    let text = |text: String| line(text, Role::Text);
    if check.verdict == Verdict::TooShort {
        lines.push(text(format!(
            "   one floor a minute is taken while neotop runs; {ENOUGH} of them say something"
        )));
    } else {
        lines.extend([
            text(format!(
                "   floor of each minute, in use: {} → {}",
                bytes(check.first),
                bytes(check.last)
            )),
            text(format!(
                "   line: {}/min, explains {} of the spread (a trend from 50% on)",
                signed(check.slope),
                percent(check.fit)
            )),
            text(format!(
                "   the cache at those moments: {}/min",
                signed(check.cache_slope)
            )),
            text(format!("   {}", ahead(view, &check))),
        ]);
    }
    lines.push(line(" after past reclaims, in use".to_owned(), Role::Title));
    lines.push(text(format!("   {}", after_reclaims(view))));
    lines.push(line(" who holds more than at first".to_owned(), Role::Title));
    lines.extend(owners(view).into_iter().map(text));
    lines.push(line(format!(" {}", next_step(check.verdict)), Role::Text));
    sheet(view, frame, area, "Leak check", lines);
}

/// When the goal and the limit are reached.
fn ahead(view: &View<'_>, check: &Check) -> String {
    let limit = memory::report(view).map(|memory| memory.limit as f64);
    let sizes = [("goal", Some(memory::GOAL)), ("limit", limit)];
    let ahead: Vec<_> = sizes
        .into_iter()
        .filter_map(|(name, size)| {
            let time = check.reaches(size?)?;
            Some(format!("{name} {} in {}", bytes(size?), seconds(time.as_secs_f64())))
        })
        .collect();
    if ahead.is_empty() {
        "goal and limit are not reached at this slope".to_owned()
    } else {
        format!("at this slope: {}", ahead.join(", "))
    }
}

/// What was left each time: the daemon's own floors, older than this neotop.
fn after_reclaims(view: &View<'_>) -> String {
    let reclaims = memory::report(view).map_or(&[][..], |memory| &memory.reclaims);
    let left: Vec<_> = reclaims
        .iter()
        .rev()
        .filter_map(|reclaim| Some((reclaim.time, reclaim.after.allocated?)))
        .collect();
    let (Some(first), Some(last)) = (left.first(), left.last()) else {
        return "none is known".to_owned();
    };
    let point = |(time, size): &(neo4j_operator_shared::Timestamp, u64)| {
        format!("{} at {}", bytes(*size as f64), time.strftime("%H:%M:%S"))
    };
    match left.len() {
        1 => point(first),
        n => format!("{} → {}, {n} reclaims", point(first), point(last)),
    }
}

/// Owners by what they hold more than in the first report.
fn owners(view: &View<'_>) -> Vec<String> {
    let pages = &view.app.model.pages;
    let (Some((at, first)), Some(now)) = (&pages.first_memory, pages.memory.get()) else {
        return vec!["   not known".to_owned()];
    };
    let mut rows: Vec<_> = now
        .owners
        .iter()
        .map(|owner| {
            let before = first.owners.iter().find(|before| before.name == owner.name);
            let before = before.map_or(0, |before| before.bytes);
            (clean(&owner.name), before, owner.bytes)
        })
        .filter(|(_, before, now)| now > before)
        .collect();
    rows.sort_by_key(|(_, before, now)| std::cmp::Reverse(now - before));
    let since = seconds(view.now.saturating_duration_since(*at).as_secs_f64().floor());
    if rows.is_empty() {
        return vec![format!("   nobody, in the {since} since the page was first opened")];
    }
    let rows = rows.iter().take(OWNERS).map(|(name, before, now)| {
        let (then, more) = (bytes(*before as f64), bytes((now - before) as f64));
        format!(
            "   {:<22} {then:>6} → {:>6}  +{more} in {since}",
            fit(name, 22),
            bytes(*now as f64)
        )
    });
    rows.collect()
}

const fn next_step(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::TooShort => "Let neotop run; come back in some minutes.",
        Verdict::None => "Nothing to do.",
        Verdict::Cache => "3 Cache shows which kind grows; a smaller strategy keeps less.",
        Verdict::Leak => "Start the daemon with --enable-pprof, and compare two heap profiles.",
    }
}
