//! Discovery: which groups, versions and resources there are, in the aggregated and in the old form.

use base64::Engine as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    super::{
        kinds::{Catalog, Resource},
        registry::scale,
    },
    Reply,
    reply::{self, json as json_reply},
    request::Discovery,
};

/// The content type of the aggregated form; kubectl takes the form only under this name.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// `/version`: honest about what this is.
pub(super) fn version(minor: u16) -> Value {
    json!({
        "major": "1", "minor": minor.to_string(),
        "gitVersion": format!("v1.{minor}.0+embedded"),
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none", "compiler": "rustc", "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

/// A subresource: its name, verbs, and what its objects are (group, version, kind) where they are not the resource's.
struct Below {
    name: &'static str,
    verbs: &'static [&'static str],
    kind: Option<[&'static str; 3]>,
}

fn subresources(resource: &Resource) -> Vec<Below> {
    const VERBS: &[&str] = &["get", "patch", "update"];
    let below = |name, verbs, kind| Below { name, verbs, kind };
    let mut out = Vec::new();
    if resource.is("namespaces") {
        out.push(below("finalize", &["update"], None));
    }
    if resource.is("pods") {
        out.push(below("binding", &["create"], Some(["", "v1", "Binding"])));
        out.push(below("eviction", &["create"], Some(["policy", "v1", "Eviction"])));
    }
    if resource.is("serviceaccounts") {
        let kind = ["authentication.k8s.io", "v1", "TokenRequest"];
        out.push(below("token", &["create"], Some(kind)));
    }
    if resource.status {
        out.push(below("status", VERBS, None));
    }
    if scale::exists(resource) {
        out.push(below("scale", VERBS, Some(["autoscaling", "v1", "Scale"])));
    }
    if resource.custom.is_none() {
        out.sort_by_key(|b| b.name);
    }
    out
}

/// Built-in kinds are of the group that they are listed in and do not repeat it; custom ones do.
fn response_kind(resource: &Resource, below: Option<[&str; 3]>) -> Value {
    if let Some([group, version, kind]) = below {
        let version = if group.is_empty() { "" } else { version };
        json!({"group": group, "version": version, "kind": kind})
    } else if resource.custom.is_some() {
        json!({"group": resource.group, "version": resource.version, "kind": resource.kind})
    } else {
        json!({"group": "", "version": "", "kind": resource.kind})
    }
}

fn aggregated_resource(resource: &Resource) -> Value {
    let mut out = json!({
        "resource": resource.plural,
        "responseKind": response_kind(resource, None),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": resource.verbs(),
    });
    if !resource.short_names.is_empty() {
        out["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        out["categories"] = json!(resource.categories);
    }
    let below: Vec<Value> = subresources(resource)
        .into_iter()
        .map(|b| json!({"subresource": b.name, "responseKind": response_kind(resource, b.kind), "verbs": b.verbs}))
        .collect();
    if !below.is_empty() {
        out["subresources"] = json!(below);
    }
    out
}

/// Says in which group, version and kind objects are stored.
fn version_hash(resource: &Resource) -> String {
    let identity = format!("{}/{}/{}", resource.group, resource.version, resource.kind);
    base64::engine::general_purpose::STANDARD.encode(&Sha256::digest(identity)[..8])
}

fn aggregated(catalog: &Catalog, wanted: impl Fn(&str) -> bool) -> Reply {
    let groups = catalog.groups();
    let items: Vec<Value> = groups
        .iter()
        .filter(|(group, _)| wanted(group))
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    let resources: Vec<Value> = catalog
                        .of(group, version)
                        .into_iter()
                        .map(|r| aggregated_resource(r))
                        .collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            let metadata = if group.is_empty() {
                json!({})
            } else {
                json!({"name": group})
            };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    let document = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
    });
    reply::typed_json(200, AGGREGATED, &document)
}

/// `/api`.
pub(super) fn core_versions(catalog: &Catalog, form: Discovery) -> Reply {
    match form {
        Discovery::Aggregated => aggregated(catalog, str::is_empty),
        Discovery::Plain => json_reply(
            200,
            &json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}),
        ),
    }
}

fn group_object(group: &str, versions: &[&str]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|v| json!({"groupVersion": format!("{group}/{v}"), "version": v}))
        .collect();
    json!({"name": group, "versions": versions, "preferredVersion": versions.first()})
}

/// `/apis`.
pub(super) fn groups(catalog: &Catalog, form: Discovery) -> Reply {
    if form == Discovery::Aggregated {
        return aggregated(catalog, |group| !group.is_empty());
    }
    let groups: Vec<Value> = catalog
        .groups()
        .iter()
        .filter(|(group, _)| !group.is_empty())
        .map(|(group, versions)| group_object(group, versions))
        .collect();
    json_reply(
        200,
        &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}),
    )
}

/// `/apis/GROUP`.
pub(super) fn group(catalog: &Catalog, name: &str) -> Reply {
    let groups = catalog.groups();
    let Some(versions) = groups.get(name).filter(|_| !name.is_empty()) else {
        return reply::not_found();
    };
    let mut document = group_object(name, versions);
    document["kind"] = json!("APIGroup");
    document["apiVersion"] = json!("v1");
    json_reply(200, &document)
}

/// `/api/v1` and `/apis/GROUP/VERSION`.
pub(super) fn resources(catalog: &Catalog, group: &str, version: &str) -> Reply {
    let found = catalog.of(group, version);
    let Some(first) = found.first() else {
        return reply::not_found();
    };
    let mut resources = Vec::new();
    for resource in &found {
        let mut entry = json!({
            "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
            "kind": resource.kind, "verbs": resource.verbs(),
        });
        if !resource.short_names.is_empty() {
            entry["shortNames"] = json!(resource.short_names);
        }
        if !resource.categories.is_empty() {
            entry["categories"] = json!(resource.categories);
        }
        if !resource.unstored {
            entry["storageVersionHash"] = json!(version_hash(resource));
        }
        resources.push(entry);
        for below in subresources(resource) {
            let mut entry = json!({
                "name": format!("{}/{}", resource.plural, below.name), "singularName": "",
                "namespaced": resource.namespaced, "kind": resource.kind, "verbs": below.verbs,
            });
            if let Some([group, version, kind]) = below.kind {
                entry["kind"] = json!(kind);
                if !group.is_empty() {
                    entry["group"] = json!(group);
                    entry["version"] = json!(version);
                }
            }
            resources.push(entry);
        }
    }
    json_reply(
        200,
        &json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": first.api_version(), "resources": resources,
        }),
    )
}
