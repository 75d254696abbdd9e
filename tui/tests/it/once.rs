//! `--once` and bad options.

use std::process::{Command, Output};

use crate::daemon::{Daemon, TOKEN};

fn neotop(folder: &tempfile::TempDir, args: &[&str]) -> Output {
    let token = folder.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    Command::new(env!("CARGO_BIN_EXE_neotop"))
        .args(args)
        .arg("--token-file")
        .arg(&token)
        .env("XDG_RUNTIME_DIR", folder.path())
        .output()
        .unwrap()
}

#[test]
fn one_report_with_every_panel_and_exit_0() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start("b1");
    let output = neotop(&folder, &["--once", "--url", &daemon.url()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    for part in [
        "Goals",
        "Reconcile latency",
        "Queue",
        "Cache",
        "Memory",
        "Neo4j clusters",
        "Events",
        "prod/graph",
        "first event",
        "/s / -",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

#[test]
fn a_broken_goal_fails_only_when_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start("b1");
    let output = neotop(
        &folder,
        &["--once", "--format", "json", "--fail-on", "slo", "--url", &daemon.url()],
    );
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["clusters"]["items"][0]["name"], "graph");
}

#[test]
fn bad_options_and_no_daemon_end_with_2_and_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let closed = Daemon::start("b1").url();
    for args in [
        &["--once", "--url", &closed][..],
        &["--once", "--url", "nonsense"],
        &["--once", "--url", "https://x"],
        &[],
    ] {
        let output = neotop(&folder, args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text.trim().lines().count(), 1, "{text}");
        assert!(text.starts_with("neotop: "), "{text}");
    }
}
