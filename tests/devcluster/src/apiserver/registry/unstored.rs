//! Bodies of what is asked and not stored: reviews, and what some subresources take.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    super::{smd, status::Failure},
    Call, Decoded, Registry, meta, present, write,
};

impl Registry {
    /// The body of a review: checked, complete and owned as that of an object would be, with its warnings.
    pub(in crate::apiserver) fn unstored(&self, call: &Call, body: Decoded) -> Result<(Value, Vec<String>), Failure> {
        let (mut value, warnings) = write::accept(call, body)?;
        for field in [
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ] {
            meta::set(&mut value, field, Value::Null);
        }
        self.own(call, &mut value);
        Ok((value, warnings))
    }

    /// The same of a subresource that takes another kind than its resource; it keeps the uid that it names.
    pub(in crate::apiserver) fn subresource_body(
        &self,
        call: &Call,
        kind: &str,
        body: Decoded,
    ) -> Result<(Value, Vec<String>), Failure> {
        let catalog = self.catalog();
        let resource = catalog.body(kind).ok_or_else(Failure::unknown_resource)?;
        let call = Call {
            resource: Arc::clone(resource),
            ..call.clone()
        };
        let (mut value, warnings) = write::accept(&call, body)?;
        self.own(&call, &mut value);
        Ok((value, warnings))
    }

    fn own(&self, call: &Call, value: &mut Value) {
        present::normalize(&call.resource, value);
        meta::set(value, "managedFields", json!(null));
        let api_version = call.resource.api_version();
        smd::track_update(None, value, self.writer(call, &api_version), &call.resource.types);
    }
}
