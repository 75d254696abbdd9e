//! A process under a pseudo-terminal, and what its screen shows.

use std::{
    io::{Read, Write},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, PtySize, native_pty_system};

/// Longest wait for a condition. Tests end as soon as it holds.
const DEADLINE: Duration = Duration::from_secs(30);

pub struct Screen {
    pub child: Box<dyn Child + Send + Sync>,
    writer: Box<dyn Write + Send>,
    state: Arc<(Mutex<State>, Condvar)>,
}

struct State {
    parser: vt100::Parser,
    raw: Vec<u8>,
    ended: bool,
}

impl Screen {
    pub fn start(mut command: CommandBuilder) -> Self {
        command.env("TERM", "xterm-256color");
        command.env_remove("NO_COLOR");
        let size = PtySize {
            rows: 40,
            cols: 120,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pty = native_pty_system().openpty(size).unwrap();
        let child = pty.slave.spawn_command(command).unwrap();
        drop(pty.slave);
        let mut reader = pty.master.try_clone_reader().unwrap();
        let writer = pty.master.take_writer().unwrap();
        let state = State {
            parser: vt100::Parser::new(40, 120, 0),
            raw: Vec::new(),
            ended: false,
        };
        let state = Arc::new((Mutex::new(state), Condvar::new()));
        let fill = Arc::clone(&state);
        std::thread::spawn(move || {
            let _keep = pty.master;
            let mut bytes = [0; 8192];
            loop {
                let count = reader.read(&mut bytes).unwrap_or(0);
                let mut state = fill.0.lock().unwrap();
                state.parser.process(&bytes[..count]);
                state.raw.extend_from_slice(&bytes[..count]);
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

    /// The first line with a text, as the screen shows it now.
    pub fn line_with(&self, text: &str) -> Option<String> {
        let state = self.state.0.lock().unwrap();
        let contents = state.parser.screen().contents();
        contents.lines().find(|line| line.contains(text)).map(str::to_owned)
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
            assert!(
                !left.is_zero() && (!state.ended || done(&state)),
                "waited for {what}; the screen shows:\n{}",
                state.parser.screen().contents()
            );
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
