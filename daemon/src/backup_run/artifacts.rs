//! The files that `neo4j-admin` leaves: `<database>-<time>.backup`.

use std::{fs, io, path::Path};

use neo4j_operator_shared::backup::Artifact;

const SUFFIX: &str = ".backup";
/// `-2026-01-31T12-00-00`.
const STAMP: usize = 20;

/// All artifacts of a folder by name. Anything else in it is not ours and is not named.
pub fn list(folder: &Path) -> io::Result<Vec<Artifact>> {
    let mut artifacts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some((file, database)) = name.to_str().and_then(|file| Some((file, database_of(file)?))) else {
            continue;
        };
        let metadata = entry.metadata()?;
        if metadata.is_file() {
            artifacts.push(Artifact {
                database: database.to_owned(),
                file: file.to_owned(),
                bytes: metadata.len(),
            });
        }
    }
    artifacts.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(artifacts)
}

/// The database in the name of an artifact.
pub fn database_of(file: &str) -> Option<&str> {
    let stem = file.strip_suffix(SUFFIX)?;
    let at = stem.len().checked_sub(STAMP)?;
    let (database, stamp) = (stem.get(..at)?, stem.get(at..)?);
    let shape = stamp.bytes().zip(b"-0000-00-00T00-00-00").all(|(c, form)| match form {
        b'0' => c.is_ascii_digit(),
        form => c == *form,
    });
    (shape && !database.is_empty()).then_some(database)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_name_may_hold_what_looks_like_a_date() {
        assert_eq!(database_of("a-b.c-2026-01-31T12-00-59.backup"), Some("a-b.c"));
        assert_eq!(
            database_of("d-2025-01-01T00-00-00-2026-01-31T12-00-59.backup"),
            Some("d-2025-01-01T00-00-00")
        );
        for other in [
            "-2026-01-31T12-00-59.backup",
            "x.backup",
            "x-2026-01-31T12-00-5é.backup",
            "notes.txt",
            "",
        ] {
            assert_eq!(database_of(other), None, "{other}");
        }
    }
}
