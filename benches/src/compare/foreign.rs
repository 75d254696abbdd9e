//! Other people's objects: pods and secrets as they lie in a cluster that others use, varied and not cloned.

use std::ops::Range;

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use kube::{Api, Client, api::PostParams};
use serde_json::{Map, Value, json};

/// Over how many namespaces they are spread.
const NAMESPACES: u32 = 20;
/// Create calls in flight.
const IN_FLIGHT: usize = 32;

/// Creates the pods and secrets of these numbers.
///
/// # Errors
/// If the server refuses one.
pub async fn create(client: &Client, numbers: Range<u32>) -> anyhow::Result<()> {
    let params = PostParams::default();
    for number in 0..NAMESPACES {
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace(number)}}))?;
        let created = Api::all(client.clone()).create(&params, &namespace).await;
        if let Err(error) = created
            && !matches!(&error, kube::Error::Api(status) if status.code == 409)
        {
            return Err(error).context("a foreign namespace");
        }
    }
    stream::iter(numbers)
        .map(|number| {
            let params = params.clone();
            async move {
                let namespace = namespace(number);
                let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
                let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
                pods.create(&params, &serde_json::from_value(pod(number))?).await?;
                secrets
                    .create(&params, &serde_json::from_value(secret(number))?)
                    .await?;
                anyhow::Ok(())
            }
        })
        .buffer_unordered(IN_FLIGHT)
        .try_collect()
        .await
}

fn namespace(number: u32) -> String {
    format!("team-{:02}", number % NAMESPACES)
}

/// Numbers that look random and are the same in every run (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below.max(1)
    }

    /// Text of that many letters that compresses no better than such values do.
    fn text(&mut self, letters: u64) -> String {
        let letter = |roll| char::from(b'a' + u8::try_from(roll).unwrap_or_default());
        (0..letters).map(|_| letter(self.roll(26))).collect()
    }
}

/// A pod of one to four containers, 2 to 9 kB of JSON.
fn pod(number: u32) -> Value {
    let mut dice = Dice(u64::from(number) << 1);
    let app = format!("app-{:03}", number % 400);
    let containers: Vec<Value> = (0..=dice.roll(4))
        .map(|index| container(&mut dice, &app, index))
        .collect();
    let annotations: Map<String, Value> = (0..dice.roll(8))
        .map(|index| {
            let letters = 40 + dice.roll(200);
            (format!("team.example.com/note-{index}"), dice.text(letters).into())
        })
        .collect();
    json!({
        "metadata": {
            "name": format!("{app}-{number:06}-{}", dice.text(5)),
            "labels": {
                "app.kubernetes.io/name": app,
                "app.kubernetes.io/managed-by": "helm",
                "pod-template-hash": dice.text(10),
                "tier": format!("tier-{}", dice.roll(3)),
            },
            "annotations": annotations,
        },
        "spec": {
            "containers": containers,
            "volumes": [
                {"name": "config", "configMap": {"name": format!("{app}-config")}},
                {"name": "credentials", "secret": {"secretName": format!("{app}-credentials")}},
                {"name": "scratch", "emptyDir": {}},
            ],
            "tolerations": [{"key": "dedicated", "operator": "Equal", "value": app, "effect": "NoSchedule"}],
            "terminationGracePeriodSeconds": 30 + dice.roll(60),
        },
    })
}

fn container(dice: &mut Dice, app: &str, index: u64) -> Value {
    let environment: Vec<Value> = (0..dice.roll(20))
        .map(|index| {
            let letters = 10 + dice.roll(60);
            json!({"name": format!("SETTING_{index}"), "value": dice.text(letters)})
        })
        .collect();
    json!({
        "name": format!("{app}-{index}"),
        "image": format!("images.example.com/{app}/{}:{}.{}", dice.text(8), dice.roll(9), dice.roll(40)),
        "env": environment,
        "ports": [{"name": "http", "containerPort": 8000 + dice.roll(900)}],
        "resources": {
            "requests": {"cpu": format!("{}m", 50 + dice.roll(950)), "memory": format!("{}Mi", 64 + dice.roll(2000))},
            "limits": {"memory": format!("{}Mi", 2100 + dice.roll(2000))},
        },
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5 + dice.roll(20)},
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/app"},
            {"name": "credentials", "mountPath": "/etc/credentials", "readOnly": true},
            {"name": "scratch", "mountPath": "/tmp"},
        ],
    })
}

/// A secret of one to six keys: mostly small ones, some of many kilobytes as certificates and Helm releases are.
fn secret(number: u32) -> Value {
    let mut dice = Dice((u64::from(number) << 1) | 1);
    let most = if dice.roll(10) == 0 { 16_000 } else { 800 };
    let data: Map<String, Value> = (0..=dice.roll(5))
        .map(|index| {
            let letters = 20 + dice.roll(most);
            (format!("key-{index}"), dice.text(letters).into())
        })
        .collect();
    json!({
        "metadata": {
            "name": format!("app-{:03}-{number:06}", number % 400),
            "labels": {"app.kubernetes.io/managed-by": "helm", "owner": "helm"},
        },
        "stringData": data,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn objects_are_the_same_in_every_run_and_differ_from_each_other() {
        assert_eq!(pod(7), pod(7));
        let sizes: BTreeSet<usize> = (0..500).map(|number| pod(number).to_string().len()).collect();
        assert!(sizes.len() > 300, "{} sizes among 500 pods", sizes.len());
        let secrets: Vec<usize> = (0..500).map(|number| secret(number).to_string().len()).collect();
        assert!(secrets.iter().any(|size| *size > 10_000) && secrets.iter().any(|size| *size < 500));
    }

    #[test]
    fn every_object_is_of_its_type() {
        for number in 0..200 {
            serde_json::from_value::<Pod>(pod(number)).unwrap();
            serde_json::from_value::<Secret>(secret(number)).unwrap();
        }
    }
}
