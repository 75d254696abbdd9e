//! `make bench-compare`: operators side by side on a real control plane. See `neo4j_operator_benches::compare`.

use std::fs;

use anyhow::Context as _;
use clap::Parser as _;
use neo4j_operator_benches::{
    compare::{
        self,
        arguments::Arguments,
        report::{table, timelines},
    },
    runtime,
};

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let rows = runtime()?.block_on(compare::run(&arguments))?;
    print!("{}", table(&rows));
    if let Some(path) = &arguments.json {
        let text = serde_json::to_vec_pretty(&rows)?;
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &arguments.timeline {
        fs::write(path, timelines(&rows)).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
