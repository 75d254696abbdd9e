//! A process under a pseudo-terminal, and what its screen shows.
//!
//! As a terminal that knows synchronized output does, it shows no half frame: what a frame has written so far is held back
//! until the frame ends, however the reads cut it.

use std::{
    io::{Read, Write},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, PtySize, native_pty_system};

/// Longest wait for a condition. Tests end as soon as it holds.
const DEADLINE: Duration = Duration::from_secs(60);

const ROWS: u16 = 40;
const COLUMNS: u16 = 120;

pub struct Screen {
    pub child: Box<dyn Child + Send + Sync>,
    writer: Box<dyn Write + Send>,
    state: Arc<(Mutex<State>, Condvar)>,
}

/// The marks of synchronized output (DEC private mode 2026).
const FRAME_BEGINS: &[u8] = b"\x1b[?2026h";
const FRAME_ENDS: &[u8] = b"\x1b[?2026l";

struct State {
    parser: vt100::Parser,
    raw: Vec<u8>,
    /// How many of those bytes are on the screen.
    shown: usize,
    ended: bool,
}

impl State {
    fn new() -> Self {
        Self {
            parser: vt100::Parser::new(ROWS, COLUMNS, 0),
            raw: Vec::new(),
            shown: 0,
            ended: false,
        }
    }

    /// Shows what has arrived, but for a frame that has not ended yet.
    fn take(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
        // A mark may have been cut in two.
        let from = self.shown.saturating_sub(FRAME_BEGINS.len() - 1);
        let new = &self.raw[from..];
        let begins = rfind(new, FRAME_BEGINS);
        let open = begins.filter(|at| rfind(new, FRAME_ENDS).is_none_or(|end| end < *at));
        let until = open.map_or(self.raw.len(), |at| (from + at).max(self.shown));
        self.parser.process(&self.raw[self.shown..until]);
        self.shown = until;
    }
}

fn rfind(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).rposition(|window| window == mark)
}

impl Screen {
    pub fn start(mut command: CommandBuilder) -> Self {
        command.env("TERM", "xterm-256color");
        command.env_remove("NO_COLOR");
        let size = PtySize {
            rows: ROWS,
            cols: COLUMNS,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pty = native_pty_system().openpty(size).unwrap();
        let child = pty.slave.spawn_command(command).unwrap();
        drop(pty.slave);
        let mut reader = pty.master.try_clone_reader().unwrap();
        let writer = pty.master.take_writer().unwrap();
        let state = Arc::new((Mutex::new(State::new()), Condvar::new()));
        let fill = Arc::clone(&state);
        std::thread::spawn(move || {
            let _keep = pty.master;
            let mut bytes = [0; 8192];
            loop {
                let count = reader.read(&mut bytes).unwrap_or(0);
                let mut state = fill.0.lock().unwrap();
                state.take(&bytes[..count]);
                state.ended |= count == 0;
                fill.1.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        Self { child, writer, state }
    }

    pub fn press(&mut self, keys: &str) {
        self.writer.write_all(keys.as_bytes()).unwrap();
        self.writer.flush().unwrap();
    }

    /// Waits until the screen shows a text.
    pub fn wait_for(&self, text: &str) {
        self.wait(&format!("{text:?} on the screen"), |state| {
            state.parser.screen().contents().contains(text)
        });
    }

    /// Waits until a line with a text is as it should be.
    pub fn wait_for_line(&self, text: &str, holds: impl Fn(&str) -> bool) {
        self.wait(&format!("a line with {text:?} that is as it should be"), |state| {
            let contents = state.parser.screen().contents();
            contents.lines().any(|line| line.contains(text) && holds(line))
        });
    }

    /// Waits until something can be read from a line, and returns it.
    pub fn read_line<T>(&self, what: &str, read: impl Fn(&str) -> Option<T>) -> T {
        let mut found = None;
        self.wait(what, |state| {
            found = state.parser.screen().contents().lines().find_map(&read);
            found.is_some()
        });
        found.unwrap()
    }

    /// Whether the screen shows a text now.
    pub fn shows(&self, text: &str) -> bool {
        let state = self.state.0.lock().unwrap();
        state.parser.screen().contents().contains(text)
    }

    /// Waits until the screen no longer shows a text.
    pub fn wait_until_gone(&self, text: &str) {
        self.wait(&format!("{text:?} to vanish"), |state| {
            !state.parser.screen().contents().contains(text)
        });
    }

    /// Waits until the process is gone, and returns its exit code.
    pub fn wait_for_exit(&mut self) -> u32 {
        self.wait("the end of the process", |state| state.ended);
        self.child.wait().unwrap().exit_code()
    }

    /// Bytes written so far.
    pub fn written(&self) -> usize {
        self.state.0.lock().unwrap().raw.len()
    }

    fn wait(&self, what: &str, mut done: impl FnMut(&State) -> bool) {
        let until = Instant::now() + DEADLINE;
        let mut state = self.state.0.lock().unwrap();
        while !done(&state) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || state.ended {
                let contents = state.parser.screen().contents();
                // Or the thread that reads would panic too, and hide this.
                drop(state);
                panic!("waited for {what}; the screen shows:\n{contents}");
            }
            state = self.state.1.wait_timeout(state, left).unwrap().0;
        }
    }

    /// That the terminal was given back: cursor shown, alternate screen left, no half frame.
    pub fn assert_restored(&self) {
        let state = self.state.0.lock().unwrap();
        for mark in ["\x1b[?2026l", "\x1b[?1049l", "\x1b[?25h"] {
            let found = state.raw.windows(mark.len()).any(|window| window == mark.as_bytes());
            assert!(found, "{mark:?} was never written");
        }
        assert!(
            !state.parser.screen().alternate_screen(),
            "still on the alternate screen"
        );
        assert!(!state.parser.screen().hide_cursor(), "the cursor is still hidden");
    }
}

#[test]
fn half_a_frame_is_not_shown_wherever_it_is_cut() {
    let bytes = b"old\x1b[?2026h\rnew\x1b[?2026l";
    for cut in 1..bytes.len() {
        let mut state = State::new();
        state.take(&bytes[..cut]);
        let contents = state.parser.screen().contents();
        assert!("old".starts_with(&contents), "{contents:?}");
        state.take(&bytes[cut..]);
        assert_eq!(state.parser.screen().contents(), "new");
    }
}
