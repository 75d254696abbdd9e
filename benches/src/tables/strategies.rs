//! What a strategy costs where clusters exist: start, memory, requests, reads.

use std::time::Duration;

use neo4j_operator_shared::{Strategy, cache::Cache};

use super::{
    arguments::Arguments,
    daemon::Maker,
    probe::{Probe, Times},
    state::State,
};

/// What is asked within this time belongs to the start.
pub const START: Duration = Duration::from_secs(10);
/// How long the reconciles of all touched clusters may take.
const TOUCHED: Duration = Duration::from_secs(15);

/// One strategy among so many foreign objects.
#[derive(Clone, Debug)]
pub struct Row {
    /// The strategy.
    pub strategy: Strategy,
    /// Foreign pods, and as many foreign secrets.
    pub foreign: u32,
    /// From the start of the process until ready, in seconds; one per start.
    pub ready: Vec<f64>,
    /// The phases of the last of these starts.
    pub phases: String,
    /// Resident bytes after the time of rest.
    pub settled: u64,
    /// The most resident bytes until then.
    pub peak: u64,
    /// Requests within [`START`], without watches.
    pub at_start: usize,
    /// Requests per minute in the time of rest, without watches.
    pub per_minute: f64,
    /// Hits ÷ cacheable reads of the reconciles of all clusters after each was touched; `None` where nothing was read.
    pub hit_rate: Option<f64>,
    /// Cacheable reads of these.
    pub reads: u64,
    /// Times of single reads by a router of this process.
    pub times: Times,
}

/// Measures one row.
///
/// # Errors
/// If the operator ends, or does not get ready in its time.
pub async fn measure(
    state: &State<'_>,
    maker: &Maker,
    strategy: Strategy,
    foreign: u32,
    arguments: &Arguments,
) -> anyhow::Result<Row> {
    let mut ready = Vec::new();
    for _ in 1..arguments.starts {
        let mut daemon = maker.start(strategy).await?;
        ready.push(daemon.ready().await?);
        daemon.stop().await?;
    }
    let began = state.now()?;
    let mut daemon = maker.start(strategy).await?;
    ready.push(daemon.ready().await?);
    tokio::time::sleep(START).await;
    let rested = state.now()?;
    let at_start = state.requests(&maker.user, began)?.len();
    tokio::time::sleep(arguments.rest).await;
    let in_rest = state.requests(&maker.user, rested)?.len();
    let memory = daemon.memory()?;
    let before = reads(&daemon.cache().await?);
    let touched = state.now()?;
    state.touch(&format!("{strategy}-{foreign}")).await?;
    state.quiet(&maker.user, touched, TOUCHED).await?;
    let after = reads(&daemon.cache().await?);
    let phases = daemon.phases().await?;
    daemon.stop().await?;
    let (hits, all) = (after.0 - before.0, after.1 - before.1);
    let probe = Probe::start(state, strategy).await?;
    let times = probe.at_rest().await?;
    probe.stop().await;
    Ok(Row {
        strategy,
        foreign,
        ready,
        phases,
        settled: memory.resident,
        peak: memory.peak,
        at_start,
        per_minute: in_rest as f64 * 60.0 / arguments.rest.as_secs_f64(),
        hit_rate: (all > 0).then(|| hits as f64 / all as f64),
        reads: all,
        times,
    })
}

/// Hits and cacheable reads since the start.
fn reads(cache: &Cache) -> (u64, u64) {
    let kinds = cache.kinds.iter().map(|kind| kind.reads);
    kinds.fold((0, 0), |(hits, all), reads| (hits + reads.hit, all + reads.cacheable()))
}
