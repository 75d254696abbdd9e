//! `pods/binding`: a scheduler gives a pod to a node, once.

use serde_json::{Value, json};

use super::{
    super::{clock::seconds, status::Failure},
    Call, Decoded, Registry, Stop, meta,
};

/// How often a binding starts over when others write the pod at the same time.
const ATTEMPTS: usize = 100;

impl Registry {
    /// Binds a pod to the node that the body names. The answer is a Status.
    pub(in crate::apiserver) async fn bind(&self, call: &Call, body: &Decoded) -> Result<Value, Stop> {
        let node = body.value["target"]["name"].as_str().unwrap_or_default();
        if node.is_empty() {
            return Err(Failure::bad_request("a Binding needs target.name").into());
        }
        for _ in 0..ATTEMPTS {
            let seen = self.store.get(&call.key()).ok_or_else(|| call.missing())?;
            let refuse = |why: String| Err(Failure::conflict("", "pods/binding", &call.name, &why).into());
            let (uid, wanted) = (meta::text(&seen.value, "uid"), meta::text(&body.value, "uid"));
            if !wanted.is_empty() && wanted != uid {
                return refuse(format!(
                    "Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid}"
                ));
            }
            if meta::is_terminating(&seen.value) {
                return refuse(format!(
                    "pod {} is being deleted, cannot be assigned to a host",
                    call.name
                ));
            }
            if let Some(assigned) = seen.value["spec"]["nodeName"].as_str().filter(|n| !n.is_empty()) {
                return refuse(format!("pod {} is already assigned to node {assigned:?}", call.name));
            }
            let mut new = seen.value.clone();
            new["spec"]["nodeName"] = json!(node);
            let scheduled = json!({
                "type": "PodScheduled", "status": "True", "lastProbeTime": null,
                "lastTransitionTime": seconds(self.clock.now()),
            });
            match new.pointer_mut("/status/conditions").and_then(Value::as_array_mut) {
                Some(conditions) => {
                    conditions.retain(|c| c["type"] != "PodScheduled");
                    conditions.push(scheduled);
                }
                None => new["status"]["conditions"] = json!([scheduled]),
            }
            if !call.dry_run {
                self.before_commit(call).await?;
                if self.store.update(&seen, new).is_err() {
                    continue;
                }
                self.after_commit(call).await?;
            }
            return Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}));
        }
        Err(Failure::internal("the object changed at every attempt").into())
    }
}
