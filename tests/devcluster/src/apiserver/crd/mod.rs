//! Custom resource definitions: what is valid, which names they get, and the resources that come of them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    clock::seconds,
    kinds::Resource,
    schema::{CompileError, FieldError, Reason, Structural},
    smd::TypeSchema,
    status::field_error,
};

/// A printer column of `kubectl get`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) format: String,
    pub(super) description: String,
    pub(super) priority: i64,
    pub(super) path: String,
}

/// Where the scale subresource finds its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scale {
    pub(super) spec_replicas: String,
    pub(super) status_replicas: String,
    pub(super) label_selector: Option<String>,
}

/// What a definition adds to its resource.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) schema: Structural,
    /// The `openAPIV3Schema` as given.
    pub(super) openapi: Value,
    pub(super) columns: Vec<Column>,
    pub(super) scale: Option<Scale>,
    /// Objects stored before this version of the definition are shown through the present schema.
    pub(super) since: u64,
}

fn text(value: &Value, pointer: &str) -> String {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn texts(value: &Value, pointer: &str) -> Vec<String> {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// The resources of a definition, one for each version that it serves.
pub(super) fn resources(definition: &Value, since: u64) -> Result<Vec<Resource>, CompileError> {
    let (group, plural) = (text(definition, "/spec/group"), text(definition, "/spec/names/plural"));
    let versions = definition
        .pointer("/spec/versions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let mut out = Vec::new();
    for version in versions.filter(|v| v["served"] == true) {
        let openapi = version
            .pointer("/schema/openAPIV3Schema")
            .cloned()
            .unwrap_or_else(|| json!({"type": "object"}));
        let status = version.pointer("/subresources/status").is_some();
        out.push(Resource {
            id: format!("{plural}.{group}").into(),
            group: group.clone(),
            version: text(version, "/name"),
            plural: plural.clone(),
            singular: text(definition, "/spec/names/singular"),
            kind: text(definition, "/spec/names/kind"),
            list_kind: text(definition, "/spec/names/listKind"),
            namespaced: text(definition, "/spec/scope") == "Namespaced",
            short_names: texts(definition, "/spec/names/shortNames"),
            categories: texts(definition, "/spec/names/categories"),
            status,
            create_on_put: false,
            unconditional: false,
            returns_deleted: false,
            unstored: false,
            fields: &[],
            types: TypeSchema::from_openapi(&openapi).with_status_subresource(status),
            custom: Some(std::sync::Arc::new(Served {
                schema: Structural::compile(&openapi)?,
                columns: columns(version),
                scale: version.pointer("/subresources/scale").map(scale),
                openapi,
                since,
            })),
        });
    }
    Ok(out)
}

fn columns(version: &Value) -> Vec<Column> {
    let given = version
        .get("additionalPrinterColumns")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let columns: Vec<Column> = given
        .map(|column| Column {
            name: text(column, "/name"),
            kind: text(column, "/type"),
            format: text(column, "/format"),
            description: text(column, "/description"),
            priority: column["priority"].as_i64().unwrap_or(0),
            path: text(column, "/jsonPath"),
        })
        .collect();
    if !columns.is_empty() {
        return columns;
    }
    vec![Column {
        name: "Age".into(),
        kind: "date".into(),
        format: String::new(),
        description: "When the object was created.".into(),
        priority: 0,
        path: ".metadata.creationTimestamp".into(),
    }]
}

fn scale(value: &Value) -> Scale {
    Scale {
        spec_replicas: text(value, "/specReplicasPath"),
        status_replicas: text(value, "/statusReplicasPath"),
        label_selector: value
            .get("labelSelectorPath")
            .and_then(Value::as_str)
            .map(str::to_owned),
    }
}

/// Fills in the names that follow from others.
pub(super) fn default(definition: &mut Value) {
    let kind = text(definition, "/spec/names/kind");
    let Some(Value::Object(names)) = definition.pointer_mut("/spec/names") else {
        return;
    };
    for (field, value) in [("singular", kind.to_lowercase()), ("listKind", format!("{kind}List"))] {
        if names.get(field).and_then(Value::as_str).unwrap_or_default().is_empty() {
            names.insert(field.into(), json!(value));
        }
    }
    if definition["spec"]["conversion"].is_null() {
        definition["spec"]["conversion"] = json!({"strategy": "None"});
    }
}

/// What is wrong with a definition.
pub(super) fn validate(old: Option<&Value>, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let required = |field: &str| field_error(field, Reason::Required, "Required value");
    let invalid = |field: &str, value: &str, what: &str| {
        field_error(field, Reason::Invalid, format!("Invalid value: {value:?}: {what}"))
    };
    for field in ["group", "names/plural", "names/kind", "scope"] {
        if text(new, &format!("/spec/{field}")).is_empty() {
            errors.push(required(&format!("spec.{}", field.replace('/', "."))));
        }
    }
    let name = text(new, "/metadata/name");
    let expected = format!("{}.{}", text(new, "/spec/names/plural"), text(new, "/spec/group"));
    if name != expected {
        errors.push(invalid(
            "metadata.name",
            &name,
            "must be spec.names.plural+\".\"+spec.group",
        ));
    }
    let scope = text(new, "/spec/scope");
    if !scope.is_empty() && !["Namespaced", "Cluster"].contains(&scope.as_str()) {
        errors.push(field_error(
            "spec.scope",
            Reason::NotSupported,
            format!("Unsupported value: {scope:?}: supported values: \"Cluster\", \"Namespaced\""),
        ));
    }
    let versions = new.pointer("/spec/versions").and_then(Value::as_array);
    let stored = versions.into_iter().flatten().filter(|v| v["storage"] == true).count();
    if stored != 1 {
        errors.push(field_error(
            "spec.versions",
            Reason::Invalid,
            "Invalid value: must have exactly one version marked as storage version",
        ));
    }
    for (i, version) in versions.into_iter().flatten().enumerate() {
        let field = format!("spec.versions[{i}].schema.openAPIV3Schema");
        match version.pointer("/schema/openAPIV3Schema") {
            None => errors.push(field_error(
                field,
                Reason::Required,
                "Required value: schemas are required",
            )),
            Some(schema) => errors.extend(Structural::problems(schema).into_iter().map(|problem| {
                let below = problem.field.trim_start_matches('.').to_owned();
                let dot = if below.is_empty() { "" } else { "." };
                FieldError {
                    field: format!("{field}{dot}{below}"),
                    ..problem
                }
            })),
        }
    }
    if let Some(old) = old {
        for field in ["group", "scope", "names/plural", "names/kind"] {
            let (was, is) = (
                text(old, &format!("/spec/{field}")),
                text(new, &format!("/spec/{field}")),
            );
            if was != is && established(old) {
                errors.push(invalid(
                    &format!("spec.{}", field.replace('/', ".")),
                    &is,
                    "field is immutable",
                ));
            }
        }
    }
    errors
}

/// Whether the definition serves its resources.
pub(super) fn established(definition: &Value) -> bool {
    definition
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .any(|c| c["type"] == "Established" && c["status"] == "True")
}

/// The status of a definition whose names are taken over. `taken` says which of them belongs to another definition.
pub(super) fn accept(definition: &mut Value, taken: Option<&str>, now: Timestamp) {
    let names = definition.pointer("/spec/names").cloned().unwrap_or_default();
    let (accepted, reason, message) = match taken {
        None => ("True", "NoConflicts", "no conflicts found".to_owned()),
        Some(name) => ("False", "NamesConflict", format!("{name:?} is already in use")),
    };
    set_condition(definition, "NamesAccepted", accepted, reason, &message, now);
    if taken.is_none() {
        definition["status"]["acceptedNames"] = names;
        set_condition(
            definition,
            "Established",
            "True",
            "InitialNamesAccepted",
            "the initial names have been accepted",
            now,
        );
    } else if !established(definition) {
        let message = "not all names are accepted";
        set_condition(definition, "Established", "False", "NotAccepted", message, now);
    }
}

/// Sets a condition; its time moves only when its status does.
pub(super) fn set_condition(object: &mut Value, kind: &str, status: &str, reason: &str, message: &str, now: Timestamp) {
    if !object["status"]["conditions"].is_array() {
        object["status"]["conditions"] = json!([]);
    }
    let Some(Value::Array(conditions)) = object.pointer_mut("/status/conditions") else {
        return;
    };
    let same = conditions.iter().position(|c| c["type"] == kind);
    let since = same
        .filter(|i| conditions[*i]["status"] == status)
        .and_then(|i| conditions[i]["lastTransitionTime"].as_str().map(str::to_owned))
        .unwrap_or_else(|| seconds(now));
    let condition = json!({
        "type": kind, "status": status, "lastTransitionTime": since, "reason": reason, "message": message,
    });
    match same {
        Some(i) => conditions[i] = condition,
        None => conditions.push(condition),
    }
}
