//! Figures as tables for people.

use std::{fmt::Write as _, time::Duration};

use neo4j_operator_shared::{Strategy, switch::Quantity};

use super::{arguments::Arguments, forecasts::Came, peak::Figures, strategies::Row, switches::Change};
use crate::compare::measure::share;

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn short(time: Duration) -> String {
    match time.as_micros() {
        micros @ 0..1_000 => format!("{micros} µs"),
        _ => format!("{:.1} ms", time.as_secs_f64() * 1e3),
    }
}

/// Strategy × what it costs.
pub fn strategies(rows: &[Row], arguments: &Arguments) -> String {
    let mut text = format!(
        "\n{} clusters\n\n| foreign pods + secrets | strategy | start → ready, median (min–max) | RSS settled | peak \
         | requests in the first 10 s | per minute after it | hit rate (reads) | read p50 / p99 |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        arguments.clusters
    );
    for row in rows {
        let cells = [
            row.foreign.to_string(),
            row.strategy.to_string(),
            format!(
                "{:.0} ms ({:.0}–{:.0})",
                share(&row.ready, 0.5) * 1e3,
                share(&row.ready, 0.0) * 1e3,
                share(&row.ready, 1.0) * 1e3
            ),
            megabytes(row.settled),
            megabytes(row.peak),
            row.at_start.to_string(),
            format!("{:.0}", row.per_minute),
            match row.hit_rate {
                Some(rate) => format!("{:.0} % ({})", rate * 100.0, row.reads),
                None => "nothing read".to_owned(),
            },
            format!("{} / {}", short(row.times.median), short(row.times.p99)),
        ];
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    for row in rows {
        let _ = write!(text, "\n{} among {}: {}", row.strategy, row.foreign, row.phases);
    }
    text
}

/// A table of all pairs: how long the change took, and the longest read meanwhile.
pub fn switches(changes: &[Change], foreign: u32) -> String {
    let names: Vec<String> = Strategy::ALL.iter().map(ToString::to_string).collect();
    let mut text = format!(
        "\nAmong {foreign} foreign pods and secrets: the operator's change / longest read meanwhile in a process of its own\n\n\
         | from \\ to | {} | longest read at rest |\n|---|{}---|\n",
        names.join(" | "),
        "---|".repeat(names.len())
    );
    for from in Strategy::ALL {
        let cells = Strategy::ALL.map(|to| {
            let change = changes.iter().find(|change| change.from == from && change.to == to);
            change.map_or("–".to_owned(), |change| {
                format!("{:.0} ms / {}", change.seconds * 1e3, short(change.during.longest))
            })
        });
        let rest = changes.iter().filter(|change| change.from == from);
        let rest = rest.map(|change| change.rest.longest).max().unwrap_or_default();
        let _ = writeln!(text, "| {from} | {} | {} |", cells.join(" | "), short(rest));
    }
    for change in changes {
        let _ = write!(
            text,
            "\n{} -> {}: {:.3} s, probe {:.3} s; during: {} reads, p50 {}, p99 {}, longest {}; at rest: p50 {}, p99 {}, longest {}",
            change.from,
            change.to,
            change.seconds,
            change.probed,
            change.during.count,
            short(change.during.median),
            short(change.during.p99),
            short(change.during.longest),
            short(change.rest.median),
            short(change.rest.p99),
            short(change.rest.longest),
        );
    }
    text
}

/// What was forecast, what came, and by how much they differ.
pub fn forecasts(all: &[Came], foreign: u32) -> String {
    let mut text = format!(
        "\nUnder a steady load among {foreign} foreign pods and secrets: forecast → came\n\n\
         | change | bytes of the stores | requests/s | hit rate | stores filled after |\n|---|---|---|---|---|\n"
    );
    for came in all {
        let Came {
            from,
            to,
            forecast,
            outcome,
        } = came;
        let measured = outcome.measured;
        let bytes = |bytes: f64| format!("{:.2} MB", bytes / 1e6);
        let rate = |rate: f64| format!("{rate:.1}");
        let share = |share: f64| format!("{:.1} %", share * 100.0);
        let time = |seconds: f64| format!("{:.0} ms", seconds * 1e3);
        let both = |then: Option<f64>, now: Option<f64>, show: &dyn Fn(f64) -> String| {
            let show = |value: Option<f64>| value.map_or("–".to_owned(), show);
            format!("{} → {}", show(then), show(now))
        };
        let cells = [
            format!("{from} → {to}"),
            both(Some(forecast.cache_bytes.value), measured.cache_bytes, &bytes),
            both(Some(forecast.api_rate.value), measured.api_rate, &rate),
            both(forecast.hit_rate.map(|rate| rate.value), measured.hit_rate, &share),
            both(Some(forecast.warmup.value), measured.warmup, &time),
        ];
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    for quantity in Quantity::ALL {
        let errors: Vec<f64> = all.iter().filter_map(|came| came.error(quantity)).collect();
        if !errors.is_empty() {
            let _ = write!(
                text,
                "\nerror of {}: median {:.1} %, worst {:.1} %, of {}",
                quantity.as_str(),
                share(&errors, 0.5) * 100.0,
                share(&errors, 1.0) * 100.0,
                errors.len()
            );
        }
    }
    text
}

/// Memory before, at and after the peak.
pub fn peak(figures: &Figures) -> String {
    let Figures {
        objects,
        before,
        full,
        peak,
        after,
    } = figures;
    let back = after.iter().find(|(_, resident)| *resident < before + full / 20);
    let last = after.last().map_or(0, |(_, resident)| *resident);
    let mut text = format!(
        "\n| objects of 100 kB | RSS in `none` before | in `full` | peak | back within a twentieth after | 10 s after |\n\
         |---|---|---|---|---|---|\n| {objects} | {} | {} | {} | {} | {} |\n",
        megabytes(*before),
        megabytes(*full),
        megabytes(*peak),
        back.map_or("not in 10 s".to_owned(), |(time, _)| format!(
            "{:.1} s",
            time.as_secs_f64()
        )),
        megabytes(last),
    );
    for (time, resident) in after.iter().step_by(4) {
        let _ = write!(text, "\n{:.2} s: {}", time.as_secs_f64(), megabytes(*resident));
    }
    text
}
