//! Labels, annotations and label selectors inside of specs. (An object's own metadata is checked by the registry, for all kinds alike.)

use serde_json::{Value, json};

use super::names;
use crate::apiserver::schema::{
    FieldError,
    errors::{child, index},
};

/// The bytes that all annotations may take together.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// Checks a map of labels.
pub(super) fn check_labels(labels: Option<&Value>, path: &str, out: &mut Vec<FieldError>) {
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        for message in names::label_key(key) {
            out.push(FieldError::invalid(path, &json!(key), &message));
        }
        for message in names::label_value(value.as_str().unwrap_or_default()) {
            out.push(FieldError::invalid(path, value, &message));
        }
    }
}

pub(super) fn check_annotations(annotations: Option<&Value>, path: &str, out: &mut Vec<FieldError>) {
    let mut size = 0;
    for (key, value) in annotations.and_then(Value::as_object).into_iter().flatten() {
        for message in names::label_key(&key.to_lowercase()) {
            out.push(FieldError::invalid(path, &json!(key), &message));
        }
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > MAX_ANNOTATIONS {
        out.push(FieldError::too_long(path, MAX_ANNOTATIONS as u64));
    }
}

/// Checks a label selector.
pub(super) fn check_selector(selector: &Value, path: &str, out: &mut Vec<FieldError>) {
    check_labels(selector.get("matchLabels"), &child(path, "matchLabels"), out);
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    for (i, expression) in expressions.into_iter().flatten().enumerate() {
        let here = index(&child(path, "matchExpressions"), i);
        let values = expression
            .get("values")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let operator = expression.get("operator").and_then(Value::as_str).unwrap_or_default();
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                out.push(FieldError::required(&child(&here, "values"), detail));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                out.push(FieldError::forbidden(&child(&here, "values"), detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => {
                let detail = "not a valid selector operator";
                out.push(FieldError::invalid(&child(&here, "operator"), &json!(operator), detail));
            }
        }
        let key = expression.get("key").and_then(Value::as_str).unwrap_or_default();
        for message in names::label_key(key) {
            out.push(FieldError::invalid(&child(&here, "key"), &json!(key), &message));
        }
        for (n, value) in values.iter().enumerate() {
            for message in names::label_value(value.as_str().unwrap_or_default()) {
                out.push(FieldError::invalid(&index(&child(&here, "values"), n), value, &message));
            }
        }
    }
}

/// Whether a label selector selects an object with these labels.
pub(super) fn selects(selector: &Value, labels: Option<&Value>) -> bool {
    let label = |key: &str| labels.and_then(|labels| labels.get(key));
    let pairs = selector.get("matchLabels").and_then(Value::as_object);
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    pairs
        .into_iter()
        .flatten()
        .all(|(key, value)| label(key) == Some(value))
        && expressions.into_iter().flatten().all(|expression| {
            let here = label(expression.get("key").and_then(Value::as_str).unwrap_or_default());
            let is_in = || {
                let values = expression.get("values").and_then(Value::as_array);
                here.is_some_and(|here| values.is_some_and(|values| values.contains(here)))
            };
            match expression.get("operator").and_then(Value::as_str) {
                Some("In") => is_in(),
                Some("NotIn") => !is_in(),
                Some("Exists") => here.is_some(),
                Some("DoesNotExist") => here.is_none(),
                _ => false,
            }
        })
}
