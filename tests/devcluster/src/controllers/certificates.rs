//! The certificate issuer: a Secret that asks for a Neo4j cluster's certificate is given one.
//!
//! It stands in for cert-manager: the annotation [`FOR`] names the cluster, the runtime knows the names and addresses that the
//! certificate must have. A Secret that holds a certificate already is left alone.

use std::{sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    Context, Error, meta,
    queue::{self, Queue},
    runtime::Runtime,
    view::{Change, Key, View},
};

/// Names the Neo4j cluster that a Secret wants a certificate for.
pub const FOR: &str = "devcluster.neo4j.com/certificate-for";

/// Runs the issuer until `stop`.
pub(super) async fn run(context: Context, runtime: Arc<dyn Runtime>, stop: CancellationToken) {
    let secrets = Arc::clone(&context.views.secrets);
    let queue = Arc::new(Queue::<Key>::default());
    let to = Arc::clone(&queue);
    secrets.subscribe(move |change| {
        if let Change::Applied { now: secret, .. } = change
            && meta::annotation(*secret, FOR).is_some()
        {
            to.add(Key::of(*secret));
        }
    });
    if stop.run_until_cancelled(secrets.synced()).await.is_some() {
        queue::run(&queue, stop, 1, |key| issue(&context, &secrets, &*runtime, key)).await;
    }
}

async fn issue(
    context: &Context,
    secrets: &View<Secret>,
    runtime: &dyn Runtime,
    key: Key,
) -> Result<Option<Duration>, Error> {
    let Some(secret) = secrets.get(&key).filter(|secret| !meta::is_deleting(&**secret)) else {
        return Ok(None);
    };
    let filled = secret
        .data
        .iter()
        .flatten()
        .any(|(name, value)| name == "tls.crt" && !value.0.is_empty());
    let Some(cluster) = meta::annotation(&*secret, FOR).filter(|_| !filled) else {
        return Ok(None);
    };
    let Some(certificate) = runtime.certificate(&key.namespace, cluster) else {
        let message = format!("no certificate is issued here for cluster {cluster}");
        context.events.warning(&*secret, "IssuerNotReady", message);
        return Ok(None);
    };
    let body = json!({ "data": {
        "ca.crt": BASE64_STANDARD.encode(certificate.ca_crt),
        "tls.crt": BASE64_STANDARD.encode(certificate.tls_crt),
        "tls.key": BASE64_STANDARD.encode(certificate.tls_key),
    } });
    secrets.merge(&*secret, body, true).await?;
    context
        .events
        .normal(&*secret, "Issued", format!("certificate for cluster {cluster}"));
    Ok(None)
}
