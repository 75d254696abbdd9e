//! The files that are made from the types: manifests, and the class table of the README.

use std::{fmt::Write as _, fs, io, path::Path};

use serde_json::Value;

use crate::{
    classes::{ALL, Class, Classes},
    definition::{manifests, schema},
};

/// What stands before and after the generated part of the README.
const BEGIN: &str = "<!-- made by crdgen: classes -->";
const END: &str = "<!-- end of what crdgen makes -->";
/// A manifest as large as this could not be applied on the client's side.
pub const MAX_MANIFEST_BYTES: usize = 256 * 1024;

/// Why the files could not be made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// A file could not be read or written.
    #[error("{path}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A definition could not be written as YAML.
    #[error("the definition of {kind} cannot be written as YAML")]
    Yaml {
        /// The kind.
        kind: String,
        /// Why.
        source: serde_saphyr::SerializeError,
    },
    /// The README has no place for the table.
    #[error("README.md lacks the lines between which the class table stands")]
    NoPlace,
    /// A manifest has grown too large to be applied.
    #[error("{file} has {bytes} bytes; kubectl can remember less than {MAX_MANIFEST_BYTES}")]
    TooLarge {
        /// The file.
        file: String,
        /// Its size.
        bytes: usize,
    },
}

/// A generated file: its path below the folder of the crate, and its text.
pub type Generated = (String, String);

/// All generated files as they should be; `folder` is that of the crate.
pub fn generate(folder: &Path) -> Result<Vec<Generated>, GenerateError> {
    let mut files = Vec::new();
    for definition in manifests() {
        let kind = definition["spec"]["names"]["kind"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let plural = definition["spec"]["names"]["plural"].as_str().unwrap_or_default();
        let file = format!("manifests/{plural}.yaml");
        let body = yaml(&definition).map_err(|source| GenerateError::Yaml { kind, source })?;
        let text = format!("# Made by crdgen from the types in crds/src; `make crds` makes it anew.\n{body}");
        if text.len() >= MAX_MANIFEST_BYTES {
            return Err(GenerateError::TooLarge {
                file,
                bytes: text.len(),
            });
        }
        files.push((file, text));
    }
    let readme = read(&folder.join("README.md"))?;
    files.push(("README.md".to_owned(), with_table(&readme)?));
    Ok(files)
}

/// The names of generated files that are not as they should be.
pub fn drifted(folder: &Path) -> Result<Vec<String>, GenerateError> {
    let drifted = |(file, text): Generated| (read(&folder.join(&file)).ok().as_ref() != Some(&text)).then_some(file);
    Ok(generate(folder)?.into_iter().filter_map(drifted).collect())
}

/// Writes the generated files and returns the names of those that changed.
pub fn write(folder: &Path) -> Result<Vec<String>, GenerateError> {
    let changed = drifted(folder)?;
    for (file, text) in generate(folder)?.into_iter().filter(|(file, _)| changed.contains(file)) {
        let path = folder.join(&file);
        let io = |source| GenerateError::Io {
            path: file.clone(),
            source,
        };
        fs::create_dir_all(path.parent().unwrap_or(folder)).map_err(io)?;
        fs::write(&path, text).map_err(io)?;
    }
    Ok(changed)
}

fn read(path: &Path) -> Result<String, GenerateError> {
    fs::read_to_string(path).map_err(|source| GenerateError::Io {
        path: path.display().to_string(),
        source,
    })
}

fn yaml(definition: &Value) -> Result<String, serde_saphyr::SerializeError> {
    serde_saphyr::to_string(definition)
}

fn with_table(readme: &str) -> Result<String, GenerateError> {
    let (before, rest) = readme.split_once(BEGIN).ok_or(GenerateError::NoPlace)?;
    let (_, after) = rest.split_once(END).ok_or(GenerateError::NoPlace)?;
    Ok(format!("{before}{BEGIN}\n{}{END}{after}", class_table()))
}

/// The class table of all kinds in Markdown.
pub fn class_table() -> String {
    let mut text = String::new();
    for (classes, definition) in ALL.iter().zip(manifests()) {
        let ignored = ignored_fields(classes, &schema(&definition)["properties"]["spec"]);
        let _ = writeln!(text, "\n**{}**\n\n| field | class | |\n|---|---|---|", classes.kind);
        for path in classes.supported {
            let _ = writeln!(text, "| `{path}` | S | |");
        }
        for path in ignored {
            let _ = writeln!(text, "| `{path}` | I | |");
        }
        for refusal in classes.refusals {
            let _ = writeln!(text, "| `{}` | X | {}: {} |", refusal.path, refusal.when, refusal.why);
        }
    }
    text.push('\n');
    text
}

/// The topmost fields of a schema that are accepted without effect.
fn ignored_fields(classes: &Classes, spec: &Value) -> Vec<String> {
    fn walk(classes: &Classes, node: &Value, prefix: &str, found: &mut Vec<String>) {
        for (name, child) in node["properties"].as_object().into_iter().flatten() {
            let path = format!("{prefix}.{name}");
            if classes.class_of(&path) != Class::Ignored {
                continue;
            }
            if classes.is_mixed(&path) {
                walk(classes, child, &path, found);
            } else {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(classes, spec, "spec", &mut found);
    found
}
