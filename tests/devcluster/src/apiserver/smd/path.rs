//! Paths into an object and sets of them.
//!
//! A step is a field name, the keys of an item in a list map, the value of an item in a set, or an index. A [`Set`] is a tree: a node is
//! a member itself, has children, or both (`f:labels` with `.` is owned as a whole besides its keys).

use std::{cmp::Ordering, collections::BTreeMap, fmt};

use serde_json::Value;

/// One step of a path.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// `f:`: a field of a map.
    Field(String),
    /// `k:`: an item of a list map, by its keys in order of their names.
    Key(Vec<(String, Value)>),
    /// `v:`: an item of a set.
    Item(Value),
    /// `i:`: an index, as no list that this server knows uses it.
    Index(usize),
}

/// Total order on scalars (numbers by value), with lists and maps compared by their text: enough for deterministic output.
pub(super) fn compare_values(a: &Value, b: &Value) -> Ordering {
    fn rank(v: &Value) -> u8 {
        match v {
            Value::Number(_) => 0,
            Value::String(_) => 1,
            Value::Bool(_) => 2,
            Value::Array(_) => 3,
            Value::Object(_) => 4,
            Value::Null => 5,
        }
    }
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => match (x.as_i64(), y.as_i64()) {
            (Some(x), Some(y)) => x.cmp(&y),
            _ => x.as_f64().partial_cmp(&y.as_f64()).unwrap_or(Ordering::Equal),
        },
        (Value::String(x), Value::String(y)) => x.cmp(y),
        (Value::Bool(x), Value::Bool(y)) => x.cmp(y),
        _ if rank(a) == rank(b) => a.to_string().cmp(&b.to_string()),
        _ => rank(a).cmp(&rank(b)),
    }
}

/// Equality of values where 1 and 1.0 are the same.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(_), Value::Number(_)) => compare_values(a, b) == Ordering::Equal,
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| equal(x, y)),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, v)| y.get(k).is_some_and(|w| equal(v, w)))
        }
        _ => a == b,
    }
}

impl Ord for Step {
    fn cmp(&self, other: &Self) -> Ordering {
        fn rank(s: &Step) -> u8 {
            match s {
                Step::Field(_) => 0,
                Step::Key(_) => 1,
                Step::Item(_) => 2,
                Step::Index(_) => 3,
            }
        }
        match (self, other) {
            (Self::Field(a), Self::Field(b)) => a.cmp(b),
            (Self::Key(a), Self::Key(b)) => {
                for ((ka, va), (kb, vb)) in a.iter().zip(b) {
                    let order = ka.cmp(kb).then_with(|| compare_values(va, vb));
                    if order != Ordering::Equal {
                        return order;
                    }
                }
                a.len().cmp(&b.len())
            }
            (Self::Item(a), Self::Item(b)) => compare_values(a, b),
            (Self::Index(a), Self::Index(b)) => a.cmp(b),
            _ => rank(self).cmp(&rank(other)),
        }
    }
}

impl PartialOrd for Step {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Step {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Step {}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                f.write_str("[")?;
                for (i, (name, value)) in keys.iter().enumerate() {
                    write!(f, "{}{name}={value}", if i == 0 { "" } else { "," })?;
                }
                f.write_str("]")
            }
            Self::Item(value) => write!(f, "[={value}]"),
            Self::Index(i) => write!(f, "[{i}]"),
        }
    }
}

/// A set of paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Set {
    nodes: BTreeMap<Step, Node>,
}

/// What a set says about one step: the path that ends here, and those that go on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Node {
    /// The path that ends here is in the set.
    pub(super) member: bool,
    /// Paths that go on.
    pub(super) children: Set,
}

impl Node {
    /// A path that ends here.
    pub(super) fn leaf() -> Self {
        Self {
            member: true,
            children: Set::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }
}

impl Set {
    /// A set of paths made of field names only.
    pub(super) fn of_fields(paths: &[&[&str]]) -> Self {
        let mut set = Self::default();
        for path in paths {
            let steps: Vec<Step> = path.iter().map(|f| Step::Field((*f).to_owned())).collect();
            set.insert(&steps);
        }
        set
    }

    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = (&Step, &Node)> {
        self.nodes.iter()
    }

    pub(super) fn get(&self, step: &Step) -> Option<&Node> {
        self.nodes.get(step)
    }

    /// Whether the path of this one step is a member.
    pub(super) fn has(&self, step: &Step) -> bool {
        self.nodes.get(step).is_some_and(|n| n.member)
    }

    /// Puts a node in place, unless it is empty.
    pub(super) fn put(&mut self, step: Step, node: Node) {
        if !node.is_empty() {
            self.nodes.insert(step, node);
        }
    }

    /// Adds a path; the empty path is the object itself, which no set holds.
    pub(super) fn insert(&mut self, path: &[Step]) {
        if let Some((first, rest)) = path.split_first() {
            let node = self.nodes.entry(first.clone()).or_default();
            if rest.is_empty() {
                node.member = true;
            } else {
                node.children.insert(rest);
            }
        }
    }

    pub(super) fn union(&self, other: &Self) -> Self {
        let mut out = self.clone();
        for (step, theirs) in &other.nodes {
            match out.nodes.get_mut(step) {
                None => {
                    out.nodes.insert(step.clone(), theirs.clone());
                }
                Some(ours) => {
                    ours.member |= theirs.member;
                    ours.children = ours.children.union(&theirs.children);
                }
            }
        }
        out
    }

    /// Members of `self` that are not members of `other`.
    pub(super) fn difference(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a && !b, Self::difference)
    }

    /// Members of both.
    pub(super) fn intersection(&self, other: &Self) -> Self {
        let mut out = Self::default();
        for (step, ours) in &self.nodes {
            if let Some(theirs) = other.nodes.get(step) {
                out.put(
                    step.clone(),
                    Node {
                        member: ours.member && theirs.member,
                        children: ours.children.intersection(&theirs.children),
                    },
                );
            }
        }
        out
    }

    /// Members of `self` that are neither members of `other` nor below one.
    pub(super) fn recursive_difference(&self, other: &Self) -> Self {
        let mut out = Self::default();
        for (step, ours) in &self.nodes {
            match other.nodes.get(step) {
                None => out.put(step.clone(), ours.clone()),
                Some(theirs) if theirs.member => {}
                Some(theirs) => out.put(
                    step.clone(),
                    Node {
                        member: ours.member,
                        children: ours.children.recursive_difference(&theirs.children),
                    },
                ),
            }
        }
        out
    }

    fn combine(&self, other: &Self, member: fn(bool, bool) -> bool, children: fn(&Self, &Self) -> Self) -> Self {
        let mut out = Self::default();
        for (step, ours) in &self.nodes {
            match other.nodes.get(step) {
                None => out.put(step.clone(), ours.clone()),
                Some(theirs) => out.put(
                    step.clone(),
                    Node {
                        member: member(ours.member, theirs.member),
                        children: children(&ours.children, &theirs.children),
                    },
                ),
            }
        }
        out
    }

    /// All member paths as the server prints them: at each level the members first, then what is below.
    pub(super) fn paths(&self) -> Vec<String> {
        fn walk(set: &Set, prefix: &str, out: &mut Vec<String>) {
            for (step, node) in &set.nodes {
                if node.member {
                    out.push(format!("{prefix}{step}"));
                }
            }
            for (step, node) in &set.nodes {
                if !node.children.is_empty() {
                    walk(&node.children, &format!("{prefix}{step}"), out);
                }
            }
        }
        let mut out = Vec::new();
        walk(self, "", &mut out);
        out
    }
}
