//! What the operator forecast of each change of strategy while a steady load runs, and what came of it by its own account.
//!
//! The load: one cluster after another has an annotation changed, five in two seconds, and all of them wait for their
//! pods and are looked at again and again. It does not depend on the strategy, as the forecasts assume.

use std::time::Duration;

use anyhow::Context as _;
use neo4j_operator_shared::{
    Strategy,
    switch::{Forecast, Quantity, SwitchOutcome},
};

use super::{daemon::Maker, state::State, switches::walk};

/// Between two changes of the load.
const STEP: Duration = Duration::from_millis(400);
/// How long the load runs before the first change: past the start, which is no sample, and long enough to be one.
const BEFORE: Duration = Duration::from_secs(90);
/// What is due is looked for once in so long, and answered a moment later.
const LATE: Duration = Duration::from_secs(60);

/// One change.
#[derive(Clone, Debug)]
pub struct Came {
    /// Before.
    pub from: Strategy,
    /// After.
    pub to: Strategy,
    /// What was said at its beginning.
    pub forecast: Forecast,
    /// What was measured after it.
    pub outcome: SwitchOutcome,
}

impl Came {
    /// The error of a quantity, where it was compared.
    pub fn error(&self, quantity: Quantity) -> Option<f64> {
        let mut errors = self.outcome.errors.iter();
        errors.find(|error| error.quantity == quantity).map(|error| error.error)
    }
}

/// Makes all changes, one after another.
///
/// # Errors
/// If the server refuses a change of the load, the operator one of the strategy, or no outcome comes.
pub async fn measure(state: &State<'_>, maker: &Maker, after: Duration) -> anyhow::Result<Vec<Came>> {
    let walk = walk();
    let compare = format!("--cache-compare-after={}s", after.as_secs());
    let mut daemon = maker.start_with(walk[0], &[compare]).await?;
    let changes = async {
        daemon.ready().await?;
        tokio::time::sleep(BEFORE).await;
        let mut all = Vec::new();
        for (from, to) in walk.iter().copied().zip(walk.iter().copied().skip(1)) {
            let operation = daemon.switch(to).await?;
            // Whoever asks makes the operator look at the server: not before there is something to ask for.
            tokio::time::sleep(after).await;
            let record = daemon.outcome(&operation.id, LATE).await?;
            let both = record.operation.forecast.zip(record.outcomes.into_iter().next());
            let (forecast, outcome) = both.with_context(|| format!("{from} -> {to} had no forecast"))?;
            all.push(Came {
                from,
                to,
                forecast,
                outcome,
            });
        }
        anyhow::Ok(all)
    };
    let all = tokio::select! {
        all = changes => all?,
        Err(error) = load(state) => return Err(error.context("the load")),
    };
    daemon.stop().await?;
    Ok(all)
}

/// Runs until it is dropped.
async fn load(state: &State<'_>) -> anyhow::Result<()> {
    let mut steps = tokio::time::interval(STEP);
    for number in 0_u32.. {
        steps.tick().await;
        state.touch_one(number, &format!("load-{number}")).await?;
    }
    Ok(())
}
