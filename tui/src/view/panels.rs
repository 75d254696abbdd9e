//! The panels of the Overview: each a title, a remark, and lines for a given size. The screen frames them,
//! `--once` prints them.

use neo4j_operator_shared::{clusters::Cluster, events::Severity, metrics};
use ratatui::text::{Line, Span};

use super::{View, theme::Role};
use crate::{
    model::{
        axis, memory,
        ring::Ring,
        text::{clean, fit},
    },
    widget::{bar, bytes, count, percent, rate, seconds, spark},
};

/// One panel.
#[derive(Debug)]
pub struct Panel<'a> {
    /// What it is.
    pub title: String,
    /// What stands at the right of the title.
    pub remark: String,
    /// Its content.
    pub lines: Vec<Line<'a>>,
}

/// Draws a series over the range, scaled to the larger of its maximum and `at_least`. One column is at least a
/// second: between two samples there is nothing to show.
fn line_of(view: &View<'_>, ring: &Ring, columns: usize, at_least: f64) -> String {
    let window = view.window();
    let columns = columns.clamp(1, (window.range.as_secs() as usize).max(1));
    let top = ring.max_in(window).unwrap_or(0.0).max(at_least);
    spark(&ring.columns(window, columns), top)
}

/// The range that is shown, as in `15m`.
fn range(view: &View<'_>) -> String {
    axis::name(view.window().range)
}

fn row<'a>(view: &View<'a>, label: &str, spans: Vec<Span<'a>>) -> Line<'a> {
    let mut all = vec![view.label(&format!("{label:<8}"))];
    all.extend(spans);
    Line::from(all)
}

/// Are reconciles fast?
pub fn latency<'a>(view: &View<'a>, width: usize) -> Panel<'a> {
    let model = &view.app.model;
    let quantiles = model.latency();
    let line = line_of(view, &model.series.latency_p95, width.saturating_sub(9), 0.0);
    let numbers = quantiles.map_or_else(
        || vec![view.value("no reconcile seen yet")],
        |q| {
            vec![
                view.label("p50 "),
                view.value(seconds(q.p50)),
                view.label("  p95 "),
                view.value(seconds(q.p95)),
                view.label("  p99 "),
                view.value(seconds(q.p99)),
                view.label("  n "),
                view.value(count(q.count)),
            ]
        },
    );
    let peak = model.series.latency_p95.max_in(view.window());
    let peak = peak.map_or_else(|| "-".to_owned(), seconds);
    let mut lines = vec![
        row(view, "5 min", numbers),
        row(view, "p95", vec![view.span(line, Role::Mark)]),
        row(
            view,
            "",
            vec![view.label(&format!("last {}, highest ", range(view))), view.value(peak)],
        ),
    ];
    if let Some(sample) = &model.sample {
        let errors = sample.scrape.sum(metrics::RECONCILIATION_ERRORS).unwrap_or(0.0);
        let skipped = sample.scrape.sum(metrics::SKIPPED_RECONCILIATIONS).unwrap_or(0.0);
        lines.push(row(
            view,
            "since up",
            vec![
                view.label(" errors "),
                view.valued(count(errors), if errors > 0.0 { Role::Warn } else { Role::Text }),
                view.label("  skipped (nothing to do) "),
                view.value(count(skipped)),
            ],
        ));
    }
    Panel {
        title: "Reconcile latency".into(),
        remark: "goal p95 < 5s".into(),
        lines,
    }
}

/// Are we keeping up?
pub fn queue<'a>(view: &View<'a>, width: usize) -> Panel<'a> {
    let model = &view.app.model;
    let scrape = model.sample.as_ref().map(|sample| &sample.scrape);
    let depth = scrape.and_then(|scrape| scrape.sum(metrics::WORKQUEUE_DEPTH));
    let oldest = scrape.and_then(|scrape| scrape.max(metrics::QUEUE_OLDEST));
    let longest = scrape.and_then(|scrape| scrape.max(metrics::WORKQUEUE_LONGEST_RUNNING));
    let text = |value: Option<f64>, write: fn(f64) -> String| value.map_or_else(|| "-".to_owned(), write);
    let line = line_of(view, &model.series.depth, width.saturating_sub(20), 4.0);
    let lines = vec![
        row(
            view,
            "depth",
            vec![view.padded(text(depth, count), 5), view.span(line, Role::Mark)],
        ),
        row(
            view,
            "in/out",
            vec![
                view.value(rate(model.rates.adds)),
                view.label(" / "),
                view.value(rate(model.rates.done)),
                view.label("  retries "),
                view.value(rate(model.rates.retries)),
            ],
        ),
        row(
            view,
            "oldest",
            vec![
                view.value(text(oldest, seconds)),
                view.label("  longest run "),
                view.value(text(longest, seconds)),
            ],
        ),
        row(
            view,
            "API",
            vec![view.value(rate(model.rates.api)), view.label(" to the API server")],
        ),
    ];
    Panel {
        title: "Queue".into(),
        remark: "are we keeping up?".into(),
        lines,
    }
}

/// Is the cache worth it?
pub fn cache<'a>(view: &View<'a>, width: usize) -> Panel<'a> {
    let model = &view.app.model;
    let Some(sample) = &model.sample else {
        return Panel {
            title: "Cache".into(),
            remark: String::new(),
            lines: vec![Line::from(view.label("waiting for the daemon"))],
        };
    };
    let cache = &sample.cache;
    let hit = cache.hit_rate.map_or_else(|| "no reads".to_owned(), percent);
    let line = line_of(view, &model.series.hit_rate, width.saturating_sub(30), 1.0);
    let misses = model.misses();
    let total: f64 = misses.iter().map(|(_, count)| count).sum();
    let why: Vec<_> = misses
        .iter()
        .take(3)
        .map(|(reason, count)| format!("{reason} {}", percent(count / total)))
        .collect();
    let unsynced: Vec<_> = cache
        .kinds
        .iter()
        .filter(|kind| !kind.synced && kind.form != neo4j_operator_shared::cache::Form::None)
        .map(|kind| kind.kind.plural())
        .collect();
    let state = if unsynced.is_empty() {
        "every kept kind is synced".to_owned()
    } else {
        format!("not synced: {}", unsynced.join(", "))
    };
    let lines = vec![
        row(
            view,
            "hit",
            vec![
                view.padded(hit, 9),
                view.span(line, Role::Mark),
                view.label(" goal 80%"),
            ],
        ),
        row(
            view,
            "keeps",
            vec![
                view.value(count(cache.objects as f64)),
                view.label(" objects  "),
                view.value(bytes(cache.bytes as f64)),
                view.label("  misses "),
                view.value(rate(model.rates.misses)),
            ],
        ),
        row(
            view,
            "why miss",
            vec![
                Span::raw(" "),
                view.value(if why.is_empty() { "-".to_owned() } else { why.join("  ") }),
            ],
        ),
        row(
            view,
            "watches",
            vec![view.span(
                fit(&state, width.saturating_sub(9)),
                if unsynced.is_empty() { Role::Text } else { Role::Warn },
            )],
        ),
    ];
    Panel {
        title: "Cache".into(),
        remark: format!("strategy {}", cache.strategy),
        lines,
    }
}

/// Does it fit?
pub fn memory_panel<'a>(view: &View<'a>, width: usize) -> Panel<'a> {
    let model = &view.app.model;
    let scrape = model.sample.as_ref().map(|sample| &sample.scrape);
    let read = |component: &str| scrape.and_then(|scrape| memory(scrape, component));
    let text = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), bytes);
    let rss = read("rss");
    let share = rss.map_or(0.0, |rss| rss / 100e6);
    let line = line_of(view, &model.series.rss, width.saturating_sub(9), 0.0);
    let peak = model.series.rss.max_in(view.window());
    let peak = peak.map_or_else(|| "-".to_owned(), bytes);
    let lines = vec![
        row(
            view,
            "rss",
            vec![
                view.padded(text(rss), 7),
                view.span(bar(share, width.saturating_sub(25).min(24)), Role::Mark),
                view.label(" of 100M"),
            ],
        ),
        row(view, &range(view), vec![view.span(line, Role::Mark)]),
        row(view, "highest", vec![view.value(peak)]),
        row(
            view,
            "heap",
            vec![
                view.label("live "),
                view.value(text(read("allocated"))),
                view.label("  resident "),
                view.value(text(read("resident"))),
                view.label("  retained "),
                view.value(text(read("retained"))),
            ],
        ),
    ];
    Panel {
        title: "Memory".into(),
        remark: "goal < 100M".into(),
        lines,
    }
}

/// Which Neo4j cluster needs me, what is it doing and why?
pub fn clusters<'a>(view: &View<'a>, width: usize, height: usize) -> Panel<'a> {
    let items: &[Cluster] = view
        .app
        .model
        .sample
        .as_ref()
        .map_or(&[], |sample| &sample.clusters.items);
    let ready = items.iter().filter(|cluster| cluster.ready).count();
    let title = "Neo4j clusters".to_owned();
    if items.is_empty() {
        let text = if view.app.model.sample.is_some() {
            "no Neo4jEnterpriseCluster in scope; kubectl apply -f crds/examples/minimal.yaml makes one"
        } else {
            "waiting for the daemon"
        };
        return Panel {
            title,
            remark: String::new(),
            lines: vec![Line::from(view.label(text))],
        };
    }
    let rows = height.saturating_sub(1).max(1);
    let from = view.app.clusters_from.min(items.len().saturating_sub(1));
    let name_width = items
        .iter()
        .map(|c| c.namespace.len() + c.name.len() + 1)
        .max()
        .unwrap_or(8)
        .clamp(8, (width / 4).max(8));
    let mut lines = vec![Line::from(view.label(&format!(
        " {:<name_width$}  {:<12} {:>13} {:>9}  what it is doing",
        "cluster", "phase", "ready/enabled", "databases"
    )))];
    for cluster in items.iter().skip(from).take(rows) {
        lines.push(cluster_row(view, cluster, name_width, width));
    }
    let shown = items.len().saturating_sub(from).min(rows);
    let more = if shown < items.len() {
        format!(", rows {}-{} of {}", from + 1, from + shown, items.len())
    } else {
        String::new()
    };
    Panel {
        title,
        remark: format!("{ready} of {} ready{more}", items.len()),
        lines,
    }
}

fn cluster_row<'a>(view: &View<'a>, cluster: &Cluster, name_width: usize, width: usize) -> Line<'a> {
    let role = match cluster.phase.as_str() {
        "Ready" if cluster.ready => Role::Ok,
        "Failed" | "Degraded" => Role::Bad,
        _ => Role::Warn,
    };
    let mark = match role {
        Role::Ok => ' ',
        Role::Bad => '!',
        _ => '>',
    };
    let enabled = cluster
        .servers
        .enabled
        .map_or_else(|| "-".to_owned(), |enabled| enabled.to_string());
    let servers = format!("{}/{} of {}", cluster.servers.ready, enabled, cluster.servers.desired);
    let databases = cluster.databases.map_or_else(
        || "-".to_owned(),
        |databases| format!("{}/{}", databases.online, databases.total),
    );
    let doing = match (&cluster.step, &cluster.waiting_for) {
        (Some(step), Some(waiting)) => format!("{step}; waits for {waiting}{}", waited(view, cluster)),
        (Some(step), None) => step.clone(),
        (None, Some(waiting)) => format!("waits for {waiting}{}", waited(view, cluster)),
        (None, None) => trouble(cluster),
    };
    let name = fit(&clean(&format!("{}/{}", cluster.namespace, cluster.name)), name_width);
    let room = width.saturating_sub(name_width + 41);
    Line::from(vec![
        view.span(format!("{mark}{name:<name_width$}  "), Role::Text),
        view.span(format!("{:<12} ", fit(&clean(&cluster.phase), 12)), role),
        view.value(format!("{servers:>13}")),
        view.value(format!(" {databases:>9}")),
        view.span(format!("  {}", fit(&clean(&doing), room)), Role::Text),
    ])
}

/// How long it waits, when that is long enough to matter.
fn waited(view: &View<'_>, cluster: &Cluster) -> String {
    let now = view.app.model.sample.as_ref().map(|sample| sample.status.now);
    match (cluster.waiting_since, now) {
        (Some(since), Some(now)) => {
            let waited = now.duration_since(since).as_secs_f64();
            if waited >= 2.0 {
                format!(" ({})", seconds(waited))
            } else {
                String::new()
            }
        }
        _ => String::new(),
    }
}

/// The first condition that says that something is wrong.
fn trouble(cluster: &Cluster) -> String {
    cluster
        .conditions
        .iter()
        .find(|condition| match condition.r#type.as_str() {
            "Ready" | "ServersHealthy" | "DatabasesHealthy" => condition.status == "False",
            // Having nothing to do is no trouble; being kept from it is.
            "Progressing" => condition.status == "False" && condition.reason != "Idle",
            "Degraded" | "Paused" | "DeletionBlocked" => condition.status == "True",
            _ => false,
        })
        .map_or_else(
            || "nothing to do".to_owned(),
            |condition| format!("{}: {}", condition.reason, condition.message),
        )
}

/// What happened?
pub fn events<'a>(view: &View<'a>, width: usize, height: usize) -> Panel<'a> {
    let model = &view.app.model;
    let end = model.events.len().saturating_sub(view.app.events_back);
    let from = end.saturating_sub(height.max(1));
    let mut lines: Vec<_> = model
        .events
        .range(from..end)
        .rev() // the newest is what people look for
        .map(|line| {
            let (word, role) = match line.severity {
                Severity::Info => ("INFO ", Role::Muted),
                Severity::Warning => ("WARN ", Role::Warn),
                Severity::Error => ("ERROR", Role::Bad),
            };
            Line::from(vec![
                view.label(&format!(" {} ", line.time.strftime("%H:%M:%S"))),
                Span::styled(word, view.theme.style(role)),
                view.label(&format!(" {:<6}", line.source)),
                Span::styled(fit(&line.text, width.saturating_sub(23)), view.theme.style(Role::Text)),
            ])
        })
        .collect();
    if lines.is_empty() {
        lines.push(Line::from(view.label(" no events yet")));
    }
    let lost = if model.events_lost > 0 {
        format!(", {} lost", model.events_lost)
    } else {
        String::new()
    };
    let place = if view.app.events_back > 0 {
        format!("{} back, G follows", view.app.events_back)
    } else {
        "following".to_owned()
    };
    Panel {
        title: "Events".into(),
        remark: format!("{place}, {} kept{lost}", model.events.len()),
        lines,
    }
}
