//! A router in this process, with watches and stores of its own: how long single reads take.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use neo4j_operator::{
    cache::{ConfigMapView, Limits, Router, Settings},
    queue::Queue,
    reconcile::Requests,
};
use neo4j_operator_shared::{
    Strategy,
    switch::{By, OperationState, SwitchRequest, Wanted},
};
use tokio::task::JoinHandle;

use super::state::State;
use crate::samples::quantile;

/// How long stores may take to fill.
const PATIENCE: Duration = Duration::from_secs(120);
/// Time for a kind that is kept from its first read on to be filled.
const WARMING: Duration = Duration::from_secs(2);
/// Reads of one sample, and how long it takes at most: reads of the server are slow.
const READS: usize = 2_000;
const READING: Duration = Duration::from_secs(2);

/// The router.
pub struct Probe {
    router: Router,
    namespace: String,
    names: Arc<[String]>,
}

/// Times of reads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Reads.
    pub count: usize,
    /// Half are faster.
    pub median: Duration,
    /// One in a hundred is slower.
    pub p99: Duration,
    /// The slowest.
    pub longest: Duration,
}

impl Probe {
    /// Starts it and waits until what the strategy keeps is there.
    ///
    /// # Errors
    /// If there is nothing of ours to read, or the stores do not fill in time.
    pub async fn start(state: &State<'_>, strategy: Strategy) -> anyhow::Result<Self> {
        let names = state.config_maps().await?.into();
        let settings = Settings {
            strategy,
            limits: Limits {
                pause: Duration::ZERO,
                ..Limits::default()
            },
            ..Settings::default()
        };
        let router = Router::start(state.client(), &settings, Queue::default(), Arc::new(()));
        tokio::time::timeout(PATIENCE, router.synced())
            .await
            .context("the stores of the probe")?;
        Ok(Self {
            router,
            namespace: state.namespace().to_owned(),
            names,
        })
    }

    /// Ends its watches.
    pub async fn stop(self) {
        self.router.stop().await;
    }

    async fn read(&self, number: usize) -> anyhow::Result<Duration> {
        read(&self.router, &self.namespace, &self.names, number).await
    }

    /// Reads while nothing else happens.
    ///
    /// # Errors
    /// If a read fails, or finds nothing.
    pub async fn at_rest(&self) -> anyhow::Result<Times> {
        self.read(0).await?;
        tokio::time::sleep(WARMING).await;
        let until = Instant::now() + READING;
        let mut times = Vec::new();
        while times.len() < READS && Instant::now() < until {
            times.push(self.read(times.len()).await?);
        }
        Ok(Times::of(times))
    }

    /// Changes the strategy while another task reads; the answer is how long that took, and the times of these reads.
    ///
    /// # Errors
    /// If the change is refused or undone, or a read fails.
    pub async fn during(&self, to: Strategy) -> anyhow::Result<(f64, Times)> {
        let over = Arc::new(AtomicBool::new(false));
        let reader = self.reader(&over);
        // The reader runs before the change begins.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let seconds = self.change(to).await;
        over.store(true, Ordering::Relaxed);
        let times = reader.await??;
        Ok((seconds?, Times::of(times)))
    }

    fn reader(&self, over: &Arc<AtomicBool>) -> JoinHandle<anyhow::Result<Vec<Duration>>> {
        let (router, namespace, names) = (self.router.clone(), self.namespace.clone(), Arc::clone(&self.names));
        let over = Arc::clone(over);
        tokio::spawn(async move {
            let mut times = Vec::new();
            while !over.load(Ordering::Relaxed) {
                times.push(read(&router, &namespace, &names, times.len()).await?);
                // A reconcile does other things between two reads.
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            Ok(times)
        })
    }

    async fn change(&self, to: Strategy) -> anyhow::Result<f64> {
        let request = SwitchRequest {
            strategy: Wanted::Strategy(to),
            kinds: None,
            dry_run: false,
            rollback_after: None,
        };
        let mut operation = self.router.switch(&request, By::User).await?;
        let until = Instant::now() + PATIENCE;
        while operation.state == OperationState::Preparing {
            anyhow::ensure!(
                Instant::now() < until,
                "a change took longer than {} s",
                PATIENCE.as_secs()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
            let mut ended = self.router.history().into_iter();
            if let Some(ended) = ended.find(|ended| ended.id == operation.id) {
                operation = ended;
            }
        }
        anyhow::ensure!(operation.state == OperationState::Done, "{operation:?}");
        Ok(operation.seconds)
    }
}

async fn read(router: &Router, namespace: &str, names: &[String], number: usize) -> anyhow::Result<Duration> {
    let name = &names[number % names.len()];
    let requests = Requests::default();
    let began = Instant::now();
    let answer = router.read::<ConfigMapView>(namespace, name, &requests).await?;
    let took = began.elapsed();
    anyhow::ensure!(answer.value.is_some(), "{name} was not found");
    Ok(took)
}

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        let count = times.len();
        let mut at = |share| quantile(&mut times, share).unwrap_or_default();
        Self {
            count,
            median: at(0.5),
            p99: at(0.99),
            longest: at(1.0),
        }
    }
}
