//! What neotop asks a daemon to do, as a person sees it.

use portable_pty::CommandBuilder;

use crate::{
    daemon::{Daemon, TOKEN},
    screen::Screen,
};

fn start(daemon: &Daemon, folder: &tempfile::TempDir, more: &[&str]) -> Screen {
    let token = folder.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_neotop"));
    command.args(["--url", &daemon.url(), "--token-file"]);
    command.arg(token);
    command.args(more);
    command.env("XDG_RUNTIME_DIR", folder.path());
    command.env_remove("NEOTOP_READ_ONLY");
    let screen = Screen::start(command);
    screen.wait_for("● LIVE");
    screen
}

fn quit(mut screen: Screen) {
    screen.press("\u{3}");
    assert_eq!(screen.wait_for_exit(), 0);
    screen.assert_restored();
}

/// Chooses `full` below `selective` and confirms.
fn switch_to_full(screen: &mut Screen) {
    screen.press("s");
    screen.wait_for(">* selective");
    screen.wait_for("98% → 99% ±1%");
    screen.press("j");
    screen.wait_for(">  full");
    screen.press("\r");
    screen.wait_for("[ Cancel ]");
    screen.wait_for("goes back by itself within 5 min");
    screen.press("\t");
    screen.wait_for("[ Confirm ]");
    screen.press("\r");
}

#[test]
fn a_switch_shows_the_forecast_asks_runs_and_shows_the_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start("b1");
    let mut screen = start(&daemon, &folder, &[]);
    switch_to_full(&mut screen);
    daemon
        .acts
        .wait_for(r#"PUT /v1/cache/strategy {"strategy":"full","dryRun":false,"rollbackAfter":"5m"}"#);
    screen.wait_for("PREPARING");
    screen.wait_for("filling  pods projection→full");
    daemon.acts.swap();
    screen.wait_for("* full");
    screen.press("\u{12}"); // C-r: the record is asked for at once
    screen.wait_for("DONE");
    screen.press("H");
    screen.wait_for("selective → full: DONE");
    screen.wait_for("came 97%");
    quit(screen);
}

#[test]
fn a_change_that_is_prepared_can_be_cancelled_and_a_dry_run_starts_none() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start("b1");
    let mut screen = start(&daemon, &folder, &[]);
    screen.press("3");
    screen.wait_for("meets all");
    screen.press("jd");
    screen.wait_for("dry run of full: would change pods, services");
    assert_eq!(
        daemon.acts.writes(),
        [r#"PUT /v1/cache/strategy {"strategy":"full","dryRun":true}"#]
    );
    screen.press("k");
    screen.wait_for(">* selective");
    // On this page `s` is about the chosen kind; on the first one it opens the strategies of all.
    screen.press("1");
    screen.wait_for("[1 Overview]");
    switch_to_full(&mut screen);
    daemon
        .acts
        .wait_for(r#"PUT /v1/cache/strategy {"strategy":"full","dryRun":false,"rollbackAfter":"5m"}"#);
    screen.wait_for("x cancels it");
    screen.press("x");
    daemon.acts.wait_for("DELETE /v1/cache/strategy/sw-7");
    screen.wait_for("CANCELLED");
    quit(screen);
}

#[test]
fn refusals_are_shown_with_their_reason_and_when_to_try_again() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start("b1");
    let mut screen = start(&daemon, &folder, &[]);
    daemon.acts.refuse(409, "the change sw-6 is under way", None);
    switch_to_full(&mut screen);
    screen.wait_for("switch to full refused (409): the change sw-6 is under way");
    daemon.acts.refuse(429, "the last reclaim was 3 s ago", Some(7));
    screen.press("\u{7}");
    screen.wait_for("reclaim refused (429): the last reclaim was 3 s ago; try again in 7 s");
    quit(screen);
}

#[test]
fn a_reclaim_and_a_warm_up_say_what_they_did() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start("b1");
    let mut screen = start(&daemon, &folder, &[]);
    screen.press("4");
    screen.wait_for("expected to give back 2.0M to 14M");
    screen.press("\u{7}");
    daemon.acts.wait_for("POST /v1/memory/gc {}");
    screen.wait_for("reclaim #3: 2.1 MB freed, 14.0 MB returned to the operating system in 6.3 ms");
    screen.wait_for("evict decoded 2.0M");
    screen.press("1w");
    screen.wait_for("warm-up: secrets was warm, 1 objects; pods queued; jobs is not kept by its strategy");
    let keys = daemon.acts.keys();
    assert!(keys.len() == 2 && keys[0] != keys[1], "{keys:?}");
    quit(screen);
}

#[test]
fn in_read_only_mode_every_act_is_refused_and_nothing_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start("b1");
    let mut screen = start(&daemon, &folder, &["--read-only"]);
    screen.wait_for("READ-ONLY");
    for (key, what) in [("\u{7}", "reclaim"), ("w", "warm-up")] {
        screen.press(key);
        screen.wait_for(&format!(
            "READ-ONLY: {what} is not sent, neotop was started with --read-only"
        ));
    }
    screen.press("3");
    screen.wait_for("meets all");
    screen.press("j\r");
    screen.wait_for("READ-ONLY: a switch is not sent");
    quit(screen);
    assert_eq!(daemon.acts.writes(), Vec::<String>::new());
}

#[test]
fn keys_work_while_a_request_hangs_and_its_end_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start("b1");
    let mut screen = start(&daemon, &folder, &[]);
    daemon.acts.hang();
    screen.press("\u{7}");
    daemon.acts.wait_for("POST /v1/memory/gc");
    screen.wait_for("reclaim: asked, waiting for the answer");
    screen.press("?");
    screen.wait_for("Keys of this page");
    screen.press("\u{1b}");
    screen.wait_until_gone("Keys of this page");
    assert!(
        screen.shows("reclaim: asked, waiting for the answer"),
        "keys do not wait for the request"
    );
    screen.wait_for("reclaim refused: no answer within 5 s");
    quit(screen);
}
