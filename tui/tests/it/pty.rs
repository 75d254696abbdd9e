//! The live screen.

use portable_pty::CommandBuilder;

use crate::{
    daemon::{Daemon, TOKEN},
    screen::Screen,
};

fn neotop(url: &str, folder: &tempfile::TempDir) -> CommandBuilder {
    let token = folder.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_neotop"));
    command.args(["--url", url, "--token-file"]);
    command.arg(token);
    command.env("XDG_RUNTIME_DIR", folder.path());
    command
}

#[test]
fn shows_live_numbers_and_gives_the_terminal_back_on_quit() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start("b1");
    let mut screen = Screen::start(neotop(&daemon.url(), &folder));
    screen.wait_for("● LIVE");
    screen.wait_for("prod/graph");
    screen.wait_for("/s / -"); // keys in per second: a rate needs two samples
    screen.wait_for("first event"); // the event stream was replayed from its beginning
    screen.wait_for("1 of 2 goals broken: hit");
    screen.press("?");
    screen.wait_for("quit, whatever is open");
    screen.press("\u{1b}");
    screen.wait_until_gone("quit, whatever is open"); // Esc and q in one read would be Alt-q
    screen.press("q");
    assert_eq!(screen.wait_for_exit(), 0);
    screen.assert_restored();
}

#[test]
fn a_daemon_that_dies_is_shown_as_down_and_comes_back_live() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start("b1");
    let address = daemon.address;
    let mut screen = Screen::start(neotop(&daemon.url(), &folder));
    screen.wait_for("● LIVE");
    drop(daemon);
    screen.wait_for("✕ DOWN");
    screen.wait_for("What is shown is old");
    screen.wait_for("24M?"); // old numbers say that they are old
    let _daemon = Daemon::start_on(address, "b2");
    screen.wait_for("● LIVE");
    screen.press("\u{3}");
    assert_eq!(screen.wait_for_exit(), 0);
    screen.assert_restored();
}

#[test]
fn without_a_daemon_it_says_so_keeps_trying_and_quits_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let address = Daemon::start("b1").address; // a port that is free again
    let mut screen = Screen::start(neotop(&format!("http://{address}"), &folder));
    // Later tries come before an early one was seen, where this machine is slow.
    screen.read_line("another try", |line| {
        let (_, number) = line.split_once("CONNECTING (try ")?;
        let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().ok().filter(|number| *number >= 2)
    });
    screen.wait_for("make dev-dashboard");
    screen.press("\u{3}");
    assert_eq!(screen.wait_for_exit(), 0);
    screen.assert_restored();
}

#[test]
fn a_wrong_token_is_a_state_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start("b1");
    let wrong = folder.path().join("wrong");
    std::fs::write(&wrong, "other").unwrap();
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_neotop"));
    command.args(["--url", &daemon.url(), "--token-file"]);
    command.arg(&wrong);
    command.env("XDG_RUNTIME_DIR", folder.path());
    let mut screen = Screen::start(command);
    screen.wait_for("✕ REFUSED");
    screen.wait_for("--token-file");
    screen.press("q");
    assert_eq!(screen.wait_for_exit(), 0);
}

#[test]
fn paused_writes_nothing_while_data_comes_in() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start("b1");
    let mut screen = Screen::start(neotop(&daemon.url(), &folder));
    screen.wait_for("● LIVE");
    screen.press(" ");
    screen.wait_for("PAUSED");
    let before = screen.written();
    // Three more rounds reach the daemon while nothing reaches the terminal.
    daemon.wait_for_scrapes(3);
    assert_eq!(screen.written(), before);
    screen.press(" ");
    screen.press("q");
    assert_eq!(screen.wait_for_exit(), 0);
}

#[test]
fn sigterm_gives_the_terminal_back() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start("b1");
    let mut screen = Screen::start(neotop(&daemon.url(), &folder));
    screen.wait_for("● LIVE");
    let pid = screen.child.process_id().unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(screen.wait_for_exit(), 0);
    screen.assert_restored();
}

/// Runs under a pseudo-terminal of its own, started by the test below; by itself it does nothing.
#[test]
fn panic_child() {
    if std::env::var_os("NEOTOP_TEST_PANIC").is_some() {
        let _screen = neotop::terminal::Screen::enter().unwrap();
        panic!("on purpose");
    }
}

#[test]
fn a_panic_gives_the_terminal_back_and_can_be_read() {
    let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
    command.args(["--exact", "pty::panic_child", "--nocapture", "--test-threads=1"]);
    command.env("NEOTOP_TEST_PANIC", "1");
    command.env("RUST_BACKTRACE", "0");
    let mut screen = Screen::start(command);
    assert_ne!(screen.wait_for_exit(), 0);
    screen.assert_restored();
    screen.wait_for("on purpose");
}
