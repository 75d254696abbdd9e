//! Makes the manifests and the class table anew: `crdgen`, or `crdgen --check` to only compare.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

use std::{error::Error, path::Path, process::ExitCode};

use neo4j_operator_crds::generate::{GenerateError, drifted, write};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let check = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--check"] => true,
        _ => {
            eprintln!("usage: crdgen [--check]");
            return ExitCode::from(2);
        }
    };
    match run(check) {
        Ok(code) => code,
        Err(error) => {
            eprint!("crdgen: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprint!(": {cause}");
                source = cause.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

fn run(check: bool) -> Result<ExitCode, GenerateError> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    if check {
        let files = drifted(folder)?;
        for file in &files {
            println!("crds/{file} is not what the types say; run `make crds`");
        }
        return Ok(if files.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    for file in write(folder)? {
        println!("crds/{file}");
    }
    Ok(ExitCode::SUCCESS)
}
