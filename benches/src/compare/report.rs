//! Figures as a table for people and as JSON for programs.

use serde::Serialize;

use super::measure::{Figures, share};

/// One candidate among so many foreign objects.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Who.
    pub candidate: String,
    /// Foreign pods, and as many foreign secrets.
    pub foreign: u32,
    /// What was measured.
    #[serde(flatten)]
    pub figures: Figures,
}

const HEAD: &str = "\
| operator | foreign pods + secrets | start → first StatefulSet, median (min–max) | RSS settled | at the end | peak \
| create → StatefulSet p50 / p99 | requests per create (of them events) | requests, watches in the time of rest | 403 |
|---|---|---|---|---|---|---|---|---|---|";

/// A Markdown table, one line per row.
pub fn table(rows: &[Row]) -> String {
    let lines: Vec<String> = rows.iter().map(line).collect();
    format!("{HEAD}\n{}\n", lines.join("\n"))
}

/// The requests of every start and create call, row after row.
pub fn timelines(rows: &[Row]) -> String {
    let of = |row: &Row| {
        let lines: String = row.figures.timelines.iter().map(ToString::to_string).collect();
        format!("# {} among {} foreign objects\n{lines}", row.candidate, row.foreign)
    };
    rows.iter().map(of).collect::<Vec<_>>().join("\n")
}

fn line(row: &Row) -> String {
    let Figures {
        start_ms,
        settled,
        peak,
        loaded,
        create_ms,
        requests,
        idle,
        idle_watches,
        forbidden,
        timelines: _,
    } = &row.figures;
    let per = |count: usize| count as f64 / f64::from(requests.clusters.max(1));
    let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    let cells = [
        row.candidate.clone(),
        row.foreign.to_string(),
        format!(
            "{:.0} ms ({:.0}–{:.0})",
            share(start_ms, 0.5),
            share(start_ms, 0.0),
            share(start_ms, 1.0)
        ),
        megabytes(*settled),
        megabytes(*loaded),
        megabytes(*peak),
        format!("{:.1} / {:.1} ms", share(create_ms, 0.5), share(create_ms, 0.99)),
        format!("{:.1} ({:.1})", per(requests.all), per(requests.events)),
        format!("{idle}, {idle_watches}"),
        forbidden.to_string(),
    ];
    format!("| {} |", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::compare::measure::Requests;

    #[test]
    fn a_row_says_medians_bounds_and_shares() {
        let figures = Figures {
            start_ms: vec![300.0, 100.0, 200.0],
            settled: 20_000_000,
            peak: 31_400_000,
            loaded: 25_000_000,
            create_ms: vec![5.0, 6.0, 40.0],
            requests: Requests {
                clusters: 3,
                all: 42,
                events: 3,
                each: BTreeMap::new(),
            },
            idle: 2,
            idle_watches: 1,
            forbidden: 0,
            timelines: Vec::new(),
        };
        let row = Row {
            candidate: "ours".to_owned(),
            foreign: 10,
            figures,
        };
        let expected =
            "| ours | 10 | 200 ms (100–300) | 20.0 MB | 25.0 MB | 31.4 MB | 6.0 / 40.0 ms | 14.0 (1.0) | 2, 1 | 0 |";
        assert_eq!(table(&[row]).lines().last(), Some(expected));
    }
}
