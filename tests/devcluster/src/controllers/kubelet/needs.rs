//! What must exist before a pod's containers can start: Secrets, ConfigMaps and bound claims.
//!
//! The two ways of lacking something look different, as on a real node: what a *volume* shows keeps the container in `ContainerCreating`
//! with a `FailedMount` event; what an *environment variable* reads makes it `CreateContainerConfigError`.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret, Volume};
use kube::{Api, Client};

use crate::controllers::{Error, meta, runtime::StartError, view::within};

/// Where a reference comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum By {
    Volume,
    Environment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Secret,
    ConfigMap,
}

impl Source {
    fn word(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::ConfigMap => "configmap",
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        }
    }
}

/// The objects a pod needs and, of each, the keys.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Needs(BTreeMap<(By, Source, String), BTreeSet<String>>);

impl Needs {
    /// What `pod` refers to and does not call optional.
    pub(super) fn of(pod: &Pod) -> Self {
        let mut needs = Self::default();
        let Some(spec) = &pod.spec else { return needs };
        for volume in spec.volumes.iter().flatten() {
            needs.add_volume(volume);
        }
        for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
            needs.add_environment(container);
        }
        needs
    }

    fn add(
        &mut self,
        by: By,
        source: Source,
        name: &str,
        optional: Option<bool>,
        keys: impl IntoIterator<Item = String>,
    ) {
        if optional != Some(true) && !name.is_empty() {
            self.0.entry((by, source, name.to_owned())).or_default().extend(keys);
        }
    }

    fn add_volume(&mut self, volume: &Volume) {
        let by = By::Volume;
        if let Some(secret) = &volume.secret {
            let keys = secret.items.iter().flatten().map(|item| item.key.clone());
            let name = secret.secret_name.as_deref().unwrap_or_default();
            self.add(by, Source::Secret, name, secret.optional, keys);
        }
        if let Some(map) = &volume.config_map {
            let keys = map.items.iter().flatten().map(|item| item.key.clone());
            self.add(by, Source::ConfigMap, &map.name, map.optional, keys);
        }
        for source in volume
            .projected
            .iter()
            .flat_map(|projected| projected.sources.iter().flatten())
        {
            if let Some(secret) = &source.secret {
                let keys = secret.items.iter().flatten().map(|item| item.key.clone());
                self.add(by, Source::Secret, &secret.name, secret.optional, keys);
            }
            if let Some(map) = &source.config_map {
                let keys = map.items.iter().flatten().map(|item| item.key.clone());
                self.add(by, Source::ConfigMap, &map.name, map.optional, keys);
            }
        }
    }

    fn add_environment(&mut self, container: &Container) {
        let by = By::Environment;
        for from in container.env_from.iter().flatten() {
            if let Some(secret) = &from.secret_ref {
                self.add(by, Source::Secret, &secret.name, secret.optional, []);
            }
            if let Some(map) = &from.config_map_ref {
                self.add(by, Source::ConfigMap, &map.name, map.optional, []);
            }
        }
        for value in container
            .env
            .iter()
            .flatten()
            .filter_map(|variable| variable.value_from.as_ref())
        {
            if let Some(secret) = &value.secret_key_ref {
                self.add(by, Source::Secret, &secret.name, secret.optional, [secret.key.clone()]);
            }
            if let Some(map) = &value.config_map_key_ref {
                self.add(by, Source::ConfigMap, &map.name, map.optional, [map.key.clone()]);
            }
        }
    }

    /// The first thing that is lacking, volumes before variables.
    pub(super) async fn first_lack(&self, client: &Client, pod: &Pod) -> Result<Option<StartError>, Error> {
        let namespace = meta::namespace(pod);
        for ((by, source, name), wanted) in &self.0 {
            let has = match source {
                Source::Secret => secret_keys(client, namespace, name).await?,
                Source::ConfigMap => config_map_keys(client, namespace, name).await?,
            };
            if let Some(lack) = lack(*by, *source, namespace, name, wanted, has.as_ref()) {
                return Ok(Some(lack));
            }
        }
        Ok(None)
    }
}

fn lack(
    by: By,
    source: Source,
    namespace: &str,
    name: &str,
    wanted: &BTreeSet<String>,
    has: Option<&BTreeSet<String>>,
) -> Option<StartError> {
    let message = match has {
        None => format!("{} \"{name}\" not found", source.word()),
        Some(has) => {
            let key = wanted.iter().find(|key| !has.contains(*key))?;
            match by {
                By::Volume => format!("references non-existent {} key: {key}", source.word()),
                By::Environment => format!("couldn't find key {key} in {} {namespace}/{name}", source.kind()),
            }
        }
    };
    let reason = match by {
        By::Volume => "ContainerCreating",
        By::Environment => "CreateContainerConfigError",
    };
    Some(StartError {
        reason: reason.to_owned(),
        message,
    })
}

async fn secret_keys(client: &Client, namespace: &str, name: &str) -> Result<Option<BTreeSet<String>>, Error> {
    let secret = within(Api::<Secret>::namespaced(client.clone(), namespace).get_opt(name)).await?;
    Ok(secret.map(|secret| secret.data.unwrap_or_default().into_keys().collect()))
}

async fn config_map_keys(client: &Client, namespace: &str, name: &str) -> Result<Option<BTreeSet<String>>, Error> {
    let map = within(Api::<ConfigMap>::namespaced(client.clone(), namespace).get_opt(name)).await?;
    Ok(map.map(|map| {
        let text = map.data.unwrap_or_default().into_keys();
        text.chain(map.binary_data.unwrap_or_default().into_keys()).collect()
    }))
}

/// The names of the claims that a pod mounts.
pub(in crate::controllers) fn claims(pod: &Pod) -> impl Iterator<Item = String> + '_ {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|volume| {
        let named = volume
            .persistent_volume_claim
            .as_ref()
            .map(|claim| claim.claim_name.clone());
        // A generic ephemeral volume's claim is named after pod and volume.
        named.or_else(|| {
            volume
                .ephemeral
                .as_ref()
                .map(|_| format!("{}-{}", meta::name(pod), volume.name))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "a-0", "namespace": "n"},
            "spec": {
                "volumes": [
                    {"name": "conf", "configMap": {"name": "a-config"}},
                    {"name": "tls", "secret": {"secretName": "a-tls", "items": [{"key": "tls.crt", "path": "c"}]}},
                    {"name": "maybe", "secret": {"secretName": "other", "optional": true}},
                    {"name": "data", "persistentVolumeClaim": {"claimName": "data-a-0"}},
                ],
                "containers": [{"name": "neo4j", "env": [
                    {"name": "P", "valueFrom": {"secretKeyRef": {"name": "auth", "key": "password"}}},
                    {"name": "Q", "value": "plain"},
                ]}],
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_pod_needs_what_it_mounts_and_reads_unless_that_is_optional() {
        let needs = Needs::of(&pod());
        let names: Vec<_> = needs.0.keys().map(|(by, _, name)| (*by, name.as_str())).collect();
        assert_eq!(
            names,
            [
                (By::Volume, "a-tls"),
                (By::Volume, "a-config"),
                (By::Environment, "auth")
            ]
        );
        assert_eq!(claims(&pod()).collect::<Vec<_>>(), ["data-a-0"]);
    }

    #[test]
    fn a_lack_says_what_is_missing_in_the_words_of_a_node() {
        let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<BTreeSet<_>>();
        let absent = lack(By::Environment, Source::Secret, "n", "auth", &keys(&["password"]), None).unwrap();
        assert_eq!(
            absent.to_string(),
            "CreateContainerConfigError: secret \"auth\" not found"
        );
        let keyless = lack(
            By::Environment,
            Source::Secret,
            "n",
            "auth",
            &keys(&["password"]),
            Some(&keys(&["user"])),
        )
        .unwrap();
        assert_eq!(keyless.message, "couldn't find key password in Secret n/auth");
        let unmounted = lack(By::Volume, Source::ConfigMap, "n", "c", &keys(&[]), None).unwrap();
        assert_eq!(unmounted.reason, "ContainerCreating");
        assert!(
            lack(
                By::Volume,
                Source::ConfigMap,
                "n",
                "c",
                &keys(&["a"]),
                Some(&keys(&["a", "b"]))
            )
            .is_none()
        );
    }
}
