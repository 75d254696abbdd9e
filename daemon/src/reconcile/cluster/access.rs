//! What a pass needs to get into the servers: the credential, the certificate, and a client made of them.
//!
//! Only data of Secrets is read here, and always from the API server. A Secret that is missing or says nothing usable is
//! no failure but a [`Refusal`]: others have to bring it, and its watch wakes the cluster when they do.

use neo4j_operator_shared::Kind;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    deletion::is_ours,
    desired::Desired,
    memo::Memo,
    names,
    observe::Children,
    pass::Pass,
    render::{self, Credential},
    validate::Refusal,
};
use crate::{
    neo4j::{ClusterClient, Credentials},
    reconcile::{
        EventReason, Failure, Run, manifest,
        target::{self, ClusterIdentity, MemberPod, SecretData, TargetError},
    },
};

/// What was read besides the children.
pub(super) struct Access {
    /// The credential that the servers have.
    pub(super) credential: Credential,
    /// The Secret with it is not there yet.
    pub(super) fresh: bool,
    /// The administrator's Secret says something else.
    pub(super) password_changed: bool,
    /// The data of the Secret with the certificate.
    pub(super) certificate: Option<(String, SecretData)>,
}

impl Pass<'_> {
    /// The credential and the certificate; a refusal where others have to bring something first.
    pub(super) async fn access(
        &self,
        desired: &Desired,
        children: &Children,
        memo: &Memo,
        formed: bool,
        run: &mut Run,
    ) -> Result<Result<Access, Refusal>, Failure> {
        let requests = run.requests().clone();
        let namespace = &*self.key.namespace;
        let known = memo.credential.as_ref().filter(|(version, _)| {
            children
                .operator_auth
                .as_ref()
                .is_some_and(|child| child.live.resource_version == *version)
        });
        let admin = &desired.effective.admin_secret;
        let asked = self.context.cache.secret(namespace, admin, &requests);
        // The administrator's is read where it is needed: for the first credential, and to notice another password.
        let (stored, given) = match known {
            Some((_, credential)) if formed => (Some(credential.clone()), asked.await?),
            Some((_, credential)) => (Some(credential.clone()), None),
            // Nearly always there is none yet, and both are needed.
            None => {
                let (stored, given) = tokio::join!(self.stored(desired, run), asked);
                let stored = match stored? {
                    Ok(stored) => stored,
                    Err(refusal) => return Ok(Err(refusal)),
                };
                let needed = stored.is_none() || formed;
                (stored, if needed { given? } else { None })
            }
        };
        let given = match (given, stored.is_none() || formed) {
            (Some(data), _) => match target::login(admin, &data) {
                Ok(credentials) => Some((credentials, credential(&data))),
                Err(error) => return Ok(Err(auth_refusal(&error))),
            },
            (None, true) => {
                let error = TargetError::AuthSecretMissing(admin.clone());
                return Ok(Err(auth_refusal(&error)));
            }
            (None, false) => None,
        };
        let (credential, fresh) = match (&stored, &given) {
            (Some(stored), _) => (stored.clone(), false),
            (None, Some((_, given))) => (given.clone(), true),
            (None, None) => {
                let error = TargetError::AuthSecretMissing(admin.clone());
                return Ok(Err(auth_refusal(&error)));
            }
        };
        let password_changed = given.as_ref().is_some_and(|(given, _)| {
            stored
                .as_ref()
                .is_some_and(|stored| Credentials::new(&stored.username, &stored.password).version != given.version)
        });
        let certificate = match desired.tls() {
            None => None,
            Some((secret, strictness)) => {
                let data = self.context.cache.secret(namespace, secret, &requests).await?;
                match certificate(secret, data, strictness) {
                    Ok(data) => Some((secret.to_owned(), data)),
                    Err(refusal) => return Ok(Err(refusal)),
                }
            }
        };
        Ok(Ok(Access {
            credential,
            fresh,
            password_changed,
            certificate,
        }))
    }

    /// The credential that an earlier pass stored, or an earlier cluster of this name left behind with its data.
    async fn stored(&self, desired: &Desired, run: &mut Run) -> Result<Result<Option<Credential>, Refusal>, Failure> {
        let requests = run.requests().clone();
        let name = names::operator_auth(&desired.name);
        let namespace = &*self.key.namespace;
        let executor = &self.context.executor;
        let Some(object) = executor.get(Kind::Secret, namespace, &name, &requests).await? else {
            return Ok(Ok(None));
        };
        if !is_ours(&object, &desired.name) {
            let message =
                format!("Secret {namespace}/{name} exists and does not belong to this cluster; rename or delete it");
            return Ok(Err(Refusal::waits(
                "NameConflict",
                Some(EventReason::NameConflict),
                message,
            )));
        }
        let data = decode(&object["data"]);
        Ok(match target::login(&name, &data) {
            Ok(_) => Ok(Some(credential(&data))),
            Err(error) => Err(auth_refusal(&error)),
        })
    }

    /// A client of the servers that could answer; none while no pod is ready.
    pub(super) fn client(
        &self,
        desired: &Desired,
        children: &Children,
        access: &Access,
        run: &Run,
    ) -> Option<ClusterClient> {
        if children.ready() == 0 {
            return None;
        }
        let identity = ClusterIdentity {
            namespace: &desired.namespace,
            name: &desired.name,
            uid: &desired.uid,
        };
        let sets: Vec<&str> = children.sets.values().map(|set| set.child.live.uid.as_str()).collect();
        let pods = children.pods.iter().map(|pod| MemberPod {
            name: &pod.name,
            uid: &pod.uid,
            owner_uid: children
                .sets
                .values()
                .find(|set| set.name == pod.set)
                .map(|set| set.child.live.uid.as_str()),
            ip: pod.ip.as_deref(),
        });
        let registry = &self.context.neo4j;
        let members = target::members(identity, desired.spec(), registry.resolver(), pods, &sets);
        let trust = match &access.certificate {
            Some((secret, data)) => Some(target::trust(secret, data).ok()?),
            None => None,
        };
        let credentials = Credentials::new(&access.credential.username, &access.credential.password);
        let target = target::target(identity, members, credentials, trust);
        Some(registry.cluster(target).for_reconcile(run.id()))
    }
}

impl Access {
    /// Changes with the certificate or its authority; says nothing about the key.
    pub(super) fn certificate_fingerprint(&self) -> Option<String> {
        let (_, data) = self.certificate.as_ref()?;
        let mut digest = Sha256::new();
        for key in ["tls.crt", "ca.crt"] {
            if let Some(bytes) = data.get(key) {
                digest.update(key);
                digest.update(bytes.len().to_le_bytes());
                digest.update(bytes);
            }
        }
        Some(manifest::hex(&digest.finalize()[..10]))
    }
}

fn credential(data: &SecretData) -> Credential {
    let text = |key: &str| data.get(key).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    Credential {
        username: text("username").unwrap_or_else(|| "neo4j".to_owned()),
        password: text("password").unwrap_or_default(),
    }
}

fn decode(data: &Value) -> SecretData {
    use base64::Engine as _;
    data.as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| {
            let bytes = base64::engine::general_purpose::STANDARD.decode(value.as_str()?).ok()?;
            Some((key.clone(), bytes))
        })
        .collect()
}

fn auth_refusal(error: &TargetError) -> Refusal {
    match error {
        TargetError::AuthSecretMissing(_) => Refusal::waits("AuthSecretMissing", None, error.to_string()),
        _ => Refusal::waits(
            "AuthSecretInvalid",
            Some(EventReason::AuthSecretInvalid),
            error.to_string(),
        ),
    }
}

/// The certificate's Secret with everything that the pods will mount.
fn certificate(
    name: &str,
    data: Option<SecretData>,
    strictness: render::conf::Strictness,
) -> Result<SecretData, Refusal> {
    let refuse = |why: String| Err(Refusal::waits("CertificateNotReady", None, why));
    let Some(data) = data else {
        return refuse(format!("Secret {name:?} with the certificate does not exist"));
    };
    let mut needed = vec!["tls.crt", "tls.key"];
    if strictness == render::conf::Strictness::Strict {
        needed.push("ca.crt");
    }
    let missing = needed.into_iter().find(|key| data.get(*key).is_none_or(Vec::is_empty));
    if let Some(key) = missing {
        return refuse(format!("Secret {name:?} has no {key}"));
    }
    if let Err(error) = target::trust(name, &data) {
        return refuse(error.to_string());
    }
    Ok(data)
}
