//! Custom resources made for the cases: one with everything, one with nothing.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    runtime::{conditions::is_crd_established, wait::await_condition},
};
use serde_json::{Value, json};

pub const GROUP: &str = "conformance.neo4j.com";

/// `Widget`: status and scale subresources, defaults, enums, rules, all list and map types.
fn widget() -> Value {
    let schema = json!({
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "x-kubernetes-validations": [
                    {"rule": "!has(self.min) || !has(self.n) || self.min <= self.n", "message": "min must not be above n"},
                ],
                "properties": {
                    "n": {"type": "integer", "minimum": 0, "maximum": 100},
                    "min": {"type": "integer"},
                    "mode": {"type": "string", "enum": ["Fast", "Safe"], "default": "Safe"},
                    "fixed": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "fixed is fixed"}]},
                    "replicas": {"type": "integer", "format": "int32", "default": 1},
                    "size": {"x-kubernetes-int-or-string": true},
                    "nick": {"type": "string", "nullable": true, "maxLength": 5, "pattern": "^[a-z]*$"},
                    "plain": {"type": "string", "default": "given"},
                    "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                    "atomic": {"type": "array", "x-kubernetes-list-type": "atomic", "items": {"type": "string"}},
                    "ports": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["port", "protocol"],
                        "items": {
                            "type": "object",
                            "required": ["port", "protocol"],
                            "properties": {
                                "port": {"type": "integer"},
                                "protocol": {"type": "string", "default": "TCP"},
                                "label": {"type": "string"},
                            },
                        },
                    },
                    "granular": {"type": "object", "additionalProperties": {"type": "string"}},
                    "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
                },
            },
            "status": {
                "type": "object",
                "properties": {
                    "phase": {"type": "string"},
                    "replicas": {"type": "integer", "format": "int32"},
                    "selector": {"type": "string"},
                },
            },
        },
    });
    let columns = json!([
        {"name": "Mode", "type": "string", "jsonPath": ".spec.mode"},
        {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
    ]);
    let scale = json!({
        "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector",
    });
    let mut definition = definition(GROUP, "widgets", "Widget", &schema);
    definition["spec"]["versions"][0]["subresources"] = json!({"status": {}, "scale": scale});
    definition["spec"]["versions"][0]["additionalPrinterColumns"] = columns;
    definition
}

/// `Plain`: no subresources.
fn plain() -> Value {
    let part = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
    let schema = json!({"type": "object", "properties": {"spec": part, "status": part}});
    definition(GROUP, "plains", "Plain", &schema)
}

/// A namespaced definition with one version, v1.
pub fn definition(group: &str, plural: &str, kind: &str, schema: &Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    })
}

/// Applies both and waits until they are served.
pub async fn install(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in [widget(), plain()] {
        let name = definition["metadata"]["name"].as_str().unwrap().to_owned();
        let parameters = PatchParams::apply("conformance").force();
        api.patch(&name, &parameters, &Patch::Apply(&definition)).await.unwrap();
        await_condition(api.clone(), &name, is_crd_established()).await.unwrap();
    }
}
