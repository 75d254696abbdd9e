//! The whole run against a script that stands in for `neo4j-admin`.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    run: BackupRun,
}

struct World {
    folder: tempfile::TempDir,
}

impl World {
    /// `script` runs with the target folder in `$to`.
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let admin = folder.path().join("neo4j-admin");
        let target = folder.path().join("backups/graph");
        let head = format!(
            "#!/bin/sh\nto={}\nprintf '%s\\n' \"$@\" >> {}/calls\n",
            target.display(),
            folder.path().display()
        );
        // Written by another process: a program that some thread's child still has open for writing cannot run.
        let written = Command::new("sh")
            .args(["-c", "printf %s \"$1\" > \"$2\"", "sh", &(head + script)])
            .arg(&admin)
            .status();
        assert!(written.unwrap().success());
        fs::set_permissions(&admin, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("backups/graph")
    }

    fn run(&self, further: &[&str]) -> BackupReport {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let mut arguments = vec![
            "backup-run".to_owned(),
            "--from=h1:6362,h2:6362".to_owned(),
            format!("--to-path={}", path("backups/graph")),
            "--databases=a,b".to_owned(),
            format!("--admin={}", path("neo4j-admin")),
            format!("--report={}", path("report")),
        ];
        arguments.extend(further.iter().map(|argument| (*argument).to_owned()));
        let program = Program::try_parse_from(arguments).unwrap();
        let _ = run(&program.run);
        BackupReport::from_message(&fs::read_to_string(path("report")).unwrap()).unwrap()
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.folder.path().join("calls")).unwrap()
    }
}

#[test]
fn new_artifacts_are_reported_and_older_ones_are_not() {
    let world = World::new("echo data > $to/a-2026-01-02T00-00-00.backup\n");
    fs::create_dir_all(world.target()).unwrap();
    fs::write(world.target().join("a-2026-01-01T00-00-00.backup"), "old").unwrap();
    let report = world.run(&["--", "--compress=false"]);
    assert_eq!(report.exit_code, Some(0));
    let files: Vec<_> = report.artifacts.iter().map(|artifact| artifact.file.as_str()).collect();
    assert_eq!(files, ["a-2026-01-02T00-00-00.backup"]);
    assert_eq!(report.artifacts[0].bytes, 5);
    assert_eq!(report.error, None);
    let calls: Vec<_> = world.calls().lines().map(str::to_owned).collect();
    assert_eq!(calls[..2], ["database", "backup"]);
    assert_eq!(
        calls[5..],
        ["--compress=false", "a", "b"],
        "one argument each, no shell"
    );
}

#[test]
fn a_partial_backup_keeps_its_code_and_names_what_is_there() {
    let world = World::new("echo data > $to/a-2026-01-02T00-00-00.backup\nexit 1\n");
    let report = world.run(&["--keep-count=1"]);
    assert_eq!(report.exit_code, Some(1));
    assert_eq!(report.artifacts.len(), 1);
    assert!(report.error.unwrap().contains("exit status: 1"));
}

#[test]
fn a_program_that_is_not_there_is_told() {
    let world = World::new("");
    fs::remove_file(world.folder.path().join("neo4j-admin")).unwrap();
    let report = world.run(&[]);
    assert_eq!(report.exit_code, None);
    assert!(report.error.unwrap().contains("cannot start"));
}

#[test]
fn without_metadata_nothing_is_pruned() {
    let world =
        World::new("[ \"$1\" = backup ] && { echo nonsense; exit 0; }\necho x > $to/a-2026-01-02T00-00-00.backup\n");
    fs::create_dir_all(world.target()).unwrap();
    fs::write(world.target().join("a-2026-01-01T00-00-00.backup"), "old").unwrap();
    let report = world.run(&["--keep-count=1"]);
    assert_eq!((report.exit_code, report.pruned), (Some(0), 0));
    assert!(report.error.unwrap().contains("nothing was pruned"));
    assert!(world.target().join("a-2026-01-01T00-00-00.backup").exists());
}

#[test]
fn what_retention_no_longer_keeps_is_removed_after_a_good_run() {
    let row = |day: u8| {
        format!("| a-2026-01-0{day}T00-00-00.backup | a | id | 2026-01-0{day}T00:00:00 | true | true | 1 | {day} |")
    };
    let script = format!(
        "if [ \"$1\" = backup ]; then\ncat <<END\n| FILE | DATABASE | DATABASE ID | TIME (UTC) | FULL | COMPRESSED | LOWEST TX | HIGHEST TX |\n{}\n{}\nEND\nexit 0\nfi\necho x > $to/a-2026-01-02T00-00-00.backup\n",
        row(1),
        row(2)
    );
    let world = World::new(&script);
    fs::create_dir_all(world.target()).unwrap();
    fs::write(world.target().join("a-2026-01-01T00-00-00.backup"), "old").unwrap();
    fs::write(world.target().join("notes.txt"), "not ours").unwrap();
    let report = world.run(&["--keep-count=1"]);
    assert_eq!((report.pruned, report.error), (1, None));
    let mut left: Vec<_> = fs::read_dir(world.target())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["a-2026-01-02T00-00-00.backup", "notes.txt"]);
}

#[test]
fn ages_are_read_and_bad_ones_refused_with_what_to_write() {
    assert_eq!("7d".parse(), Ok(MaxAge(Duration::from_secs(7 * 86_400))));
    for text in ["", "7", "d", "-1d", "1w", "1é", "99999999999999999999d"] {
        assert!(text.parse::<MaxAge>().unwrap_err().contains("such as 7d"), "{text}");
    }
}
