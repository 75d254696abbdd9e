//! `--once`: two samples a second apart (rates need two), the events that are kept, one report.

use std::{
    process::ExitCode,
    sync::{Arc, atomic::AtomicU64},
};

use neo4j_operator_shared::goals::Verdict;
use ratatui::text::Line;
use serde::Serialize;
use tokio::{
    sync::mpsc,
    time::{Duration, Instant, timeout},
};

use crate::{
    app::App,
    cli::{Args, FailOn, Format},
    model::{Model, goal_name},
    source::{
        LinkReport, Sample, StreamItem, discover, http, http::FetchError, http::Http, page, page::PageItem, poll, sse,
    },
    view::{View, answer, panels, panels::Panel, theme::Theme},
    widget::{bytes, in_unit},
};

/// Width that the report is written for.
const WIDTH: usize = 118;

/// Events in the report.
const EVENTS: usize = 12;

/// Asks, prints, and says by the exit code how it went.
pub async fn run(args: &Args) -> ExitCode {
    match report(args).await {
        Ok((text, broken)) => {
            println!("{text}");
            if broken && args.fail_on == Some(FailOn::Slo) {
                ExitCode::from(1)
            } else {
                ExitCode::SUCCESS
            }
        }
        Err(error) => {
            eprintln!("neotop: {error}");
            ExitCode::from(2)
        }
    }
}

async fn report(args: &Args) -> Result<(String, bool), FetchError> {
    let target = discover::find(args).await?;
    let http = Http::new(target.token.clone());
    let first = poll::sample(&http, &target).await?;
    let mut app = App {
        model: Model::default(),
        ..App::default()
    };
    let since = format!("{}-0", first.status.boot_id);
    app.model.link(LinkReport::Up(Arc::new(first)));

    // The ring of the daemon is replayed at once: a second after the stream's first word it is read.
    let (sender, mut items) = mpsc::channel(20_000);
    let follower = tokio::spawn(sse::run(
        target.clone(),
        Some(since),
        sender,
        Arc::new(AtomicU64::new(0)),
    ));
    let mut item = timeout(http::TIMEOUT, items.recv()).await;
    let until = Instant::now() + poll::INTERVAL;
    while let Ok(Some(known)) = item {
        if known == StreamItem::Lost {
            break;
        }
        app.model.stream(known);
        item = timeout(until.saturating_duration_since(Instant::now()), items.recv()).await;
    }
    follower.abort();
    tokio::time::sleep_until(until).await;
    let second = Arc::new(poll::sample(&http, &target).await?);
    app.model.link(LinkReport::Up(Arc::clone(&second)));
    // A daemon of an older version does not know this question; the report then has no such part.
    let memory = page::fetch(&target, "/v1/memory", http::TIMEOUT).await;
    app.model.page(PageItem::Memory(Instant::now(), memory));
    let broken = second.status.goals.iter().any(|goal| goal.verdict == Verdict::Broken);
    let text = match args.format {
        Format::Text => text(&app, &second),
        Format::Json => json(&app, &second),
    };
    Ok((text, broken))
}

/// The report for people: every panel of the Overview, without frames.
fn text(app: &App, sample: &Sample) -> String {
    let view = View {
        app,
        now: sample.at + Duration::from_millis(1),
        theme: Theme::new(false),
        stale: false,
    };
    let mut out = vec![format!(
        "neo4j-operator {} at {}, up {}, strategy {}, Kubernetes {}",
        sample.status.version,
        sample.status.listeners.control,
        sample.status.uptime,
        sample.status.strategy,
        sample.status.kubernetes.as_deref().unwrap_or("unknown"),
    )];
    out.push("\nGoals".to_owned());
    for goal in &sample.status.goals {
        let word = match goal.verdict {
            Verdict::Ok => "OK",
            Verdict::Broken => "!!",
            Verdict::Unknown => "--",
        };
        let value = goal
            .value
            .map_or_else(|| "not measured yet".to_owned(), |value| in_unit(value, goal.unit));
        out.push(format!(
            "  {word} {:<9} {value} (goal {})",
            goal_name(goal.goal),
            in_unit(goal.target, goal.unit)
        ));
    }
    let clusters = sample.clusters.items.len() + 1;
    for panel in [
        panels::latency(&view, WIDTH),
        panels::queue(&view, WIDTH),
        panels::cache(&view, WIDTH),
        panels::memory_panel(&view, WIDTH),
        panels::clusters(&view, WIDTH, clusters),
        panels::events(&view, WIDTH, EVENTS),
    ] {
        out.push(plain(&panel));
    }
    if let Some(memory) = app.model.pages.memory.get() {
        out.push(format!(
            "\nReclaim\n  limit {}, level {} {}; a reclaim would give back {}",
            bytes(memory.limit as f64),
            memory.level,
            answer::level(memory.level),
            answer::expected(memory)
        ));
    }
    out.push(format!("\n{}", app.model.verdict(view.now)));
    out.join("\n")
}

fn plain(panel: &Panel<'_>) -> String {
    let remark = if panel.remark.is_empty() {
        String::new()
    } else {
        format!(" ({})", panel.remark)
    };
    let mut out = format!("\n{}{remark}", panel.title);
    for line in &panel.lines {
        out.push_str("\n  ");
        out.push_str(line_text(line).trim_end());
    }
    out
}

fn line_text(line: &Line<'_>) -> String {
    line.spans.iter().map(|span| span.content.as_ref()).collect()
}

/// The report for programs: the daemon's own answers, and what neotop computed from them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    status: &'a neo4j_operator_shared::status::Status,
    clusters: &'a neo4j_operator_shared::clusters::ClusterList,
    cache: &'a neo4j_operator_shared::cache::Cache,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<&'a neo4j_operator_shared::memory::Memory>,
    latency: Option<Latency>,
    events: usize,
    verdict: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Latency {
    count: f64,
    p50_seconds: f64,
    p95_seconds: f64,
    p99_seconds: f64,
}

fn json(app: &App, sample: &Sample) -> String {
    let report = Report {
        status: &sample.status,
        clusters: &sample.clusters,
        cache: &sample.cache,
        memory: app.model.pages.memory.get(),
        latency: app.model.latency().map(|q| Latency {
            count: q.count,
            p50_seconds: q.p50,
            p95_seconds: q.p95,
            p99_seconds: q.p99,
        }),
        events: app.model.events.len(),
        verdict: app.model.verdict(sample.at),
    };
    serde_json::to_string_pretty(&report).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixture;

    #[tokio::test(start_paused = true)]
    async fn the_report_holds_every_panel_with_its_data() {
        let start = Instant::now();
        let mut app = App {
            model: fixture::live(start),
            ..App::default()
        };
        fixture::pages(&mut app.model, start);
        let sample = fixture::sample(start, 29);
        insta::assert_snapshot!("once", text(&app, &sample));
        let value: serde_json::Value = serde_json::from_str(&json(&app, &sample)).unwrap();
        assert_eq!(value["memory"]["limit"], 500_000_000);
        assert_eq!(value["clusters"]["items"].as_array().map(Vec::len), Some(2));
    }
}
