//! Two typed values side by side: what changed from one to the other, and one merged over the other.

use serde_json::{Map, Value};

use super::{
    path::{Set, Step, equal},
    types::{Form, ListType, MapType, Relation, Schema, TypeId},
    walk::item_step,
};

/// What changed between two objects.
#[derive(Debug, Clone, Default)]
pub(super) struct Comparison {
    pub(super) added: Set,
    pub(super) removed: Set,
    pub(super) modified: Set,
}

impl Comparison {
    /// Without the paths that are in `ignored` or below.
    pub(super) fn without(self, ignored: &Set) -> Self {
        Self {
            added: self.added.recursive_difference(ignored),
            removed: self.removed.recursive_difference(ignored),
            modified: self.modified.recursive_difference(ignored),
        }
    }
}

/// Compares two objects of one type.
pub(super) fn compare(schema: &Schema, ty: TypeId, old: &Value, new: &Value) -> Comparison {
    let mut walk = Compare {
        schema,
        path: Vec::new(),
        out: Comparison::default(),
    };
    walk.pair(Some(ty), Some(old), Some(new));
    walk.out
}

struct Compare<'a> {
    schema: &'a Schema,
    path: Vec<Step>,
    out: Comparison,
}

fn is_hollow(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Object(map)) => map.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        _ => true,
    }
}

fn same_form(a: Form<'_>, b: Form<'_>) -> bool {
    matches!(
        (a, b),
        (Form::Map(_), Form::Map(_)) | (Form::List(_), Form::List(_)) | (Form::Scalar(_), Form::Scalar(_))
    )
}

impl Compare<'_> {
    /// Notes the path itself: as a leaf, where two present values may also differ.
    fn note(&mut self, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (None, Some(_)) => self.out.added.insert(&self.path),
            (Some(_), None) => self.out.removed.insert(&self.path),
            (Some(old), Some(new)) if !equal(old, new) => self.out.modified.insert(&self.path),
            _ => {}
        }
    }

    fn pair(&mut self, ty: Option<TypeId>, old: Option<&Value>, new: Option<&Value>) {
        let Some(any) = new.or(old) else { return };
        let Some(ty) = ty else { return self.note(old, new) };
        let atom = self.schema.atom(ty);
        let form = match (old, new) {
            // A null takes the form of the other side.
            (Some(old), Some(Value::Null)) => atom.form(old),
            _ => atom.form(any),
        };
        if let (Some(old), Some(new)) = (old, new)
            && !old.is_null()
            && !new.is_null()
            && !same_form(atom.form(old), atom.form(new))
        {
            return self.note(Some(old), Some(new));
        }
        match form {
            Form::Map(map) if !map.atomic && (!is_hollow(old) || !is_hollow(new)) => {
                self.map(map, old.and_then(Value::as_object), new.and_then(Value::as_object));
                if old.is_none() || new.is_none() {
                    self.note(old, new);
                }
            }
            Form::List(list) if list.relation != Relation::Atomic && !(is_hollow(old) && is_hollow(new)) => {
                self.list(list, old.and_then(Value::as_array), new.and_then(Value::as_array));
                if old.is_none() || new.is_none() {
                    self.note(old, new);
                }
            }
            _ => self.note(old, new),
        }
    }

    fn map(&mut self, map: &MapType, old: Option<&Map<String, Value>>, new: Option<&Map<String, Value>>) {
        let theirs = new.into_iter().flat_map(Map::keys);
        let ours = old
            .into_iter()
            .flat_map(Map::keys)
            .filter(|k| new.is_none_or(|n| !n.contains_key(*k)));
        for key in theirs.chain(ours) {
            self.path.push(Step::Field(key.clone()));
            self.pair(
                map.type_of(key),
                old.and_then(|m| m.get(key)),
                new.and_then(|m| m.get(key)),
            );
            self.path.pop();
        }
    }

    fn list(&mut self, list: &ListType, old: Option<&Vec<Value>>, new: Option<&Vec<Value>>) {
        let index = |items: Option<&Vec<Value>>| -> Vec<(Step, Vec<Value>)> {
            let mut out: Vec<(Step, Vec<Value>)> = Vec::new();
            for item in items.into_iter().flatten() {
                if let Ok(step) = item_step(self.schema, list, item) {
                    match out.iter_mut().find(|(s, _)| *s == step) {
                        Some((_, found)) => found.push(item.clone()),
                        None => out.push((step, vec![item.clone()])),
                    }
                }
            }
            out
        };
        let (old, new) = (index(old), index(new));
        let find = |side: &[(Step, Vec<Value>)], step: &Step| -> Vec<Value> {
            side.iter()
                .find(|(s, _)| s == step)
                .map(|(_, v)| v.clone())
                .unwrap_or_default()
        };
        let mut steps: Vec<Step> = old.iter().map(|(s, _)| s.clone()).collect();
        steps.extend(
            new.iter()
                .map(|(s, _)| s.clone())
                .filter(|s| !old.iter().any(|(o, _)| o == s)),
        );
        for step in steps {
            let (ours, theirs) = (find(&old, &step), find(&new, &step));
            self.path.push(step);
            if ours.len() > 1 || theirs.len() > 1 {
                // Duplicates have no identity of their own: the key as a whole is one value.
                let join = |items: Vec<Value>| (!items.is_empty()).then_some(Value::Array(items));
                self.note(join(ours).as_ref(), join(theirs).as_ref());
            } else {
                self.pair(Some(list.item), ours.first(), theirs.first());
            }
            self.path.pop();
        }
    }
}

/// The live object with the configuration merged over it.
pub(super) fn merge(schema: &Schema, ty: TypeId, live: &Value, config: &Value) -> Value {
    merged(schema, Some(ty), Some(live), Some(config)).unwrap_or(Value::Null)
}

fn merged(schema: &Schema, ty: Option<TypeId>, live: Option<&Value>, config: Option<&Value>) -> Option<Value> {
    let (Some(ty), Some(ours), Some(theirs)) = (ty, live, config) else {
        return config.or(live).cloned();
    };
    let atom = schema.atom(ty);
    match (atom.form(theirs), ours, theirs) {
        (Form::Map(map), Value::Object(ours), Value::Object(theirs)) if !map.atomic => {
            if ours.is_empty() && theirs.is_empty() {
                return config.cloned();
            }
            let mut out = Map::new();
            let added = theirs.keys().filter(|k| !ours.contains_key(*k));
            for key in ours.keys().chain(added) {
                if let Some(value) = merged(schema, map.type_of(key), ours.get(key), theirs.get(key)) {
                    out.insert(key.clone(), value);
                }
            }
            Some(Value::Object(out))
        }
        (Form::List(list), Value::Array(ours), Value::Array(theirs)) if list.relation != Relation::Atomic => {
            Some(Value::Array(merged_list(schema, list, ours, theirs)))
        }
        (Form::Map(map), Value::Object(_), Value::Null) if !map.atomic => live.cloned(),
        (Form::List(list), Value::Array(_), Value::Null) if list.relation != Relation::Atomic => live.cloned(),
        _ => config.cloned(),
    }
}

/// Items in the configuration's order, with those of the live object alone where they stood between their neighbours.
fn merged_list(schema: &Schema, list: &ListType, live: &[Value], config: &[Value]) -> Vec<Value> {
    let steps = |items: &[Value]| -> Vec<(Option<Step>, Value)> {
        items
            .iter()
            .map(|item| (item_step(schema, list, item).ok(), item.clone()))
            .collect()
    };
    let (live, config) = (steps(live), steps(config));
    // A key that occurs twice has no counterpart to merge with.
    let unique = |side: &[(Option<Step>, Value)], step: Option<&Step>| -> Option<Value> {
        let mut found = side.iter().filter(|(s, _)| s.as_ref() == step);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Some(value.clone()),
            _ => None,
        }
    };
    let contains = |side: &[(Option<Step>, Value)], step: Option<&Step>| side.iter().any(|(s, _)| s.as_ref() == step);
    let shared: Vec<Option<&Step>> = config
        .iter()
        .map(|(s, _)| s.as_ref())
        .filter(|s| contains(&live, *s))
        .collect();
    let mut next_shared = 0;
    let mut done: Vec<Option<&Step>> = Vec::new();
    let mut out = Vec::new();
    let (mut l, mut c) = (0, 0);
    let combine = |step: Option<&Step>, fallback: &Value| -> Value {
        let ours = unique(&live, step);
        merged(schema, Some(list.item), ours.as_ref(), Some(fallback)).unwrap_or(Value::Null)
    };
    while l < live.len() || c < config.len() {
        if l < live.len() && c < config.len() {
            let step = live[l].0.as_ref();
            if step == config[c].0.as_ref() {
                out.push(combine(step, &config[c].1));
                done.push(step);
                l += 1;
                c += 1;
                next_shared += 1;
                continue;
            }
            if contains(&config, step) && shared.get(next_shared).is_some_and(|next| *next != step) {
                // A shared item out of turn: it comes where the configuration has it.
                l += 1;
                continue;
            }
        }
        if l < live.len() {
            let step = live[l].0.as_ref();
            if !contains(&config, step) {
                out.push(live[l].1.clone());
                l += 1;
                continue;
            }
            if done.contains(&step) {
                l += 1;
            }
        }
        if c < config.len() {
            let step = config[c].0.as_ref();
            out.push(combine(step, &config[c].1));
            done.push(step);
            if shared.get(next_shared).is_some_and(|next| *next == step) {
                next_shared += 1;
            }
            c += 1;
        }
    }
    out
}
