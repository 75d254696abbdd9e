//! The metadata of artifacts, as `neo4j-admin` itself prints it: a table whose columns are found by their
//! heading. What cannot be read is an error: retention must not work on half of the truth.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::{InspectCommand, artifacts::database_of};

/// What is known of one artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// File name.
    pub file: String,
    /// Id of the database: two databases of one name that followed each other differ in it.
    pub database_id: String,
    /// When it was made.
    pub time: Timestamp,
    /// Whether it is a full backup; else a differential one.
    pub full: bool,
    /// First transaction.
    pub lowest: u64,
    /// Last transaction.
    pub highest: u64,
}

/// The metadata could not be read.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The command does not run.
    #[error("the metadata of the artifacts cannot be read: {0}")]
    Command(String),
    /// What it prints is not understood.
    #[error("the metadata of the artifacts is not understood: {0}")]
    Table(String),
}

/// Asks for the metadata of every artifact in a folder.
pub fn read(admin: &Path, how: InspectCommand, folder: &Path) -> Result<Vec<Inspected>, InspectError> {
    let mut command = Command::new(admin);
    match how {
        InspectCommand::InspectPath => command
            .args(["database", "backup"])
            .arg(format!("--inspect-path={}", folder.display())),
        InspectCommand::BackupInspect => command.args(["backup", "inspect"]).arg(folder),
    };
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| InspectError::Command(error.to_string()))?;
    if !output.status.success() {
        return Err(InspectError::Command(format!("it ended with {}", output.status)));
    }
    parse(&String::from_utf8_lossy(&output.stdout))
}

/// Reads the table.
fn parse(text: &str) -> Result<Vec<Inspected>, InspectError> {
    let mut lines = text.lines().filter(|line| line.contains('|')).map(cells);
    let heading = lines
        .next()
        .ok_or_else(|| InspectError::Table("there is no table".to_owned()))?;
    let column = |wanted: &str| {
        heading
            .iter()
            .position(|cell| cell.to_ascii_uppercase().starts_with(wanted))
            .ok_or_else(|| InspectError::Table(format!("there is no column {wanted}")))
    };
    let columns = [
        column("FILE")?,
        column("DATABASE ID")?,
        column("TIME")?,
        column("FULL")?,
        column("LOWEST")?,
        column("HIGHEST")?,
    ];
    lines
        .filter(|row| row.len() == heading.len() && !row.iter().all(|cell| cell.chars().all(|c| "-=+ ".contains(c))))
        .map(|row| row_of(&row, columns))
        .collect()
}

fn cells(line: &str) -> Vec<String> {
    let line = line.trim().trim_start_matches('|').trim_end_matches('|');
    line.split('|').map(|cell| cell.trim().to_owned()).collect()
}

fn row_of(row: &[String], columns: [usize; 6]) -> Result<Inspected, InspectError> {
    let [file, id, time, full, lowest, highest] = columns.map(|column| row[column].as_str());
    let wrong = |what: &str| InspectError::Table(format!("{what} of {file:?}"));
    let file = file.rsplit('/').next().unwrap_or(file);
    database_of(file).ok_or_else(|| wrong("name"))?;
    Ok(Inspected {
        file: file.to_owned(),
        database_id: id.to_owned(),
        time: time_of(time).ok_or_else(|| wrong("time"))?,
        full: full.parse().map_err(|_| wrong("kind"))?,
        lowest: lowest.parse().map_err(|_| wrong("lowest transaction"))?,
        highest: highest.parse().map_err(|_| wrong("highest transaction"))?,
    })
}

/// `2026-01-31T12:00:59`, in UTC, with or without a zone.
fn time_of(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| {
        let local: DateTime = text.parse().ok()?;
        local.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
        |                             FILE | DATABASE |                          DATABASE ID |          TIME (UTC) |  FULL | COMPRESSED | LOWEST TX | HIGHEST TX |\n\
        | /b/neo4j-2026-06-29T14-50-45.backup |    neo4j | 3dcd02a4-70ba-4fb5-8b1e-000000000001 | 2026-06-29T14:50:45 |  true |       true |         1 |          7 |\n\
        | neo4j-2026-06-29T14-51-33.backup |    neo4j | 3dcd02a4-70ba-4fb5-8b1e-000000000001 | 2026-06-29T14:51:33 | false |       true |         8 |          8 |\n";

    #[test]
    fn the_table_is_read_by_its_headings() {
        let rows = parse(TABLE).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].file, "neo4j-2026-06-29T14-50-45.backup");
        assert_eq!((rows[0].full, rows[0].lowest, rows[0].highest), (true, 1, 7));
        assert_eq!(rows[1].time, "2026-06-29T14:51:33Z".parse().unwrap());
    }

    #[test]
    fn half_of_the_truth_is_an_error() {
        for text in [
            String::new(),
            TABLE.replace("LOWEST", "FIRST"),
            TABLE.replace("14:51:33 |", "now |"),
            TABLE.replace("|         8 |          8", "|         8 |          x"),
            TABLE.replace("neo4j-2026-06-29T14-51-33.backup", "other.txt"),
        ] {
            parse(&text).unwrap_err();
        }
    }
}
