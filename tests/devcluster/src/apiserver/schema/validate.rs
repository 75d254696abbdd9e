//! The checks of a schema on an object: types, bounds, enumerations, required fields, branches; with ratcheting on updates.
//!
//! Order and texts are those of kube-openapi's validator, as kube-apiserver turns its results into field errors.

use serde_json::{Map, Number, Value};

use super::{
    correlate::Old,
    errors::{FieldError, WHOLE_OBJECT, child, go_float, index, quote},
    formats::Kind,
    node::{Additional, Checks, Node, Type},
};

/// What a check found. `matched` counts the checks that applied: of several failed branches, the one that matched most is reported.
#[derive(Default)]
struct Found {
    errors: Vec<FieldError>,
    matched: usize,
}

impl Found {
    fn merge(&mut self, other: Self) {
        self.errors.extend(other.errors);
        self.matched += other.matched;
    }

    fn add(&mut self, error: FieldError) {
        self.errors.push(error);
    }
}

/// Checks an object; `old` is `None` on a create.
pub(super) fn validate(root: &Node, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    check_below(root, object, Old::root(root, old), "").errors
}

/// Checks a value that stands at a place of its own; an unchanged invalid value passes.
fn check_below(node: &Node, value: &Value, old: Option<Old<'_>>, path: &str) -> Found {
    let mut found = check(node, value, old, path);
    if !found.errors.is_empty() && old.is_some_and(|old| old.equals(value)) {
        found.errors.clear();
    }
    found
}

/// Checks a value against one node; branches come here, as they ratchet only with the whole.
fn check(node: &Node, value: &Value, old: Option<Old<'_>>, path: &str) -> Found {
    let mut found = Found::default();
    if value.is_null() {
        found.merge(check_type(node, value, path));
        found.merge(check_enum(&node.checks, value, path));
        return found;
    }
    let mut apply = |part: Found| {
        found.merge(part);
        found.matched += 1;
    };
    if node.ty.is_some() || node.int_or_string {
        apply(check_type(node, value, path));
    }
    apply(check_branches(&node.checks, value, old, path));
    match value {
        Value::String(text) => {
            apply(check_text(&node.checks, text, path));
            if let Some(format) = node.checks.format.as_ref().filter(|f| !f.kind.is_numeric()) {
                let mut part = Found::default();
                if !format.matches(text) {
                    let detail = format!("{path} in body must be of type {}: {}", format.name, quote(text));
                    part.add(FieldError::type_invalid(path, value, &detail));
                }
                apply(part);
            }
        }
        Value::Number(number) => apply(check_number(node, number, value, path)),
        Value::Array(items) => apply(check_items(node, items, old, path)),
        _ => {}
    }
    apply(check_enum(&node.checks, value, path));
    if let Value::Object(map) = value {
        apply(check_map(node, map, old, path));
    }
    found.matched += 1;
    found
}

fn check_type(node: &Node, value: &Value, path: &str) -> Found {
    let mut found = Found::default();
    let expected: Vec<Type> = if node.int_or_string {
        vec![Type::Integer, Type::String]
    } else {
        node.ty.into_iter().collect()
    };
    let actual = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Number(n) if n.is_i64() || n.is_u64() => "integer",
        Value::Number(_) => "number",
    };
    let fits = |ty: &Type| match (ty, value) {
        (Type::Number, Value::Number(_)) => true,
        (Type::Integer, Value::Number(n)) => n.as_f64().is_some_and(is_whole),
        (ty, _) => ty.name() == actual,
    };
    if expected.is_empty() || (value.is_null() && node.nullable) || expected.iter().any(fits) {
        found.matched += 1;
    } else {
        let names: Vec<&str> = expected.iter().map(|ty| ty.name()).collect();
        let detail = format!("{path} in body must be of type {}: {}", names.join(","), quote(actual));
        found.add(FieldError::type_invalid(path, &Value::from(actual), &detail));
    }
    found
}

fn is_whole(float: f64) -> bool {
    float.is_finite() && float.fract() == 0.0
}

fn check_text(checks: &Checks, text: &str, path: &str) -> Found {
    let mut found = Found::default();
    let length = text.chars().count() as u64;
    let value = || Value::from(text);
    if let Some(max) = checks.max_length.filter(|max| length > *max) {
        found.add(FieldError::too_long(path, max));
    } else if let Some(min) = checks.min_length.filter(|min| length < *min) {
        let detail = format!("{path} in body should be at least {min} chars long");
        found.add(FieldError::invalid(path, &value(), &detail));
    } else if let Some(pattern) = checks.pattern.as_ref().filter(|p| !p.is_match(text)) {
        let detail = format!("{path} in body should match '{}'", pattern.source);
        found.add(FieldError::invalid(path, &value(), &detail));
    }
    found
}

fn check_number(node: &Node, number: &Number, value: &Value, path: &str) -> Found {
    let mut found = Found::default();
    let checks = &node.checks;
    let Some(float) = number.as_f64() else { return found };
    let kind = checks.format.as_ref().map(|f| (f.kind, f.name.as_str()));
    let out_of_range = match kind {
        Some((Kind::Int32, _)) => number.as_i64().is_none_or(|n| i32::try_from(n).is_err()) && !fits_i32(float),
        Some((Kind::Float, _)) => float.abs() > f64::from(f32::MAX),
        _ => node.ty == Some(Type::Integer) && number.as_i64().is_none() && is_whole(float) && float.abs() >= 9.3e18,
    };
    if out_of_range {
        let ty = node.ty.map_or("", Type::name);
        let detail = match kind {
            Some((_, format)) => format!("Checked value must be of type {ty} with format {format} in {path}"),
            None => format!("Checked value must be of type {ty} (default format) in {path}"),
        };
        found.add(FieldError::invalid(WHOLE_OBJECT, &Value::from(""), &detail));
    }
    let mut refuse = |detail: String| found.add(FieldError::invalid(path, value, &format!("{path} in body {detail}")));
    if let Some(factor) = checks.multiple_of {
        let ratio = if factor < 1.0 {
            1.0 / factor * float
        } else {
            float / factor
        };
        if factor > 0.0 && !is_whole(ratio) {
            refuse(format!("should be a multiple of {}", go_float(factor)));
        }
    }
    if let Some(min) = checks.minimum {
        if checks.exclusive_minimum && float <= min {
            refuse(format!("should be greater than {}", go_float(min)));
        } else if float < min {
            refuse(format!("should be greater than or equal to {}", go_float(min)));
        }
    }
    if let Some(max) = checks.maximum {
        if checks.exclusive_maximum && float >= max {
            refuse(format!("should be less than {}", go_float(max)));
        } else if float > max {
            refuse(format!("should be less than or equal to {}", go_float(max)));
        }
    }
    found.matched += 1;
    found
}

fn fits_i32(float: f64) -> bool {
    (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&float)
}

fn check_items(node: &Node, items: &[Value], old: Option<Old<'_>>, path: &str) -> Found {
    let mut found = Found::default();
    if let Some(below) = &node.items {
        for (i, item) in items.iter().enumerate() {
            let old = old.and_then(|old| old.item(item));
            found.merge(check_below(below, item, old, &index(path, i)));
        }
    }
    let size = items.len() as u64;
    if let Some(min) = node.checks.min_items.filter(|min| size < *min) {
        let detail = format!("{path} in body should have at least {min} items");
        found.add(FieldError::invalid(path, &Value::from(size), &detail));
    }
    if let Some(max) = node.checks.max_items.filter(|max| size > *max) {
        found.add(FieldError::too_many(path, size, max));
    }
    found.matched += 1;
    found
}

fn check_enum(checks: &Checks, value: &Value, path: &str) -> Found {
    let mut found = Found::default();
    let same = |allowed: &Value| match (allowed, value) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    };
    if !checks.enumeration.is_empty() && !checks.enumeration.iter().any(same) {
        let supported: Vec<String> = checks
            .enumeration
            .iter()
            .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
            .collect();
        found.add(FieldError::not_supported(path, value, &supported));
    }
    found
}

fn check_map(node: &Node, map: &Map<String, Value>, old: Option<Old<'_>>, path: &str) -> Found {
    let mut found = Found::default();
    let checks = &node.checks;
    let size = map.len() as u64;
    if let Some(min) = checks.min_properties.filter(|min| size < *min) {
        let detail = format!("{path} in body should have at least {min} properties");
        found.add(FieldError::invalid(path, &Value::from(size), &detail));
    }
    if let Some(max) = checks.max_properties.filter(|max| size > *max) {
        found.add(FieldError::too_many(path, size, max));
    }
    let is_root = path.is_empty();
    let old_of = |key: &str, value: &Value| {
        // The server cannot see a change of version, so nothing passes as unchanged there.
        let is_type = is_root && matches!(key, "apiVersion" | "kind");
        old.filter(|_| !is_type).and_then(|old| old.key(key, value))
    };
    if let Additional::Schema(below) = &node.additional {
        for (key, value) in map.iter().filter(|(key, _)| !node.properties.contains_key(*key)) {
            found.merge(check_below(below, value, old_of(key, value), &child(path, key)));
        }
    }
    for (name, below) in &node.properties {
        if let Some(value) = map.get(name) {
            found.merge(check_below(below, value, old_of(name, value), &child(path, name)));
        }
    }
    for name in checks.required.iter().filter(|name| !map.contains_key(*name)) {
        found.add(FieldError::required(&child(path, name), ""));
    }
    found
}

fn check_branches(checks: &Checks, value: &Value, old: Option<Old<'_>>, path: &str) -> Found {
    let mut found = Found::default();
    // These name no field: the path stands in the text.
    let refuse = |detail: String| FieldError::invalid(WHOLE_OBJECT, &Value::from(""), &detail);
    let place = quote(path);
    if !checks.any_of.is_empty() {
        let (valid, best) = best_of(&checks.any_of, value, old, path);
        if valid == 0 {
            found.add(refuse(format!("{place} must validate at least one schema (anyOf)")));
        }
        found.merge(best);
    }
    if !checks.one_of.is_empty() {
        let (valid, best) = best_of(&checks.one_of, value, old, path);
        match valid {
            0 => {
                found.add(refuse(format!(
                    "{place} must validate one and only one schema (oneOf). Found none valid"
                )));
                found.merge(best);
            }
            1 => found.merge(best),
            many => found.add(refuse(format!(
                "{place} must validate one and only one schema (oneOf). Found {many} valid alternatives"
            ))),
        }
    }
    if !checks.all_of.is_empty() {
        let mut valid = 0;
        for branch in &checks.all_of {
            let part = check(branch, value, old, path);
            valid += usize::from(part.errors.is_empty());
            found.merge(part);
        }
        if valid < checks.all_of.len() {
            let none = if valid == 0 { ". None validated" } else { "" };
            found.add(refuse(format!("{place} must validate all the schemas (allOf){none}")));
        }
    }
    if let Some(not) = &checks.not
        && check(not, value, old, path).errors.is_empty()
    {
        found.add(refuse(format!("{place} must not validate the schema (not)")));
    }
    found.matched += 1;
    found
}

/// How many branches are valid, and the first valid one or, of the failed, the one that matched most.
fn best_of(branches: &[Node], value: &Value, old: Option<Old<'_>>, path: &str) -> (usize, Found) {
    let mut valid = 0;
    let mut best: Option<Found> = None;
    for branch in branches {
        let part = check(branch, value, old, path);
        if part.errors.is_empty() {
            valid += 1;
            if valid == 1 {
                best = Some(part);
            }
        } else if valid == 0 && best.as_ref().is_none_or(|best| part.matched > best.matched) {
            best = Some(part);
        }
    }
    (valid, best.unwrap_or_default())
}
