//! What a Neo4j pod's process finds when it starts: environment, configuration, certificate, volume.
//!
//! Everything comes from the API, as the kubelet would mount it. The start script itself is not run: its contract (operator-api.md
//! CF4) is carried out here — the pod's own addresses, and the constraint of its ordinal.

use std::{collections::BTreeMap, fmt::Write as _};

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVar, PersistentVolumeClaim, Pod, Secret};
use kube::{Api, Client};

use super::{conf, model::Boot};
use crate::controllers::runtime::StartError;

/// Label with the name of the Neo4j cluster.
pub const CLUSTER: &str = "neo4j.com/cluster";
/// Label with the pool: server, primary, secondary.
pub const POOL: &str = "neo4j.com/server-name";
/// Label of those that run a database.
pub const MEMBER: &str = "neo4j.com/clustering";
/// Label of backup pods.
pub const BACKUP: &str = "neo4j.com/backup";

/// What a pod is, by its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A Neo4j server of this cluster and pool.
    Server {
        /// `namespace/name`.
        cluster: String,
        /// The pool.
        pool: String,
    },
    /// A backup of this cluster.
    Backup {
        /// `namespace/name`.
        cluster: String,
    },
    /// Nothing of ours.
    Other,
}

impl Kind {
    /// Looks at a pod's labels.
    pub fn of(pod: &Pod) -> Self {
        let label = |key: &str| pod.metadata.labels.as_ref().and_then(|labels| labels.get(key));
        let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
        let Some(cluster) = label(CLUSTER).map(|name| format!("{namespace}/{name}")) else {
            return Self::Other;
        };
        if label(BACKUP).is_some() {
            return Self::Backup { cluster };
        }
        match (label(POOL), label(MEMBER).is_some_and(|member| member == "true")) {
            (Some(pool), true) => Self::Server {
                cluster,
                pool: pool.clone(),
            },
            _ => Self::Other,
        }
    }
}

/// Certificate and key of a server.
pub struct Certificate {
    /// The certificate, PEM.
    pub certificate: Vec<u8>,
    /// Its key, PEM.
    pub key: Vec<u8>,
}

/// What the process of a server pod starts with.
pub struct Server {
    /// How the model boots it.
    pub boot: Boot,
    /// Name of the claim that the volume is bound by.
    pub claim: Option<String>,
    /// What Bolt serves TLS with, where it must.
    pub tls: Option<Certificate>,
}

/// Why a process does not come up.
pub enum Failed {
    /// The kubelet cannot start it yet.
    Start(StartError),
    /// It starts and ends with this message.
    Exit(String),
}

impl From<StartError> for Failed {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

/// Reads the objects that a pod names.
pub struct Reader<'a> {
    client: &'a Client,
    pod: &'a Pod,
    namespace: &'a str,
}

impl<'a> Reader<'a> {
    /// For this pod.
    pub fn new(client: &'a Client, pod: &'a Pod) -> Self {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
        Self { client, pod, namespace }
    }

    /// What a server starts with; or why it cannot, or ends at once.
    pub async fn server(&self) -> Result<Server, Failed> {
        let container = self.container()?;
        let image = container.image.as_deref().unwrap_or_default();
        let version = version_of(image);
        let environment = self.environment(container).await?;
        let licensed = environment
            .get("NEO4J_ACCEPT_LICENSE_AGREEMENT")
            .is_some_and(|value| value == "yes" || value == "eval");
        let enterprise = image.contains("enterprise")
            || environment
                .get("NEO4J_EDITION")
                .is_some_and(|edition| edition == "enterprise");
        if enterprise && !licensed {
            return Err(Failed::Exit(
                "In order to use Neo4j Enterprise Edition you must accept the license agreement. \
                 Set NEO4J_ACCEPT_LICENSE_AGREEMENT to yes or eval."
                    .to_owned(),
            ));
        }
        let calendar = !version.starts_with("5.");
        let settings = self.settings(&environment, calendar).await?;
        conf::check(&settings, calendar).map_err(|error| Failed::Exit(error.to_string()))?;
        let auth = environment.get("NEO4J_AUTH").map(String::as_str);
        let initial_password = auth
            .and_then(|auth| auth.split_once('/'))
            .map(|(_, password)| password.to_owned());
        if let Some(password) = &initial_password
            && (password == "neo4j" || password.chars().count() < 8)
        {
            return Err(Failed::Exit(
                "Invalid value for password. It must have at least 8 characters and cannot be 'neo4j'.".to_owned(),
            ));
        }
        let auth_disabled = auth == Some("none")
            || settings
                .get("dbms.security.auth_enabled")
                .is_some_and(|value| value == "false");
        let (volume, claim) = self.volume().await?;
        let tls = self.tls(&settings).await?;
        Ok(Server {
            boot: Boot {
                volume,
                pod: self.pod.metadata.name.clone().unwrap_or_default(),
                host: settings
                    .get("server.default_advertised_address")
                    .cloned()
                    .unwrap_or_default(),
                version,
                settings,
                initial_password,
                auth_disabled,
            },
            claim,
            tls,
        })
    }

    fn container(&self) -> Result<&Container, StartError> {
        let spec = self.pod.spec.as_ref();
        spec.and_then(|spec| spec.containers.first())
            .ok_or_else(|| missing("the pod has no container"))
    }

    /// neo4j.conf, what the start script appends, and the environment over it.
    async fn settings(
        &self,
        environment: &BTreeMap<String, String>,
        calendar: bool,
    ) -> Result<BTreeMap<String, String>, Failed> {
        let mut text = self.file("neo4j.conf").await?.unwrap_or_default();
        let host = self.host(environment);
        for (key, port) in [
            ("server.default_advertised_address", ""),
            ("server.cluster.advertised_address", ":6000"),
            ("server.routing.advertised_address", ":7688"),
            ("server.cluster.raft.advertised_address", ":7000"),
        ] {
            let _ = write!(text, "\n{key}={host}{port}");
        }
        if let Some(roles) = self.file("roles").await? {
            let ordinal = self
                .pod
                .metadata
                .name
                .as_deref()
                .and_then(|name| name.rsplit('-').next());
            let mode = |key: &str| roles.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            let mode = ordinal.and_then(mode).or_else(|| mode("default")).unwrap_or("NONE");
            let _ = write!(text, "\ninitial.server.mode_constraint={mode}");
        }
        let mut settings = conf::read(&text, calendar).map_err(|error| Failed::Exit(error.to_string()))?;
        settings.extend(conf::from_environment(environment));
        Ok(settings)
    }

    fn host(&self, environment: &BTreeMap<String, String>) -> String {
        let name = self.pod.metadata.name.as_deref().unwrap_or_default();
        let subdomain = self.pod.spec.as_ref().and_then(|spec| spec.subdomain.as_deref());
        let service = environment
            .get("HEADLESS_SERVICE")
            .map(String::as_str)
            .or(subdomain)
            .unwrap_or_default();
        let domain = environment
            .get("CLUSTER_DOMAIN")
            .map_or("cluster.local", String::as_str);
        format!("{name}.{service}.{}.svc.{domain}", self.namespace)
    }

    /// A file of a mounted ConfigMap: by the path of an item, or by its key where all keys are mounted.
    async fn file(&self, name: &str) -> Result<Option<String>, StartError> {
        let volumes = self.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        for source in volumes.filter_map(|volume| volume.config_map.as_ref()) {
            let key = match &source.items {
                None => name,
                Some(items) => match items.iter().find(|item| item.path == name) {
                    Some(item) => item.key.as_str(),
                    None => continue,
                },
            };
            let map: ConfigMap = self.get(&source.name).await?;
            if let Some(text) = map.data.and_then(|mut data| data.remove(key)) {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// Certificate and key, where Bolt must be encrypted.
    async fn tls(&self, settings: &BTreeMap<String, String>) -> Result<Option<Certificate>, Failed> {
        if !settings
            .get("server.bolt.tls_level")
            .is_some_and(|level| level.eq_ignore_ascii_case("REQUIRED"))
        {
            return Ok(None);
        }
        let volumes = self.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        for source in volumes.filter_map(|volume| volume.secret.as_ref()) {
            let Some(name) = &source.secret_name else { continue };
            let secret: Secret = self.get(name).await?;
            let mut data = secret.data.unwrap_or_default();
            if let (Some(certificate), Some(key)) = (data.remove("tls.crt"), data.remove("tls.key")) {
                return Ok(Some(Certificate {
                    certificate: certificate.0,
                    key: key.0,
                }));
            }
        }
        Err(Failed::Exit(
            "Failed to load SSL policy 'bolt': the certificate /ssl/tls.crt or its key does not exist.".to_owned(),
        ))
    }

    /// The uid of the data volume's claim, and the claim's name. A pod without a claim has a volume of its own.
    pub async fn volume(&self) -> Result<(String, Option<String>), StartError> {
        let volumes = self.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        let mut claims = volumes.filter_map(|volume| {
            let claim = volume.persistent_volume_claim.as_ref()?;
            Some((volume.name == "data", claim.claim_name.as_str()))
        });
        // The volume called data, or the first claim there is.
        let claim = claims
            .clone()
            .find(|(data, _)| *data)
            .or_else(|| claims.next())
            .map(|(_, claim)| claim);
        let Some(claim) = claim else {
            return Ok((self.pod.metadata.uid.clone().unwrap_or_default(), None));
        };
        let object: PersistentVolumeClaim = self.get(claim).await?;
        Ok((object.metadata.uid.unwrap_or_default(), Some(claim.to_owned())))
    }

    async fn environment(&self, container: &Container) -> Result<BTreeMap<String, String>, StartError> {
        let mut environment = BTreeMap::new();
        for source in container.env_from.iter().flatten() {
            let prefix = source.prefix.as_deref().unwrap_or_default();
            if let Some(from) = &source.config_map_ref {
                let map: Option<ConfigMap> = self.get_optional(&from.name, from.optional).await?;
                let data = map.and_then(|map| map.data).unwrap_or_default();
                environment.extend(data.into_iter().map(|(key, value)| (format!("{prefix}{key}"), value)));
            }
            if let Some(from) = &source.secret_ref {
                let secret: Option<Secret> = self.get_optional(&from.name, from.optional).await?;
                let data = secret.and_then(|secret| secret.data).unwrap_or_default();
                let texts = data
                    .into_iter()
                    .filter_map(|(key, value)| Some((key, String::from_utf8(value.0).ok()?)));
                environment.extend(texts.map(|(key, value)| (format!("{prefix}{key}"), value)));
            }
        }
        for variable in container.env.iter().flatten() {
            if let Some(value) = self.variable(variable).await? {
                environment.insert(variable.name.clone(), value);
            }
        }
        Ok(environment)
    }

    async fn variable(&self, variable: &EnvVar) -> Result<Option<String>, StartError> {
        let Some(source) = &variable.value_from else {
            return Ok(Some(variable.value.clone().unwrap_or_default()));
        };
        if let Some(field) = &source.field_ref {
            let metadata = &self.pod.metadata;
            let status = self.pod.status.as_ref();
            return Ok(match field.field_path.as_str() {
                "metadata.name" => metadata.name.clone(),
                "metadata.namespace" => Some(self.namespace.to_owned()),
                "metadata.uid" => metadata.uid.clone(),
                "status.podIP" => status.and_then(|status| status.pod_ip.clone()),
                _ => None,
            });
        }
        if let Some(key) = &source.secret_key_ref {
            let secret: Option<Secret> = self.get_optional(&key.name, key.optional).await?;
            let value = secret.and_then(|secret| secret.data?.remove(&key.key));
            return match value.and_then(|value| String::from_utf8(value.0).ok()) {
                None if key.optional != Some(true) => Err(missing(&format!(
                    "couldn't find key {} in Secret {}/{}",
                    key.key, self.namespace, key.name
                ))),
                value => Ok(value),
            };
        }
        if let Some(key) = &source.config_map_key_ref {
            let map: Option<ConfigMap> = self.get_optional(&key.name, key.optional).await?;
            return Ok(map.and_then(|map| map.data?.remove(&key.key)));
        }
        Ok(None)
    }

    async fn get<K>(&self, name: &str) -> Result<K, StartError>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + serde::de::DeserializeOwned
            + Clone
            + std::fmt::Debug,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), self.namespace);
        api.get(name).await.map_err(|error| missing(&error.to_string()))
    }

    async fn get_optional<K>(&self, name: &str, optional: Option<bool>) -> Result<Option<K>, StartError>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + serde::de::DeserializeOwned
            + Clone
            + std::fmt::Debug,
    {
        match self.get(name).await {
            Ok(object) => Ok(Some(object)),
            Err(_) if optional == Some(true) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn missing(message: &str) -> StartError {
    StartError {
        reason: "CreateContainerConfigError".to_owned(),
        message: message.to_owned(),
    }
}

/// The version in an image's tag: `neo4j:5.26.0-enterprise` is 5.26.0.
fn version_of(image: &str) -> String {
    let tag = image
        .rsplit('/')
        .next()
        .and_then(|last| last.split_once(':'))
        .map_or("", |(_, tag)| tag);
    let version = tag.split(['-', '@']).next().unwrap_or_default();
    if version.starts_with(|c: char| c.is_ascii_digit()) {
        version.to_owned()
    } else {
        "2025.04.0".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_told_by_its_labels_and_its_version_by_its_tag() {
        let pod = |labels: &[(&str, &str)]| Pod {
            metadata: kube::api::ObjectMeta {
                namespace: Some("ns".into()),
                labels: Some(
                    labels
                        .iter()
                        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                        .collect(),
                ),
                ..Default::default()
            },
            ..Default::default()
        };
        let server = pod(&[(CLUSTER, "c"), (POOL, "primary"), (MEMBER, "true")]);
        assert_eq!(
            Kind::of(&server),
            Kind::Server {
                cluster: "ns/c".into(),
                pool: "primary".into()
            }
        );
        assert_eq!(
            Kind::of(&pod(&[(CLUSTER, "c"), (BACKUP, "b")])),
            Kind::Backup { cluster: "ns/c".into() }
        );
        assert_eq!(Kind::of(&pod(&[("app", "x")])), Kind::Other);
        assert_eq!(version_of("registry:5000/neo4j:5.26.3-enterprise"), "5.26.3");
        assert_eq!(version_of("neo4j:2025.08.0-enterprise@sha256:abc"), "2025.08.0");
    }
}
