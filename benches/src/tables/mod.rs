//! What each cache strategy costs our operator on a real control plane, and what changing it does.
//!
//! ```text
//! arguments   what to measure
//! daemon      our operator as a process, and its control API
//! state       clusters that exist before a start; requests that the server has seen
//! strategies  strategy × start, memory, requests, hit rate            one row per number of foreign objects
//! probe       a router in this process: times of single reads, at rest and while the strategy changes
//! switches    all ordered pairs: how long a change takes, and how long a read may wait meanwhile
//! forecasts   all ordered pairs under a steady load: what the operator forecast, and what came
//! peak        memory after a peak of a gigabyte
//! report      figures -> tables                                      (pure)
//! ```
//!
//! Memory is what the kernel says of the process, requests are those of the server's audit log; times of the start
//! and of changes are the operator's own. How long a read takes is not exported by it, so it is timed here.

pub mod arguments;
pub mod daemon;
pub mod forecasts;
pub mod peak;
pub mod probe;
pub mod report;
pub mod state;
pub mod strategies;
pub mod switches;

use anyhow::Context as _;
use neo4j_operator_tests::controlplane::{ControlPlane, Options};

use self::{
    arguments::{Arguments, Table},
    daemon::Maker,
    state::State,
};
use crate::compare::foreign;

/// Measures what is asked for and prints each table when it is whole.
///
/// # Errors
/// If the control plane does not start, or the operator does not do something within its time.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let all = [Table::Strategies, Table::Switches, Table::Forecasts];
    if all.iter().any(|table| arguments.only.contains(table)) {
        on_shared_objects(arguments).await?;
    }
    if arguments.only.contains(&Table::Peak) {
        // A control plane of its own: the objects are large, and nobody else is to hold them.
        let plane = start().await?;
        let maker = Maker::new(arguments, &plane).await?;
        let figures = peak::measure(&plane, &maker, arguments.peak).await?;
        println!("{}", report::peak(&figures));
    }
    Ok(())
}

async fn start() -> anyhow::Result<ControlPlane> {
    let options = Options {
        load: true,
        ..Options::default()
    };
    ControlPlane::start(&options).await.context("the control plane")
}

/// The tables for which clusters have to exist.
async fn on_shared_objects(arguments: &Arguments) -> anyhow::Result<()> {
    let plane = start().await?;
    let maker = Maker::new(arguments, &plane).await?;
    eprintln!("creating {} clusters, reconciled once", arguments.clusters);
    let state = State::create(&plane, &maker, arguments.clusters).await?;
    let mut rows = Vec::new();
    let mut present = 0;
    let levels = &arguments.foreign.0;
    let switching = levels.iter().find(|level| **level >= 10_000).or(levels.last()).copied();
    for &level in levels {
        if level > present {
            eprintln!("creating {} foreign pods and as many secrets", level - present);
            foreign::create(&plane.client(), present..level).await?;
            present = level;
        }
        if arguments.only.contains(&Table::Strategies) {
            for &strategy in &arguments.strategies {
                eprintln!("{strategy} among {level} foreign pods and secrets");
                let row = Box::pin(strategies::measure(&state, &maker, strategy, level, arguments)).await;
                rows.push(row.with_context(|| format!("{strategy} among {level} foreign objects"))?);
            }
            println!("{}", report::strategies(&rows, arguments));
        }
        if arguments.only.contains(&Table::Switches) && switching == Some(level) {
            eprintln!("changes of strategy among {level} foreign pods and secrets");
            let figures = Box::pin(switches::measure(&state, &maker)).await?;
            println!("{}", report::switches(&figures, level));
        }
        if arguments.only.contains(&Table::Forecasts) && switching == Some(level) {
            eprintln!("forecasts of changes among {level} foreign pods and secrets");
            let came = Box::pin(forecasts::measure(&state, &maker, arguments.compare_after)).await?;
            println!("{}", report::forecasts(&came, level));
        }
    }
    Ok(())
}
