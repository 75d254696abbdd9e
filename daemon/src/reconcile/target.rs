//! How a cluster is reached: from what was observed of it to a [`ClusterTarget`]. One function for all kinds.
//!
//! Members are pods that a StatefulSet of the cluster owns by uid; their hosts are built here or come from
//! their own status (N22). The login is the credential that is known to work, else the administrator's
//! Secret; trust is `ca.crt`, else the server certificate alone, else an error (N28). What could not be read
//! is an error and never an empty list.

use std::{collections::BTreeMap, sync::Arc};

use neo4j_operator_crds::{
    Neo4jEnterpriseCluster,
    cluster::{Neo4jEnterpriseClusterSpec, effective::TlsSource},
};

use super::{Context, ErrorType, Failure, MANAGER, Requests};
use crate::{
    cache::{Custom, Meta, PodView, ReadError, SecretMeta, Select, StatefulSetView},
    neo4j::{BoltError, ClusterTarget, Credentials, EndpointResolver, Member, TlsTrust},
};

/// Label with the name of the cluster, on its StatefulSets and pods.
pub(crate) const CLUSTER_LABEL: &str = "neo4j.com/cluster";

/// The data of a Secret.
pub type SecretData = BTreeMap<String, Vec<u8>>;

/// Why a cluster cannot be reached, apart from what its servers say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// There is no such cluster.
    #[error("there is no Neo4jEnterpriseCluster {0:?} in this namespace")]
    ClusterNotFound(String),
    /// It is being deleted.
    #[error("Neo4jEnterpriseCluster {0:?} is being deleted")]
    ClusterDeleting(String),
    /// It cannot be used yet.
    #[error("{0}")]
    NotReady(String),
    /// The administrator's Secret is missing.
    #[error("Secret {0:?} with the administrator's login does not exist")]
    AuthSecretMissing(String),
    /// The administrator's Secret cannot be used.
    #[error("Secret {name:?}: {why}")]
    AuthSecretInvalid {
        /// The Secret.
        name: String,
        /// What is wrong; never a value.
        why: String,
    },
    /// The certificate is missing or cannot be used.
    #[error("Secret {name:?}: {why}")]
    Certificate {
        /// The Secret.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// Kubernetes did not answer: nothing is known.
    #[error("{0}")]
    Unreadable(String, ErrorType),
}

impl From<ReadError> for TargetError {
    fn from(error: ReadError) -> Self {
        Self::Unreadable(error.to_string(), error.category())
    }
}

impl From<TargetError> for Failure {
    fn from(error: TargetError) -> Self {
        let category = match &error {
            TargetError::ClusterNotFound(_) | TargetError::AuthSecretMissing(_) => ErrorType::NotFound,
            TargetError::ClusterDeleting(_) | TargetError::NotReady(_) => ErrorType::BoltConnect,
            TargetError::AuthSecretInvalid { .. } | TargetError::Certificate { .. } => ErrorType::Validation,
            TargetError::Unreadable(_, category) => *category,
        };
        Self::new(category, error.to_string())
    }
}

/// A cluster by name and uid.
#[derive(Clone, Copy, Debug)]
pub struct ClusterIdentity<'a> {
    /// Namespace.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
    /// Uid.
    pub uid: &'a str,
}

/// A pod as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub struct MemberPod<'a> {
    /// Name.
    pub name: &'a str,
    /// Uid.
    pub uid: &'a str,
    /// Uid of its controller owner.
    pub owner_uid: Option<&'a str>,
    /// Address in its status.
    pub ip: Option<&'a str>,
}

/// The members among `pods`: those that one of these StatefulSets owns.
pub fn members<'a>(
    cluster: ClusterIdentity<'_>,
    spec: &Neo4jEnterpriseClusterSpec,
    resolver: &EndpointResolver,
    pods: impl IntoIterator<Item = MemberPod<'a>>,
    stateful_set_uids: &[&str],
) -> Vec<Member> {
    let domain = spec.cluster_domain.as_deref().unwrap_or(resolver.cluster_domain());
    let service = format!("{}-headless", cluster.name);
    let mut members: Vec<_> = pods
        .into_iter()
        .filter(|pod| pod.owner_uid.is_some_and(|owner| stateful_set_uids.contains(&owner)))
        .map(|pod| Member {
            pod: pod.name.into(),
            pod_uid: pod.uid.into(),
            host: EndpointResolver::dns_name(pod.name, &service, cluster.namespace, domain).into(),
            ip: pod.ip.map(Into::into),
        })
        .collect();
    members.sort_by(|one, other| one.pod.cmp(&other.pod));
    members
}

/// The Secret with the last credential that was seen working.
pub fn operator_auth_secret(cluster: &str) -> String {
    format!("{cluster}-operator-auth")
}

/// The login in a Secret (V12). What is wrong is said without any value.
pub fn login(name: &str, data: &SecretData) -> Result<Credentials, TargetError> {
    let invalid = |why: &str| TargetError::AuthSecretInvalid {
        name: name.to_owned(),
        why: why.to_owned(),
    };
    let text = |key: &str| match data.get(key).map(|bytes| std::str::from_utf8(bytes)) {
        Some(Ok(text)) => Ok(Some(text)),
        Some(Err(_)) => Err(invalid(&format!("{key} is not UTF-8"))),
        None => Ok(None),
    };
    let user = text("username")?.unwrap_or("neo4j");
    if user != "neo4j" {
        return Err(invalid("username must be neo4j"));
    }
    let password = text("password")?.ok_or_else(|| invalid("it has no key password"))?;
    if password.chars().count() < 8 {
        return Err(invalid("the password is shorter than 8 characters"));
    }
    if password.starts_with('-') {
        return Err(invalid("the password begins with -"));
    }
    if password.contains(['/', '\r', '\n']) {
        return Err(invalid("the password contains a slash or a line break"));
    }
    Ok(Credentials::new(user, password))
}

/// The Secret with the servers' certificate, where the cluster encrypts.
pub fn certificate_secret(cluster: &str, spec: &Neo4jEnterpriseClusterSpec) -> Option<String> {
    match spec.tls_source() {
        TlsSource::Disabled => None,
        TlsSource::Secret(name) => Some(name),
        TlsSource::CertManager => Some(format!("{cluster}-tls-secret")),
    }
}

/// What the operator trusts: the authority, else the server's own certificate as the only root.
pub fn trust(name: &str, data: &SecretData) -> Result<TlsTrust, TargetError> {
    let invalid = |why: &str| TargetError::Certificate {
        name: name.to_owned(),
        why: why.to_owned(),
    };
    let key = ["ca.crt", "tls.crt"]
        .into_iter()
        .find(|key| data.get(*key).is_some_and(|pem| !pem.is_empty()))
        .ok_or_else(|| invalid("it has neither ca.crt nor tls.crt"))?;
    let pem = std::str::from_utf8(&data[key]).map_err(|_| invalid(&format!("{key} is not PEM")))?;
    let trust = TlsTrust { ca_pem: pem.into() };
    trust
        .check()
        .map_err(|error: BoltError| invalid(&format!("{key}: {}", error.message)))?;
    Ok(trust)
}

/// Puts together what was observed.
pub fn target(
    cluster: ClusterIdentity<'_>,
    members: Vec<Member>,
    credentials: Credentials,
    tls: Option<TlsTrust>,
) -> ClusterTarget {
    ClusterTarget {
        cluster: format!("{}/{}", cluster.namespace, cluster.name).into(),
        uid: Arc::from(cluster.uid),
        members,
        tls,
        credentials,
    }
}

/// Reads what is needed and puts it together: for kinds that belong to a cluster. The cluster's own
/// reconciler has read most of it already and calls the parts.
pub async fn observe(
    context: &Context,
    cluster: &Custom<Neo4jEnterpriseCluster>,
    requests: &Requests,
) -> Result<ClusterTarget, TargetError> {
    let meta = &cluster.meta;
    let (namespace, name) = (meta.namespace(), meta.name());
    let object = cluster.object.as_ref().map_err(|error| {
        TargetError::NotReady(format!("Neo4jEnterpriseCluster {name:?} cannot be decoded: {error}"))
    })?;
    let identity = ClusterIdentity {
        namespace,
        name,
        uid: &meta.uid().to_string(),
    };
    let labels = vec![(CLUSTER_LABEL.to_owned(), name.to_owned())];
    let owned = Select::Owner {
        uid: meta.uid(),
        labels: labels.clone(),
    };
    let labelled = Select::Labels(labels);
    let (sets, pods, credentials, tls) = futures::try_join!(
        async {
            Ok(context
                .cache
                .list::<StatefulSetView>(namespace, &owned, requests)
                .await?)
        },
        async { Ok(context.cache.list::<PodView>(namespace, &labelled, requests).await?) },
        async {
            let secret = operator_auth_secret(name);
            let known_good = context.cache.get::<SecretMeta>(namespace, &secret, requests).await?;
            let known_good = known_good.as_ref().map(|secret| &secret.metadata);
            observe_login(context, identity, &object.spec, known_good, requests).await
        },
        observe_trust(context, identity, &object.spec, requests),
    )?;
    let sets: Vec<String> = sets.iter().map(|set| set.metadata.uid().to_string()).collect();
    let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
    let texts = pods.iter().map(|pod| {
        let owner = pod.metadata.owner().map(|owner| owner.uid.to_string());
        (pod.metadata.uid().to_string(), owner, pod.ip.map(|ip| ip.to_string()))
    });
    let texts: Vec<_> = texts.collect();
    let pods = pods.iter().zip(&texts).map(|(pod, (uid, owner_uid, ip))| MemberPod {
        name: pod.metadata.name(),
        uid,
        owner_uid: owner_uid.as_deref(),
        ip: ip.as_deref(),
    });
    let members = members(identity, &object.spec, context.neo4j.resolver(), pods, &sets);
    Ok(target(identity, members, credentials, tls))
}

/// The login that was seen working, else the administrator's. `known_good` is the Secret C-operator-auth, if
/// there is one. A Secret that did not change is not read again.
pub async fn observe_login(
    context: &Context,
    cluster: ClusterIdentity<'_>,
    spec: &Neo4jEnterpriseClusterSpec,
    known_good: Option<&Meta>,
    requests: &Requests,
) -> Result<Credentials, TargetError> {
    // A Secret of that name that somebody else made says nothing about the servers' password.
    let ours = known_good.filter(|secret| {
        let labels = secret.labels();
        labels.has("app.kubernetes.io/managed-by", MANAGER) && labels.has(CLUSTER_LABEL, cluster.name)
    });
    if let Some(secret) = ours
        && let Some(credentials) = login_of(context, cluster, secret, requests).await?
    {
        return Ok(credentials);
    }
    let admin = spec.admin_secret();
    let missing = || TargetError::AuthSecretMissing(admin.to_owned());
    let secret = context
        .cache
        .get::<SecretMeta>(cluster.namespace, admin, requests)
        .await?;
    let secret = secret.ok_or_else(missing)?;
    login_of(context, cluster, &secret.metadata, requests)
        .await?
        .ok_or_else(missing)
}

async fn login_of(
    context: &Context,
    cluster: ClusterIdentity<'_>,
    secret: &Meta,
    requests: &Requests,
) -> Result<Option<Credentials>, TargetError> {
    let keyring = context.neo4j.keyring();
    let (name, version) = (secret.name(), secret.resource_version().to_string());
    if let Some(known) = keyring.login(cluster.uid, name, &version) {
        return Ok(Some(known));
    }
    let Some(data) = context.cache.secret(cluster.namespace, name, requests).await? else {
        return Ok(None);
    };
    let credentials = login(name, &data)?;
    keyring.keep_login(cluster.uid, name, &version, credentials.clone());
    Ok(Some(credentials))
}

/// What the servers' certificates are checked against; `None` where the cluster does not encrypt.
pub async fn observe_trust(
    context: &Context,
    cluster: ClusterIdentity<'_>,
    spec: &Neo4jEnterpriseClusterSpec,
    requests: &Requests,
) -> Result<Option<TlsTrust>, TargetError> {
    let Some(name) = certificate_secret(cluster.name, spec) else {
        return Ok(None);
    };
    let missing = || TargetError::Certificate {
        name: name.clone(),
        why: "it does not exist".to_owned(),
    };
    let secret = context
        .cache
        .get::<SecretMeta>(cluster.namespace, &name, requests)
        .await?;
    let version = &secret.ok_or_else(missing)?.metadata.resource_version().to_string();
    let keyring = context.neo4j.keyring();
    if let Some(known) = keyring.trust(cluster.uid, &name, version) {
        return Ok(Some(known));
    }
    let data = context.cache.secret(cluster.namespace, &name, requests).await?;
    let trust = trust(&name, &data.ok_or_else(missing)?)?;
    keyring.keep_trust(cluster.uid, &name, version, trust.clone());
    Ok(Some(trust))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(pairs: &[(&str, &str)]) -> SecretData {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()))
            .collect()
    }

    #[test]
    fn only_pods_of_the_clusters_own_stateful_sets_are_members() {
        let pod = |name, owner_uid| MemberPod {
            name,
            uid: name,
            owner_uid,
            ip: Some("10.0.0.1"),
        };
        let identity = ClusterIdentity {
            namespace: "n",
            name: "c",
            uid: "u",
        };
        let resolver = EndpointResolver::Dns {
            cluster_domain: "cluster.local".into(),
        };
        let pods = [
            pod("c-server-1", Some("set")),
            pod("c-server-0", Some("set")),
            pod("c-server-2", Some("another")),
            pod("c-server-3", None),
        ];
        let members = members(
            identity,
            &Neo4jEnterpriseClusterSpec::default(),
            &resolver,
            pods,
            &["set"],
        );
        let hosts: Vec<_> = members.iter().map(|member| &*member.host).collect();
        assert_eq!(
            hosts,
            [
                "c-server-0.c-headless.n.svc.cluster.local",
                "c-server-1.c-headless.n.svc.cluster.local"
            ]
        );
    }

    #[test]
    fn a_login_that_would_hurt_later_is_refused_without_showing_it() {
        let cases = [
            (secret(&[("username", "neo4j")]), "it has no key password"),
            (
                secret(&[("username", "admin"), ("password", "long-enough")]),
                "username must be neo4j",
            ),
            (
                secret(&[("password", "short")]),
                "the password is shorter than 8 characters",
            ),
            (secret(&[("password", "-xxxxxxxxx")]), "the password begins with -"),
            (
                secret(&[("password", "canary/canary")]),
                "the password contains a slash or a line break",
            ),
        ];
        for (data, expected) in cases {
            let error = login("admin", &data).unwrap_err();
            assert_eq!(error.to_string(), format!("Secret \"admin\": {expected}"));
        }
        assert!(login("admin", &secret(&[("password", "long-enough")])).is_ok());
    }

    #[test]
    fn trust_fails_closed() {
        assert!(trust("t", &secret(&[])).is_err());
        let error = trust("t", &secret(&[("ca.crt", "garbage")])).unwrap_err();
        assert!(error.to_string().contains("ca.crt"), "{error}");
    }
}
