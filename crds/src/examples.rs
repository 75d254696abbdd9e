//! The examples, and the end state that each states.
//!
//! The first line of an example says what becomes of it, the second which other example it needs:
//!
//! ```text
//! # End state: Neo4jDatabase/orders Ready=True
//! # Needs: minimal.yaml
//! ```
//!
//! A state is `Ready=True`, or `phase=‹phase›` with an optional `reason=‹reason›` of the condition
//! Ready. An example that is refused says by which field: `# Refused: spec.topology.servers`.

use std::{fs, io, path::Path};

use serde_json::Value;

/// An example that is accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The name of its file.
    pub file: String,
    /// The kind of the resource whose end state is stated.
    pub kind: String,
    /// The name of that resource.
    pub name: String,
    /// Its end state.
    pub end: EndState,
    /// The example that must be applied before.
    pub needs: Option<String>,
    /// Its objects, in order.
    pub objects: Vec<Value>,
}

/// What a resource comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndState {
    /// Its condition Ready is True.
    Ready,
    /// Its phase is this word.
    Phase {
        /// The phase.
        phase: String,
        /// The reason of its condition Ready, if stated.
        reason: Option<String>,
    },
}

/// An example that is refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The name of its file.
    pub file: String,
    /// The field that the refusal names.
    pub field: String,
    /// The object.
    pub object: Value,
}

/// Why an example cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ExampleError {
    /// A file could not be read.
    #[error("{file} cannot be read")]
    Io {
        /// The file or folder.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// Its first lines are not in the form.
    #[error("{file}: {why}")]
    Form {
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// It is no YAML.
    #[error("{file} is no YAML")]
    Yaml {
        /// The file.
        file: String,
        /// Why.
        source: Box<serde_saphyr::Error>,
    },
}

/// The examples of a folder, each after the one that it needs.
///
/// # Errors
/// A file cannot be read, is no YAML, or does not say its end state in the form.
pub fn accepted(folder: &Path) -> Result<Vec<Example>, ExampleError> {
    let mut examples = Vec::new();
    for (file, text) in files(folder)? {
        examples.push(example(file, &text)?);
    }
    // One step is enough: what an example needs needs nothing itself, which `example` cannot see.
    for example in &examples {
        let Some(needed) = &example.needs else { continue };
        let found = examples.iter().find(|other| other.file == *needed);
        if found.is_none_or(|found| found.needs.is_some()) {
            let why = format!("needs {needed}, which is no example or needs another one itself");
            return Err(ExampleError::Form {
                file: example.file.clone(),
                why,
            });
        }
    }
    examples.sort_by_key(|example| example.needs.is_some());
    Ok(examples)
}

/// The examples of a folder that are refused.
///
/// # Errors
/// A file cannot be read, is no YAML, or does not say in the form by which field it is refused.
pub fn refused(folder: &Path) -> Result<Vec<Refused>, ExampleError> {
    let one = |(file, text): (String, String)| {
        let field = header(&text, 0, "# Refused: ")
            .ok_or_else(|| form(&file, "the first line must be \"# Refused: ‹field›\""))?;
        let mut objects = objects(&file, &text)?;
        match (objects.pop(), objects.is_empty()) {
            (Some(object), true) => Ok(Refused {
                field: field.to_owned(),
                object,
                file,
            }),
            _ => Err(form(&file, "must hold exactly one object")),
        }
    };
    files(folder)?.into_iter().map(one).collect()
}

fn example(file: String, text: &str) -> Result<Example, ExampleError> {
    let state = header(text, 0, "# End state: ");
    let state = state.ok_or_else(|| form(&file, "the first line must be \"# End state: ‹kind›/‹name› ‹state›\""))?;
    let mut words = state.split(' ');
    let (kind, name) = words
        .next()
        .and_then(|resource| resource.split_once('/'))
        .ok_or_else(|| form(&file, "the end state must begin with ‹kind›/‹name›"))?;
    let end = end_state(&words.collect::<Vec<_>>()).ok_or_else(|| {
        form(
            &file,
            "the state must be Ready=True, or phase=‹phase› with an optional reason=‹reason›",
        )
    })?;
    let objects = objects(&file, text)?;
    let stated = |object: &Value| object["kind"] == kind && object["metadata"]["name"] == name;
    if !objects.iter().any(stated) {
        return Err(form(
            &file,
            &format!("states the end of {kind}/{name}, which it does not hold"),
        ));
    }
    let needs = header(text, 1, "# Needs: ").map(str::to_owned);
    Ok(Example {
        kind: kind.to_owned(),
        name: name.to_owned(),
        end,
        needs,
        objects,
        file,
    })
}

fn end_state(words: &[&str]) -> Option<EndState> {
    match words {
        ["Ready=True"] => Some(EndState::Ready),
        [phase] => Some(EndState::Phase {
            phase: phase.strip_prefix("phase=")?.to_owned(),
            reason: None,
        }),
        [phase, reason] => Some(EndState::Phase {
            phase: phase.strip_prefix("phase=")?.to_owned(),
            reason: Some(reason.strip_prefix("reason=")?.to_owned()),
        }),
        _ => None,
    }
}

fn header<'a>(text: &'a str, line: usize, prefix: &str) -> Option<&'a str> {
    text.lines().nth(line)?.strip_prefix(prefix).map(str::trim)
}

fn objects(file: &str, text: &str) -> Result<Vec<Value>, ExampleError> {
    let values: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|source| ExampleError::Yaml {
        file: file.to_owned(),
        source: Box::new(source),
    })?;
    Ok(values.into_iter().filter(|value| !value.is_null()).collect())
}

fn form(file: &str, why: &str) -> ExampleError {
    ExampleError::Form {
        file: file.to_owned(),
        why: why.to_owned(),
    }
}

/// Names and texts of the YAML files of a folder, sorted by name.
fn files(folder: &Path) -> Result<Vec<(String, String)>, ExampleError> {
    let io = |source| ExampleError::Io {
        file: folder.display().to_string(),
        source,
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            names.push(path);
        }
    }
    names.sort();
    let read = |path: std::path::PathBuf| {
        let file = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        match fs::read_to_string(&path) {
            Ok(text) => Ok((file, text)),
            Err(source) => Err(ExampleError::Io { file, source }),
        }
    };
    names.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_state_out_of_form_is_an_error_that_says_the_form() {
        let of = |first: &str| {
            let text = format!("{first}\nkind: A\nmetadata: {{name: b}}\n");
            example("x.yaml".to_owned(), &text)
                .map(|example| example.end)
                .map_err(|error| error.to_string())
        };
        assert_eq!(of("# End state: A/b Ready=True").unwrap(), EndState::Ready);
        let failed = EndState::Phase {
            phase: "Failed".to_owned(),
            reason: Some("R".to_owned()),
        };
        assert_eq!(of("# End state: A/b phase=Failed reason=R").unwrap(), failed);
        for bad in [
            "# A/b Ready=True",
            "# End state: A Ready=True",
            "# End state: A/b Ready",
            "# End state: A/c Ready=True",
        ] {
            assert!(of(bad).unwrap_err().starts_with("x.yaml: "), "{bad}");
        }
    }
}
