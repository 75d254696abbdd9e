//! `x-kubernetes-validations`: rules in CEL at any node, transition rules included.
//!
//! The language and its Kubernetes functions are kube-cel's; what a rule sees, when it runs, and how its failure is told are here. The
//! library counts no cost and cannot be stopped, so a fuse blows beforehand: a rule's loops, nested, over the biggest collection that it
//! could see, and the time that an object's rules took so far.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kube_cel::{
    KubeCelExt as _,
    cel::{
        Context, ExecutionError, IdedExpr, Program, Value as Cel,
        common::ast::{EntryExpr, Expr},
        objects::OptionalValue,
    },
};
use serde_json::Value;

use self::values::{to_cel, widest};
use super::{
    correlate::Old,
    errors::{FieldError, Reason, child, index},
    node::{Additional, Node, Type},
};

mod values;

/// Steps that one rule may take: the real server's limit on the cost of one call.
const MAX_STEPS: f64 = 1_000_000.0;
/// What the rules of one object may take together.
const MAX_TIME: Duration = Duration::from_secs(2);
/// The parser recurses: a rule longer or nested deeper than this is refused.
const MAX_RULE_BYTES: usize = 10_000;
const MAX_NESTING: usize = 32;
/// A longer message from `messageExpression` gives way to `message`.
const MAX_MESSAGE_BYTES: usize = 5 * 1024;

/// One compiled rule.
#[derive(Debug)]
pub(super) struct Rule {
    source: String,
    message: String,
    message_program: Option<Program>,
    reason: Reason,
    field_path: String,
    optional_old_self: Option<bool>,
    pub(super) uses_old_self: bool,
    program: Program,
    loops: u32,
}

/// What makes a rule unfit, and which of its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unfit {
    pub(super) field: &'static str,
    pub(super) error: UnfitKind,
}

/// See [`Unfit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum UnfitKind {
    Required(&'static str),
    NotSupported,
    /// The value shown is the field's text, or the whole rule.
    Invalid {
        whole: bool,
        detail: String,
    },
}

impl Rule {
    /// Reads and compiles an entry of `x-kubernetes-validations`.
    pub(super) fn read(raw: &Value) -> Result<Self, Unfit> {
        let text = |key: &str| raw.get(key).and_then(Value::as_str).unwrap_or_default();
        let unfit = |field, error| Unfit { field, error };
        let invalid = |field, detail: &str| {
            let detail = detail.to_owned();
            unfit(field, UnfitKind::Invalid { whole: false, detail })
        };
        let (source, message) = (text("rule"), text("message"));
        if source.trim().is_empty() {
            return Err(unfit("rule", UnfitKind::Required("rule is not specified")));
        }
        if !message.is_empty() && message.trim().is_empty() {
            return Err(invalid("message", "must be non-empty if specified"));
        }
        if message.trim().contains('\n') {
            return Err(invalid("message", "must not contain line breaks"));
        }
        if source.trim().contains('\n') && message.is_empty() {
            let detail = "message must be specified if rule contains line breaks";
            return Err(unfit("message", UnfitKind::Required(detail)));
        }
        let reason = match raw.get("reason").and_then(Value::as_str) {
            None | Some("FieldValueInvalid") => Reason::Invalid,
            Some("FieldValueForbidden") => Reason::Forbidden,
            Some("FieldValueRequired") => Reason::Required,
            Some("FieldValueDuplicate") => Reason::Duplicate,
            Some(_) => return Err(unfit("reason", UnfitKind::NotSupported)),
        };
        let field_path = text("fieldPath");
        if field_path.contains('\n') {
            return Err(invalid("fieldPath", "must not contain line breaks"));
        }
        let failed = |field, detail: String| {
            let detail = format!("compilation failed: {detail}");
            unfit(field, UnfitKind::Invalid { whole: true, detail })
        };
        let program = compile(source).map_err(|detail| failed("rule", detail))?;
        let uses_old_self = program.references().has_variable("oldSelf");
        let optional_old_self = raw.get("optionalOldSelf").and_then(Value::as_bool);
        if optional_old_self.is_some() && !uses_old_self {
            return Err(invalid(
                "optionalOldSelf",
                "may not be set if oldSelf is not used in rule",
            ));
        }
        let message_program = match text("messageExpression") {
            "" => None,
            blank if blank.trim().is_empty() => {
                let detail = "messageExpression must be non-empty if specified";
                return Err(unfit("messageExpression", UnfitKind::Required(detail)));
            }
            expression => Some(compile(expression).map_err(|detail| failed("messageExpression", detail))?),
        };
        Ok(Self {
            loops: loops(program.expression()),
            source: source.trim().to_owned(),
            message: message.trim().to_owned(),
            message_program,
            reason,
            field_path: field_path.trim().to_owned(),
            optional_old_self,
            uses_old_self,
            program,
        })
    }

    /// How the rule is named in errors about itself.
    fn name(&self) -> &str {
        if self.message.is_empty() {
            &self.source
        } else {
            &self.message
        }
    }
}

/// Compiles an expression over `self` and `oldSelf`; the error is the compiler's text.
fn compile(source: &str) -> Result<Program, String> {
    if source.len() > MAX_RULE_BYTES {
        return Err(format!("expression exceeds {MAX_RULE_BYTES} bytes"));
    }
    let mut depth = 0_usize;
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_NESTING {
            return Err(format!("expression nests deeper than {MAX_NESTING}"));
        }
    }
    let program = Program::compile(source).map_err(|errors| {
        let line = errors.to_string();
        format!("ERROR: {}", line.lines().next().unwrap_or_default())
    })?;
    // A loop's own variables are no references, so what is left must be one of ours or a type.
    let references = program.references();
    let known = |name: &str| {
        matches!(
            name,
            "self" | "oldSelf" | "bool" | "int" | "uint" | "double" | "string" | "bytes" | "list" | "map" | "null_type"
        ) || matches!(
            name,
            "math" | "sets" | "base64" | "optional" | "jsonpatch" | "format" | "type" | "cel"
        )
    };
    let unknown = references
        .variables()
        .into_iter()
        .find(|name| !known(name) && !name.starts_with('@'));
    if let Some(name) = unknown
        && !is_loop_variable(program.expression(), name)
    {
        return Err(format!("ERROR: undeclared reference to '{name}' (in container '')"));
    }
    Ok(program)
}

/// The expressions right below one.
fn parts(expr: &IdedExpr) -> Vec<&IdedExpr> {
    match &expr.expr {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::Comprehension(c) => vec![&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => entries(&map.entries),
        Expr::Struct(literal) => entries(&literal.entries),
        Expr::Select(select) => vec![&select.operand],
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
    }
}

fn entries(entries: &[kube_cel::cel::common::ast::IdedEntryExpr]) -> Vec<&IdedExpr> {
    entries
        .iter()
        .flat_map(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
            EntryExpr::StructField(field) => vec![&field.value],
        })
        .collect()
}

/// How deep loops nest.
fn loops(expr: &IdedExpr) -> u32 {
    match &expr.expr {
        Expr::Comprehension(c) => {
            let body = [&c.loop_cond, &c.loop_step].into_iter().map(loops).max().unwrap_or(0);
            loops(&c.iter_range).max(body + 1)
        }
        _ => parts(expr).into_iter().map(loops).max().unwrap_or(0),
    }
}

fn is_loop_variable(expr: &IdedExpr, name: &str) -> bool {
    let here = match &expr.expr {
        Expr::Comprehension(c) => c.iter_var == name || c.iter_var2.as_deref() == Some(name) || c.accu_var == name,
        _ => false,
    };
    here || parts(expr).into_iter().any(|part| is_loop_variable(part, name))
}

thread_local! {
    /// Functions are registered once a thread: a context is not shared between threads.
    static FUNCTIONS: Context<'static> = Context::default().with_all();
}

/// Runs the rules of an object; `old` is `None` on a create.
pub(super) fn evaluate(root: &Node, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut run = Run {
        errors: Vec::new(),
        since: Instant::now(),
        stopped: false,
    };
    let place = Place {
        value: object,
        old: Old::root(root, old),
        nearest: None,
        is_root: true,
    };
    run.walk(root, place, "");
    run.errors
}

/// A place in the object.
#[derive(Clone, Copy)]
struct Place<'a> {
    value: &'a Value,
    /// Its old value, where it has an identity.
    old: Option<Old<'a>>,
    /// Else the nearest place above that has one: unchanged, it lets what is below pass.
    nearest: Option<(Old<'a>, &'a Value)>,
    is_root: bool,
}

impl<'a> Place<'a> {
    fn below(self, value: &'a Value, old: Option<Old<'a>>) -> Self {
        Self {
            value,
            old,
            nearest: self.old.map(|old| (old, self.value)).or(self.nearest),
            is_root: false,
        }
    }

    fn is_unchanged(self) -> bool {
        match (self.old, self.nearest) {
            (Some(old), _) => old.equals(self.value),
            (None, Some((old, value))) => old.equals(value),
            (None, None) => false,
        }
    }
}

struct Run {
    errors: Vec<FieldError>,
    since: Instant,
    /// The budget is spent: no further rules.
    stopped: bool,
}

impl Run {
    fn walk<'a>(&mut self, node: &'a Node, place: Place<'a>, path: &str) {
        if self.stopped || !node.has_rules || place.value.is_null() {
            return;
        }
        if !node.rules.is_empty() {
            self.rules(node, place, path);
        }
        match place.value {
            Value::Object(map) => {
                for (key, value) in map {
                    let old = place.old.and_then(|old| old.key(key, value));
                    if let Some(below) = node.properties.get(key) {
                        self.walk(below, place.below(value, old), &child(path, key));
                    } else if let Additional::Schema(below) = &node.additional {
                        self.walk(below, place.below(value, old), &index(path, key));
                    }
                }
            }
            Value::Array(items) => {
                let Some(below) = &node.items else { return };
                for (i, item) in items.iter().enumerate() {
                    let old = place.old.and_then(|old| old.item(item));
                    self.walk(below, place.below(item, old), &index(path, i));
                }
            }
            _ => {}
        }
    }

    fn rules(&mut self, node: &Node, place: Place<'_>, path: &str) {
        let this = to_cel(node, place.value, place.is_root);
        let old = place
            .old
            .map(|old| old.value)
            .filter(|old| !old.is_null())
            .map(|old| to_cel(node, old, place.is_root));
        let widest = widest(place.value).max(place.old.map_or(0, |old| widest(old.value)));
        for rule in &node.rules {
            if rule.uses_old_self && old.is_none() && rule.optional_old_self != Some(true) {
                continue; // nothing to compare with
            }
            if (widest as f64).powi(rule.loops as i32) > MAX_STEPS {
                let detail = format!(
                    "'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost exceeds limit for rule: {}",
                    rule.name()
                );
                return self.stop(node, path, &detail);
            }
            if self.since.elapsed() > MAX_TIME {
                let detail =
                    "validation failed due to running out of cost budget, no further validation rules will be run";
                return self.stop(node, path, detail);
            }
            let failure = FUNCTIONS.with(|functions| {
                let mut context = functions.new_inner_scope();
                context.add_variable_from_value("self", this.clone());
                if rule.optional_old_self == Some(true) {
                    let optional = old.clone().map_or_else(OptionalValue::none, OptionalValue::of);
                    context.add_variable_from_value("oldSelf", Cel::Opaque(Arc::new(optional)));
                } else if let Some(old) = &old {
                    context.add_variable_from_value("oldSelf", old.clone());
                }
                run(rule, node, place.value, path, &context)
            });
            match failure {
                None => {}
                Some(Failure::Broken(error)) => self.errors.push(error),
                // A rule without oldSelf does not hold against what was there before.
                Some(Failure::Refused(_)) if !rule.uses_old_self && place.is_unchanged() => {}
                Some(Failure::Refused(error)) => self.errors.push(error),
            }
        }
    }

    fn stop(&mut self, node: &Node, path: &str, detail: &str) {
        self.stopped = true;
        self.errors.push(FieldError::invalid(path, &type_name(node), detail));
    }
}

enum Failure {
    /// The rule could not be evaluated.
    Broken(FieldError),
    /// The rule is false.
    Refused(FieldError),
}

fn run(rule: &Rule, node: &Node, value: &Value, path: &str, context: &Context<'_>) -> Option<Failure> {
    let broken = |detail: &str| Some(Failure::Broken(FieldError::invalid(path, &type_name(node), detail)));
    match rule.program.execute(context) {
        Ok(Cel::Bool(true)) => return None,
        Ok(Cel::Bool(false)) => {}
        Ok(_) => {
            return broken(&format!(
                "'no such overload': call arguments did not match a supported operator, function or macro signature for rule: {}",
                rule.name()
            ));
        }
        Err(error) => return broken(&describe(&error, rule)),
    }
    let from_expression = rule
        .message_program
        .as_ref()
        .and_then(|program| program.execute(context).ok())
        .and_then(|message| match message {
            Cel::String(text) => Some(text.trim().to_owned()),
            _ => None,
        })
        .filter(|text| !text.is_empty() && !text.contains('\n') && text.len() <= MAX_MESSAGE_BYTES);
    let detail = match from_expression {
        Some(text) => text,
        None if rule.message.is_empty() => format!("failed rule: {}", rule.source),
        None => rule.message.clone(),
    };
    let field = field_at(node, path, &rule.field_path);
    let shown = (!matches!(node.ty, Some(Type::Object | Type::Array))).then_some(value);
    Some(Failure::Refused(match rule.reason {
        Reason::Forbidden => FieldError::forbidden(&field, &detail),
        Reason::Required => FieldError::required(&field, &detail),
        Reason::Duplicate => FieldError::duplicate(&field, shown),
        _ => match shown {
            Some(value) => FieldError::invalid(&field, value, &detail),
            None => FieldError::invalid_unshown(&field, &detail),
        },
    }))
}

/// Errors about a rule show the type in place of the value.
fn type_name(node: &Node) -> Value {
    Value::from(node.ty.map_or("", Type::name))
}

fn describe(error: &ExecutionError, rule: &Rule) -> String {
    let text = match error {
        ExecutionError::NoSuchOverload
        | ExecutionError::UnexpectedType { .. }
        | ExecutionError::ValuesNotComparable(..)
        | ExecutionError::UnsupportedUnaryOperator(..)
        | ExecutionError::UnsupportedBinaryOperator(..) => {
            return format!(
                "'no such overload': call arguments did not match a supported operator, function or macro signature for rule: {}",
                rule.name()
            );
        }
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::RemainderByZero(_) => "modulus by zero".to_owned(),
        ExecutionError::Overflow(..) => "integer overflow".to_owned(),
        ExecutionError::IndexOutOfBounds(Cel::Int(i)) => format!("index out of bounds: {i}"),
        other => other.to_string(),
    };
    format!("{text} evaluating rule: {}", rule.name())
}

/// Joins a rule's `fieldPath` (`.a.b`, `.m['k']`) to the path of its node.
fn field_at(node: &Node, path: &str, field_path: &str) -> String {
    let mut out = path.to_owned();
    let mut node = Some(node);
    let mut rest = field_path;
    while !rest.is_empty() {
        let (name, after) = if let Some(quoted) = rest.strip_prefix("['") {
            match quoted.split_once("']") {
                Some(split) => split,
                None => return out,
            }
        } else {
            let start = rest.strip_prefix('.').unwrap_or(rest);
            let end = start.find(['.', '[']).unwrap_or(start.len());
            start.split_at(end)
        };
        let is_key = node.is_some_and(|n| n.properties.is_empty() && matches!(n.additional, Additional::Schema(_)));
        out = if is_key { index(&out, name) } else { child(&out, name) };
        node = node.and_then(|n| n.below(name));
        if after.len() == rest.len() {
            break; // nothing was read
        }
        rest = after;
    }
    out
}

/// Whether a `fieldPath` leads to a declared field.
pub(super) fn leads_somewhere(node: &Node, field_path: &str) -> bool {
    let mut node = Some(node);
    let mut rest = field_path.trim();
    while !rest.is_empty() {
        let (name, after) = if let Some(quoted) = rest.strip_prefix("['") {
            match quoted.split_once("']") {
                Some(split) => split,
                None => return false,
            }
        } else if let Some(start) = rest.strip_prefix('.') {
            start.split_at(start.find(['.', '[']).unwrap_or(start.len()))
        } else {
            return false;
        };
        node = node.and_then(|n| n.below(name));
        if node.is_none() {
            return false;
        }
        rest = after;
    }
    true
}
