//! Who asks, and what they may do.
//!
//! A request has a [`User`]: the door's own in process, on loopback that of its bearer token, or nobody ([`authenticate`]). It may act as
//! another where it is allowed to. [`attributes`] says what a request wants to do, [`rules`] whether a rule of a role allows that, [`rbac`]
//! which rules a user has by the bindings in the store, and [`defaults`] what a new server has of them. [`escalation`] keeps users from
//! giving away what they have not; [`tokens`] makes and reads tokens of service accounts; [`reviews`] answers questions about all of it.

use std::collections::BTreeMap;

pub(super) mod attributes;
pub(super) mod authenticate;
#[cfg(test)]
mod decision_tests;
pub(super) mod defaults;
mod escalation;
pub(super) mod rbac;
pub(super) mod reviews;
pub(super) mod rules;
#[cfg(test)]
mod tests;
pub(super) mod tokens;

/// The API group of roles and bindings.
const GROUP: &str = "rbac.authorization.k8s.io";
/// Its members may do everything, whatever roles say.
const MASTERS: &str = "system:masters";
const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";
const ANONYMOUS: &str = "system:anonymous";
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";
const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

/// Who makes a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// `system:serviceaccount:NAMESPACE:NAME` for service accounts.
    pub name: String,
    /// Empty where there is none.
    pub uid: String,
    /// All groups, `system:authenticated` included.
    pub groups: Vec<String>,
    /// What else is known, by key.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// The administrator, who may do everything.
    pub fn admin() -> Self {
        Self {
            uid: "admin".into(),
            ..Self::named("admin", &[MASTERS])
        }
    }

    /// Nobody in particular.
    pub fn anonymous() -> Self {
        Self {
            name: ANONYMOUS.into(),
            groups: vec![UNAUTHENTICATED.into()],
            ..Self::default()
        }
    }

    /// A user of this name in these groups and in `system:authenticated`.
    pub fn named(name: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().chain(&[AUTHENTICATED]).map(ToString::to_string);
        Self {
            name: name.into(),
            groups: groups.collect(),
            ..Self::default()
        }
    }

    /// A service account, whether it exists or not.
    pub fn service_account(namespace: &str, name: &str) -> Self {
        let of_namespace = format!("{SERVICE_ACCOUNTS}:{namespace}");
        Self::named(
            &format!("{SERVICE_ACCOUNT}{namespace}:{name}"),
            &[SERVICE_ACCOUNTS, &of_namespace],
        )
    }

    fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    /// Whether roles do not matter.
    fn is_master(&self) -> bool {
        self.is_in(MASTERS)
    }
}

/// Namespace and name of the service account whose user name this is.
fn split_service_account(user: &str) -> Option<(&str, &str)> {
    user.strip_prefix(SERVICE_ACCOUNT)?
        .split_once(':')
        .filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty() && !name.contains(':'))
}

/// Texts as messages list them: `["a" "b"]`.
fn quoted<S: AsRef<str>>(texts: &[S]) -> String {
    let texts: Vec<String> = texts.iter().map(|t| format!("{:?}", t.as_ref())).collect();
    format!("[{}]", texts.join(" "))
}
