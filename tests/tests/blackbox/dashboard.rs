//! neotop in front of a real operator: one report, and the live screen through the death of the operator.

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use neo4j_operator_tests::harness::{Daemon, Program};
use portable_pty::CommandBuilder;
use serde_json::Value;

use crate::{
    scene::{PATIENCE, Scene},
    screen::Screen,
};

fn arguments(daemon: &Daemon) -> Vec<String> {
    vec![
        format!("--url=http://{}", daemon.control),
        format!("--token-file={}", daemon.token_file.display()),
    ]
}

fn once(daemon: &Daemon, more: &[&str]) -> String {
    let began = Instant::now();
    let output = loop {
        let output = Command::new(Program::Neotop.path().unwrap())
            .args(arguments(daemon))
            .arg("--once")
            .args(more)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        // 2: an answer was late, which says nothing of a machine that is busy.
        if output.status.code() != Some(2) || began.elapsed() > PATIENCE {
            break output;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_report_has_data_in_every_panel() {
    let scene = Scene::start(&[]).await;
    scene.ready_cluster("graph").await;
    let daemon = scene.operator();
    let report: Value = serde_json::from_str(&once(daemon, &["--format", "json"])).unwrap();
    let cluster = &report["clusters"]["items"][0];
    assert_eq!(
        (&cluster["name"], &cluster["ready"]),
        (&"graph".into(), &true.into()),
        "{report:#}"
    );
    assert_eq!(cluster["servers"]["enabled"], 3, "{report:#}");
    assert_eq!(
        cluster["databases"]["online"], cluster["databases"]["total"],
        "{report:#}"
    );
    assert!(report["latency"]["count"].as_f64().unwrap_or(0.0) > 0.0, "{report:#}");
    assert!(report["events"].as_u64().unwrap_or(0) > 0, "{report:#}");
    assert!(
        report["status"]["goals"]
            .as_array()
            .is_some_and(|goals| !goals.is_empty()),
        "{report:#}"
    );
    let text = once(daemon, &[]);
    let shown = format!("{}/graph", scene.namespace);
    for part in [
        "Goals",
        "Reconcile latency",
        "Queue",
        "Cache",
        "Memory",
        "Neo4j clusters",
        "Events",
        &shown,
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    // A panel is a title without indent and its lines below it.
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines
        .windows(2)
        .filter(|pair| !pair[0].is_empty() && !pair[0].starts_with(' '))
    {
        let title = [
            "Goals",
            "Reconcile",
            "Queue",
            "Cache",
            "Memory",
            "Neo4j clusters",
            "Events",
        ];
        if title.iter().any(|title| pair[0].starts_with(title)) {
            assert!(
                pair[1].starts_with("  ") && !pair[1].trim().is_empty(),
                "{} is empty in\n{text}",
                pair[0]
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_screen_outlives_the_operator_and_gives_the_terminal_back() {
    let mut scene = Scene::start(&[]).await;
    scene.ready_cluster("graph").await;
    let mut command = CommandBuilder::new(Program::Neotop.path().unwrap());
    command.args(arguments(scene.operator()));
    command.env("XDG_RUNTIME_DIR", scene.folder.path());
    let mut screen = Screen::start(command);
    let shown = format!("{}/graph", scene.namespace);
    screen.wait_for("● LIVE");
    screen.wait_for(&shown);
    screen.wait_for("3/3");
    scene.kill_operator();
    screen.wait_for("✕ DOWN");
    screen.wait_for(&shown); // the last values stay on the screen
    scene.start_operator().await;
    screen.wait_for("● LIVE");
    screen.wait_for(&shown);
    screen.press("q");
    assert_eq!(screen.wait_for_exit(), 0);
    screen.assert_restored();
}
