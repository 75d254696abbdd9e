//! What to measure.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};
use neo4j_operator_shared::Strategy;

use crate::compare::arguments::{Levels, seconds};

/// Measures what each cache strategy of our operator costs, and what changing it does.
#[derive(Clone, Debug, Parser)]
#[command(name = "tables")]
pub struct Arguments {
    /// Our operator, optimised; `make bench-tables` builds it
    #[arg(long, value_name = "PROGRAM")]
    pub own: PathBuf,

    /// The tables to make
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "strategies,switches,forecasts,peak"
    )]
    pub only: Vec<Table>,

    /// Strategies of the first table
    #[arg(
        long,
        env = "STRATEGIES",
        value_delimiter = ',',
        default_value = "none,lazy,selective,full,adaptive"
    )]
    pub strategies: Vec<Strategy>,

    /// Foreign pods, and as many foreign secrets; growing, for they are never taken away
    #[arg(long, env = "FOREIGN", default_value = "0,10000,50000")]
    pub foreign: Levels,

    /// Clusters that exist before a start
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub clusters: u32,

    /// Starts of which the time until ready is taken
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub starts: u32,

    /// Seconds after a start in which requests are counted
    #[arg(long, default_value = "20", value_parser = seconds)]
    pub rest: Duration,

    /// Seconds after a change until what came is compared with its forecast
    #[arg(long, default_value = "30", value_parser = seconds)]
    pub compare_after: Duration,

    /// Megabytes that `full` is made to keep before they are given back
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=4_000))]
    pub peak: u32,
}

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Table {
    /// Strategy × start, memory, requests, reads.
    Strategies,
    /// Changes of strategy.
    Switches,
    /// What the operator forecast of each change under a steady load, and what came.
    Forecasts,
    /// Memory after a peak.
    Peak,
}
