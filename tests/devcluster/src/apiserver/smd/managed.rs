//! The entries of `metadata.managedFields`: who owns what, in the order and form in which the server writes them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{fields_v1, path::Set};

/// Update entries beyond this number are folded into one.
const MAX_UPDATE_ENTRIES: usize = 10;
/// The manager of folded entries.
const ANCIENT: &str = "ancient-changes";

/// How an entry came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// What identifies an entry. An Apply entry keeps its identity over versions, so its version stands in the entry only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner {
    pub(super) manager: String,
    pub(super) operation: Operation,
    pub(super) version: String,
    pub(super) subresource: String,
}

impl Owner {
    pub(super) fn new(manager: &str, operation: Operation, version: &str, subresource: &str) -> Self {
        Self {
            manager: if manager.is_empty() {
                "unknown".into()
            } else {
                manager.into()
            },
            operation,
            version: if operation == Operation::Apply {
                String::new()
            } else {
                version.into()
            },
            subresource: subresource.into(),
        }
    }
}

/// As conflict messages name an owner.
impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.manager)?;
        if !self.subresource.is_empty() {
            write!(f, " with subresource {:?}", self.subresource)?;
        }
        if self.operation == Operation::Update {
            write!(f, " using {}", self.version)?;
        }
        Ok(())
    }
}

/// What an owner owns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) set: Set,
    pub(super) version: String,
    /// RFC 3339 in seconds, so that text order is time order.
    pub(super) time: Option<String>,
}

/// All owners of an object.
pub(super) type Owners = BTreeMap<Owner, Entry>;

/// What the `managedFields` of a request's object ask for.
pub(super) enum Given {
    /// Nothing: keep those of the live object.
    Absent,
    /// An empty list, or one empty entry: forget all ownership.
    Reset,
    /// These.
    Owners(Owners),
}

/// Reads the `managedFields` of an object; entries that cannot be read count as none given.
pub(super) fn given(object: &Value) -> Given {
    let Some(Value::Array(entries)) = object.pointer("/metadata/managedFields") else {
        return Given::Absent;
    };
    match entries.as_slice() {
        [] => Given::Reset,
        [Value::Object(only)] if only.is_empty() => Given::Reset,
        entries => match read(entries) {
            Some(owners) if !owners.is_empty() => Given::Owners(owners),
            _ => Given::Absent,
        },
    }
}

/// The owners of a stored object.
pub(super) fn owners(object: Option<&Value>) -> Owners {
    match object.map(given) {
        Some(Given::Owners(owners)) => owners,
        _ => Owners::new(),
    }
}

fn read(entries: &[Value]) -> Option<Owners> {
    let mut owners = Owners::new();
    for entry in entries {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        let operation = match text("operation") {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        };
        let owner = Owner {
            manager: text("manager").to_owned(),
            ..Owner::new(text("manager"), operation, text("apiVersion"), text("subresource"))
        };
        let set = match entry.get("fieldsV1") {
            None | Some(Value::Null) => Set::default(),
            Some(fields) => fields_v1::decode(fields).ok()?,
        };
        let time = entry.get("time").and_then(Value::as_str).map(str::to_owned);
        owners.insert(
            owner,
            Entry {
                set,
                version: text("apiVersion").to_owned(),
                time,
            },
        );
    }
    Some(owners)
}

/// Writes the entries into an object, or removes the field where there are none.
pub(super) fn write(object: &mut Value, owners: &Owners) {
    let Value::Object(object) = object else { return };
    let meta = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    let Value::Object(meta) = meta else { return };
    if owners.is_empty() {
        meta.remove("managedFields");
        return;
    }
    let mut sorted: Vec<(&Owner, &Entry)> = owners.iter().collect();
    sorted.sort_by(|(a, x), (b, y)| {
        a.operation
            .cmp(&b.operation)
            .then_with(|| x.time.cmp(&y.time))
            .then_with(|| a.manager.cmp(&b.manager))
            .then_with(|| x.version.cmp(&y.version))
            .then_with(|| a.subresource.cmp(&b.subresource))
    });
    let entries = sorted.into_iter().map(|(owner, entry)| {
        let mut out = Map::new();
        out.insert("manager".into(), json!(owner.manager));
        out.insert("operation".into(), json!(owner.operation.as_str()));
        out.insert("apiVersion".into(), json!(entry.version));
        if let Some(time) = &entry.time {
            out.insert("time".into(), json!(time));
        }
        out.insert("fieldsType".into(), json!("FieldsV1"));
        out.insert("fieldsV1".into(), fields_v1::encode(&entry.set));
        if !owner.subresource.is_empty() {
            out.insert("subresource".into(), json!(owner.subresource));
        }
        Value::Object(out)
    });
    meta.insert("managedFields".into(), Value::Array(entries.collect()));
}

/// Takes out what no one owns: identity, and what the server alone writes.
pub(super) fn strip(owners: &mut Owners) {
    let server = Set::of_fields(&[
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ]);
    owners.retain(|_, entry| {
        entry.set = entry.set.difference(&server);
        !entry.set.is_empty()
    });
}

/// Folds the oldest Update entries into one bucket per version until the rest is few enough.
pub(super) fn cap(owners: &mut Owners) {
    let mut updaters: Vec<Owner> = owners
        .keys()
        .filter(|o| o.operation == Operation::Update)
        .cloned()
        .collect();
    let mut count = updaters.len();
    if count <= MAX_UPDATE_ENTRIES {
        return;
    }
    updaters.sort_by(|a, b| owners[a].time.cmp(&owners[b].time).then_with(|| a.cmp(b)));
    let mut first_of: BTreeMap<String, Owner> = BTreeMap::new();
    for owner in updaters {
        if count <= MAX_UPDATE_ENTRIES {
            break;
        }
        let version = owners[&owner].version.clone();
        let Some(first) = first_of.get(&version) else {
            first_of.insert(version, owner);
            continue;
        };
        let bucket = Owner::new(ANCIENT, Operation::Update, &version, "");
        if !owners.contains_key(&bucket)
            && let Some(entry) = owners.remove(first)
        {
            owners.insert(bucket.clone(), entry);
        }
        if let Some(entry) = owners.remove(&owner)
            && let Some(into) = owners.get_mut(&bucket)
        {
            into.set = into.set.union(&entry.set);
            into.time = entry.time;
        }
        count -= 1;
    }
}
