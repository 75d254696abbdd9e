//! The rights that the operator is shipped with, bound to a service account: its token may do what they say, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{collections::BTreeSet, path::Path};

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    authentication::v1::TokenRequest,
    authorization::v1::SelfSubjectAccessReview,
    core::v1::{ConfigMap, Namespace, Node, Pod, Secret, ServiceAccount},
    rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding},
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, PostParams},
};
use neo4j_devcluster::{
    apiserver::{Options, Server},
    cluster::{Cluster, Options as ClusterOptions, Pods},
};
use serde_json::{Value, json};

/// Group, resource (with its subresource) and verb.
type Right = (String, String, String);

const VERBS: [&str; 9] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
    "impersonate",
];
/// What everybody may: ask about themselves.
const EVERYBODY: [(&str, &str); 3] = [
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
];

fn shipped<K: serde::de::DeserializeOwned>(file: &str) -> K {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../daemon/deploy/rbac");
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

async fn make<K>(api: &Api<K>, object: Value) -> K
where
    K: serde::de::DeserializeOwned + serde::Serialize + Clone + std::fmt::Debug,
{
    let object = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap()
}

/// A client with a token of the account `operator` in `ops`, which it makes.
async fn operator(server: &Server, admin: &Client) -> Client {
    for name in ["ops", "other"] {
        make::<Namespace>(&Api::all(admin.clone()), json!({"metadata": {"name": name}})).await;
    }
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), "ops");
    make(&accounts, json!({"metadata": {"name": "operator"}})).await;
    let request: TokenRequest = serde_json::from_value(json!({"spec": {"audiences": []}})).unwrap();
    let answer = accounts
        .create_token_request("operator", &PostParams::default(), &request)
        .await
        .unwrap();
    let token = answer.status.unwrap().token.unwrap();
    server.client_with_token(&token, "ops")
}

fn binding(kind: &str) -> Value {
    json!({
        "metadata": {"name": "operator"},
        "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": "ops"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "neo4j-operator"},
    })
}

/// The rights that rules give; the shipped ones name neither single objects nor everything.
fn rights(rules: &[PolicyRule]) -> BTreeSet<Right> {
    let mut out = BTreeSet::new();
    for rule in rules {
        assert!(rule.resource_names.is_none() && rule.non_resource_urls.is_none());
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in &rule.verbs {
                    assert!(![group, resource, verb].iter().any(|text| text.contains('*')));
                    out.insert((group.clone(), resource.clone(), verb.clone()));
                }
            }
        }
    }
    out
}

/// Every right that there could be: each resource that is served, the named ones besides, with each verb.
async fn all_rights(admin: &Client, named: &BTreeSet<Right>) -> BTreeSet<Right> {
    let mut resources: BTreeSet<(String, String)> = named.iter().map(|r| (r.0.clone(), r.1.clone())).collect();
    for resource in admin.list_core_api_resources("v1").await.unwrap().resources {
        resources.insert((String::new(), resource.name));
    }
    for group in admin.list_api_groups().await.unwrap().groups {
        for version in &group.versions {
            let list = admin.list_api_group_resources(&version.group_version).await.unwrap();
            resources.extend(list.resources.into_iter().map(|r| (group.name.clone(), r.name)));
        }
    }
    resources
        .iter()
        .flat_map(|(group, resource)| VERBS.map(|verb| (group.clone(), resource.clone(), verb.to_owned())))
        .collect()
}

/// The rights that a client has in a namespace, by its own review.
async fn held(client: &Client, all: &BTreeSet<Right>, namespace: &str) -> BTreeSet<Right> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let mut out = BTreeSet::new();
    for right in all {
        let (group, whole, verb) = right;
        let (resource, subresource) = whole.split_once('/').unwrap_or((whole, ""));
        let asked = json!({
            "namespace": namespace, "verb": verb, "group": group, "resource": resource, "subresource": subresource,
        });
        let answer = make(&reviews, json!({"spec": {"resourceAttributes": asked}})).await;
        if answer.status.unwrap().allowed {
            out.insert(right.clone());
        }
    }
    out
}

fn everybody() -> BTreeSet<Right> {
    EVERYBODY
        .iter()
        .map(|(group, resource)| ((*group).to_owned(), (*resource).to_owned(), "create".to_owned()))
        .collect()
}

fn code<T>(result: Result<T, kube::Error>) -> u16 {
    match result {
        Ok(_) => 200,
        Err(kube::Error::Api(status)) => status.code,
        Err(other) => panic!("{other}"),
    }
}

/// Requests that the shipped rights allow in `ops`, and such that no operator needs.
async fn requests_agree(client: &Client) {
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), "ops");
    let pods: Api<Pod> = Api::namespaced(client.clone(), "ops");
    let list = ListParams::default();
    assert_eq!(code(sets.list(&list).await), 200);
    assert_eq!(code(pods.list(&list).await), 200);
    assert_eq!(
        code(Api::<Secret>::namespaced(client.clone(), "ops").list(&list).await),
        200
    );
    // Allowed, but there is none.
    assert_eq!(code(sets.delete("s", &DeleteParams::default()).await), 404);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "ops");
    assert_eq!(code(maps.delete("m", &DeleteParams::default()).await), 403);
    assert_eq!(code(sets.delete_collection(&DeleteParams::default(), &list).await), 403);
    assert_eq!(code(pods.get("p").await), 403);
    assert_eq!(code(pods.delete_collection(&DeleteParams::default(), &list).await), 403);
    assert_eq!(code(Api::<Node>::all(client.clone()).list(&list).await), 403);
    assert_eq!(
        code(Api::<Role>::namespaced(client.clone(), "ops").list(&list).await),
        403
    );
    let account: Api<ServiceAccount> = Api::namespaced(client.clone(), "ops");
    let request: TokenRequest = serde_json::from_value(json!({"spec": {"audiences": []}})).unwrap();
    let token = account
        .create_token_request("operator", &PostParams::default(), &request)
        .await;
    assert_eq!(code(token), 403);
}

#[tokio::test(start_paused = true)]
async fn the_shipped_cluster_role_gives_what_it_says_everywhere_and_nothing_else() {
    let cluster = Cluster::start(ClusterOptions::in_process(Pods::Nobody)).await.unwrap();
    cluster
        .define(&neo4j_operator_crds::definition::definitions().unwrap())
        .await
        .unwrap();
    let admin = cluster.client("ops");
    let client = operator(cluster.server(), &admin).await;
    let role: ClusterRole = shipped("clusterrole.yaml");
    let rules = role.rules.clone().unwrap();
    make::<ClusterRole>(&Api::all(admin.clone()), serde_json::to_value(&role).unwrap()).await;
    make::<ClusterRoleBinding>(&Api::all(admin.clone()), binding("ClusterRole")).await;
    let expected = rights(&rules);
    let all = all_rights(&admin, &expected).await;
    let expected: BTreeSet<Right> = expected.union(&everybody()).cloned().collect();
    for namespace in ["ops", "other", ""] {
        assert_eq!(held(&client, &all, namespace).await, expected, "in {namespace:?}");
    }
    requests_agree(&client).await;
    assert_eq!(code(Api::<Secret>::all(client).list(&ListParams::default()).await), 200);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_shipped_role_gives_what_it_says_in_its_namespace_and_nothing_elsewhere() {
    let server = Server::new(Options::default());
    let admin = server.client("ops");
    let client = operator(&server, &admin).await;
    let role: Role = shipped("role.yaml");
    let rules = role.rules.clone().unwrap();
    make::<Role>(
        &Api::namespaced(admin.clone(), "ops"),
        serde_json::to_value(&role).unwrap(),
    )
    .await;
    make::<RoleBinding>(&Api::namespaced(admin.clone(), "ops"), binding("Role")).await;
    let expected = rights(&rules);
    let all = all_rights(&admin, &expected).await;
    let here: BTreeSet<Right> = expected.union(&everybody()).cloned().collect();
    assert_eq!(held(&client, &all, "ops").await, here);
    for namespace in ["other", ""] {
        assert_eq!(held(&client, &all, namespace).await, everybody(), "in {namespace:?}");
    }
    requests_agree(&client).await;
    assert_eq!(code(Api::<Secret>::all(client).list(&ListParams::default()).await), 403);
}
