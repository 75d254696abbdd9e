//! Operators side by side on a real control plane, as processes, measured from outside.
//!
//! ```text
//! arguments   what to compare, how often
//! candidate   one operator: its command, its rights, its process
//! foreign     other people's objects, varied in size, the same in every run   (pure, then created)
//! world       one namespace per measurement: definitions, a waiting cluster, cleaning up
//! measure     the figures of one candidate in one world
//! timeline    what was asked in a stretch of time, and how long each answer took (pure)
//! report      figures -> table and JSON                                       (pure)
//! ```
//!
//! Every candidate meets the same control plane, one after another, first without foreign objects and then with them.
//! Times are taken from a watch of our own; requests are those that the server's audit log has for the candidate's
//! user; memory is what the kernel says of the process. Nothing asks the candidate about itself, so that any
//! operator for these resources can be measured by naming its command.

pub mod arguments;
pub mod candidate;
pub mod foreign;
pub mod measure;
pub mod report;
pub mod timeline;
pub mod world;

use anyhow::Context as _;
use neo4j_operator_tests::controlplane::{ControlPlane, Options};

use self::{arguments::Arguments, candidate::Candidate, report::Row, world::World};

/// Runs the whole comparison and returns its rows in the order in which they were measured.
///
/// # Errors
/// If the control plane does not start, or a candidate does nothing within its time.
pub async fn run(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let options = Options {
        load: true,
        ..Options::default()
    };
    let plane = ControlPlane::start(&options).await.context("the control plane")?;
    let candidates = Candidate::all(arguments, &plane).await?;
    let mut rows = Vec::new();
    let mut present = 0;
    for &foreign in &arguments.foreign.0 {
        if foreign > present {
            eprintln!("creating {} foreign pods and as many secrets", foreign - present);
            foreign::create(&plane.client(), present..foreign).await?;
            present = foreign;
        }
        for candidate in &candidates {
            eprintln!("{} among {foreign} foreign pods and secrets", candidate.name);
            let world = World::new(&plane).await?;
            let figures = Box::pin(measure::all(&world, candidate, arguments))
                .await
                .with_context(|| format!("{} among {foreign} foreign objects", candidate.name))?;
            rows.push(Row {
                candidate: candidate.name.clone(),
                foreign,
                figures,
            });
        }
    }
    Ok(rows)
}
