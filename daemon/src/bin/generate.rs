//! Writes what is made from the code: `daemon/deploy/rbac/` and the table of settings in `daemon/README.md`.
//! With `--check` it only says what would change.

use std::{path::Path, process::ExitCode};

use neo4j_operator::generated;

fn main() -> ExitCode {
    let check = std::env::args().nth(1).as_deref() == Some("--check");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    match generated::write(root, check) {
        Ok(changed) if changed.is_empty() => ExitCode::SUCCESS,
        Ok(changed) => {
            for file in changed {
                println!("{} {}", if check { "out of date:" } else { "wrote" }, file.display());
            }
            ExitCode::from(u8::from(check))
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
