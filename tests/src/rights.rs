//! The operator's identity in a cluster as we ship it: a ServiceAccount with our Role or ClusterRole, and a token of
//! its own. Suites run the operator with nothing else, so that a right it lacks shows here and not in production.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
    core::v1::{Namespace, ServiceAccount},
    rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject},
};
use kube::{
    Api, Client,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
    config::{AuthInfo, Kubeconfig},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::harness::wait_until;

/// Name of the ServiceAccount and of what binds it.
const NAME: &str = "neo4j-operator";
/// Who applies it, as kubectl or Helm would.
const MANAGER: &str = "neo4j-operator-install";
/// Longer than any suite.
const TOKEN_SECONDS: i64 = 4 * 60 * 60;
/// How long the API server may take to know a binding.
const IN_FORCE: Duration = Duration::from_secs(30);

/// The shipped manifests, as they are in the repository.
const CLUSTER_ROLE: &str = include_str!("../../daemon/deploy/rbac/clusterrole.yaml");
const ROLE: &str = include_str!("../../daemon/deploy/rbac/role.yaml");

/// What the operator looks after.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// All namespaces: our ClusterRole. Its ServiceAccount lives in this one.
    Cluster(&'a str),
    /// These: our Role in each. Its ServiceAccount lives in the first.
    Namespaces(&'a [&'a str]),
}

/// Why the operator has no identity.
#[derive(Debug, thiserror::Error)]
pub enum RightsError {
    /// The API server refuses.
    #[error("{what}: {source}")]
    Kube {
        /// What was asked.
        what: String,
        /// Its answer.
        source: Box<kube::Error>,
    },
    /// A shipped manifest cannot be read.
    #[error("shipped manifest: {0}")]
    Manifest(String),
    /// The kubeconfig cannot be read or written.
    #[error("kubeconfig: {0}")]
    Kubeconfig(String),
    /// The API server does not know them yet.
    #[error("{0}")]
    NotInForce(String),
    /// No namespace was named.
    #[error("an operator of no namespace has no identity")]
    NoNamespace,
}

/// The user name that the API server knows the operator by.
pub fn user(namespace: &str) -> String {
    format!("system:serviceaccount:{namespace}:{NAME}")
}

/// The rules of the shipped ClusterRole.
///
/// # Errors
/// If the manifest cannot be read.
pub fn shipped_cluster_role() -> Result<Vec<PolicyRule>, RightsError> {
    manifest::<ClusterRole>(CLUSTER_ROLE).map(|role| role.rules.unwrap_or_default())
}

/// The rules of the shipped Role.
///
/// # Errors
/// If the manifest cannot be read.
pub fn shipped_role() -> Result<Vec<PolicyRule>, RightsError> {
    manifest::<Role>(ROLE).map(|role| role.rules.unwrap_or_default())
}

/// Gives the operator its shipped rights and writes a kubeconfig with its own token into `folder`.
///
/// `admin` is the kubeconfig that the address and authority of the server are taken from. Namespaces are made where
/// they are missing. Calling it again renews the token.
///
/// # Errors
/// If the server refuses a step, or a file cannot be read or written.
pub async fn operator_kubeconfig(
    client: &Client,
    admin: &Path,
    scope: Scope<'_>,
    folder: &Path,
) -> Result<PathBuf, RightsError> {
    let home = match scope {
        Scope::Cluster(home) => home,
        Scope::Namespaces(namespaces) => namespaces.first().copied().ok_or(RightsError::NoNamespace)?,
    };
    let accounts = account(client, home).await?;
    match scope {
        Scope::Cluster(_) => {
            let role: ClusterRole = manifest(CLUSTER_ROLE)?;
            let name = role.metadata.name.clone().unwrap_or_default();
            apply(&Api::all(client.clone()), &name, &role).await?;
            bind_everywhere(client, NAME, &name, home).await?;
            in_force(client, home, None).await?;
        }
        Scope::Namespaces(namespaces) => {
            for namespace in namespaces {
                bind_in(client, home, namespace).await?;
                in_force(client, home, Some(namespace)).await?;
            }
        }
    }
    write(
        admin,
        &token(&accounts).await?,
        &folder.join(format!("{NAME}-{home}.kubeconfig")),
    )
}

/// Gives a program that we know nothing of all rights, under a user of its own, and writes a kubeconfig for it.
///
/// # Errors
/// As [`operator_kubeconfig`].
pub async fn administrator_kubeconfig(
    client: &Client,
    admin: &Path,
    home: &str,
    folder: &Path,
) -> Result<PathBuf, RightsError> {
    let accounts = account(client, home).await?;
    let name = format!("{home}-administrator");
    bind_everywhere(client, &name, "cluster-admin", home).await?;
    write(
        admin,
        &token(&accounts).await?,
        &folder.join(format!("{NAME}-{home}.kubeconfig")),
    )
}

/// The ServiceAccount, and its namespace where that is missing.
async fn account(client: &Client, home: &str) -> Result<Api<ServiceAccount>, RightsError> {
    let namespace = Namespace {
        metadata: named(home),
        ..Namespace::default()
    };
    apply(&Api::all(client.clone()), home, &namespace).await?;
    let account = ServiceAccount {
        metadata: named(NAME),
        ..ServiceAccount::default()
    };
    let accounts = Api::namespaced(client.clone(), home);
    apply(&accounts, NAME, &account).await?;
    Ok(accounts)
}

/// Waits until the API server grants what was bound: it learns of a binding some time after that is stored.
async fn in_force(client: &Client, home: &str, namespace: Option<&str>) -> Result<(), RightsError> {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user(home)),
            resource_attributes: Some(ResourceAttributes {
                namespace: namespace.map(str::to_owned),
                verb: Some("list".to_owned()),
                resource: Some("configmaps".to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    wait_until("the rights of the operator in force", IN_FORCE, || async {
        let answer = reviews.create(&PostParams::default(), &review).await.ok();
        let allowed = answer
            .and_then(|answer| answer.status)
            .is_some_and(|status| status.allowed);
        Ok(allowed.then_some(()))
    })
    .await
    .map_err(|slow| RightsError::NotInForce(slow.to_string()))
}

async fn bind_everywhere(client: &Client, name: &str, role: &str, home: &str) -> Result<(), RightsError> {
    let binding = ClusterRoleBinding {
        metadata: named(name),
        role_ref: reference("ClusterRole", role),
        subjects: Some(vec![subject(home)]),
    };
    apply(&Api::all(client.clone()), name, &binding).await
}

async fn bind_in(client: &Client, home: &str, namespace: &str) -> Result<(), RightsError> {
    let object = Namespace {
        metadata: named(namespace),
        ..Namespace::default()
    };
    apply(&Api::all(client.clone()), namespace, &object).await?;
    let role: Role = manifest(ROLE)?;
    let name = role.metadata.name.clone().unwrap_or_default();
    apply(&Api::namespaced(client.clone(), namespace), &name, &role).await?;
    let binding = RoleBinding {
        metadata: named(NAME),
        role_ref: reference("Role", &name),
        subjects: Some(vec![subject(home)]),
    };
    apply(&Api::namespaced(client.clone(), namespace), NAME, &binding).await
}

async fn token(accounts: &Api<ServiceAccount>) -> Result<String, RightsError> {
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: Some(TOKEN_SECONDS),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let answer = accounts
        .create_token_request(NAME, &PostParams::default(), &request)
        .await
        .map_err(failed("a token for the operator"))?;
    let status = answer
        .status
        .ok_or_else(|| RightsError::Kubeconfig("the server gave no token".to_owned()))?;
    status
        .token
        .ok_or_else(|| RightsError::Kubeconfig("the server gave no token".to_owned()))
}

async fn apply<K>(api: &Api<K>, name: &str, object: &K) -> Result<(), RightsError>
where
    K: Clone + Serialize + DeserializeOwned + std::fmt::Debug + k8s_openapi::Resource,
{
    let mut body = serde_json::to_value(object).map_err(|error| RightsError::Manifest(error.to_string()))?;
    body["apiVersion"] = K::API_VERSION.into();
    body["kind"] = K::KIND.into();
    api.patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(body))
        .await
        .map(drop)
        .map_err(failed(&format!("{} {name}", K::KIND)))
}

fn failed(what: &str) -> impl FnOnce(kube::Error) -> RightsError {
    let what = what.to_owned();
    move |source| RightsError::Kube {
        what,
        source: Box::new(source),
    }
}

fn manifest<K: DeserializeOwned>(text: &str) -> Result<K, RightsError> {
    serde_saphyr::from_str(text).map_err(|error| RightsError::Manifest(error.to_string()))
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}

fn reference(kind: &str, name: &str) -> RoleRef {
    RoleRef {
        api_group: Some("rbac.authorization.k8s.io".to_owned()),
        kind: kind.to_owned(),
        name: name.to_owned(),
    }
}

fn subject(namespace: &str) -> Subject {
    Subject {
        kind: "ServiceAccount".to_owned(),
        name: NAME.to_owned(),
        namespace: Some(namespace.to_owned()),
        ..Subject::default()
    }
}

/// The admin's kubeconfig with the operator's token in place of whatever the admin shows.
fn write(admin: &Path, token: &str, path: &Path) -> Result<PathBuf, RightsError> {
    let failed = |error: &dyn std::error::Error| RightsError::Kubeconfig(error.to_string());
    let mut config = Kubeconfig::read_from(admin).map_err(|error| failed(&error))?;
    for user in &mut config.auth_infos {
        user.auth_info = Some(AuthInfo {
            token: Some(token.to_owned().into()),
            ..AuthInfo::default()
        });
    }
    // Settings of the client that the file may carry for people stay out.
    config.other = BTreeMap::default();
    let text = serde_json::to_vec(&config).map_err(|error| failed(&error))?;
    fs::write(path, text).map_err(|error| failed(&error))?;
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_roles_can_be_read() {
        let everywhere: ClusterRole = manifest(CLUSTER_ROLE).unwrap();
        let here: Role = manifest(ROLE).unwrap();
        assert_eq!(everywhere.metadata.name.as_deref(), Some(NAME));
        assert_eq!(here.metadata.name.as_deref(), Some(NAME));
        assert!(!here.rules.unwrap_or_default().is_empty());
    }

    #[test]
    fn a_token_replaces_what_the_admin_shows() {
        let folder = tempfile::tempdir().unwrap();
        let admin = folder.path().join("admin");
        let text = r#"{"apiVersion":"v1","kind":"Config","clusters":[{"name":"c","cluster":{"server":"https://127.0.0.1:1"}}],
            "users":[{"name":"a","user":{"token":"masters","username":"root"}}],
            "contexts":[{"name":"c","context":{"cluster":"c","user":"a"}}],"current-context":"c"}"#;
        fs::write(&admin, text).unwrap();
        let path = write(&admin, "own", &folder.path().join("operator")).unwrap();
        let written = fs::read_to_string(path).unwrap();
        assert!(
            written.contains("own") && !written.contains("masters") && !written.contains("root"),
            "{written}"
        );
    }
}
