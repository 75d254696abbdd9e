//! The three patch formats that name changes: JSON patch, merge patch, strategic merge patch.

use serde_json::Value;

use super::{
    super::{
        kinds::Resource,
        status::Failure,
        strategic::{self, StrategicError},
    },
    Decoded,
};

/// A patch, decoded.
#[derive(Debug, Clone)]
pub(in crate::apiserver) enum Patch {
    /// RFC 6902.
    Json(json_patch::Patch),
    /// RFC 7386.
    Merge(Decoded),
    /// Kubernetes' own, for built-in kinds.
    Strategic(Decoded),
}

/// A JSON patch may have this many operations.
const MAX_OPERATIONS: usize = 10_000;

impl Patch {
    /// Reads a JSON patch.
    pub(in crate::apiserver) fn json(value: Value) -> Result<Self, Failure> {
        if value.is_object() {
            return Err(Failure::bad_request(
                "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
            ));
        }
        // What is a list, but not of operations, is found when it is applied.
        let patch: json_patch::Patch = match serde_json::from_value(value) {
            Ok(patch) => patch,
            Err(_) => return Err(rejected()),
        };
        if patch.0.len() > MAX_OPERATIONS {
            return Err(Failure::too_large(MAX_OPERATIONS));
        }
        Ok(Self::Json(patch))
    }

    /// Duplicate keys of the patch itself.
    pub(super) fn duplicates(&self) -> &[String] {
        match self {
            Self::Json(_) => &[],
            Self::Merge(body) | Self::Strategic(body) => &body.duplicates,
        }
    }

    /// Whether the patch says which version it is for.
    pub(super) fn names_version(&self) -> bool {
        const VERSION: &str = "/metadata/resourceVersion";
        match self {
            Self::Json(patch) => patch.0.iter().any(|operation| {
                matches!(
                    operation,
                    json_patch::PatchOperation::Add(_) | json_patch::PatchOperation::Replace(_)
                ) && operation.path().as_str() == VERSION
            }),
            Self::Merge(body) | Self::Strategic(body) => body.value.pointer(VERSION).is_some_and(|v| !v.is_null()),
        }
    }
}

/// The object with the patch applied.
pub(super) fn apply(resource: &Resource, old: &Value, patch: &Patch) -> Result<Value, Failure> {
    match patch {
        Patch::Json(patch) => {
            let mut new = old.clone();
            for operation in &patch.0 {
                if passes_on_absence(&new, operation) {
                    continue;
                }
                let made = replace_makes(&new, operation);
                let operation = made.as_ref().unwrap_or(operation);
                json_patch::patch(&mut new, std::slice::from_ref(operation)).map_err(|_| rejected())?;
            }
            Ok(new)
        }
        Patch::Merge(body) => {
            if !body.value.is_object() {
                return Err(Failure::bad_request("error decoding patch: not an object"));
            }
            let mut new = old.clone();
            json_patch::merge(&mut new, &body.value);
            Ok(new)
        }
        Patch::Strategic(body) => {
            if !body.value.is_object() {
                return Err(Failure::bad_request("error decoding patch: not an object"));
            }
            strategic::merge(&resource.api_version(), &resource.kind, old, &body.value).map_err(|e| match e {
                StrategicError::BadPatch(message) => Failure::bad_request(message),
                StrategicError::Unsupported(_) => Failure::unsupported_media_type(
                    "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
                ),
            })
        }
    }
}

fn rejected() -> Failure {
    let mut failure = Failure::new(
        http::StatusCode::UNPROCESSABLE_ENTITY,
        "Invalid",
        "the server rejected our request due to an error in our request",
    );
    failure.details = Some(Box::new(serde_json::json!({})));
    failure
}

/// A `replace` makes a member that is absent.
fn replace_makes(object: &Value, operation: &json_patch::PatchOperation) -> Option<json_patch::PatchOperation> {
    let json_patch::PatchOperation::Replace(replace) = operation else {
        return None;
    };
    let (parent, _) = replace.path.as_str().rsplit_once('/')?;
    let made = object.pointer(parent)?.is_object() && object.pointer(replace.path.as_str()).is_none();
    made.then(|| {
        json_patch::PatchOperation::Add(json_patch::AddOperation {
            path: replace.path.clone(),
            value: replace.value.clone(),
        })
    })
}

/// A `test` for null holds where the member is absent: the server takes it so, and clients ask it that way whether a list is there yet.
fn passes_on_absence(object: &Value, operation: &json_patch::PatchOperation) -> bool {
    match operation {
        json_patch::PatchOperation::Test(test) => {
            test.value.is_null() && object.pointer(test.path.as_str()).is_none_or(Value::is_null)
        }
        _ => false,
    }
}
