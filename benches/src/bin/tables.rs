//! `make bench-tables`: what each cache strategy costs, and what changing it does. See `neo4j_operator_benches::tables`.

use clap::Parser as _;
use neo4j_operator_benches::{
    runtime,
    tables::{self, arguments::Arguments},
};

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    runtime()?.block_on(tables::run(&arguments))
}
