//! The figures of one candidate in one world.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use jiff::Timestamp;
use neo4j_operator_tests::{controlplane::AuditRecord, harness::Process};
use serde::Serialize;
use tokio::time::{Interval, MissedTickBehavior};

use super::{
    arguments::Arguments,
    candidate::{Candidate, Memory, memory},
    timeline::{Timeline, Window},
    world::{Place, World},
};
use crate::samples::quantile;

/// After the last cluster: what is asked within this time was asked for it.
const AFTERWARDS: Duration = Duration::from_secs(10);
/// Memory has settled when it moved by less than one part in this over [`STEADY`].
const STEADY_PART: u64 = 100;
const STEADY: Duration = Duration::from_secs(5);
/// It may take this long to settle.
const SETTLING: Duration = Duration::from_secs(60);

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// From the start of the process to the first StatefulSet, one cluster waiting; one per start, in milliseconds.
    pub start_ms: Vec<f64>,
    /// Resident bytes with that one cluster, settled.
    pub settled: u64,
    /// The most resident bytes up to the end of the measurement.
    pub peak: u64,
    /// Resident bytes at the end, with all created clusters.
    pub loaded: u64,
    /// From the create call to the StatefulSet; one per cluster, in milliseconds.
    pub create_ms: Vec<f64>,
    /// Requests, without watches.
    pub requests: Requests,
    /// Requests in the time of rest, without watches.
    pub idle: usize,
    /// Watches opened in the time of rest.
    pub idle_watches: usize,
    /// Answers 403 over the whole measurement.
    pub forbidden: usize,
    /// What was asked from the last start, and from each create call, up to the StatefulSet.
    #[serde(skip)]
    pub timelines: Vec<Timeline>,
}

/// Requests of the clusters that were created one after another.
#[derive(Clone, Debug, Serialize)]
pub struct Requests {
    /// Clusters.
    pub clusters: u32,
    /// All requests but watches.
    pub all: usize,
    /// Of these, events.
    pub events: usize,
    /// How many of each: `patch neo4jenterpriseclusters/status`.
    pub each: BTreeMap<String, usize>,
}

/// Measures everything.
///
/// # Errors
/// If the candidate ends, or does nothing in its time.
pub async fn all(world: &World<'_>, candidate: &Candidate, arguments: &Arguments) -> anyhow::Result<Figures> {
    let began = Timestamp::now();
    let mut start_ms = Vec::new();
    let mut windows = Vec::new();
    let mut last = None;
    for number in 1..=arguments.starts {
        let place = world.place().await?;
        place.create("waiting").await?;
        let started = Timestamp::now();
        let (took, process) = place
            .statefulset_after(async || Ok((Instant::now(), candidate.start()?)))
            .await
            .map(|(began, process)| (began.elapsed(), process))?;
        start_ms.push(milliseconds(took));
        windows.push(Window::new(format!("start {number}"), started, took));
        if number == arguments.starts {
            last = Some((place, process));
        } else {
            end(process).await?;
            place.remove().await?;
        }
    }
    let (place, mut process) = last.context("no start")?;
    let settled = settled(&mut process).await?.resident;
    let (create_ms, requests, idle, idle_watches) = creates(world, candidate, arguments, &place, &mut windows).await?;
    process.check()?;
    let Memory { resident, peak } = memory(process.id()).context("the candidate has no memory: is there a /proc?")?;
    let records = since(world, candidate, began)?;
    let forbidden = records.iter().filter(|record| record.code == 403).count();
    end(process).await?;
    place.remove().await?;
    Ok(Figures {
        start_ms,
        settled,
        peak,
        loaded: resident,
        create_ms,
        requests,
        idle,
        idle_watches,
        forbidden,
        timelines: windows
            .into_iter()
            .map(|window| Timeline::of(window, &records))
            .collect(),
    })
}

impl Requests {
    fn of(clusters: u32, records: &[AuditRecord]) -> Self {
        let mut each = BTreeMap::new();
        for record in records.iter().filter(|record| record.verb != "watch") {
            let slash = if record.subresource.is_empty() { "" } else { "/" };
            let what = format!("{} {}{slash}{}", record.verb, record.resource, record.subresource);
            *each.entry(what).or_default() += 1;
        }
        Self {
            clusters,
            all: each.values().sum(),
            events: records.iter().filter(|record| record.resource == "events").count(),
            each,
        }
    }
}

type Creates = (Vec<f64>, Requests, usize, usize);

async fn creates(
    world: &World<'_>,
    candidate: &Candidate,
    arguments: &Arguments,
    place: &Place,
    windows: &mut Vec<Window>,
) -> anyhow::Result<Creates> {
    let began = Timestamp::now();
    let mut create_ms = Vec::new();
    let mut steps = steps(arguments.every);
    for number in 0..arguments.creates {
        if let Some(steps) = &mut steps {
            steps.tick().await;
        }
        let name = format!("created-{number:02}");
        let called = Timestamp::now();
        let call = place
            .statefulset_after(async || {
                let began = Instant::now();
                place.create(&name).await?;
                Ok(began)
            })
            .await?;
        let took = call.elapsed();
        create_ms.push(milliseconds(took));
        windows.push(Window::new(format!("create {name}"), called, took));
    }
    tokio::time::sleep(AFTERWARDS).await;
    let rested = Timestamp::now();
    tokio::time::sleep(arguments.idle).await;
    let records = since(world, candidate, began)?;
    let (resting, working): (Vec<_>, Vec<_>) = records.into_iter().partition(|record| received(record) >= rested);
    let requests = Requests::of(arguments.creates, &working);
    let idle_watches = resting.iter().filter(|record| record.verb == "watch").count();
    Ok((create_ms, requests, resting.len() - idle_watches, idle_watches))
}

/// Ticks of so many seconds, if the calls are not to follow each other at once.
fn steps(every: u64) -> Option<Interval> {
    let mut steps = (every > 0).then(|| tokio::time::interval(Duration::from_secs(every)))?;
    steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Some(steps)
}

/// The candidate's requests since a time.
fn since(world: &World<'_>, candidate: &Candidate, began: Timestamp) -> anyhow::Result<Vec<AuditRecord>> {
    let mut records = world.audit()?;
    records.retain(|record| record.user == candidate.user && received(record) >= began);
    Ok(records)
}

fn received(record: &AuditRecord) -> Timestamp {
    record.received.parse().unwrap_or(Timestamp::MIN)
}

/// Waits until the memory of a process rests.
async fn settled(process: &mut Process) -> anyhow::Result<Memory> {
    let until = Instant::now() + SETTLING;
    let mut before = memory(process.id());
    loop {
        tokio::time::sleep(STEADY).await;
        process.check()?;
        let now = memory(process.id()).context("the candidate has no memory: is there a /proc?")?;
        let moved = before.map_or(u64::MAX, |before| before.resident.abs_diff(now.resident));
        if moved <= now.resident / STEADY_PART || Instant::now() >= until {
            return Ok(now);
        }
        before = Some(now);
    }
}

/// Ending may take a moment, in which the runtime has other work.
async fn end(mut process: Process) -> anyhow::Result<()> {
    tokio::task::spawn_blocking(move || process.stop()).await?;
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// The value below which the share `of` of the figures lies.
pub fn share(milliseconds: &[f64], of: f64) -> f64 {
    let mut times: Vec<Duration> = milliseconds
        .iter()
        .map(|ms| Duration::from_secs_f64(ms / 1_000.0))
        .collect();
    quantile(&mut times, of).map_or(f64::NAN, |time| time.as_secs_f64() * 1_000.0)
}
