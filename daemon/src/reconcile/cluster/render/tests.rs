use std::sync::Arc;

use insta::assert_snapshot;
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Secret, Service, ServiceAccount},
    policy::v1::PodDisruptionBudget,
};
use serde::{Serialize, de::DeserializeOwned};

use super::*;
use crate::reconcile::cluster::render::stateful_set::{changed_parts, read_parts};

pub fn desired(spec: Value) -> Desired {
    let mut resource = json!({
        "apiVersion": "neo4j.neo4j.com/v1beta1",
        "kind": "Neo4jEnterpriseCluster",
        "metadata": {"namespace": "prod", "name": "graph", "uid": "uid-of-graph", "generation": 1},
        "spec": {
            "image": {"repo": "neo4j", "tag": "2025.08.0-enterprise"},
            "acceptLicenseAgreement": "eval",
            "topology": {"servers": 3},
            "storage": {"size": "10Gi"},
        },
    });
    json_patch::merge(&mut resource["spec"], &spec);
    let resource = serde_json::from_value(resource).unwrap();
    Desired::new(Arc::new(resource), "cluster.local").unwrap()
}

pub fn inputs() -> Inputs {
    Inputs {
        credential: Some(Credential {
            username: "neo4j".into(),
            password: "correct-horse".into(),
        }),
        tls_fingerprint: None,
        pools: BTreeMap::new(),
    }
}

fn all(rendered: &Rendered) -> Vec<&Manifest> {
    let mut all: Vec<&Manifest> = rendered.first.iter().chain(&rendered.services).collect();
    all.push(&rendered.config_map);
    all.extend(rendered.operator_auth.as_ref());
    all.extend(rendered.pdb.as_ref());
    all.extend(rendered.pools.iter().map(|pool| &pool.manifest));
    all
}

fn text(rendered: &Rendered) -> String {
    all(rendered)
        .into_iter()
        .map(|manifest| {
            let body = serde_json::to_string_pretty(&manifest.body).unwrap();
            format!("--- {}\n{}\n", manifest.label(), body.replace("\\n", "\n"))
        })
        .collect()
}

#[test]
fn three_servers_with_nothing_but_what_is_required() {
    assert_snapshot!(text(&render(&desired(json!({})), &inputs()).unwrap()));
}

#[test]
fn two_pools_of_the_long_term_version_with_placement() {
    let desired = desired(json!({
        "image": {"tag": "5.26.3-enterprise", "pullSecrets": ["registry"]},
        "topology": {
            "servers": null, "primaries": 3, "secondaries": 2,
            "placement": {
                "topologySpread": {"enabled": true, "maxSkew": 2},
                "antiAffinity": {"type": "required"},
            },
        },
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "db", "operator": "Exists"}],
        "storage": {"className": "fast", "size": "100Gi"},
        "resources": {"limits": {"memory": "8Gi"}, "requests": {"cpu": "2", "memory": "8Gi"}},
        "config": {"db.tx_log.rotation.size": "100m"},
        "podDisruptionBudget": {"minAvailable": 4},
    }));
    assert_snapshot!(text(&render(&desired, &inputs()).unwrap()));
}

#[test]
fn tls_with_a_load_balancer_and_extras() {
    let desired = desired(json!({
        "tls": {"mode": "cert-manager", "certificateSecret": "graph-cert"},
        "service": {"type": "LoadBalancer", "annotations": {"lb": "internal"}},
        "env": [{"name": "TZ", "value": "UTC"}, {"name": "NEO4J_AUTH", "value": "none"}],
        "extraEnvFrom": [{"secretRef": {"name": "s3"}}],
        "extraVolumes": [{"name": "import", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "import", "mountPath": "/import"}],
        "podServiceAccountAnnotations": {"role": "backup"},
        "podDisruptionBudget": {"enabled": false},
        "securityContext": {"podSecurityContext": {"fsGroup": 1000}},
    }));
    let mut inputs = inputs();
    inputs.tls_fingerprint = Some("abc".into());
    assert_snapshot!(text(&render(&desired, &inputs).unwrap()));
}

/// Typed structs drop what they do not know: equal after a round trip means that every field exists.
fn round_trip<T: DeserializeOwned + Serialize>(manifest: &Manifest) {
    let typed: T =
        serde_json::from_value(manifest.body.clone()).unwrap_or_else(|error| panic!("{}: {error}", manifest.label()));
    assert_eq!(
        serde_json::to_value(typed).unwrap(),
        manifest.body,
        "{}",
        manifest.label()
    );
}

#[test]
fn every_field_that_is_declared_exists_in_the_api() {
    let desired = desired(json!({
        "topology": {"placement": {"topologySpread": {"enabled": true, "minDomains": 2}}},
        "tls": {"certificateSecret": "c"},
        "service": {"type": "LoadBalancer", "loadBalancerIP": "10.0.0.1", "externalTrafficPolicy": "Local"},
        "storage": {"className": "x"},
    }));
    let rendered = render(&desired, &inputs()).unwrap();
    for manifest in all(&rendered) {
        match manifest.resource.kind {
            Kind::StatefulSet => round_trip::<StatefulSet>(manifest),
            Kind::Service => round_trip::<Service>(manifest),
            Kind::ConfigMap => round_trip::<ConfigMap>(manifest),
            Kind::Secret => round_trip::<Secret>(manifest),
            Kind::ServiceAccount => round_trip::<ServiceAccount>(manifest),
            Kind::PodDisruptionBudget => round_trip::<PodDisruptionBudget>(manifest),
            other => panic!("{other} is not rendered by a cluster"),
        }
    }
}

#[test]
fn more_replicas_change_no_byte_of_configuration_and_no_template() {
    let mut small = desired(json!({"topology": {"servers": null, "primaries": 3, "secondaries": 1}}));
    let large = desired(json!({"topology": {"servers": null, "primaries": 5, "secondaries": 4}}));
    // What the first reconcile recorded stands.
    let mut large = Desired {
        bootstrap: small.bootstrap.clone(),
        ..large
    };
    small.generation = 1;
    large.generation = 2;
    let (one, other) = (render(&small, &inputs()).unwrap(), render(&large, &inputs()).unwrap());
    assert_eq!(one.config_map, other.config_map);
    for (one, other) in one.pools.iter().zip(&other.pools) {
        assert_eq!(
            one.manifest.body["spec"]["template"],
            other.manifest.body["spec"]["template"]
        );
        assert_eq!(one.parts, other.parts);
    }
}

#[test]
fn a_change_is_named_by_the_field_it_came_from() {
    let first = desired(json!({}));
    let live = render(&first, &inputs()).unwrap();
    let annotation = live.pools[0].manifest.body["metadata"]["annotations"][names::TEMPLATE_PARTS]
        .as_str()
        .unwrap();
    let live = read_parts(annotation);
    let changed = |spec: Value, inputs: &Inputs| {
        let desired = Desired {
            bootstrap: first.bootstrap.clone(),
            ..desired(spec)
        };
        let rendered = render(&desired, inputs).unwrap();
        changed_parts(&live, &rendered.pools[0].parts)
    };
    let same = inputs();
    assert_eq!(changed(json!({}), &same), []);
    assert_eq!(changed(json!({"topology": {"servers": 5}}), &same), []);
    assert_eq!(
        changed(json!({"image": {"tag": "2025.09.0-enterprise"}}), &same),
        [Part::Image]
    );
    assert_eq!(changed(json!({"config": {"a.b": "c"}}), &same), [Part::Config]);
    assert_eq!(changed(json!({"storage": {"size": "20Gi"}}), &same), [Part::Storage]);
    assert_eq!(
        changed(
            json!({"env": [{"name": "A", "value": "b"}], "nodeSelector": {"a": "b"}}),
            &same
        ),
        [Part::Env, Part::Placement]
    );
    let renewed = Inputs {
        tls_fingerprint: Some("new".into()),
        ..inputs()
    };
    assert_eq!(changed(json!({}), &renewed), [Part::Certificate]);
}

#[test]
fn a_password_is_in_the_secret_and_nowhere_else() {
    let rendered = render(&desired(json!({})), &inputs()).unwrap();
    for manifest in all(&rendered) {
        let shown = manifest.body.to_string().contains("correct-horse");
        assert!(!shown, "{}", manifest.label());
    }
    assert!(!format!("{:?}", inputs()).contains("correct-horse"));
}
