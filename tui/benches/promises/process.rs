//! The program under a pseudo-terminal: what it costs while nobody touches it, and how soon it answers a key.

use std::{
    fs,
    io::{Read as _, Write},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, PtySize, native_pty_system};

use super::{Plan, Row, milliseconds, quantile, server::Server};

/// Longest wait for a byte.
const PATIENCE: Duration = Duration::from_secs(10);
/// Begin of a frame.
const FRAME: &[u8] = b"\x1b[?2026h";
/// `CLK_TCK` of every Linux.
const TICKS: f64 = 100.0;

struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    started: Instant,
}

#[derive(Default)]
struct Seen {
    bytes: Vec<u8>,
    /// When the newest of them came.
    at: Option<Instant>,
}

/// Counters of the process at a moment.
#[derive(Clone, Copy)]
struct Counters {
    at: Instant,
    cpu: f64,
    switches: u64,
    bytes: usize,
}

impl Terminal {
    fn start(url: &str, folder: &std::path::Path) -> Self {
        let size = PtySize {
            rows: 40,
            cols: 120,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pty = native_pty_system().openpty(size).unwrap();
        let token = folder.join("token");
        fs::write(&token, "token").unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_neotop"));
        command.args(["--url", url, "--token-file"]);
        command.arg(token);
        command.env("TERM", "xterm-256color");
        command.env_remove("NO_COLOR");
        let started = Instant::now();
        let child = pty.slave.spawn_command(command).unwrap();
        drop(pty.slave);
        let mut reader = pty.master.try_clone_reader().unwrap();
        let keys = pty.master.take_writer().unwrap();
        let seen = Arc::new((Mutex::new(Seen::default()), Condvar::new()));
        let fill = Arc::clone(&seen);
        std::thread::spawn(move || {
            let _keep = pty.master;
            let mut bytes = vec![0; 65_536];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                let at = Instant::now();
                let mut seen = fill.0.lock().unwrap();
                seen.bytes.extend_from_slice(&bytes[..count]);
                seen.at = Some(at);
                fill.1.notify_all();
            }
        });
        Self {
            child,
            keys,
            seen,
            started,
        }
    }

    fn wait(&self, what: &str, mut done: impl FnMut(&Seen) -> bool) -> Instant {
        let seen = self.seen.0.lock().unwrap();
        let (seen, waited) = self
            .seen
            .1
            .wait_timeout_while(seen, PATIENCE, |seen| !done(seen))
            .unwrap();
        assert!(!waited.timed_out(), "waited for {what}");
        seen.at.unwrap_or(self.started)
    }

    fn wait_for(&self, text: &str) -> Instant {
        self.wait(text, |seen| {
            seen.bytes.windows(text.len()).any(|window| window == text.as_bytes())
        })
    }

    fn bytes(&self) -> usize {
        self.seen.0.lock().unwrap().bytes.len()
    }

    fn press(&mut self, key: &str) {
        self.keys.write_all(key.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// From the key to the first byte that comes after it. Only between frames: else the byte could be of data.
    fn answer(&mut self, key: &str) -> Duration {
        let before = self.bytes();
        let pressed = Instant::now();
        self.press(key);
        self.wait("an answer to a key", |seen| seen.bytes.len() > before)
            .saturating_duration_since(pressed)
    }

    fn counters(&self) -> Counters {
        let id = self.child.process_id().unwrap();
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        let after_name = stat.rsplit(')').next().unwrap();
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().unwrap()).sum();
        let tasks = fs::read_dir(format!("/proc/{id}/task")).unwrap().flatten();
        let switches = tasks.map(|task| status(&task.path(), "ctxt_switches")).sum();
        Counters {
            at: Instant::now(),
            cpu: ticks / TICKS,
            switches,
            bytes: self.bytes(),
        }
    }

    fn rss(&self) -> u64 {
        let id = self.child.process_id().unwrap();
        status(std::path::Path::new(&format!("/proc/{id}")), "VmRSS")
    }

    fn quit(mut self) {
        self.press("\u{3}");
        let _ = self.child.wait();
    }
}

/// The sum of the fields whose names end so.
fn status(folder: &std::path::Path, name: &str) -> u64 {
    let text = fs::read_to_string(folder.join("status")).unwrap_or_default();
    let values = text.lines().filter_map(|line| {
        let (field, value) = line.split_once(':')?;
        field
            .ends_with(name)
            .then(|| value.split_whitespace().next()?.parse::<u64>().ok())?
    });
    values.sum()
}

/// What happened between two moments, per second: share of a core, switches, bytes.
fn between(before: Counters, after: Counters) -> (f64, f64, f64) {
    let seconds = after.at.duration_since(before.at).as_secs_f64();
    (
        (after.cpu - before.cpu) / seconds,
        (after.switches - before.switches) as f64 / seconds,
        (after.bytes - before.bytes) as f64 / seconds,
    )
}

pub fn measure(plan: &Plan) -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start();
    let mut rows = Vec::new();
    let mut terminal = Terminal::start(&format!("http://{}", server.address), folder.path());
    terminal.wait_for("LIVE");
    let mut row = |promise, what: &str, limit, measured: String| {
        rows.push(Row {
            promise,
            what: what.to_owned(),
            limit,
            measured,
        });
    };
    for (page, name) in [("1", "Overview"), ("3", "Cache"), ("4", "Memory")] {
        terminal.press(page);
        std::thread::sleep(Duration::from_secs(3)); // what opening the page costs is not the steady state
        let (before, from) = (terminal.counters(), terminal.bytes());
        std::thread::sleep(plan.idle);
        let after = terminal.counters();
        let (cpu, switches, bytes) = between(before, after);
        row(
            "TG1",
            &format!("processor, {name}"),
            "≤ 0.4 % of a core",
            format!("{:.2} %", cpu * 100.0),
        );
        let largest = largest_frame(&terminal.seen.0.lock().unwrap().bytes[from..]);
        row(
            "TG2",
            &format!("bytes per second / largest frame, {name}"),
            "≤ 1.5 kB / ≤ 4 kB",
            format!("{:.2} kB / {:.2} kB", bytes / 1e3, largest as f64 / 1e3),
        );
        row(
            "TG4",
            &format!("context switches per second, {name}"),
            "≤ 12",
            format!("{switches:.1}"),
        );
    }
    row(
        "TG5",
        "resident after these minutes",
        "≤ 12 MB",
        format!("{:.1} MB", terminal.rss() as f64 / 1e3),
    );
    terminal.press(" ");
    terminal.wait_for("PAUSED");
    std::thread::sleep(Duration::from_secs(1));
    let before = terminal.counters();
    std::thread::sleep(plan.paused);
    let (_, switches, bytes) = between(before, terminal.counters());
    row("TG3", "bytes while paused", "0", format!("{bytes:.0}"));
    row(
        "TG3",
        "context switches per second while paused, data still taken in",
        "–",
        format!("{switches:.1}"),
    );
    terminal.press(" ");
    row(
        "TG6",
        "key to first byte, p50 / p95",
        "p95 ≤ 2 ms",
        keys(&mut terminal, plan.keys),
    );
    server.hang(true);
    std::thread::sleep(Duration::from_secs(2));
    row(
        "TG6",
        "the same while every request hangs",
        "p95 ≤ 2 ms",
        keys(&mut terminal, plan.keys),
    );
    server.hang(false);
    terminal.quit();
    row(
        "TG7",
        "start to first paint without a server, p50 / highest",
        "≤ 30 ms",
        first_paint(plan.starts, folder.path()),
    );
    rows
}

/// The longest stretch from one begin of a frame to the next.
fn largest_frame(bytes: &[u8]) -> usize {
    let starts: Vec<_> = bytes
        .windows(FRAME.len())
        .enumerate()
        .filter_map(|(place, window)| (window == FRAME).then_some(place))
        .chain([bytes.len()])
        .collect();
    starts.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
}

/// Keys at uneven gaps; each moves the time cursor, so that something has to be drawn.
fn keys(terminal: &mut Terminal, count: u32) -> String {
    let mut times: Vec<_> = (0..count)
        .map(|n| {
            std::thread::sleep(Duration::from_millis(u64::from(20 + n * 37 % 90)));
            terminal.answer(if n % 2 == 0 { "," } else { "0" })
        })
        .collect();
    times.sort_unstable();
    format!(
        "{} / {}",
        milliseconds(quantile(&times, 0.5)),
        milliseconds(quantile(&times, 0.95))
    )
}

fn first_paint(starts: u32, folder: &std::path::Path) -> String {
    let mut times: Vec<_> = (0..starts)
        .map(|_| {
            let terminal = Terminal::start("http://127.0.0.1:9", folder);
            let started = terminal.started;
            let painted = terminal.wait_for("\u{1b}[?2026l");
            terminal.quit();
            painted.saturating_duration_since(started)
        })
        .collect();
    times.sort_unstable();
    format!(
        "{} / {}",
        milliseconds(quantile(&times, 0.5)),
        milliseconds(quantile(&times, 1.0))
    )
}
