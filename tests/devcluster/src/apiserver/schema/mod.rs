//! Structural schemas of custom resources: compile, prune, default, validate, and the fields that a strict request is told about.
//!
//! A schema is read once into [`node`]s; each operation is a walk of its own: [`prune`] (unknown fields, nulls, defaults),
//! [`validate`] (values), [`lists`] (uniqueness, embedded resources), [`cel`] (rules), with [`correlate`] finding the old value of a place
//! for ratcheting and transition rules. [`structural`] says what is wrong with a schema itself. Metadata is the caller's to check.

use std::sync::Arc;

use serde_json::Value;

use self::node::Node;

mod cel;
mod correlate;
pub(in crate::apiserver) mod errors;
mod formats;
mod lists;
mod node;
mod prune;
mod structural;
#[cfg(test)]
mod tests;
mod validate;

pub use errors::{FieldError, Reason, WHOLE_OBJECT};

/// A schema that cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct CompileError {
    /// The path inside the schema, from `openAPIV3Schema` on.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// A compiled structural schema.
#[derive(Debug, Clone)]
pub struct Structural {
    root: Arc<Node>,
}

impl Structural {
    /// Compiles an `openAPIV3Schema`.
    pub fn compile(openapi: &Value) -> Result<Self, CompileError> {
        match Self::problems(openapi).into_iter().next() {
            None => Ok(Self {
                root: Arc::new(Node::read(openapi, 0)),
            }),
            Some(problem) => {
                let problem = problem.below("openAPIV3Schema");
                Err(CompileError {
                    field: problem.field,
                    message: problem.message,
                })
            }
        }
    }

    /// All that is wrong with an `openAPIV3Schema`, sorted; fields are relative to it (`properties[spec].type`).
    pub fn problems(openapi: &Value) -> Vec<FieldError> {
        structural::problems(openapi)
    }

    /// Removes the fields that the schema does not declare (on write and on read).
    pub fn prune(&self, object: &mut Value) {
        prune::prune(&self.root, object);
    }

    /// Fills in defaults; a null where none may be is removed, or replaced by the default.
    pub fn apply_defaults(&self, object: &mut Value) {
        prune::prune_nulls(Some(&self.root), object);
        prune::fill(&self.root, object);
    }

    /// Checks an object, with `old` on updates (unchanged invalid values pass: ratcheting).
    ///
    /// Rules in CEL run only where types, enumerations, lengths and required fields are right; where they are not, the last error
    /// says that rules were left out.
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let root = &*self.root;
        let mut errors = validate::validate(root, object, old);
        lists::check_embedded(root, object, "", &mut errors);
        let uniqueness = |object: &Value| {
            let mut errors = Vec::new();
            lists::check_uniqueness(root, object, "", &mut errors);
            errors
        };
        // Duplicates that were there before do not hinder an update.
        if old.is_none_or(|old| uniqueness(old).is_empty()) {
            errors.extend(uniqueness(object));
        }
        if !root.has_rules {
            return errors;
        }
        let blocks = |error: &FieldError| {
            matches!(
                error.reason,
                Reason::NotSupported | Reason::Required | Reason::TooLong | Reason::TooMany | Reason::TypeInvalid
            )
        };
        if errors.iter().any(blocks) {
            let detail = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
            errors.push(FieldError::invalid(WHOLE_OBJECT, &Value::Null, detail));
        } else {
            errors.extend(cel::evaluate(root, object, old));
        }
        errors
    }

    /// The fields that pruning would remove, as strict decoding names them (`spec.nope`).
    pub fn unknown_fields(&self, object: &Value) -> Vec<String> {
        prune::unknown_fields(&self.root, object)
    }
}
