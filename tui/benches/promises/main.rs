//! What neotop promises to cost, measured: the processor, bytes to the terminal, wake-ups, memory, the time from a key
//! to the first byte, to the first paint without a server, and of a frame.
//!
//! The program runs under a pseudo-terminal of 120x40 in front of a small server whose 500 series change each second.
//! Frames are timed in this process. Everything ends in one table; nothing is asserted, because times depend on the
//! machine. What is a count of bytes is a test (`src/view/budget.rs`).
//!
//! `cargo bench -p neotop` takes four minutes; `-- --quick` one, with less to go by.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod frames;
mod process;
mod server;

use std::time::Duration;

/// How long each part takes.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Watching the idle screen.
    pub idle: Duration,
    /// Watching the paused one.
    pub paused: Duration,
    /// Keys pressed with the server well, and as many with the server hanging.
    pub keys: u32,
    /// Starts without a server.
    pub starts: u32,
    /// Frames per page and size.
    pub frames: u32,
}

/// A line of the table.
pub struct Row {
    /// Which promise.
    pub promise: &'static str,
    /// What was measured.
    pub what: String,
    /// The promise.
    pub limit: &'static str,
    /// What came.
    pub measured: String,
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let plan = if quick {
        Plan {
            idle: Duration::from_secs(15),
            paused: Duration::from_secs(10),
            keys: 40,
            starts: 5,
            frames: 200,
        }
    } else {
        Plan {
            idle: Duration::from_secs(60),
            paused: Duration::from_secs(30),
            keys: 200,
            starts: 20,
            frames: 2_000,
        }
    };
    let mut rows = process::measure(&plan);
    rows.extend(frames::measure(&plan));
    println!("| promise | measured at 120x40, 500 series | limit | value |\n|---|---|---|---|");
    for row in rows {
        println!("| {} | {} | {} | {} |", row.promise, row.what, row.limit, row.measured);
    }
}

/// The value below which such a share of all lies.
pub fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted[place.clamp(1, sorted.len()) - 1]
}

/// Milliseconds with as many digits as say something.
pub fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
